"""Transports on real sockets: each byte once and in order, nothing while paused, nothing after the end."""

from __future__ import annotations

import contextlib
import functools
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from attrs import Factory, define
from OpenSSL import SSL
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from edgenode.net.plain import Plain
from edgenode.net.poller import Poller
from edgenode.net.transport import Transport
from tests.support.certificates import SERVER, Issued, make_authority
from tests.support.handshakes import client, server


@define(eq=False)
class Told:
    """A receiver that keeps what it is told.

    :ivar data: what was received.
    :ivar calls: the names of the calls in their order.
    :ivar ends: what ``lost`` was told.
    :ivar then: called for everything received.
    """

    data: bytearray = Factory(bytearray)
    calls: list[str] = Factory(list)
    ends: list[tuple[str, bool]] = Factory(list)
    then: Callable[[bytes], object] = lambda data: None
    at_end: Callable[[], object] = lambda: None

    def handshaken(self) -> None:
        self.calls.append("handshaken")

    def received(self, data: bytes) -> None:
        self.calls.append("received")
        self.data += data
        self.then(data)

    def drained(self) -> None:
        self.calls.append("drained")

    def ended(self) -> None:
        self.calls.append("ended")
        self.at_end()

    def lost(self, reason: str, clean: bool) -> None:
        self.calls.append("lost")
        self.ends.append((reason, clean))


async def until(condition: Callable[[], object]) -> None:
    """Turn the reactor until something holds; the test's deadline is the limit."""
    from twisted.internet import reactor  # only now: pytest-twisted installs it

    while not condition():
        await deferLater(reactor, 0.001)


class Pair:
    """Two transports that talk to each other: ``left`` is the client, ``right`` the server."""

    def __init__(self, reactor: Poller, issued: Issued | None) -> None:
        ends = socket.socketpair()
        for end in ends:
            end.setblocking(False)
        self.told = Told(), Told()
        connections: list[Any] = [Plain(end) for end in ends]
        if issued is not None:
            connections = [SSL.Connection(client(), ends[0]), SSL.Connection(server(issued), ends[1])]
            connections[0].set_connect_state()
            connections[1].set_accept_state()
        self.left, self.right = (
            Transport(reactor, end, connection, told)
            for end, connection, told in zip(ends, connections, self.told, strict=True)
        )
        self.told[0].at_end, self.told[1].at_end = self.left.close, self.right.close
        self.left.start()
        self.right.start()


@pytest.fixture(scope="module")
def issued() -> Issued:
    """A server's certificate."""
    return make_authority().issue("server", eku=[SERVER])


@contextlib.asynccontextmanager
async def talking(issued: Issued | None) -> AsyncIterator[Pair]:
    """A pair whose handshake is done; aborted at the end."""
    from twisted.internet import reactor

    pair = Pair(Poller(reactor), issued)
    try:
        await until(lambda: pair.left.established and pair.right.established)
        yield pair
    finally:
        pair.left.abort()
        pair.right.abort()


@pytest.fixture(params=["plain", "TLS"])
def kind(request: pytest.FixtureRequest, issued: Issued) -> Issued | None:
    """Without TLS, and with it."""
    return issued if request.param == "TLS" else None


async def test_bytes_arrive_once_and_in_order(kind: Issued | None) -> None:
    """More than the socket takes is queued, sent as it can be, and arrives whole; then the writer is told."""
    data = bytes(range(256)) * 20_000
    async with talking(kind) as pair:
        for at in range(0, len(data), 100_000):
            pair.left.write(data[at : at + 100_000])
        assert pair.left.queued
        assert "drained" not in pair.told[0].calls
        await until(lambda: len(pair.told[1].data) >= len(data))
        await until(lambda: "drained" in pair.told[0].calls)
        assert bytes(pair.told[1].data) == data
        assert (pair.left.queued, pair.left.sent) == (0, len(data))


async def test_nothing_is_delivered_while_paused(kind: Issued | None) -> None:
    """A paused receiver gets nothing, not even what was read already; after ``resume`` it gets everything."""
    data = bytes(1_000_000)
    async with talking(kind) as pair:
        pair.told[1].then = lambda _: pair.right.pause()
        pair.left.write(data)
        await until(lambda: pair.told[1].data)
        before = len(pair.told[1].data)
        from twisted.internet import reactor

        await deferLater(reactor, 0.05)
        assert len(pair.told[1].data) == before
        while len(pair.told[1].data) < len(data):
            before = len(pair.told[1].data)
            pair.right.resume()
            await until(functools.partial(_more, pair.told[1], before))


def _more(told: Told, than: int) -> bool:
    return len(told.data) > than


async def test_close_sends_what_is_queued_first(kind: Issued | None) -> None:
    """A closed transport sends its queue, then ends as its protocol ends, and takes nothing more."""
    data = bytes(3_000_000)
    async with talking(kind) as pair:
        pair.left.write(data)
        pair.left.close()
        pair.left.write(b"more")
        pair.left.close()
        await until(lambda: pair.told[1].ends)
        assert bytes(pair.told[1].data) == data
        assert pair.told[1].ends == [("", True)]
        assert pair.told[0].ends == [("", True)]


async def test_abort_is_no_proper_end_in_tls(issued: Issued) -> None:
    """An aborted connection ends without close_notify, and the other side can tell; nothing follows the end."""
    async with talking(issued) as pair:
        pair.left.write(bytes(3_000_000))
        pair.left.abort("enough")
        pair.left.write(b"more")
        pair.left.abort("again")
        await until(lambda: pair.told[1].ends)
        assert pair.told[0].ends == [("enough", False)]
        ((reason, clean),) = pair.told[1].ends
        assert not clean
        assert reason
        assert pair.told[1].calls[-1] == "lost"
        assert (pair.left.queued, pair.left.lost) == (0, True)


async def test_half_close_goes_on_reading() -> None:
    """After ``half_close`` the other side sees the end, and what it still sends is read."""
    async with talking(None) as pair:
        pair.right.pause()
        pair.left.half_close()
        assert pair.right.sock.recv(1) == b""
        pair.right.sock.send(b"late")
        await until(lambda: pair.told[0].data == b"late")
        assert not pair.left.lost


async def test_a_writer_hears_of_a_broken_connection_later(kind: Issued | None) -> None:
    """A write to a connection that is gone does not call back into its writer while it is writing."""
    async with talking(kind) as pair:
        pair.left.pause()
        pair.right.abort()
        pair.left.write(b"a")
        pair.left.write(b"b")
        assert pair.told[0].ends == []
        await until(lambda: pair.told[0].ends)
        assert not pair.told[0].ends[0][1]


async def test_a_receiver_that_fails_loses_its_connection(
    kind: Issued | None, flush_logged_errors: Callable[..., list[Failure]]
) -> None:
    """An exception in a receiver is logged and ends its connection, and no other one."""

    def fail(data: bytes) -> None:
        raise ZeroDivisionError

    async with talking(kind) as pair, talking(kind) as other:
        pair.told[1].then = fail
        pair.left.write(b"a")
        await until(lambda: pair.told[1].ends)
        assert len(flush_logged_errors(ZeroDivisionError)) == 1
        other.left.write(b"b")
        await until(lambda: other.told[1].data == b"b")


async def test_a_failed_handshake_says_why(issued: Issued) -> None:
    """A handshake that fails is reported with OpenSSL's reason, and nothing was received."""
    from twisted.internet import reactor

    pair = Pair(Poller(reactor), issued)
    pair.right.connection = Plain(pair.right.sock)
    pair.right.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await until(lambda: pair.told[0].ends)
    pair.right.abort()
    ((reason, clean),) = pair.told[0].ends
    assert "record" in reason
    assert not clean
    assert "received" not in pair.told[0].calls


async def test_the_poller_gives_everyone_a_turn() -> None:
    """A connection that always has something to say does not keep another from being heard."""
    async with talking(None) as busy, talking(None) as quiet:
        busy.told[1].then = lambda _: busy.left.write(b"a" * 1000)
        busy.left.write(b"a" * 1000)
        await until(lambda: len(busy.told[1].data) > 10_000)
        quiet.left.write(b"b")
        await until(lambda: quiet.told[1].data == b"b")
        busy.told[1].then = lambda _: None


class Costly:
    """A descriptor that takes a while to be read, and is then silent."""

    def __init__(self) -> None:
        self.left, self.right = socket.socketpair()
        self.right.send(b"a")
        self.reads = 0

    def fileno(self) -> int:
        return self.left.fileno()

    def doRead(self) -> None:
        time.sleep(0.003)
        self.reads += 1
        self.left.recv(1)


def test_the_poller_returns_in_time() -> None:
    """However many descriptors are ready, the reactor gets its turn, and each of them is served in one of them."""
    from twisted.internet import reactor

    poller = Poller(reactor)
    costly = [Costly() for _ in range(100)]
    for each in costly:
        poller.addReader(each)
    turns = 0
    while not all(each.reads for each in costly):
        before = sum(each.reads for each in costly)
        poller.doRead()
        assert sum(each.reads for each in costly) - before < 10
        turns += 1
    assert turns > 10
    assert {each.reads for each in costly} == {1}
    for each in costly:
        poller.removeReader(each)
        each.left.close()
        each.right.close()


class Failing:
    """A descriptor whose reading fails."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.lost: list[Failure] = []

    def fileno(self) -> int:
        return self.sock.fileno()

    def doRead(self) -> None:
        raise ZeroDivisionError

    def connectionLost(self, reason: Failure) -> None:
        self.lost.append(reason)


async def test_the_poller_drops_a_descriptor_that_fails(flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """A descriptor that raises is dropped, told so, and logged once; the reactor is left as it was found."""
    from twisted.internet import reactor

    left, right = socket.socketpair()
    with left, right:
        failing, poller = Failing(left), Poller(reactor)
        poller.addReader(failing)
        right.send(b"a")
        await until(lambda: failing.lost)
        assert failing.lost[0].check(ZeroDivisionError)
        assert len(flush_logged_errors(ZeroDivisionError)) == 1
