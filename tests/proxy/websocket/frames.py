"""Frames as tests write and read them."""

from __future__ import annotations

from edgenode.proxy.websocket.frames import unmasked

MASK = b"\x11\x22\x33\x44"
FIN, TEXT, BINARY, CLOSE, PING, PONG = 0x80, 1, 2, 8, 9, 10


def frame(opcode: int, payload: bytes = b"", *, masked: bool = True, fin: bool = True, rsv: int = 0) -> bytes:
    """One frame."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    else:
        length = b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big")
    first = bytes([(FIN if fin else 0) | rsv | opcode])
    if not masked:
        return first + length + payload
    return first + bytes([length[0] | 0x80]) + length[1:] + MASK + unmasked(payload, MASK)


def said(frames: bytes) -> list[tuple[int, bytes]]:
    """The frames in some bytes: first byte and payload, without the mask."""
    found = []
    while frames:
        size, at = frames[1] & 0x7F, 2
        if size > 125:
            wide = 2 if size == 126 else 8
            size, at = int.from_bytes(frames[2 : 2 + wide], "big"), 2 + wide
        payload = frames[at : at + size]
        if frames[1] & 0x80:
            payload = unmasked(frames[at + 4 : at + 4 + size], frames[at : at + 4])
            at += 4
        found.append((frames[0], payload))
        frames = frames[at + size :]
    return found


def closing(code: int, **options: bool) -> bytes:
    """A Close frame."""
    return frame(CLOSE, code.to_bytes(2, "big"), **options)
