"""Paths into JSON documents: to keys, indexes, every element, or the elements whose key has a value.

Law: what a path does not find is an error, unless the step that leads nowhere says that it may.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from attrs import frozen

from edgenode.model.errors import InvalidValue

Key = str | int | None
"""Where a step leads: into an object by its key, into an array by its index, or into all of either."""


@frozen
class Step:
    """One step of a path.

    :ivar key: where to.
    :ivar optional: whether it may lead nowhere: written with ``?`` behind it.
    :ivar equals: if given, the step leads to all elements that are objects whose ``key`` has this value.
    """

    key: Key
    optional: bool = False
    equals: str | None = None

    def __str__(self) -> str:
        if self.equals is not None:
            return f'element whose "{self.key}" is "{self.equals}"'
        return "[*]" if self.key is None else f"[{self.key}]" if isinstance(self.key, int) else f'"{self.key}"'


Path = tuple[Step, ...]

_KEY = r"[A-Za-z_][A-Za-z0-9_-]*"
_TEXT = r'"[^"\\]*"'
_BRACKETS = rf"\[(?:\*|[0-9]{{1,9}}|{_TEXT}|(?:{_KEY}|{_TEXT})={_TEXT})\]"
_PATH = re.compile(rf"(?:{_KEY}|{_BRACKETS})\??(?:(?:\.{_KEY}|{_BRACKETS})\??)*")
_STEP = re.compile(rf"\.?(?:({_KEY})|({_BRACKETS}))(\??)")
_SELECTION = re.compile(rf"({_KEY}|{_TEXT})=({_TEXT})")
_BETWEEN_PATHS = re.compile(r"\s*(?:,\s*|\Z)")


def paths(text: str, column: int) -> Iterator[Path]:
    """Read paths, separated by commas.

    :param column: where the text begins, for errors.
    :raises InvalidValue: if one is none.
    """
    at = 0
    while True:
        path = _PATH.match(text, at)
        between = None if path is None else _BETWEEN_PATHS.match(text, path.end())
        if path is None or between is None:
            raise InvalidValue("expected a path, such as prefixes[*].ip_prefix", column + (path.end() if path else at))
        yield tuple(_step(*step.groups()) for step in _STEP.finditer(path[0]))
        at = between.end()
        if at == len(text) and "," not in between[0]:
            return


def _step(key: str | None, brackets: str | None, optional: str) -> Step:
    if brackets is None:
        return Step(key, bool(optional))
    inside = brackets[1:-1]
    selection = _SELECTION.fullmatch(inside)
    if selection is not None:
        return Step(selection[1].strip('"'), bool(optional), selection[2][1:-1])
    return Step(None if inside == "*" else int(inside) if inside.isdigit() else inside[1:-1], bool(optional))


def found(document: Any, path: Iterable[Step]) -> list[Any]:
    """Every value that a path leads to.

    :raises InvalidValue: if it leads nowhere.
    """
    found = [document]
    for step in path:
        further: list[Any] = []
        for each in found:
            reached = _reached(each, step)
            if reached is None and not step.optional:
                raise InvalidValue(f"the path leads nowhere: there is no {step}")
            further += reached or ()
        found = further
    return found


def _reached(value: Any, step: Step) -> Sequence[Any] | None:
    """What a step leads to; ``None`` if it leads nowhere."""
    key, elements = step.key, list(value.values()) if isinstance(value, dict) else value
    if not isinstance(elements, list):
        return None
    if step.equals is not None:
        return [each for each in elements if isinstance(each, dict) and _is(each.get(str(key)), step.equals)] or None
    if key is None:
        return elements
    if isinstance(value, dict):
        return [value[key]] if isinstance(key, str) and key in value else None
    return [value[key]] if isinstance(key, int) and key < len(value) else None


def _is(value: Any, sought: str) -> bool:
    return value == sought if isinstance(value, str) else isinstance(value, int) and json.dumps(value) == sought
