"""NIST's test suite for path validation, PKITS, through what judges clients: no certificate is accepted wrongly."""

from __future__ import annotations

import datetime
import functools
import pathlib
from collections.abc import Iterator, Mapping

import cryptography_vectors
import pytest
from attrs import evolve, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12
from OpenSSL import crypto

from edgenode.model.exchange import NO_CERTIFICATE, Verification
from edgenode.model.settings import File
from edgenode.tls.identity import identity_of
from edgenode.tls.policies import server_context
from edgenode.tls.trust import Trust
from edgenode.tls.truststores import LoadedTrustStore, TrustStore, load
from edgenode.tls.verification import judge
from tests.support.handshakes import Pair, client, listed, server_certificate, server_group

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")

FOLDER = pathlib.Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"
WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
"""PKITS ends with the year 2030."""

DSA = "nothing here can read a DSA key whose parameters are those of its issuer"
WEAK = "a DSA key of 1024 bits is below the security level of a handshake, and TLS 1.3 knows no DSA at all"
SENT = "whoever signed its list comes with the client, and OpenSSL shows that only after a handshake"

REFUSED_LATER: Mapping[str, str] = {"4.1.5": DSA}
"""Valid certificates that are refused when a client is looked at again, and why."""

REFUSED_OVER_HTTP: Mapping[str, str] = {**REFUSED_LATER, "4.1.4": WEAK}
"""Valid certificates that are refused over HTTP, after a handshake."""

REFUSED: Mapping[str, str] = {**REFUSED_OVER_HTTP} | dict.fromkeys((
    "4.4.19", "4.5.4", "4.5.6", "4.14.24", "4.14.25", "4.14.28", "4.14.29", "4.14.30", "4.14.33",
), SENT)  # fmt: skip
"""Valid certificates that are refused within a handshake, if nothing but the root is among the authorities."""

KEYLESS = {"4.1.5"}
"""Their end entities' keys cannot be read here, so nobody can shake hands with them."""


@frozen
class Case:
    """One test of PKITS.

    :ivar number: its section.
    :ivar valid: the verdict that NIST demands.
    :ivar leaf: the end entity.
    :ivar sent: what comes with it.
    :ivar crls: the revocation lists.
    """

    number: str
    valid: bool
    leaf: str
    sent: tuple[str, ...]
    crls: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.number}-{self.leaf}"


def cases() -> Iterator[Case]:
    """All of them."""
    for line in (pathlib.Path(__file__).parent / "pkits.txt").read_text().splitlines():
        if not line.startswith("#"):
            head, sent, crls = line.split(":")
            number, verdict, leaf = head.split()
            yield Case(number, verdict == "valid", leaf, tuple(sent.split()), tuple(crls.split()))


CASES = tuple(cases())


def certificate(name: str) -> x509.Certificate:
    """A certificate of PKITS."""
    return x509.load_der_x509_certificate((FOLDER / "certs" / f"{name}.crt").read_bytes())


def crl(name: str) -> x509.CertificateRevocationList:
    """A revocation list of PKITS."""
    return x509.load_der_x509_crl((FOLDER / "crls" / f"{name}.crl").read_bytes())


@functools.cache
def key(name: str) -> object:
    """The private key of a certificate; to decrypt it takes longer than all the rest."""
    return pkcs12.load_key_and_certificates((FOLDER / "pkcs12" / f"{name}.p12").read_bytes(), b"password")[0]


def trust_store(case: Case) -> LoadedTrustStore:
    """The one authority of PKITS and the lists of a case."""
    return LoadedTrustStore(
        "pkits", (certificate("TrustAnchorRootCertificate"),), tuple(map(listed, map(crl, case.crls)))
    )


GROUP = server_group(verify_depth=10, minimum_rsa_bits=1024)


def shake(case: Case, version: str, store: LoadedTrustStore) -> Pair:
    """A handshake, as of :data:`WHEN`."""
    context = server_context(GROUP, [server_certificate()], [store])
    opened = context.get_cert_store()
    assert opened is not None
    opened.set_time(WHEN)
    sender = client(version=version)
    sender.set_cipher_list(b"DEFAULT:@SECLEVEL=0")  # or it would not present what is too weak
    sender.use_certificate(certificate(case.leaf))
    sender.use_privatekey(key(case.leaf))  # type: ignore[arg-type]
    for name in case.sent:
        sender.add_extra_chain_cert(certificate(name))
    return Pair.of(context, sender)


def over_http(pair: Pair, store: LoadedTrustStore) -> Verification:
    """The verdict after a handshake."""
    identity = Trust.of(GROUP, [store]).identify(pair.server, pair.record, WHEN)
    return NO_CERTIFICATE if identity is None else identity.verification


def looked_at_again(case: Case) -> Verification:
    """The verdict on a client who was let in when there was nothing to say against its chain."""
    der, *sent = ((FOLDER / "certs" / f"{name}.crt").read_bytes() for name in (case.leaf, *case.sent))
    verdict = Verification(presented=True, verified=True)
    try:
        identity = identity_of(crypto.load_certificate(crypto.FILETYPE_ASN1, der), verdict)
    except ValueError:  # which is a refusal, in identify()
        return Verification(presented=True)
    identity = evolve(identity, chain_sent=tuple(sent), chain_verified=tuple(sent))
    return Trust((trust_store(case),), verify_depth=10).look_again(identity, WHEN)[0].verification


def test_all_cases_are_there() -> None:
    """PKITS has 161 tests without policies, 64 of them valid, in eleven sections."""
    assert len(CASES) == 161
    assert len({case.number for case in CASES}) == 161
    assert {case.number.rpartition(".")[0] for case in CASES} == {
        *(f"4.{section}" for section in (1, 2, 3, 4, 5, 6, 7, 13, 14, 15, 16))
    }
    assert all(case.valid is case.leaf.startswith("Valid") for case in CASES)


def is_wrong(case: Case, verified: bool) -> bool:
    """Whether a verdict is not NIST's. To let in whom NIST refuses is never right."""
    assert case.valid or not verified, str(case)
    return verified is not case.valid


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_in_the_handshake(version: str) -> None:
    """150 of 160 are right within the handshake, and 159 over HTTP; the others are refused, and no other."""
    refused, refused_over_http = set(KEYLESS), set(KEYLESS)
    for case in CASES:
        if case.number not in KEYLESS:
            pair = shake(case, version, trust_store(case))
            assert pair.verification.verified is (judge(GROUP, pair.verification) is None)
            refused |= {case.number} if is_wrong(case, pair.verification.verified) else set()
            verdict = over_http(pair, trust_store(case))
            refused_over_http |= {case.number} if is_wrong(case, verdict.verified) else set()
    assert refused == set(REFUSED)
    assert refused_over_http == set(REFUSED_OVER_HTTP)
    assert [len(CASES) - len(each) for each in (refused, refused_over_http)] == [150, 159]


def test_on_an_open_connection() -> None:
    """160 of 161 are right when a client is looked at again, and the other one is refused."""
    refused = {case.number for case in CASES if is_wrong(case, looked_at_again(case).verified)}
    assert refused == set(REFUSED_LATER)


@pytest.mark.parametrize("everyone", [False, True])
def test_from_files(everyone: bool, tmp_path: pathlib.Path) -> None:
    """The same is loaded from files: with the root alone as authority, or with all who issue certificates or lists.

    Of these some have no basicConstraints. One list that cannot be used, beside another, is no error.
    """
    refused = set[str](KEYLESS)
    for case in (each for each in CASES if each.number not in KEYLESS):
        authorities = []
        for number, name in enumerate(["TrustAnchorRootCertificate", *(case.sent if everyone else ())]):
            authorities.append(File(tmp_path / f"{number}.pem"))
            authorities[-1].write_bytes(certificate(name).public_bytes(Encoding.PEM))
        crls = tuple(File(FOLDER / "crls" / f"{name}.crl") for name in case.crls)
        store, problems = load("pkits", TrustStore(authorities=tuple(authorities), crl=crls), WHEN)
        assert all(problem.sentence.isprintable() for problem in problems)
        verified = store is not None and over_http(shake(case, "1.3", store), store).verified
        refused |= {case.number} if is_wrong(case, verified) else set()
    assert refused == set(REFUSED_OVER_HTTP)


def test_without_the_lists_what_they_revoke_would_pass() -> None:
    """The revoked certificates are refused for the sake of the lists, and not for something else."""
    revoked = [case for case in CASES if looked_at_again(case).revoked]
    assert len(revoked) > 15
    assert all(looked_at_again(evolve(case, crls=())).verified for case in revoked)
