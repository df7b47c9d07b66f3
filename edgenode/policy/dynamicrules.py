"""``[dynamic-rule]``: whoever comes too often goes into quarantine, at once and for a time.

Law: the request that exceeds a threshold is refused already, and its value is held before the next one comes. A rule
never holds a trusted proxy, through which others come, nor a client that nobody knows, nor a name that anybody can
write into a certificate of his own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.model.decision import Action, Reason
from edgenode.model.durations import write_seconds
from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import UNKNOWN_CLIENT, Exchange
from edgenode.model.settings import Reference, Seconds, Tag, Word, setting
from edgenode.policy.actions import Skip, refuses
from edgenode.policy.compound_keys import MANY
from edgenode.policy.counting import Asking
from edgenode.policy.keys import ADDRESS, CLIENT, WIDEST, Part
from edgenode.policy.selection import Selection
from edgenode.policy.tallies import Tally, counters_of, faults
from edgenode.policy.thresholds import Amount, Threshold
from edgenode.rules.fields import FIELDS
from edgenode.rules.networks import Networks, address, network_range
from edgenode.rules.tags import canonical
from edgenode.state.interface import Answers, Counted, Counter, Entry

_COMMON = 30
"""A field of which a condition is true of so many requests in a hundred has values that most clients share."""

_HEADERS = frozenset(
    f"header.{name}"
    for name in ("host", "accept", "accept-encoding", "accept-language", "connection", "content-type", "te", "via")
)
"""Those that clients do not tell themselves apart by."""


def is_common(part: Part) -> bool:
    """Whether a value of a word is that of many clients, so that who holds it for one holds it for all."""
    return FIELDS[part.of_field].breadth >= _COMMON or part.word == "tag" or part.word in _HEADERS


@frozen
class DynamicRule:
    """A threshold over a time: a value of a request that exceeds it goes into quarantine, at once and for a time."""

    kind: ClassVar[str] = "dynamic-rule"

    active: bool = setting("Whether it counts. What it holds already is held all the same.", True)
    global_: bool = setting(
        "Whether it counts everywhere; with ``no`` only in the path maps that name it in ``dynamic-rules``. What it "
        "holds is held everywhere.",
        True,
    )
    key: Part = setting(
        "What is counted, and held: one word such as ``ip``, ``country``, ``asn``, ``organization``, "
        "``header.NAME``, ``cookie.NAME``, ``argument.NAME`` or ``certificate.fingerprint``, or the name of a field. "
        "Requests in which it is missing are not counted. ``ip`` is an address of IPv4, or a network /64 of IPv6; "
        "``ip/24/56`` are networks.",
        Part.from_text(ADDRESS),
    )
    include: tuple[Annotated[Word, Tag(own=False)], ...] = setting(
        "Only requests with any of these tags are counted; without the key all.", ()
    )
    exclude: tuple[Annotated[Word, Tag(own=False)], ...] = setting(
        "Requests with any of these tags are not counted.", ()
    )
    limit: tuple[Threshold, ...] = setting("The thresholds, one a line: ``100 per 1m``; any of them is enough.")
    count: Amount = setting(
        "What is counted: ``requests``; ``bytes`` of the bodies of answers; ``status >= 400``, the origin's answers "
        "with such a status; ``distinct argument.user``, different values of a word of a key.",
        Amount(),
    )
    hold: Seconds = setting("How long the value is held, from the last request that was over.", Seconds(3600.0))
    action: Annotated[str, Reference("action")] = setting("The action for requests that have the value.", "block")
    tags: tuple[Annotated[Word, Tag()], ...] = setting(
        "Tags for the requests that are over, and for those that are held, besides ``dynamic-rule:NAME``.", ()
    )

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if keys contradict one another, or one value would be that of everybody."""
        for problem in _faults(self):
            raise problem

    @property
    def proposes(self) -> tuple[str, ...]:
        """The name of its action, if it counts."""
        return (self.action,) if self.active else ()


def _faults(section: DynamicRule) -> Iterator[InvalidValue]:
    part = section.key
    if is_common(part):
        sentence = f"a value of {part.word} is common to many clients, and one of them would have all of them held"
        yield InvalidValue(sentence, which="key")
    if part.word == ADDRESS and (part.bits[0] < WIDEST[4] or part.bits[1] < WIDEST[6]):
        sentence = f"so wide a network holds too many: one is a /{WIDEST[4]} of IPv4 or a /{WIDEST[6]} of IPv6 at most"
        yield InvalidValue(sentence, which="key")
    if part.word != ADDRESS and part.bits != Part.from_text(part.word).bits:
        yield InvalidValue(f"networks are held of {ADDRESS} alone", which="key")
    if not section.limit:
        yield InvalidValue("a rule has a threshold", which="limit")
    if any(line.action for line in section.limit):
        yield InvalidValue("the action of a dynamic rule is written in action", which="limit")
    yield from faults(section.limit, section.count, section.include, section.exclude)
    if not section.hold:
        yield InvalidValue("nothing is held for no time at all", which="hold")


@frozen(eq=False)
class CompiledRule:
    """A dynamic rule, ready to count.

    :ivar name: its name.
    :ivar part: what is counted and held.
    :ivar tally: counts it.
    :ivar steps: each threshold with the counter of its period.
    :ivar hold: how long a value is held, seconds.
    :ivar action: for what is over, and held.
    :ivar tags: for the same.
    :ivar trusted: the networks of trusted proxies; ``None`` if there are none.
    """

    exemption: ClassVar[str] = "dynamic-rules"

    name: str
    everywhere: bool
    part: Part
    tally: Tally
    steps: tuple[tuple[Threshold, Counter], ...]
    hold: float
    action: Action
    tags: frozenset[str]
    trusted: Networks | None
    needs: frozenset[str]
    refuses: bool
    of_messages: bool
    _most: int | None

    @classmethod
    def of(
        cls, name: str, section: DynamicRule, actions: Mapping[str, Action], trusted: Sequence[str] = ()
    ) -> CompiledRule:
        """Compile a section.

        :param actions: every action by its name.
        :param trusted: the networks of trusted proxies.
        :raises InvalidValue: if it names an action that there is not, or that lets requests pass.
        """
        action = actions.get(section.action)
        if action is None:
            raise InvalidValue(f"the dynamic rule {name} names an action that does not exist: {section.action}")
        if isinstance(action, Skip):
            raise InvalidValue(f"the dynamic rule {name} names an action that lets requests pass: {section.action}")
        header = f"{DynamicRule.kind} {name}"
        counters = counters_of(header, section.limit, section.count)
        include, exclude = frozenset[str](section.include), frozenset[str](section.exclude)
        tally = Tally(header, (section.key,), include, exclude, section.count, tuple(dict.fromkeys(counters)))
        only = len(section.limit) == 1 and not section.count.is_known_later
        return cls(
            name,
            section.global_,
            section.key,
            tally,
            tuple(zip(section.limit, counters, strict=True)),
            section.hold,
            action,
            tags_of(name, section),
            Networks(trusted) if trusted else None,
            tally.needs | action.needs,
            refuses(action),
            tally.of_messages,
            section.limit[0].most if only else None,
        )

    def selected(self, selection: Selection) -> CompiledRule | None:
        """Itself where it counts."""
        return self if self.everywhere or self.name in selection.dynamic_rules else None

    def ask(self, asking: Asking) -> None:
        """Append its calls; those who must not be held are not counted."""
        if self.part.of_field == CLIENT:
            client, trusted = asking.exchange.client, self.trusted
            if not client or client == UNKNOWN_CLIENT or (trusted is not None and address(client) in trusted):
                return
        self.tally.ask(asking)

    def hear(self, asking: Asking, answers: Answers, start: int, end: int) -> None:
        """Hold every value that is over, and refuse the request."""
        if end - start == 1 and self._most is not None:  # as nearly always
            only = answers[start]
            if only is None or only[0] <= self._most:
                return
        over: dict[str, tuple[Threshold, Counted]] = {}
        for call, answer in self.tally.counted(asking, answers, start, end):
            for threshold, counter in self.steps:
                if answer.total > threshold.most and counter is call.counter:
                    over.setdefault(call.key, (threshold, answer))
        for key, (threshold, answer) in over.items():
            self._hold(asking, key, f"{answer.total - self.tally.amount.is_known_later} of {threshold.rate}")

    def _hold(self, asking: Asking, key: str, why: str) -> None:
        value = self._held(asking.exchange, key)
        held = ""
        if value is not None:
            quarantine = asking.state.quarantine
            now = quarantine.now()
            entry = Entry(self.part.word, value, now + self.hold, now, self.tally.header, why, self.action.name)
            quarantine.hold(entry)
            held = f", held for {write_seconds(self.hold)}"
        shown = f"{self.part.word}: {value or key.strip()}"
        asking.because(Reason(self.exemption, self.name, shown, f"{why}{held}", self.action.name))
        asking.tag(self.tags)
        asking.propose(self.action)

    def _held(self, exchange: Exchange, key: str) -> str | None:
        """The value that is held for what is counted under a key; ``None`` if others could be held by it."""
        if key == MANY or self.part.forgeable(exchange):
            return None
        if self.trusted is None or not self.part.of_addresses or not self.trusted.overlaps(network_range(key)):
            return key
        # A client beside a proxy, in the same network: its address alone.
        return exchange.client if self.part.word == ADDRESS else None


def tags_of(name: str, section: DynamicRule) -> frozenset[str]:
    """The tags of what a rule finds, and of what it holds."""
    return frozenset((canonical(f"dynamic-rule:{name}"), *section.tags))
