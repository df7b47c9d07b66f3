"""HTTP/2 frame by frame (RFC 9113), for tests that send what no library would: a blocking client, so for a thread.

What it sends is not checked, and has nothing in common with the node's engines; what comes back is read with ``hpack``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import hpack
from attrs import define, field, frozen

from tests.support.clients import Client

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 32

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 1, 2, 3, 4
MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, ENABLE_CONNECT_PROTOCOL = 5, 6, 8

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

Field = tuple[bytes, bytes]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """A frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _integer(value: int, bits: int, first: int = 0) -> bytes:
    """An integer with a prefix of so many bits (RFC 7541, section 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    encoded, value = [first | most], value - most
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


def literal(name: bytes, value: bytes, first: int = 0, bits: int = 4) -> bytes:
    """A field as literals without Huffman code, by default without indexing; none of its bytes is looked at.

    :param first: 0x40 with 6 bits to have it indexed (RFC 7541, section 6.2.1).
    """
    return _integer(0, bits, first) + b"".join(_integer(len(each), 7) + each for each in (name, value))


def block(fields: Iterable[Field]) -> bytes:
    """A field block."""
    return b"".join(literal(name, value) for name, value in fields)


def settings(*pairs: tuple[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def headers(stream: int, fields: Iterable[Field], done: bool = True) -> bytes:
    """A HEADERS frame with all of a field block."""
    return frame(HEADERS, END_HEADERS | (END_STREAM if done else 0), stream, block(fields))


def window_update(stream: int, size: int) -> bytes:
    """A WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size))


def rst_stream(stream: int, code: int = 8) -> bytes:
    """A RST_STREAM frame; 8 is CANCEL."""
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def get(path: str = "/", authority: str = "open.test", *fields: Field, method: str = "GET") -> list[Field]:
    """The fields of a request with nothing wrong with it."""
    pseudo = {":method": method, ":scheme": "https", ":authority": authority, ":path": path}
    return [*((name.encode(), value.encode()) for name, value in pseudo.items()), *fields]


@frozen
class Frame:
    """A frame that came."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def number(self) -> int:
        """The error code of RST_STREAM, or the size of WINDOW_UPDATE."""
        return int.from_bytes(self.payload[:4], "big")


@define
class Reply:
    """What has come on a stream so far.

    :ivar interim: the statuses of interim responses.
    :ivar status: of the final response, 0 before it.
    :ivar fields: of the final response.
    :ivar reset: the code of its RST_STREAM; ``None`` without one.
    :ivar ended: whether the stream has ended properly.
    """

    interim: list[int] = field(factory=list)
    status: int = 0
    fields: list[Field] = field(factory=list)
    body: bytes = b""
    trailers: list[Field] = field(factory=list)
    reset: int | None = None
    ended: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self.ended or self.reset is not None


class Connection:
    """A client's connection by frames; its preface and SETTINGS are sent.

    :param client: the TLS connection, of which the node has chosen h2.
    :param pairs: the settings to send.
    :param automatic: whether it acknowledges SETTINGS and PING and gives windows back.
    :param eager: whether it gives them back for every DATA frame, and behind the end of a stream too, as some clients
        do; otherwise once half of them is used.
    :ivar frames: the frames that came.
    :ivar replies: by stream.
    :ivar goaway: the error code of the last GOAWAY; ``None`` before one.
    :ivar lost: whether the connection has ended.
    """

    def __init__(self, client: Client, *pairs: tuple[int, int], automatic: bool = True, eager: bool = False) -> None:
        self.client = client
        self.frames: list[Frame] = []
        self.replies: dict[int, Reply] = {}
        self.settings: dict[int, int] = {}
        self.goaway: int | None = None
        self.lost = False
        self.next = 1
        self._windows: dict[int, int] = {}  # what was given less what was taken, beside the first windows
        self._automatic, self._eager = automatic, eager
        self._used: dict[int, int] = {}
        self._decoder: Any = hpack.Decoder(max_header_list_size=1 << 24)
        self._block = b""
        self._begun: Frame | None = None
        assert client.tls.get_alpn_proto_negotiated() == b"h2"
        self.send(PREFACE + settings(*pairs))

    @classmethod
    def to(cls, port: int, *pairs: tuple[int, int], name: str = "open.test", **options: Any) -> Self:
        """One on a port of this host.

        :param options: as of :class:`Client`; ``automatic`` and ``eager`` as of this class.
        """
        own = {key: options.pop(key) for key in ("automatic", "eager") if key in options}
        return cls(Client(port, name, alpn=[b"h2"], **options), *pairs, **own)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def send(self, data: bytes) -> None:
        """Send bytes; a connection that has ended is no error."""
        self.client.send(data)

    def read(self) -> Frame | None:
        """The next frame; ``None`` at the end of the connection."""
        head = self.client.exactly(9)
        length = int.from_bytes(head[:3], "big")
        payload = self.client.exactly(length) if len(head) == 9 else b""
        if len(head) < 9 or len(payload) < length:
            self.lost = True
            return None
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        came = Frame(kind, flags, stream & 0x7FFFFFFF, payload)
        self.frames.append(came)
        self._take(came)
        return came

    def until(self, true: Callable[[], object]) -> bool:
        """Read until something is true, or the connection ends; returns whether it is true."""
        while not true():
            if self.lost or self.read() is None:
                break
        return bool(true())

    def stream(self) -> int:
        """The number of a new stream."""
        self.next += 2
        return self.next - 2

    def ask(self, fields: Sequence[Field], body: bytes | None = None, trailers: Sequence[Field] | None = None) -> Reply:
        """Send a request on a stream of its own, and read all of its answer, or what there is of it.

        :param body: at most as large as a frame and the windows.
        """
        number = self.stream()
        parts = [headers(number, fields, body is None and trailers is None)]
        if body is not None:
            parts.append(frame(DATA, END_STREAM if trailers is None else 0, number, body))
        if trailers is not None:
            parts.append(headers(number, trailers))
        self.send(b"".join(parts))
        return self.answer(number)

    def answer(self, number: int) -> Reply:
        """All that comes on a stream."""
        reply = self.replies.setdefault(number, Reply())
        self.until(lambda: reply.over)
        return reply

    def body(self, number: int, data: bytes, done: bool = False) -> None:
        """Send bytes of a body as the windows allow; nothing more if the stream is over."""
        reply = self.replies.setdefault(number, Reply())
        while data or done:
            room = min(self._window(0), self._window(number), 16384)
            if data and room <= 0:
                if not self.until(lambda: reply.over or min(self._window(0), self._window(number)) > 0) or reply.over:
                    return
                continue
            part, data = data[:room], data[room:]
            for each in (0, number):
                self._windows[each] = self._windows.get(each, 0) - len(part)
            self.send(frame(DATA, END_STREAM if done and not data else 0, number, part))
            done = done and bool(data)

    def _window(self, number: int) -> int:
        first = self.settings.get(INITIAL_WINDOW_SIZE, 65535) if number else 65535
        return first + self._windows.get(number, 0)

    def answers(self) -> bool:
        """Whether the connection is alive: a PING comes back."""
        self.send(frame(PING, 0, 0, b"are you?"))
        return self.until(lambda: any(each.kind == PING and each.flags & ACK for each in self.frames))

    def rest(self) -> None:
        """Read until the connection ends."""
        self.until(lambda: False)

    def _take(self, came: Frame) -> None:
        if came.kind == SETTINGS and not came.flags & ACK:
            for at in range(0, len(came.payload), 6):
                number, value = struct.unpack(">HI", came.payload[at : at + 6])
                self.settings[number] = value
            self._reply(frame(SETTINGS, ACK))
        elif came.kind == PING and not came.flags & ACK:
            self._reply(frame(PING, ACK, 0, came.payload))
        elif came.kind == GOAWAY:
            self.goaway = int.from_bytes(came.payload[4:8], "big")
        elif came.kind == WINDOW_UPDATE:
            self._windows[came.stream] = self._windows.get(came.stream, 0) + came.number
        elif came.kind == RST_STREAM:
            self.replies.setdefault(came.stream, Reply()).reset = came.number
        elif came.kind == DATA:
            reply = self.replies.setdefault(came.stream, Reply())
            reply.body += came.payload
            reply.ended = bool(came.flags & END_STREAM)
            self._give_back(came.stream, len(came.payload), reply.ended)
        elif came.kind in (HEADERS, CONTINUATION):
            self._begun = came if came.kind == HEADERS else self._begun
            self._block += came.payload
            if came.flags & END_HEADERS:
                self._head()

    def _give_back(self, stream: int, size: int, ended: bool) -> None:
        for each in (0, stream):
            used = self._used[each] = self._used.get(each, 0) + size
            if used and (self._eager or (used > 32767 and not (ended and each))):
                self._used[each] = 0
                self._reply(window_update(each, used))

    def _head(self) -> None:
        begun, encoded, self._block = self._begun, self._block, b""
        assert begun is not None
        assert not begun.flags & (PADDED | WITH_PRIORITY)
        fields = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(encoded, raw=True)]
        reply = self.replies.setdefault(begun.stream, Reply())
        status = int(dict(fields).get(b":status", 0))
        if 0 < status < 200:
            reply.interim.append(status)
        elif status:
            reply.status, reply.fields = status, fields[1:]
        else:
            reply.trailers = fields
        reply.ended = bool(begun.flags & END_STREAM)

    def _reply(self, data: bytes) -> None:
        if self._automatic:
            self.send(data)
