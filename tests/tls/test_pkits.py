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
from cryptography.hazmat.primitives.serialization import pkcs12
from OpenSSL import crypto

from edgenode.model.exchange import Verification
from edgenode.tls.identity import identity_of
from edgenode.tls.policies import server_context
from edgenode.tls.trust import Trust
from edgenode.tls.truststores import LoadedTrustStore
from edgenode.tls.verification import judge
from tests.support.handshakes import Pair, client, server_certificate, server_group

pytestmark = [
    pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive"),
    # pyOpenSSL cannot hand over what OpenSSL asks about another key's revocation list, and answers no; see REFUSED.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FOLDER = pathlib.Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"
WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
"""PKITS ends with the year 2030."""

INDIRECT = "OpenSSL's store finds a list by the name of the certificate's issuer alone"
DSA = "nothing here can read a DSA key whose parameters are those of its issuer"
OTHER_KEY = "pyOpenSSL's callback knows nothing of the path of a list that another key signed"
WEAK = "a DSA key of 1024 bits is below the security level of a handshake, and TLS 1.3 knows no DSA at all"

REFUSED_LATER: Mapping[str, str] = {
    "4.1.5": DSA, "4.14.24": INDIRECT, "4.14.25": INDIRECT, "4.14.28": INDIRECT, "4.14.29": INDIRECT,
    "4.14.30": INDIRECT, "4.14.33": INDIRECT,
}  # fmt: skip
"""Valid certificates that are refused when a client is looked at again, and why."""

REFUSED: Mapping[str, str] = {
    **REFUSED_LATER, "4.1.4": WEAK, "4.4.19": OTHER_KEY, "4.5.4": OTHER_KEY, "4.5.6": OTHER_KEY,
}  # fmt: skip
"""Valid certificates that are refused in a handshake."""

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
    return LoadedTrustStore("pkits", (certificate("TrustAnchorRootCertificate"),), tuple(map(crl, case.crls)))


GROUP = server_group(verify_depth=10, minimum_rsa_bits=1024)


def shaken(case: Case, version: str) -> Verification:
    """The verdict of a handshake, as of :data:`WHEN`."""
    context = server_context(GROUP, [server_certificate()], [trust_store(case)])
    store = context.get_cert_store()
    assert store is not None
    store.set_time(WHEN)
    sender = client(version=version)
    sender.set_cipher_list(b"DEFAULT:@SECLEVEL=0")  # or it would not present what is too weak
    sender.use_certificate(certificate(case.leaf))
    sender.use_privatekey(key(case.leaf))  # type: ignore[arg-type]
    for name in case.sent:
        sender.add_extra_chain_cert(certificate(name))
    return Pair.of(context, sender).verification


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


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_in_the_handshake(version: str) -> None:
    """Every certificate that PKITS calls invalid is refused; of the valid ones those that the table names, too."""
    accepted: list[Case] = []
    refused: list[Case] = []
    for case in CASES:
        if case.number not in KEYLESS:
            verdict = shaken(case, version)
            assert verdict.verified is (judge(GROUP, verdict) is None)
            (accepted if verdict.verified else refused).append(case)
    assert [str(case) for case in accepted if not case.valid] == []
    assert {case.number for case in refused if case.valid} | KEYLESS == set(REFUSED)
    assert len(CASES) - len(REFUSED) == 150


def test_on_an_open_connection() -> None:
    """154 of 161 are right when a client is looked at again, and the seven others are refused."""
    accepted = [case for case in CASES if looked_at_again(case).verified]
    assert [str(case) for case in accepted if not case.valid] == []
    assert {case.number for case in CASES if case.valid} - {case.number for case in accepted} == set(REFUSED_LATER)
    assert len(CASES) - len(REFUSED_LATER) == 154


def test_without_the_lists_what_they_revoke_would_pass() -> None:
    """The revoked certificates are refused for the sake of the lists, and not for something else."""
    revoked = [case for case in CASES if looked_at_again(case).revoked]
    assert len(revoked) > 15
    assert all(looked_at_again(evolve(case, crls=())).verified for case in revoked)
