"""How a list or a datafeed is written: lines, CSV or JSON; from bytes to values, each with its place.

Law: what cannot be read is an error with its place. Nothing is passed over but comments, empty lines, and what the path
of a JSON format says may be missing. And reading holds up no other thread for long: lines and rows have a greatest
length, for one is handled in one go. A JSON document is, too, so a large one is for another process.
"""

from __future__ import annotations

import csv
import json
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from attrs import field, frozen

from edgenode.model.errors import InvalidValue

Key = str | int | None
"""A step of a path: into an object by its key, into an array by its index, or into all of either."""


@frozen
class Values:
    """What was read.

    :ivar texts: the values, in the order they stand there.
    :ivar places: the number of each, from 1.
    :ivar unit: what is numbered: ``line`` or ``value``.
    :ivar annotations: what is said of a value behind ``#``, by the value.
    """

    texts: list[str]
    places: Sequence[int]
    unit: str = "line"
    annotations: Mapping[str, str] = field(factory=dict)


@frozen
class Step:
    """One step of a path through a JSON document.

    :ivar key: where to.
    :ivar optional: whether it may lead nowhere: written with ``?`` behind it.
    """

    key: Key
    optional: bool = False


_KEY = r"[A-Za-z_][A-Za-z0-9_-]*"
_BRACKETS = r'\[(?:\*|[0-9]{1,9}|"[^"\\]*")\]'
_PATH = re.compile(rf"(?:{_KEY}|{_BRACKETS})\??(?:(?:\.{_KEY}|{_BRACKETS})\??)*")
_STEP = re.compile(rf"\.?(?:({_KEY})|({_BRACKETS}))(\??)")
_BETWEEN_PATHS = re.compile(r"\s*(?:,\s*|\Z)")


@frozen
class Format:
    """How a source is written.

    :ivar name: ``lines``, ``csv`` or ``json``.
    :ivar argument: what stands behind it: the column, or the paths.
    :ivar column: of CSV: the number of the column, from 1, or its name in the first row.
    :ivar paths: of JSON: where the values are.
    """

    name: str = "lines"
    argument: str = ""
    column: int | str = 0
    paths: tuple[tuple[Step, ...], ...] = ()

    @classmethod
    def from_text(cls, text: str) -> Format:
        """Read a format.

        :raises InvalidValue: if it is none.
        """
        name, _, argument = text.partition(" ")
        argument = argument.strip()
        if name not in READERS:
            raise InvalidValue("expected lines, csv COLUMN or json PATH", 0)
        if name == "lines":
            if argument:
                raise InvalidValue("lines have no argument", text.index(argument))
            return cls()
        if not argument:
            what = "a column, its number or its name" if name == "csv" else "a path, such as prefixes[*].ip_prefix"
            raise InvalidValue(f"{name} needs {what}", len(text))
        if name == "csv":
            column = int(argument) if re.fullmatch(r"[0-9]{1,4}", argument) else argument
            if column == 0:
                raise InvalidValue("columns are numbered from 1", text.index(argument))
            return cls(name, argument, column)
        return cls(name, argument, paths=tuple(_paths(argument, text.index(argument))))

    def __str__(self) -> str:
        return f"{self.name} {self.argument}".strip()

    def read(self, data: bytes, words: bool = True) -> Values:
        """Read a content, UTF-8.

        :param words: whether no value has white space in it; then a comment may stand behind ``;`` too.
        :raises InvalidValue: if it is not written so; the sentence says where.
        """
        return READERS[self.name](self, _decoded(data), words)


def _decoded(data: bytes) -> str:
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise InvalidValue(f"line {number}: not UTF-8") from None


LONGEST = 1 << 18
"""Characters that a line, a row of CSV or a value of JSON may have."""


def _each_line(text: str, start: int = 0) -> Iterator[str]:
    """The lines of a text, one at a time: taking a long one apart at once would hold up other threads."""
    for number in count(1):
        end = text.find("\n", start) + 1 or len(text)
        if end - start > LONGEST:
            raise InvalidValue(f"line {number}: it has more than {LONGEST} characters")
        if start == end:
            return
        yield text[start:end]
        start = end


# -- lines -----------------------------------------------------------------------------------------------------------

_COMMENT = re.compile(r"\s#")
_COMMENT_BEHIND_WORDS = re.compile(r"\s[#;]")


def _lines(format: Format, text: str, words: bool) -> Values:
    mark = _COMMENT_BEHIND_WORDS if words else _COMMENT
    texts: list[str] = []
    places = array("L")
    annotations: dict[str, str] = {}
    for number, whole in enumerate(_each_line(text), 1):
        line = whole.strip()
        if not line or line[0] in "#;":
            continue
        if ("#" in line or ";" in line) and (comment := mark.search(line)) is not None:
            line, annotation = line[: comment.start()].rstrip(), line[comment.end() :].strip()
            if annotation:
                annotations[line] = annotation
        texts.append(line)
        places.append(number)
    return Values(texts, places, "line", annotations)


# -- CSV (RFC 4180) --------------------------------------------------------------------------------------------------


def _csv(format: Format, text: str, words: bool) -> Values:
    length = 0

    def lines() -> Iterator[str]:
        nonlocal length
        for line in _each_line(text):
            length += len(line)
            if length > LONGEST:
                raise InvalidValue(f"line {reader.line_num + 1}: the row has more than {LONGEST} characters")
            yield line

    reader = csv.reader(lines(), strict=True)
    texts: list[str] = []
    places = array("L")
    column = format.column
    try:
        for row in reader:
            length = 0
            if not row or row[0].startswith("#"):
                continue
            if isinstance(column, str):
                if row.count(column) != 1:
                    raise InvalidValue(f'line {reader.line_num}: the first row names no column "{column}", or several')
                column = row.index(column) + 1
                continue
            if len(row) < column or not row[column - 1].strip():
                raise InvalidValue(f"line {reader.line_num}: there is nothing in column {column}")
            texts.append(row[column - 1].strip())
            places.append(reader.line_num)
    except csv.Error as error:
        raise InvalidValue(f"line {reader.line_num}: not CSV: {error}") from None
    return Values(texts, places)


# -- JSON (RFC 8259) -------------------------------------------------------------------------------------------------


def _paths(text: str, column: int) -> Iterator[tuple[Step, ...]]:
    """Read paths, separated by commas.

    :param column: where the text begins, for errors.
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
    return Step(None if inside == "*" else int(inside) if inside.isdigit() else inside[1:-1], bool(optional))


_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""Half a character: JSON can escape it, and UTF-8 has no form for it; and what stands between values elsewhere."""


def _json(format: Format, text: str, words: bool) -> Values:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidValue(f"line {error.lineno}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; arrays within arrays
        raise InvalidValue(f"not JSON that can be read: {error}") from None
    texts: list[str] = []
    for path in format.paths:
        for value in _found(document, path):
            if isinstance(value, bool) or not isinstance(value, (str, int)):
                raise InvalidValue(f"value {len(texts) + 1}: expected a text or a whole number")
            texts.append(str(value).strip())
            if not texts[-1] or len(texts[-1]) > LONGEST or _NO_TEXT.search(texts[-1]):
                raise InvalidValue(f"value {len(texts)}: it is empty, too long, or no text")
    return Values(texts, range(1, len(texts) + 1), "value")


def _found(document: Any, path: Iterable[Step]) -> list[Any]:
    """Every value that a path leads to."""
    found = [document]
    for step in path:
        further: list[Any] = []
        for each in found:
            reached = _reached(each, step.key)
            if reached is None and not step.optional:
                raise InvalidValue(f"the path leads nowhere: there is no {_written(step.key)}")
            further += reached or ()
        found = further
    return found


def _reached(value: Any, key: Key) -> Sequence[Any] | None:
    """What a step leads to; ``None`` if it leads nowhere."""
    if isinstance(value, dict):
        if key is None:
            return list(value.values())
        return [value[key]] if isinstance(key, str) and key in value else None
    if isinstance(value, list):
        if key is None:
            return value
        return [value[key]] if isinstance(key, int) and key < len(value) else None
    return None


def _written(key: Key) -> str:
    return "[*]" if key is None else f"[{key}]" if isinstance(key, int) else f'"{key}"'


READERS: Mapping[str, Callable[[Format, str, bool], Values]] = {"lines": _lines, "csv": _csv, "json": _json}
"""How each format is read."""
