"""How many of what: the keys ``limit`` and ``count`` of rate limits and dynamic rules."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import ClassVar

from attrs import field, frozen

from edgenode.model.durations import seconds, write_seconds
from edgenode.model.errors import InvalidValue
from edgenode.policy.keys import Part

_THRESHOLD = re.compile(r"(?P<most>\S+)(?:\s+(?P<per>\S+)(?:\s+(?P<period>\S+)(?:\s+(?P<action>\S+))?)?)?\s*")
_NUMBER = re.compile(r"([0-9]{1,15})([kmg]?)", re.ASCII)
_UNITS: Mapping[str, int] = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}

LARGEST = 999_999_999_999_999
"""The most that a header of a structured field can say (RFC 9651, section 3.3.1)."""

LONGEST = 366 * 86400.0
"""The longest period, in seconds: what is counted for so long is not likely to be kept."""


@frozen
class Threshold:
    """``100 per 1m``, or ``100 per 1m ACTION``.

    :ivar most: what is not yet over.
    :ivar period: seconds.
    :ivar action: the name of the action over it; empty for the usual one.
    :ivar unit: ``k``, ``m`` or ``g`` if it was written in bytes.
    """

    lines: ClassVar[bool] = True

    most: int
    period: float
    action: str = ""
    unit: str = field(default="", eq=False)

    @classmethod
    def from_text(cls, text: str) -> Threshold:
        """A number, ``per`` and a duration: ``100 per 1m``; of bytes also ``10m per 1h``. Behind it may stand the name
        of an action.

        :raises InvalidValue: if it is none, with its column.
        """
        found = _THRESHOLD.fullmatch(text)
        number = None if found is None else _NUMBER.fullmatch(found["most"])
        if found is None or found["period"] is None or found["per"] != "per":
            raise InvalidValue("expected a number and a period, such as 100 per 1m, and perhaps an action", 0)
        if number is None:
            raise InvalidValue("expected a number; of bytes it may have a unit: 512k, 10m, 1g", 0)
        most = int(number[1]) * _UNITS[number[2]]
        if most > LARGEST:
            raise InvalidValue(f"the largest number is {LARGEST}", 0)
        start = found.start("period")
        try:
            period = seconds(found["period"])
        except InvalidValue as problem:
            raise InvalidValue(problem.sentence, start) from None
        if not 0 < period <= LONGEST:
            raise InvalidValue("a period is more than 0 and at most 366d", start)
        return cls(most, period, found["action"] or "", number[2])

    @property
    def rate(self) -> str:
        """It without its action."""
        return f"{self.most // _UNITS[self.unit]}{self.unit} per {write_seconds(self.period)}"

    def __str__(self) -> str:
        return f"{self.rate} {self.action}".rstrip()


_STATUS = re.compile(r"status\s*(>=|<=|!=|=|<|>)\s*([0-9]{3})", re.ASCII)

_COMPARED: Mapping[str, Callable[[int, int], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}

_FINAL = (101, *range(200, 1000))
"""The statuses of answers that are not interim (RFC 9110, section 15)."""


@frozen
class Amount:
    """``requests``, ``bytes``, ``status >= 400`` or ``distinct argument.user``.

    :ivar kind: the first word.
    :ivar compared: how the status of the origin's answer is compared, such as ``>=``.
    :ivar status: with what.
    :ivar part: of ``distinct``, whose values are counted.
    """

    kind: str = "requests"
    compared: str = ""
    status: int = 0
    part: Part | None = None

    @classmethod
    def from_text(cls, text: str) -> Amount:
        """``requests``, ``bytes`` (of the bodies of answers), ``status >= 400`` (the origin's answers with such a
        status; also ``=``, ``!=``, ``<``, ``<=``, ``>``), or ``distinct`` and a word of a key: ``distinct
        argument.user``.

        :raises InvalidValue: if it is none of them, with its column.
        """
        if text in ("requests", "bytes"):
            return cls(text)
        found = _STATUS.fullmatch(text)
        if found is not None:
            status = int(found[2])
            if not 100 <= status <= 599:
                raise InvalidValue("a status is a number from 100 to 599", found.start(2))
            if not any(_COMPARED[found[1]](each, status) for each in _FINAL):
                raise InvalidValue("no answer has such a status: a final one is 101, or 200 and more", found.start(2))
            return cls("status", found[1], status)
        word, blank, rest = text.partition(" ")
        if word == "distinct" and rest.strip():
            start = len(word) + len(blank) + len(rest) - len(rest.lstrip())
            try:
                return cls(word, part=Part.from_text(rest.strip()))
            except InvalidValue as problem:
                raise InvalidValue(problem.sentence, start + (problem.column or 0)) from None
        raise InvalidValue("expected requests, bytes, a status such as status >= 400, or distinct argument.NAME", 0)

    @property
    def is_known_later(self) -> bool:
        """Whether only the answer to a request tells it."""
        return self.kind in ("bytes", "status")

    def of_answer(self, sent: int, origin_status: int) -> int:
        """How much an answer comes to.

        :param sent: bytes of its body.
        :param origin_status: what the origin answered, 0 if it was not asked.
        """
        if self.kind == "bytes":
            return sent
        return int(origin_status > 0 and _COMPARED[self.compared](origin_status, self.status))

    def __str__(self) -> str:
        if self.kind == "status":
            return f"status {self.compared} {self.status}"
        return self.kind if self.part is None else f"{self.kind} {self.part}"
