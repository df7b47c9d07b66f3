"""The interface between an exchange and the protocols that carry it.

A speaker (HTTP/1.1 now, HTTP/2 next) reads requests from a client's connection and gives each to an exchange as a
:class:`RequestHead` and a :class:`ClientStream`; an origin's connection gives the exchange an :class:`OriginStream`. An
exchange knows nothing else of either side. The law that every protocol keeps:

- **Head first, and whole.** A head is handed over once, after it was read strictly; a field that two readers could
  read differently is refused by the speaker. Field lines travel as ``name: value`` bytes without line ends, validated
  against RFC 9110, section 5; each protocol writes them in its own encoding and adds its own framing.
- **Body bytes in order, framing removed.** ``done`` is said exactly once, with or after the last byte. A body that ends
  early is a reset, never an end.
- **Credit.** Each side that is written to has ``full``: while bytes are unsent the writer pauses the side it reads
  from, until ``drained``. ``pause`` holds even for bytes that are decrypted already; what has been delivered is never
  delivered again. The end of a body may be told while it is paused, without a byte.
- **Trailers** come with ``done``, and only where ``done`` is true.
- **Interim responses** (1xx but 101) come before the response head, in any number that the speaker bounds.
- **Reset with a reason.** Either side may end a stream at any time; afterwards nothing is delivered to the one that
  was told, and nothing is written by the one that did it.
- **A tunnel** (RFC 9110, section 7.8; RFC 8441) begins where a request that asked for it is answered with 101: an
  origin's stream says 101 whatever its protocol says, and :meth:`OriginStream.tunnel` and :meth:`ClientStream.tunnel`
  end the streams as such. Then each side is a :class:`Tunnel`, bytes both ways with the credit of a body; what either
  side had sent too early is delivered first.
- **End.** Each of ``client_lost``, ``failed`` and ``done`` is the last call of its direction.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import ClassVar, Protocol

from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import NO_BODY, Body, Headers, Request
from edgenode.model.presentation import Presentation

NO_CONTENT = -1
"""The length of a message that has no body and says nothing of one."""


class RequestHead(Request):
    """A request as a speaker has read it; what rules seldom look at is computed when it is asked for.

    :ivar origin_target: the request target in origin form as it is forwarded, or ``*``.
    :ivar field_names: the names of its field lines in lower case, in the order received.
    :ivar field_block: the field lines as ``name: value``, names as received, each with its line end.
    :ivar options: the field names that its Connection field nominates as hop-by-hop, lower case.
    :ivar keep_alive: whether its connection may serve another request.
    :ivar expects_continue: whether the client waits for 100 before it sends the body.
    :ivar upgrade: whether it asks for WebSocket. Extended CONNECT (RFC 8441) is read as the GET that asks for it in
        HTTP/1.1, with ``connection: upgrade`` and ``upgrade: websocket``.
    """

    origin_target: bytes
    field_names: list[bytes]
    field_block: bytes
    options: frozenset[bytes]
    keep_alive: bool
    expects_continue: bool
    upgrade: bool

    def __init__(
        self,
        method: bytes,
        scheme: bytes,
        authority: bytes,
        target: bytes,
        path: bytes,
        query: bytes | None,
        normalised_path: bytes,
        version: tuple[int, int],
        length: int | None,
        fields: dict[bytes, tuple[bytes, ...]],
        origin_target: bytes,
        field_names: list[bytes],
        field_block: bytes,
        options: frozenset[bytes],
        keep_alive: bool,
        expects_continue: bool,
        upgrade: bool = False,
    ) -> None:
        self.method = method
        self.scheme = scheme
        self.authority = authority
        self.target = target
        self.path = path
        self.query = query
        self.normalised_path = normalised_path
        self.version = version
        self.length = length
        self.body = NO_BODY if length == 0 else None
        self.fields = fields
        self.origin_target = origin_target
        self.field_names = field_names
        self.field_block = field_block
        self.options = options
        self.keep_alive = keep_alive
        self.expects_continue = expects_continue
        self.upgrade = upgrade

    @property
    def field_lines(self) -> list[bytes]:
        """The field lines without their ends, index by index."""
        return self.field_block.split(b"\r\n")[:-1]

    @cached_property
    def names(self) -> tuple[bytes, ...]:  # type: ignore[override]  # who has one does not change it
        """The names of its field lines as received."""
        return tuple([line.partition(b":")[0] for line in self.field_lines])

    @cached_property
    def headers(self) -> Headers:  # type: ignore[override]
        """The header fields, names in lower case."""
        values = [line.partition(b": ")[2] for line in self.field_lines]
        pairs = zip(self.field_names, values, strict=True)
        host = self.fields[b"host"][0]  # of an absolute target, where it differs: RFC 9112, section 3.2.2
        return tuple([(name, host if name == b"host" else value) for name, value in pairs])

    def with_body(self, body: Body | None) -> Request:
        """The same request with its body, for rules; views that were computed without it are not kept."""
        return Request(
            self.method,
            self.scheme,
            self.authority,
            self.target,
            self.path,
            self.query,
            self.normalised_path,
            self.headers,
            self.names,
            self.version,
            self.length,
            body,
            self.fields,
        )


class ResponseHead:
    """The head of an origin's response, or of an interim one.

    :ivar version: of HTTP, as Via has it.
    :ivar status: the status code.
    :ivar reason: the reason phrase; empty if there is none.
    :ivar fields: every value of every field by its lower-case name.
    :ivar field_names: the names of its field lines in lower case, in the order received.
    :ivar field_block: the field lines as ``name: value``, names as received, each with its line end.
    :ivar length: the body's length in bytes, ``None`` if it is not known in advance.
    :ivar options: the field names that its Connection field nominates as hop-by-hop.
    """

    version: ClassVar[bytes] = b"1.1"
    __slots__ = ("field_block", "field_names", "fields", "length", "options", "reason", "status")

    def __init__(
        self,
        status: int,
        reason: bytes,
        fields: dict[bytes, tuple[bytes, ...]],
        field_names: list[bytes],
        field_block: bytes,
        length: int | None,
        options: frozenset[bytes],
    ) -> None:
        self.status = status
        self.reason = reason
        self.fields = fields
        self.field_names = field_names
        self.field_block = field_block
        self.length = length
        self.options = options

    @property
    def field_lines(self) -> list[bytes]:
        """The field lines without their ends, index by index."""
        return self.field_block.split(b"\r\n")[:-1]

    @property
    def headers(self) -> Headers:
        """The fields as (name in lower case, value) pairs."""
        values = [line.partition(b": ")[2] for line in self.field_lines]
        return tuple(zip(self.field_names, values, strict=True))


class Tunnel(Protocol):
    """One end of a tunnel, as it is written to."""

    @property
    def full(self) -> bool:
        """Whether some of what was written is unsent, so that the writer should wait for ``drained``."""
        ...

    def write(self, data: bytes) -> None:
        """Send bytes; after the end they are dropped."""

    def pause(self) -> None:
        """Deliver nothing until :meth:`resume`."""

    def resume(self) -> None:
        """Deliver again."""

    def end(self) -> None:
        """Send no more once all is sent, and deliver on."""

    def close(self) -> None:
        """End both directions once all is sent."""

    def reset(self, reason: str) -> None:
        """End both at once, so that it is no proper end."""


class TunnelReceiver(Protocol):
    """Whom one end of a tunnel tells what comes there."""

    def received(self, data: bytes) -> None:
        """Bytes came, at least one."""

    def drained(self) -> None:
        """All that was written has been sent."""

    def ended(self) -> None:
        """No more bytes come; what is written is still sent."""

    def lost(self, reason: str) -> None:
        """This end is over; nothing follows.

        :param reason: why, empty if it was closed properly.
        """


class ClientStream(Protocol):
    """One request and its response on a client's connection, as the exchange writes to it."""

    @property
    def full(self) -> bool:
        """Whether some of the response is unsent, so that the writer should wait for ``client_drained``."""
        ...

    @property
    def waits(self) -> bool:
        """Whether the client waits to be told to send its body."""
        ...

    def start_response(
        self, status: int, reason: bytes, lines: bytes, length: int | None, body: bytes, done: bool
    ) -> None:
        """Send the response head with the first bytes of the body.

        :param reason: the reason phrase; the status's own if it is empty.
        :param lines: field lines, each with CRLF, without those of framing and of the connection.
        :param length: of the body in bytes; ``None`` if it is not known in advance.
        :param done: whether ``body`` is all of it.
        """

    def send_body(self, body: bytes, done: bool, trailers: Headers = ()) -> None:
        """Send more of the response body."""

    def interim(self, status: int, reason: bytes, lines: bytes) -> None:
        """Send an interim response, if the client knows them."""

    def soon(self, call: Callable[[], None]) -> None:
        """Call it later in this round, when the other requests of the round have come as far; not if the stream is over
        by then."""

    def accept_body(self) -> None:
        """Send 100 if the client waits for it before its body."""

    def pause_body(self) -> None:
        """Deliver nothing of the request body until :meth:`resume_body`; the client's deadline for it stands still."""

    def resume_body(self) -> None:
        """Deliver again."""

    def reset(self, reason: str) -> None:
        """End the stream so that the response cannot be taken for complete."""

    def close_silently(self) -> None:
        """End it without a byte of a response: nginx's 444."""

    def last_request(self) -> None:
        """Serve no further request on the connection."""

    def tunnel(self, receiver: TunnelReceiver, lines: bytes) -> Tunnel:
        """Accept the request for a tunnel, and begin it.

        :param receiver: whom it tells what comes, though not from within this call.
        :param lines: field lines of the response, each with CRLF, without those that are of one hop.
        """
        ...


class RequestHandler(Protocol):
    """What handles one request, as the speaker calls it: the exchange."""

    def request_body(self, data: bytes, done: bool, trailers: Headers = ()) -> None:
        """Bytes of the request body."""

    def body_failed(self, error: ClientError) -> None:
        """The rest of the body cannot be had: malformed, or too slow."""

    def client_drained(self) -> None:
        """All of the response that was written has been sent."""

    def client_lost(self, reason: str) -> None:
        """The client's connection is over; nothing follows."""


class OriginStream(Protocol):
    """One request and its response on an origin's connection, as the exchange writes to it.

    :ivar protocol: what is spoken there: ``HTTP/2``, or empty for HTTP/1.1.
    :ivar presented: what became of our certificate on it; ``None`` without TLS.
    """

    protocol: ClassVar[str]
    presented: Presentation | None

    @property
    def full(self) -> bool:
        """Whether some of the request is unsent, so that the writer should wait for ``origin_drained``."""
        ...

    def begin(
        self,
        receiver: ResponseReceiver,
        method: bytes,
        target: bytes,
        host: bytes,
        lines: bytes,
        length: int | None,
        body: bytes,
        done: bool,
        expects: bool = False,
        upgrade: bool = False,
    ) -> None:
        """Send a request's head, with what is there of its body.

        :param host: the Host field, or ``:authority``.
        :param lines: the other field lines, each with CRLF, without those of framing and of the connection.
        :param length: of the body in bytes; ``None`` if not known in advance; :data:`NO_CONTENT` for no body.
        :param done: whether ``body`` is all of it.
        :param expects: whether the origin is asked to say, by an interim 100, that it wants the body.
        :param upgrade: whether it asks for WebSocket.
        """

    def send_body(self, data: bytes, done: bool, trailers: Headers = ()) -> None:
        """Send more of the request body."""

    def pause(self) -> None:
        """Deliver nothing of the response until :meth:`resume`; meanwhile the origin has no deadline for it."""

    def resume(self) -> None:
        """Deliver again."""

    def reset(self) -> None:
        """Give the request up: nobody wants the response, or the rest of it."""

    def tunnel(self, receiver: TunnelReceiver) -> Tunnel:
        """Go on as a tunnel, after the response 101."""
        ...


class ResponseReceiver(Protocol):
    """What an origin's stream tells what the origin answers: the exchange, or an agent's request."""

    def interim(self, head: ResponseHead) -> None:
        """An interim response came; more follows."""

    def responded(self, head: ResponseHead, body: bytes, done: bool) -> None:
        """The head of the final response came, with the first bytes of its body.

        :param head: 101 is final too, and only comes where ``upgrade`` was said.
        :param done: whether that is all of it.
        """

    def response_body(self, body: bytes, done: bool, trailers: Headers) -> None:
        """More of the response body came."""

    def origin_drained(self) -> None:
        """All of the request that was written has been sent."""

    def failed(self, error: OriginError) -> None:
        """There will be no response, or no more of it."""
