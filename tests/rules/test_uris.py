"""Paths in RFC 3986's normal form, by its own examples and by its laws."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgenode.model.errors import ClientError
from edgenode.model.exchange import Request
from edgenode.proxy.targets import read_target
from edgenode.rules.views.escapes import escaped, form_decoded, normalised, unescaped
from edgenode.rules.views.uris import extension, normal_path, path_readings


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        (b"/a/b/c/./../../g", b"/a/g"),  # section 5.2.4
        (b"/mid/content=5/../6", b"/mid/6"),
        (b"/b/c/./g", b"/b/c/g"),  # section 5.4, resolved against /b/c/d;p
        (b"/b/c/.", b"/b/c/"),
        (b"/b/c/..", b"/b/"),
        (b"/b/c/../..", b"/"),
        (b"/b/c/../../../g", b"/g"),
        (b"/b/c/../../../../g", b"/g"),
        (b"/./g", b"/g"),
        (b"/../g", b"/g"),
        (b"/b/c/g.", b"/b/c/g."),
        (b"/b/c/.g", b"/b/c/.g"),
        (b"/b/c/g..", b"/b/c/g.."),
        (b"/b/c/..g", b"/b/c/..g"),
        (b"/b/c/./../g", b"/b/g"),
        (b"/b/c/./g/.", b"/b/c/g/"),
        (b"/b/c/g;x=1/../y", b"/b/c/y"),
        (b"/a%2fb%3A", b"/a%2Fb%3A"),  # section 6.2.2.1
        (b"/%7Efoo/%41%5a%30%2D%2e%5F", b"/~foo/AZ0-._"),  # sections 6.2.2.2 and 2.3
        (b"/a/%2e%2E/b", b"/b"),
        (b"//a///b//", b"/a/b/"),
        (b"/a//../b", b"/b"),
        (b"/100%/%zz%4", b"/100%/%zz%4"),
        (b"/%c3%a4\xff", b"/%C3%A4\xff"),
        (b"/%2541", b"/%2541"),
        (b"*", b"*"),
        (b"", b""),
        (b"/", b"/"),
    ],
)
def test_the_normal_form_of_a_path(path: bytes, normal: bytes) -> None:
    """Unreserved characters decoded, digits in upper case, dot segments resolved, slashes merged; nothing else."""
    assert normal_path(path) == normal


PATHS = st.lists(
    st.sampled_from([b"/", b"/", b".", b"..", b"a", b"%2e", b"%2f", b"%", b"%4", b"%41", b"%25", b";", b"\xff"]),
    max_size=12,
).map(lambda parts: b"/" + b"".join(parts))  # fmt: skip


@given(PATHS)
def test_the_normal_form_is_one(path: bytes) -> None:
    """Normalising twice is normalising once; no dot segment, no double slash and no unreserved escape is left."""
    assume(not re.search(rb"%(?![0-9A-Fa-f]{2})", path))  # else ``%4%31`` becomes an escape itself; the node refuses it
    found = normal_path(path)
    segments = found.split(b"/")
    assert b"." not in segments
    assert b".." not in segments
    assert b"//" not in found
    assert not any(re.fullmatch(rb"[A-Za-z0-9._~-]", unescaped(each)) for each in re.findall(rb"%[0-9A-F]{2}", found))
    assert normal_path(found) == found


@given(PATHS)
def test_the_normal_form_means_what_is_matched(path: bytes) -> None:
    """Of every path that the node accepts it decodes to the path for matching."""
    try:
        target = read_target(path, b"GET")
    except ClientError:
        assume(False)
    decoded = unescaped(normal_path(target.path))
    while b"//" in decoded:  # an encoded slash is merged in the path for matching
        decoded = decoded.replace(b"//", b"/")
    assert decoded == target.normalised_path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/a.b.C", b"c"), (b"/a.", b""), (b"/.a", b""), (b"/.a.b", b"b"), (b"/a.b/", b""), (b"/a", b""), (b"", b""),
        (b"/..a", b"a"),
    ],
)  # fmt: skip
def test_the_extension_of_a_path(path: bytes, expected: bytes) -> None:
    """What stands behind the last dot of its last segment, if anything stands before it."""
    assert extension(path) == expected


@given(st.binary(max_size=12), st.text("%+&=;/?", max_size=4))
def test_what_is_escaped_comes_back(text: bytes, safe: str) -> None:
    """Escaping is undone by unescaping, and the normal form of what is escaped is itself."""
    written = escaped(text, safe.replace("%", "")).encode()
    assert unescaped(written) == text
    assert normalised(escaped(text).encode()) == escaped(text).encode()


@pytest.mark.parametrize(
    ("text", "decoded"), [(b"a+b%2B", b"a b+"), (b"%", b"%"), (b"%4g%41", b"%4gA"), (b"%u0041", b"%u0041"), (b"", b"")]
)
def test_what_is_malformed_stays_as_it_is(text: bytes, decoded: bytes) -> None:
    """Decoding is done once, and is never an error."""
    assert form_decoded(text) == decoded


_PIECES = st.sampled_from(
    [b"%", b"%%", b"%4", b"%41", b"%3d", b"%3D", b"%25", b"%0a", b"=", b"=41", b"=\n", b"\r\n", b" ", b"_"]
)


@given(st.lists(_PIECES | st.binary(max_size=2), max_size=12).map(b"".join))
def test_each_byte_is_decoded_once(text: bytes) -> None:
    """Nothing but what is well-formed is decoded, whatever stands beside it."""
    assert unescaped(text) == re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode()), text)


@given(PATHS)
def test_the_readings_of_a_path_have_no_dot_segments(path: bytes) -> None:
    """Whoever drops parameters or takes backslashes for slashes is led nowhere else than the decoded path leads."""
    try:
        target = read_target(path.replace(b"\xff", b"%5c"), b"GET")
    except ClientError:
        return
    plain = Request(b"GET", b"https", b"a.test", target.path, target.path, None, target.normalised_path, (), ())
    found = path_readings(plain)
    assert found[0] == target.normalised_path
    for reading in found:
        assert b"//" not in reading
        assert not {b".", b".."} & set(reading.split(b"/"))
