"""The texts that are searched: all values of some variables, joined, as each chain of transformations makes them.

Law: whatever a chain makes of a value stands in its text. Where a transformation changes nothing, the text stays the
one that there is already, and chains that come to the same text go on together. Words are searched in any case, so that
a transformation that changes nothing else is left out where it can be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

from attrs import define, field, frozen

from edgenode.policy.contentfilter.transformations import Transformation, of_name

Chain = tuple[str, ...]
"""Names of transformations."""

_BY_CASE = frozenset(
    (
        *("base64Decode", "base64DecodeExt", "base64Encode", "escapeSeqDecode", "hexDecode", "hexEncode", "jsDecode"),
        *("urlEncode", "sqlHexDecode", "uppercase"),
    )
)
"""Transformations to which it matters in which case a value is."""

FROM_NOTHING = frozenset(("length", "md5", "sha1"))
"""Transformations that make something of an empty value."""

_LOWERING = frozenset(("cmdLine", "lowercase"))


def chain_of(names: Iterable[str]) -> tuple[Chain, bool]:
    """The transformations of a rule, and whether what they make has to be made lower behind them."""
    chain = tuple(found.name for name in names if (found := of_name(name)) is not None and found.name != "none")
    if not _BY_CASE.isdisjoint(chain):
        return chain, False
    return tuple(each for each in chain if each != "lowercase"), not _LOWERING.isdisjoint(chain)


# -- what is done to values that are joined ----------------------------------------------------------------------------

_BLANKS = bytes.maketrans(b"\t\v\f\r", b"    ")
_SEPARATORS = bytes.maketrans(b",;\t\r", b"    ")
_SPACES = re.compile(rb"  +")


def _compressed(text: bytes) -> bytes:
    return _SPACES.sub(b" ", text.translate(_BLANKS))


def _command_line(text: bytes) -> bytes:
    text = _SPACES.sub(b" ", text.translate(_SEPARATORS, b"\"'\\^"))
    return text.replace(b" /", b"/").replace(b" (", b"(")


_BASE64 = re.compile(rb"^[A-Za-z0-9+/ \r]{8,}=*[ \r]*$", re.MULTILINE).search
_OF_COMMANDS = b"\"'\\^,;\t\r"


def _commands(text: bytes) -> bool:
    if len(text.translate(None, _OF_COMMANDS)) != len(text):
        return True
    return text.find(b"  ") >= 0 or text.find(b" /") >= 0 or text.find(b" (") >= 0


@frozen(eq=False)
class _Step:
    """One transformation of a text that is values joined by line feeds, none of which has a line feed in it.

    :ivar bit: stands for it.
    :ivar changes: whether it may change such a text.
    :ivar apply: changes each value by itself, or all at once where that is the same.
    """

    bit: int
    changes: Callable[[bytes], object]
    apply: Callable[[bytes], bytes]


def _each(change: Callable[[bytes], bytes], look: Callable[[bytes], object] | None) -> Callable[[bytes], bytes]:
    def changed(text: bytes) -> bytes:
        values = text.split(b"\n")
        return b"\n".join([change(value) if look is None or look(value) else value for value in values])

    return changed


def _unless_it_goes_on(
    apply: Callable[[bytes], bytes], each: Callable[[bytes], bytes], sign: bytes
) -> Callable[[bytes], bytes]:
    """All at once, but for values that end with what would take the line feed for its own."""
    return lambda text: each(text) if sign in text or text.endswith(sign[:1]) else apply(text)


def _step(transformation: Transformation, bit: int) -> _Step:
    name, apply, look = transformation.name, transformation.apply, transformation.changes
    each = _each(apply, look)
    if name == "cmdLine":
        return _Step(bit, _commands, _command_line)
    if name == "removeWhitespace":
        return _Step(bit, look or bool, lambda text: text.translate(None, b" \t\v\f\r\xa0\xc2"))
    if name == "compressWhitespace":
        return _Step(bit, look or bool, _compressed)
    if name in ("jsDecode", "cssDecode", "escapeSeqDecode"):
        return _Step(bit, look or bool, _unless_it_goes_on(apply, each, b"\\\n"))
    if name in ("base64Decode", "base64DecodeExt"):
        return _Step(bit, _BASE64 if name == "base64Decode" else bool, each)
    return _Step(bit, look or bool, apply if transformation.whole else each)


# -- all chains of the same values -------------------------------------------------------------------------------------

_MOST_KNOWN = 1024
_LARGE = 16 << 10
"""Bytes of a text of which it takes a while to make another."""

_Left = tuple[tuple[Chain, tuple[int, ...]], ...]
"""What is left to be done, each with the places of the chains that it is the end of."""


@define(eq=False)
class _Rest:
    """What is left to be done to a text.

    :ivar left: the transformations.
    :ivar branches: by what changes the text: the chains that are at their end, and what is done next.
    """

    left: _Left
    branches: dict[int, tuple[tuple[int, ...], tuple[tuple[_Step, _Rest], ...]]] = field(factory=dict)


@frozen
class Texts:
    """What chains make of values.

    :ivar first: the values as they are, joined.
    :ivar made: the others, by the place of the chain.
    :ivar all: each once.
    :ivar lines: whether each line is a value.
    """

    first: bytes
    made: Mapping[int, bytes]
    all: tuple[bytes, ...]
    lines: bool


@define(eq=False)
class Chains:
    """Some chains of transformations of the same values.

    :ivar chains: each once.
    """

    chains: tuple[Chain, ...]
    _steps: Mapping[str, _Step]
    _looks: tuple[tuple[Callable[[bytes], object], int], ...]
    _start: _Rest
    _rests: dict[_Left, _Rest] = field(factory=dict)
    _size: int = 0

    @classmethod
    def of(cls, chains: Iterable[Chain]) -> Chains:
        """Of chains, the same one perhaps several times."""
        distinct = tuple(dict.fromkeys(chains))
        names = dict.fromkeys(name for chain in distinct for name in chain)
        steps = {}
        for place, name in enumerate(names):
            found = of_name(name)
            assert found is not None
            steps[name] = _step(found, 1 << place)
        looks = tuple((step.changes, step.bit) for step in steps.values())
        return cls(distinct, steps, looks, _Rest(tuple((chain, (place,)) for place, chain in enumerate(distinct))))

    def texts(self, values: Sequence[bytes]) -> Generator[int, None, Texts]:
        """The texts that chains make of values; of large ones the size of each is yielded before the next is made."""
        first = b"\n".join(values)
        made: dict[int, bytes] = {}
        if first.count(b"\n") < len(values) and (yield from self._of_lines(first, made)):
            return Texts(first, made, (first, *dict.fromkeys(made.values())) if made else (first,), True)
        for place, chain in enumerate(self.chains):  # some value has a line feed in it, or a transformation makes one
            made[place] = b"\n".join([_applied(chain, value) for value in values])
            if len(first) > _LARGE:
                yield len(first)
        return Texts(first, made, tuple(dict.fromkeys((first, *made.values()))), False)

    def _of_lines(self, first: bytes, made: dict[int, bytes]) -> Generator[int, None, bool]:
        """Add what chains make of values that are lines; false if they are none any more, for an encoding had a line
        feed in it: what stands on two lines then is one value."""
        feeds = first.count(b"\n")
        waiting = [(first, self._start)]
        while waiting:
            text, rest = waiting.pop()
            changing = 0
            for changes, bit in self._looks:
                if changes(text):
                    changing |= bit
            known = rest.branches.get(changing)
            if known is None:
                known = self._branches(rest, changing)
            done, branches = known
            if rest is not self._start:
                made.update(dict.fromkeys(done, text))
            for step, further in branches:
                changed = step.apply(text)
                if changed.count(b"\n") != feeds:
                    return False
                waiting.append((changed, further))
                if len(text) > _LARGE:
                    yield len(text)
        return True

    def _branches(self, rest: _Rest, changing: int) -> tuple[tuple[int, ...], tuple[tuple[_Step, _Rest], ...]]:
        """Which chains are at their end, and what is done next to a text, with what is left behind that."""
        done: list[int] = []
        several: dict[str, dict[Chain, tuple[int, ...]]] = {}
        for chain, ends in rest.left:
            place = next((place for place, name in enumerate(chain) if self._steps[name].bit & changing), None)
            if place is None:
                done += ends
            else:
                further = several.setdefault(chain[place], {})
                further[chain[place + 1 :]] = further.get(chain[place + 1 :], ()) + ends
        if self._size >= _MOST_KNOWN:
            self._start.branches.clear()
            self._rests.clear()
            self._size = 0
        self._size += 1
        branches = []
        for name, further in several.items():
            left = tuple(further.items())
            branches.append((self._steps[name], self._rests.setdefault(left, _Rest(left))))
        known = rest.branches[changing] = (tuple(done), tuple(branches))
        return known


def _applied(chain: Chain, value: bytes) -> bytes:
    for name in chain:
        found = of_name(name)
        value = value if found is None else found.apply(value)
    return value
