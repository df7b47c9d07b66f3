"""How a list or a datafeed is written: lines, columns, CSV or JSON; from bytes to values, each with its place.

Law: what cannot be read is an error with its place, or is reported and left out where its section says so. Nothing is
passed over but comments, empty lines, and what a format selects otherwise or says may be missing. And reading holds up
no other thread for long: lines and rows have a greatest length, for one is handled in one go. A JSON document is, too,
so a large one is for another process.
"""

from __future__ import annotations

import csv
import json
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, count
from typing import Any

from attrs import evolve, field, frozen

from edgenode.model.errors import InvalidValue
from edgenode.rules import json_paths
from edgenode.rules.feed_columns import Columns
from edgenode.rules.json_paths import Path


@frozen
class Values:
    """What was read.

    :ivar texts: the values, in the order they stand there.
    :ivar places: the number of each, from 1.
    :ivar unit: what is numbered: ``line`` or ``value``.
    :ivar annotations: what is said of a value behind ``#``, by the value.
    :ivar bad: the lines that could not be read and were left out, each with why.
    """

    texts: list[str]
    places: Sequence[int]
    unit: str = "line"
    annotations: Mapping[str, str] = field(factory=dict)
    bad: Sequence[tuple[int, str]] = ()


Bad = Callable[[int, str], None]
"""Is told of the number of a line that cannot be read, and why; raises :class:`InvalidValue` if none may be."""

_SEPARATOR = re.compile(r"(tab|space|[^\w\s#\"']{1,4})\s+(\S.*)", re.ASCII)


@frozen
class Format:
    """How a source is written.

    :ivar name: ``lines``, ``csv``, ``separated``, ``json`` or ``json-lines``.
    :ivar argument: what stands behind it.
    :ivar separator: of ``separated``: what stands between columns; empty for white space.
    :ivar columns: of ``csv`` and ``separated``.
    :ivar paths: of JSON: where the values are.
    """

    name: str = "lines"
    argument: str = ""
    separator: str = ""
    columns: Columns = field(factory=partial(Columns, "1"))
    paths: tuple[Path, ...] = ()

    @classmethod
    def from_text(cls, text: str) -> Format:
        """Read a format.

        :raises InvalidValue: if it is none.
        """
        name, _, argument = text.partition(" ")
        argument = argument.strip()
        if name not in READERS:
            raise InvalidValue(
                "expected lines, csv COLUMN, separated SEPARATOR COLUMN, json PATH or json-lines PATH", 0
            )
        if name == "lines":
            if argument:
                raise InvalidValue("lines have no argument", text.index(argument))
            return cls()
        if not argument:
            what = "a path, such as prefixes[*].ip_prefix" if "json" in name else "a column, its number or its name"
            raise InvalidValue(f"{name} needs {what}", len(text))
        at = len(name) + text[len(name) :].index(argument)
        if "json" in name:
            return cls(name, argument, paths=tuple(json_paths.paths(argument, at)))
        if name == "csv":
            return cls(name, argument, columns=Columns.from_text(argument, at))
        separated = _SEPARATOR.fullmatch(argument)
        if separated is None:
            raise InvalidValue("expected tab, space or a separator such as ;, and behind it a column", at)
        separator = {"tab": "\t", "space": ""}.get(separated[1], separated[1])
        return cls(name, argument, separator, Columns.from_text(separated[2], at + separated.start(2)))

    def __str__(self) -> str:
        return f"{self.name} {self.argument}".strip()

    def read(self, data: bytes, words: bool = True, skip: bool = False) -> Values:
        """Read a content, UTF-8.

        :param words: whether no value has white space in it; then a comment may stand behind ``;`` too.
        :param skip: whether lines that cannot be read are left out; a JSON document has none.
        :raises InvalidValue: if it is not written so; the sentence says where.
        """
        faults: list[tuple[int, str]] = []

        def bad(line: int, sentence: str) -> None:
            if not skip:
                raise InvalidValue(f"line {line}: {sentence}")
            faults.append((line, sentence))
            if len(faults) > MOST_BAD:
                raise InvalidValue(TOO_MANY_BAD)

        values = READERS[self.name](self, _decoded(data, None if self.name == "json" else bad), words, bad)
        return evolve(values, bad=tuple(faults))


def _decoded(data: bytes, bad: Bad | None) -> str:
    """The text of a content; of lines that are no text it is told, and they are empty."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        if bad is None:
            raise InvalidValue(f"line {number}: not UTF-8") from None
        start = data.rfind(b"\n", 0, error.start) + 1  # up to here all is well
    lines = [data[:start].decode()]
    while start < len(data):
        end = data.find(b"\n", start) + 1 or len(data)
        try:
            lines.append(data[start:end].decode())
        except UnicodeDecodeError:
            bad(number, "not UTF-8")
            lines.append("\n")
        start, number = end, number + 1
    return "".join(lines)


MOST_BAD = 10_000
"""Lines that may be left out: a page in the feed's place has millions, and each costs time and memory to tell of."""

TOO_MANY_BAD = f"more than {MOST_BAD} bad lines"

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


def _lines(format: Format, text: str, words: bool, bad: Bad) -> Values:
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


# -- columns ---------------------------------------------------------------------------------------------------------


def _separated(format: Format, text: str, words: bool, bad: Bad) -> Values:
    separator = format.separator or None

    def rows() -> Iterator[tuple[int, list[str]]]:
        for number, whole in enumerate(_each_line(text), 1):
            line = whole.strip("\r\n" if separator == "\t" else None)
            if line.strip() and line[0] not in "#;":
                yield number, [cell.strip() for cell in line.split(separator)]

    return _columns(format, rows(), bad)


def _csv(format: Format, text: str, words: bool, bad: Bad) -> Values:
    """RFC 4180; white space may stand between a comma and a quote."""
    length = 0

    def lines() -> Iterator[str]:
        nonlocal length
        for line in _each_line(text):
            length += len(line)
            if length > LONGEST:
                raise InvalidValue(f"line {reader.line_num + 1}: the row has more than {LONGEST} characters")
            yield line

    reader = csv.reader(lines(), strict=True, skipinitialspace=True)

    def rows() -> Iterator[tuple[int, list[str]]]:
        nonlocal length
        while True:
            length, before = 0, reader.line_num
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                for number in range(before + 1, reader.line_num + 1):  # all that an open quote has swallowed
                    bad(number, f"not CSV: {error}")
                continue
            if row and not row[0].startswith("#"):
                yield reader.line_num, [*map(str.strip, row)]

    return _columns(format, rows(), bad)


def _columns(format: Format, rows: Iterator[tuple[int, list[str]]], bad: Bad) -> Values:
    texts: list[str] = []
    places = array("L")
    read = None if format.columns.named else format.columns.reader(None)
    for number, row in rows:
        if read is None:
            try:
                read = format.columns.reader(row)
            except InvalidValue as problem:
                raise InvalidValue(f"line {number}: {problem.sentence}") from None
            continue
        try:
            value = read(row)
        except InvalidValue as problem:
            bad(number, problem.sentence)
            continue
        if value is not None:
            texts.append(value)
            places.append(number)
    return Values(texts, places)


# -- JSON (RFC 8259) -------------------------------------------------------------------------------------------------

_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""Half a character: JSON can escape it, and UTF-8 has no form for it; and what stands between values elsewhere."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; the values of a key that is there twice are read in one way here and in another one there."""
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        key = next(key for key, count in counts.items() if count > 1)
        raise InvalidValue(f"a key is twice in one object: {key[:40]!r}")
    return found


def _document(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except InvalidValue:
        raise
    except json.JSONDecodeError as error:
        raise InvalidValue(f"line {error.lineno}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; arrays within arrays
        raise InvalidValue(f"not JSON that can be read: {error}") from None


def _values(format: Format, document: Any) -> Iterator[str]:
    found = chain.from_iterable(json_paths.found(document, path) for path in format.paths)
    for number, value in enumerate(found, 1):
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise InvalidValue(f"value {number}: expected a text or a whole number")
        text = str(value).strip()
        if not text or len(text) > LONGEST or _NO_TEXT.search(text):
            raise InvalidValue(f"value {number}: it is empty, too long, or no text")
        yield text


def _json(format: Format, text: str, words: bool, bad: Bad) -> Values:
    texts = list(_values(format, _document(text)))
    return Values(texts, range(1, len(texts) + 1), "value")


def _json_lines(format: Format, text: str, words: bool, bad: Bad) -> Values:
    texts: list[str] = []
    places = array("L")
    for number, line in enumerate(_each_line(text), 1):
        if not line.strip():
            continue
        try:
            found = list(_values(format, _document(line)))
        except InvalidValue as problem:
            bad(number, problem.sentence.removeprefix("line 1: "))
            continue
        texts += found
        places.extend([number] * len(found))
    return Values(texts, places)


READERS: Mapping[str, Callable[[Format, str, bool, Bad], Values]] = {
    "lines": _lines,
    "csv": _csv,
    "separated": _separated,
    "json": _json,
    "json-lines": _json_lines,
}
"""How each format is read."""
