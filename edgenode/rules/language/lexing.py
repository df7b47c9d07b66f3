r"""The words of the Rules language: names, numbers, addresses and texts, read from where the parser stands.

Law: words are read as wirefilter reads them. There are no tokens, for what a word is depends on what is expected, and
words need no space between them: ``notssl`` is ``not ssl``, but ``5and`` begins with the digits ``5a``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.rules.networks import Range, address, network_range

SPACE = " \r\n"
"""White space between words; a tab is none."""

MOST_MARKS = 255

_SPACES = re.compile(f"[{SPACE}]*")
_NAME = re.compile(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*", re.ASCII)
_LIST_NAME = re.compile(r"\$([a-z0-9_.]*)", re.ASCII)
_DIGITS = re.compile(r"[0-9A-Fa-f]*", re.ASCII)
_ADDRESS = re.compile(r"[0-9A-Fa-f:./]*", re.ASCII)
_HEX_BYTES = re.compile(r"[0-9A-Fa-f]{2}(?:[:.-][0-9A-Fa-f]{2})*(?:[:.-])?", re.ASCII)
_RAW = re.compile(r'r(#*)"')
_ESCAPE = re.compile(r'\\(?:(["\\])|x([0-9A-Fa-f]{2})|([0-3][0-7]{2}))', re.ASCII)
_LINE_END = re.compile(r"[\r\n]")

_BASES = {8: "octal, for it begins with 0", 10: "decimal", 16: "hexadecimal"}
_LOWEST, _HIGHEST = -(1 << 63), (1 << 63) - 1
_MOST_DIGITS = 32
"""More than any number of 64 bits has, behind its zeros."""


@frozen
class Text:
    """A text that was read.

    :ivar value: its bytes.
    :ivar columns: where each byte of it was written.
    :ivar end: where its closing quotation mark stands.
    """

    value: bytes
    columns: tuple[int, ...]
    end: int

    def within(self, problem: InvalidValue) -> InvalidValue:
        """A problem with the value, which knows a column of it, as one with the whole expression."""
        columns = (*self.columns, self.end)
        return InvalidValue(problem.sentence, columns[min(max(problem.column or 0, 0), len(self.columns))])


class Scanner:
    """A text, and where in it the next word begins.

    :ivar text: the whole text.
    :ivar at: the offset of what has not been read yet.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    # -- words --------------------------------------------------------------------------------------------------------

    def skip(self) -> int:
        """Pass over white space.

        :returns: the offset of what comes next.
        """
        self.at = self._match(_SPACES).end()
        return self.at

    def sees(self, *words: str) -> bool:
        """Whether one of these words comes next."""
        return self.text.startswith(words, self.at)

    def take(self, word: str) -> bool:
        """Pass over a word if it comes next."""
        if not self.sees(word):
            return False
        self.at += len(word)
        return True

    def first(self, words: Iterable[str]) -> str | None:
        """The first of some words that comes next, passed over."""
        return next((word for word in words if self.take(word)), None)

    def name(self) -> str:
        """The name of a field or function that comes next, not passed over; empty if there is none."""
        match = _NAME.match(self.text, self.at)
        return match[0] if match is not None else ""

    def list_name(self) -> str:
        """Read ``$name``, and give its name."""
        start, match = self.at, self._match(_LIST_NAME)
        name = match[1]
        if not name or name.startswith(".") or name.endswith("."):
            raise InvalidValue("the name of a list is $ and a to z, 0 to 9, _ and dots, with no dot at its ends", start)
        self.at = match.end()
        return name

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self.text, self.at)
        assert match is not None, "these patterns match an empty text too"
        return match

    # -- numbers ------------------------------------------------------------------------------------------------------

    def number(self) -> int:
        """Read a number of 64 bits: decimal, ``0x`` and hexadecimal, or ``0`` and octal."""
        start = self.at
        if self.take("0x"):
            base, digits = 16, self.at
        elif self.sees("0"):
            base, digits = 8, start
        else:
            self.take("-")
            base, digits = 10, self.at
        written = self._match(_DIGITS)[0]
        if not written:
            raise InvalidValue("expected a number (Int), such as 443, -1, 0x1F or 017", start)
        for column, digit in enumerate(written, digits):
            if int(digit, 16) >= base:
                raise InvalidValue(f"{digit} is no digit of this number: it is {_BASES[base]}", column)
        value = written.lstrip("0")[:_MOST_DIGITS] or "0"
        number = int(value, base) * (-1 if self.text[start] == "-" else 1)
        if not _LOWEST <= number <= _HIGHEST:
            raise InvalidValue(f"a number (Int) has 64 bits: it is from {_LOWEST} to {_HIGHEST}", start)
        self.at = digits + len(written)
        return number

    def number_range(self) -> tuple[int, int]:
        """Read a number, or ``lowest..highest``."""
        start, lowest = self.at, self.number()
        highest = self.number() if self.take("..") else lowest
        if highest < lowest:
            raise InvalidValue(f"a range runs from the lower number to the higher: {highest}..{lowest}", start)
        return lowest, highest

    # -- addresses ----------------------------------------------------------------------------------------------------

    def address(self) -> tuple[int, int]:
        """Read an address: its version and its number."""
        start, written = self.at, self._match(_ADDRESS)[0]
        if "/" in written or ".." in written:
            raise InvalidValue(
                f"expected one address (Ip); a network or a range stands in a set: in {{{written}}}", start
            )
        found = _address(written, start)
        self.at = start + len(written)
        return found

    def address_range(self) -> Range:
        """Read an address, a network in CIDR notation, or ``first..last``."""
        start, written = self.at, self._match(_ADDRESS)[0]
        first, dots, last = written.partition("..")
        found = _address_range(first, last, start) if dots else _network(written, start)
        self.at = start + len(written)
        return found

    # -- texts --------------------------------------------------------------------------------------------------------

    def sees_text(self) -> bool:
        """Whether a text in quotation marks comes next."""
        return self.sees('"', 'r"', "r#")

    def text_or_bytes(self) -> Text:
        """Read a text in quotation marks, raw or not, or bytes in hexadecimal: ``61:62``."""
        return self.quoted_text() if self.sees_text() else self._hex_bytes()

    def quoted_text(self) -> Text:
        """Read a text in quotation marks, raw or not."""
        return self._raw() if self.sees("r") else self._quoted()

    def regex(self) -> Text:
        r"""Read a text of which escapes are left to the regular expression, but for ``\"``."""
        if self.sees("r"):
            return self._raw()
        start, value, columns, in_class = self._opening(), "", list[int](), False
        while True:
            column, character = self._character(start)
            if character == '"' and not in_class:
                return Text(value.encode("utf-8", "surrogatepass"), _columns(value, columns), column)
            if character == "\\":
                _, escaped = self._character(start)
                if escaped == '"' and not in_class:
                    character = escaped
                else:
                    character += escaped
            elif character in "[]":
                in_class = character == "["
            value += character
            columns += range(column, column + len(character))

    def _quoted(self) -> Text:
        start, value, columns = self._opening(), bytearray(), list[int]()
        while True:
            column, character = self._character(start)
            if character == '"':
                return Text(bytes(value), tuple(columns), column)
            if character == "\\":
                written = self._escaped(column)
            else:
                written = character.encode("utf-8", "surrogatepass")
            value += written
            columns += [column] * len(written)

    def _opening(self) -> int:
        start = self.at
        if not self.take('"'):
            raise InvalidValue(self._double() or 'expected a text: "..." or r"..."', start)
        return start

    def _double(self) -> str:
        return 'a text stands in double quotation marks: "..."' if self.sees("'") else ""

    def _character(self, start: int) -> tuple[int, str]:
        """The next character of a text that begins at ``start``, and its column."""
        column = self.at
        character = self.text[column : column + 1]
        if not character or character in "\r\n":
            raise _unclosed(start)
        self.at += 1
        return column, character

    def _escaped(self, column: int) -> bytes:
        match = _ESCAPE.match(self.text, column)
        if match is None:
            raise InvalidValue(
                r"in a text a backslash is written \\, and any byte \xHH or \OOO; or write r" '"..."', column
            )
        self.at = match.end()
        character, hexadecimal, octal = match.groups()
        if character:
            return character.encode("ascii")
        return bytes([int(hexadecimal, 16) if hexadecimal else int(octal, 8)])

    def _raw(self) -> Text:
        start, opening = self.at, _RAW.match(self.text, self.at)
        if opening is None:
            raise InvalidValue('a raw text is written r"..." or r#"..."#, with as many # at its end', start)
        marks = opening[1]
        if len(marks) > MOST_MARKS:
            raise InvalidValue(f"a raw text has at most {MOST_MARKS} #", start)
        begin, end = opening.end(), self.text.find(f'"{marks}', opening.end())
        if end < 0 or _LINE_END.search(self.text, begin, end):
            raise _unclosed(start, f'"{marks}')
        self.at = end + 1 + len(marks)
        value = self.text[begin:end]
        return Text(value.encode("utf-8", "surrogatepass"), _columns(value, range(begin, end)), end)

    def _hex_bytes(self) -> Text:
        start, match = self.at, _HEX_BYTES.match(self.text, self.at)
        if match is None or len(match[0]) < 3:
            expected = 'expected a text (Bytes): "...", r"...", or bytes in hexadecimal such as 61:62'
            raise InvalidValue(self._double() or expected, start)
        written = match[0]
        if len(written) % 3 == 0:
            raise InvalidValue("expected one more byte, as two hexadecimal digits", match.end())
        self.at = match.end()
        value = bytes(int(written[at : at + 2], 16) for at in range(0, len(written), 3))
        return Text(value, tuple(range(start, match.end(), 3)), match.end())


def _columns(value: str, columns: Iterable[int]) -> tuple[int, ...]:
    """The column of each byte of characters, of which a character may have several."""
    if value.isascii():
        return tuple(columns)
    sizes = [len(character.encode("utf-8", "surrogatepass")) for character in value]
    return tuple(column for column, size in zip(columns, sizes, strict=True) for _ in range(size))


def _unclosed(start: int, mark: str = '"') -> InvalidValue:
    # A text of several lines would lose their indentation in the file, and each line that begins with #.
    return InvalidValue(f"this text is not closed on its line: {mark} is missing, or a line feed is not \\x0A", start)


def _address(written: str, start: int) -> tuple[int, int]:
    try:
        return address(written)
    except ValueError:
        raise InvalidValue("expected an address (Ip), such as 192.0.2.1 or 2001:db8::1", start) from None


def _address_range(first: str, last: str, start: int) -> Range:
    (version, lowest), (other, highest) = _address(first, start), _address(last, start + len(first) + 2)
    if version != other:
        raise InvalidValue("a range runs between two addresses of one family; ::ffff:192.0.2.1 is one of IPv4", start)
    if highest < lowest:
        raise InvalidValue(f"a range runs from the lower address to the higher: {last}..{first}", start)
    return Range(version, lowest, highest)


def _network(written: str, start: int) -> Range:
    try:
        return network_range(written)
    except InvalidValue as problem:
        raise InvalidValue(problem.sentence, start + (problem.column or 0)) from None
