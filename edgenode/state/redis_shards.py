"""The calls of one request to a cluster: those of each key in a command of their own, all in one write.

Law: a call that depends on one of another key is sent once that is answered: they may be on different shards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edgenode.state.interface import Call, Counted
from edgenode.state.redis_commands import Commands
from edgenode.state.redis_connection import Asker
from edgenode.state.sharing import Sharing


class Server(Protocol):
    """What they are sent to: :class:`edgenode.state.redis.RedisState`."""

    commands: Commands
    sharing: Sharing
    heard: bool

    def ask(self, question: bytes, asker: Asker) -> None:
        """Send a question."""


class Whole(Protocol):
    """The request that they are of.

    :ivar always: whether what does not fit is counted too.
    """

    always: bool

    def settle(self, answers: list[Counted | None], faulty: Sequence[int]) -> None:
        """All answers are there."""

    def lost(self) -> None:
        """There are none."""


class Sharded:
    """The calls of one request.

    :param request: is given the answers.
    """

    def __init__(self, state: Server, calls: Sequence[Call], request: Whole) -> None:
        self.state = state
        self.always = request.always
        self._calls = calls
        self._request = request
        self._answers: list[Counted | None] = [None] * len(calls)
        self._faulty: list[int] = []
        self._left = list(range(len(calls)))
        self._waiting = 0
        self._lost = False

    def send(self) -> None:
        """Ask for what is new in quarantine, and send what depends on nothing that is not known."""
        self.state.sharing.poll()
        self._go_on()

    def _go_on(self) -> None:
        groups: dict[str, list[int]] = {}
        left: list[int] = []
        for at in self._left:
            call = self._calls[at]
            sent = groups.get(call.key, [])
            if any(each in self._left and each not in sent for each in (*call.only_if, *call.unless)):
                left.append(at)
            elif self._wanted(call):
                groups.setdefault(call.key, []).append(at)
        self._left = left
        self._waiting = len(groups)
        if not groups and left:
            self._go_on()
        elif not groups:
            self._request.settle(self._answers, self._faulty)
        for positions in groups.values():
            _Group(self, positions, [self._bound(at, positions) for at in positions]).send()

    def _wanted(self, call: Call) -> bool:
        """Whether what is known of other calls lets it count."""
        known = [at for at in (*call.only_if, *call.unless) if at not in self._left]
        only = [at for at in call.only_if if at in known]
        if any(self._done(at) for at in call.unless if at in known):
            return False
        return not call.only_if or len(only) < len(call.only_if) or any(self._done(at) for at in only)

    def _done(self, at: int) -> bool:
        answer = self._answers[at]
        return answer is not None and answer.total >= self._calls[at].counter.most

    def _bound(self, at: int, positions: list[int]) -> Call:
        """A call whose conditions are about its own group alone."""
        call = self._calls[at]
        if any(self._done(each) for each in call.only_if if each not in positions):
            call = call._replace(only_if=())
        return call._replace(
            only_if=tuple(positions.index(each) for each in call.only_if if each in positions),
            unless=tuple(positions.index(each) for each in call.unless if each in positions),
        )

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


class _Group:
    """The calls of one key."""

    def __init__(self, whole: Sharded, positions: list[int], calls: list[Call]) -> None:
        self._whole = whole
        self._positions = positions
        self._calls = calls
        self._again = False

    def send(self) -> None:
        """Send them."""
        state = self._whole.state
        state.ask(state.commands.count(self._calls, whole=self._again, alone=True, always=self._whole.always), self)

    def answered(self, answer: bytes) -> None:
        """Hand on what came of them."""
        state = self._whole.state
        answers, faulty = state.commands.read(answer, self._calls, state.sharing)
        state.heard = True
        self._whole.answered(self._positions, answers, faulty)

    def refused(self, error: str) -> bool:
        """Send the script, if it is not there; once."""
        if self._again or not error.startswith("NOSCRIPT"):
            return False
        self._again = True
        self.send()
        return True

    def lost(self) -> None:
        """There is no answer."""
        self._whole.lost()
