"""``[trust-store]``: whom we believe, and what they have revoked; read and checked when loaded.

The law: nothing enters a trust store but certificate authorities and revocation lists that they signed. What would only
make handshakes fail, such as a list past its date, is a warning: OpenSSL refuses every client then.
"""

from __future__ import annotations

import datetime
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from typing import Annotated, ClassVar

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from edgenode.errors import InvalidValue, Problem
from edgenode.settings import Choice, File, setting
from edgenode.tls.certificates import read, read_certificates, signed_by, validity_fault
from edgenode.tls.identity import distinguished_name
from edgenode.tls.problems import Problems

_PEM_CRL = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


@frozen
class TrustStore:
    """Certificate authorities that are believed, and their revocation lists."""

    kind: ClassVar[str] = "trust-store"

    authorities: tuple[File, ...] = setting("PEM: one or more files of CA certificates.")
    crl: tuple[File, ...] = setting(
        "PEM or DER: revocation lists, one or more a file, each signed by one of the authorities.", ()
    )
    crl_check: Annotated[str, Choice(("leaf", "chain"))] = setting(
        "Whether the leaf alone needs a revocation list or every certificate of its chain; as nginx, the chain.",
        "chain",
    )
    advertise: bool = setting("Whether the names of the authorities are sent to clients in the handshake.", True)


def _fingerprints(crls: Iterable[x509.CertificateRevocationList]) -> tuple[bytes, ...]:
    return tuple(crl.fingerprint(hashes.SHA256()) for crl in crls)


@frozen(slots=False)
class LoadedTrustStore:
    """A trust store that was read and found in order.

    :ivar name: the name of its section.
    :ivar authorities: the certificates believed, each once.
    :ivar crls: the revocation lists.
    :ivar crl_check: ``leaf`` or ``chain``.
    :ivar advertise: whether the names of the authorities are sent to clients.
    """

    name: str = field(eq=False)
    authorities: tuple[x509.Certificate, ...]
    crls: tuple[x509.CertificateRevocationList, ...] = field(default=(), eq=_fingerprints)
    crl_check: str = "chain"
    advertise: bool = True

    @cached_property
    def revoked(self) -> frozenset[tuple[bytes, int]]:
        """Every revoked certificate as issuer (DER) and serial number."""
        return frozenset((crl.issuer.public_bytes(), entry.serial_number) for crl in self.crls for entry in crl)

    @cached_property
    def next_update(self) -> datetime.datetime | None:
        """When the first of the revocation lists is out of date, UTC; ``None`` if there is none or none ever is."""
        return min((crl.next_update_utc for crl in self.crls if crl.next_update_utc is not None), default=None)


def load(
    name: str, trust_store: TrustStore, now: datetime.datetime | None = None
) -> tuple[LoadedTrustStore | None, tuple[Problem, ...]]:
    """Read a trust store's files and check them.

    :param name: the name of its section, for the problems.
    :param now: the time to judge validity by, UTC; the clock's if absent.
    :return: the trust store, ``None`` if there is any error, and every problem found, warnings too.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    problems = Problems(f"{trust_store.kind} {name}")
    authorities: dict[x509.Certificate, None] = {}
    for path in trust_store.authorities:
        certificates = problems.attempt("authorities", partial(read_certificates, path)) or ()
        problems.errors("authorities", _authority_faults(path, certificates))
        authorities.update(dict.fromkeys(certificates))
    for sentence in _doubtful_authorities(tuple(authorities), now):
        problems.warn("authorities", sentence)
    if authorities and all(validity_fault(authority, now) for authority in authorities):
        problems.error("authorities", "none of the authorities is valid now")
    crls: list[x509.CertificateRevocationList] = []
    for path in trust_store.crl:
        lists = problems.attempt("crl", partial(read_crls, path)) or ()
        problems.errors("crl", _crl_faults(path, lists, tuple(authorities)))
        for sentence in _stale(path, lists, now):
            problems.warn("crl", sentence)
        crls += lists
    if crls and not problems.fatal:
        for sentence in _uncovered(tuple(authorities), crls, trust_store.crl_check):
            problems.warn("crl", sentence)
    if problems.fatal or not authorities:
        return None, problems.found
    loaded = LoadedTrustStore(name, tuple(authorities), tuple(crls), trust_store.crl_check, trust_store.advertise)
    return loaded, problems.found


def read_crls(path: pathlib.Path) -> tuple[x509.CertificateRevocationList, ...]:
    """All revocation lists of a file: one in DER, or any number in PEM.

    :raises InvalidValue: naming the file, if it cannot be read or holds no revocation list.
    """
    data = read(path)
    try:
        if data.startswith(b"\x30"):
            return (x509.load_der_x509_crl(data),)
        crls = tuple(map(x509.load_pem_x509_crl, _PEM_CRL.findall(data)))
    except ValueError as error:
        raise InvalidValue(f"{path} holds a malformed revocation list: {error}") from error
    if len(crls) != data.count(b"-----BEGIN X509 CRL-----"):
        raise InvalidValue(f"{path} holds a revocation list without an end")
    if not crls:
        raise InvalidValue(f"{path} holds no revocation list")
    return crls


def _authority_faults(path: pathlib.Path, certificates: Sequence[x509.Certificate]) -> Iterator[str]:
    for certificate in certificates:
        subject = distinguished_name(certificate.subject)
        try:
            extensions = certificate.extensions
            constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
        except x509.ExtensionNotFound:
            yield f"{path}: {subject} is no certificate authority: it has no basicConstraints"
            continue
        except ValueError as error:
            yield f"{path}: the extensions of {subject} cannot be read: {error}"
            continue
        if not constraints.ca:
            yield f"{path}: {subject} is no certificate authority: its basicConstraints say CA:FALSE"
        usage = next((extension.value for extension in extensions if isinstance(extension.value, x509.KeyUsage)), None)
        if usage is not None and not usage.key_cert_sign:
            yield f"{path}: {subject} may not sign certificates: its keyUsage lacks keyCertSign"


def _doubtful_authorities(authorities: Sequence[x509.Certificate], now: datetime.datetime) -> Iterator[str]:
    for authority in authorities:
        fault = validity_fault(authority, now)
        if fault:
            yield f"{fault}; nothing that it issued is accepted"
        if not any(signed_by(authority, other) for other in authorities):
            # X509_V_FLAG_PARTIAL_CHAIN stays off, so a chain must end in a self-signed authority, as in nginx.
            yield (
                f"the issuer of {distinguished_name(authority.subject)} is not among the authorities: "
                f"{distinguished_name(authority.issuer)}; no chain through it can be verified"
            )


def _crl_faults(
    path: pathlib.Path, crls: Sequence[x509.CertificateRevocationList], authorities: Sequence[x509.Certificate]
) -> Iterator[str]:
    for crl in crls:
        issuer = distinguished_name(crl.issuer)
        namesakes = [authority for authority in authorities if authority.subject == crl.issuer]
        signers = [authority for authority in namesakes if _signed(crl, authority)]
        if not namesakes:
            yield f"{path}: the revocation list of {issuer} is not issued by any of the authorities"
        elif not signers:
            yield f"{path}: the revocation list of {issuer} is not signed with that authority's key"
        elif not any(map(_may_sign_crls, signers)):
            yield f"{path}: {issuer} may not sign revocation lists: its keyUsage lacks cRLSign"


def _signed(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except Exception:  # an authority's key of a kind that signs nothing, or an unknown algorithm: not its signature
        return False


def _may_sign_crls(authority: x509.Certificate) -> bool:
    try:
        return authority.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _stale(path: pathlib.Path, crls: Sequence[x509.CertificateRevocationList], now: datetime.datetime) -> Iterator[str]:
    for crl in crls:
        issuer = distinguished_name(crl.issuer)
        if crl.next_update_utc is not None and crl.next_update_utc < now:
            date = f"{crl.next_update_utc:%Y-%m-%d %H:%M} UTC"
            yield f"{path}: the revocation list of {issuer} is out of date since {date}; every client is refused"
        if crl.last_update_utc > now:
            date = f"{crl.last_update_utc:%Y-%m-%d %H:%M} UTC"
            yield f"{path}: the revocation list of {issuer} is not valid before {date}; every client is refused"


def _uncovered(
    authorities: Sequence[x509.Certificate], crls: Sequence[x509.CertificateRevocationList], crl_check: str
) -> Iterator[str]:
    covered = {crl.issuer for crl in crls}
    for authority in authorities:
        issues_authorities = any(other != authority and signed_by(other, authority) for other in authorities)
        if authority.subject in covered or (crl_check == "leaf" and issues_authorities):
            continue
        yield f"{distinguished_name(authority.subject)} has no revocation list; whatever it issued is refused"
