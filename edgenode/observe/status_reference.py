"""The reference of what ``edgenode status --json`` prints, made of the classes of :mod:`edgenode.observe.status`."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import fields, has

from edgenode.observe.status import Status

_TEXT = re.compile(r":ivar (\w+): ((?:.+\n?)+?)(?=:ivar|\Z)")

_WORDS: Mapping[object, str] = {str: "text", int: "number", float: "number", bool: "true or false"}


def reference() -> str:
    """Every object with its fields, in reStructuredText."""
    return "\n".join(_tables(Status, "The node", set()))


def _tables(cls: type[Any], title: str, done: set[type[Any]]) -> Iterator[str]:
    """The table of a class, and behind it those of the classes of its fields."""
    done.add(cls)
    documented = dict(_TEXT.findall(inspect.getdoc(cls) or ""))
    hints = typing.get_type_hints(cls)
    yield from (title, "~" * len(title), "", ".. list-table::", "   :widths: 20 20 60", "")
    for each in fields(cls):
        yield f"   * - ``{each.name}``"
        yield f"     - {_type(hints[each.name])}"
        yield f"     - {' '.join(documented[each.name].split()).replace('``None``', '``null``')}"
    yield ""
    for each in fields(cls):
        for inner in _classes(hints[each.name]):
            if inner not in done:
                several = typing.get_origin(hints[each.name]) is tuple
                yield from _tables(inner, f"Each of ``{each.name}``" if several else f"``{each.name}``", done)


def _classes(hint: Any) -> Iterator[type[Any]]:
    if has(hint):
        yield hint
    for each in typing.get_args(hint):
        yield from _classes(each)


def _type(hint: Any) -> str:
    """A type in words of JSON."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if has(hint):
        return "object"
    if origin is tuple:
        return f"list: {_type(arguments[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "object" if arguments[1] is Any else f"object: {_type(arguments[1])} by name"
    if type(None) in arguments:
        return f"{_type(arguments[0])}, or null"
    return _WORDS[hint]
