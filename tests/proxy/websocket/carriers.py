"""The ends of a WebSocket by the protocol that carries it: HTTP/1.1, or a stream of HTTP/2 with ``h2`` on its other
side. Both are played by the same words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.settings import SettingCodes

from tests.proxy.websocket.dialogue import accepted, asking
from tests.support.memory import ClientEnd, MemoryNode, OriginEnd

Fields = dict[bytes, bytes]


class OverHTTP2:
    """One end of a stream.

    :ivar end: what is below.
    :ivar fields: of the head that came.
    :ivar ended: how the node has ended the stream: ``end`` or ``reset``, or the connection: ``cut``.
    """

    def __init__(self, end: Any, *, client: bool, offers: bool = True) -> None:
        self.end = end
        self.connection = H2Connection(H2Configuration(client_side=client, header_encoding=None))
        if not client and offers:
            self.connection.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1
            self.connection.local_settings.acknowledge()
        self.connection.initiate_connection()
        self.stream = 1
        self.fields: Fields = {}
        self.ended = ""
        self._came = b""
        self._unsent = b""
        self.talk()

    def talk(self) -> None:
        """Say what is to be said, and hear what has come."""
        while True:
            data = self.connection.data_to_send()
            if data:
                self.end.send(data)
            came = self.end.read()
            if not came:
                break
            for event in self.connection.receive_data(came):
                self._happened(event)
        if self.end.ended and not self.ended:
            self.ended = "cut"

    def _happened(self, event: Any) -> None:
        if isinstance(event, RequestReceived | ResponseReceived):
            self.stream = event.stream_id
            self.fields = dict(event.headers)
        elif isinstance(event, DataReceived):
            self._came += event.data
            self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.ended = "end"
        elif isinstance(event, StreamReset):
            self.ended = self.ended or "reset"
        elif isinstance(event, ConnectionTerminated):
            self.ended = self.ended or "cut"

    def send(self, data: bytes) -> int:
        """Send bytes, as many as the node's windows take; how many that was."""
        self.talk()
        sent = 0
        while sent < len(data):
            window = min(self.connection.local_flow_control_window(self.stream), 16384)
            if not window:
                break
            piece = data[sent : sent + window]
            self.connection.send_data(self.stream, piece)
            sent += len(piece)
            self.talk()
        return sent

    def read(self) -> bytes:
        """What has come since the last time."""
        self.talk()
        came, self._came = self._came, b""
        return came

    def finish(self) -> None:
        """Send no more."""
        self.connection.end_stream(self.stream)
        self.talk()

    def reset(self) -> None:
        """Give the stream up."""
        self.connection.reset_stream(self.stream, ErrorCodes.CANCEL)
        self.talk()

    def close(self) -> None:
        """Close the connection."""
        self.end.close()


class OverHTTP1:
    """The same on a connection of HTTP/1.1."""

    def __init__(self, end: ClientEnd | OriginEnd) -> None:
        self._end = end
        self.send, self.read, self.close = end.send, end.read, end.close
        self.finish = end.notify if isinstance(end, ClientEnd) else end.finish

    @property
    def ended(self) -> str:
        """How the node has ended it."""
        return str(self._end.ended) if self._end.ended else ""

    def reset(self) -> None:
        """End it at once."""
        self._end.close()


Carrier = OverHTTP1 | OverHTTP2

CONNECT = (
    (b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"https"), (b":path", b"/chat"),
    (b":authority", b"open.test"), (b"sec-websocket-version", b"13"),
)  # fmt: skip


def asked(node: MemoryNode, fields: Sequence[tuple[bytes, bytes]] = CONNECT, **options: Any) -> OverHTTP2:
    """A client of HTTP/2 that has asked for WebSocket."""
    client = OverHTTP2(node.client(alpn=[b"h2"], **options), client=True)
    client.connection.send_headers(1, list(fields))
    client.talk()
    return client


def carried(
    node: MemoryNode, client: str, origin: str, *lines: tuple[bytes, bytes], answer: Sequence[tuple[bytes, bytes]] = ()
) -> tuple[Carrier, Carrier]:
    """A WebSocket whose handshake is over.

    :param client: ``HTTP/1.1`` or ``HTTP/2``.
    :param origin: likewise.
    :param lines: further fields of the handshake.
    :param answer: of the origin's answer.
    """
    left: Carrier
    if client == "HTTP/2":
        left = asked(node, (*CONNECT, *lines))
    else:
        end = node.client()
        end.send(asking(*(b"%b: %b" % line for line in lines)))
        left = OverHTTP1(end)
    right: Carrier
    end_of_origin = node.origin()
    if origin == "HTTP/2":
        right = OverHTTP2(end_of_origin, client=False)
        assert right.fields[b":method"] == b"CONNECT"
        right.connection.send_headers(right.stream, [(b":status", b"200"), *answer])
        right.talk()
    else:
        right = OverHTTP1(end_of_origin)
        right.send(accepted(right.read(), *(b"%b: %b" % line for line in answer)))
    if isinstance(left, OverHTTP2):
        left.talk()
        assert left.fields[b":status"] == b"200"
    else:
        assert left.read().startswith(b"HTTP/1.1 101 ")
    return left, right
