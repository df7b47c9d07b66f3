"""A configuration that judges requests that nobody has sent: all that serves, and no socket.

Law: what is said of a request here is what the node would say, for the same reader, router, session, pipelines and
policies are asked; only the clock is another, and the facts of the connection are taken as given.
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
from zope.interface import implementer

from edgenode.config.load import Configuration
from edgenode.model.decision import Decision, Outcome
from edgenode.model.errors import ClientError
from edgenode.model.exchange import Body, ClientIdentity, Connection, Exchange, Response, Verification
from edgenode.model.interfaces import IEventSink
from edgenode.net.deadlines import Deadlines
from edgenode.node.assembly import Assembly
from edgenode.proxy.crossing import answered_here
from edgenode.proxy.http1.requestheads import Limits, RequestHead, read_request_head
from edgenode.proxy.judging import TOO_LARGE, Judgement, judge_body, judge_request
from edgenode.proxy.listener.client_session import Visitor
from edgenode.proxy.listener.context import Surroundings as ListenerContext
from edgenode.proxy.routing import ServedGroup, ServedPathMap
from edgenode.tls.identity import identity_of


class NetworkNeeded(Exception):
    """A stage of the pipeline waits for the network, which is not there."""


class SimulatedClient(Visitor):
    """A client on a connection that nobody has opened.

    :param connection: the facts of the connection, with the verdict on the client as of its handshake.
    :param group: the server group of the handshake.
    :param context: of the listener.
    :param at: the time, seconds since the epoch.
    :param settled: whether the verdict on the client stands as it is, and is not made anew for each request.
    :ivar context: of the listener.
    """

    __slots__ = ("_at", "_settled", "context")

    def __init__(
        self, connection: Connection, group: ServedGroup, context: ListenerContext, at: float, *, settled: bool = False
    ) -> None:
        self._at, self._settled, self.context = at, settled, context
        super().__init__(evolve(connection, client=None) if settled else connection, group, context.router)
        self.connection = connection

    def now(self) -> float:
        """The time that was given."""
        return self._at

    def as_of_now(self, group: ServedGroup) -> Connection:
        """The facts of its connection, with the verdict on its certificate."""
        return self.connection if self._settled else super().as_of_now(group)


@frozen(eq=False)
class Judged:
    """What becomes of a request.

    :ivar exchange: the exchange, as far as it was routed.
    :ivar group: its server group; ``None`` if none would serve it.
    :ivar path_map: its path map; ``None`` if none matched.
    :ivar refusal: why the pipeline was not asked; ``None`` if it was.
    :ivar decision: what the pipeline said; the automatic tags if it was not asked.
    """

    exchange: Exchange
    group: ServedGroup | None
    path_map: ServedPathMap | None
    refusal: ClientError | None
    decision: Decision

    def outcome(self) -> Outcome:
        """What the decision makes of the exchange."""
        return self.decision.outcome(self.exchange)


@implementer(IEventSink)
class _NoEvents:
    def record(self, told: object) -> None:
        """Nothing has happened."""


@frozen(eq=False)
class Simulator:
    """A configuration, ready to judge.

    :ivar configuration: the configuration.
    """

    configuration: Configuration
    _contexts: dict[str, ListenerContext]

    @classmethod
    def of(cls, configuration: Configuration) -> Self:
        """Make all that serves it; nothing is opened, and nothing is asked."""
        clock: Any = Clock()
        assembly = Assembly.of(configuration, clock, Deadlines(clock))
        return cls(configuration, {name: assembly.context(name, _NoEvents()) for name in configuration.listeners})

    def listener_for(self, server_name: str | None) -> str:
        """The first listener that has a server group for the name in the handshake; the first of all if none has."""
        listeners = list(self._contexts)
        return next((each for each in listeners if self.group(each, server_name) is not None), listeners[0])

    def group(self, listener: str, server_name: str | None) -> ServedGroup | None:
        """The server group whose TLS policy is that of a handshake; ``None`` if the handshake is refused.

        :param server_name: the name in the handshake; ``None`` for none.
        """
        return self._contexts[listener].router.named(server_name)

    def client(
        self, listener: str, connection: Connection, group: ServedGroup, at: float, *, settled: bool = False
    ) -> SimulatedClient:
        """A client of a listener; the parameters are those of :class:`SimulatedClient`."""
        return SimulatedClient(connection, group, self._contexts[listener], at, settled=settled)

    def read(self, listener: str, head: bytes) -> RequestHead:
        """Read the head of a request as a listener does.

        :raises ClientError: if it is refused.
        """
        section = self.configuration.listeners[listener]
        return read_request_head(head, Limits(section.max_target_size, section.max_header_size, section.max_headers))

    def judge(self, client: SimulatedClient, head: RequestHead, body: Body, address: str | None = None) -> Judged:
        """Judge a request.

        :param body: what it brings along.
        :param address: the client's; what trusted proxies report of it, or its connection's, if absent.
        :raises NetworkNeeded: if a stage waits for the network.
        """
        if address is None:
            address = client.passage(head, client.context.trusted_proxies, client.context.via).client
        judgement = _at_once(judge_request(client.context.router, client, head, address))
        if judgement.wants:
            assert judgement.path_map is not None
            if body.size > judgement.path_map.max_body_size <= judgement.wants:  # it is cut off before it is judged
                judgement.refusal = ClientError(413, TOO_LARGE)
            else:
                judgement = _at_once(judge_body(judgement, body.data))
        return Judged(judgement.exchange, judgement.group, judgement.path_map, judgement.refusal, judgement.decision)

    def answered_here(self, client: SimulatedClient, head: RequestHead) -> Response | None:
        """The node's own answer to a request that would be forwarded but may pass no further proxy."""
        context = client.context
        return answered_here(head.request, client.passage(head, context.trusted_proxies, context.via))


def _at_once(judgement: Judgement | Deferred[Judgement]) -> Judgement:
    if not isinstance(judgement, Deferred):
        return judgement
    found: list[Judgement] = []
    judgement.addCallback(found.append)
    if not found:
        raise NetworkNeeded
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
