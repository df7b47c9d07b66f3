"""A configuration that judges requests that nobody has sent: everything that serves, and no socket.

Law: what is said of a request here is what the node would say, for the same reader, router, visitor, pipelines and
policies are asked; only the clock is another, and who is at the other end is taken on trust.
"""

from __future__ import annotations

import datetime
from typing import Any, Self

from attrs import evolve, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import crypto
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from edgenode.config.load import Configuration
from edgenode.model.errors import ClientError
from edgenode.model.exchange import Body, ClientIdentity, Connection, Response, Verification
from edgenode.net.deadlines import Deadlines
from edgenode.node.assembly import Assembly
from edgenode.proxy.crossing import answered_here
from edgenode.proxy.http1.requestheads import Limits, RequestHead, read_request_head
from edgenode.proxy.judging import TOO_LARGE, Judgement, judge_body, judge_request
from edgenode.proxy.listener.client_session import Visitor
from edgenode.proxy.listener.listener import Listener
from edgenode.proxy.routing import Router, ServedGroup
from edgenode.proxy.trusted_proxies import TrustedProxies
from edgenode.tls.identity import identity_of


class Waiting(Exception):
    """A stage of the pipeline waits for the network, which is not there."""


class Guest(Visitor):
    """A client that is only thought of.

    :param at: the time, seconds since the epoch.
    :param settled: whether the verdict on its certificate stands as it is, and is not made anew.
    """

    __slots__ = ("_at", "_settled")

    def __init__(
        self, connection: Connection, shaken: ServedGroup, router: Router, at: float, *, settled: bool = False
    ) -> None:
        self._at, self._settled = at, settled
        super().__init__(evolve(connection, client=None) if settled else connection, shaken, router)
        self.connection = connection

    def now(self) -> float:
        """The time it is thought to be."""
        return self._at

    def as_of_now(self, group: ServedGroup) -> Connection:
        """The facts of its connection, with the verdict on its certificate."""
        return self.connection if self._settled else super().as_of_now(group)


@frozen(eq=False)
class Rehearsal:
    """A configuration, ready to judge.

    :ivar configuration: the configuration.
    """

    configuration: Configuration
    _assembly: Assembly
    _trusted: TrustedProxies

    @classmethod
    def of(cls, configuration: Configuration) -> Self:
        """Make all that serves it; nothing is opened, and nothing is asked."""
        clock: Any = Clock()
        assembly = Assembly.of(configuration, clock, Deadlines(clock))
        edge = configuration.edge
        return cls(configuration, assembly, TrustedProxies(edge.trusted_proxies, edge.client_address))

    def router(self, listener: str) -> Router:
        """The server groups of a listener."""
        return self._assembly.routers[listener]

    def read(self, listener: str, head: bytes) -> RequestHead:
        """Read the head of a request as a listener does.

        :raises ClientError: if it is refused.
        """
        return read_request_head(head, limits(self.configuration.listeners[listener]))

    def judge(
        self, guest: Guest, router: Router, head: RequestHead, body: Body, client: str | None = None
    ) -> Judgement:
        """Judge a request.

        :param body: what it brings along.
        :param client: the client's address; what trusted proxies report of it if absent.
        :raises Waiting: if a stage waits for the network.
        """
        if client is None:
            client = guest.passage(head, self._trusted, b"rehearsal").client
        judgement = _at_once(judge_request(router, guest, head, client))
        if not judgement.wants:
            return judgement
        assert judgement.path_map is not None
        if body.size > judgement.path_map.max_body_size <= judgement.wants:  # it is cut off before it is judged
            judgement.refusal, judgement.wants = ClientError(413, TOO_LARGE), 0
            return judgement
        return _at_once(judge_body(judgement, body.data))

    def answered_here(self, guest: Guest, head: RequestHead) -> Response | None:
        """The node's own answer to a request that would be forwarded but may pass no further proxy."""
        return answered_here(head.request, guest.passage(head, self._trusted, b"rehearsal"))


def limits(listener: Listener) -> Limits:
    """What a listener takes."""
    return Limits(listener.max_target_size, listener.max_header_size, listener.max_headers)


def _at_once(judgement: Judgement | Deferred[Judgement]) -> Judgement:
    if not isinstance(judgement, Deferred):
        return judgement
    found: list[Judgement] = []
    judgement.addCallback(found.append)
    if not found:
        raise Waiting
    return found[0]


def client_of(data: bytes, group: ServedGroup, now: datetime.datetime) -> ClientIdentity:
    """The identity that a certificate gives to a client of a server group, with the verdict of its trust stores.

    :param data: PEM: the leaf, and behind it the chain that the client would send.
    :param now: the time to judge it by, UTC.
    :raises ValueError: if there is no certificate in it, or one that cannot be read.
    """
    try:
        leaf, *chain = x509.load_pem_x509_certificates(data)
        certificate = crypto.X509.from_cryptography(leaf)
        sent = tuple(each.public_bytes(Encoding.DER) for each in chain)
        unjudged = identity_of(certificate, Verification(presented=True, verified=True))
        judged, _ = group.trust.look_again(evolve(unjudged, chain_sent=sent), now)
        # One look ends at the first error, and a stranger's certificate may have expired as well.
        return judged if judged.verification.verified else group.trust.look_again(judged, now)[0]
    except (crypto.Error, x509.InvalidVersion) as error:
        raise ValueError(f"not a certificate: {error}") from None
