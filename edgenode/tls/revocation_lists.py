"""Revocation lists (CRL, RFC 5280, section 5) as files: read, and checked before they enter a trust store.

The law: no list enters a trust store that says more than will be evaluated. One that is malformed, or that only claims
to be of an authority, is an error; and so is one with a critical extension that is not understood, unless another list
of its issuer is there.
"""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edgenode.model.errors import InvalidValue
from edgenode.tls import pem
from edgenode.tls.certificates import extension, read, signed_by
from edgenode.tls.crl import RevocationList
from edgenode.tls.crl_facts import Facts, facts
from edgenode.tls.name_keys import NameKey
from edgenode.tls.names import distinguished_name
from edgenode.tls.problems import in_words


def read_crls(path: pathlib.Path) -> tuple[RevocationList, ...]:
    """All revocation lists of a file: one in DER, or any number in PEM.

    :raises InvalidValue: naming the file, if it cannot be read or holds no revocation list.
    """
    data = read(path)
    if data.startswith(b"\x30"):
        length = pem.der_length(data)
        only = _crl(f"{path}", lambda: data[:length])
        if len(data) > length:
            raise InvalidValue(f"{path} goes on behind its revocation list: in DER a file holds one, in PEM several")
        return (only,)
    found = pem.blocks(path, data, pem.REVOCATION_LIST)
    if not found:
        raise InvalidValue(f"{path} holds no revocation list")
    return tuple(_crl(f"{path}, line {block.line}", block.read) for block in found)


def _crl(where: str, read_der: Callable[[], bytes]) -> RevocationList:
    der = b""
    try:
        der = read_der()
        return RevocationList.read(der)
    except Exception as error:
        why = "it is a certificate" if _is_certificate(der) else in_words(error)
        raise InvalidValue(f"{where}: a malformed revocation list: {why}") from error


def _is_certificate(der: bytes) -> bool:
    try:
        x509.load_der_x509_certificate(der)
    except Exception:
        return False
    return True


def signs_lists_only(certificate: x509.Certificate) -> bool:
    """Whether a certificate is there to sign revocation lists, and nothing else (RFC 5280, section 6.3.3 f).

    Its keyUsage must say so: then it needs no basicConstraints, and it is no authority.
    """
    try:
        constraints, usage = extension(certificate, x509.BasicConstraints), extension(certificate, x509.KeyUsage)
    except Exception:  # which is told of an authority
        return False
    issues = constraints is not None and constraints.ca and usage is not None and usage.key_cert_sign
    return usage is not None and usage.crl_sign and not issues


@frozen
class Sorted:
    """The revocation lists of a trust store, sorted by what can be done with them.

    :ivar used: those that are signed by someone in the trust store, and those whose issuer is not there: who that is, a
        client's chain may show.
    :ivar errors: sentences about those that are not used.
    :ivar warnings: the same, where that is no reason to refuse the trust store.
    """

    used: tuple[RevocationList, ...]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, lists: Sequence[tuple[pathlib.Path, RevocationList]], issuers: Sequence[x509.Certificate]) -> Self:
        """Sort lists.

        :param lists: with their files.
        :param issuers: the authorities of the trust store, and whoever else may sign lists.
        """
        names = {subject(each) for each in issuers}
        faults = [(path, crl, fault(crl, issuers)) for path, crl in lists]
        good = {crl.issuer_key for _, crl, sentence in faults if not sentence}
        used, errors, warnings = list[RevocationList](), list[str](), list[str]()
        for path, crl, sentence in faults:
            stranger = not crl.strange and crl.issuer_key not in names
            if not sentence or stranger:
                used.append(crl)
            if sentence and stranger and good:
                warnings.append(f"{path}: {sentence}; it counts only for clients that send its issuer's certificate")
            elif sentence and crl.issuer_key in good:
                warnings.append(f"{path}: {sentence}; it is left aside, for another one is there")
            elif sentence:
                errors.append(f"{path}: {sentence}")
        return cls(tuple(used), tuple(errors), tuple(warnings))


def fault(crl: RevocationList, issuers: Sequence[x509.Certificate]) -> str:
    """Why a list must not be used with these issuers of lists: a sentence; empty if nothing is wrong."""
    issuer = distinguished_name(crl.issuer)
    if crl.strange:
        return f"the revocation list of {issuer} has a critical extension that is not understood: {crl.strange}"
    namesakes = [each for each in map(_facts, issuers) if each.subject == crl.issuer_key]
    signers = [each for each in namesakes if crl.is_signed_by(each.key, each.spki)]
    if not namesakes:
        return f"the revocation list of {issuer} is not issued by any of the authorities"
    if not signers:
        return f"the revocation list of {issuer} is not signed with that authority's key"
    if not any(each.may_sign_lists for each in signers):
        return f"{issuer} may not sign revocation lists: its keyUsage lacks cRLSign"
    return ""


def _facts(certificate: x509.Certificate) -> Facts:
    return facts(certificate.public_bytes(Encoding.DER))


def subject(certificate: x509.Certificate) -> NameKey:
    """The subject of a certificate, for comparing."""
    return _facts(certificate).subject


_NEVER = datetime.datetime.max.replace(tzinfo=datetime.UTC)

_STALE = {
    "refuse": "whatever that authority issued is refused",
    "accept": "who it revokes stays revoked, and nobody knows who has been revoked since",
}
"""By ``crl-stale`` what follows when a list is out of date."""


def deciding(crls: Iterable[RevocationList], crl_max_age: float, now: datetime.datetime) -> list[bool]:
    """Of each list, whether it is its dates that tell what becomes of the clients of its issuer.

    Among those of one kind, of which one replaces another, it is the one in date that ends last; if there is none in
    date, each.
    """
    spans = [
        ((each.same_scope, each.is_complete), each.begin, each.last_second(crl_max_age) or _NEVER) for each in crls
    ]
    last: dict[object, datetime.datetime] = {}
    for kind, begin, end in spans:
        if begin <= now <= end:
            last[kind] = max(end, last.get(kind, end))
    return [kind not in last or (begin <= now and end == last[kind]) for kind, begin, end in spans]


def date_warnings(
    lists: Sequence[tuple[pathlib.Path, RevocationList]], crl_stale: str, crl_max_age: float, now: datetime.datetime
) -> Iterator[str]:
    """Warnings about the dates of the lists of a trust store, of those alone that decide.

    :param lists: with their files, for the sentences.
    """
    for (path, crl), decides in zip(lists, deciding([crl for _, crl in lists], crl_max_age, now), strict=True):
        if not decides:
            continue
        issuer, end = distinguished_name(crl.issuer), crl.last_second(crl_max_age)
        if end is not None and end < now:
            date = f"{end:%Y-%m-%d %H:%M} UTC"
            yield f"{path}: the revocation list of {issuer} is out of date since {date}; {_STALE[crl_stale]}"
        if crl.begin > now:
            date = f"{crl.begin:%Y-%m-%d %H:%M} UTC"
            yield f"{path}: the revocation list of {issuer} is not valid before {date}; {_STALE['refuse']}"


def missing_lists(
    authorities: Sequence[x509.Certificate], crls: Sequence[RevocationList], crl_check: str
) -> Iterator[str]:
    """The authorities whose clients are all refused because a revocation list is missing.

    :param crl_check: ``leaf`` or ``chain``.
    """
    covered = {crl.issuer_key for crl in crls if crl.is_complete}
    for authority in authorities:
        issues_authorities = any(other != authority and signed_by(other, authority) for other in authorities)
        if subject(authority) in covered or (crl_check == "leaf" and issues_authorities):
            continue
        name = distinguished_name(authority.subject)
        if any(crl.issuer_key == subject(authority) for crl in crls):
            yield f"{name} has a delta list, and no complete one; whatever it issued is refused"
        else:
            yield f"{name} has no revocation list; whatever it issued is refused"
