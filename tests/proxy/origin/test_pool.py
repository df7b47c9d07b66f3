"""The pool of an origin: what is kept, what is closed, how names become addresses, and how long anything may take."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from edgenode.model.errors import OriginError
from edgenode.model.exchange import Headers
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.lending import quiet
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.streams import NO_CONTENT, OriginStream, ResponseHead
from tests.proxy.origin.pooled import Borrowing, Pooled
from tests.proxy.origin.test_agent import until
from tests.support.node import OK, PKI, Origin, Served
from tests.support.pools import pool_to

pytestmark = pytest.mark.lasting


@define(eq=False)
class Exchange:
    """One GET on a pool: borrower and receiver in one.

    :ivar done: fires with the status, or with the error.
    :ivar connection: the connection it was lent.
    """

    done: Deferred[int] = field(factory=Deferred)
    connection: OriginStream | None = None
    pool: OriginPool | None = None
    alone: bool = False
    client: object = None

    def on(self, pool: OriginPool, **options: Any) -> Deferred[int]:
        """Borrow a connection and send the request."""
        self.pool = pool
        pool.borrow(self, **options)
        return self.done

    def lent(self, stream: OriginStream, server: Balanced, reused: bool) -> None:
        """Send the request."""
        self.connection = stream
        stream.begin(self, b"GET", b"/", b"a", b"", NO_CONTENT, b"", True)

    def not_lent(self, server: Balanced | None, error: OriginError) -> None:
        """There is no connection."""
        self.done.errback(error)

    def turn(self, fresh: bool) -> None:
        """It has waited."""
        assert self.pool is not None
        self.pool.borrow(self, fresh=fresh, turn=True)

    def interim(self, head: ResponseHead) -> None:
        """Nothing."""

    def responded(self, head: ResponseHead, body: bytes, done: bool) -> None:
        """Done, once all of it is there."""
        if done:
            self.done.callback(head.status)

    def response_body(self, body: bytes, done: bool, trailers: Headers) -> None:
        """Likewise."""
        if done:
            self.done.callback(200)

    def origin_drained(self) -> None:
        """Nothing."""

    def failed(self, error: OriginError) -> None:
        """The connection failed."""
        self.done.errback(error)


async def error_of(asked: Deferred[int]) -> OriginError:
    """What a request fails with."""
    with pytest.raises(OriginError) as caught:
        await asked
    return caught.value


# -- what is counted, by itself ----------------------------------------------------------------------------------------


def test_a_connection_that_was_given_back_is_lent_again() -> None:
    """The one used last first; as one that has served before."""
    pooled = Pooled()
    first, second = pooled.take(), pooled.take()
    assert len(pooled.openings) == 2
    for each in (first, second):
        pooled.pool.release(each)  # type: ignore[arg-type]
    assert [pooled.borrow().got for _ in range(2)] == [[(second, True)], [(first, True)]]
    assert len(pooled.openings) == 2


def test_an_idle_connection_that_goes_leaves_its_place() -> None:
    """So that another can be kept; one that was busy had none to leave."""
    pooled = Pooled(max_idle=1)
    for how in ("idle", "busy"):
        first, second = pooled.take(), pooled.take()
        if how == "idle":
            pooled.pool.release(first)  # type: ignore[arg-type]
        first.end("gone")
        pooled.pool.release(second)  # type: ignore[arg-type]
        assert second.ended == ""
        assert pooled.pool.open == 1
        second.end("gone")
    busy = [pooled.take() for _ in range(3)]
    for each in busy:
        pooled.pool.release(each)  # type: ignore[arg-type]
    assert [each.ended for each in busy] == ["", "closed", "closed"]


def test_a_stale_connection_is_not_lent_and_leaves_its_place() -> None:
    """The next idle one is looked at, then a new one is opened."""
    pooled = Pooled(max_idle=2)
    first, second = pooled.take(), pooled.take()
    for each in (first, second):
        pooled.pool.release(each)  # type: ignore[arg-type]
        each.fresh = False
    third = pooled.take()
    assert (first.ended, second.ended, third.ended) == ("stale", "stale", "")
    fourth = pooled.take()
    for each in (third, fourth):
        pooled.pool.release(each)  # type: ignore[arg-type]
    assert (third.ended, fourth.ended, pooled.pool.open) == ("", "", 2)


def test_an_idle_connection_has_its_time_from_when_it_was_given_back() -> None:
    """idle-timeout, counted anew each time; a busy one has none."""
    pooled = Pooled(idle_timeout=10)
    connection = pooled.take()
    pooled.loop.advance(5)
    pooled.pool.release(connection)  # type: ignore[arg-type]
    assert connection.deadline == 15
    pooled.loop.wait(11, 0.5)
    assert connection.ended == "closed"
    assert pooled.pool.open == 0


def test_openings_count_as_connections() -> None:
    """Until they have failed, or nobody wants them."""
    pooled = Pooled(max_connections=2, max_queued=0)
    waiting = [Borrowing() for _ in range(3)]
    openings: list[Any] = [pooled.pool.borrow(each) for each in waiting]
    assert openings == [*pooled.openings, None]
    assert pooled.pool.queued == 0
    assert (waiting[2].errors[0].status, waiting[2].errors[0].kind) == (503, "unavailable")
    pooled.openings[0].cancel()
    pooled.openings[1].fail(OriginError(502, "connect", "for the test"))
    assert pooled.pool.open == 0
    assert pooled.take().ended == ""


def test_an_idle_connection_makes_room_for_a_new_one() -> None:
    """To another server, or where only a new one will do; a busy one does not."""
    pooled = Pooled(2, max_connections=1, max_queued=0)
    first = pooled.take()
    pooled.pool.release(first)  # type: ignore[arg-type]
    second = pooled.take()
    assert (first.ended, second.server is first.server) == ("closed", False)
    assert pooled.borrow().errors[0].status == 503
    pooled.pool.release(second)  # type: ignore[arg-type]
    assert pooled.take(fresh=True) is not second
    assert second.ended == "closed"


def test_a_server_that_was_tried_is_not_asked_again() -> None:
    """Without another there is no connection, and no opening."""
    pooled = Pooled(2)
    servers = pooled.pool.balancer.servers
    borrowing = Borrowing()
    pooled.pool.borrow(borrowing, servers[:1])
    assert pooled.openings[0].server is servers[1]
    pooled.pool.borrow(borrowing, servers)
    assert [error.reason for error in borrowing.errors] == ["no server is left to try"]
    assert len(pooled.openings) == 1


def test_the_host_of_a_request_is_what_the_section_says() -> None:
    """The server's name, the server itself, or what is written."""
    server = Pooled().pool.balancer.servers[0]
    assert Pooled(host="server", server_name="name.test").pool.host(server) == b"name.test"
    assert Pooled(host="server").pool.host(server) == b"s0"
    assert Pooled(host="written.test").pool.host(server) == b"written.test"


# -- what is kept ------------------------------------------------------------------------------------------------------


async def test_max_connections_is_the_most_there_are(pki: PKI) -> None:
    """One more than allowed is refused at once with 503, and none is opened for it."""
    with Origin(pki, Served.stall) as origin, pool_to(pki, origin.port, max_connections=2, max_queued=0) as pool:
        asked = [Exchange().on(pool) for _ in range(2)]
        error = await error_of(Exchange().on(pool))
        assert (error.status, error.kind, error.sent, pool.open) == (503, "unavailable", False, 2)
        pool.abort()
        for each in asked:
            await error_of(each)


async def test_an_unused_connection_makes_room_for_one_to_another_server(pki: PKI) -> None:
    """Connections that lie idle are not in use: one of them is closed before a request is refused."""
    with Origin(pki) as one, Origin(pki) as two, pool_to(pki, one.port, two.port, max_connections=1) as pool:
        for _ in range(4):
            assert await Exchange().on(pool) == 200
            assert pool.open == 1
        assert (len(one.requests), len(two.requests)) == (2, 2)


async def test_no_more_than_max_idle_are_kept(pki: PKI) -> None:
    """Of three connections used at once only as many stay as max-idle says."""
    with Origin(pki) as origin, pool_to(pki, origin.port, max_idle=1) as pool:
        for each in [Exchange().on(pool) for _ in range(3)]:
            assert await each == 200
        assert pool.open == 1


async def test_an_idle_connection_is_closed_after_idle_timeout(pki: PKI) -> None:
    """It leaves with close_notify, and the next request opens another."""
    with Origin(pki) as origin, pool_to(pki, origin.port, idle_timeout=0.1) as pool:
        assert await Exchange().on(pool) == 200
        assert pool.open == 1
        await until(lambda: not pool.open)
        assert await Exchange().on(pool) == 200
        assert len(origin.connections) == 2


async def test_a_connection_that_the_origin_closes_is_not_lent(pki: PKI) -> None:
    """An idle connection is forgotten when its end is seen."""

    def once(served: Served) -> None:
        served.request()
        served.send(OK)

    with Origin(pki, once) as origin, pool_to(pki, origin.port) as pool:
        for _ in range(3):
            assert await Exchange().on(pool) == 200
            await until(lambda: not pool.open)
        assert len(origin.connections) == 3


async def test_a_fresh_connection_can_be_asked_for(pki: PKI) -> None:
    """After a stale connection the next is not another that was lying about."""
    with Origin(pki) as origin, pool_to(pki, origin.port) as pool:
        assert await Exchange().on(pool) == 200
        assert await Exchange().on(pool, fresh=True) == 200
        assert len(origin.connections) == 2


async def test_a_closed_pool_keeps_nothing(pki: PKI) -> None:
    """What is busy when the pool closes is finished, then closed."""
    with Origin(pki) as origin, pool_to(pki, origin.port) as pool:
        asked = Exchange().on(pool)
        pool.close()
        assert await asked == 200
        assert pool.open == 0


async def test_aborting_ends_everything_and_tells_everybody(pki: PKI) -> None:
    """Nothing idle, busy or half open outlives the pool; who waits is told, and who comes later too."""
    with Origin(pki) as origin, pool_to(pki, origin.port) as pool:
        idle, busy = Exchange().on(pool), Exchange().on(pool)
        assert (await idle, await busy) == (200, 200)
        origin.behaviour = Served.stall
        busy = Exchange().on(pool)
        opening = [Exchange().on(pool, fresh=True) for _ in range(2)]
        assert pool.open == 4
        pool.abort()
        assert pool.open == 0
        for each in (busy, *opening, Exchange().on(pool)):
            assert "the node stops" in (await error_of(each)).reason


async def test_a_server_without_tls_is_spoken_to_plainly(pki: PKI) -> None:
    """http:// servers get the request as it is, and their connections are kept too."""
    with Origin(pki, tls=False) as origin, pool_to(pki, origin.port, tls=False) as pool:
        for _ in range(2):
            assert await Exchange().on(pool) == 200
        assert origin.requests == [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"] * 2
        assert len(origin.connections) == 1


async def test_a_tls_server_is_never_spoken_to_plainly(pki: PKI) -> None:
    """A server that answers the ClientHello with anything but TLS gets not a byte of the request."""

    def garbage(served: Served) -> None:
        served.receive()
        served.send(OK)
        served.stall()

    with Origin(pki, garbage, tls=False) as origin, pool_to(pki, origin.port) as pool:
        error = await error_of(Exchange().on(pool))
        assert (error.status, error.kind, error.sent) == (502, "handshake", False)
        assert b"GET" not in origin.received


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_an_end_within_the_handshake_is_an_error(pki: PKI, end: str) -> None:
    """A server that hangs up on the ClientHello is 502, with nothing sent."""

    def hang_up(served: Served) -> None:
        served.receive()
        if end == "reset":
            served.reset()

    with Origin(pki, hang_up, tls=False) as origin, pool_to(pki, origin.port) as pool:
        error = await error_of(Exchange().on(pool))
        assert (error.status, error.kind, error.sent, pool.open) == (502, "handshake", False, 0)


async def test_a_handshake_has_an_end(pki: PKI) -> None:
    """A server that accepts and then says nothing costs connect-timeout, and is 504."""
    with Origin(pki, Served.stall, tls=False) as origin, pool_to(pki, origin.port, connect_timeout=0.2) as pool:
        began = time.monotonic()
        error = await error_of(Exchange().on(pool))
        assert time.monotonic() - began >= 0.2
        assert (error.status, error.kind, error.sent, pool.open) == (504, "timeout", False, 0)


async def test_a_server_name_that_cannot_be_sent_is_an_error(pki: PKI) -> None:
    """SNI is ASCII: any other name fails the request at once, and leaves no connection."""
    with Origin(pki) as origin, pool_to(pki, origin.port, server_name="b\xfccher.test") as pool:
        error = await error_of(Exchange().on(pool))
        assert (error.status, error.kind, error.sent, pool.open) == (502, "handshake", False, 0)
        assert origin.received == b""


# -- names -------------------------------------------------------------------------------------------------------------


@define
class Names:
    """In place of the system's resolver.

    :ivar known: addresses by name.
    :ivar asked: the names that were asked for.
    :ivar answering: an answer waits for it.
    """

    known: dict[str, list[str]] = field(factory=dict)
    asked: list[str] = field(factory=list)
    answering: threading.Event = field(factory=threading.Event)

    def getaddrinfo(self, host: str, *arguments: Any) -> list[Any]:
        """As ``socket.getaddrinfo``."""
        self.asked.append(host)
        assert self.answering.wait(5)
        if host not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in self.known[host]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    """A resolver that answers at once, unless told to wait."""
    names = Names({"origin.test": ["127.0.0.1"]})
    names.answering.set()
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    yield names
    names.answering.set()


async def test_a_name_is_resolved_once_for_all_who_ask(pki: PKI, names: Names) -> None:
    """Requests at once share one question, the next ones its answer."""
    names.answering.clear()
    with Origin(pki) as origin, pool_to(pki, f"origin.test:{origin.port}") as pool:
        asked = [Exchange().on(pool) for _ in range(5)]
        await until(lambda: names.asked)
        names.answering.set()
        for each in asked:
            assert await each == 200
        assert await Exchange().on(pool, fresh=True) == 200
        assert names.asked == ["origin.test"]


async def test_resolving_does_not_hold_up_the_node(pki: PKI, names: Names) -> None:
    """While a name server is silent the reactor turns, and connect-timeout ends the waiting with 504."""
    names.answering.clear()
    with pool_to(pki, "origin.test:1", connect_timeout=0.3) as pool:
        asked, turns = Exchange().on(pool), 0
        while not asked.called:
            turns += 1
            await deferLater(pool.reactor, 0.01)
        error = await error_of(asked)
        assert (error.status, error.kind, error.sent, pool.open) == (504, "timeout", False, 0)
        assert turns > 10
        names.answering.set()
        await until(lambda: not pool.resolver._asking)


async def test_a_name_without_an_address_is_502(pki: PKI, names: Names) -> None:
    """The resolver's reason is in the error, and the next request asks again."""
    with pool_to(pki, "nowhere.test:1") as pool:
        for _ in range(2):
            error = await error_of(Exchange().on(pool))
            assert (error.status, error.kind, error.sent, pool.open) == (502, "connect", False, 0)
            assert "nowhere.test cannot be resolved" in error.reason
            assert "Name or service not known" in error.reason
        assert names.asked == ["nowhere.test"] * 2


async def test_all_addresses_of_a_name_are_tried(pki: PKI, names: Names) -> None:
    """A refused address is followed by the next."""
    with Origin(pki) as origin, pool_to(pki, f"origin.test:{origin.port}") as pool:
        names.known["origin.test"] = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]
        assert await Exchange().on(pool) == 200


async def test_an_address_that_does_not_answer_leaves_time_for_the_next(pki: PKI, names: Names) -> None:
    """A silent address gets its part of connect-timeout and no more."""
    with (
        Origin(pki) as origin,
        _silent("127.0.0.2", origin.port),
        pool_to(pki, f"origin.test:{origin.port}", connect_timeout=1.0) as pool,
    ):
        names.known["origin.test"] = ["127.0.0.2", "127.0.0.1"]
        began = time.monotonic()
        assert await Exchange().on(pool) == 200
        assert time.monotonic() - began >= 0.5


def _silent(host: str, port: int) -> Any:
    """A listener whose queue is full, so that the kernel drops what comes."""
    listening = socket.create_server((host, port), backlog=0)
    filling = [socket.socket() for _ in range(4)]
    for each in filling:
        each.setblocking(False)
        each.connect_ex((host, port))

    class Closing:
        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            for each in (listening, *filling):
                each.close()

    return Closing()


@define
class Kept:
    """As much of a connection as is looked at to choose one."""

    released: int


def test_the_last_used_of_those_that_kept_silent_is_lent() -> None:
    """One that was given back after the last poll may have more to tell: it is lent only if there is no other."""
    idle: list[Any] = [Kept(1), Kept(2), Kept(3), Kept(4)]
    assert [quiet(idle, 3).released for _ in range(4)] == [2, 1, 4, 3]


def test_a_connection_that_has_served_is_no_longer_wary() -> None:
    """An origin that has answered has accepted the handshake: nobody looks before each write any more."""
    pooled = Pooled()
    connection = pooled.take()
    assert connection.transport.wary
    pooled.pool.release(connection)  # type: ignore[arg-type]
    assert not connection.transport.wary
