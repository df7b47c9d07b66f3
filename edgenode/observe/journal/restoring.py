"""An event again from a row of the journal.

Law: it is what its line said, key by key; only what was there for nobody's sake, a key that may be absent and is
``null``, is absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from edgenode.observe.event_fields import ROWS, Row
from edgenode.observe.event_values import instant
from edgenode.observe.state_events import STATE_ROWS


def restored(row: Mapping[str, Any], microseconds: int) -> dict[str, Any]:
    """The event of a row, as :mod:`json` reads its line.

    :param row: its columns, or some of them, without the time.
    :param microseconds: the time, since the epoch.
    """
    rows = STATE_ROWS if row.get("event") is not None else ROWS
    written = instant(microseconds // 1_000_000)[1:-9] + f".{microseconds % 1_000_000:06}Z"
    return _object({"time": written, **row}, rows, absent=False)


def _object(found: Mapping[str, Any], rows: Iterable[Row], *, absent: bool) -> dict[str, Any]:
    """:param absent: whether what may be absent together with others is."""
    event = {}
    for row in rows:
        if row.name not in found:
            continue
        value = found[row.name]
        if value is None and (row.omitted or (absent and row.optional)):
            continue
        if row.inner and isinstance(value, dict):
            value = _object(value, row.inner, absent=value.get("verify") == "NONE")
        elif row.inner and isinstance(value, list):
            value = [_object(each, row.inner, absent=False) for each in value]
        event[row.name] = value
    return event
