"""What a section counts: of which requests, under which keys, how much. Rate limits and dynamic rules are made of it.

Law: what is counted and when does not depend on what other sections say of the request; a tag that a flow puts on the
same request is waited for within the call of the state.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

from attrs import Factory, field, frozen

from edgenode.model.errors import InvalidValue
from edgenode.policy.compound_keys import joined
from edgenode.policy.counting import Asking
from edgenode.policy.keys import Part, Texts
from edgenode.policy.tagging import MESSAGE
from edgenode.policy.thresholds import LARGEST, Amount, Threshold
from edgenode.state.interface import Answers, Call, Counted, Counter, State

MOST_VALUES = 64
"""Distinct values of one request that are counted."""

MOST_DISTINCT = 10_000
"""The highest threshold of distinct values, each of which is remembered."""

_NOWHERE: tuple[int, ...] = ()


def faults(
    limit: Sequence[Threshold], count: Amount, include: Collection[str], exclude: Collection[str]
) -> Iterator[InvalidValue]:
    """What the keys of a section have in them that goes together with nothing, or with nothing else of it."""
    for line in limit:
        if line.unit and count.kind != "bytes":
            yield InvalidValue(f"only bytes are written with a unit: {line.most}", which="limit")
        if count.kind == "distinct" and line.most > MOST_DISTINCT:
            yield InvalidValue(f"every value is remembered: of distinct ones at most {MOST_DISTINCT}", which="limit")
    rates = [(line.most, line.period) for line in limit]
    for place, rate in enumerate(rates):
        if rate in rates[:place]:
            yield InvalidValue(f"{limit[place].rate} stands there twice", which="limit")
    if "all" in exclude:
        yield InvalidValue("every request has the tag all, and so nothing is counted", which="exclude")
    elif include and set(include) <= set(exclude):
        yield InvalidValue("what it includes it excludes, and so counts nothing", which="exclude")
    if MESSAGE in include and count.is_known_later:
        yield InvalidValue("a message has no answer that could be counted", which="count")


def counters_of(header: str, thresholds: Sequence[Threshold], amount: Amount, window: str = "fixed") -> list[Counter]:
    """The counter of each threshold; those with the same period share one, unless their windows slide.

    That of a fixed window does not depend on the threshold: who has come often is over a lower one at once, whether a
    reload makes it so or another node has it.

    :param header: of the section.
    """
    name = header if amount.kind == "requests" else f"{header} {amount}"
    if window == "sliding":
        return [Counter(name, "sliding", each.most, each.period) for name, each in _named_apart(name, thresholds)]
    kind = "distinct" if amount.kind == "distinct" else "fixed"
    most: dict[float, int] = {}
    for each in thresholds:
        most[each.period] = LARGEST if kind == "fixed" else max(each.most, most.get(each.period, 0))
    made = {period: Counter(name, kind, highest, period) for period, highest in most.items()}
    return [made[each.period] for each in thresholds]


def _named_apart(name: str, thresholds: Sequence[Threshold]) -> Iterator[tuple[str, Threshold]]:
    """Each threshold with a name of its own among those of its period, that stays when a reload changes its number."""
    for at, each in enumerate(thresholds):
        earlier = sum(other.period == each.period for other in thresholds[:at])
        yield f"{name} {earlier + 1}" if earlier else name, each


@frozen(eq=False)
class Tally:
    """What is counted for requests.

    :ivar header: of the section.
    :ivar parts: the words of its key.
    :ivar include: only requests with any of these tags are counted; without them all.
    :ivar exclude: requests with any of these tags are not counted.
    :ivar amount: what is counted.
    :ivar counters: each counts the same, in its own window.
    :ivar of_messages: whether messages of WebSockets are counted too.
    :ivar needs: what is looked at besides the head of a request.
    """

    header: str
    parts: tuple[Part, ...]
    include: frozenset[str]
    exclude: frozenset[str]
    amount: Amount
    counters: tuple[Counter, ...]
    of_messages: bool = field(init=False, default=Factory(lambda self: MESSAGE in self.include, takes_self=True))
    needs: frozenset[str] = field(init=False)
    _keys: Texts = field(init=False, default=Factory(lambda self: joined(self.parts), takes_self=True))
    _once: int = field(init=False, default=Factory(lambda self: int(not self.amount.is_known_later), takes_self=True))

    @needs.default
    def _of_its_parts(self) -> frozenset[str]:
        parts = self.parts if self.amount.part is None else (*self.parts, self.amount.part)
        return frozenset[str]().union(*(each.needs for each in parts))

    def ask(self, asking: Asking, held: Callable[[str], bool] | None = None) -> None:
        """Append the calls of a request.

        :param held: says of a key whether it is not to be counted now.
        """
        exchange, only_if, unless = asking.exchange, _NOWHERE, _NOWHERE
        tags = exchange.tags
        if self.include and self.include.isdisjoint(tags):
            only_if = _given(asking, self.include)
            if not only_if:
                return
        if self.exclude:
            if not self.exclude.isdisjoint(tags):
                return
            unless = _given(asking, self.exclude)
        keys = self._keys(exchange)
        if held is not None:
            keys = tuple(key for key in keys if not held(key))
        calls, amount = asking.calls, self._once
        if self.amount.part is not None:
            values = self.amount.part.values(exchange)[:MOST_VALUES]
            calls += [
                Call(counter, key, 1, value, (), only_if, unless)
                for key in keys
                for counter in self.counters
                for value in values
            ]
            return
        for key in keys:
            for counter in self.counters:
                calls.append(_made((counter, key, amount, "", _NOWHERE, only_if, unless)))

    def counted(self, asking: Asking, answers: Answers, start: int, end: int) -> list[tuple[Call, Counted]]:
        """The calls of a request that have counted, with their answers. If only the answer to the request tells how
        much it comes to, that is counted for them then.

        :param start: the position of the first, and of its answer.
        :param end: the position behind the last.
        """
        calls = asking.calls
        found = [(calls[at], answer) for at in range(start, end) if (answer := answers[at]) is not None]
        if found and not self._once:
            asking.after += (Afterwards(asking.state, self.amount, tuple(call for call, _ in found)),)
        return found


_made: Callable[[tuple[object, ...]], Call] = cast(Any, partial(tuple.__new__, Call))
"""A :class:`Call`, in half the time."""


def _given(asking: Asking, tags: frozenset[str]) -> tuple[int, ...]:
    """The positions of the calls that may put any of some tags on the request."""
    given: Mapping[str, tuple[int, ...]] = asking.given
    if not given:
        return _NOWHERE
    return tuple(position for tag, positions in given.items() if tag in tags for position in positions)


@frozen(eq=False)
class Afterwards:
    """Counts what the answer to a request has told.

    :ivar state: what counts.
    :ivar amount: what of it.
    :ivar calls: those of the request.
    """

    state: State
    amount: Amount
    calls: tuple[Call, ...]

    def responded(self, status: int, sent: int, origin_status: int) -> None:
        """See :class:`edgenode.model.decision.After`."""
        much = self.amount.of_answer(sent, origin_status)
        if much:
            self.state.add([call._replace(amount=much, only_if=(), unless=()) for call in self.calls])
