"""The state of a configuration while somebody uses it: started with the first of its users, stopped with the last.

Law: a reload that keeps the state does not notice; what one configuration no longer has is stopped once the next one's
has started. Everything that happens to it is an event of every user, and what fails is in the log as well.
"""

from __future__ import annotations

import pathlib
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger

from edgenode.config.load import Configuration
from edgenode.state.interface import HAPPENINGS, Happened, State, Tell
from edgenode.state.node_state import NodeState

_log = Logger()


@define(eq=False)
class _Shared:
    """A state that was started, and who has done so: ports of one endpoint have the same."""

    state: State
    users: list[StateUse] = field(factory=list)
    running: bool = False

    def tell(self, happened: Happened) -> None:
        kind = HAPPENINGS[happened.action]
        if kind == "error":
            _log.error("{action}: {said}", action=happened.action, said=happened.why)
        elif kind == "change":
            _log.info("{action}: {said}", action=happened.action, said=happened.why)
        for each in dict.fromkeys(self.users):
            try:
                each.tell(happened)
            except Exception:
                _log.failure("an event of the state could not be told")


_in_use: dict[int, _Shared] = {}


class StateUse:
    """One user of a state: a node, or a port.

    :param reactor: its timers and threads.
    :param tell: takes what happens.
    :ivar tell: takes what happens.
    """

    def __init__(self, reactor: Any, tell: Tell) -> None:
        self._reactor = reactor
        self.tell = tell
        self._shared: _Shared | None = None
        self._folder: pathlib.Path | None = None

    def start(self, configuration: Configuration) -> None:
        """Use the state of a configuration from now on; the one before is let go once that has started."""
        before, state, folder = self._shared, configuration.state, configuration.edge.state
        if isinstance(state, NodeState):
            state.renew(configuration.state_settings, configuration.state_server)
        if before is not None and before.state is state:
            if folder != self._folder:
                self._start(before, folder)
            return
        self._shared = shared = _in_use.setdefault(id(state), _Shared(state))
        shared.users.append(self)
        if not shared.running:
            self._start(shared, folder)
        self._folder = folder
        if before is not None:
            self._leave(before)

    def stop(self) -> Deferred[Any]:
        """Use it no longer; the Deferred fires once nothing of it is left to be done, and does not fail."""
        shared, self._shared = self._shared, None
        return succeed(None) if shared is None else self._leave(shared)

    def _start(self, shared: _Shared, folder: pathlib.Path | None) -> None:
        self._folder, shared.running = folder, True
        try:
            shared.state.start(self._reactor, folder, shared.tell)
        except Exception:
            _log.failure("the state could not be started")

    def _leave(self, shared: _Shared) -> Deferred[Any]:
        if len(shared.users) > 1:
            shared.users.remove(self)
            return succeed(None)
        shared.running = False
        ended = maybeDeferred(shared.state.stop)
        ended.addErrback(lambda failure: _log.failure("the state could not be stopped", failure))
        return ended.addCallback(lambda _: self._left(shared))

    def _left(self, shared: _Shared) -> None:
        """It has ended, unless somebody has begun to use it meanwhile; until now its last user has heard of it."""
        shared.users.remove(self)
        if not shared.users:
            _in_use.pop(id(shared.state), None)
