"""The columns of the journal: one for each key that an event can have, with the type that the schema of events says.

Law: the schemas of events are the schema of the columns too. What happens to the state stands in the same columns; a
line of one kind has ``event``, and one of the other ``listener``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, get_args, get_origin, is_typeddict

from attrs import frozen

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


@frozen
class Computed:
    """A column that Parquet files have besides, for what would else be computed in every question.

    :ivar type: its type.
    :ivar sql: what it is computed by, of the other columns.
    :ivar help: what it says.
    """

    type: str
    sql: str
    help: str


def _groups(part: str) -> str:
    """The groups of a part of an IPv6 address, each written out with four digits, and joined."""
    found = f"[lpad(y, 4, '0') for y in string_split({part}, ':') if y <> '']"
    return f"coalesce(list_aggregate({found}, 'string_agg', ''), '')"


def hexadecimal(address: str) -> str:
    """An address as an IPv6 address of 32 hexadecimal digits, an IPv4 address as the one that it is mapped to.

    :param address: the expression of its text; of what is no address it is ``NULL``.
    """
    first, last = (_groups(f"split_part({address}, '::', {part})") for part in (1, 2))
    return f"""CASE
        WHEN regexp_full_match({address}, '[0-9]{{1,3}}([.][0-9]{{1,3}}){{3}}')
        THEN '{MAPPED}' ||
            format('{{:08x}}', list_reduce(string_split({address}, '.')::BIGINT[], lambda y, z: y * 256 + z))
        WHEN regexp_full_match({address}, '[0-9a-f:]*:[0-9a-f:]*')
        THEN CASE WHEN contains({address}, '::')
            THEN {first} || repeat('0', 32 - length({first}) - length({last})) || {last}
            ELSE {first} END
        END"""


MAPPED = "0" * 20 + "ffff"
"""The first digits of what an IPv4 address is mapped to (RFC 4291, section 2.5.5.2)."""

COMPUTED: Mapping[str, Computed] = {
    "client_hex": Computed(
        "VARCHAR",
        hexadecimal("client"),
        "The client's address as an IPv6 address of 32 hexadecimal digits, an IPv4 address as the one that it is "
        "mapped to: a network is all that stands between its first and its last address. ``NULL`` if it is no address.",
    ),
    "date": Computed("DATE", "CAST(time AT TIME ZONE 'UTC' AS DATE)", "The day of ``time``, UTC."),
    "hour": Computed("BIGINT", "date_part('hour', time AT TIME ZONE 'UTC')", "The hour of ``time``, UTC."),
}
"""The further columns of Parquet files, by name."""


def reference() -> str:
    """All columns as a table, reStructuredText."""
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 20 30 50",
        "",
        "   * - Column",
        "     - Type",
        "     - What it says",
    ]
    for row in (*ROWS, *(each for each in STATE_ROWS if each.name != TIME)):
        words = row.help or row.object.__doc__
        lines += _described(row.name, COLUMNS[row.name].partition("(")[0], words)
    for name, each in COMPUTED.items():
        lines += _described(name, each.type, f"Computed: {each.help[:1].lower()}{each.help[1:]}")
    return "\n".join(lines)


def _described(name: str, type: str, words: str) -> list[str]:
    return [f"   * - ``{name}``", f"     - ``{type}``", f"     - {' '.join(words.split())}"]
