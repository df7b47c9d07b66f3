"""Which verified clients a server group lets in: extended key usage, strict path validation, key sizes, signature
algorithms, pins and lists of names, each only if the group asks for it.

The law: this only ever refuses. It runs at the end of every handshake, and again whenever the verdict on an open
connection is made anew; whatever cannot be examined is refused.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Self

from attrs import Factory, field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from edgenode.model.exchange import AlternativeNames, ClientIdentity
from edgenode.tls.allowlists import DNSPattern, EmailPattern, URIPattern
from edgenode.tls.identity import describe
from edgenode.tls.servergroups import ServerGroup
from edgenode.tls.strict import path_fault
from edgenode.tls.truststores import LoadedTrustStore
from edgenode.tls.verify_errors import APPLICATION_VERIFICATION, INVALID_PURPOSE, reason

_LONGEST, _LONGEST_NAME = 300, 100
"""Characters of a sentence, and of a distinguished name in it."""

USAGES = MappingProxyType({"clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string})

Rule = Callable[[ClientIdentity], str]
"""What is wrong with a certificate, a sentence; empty if nothing is."""


def _one_line(text: str) -> str:
    """A sentence that may quote a certificate: on one line, and of bounded length."""
    return "".join(each if each.isprintable() else "?" for each in text[:_LONGEST])


@frozen
class Objection:
    """Why a client that OpenSSL has verified is refused.

    :ivar error: a number of OpenSSL's: 26 for a missing usage, 50 (``X509_V_ERR_APPLICATION_VERIFICATION``) otherwise.
    :ivar reason: a sentence.
    """

    error: int
    reason: str = field(converter=_one_line)


@frozen(eq=False)
class Admission:
    """What one server group asks of its clients beyond OpenSSL's verification.

    :ivar group: the section.
    :ivar strict: by authority, DER, of its trust stores: whether one of those says ``verification = strict``.
    """

    group: ServerGroup
    strict: Mapping[bytes, bool]
    _of_chain: tuple[Rule, ...] = field(init=False, default=Factory(lambda self: _chain_rules(self.group), True))
    _of_leaf: tuple[Rule, ...] = field(init=False, default=Factory(lambda self: _leaf_rules(self.group), True))

    @classmethod
    def of(cls, group: ServerGroup, trust_stores: Sequence[LoadedTrustStore]) -> Self:
        """What a server group with these trust stores asks.

        :param group: the section.
        :param trust_stores: those that it names, loaded.
        """
        strict: dict[bytes, bool] = {}
        for store in trust_stores:
            for authority in store.authorities:
                der = authority.public_bytes(Encoding.DER)
                strict[der] = strict.get(der, False) or store.verification != "openssl"
        return cls(group, strict)

    def objection(self, chain: Sequence[bytes], now: datetime.datetime) -> Objection | None:
        """What speaks against a client; never raises.

        :param chain: as OpenSSL verified it, DER: the leaf, the intermediates, the authority.
        :param now: the time, UTC.
        """
        try:
            return self._usage(chain[0]) or self._strictly(chain, now) or self._unlisted(chain)
        except Exception as error:
            return Objection(APPLICATION_VERIFICATION, f"it cannot be examined: {error}")

    def unverified(self, leaf: bytes) -> Objection | None:
        """What speaks against a client of an authority that is unknown; never raises.

        :param leaf: its certificate, DER.
        """
        try:
            return self._usage(leaf)
        except Exception as error:
            return Objection(APPLICATION_VERIFICATION, f"it cannot be examined: {error}")

    def _usage(self, leaf: bytes) -> Objection | None:
        if not self.group.required_eku:
            return None
        named = describe(leaf).extended_key_usages
        lacking = any(USAGES[usage] not in named for usage in self.group.required_eku)
        return Objection(INVALID_PURPOSE, reason(INVALID_PURPOSE)) if lacking else None

    def _strictly(self, chain: Sequence[bytes], now: datetime.datetime) -> Objection | None:
        strict = self.strict.get(chain[-1])
        if strict is None:
            return Objection(APPLICATION_VERIFICATION, "its chain ends in no authority of the server group")
        if not strict:
            return None
        fault = path_fault([x509.load_der_x509_certificate(der) for der in chain], now)
        return Objection(APPLICATION_VERIFICATION, f"strict verification: {fault}") if fault else None

    def _unlisted(self, chain: Sequence[bytes]) -> Objection | None:
        # The authority is trusted for its key: its size and its signature do not count (RFC 5280, section 6.1.1 d).
        below = [describe(der) for der in (chain[:-1] or chain)]
        for certificate in below:
            for rule in self._of_chain:
                if fault := rule(certificate):
                    return Objection(APPLICATION_VERIFICATION, fault)
        for rule in self._of_leaf:
            if fault := rule(below[0]):
                return Objection(APPLICATION_VERIFICATION, fault)
        return None


def _chain_rules(group: ServerGroup) -> tuple[Rule, ...]:
    """The rules for every certificate below the authority."""
    least = {"RSA": group.minimum_rsa_bits, "ECDSA": group.minimum_ec_bits}
    allowed = frozenset(group.signature_algorithms)

    def size(certificate: ClientIdentity) -> str:
        kind, bits = certificate.key_type, certificate.key_bits
        if bits >= least.get(kind, 0):
            return ""
        return f"the {kind} key of {certificate.subject[:_LONGEST_NAME]} has {bits} bits, and needs {least[kind]}"

    def signature(certificate: ClientIdentity) -> str:
        if certificate.signature_algorithm in allowed:
            return ""
        subject = certificate.subject[:_LONGEST_NAME]
        return f"{subject} is signed with {certificate.signature_algorithm}, which is not allowed"

    return (size, signature) if allowed else (size,)


def _leaf_rules(group: ServerGroup) -> tuple[Rule, ...]:
    """The rules for the client's own certificate: pins, and lists of names."""
    certificates = frozenset(pin.sha256 for pin in group.pin_certificate)
    keys = frozenset(pin.sha256 for pin in group.pin_spki)
    patterns: tuple[DNSPattern | URIPattern | EmailPattern, ...]
    patterns = (*group.allow_dns, *group.allow_uri, *group.allow_email)
    networks = tuple(ipaddress.ip_network(network) for network in group.allow_ip)

    def pinned(leaf: ClientIdentity) -> str:
        if leaf.fingerprint_sha256 in certificates or leaf.spki_sha256 in keys:
            return ""
        return "neither its certificate nor its key is pinned"

    def named(leaf: ClientIdentity) -> str:
        if (
            any(pattern.allows(leaf.sans) for pattern in patterns)
            or any(pattern.allows(leaf.subject) for pattern in group.allow_subject)
            # Of the same version: an IPv4-mapped IPv6 address is in no IPv4 network.
            or any(address in network for address in _addresses(leaf.sans) for network in networks)
        ):
            return ""
        return "none of its names is on the lists of the server group"

    rules: list[Rule] = []
    if certificates or keys:
        rules.append(pinned)
    if patterns or group.allow_subject or networks:
        rules.append(named)
    return tuple(rules)


def _addresses(names: AlternativeNames) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    for text in names.ip:
        # A network, as in name constraints (RFC 5280, section 4.2.1.10), is the address of no host.
        if "/" not in text:
            yield ipaddress.ip_address(text)
