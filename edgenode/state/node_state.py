"""The state of a node: in its memory, and where it is so configured shared with other nodes by a server.

Law: it is the same object for as long as the node runs, whatever a reload changes: so what is remembered is not lost.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from edgenode.state.interface import Answers, Call, Tell
from edgenode.state.memory import MemoryState
from edgenode.state.redis import RedisState
from edgenode.state.settings import Server, StateSection


class NodeState:
    """The state of a node; until :meth:`start` in memory alone.

    :param local: what is in its memory.
    :ivar local: likewise.
    :ivar count: see :class:`edgenode.state.interface.State`.
    :ivar add: likewise.
    :ivar quarantine: what is held and banned.
    """

    count: Callable[[Sequence[Call]], Answers | Deferred[Answers]]
    add: Callable[[Sequence[Call]], None]

    def __init__(self, local: MemoryState | None = None) -> None:
        self.local = local or MemoryState()
        self._remote: RedisState | None = None
        self._running: tuple[Any, Tell] | None = None
        self.quarantine = self.local.quarantine
        self._use(None)

    @property
    def away(self) -> bool:
        """Whether there is a server that cannot be asked."""
        return self._remote is not None and self._remote.away

    @property
    def remote(self) -> RedisState | None:
        """What counts on a server, if it is shared."""
        return self._remote

    def renew(self, section: StateSection, server: Server | None) -> None:
        """Go on with other settings.

        :param server: where it is shared; ``None`` for nowhere.
        """
        self.local.bounds(section.keys, section.memory)
        if server is not None and self._remote is not None and self._remote.server.section == server.section:
            self._remote.server = server  # for the next connection
            return
        self._disconnect()
        self._use(None if server is None else RedisState(server, self.local))
        self._connect()

    def start(self, reactor: Any, folder: pathlib.Path | None, tell: Tell) -> None:
        """Open what lasts longer than the process, and connect."""
        self.local.start(reactor, folder, tell)
        if self._running is None:
            self._running = reactor, tell
            self._connect()

    def stop(self) -> Deferred[None]:
        """Write what is not yet written, and close."""
        self._disconnect()
        self._running = None
        return self.local.stop()

    def _use(self, remote: RedisState | None) -> None:
        self._remote = remote
        counting = self.local if remote is None else remote
        self.count, self.add = counting.count, counting.add

    def _connect(self) -> None:
        if self._remote is not None and self._running is not None:
            self._remote.start(*self._running)

    def _disconnect(self) -> None:
        if self._remote is not None and self._running is not None:
            self._remote.stop()
