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
    with pytest.raises(OriginError) as caught:
        verify_origin(pair.client, "origin.test")
    assert "CertificateError" in caught.value.reason


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

    monkeypatch.setattr(hostnames, "verify_certificate_hostname", fail)
    assert refused(
        connect(root, root.issue("origin.test", eku=[SERVER], sans=["DNS:origin.test"])).client, "origin.test"
    )


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
