"""Which verified clients a server group lets in: extended key usage, strict path validation, key sizes, signature
algorithms, pins and lists of names, each only if the group asks for it.

The law: this only ever refuses. It runs at the end of every handshake, and again whenever the verdict on an open
connection is made anew; whatever cannot be examined is refused.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Self

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from edgenode.model.exchange import ClientIdentity
from edgenode.tls.allowlists import AllowLists
from edgenode.tls.bounds import COSTLY, is_costly, too_large
from edgenode.tls.identity import UNREADABLE, describe
from edgenode.tls.servergroups import ServerGroup
from edgenode.tls.strict import path_fault
from edgenode.tls.truststores import LoadedTrustStore
from edgenode.tls.verify_errors import APPLICATION_VERIFICATION, INVALID_PURPOSE, reason

_LONGEST, _LONGEST_NAME = 300, 100
"""Characters of a sentence, and of a distinguished name in it."""

_USAGES = MappingProxyType({"clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string})


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
    _lists: AllowLists
    _certificates: frozenset[str]
    _keys: frozenset[str]

    @classmethod
    def of(cls, group: ServerGroup, trust_stores: Sequence[LoadedTrustStore]) -> Self:
        """What a server group asks, with the trust stores that it names."""
        strict: dict[bytes, bool] = {}
        for store in trust_stores:
            for authority in store.authorities:
                der = authority.public_bytes(Encoding.DER)
                strict[der] = strict.get(der, False) or store.section.verification != "openssl"
        patterns = (*group.allow_dns, *group.allow_uri, *group.allow_email)
        pins = frozenset(map(str, group.pin_certificate)), frozenset(map(str, group.pin_spki))
        return cls(group, strict, AllowLists.of(patterns, group.allow_subject, group.allow_ip), *pins)

    def objection(self, chain: Sequence[bytes], now: datetime.datetime) -> Objection | None:
        """What speaks against a client; never raises.

        :param chain: as OpenSSL verified it, DER: the leaf, the intermediates, the authority.
        :param now: the time, UTC.
        """
        try:
            return self._cost(chain) or self._usage(chain[0]) or self._strictly(chain, now) or self._unlisted(chain)
        except Exception:
            return Objection(APPLICATION_VERIFICATION, UNREADABLE)

    def unverified(self, leaf: bytes) -> Objection | None:
        """What speaks against a client of an authority that is unknown, from its certificate, DER; never raises."""
        try:
            return self._usage(leaf)
        except Exception:
            return Objection(APPLICATION_VERIFICATION, UNREADABLE)

    def _cost(self, chain: Sequence[bytes]) -> Objection | None:
        # What else the client sent is counted when the handshake is done. The authority is not the client's to choose.
        size, largest = sum(map(len, chain[:-1])), self.group.max_chain_size
        fault = too_large(size, largest) if size > largest else COSTLY if is_costly(chain) else ""
        return Objection(APPLICATION_VERIFICATION, fault) if fault else None

    def _usage(self, leaf: bytes) -> Objection | None:
        if not self.group.required_eku:
            return None
        named = describe(leaf).extended_key_usages
        lacking = any(_USAGES[usage] not in named for usage in self.group.required_eku)
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
        for der in chain[:-1] or chain:
            if fault := self._weakness(describe(der)):
                return Objection(APPLICATION_VERIFICATION, fault)
        fault = self._strangeness(describe(chain[0]))
        return Objection(APPLICATION_VERIFICATION, fault) if fault else None

    def _weakness(self, certificate: ClientIdentity) -> str:
        """What is wrong with the key or the signature of a certificate below the authority; empty if nothing is."""
        group, kind, signature = self.group, certificate.key_type, certificate.signature_algorithm
        least = group.minimum_ec_bits if kind == "ECDSA" else group.minimum_rsa_bits if kind == "RSA" else 0
        if certificate.key_bits < least:
            name = certificate.subject[:_LONGEST_NAME]
            return f"the {kind} key of {name} has {certificate.key_bits} bits, and needs {least}"
        if group.signature_algorithms and signature not in group.signature_algorithms:
            return f"{certificate.subject[:_LONGEST_NAME]} is signed with {signature}, which is not allowed"
        return ""

    def _strangeness(self, leaf: ClientIdentity) -> str:
        """Whether the client's own certificate is neither pinned nor named, where that is asked for: a sentence."""
        certificates, keys = self._certificates, self._keys
        if (certificates or keys) and leaf.fingerprint_sha256 not in certificates and leaf.spki_sha256 not in keys:
            return "neither its certificate nor its key is pinned"
        if self._lists and not self._lists.allow(leaf):
            return "none of its names is on the lists of the server group"
        return ""
