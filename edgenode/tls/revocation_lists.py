"""Revocation lists (CRL, RFC 5280, section 5) as files: read, and checked before they enter a trust store.

The law: no list enters a trust store that says more than will be evaluated. One that none of the authorities signed, or
that has a critical extension which OpenSSL does not understand, is an error; and what OpenSSL understands but does not
find is listed by :func:`revoked_elsewhere`.
"""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID
from OpenSSL._util import ffi, lib

from edgenode.model.errors import InvalidValue
from edgenode.tls import pem
from edgenode.tls.certificates import extension, read, signed_by
from edgenode.tls.names import distinguished_name
from edgenode.tls.problems import in_words

_UNDERSTOOD = frozenset({
    ExtensionOID.ISSUING_DISTRIBUTION_POINT, ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.DELTA_CRL_INDICATOR,
})  # fmt: skip
"""The extensions of a list that may be critical: those for which OpenSSL does not report error 36."""

_UNDERSTOOD_OF_ENTRIES = frozenset({CRLEntryExtensionOID.CERTIFICATE_ISSUER})

_MARKS = (b"\x01\x01\xff", b"\x06\x03\x55\x1d\x1d", b"\x06\x03\x55\x1d\x1b")
"""DER without which no extension is critical, no entry names an issuer, and no list is a delta list. Most lists have
none of it, and reading a million entries takes seconds."""

RevokedSince = Mapping[tuple[str, int], datetime.datetime]
"""By issuer, see :func:`issuer_key`, and serial number: since when a certificate is revoked."""


def read_crls(path: pathlib.Path) -> tuple[x509.CertificateRevocationList, ...]:
    """All revocation lists of a file: one in DER, or any number in PEM.

    :raises InvalidValue: naming the file, if it cannot be read or holds no revocation list.
    """
    data = read(path)
    if data.startswith(b"\x30"):
        if len(data) > pem.der_length(data):
            raise InvalidValue(f"{path} goes on behind its revocation list: in DER a file holds one, in PEM several")
        return (_crl(f"{path}", lambda: data),)
    found = pem.blocks(path, data, pem.REVOCATION_LIST)
    if not found:
        raise InvalidValue(f"{path} holds no revocation list")
    return tuple(_crl(f"{path}, line {block.line}", block.read) for block in found)


def _crl(where: str, read_der: Callable[[], bytes]) -> x509.CertificateRevocationList:
    try:
        return x509.load_der_x509_crl(read_der())
    except Exception as error:
        raise InvalidValue(f"{where}: a malformed revocation list: {in_words(error)}") from error


def parsed(crl: x509.CertificateRevocationList) -> Any:
    """A list as OpenSSL's ``X509_CRL``.

    ``X509Store.add_crl`` reads a list anew each time, which takes 13 ms if it has 20,000 entries.

    :raises ValueError: if OpenSSL cannot read it.
    """
    der = crl.public_bytes(Encoding.DER)
    bio = ffi.gc(lib.BIO_new_mem_buf(ffi.from_buffer(der), len(der)), lib.BIO_free)
    found = lib.d2i_X509_CRL_bio(bio, ffi.NULL)
    if found == ffi.NULL:
        raise ValueError("OpenSSL cannot read a revocation list")
    return ffi.gc(found, lib.X509_CRL_free)


def faults(
    path: pathlib.Path, crls: Iterable[x509.CertificateRevocationList], authorities: Sequence[x509.Certificate]
) -> Iterator[str]:
    """Why lists must not enter a trust store.

    :param path: their file, for the sentences.
    :param authorities: those of the trust store.
    """
    for crl in crls:
        if fault := _unreadable(crl) or _unauthorised(crl, authorities):
            yield f"{path}: {fault}"


def _unreadable(crl: x509.CertificateRevocationList) -> str:
    issuer = distinguished_name(crl.issuer)
    try:
        strange = [each.oid for each in crl.extensions if each.critical and each.oid not in _UNDERSTOOD]
        parsed(crl)
        if not _is_plain(crl):
            strange += [
                each.oid
                for entry in crl
                for each in entry.extensions
                if each.critical and each.oid not in _UNDERSTOOD_OF_ENTRIES
            ]
    except Exception as error:
        return f"the revocation list of {issuer} cannot be read: {in_words(error)}"
    if strange:
        dotted: str = strange[0].dotted_string
        return f"the revocation list of {issuer} has a critical extension that is not understood: {dotted}"
    return ""


def _unauthorised(crl: x509.CertificateRevocationList, authorities: Sequence[x509.Certificate]) -> str:
    issuer = distinguished_name(crl.issuer)
    namesakes = [authority for authority in authorities if authority.subject == crl.issuer]
    signers = [authority for authority in namesakes if _signed(crl, authority)]
    if not namesakes:
        return f"the revocation list of {issuer} is not issued by any of the authorities"
    if not signers:
        return f"the revocation list of {issuer} is not signed with that authority's key"
    if not any(map(_may_sign_crls, signers)):
        return f"{issuer} may not sign revocation lists: its keyUsage lacks cRLSign"
    return ""


def _signed(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except Exception:  # a key of a kind that signs nothing, or an unknown algorithm: not its signature
        return False


def _may_sign_crls(authority: x509.Certificate) -> bool:
    usage = extension(authority, x509.KeyUsage)
    return usage is None or usage.crl_sign


_NEVER = datetime.datetime.max.replace(tzinfo=datetime.UTC)

_STALE = {
    "refuse": "whatever that authority issued is refused",
    "accept": "who it revokes stays revoked, and nobody knows who has been revoked since",
}
"""By ``crl-stale`` what follows when a list is out of date."""


def deciding(crls: Iterable[x509.CertificateRevocationList], now: datetime.datetime) -> list[bool]:
    """Of each list, whether it is its dates that tell what becomes of the clients of its issuer.

    Among those of one kind, of which one replaces another, it is the one in date that ends last; if there is none in
    date, each.
    """
    spans = [(same_kind(each), each.last_update_utc, each.next_update_utc or _NEVER) for each in crls]
    last: dict[object, datetime.datetime] = {}
    for kind, begin, end in spans:
        if begin <= now <= end:
            last[kind] = max(end, last.get(kind, end))
    return [kind not in last or (begin <= now and end == last[kind]) for kind, begin, end in spans]


def date_warnings(
    lists: Sequence[tuple[pathlib.Path, x509.CertificateRevocationList]], crl_stale: str, now: datetime.datetime
) -> Iterator[str]:
    """Warnings about the dates of the lists of a trust store, of those alone that decide.

    :param lists: with their files, for the sentences.
    """
    for (path, crl), decides in zip(lists, deciding([crl for _, crl in lists], now), strict=True):
        if not decides:
            continue
        issuer = distinguished_name(crl.issuer)
        if crl.next_update_utc is not None and crl.next_update_utc < now:
            date = f"{crl.next_update_utc:%Y-%m-%d %H:%M} UTC"
            yield f"{path}: the revocation list of {issuer} is out of date since {date}; {_STALE[crl_stale]}"
        if crl.last_update_utc > now:
            date = f"{crl.last_update_utc:%Y-%m-%d %H:%M} UTC"
            yield f"{path}: the revocation list of {issuer} is not valid before {date}; {_STALE['refuse']}"


def missing_lists(
    authorities: Sequence[x509.Certificate], crls: Sequence[x509.CertificateRevocationList], crl_check: str
) -> Iterator[str]:
    """The authorities whose clients are all refused because a revocation list is missing.

    :param crl_check: ``leaf`` or ``chain``.
    """
    covered = {crl.issuer for crl in crls if is_complete(crl)}
    for authority in authorities:
        issues_authorities = any(other != authority and signed_by(other, authority) for other in authorities)
        if authority.subject in covered or (crl_check == "leaf" and issues_authorities):
            continue
        subject = distinguished_name(authority.subject)
        if any(crl.issuer == authority.subject for crl in crls):
            yield f"{subject} has a delta list, and no complete one; whatever it issued is refused"
        else:
            yield f"{subject} has no revocation list; whatever it issued is refused"


def issuer_key(issuer: str) -> str:
    """The distinguished name of an issuer, for comparing (RFC 5280, section 7.1): case folded, white space merged.

    :param issuer: as :func:`~edgenode.tls.names.distinguished_name` writes it.
    """
    return " ".join(issuer.split()).casefold()


def revoked_elsewhere(crls: Sequence[x509.CertificateRevocationList]) -> RevokedSince:
    """What lists revoke that OpenSSL does not find.

    It finds a list by the name of a certificate's issuer alone, so it misses what an indirect list says of others'
    certificates; and it takes a delta list only if the certificate, or the complete list, names a freshest one. Each
    entry counts from the ``thisUpdate`` of its list on, and until a complete list of the same scope is as new.
    """
    found: dict[tuple[str, int], datetime.datetime] = {}
    numbers = {(_scope(crl), _number(crl)) for crl in crls if is_complete(crl)}
    for crl in crls:
        is_delta = not is_complete(crl)
        superseded = any(scope == _scope(crl) and number >= _number(crl) >= 0 for scope, number in numbers)
        if _is_plain(crl) or (is_delta and superseded):
            continue
        for revoked in _entries(crl, own=is_delta):
            found[revoked] = min(found.get(revoked, crl.last_update_utc), crl.last_update_utc)
    return found


def _is_plain(crl: x509.CertificateRevocationList) -> bool:
    return not any(mark in crl.tbs_certlist_bytes for mark in _MARKS)


def _entries(crl: x509.CertificateRevocationList, own: bool) -> Iterator[tuple[str, int]]:
    """What a list revokes, by issuer and serial number; ``own`` says whether also of its own issuer."""
    itself = {issuer_key(distinguished_name(crl.issuer))}
    issuers = itself
    for entry in crl:
        # An entry that names no issuer has that of the entry before (RFC 5280, section 5.3.3).
        named = extension(entry, x509.CertificateIssuer)
        if named is not None:
            names = named.get_values_for_type(x509.DirectoryName)
            issuers = {issuer_key(distinguished_name(name)) for name in names}
        reason = extension(entry, x509.CRLReason)
        if reason is None or reason.reason is not x509.ReasonFlags.remove_from_crl:
            yield from ((issuer, entry.serial_number) for issuer in (issuers if own else issuers - itself))


def same_kind(crl: x509.CertificateRevocationList) -> object:
    """A key that is equal for two lists of which the newer one replaces the older."""
    return _scope(crl), is_complete(crl)


def is_complete(crl: x509.CertificateRevocationList) -> bool:
    """Whether a list is no delta list: without the extension deltaCRLIndicator (RFC 5280, section 5.2.4)."""
    return extension(crl, x509.DeltaCRLIndicator) is None


def _scope(crl: x509.CertificateRevocationList) -> object:
    """The scope of a list, as OpenSSL compares a delta list with its base (RFC 5280, section 5.2.4)."""
    return (
        crl.issuer,
        extension(crl, x509.AuthorityKeyIdentifier),
        extension(crl, x509.IssuingDistributionPoint),
    )


def _number(crl: x509.CertificateRevocationList) -> int:
    number = extension(crl, x509.CRLNumber)
    return -1 if number is None else number.crl_number
