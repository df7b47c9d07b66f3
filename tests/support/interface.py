"""The public interface as text: names with their signatures, and the schema of events.

``python -m tests.support.interface`` writes it into ``docs/interface``, where what other people's programs stand on is
kept; ``tests/test_interface.py`` compares the two.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, is_typeddict

from attrs import NOTHING, fields, has
from zope.interface import Interface

from edgenode.observe.event_fields import ROWS, Row
from edgenode.observe.state_events import STATE_ROWS

FOLDER = pathlib.Path(__file__).parent.parent.parent / "docs" / "interface"
MODULES = ("edgenode", "edgenode.testing")
"""The modules whose ``__all__`` is public."""

JSON_TYPES: Mapping[Any, str] = {str: "string", int: "integer", bool: "boolean", NoneType: "null"}


def public_names() -> str:
    """Every public name with its signature; of a class its public attributes and methods, one a line."""
    lines = []
    for module in MODULES:
        found = importlib.import_module(module)
        for name in sorted(found.__all__):
            lines += [*_described(f"{module}.{name}", getattr(found, name)), ""]
    return "\n".join(lines)


def _described(path: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        yield f"class {path}{f'({bases})' if bases else ''}"
        yield from (f"    {line}" for line in dict.fromkeys((*_attributes(value), *sorted(_members(value)))))
    elif isinstance(value, type(Interface)):
        yield f"interface {path}({', '.join(base.__name__ for base in value.__bases__)})"
        for name in sorted(value.names()):
            signature = getattr(value[name], "getSignatureString", None)
            yield f"    {name}{signature() if signature else ''}"
    elif inspect.isfunction(value):
        yield f"def {path}{_signature(value)}"
    else:
        yield f"{path} = {re.sub(r' at 0x[0-9a-f]+', '', str(value))}"


def _attributes(cls: type) -> Iterator[str]:
    """What an attrs class is made of, in the order of its arguments."""
    for attribute in fields(cls) if has(cls) else ():
        if not attribute.name.startswith("_"):
            default = "" if attribute.default is NOTHING else " = ..."
            yield f"{attribute.name}: {attribute.type}{default}{' (by name)' if attribute.kw_only else ''}"


def _members(cls: type) -> Iterator[str]:
    if not (has(cls) or is_typeddict(cls) or is_protocol(cls)):
        yield f"__init__{_signature(next(vars(base)['__init__'] for base in cls.__mro__ if '__init__' in vars(base)))}"
        yield from re.findall(r":ivar (\w+):", cls.__doc__ or "")
    for base in () if is_typeddict(cls) else cls.__mro__:  # what events have is in their schema
        if base.__module__.startswith("edgenode."):
            yield from _own(base)


def is_protocol(cls: type) -> bool:
    """Whether it is a class for annotations."""
    return bool(getattr(cls, "_is_protocol", False))


def _own(cls: type) -> Iterator[str]:
    """What a class says itself."""
    annotated = {} if has(cls) else inspect.get_annotations(cls)
    yield from (f"{name}: {kind}" for name, kind in annotated.items() if not name.startswith("_"))
    for name, value in vars(cls).items():
        if name.startswith("_") or name in annotated:
            continue
        if isinstance(value, property) or type(value).__name__ == "cached_property":
            getter: Any = value.fget if isinstance(value, property) else value.func
            yield f"{name}: {inspect.get_annotations(getter).get('return')}"
        elif isinstance(value, (classmethod, staticmethod)):
            yield f"{type(value).__name__} {name}{_signature(value.__func__)}"
        elif inspect.isfunction(value):
            yield f"{name}{_signature(value)}"


def _signature(function: Any) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", str(inspect.signature(function))).replace("'", "")


def event_schema() -> str:
    """The schema of an event's JSON (JSON Schema, draft 2020-12)."""
    return _schema("An event of edgenode", ROWS)


def state_event_schema() -> str:
    """The same of an event of the state."""
    return _schema("An event of the state of edgenode", STATE_ROWS)


def _schema(title: str, rows: Iterable[Row]) -> str:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **_object(rows)}
    return json.dumps(schema, indent=1) + "\n"


def _object(rows: Iterable[Row]) -> dict[str, Any]:
    rows = tuple(rows)
    return {
        "type": "object",
        "properties": {row.name: _typed(row.type, row) for row in rows},
        "required": [row.name for row in rows if not row.optional],
    }


def _typed(hint: Any, row: Row) -> dict[str, Any]:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        kinds = [_typed(each, row) for each in inner]
        plain = [each["type"] for each in kinds]
        return {"type": plain} if all(each.keys() == {"type"} for each in kinds) else {"anyOf": kinds}
    if origin is list:
        return {"type": "array", "items": _typed(inner[0], row)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _typed(inner[1], row)}
    return _object(row.inner) if is_typeddict(hint) else {"type": JSON_TYPES[hint]}


FILES = {
    "public-names.txt": public_names,
    "event-schema.json": event_schema,
    "state-event-schema.json": state_event_schema,
}
"""What makes each file."""

if __name__ == "__main__":
    for file, make in FILES.items():
        (FOLDER / file).write_text(make(), encoding="utf-8")
