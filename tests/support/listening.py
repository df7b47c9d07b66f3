"""A listener of a configuration on the endpoint ``edgenode:``, for tests, and protocols that remember what happens."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.support.node import PKI, Changes, Client, ini, until

NUMBERS = itertools.count()


@define(eq=False)
class Listening:
    """A listener that accepts connections.

    :ivar port: the port.
    :ivar number: its TCP port.
    """

    port: IListeningPort
    number: int
    _events: Any

    def client(self, name: str | None = "open.test", **options: Any) -> Client:
        """A client of it: blocking, so for a thread; options as :class:`Client`."""
        return Client(self.number, name, **options)

    async def stop(self) -> None:
        """Accept no more."""
        stopped = self.port.stopListening()
        if stopped is not None:
            await stopped

    async def events(self, count: int) -> list[dict[str, Any]]:
        """Its events, once there are so many; there must not be more of them."""
        await until(lambda: self._events.read_text().count("\n") >= count)
        told = [json.loads(line) for line in self._events.read_text().splitlines()]
        assert len(told) == count, told
        return told


@contextlib.asynccontextmanager
async def listening(pki: PKI, factory: Any, changes: Changes | None = None, more: str = "") -> AsyncIterator[Listening]:
    """A listener with the server groups of :func:`tests.support.node.sections`; none of its connections may be left.

    :param more: of the endpoint's string.
    """
    from twisted.internet import reactor

    number = next(NUMBERS)
    file, events = pki.folder / f"endpoint-{number}.ini", pki.folder / f"endpoint-{number}.events"
    changes = changes or {}
    edge = {"events": str(events), "watch-interval": "0", **changes.get("edge", {})}
    file.write_text(ini(1, {**changes, "edge": edge}))
    port: Any = await serverFromString(reactor, f"edgenode:{file}:listener=public{more}").listen(factory)
    listening = Listening(port, port.getHost().port, events)
    try:
        yield listening
    finally:
        await listening.stop()


class Talk(Protocol):
    """Remembers what it is told, and tells whether it was told so from within a call of its own."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.data = b""
        self.why = connectionDone
        self.busy = False
        self.made: Callable[[Talk], object] = lambda talk: None
        self.then: Callable[[Talk], object] = lambda talk: None
        self._over: Deferred[None] = Deferred()

    @contextlib.contextmanager
    def _told(self, word: str) -> Any:
        assert not self.busy, f"{word} within another call"
        self.told.append(word)
        self.busy = True
        try:
            yield
        finally:
            self.busy = False

    def connectionMade(self) -> None:
        with self._told("made"):
            self.made(self)

    def dataReceived(self, data: bytes) -> None:
        with self._told("data"):
            self.data += data
            self.then(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        with self._told("lost"):
            self.why = reason
        self._over.callback(None)

    async def end(self) -> Failure:
        """Why its connection was lost, once it is."""
        if not self._over.called:
            await self._over
        return self.why


@define(eq=False)
class Talks(Factory[Talk]):
    """Builds them, and keeps them.

    :ivar made: called in ``connectionMade``.
    :ivar then: called whenever something was received.
    """

    made: Callable[[Talk], object] = lambda talk: None
    then: Callable[[Talk], object] = lambda talk: None
    kind: type[Talk] = Talk
    talks: list[Talk] = field(factory=list)
    peers: list[Any] = field(factory=list)
    running: list[bool] = field(factory=list)

    def buildProtocol(self, addr: Any) -> Talk:
        talk = self.kind()
        talk.factory, talk.made, talk.then = self, self.made, self.then
        self.talks.append(talk)
        self.peers.append(addr)
        return talk

    def startFactory(self) -> None:
        self.running.append(True)

    def stopFactory(self) -> None:
        self.running.append(False)

    async def built(self, number: int) -> Talk:
        """One of them, once it is there."""
        await until(lambda: len(self.talks) > number)
        return self.talks[number]
