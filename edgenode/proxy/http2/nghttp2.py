"""The engine on libnghttp2, by ``ngh2``.

Law: whatever ``ngh2`` raises ends a stream or the connection, and nothing is raised to who uses the engine: it may call
for streams and connections that are over.
"""

from __future__ import annotations

import struct
from typing import Any

from ngh2 import (
    Configuration,
    Connection,
    ConnectionClosed,
    DataReceived,
    Event,
    GoAwayReceived,
    InformationalResponseReceived,
    NGH2Error,
    PingAcknowledged,
    RequestReceived,
    ResponseReceived,
    Role,
    SettingsReceived,
    StreamClosed,
    StreamReset,
    TrailersReceived,
)

from edgenode.proxy.http2.engine import (
    ENHANCE_YOUR_CALM,
    INTERNAL_ERROR,
    NO_ERROR,
    OUTPUT,
    PROTOCOL_ERROR,
    Fields,
    Receiver,
    code_name,
)
from edgenode.proxy.http2.fields import MalformedFields, check_meaning, check_outgoing, check_status
from edgenode.proxy.http2.guard import DUE, OPEN
from edgenode.proxy.http2.limits import EngineLimits
from edgenode.proxy.http2.streams import PEER_STREAMS, Streams

_STREAMS, _CONNECT_PROTOCOL = 3, 8
"""Of a peer's settings those that are looked at (RFC 9113, section 6.5.2; RFC 8441, section 3)."""

_GOAWAY = struct.Struct("!HBBBIII")
_FAILED = (NGH2Error, ValueError, MemoryError)

_LARGEST_HEAD = 1 << 24
"""Bytes of a head that is sent. What a head may have is bounded where it is read, and by keys."""


class Nghttp2Engine(Streams):
    """The frames of one connection, by libnghttp2. See :class:`edgenode.proxy.http2.engine.Engine`."""

    __slots__ = ("_connection", "_last_words")

    def __init__(self, server: bool, receiver: Receiver, limits: EngineLimits) -> None:
        super().__init__(server, receiver, limits)
        self._last_words = b""
        self._connection = Connection(
            Role.SERVER if server else Role.CLIENT,
            Configuration(
                auto_window_update=False,
                peer_max_concurrent_streams=PEER_STREAMS,
                max_send_header_block_length=_LARGEST_HEAD,
                max_continuations=limits.max_continuations,
                max_inbound_header_list_size=2 * limits.max_header_list_size,
                max_inbound_header_count=2 * limits.max_headers,
                # Counted in front of it, by lower rates.
                stream_reset_rate_limit=(1 << 30, 1 << 30),
                glitch_rate_limit=(1 << 30, 1 << 30),
            ),
        )
        settings = {4: limits.stream_window, 6: limits.max_header_list_size}
        if server:
            settings |= {_STREAMS: limits.max_concurrent_streams, 9: 1}
            if limits.connect_protocol:
                settings[_CONNECT_PROTOCOL] = 1
        else:
            settings[2] = 0
        self._connection.initiate_connection(settings)
        self._connection.set_local_window_size(limits.connection_window)

    def _read(self, data: bytes, start: int, stop: int) -> None:
        whole = start == 0 and stop == len(data)
        try:
            self._connection.receive_data(data if whole else memoryview(data)[start:stop])
        except _FAILED as error:
            self._give_up(str(error))
        self._tell(self._connection.events())

    def _give_up(self, error: str) -> None:
        """Libnghttp2 has given the connection up without a word: say it in its place."""
        self.error = self.error or error
        self._deaf = True
        self._last_words = _GOAWAY.pack(0, 8, 7, 0, 0, 0, ENHANCE_YOUR_CALM if "exceeds" in error else PROTOCOL_ERROR)

    def _check_request(self, fields: Fields, done: bool) -> None:
        check_meaning(fields)

    def _check_response(self, fields: Fields) -> None:
        check_status(fields[0][1])

    def _window(self, stream: int) -> int:
        try:
            return self._connection.stream_remote_window_size(stream)
        except NGH2Error:
            return 0

    def _terminate(self, code: int) -> None:
        try:
            self._connection.terminate_connection(code)
        except NGH2Error:
            self.closed = True

    def _send_reset(self, stream: int, code: int) -> None:
        try:
            self._connection.reset_stream(stream, code)
        except NGH2Error:
            pass  # it is over, here and below

    def output(self, size: int = OUTPUT) -> bytes:
        """The bytes to be sent now."""
        if self.closed:
            return b""
        if self._last_words:
            words, self._last_words, self.closed = self._last_words, b"", True
            return words
        try:
            data = self._connection.data_to_send(size)
        except _FAILED as error:
            self._give_up(str(error))
            data = b""
        events = self._connection.events()
        if events:
            self._tell(events)
        if self._unsent:
            self._taken()
        return data

    def _tell(self, events: list[Any]) -> None:
        streams, unsent = self._streams, self._unsent
        for event in events:
            kind = type(event)
            if kind is RequestReceived or kind is ResponseReceived:
                self._head_came(event.stream_id, event.headers, event.end_stream)
            elif kind is StreamClosed:
                if event.error_code:
                    self._reset_came(event.stream_id, event.error_code, True)
                else:
                    stream = event.stream_id
                    streams.pop(stream, None)
                    if stream in unsent:
                        unsent.remove(stream)
                        self._receiver.writable(stream)
            elif kind is DataReceived:
                self._data_came(event.stream_id, event.data, event.end_stream)
            else:
                self._tell_seldom(event)

    def _tell_seldom(self, event: Event) -> None:
        match event:
            case TrailersReceived():
                self._trailers_came(event.stream_id, event.headers)
            case InformationalResponseReceived():
                self._interim_came(event.stream_id, event.headers)
            case StreamReset():
                self._reset_came(event.stream_id, event.error_code, False)
            case SettingsReceived():
                self._peer_streams = event.settings.get(_STREAMS, self._peer_streams)
                self.connect_protocol = event.settings.get(_CONNECT_PROTOCOL, self.connect_protocol) == 1
                self._receiver.settings()
            case GoAwayReceived():
                self._goaway_came(event.last_stream_id, event.error_code)
            case PingAcknowledged():
                self._receiver.pong(event.opaque_data)
            case ConnectionClosed():
                self.closed = self._deaf = True
                if event.error_code not in (NO_ERROR, self._their_code) and not self.error:
                    self.error = event.debug_data.decode("ascii", "replace") or code_name(event.error_code)

    def _takes_requests(self) -> bool:
        try:
            return self._connection.can_send_request
        except NGH2Error:
            return False

    def request(self, fields: Fields, done: bool) -> int:
        """Begin a stream with a request; 0 if the peer takes no more."""
        if len(self._streams) >= self._peer_streams:
            return 0
        try:
            stream = self._connection.send_request(fields, end_stream=done)
        except NGH2Error:
            return 0
        self._begun(stream)
        return stream

    def respond(self, stream: int, fields: Fields, done: bool) -> None:
        """Send the head of a final response."""
        try:
            self._connection.send_response(stream, fields, end_stream=done)
        except NGH2Error:
            return
        if done:
            self._answered(stream)

    def interim(self, stream: int, fields: Fields) -> None:
        """Send an interim response."""
        try:
            self._connection.send_informational_response(stream, fields)
        except NGH2Error:
            pass

    def data(self, stream: int, data: bytes, done: bool) -> None:
        """Queue bytes of a body."""
        try:
            self._connection.send_data(stream, data, end_stream=done)
        except NGH2Error:
            return
        if data:
            self._due += DUE
            if stream not in self._unsent:
                self._unsent.append(stream)
        if done and self._streams.get(stream, 0) & OPEN:
            self._answered(stream)

    def trailers(self, stream: int, fields: Fields) -> None:
        """Queue trailers behind the body."""
        try:
            check_outgoing(fields)
        except MalformedFields:
            self.reset(stream, INTERNAL_ERROR)
            return
        try:
            self._connection.send_trailers(stream, fields)
        except NGH2Error:
            return
        self._answered(stream)

    def consumed(self, stream: int, size: int) -> None:
        """Give the place of so many bytes of a body back to the peer."""
        try:
            self._connection.acknowledge_received_data(size, stream)
        except (NGH2Error, ValueError):
            pass

    def queued(self, stream: int) -> int:
        """How many bytes of the stream's body wait to be taken into frames."""
        return self._connection.queued_body_size(stream)

    def ping(self, data: bytes) -> None:
        """Send a PING with eight bytes."""
        try:
            self._connection.ping(data)
        except NGH2Error:
            pass

    def shutdown_notice(self) -> None:
        """Announce that the connection will take no more streams soon."""
        try:
            self._connection.send_shutdown_notice()
        except NGH2Error:
            pass

    def goaway(self, code: int) -> None:
        """Take no more streams; with another code than 0 the connection ends."""
        self._draining = True
        try:
            if code == NO_ERROR:
                self._connection.send_goaway()
            else:
                self._deaf = True
                self._connection.terminate_connection(code)
        except NGH2Error:
            pass

    @property
    def stalled(self) -> bool:
        """Whether bytes of bodies wait for the peer's windows, when there is no output."""
        return self._connection.queued_body_size() > 0
