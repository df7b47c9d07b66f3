r"""Templates: texts with values of the exchange in them, such as ``${ip.src}``.

Between ``${`` and ``}`` stands a value of the Rules language: a field, an element of one, or a function's call.
``\$``, ``\#`` and ``\\`` are a dollar sign, a number sign and a backslash.

Law: what is between the braces is checked when it is read, and computing it never fails an action: what is missing, or
is too much, is as good as empty. Where it is put :mod:`edgenode.policy.escaping` decides, and nothing is put unescaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from attrs import field, frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange, Headers
from edgenode.rules.definitions import Definitions
from edgenode.rules.language import expression_formulas
from edgenode.rules.language.computing import reader
from edgenode.rules.language.nodes import Node, listed
from edgenode.rules.language.parsing import parse_value
from edgenode.rules.language.texts import to_string
from edgenode.rules.language.types import BOOL, BYTES, INT, IP

_PIECE = re.compile(r"\\(?P<escaped>[$#\\])|(?P<wrong>\\)|(?P<value>\$\{)|(?P<text>[^\\$]+|\$)", re.DOTALL)
_WITHIN = re.compile(r'r(?P<marks>#*)".*?"(?P=marks)|"(?:[^"\\]|\\.)*"|(?P<brace>[{}])', re.DOTALL)
"""What an expression is skipped by: its strings, for a brace may stand in them, and its braces."""


@frozen(eq=False)
class Value:
    """A value in a template.

    :ivar node: what it is, as the language has it.
    :ivar column: where in the text it begins.
    :ivar read: its value of an exchange, ``None`` if it is missing.
    """

    node: Node
    column: int
    read: Callable[[Exchange], Any]

    def of(self, exchange: Exchange) -> bytes | None:
        """The value as a text: bytes as they are, the rest as ``to_string`` has it; ``None`` if it is missing."""
        try:
            value = self.read(exchange)
        except RuntimeError:  # too much of it to be computed; the action is taken all the same
            return None
        return value if value is None or isinstance(value, bytes) else to_string(value)


@frozen
class Template:
    """A text with values in it.

    :ivar text: as it is written.
    :ivar pieces: what it is made of: texts, and values.
    """

    text: str
    pieces: tuple[str | Value, ...] = field(eq=False, repr=False)

    @classmethod
    def from_text(cls, text: str) -> Template:
        """Read a template; one that begins on the line after its key does not begin with an empty line.

        :raises InvalidValue: if a value in it is none, or a backslash stands before anything but ``$``, ``#`` and
            itself; with its column.
        """
        pieces: list[str | Value] = []
        place = int(text.startswith("\n"))
        while place < len(text):
            found = _PIECE.match(text, place)
            assert found is not None
            place = found.end()
            if found["wrong"]:
                raise InvalidValue(r"a backslash is written \\, a dollar sign \$", found.start())
            if found["value"]:
                end = _end(text, place)
                pieces.append(_value(text[place:end], place))
                place = end + 1
            else:
                pieces.append(found["escaped"] or found["text"])
        return cls(text, tuple(_joined(pieces)))

    def __str__(self) -> str:
        return self.text

    @property
    def values(self) -> tuple[Value, ...]:
        """The values in it."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Value))

    def before(self, value: Value) -> str:
        """What stands before a value, with an ``x`` for each earlier value."""
        pieces = self.pieces[: self.pieces.index(value)]
        return "".join(piece if isinstance(piece, str) else "x" for piece in pieces)


def _end(text: str, start: int) -> int:
    """Where the brace is that closes a value."""
    depth = 0
    for found in _WITHIN.finditer(text, start):
        depth += {"{": 1, "}": -1, None: 0}[found["brace"]]
        if depth < 0:
            return found.start()
    raise InvalidValue("the } that ends this value is missing", start - 2)


def _value(text: str, column: int) -> Value:
    try:
        node = parse_value(text)
        for named, _ in listed(node):
            raise InvalidValue("a template names no lists", named.column)
    except InvalidValue as problem:
        raise InvalidValue(problem.sentence, column + (problem.column or 0)) from None
    if node.type not in (BOOL, INT, BYTES, IP):
        sentence = f'expected a single value, and this is {node.type}: take one element, or join(..., ", ")'
        raise InvalidValue(sentence, column)
    return Value(node, column, reader(node, Definitions()))


def _joined(pieces: list[str | Value]) -> Iterator[str | Value]:
    text = ""
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
            continue
        if text:
            yield text
        yield piece
        text = ""
    if text:
        yield text


Escape = Callable[[bytes | None], bytes]
"""Makes of a value, or of ``None``, what can stand in a place without changing what is around it."""


@frozen
class Filled:
    """A template for a place: what of an exchange is made of it.

    :ivar template: the template.
    :ivar place: the name of the place; the same template for the same place is the same.
    """

    template: Template
    place: str
    _parts: tuple[bytes | tuple[Value, Escape], ...] = field(eq=False, repr=False)

    @classmethod
    def of(cls, template: Template, place: str, escape: Callable[[Value], Escape]) -> Filled:
        """Put a template into a place.

        :param escape: how each value is escaped there.
        """
        parts = (
            piece.encode("utf-8") if isinstance(piece, str) else (piece, escape(piece)) for piece in template.pieces
        )
        return cls(template, place, tuple(parts))

    @property
    def needs(self) -> frozenset[str]:
        """What its values look at besides the head of a request."""
        return frozenset().union(*(expression_formulas.needs(value.node) for value in self.template.values))

    def render(self, exchange: Exchange) -> bytes:
        """The text for an exchange."""
        return b"".join([part if isinstance(part, bytes) else part[1](part[0].of(exchange)) for part in self._parts])


Fields = tuple[tuple[bytes, Filled], ...]
"""Header fields: name in lower case, and value."""


def rendered(fields: Fields, exchange: Exchange) -> Headers:
    """Header fields for an exchange, without white space around their values (RFC 9110, section 5.5)."""
    return tuple((name, value.render(exchange).strip(b" \t")) for name, value in fields)
