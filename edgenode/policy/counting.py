"""The stage that counts: flows, dynamic rules and rate limits together, in one call of the state.

Law: all that a request is counted for is counted, whatever becomes of it, and then the strongest action is taken. A
state that cannot be asked refuses, whatever the failure policy: else who has it fail is not limited.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Protocol

from attrs import evolve, field, frozen
from twisted.internet.defer import Deferred

from edgenode.model.decision import NOTHING, Action, After, Decision, Reason
from edgenode.model.exchange import Exchange, Headers
from edgenode.policy import escaping
from edgenode.policy.actions import FAILURE, Block, Skip, taken_tags
from edgenode.policy.challenge import met
from edgenode.policy.selection import Selection
from edgenode.policy.tagging import MESSAGE
from edgenode.policy.templates import Filled, Template
from edgenode.state.interface import AGAIN, Answers, Call, Entry, State, StateAbsent


class Asking:
    """What one request is counted for, and what comes of it.

    :param exchange: the exchange, with the tags so far.
    :param state: what counts.
    :ivar calls: what is to be counted.
    :ivar given: by a tag that a flow puts on whoever takes its last step, the positions of that flow's calls.
    :ivar limits: items of ``RateLimit-Policy``, and to each that of ``RateLimit``.
    :ivar banned: by the header of a limit, the keys of the request that are banned, with their entries.
    :ivar after: what wants to know the answer to the request.
    :ivar wait: seconds after which a refused request is worth another try; 0 if nobody knows.
    """

    __slots__ = (
        "_action",
        "_exempt",
        "_reasons",
        "_tags",
        "after",
        "banned",
        "calls",
        "exchange",
        "given",
        "limits",
        "state",
        "wait",
    )

    def __init__(self, exchange: Exchange, state: State) -> None:
        self.exchange, self.state = exchange, state
        self.calls: list[Call] = []
        self.given: dict[str, tuple[int, ...]] = {}
        self.limits: dict[bytes, bytes] = {}
        self.banned: dict[str, list[tuple[str, Entry]]] = {}
        self.after: tuple[After, ...] = ()
        self.wait = 0
        self._tags: frozenset[str] | None = None
        self._reasons: tuple[Reason, ...] = ()
        self._action: Action | None = None
        self._exempt = _NO_STAGES

    def tag(self, tags: Iterable[str]) -> None:
        """Put tags on the exchange."""
        self._tags = frozenset(tags) if self._tags is None else self._tags.union(tags)

    def because(self, reason: Reason) -> None:
        """Give a reason."""
        self._reasons += (reason,)

    def propose(self, action: Action, wait: int = 0) -> None:
        """Propose an action: the strongest is taken, of equals the first.

        One that forwards at once is weaker here than all others: who comes too often for one limit does not thereby
        pass another.

        :param wait: seconds after which the request is worth another try.
        """
        action, reasons = met(action, self.exchange)
        self._reasons += reasons
        if action.exempts:
            self._exempt |= action.exempts
            self.tag(action.tags)
        elif self._action is None or strength(action) > strength(self._action):
            self._action = action
        self.wait = max(self.wait, wait)

    def decision(self) -> Decision:
        """What came of it."""
        headers: Headers = ()
        if self.limits:
            headers = (
                (b"ratelimit-policy", b", ".join(self.limits)),
                (b"ratelimit", b", ".join(self.limits.values())),
            )
        elif self._tags is None and not self._reasons and not self.after:
            return NOTHING
        tags, action = self._tags or _NO_TAGS, self._action
        if action is not None:
            tags |= taken_tags(action)
            if self.wait and isinstance(action, Block):
                action = _with_retry_after(action, self.wait)
        return Decision(tags, self._reasons, action, (), self._exempt, "block", headers, self.after)


_NO_STAGES = _NO_TAGS = frozenset[str]()


def strength(action: Action) -> int:
    """The number by which actions are compared that are proposed for what was counted."""
    return -1 if isinstance(action, Skip) else action.strength


def _with_retry_after(action: Block, seconds: int) -> Block:
    """The action whose answer says when to come again (RFC 9110, section 10.2.3), unless it says so itself."""
    if any(name == b"retry-after" for name, _ in action.headers):
        return action
    return evolve(action, headers=(*action.headers, _retry_after(seconds)))


@lru_cache(4096)
def _retry_after(seconds: int) -> tuple[bytes, Filled]:
    return b"retry-after", escaping.header_value(Template.from_text(str(seconds)), "retry-after")


class Counts(Protocol):
    """What counts: all flows together, a dynamic rule, or a rate limit.

    :ivar exemption: the word of :data:`edgenode.policy.actions.EXEMPTIBLE` by which it is left out.
    :ivar needs: what it looks at besides the head of a request.
    :ivar refuses: whether it can refuse a request.
    :ivar of_messages: whether it looks at messages of WebSockets, which are no requests.
    """

    @property
    def exemption(self) -> str: ...

    @property
    def needs(self) -> frozenset[str]: ...

    @property
    def refuses(self) -> bool: ...

    @property
    def of_messages(self) -> bool: ...

    def selected(self, selection: Selection) -> Counts | None:
        """What of it holds in a pipeline; ``None`` for nothing."""

    def ask(self, asking: Asking) -> object:
        """Append to :attr:`Asking.calls` what is to be counted.

        :returns: something true if it is to be heard, though nothing is counted.
        """

    def hear(self, asking: Asking, answers: Answers, start: int, end: int) -> None:
        """Say what comes of it.

        :param start: the position of the first of its own calls, and of its answers.
        :param end: the position behind the last.
        """


@frozen(eq=False)
class Counting:
    """The stage; without a state nothing is counted.

    :ivar several: what counts; flows first, for the others may depend on them.
    :ivar state: what is remembered.
    :ivar needs: what it looks at besides the head of a request.
    """

    name: ClassVar[str] = "counting"

    several: tuple[Counts, ...]
    state: State | None = None
    needs: frozenset[str] = field(init=False)
    _of_messages: tuple[Counts, ...] = field(init=False)

    @needs.default
    def _of_all(self) -> frozenset[str]:
        return frozenset[str]().union(*(each.needs for each in self.several))

    @_of_messages.default
    def _those_that_look_at_messages(self) -> tuple[Counts, ...]:
        return tuple(each for each in self.several if each.of_messages)

    def needs_to_refuse(self, messages: bool) -> frozenset[str]:
        """What it looks at, if it can refuse for it.

        :param messages: of messages of WebSockets, and not of requests.
        """
        several = self._of_messages if messages else self.several
        return self.needs if any(each.refuses for each in several) else _NO_TAGS

    def selected(self, selection: Selection) -> Counting | None:
        """The stage for a pipeline; ``None`` if nothing is counted there."""
        chosen = tuple(each for each in (each.selected(selection) for each in self.several) if each is not None)
        return Counting(chosen, selection.state) if chosen and selection.state is not None else None

    def decide(self, exchange: Exchange) -> Decision | Deferred[Decision]:
        """Count, and judge what that has come to."""
        state = self.state
        assert state is not None
        several = self._of_messages if MESSAGE in exchange.tags else self.several
        exempt = exchange.exempt
        asking, spans = Asking(exchange, state), []
        calls, start = asking.calls, 0
        for each in several:
            if exempt and each.exemption in exempt:
                asking.because(Reason(each.exemption, "", "left out"))
                continue
            heard = each.ask(asking)
            end = len(calls)
            if heard or end > start:
                spans.append((each, start, end))
                start = end
        try:
            answers = state.count(calls) if calls else []
        except StateAbsent:
            return _ABSENT
        if answers.__class__ is not list and isinstance(answers, Deferred):
            added = state.quarantine.added
            return answers.addCallbacks(lambda answers: _heard(asking, spans, answers, added), _absent)
        return _heard(asking, spans, answers, state.quarantine.added)


def _heard(asking: Asking, spans: Sequence[tuple[Counts, int, int]], answers: Answers, added: int) -> Decision:
    for each, start, end in spans if asking.state.quarantine.added != added else ():
        look_again = getattr(each, "look_again", None)  # of rate limits: what came with the answers may be a ban
        if look_again is not None:
            look_again(asking, start, end)
    for each, start, end in spans:
        each.hear(asking, answers, start, end)
    return asking.decision()


_ABSENT = Decision(
    taken_tags(FAILURE),
    (Reason(Counting.name, "", "failed: the state is away", "", FAILURE.name),),
    _with_retry_after(FAILURE, AGAIN),
)


def _absent(failure: Any) -> Decision:
    failure.trap(StateAbsent)
    return _ABSENT
