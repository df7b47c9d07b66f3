"""The frames of one direction of a WebSocket (RFC 6455, section 5), walked header by header.

Law: however the bytes are cut, the same frames are found. What passes is passed as it came, and no byte of a frame
before its header is whole and found good; so between two frames of what has passed a frame of ours can be put in.
"""

from __future__ import annotations

import functools
import os

from attrs import frozen

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

NORMAL, GOING_AWAY, PROTOCOL_ERROR, ABNORMAL = 1000, 1001, 1002, 1006
NO_STATUS, NOT_TEXT, POLICY, TOO_BIG, INTERNAL = 1005, 1007, 1008, 1009, 1011

_FIN, _RSV, _OPCODE = 0x80, 0x70, 0x0F
_OPCODES = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
_MOST_CONTROL = 125
_SHORTEST = {2: 126, 8: 65536}
"""What a length is at least that is written in so many further bytes (RFC 6455, section 5.2)."""


@frozen
class Fault:
    """Why a direction ends at a frame.

    :ivar code: the close code that says so (RFC 6455, section 7.4.1).
    :ivar reason: the same in a sentence.
    """

    code: int
    reason: str


_REFUSED, _DATA, _PASSING, _PONG, _CLOSE = range(5)


@functools.cache
def _kinds(reserved: int | None, *, within: bool) -> bytes:
    """What becomes of a frame, by its first byte.

    :param reserved: as for :class:`Walker`.
    :param within: whether a message is not complete.
    """
    return bytes(_kind(first, reserved, within) for first in range(256))


def _kind(first: int, reserved: int | None, within: bool) -> int:
    opcode = first & _OPCODE
    if _fault(first, reserved, within):
        return _REFUSED
    if opcode in (CONTINUATION, TEXT, BINARY):
        return _DATA
    return {CLOSE: _CLOSE, PONG: _PONG}.get(opcode, _PASSING)


def _fault(first: int, reserved: int | None, within: bool) -> str:
    """What is wrong with a frame that has this first byte; empty if nothing is."""
    opcode, known = first & _OPCODE, (first & _OPCODE) in _OPCODES
    if reserved is not None and not known:
        return "a reserved opcode"
    if reserved is not None and first & _RSV & ~(reserved if opcode in (TEXT, BINARY) else 0):
        return "a reserved bit that no extension has given a meaning"
    if opcode >= CLOSE:
        return "a control frame in fragments" if first < _FIN and known else ""
    if opcode == CONTINUATION:
        return "" if within else "a continuation of nothing"
    return "a message within another" if within and known else ""


class Walker:
    """Walks the frames that one side sends.

    :param masked: whether they have to be masked: a client's (RFC 6455, section 5.1).
    :ivar most: the largest message, bytes of payload as they come.
    :param reserved: the reserved bits that an extension may set in the first frame of a message; ``None`` if it may use
        all of them, and the reserved opcodes, anywhere.
    :ivar messages: how many messages have come to their last frame.
    :ivar closed: the code of the Close frame that ended the direction, :data:`NO_STATUS` if it says none; 0 before.
    :ivar fault: why the direction ended before that.
    :ivar over: whether it has ended in either way: what comes then is dropped.
    :ivar keeps_close: whether a Close frame is not passed on.
    :ivar awaited: the payload of a Ping of ours; the Pong that answers it is not passed on.
    """

    __slots__ = (
        "_bit", "_held", "_idle", "_kinds", "_left", "_mask", "_message", "_reserved", "_within", "awaited", "closed",
        "fault", "keeps_close", "messages", "most", "over",
    )  # fmt: skip

    def __init__(self, *, masked: bool, most: int, reserved: int | None = 0) -> None:
        self._bit, self._mask = (0x80, 4) if masked else (0, 0)
        self.most = most
        self._reserved = reserved
        self._idle, self._within = _kinds(reserved, within=False), _kinds(reserved, within=True)
        self._kinds = self._idle
        self._held = b""  # the beginning of a header, or of a control frame that is looked at as a whole
        self._left = 0  # of the frame that is passing
        self._message = 0  # bytes of the message that is not complete
        self.messages = self.closed = 0
        self.fault: Fault | None = None
        self.over = self.keeps_close = False
        self.awaited = b""

    @property
    def between(self) -> bool:
        """Whether what has passed ends with a frame, so that one of ours may follow."""
        return not self._left

    def walk(self, data: bytes) -> bytes:
        """Take bytes, and return those that pass: the same object if all do."""
        if self._held:
            data, self._held = self._held + data, b""
        size, at = len(data), self._left
        if at:
            if at >= size:
                self._left = at - size
                return data
            self._left = 0
        elif self.over:
            return b""
        mask = self._mask
        while at < size:
            start = at
            if size - at < 2:
                if not self._kinds[data[at]]:
                    return self._refuse(data, start)
                return self._hold(data, start)
            first, second = data[at], data[at + 1]
            kind = self._kinds[first]
            if not kind or second & 0x80 != self._bit:
                return self._refuse(data, start)
            length = second & 0x7F
            at += 2
            if length > _MOST_CONTROL:
                if kind > _PASSING or (kind == _PASSING and self._reserved is not None):
                    return self._refuse(data, start)
                wide = 2 if length == 126 else 8
                if size - at < wide:
                    return self._hold(data, start)
                length = int.from_bytes(data[at : at + wide], "big")
                at += wide
                if not _SHORTEST[wide] <= length < 1 << 63:
                    return self._refuse(data, start)
            if kind == _DATA:
                message = self._message + length
                if message > self.most:
                    return self._refuse(data, start)
                if first >= _FIN:
                    self.messages += 1
                    self._message = 0
                    self._kinds = self._idle
                else:
                    self._message = message
                    self._kinds = self._within
            at += mask + length
            if kind > _PASSING and (kind == _CLOSE or self.awaited):
                if at > size:
                    return self._hold(data, start)
                if kind == _CLOSE:
                    return self._close(data, start, at)
                if self.payload(data[start:at]) == self.awaited:
                    self.awaited = b""
                    data = data[:start] + data[at:]
                    size, at = len(data), start
        self._left = at - size
        return data

    def payload(self, frame: bytes) -> bytes:
        """The payload of a control frame, without its mask."""
        return unmasked(frame[6:], frame[2:6]) if self._mask else frame[2:]

    # -- inside ------------------------------------------------------------------------------------------------------

    def _hold(self, data: bytes, start: int) -> bytes:
        """Wait for the rest of a header, or of a frame."""
        self._held = data[start:]
        return data[:start]

    def _close(self, data: bytes, start: int, end: int) -> bytes:
        payload = self.payload(data[start:end])
        code = int.from_bytes(payload[:2], "big") if payload else NO_STATUS
        if payload and (len(payload) == 1 or not may_be_sent(code)):
            return self._end(data, start, PROTOCOL_ERROR, "a Close frame with a code that may not be sent")
        self.closed, self.over = code, True
        return data[: start if self.keeps_close else end]

    def _refuse(self, data: bytes, start: int) -> bytes:
        """End the direction before a frame; what is wrong with it is looked for only now."""
        first, second = data[start], data[start + 1] if start + 1 < len(data) else self._bit
        reason = _fault(first, self._reserved, self._kinds is self._within)
        if not reason and second & 0x80 != self._bit:
            reason = "a frame without a mask" if self._bit else "a frame with a mask"
        if not reason and first & _OPCODE >= CLOSE and second & 0x7F > _MOST_CONTROL:
            reason = "a control frame of more than 125 bytes"
        if not reason:
            wide = {126: 2, 127: 8}.get(second & 0x7F, 0)
            length = int.from_bytes(data[start + 2 : start + 2 + wide], "big") if wide else second & 0x7F
            if wide and not _SHORTEST[wide] <= length < 1 << 63:
                reason = "a length that is written as it must not be"
            else:
                return self._end(data, start, TOO_BIG, f"a message of more than {self.most} bytes")
        return self._end(data, start, PROTOCOL_ERROR, reason)

    def _end(self, data: bytes, start: int, code: int, reason: str) -> bytes:
        self.fault, self.over = Fault(code, reason), True
        return data[:start]


def may_be_sent(code: int) -> bool:
    """Whether a close code may stand in a Close frame (RFC 6455, section 7.4, and IANA's registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def unmasked(data: bytes, mask: bytes) -> bytes:
    """Bytes with a mask put on, or taken off (RFC 6455, section 5.3)."""
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def control_frame(opcode: int, payload: bytes, *, masked: bool) -> bytes:
    """A control frame of ours.

    :param payload: at most 125 bytes.
    :param masked: whether it goes to a server.
    """
    if not masked:
        return bytes((_FIN | opcode, len(payload))) + payload
    mask = os.urandom(4)
    return bytes((_FIN | opcode, 0x80 | len(payload))) + mask + unmasked(payload, mask)


def close_frame(code: int, *, masked: bool) -> bytes:
    """A Close frame of ours; of :data:`NO_STATUS` one that says nothing."""
    return control_frame(CLOSE, b"" if code == NO_STATUS else code.to_bytes(2, "big"), masked=masked)
