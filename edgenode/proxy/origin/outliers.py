"""Which servers answer so badly that they are not used for a while.

Law: a server is ejected when ``eject-errors`` of its requests within ``eject-interval`` have failed or were answered
5xx, ``eject-requests`` at least; for ``eject-time``, and as many times as long as it was ejected before without an
interval between that was good, ten times at most. No more than ``eject-share`` of the servers are out at a time, but
one may be: Envoy's outlier detection by failure percentage. Then one request tries it, as with ``max-fails``; if that
is answered 5xx it is out again.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.origin import Origin

_LONGEST = 10
"""How many times ``eject-time`` it is at most: Envoy's 30 s and 300 s."""


@define(eq=False)
class Tally:
    """What is counted of a server.

    :ivar since: when the count began, seconds.
    :ivar answers: requests, failed ones too.
    :ivar errors: those of them that failed, or were answered 5xx.
    :ivar ejections: how often it was ejected, less one for each good interval.
    """

    since: float
    answers: int = 0
    errors: int = 0
    ejections: int = 0


class Outliers:
    """Counts the answers of an origin's servers.

    :param origin: the keys ``eject-...``.
    """

    def __init__(self, origin: Origin) -> None:
        assert origin.eject_errors is not None
        self._errors = origin.eject_errors.share
        self._requests = origin.eject_requests
        self._interval = origin.eject_interval
        self._time = origin.eject_time
        self._share = origin.eject_share.share

    def count(self, server: Balanced, error: bool, now: float, servers: Sequence[Balanced]) -> None:
        """Count an answer, or that there was none, and eject the server if that is one too many.

        :param servers: all of them.
        """
        tally: Tally | None = server.tally
        if tally is None:
            tally = server.tally = Tally(now)
        elif now - tally.since >= self._interval:
            intervals = int((now - tally.since) / self._interval)
            tally.since, tally.answers, tally.errors = now, 0, 0
            tally.ejections = max(tally.ejections - intervals, 0)
        tally.answers += 1
        tally.errors += error
        if (
            error
            and tally.answers >= self._requests
            and tally.errors >= self._errors * tally.answers
            and server.out_until <= now
            and self._may(server, now, servers)
        ):
            self.eject(server, now)

    def eject(self, server: Balanced, now: float) -> None:
        """Take a server out, for as long as it is due."""
        tally: Tally = server.tally or Tally(now)
        tally.ejections = min(tally.ejections + 1, _LONGEST)
        server.out_until = now + self._time * tally.ejections
        server.on_trial = False
        tally.since, tally.answers, tally.errors = server.out_until, 0, 0  # until then is no good interval
        server.tally = tally

    def _may(self, server: Balanced, now: float, servers: Sequence[Balanced]) -> bool:
        """Whether one more may be out."""
        out = sum(each is not server and (each.out_until > now or not each.healthy) for each in servers)
        return len(servers) > 1 and out + 1 <= max(self._share * len(servers), 1)
