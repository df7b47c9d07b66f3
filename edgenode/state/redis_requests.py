"""What a request asks a server of Redis: all its calls in one command; of one in cluster mode, those of each key in a
command of their own, all in one write.

Law: who waits for a request is answered once, by the server or by the policy ``absent``. In a cluster a call that
depends on one of another key is sent once that is answered: they may be on different shards.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from edgenode.state.interface import Answers, Call, Counted, InTime, StateAbsent
from edgenode.state.memory import complete
from edgenode.state.redis_commands import Commands
from edgenode.state.redis_connection import Asker
from edgenode.state.sharing import Sharing


class Server(Protocol):
    """What is asked: :class:`edgenode.state.redis.RedisState`.

    :ivar sharded: whether it is one of a cluster.
    :ivar heard: whether it has answered since this was set to false.
    """

    commands: Commands
    sharing: Sharing
    sharded: bool
    heard: bool

    def ask(self, question: bytes, asker: Asker) -> bool:
        """Send a question, if there is a connection; and say whether."""

    def absent(self, calls: Sequence[Call]) -> Answers:
        """What becomes of calls that the server does not count."""

    def add_here(self, calls: Sequence[Call]) -> None:
        """The same of what nobody waits for."""

    def fill(self, calls: Sequence[Call], answers: list[Counted | None], faulty: Sequence[int]) -> None:
        """Put in place the answers to calls whose keys are somebody else's."""


class _Question(ABC):
    """Calls that are sent as one command.

    :ivar always: whether nobody waits: what has come already is counted.
    """

    __slots__ = ("_again", "_calls", "_state", "always")

    alone = False
    """Whether it does not ask for what is new in quarantine."""

    def __init__(self, state: Server, calls: Sequence[Call], always: bool) -> None:
        self._state = state
        self._calls = calls
        self._again = False
        self.always = always

    def answered(self, answer: bytes) -> None:
        """Take what the server has counted."""
        state = self._state
        answers, faulty = state.commands.read(answer, self._calls, state.sharing.heard)
        state.heard = True
        self.settle(answers, faulty)

    def refused(self, error: str) -> bool:
        """Send the script, if it is not there; once."""
        if self._again or not error.startswith("NOSCRIPT"):
            return False
        self._again = True
        return self.send(whole=True)

    def send(self, whole: bool = False) -> bool:
        """Ask; says whether there is a connection."""
        state = self._state
        question = state.commands.count(self._calls, whole=whole, alone=self.alone, always=self.always)
        return state.ask(question, self)

    @abstractmethod
    def settle(self, answers: list[Counted | None], faulty: Sequence[int]) -> None:
        """All answers are there."""

    @abstractmethod
    def lost(self) -> None:
        """There are none."""


class Request(_Question):
    """What one request is counted for.

    :ivar deferred: for who waits; there is none if nobody does.
    """

    __slots__ = ("deferred",)

    deferred: InTime

    def settle(self, answers: list[Counted | None], faulty: Sequence[int]) -> None:
        """Hand them on."""
        if self.always:
            return
        if faulty:
            try:
                self._state.fill(self._calls, answers, faulty)
            except StateAbsent as absent:
                self.deferred.errback(absent)
                return
        self.deferred.callback(answers)

    def refused(self, error: str) -> bool:
        """Ask apart, if the server is one of a cluster."""
        if self._again or not error.startswith("CROSSSLOT"):
            return super().refused(error)
        self._again = self._state.sharded = True
        self.send_apart()
        return True

    def send_apart(self) -> None:
        """Ask one of a cluster."""
        _Sharded(self._state, self._calls, self).send()

    def lost(self) -> None:
        """The policy decides."""
        if self.always:
            self._state.add_here(self._calls)
            return
        try:
            answers = self._state.absent(self._calls)
        except StateAbsent as absent:
            self.deferred.errback(absent)
        else:
            self.deferred.callback(answers)


class _Sharded:
    """The calls of one request to a cluster.

    :param request: is given the answers.
    """

    def __init__(self, state: Server, calls: Sequence[Call], request: Request) -> None:
        self._state = state
        self._calls = calls
        self._request = request
        self._answers: list[Counted | None] = [None] * len(calls)
        self._faulty: list[int] = []
        self._left = list(range(len(calls)))
        self._waiting = 0
        self._lost = False

    def send(self) -> None:
        """Ask for what is new in quarantine, and send what depends on nothing that is not known."""
        self._state.sharing.poll()
        self._go_on()

    def _go_on(self) -> None:
        groups: dict[str, dict[int, Call]] = {}
        left: list[int] = []
        for at in self._left:
            call = self._calls[at]
            group = groups.get(call.key, {})
            if any(each in self._left and each not in group for each in (*call.only_if, *call.unless)):
                left.append(at)
            elif (bound := self._bound(call, [*group])) is not None:
                groups.setdefault(call.key, {})[at] = bound
        self._left = left
        self._waiting = len(groups)
        if not groups and left:
            self._go_on()
        elif not groups:
            self._request.settle(self._answers, self._faulty)
        for group in groups.values():
            sent = _Group(self._state, [*group.values()], self._request.always, self, [*group])
            if not sent.send():
                sent.lost()

    def _bound(self, call: Call, group: list[int]) -> Call | None:
        """A call whose conditions are about its own group alone; ``None`` if what is known lets it not count."""
        done = partial(complete, self._calls, self._answers)
        only = tuple(group.index(each) for each in call.only_if if each in group)
        if any(map(done, call.only_if)):
            only = ()
        elif call.only_if and not only:
            return None
        if any(map(done, call.unless)):
            return None
        return call._replace(only_if=only, unless=tuple(group.index(each) for each in call.unless if each in group))

    def answered(self, positions: list[int], answers: list[Counted | None], faulty: Sequence[int]) -> None:
        """A group is answered."""
        for at, answer in zip(positions, answers, strict=True):
            self._answers[at] = answer
        self._faulty += [positions[each] for each in faulty]
        self._waiting -= 1
        if not self._waiting and not self._lost:
            self._go_on()

    def lost(self) -> None:
        """One will not be: then none counts."""
        if not self._lost:
            self._lost = True
            self._request.lost()


class _Group(_Question):
    """The calls of one key."""

    __slots__ = ("_positions", "_whole")

    alone = True

    def __init__(
        self, state: Server, calls: Sequence[Call], always: bool, whole: _Sharded, positions: list[int]
    ) -> None:
        super().__init__(state, calls, always)
        self._whole = whole
        self._positions = positions

    def settle(self, answers: list[Counted | None], faulty: Sequence[int]) -> None:
        """Hand them on."""
        self._whole.answered(self._positions, answers, faulty)

    def lost(self) -> None:
        """Without them there is no answer to the request."""
        self._whole.lost()
