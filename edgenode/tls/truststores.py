"""``[trust-store]``: trusted certificate authorities and their revocation lists; read and checked when loaded.

The law: nothing enters a trust store but certificate authorities, and revocation lists that they signed and that can be
evaluated. What would only make handshakes fail for a time, such as a list past its date, is a warning.
"""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar

from attrs import evolve, field, frozen
from cryptography import x509
from OpenSSL import crypto

from edgenode.model.errors import Problem
from edgenode.model.settings import Choice, File, Seconds, Tag, Word, setting
from edgenode.tls.certificates import extension, read_placed, validity_fault
from edgenode.tls.crl import RevocationList
from edgenode.tls.doubts import doubts
from edgenode.tls.names import distinguished_name
from edgenode.tls.problems import Problems, in_words
from edgenode.tls.revocation_lists import Sorted, date_warnings, missing_lists, read_crls, signs_lists_only


@frozen
class TrustStore:
    """Trusted certificate authorities, and their revocation lists."""

    kind: ClassVar[str] = "trust-store"

    authorities: tuple[File, ...] = setting("PEM: one or more files of CA certificates.")
    crl: tuple[File, ...] = setting(
        "PEM or DER: files of revocation lists, each list signed by one of the authorities. Delta lists are "
        "named beside the complete ones.",
        (),
    )
    crl_check: Annotated[str, Choice(("leaf", "chain"))] = setting(
        "Whether only the client's certificate needs a revocation list, or every certificate of its chain, "
        "as in nginx.",
        "chain",
    )
    crl_stale: Annotated[str, Choice(("refuse", "accept"))] = setting(
        "What happens past the ``nextUpdate`` of a list: ``refuse`` refuses all clients that it covers; "
        "``accept`` continues to use it, so that those it revokes are refused, and those revoked since are "
        "not.",
        "refuse",
    )
    crl_max_age: Seconds = setting(
        "The maximum age of a list, from its ``thisUpdate``: an older one counts as past its "
        "``nextUpdate``, even if that is later or missing. ``0``: no maximum.",
        Seconds(0.0),
    )
    advertise: bool = setting(
        "Whether the names of the authorities are sent to clients in the handshake. If those of all trust "
        "stores of a server group are more than 64,000 bytes, none is sent, which means any.",
        True,
    )
    verification: Annotated[str, Choice(("openssl", "strict"))] = setting(
        "How a client's chain is verified: by ``openssl`` alone, as in nginx, or with ``strict`` by a "
        "second, stricter path validation as well. ``strict`` refuses what RFC 5280 forbids and OpenSSL "
        "accepts, and so also many certificates of older private authorities; use it with a new PKI.",
        "openssl",
    )
    partial_chains: bool = setting(
        "Whether a chain may end in an authority that is an intermediate; its issuer is then not trusted, "
        "and its own revocation not checked. With ``no`` a chain ends in a root, as in nginx.",
        False,
    )
    tags: tuple[Annotated[Word, Tag()], ...] = setting(
        "Tags for every request of a client whose verified chain ends in one of the authorities.", ()
    )


@frozen
class LoadedTrustStore:
    """A trust store that was read and found in order.

    :ivar name: the name of its section.
    :ivar authorities: the trusted certificates, each once.
    :ivar crls: the revocation lists.
    :ivar section: the section without its files: where the same was read from makes no difference.
    :ivar signers: certificates that sign revocation lists, and nothing else; no chain may end in them.
    """

    name: str = field(eq=False)
    authorities: tuple[x509.Certificate, ...]
    crls: tuple[RevocationList, ...] = field(default=(), eq=lambda crls: tuple(crl.digest for crl in crls))
    section: TrustStore = TrustStore(authorities=())
    signers: tuple[x509.Certificate, ...] = ()

    def is_valid(self, now: datetime.datetime) -> bool:
        """Whether any of the authorities is, at a time, UTC."""
        return any(validity_fault(each, now) is None for each in self.authorities)


def allow_partial_chains(store: crypto.X509Store | None, trust_stores: Sequence[LoadedTrustStore]) -> None:
    """Let chains end in any of the authorities, if a trust store says so: OpenSSL knows no difference between them."""
    if store is not None and any(each.section.partial_chains for each in trust_stores):
        store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)


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
    authorities, signers = dict[x509.Certificate, None](), dict[x509.Certificate, None]()
    for path in trust_store.authorities:
        with problems.reading("authorities", path):
            placed = read_placed(path)
            signers.update(dict.fromkeys(filter(signs_lists_only, placed.values())))
            placed = {place: each for place, each in placed.items() if each not in signers}
            problems.error("authorities", *_authority_faults(path, placed))
            authorities.update(dict.fromkeys(placed.values()))
    with problems.reading("authorities", ", ".join(map(str, trust_store.authorities))):
        if not problems.fatal:
            problems.warn(
                "authorities",
                *doubts(tuple(authorities), trust_store.verification, now, partial=trust_store.partial_chains),
            )
    if authorities and all(validity_fault(authority, now) for authority in authorities):
        problems.warn("authorities", "none of the authorities is valid now")
    if signers and not authorities:
        names = ", ".join(distinguished_name(each.subject) for each in signers)
        sentence = f"there is no authority, but only certificates that sign revocation lists: {names}"
        problems.error("authorities", f"{sentence}; an authority has CA:TRUE, and keyCertSign among its keyUsage")
    known = not problems.fatal  # or nobody could say whose the lists are
    lists: list[tuple[pathlib.Path, RevocationList]] = []
    for path in trust_store.crl:
        with problems.reading("crl", path):
            lists += ((path, crl) for crl in read_crls(path))
    for signer in () if trust_store.crl else signers:
        sentence = f"{distinguished_name(signer.subject)} is no authority but signs revocation lists, and there is none"
        problems.warn("authorities", f"{sentence}; nothing that it issued is accepted")
    used: tuple[RevocationList, ...] = ()
    with problems.reading("crl", ", ".join(map(str, trust_store.crl))):
        crls = Sorted.of(lists if known else (), (*authorities, *signers))
        used = crls.used
        problems.error("crl", *crls.errors)
        problems.warn("crl", *crls.warnings)
        if lists and not problems.fatal:
            problems.warn("crl", *date_warnings(lists, trust_store.crl_stale, trust_store.crl_max_age, now))
            # Where a chain ends in any authority, none that stands above another there is asked about it.
            crl_check = "leaf" if trust_store.partial_chains else trust_store.crl_check
            problems.warn("crl", *missing_lists(tuple(authorities), used, crl_check))
    section = evolve(trust_store, authorities=(), crl=())
    loaded = LoadedTrustStore(name, tuple(authorities), used, section, tuple(signers))
    return (None if problems.fatal or not authorities else loaded), problems.found


def _authority_faults(path: pathlib.Path, placed: Mapping[str, x509.Certificate]) -> Iterator[str]:
    for place, certificate in placed.items():
        subject = distinguished_name(certificate.subject)
        try:
            constraints, usage = extension(certificate, x509.BasicConstraints), extension(certificate, x509.KeyUsage)
        except Exception as error:
            yield f"{place}: the extensions of {subject} cannot be read: {in_words(error)}"
            continue
        if constraints is None:
            yield f"{path}: {subject} is no certificate authority: it has no basicConstraints"
            continue
        if not constraints.ca:
            yield f"{path}: {subject} is no certificate authority: its basicConstraints say CA:FALSE"
        if usage is not None and not usage.key_cert_sign:
            yield f"{path}: {subject} may not sign certificates: its keyUsage lacks keyCertSign"
