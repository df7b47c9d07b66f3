"""A pool of connections that carry several requests: which is lent, who waits for one, and when another is opened."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from edgenode.model.errors import OriginError
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.pool import OriginPool
from tests.proxy.origin.pooled import Borrowing, FakeConnection, FakeOpening, Pooled


class FakeStream:
    """In place of a stream."""

    protocol = "HTTP/2"
    presented = None

    def __init__(self, connection: FakeShared) -> None:
        self.connection = connection

    def end(self) -> None:
        """It is over."""
        self.connection.active -= 1
        self.connection._pool.changed(self.connection)  # type: ignore[arg-type]


class FakeShared(FakeConnection):
    """A connection that carries several requests.

    :ivar most: how many.
    """

    shares: ClassVar[bool] = True

    def __init__(self, pool: OriginPool, server: Balanced, most: int) -> None:
        super().__init__(pool, server)
        self.most = most
        self.active = 0

    @property
    def room(self) -> int:
        """How many more."""
        return 0 if self.ended else self.most - self.active

    def stream(self) -> FakeStream:
        """One of them."""
        self.active += 1
        return FakeStream(self)

    def change(self, most: int) -> None:
        """It carries more, or fewer."""
        self.most = most
        self._pool.changed(self)  # type: ignore[arg-type]


class Shared(Pooled):
    """A pool whose openings are there when the test says so."""

    def __init__(self, servers: int = 1, **settings: Any) -> None:
        super().__init__(servers, protocol="h2", **settings)

    def ask(self, *, fresh: bool = False) -> Borrowing:
        """Borrow."""
        borrowing = Borrowing(pool=self.pool)
        borrowing.place = self.pool.borrow(borrowing, fresh=fresh)
        return borrowing

    def open(self, number: int = -1, most: int = 100) -> FakeShared:
        """An opening succeeds."""
        opening: FakeOpening = self.openings[number]
        connection = FakeShared(self.pool, opening.server, most)
        self.pool.opened(opening, connection)  # type: ignore[arg-type]
        opening.borrower.lent(connection, opening.server, False)  # type: ignore[arg-type]
        return connection


def served(borrowings: list[Borrowing]) -> list[Any]:
    """On which connection each is, with whether it was there for another."""
    return [(each.got[0][0].connection, each.got[0][1]) if each.got else None for each in borrowings]


def test_who_comes_while_one_is_being_opened_waits_for_it() -> None:
    """One is opened for all of them, and they count as those who wait, but for the first."""
    pooled = Shared()
    asked = [pooled.ask() for _ in range(10)]
    assert len(pooled.openings) == 1
    assert [each.place.waits for each in asked] == [False, *[True] * 9]
    connection = pooled.open()
    assert served(asked) == [(connection, False), *[(connection, True)] * 9]
    assert served([pooled.ask()]) == [(connection, True)]
    assert pooled.pool.open == 1


def test_another_is_opened_for_those_whom_it_cannot_carry() -> None:
    """As many as max-streams says wait for one, and no more than the servers' SETTINGS are then lent."""
    pooled = Shared(max_streams=4)
    asked = [pooled.ask() for _ in range(9)]
    assert len(pooled.openings) == 3
    first = pooled.open(0, most=2)
    assert served(asked[:4]) == [(first, False), (first, True), None, None]
    second, third = pooled.open(1, most=4), pooled.open(2, most=4)
    assert served(asked[4:]) == [(second, False), *[(second, True)] * 3, (third, False)]
    fourth = pooled.open(3, most=4)
    assert served(asked[2:4]) == [(third, True), (fourth, False)]


def test_a_connection_that_fails_fails_for_all_who_wait_for_it() -> None:
    """They have asked that server; nobody waits once more for as long."""
    pooled = Shared()
    asked = [pooled.ask() for _ in range(3)]
    pooled.openings[0].fail(OriginError(502, "connect", "for the test"))
    assert [[error.reason for error in each.errors] for each in asked] == [["for the test"]] * 3
    assert len(pooled.openings) == 1
    assert pooled.pool.open == 0


def test_who_gives_up_leaves_the_others_their_connection() -> None:
    """Only the last ends the opening."""
    pooled = Shared()
    asked = [pooled.ask() for _ in range(3)]
    asked[0].place.cancel()
    asked[1].place.cancel()
    assert not pooled.openings[0].cancelled
    assert served([asked[2]]) == [None]
    asked[2].place.cancel()
    assert pooled.openings[0].cancelled
    again = pooled.ask()
    assert served([again]) == [None]
    assert len(pooled.openings) == 2
    connection = pooled.open()
    assert served([*asked, again]) == [None, None, None, (connection, False)]


def test_where_http1_is_spoken_everybody_gets_his_own() -> None:
    """The first gets the connection; the others begin anew, and from then on nobody waits."""
    pooled = Shared()
    asked = [pooled.ask() for _ in range(3)]
    first = pooled.openings[0].succeed()
    assert asked[0].got == [(first, False)]
    assert len(pooled.openings) == 3
    assert pooled.openings[1].succeed() in [connection for each in asked[1:] for connection, _ in each.got]
    pooled.openings[2].succeed()
    pooled.ask()
    pooled.ask()
    assert len(pooled.openings) == 5


def test_a_full_connection_is_lent_again_when_a_stream_ends() -> None:
    """Those who wait in the queue are served by room, not by connections."""
    pooled = Shared(max_connections=1, max_streams=2)
    asked = [pooled.ask() for _ in range(2)]
    connection = pooled.open(most=2)
    waiting = [pooled.ask() for _ in range(2)]
    assert pooled.pool.queued == 2
    asked[0].got[0][0].end()
    pooled.loop.settle()
    assert served(waiting) == [(connection, True), None]
    connection.change(5)
    pooled.loop.settle()
    assert served(waiting) == [(connection, True)] * 2
    assert pooled.pool.open == 1


def test_a_connection_that_takes_no_more_is_not_lent() -> None:
    """After GOAWAY, or SETTINGS: another is opened."""
    pooled = Shared()
    pooled.ask()
    connection = pooled.open()
    connection.change(0)
    pooled.ask()
    assert len(pooled.openings) == 2
    connection.change(3)
    assert served([pooled.ask()]) == [(connection, True)]


def test_a_connection_without_a_stream_is_idle() -> None:
    """It counts for max-idle and idle-timeout, and is lent again."""
    pooled = Shared(max_idle=1, idle_timeout=10)
    one = pooled.ask()
    connection = pooled.open()
    one.got[0][0].end()
    assert connection.deadline == 10
    assert served([pooled.ask()]) == [(connection, True)]
    pooled = Shared(max_idle=0)
    one = pooled.ask()
    connection = pooled.open()
    one.got[0][0].end()
    assert connection.ended == "closed"


def test_after_a_stale_connection_those_in_use_serve() -> None:
    """And what is being opened: an idle one alone is not believed."""
    pooled = Shared()
    one = pooled.ask()
    connection = pooled.open()
    assert served([pooled.ask(fresh=True)]) == [(connection, True)]
    for stream, _ in one.got:
        stream.end()
    connection.end("gone")
    pooled.ask(fresh=True)
    pooled.ask(fresh=True)
    assert len(pooled.openings) == 2


def test_each_server_has_its_share_of_the_requests() -> None:
    """Balancing chooses the server, and then its connection."""
    pooled = Shared(2)
    asked = [pooled.ask() for _ in range(10)]
    assert len(pooled.openings) == 2
    pooled.open(0)
    pooled.open(1)
    servers = [each.got[0][0].connection.server for each in asked]
    assert [servers.count(server) for server in pooled.pool.balancer.servers] == [5, 5]


@pytest.mark.parametrize("what", ["opening", "busy", "idle"])
def test_a_pool_that_is_aborted_leaves_nobody_waiting(what: str) -> None:
    """Who waits for a connection that is being opened is told, like its first borrower."""
    pooled = Shared(max_connections=1)
    asked = [pooled.ask() for _ in range(3)]
    if what != "opening":
        pooled.open(most=2)
        asked = asked[2:]
        if what == "idle":
            asked = []
    pooled.pool.abort("for the test")
    assert [error.reason for each in asked for error in each.errors] == ["for the test"] * len(asked)
    assert pooled.pool.open == 0
    assert pooled.ask().errors[0].reason == "for the test"
