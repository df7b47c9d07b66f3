"""The limits that keep an origin in trouble from being asked more than it can take: Envoy's circuit breakers.

``max-connections``, ``max-queued`` and ``queue-timeout`` are the pool's and its queue's; here is what else there is.
"""

from __future__ import annotations

import math

from edgenode.proxy.origin.origin import Origin


class RetryBudget:
    """How many requests may be under way at a time that have gone to another server after a failure.

    :param origin: with its share of the requests under way, and how many always may be; no share, no limit.
    :ivar under_way: how many there are.
    """

    def __init__(self, origin: Origin) -> None:
        self._share = math.inf if origin.retry_budget is None else origin.retry_budget.share
        self._minimum = origin.retry_minimum
        self.under_way = 0

    def take(self, active: int) -> bool:
        """One more; false if there are enough.

        :param active: how many requests are under way.
        """
        if self.under_way >= max(self._minimum, self._share * active):
            return False
        self.under_way += 1
        return True

    def give_back(self) -> None:
        """One is answered, or over."""
        self.under_way -= 1
