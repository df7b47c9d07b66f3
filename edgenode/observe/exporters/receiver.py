"""What an exporter sends, and what every type of receiver is to it: the interface between delivery and formats.

Law: a type says of what it was given what the receiver has taken, what it never will, and what it may later; when to
try again is not its business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from attrs import field, frozen
from twisted.internet.defer import Deferred

from edgenode.proxy.origin.pool import OriginPool


@frozen
class Outgoing:
    """An event on its way to a receiver.

    :ivar key: tells it from every other event; the same each time that it is sent.
    :ivar time: when it happened; seconds since the epoch.
    :ivar event: all of it, as :mod:`json` reads it.
    :ivar sent: what is sent of it, under the names of the receiver.
    :ivar line: that as JSON on one line, printable ASCII.
    :ivar place: where its line begins in the journal; of the earlier of two it sorts first.
    """

    key: str
    time: float
    event: Mapping[str, Any] = field(eq=False, repr=False)
    sent: Mapping[str, Any] = field(eq=False, repr=False)
    line: bytes = field(eq=False, repr=False)
    place: str = field(default="", eq=False)


@frozen
class Outcome:
    """What has become of some events; those of which it says nothing were taken.

    :ivar refused: those that will never be taken, by their place, and why.
    :ivar again: the places of those that may be taken later.
    :ivar reason: why not now.
    :ivar after: the time for which the receiver wants to be left alone; seconds.
    :ivar dropped: the number of those that it has taken and thrown away, where it does not say which.
    """

    refused: Mapping[int, str] = field(factory=dict)
    again: Sequence[int] = field(default=(), converter=tuple[int, ...])
    reason: str = ""
    after: float = 0.0
    dropped: int = 0


TAKEN = Outcome()
"""All of them were taken."""


class Unavailable(Exception):
    """Nothing was taken, or nobody knows: the same is sent again later.

    :param reason: why; for people.
    :ivar after: the time for which the receiver wants to be left alone; seconds.
    """

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


class Refused(Exception):
    """The receiver will not take these events together: they are too many, or one of them is not to its liking.

    :param reason: why; for people.
    """


class Sender(Protocol):
    """What sends to one receiver; it is given a batch when the one before has been dealt with."""

    def send(self, events: Sequence[Outgoing]) -> Deferred[Outcome]:
        """Send some events, at least one.

        The Deferred fires once the receiver has said what becomes of them; it fails with :class:`Unavailable` or
        :class:`Refused`. Cancelling it gives up.
        """

    def close(self) -> None:
        """Nothing more is sent."""


class Receiver(Protocol):
    """A type of receiver: the frozen class of its keys in ``[exporter]``.

    :cvar streams: whether it is sent a stream of bytes, over servers ``tls://`` or ``tcp://``, and no HTTP.
    """

    streams: ClassVar[bool]

    def sender(self, pool: OriginPool, timeout: float, node: str) -> Sender:
        """What sends to it.

        :param pool: the connections to it.
        :param timeout: the time for one batch; seconds.
        :param node: the name of the node.
        """

    def faults(self) -> Sequence[tuple[str, str, bool]]:
        """What is wrong with its keys, or doubtful: the key, a sentence, and whether it is a warning."""
