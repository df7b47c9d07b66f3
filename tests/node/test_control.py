"""The command for a reload and the node: who is obeyed, how many at a time, and for how long anybody is waited for."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure

from edgenode.node.control import MOST_CALLERS, PATIENCE, REQUEST, Report, ask, listen, process_and_user

ROOT, OURS, STRANGER = 0, 1000, 1001


class FakeReactor(Clock):
    """A clock, on which one factory listens on a Unix socket."""

    name = ""
    factory: Any = None

    def listenUNIX(self, address: str, factory: Any, *arguments: Any) -> Any:
        """Listen."""
        self.name, self.factory = address, factory
        return object()


class FakeTransport(StringTransport):
    """A transport that ends when it is aborted, and when all is written and it is to end.

    :ivar uid: the user at its other end.
    :ivar protocol: what is spoken on it.
    """

    def __init__(self, uid: int) -> None:
        super().__init__()
        self.uid = uid
        self.protocol: Any = None

    def getHandle(self) -> Any:
        """What ``peer_of`` is given."""
        return self

    def abortConnection(self) -> None:
        """End at once."""
        super().abortConnection()
        self.end()

    def end(self) -> None:
        """The connection is over."""
        self.protocol.connected = 0
        self.protocol.connectionLost(Failure(ConnectionDone()))


class Node:
    """A node, whose reloads end when they are told to.

    :ivar reactor: its reactor.
    :ivar reloads: those under way.
    """

    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.reloads: list[Deferred[Report]] = []
        assert listen(self.reactor, self.reload, lambda sock: (4711, sock.uid)) is not None  # type: ignore[attr-defined]

    def reload(self) -> Deferred[Report]:
        """Begin to reload."""
        self.reloads.append(Deferred())
        return self.reloads[-1]

    def call(self, uid: int = OURS) -> FakeTransport:
        """Connect to it as a user."""
        transport = FakeTransport(uid)
        transport.protocol = self.reactor.factory.buildProtocol(None)
        transport.protocol.makeConnection(transport)
        return transport


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    """A node that does not run as root."""
    monkeypatch.setattr("edgenode.node.control.os.geteuid", lambda: OURS)
    return Node()


def aborted(transport: FakeTransport) -> bool:
    """Whether the node has ended a connection without an answer."""
    return bool(transport.disconnected) and not transport.value()


# -- the node ----------------------------------------------------------------------------------------------------------


def test_the_name_of_the_socket_is_that_of_the_process(node: Node) -> None:
    """In the abstract namespace, where no file is left behind."""
    assert node.reactor.name == f"\0edgenode.{os.getpid()}"


@pytest.mark.parametrize("uid", [ROOT, OURS])
def test_root_and_the_node_s_own_user_are_obeyed(node: Node, uid: int) -> None:
    """They get the report once the reload is done, and then the connection ends."""
    transport = node.call(uid)
    transport.protocol.dataReceived(REQUEST)
    assert not transport.value()
    node.reloads[0].callback(Report(True, "all is well"))
    assert transport.value() == b"done\nall is well"
    assert transport.disconnecting


def test_nobody_else_is(node: Node) -> None:
    """Another user's connection is ended before a byte of it is read; nor does it take anybody's place."""
    for _ in range(MOST_CALLERS):
        transport = node.call(STRANGER)
        assert aborted(transport)
        transport.protocol.dataReceived(REQUEST)
    assert node.reloads == []
    assert not aborted(node.call())
    assert len(node.reactor.getDelayedCalls()) == 1


def test_a_node_of_root_obeys_root_alone(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user counts that the node has when it is asked: it gives up root after it has begun to listen."""
    monkeypatch.setattr("edgenode.node.control.os.geteuid", lambda: ROOT)
    assert aborted(node.call(OURS))
    assert not aborted(node.call(ROOT))


def test_there_are_only_so_many_callers_at_a_time(node: Node) -> None:
    """One more is turned away; when one has gone there is room again, and for one only."""
    callers = [node.call() for _ in range(MOST_CALLERS)]
    assert not any(map(aborted, callers))
    for _ in range(3):  # who was turned away was not counted, and is not when it ends
        assert aborted(node.call())
    callers[0].end()
    assert not aborted(node.call())
    assert aborted(node.call())


def test_a_caller_that_says_nothing_is_not_waited_for(node: Node) -> None:
    """After five seconds it is gone, and makes room."""
    callers = [node.call() for _ in range(MOST_CALLERS)]
    node.reactor.advance(PATIENCE - 0.1)
    assert not any(map(aborted, callers))
    node.reactor.advance(0.2)
    assert all(map(aborted, callers))
    assert not aborted(node.call())


def test_half_a_request_is_not_waited_for_either(node: Node) -> None:
    """The time counts from when it connected: dripping gives no more of it."""
    transport = node.call()
    transport.protocol.dataReceived(REQUEST[:1])
    node.reactor.advance(PATIENCE * 0.6)
    transport.protocol.dataReceived(REQUEST[1:2])
    assert not aborted(transport)
    node.reactor.advance(PATIENCE * 0.6)
    assert aborted(transport)


def test_a_request_may_come_in_parts(node: Node) -> None:
    """Byte by byte; it is one reload, and what follows is ignored."""
    transport = node.call()
    for place in range(len(REQUEST)):
        assert node.reloads == []
        transport.protocol.dataReceived(REQUEST[place : place + 1])
    assert len(node.reloads) == 1
    transport.protocol.dataReceived(REQUEST)
    transport.protocol.dataReceived(b"x" * 100)
    assert len(node.reloads) == 1
    assert not aborted(transport)


@pytest.mark.parametrize("request_", [b"restart\n", b"reload", b"reload\nx", b"x", b"reload \n", b"a" * 100_000])
def test_what_is_no_request_ends_the_connection(node: Node, request_: bytes) -> None:
    """At once, whatever may follow; but a beginning of one may still become one."""
    transport = node.call()
    transport.protocol.dataReceived(request_)
    assert aborted(transport) is not REQUEST.startswith(request_)
    assert node.reloads == []


def test_a_reload_may_take_its_time(node: Node) -> None:
    """Who has asked waits for as long as it takes; only for its answer to be taken the node does not wait for ever."""
    transport = node.call()
    transport.protocol.dataReceived(REQUEST)
    node.reactor.advance(200)
    assert not aborted(transport)
    node.reloads[0].callback(Report(False, "no"))
    assert transport.value() == b"failed\nno"
    node.reactor.advance(PATIENCE + 0.1)
    assert transport.disconnected


def test_no_timer_is_left_behind(node: Node) -> None:
    """Neither of who was answered, nor of who has gone."""
    answered, gone = node.call(), node.call()
    answered.protocol.dataReceived(REQUEST)
    node.reloads[0].callback(Report(True, ""))
    answered.end()
    gone.end()
    assert not node.reactor.getDelayedCalls()


def test_two_callers_at_once_get_an_answer_each(node: Node) -> None:
    """Each that of its own reload, in whatever order they end."""
    first, second = node.call(), node.call(ROOT)
    first.protocol.dataReceived(REQUEST)
    second.protocol.dataReceived(REQUEST)
    node.reloads[1].callback(Report(True, "second"))
    assert (first.value(), second.value()) == (b"", b"done\nsecond")
    node.reloads[0].callback(Report(False, "first"))
    assert (first.value(), second.value()) == (b"failed\nfirst", b"done\nsecond")


def test_who_has_gone_meanwhile_gets_nothing(node: Node) -> None:
    """The reload goes on without it."""
    transport = node.call()
    transport.protocol.dataReceived(REQUEST)
    transport.end()
    node.reloads[0].callback(Report(True, "all is well"))
    assert not transport.value()
    assert not node.reactor.getDelayedCalls()


def test_a_reload_that_fails_unforeseen_is_a_failure(node: Node, flush_logged_errors: Any) -> None:
    """The reason is for the log, not for the command."""
    transport = node.call()
    transport.protocol.dataReceived(REQUEST)
    node.reloads[0].errback(Failure(ValueError("secret")))
    assert transport.value() == b"failed\nthe reload failed; the node's log says why"
    assert len(flush_logged_errors(ValueError)) == 1


def test_a_report_need_not_be_utf_8(node: Node) -> None:
    """A file may have any name; the caller gets an answer all the same."""
    transport = node.call()
    transport.protocol.dataReceived(REQUEST)
    node.reloads[0].callback(Report(False, "cannot read \udce9.pem: ä"))
    assert transport.value() == b"failed\ncannot read \\udce9.pem: " + "ä".encode()


def test_a_name_that_is_taken_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node runs all the same, but is not told to reload by the command."""
    said: list[LogEvent] = []
    taken = FakeReactor()

    def refuse(address: str, factory: Any) -> Any:
        raise CannotListenError(None, address, OSError(98, "Address already in use"))

    monkeypatch.setattr(taken, "listenUNIX", refuse)
    globalLogPublisher.addObserver(said.append)  # type: ignore[arg-type]
    try:
        assert listen(taken, lambda: succeed(Report(True, ""))) is None
    finally:
        globalLogPublisher.removeObserver(said.append)  # type: ignore[arg-type]
    assert ["Address already in use" in event["reason"] for event in said] == [True]


# -- the command -------------------------------------------------------------------------------------------------------


async def _served(reload: Callable[[], Deferred[Report]], *arguments: Any) -> Report:
    """What a command hears of a node in this process."""
    port: Any = listen(reactor, reload)
    try:
        report: Report = await deferToThread(ask, os.getpid(), *arguments)
    finally:
        await maybeDeferred(port.stopListening)
    return report


@pytest.mark.parametrize(
    "report", [Report(True, "all is well\nand ü"), Report(False, ""), Report(False, "x" * 300_000)]
)
async def test_the_command_hears_the_report(report: Report) -> None:
    """All of it, over a real socket."""
    assert await _served(lambda: succeed(report)) == report


def test_a_node_that_does_not_run_is_said_to_be_none() -> None:
    """Nobody listens under that name."""
    with pytest.raises(ConnectionRefusedError, match="no node runs there"):
        ask(2**31 - 1)


@pytest.mark.parametrize(
    ("us", "there", "believed"),
    [
        (ROOT, (os.getpid(), STRANGER), True),
        (OURS, (os.getpid(), OURS), True),
        (OURS, (os.getpid(), ROOT), True),
        (OURS, (os.getpid(), STRANGER), False),
        (ROOT, (os.getpid() + 1, ROOT), False),
        (OURS, (os.getpid() + 1, OURS), False),
    ],
)
async def test_the_command_believes_only_the_process_it_asked(
    monkeypatch: pytest.MonkeyPatch, us: int, there: tuple[int, int], believed: bool
) -> None:
    """And unless it is root's own command, only one of root or of the same user. Anybody can take a free name."""
    asked: list[int] = []

    def reload() -> Deferred[Report]:
        asked.append(1)
        return succeed(Report(True, "done"))

    port: Any = listen(reactor, reload)
    monkeypatch.setattr("edgenode.node.control.os.geteuid", lambda: us)
    try:
        heard = deferToThread(ask, os.getpid(), lambda sock: there)
        if believed:
            assert (await heard).done
        else:
            with pytest.raises(PermissionError, match="somebody else answers"):
                await heard
            assert not asked
    finally:
        await maybeDeferred(port.stopListening)


class _Ends(Protocol):
    """Ends the connection with some bytes once it was asked."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def dataReceived(self, data: bytes) -> None:
        """Answer."""
        transport: Any = self.transport
        transport.write(self._answer)
        transport.loseConnection()


@pytest.mark.parametrize("answer", [b"", b"done", b"fine\n", b"failed"])
async def test_an_answer_that_is_none_is_no_success(answer: bytes) -> None:
    """A node that ends in the midst of it has not reloaded."""
    factory: Any = Factory.forProtocol(lambda: _Ends(answer))
    listening: Any = reactor
    port: IListeningPort = listening.listenUNIX(f"\0edgenode.{os.getpid()}", factory)
    try:
        with pytest.raises(ConnectionResetError, match="takes no orders"):
            await deferToThread(ask, os.getpid())
    finally:
        await maybeDeferred(port.stopListening)


def test_the_kernel_says_who_is_at_the_other_end() -> None:
    """Of a socket between us and ourselves: we are."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert process_and_user(ours) == (os.getpid(), os.getuid())
