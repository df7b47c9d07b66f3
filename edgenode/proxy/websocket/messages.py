"""The messages of a client, put together from their frames for rules (RFC 6455, section 5.4).

Law: nothing of a message that rules see passes before they have seen all of it; then it passes as it came, frame by
frame. Control frames within it, and messages that no rule sees, pass at once and in their order.
"""

from __future__ import annotations

from edgenode.proxy.websocket.frames import BINARY, CLOSE, TEXT, unmasked

_FIN, _OPCODE = 0x80, 0x0F
_WIDE = {126: 2, 127: 8}


class MessageReader:
    """Puts messages together from the frames that a :class:`~edgenode.proxy.websocket.frames.Walker` lets pass.

    :param inspected: the opcodes of the messages that are put together.
    :ivar text: whether the message found last is text.
    """

    __slots__ = ("_frames", "_held", "_inspected", "_inspecting", "_left", "_message", "text")

    def __init__(self, inspected: frozenset[int] = frozenset((TEXT,))) -> None:
        self._inspected = inspected
        self._held = bytearray()  # what is to be looked at
        self._left = 0  # of the frame that is passing
        self._inspecting = False
        self._frames = bytearray()  # of the message that is not complete
        self._message = bytearray()  # what it says so far
        self.text = False

    @property
    def between(self) -> bool:
        """Whether what has passed ends with a frame."""
        return not self._left

    @property
    def overhead(self) -> int:
        """Bytes of frame headers that the message that is not complete has so far: empty fragments have no others."""
        return len(self._frames) - len(self._message)

    def take(self, data: bytes) -> None:
        """Take bytes that may pass."""
        self._held += data

    def next(self) -> tuple[bytes, bytes | None]:
        """What passes at once, and the message behind it, if one is complete: :meth:`release` has it pass."""
        held = self._held
        passed = bytearray()
        while held:
            if self._left:
                passed += held[: self._left]
                size = min(self._left, len(held))
                self._left -= size
                del held[:size]
                continue
            end, mask_at = _end_of_frame(held)
            if end < 0:
                break
            first = held[0]
            opcode = first & _OPCODE
            if opcode in (TEXT, BINARY):
                self._inspecting = opcode in self._inspected
                self.text = opcode == TEXT
            if not (self._inspecting and opcode < CLOSE):
                self._left = end
                continue
            if len(held) < end:
                break
            self._message += unmasked(bytes(held[mask_at + 4 : end]), bytes(held[mask_at : mask_at + 4]))
            self._frames += held[:end]
            del held[:end]
            if first >= _FIN:
                self._inspecting = False
                message = bytes(self._message)
                self._message.clear()
                return bytes(passed), message
        return bytes(passed), None

    def drop(self) -> None:
        """Have neither that message nor anything behind it."""
        self._frames.clear()
        self._held.clear()

    def release(self) -> bytes:
        """The frames of the message found last, as they came."""
        frames = bytes(self._frames)
        self._frames.clear()
        return frames


def _end_of_frame(held: bytearray) -> tuple[int, int]:
    """Where the first frame ends, and where its mask begins; -1 if that is not known yet."""
    length = held[1] & 0x7F if len(held) > 1 else 0
    wide = _WIDE.get(length, 0)
    if len(held) < 2 + wide:
        return -1, 0
    if wide:
        length = int.from_bytes(held[2 : 2 + wide], "big")
    return 2 + wide + 4 + length, 2 + wide


OPCODES = {"text": frozenset((TEXT,)), "all": frozenset((TEXT, BINARY))}
"""The opcodes of the messages that rules see, by the value of ``inspect-messages``."""
