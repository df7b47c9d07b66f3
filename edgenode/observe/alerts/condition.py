"""How many events, in how long: the key ``threshold`` of an alert."""

from __future__ import annotations

import re

from attrs import frozen

from edgenode.model.durations import write_seconds
from edgenode.model.errors import InvalidValue
from edgenode.policy.thresholds import Threshold

_CONDITION = re.compile(r"(?P<words>(?P<compared>more|less)\s+than\s+)?(?P<number>[0-9]+)(?P<share>%?)(?P<rest>\s.*)")

LARGEST = 1_000_000_000
"""The largest number of events in a condition."""

LONGEST = 7 * 86400.0
"""The longest window, in seconds: what is in it is read again when the observer starts."""


@frozen
class Condition:
    """``more than 100 per 5m``, ``less than 1 per 10m``, or a share: ``more than 5% per 5m``.

    :ivar number: how many events, or how many in a hundred.
    :ivar period: of the window, seconds.
    :ivar less: whether it is true below the number, and not above it.
    :ivar share: whether the number is one in a hundred of other events.
    """

    number: int
    period: float
    less: bool = False
    share: bool = False

    @classmethod
    def from_text(cls, text: str) -> Condition:
        """A number, ``per`` and a duration: ``more than 100 per 5m``, also without ``more than``; ``less than 1 per
        10m``; with ``%`` it is a share of the events of ``of``.

        :raises InvalidValue: if it is none, with its column.
        """
        found = _CONDITION.fullmatch(text)
        if found is None:
            raise InvalidValue("expected more than 100 per 5m, less than 1 per 10m, or more than 5% per 5m", 0)
        start, less, share = found.start("number"), found["compared"] == "less", bool(found["share"])
        try:
            threshold = Threshold.from_text(found["number"] + found["rest"])
        except InvalidValue as problem:
            column = start + (problem.column or 0) + (len(found["share"]) if problem.column else 0)
            raise InvalidValue(problem.sentence.replace(", and perhaps an action", ""), column) from None
        if threshold.action:
            raise InvalidValue("nothing stands behind the duration", text.rindex(threshold.action))
        if threshold.most > LARGEST:
            raise InvalidValue(f"the largest number is {LARGEST}", start)
        if not 1 <= threshold.period <= LONGEST:
            raise InvalidValue("a window is at least 1s and at most 7d", len(text) - len(text.split()[-1]))
        if share and threshold.most >= 100 + less:
            raise InvalidValue("a share is never more than 100%", start)
        if less and not threshold.most:
            raise InvalidValue("there are never less than 0 events", start)
        return cls(threshold.most, threshold.period, less, share)

    def holds(self, counted: int, total: int) -> bool:
        """Whether it is true of so many events in the window.

        :param total: the events of which the counted ones are a share.
        """
        number, counted = (self.number * total, counted * 100) if self.share else (self.number, counted)
        return counted < number if self.less else counted > number

    def __str__(self) -> str:
        share = "%" if self.share else ""
        return f"{'less' if self.less else 'more'} than {self.number}{share} per {write_seconds(self.period)}"
