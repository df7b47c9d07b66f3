"""BoringSSL's vectors for revocation lists, 66 of them, through what reads and asks lists here."""

from __future__ import annotations

import base64
import datetime
import pathlib
from collections.abc import Iterator, Mapping

import pytest
from attrs import frozen
from cryptography import x509

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Seconds
from edgenode.tls.revocation import Revocation
from edgenode.tls.revocation_lists import Sorted, read_crls
from edgenode.tls.truststores import LoadedTrustStore, TrustStore

WHEN = datetime.datetime(2017, 3, 9, tzinfo=datetime.UTC)
SECTION = TrustStore(authorities=(), crl_max_age=Seconds(7 * 86400.0))

KNOWN = "a list that says it is indirect, of the certificate's own issuer, is understood here and not there"
OTHERWISE: Mapping[str, tuple[str, str]] = {
    "bad_idp_indirectcrl": ("good", KNOWN),
    "bad_crldp_has_crlissuer": ("good", "so is a distribution point that names it, as in OpenSSL"),
    "invalid_idp_onlycontainsusercerts_v1_leaf": (
        "good", "a certificate without basicConstraints is no authority's (RFC 5280, section 6.3.3 b 2 ii)",
    ),
}  # fmt: skip
"""Where the verdict is another one: which, and why."""


@frozen
class Vector:
    """One of them.

    :ivar name: its file.
    :ivar crl: the list, DER.
    :ivar path: the certificate and those above it, DER.
    """

    name: str
    crl: bytes
    path: tuple[bytes, ...]

    def __str__(self) -> str:
        return self.name

    @property
    def expected(self) -> str:
        """BoringSSL's verdict, in which all that is neither good nor revoked is one."""
        word = self.name.partition("_")[0]
        return word if word in ("good", "revoked") else "unknown"


def vectors() -> Iterator[Vector]:
    """All of them."""
    lines = (pathlib.Path(__file__).parent / "boringssl_crl.txt").read_text().splitlines()
    values = [base64.b64decode(line) for line in lines if line[0] != "#" and ": " not in line]
    for line in lines:
        name, separator, numbers = line.partition(": ")
        if separator and line[0] != "#":
            crl, *path = (values[int(number)] for number in numbers.split())
            yield Vector(name, crl, tuple(path))


VECTORS = tuple(vectors())


def verdict(vector: Vector, folder: pathlib.Path) -> str:
    """Ours: ``good``, ``revoked`` or ``unknown``."""
    (folder / "crl").write_bytes(vector.crl)
    issuers = tuple(map(x509.load_der_x509_certificate, vector.path[1:]))
    try:
        lists = Sorted.of([(folder / "crl", crl) for crl in read_crls(folder / "crl")], issuers)
    except InvalidValue:
        return "unknown"
    if lists.errors:
        return "unknown"
    revocation = Revocation.of([LoadedTrustStore("store", issuers, lists.used, SECTION)])
    assert revocation is not None
    found = [error for error, depth in revocation.faults(vector.path, WHEN) if depth == 0]
    return {(): "good", (23,): "revoked"}.get(tuple(found), "unknown")


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_the_verdict_is_boringssl_s(vector: Vector, tmp_path: pathlib.Path) -> None:
    """With lists of at most a week; but for those that the table names, with the reason."""
    expected, _ = OTHERWISE.get(vector.name, (vector.expected, ""))
    assert verdict(vector, tmp_path) == expected


def test_63_of_66_are_right() -> None:
    """They are all there, and where ours is another verdict a list of the certificate's own issuer says something."""
    assert (len(VECTORS), len(OTHERWISE)) == (66, 3)
    assert {vector.name for vector in VECTORS} > set(OTHERWISE)
