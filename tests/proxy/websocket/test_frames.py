"""The walker along frame headers, against the sans-IO parser of ``websockets``, and by itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets import exceptions
from websockets.frames import Close
from websockets.frames import Frame as TheirFrame
from websockets.streams import StreamReader

from edgenode.proxy.websocket.frames import (
    NO_STATUS,
    PROTOCOL_ERROR,
    TOO_BIG,
    Walker,
    close_frame,
    control_frame,
    may_be_sent,
    unmasked,
)
from tests.proxy.websocket.frames import BINARY, CLOSE, PING, PONG, TEXT, closing, frame, said

MOST = 1 << 20


def walker(*, masked: bool = True, most: int = MOST, reserved: int | None = 0) -> Walker:
    """One at its beginning."""
    return Walker(masked=masked, most=most, reserved=reserved)


def walked(found: Walker, data: bytes, sizes: list[int] | None = None) -> bytes:
    """What passes of some bytes, cut as it is said."""
    passed, at, sizes = b"", 0, [*(sizes or ())]
    while at < len(data):
        size = sizes.pop() if sizes else len(data)
        passed += found.walk(data[at : at + size])
        at += size
    return passed


# -- against another parser --------------------------------------------------------------------------------------------


class Theirs:
    """The same, slowly: frame by frame with ``websockets``, and its rules of sequence written out.

    :ivar end: where the last good frame ends.
    :ivar whole: whether nothing was wrong.
    """

    def __init__(self, data: bytes, *, masked: bool, most: int) -> None:
        self.end = self.messages = self.closed = 0
        self.whole = True
        reader: Any = StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        size, within = 0, False
        while self.end < len(data) and not self.closed:
            parsing = TheirFrame.parse(reader.read_exact, mask=masked, max_size=None)
            try:
                next(parsing)
            except StopIteration as done:
                found = done.value
            except EOFError:
                return
            except (exceptions.ProtocolError, exceptions.PayloadTooBig):
                self.whole = False
                return
            if found.opcode < CLOSE:
                if (found.opcode == 0) is not within:
                    self.whole = False
                    return
                size = size * within + len(found.data)
                if size > most:
                    self.whole = False
                    return
                within = not found.fin
                self.messages += found.fin
            elif found.opcode == CLOSE:
                try:
                    close = Close.parse(found.data[:2])
                except exceptions.ProtocolError:
                    self.whole = False
                    return
                self.closed = int(close.code)
            self.end = len(data) - len(reader.buffer)


def minimal(data: bytes, *, masked: bool) -> bool:
    """Whether every length is written as it has to be: their parser does not look."""
    while len(data) >= 2:
        size, at = data[1] & 0x7F, 2
        if size > 125:
            wide = 2 if size == 126 else 8
            size = int.from_bytes(data[2 : 2 + wide], "big")
            if len(data) >= 2 + wide and not (126 if wide == 2 else 65536) <= size < 1 << 63:
                return False
            at += wide
        data = data[at + 4 * masked + size :]
    return True


FRAMES = st.builds(
    frame,
    st.sampled_from((0, 0, TEXT, BINARY, TEXT, PING, PONG, CLOSE, 3, 11)),
    st.one_of(st.binary(max_size=8), st.sampled_from((125, 126, 127, 65536)).map(bytes), st.just(b"\3\xe8bye")),
    masked=st.sampled_from((True, True, True, True, False)),
    fin=st.sampled_from((True, True, False)),
    rsv=st.sampled_from((0, 0, 0, 0, 0x40)),
)
STREAMS = st.lists(st.one_of(FRAMES, FRAMES, FRAMES, st.binary(max_size=4)), max_size=8).map(b"".join)


@given(STREAMS, st.lists(st.integers(1, 9), max_size=40))
@example(frame(TEXT, b"a") + frame(CLOSE, b"\3"), [])
def test_it_passes_what_another_parser_finds_good(data: bytes, sizes: list[int]) -> None:
    """However it is cut: to the same frame, with as many messages, and the same end."""
    most = 70_000
    ours, theirs = walker(most=most), Theirs(data, masked=True, most=most)
    passed = walked(ours, data, sizes)
    assert data.startswith(passed)
    if not minimal(data, masked=True):
        return
    assert (ours.fault is None) is theirs.whole or ours.fault is not None  # it may see a fault before the frame ends
    assert len(passed) >= theirs.end
    if not theirs.whole:
        assert len(passed) == theirs.end
        assert ours.fault is not None
    assert ours.closed == theirs.closed
    assert ours.messages >= theirs.messages


@given(STREAMS, st.lists(st.integers(1, 9), max_size=60))
def test_cuts_make_no_difference(data: bytes, sizes: list[int]) -> None:
    """Byte by byte the same passes as at once, and the same is wrong."""
    one, other = walker(), walker()
    assert walked(one, data) == walked(other, data, sizes)
    assert (one.fault, one.closed, one.messages) == (other.fault, other.closed, other.messages)


# -- by itself ---------------------------------------------------------------------------------------------------------


def test_what_passes_is_the_same_object() -> None:
    """Nothing is copied where nothing is held."""
    data = frame(TEXT, b"hello") + frame(BINARY, bytes(300))
    assert walker().walk(data) is data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (frame(TEXT, b"a", rsv=0x40), "reserved bit"),
        (frame(PING, rsv=0x10), "reserved bit"),
        (frame(3), "reserved opcode"),
        (frame(11), "reserved opcode"),
        (frame(TEXT, masked=False), "without a mask"),
        (frame(PING, b"a", fin=False), "control frame in fragments"),
        (b"\x89\xfe", "more than 125"),
        (b"\x88\xff", "more than 125"),
        (frame(0, b"a"), "continuation of nothing"),
        (frame(TEXT, fin=False) + frame(TEXT), "within another"),
        (b"\x81\xfe\x00\x7d", "length"),
        (b"\x81\xff" + (65535).to_bytes(8, "big"), "length"),
        (b"\x81\xff" + (1 << 63).to_bytes(8, "big"), "length"),
        (frame(CLOSE, b"\3"), "code"),
        (closing(1005), "code"),
        (closing(999), "code"),
        (closing(5000), "code"),
    ],
    ids=lambda each: each.hex()[:20] if isinstance(each, bytes) else each,
)
def test_a_breach_of_the_protocol_is_1002(data: bytes, reason: str) -> None:
    """It is refused as soon as it can be seen, and what came before has passed."""
    found = walker()
    before = frame(TEXT, b"before")
    assert found.walk(before) == before
    passed = walked(found, data, [1] * len(data))
    assert found.fault is not None
    assert (found.fault.code, reason in found.fault.reason) == (PROTOCOL_ERROR, True), found.fault
    assert passed in (b"", data[: len(frame(TEXT, fin=False))])
    assert found.walk(frame(TEXT, b"more")) == b""


def test_a_server_does_not_mask() -> None:
    """Nor is it let (RFC 6455, section 5.1)."""
    found = walker(masked=False)
    assert found.walk(frame(TEXT, b"a", masked=False)) != b""
    assert found.walk(frame(TEXT, b"a")) == b""
    assert found.fault is not None
    assert "with a mask" in found.fault.reason


def test_a_message_is_as_large_as_all_its_frames() -> None:
    """And refused at the header with which it becomes too large: 1009."""
    found = walker(most=10)
    first = frame(TEXT, b"12345", fin=False)
    assert found.walk(first) == first
    ping = frame(PING, b"12345678901")
    assert found.walk(ping) == ping
    last = frame(0, b"12345")
    assert found.walk(last) == last
    assert found.walk(frame(TEXT, b"12345678901")[:2]) == b""
    assert found.fault is not None
    assert found.fault.code == TOO_BIG


def test_an_extension_has_the_bits_that_it_was_given() -> None:
    """permessage-deflate RSV1 in the first frame of a message; one that nobody knows all of them."""
    found = walker(reserved=0x40)
    data = frame(TEXT, b"a", fin=False, rsv=0x40) + frame(0, b"b")
    assert found.walk(data) == data
    assert found.walk(frame(TEXT, fin=False)) != b""
    assert found.walk(frame(0, rsv=0x40)) == b""
    anything = walker(reserved=None)
    data = frame(5, b"a", rsv=0x70) + frame(12, bytes(200)) + frame(TEXT)
    assert anything.walk(data) == data


@pytest.mark.parametrize(("payload", "code"), [(b"", NO_STATUS), (b"\3\xe8", 1000), (b"\x0f\xa0bye", 4000)])
def test_a_close_frame_is_the_last(payload: bytes, code: int) -> None:
    """It passes as a whole, and nothing behind it."""
    found = walker()
    data = frame(CLOSE, payload)
    assert found.walk(data[:3]) == b""
    assert found.walk(data[3:] + frame(TEXT, b"late")) == data
    assert (found.closed, found.fault) == (code, None)
    assert found.walk(frame(TEXT)) == b""


def test_a_close_frame_can_be_kept() -> None:
    """Where ours takes its place."""
    found = walker()
    found.keeps_close = True
    assert found.walk(frame(TEXT, b"a") + closing(1000)) == frame(TEXT, b"a")
    assert found.closed == 1000


def test_the_answer_to_a_ping_of_ours_does_not_pass() -> None:
    """That of another's does, and so do pongs that nobody has asked for."""
    found = walker()
    found.awaited = b"ours"
    other, ours, text = frame(PONG, b"theirs"), frame(PONG, b"ours"), frame(TEXT, b"a")
    assert walked(found, other + text + ours + text, [3] * 50) == other + text + text
    assert found.awaited == b""
    assert found.walk(ours) == ours


def test_between_frames_one_of_ours_may_stand() -> None:
    """Within a frame it may not; the beginning of a header has not passed."""
    found = walker()
    data = frame(BINARY, bytes(500))
    assert found.between
    found.walk(data[:3])
    assert found.between
    found.walk(data[3:100])
    assert not found.between
    found.walk(data[100:])
    assert found.between


def test_our_frames_are_as_they_have_to_be() -> None:
    """Masked towards a server, with the code in front."""
    assert close_frame(1001, masked=False) == b"\x88\x02\x03\xe9"
    assert close_frame(NO_STATUS, masked=False) == b"\x88\x00"
    assert said(close_frame(1008, masked=True)) == [(0x88, b"\x03\xf0")]
    assert said(control_frame(PING, b"1234", masked=True)) == [(0x89, b"1234")]


@given(st.binary(max_size=50), st.binary(min_size=4, max_size=4))
def test_a_mask_is_put_on_as_it_is_taken_off(data: bytes, mask: bytes) -> None:
    """RFC 6455, section 5.3."""
    assert unmasked(data, mask) == bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


def test_the_codes_that_may_be_sent() -> None:
    """As ``websockets`` has them."""
    for code in range(65536):
        theirs = True
        try:
            Close(code, "").check()
        except exceptions.ProtocolError:
            theirs = False
        assert may_be_sent(code) is theirs, code
