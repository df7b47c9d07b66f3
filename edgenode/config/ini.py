"""The notation: sections ``[kind name]`` of ``key = value`` lines, as ``configparser`` reads them.

The module owns the text and nothing of its meaning. Its law: no line is lost in silence; whatever is not read as it
looks is a problem, and all problems of a file are found at once.

- ``#`` begins a comment only as the first character of a line; there are no comments behind a value.
- A line that is indented deeper than its key continues the value, also after blank lines and comments.
- Keys and names keep their case. There is no interpolation and no default section.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Collection, Iterator, Mapping

from attrs import field, frozen

from edgenode.model.errors import Problem

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DECEIVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Control characters, and those that make a line look other than it reads (CVE-2021-42574, "Trojan Source")."""

_UNREADABLE = "expected [kind name] or, below such a header, key = value"

_ASIDE = "\x00"
"""Begins the header or key of what has been reported already; no text that is read contains it."""


@frozen
class IniSection:
    """One section as it is written.

    :ivar kind: the first word of its header.
    :ivar name: the second word, or an empty string.
    :ivar values: the text of each key in the order written; the lines of a value are joined by ``\\n``.
    :ivar lines: the numbers of the lines of each value, and of the header by the empty key; none if it is in no file.
    """

    kind: str
    name: str
    values: Mapping[str, str]
    lines: Mapping[str, tuple[int, ...]] = field(factory=dict, eq=False)

    @property
    def header(self) -> str:
        """The header without brackets: ``origin shop``, ``edge``."""
        return f"{self.kind} {self.name}".strip()


class _Parser(configparser.RawConfigParser):
    """``configparser`` without its leniencies: nothing may stand behind a header, and case is kept."""

    SECTCRE = re.compile(r"\[(?P<header>[^\[\]]+)\]$")

    def __init__(self) -> None:
        super().__init__(
            delimiters=("=",), comment_prefixes=("#",), strict=True, interpolation=None, default_section="",
            empty_lines_in_values=True,
        )  # fmt: skip

    def optionxform(self, optionstr: str) -> str:
        return optionstr

    @property
    def converters(self) -> configparser.ConverterMapping:
        """None: nothing is converted here, and each would tie every section into cycles for the garbage collector."""
        return {}  # type: ignore[return-value]


def decode(data: bytes) -> tuple[str, list[Problem]]:
    """Decode a file from UTF-8.

    :returns: the text, with U+FFFD for what could not be decoded, and a problem for each line where that was so.
    """
    problems = []
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            column = len(line[: error.start].decode())
            problems.append(_problem(number, "not UTF-8", line.rstrip(b"\r").decode(errors="replace"), column))
    return b"\n".join(lines).decode(errors="replace"), problems


def read(text: str, kinds: Collection[str]) -> tuple[list[IniSection], list[Problem]]:
    """Read the sections of a text.

    :param kinds: the kinds of section there are, by which a header is known that indentation has made part of a value.
    :returns: the sections in the order written, and every problem of the notation.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    problems = list(_misleading(lines, kinds))
    parser = _parse([_printable(line) for line in lines], problems)
    places, sections = _places(lines), dict[str, IniSection]()
    for header in parser.sections():
        if header.startswith(_ASIDE):
            continue
        section = _section(header, dict(parser.items(header)), places.get(header, {}), problems)
        if section is None:
            continue
        if section.header in sections:
            problems.append(Problem(section.header, "", "the section is written twice"))
        sections.setdefault(section.header, section)
    parser.clear()  # else it would keep the text, secrets and all, until the garbage collector comes
    return list(sections.values()), problems


def _printable(line: str) -> str:
    return _DECEIVING.sub("\ufffd", line)


def _problem(number: int, sentence: str, line: str, column: int | None = None) -> Problem:
    """A problem of a line, which begins where its text does if no column is given."""
    indent = len(line) - len(line.lstrip())
    where = indent if column is None else column
    return Problem("", "", f"line {number}: {sentence}", _printable(line), where, line=number)


def _misleading(lines: list[str], kinds: Collection[str]) -> Iterator[Problem]:
    """Control characters; and headers that are indented below a value, of which they would silently be a line."""
    for number, line in enumerate(lines, 1):
        match, words = _DECEIVING.search(line), line.strip()[1:-1].split()
        if match is not None:
            yield _problem(number, f"the control character U+{ord(match[0]):04X} is not allowed", line, match.start())
        if line[:1] in " \t" and line.strip()[:1] == "[" and len(words) == 2 and words[0] in kinds:
            yield _problem(number, "a section's header may not be indented", line)


def _parse(lines: list[str], problems: list[Problem]) -> configparser.RawConfigParser:
    """Read until nothing is wrong any more: each fault that stops ``configparser`` is reported and set aside."""
    for number, line in enumerate(lines, 1):
        if line.startswith("[") and not _Parser.SECTCRE.match(line.rstrip()):
            problems.append(_problem(number, _UNREADABLE, line))
            lines[number - 1] = f"[{_ASIDE}{number}]"
    while True:
        parser = _Parser()
        try:
            parser.read_string("\n".join(lines))
        except configparser.DuplicateSectionError as error:
            number = error.lineno or 1
            lines[number - 1] = f"[{_ASIDE}{number}]"
            header = " ".join(error.section.split())
            problems.append(Problem(header, "", f"line {number}: the section is written twice", line=number))
        except configparser.DuplicateOptionError as error:
            number = error.lineno or 1
            line = lines[number - 1]
            indent = line[: len(line) - len(line.lstrip())]
            lines[number - 1] = f"{indent}{_ASIDE}{number} ={line.partition('=')[2]}"
            header = " ".join(error.section.split())
            sentence = f"line {number}: the key is written twice"
            problems.append(Problem(header, error.option, sentence, line=number))
        except configparser.MissingSectionHeaderError as error:
            problems.append(_problem(error.lineno, _UNREADABLE, lines[error.lineno - 1]))
            lines[error.lineno - 1] = f"[{_ASIDE}{error.lineno}]"
        except configparser.ParsingError as error:
            for number, _ in error.errors:
                problems.append(_problem(number, _UNREADABLE, lines[number - 1]))
                lines[number - 1] = ""
        else:
            return parser


def _places(lines: list[str]) -> dict[str, dict[str, tuple[int, ...]]]:
    """The numbers of the lines of each value, by header and key, as ``configparser`` divides them."""
    places: dict[str, dict[str, tuple[int, ...]]] = {}
    section: dict[str, tuple[int, ...]] = {}
    key, depth = "", 0
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text.startswith("#") or (not text and not key):
            continue
        indent = len(line) - len(line.lstrip())
        if key and (not text or indent > depth):
            section[key] = (*section[key], number)
            continue
        header, key, depth = _Parser.SECTCRE.match(text), "", indent
        if header is not None:
            section = places.setdefault(header["header"], {"": (number,)})
        elif "=" in text and (name := text.partition("=")[0].rstrip()) not in section:
            key, section[name] = name, (number,)
    return places


def _section(
    header: str, values: dict[str, str], lines: Mapping[str, tuple[int, ...]], problems: list[Problem]
) -> IniSection | None:
    words = header.split()
    if not 1 <= len(words) <= 2:
        problems.append(Problem(header.strip(), "", "a header is [kind name], and a name is a single word"))
        return None
    kind, name = words[0], "".join(words[1:])
    if name and not _NAME.fullmatch(name):
        sentence = "a name consists of ASCII letters, digits, '.', '_' and '-', and begins with a letter or digit"
        problems.append(Problem(f"{kind} {name}", "", sentence))
        return None
    return IniSection(kind, name, {key: value for key, value in values.items() if not key.startswith(_ASIDE)}, lines)
