"""Targets and authorities: one reading, the same for whoever matches and whoever serves."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies

from edgenode.model.errors import ClientError
from edgenode.proxy.targets import Target, read_authority, read_target

ALPHABET = "/.%2eE5cfF;a\\?#\0 0"


@pytest.mark.parametrize(
    ("target", "path", "query", "normalised"),
    [
        (b"/", b"/", None, b"/"),
        (b"/a/b", b"/a/b", None, b"/a/b"),
        (b"/a?", b"/a", b"", b"/a"),
        (b"/a?b?c=/../d", b"/a", b"b?c=/../d", b"/a"),
        (b"/%41%c3%a4", b"/%41%c3%a4", None, b"/A\xc3\xa4"),
        (b"/a%2Fb", b"/a%2Fb", None, b"/a/b"),
        (b"/a%2f%2fb", b"/a%2f%2fb", None, b"/a/b"),
        (b"/a%252fb", b"/a%252fb", None, b"/a%2fb"),
        (b"//a///b//", b"//a///b//", None, b"/a/b/"),
        (b"/a/./b", b"/a/b", None, b"/a/b"),
        (b"/a/../b", b"/b", None, b"/b"),
        (b"/a/b/..", b"/a/", None, b"/a/"),
        (b"/a/.", b"/a/", None, b"/a/"),
        (b"/.", b"/", None, b"/"),
        (b"/a/%2e%2E/b", b"/b", None, b"/b"),
        (b"/a/.%2e/b", b"/b", None, b"/b"),
        (b"/.a/..b/c..", b"/.a/..b/c..", None, b"/.a/..b/c.."),
        (b"/...", b"/...", None, b"/..."),
        (b"/a;b=c", b"/a;b=c", None, b"/a;b=c"),
        (b"/%e0%a0%80%f0%90%80%80", b"/%e0%a0%80%f0%90%80%80", None, "/\u0800\U00010000".encode()),
    ],
)
def test_origin_form(target: bytes, path: bytes, query: bytes | None, normalised: bytes) -> None:
    """What is forwarded keeps escapes and empty segments; what is matched is decoded once; dots vanish in both."""
    assert read_target(target, b"GET") == Target(None, path, query, normalised)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"http://a.test/b?c", Target(b"a.test", b"/b", b"c", b"/b")),
        (b"HTTPS://A.test:1", Target(b"a.test:1", b"/", None, b"/")),
        (b"https://a.test?b", Target(b"a.test", b"/", b"b", b"/")),
        (b"https://a.test/x/../b", Target(b"a.test", b"/b", None, b"/b")),
    ],
)
def test_absolute_form(target: bytes, expected: Target) -> None:
    """An absolute target is read as the authority and the origin form that it stands for."""
    assert read_target(target, b"GET") == expected


def test_asterisk_form() -> None:
    """The asterisk is a target of OPTIONS alone."""
    assert read_target(b"*", b"OPTIONS") == Target(None, b"*", None, b"*")
    with pytest.raises(ClientError):
        read_target(b"*", b"GET")


@pytest.mark.parametrize(
    "target",
    [
        b"/../a", b"/a/../..", b"/%2e%2e/a", b"/..;/a", b"/a/..;x=1/b", b"/.;/a", b"/%2e%2e%3b/a", b"/a//../b", b"/%00",
        b"/%", b"/%4", b"/%gg", b"/a%2f..%2fb", b"/a/..%2fb", b"/a%2f..", b"/..%5ca", b"/a%5c..%5cb", b"/%252e%252e/a",
        b"/a/%252e/b", b"/a b", b"/a\tb", b"/a\x7f", b"/\xe4", b"/#a", b"/a?b#c", b'/"', b"/<", b"/a\\b", b"/^", b"/`",
        b"/{", b"a", b"", b"?a", b"//a@b/", b"https:/a", b"https://", b"https://a b/", b"ws://a.test/",
        b"javascript:1",
    ],
)  # fmt: skip
def test_refused_or_a_plain_path(target: bytes) -> None:
    """What another reader could take for another path is refused; two slashes do not begin an authority."""
    if target == b"//a@b/":
        assert read_target(target, b"GET").path == target
        return
    with pytest.raises(ClientError) as caught:
        read_target(target, b"GET")
    assert caught.value.status == 400


@given(strategies.text(ALPHABET, max_size=16).map(lambda text: b"/" + text.encode()))
def test_what_is_accepted_has_one_meaning(target: bytes) -> None:
    """No accepted path has dot segments, however decoded; what is forwarded is read again as the same."""
    try:
        found = read_target(target, b"GET")
    except ClientError:
        return
    assert found.path.startswith(b"/")
    for reading in _readings(found.path):
        assert not any(segment.partition(b";")[0] in (b".", b"..") for segment in re.split(rb"[/\\]", reading))
    again = read_target(found.path, b"GET")
    assert (again.path, again.normalised_path) == (found.path, found.normalised_path)
    assert b"//" not in found.normalised_path


def _readings(path: bytes) -> list[bytes]:
    """The path as it is, and decoded once and twice."""
    readings = [path]
    for _ in range(2):
        readings.append(re.sub(rb"%([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), readings[-1]))
    return readings


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        (b"A.Test", b"a.test"), (b"a.test.", b"a.test"), (b"a.test:443", b"a.test"), (b"a.test:", b"a.test"),
        (b"127.0.0.1", b"127.0.0.1"), (b"[::1]:8443", b"[::1]:8443"), (b"a_b", b"a_b"), (b"a:08443", b"a:8443"),
        (b"[0:0::0001]", b"[::1]"), (b"a:65535", b"a:65535"),
    ],
)  # fmt: skip
def test_authorities(authority: bytes, expected: bytes) -> None:
    """A host name or an address in its normal form: lower case, no trailing dot, no empty port and not https's own."""
    assert read_authority(authority) == expected


def test_the_longest_authority_is_a_host_of_255_bytes_with_a_port() -> None:
    """One byte more is refused, wherever it is."""
    host = b"a" * 255
    assert read_authority(host + b":12345") == host + b":12345"
    for longer in (host + b"a:12345", host + b"aaaaaaa"):
        with pytest.raises(ClientError):
            read_authority(longer)


@pytest.mark.parametrize(
    "authority",
    [
        b"", b".", b"a..b", b".a", b"a b", b"a,b", b"u@a", b"a/b", b"a?b", b"a#b", b"a%41", b"\xe4", b"a\0", b"a:x",
        b"a:-1", b"a:65536", b"a:1:2", b":1", b"[::1", b"::1", b"[::1]x", b"[a.test]", b"[:::]", b"[127.0.0.1]",
        b"[::12345]", b"a:123456", b"a" * 262,
    ],
)  # fmt: skip
def test_what_is_no_authority(authority: bytes) -> None:
    """Anything else is refused with 400."""
    with pytest.raises(ClientError) as caught:
        read_authority(authority)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "path",
    [
        b"/public/..%252fadmin", b"/public/%252e%252e%252fadmin", b"/public%2f..;/admin", b"/public%5c..;/admin",
        b"/x%2f%2e%2e%3b/admin", b"/public/..;x/admin", b"/public/..%5cadmin", b"/%c0%ae%c0%ae/x", b"/a%00b",
        b"/a/%252e%252e;%0ax", b"/a/%252e%252e%253bx", b"/public/../../admin", b"//public/../admin",
        b"/%c0%afadmin", b"/%c1%9cadmin", b"/%e0%80%afadmin", b"/%E0%9F%BFadmin", b"/%f0%80%80%afadmin",
        b"/%F0%8f%bf%bf",
    ],
)  # fmt: skip
def test_a_path_that_two_readers_resolve_differently_is_refused(path: bytes) -> None:
    """A dot segment that shows only after one more decoding, or only to some servers, is not repaired but refused."""
    with pytest.raises(ClientError):
        read_target(path, b"GET")
