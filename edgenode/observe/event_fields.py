"""The schema of events as values: the fields in their places, how an event is read by them, and the reference.

Law: nothing that an event does not hold is guessed; nothing of another type than its field's is taken for its value.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from attrs import frozen

from edgenode.model.definitions import described
from edgenode.observe.event_schema import COMPUTED, OBJECT, UNKNOWN, Event, Kind


@frozen
class Row:
    """A field in its place.

    :ivar name: its key.
    :ivar path: its key behind those of the objects around it, joined with dots.
    :ivar of: where its value stands in a record, likewise; :data:`COMPUTED` if it is made of several.
    :ivar names: the attributes that lead there from what the object around it describes.
    :ivar type: its type.
    :ivar optional: whether the key may be absent.
    :ivar omitted: whether it is absent by itself, where its value would be ``None``, and not with others.
    :ivar kind: how its values are written and read.
    :ivar help: what it says, for the reference; of an object its class says it.
    :ivar unit: the unit of a number.
    :ivar object: the class of the object, or of the objects in the list, that it holds; ``None`` if it holds none.
    :ivar inner: the fields of that.
    """

    name: str
    path: str
    of: str
    names: tuple[str, ...]
    type: Any
    optional: bool
    omitted: bool
    kind: Kind
    help: str
    unit: str
    object: Any
    inner: tuple[Row, ...]


def rows_of(cls: Any, path: str = "", of: str = "") -> Iterator[Row]:
    """The fields of a class of events, in order; those within others are in them."""
    types = get_type_hints(cls)
    for name, hint in get_type_hints(cls, include_extras=True).items():
        annotated = get_args(hint)[0] if get_origin(hint) is NotRequired else hint
        omitted = annotated is not hint
        optional = omitted or name in cls.__optional_keys__
        written, *said = get_args(annotated)
        within_union = [each for member in get_args(written) for each in get_args(member)]
        kind = next((each for each in (*said, *within_union) if isinstance(each, Kind)), OBJECT)
        place, help, unit = (*(each for each in said if each is not kind), "", "")[:3]
        held = next((each for each in (types[name], *get_args(types[name])) if is_typeddict(each)), None)
        within = f"{path}{name}."
        there = ".".join(filter(None, (of, place))) if held or place != COMPUTED else COMPUTED
        inner = () if held is None else tuple(rows_of(held, within, there))
        names = tuple(filter(None, place.split(".")))
        yield Row(name, within[:-1], there, names, types[name], optional, omitted, kind, help, unit, held, inner)


ROWS = tuple(rows_of(Event))
"""The fields of an event, in order."""


def _flat(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        yield row
        yield from _flat(row.inner)


ALL_ROWS = {row.path: row for row in _flat(ROWS)}
"""Every field of an event, those within others too, by its path."""


ATTRIBUTES: dict[str, dict[str, Row]] = {}
"""The fields that are attributes of a part of a record: by where the part stands, and by the attribute's name."""

for _row in ALL_ROWS.values():
    if _row.of and (not _row.inner or get_origin(_row.type) is list):
        ATTRIBUTES.setdefault(_row.of.rpartition(".")[0], {})[_row.of.rpartition(".")[2]] = _row


class Values(dict[str, Any]):
    """The values of an event by the paths of its fields, as a record has them; of an object its JSON, ``None`` if it is
    ``null``. What the event does not hold, or not as a whole, is not in it, and a ``ValueError`` if it is asked for."""

    def __missing__(self, path: str) -> Any:
        raise ValueError(f"{ALL_ROWS[path].path} is missing")


def read_event(event: Mapping[str, Any], rows: Iterable[Row] = ROWS) -> Values:
    """Read an event, or an object in it.

    :param event: as :mod:`json` reads it.
    :raises ValueError: if a field is of another type than its own, or cannot be read.
    """
    found = Values()
    for row in rows:
        if row.name not in event:
            continue
        value = event[row.name]
        if not conforming(row.type)(value):
            raise ValueError(f"{row.path} is no {_described(row.type)}")
        if row.inner and isinstance(value, list):
            for each in value:
                read_event(each, row.inner)  # only to find out whether it can be
        if row.inner and isinstance(value, dict):
            found |= read_event(value, row.inner)
        known = row.kind.read(value)
        if known is not UNKNOWN:
            found[row.path] = known
    return found


def attributes(values: Values, of: str, *, whole: bool = False) -> dict[str, Any]:
    """The attributes of a part of a record, as far as an event holds them.

    :param of: where the part stands in the record, such as ``exchange.connection``.
    :param whole: whether none of them may be missing, but those omitted by themselves; else a ``ValueError`` is raised.
    """
    rows = ATTRIBUTES.get(of, {}).items()
    return {name: values[row.path] for name, row in rows if row.path in values or (whole and not row.omitted)}


@functools.cache
def conforming(hint: Any) -> Callable[[object], bool]:
    """What says whether a value has the type of an annotation; of an object its fields are left out."""
    origin, inner = get_origin(hint), tuple(map(conforming, get_args(hint)))
    if origin in (Union, UnionType):
        return lambda value: any(conforms(value) for conforms in inner)
    if origin is list:
        return lambda value: type(value) is list and all(map(inner[0], value))
    if origin is dict:
        return lambda value: type(value) is dict and all(map(inner[1], value.values()))
    exact = dict if is_typeddict(hint) else hint
    return lambda value: type(value) is exact


def _described(hint: Any) -> str:
    """A type in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(map(_described, inner))
    if origin is list:
        return f"list of {_described(inner[0])}s"
    return "object" if origin is dict or is_typeddict(hint) else _WORDS[hint]


_WORDS = {str: "text", int: "number", bool: "true or false", NoneType: "null"}


# -- the reference -----------------------------------------------------------------------------------------------------


def reference() -> str:
    """The definitions of all fields, reStructuredText."""
    return described_rows(ROWS)


def described_rows(rows: Iterable[Row], before: str = "") -> str:
    """The definitions of some fields, and of those within them.

    :param before: what stands before the name of each.
    """
    return "\n".join(_definition(row, before) for row in _flat(rows))


def _definition(row: Row, before: str) -> str:
    words = row.help or row.object.__doc__
    kind = [_described(row.type), row.unit, "or absent" if row.optional else ""]
    return described("event-field", before + row.path, " ".join(words.split()), Type=", ".join(filter(None, kind)))
