"""Every extension point, and nothing else."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ISSLTransport
from zope.interface import Attribute, Interface

from edgenode.model.decision import Decision
from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import ClientIdentity, Connection, Exchange
from edgenode.model.functions import OriginResponse
from edgenode.model.presentation import Presentation
from edgenode.model.relayed import StreamState
from edgenode.model.trace import Trace
from edgenode.model.websocket import WebSocketState


class Stage(Protocol):
    """One step of a pipeline."""

    @property
    def name(self) -> str:
        """The stage's name in reasons and timings."""

    @property
    def needs(self) -> frozenset[str]:
        """What its rules look at besides the head of a request, such as ``body``: see ``rules.fields.Field.needs``."""

    def decide(self, exchange: Exchange) -> Decision | Deferred[Decision]:
        """Judge an exchange; it must not be changed. Return a Deferred only if something has to be waited for; this may
        be an ``async def`` as well. It is cancelled after ``judging-timeout``, and when the client has gone.

        Later the exchange has the tags of this stage and of the stages behind it.
        """


class ResponseStage(Protocol):
    """A stage that judges the answers of origins, before a byte of them goes to the client."""

    @property
    def name(self) -> str:
        """The stage's name in reasons and timings."""

    @property
    def filter(self) -> str:
        """The name of its section, for reasons."""

    @property
    def whole(self) -> bool:
        """Whether an answer is refused if its body is wanted and cannot be seen to its end."""

    @property
    def limit(self) -> int:
        """How much of an answer's body is held back for it, bytes; 0 if it looks at none."""

    def wants(self, exchange: Exchange, response: OriginResponse) -> bool:
        """Whether it looks at the body of an answer.

        :param response: the answer without its body.
        """

    def decide_response(self, exchange: Exchange, response: OriginResponse) -> Decision | Deferred[Decision]:
        """Judge an answer. What the decision's ``rewrite`` changes are its header fields; an action that answers or
        closes is taken in its place."""


EVENT_HEADERS = (b"content-type", b"referer", b"user-agent")
"""The header fields whose values events have, unless the configuration names others."""


class Standing(Protocol):
    """What is the same for many exchanges: those of one connection with one verdict on the client's certificate, one
    server group, security policy and path map. Listener and client's address may differ.

    :ivar event_prefix: the part of an event that depends on nothing else, empty until the first of them is written.
    """

    event_prefix: str


class Record(Protocol):
    """What happened in one exchange, or on a connection that never came to one; it does not change any more."""

    @property
    def listener(self) -> str:
        """The name of the listener."""

    @property
    def exchange(self) -> Exchange:
        """The exchange, as far as it was routed."""

    @property
    def decision(self) -> Decision:
        """What was decided."""

    @property
    def standing(self) -> Standing | None:
        """Where the part of the event that many exchanges share is kept; ``None`` if nowhere."""

    @property
    def event_headers(self) -> tuple[bytes, ...]:
        """The header fields whose values its event has: names in lower case, each once."""

    @property
    def identifier(self) -> bytes:
        """The request's identifier, ``X-Request-Id``; empty if none was made."""

    @property
    def status(self) -> int:
        """The status sent to the client, or what that stands for in gRPC; 444 closed by the node, 499 closed by the
        client, 0 nothing was answered."""

    @property
    def grpc_status(self) -> int | None:
        """The status of gRPC that the client was sent; ``None`` for none."""

    @property
    def error(self) -> ClientError | OriginError | None:
        """What failed, and by whose fault."""

    @property
    def origin(self) -> str:
        """The name of the origin; empty if none was asked."""

    @property
    def server(self) -> str | None:
        """The server of the origin that was asked last, as ``host:port`` or ``unix:/path``."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """The certificate headers that it was not sent, for they would be too long."""

    @property
    def queued(self) -> float:
        """How long it waited for a connection to the origin, seconds."""

    @property
    def tries(self) -> int:
        """How many servers were asked."""

    @property
    def reused(self) -> bool:
        """Whether the last of them on a connection that was kept."""

    @property
    def origin_protocol(self) -> str:
        """What was spoken to it: ``HTTP/2``; empty for HTTP/1.1, or if nothing was."""

    @property
    def origin_status(self) -> int:
        """The status that the origin answered, 0 for none."""

    @property
    def presented(self) -> Presentation | None:
        """What became of our client certificate on the last connection to it; ``None`` without TLS, or without any."""

    @property
    def websocket(self) -> WebSocketState | None:
        """How a WebSocket stands, in the events behind that of its handshake; else ``None``."""

    @property
    def relayed(self) -> StreamState | None:
        """How a stream that is no HTTP has ended; else ``None``."""

    @property
    def trace(self) -> Trace | None:
        """Where it stands in a trace; ``None`` if there is none."""

    @property
    def received(self) -> int:
        """Bytes of the request's body that came."""

    @property
    def sent(self) -> int:
        """Bytes of the response's body that were sent."""

    @property
    def time(self) -> float:
        """When it began, seconds since the epoch."""

    @property
    def began(self) -> float:
        """When it began, seconds of :func:`time.perf_counter`; likewise the others."""

    @property
    def decided(self) -> float:
        """When it was decided; 0.0 if it never was."""

    @property
    def answered(self) -> float:
        """When the origin's answer began; 0.0 if there was none."""

    @property
    def ended(self) -> float:
        """When it ended."""


class IEventSink(Interface):
    """Takes the record of every exchange."""

    def record(record: Record) -> None:
        """Take a record, which may be kept: ``edgenode.event_of`` makes the event of it, and ``edgenode.event_line``
        that as a line of JSON, when there is time. It must not block. What it raises is
        logged, once a minute, and counts as an event that is lost."""


class IEdgeTransport(ISSLTransport):
    """The transport of a protocol on a listener: Twisted's own with what the node knows of the client besides."""

    connection: Connection = Attribute("The facts of the connection, with the verdict on its client as of now.")
    client: ClientIdentity | None = Attribute("The client's identity as of now; ``None`` without a certificate.")
    server_group: str = Attribute("The name of the server group by whose policy the client was verified.")
