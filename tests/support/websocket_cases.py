"""What a client of WebSocket may send, well or badly (RFC 6455): cases of the kinds of the Autobahn testsuite.

Each is bytes to be sent behind the handshake. What is right is not said here: an origin says it, and a proxy before it
has to change nothing of that. An echo server to be that origin is here too, on ``websockets`` without its input and
output, so that what it answers depends on the order of the bytes alone.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from attrs import frozen
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from tests.support.origins import Served

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

MASK = b"\x37\xfa\x21\x3d"


def ws_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    form: int = 0,
    length: int | None = None,
) -> bytes:
    """A frame.

    :param rsv: the reserved bits, 0 to 7; 4 says that it is compressed (RFC 7692).
    :param mask: ``None`` for none, which a client must not.
    :param form: 126 or 127 for a length in two or eight bytes where less would do.
    :param length: another than there is.
    """
    size = len(payload) if length is None else length
    second = 0x80 if mask is not None else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if form == 127 or size > 65535:
        head += bytes([second | 127]) + struct.pack(">Q", size)
    elif form == 126 or size > 125:
        head += bytes([second | 126]) + struct.pack(">H", size)
    else:
        head += bytes([second | size])
    if mask is None:
        return head + payload
    key = mask * (len(payload) // 4 + 1)
    return head + mask + bytes(a ^ b for a, b in zip(payload, key, strict=False))


def closing(code: int | None = 1000, reason: bytes = b"") -> bytes:
    """A Close frame."""
    return ws_frame(CLOSE, b"" if code is None else struct.pack(">H", code) + reason)


@frozen
class Case:
    """One of them.

    :ivar name: unique within its family.
    :ivar data: the frames, without the Close frame at the end.
    :ivar fails: whether it is one after which a server ends the connection; otherwise a Close frame is sent.
    :ivar piece: in how many bytes at once it is sent; 0 for all.
    :ivar extensions: the Sec-WebSocket-Extensions that are offered.
    """

    name: str
    data: bytes
    fails: bool = False
    piece: int = 0
    extensions: str = ""

    @property
    def sent(self) -> bytes:
        """All that is sent."""
        return self.data if self.fails else self.data + closing()


def fragments(opcode: int, payload: bytes, size: int) -> bytes:
    """A message in frames of so many bytes."""
    parts = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    last = len(parts) - 1
    return b"".join(ws_frame(CONTINUATION if n else opcode, part, fin=n == last) for n, part in enumerate(parts))


def framing() -> Iterator[Case]:
    """Lengths in each of their forms, whole and in octets; masks."""
    for kind, opcode in (("text", TEXT), ("binary", BINARY)):
        for size in (0, 1, 2, 124, 125, 126, 127, 128, 129, 1000, 65535, 65536, 65537):
            yield Case(f"{kind} of {size}", ws_frame(opcode, b"*" * size))
        for piece in (1, 2, 3, 7, 997):
            yield Case(f"{kind} in pieces of {piece}", ws_frame(opcode, b"*" * min(200 * piece, 65536)), piece=piece)
    yield Case("no mask", ws_frame(TEXT, b"Hello", mask=None), fails=True)
    yield Case("no mask on a control frame", ws_frame(PING, b"Hello", mask=None), fails=True)
    for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\1\2\3"):
        yield Case(f"mask {mask!r}", ws_frame(TEXT, b"Hello, \xc3\xa4", mask=mask))
    yield Case("many at once", b"".join(ws_frame(TEXT, b"%d" % number) for number in range(300)))
    yield Case("many kinds at once", b"".join(ws_frame(1 + number % 2, b"*" * number) for number in range(260)))
    yield Case("nothing", b"")


def control() -> Iterator[Case]:
    """PING and PONG."""
    for size in (0, 1, 4, 124, 125):
        yield Case(f"ping of {size}", ws_frame(PING, b"\xfe" * size))
        yield Case(f"pong of {size}", ws_frame(PONG, b"\xfe" * size))
    for size in (126, 127, 65536):
        yield Case(f"ping of {size}", ws_frame(PING, b"*" * size), fails=True)
        yield Case(f"pong of {size}", ws_frame(PONG, b"*" * size), fails=True)
        yield Case(f"close of {size}", ws_frame(CLOSE, b"\x03\xe8" + b"*" * (size - 2)), fails=True)
    yield Case("ping in octets", ws_frame(PING, b"*" * 125), piece=1)
    yield Case("ten pings", b"".join(ws_frame(PING, b"payload-%d" % number) for number in range(10)))
    yield Case("ten pings in octets", b"".join(ws_frame(PING, b"payload-%d" % n) for n in range(10)), piece=1)
    yield Case("a pong, then a ping", ws_frame(PONG, b"unasked") + ws_frame(PING, b"asked"))
    for opcode in (PING, PONG, CLOSE):
        yield Case(f"control frame {opcode} in fragments", ws_frame(opcode, b"", fin=False), fails=True)
    yield Case("a ping, and the rest of it", ws_frame(PING, b"a", fin=False) + ws_frame(CONTINUATION, b"b"), fails=True)


def reserved() -> Iterator[Case]:
    """Reserved bits and opcodes."""
    for rsv in range(1, 8):
        for opcode in (TEXT, BINARY, PING, CLOSE):
            yield Case(f"bits {rsv} on {opcode}", ws_frame(opcode, b"", rsv=rsv), fails=True)
        yield Case(f"bits {rsv} behind a message", ws_frame(TEXT, b"Hello") + ws_frame(TEXT, b"*", rsv=rsv), fails=True)
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        for payload in (b"", b"reserved"):
            yield Case(f"opcode {opcode} {payload!r}", ws_frame(opcode, payload), fails=True)
        yield Case(f"opcode {opcode} behind a message", ws_frame(TEXT, b"Hello") + ws_frame(opcode), fails=True)
        begun = ws_frame(TEXT, b"Hello") + ws_frame(opcode, b"*")[:2]  # the rest would come behind the end
        yield Case(f"opcode {opcode} in octets", begun, fails=True, piece=1)


def fragmentation() -> Iterator[Case]:
    """Messages in several frames."""
    a, b = ws_frame(TEXT, b"frag", fin=False), ws_frame(CONTINUATION, b"ment")
    middle = ws_frame(CONTINUATION, b"--", fin=False)
    ping, pong = ws_frame(PING, b"between"), ws_frame(PONG, b"between")
    for piece in (0, 1):
        yield Case(f"two {piece}", a + b, piece=piece)
        yield Case(f"a ping between {piece}", a + ping + b, piece=piece)
        yield Case(f"a pong between {piece}", a + pong + b, piece=piece)
        yield Case(f"many {piece}", a + middle * 20 + b, piece=piece)
        yield Case(f"pings between many {piece}", a + (ping + middle) * 10 + b, piece=piece)
        yield Case(f"two messages {piece}", a + b + a + b, piece=piece)
    empty, last = ws_frame(TEXT, b"", fin=False), ws_frame(CONTINUATION, b"")
    yield Case("empty ones", empty + last)
    yield Case("many empty ones", empty + ws_frame(CONTINUATION, b"", fin=False) * 20 + last)
    yield Case("an empty one around", empty + middle + last)
    yield Case("nothing to continue", b, fails=True)
    yield Case("nothing to continue, without fin", middle, fails=True)
    yield Case("nothing to continue behind a message", ws_frame(TEXT, b"Hello") + b, fails=True)
    yield Case("nothing to continue behind fragments", a + b + b, fails=True)
    yield Case("a message within", a + ws_frame(TEXT, b"Hello"), fails=True)
    yield Case("a message within, of the other kind", a + ws_frame(BINARY, b"Hello"), fails=True)
    yield Case("a beginning within", a + a, fails=True)
    yield Case("a close within", a)
    for size in (1, 3, 64, 255, 256, 1024):
        yield Case(f"binary in fragments of {size}", fragments(BINARY, b"*" * min(65536, 200 * size), size))
        yield Case(f"text in fragments of {size}", fragments(TEXT, "\u03ba\u1f79\u03c3\U0001f600".encode() * 50, size))


_VALID = (
    "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!".encode(), "\u03ba\u1f79\u03c3\u03bc\u03b5".encode(),
    b"\0", b"\x7f", b"\xc2\x80", b"\xdf\xbf", b"\xe0\xa0\x80", b"\xef\xbf\xbf", b"\xf0\x90\x80\x80",
    b"\xf4\x8f\xbf\xbf", b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xef\xbb\xbf", b"\xef\xbf\xbe",
    b"\xf0\x9f\xbf\xbf",
)  # fmt: skip
_INVALID = (
    b"\x80", b"\xbf", b"\x80\xbf", b"\xc0", b"\xc1\x80", b"\xc3", b"\xe0\xa0", b"\xf0\x90\x80", b"\xc0\xaf",
    b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xed\xa0\x80",
    b"\xed\xbf\xbf", b"\xed\xa0\x80\xed\xb0\x80", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80", b"\xfe", b"\xff", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"a\xffb", b"\xe2\x28\xa1", b"\xf0\x28\x8c\xbc",
)  # fmt: skip


def utf8() -> Iterator[Case]:
    """Text, right and wrong."""
    for text in _VALID:
        yield Case(f"{text!r}", ws_frame(TEXT, text))
        yield Case(f"{text!r} in fragments", fragments(TEXT, text, 1))
    for text in _INVALID:
        yield Case(f"{text!r}", ws_frame(TEXT, text), fails=True)
        yield Case(f"{text!r} in fragments", fragments(TEXT, text, 1), fails=True)
        yield Case(f"{text!r} behind a message", ws_frame(TEXT, b"Hello") + ws_frame(TEXT, text), fails=True)
        yield Case(f"{text!r} as binary", ws_frame(BINARY, text))


def closes() -> Iterator[Case]:
    """The end, in every way."""
    hello = ws_frame(TEXT, b"Hello")
    yield Case("twice", closing())
    yield Case("a ping behind it", closing() + ws_frame(PING, b"late"), fails=True)
    yield Case("a message behind it", closing() + hello, fails=True)
    yield Case("fragments around it", ws_frame(TEXT, b"a", fin=False) + closing() + ws_frame(CONTINUATION), fails=True)
    # In one record of TLS: an origin that closes with bytes unread resets the connection.
    yield Case("much behind it", closing() + ws_frame(BINARY, b"*" * 12_000), fails=True)
    yield Case("much before it", ws_frame(BINARY, b"*" * 65536) + closing(), fails=True)
    yield Case("no code", closing(None), fails=True)
    yield Case("half a code", ws_frame(CLOSE, b"\x03"), fails=True)
    for reason in (b"", b"Hello", b"*" * 122, b"*" * 123, "\u00e4".encode() * 61):
        yield Case(f"reason of {len(reason)} {reason[:2]!r}", closing(1000, reason), fails=True)
    yield Case("reason of 124", closing(1000, b"*" * 124), fails=True)
    for reason in (b"\xff", b"\xce\xba\xe1", b"a\xed\xa0\x80"):
        yield Case(f"reason {reason!r}", closing(1000, reason), fails=True)
    for code in (
        0, 1, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 1015, 1016,
        1100, 2000, 2999, 3000, 3999, 4000, 4999, 5000, 65535,
    ):  # fmt: skip
        yield Case(f"code {code}", hello + closing(code), fails=True)
        yield Case(f"code {code} with a reason", closing(code, b"reason"), fails=True)
    yield Case("in octets", hello + closing(1000, b"reason"), fails=True, piece=1)


def sizes() -> Iterator[Case]:
    """Large messages, and very many."""
    for size in (1 << 16, 1 << 18, 1 << 20):
        yield Case(f"text of {size}", ws_frame(TEXT, b"*" * size))
        yield Case(f"binary of {size}", ws_frame(BINARY, b"\0" * size))
    for size in (64, 4096, 65536):
        yield Case(f"262144 in fragments of {size}", fragments(BINARY, b"*" * (1 << 18), size))
    for size in (128, 1024):
        yield Case(f"100,000 bytes in pieces of {size}", ws_frame(TEXT, b"*" * 100_000), piece=size)
    yield Case("a thousand of 64", b"".join(ws_frame(TEXT, b"*" * 64) for _ in range(1000)))


def _deflated(payload: bytes, bits: int = -15) -> bytes:
    compressor = zlib.compressobj(wbits=bits)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def compression() -> Iterator[Case]:
    """permessage-deflate (RFC 7692), agreed upon or not."""
    offers = (
        "permessage-deflate",
        "permessage-deflate; client_no_context_takeover",
        "permessage-deflate; server_no_context_takeover; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=9; server_max_window_bits=9",
        "permessage-deflate; server_max_window_bits=8, permessage-deflate",
        "x-unknown, permessage-deflate; client_max_window_bits",
    )
    for offer in offers:
        bits = -9 if "=9" in offer else -15
        for size in (0, 5, 1000, 100_000):
            data = ws_frame(TEXT, _deflated(b"*" * size, bits), rsv=4)
            yield Case(f"{offer}: {size}", data, extensions=offer)
        yield Case(f"{offer}: as it is", ws_frame(TEXT, b"Hello"), extensions=offer)
        first = ws_frame(TEXT, _deflated(b"Hello", bits)[:3], rsv=4, fin=False)
        rest = ws_frame(CONTINUATION, _deflated(b"Hello", bits)[3:])
        yield Case(f"{offer}: in fragments", first + ws_frame(PING, b"between") + rest, extensions=offer)
        bad = first + ws_frame(CONTINUATION, b"", rsv=4)
        yield Case(f"{offer}: the bit on what follows", bad, fails=True, extensions=offer)
        yield Case(f"{offer}: not deflated", ws_frame(TEXT, b"\xff" * 20, rsv=4), fails=True, extensions=offer)
    for offer in ("x-unknown", "permessage-deflate; x=1", "permessage-deflate; server_max_window_bits=99"):
        yield Case(f"{offer}: not agreed", ws_frame(TEXT, b"Hello"), extensions=offer)
        yield Case(f"{offer}: not agreed and used", ws_frame(TEXT, b"Hello", rsv=4), fails=True, extensions=offer)


def odd_lengths() -> Iterator[Case]:
    """Lengths that are not in their shortest form, or beyond all: servers differ (RFC 6455, section 5.2)."""
    for opcode, size, form in (
        (TEXT, 0, 126), (TEXT, 5, 126), (BINARY, 125, 126), (TEXT, 0, 127), (TEXT, 5, 127), (BINARY, 125, 127),
        (TEXT, 200, 127), (BINARY, 65535, 127), (PING, 5, 126), (PONG, 5, 127), (CLOSE, 2, 126),
    ):  # fmt: skip
        payload = b"\x03\xe8" if opcode == CLOSE else b"*" * size
        yield Case(f"{opcode} of {size} in the form of {form}", ws_frame(opcode, payload, form=form), fails=True)
    yield Case("the top bit", ws_frame(TEXT, b"Hello", length=1 << 63), fails=True)


FAMILIES = {
    kind.__name__: tuple(kind())
    for kind in (framing, control, reserved, fragmentation, utf8, closes, sizes, compression)
}
"""All of them that an origin answers for, by kind."""


def read_frames(data: bytes) -> list[tuple[int, bytes]]:
    """The frames of a server: first octet and payload; of Close the code alone, for its reason is the server's own."""
    found = []
    while data:
        size, at = data[1], 2
        if size > 125:
            at = 4 if size == 126 else 10
            size = int.from_bytes(data[2:at], "big")
        payload, data_left = data[at : at + size], data[at + size :]
        assert len(payload) == size, "cut within a frame"
        found.append((data[0], payload[:2] if data[0] == 0x80 | CLOSE else payload))
        data = data_left
    return found


class Echo:
    """An echo server on one connection, without input and output: the same bytes have the same answer.

    :ivar answer: what it has answered, and nobody has taken out.
    :ivar over: whether it has sent its last.
    """

    def __init__(self) -> None:
        deflate = ServerPerMessageDeflateFactory(server_max_window_bits=12, client_max_window_bits=12)
        self._protocol = ServerProtocol(extensions=[deflate], max_size=1 << 24)
        self._message: list[Frame] = []
        self.answer = b""
        self.over = False

    def take(self, data: bytes) -> None:
        """Bytes have come: short ones one by one, for what is behind a fault may come with it or later."""
        size = 1 if len(data) < 8192 else len(data)
        for at in range(0, len(data), size):
            self._protocol.receive_data(data[at : at + size])
            for event in self._protocol.events_received():
                self._event(event)
            self._collect()

    def _collect(self) -> None:
        for piece in self._protocol.data_to_send():
            self.over = self.over or not piece
            self.answer += piece

    def _event(self, event: Frame | object) -> None:
        if isinstance(event, Request):
            self._protocol.send_response(self._protocol.accept(event))
        elif isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._message.append(event)
            if event.fin:
                self._echo(self._message[0].opcode, b"".join(frame.data for frame in self._message))
                self._message.clear()

    def _echo(self, opcode: Opcode, data: bytes) -> None:
        if self._protocol.state is not OPEN:
            return
        if opcode is Opcode.BINARY:
            self._protocol.send_binary(data)
            return
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            self._protocol.fail(1007)
        else:
            self._protocol.send_text(data)


def echo(served: Served) -> None:
    """An origin that is one."""
    server = Echo()
    while not server.over and (data := served.receive()):
        server.take(data)
        if server.answer and not served.send(server.answer):
            return
        server.answer = b""
    served.notify()
    served.stall()
