"""Whether a chain through each authority of trust stores could be verified, asked when they are loaded.

The law: OpenSSL itself is asked, in a handshake with somebody with whom nothing is wrong but the signature, which it
looks at last; so nothing is said of an authority but what those whom it has issued would meet. This refuses nobody.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto

from edgenode.model.errors import Problem
from edgenode.tls.doubts import is_self_signed, stand_in
from edgenode.tls.identity import describe
from edgenode.tls.names import distinguished_name
from edgenode.tls.problems import in_words
from edgenode.tls.revocation import fill_store
from edgenode.tls.truststores import LoadedTrustStore, TrustStore, allow_partial_chains
from edgenode.tls.verify_errors import (
    AUTHORITY_KEY_TOO_WEAK,
    CHAIN_TOO_LONG,
    EXPIRED,
    NOT_YET_VALID,
    SIGNATURE_FAILURE,
    SIGNATURE_TOO_WEAK,
    UNABLE_TO_GET_ISSUER,
    UNABLE_TO_GET_ISSUER_OF_ISSUER,
    reason,
)

_MOST = 1 << 16
_ROUNDS = 4
"""Flights of a handshake, and then some."""

_ITS_OWN = frozenset({AUTHORITY_KEY_TOO_WEAK, SIGNATURE_TOO_WEAK, EXPIRED, NOT_YET_VALID})
"""What is told of an authority by itself, and of what stands below it here."""

_MISSING = frozenset({UNABLE_TO_GET_ISSUER, UNABLE_TO_GET_ISSUER_OF_ISSUER, SIGNATURE_FAILURE})

_HARMLESS = (x509.BasicConstraints, x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier, x509.KeyUsage)


class Fault(NamedTuple):
    """An error of OpenSSL's: its number, how deep in the chain, and of which certificate."""

    number: int
    depth: int
    culprit: x509.Certificate


def path_warnings(
    trust_stores: Sequence[LoadedTrustStore], depth: int | None = None, *, servers: bool = False
) -> Iterator[Problem]:
    """Warnings about authorities through which no chain can be verified, each once and of its trust store.

    :param trust_stores: those that are trusted together.
    :param depth: the ``verify-depth`` of a server group, if it has one.
    :param servers: whether they are trusted to name origins, and not clients.
    """
    contexts: tuple[SSL.Context, SSL.Context] | None = None
    for store in trust_stores:
        for authority in store.authorities:
            try:
                if is_self_signed(authority) and _is_plain(authority):
                    continue
                contexts = contexts or _contexts(trust_stores, depth)
                sentence = _sentence(authority, _faults(contexts, authority, servers), trust_stores, depth)
            except Exception as error:  # OpenSSL has read it, and more strict readers do not: a name, or an extension
                subject = describe(authority.public_bytes(Encoding.DER)).subject
                sentence = f"{subject}: nobody can say whether a chain through it can be verified: {in_words(error)}"
            if sentence:
                yield Problem(f"{TrustStore.kind} {store.name}", "authorities", sentence, warning=True)


def _is_plain(authority: x509.Certificate) -> bool:
    """Whether it has nothing that could be in the way of a chain that ends in it."""
    try:
        return all(isinstance(each.value, _HARMLESS) for each in authority.extensions)
    except Exception:  # extensions that cannot be read
        return False


def _sentence(
    authority: x509.Certificate, faults: Sequence[Fault], trust_stores: Sequence[LoadedTrustStore], depth: int | None
) -> str:
    told = (fault for fault in faults if fault.depth > 1 or fault.number not in _ITS_OWN)
    fault = next((fault for fault in told if (fault.number, fault.depth) != (SIGNATURE_FAILURE, 0)), None)
    if fault is None:
        return ""
    subject, culprit = distinguished_name(authority.subject), distinguished_name(fault.culprit.subject)
    end = "no chain through it can be verified"
    if fault.number in _MISSING:
        issuer = fault.culprit.issuer
        if any(each.subject == issuer for store in trust_stores for each in store.authorities):
            key = f"another key than that of {distinguished_name(issuer)} that is among the authorities"
            why = f"{culprit} is signed with {key}"
        else:
            why = f"the issuer of {culprit} is not among the authorities: {distinguished_name(issuer)}"
        return f"{why}; {end}" if fault.depth == 1 else f"{subject}: {end}: {why}"
    if fault.number == CHAIN_TOO_LONG:
        return f"{subject}: with verify-depth = {depth} {end}: {reason(fault.number)}"
    return f"{subject}: {end}: {reason(fault.number)}{f': {culprit}' if fault.depth > 1 else ''}"


def _contexts(trust_stores: Sequence[LoadedTrustStore], depth: int | None) -> tuple[SSL.Context, SSL.Context]:
    """Ours, and that of who is shown to it."""
    ours, theirs = SSL.Context(SSL.TLS_METHOD), SSL.Context(SSL.TLS_METHOD)
    fill_store(ours.get_cert_store(), trust_stores)
    allow_partial_chains(ours.get_cert_store(), trust_stores)
    if depth is not None:
        ours.set_verify_depth(depth)
    ours.set_max_proto_version(SSL.TLS1_2_VERSION)  # the verification is the same, and the exchange of keys cheaper
    ours.set_verify(SSL.VERIFY_PEER, _note)
    return ours, theirs


def _note(connection: SSL.Connection, certificate: crypto.X509, number: int, depth: int, ok: int) -> bool:
    """All errors count: whoever goes on after one finds the others."""
    if number:
        connection.get_app_data().append(Fault(number, depth, certificate.to_cryptography()))
    return True


def _faults(contexts: tuple[SSL.Context, SSL.Context], authority: x509.Certificate, servers: bool) -> list[Fault]:
    """What OpenSSL has against somebody whom an authority might have issued."""
    found: list[Fault] = []
    ours, theirs = (SSL.Connection(context, None) for context in contexts)
    ours.set_app_data(found)
    now = datetime.datetime.now(datetime.UTC)
    for connection, issuer in (ours, None), (theirs, authority):
        certificate, key = stand_in(issuer, now)
        connection.use_certificate(certificate)
        connection.use_privatekey(key)
    client, server = (ours, theirs) if servers else (theirs, ours)
    client.set_connect_state()
    server.set_accept_state()
    for one, another in ((client, server), (server, client)) * _ROUNDS:
        try:
            one.do_handshake()
            if one is ours:
                break
        except SSL.WantReadError:
            pass
        except SSL.Error:
            break
        with contextlib.suppress(SSL.WantReadError):
            another.bio_write(one.bio_read(_MOST))
    return found
