"""``[rate-limit]``: how much of what may come, in how long, of each client; and what becomes of what is more.

Law: every limit that holds for a request counts it and tags it, and the strongest action is taken. What a client is
told of its limits says nothing of others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from math import ceil
from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.model.decision import Action, Reason
from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Choice, Seconds, Tag, Word, setting
from edgenode.policy.actions import refuses
from edgenode.policy.compound_keys import shown
from edgenode.policy.counting import Asking
from edgenode.policy.keys import Part
from edgenode.policy.selection import Selection
from edgenode.policy.tallies import Tally, counters_of, faults
from edgenode.policy.thresholds import Amount, Threshold
from edgenode.rules.tags import canonical
from edgenode.state.interface import Answers, Counted, Counter, Entry

USUAL = "rate-limit"
"""The action over a threshold that names none."""


@frozen
class RateLimit:
    """How often requests may come: a threshold for each client, or for each value of other keys, and what becomes of
    the requests over it."""

    kind: ClassVar[str] = "rate-limit"

    active: bool = setting("Whether it counts.", True)
    global_: bool = setting(
        "Whether it holds everywhere; with ``no`` only for the path maps that name it in ``rate-limits``.", True
    )
    key: tuple[Part, ...] = setting(
        "What is counted by itself: words such as ``ip``, ``header.NAME``, ``argument.NAME`` or "
        "``certificate.fingerprint``, and names of fields, divided by commas. Requests with the same values are "
        "counted together; one in which a part is missing is not counted. ``ip`` is an address of IPv4, or a network "
        "/64 of IPv6; ``ip/24/56`` are networks. Without the key all requests are counted together.",
        (),
    )
    include: tuple[Annotated[Word, Tag(own=False)], ...] = setting(
        "Only requests with any of these tags are counted; without the key all.", ()
    )
    exclude: tuple[Annotated[Word, Tag(own=False)], ...] = setting(
        "Requests with any of these tags are not counted.", ()
    )
    limit: tuple[Threshold, ...] = setting(
        "The thresholds, one a line: ``100 per 1m``, and behind it the action for what is over; without one "
        "``rate-limit``, which answers 429."
    )
    count: Amount = setting(
        "What is counted: ``requests``; ``bytes`` of the bodies of answers; ``status >= 400``, the origin's answers "
        "with such a status; ``distinct argument.user``, different values of a word of a key.",
        Amount(),
    )
    window: Annotated[str, Choice(("fixed", "sliding"))] = setting(
        "``fixed`` counts from a first request on for the period, what is refused too; ``sliding`` lets the whole "
        "number through at once and then one after the other as the time goes by (GCRA), and does not count what it "
        "refuses.",
        "fixed",
    )
    ban: Seconds = setting(
        "How long everything of a key is refused once it is over; 0: only what is over is.", Seconds(0.0)
    )
    headers: bool = setting(
        "Whether answers have ``RateLimit-Policy`` and ``RateLimit``; ``Retry-After`` on refusals stands there anyway.",
        True,
    )
    tags: tuple[Annotated[Word, Tag()], ...] = setting(
        "Tags for the requests that are over, besides ``limit:NAME``.", ()
    )

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if keys contradict one another."""
        for problem in _faults(self):
            raise problem

    @property
    def parts(self) -> tuple[Part, ...]:
        """All that it looks at: the words of its key, and what it counts."""
        return self.key if self.count.part is None else (*self.key, self.count.part)

    @property
    def proposes(self) -> tuple[str, ...]:
        """The names of the actions that can be taken because of it."""
        return tuple(self.action_names()) if self.active else ()

    def action_names(self) -> Iterator[str]:
        """The name of each threshold's action."""
        return (each.action or USUAL for each in self.limit)


def _faults(section: RateLimit) -> Iterator[InvalidValue]:
    yield from faults(section.limit, section.count, section.include, section.exclude)
    if section.window == "sliding" and section.count.kind == "distinct":
        yield InvalidValue("distinct values are counted in fixed windows", which="window")


@frozen(eq=False)
class _Step:
    """A threshold, ready to judge.

    :ivar most: what is not yet over.
    :ivar counter: what counts it.
    :ivar rate: it in words.
    :ivar action: what is proposed over it.
    :ivar interval: of a sliding window the seconds after which there is one more; else 0.
    :ivar policy: its item of ``RateLimit-Policy``; empty if clients are not told of it.
    :ivar left: the beginning of that of ``RateLimit``, up to what is left.
    """

    most: int
    counter: Counter
    rate: str
    action: Action
    interval: float
    policy: bytes
    left: bytes


@frozen(eq=False)
class CompiledLimit:
    """A rate limit, ready to count.

    :ivar name: its name.
    :ivar tally: what it counts.
    :ivar steps: its thresholds.
    :ivar ban: how long a key is refused once it is over, seconds; 0 for not at all.
    :ivar actions: every action by its name.
    """

    exemption: ClassVar[str] = "rate-limits"

    name: str
    everywhere: bool
    tally: Tally
    steps: tuple[_Step, ...]
    ban: float
    actions: Mapping[str, Action]
    tags: frozenset[str]
    needs: frozenset[str]
    refuses: bool
    of_messages: bool
    _only: _Step | None
    _later: int

    @classmethod
    def of(cls, name: str, section: RateLimit, actions: Mapping[str, Action]) -> CompiledLimit:
        """Compile a section.

        :param actions: every action by its name.
        :raises InvalidValue: if it names one that there is not.
        """
        header = f"{RateLimit.kind} {name}"
        for action in section.action_names():
            if action not in actions:
                raise InvalidValue(f"the rate limit {name} names an action that does not exist: {action}")
        counters = counters_of(header, section.limit, section.count, section.window)
        include, exclude = frozenset[str](section.include), frozenset[str](section.exclude)
        distinct = tuple(dict.fromkeys(counters))
        tally = Tally(header, section.key, include, exclude, section.count, distinct)
        steps = tuple(_steps(name, section, counters, actions))
        tags = frozenset((canonical(f"limit:{name}"), *section.tags))
        return cls(
            name,
            section.global_,
            tally,
            steps,
            section.ban,
            actions,
            tags,
            tally.needs.union(*(each.action.needs for each in steps)),
            any(refuses(each.action) for each in steps),
            tally.of_messages,
            steps[0] if len(steps) == 1 else None,
            int(section.count.is_known_later),
        )

    def selected(self, selection: Selection) -> CompiledLimit | None:
        """Itself where it holds."""
        return self if self.everywhere or self.name in selection.rate_limits else None

    def ask(self, asking: Asking) -> bool:
        """Append its calls; a key that is banned is not counted."""
        if not self.ban or self.tally.header not in asking.state.quarantine.keys:
            self.tally.ask(asking)
            return False
        self.tally.ask(asking, partial(self._is_banned, asking))
        return self.tally.header in asking.banned

    def look_again(self, asking: Asking, start: int, end: int) -> None:
        """Look whether a key has been banned by another node while its calls were under way."""
        for key in dict.fromkeys(call.key for call in asking.calls[start:end]) if self.ban else ():
            self._is_banned(asking, key)

    def _is_banned(self, asking: Asking, key: str) -> bool:
        header = self.tally.header
        entry = asking.state.quarantine.find(header, key)
        if entry is not None:
            asking.banned.setdefault(header, []).append((key, entry))
        return entry is not None

    def hear(self, asking: Asking, answers: Answers, start: int, end: int) -> None:
        """Say of each threshold what remains, or that it is over."""
        step = self._only
        if step is not None and end - start == 1 and not asking.banned:
            answer = answers[start]
            if answer is None:
                return
            total, reset, _ = answer
            if total <= step.most:
                later = self._later
                if step.policy:
                    total -= later
                    until = reset - (total - 1) * step.interval if step.interval else reset
                    asking.limits[step.policy] = b"%b%d;t=%d" % (step.left, step.most - total, ceil(until))
                if later:
                    self.tally.counted(asking, answers, start, end)
                return
        self._hear(asking, answers, start, end)

    def _hear(self, asking: Asking, answers: Answers, start: int, end: int) -> None:
        for key, entry in asking.banned.get(self.tally.header, ()):
            self._banned(asking, key, entry)
        counted = self.tally.counted(asking, answers, start, end)
        over: dict[str, Action] = {}
        for step in self.steps:
            highest: dict[str, Counted] = {}
            for call, answer in counted:
                if call.counter is step.counter and (call.key not in highest or answer > highest[call.key]):
                    highest[call.key] = answer
            for key, answer in highest.items():
                if answer.total > step.most:
                    self._over(asking, step, key, answer)
                    known = over.get(key)
                    if refuses(step.action) and (known is None or step.action.strength > known.strength):
                        over[key] = step.action
            if highest and step.policy:
                asking.limits.setdefault(step.policy, _remaining(step, max(highest.values()), self._later))
        if self.ban:
            for key, action in over.items():
                self._hold(asking, key, action)

    def _over(self, asking: Asking, step: _Step, key: str, answer: Counted) -> None:
        total = answer.total - self._later
        told = f"{total} of {step.rate}"
        reason = Reason(self.exemption, self.name, shown(self.tally.parts, key), told, step.action.name)
        asking.because(reason)
        asking.tag(self.tags)
        asking.propose(step.action, _wait(step, answer) if refuses(step.action) else 0)

    def _hold(self, asking: Asking, key: str, action: Action) -> None:
        quarantine, header = asking.state.quarantine, self.tally.header
        now = quarantine.now()
        why = f"over the limit: {shown(self.tally.parts, key)}"
        quarantine.hold(Entry(header, key, now + self.ban, now, header, why, action.name))
        asking.propose(action, ceil(self.ban))

    def _banned(self, asking: Asking, key: str, entry: Entry) -> None:
        action = self.actions.get(entry.action) or max((each.action for each in self.steps), key=_strength)
        rest = max(1, ceil(entry.until - asking.state.quarantine.now())) if entry.until < _NEVER else 0
        asking.because(Reason(self.exemption, self.name, shown(self.tally.parts, key), "banned", action.name))
        asking.tag(self.tags)
        asking.propose(action, rest)
        for step in self.steps if rest else ():
            if step.policy:
                asking.limits[step.policy] = b"%b0;t=%d" % (step.left, rest)


_NEVER = float("inf")


def _strength(action: Action) -> int:
    return action.strength if refuses(action) else -1


def _steps(
    name: str, section: RateLimit, counters: Sequence[Counter], actions: Mapping[str, Action]
) -> Iterator[_Step]:
    unit = {"requests": "", "bytes": ';qu="content-bytes"'}.get(section.count.kind)
    for line, counter in zip(section.limit, counters, strict=True):
        action, policy, left = actions[line.action or USUAL], "", ""
        if section.headers and unit is not None and refuses(action):
            identifier = _string(name if len(section.limit) == 1 else f"{name} {line.rate}")
            policy, left = f"{identifier};q={line.most}{unit};w={ceil(line.period)}", f"{identifier};r="
        interval = line.period / line.most if counter.kind == "sliding" and line.most else 0.0
        yield _Step(line.most, counter, line.rate, action, interval, policy.encode(), left.encode())


def _string(text: str) -> str:
    """A string of a structured field (RFC 9651, section 3.3.3)."""
    printable = "".join(each if each.isascii() and each.isprintable() else "?" for each in text)
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _remaining(step: _Step, answer: Counted, later: int) -> bytes:
    total = answer.total - later
    until = answer.reset - (total - 1) * step.interval if step.interval else answer.reset
    if answer.total > step.most:
        until = _wait(step, answer)
    left = step.left + b"%d" % max(0, step.most - total)
    return b"%b;t=%d" % (left, ceil(until)) if until else left


def _wait(step: _Step, answer: Counted) -> int:
    """Seconds until another request may pass; 0 if none ever does."""
    if not step.most:
        return 0
    return max(1, ceil(answer.wait if step.interval else answer.reset))
