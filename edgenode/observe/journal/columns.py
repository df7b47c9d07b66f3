"""The columns of the journal: one for each key that an event can have, with the type that the schema of events says.

Law: the schemas of events are the schema of the columns too. What happens to the state stands in the same columns; a
line of one kind has ``event``, and one of the other ``listener``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, get_args, get_origin, is_typeddict

from edgenode.observe.event_fields import ROWS, Row
from edgenode.observe.state_events import STATE_ROWS

TIME = "time"
"""The column of the time; all others are as in the line."""

_TYPES: Mapping[Any, str] = {
    str: "VARCHAR",
    int: "BIGINT",
    bool: "BOOLEAN",
    list[str]: "VARCHAR[]",
    list[int]: "BIGINT[]",
    dict[str, int]: "MAP(VARCHAR, BIGINT)",
    dict[str, list[str]]: "MAP(VARCHAR, VARCHAR[])",
}


def quoted(name: str) -> str:
    """A name as DuckDB reads it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def _type(row: Row) -> str:
    """DuckDB's type for the values of a field."""
    hint = next((each for each in get_args(row.type) or (row.type,) if each is not NoneType), row.type)
    if row.inner:
        struct = f"STRUCT({', '.join(f'{quoted(each.name)} {_type(each)}' for each in row.inner)})"
        return struct if is_typeddict(hint) and get_origin(row.type) is not list else f"{struct}[]"
    return _TYPES[row.type if row.type in _TYPES else hint]


COLUMNS: Mapping[str, str] = {
    row.name: "TIMESTAMP WITH TIME ZONE" if row.name == TIME else _type(row) for row in (*ROWS, *STATE_ROWS)
}
"""The types of all columns, in order."""
