"""GraphQL documents as names and values: those of the arguments of fields and directives, and of variables' defaults.

Law: the grammar is the specification's (October 2021, appendix B), but that what no rule looks at, such as the type of
a variable, is passed over. It takes time in proportion to the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from attrs import define, field

from edgenode.rules.views.flattening import Flattening, Unread, bytes_of

_TOKEN = re.compile(
    r"[\s,\ufeff]*+(?:#[^\n\r]*+[\s,\ufeff]*+)*+"
    r'(\.\.\.|[!$&()\[\]:=@{|}]|[_A-Za-z][_0-9A-Za-z]*|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?'
    r'|"""(?:[^"\\]++|\\"""|\\(?!""")|"(?!""))*"""|"(?!"")[^"\\\n\r]*+(?:\\.[^"\\\n\r]*+)*+"|\Z)'
)  # fmt: skip
# A possessive group in which there is something to go back to is wrong in Python before 3.11.5 (gh-106052).
_NAME = re.compile(r"[_A-Za-z]", re.ASCII)
_SCALAR = re.compile(r'["_A-Za-z0-9-]', re.ASCII)
_ESCAPE = re.compile(r'\\(?:u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|(["\\/bfnrt]))')
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LINE_END = re.compile(r"\r\n|\n|\r")
_OPERATIONS = ("query", "mutation", "subscription")

_LOOKS = re.compile(
    r'[\s,\ufeff]*+(?:#|\{|"""|(?:"[^"{]*+"[\s,\ufeff]*+)?(?:query|mutation|subscription|fragment|type|schema|scalar'
    r"|interface|union|enum|input|extend|directive)\b[^{]*+\{)"
)


def looks_like_it(text: str) -> bool:
    """Whether a text that nobody has called GraphQL is some."""
    return _LOOKS.match(text) is not None


def tokens(text: str) -> Iterator[str]:
    """The tokens of a document, without what stands between them.

    :raises Unread: where there is none.
    """
    end = 0
    while True:
        found = _TOKEN.match(text, end)
        if found is None:
            raise Unread("no token of GraphQL")
        if not found[1]:
            return
        end = found.end()
        yield found[1]


def flatten(text: str, into: Flattening) -> None:
    """Add the values of a document: ``{ login(user: "x", by: {ip: [1]}) { id } }`` has ``user`` and ``by_ip_0``, and as
    the vendor's product names the arguments of fields, ``gdir-s0-login-user`` and ``gdir-s0-login-by`` as written.

    :raises Unread: if it is not well-formed, or has too much of anything.
    """
    _Reader(text, into).document()


@define
class _Reader:
    """Reads one token after another."""

    _text: str
    _into: Flattening
    _now: str = field(default="", init=False)
    _at: int = field(default=0, init=False)
    _end: int = field(default=0, init=False)

    def document(self) -> None:
        """Operations and fragments."""
        self._next()
        while self._now:
            if self._now.startswith('"'):
                self._next()  # the description of what follows
            word, prefix = self._now, "gdir"
            if word == "fragment":
                self._next()
                prefix = f"gfrag-{self._name()}"
                self._condition()
            elif word in _OPERATIONS:
                self._next()
                if _NAME.match(self._now):
                    prefix = f"gdir-{self._name()}"
                if self._now == "(":
                    self._variables(prefix)
            self._directives(prefix)
            self._selections(prefix, 1)

    def _next(self) -> str:
        """The token that was there, and on to the next one."""
        before = self._now
        found = _TOKEN.match(self._text, self._end)
        if found is None:
            raise Unread("no token of GraphQL")
        self._now, self._at, self._end = found[1], found.start(1), found.end()
        return before

    def _take(self, token: str) -> None:
        if self._next() != token:
            raise Unread(f"GraphQL without a {token}")

    def _name(self) -> str:
        if not _NAME.match(self._now):
            raise Unread("GraphQL without a name")
        return self._next()

    def _condition(self) -> None:
        self._take("on")
        self._name()

    def _variables(self, prefix: str) -> None:
        self._take("(")
        while self._now != ")":
            self._take("$")
            name = self._name()
            self._take(":")
            while self._now not in ("=", "@", "$", ")", ""):
                self._into.expect(0, 1, 0)
                self._next()  # of its type
            if self._now == "=":
                self._next()
                self._value(name, f"{prefix}-{name}-defvalue", 0)
            self._directives(f"{prefix}-{name}")
        self._next()

    def _directives(self, prefix: str) -> bool:
        number = 0
        while self._now == "@":
            self._into.expect(0, 1, 0)
            self._next()
            self._arguments(f"{prefix}-d{number}-{self._name()}")
            number += 1
        return number > 0

    def _arguments(self, prefix: str) -> bool:
        if self._now != "(":
            return False
        self._next()
        while self._now != ")":
            name = self._name()
            self._take(":")
            self._value(name, f"{prefix}-{name}", 0)
        self._next()
        return True

    def _selections(self, prefix: str, depth: int) -> None:
        self._take("{")
        number = 0
        while self._now != "}":
            self._into.expect(depth, 1, len(prefix) + 40)
            self._selection(f"{prefix}-s{number}", depth)
            number += 1
        self._next()

    def _selection(self, prefix: str, depth: int) -> None:
        if self._now == "...":
            self._next()
            if self._now == "on":
                self._condition()
            elif _NAME.match(self._now):
                self._add((f"{prefix}-frag",), self._next())
                self._directives(prefix)
                return
            self._directives(prefix)
            self._selections(prefix, depth + 1)
            return
        name = self._name()
        own = f"{prefix}-{name}"
        if self._now == ":":
            alias = name
            self._next()
            name = self._name()
            own = f"{prefix}-{name}"
            self._add((f"{own}-alias",), alias)
        traced = self._arguments(own)
        traced = self._directives(own) or traced
        if self._now == "{":
            self._selections(own, depth + 1)
        elif not traced:
            self._add((prefix,), name)

    def _value(self, name: str, whole: str, depth: int) -> None:
        """A value, with its leaves under a name.

        :param whole: what it is called as it is written; empty for what stands in another value.
        """
        self._into.expect(depth, 1, len(name) + len(whole))
        start = self._at
        kind = self._next()
        last = start + len(kind)
        if kind == "$":
            self._add((whole,) if whole else (), f"${self._name()}")
            return
        if kind == "[":
            number = 0
            while self._now != "]":
                self._value(f"{name}_{number}", "", depth + 1)
                number += 1
            last = self._end
            self._next()
        elif kind == "{":
            while self._now != "}":
                inner = self._name()
                self._take(":")
                self._value(f"{name}_{inner}", "", depth + 1)
            last = self._end
            self._next()
        elif _SCALAR.match(kind):
            self._add((name,), *_readings(kind))
        else:
            raise Unread("GraphQL without a value")
        if whole:
            self._add((whole,), self._text[start:last])

    def _add(self, names: tuple[str, ...], *values: str) -> None:
        self._into.add([bytes_of(name) for name in names], [bytes_of(value) for value in values])


def _readings(token: str) -> Iterable[str]:
    """What a scalar says; a block string also without the indentation that belongs to the document."""
    if token.startswith('"""'):
        text = token[3:-3].replace('\\"""', '"""')
        lines = _LINE_END.split(text)
        indents = [len(line) - len(line.lstrip(" \t")) for line in lines[1:] if line.strip(" \t")]
        lines[1:] = [line[min(indents, default=0) :] for line in lines[1:]]
        return dict.fromkeys((text, "\n".join(lines).strip("\n"), "\n".join(lines).strip()))
    return (_ESCAPE.sub(_character, token[1:-1]) if token.startswith('"') else token,)


def _character(escape: re.Match[str]) -> str:
    digits = escape[1] or escape[2]
    if not digits:
        return _ESCAPED.get(escape[3], escape[3])
    return chr(number) if (number := int(digits, 16)) < 0x110000 else "\ufffd"
