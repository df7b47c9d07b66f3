"""What OpenSSL accepts is served if it says who the client is, and else refused over HTTP: nobody is reset."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import shutil
import subprocess

import pytest
from hypothesis import given, settings, strategies
from OpenSSL import crypto

from edgenode.model.exchange import ClientIdentity
from edgenode.tls.allowlists import SubjectPattern
from edgenode.tls.bounds import is_costly
from edgenode.tls.identity import UNREADABLE, describe
from edgenode.tls.policies import server_context
from edgenode.tls.servergroups import ServerGroup
from edgenode.tls.trust import Trust
from edgenode.tls.verification import judge
from tests.support.certificates import make_authority, now
from tests.support.handshakes import Pair, server_certificate, server_group, trusted
from tests.support.odd_certificates import Odd, loads, odd

ROOT = make_authority("Root")
ALL = list(odd(ROOT))
READ = [each for each in ALL if each.subject is not None]
UNREAD = [each for each in ALL if each.subject is None]
BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a")


def shaken(odd: Odd, group: ServerGroup, version: str = "1.3") -> tuple[Pair, ClientIdentity | None]:
    """A handshake, and whom the trust of its group takes the client for."""
    stores = [trusted(ROOT, tags=["root"])]
    pair = Pair.of(server_context(group, [server_certificate()], stores), odd.client(version))
    return pair, Trust.of(group, stores).identify(pair.server, pair.record, now()) if pair.done else None


@BOTH
@pytest.mark.parametrize("odd", READ, ids=str)
def test_what_says_who_the_client_is_is_served(odd: Odd, version: str) -> None:
    """In every kind of refusal: it is verified, and its identity has all that a plain one has."""
    for refusal in ("400", "handshake"):
        group = server_group("on", mtls_refusal=refusal, required_eku=("clientAuth",))
        pair, client = shaken(odd, group, version)
        assert pair.done, pair.alerts
        assert client is not None
        assert client.verification.verified, client.verification.reason
        assert judge(group, client.verification) is None
        assert (client.subject, client.issuer, client.tags) == (odd.subject, "CN=Root", ("root",))
        assert (client.key_type, client.key_bits, client.signature_algorithm) == ("ECDSA", 256, "ecdsa-sha256")
        assert client.fingerprint_sha256 == hashlib.sha256(odd.der).hexdigest()
        assert client.sans.dns == (() if "twice" in odd.what and "extension" in odd.what else ("a.test",))
        assert client.not_after > now() > client.not_before
        assert client.extended_key_usages == ("1.3.6.1.5.5.7.3.2",)
        assert Trust.of(group, [trusted(ROOT, tags=["root"])]).look_again(client, now())[0] is client


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("odd", READ, ids=str)
def test_its_subject_is_what_openssl_prints(odd: Odd) -> None:
    """With nginx's flags; and an ``allow-subject`` of it lets it in."""
    pem = crypto.dump_certificate(crypto.FILETYPE_PEM, crypto.load_certificate(crypto.FILETYPE_ASN1, odd.der))
    command = ["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253,-esc_msb"]
    printed = subprocess.run(command, input=pem, capture_output=True, check=True).stdout.decode()
    assert printed == f"subject={describe(odd.der).subject}\n"
    if odd.subject:
        assert SubjectPattern.from_text(odd.subject).allows(describe(odd.der).subject)


@BOTH
@pytest.mark.parametrize("mode", ["on", "optional", "optional-no-ca"])
@pytest.mark.parametrize("odd", UNREAD, ids=str)
def test_what_cannot_be_read_is_refused_over_http(odd: Odd, mode: str, version: str) -> None:
    """The handshake completes, the refusal has a reason, and of the identity there is at least the fingerprint; with
    ``optional-no-ca`` it is served as a certificate of which no more is known than that it is not verified."""
    group = server_group(mode)
    pair, client = shaken(odd, group, version)
    assert pair.done
    assert client is not None
    assert (client.subject, client.fingerprint_sha256) == ("", hashlib.sha256(odd.der).hexdigest())
    assert client.verification.errors == (50,)
    again = Trust.of(group, [trusted(ROOT)]).look_again(client, now())[0]
    for verdict in (client.verification, again.verification):
        assert (verdict.presented, verdict.verified) == (True, False)
        refusal = judge(group, verdict)
        if mode == "optional-no-ca":
            assert refusal is None
        else:
            assert refusal is not None
            assert (refusal.status, refusal.reason) == (495, f"client certificate: {UNREADABLE}")


@pytest.mark.parametrize("odd", UNREAD, ids=str)
def test_with_refusal_in_the_handshake_it_gets_an_alert(odd: Odd) -> None:
    """Where the certificate of a verified client cannot be read."""
    pair, _ = shaken(odd, server_group("on", mtls_refusal="handshake"))
    assert (pair.done, pair.alerts, pair.record.reason) == (False, ["internal_error"], UNREADABLE)


def test_the_library_reads_few_of_them() -> None:
    """Or this would test nothing: what is read here is read in spite of it."""
    assert sum(not loads(each.der) for each in READ) > len(READ) / 2


def test_a_strict_store_refuses_what_is_not_written_as_the_rfc_demands() -> None:
    """With a reason that names no library."""
    refused = 0
    for each in READ:
        group = server_group("on")
        context = server_context(group, [server_certificate()], [trusted(ROOT, verification="strict")])
        pair = Pair.of(context, each.client())
        assert pair.done
        assert not pair.verification.verified
        assert "asn1" not in pair.verification.reason
        refused += pair.verification.reason == UNREADABLE
    assert refused > len(READ) / 2


@settings(max_examples=300)
@given(strategies.sampled_from([each.der for each in ALL]), strategies.data())
def test_whatever_stands_in_a_certificate_it_is_read_or_refused(der: bytes, data: strategies.DataObject) -> None:
    """With some bytes changed it is malformed in a known way, or an identity; and its cost is known, or too much."""
    changed = bytearray(der)
    for _ in range(data.draw(strategies.integers(1, 4))):
        changed[data.draw(strategies.integers(0, len(der) - 1))] = data.draw(strategies.integers(0, 255))
    with contextlib.suppress(ValueError):
        client = describe(bytes(changed))
        assert client.subject.isprintable() or not client.subject.isascii()
        assert client.not_before.tzinfo is client.not_after.tzinfo is datetime.UTC
    assert is_costly([bytes(changed), bytes(changed)]) in (True, False)
