"""The engine on ``h2``: the oracle of the other one in tests, and its substitute where ``ngh2`` has no wheel.

Law: whatever ``h2`` raises ends a stream or the connection, and nothing is raised to who uses the engine.
"""

from __future__ import annotations

from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    PingAckReceived,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from edgenode.proxy.http2.engine import INTERNAL_ERROR, NO_ERROR, OUTPUT, Fields, Receiver
from edgenode.proxy.http2.fields import MalformedFields, check_outgoing, check_request, check_response
from edgenode.proxy.http2.guard import DUE, GOAWAY, HEAD, PREFACE
from edgenode.proxy.http2.limits import EngineLimits
from edgenode.proxy.http2.streams import PEER_STREAMS, Streams

_ANY_STREAM = 2**31 - 1
_WINDOW = 65535
"""The connection's window at its beginning (RFC 9113, section 6.9.2), bytes."""


class _Body:
    """What waits to be sent on a stream.

    :ivar done: whether that is all of it.
    :ivar ended: whether its end has been sent.
    :ivar trailers: what follows the body; ``None`` if nothing does.
    """

    __slots__ = ("chunks", "done", "ended", "size", "trailers")

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.size = 0
        self.done = self.ended = False
        self.trailers: Fields | None = None


class HyperEngine(Streams):
    """The frames of one connection, by ``h2``. See :class:`edgenode.proxy.http2.engine.Engine`."""

    __slots__ = ("_bodies", "_connection", "_goaway", "_made", "_received", "_told_preface")

    def __init__(self, server: bool, receiver: Receiver, limits: EngineLimits) -> None:
        super().__init__(server, receiver, limits)
        self._bodies: dict[int, _Body] = {}
        self._received: dict[int, int] = {}
        self._goaway = b""
        self._made = bytearray()
        self._told_preface = False
        self._connection = H2Connection(
            H2Configuration(
                client_side=not server,
                header_encoding=None,
                validate_outbound_headers=False,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
            )
        )
        settings: dict[SettingCodes, int] = {
            SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window,
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.max_header_list_size,
        }
        if server:
            settings |= {SettingCodes.MAX_CONCURRENT_STREAMS: limits.max_concurrent_streams}
            if limits.connect_protocol:
                settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1
        else:
            settings[SettingCodes.ENABLE_PUSH] = 0
        self._connection.local_settings = Settings(client=not server, initial_values=settings)
        self._connection.decoder.max_header_list_size = 2 * limits.max_header_list_size
        self._connection.initiate_connection()
        if limits.connection_window > _WINDOW:
            self._connection.increment_flow_control_window(limits.connection_window - _WINDOW)

    def _read(self, data: bytes, start: int, stop: int) -> None:
        if start == 0 and self._server and not self._told_preface:
            self._told_preface = True
            self._hand_over(data[: len(PREFACE)])
            start = len(PREFACE)
        while start < stop and not self._deaf:
            end = start + HEAD + int.from_bytes(data[start : start + 3], "big")
            if data[start + 3] == GOAWAY and end - start >= HEAD + 8 and data[start + 5 : start + HEAD] == bytes(4):
                # h2 reads nothing after it.
                last, code = (int.from_bytes(data[start + at : start + at + 4], "big") for at in (9, 13))
                self._draining = True
                self._goaway_came(last & _ANY_STREAM, code)
            else:
                self._hand_over(data[start:end])
            start = end

    def _hand_over(self, data: bytes) -> None:
        try:
            events = self._connection.receive_data(data)
        except (H2Error, ValueError) as error:
            self.error = f"{type(error).__name__}: {error}"
            self._deaf = True
            return
        for at, event in enumerate(events):
            self._tell(event, at + 1 < len(events) and isinstance(events[at + 1], StreamEnded))

    def _check_request(self, fields: Fields, done: bool) -> None:
        check_request(fields, done, self._limits.connect_protocol)

    def _check_response(self, fields: Fields) -> None:
        check_response(fields)

    def _window(self, stream: int) -> int:
        found = self._connection.streams.get(stream)
        return 0 if found is None else found.outbound_flow_control_window

    def _terminate(self, code: int) -> None:
        self._say_goaway(self._connection.highest_inbound_stream_id if self._server else 0, code)

    def _send_reset(self, stream: int, code: int) -> None:
        self._bodies.pop(stream, None)
        self._guarded(lambda: self._connection.reset_stream(stream, code))

    def output(self, size: int = OUTPUT) -> bytes:
        """The bytes to be sent now."""
        if self.closed:
            return b""
        made = self._made
        made += self._connection.data_to_send()
        for stream, body in [*self._bodies.items()]:
            if not body.ended and len(made) < size:
                self._send(stream, size - len(made))
                made += self._connection.data_to_send()
        if self._unsent:
            self._taken()
        made += self._goaway
        self._goaway = b""
        data = bytes(made[:size])
        del made[:size]
        self.closed = self._deaf = bool(self._deaf or (self._draining and not self._streams and not data))
        return data

    def _tell(self, event: Event, done: bool) -> None:
        match event:
            case RequestReceived():
                if event.stream_id not in self._streams:  # after our GOAWAY
                    self._guarded(lambda: self._connection.reset_stream(event.stream_id, ErrorCodes.REFUSED_STREAM))
                    return
                self._head_came(event.stream_id, event.headers, done)
            case ResponseReceived():
                self._head_came(event.stream_id, event.headers, done)
            case InformationalResponseReceived():
                self._interim_came(event.stream_id, event.headers)
            case DataReceived():
                padding = event.flow_controlled_length - len(event.data)
                self._guarded(lambda: self._connection.acknowledge_received_data(padding, event.stream_id))
                self._received[event.stream_id] = self._received.get(event.stream_id, 0) + len(event.data)
                self._data_came(event.stream_id, event.data, done)
            case TrailersReceived():
                self._trailers_came(event.stream_id, event.headers)
            case StreamEnded():
                self._check_ended(event.stream_id)
            case StreamReset():
                self._bodies.pop(event.stream_id, None)
                self._reset_came(event.stream_id, int(event.error_code), not event.remote_reset)
            case RemoteSettingsChanged():
                settings = self._connection.remote_settings
                self._peer_streams = settings.get(SettingCodes.MAX_CONCURRENT_STREAMS, PEER_STREAMS)
                self.connect_protocol = settings.enable_connect_protocol == 1
                self._receiver.settings()
            case PingAckReceived():
                self._receiver.pong(event.ping_data)

    def _check_ended(self, stream: int) -> None:
        """Forget a stream if both of its directions have ended."""
        state = self._connection.streams.get(stream)
        if state is None or state.closed:
            self._bodies.pop(stream, None)
            self._ended(stream)

    def _guarded(self, call: Callable[[], None]) -> bool:
        try:
            call()
        except (H2Error, ValueError):
            return False  # it is over
        return True

    def _takes_requests(self) -> bool:
        return not (self.closed or self.error or self._draining)

    def request(self, fields: Fields, done: bool) -> int:
        """Begin a stream with a request; 0 if the peer takes no more."""
        if not self.capacity:
            return 0
        try:
            stream = self._connection.get_next_available_stream_id()
            self._connection.send_headers(stream, fields, end_stream=done)
        except H2Error:
            return 0
        self._begun(stream)
        if not done:
            self._bodies[stream] = _Body()
        return stream

    def respond(self, stream: int, fields: Fields, done: bool) -> None:
        """Send the head of a final response."""
        if stream in self._streams and stream not in self._bodies and self._head(stream, fields, done):
            if done:
                self._answered(stream)
            else:
                self._bodies[stream] = _Body()

    def interim(self, stream: int, fields: Fields) -> None:
        """Send an interim response."""
        if stream in self._streams and stream not in self._bodies:
            self._head(stream, fields, False)

    def _head(self, stream: int, fields: Fields, done: bool) -> bool:
        sent = self._guarded(lambda: self._connection.send_headers(stream, fields, end_stream=done))
        if done:
            self._check_ended(stream)
        return sent

    def data(self, stream: int, data: bytes, done: bool) -> None:
        """Queue bytes of a body."""
        body = self._bodies.get(stream)
        if body is None or body.done:
            return
        body.done = done
        if done:
            self._answered(stream)
        if data:
            body.chunks.append(data)
            body.size += len(data)
            if stream not in self._unsent:
                self._unsent.append(stream)
            self._due += DUE

    def trailers(self, stream: int, fields: Fields) -> None:
        """Queue trailers behind the body."""
        body = self._bodies.get(stream)
        try:
            check_outgoing(fields)
        except MalformedFields:
            self.reset(stream, INTERNAL_ERROR)
            return
        if body is not None and not body.done:
            body.done, body.trailers = True, fields
            self._answered(stream)

    def _send(self, stream: int, most: int) -> None:
        """Take as much of a stream's body into frames as the windows allow, and no more than this."""
        body, connection = self._bodies[stream], self._connection
        try:
            while body.size:
                room = min(connection.local_flow_control_window(stream), connection.max_outbound_frame_size, most)
                most -= room
                if room <= 0:
                    return
                data = b"".join(body.chunks)
                body.chunks = [data[room:]] if len(data) > room else []
                body.size = max(0, len(data) - room)
                body.ended = body.done and not body.size and body.trailers is None
                connection.send_data(stream, data[:room], end_stream=body.ended)
            if body.done and not body.ended:
                body.ended = True
                if body.trailers is None:
                    connection.end_stream(stream)
                else:
                    connection.send_headers(stream, body.trailers, end_stream=True)
        except H2Error:
            del self._bodies[stream]
        if body.ended:
            self._check_ended(stream)

    def consumed(self, stream: int, size: int) -> None:
        """Give the place of so many bytes of a body back to the peer."""
        size = min(size, self._received.get(stream, 0))
        if not size:
            return
        self._received[stream] -= size
        if not self._received[stream]:
            del self._received[stream]
        self._guarded(lambda: self._connection.acknowledge_received_data(size, stream))

    def queued(self, stream: int) -> int:
        """How many bytes of the stream's body wait to be taken into frames."""
        body = self._bodies.get(stream)
        return 0 if body is None else body.size

    def ping(self, data: bytes) -> None:
        """Send a PING with eight bytes."""
        self._guarded(lambda: self._connection.ping(data))

    def shutdown_notice(self) -> None:
        """Announce that the connection will take no more streams soon."""
        if self._server and not self._draining:
            self._say_goaway(_ANY_STREAM, NO_ERROR)

    def goaway(self, code: int) -> None:
        """Take no more streams; with another code than 0 the connection ends."""
        if not self._deaf:
            self._draining = True
            self._deaf = code != NO_ERROR
            self._terminate(code)

    @property
    def stalled(self) -> bool:
        """Whether bytes of bodies wait for the peer's windows, when there is no output."""
        return any(body.size for body in self._bodies.values())

    def _say_goaway(self, last: int, code: int) -> None:
        # h2 knows only a GOAWAY after which nothing follows.
        frame = GoAwayFrame(0, last, code)
        self._goaway += frame.serialize()
