"""What a server group asks of a client whose certificate OpenSSL is content with.

The law: this only ever refuses. It is asked at the end of every handshake, and again whenever the verdict on an open
connection is made anew; whatever cannot be examined is refused.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Self

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from edgenode.model.exchange import AlternativeNames
from edgenode.model.settings import Network
from edgenode.tls.identity import Description, describe, extended_key_usages
from edgenode.tls.servergroups import ServerGroup
from edgenode.tls.strict import second_opinion
from edgenode.tls.truststores import LoadedTrustStore
from edgenode.tls.verify_errors import reason

UNSUITABLE_PURPOSE = 26
APPLICATION_VERIFICATION = 50

_LONGEST, _LONGEST_NAME = 300, 100
"""Characters of a sentence, and of a distinguished name in it."""

USAGES = MappingProxyType({"clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string})


def _one_line(text: str) -> str:
    """A sentence that may quote a certificate: on one line, and not endless."""
    return "".join(each if each.isprintable() else "?" for each in text[:_LONGEST])


@frozen
class Objection:
    """Why a client is not let in.

    :ivar error: the number, one of OpenSSL's: 26, or 50 for all that only we ask.
    :ivar reason: a sentence.
    """

    error: int
    reason: str = field(converter=_one_line)


@frozen(eq=False)
class Admission:
    """What one server group asks.

    :ivar group: the section.
    :ivar strict: every authority, DER, of its trust stores, and whether one of those says ``verification = strict``.
    """

    group: ServerGroup
    strict: Mapping[bytes, bool]

    @classmethod
    def of(cls, group: ServerGroup, trust_stores: Sequence[LoadedTrustStore]) -> Self:
        """What a server group with these trust stores asks."""
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
            return self._usage(chain[0]) or self._doubt(chain, now) or self._unlisted(chain)
        except Exception as error:
            return Objection(APPLICATION_VERIFICATION, f"it cannot be examined: {error}")

    def unverified(self, leaf: bytes) -> Objection | None:
        """What speaks against a client of an authority that is unknown; never raises."""
        try:
            return self._usage(leaf)
        except Exception as error:
            return Objection(APPLICATION_VERIFICATION, f"it cannot be examined: {error}")

    def _usage(self, leaf: bytes) -> Objection | None:
        if not self.group.required_eku:
            return None
        named = extended_key_usages(leaf)
        lacking = any(USAGES[usage] not in named for usage in self.group.required_eku)
        return Objection(UNSUITABLE_PURPOSE, reason(UNSUITABLE_PURPOSE)) if lacking else None

    def _doubt(self, chain: Sequence[bytes], now: datetime.datetime) -> Objection | None:
        if chain[-1] not in self.strict:
            return Objection(APPLICATION_VERIFICATION, "its chain ends in no authority of the server group")
        if not self.strict[chain[-1]]:
            return None
        doubt = second_opinion([x509.load_der_x509_certificate(der) for der in chain], now)
        return Objection(APPLICATION_VERIFICATION, f"second opinion: {doubt}") if doubt else None

    def _unlisted(self, chain: Sequence[bytes]) -> Objection | None:
        # The authority is believed for its key, and nobody looks at its signature.
        below = list(map(describe, chain[:-1] or chain))
        found = next((fault for fault in map(self._weakness, below) if fault), "")
        found = found or self._not_pinned(below[0]) or self._not_named(below[0])
        return Objection(APPLICATION_VERIFICATION, found) if found else None

    def _weakness(self, certificate: Description) -> str:
        group, kind, subject = self.group, certificate.key_type, certificate.subject[:_LONGEST_NAME]
        least = {"RSA": group.minimum_rsa_bits, "ECDSA": group.minimum_ec_bits}.get(kind, 0)
        if certificate.key_bits < least:
            return f"the {kind} key of {subject} has {certificate.key_bits} bits, and needs {least}"
        if group.signature_algorithms and certificate.signature_algorithm not in group.signature_algorithms:
            return f"{subject} is signed with {certificate.signature_algorithm}, which is not allowed"
        return ""

    def _not_pinned(self, leaf: Description) -> str:
        group = self.group
        if not (group.pin_certificate or group.pin_spki):
            return ""
        pinned = any(pin.sha256 == leaf.fingerprint_sha256 for pin in group.pin_certificate)
        pinned = pinned or any(pin.sha256 == leaf.spki_sha256 for pin in group.pin_spki)
        return "" if pinned else "neither its certificate nor its key is pinned"

    def _not_named(self, leaf: Description) -> str:
        group, names = self.group, leaf.sans
        if not any((group.allow_dns, group.allow_uri, group.allow_email, group.allow_ip, group.allow_subject)):
            return ""
        named = (
            any(pattern.allows(names) for pattern in group.allow_dns)
            or any(pattern.allows(names) for pattern in group.allow_uri)
            or any(pattern.allows(names) for pattern in group.allow_email)
            or any(pattern.allows(leaf.subject) for pattern in group.allow_subject)
            or _within(names, group.allow_ip)
        )
        return "" if named else "none of its names is on the lists of the server group"


def _within(names: AlternativeNames, networks: Sequence[Network]) -> bool:
    """Whether any address of a certificate is in a network; of the same version, and so never an IPv4-mapped one."""
    wanted = [ipaddress.ip_network(network) for network in networks]
    return any(address in network for address in map(_address, names.ip) if address for network in wanted)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:  # a network, as in name constraints: whoever has it is no host
        return None
