"""Which bytes a text may have, as a table: to see whether it has others takes one pass over it, and nothing before."""

from __future__ import annotations


def only(allowed: bytes) -> bytes:
    """A table by which :meth:`bytes.translate` leaves a text as it is if it has no other bytes than these."""
    return bytes(byte if byte in allowed else byte ^ 1 for byte in range(256))
