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

from edgenode.config.load import Configuration
from edgenode.model.decision import NOTHING, Decision
from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import Body, ClientIdentity, Connection, Exchange, Response, Verification
from edgenode.net.deadlines import Deadlines
from edgenode.node.assembly import Assembly
from edgenode.observe.event_log import EventLog
from edgenode.policy.jwt.tokens import KeysWanted
from edgenode.proxy.judging import TOO_LARGE, JudgedRequest
from edgenode.proxy.listener.client_session import ClientSession
from edgenode.proxy.listener.context import ListenerContext
from edgenode.proxy.listener.limits import ClientLimits
from edgenode.proxy.listener.redirecting import redirect_of
from edgenode.proxy.listener.speakers import read_request_head
from edgenode.proxy.routing import ServedGroup, ServedPathMap
from edgenode.proxy.streams import RequestHead
from edgenode.simulation.heard_state import HeardState
from edgenode.simulation.overhearing import all_own, overheard
from edgenode.tls.identity import identity_of
from edgenode.tls.problems import in_words


class NetworkNeeded(Exception):
    """A stage of the pipeline waits for the network, which is not there."""


class SimulatedClient(ClientSession):
    """A client on a connection that nobody has opened.

    :param connection: the facts of the connection, with the verdict on the client as of its handshake.
    :param group: the server group of the handshake.
    :param context: of the listener.
    :param at: the time, seconds since the epoch.
    :param settled: whether the verdict on the client stands as it is, and is not made anew for each request.
    """

    __slots__ = ("_at", "_settled")

    def __init__(
        self, connection: Connection, group: ServedGroup, context: ListenerContext, at: float, *, settled: bool = False
    ) -> None:
        self._at, self._settled = at, settled
        super().__init__(evolve(connection, client=None) if settled else connection, group, context)
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

    :ivar exchange: the exchange, as far as it was routed, without tags.
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


@frozen(eq=False)
class Simulator:
    """A configuration, ready to judge.

    :ivar configuration: the configuration.
    :ivar state: what it remembers between requests, and the node does not know.
    """

    configuration: Configuration
    state: HeardState
    _contexts: dict[str, ListenerContext]

    @classmethod
    def of(cls, configuration: Configuration) -> Self:
        """Make all that serves it; nothing is opened, and nothing is asked.

        :raises ConfigurationError: if one of its stages is given by a program.
        """
        clock: Any = Clock()
        state = HeardState()
        configuration = evolve(overheard(configuration), state=state, wanted=KeysWanted())
        assembly, events = Assembly.of(configuration, clock, Deadlines(clock)), EventLog(None, clock)
        return cls(configuration, state, {name: assembly.context(name, events) for name in configuration.listeners})

    def listener_for(self, connection: Connection) -> str:
        """The first listener that has a server group for a connection; the first of all if none has."""
        listeners = list(self._contexts)
        if not connection.tls_version:
            listeners.sort(key=lambda name: not self.plain(name))
        return next((each for each in listeners if self.group(each, connection) is not None), listeners[0])

    def plain(self, listener: str) -> bool:
        """Whether a listener speaks HTTP without TLS."""
        section = self.configuration.listeners[listener]
        return section.tls == "no" and section.protocol == "http"

    def redirect(self, listener: str, head: RequestHead) -> Response | None:
        """The redirect with which a listener answers every request; ``None`` if it serves them.

        :raises ClientError: 421, if no server group has the host.
        """
        port = self.configuration.listeners[listener].redirect_to_https
        return None if port is None else redirect_of(port, self._contexts[listener].router, head)[1]

    def group(self, listener: str, connection: Connection) -> ServedGroup | None:
        """The server group whose TLS policy is that of a handshake; ``None`` if the handshake is refused."""
        router = self._contexts[listener].router
        if self.plain(listener):
            return None if connection.tls_version else router.entry
        return router.named(connection.server_name, connection.local.host)

    def client(
        self, listener: str, connection: Connection, group: ServedGroup, at: float, *, settled: bool = False
    ) -> SimulatedClient:
        """A client of a listener; the parameters are those of :class:`SimulatedClient`."""
        return SimulatedClient(connection, group, self._contexts[listener], at, settled=settled)

    def read(self, listener: str, head: bytes, client: SimulatedClient) -> RequestHead:
        """Read the head of a request as a listener does.

        :raises ClientError: if it is refused.
        """
        limits = ClientLimits.of(self.configuration.listeners[listener]).head
        scheme = b"http" if self.plain(listener) else b"https"
        return read_request_head(head, limits, scheme, client.authority)

    def judge(self, client: SimulatedClient, head: RequestHead, body: Body, address: str | None = None) -> Judged:
        """Judge a request.

        :param body: what it brings along.
        :param address: the client's; what trusted proxies report of it, or its connection's, if absent.
        :raises NetworkNeeded: if a stage waits for the network.
        """
        self.state.at(client.now())
        for stage in all_own(self.configuration):
            stage.said, stage.missing = NOTHING, frozenset()
        judged = JudgedRequest()
        judged.arrive(client, head, client.now(), address)
        _at_once(judged.judge())
        if judged.wants:
            assert judged.path_map is not None
            if body.size > judged.path_map.max_body_size <= judged.wants:  # it is cut off before it is judged
                judged.error = ClientError(413, TOO_LARGE)
            else:
                _at_once(judged.judge_body(body.data))
        refusal = judged.error
        assert not isinstance(refusal, OriginError)
        group = None if judged.site is None else judged.site.group
        return Judged(evolve(judged.exchange, tags=frozenset()), group, judged.path_map, refusal, judged.decision)


def _at_once(waiting: Deferred[Decision] | None) -> None:
    if waiting is not None:
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        raise NetworkNeeded("a stage of the pipeline asks the network; nothing can be said without it")


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
        return group.trust.look_again(evolve(unjudged, chain_sent=sent), now)[0]
    except (crypto.Error, x509.InvalidVersion) as error:
        raise ValueError(f"not a certificate: {in_words(error)}") from None
