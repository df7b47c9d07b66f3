"""The tokens of challenges: what a client has to work on, and what its cookie has to be.

Law: nothing is kept of a challenge. A solution is good for the network, the agent and the host that its token was
issued to, until its time is over, and for no less work than is asked for now; one with anything wrong is none.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import ClassVar, Self

from attrs import field, frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange, host_of

LEAST_SECRET = 32
"""Bytes of a secret at least: as many as the signature has."""

_SOLUTION = re.compile(rb"(1\.([0-9a-f]{8})\.([0-9]{1,12})\.([0-9]{1,2})\.)([A-Za-z0-9_-]{43})\.[0-9]{1,16}")
"""Version, key, time of issue, difficulty, signature; and the counter that solves it."""

_AHEAD = 60.0
"""Seconds that the clock of another node with the same keys may be ahead."""

_ID = b"edgenode challenge: identifier of a key\0"
_BOUND = b"edgenode challenge: token\0"


@frozen
class Keys:
    """The secrets that tokens are signed with.

    :ivar signing: the one that signs, with the identifier by which tokens name it.
    :ivar accepted: all by which a token may be signed, that one among them, each by its identifier.
    """

    signing: bytes
    accepted: Mapping[bytes, bytes] = field(repr=False, hash=False)

    @classmethod
    def of(cls, secrets: Iterable[bytes]) -> Self:
        """Keys of secrets, of which the first signs. Nodes that share a secret know it by the same identifier.

        :raises InvalidValue: if there is none, or one that can be guessed.
        """
        several = tuple(dict.fromkeys(secrets))
        if not several or min(map(len, several)) < LEAST_SECRET:
            raise InvalidValue(f"each secret has at least {LEAST_SECRET} bytes, and there is one at least")
        accepted = {sha256(_ID + secret).hexdigest()[:8].encode(): secret for secret in several}
        return cls(next(iter(accepted)), accepted)


@frozen
class Tokens:
    """Issues tokens, and judges solutions.

    :ivar keys: what they are signed with.
    :ivar difficulty: how many bits of the hash of a solution are 0; the work doubles with each.
    :ivar lifetime: seconds from a token's issue until its solution is void.
    """

    COOKIE: ClassVar[str] = "__Host-edgenode-challenge"
    """The cookie of a solution; by its prefix (RFC 6265bis, section 4.1.3.2) no other host can have set it."""

    keys: Keys
    difficulty: int
    lifetime: float

    def issue(self, exchange: Exchange) -> bytes:
        """A token for the client of an exchange, good from the time of that."""
        token = b"1.%b.%d.%d." % (self.keys.signing, int(exchange.time), self.difficulty)
        return token + self._signature(self.keys.accepted[self.keys.signing], token, exchange)

    def fault(self, solution: bytes, exchange: Exchange) -> str:
        """Why a solution is none for an exchange; empty if it is one."""
        match = _SOLUTION.fullmatch(solution)
        if match is None:
            return "malformed"
        token, key, issued, bits, signature = match.groups()
        secret, age, difficulty = self.keys.accepted.get(key), exchange.time - int(issued), int(bits)
        if secret is None:
            return "signed with a key that is not accepted"
        if exchange.time <= 0:
            return "of a time that nobody knows"
        if not -_AHEAD <= age < self.lifetime:
            return "expired" if age > 0 else "of a time to come"
        if difficulty < self.difficulty:
            return "easier than is asked for now"
        if not hmac.compare_digest(self._signature(secret, token, exchange), signature):
            return "issued to another network, agent or host"
        if int.from_bytes(sha256(solution).digest()[:8], "big") >> max(64 - difficulty, 0):
            return "not solved"
        return ""

    def _signature(self, secret: bytes, token: bytes, exchange: Exchange) -> bytes:
        request = exchange.request
        host, agent = b"", b""
        if request is not None:
            host, agent = host_of(request.authority), b"\n".join(request.fields.get(b"user-agent", ()))
        # No part but the last can hold a NUL, so that no two clients come to the same.
        bound = b"\0".join((token, network(exchange.client), host, agent))
        return urlsafe_b64encode(hmac.digest(secret, _BOUND + bound, "sha256"))[:43]


def network(client: str) -> bytes:
    """The network that a client's address counts for: the /24 of IPv4, the /56 of IPv6; what is no address is as it is.

    Addresses of one client change within them: carriers translate, and hosts take temporary addresses (RFC 8981).
    """
    if ":" not in client:
        return client.rpartition(".")[0].encode("utf-8", "surrogateescape") or client.encode("utf-8", "surrogateescape")
    try:
        ip = ipaddress.IPv6Address(client.partition("%")[0])
    except ValueError:
        return client.encode("utf-8", "surrogateescape")
    return network(str(ip.ipv4_mapped)) if ip.ipv4_mapped is not None else b"%014x" % (int(ip) >> 72)
