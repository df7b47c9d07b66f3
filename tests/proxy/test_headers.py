"""Names of fields: what claims a certificate is known in every spelling, and nothing innocent is taken for it."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies

from edgenode.proxy.headers import claims_certificate

NAMES = (
    "client-cert", "client-cert-chain", "x-forwarded-client-cert", "x-forwarded-tls-client-cert", "x-ssl-client-verify",
    "ssl-client-cert", "ssl-client-s-dn", "ssl-client-verify", "x-client-cert", "x-arr-clientcert",
    "x-amzn-mtls-clientcert",    "wl-proxy-client-cert", "cf-client-cert-sha256",
)  # fmt: skip


@given(strategies.sampled_from(NAMES), strategies.data())
def test_every_separator_is_the_same(name: str, data: strategies.DataObject) -> None:
    """Whatever characters of a token stand between the words, and around them, the name claims the same."""
    separators = strategies.text("-_.!#$%&'*+^`|~", min_size=1, max_size=3)
    spelled = "".join(data.draw(separators) if character == "-" else character for character in name)
    around = strategies.text("-_.", max_size=2)
    assert claims_certificate(f"{data.draw(around)}{spelled}{data.draw(around)}".encode())


@pytest.mark.parametrize(
    "name",
    [b"client", b"client-id", b"cert", b"x-client-version", b"accept", b"x-request-id", b"content-type", b"x-trace"],
)
def test_innocent_names(name: bytes) -> None:
    """Names that merely resemble them are passed on."""
    assert not claims_certificate(name)
