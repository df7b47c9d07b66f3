"""The TLS policy of a server group, and of an origin, as ``SSL.Context`` that is built once and never changed.

The law: one policy, one context. No session resumes under another context, none at all where a client certificate is
asked for, and what is loaded is checked before it is used: a group that would let in more than it says is an error.
"""

from __future__ import annotations

import datetime
import itertools
import secrets
import tempfile
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import attrs
from attrs import evolve, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from OpenSSL._util import lib

from edgenode.model.errors import ConfigurationError, InvalidValue, Problem
from edgenode.tls.admission import Admission
from edgenode.tls.certificates import LoadedCertificate
from edgenode.tls.clienthello import ClientHello
from edgenode.tls.doubts import is_self_signed, namesakes
from edgenode.tls.names import distinguished_name
from edgenode.tls.presenting import watch
from edgenode.tls.problems import Problems
from edgenode.tls.revocation import Revocation, fill_store
from edgenode.tls.servergroups import ServerGroup
from edgenode.tls.truststores import LoadedTrustStore, allow_partial_chains
from edgenode.tls.verification import Record, Verifier, set_verifier

VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}

SSL_MODE_NO_AUTO_CHAIN = 0x8
"""OpenSSL's constant, which pyOpenSSL does not name. Without it OpenSSL completes our own chain from the clients' trust
store, in every handshake, and so shows the names of authorities that ``advertise = no`` hides."""

SSL_MODE_ENABLE_PARTIAL_WRITE = 0x1
"""OpenSSL's constant; pyOpenSSL sets this mode. With it, a send writes one record of 16 KiB and returns; without it it
writes all that it is given: several records for the price of one call."""


MOST_NAMES = 64_000
"""Bytes for the names of authorities: their list and all extensions beside it have at most 65,535 each (RFC 8446,
sections 4.2.4 and 4.3.2; RFC 5246, section 7.4.4), and with more no handshake succeeds. No name means any (ibid.)."""

GROUPS = b"X25519MLKEM768/X25519:prime256v1/secp384r1"
"""The key exchanges of Mozilla's "intermediate" in OpenSSL's notation, in the order of its own default; without X448,
P-521 and finite fields, which cost a server more and are no client's only choice."""

SUITES = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
"""The cipher suites of TLS 1.3: OpenSSL's own, in the order of Mozilla's "intermediate", as those of TLS 1.2 are. The
first costs a quarter less than the second, and a handshake with it a twentieth."""

_FIRST = frozenset((0x11EC, 29))
"""The first two of :data:`GROUPS`, as a ClientHello has them: who begins with one of them, or both, gets it."""

_P521 = 25
_EXCHANGES = frozenset((29, 23, 24))
"""Of :data:`GROUPS`, as a ClientHello has them, those of TLS 1.2."""


@frozen
class TLSPolicy:
    """Everything of a server group that its clients are judged by; groups with equal policies may serve one connection.

    :ivar group: the section without the keys that no client is judged by; with ``mtls = off`` also without those about
        client certificates. A new key counts until :meth:`of` leaves it out.
    :ivar trust_stores: whose authorities are trusted.
    """

    group: ServerGroup
    trust_stores: frozenset[LoadedTrustStore]

    @classmethod
    def of(cls, group: ServerGroup, trust_stores: Sequence[LoadedTrustStore]) -> TLSPolicy:
        """That of a server group; where no client certificate is asked for, nothing of one counts."""
        if group.mtls == "off":
            group = ServerGroup(
                certificate=(), security_policy="", minimum_version=group.minimum_version, ciphers=group.ciphers
            )
            return cls(group, frozenset())
        group = evolve(group, hosts=(), certificate=(), security_policy="", trust_store=(), certificate_headers=())
        group = evolve(group, mode=None, strict=False)
        return cls(group, frozenset(trust_stores))

    @property
    def settled(self) -> tuple[bool, str, str]:
        """What a handshake has settled for good; all the rest is judged again on an open connection."""
        return self.group.mtls != "off", self.group.minimum_version, self.group.ciphers


PLAIN = TLSPolicy(ServerGroup(certificate=(), ciphers=""), frozenset())
"""That of connections without TLS, where nobody is judged: equal to that of no server group."""


def check_group(
    name: str, group: ServerGroup, certificates: Sequence[LoadedCertificate], trust_stores: Sequence[LoadedTrustStore]
) -> tuple[Problem, ...]:
    """What is wrong with a server group.

    :param name: of its section, for the problems.
    """
    problems = Problems(f"{group.kind} {name}".rstrip())
    problems.error("certificate", *_certificate_faults(certificates))
    problems.attempt("ciphers", check_ciphers, group.ciphers)
    if group.mtls != "off" and not trust_stores:
        problems.error("trust-store", f"mtls = {group.mtls} needs a trust store")
    if group.mtls == "optional-no-ca" and group.mtls_refusal != _REFUSAL:
        problems.warn("mtls-refusal", "says nothing: optional-no-ca refuses no certificate, the rules do")
    if group.mtls in _LETS_IN_OTHERS:
        for key in group.asked_of_verified_clients:
            problems.error(key, _LETS_IN_OTHERS[group.mtls])
    problems.error("trust-store", *_partly_partial(trust_stores))
    problems.warn("trust-store", *_shared(trust_stores))
    if len(trust_stores) > 1:
        now = datetime.datetime.now(datetime.UTC)
        each_alone = {sentence for store in trust_stores for sentence in namesakes(store.authorities, now)}
        together = namesakes([ca for store in trust_stores for ca in store.authorities], now)
        problems.warn("trust-store", *(sentence for sentence in together if sentence not in each_alone))
    names, size = _names(trust_stores)
    if size > MOST_NAMES:
        problems.warn(
            "trust-store",
            f"the names of its {len(names)} authorities take {size} bytes, and a handshake has room for {MOST_NAMES}: "
            f"clients are told none; advertise = no in a trust store leaves out its own",
        )
    if "none" in group.certificate_headers and len(group.certificate_headers) > 1:
        problems.error("certificate-headers", "none and another style contradict each other")
    if group.mtls == "off" and {"rfc9440", "xfcc"} & set(group.certificate_headers):
        problems.warn("certificate-headers", "mtls = off asks for no certificate, so there is none to tell of")
    with_crl = [store.name for store in trust_stores if store.crls]
    without = [store.name for store in trust_stores if not store.crls]
    if with_crl and without:
        problems.error(
            "trust-store",
            f"{', '.join(with_crl)} has revocation lists and {', '.join(without)} has none: OpenSSL would refuse "
            f"every client of the latter; give it a list, or put it in a group of its own",
        )
    return problems.found


_REFUSAL = attrs.fields(ServerGroup).mtls_refusal.default

_LETS_IN_OTHERS = {
    "off": "asks nobody while mtls is off: every client is let in",
    "optional-no-ca": "asks verified clients alone, while optional-no-ca lets in others too; use optional or on",
}


def _partly_partial(trust_stores: Sequence[LoadedTrustStore]) -> Iterator[str]:
    partial = ", ".join(store.name for store in trust_stores if store.section.partial_chains)
    for store in trust_stores if partial else ():
        if not store.section.partial_chains and not all(map(is_self_signed, store.authorities)):
            yield (
                f"{partial} lets chains end in an intermediate, and {store.name} does not but has some: OpenSSL would "
                f"let them end there too; give both the same partial-chains, or groups of their own"
            )


def _shared(trust_stores: Sequence[LoadedTrustStore]) -> Iterator[str]:
    """The authorities that stand in two stores with different tags: their clients get the tags of both."""
    for store, other in itertools.combinations(trust_stores, 2):
        if set(store.section.tags) != set(other.section.tags):
            for authority in (each for each in store.authorities if each in other.authorities):
                subject = distinguished_name(authority.subject)
                yield f"{subject} stands in {store.name} and in {other.name}: its clients get the tags of both"


def check_ciphers(ciphers: str) -> None:
    """Check a list of TLS 1.2 cipher suites.

    :param ciphers: in OpenSSL's notation, ``ciphers(1)``.
    :raises InvalidValue: if OpenSSL knows none of them, or if one authenticates or encrypts nothing.
    """
    context = SSL.Context(SSL.TLS_METHOD)
    try:
        context.set_cipher_list(ciphers.encode("ascii"))
        suites = SSL.Connection(context, None).get_cipher_list()
    except (SSL.Error, UnicodeEncodeError) as error:
        raise InvalidValue(f"OpenSSL knows no cipher suite in {ciphers!r}") from error
    for suite in suites:
        if "NULL" in suite or suite.startswith(("ADH-", "AECDH-")) or "anon" in suite:
            raise InvalidValue(f"the cipher suite {suite} authenticates or encrypts nothing")


def server_context(
    group: ServerGroup,
    certificates: Sequence[LoadedCertificate],
    trust_stores: Sequence[LoadedTrustStore],
) -> SSL.Context:
    """The context of a server group; each connection on it needs its own ``Record`` as app data.

    :raises ConfigurationError: if :func:`check_group` finds an error.
    """
    problems = check_group("", group, certificates, trust_stores)
    if any(not problem.warning for problem in problems):
        raise ConfigurationError(problems)
    context = _context(SSL.TLS_SERVER_METHOD, group.minimum_version, certificates)
    context.set_cipher_list(group.ciphers.encode("ascii"))
    context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # pyOpenSSL has no public word for more than one group: its set_tmp_ecdh would leave out the post-quantum one.
    _set_groups(lib.SSL_CTX_set1_curves_list(context._context, GROUPS))
    context.set_alpn_select_callback(_select_protocol)
    # Always set, and never the same twice: without it resumption under VERIFY_PEER fails the handshake instead.
    context.set_session_id(secrets.token_bytes(32))
    if group.mtls == "off":
        # Tickets alone: they need no memory here, and no other context can read them.
        context.set_verify(SSL.VERIFY_NONE)
    else:
        context.set_options(SSL.OP_NO_TICKET)
        _request_certificate(context, group, trust_stores)
    return context


def ends_soon(group: ServerGroup, hello: ClientHello) -> bool:
    """Whether all that a client may yet send in its handshake is short: no certificates, and no other ClientHello."""
    return group.mtls == "off" and (hello.version < VERSIONS["1.3"] or not _FIRST.isdisjoint(hello.shares))


def accept_keys(connection: SSL.Connection, group: ServerGroup, groups: Collection[int]) -> None:
    """Let a client of TLS 1.2 authenticate with a key on P-521, as nginx does.

    OpenSSL takes a key of a client in TLS 1.2 only on a curve that it would exchange keys on itself (RFC 8422, section
    5.1.1, asks that of the client's list alone). So P-521 is added, as the last, for those who know a better exchange
    too, and thus get that one. By TLS 1.3 a key has nothing to do with the exchange.

    :param connection: before its handshake.
    :param groups: those of the ClientHello.
    """
    if group.mtls != "off" and _P521 in groups and not _EXCHANGES.isdisjoint(groups):
        _set_groups(lib.SSL_set1_curves_list(connection._ssl, GROUPS + b"/secp521r1"))


def _set_groups(result: int) -> None:
    if result != 1:
        raise RuntimeError(f"OpenSSL does not know the groups {GROUPS.decode()}")


def client_context(
    *,
    minimum_version: str = "1.2",
    certificate: LoadedCertificate | None = None,
    trust_store: LoadedTrustStore | None = None,
    verify: bool = True,
    protocols: Sequence[bytes] = (b"http/1.1",),
) -> SSL.Context:
    """The context for connections to an origin; each connection on it needs its own ``OriginRecord`` as app data.

    The name in the origin's certificate is not looked at here: call ``hostnames.verify_origin`` after the handshake.

    :param minimum_version: the lowest TLS version spoken, ``1.2`` or ``1.3``.
    :param trust_store: the trusted authorities; without one the system's.
    :param verify: whether the origin's certificate is verified at all.
    :param protocols: what is offered by ALPN, the best first; with none of them no ALPN is spoken.
    """
    context = _context(SSL.TLS_CLIENT_METHOD, minimum_version, () if certificate is None else (certificate,))
    context.set_options(SSL.OP_NO_TICKET)
    if protocols:
        context.set_alpn_protos([*protocols])
    watch(context)
    if not verify:
        context.set_verify(SSL.VERIFY_NONE)
        return context
    trust_stores = () if trust_store is None else (trust_store,)
    fill_store(context.get_cert_store(), trust_stores)
    allow_partial_chains(context.get_cert_store(), trust_stores)
    if trust_store is None:
        context.set_default_verify_paths()
    set_verifier(context, SSL.VERIFY_PEER, Verifier(revocation=Revocation.of(trust_stores)))
    return context


def _context(method: int, minimum_version: str, certificates: Sequence[LoadedCertificate]) -> SSL.Context:
    """What the contexts of both sides have in common."""
    context = SSL.Context(method)
    context.set_min_proto_version(VERSIONS[minimum_version])
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_mode(SSL_MODE_NO_AUTO_CHAIN)
    context.set_tls13_ciphersuites(SUITES)
    context.clear_mode(SSL_MODE_ENABLE_PARTIAL_WRITE)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    for certificate in certificates:
        _present(context, certificate)
    return context


def _request_certificate(context: SSL.Context, group: ServerGroup, trust_stores: Sequence[LoadedTrustStore]) -> None:
    fill_store(context.get_cert_store(), trust_stores)
    allow_partial_chains(context.get_cert_store(), trust_stores)
    names, size = _names(trust_stores)
    for authority in names if size <= MOST_NAMES else ():
        context.add_client_ca(authority)
    lets_through = group.mtls_refusal != "handshake" or group.mtls == "optional-no-ca"
    flags = SSL.VERIFY_PEER
    if group.mtls == "on" and not lets_through:
        flags |= SSL.VERIFY_FAIL_IF_NO_PEER_CERT
    admission, revocation = Admission.of(group, trust_stores), Revocation.of(trust_stores)
    set_verifier(context, flags, Verifier(lets_through, admission, revocation))
    context.set_verify_depth(group.verify_depth)


def _names(trust_stores: Sequence[LoadedTrustStore]) -> tuple[Collection[x509.Certificate], int]:
    """The authorities that clients are told of, each name once, and the bytes that their names take."""
    names = {ca.subject: ca for store in trust_stores if store.section.advertise for ca in store.authorities}
    return names.values(), sum(len(name.public_bytes()) + 2 for name in names)


def _present(context: SSL.Context, certificate: LoadedCertificate) -> None:
    # Only from a file does OpenSSL give each key type its own chain; add_extra_chain_cert is shared by all of them.
    # The file holds what was checked, not what the configured file may have become since, and nothing secret.
    with tempfile.NamedTemporaryFile(suffix=".pem") as chain:
        for part in (certificate.leaf, *certificate.chain):
            chain.write(part.public_bytes(Encoding.PEM))
        chain.flush()
        context.use_certificate_chain_file(chain.name)
    context.use_privatekey(certificate.key)
    context.check_privatekey()


def _certificate_faults(certificates: Sequence[LoadedCertificate]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for certificate in certificates:
        other = seen.setdefault(certificate.key_type, certificate.name)
        if other != certificate.name:
            yield f"{other} and {certificate.name} both hold {certificate.key_type}; only the last would be presented"


def _select_protocol(connection: SSL.Connection, offered: list[bytes]) -> Any:
    """Chooses the application protocol (RFC 7301); a client that offers only others is refused: the ALPACA attack."""
    record: Record = connection.get_app_data()
    for protocol in record.protocols:
        if protocol in offered:
            return protocol
    if not record.protocols:
        return SSL.NO_OVERLAPPING_PROTOCOLS
    # Any exception becomes the alert no_application_protocol; this one then leaves do_handshake as it is.
    raise SSL.Error([("SSL routines", "", "no application protocol")])
