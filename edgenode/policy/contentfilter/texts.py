"""The texts that are searched: all values of some variables, joined, as chains of transformations make them.

Law: whatever a chain makes of a value stands in its text. Words are searched in texts that are *bare*: without blanks,
quotes and what else transformations such as ``cmdLine`` and ``removeWhitespace`` take away or put in place of one
another, and in any case. So these, at the end of a chain, need not be done at all, and where nothing is encoded there
is one text for all chains.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from operator import or_

from attrs import define, field, frozen

from edgenode.policy.contentfilter.transformations import TRANSFORMATIONS, Transformation, of_name
from edgenode.policy.contentfilter.words import alone

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

_NOT_SEARCHED = b"\t\v\f\r \"'\\^,;+\0\xa0\xc2"
"""Bytes that are in no bare text."""

_BARING = frozenset(
    (
        *("cmdLine", "compressWhitespace", "lowercase", "removeNulls", "removeWhitespace", "replaceNulls", "trim"),
        *("trimLeft", "trimRight", "uppercase"),
    )
)
"""Transformations that change nothing but the case of a bare text."""

_URL = frozenset(("urlDecode", "urlDecodeUni"))
_ALL_BYTES_MATTER = frozenset(
    (
        *("base64Decode", "base64DecodeExt", "base64Encode", "hexDecode", "hexEncode", "length", "md5", "sha1"),
        *("parityEven7bit", "parityOdd7bit", "parityZero7bit", "urlEncode"),
    )
)
"""Transformations that may make another bare text of values that differ in bytes that are in none."""


def bare(text: bytes) -> bytes:
    """A text of values, one a line, without what is not searched."""
    return text.translate(None, _NOT_SEARCHED)


def bare_value(value: bytes) -> bytes:
    """The same of one value, or word, in which a line feed is such a byte as well."""
    return value.translate(None, _NOT_SEARCHED + b"\n")


# -- what is done to values that are joined ----------------------------------------------------------------------------


@frozen(eq=False)
class Step:
    """One transformation of a text that is values joined by line feeds, none of which has a line feed in it.

    :ivar name: the transformation's.
    :ivar changes: whether it may change such a text.
    :ivar apply: changes each value by itself, or all at once where that is the same.
    :ivar value: changes any single value.
    """

    name: str
    changes: Callable[[bytes], object]
    apply: Callable[[bytes], bytes]
    value: Callable[[bytes], bytes]


Chain = tuple[Step, ...]

_BLANKS = bytes.maketrans(b"\t\v\f\r", b"    ")
_SEPARATORS = bytes.maketrans(b",;\t\r", b"    ")
_SPACES = re.compile(rb"  +")


def _compressed(text: bytes) -> bytes:
    return _SPACES.sub(b" ", text.translate(_BLANKS))


def _command_line(text: bytes) -> bytes:
    text = _SPACES.sub(b" ", text.translate(_SEPARATORS, b"\"'\\^"))
    return text.replace(b" /", b"/").replace(b" (", b"(")


_OF_COMMANDS = b"\"'\\^,;\t\r"


def _commands(text: bytes) -> bool:
    if len(text.translate(None, _OF_COMMANDS)) != len(text):
        return True
    return text.find(b"  ") >= 0 or text.find(b" /") >= 0 or text.find(b" (") >= 0


_BASE64 = alone(r"(?m)^(?:[A-Za-z0-9+/=]{4})+[ \r]*(?:\x00|$)")


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


def _step(transformation: Transformation) -> Step:
    name, value, look = transformation.name, transformation.apply, transformation.changes
    each = _each(value, look)
    if name == "cmdLine":
        return Step(name, _commands, _command_line, value)
    if name == "removeWhitespace":
        return Step(name, look or bool, lambda text: text.translate(None, b" \t\v\f\r\xa0\xc2"), value)
    if name == "compressWhitespace":
        return Step(name, look or bool, _compressed, value)
    if name in ("jsDecode", "cssDecode", "escapeSeqDecode"):
        return Step(name, look or bool, _unless_it_goes_on(value, each, b"\\\n"), value)
    if name == "base64Decode":
        return Step(name, _BASE64, each, value)
    return Step(name, look or bool, value if transformation.whole else each, value)


_STEPS = {name: _step(each) for name, each in TRANSFORMATIONS.items()}
_BUT_FOR_PLUS = {
    name: Step(name, lambda text: text.find(b"%") >= 0, step.apply, step.value)
    for name, step in _STEPS.items()
    if name in _URL
}


def chain_of(names: Iterable[str]) -> tuple[Chain, bool]:
    """The transformations of a rule, and whether what they make has to be made lower behind them."""
    chain = tuple(found.name for name in names if (found := of_name(name)) is not None and found.name != "none")
    if not _BY_CASE.isdisjoint(chain):
        return tuple(_STEPS[name] for name in chain), False
    lowered = not _LOWERING.isdisjoint(chain)
    return tuple(_STEPS[name] for name in chain if name != "lowercase"), lowered


def searched(chain: Chain) -> Chain:
    """What of a chain has to be done to a text that is made bare then."""
    end = len(chain)
    while end and chain[end - 1].name in _BARING:
        end -= 1
    if any(step.name in _ALL_BYTES_MATTER for step in chain[:end]):
        return chain[:end]
    return tuple(_BUT_FOR_PLUS.get(step.name, step) for step in chain[:end])


# -- what is searched --------------------------------------------------------------------------------------------------

_MOST_KNOWN = 256
_LARGE = 16 << 10
"""Bytes of a text of which it takes a while to make another."""


@frozen
class _Further:
    """What comes behind a step.

    :ivar step: the first of some chains that changes something.
    :ivar chains: what is left of them.
    :ivar all_values: whether they may change values that the step does not.
    """

    step: Step
    chains: Chains
    all_values: bool


@define(eq=False)
class Chains:
    """Chains of transformations of the same values.

    :ivar chains: each, with the rules that look at what it makes, as bits.
    :ivar rules: all of those.
    :ivar steps: what the chains consist of.
    """

    chains: Mapping[Chain, int]
    rules: int
    steps: tuple[Step, ...]
    _further: dict[tuple[Step, ...], tuple[_Further, ...]] = field(factory=dict)

    @classmethod
    def of(cls, chains: Iterable[tuple[Chain, int]]) -> Chains:
        """Of chains and rules, the same chain perhaps several times."""
        several: dict[Chain, int] = {}
        for chain, rules in chains:
            several[chain] = several.get(chain, 0) | rules
        steps = tuple(dict.fromkeys(step for chain in several for step in chain))
        return cls(several, reduce(or_, several.values(), 0), steps)

    def texts(self, values: Sequence[bytes]) -> Iterator[tuple[bytes, bytes, int]]:
        """What the chains make of values: a text, in which no line feed stands but those within values; the same bare,
        each value a line; and the rules that may look at it. Whatever a chain makes of a value stands in one of the
        texts of its rules. One step is made at a time, so that who asks for the next text can wait with that; large
        ones that no rule looks at are told, too."""
        waiting: list[tuple[_Further | None, Sequence[bytes], bytes]] = [(None, values, b"\n".join(values))]
        while waiting:
            further, values, text = waiting.pop()
            chains, new = self, True
            if further is not None:
                changed = _changed(further.step, values, text if text.count(b"\n") < len(values) else None)
                if changed == values:
                    continue
                if not further.all_values:
                    unchanged = frozenset(values)
                    changed = [value for value in changed if value not in unchanged]
                values, text = changed, b"\n".join(changed)
                chains, new = further.chains, further.step.name not in _BARING
            lines = text.count(b"\n") < len(values)
            if not new:
                if len(text) > _LARGE:
                    yield text, b"", 0
            elif lines:
                yield text.replace(b"\n", b" "), bare(text), chains.rules
            else:
                yield b" ".join(values), b"\n".join(map(bare_value, values)), chains.rules
            changing = tuple([step for step in chains.steps if not lines or step.changes(text)])
            if changing:
                waiting += [(each, values, text) for each in chains._behind(changing)]

    def _behind(self, changing: tuple[Step, ...]) -> tuple[_Further, ...]:
        """What comes behind the first step of each chain that changes something."""
        known = self._further.get(changing)
        if known is None:
            several: dict[Step, list[tuple[Chain, int]]] = {}
            for chain, rules in self.chains.items():
                place = next((place for place, step in enumerate(chain) if step in changing), None)
                if place is not None:
                    several.setdefault(chain[place], []).append((chain[place + 1 :], rules))
            if len(self._further) >= _MOST_KNOWN:
                self._further.clear()
            known = self._further[changing] = tuple(
                _Further(step, Chains.of(rest), any(other in changing for chain, _ in rest for other in chain))
                for step, rest in several.items()
            )
        return known


def _changed(step: Step, values: Sequence[bytes], text: bytes | None) -> Sequence[bytes]:
    """What a step makes of values.

    :param text: the values as lines, if they are lines.
    """
    if text is not None:
        changed = step.apply(text).split(b"\n")
        if len(changed) == len(values):
            return changed
    return [*map(step.value, values)]


# -- what one chain makes ----------------------------------------------------------------------------------------------


class Texts:
    """What chains make of values.

    :ivar first: the values as they are, joined by line feeds.
    :ivar lines: whether none of them has a line feed in it.
    """

    __slots__ = ("_made", "first", "lines", "values")

    def __init__(self, values: Sequence[bytes]) -> None:
        self.values = values
        self.first = first = b"\n".join(values)
        self.lines = first.count(b"\n") < len(values)
        self._made: dict[Chain, tuple[bytes, Sequence[bytes] | None]] = {}

    def of(self, chain: Chain) -> tuple[bytes, Sequence[bytes] | None]:
        """What a chain makes of them: the text; and the values, unless they are its lines."""
        if not chain:
            return self.first, None if self.lines else self.values
        found = self._made.get(chain)
        if found is None:
            found = self._made[chain] = self._changed(chain)
        return found

    def _changed(self, chain: Chain) -> tuple[bytes, Sequence[bytes] | None]:
        text, values = self.of(chain[:-1])
        step = chain[-1]
        if values is None:
            if not step.changes(text):
                return text, None
            changed = step.apply(text)
            if changed.count(b"\n") < len(self.values):
                return changed, None
            values = text.split(b"\n")  # one of an encoding had a line feed in it: on two lines then stands one value
        values = [step.value(value) for value in values]
        return b"\n".join(values), values
