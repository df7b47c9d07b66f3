"""The origin's name is checked by us, and any doubt is a refusal."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier
from OpenSSL import SSL

from edgenode.model.errors import OriginError
from edgenode.tls import hostnames
from edgenode.tls.hostnames import verify_origin
from edgenode.tls.policies import client_context
from tests.support.certificates import DAY, SERVER, Issued, make, make_authority, now
from tests.support.handshakes import Pair, server, trusted


@pytest.fixture(scope="module")
def root() -> Issued:
    """The authority that origins are verified by."""
    return make_authority("Root")


def connect(root: Issued, origin: Issued) -> Pair:
    """Our handshake with an origin, on a context that verifies its chain."""
    return Pair.of(server(origin), client_context(trust_store=trusted(root)))


def refused(connection: SSL.Connection, name: str) -> bool:
    """Whether the name check refuses, in the only way it may: an :class:`OriginError`."""
    try:
        verify_origin(connection, name)
    except OriginError as error:
        return bool(error.reason) and (error.status, error.kind, error.sent) == (502, "certificate", False)
    return False


ODD_TEXTS = ("DNS:*", "DNS:10.0.0.5", "DNS:", "DNS:a..test", "DNS:*.*.test", "DNS:12")


def reason(connection: SSL.Connection, name: str) -> str:
    """Why the name check refuses; it has to."""
    with pytest.raises(OriginError) as caught:
        verify_origin(connection, name)
    return caught.value.reason


@pytest.mark.parametrize(("sans", "name", "right"), [
    (["DNS:origin.test"], "origin.test", True),
    (["DNS:origin.test"], "ORIGIN.test", True),
    (["DNS:a.test", "DNS:origin.test"], "origin.test", True),
    (["DNS:origin.test"], "other.test", False),
    (["DNS:origin.test"], "sub.origin.test", False),
    (["DNS:*.origin.test"], "sub.origin.test", True),
    (["DNS:*.origin.test"], "origin.test", False),
    (["DNS:*.origin.test"], "a.b.origin.test", False),
    ([], "origin.test", False),
    ([], "other.test", False),
    ([], "192.0.2.1", False),
    (["DNS:*.test"], "origin.test", False),
    (["DNS:*"], "origin.test", False),
    (["DNS:or*gin.origin.test"], "origin.origin.test", False),
    (["DNS:*.*.test"], "a.b.test", False),
    (["DNS:origin.test", "DNS:*.test"], "other.test", False),
    (["DNS:origin.test", "DNS:*.test"], "origin.test", True),
    ([*ODD_TEXTS, "DNS:origin.test"], "origin.test", True),
    ([*ODD_TEXTS, "DNS:origin.test"], "12", False),
    (["DNS:*", "DNS:10.0.0.5", "DNS:", "IP:192.0.2.1"], "192.0.2.1", True),
    (["DNS:*", "DNS:10.0.0.5", "DNS:", "IP:192.0.2.1"], "10.0.0.5", False),
    (["DNS: origin.test"], "origin.test", False),
    (["DNS:origin.test\x00"], "origin.test", False),
    (["DNS:origin.test\x00.evil.test", "DNS:a.test"], "origin.test", False),
    (["IP:192.0.2.1"], "192.0.2.1", True),
    (["IP:192.0.2.1"], "192.0.2.2", False),
    (["DNS:192.0.2.1"], "192.0.2.1", False),
    (["IP:192.0.2.1"], "origin.test", False),
    (["IP:2001:db8::1"], "2001:db8::1", True),
    (["IP:2001:db8::1"], "2001:0db8:0:0::1", True),
    (["IP:2001:db8::1"], "2001:db8::2", False),
    (["URI:https://origin.test"], "origin.test", False),
    (["DNS:origin.test"], "", False),
    (["DNS:origin.test"], "origin.test\x00", False),
    (["DNS:origin.test"], "örigin.test", False),
])  # fmt: skip
def test_the_name_must_be_in_the_san(root: Issued, sans: Sequence[str], name: str, right: bool) -> None:
    """Right and wrong names, no SAN, malformed wildcards, IPv4 and IPv6: only what the SAN names passes."""
    pair = connect(root, root.issue("origin.test", eku=[SERVER], sans=sans))
    assert pair.done
    assert refused(pair.client, name) is not right


def test_a_certificate_without_san_is_refused_whatever_its_cn(root: Issued) -> None:
    """The hole in Twisted's check: a leaf with the right CN, no SAN and no EKU, as private CAs issue them."""
    pair = connect(root, root.issue("origin.test", eku=None))
    assert pair.done, "the chain alone is fine"
    assert reason(pair.client, "origin.test") == "the origin's certificate does not fit: it names no host"


def test_a_san_that_cannot_be_parsed_is_refused(root: Issued) -> None:
    """A subject alternative name of broken DER refuses, though it raises nothing service-identity knows."""
    broken = x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.17"), b"\x30\x03\x82\x7f")
    pair = connect(root, root.issue("origin.test", eku=[SERVER], extensions=[broken]))
    assert not pair.done or refused(pair.client, "origin.test")


@pytest.mark.parametrize("failure", [ValueError, RuntimeError, MemoryError, RecursionError])
def test_any_exception_is_a_refusal(root: Issued, monkeypatch: pytest.MonkeyPatch, failure: type[Exception]) -> None:
    """Whatever the libraries raise, the origin is refused."""

    def fail(*_: object) -> None:
        raise failure

    pair = connect(root, root.issue("origin.test", eku=[SERVER], sans=["DNS:origin.test"]))
    for library in ("DNS_ID", "_names"):
        with monkeypatch.context() as patched:
            patched.setattr(hostnames, library, fail)
            assert refused(pair.client, "origin.test")


ODD = {
    "an address of five bytes": b"\x87\x05\x0a\x00\x00\x05\x01",
    "an address of no bytes": b"\x87\x00",
    "a name that is no ASCII": b"\x82\x03\xfc\x62\x65",
    "a name with a zero": b"\x82\x05a\x00b.c",
    "a mailbox that is no ASCII": b"\x81\x02\xff\xfe",
    "a URI that is none": b"\x86\x01\xff",
    "another name of an unknown kind": b"\xa0\x08\x06\x02\x2a\x03\xa0\x02\x05\x00",
    "an X.400 address": b"\xa3\x02\x30\x00",
    "a name of an EDI party": b"\xa5\x04\xa1\x02\x0c\x00",
    "a registered ID": b"\x88\x03\x2a\x03\x04",
}
"""By what they are, DER: names that a library may choke on."""


def with_names(root: Issued, names: bytes) -> Pair:
    """A handshake with an origin whose subject alternative names are these bytes."""
    value = b"\x30" + bytes((len(names),)) + names
    extension = x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.17"), value)
    return connect(root, root.issue("origin.test", eku=[SERVER], extensions=[extension]))


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("first", [True, False])
def test_an_odd_name_spoils_no_other(root: Issued, odd: str, first: bool) -> None:
    """The name that matches may stand before it or behind it; and the odd one matches nothing."""
    good = b"\x82\x0borigin.test\x87\x04\xc0\x00\x02\x01"
    pair = with_names(root, ODD[odd] + good if first else good + ODD[odd])
    assert pair.done
    verify_origin(pair.client, "origin.test")
    verify_origin(pair.client, "192.0.2.1")
    for name in ("other.test", "10.0.0.5", "b.c", "192.0.2.2"):
        assert refused(pair.client, name)


@pytest.mark.parametrize("names", [b"\x82\x0corigin.test", b"\x82\x81", b"\x82", b"\x82\x0borigin.test\x9f\x01\x00"])
def test_names_that_do_not_end_are_none(root: Issued, names: bytes) -> None:
    """A broken structure is no odd name: nobody knows what else stands in it."""
    pair = with_names(root, names)
    assert not pair.done or refused(pair.client, "origin.test")


@pytest.mark.parametrize(("sans", "name", "said"), [
    (["DNS:a.internal", "DNS:b.internal"], "app.internal", "it names a.internal, b.internal; not app.internal"),
    (["DNS:a.internal", "IP:10.0.0.5", "IP:2001:db8::1"], "b", "it names a.internal, 10.0.0.5, 2001:db8::1; not b"),
    (["DNS:10.0.0.5"], "10.0.0.5", "it names 10.0.0.5 as a DNS name; not 10.0.0.5"),
    (["DNS:", "DNS:*"], "app.internal", "it names an empty name, *; not app.internal"),
    (["DNS:a\nb"], "app.internal", "it names a\\nb; not app.internal"),
    ([f"DNS:{number}.test" for number in range(10)], "a.test",
        "it names 0.test, 1.test, 2.test, 3.test, 4.test, 5.test, 6.test, 7.test, 2 more; not a.test"),
    ([f"DNS:{'n' * 200}.test"], "a.test", f"it names {'n' * 100}; not a.test"),
    (["URI:https://app.internal", "email:a@app.internal"], "app.internal", "it names no host"),
    ([], "app.internal", "it names no host"),
])  # fmt: skip
def test_a_refusal_says_whom_the_certificate_names(root: Issued, sans: Sequence[str], name: str, said: str) -> None:
    """And whom it does not; without a line break of a stranger, and no novel."""
    pair = connect(root, root.issue("app.internal", eku=[SERVER], sans=sans))
    assert reason(pair.client, name) == f"the origin's certificate does not fit: {said}"


def test_an_untrusted_or_expired_origin_does_not_get_as_far(root: Issued) -> None:
    """With the right name but the wrong authority, or out of date, the handshake itself fails."""
    for origin in (
        make_authority("Other").issue("origin.test", eku=[SERVER], sans=["DNS:origin.test"]),
        make("origin.test", eku=[SERVER], sans=["DNS:origin.test"]),
        root.issue("x", eku=[SERVER], sans=["DNS:origin.test"], not_before=now() - 9 * DAY, not_after=now() - DAY),
    ):
        pair = connect(root, origin)
        assert isinstance(pair.client_error, SSL.Error)
        assert pair.alerts == []


def test_before_the_handshake_there_is_no_certificate_and_so_a_refusal() -> None:
    """Asked too early, the check refuses."""
    assert refused(SSL.Connection(client_context(), None), "origin.test")
