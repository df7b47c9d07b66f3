"""Durations as they are written: ``250ms``, ``5s``, ``10m``, ``24h``, ``7d``."""

from __future__ import annotations

import re

from edgenode.model.errors import InvalidValue

_MILLISECONDS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")


def seconds(text: str) -> float:
    """Read a duration: a whole number and a unit, which is required except for ``0``.

    :raises InvalidValue: if it is none.
    """
    if text == "0":
        return 0.0
    match = _DURATION.fullmatch(text)
    if match is None:
        raise InvalidValue("expected a duration such as 250ms, 5s, 10m, 24h or 7d")
    return int(match[1]) * dict(_MILLISECONDS)[match[2]] / 1000


def write_seconds(value: float) -> str:
    """Write a duration of whole milliseconds in its largest unit."""
    milliseconds = round(value * 1000)
    unit, factor = next((unit, factor) for unit, factor in _MILLISECONDS if milliseconds % factor == 0)
    return f"{milliseconds // factor}{unit}" if milliseconds else "0"
