"""What requests of a site look like: how many headers, cookies and arguments they have, how long these are, and what
their values match. What does not look so is refused before any rule is asked.

Law: every reading of a value has to match, in whatever part of the request an application would find it; and no value
is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, ClassVar, Self

from attrs import Factory, field, frozen

from edgenode.model.errors import InvalidValue, printable
from edgenode.model.exchange import Exchange, Request
from edgenode.policy.contentfilter.fieldnames import ANY, KINDS, FieldName
from edgenode.policy.contentfilter.profile_values import Pair, at_most, divided_arguments, pairs_of, readings_of
from edgenode.rules.regexes import check_regex, compile_regex
from edgenode.rules.views.names import folded, readings

SECTIONS = ("headers", "cookies", "arguments", "path", "body")
"""In the order in which they are judged."""

_MOST_TOLD = 16
"""Deviations of one request: more are not looked for."""

_LONGEST_NAME = 80
"""Characters of a name that are told."""

_BOUND = re.compile(r"(\S+)(?:\s+(\S+))?")
_NUMBER = re.compile(r"([0-9]{1,12})([kmg]?)", re.ASCII)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_LINE = re.compile(r"(\S+)(?:\s+(\S.*))?")
_ARGUMENTS = frozenset(("arguments", "body", "structures"))
ANY_OTHER = ANY.encode()

_NOTHING = r"\z\A."
"""Matches nothing."""


@frozen
class _Bound:
    """``arguments 512``: the most of something in a part of a request.

    :cvar sections: the parts that have it.
    :ivar section: the part.
    :ivar most: the number.
    """

    sections: ClassVar[tuple[str, ...]]

    section: str
    most: int
    unit: str = field(default="", eq=False)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read a part of a request and a number; bytes may have a unit: ``arguments 4k``.

        :raises InvalidValue: if it is none, with its column.
        """
        found = _BOUND.fullmatch(text)
        if found is None or found[2] is None:
            raise InvalidValue(f"expected one of {', '.join(cls.sections)} and a number: {cls.sections[0]} 100", 0)
        number = _NUMBER.fullmatch(found[2])
        if found[1] not in cls.sections:
            raise InvalidValue(f"expected one of {', '.join(cls.sections)}", 0)
        if number is None:
            raise InvalidValue("expected a number; of bytes it may have a unit: 4k", found.start(2))
        return cls(found[1], int(number[1]) * _UNITS[number[2]], number[2])

    def __str__(self) -> str:
        return f"{self.section} {self.most // _UNITS[self.unit]}{self.unit}"


@frozen
class MaximalCount(_Bound):
    """How many there may be; of a path how many segments."""

    sections = ("headers", "cookies", "arguments", "path")


@frozen
class MaximalName(_Bound):
    """How long names may be, bytes."""

    sections = ("headers", "cookies", "arguments")


@frozen
class MaximalValue(_Bound):
    """How long values may be, bytes; of a path and a body how long it may be as a whole."""

    sections = SECTIONS


@frozen
class Restriction:
    """A line of ``restrict``: what the values of a name have to match; without an expression there may be none.

    :ivar field: the name; ``*`` for all that no other line of the kind names.
    :ivar regex: what all of a value has to match, RE2; empty if there may be none.
    """

    lines: ClassVar[bool] = True

    field: FieldName
    regex: str = ""

    @classmethod
    def from_text(cls, text: str) -> Restriction:
        """Read ``argument.NAME REGEX``, or ``argument.*`` for no other arguments.

        :raises InvalidValue: if it is none, with its column.
        """
        found = _LINE.fullmatch(text)
        if found is None:
            raise InvalidValue("a value is missing", 0)
        name, regex = FieldName.from_text(found[1]), found[2] or ""
        if regex:
            try:
                check_regex(regex)
            except InvalidValue as problem:
                raise InvalidValue(problem.sentence, found.start(2) + (problem.column or 0)) from None
        return cls(name, regex)

    def __str__(self) -> str:
        return f"{self.field} {self.regex}".rstrip()


@frozen
class Deviation:
    """What of a request does not look as it should.

    :ivar section: of :data:`SECTIONS`.
    :ivar where: the part, such as ``argument.q``; its name is the client's, printable and cut.
    :ivar what: a sentence without a value: ``longer than 40 bytes``.
    """

    section: str
    where: str
    what: str


@frozen
class Profile:
    """What requests look like.

    :ivar counts: by section how many there may be.
    :ivar names: by section how long names may be, bytes.
    :ivar values: likewise of values.
    :ivar needs: what it looks at besides the head of a request.
    """

    counts: Mapping[str, int]
    names: Mapping[str, int]
    values: Mapping[str, int]
    _restricted: Mapping[str, Mapping[bytes, tuple[Any, ...]]] = field(repr=False)
    needs: frozenset[str] = field(init=False, default=Factory(lambda self: self._needed(), takes_self=True))

    @classmethod
    def of(
        cls,
        counts: Iterable[MaximalCount] = (),
        names: Iterable[MaximalName] = (),
        values: Iterable[MaximalValue] = (),
        restrictions: Iterable[Restriction] = (),
    ) -> Profile | None:
        """The profile of the keys of a section; ``None`` if they ask for nothing."""
        restricted: dict[str, dict[bytes, tuple[Any, ...]]] = {}
        for each in restrictions:
            of_kind = restricted.setdefault(each.field.kind, {})
            regex = compile_regex(rf"\A(?:{each.regex})\z" if each.regex else _NOTHING)
            for name in _names_of(each.field):
                of_kind[name] = (*of_kind.get(name, ()), regex)
        of_counts, of_names, of_values = (
            {each.section: each.most for each in several} for several in (counts, names, values)
        )
        if not (of_counts or of_names or of_values or restricted):
            return None
        return cls(of_counts, of_names, of_values, restricted)

    def _needed(self) -> frozenset[str]:
        bounded = {*self.counts, *self.names, *self.values, *(f"{kind}s" for kind in self._restricted)}
        if "arguments" in bounded:
            return _ARGUMENTS
        return frozenset(("body",)) if "body" in bounded else frozenset()

    def deviations(self, exchange: Exchange) -> tuple[Deviation, ...]:
        """What of a request does not look so, section by section; of very much only the beginning."""
        request = exchange.request
        return () if request is None else tuple(islice(self._deviations(request), _MOST_TOLD))

    def _deviations(self, request: Request) -> Iterator[Deviation]:
        for kind in KINDS:
            section = f"{kind}s"
            if kind in self._restricted or section in self.counts or section in self.names or section in self.values:
                yield from self._of_pairs(request, kind, section)
        if "path" in self.counts and (most := self.counts["path"]) < request.path.count(b"/"):
            yield Deviation("path", "path", f"more than {most} segments")
        if "path" in self.values and (most := self.values["path"]) < len(request.path):
            yield Deviation("path", "path", f"longer than {most} bytes")
        if "body" in self.values and (most := self.values["body"]) < _size(request):
            yield Deviation("body", "body", f"longer than {most} bytes")

    def _of_pairs(self, request: Request, kind: str, section: str) -> Iterator[Deviation]:
        restricted, most = self._restricted.get(kind), self.counts.get(section)
        if not restricted and (known := at_most(request, kind)) is not None:
            count, longest = known
            room = min(self.names.get(section, longest), self.values.get(section, longest))
            if count <= (count if most is None else most) and longest <= room:
                return  # and nothing had to be read
        pairs = pairs_of(request, kind)
        if most is not None and len(pairs) > most:
            yield Deviation(section, section, f"more than {most}")
        for what, bounds, part in (("a name", self.names, 0), ("", self.values, 1)):
            most = bounds.get(section)
            if most is not None:
                sentence = f"{what} longer than {most} bytes".lstrip()
                for pair in pairs:
                    if len(pair[part]) > most:
                        yield Deviation(section, _where(kind, pair[0]), sentence)
        if restricted:
            every = (*pairs, *divided_arguments(request)) if kind == "argument" and ANY_OTHER in restricted else pairs
            yield from _restricted(section, kind, restricted, every, readings_of(request, kind))


def _names_of(field: FieldName) -> frozenset[bytes]:
    """The names by which values are read that a line is about: a member of JSON is ``json.user.page``, as reasons have
    it, ``user.page`` or ``user_page``."""
    name = folded(field.name.encode("utf-8"))
    if field.kind != "argument":
        return frozenset((name,))
    return frozenset((name, name.removeprefix(_OF_JSON).replace(b".", b"_")))


_OF_JSON = b"json."
"""What the names of members begin with in rules."""


def _restricted(
    section: str,
    kind: str,
    restricted: Mapping[bytes, tuple[Any, ...]],
    pairs: Iterable[Pair],
    read: Mapping[bytes, Iterable[bytes]],
) -> Iterator[Deviation]:
    """The values that do not match.

    :param read: every reading of every value, by the name without case.
    """
    for name, expressions in restricted.items():
        if name != ANY_OTHER and not all(each.search(value) for value in read.get(name, ()) for each in expressions):
            yield Deviation(section, _where(kind, name), "does not match what it is restricted to")
    others = restricted.get(ANY_OTHER)
    for name, value in pairs if others else ():
        known = (kind == "header" and name in _FRAMING) or any(folded(each) in restricted for each in readings(name))
        if not known and not all(each.search(value) for each in others or ()):
            yield Deviation(section, _where(kind, name), "is none that may come")


_FRAMING = frozenset((b"host", b"content-length", b"content-type", b"transfer-encoding", b"connection", b"cookie"))
"""Headers of every request, which ``header.*`` is not about."""


def _where(kind: str, name: bytes) -> str:
    shown = printable(name[:_LONGEST_NAME].decode("utf-8", "backslashreplace"))
    return f"{kind}.{shown}{'...' if len(name) > _LONGEST_NAME else ''}"


def _size(request: Request) -> int:
    if request.length is not None:
        return request.length
    return 0 if request.body is None else request.body.size
