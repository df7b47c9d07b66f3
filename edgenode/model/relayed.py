"""What became of a stream that is no HTTP, for its event."""

from __future__ import annotations

from attrs import frozen


@frozen
class StreamState:
    """A stream at its end.

    :ivar closed_by: who ended it first: ``client``, ``origin`` or ``node``.
    """

    closed_by: str
