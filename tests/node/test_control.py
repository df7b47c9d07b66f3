"""The command for a reload and the node: who is obeyed, how many at a time, and for how long anybody is waited for."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
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

from edgenode.node.control import (
    LONGEST_ORDER,
    MOST_CALLERS,
    PATIENCE,
    QUARANTINE,
    REQUEST,
    Report,
    ask,
    listen,
    order,
    process_and_user,
)

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


ORDER = order({"do": "add", "key": "ip", "value": "203.0.113.7"})


class Obedient(Node):
    """A node that takes orders.

    :ivar orders: those that it was given, and by whom.
    """

    def __init__(self) -> None:
        super().__init__()
        self.orders: list[tuple[Mapping[str, str], int]] = []
        peer_of: Any = lambda sock: (4711, sock.uid)  # noqa: E731
        assert listen(self.reactor, self.reload, peer_of, quarantine=self.obey) is not None

    def obey(self, given: Mapping[str, str], uid: int) -> Deferred[Report]:
        """Take an order."""
        self.orders.append((given, uid))
        return succeed(Report(True, "done so"))


@pytest.fixture
def obedient(monkeypatch: pytest.MonkeyPatch) -> Obedient:
    """Likewise one that takes orders."""
    monkeypatch.setattr("edgenode.node.control.os.geteuid", lambda: OURS)
    return Obedient()


@pytest.mark.parametrize("size", [1, 7, len(ORDER), len(ORDER) + 3])
@pytest.mark.parametrize("uid", [ROOT, OURS])
def test_an_order_has_arguments_and_the_kernel_says_whose_it_is(obedient: Obedient, size: int, uid: int) -> None:
    """In whatever parts it comes, it is obeyed once; what follows is ignored."""
    transport = obedient.call(uid)
    sent = ORDER + b"xyz"
    for place in range(0, len(sent), size):
        transport.protocol.dataReceived(sent[place : place + size])
    assert obedient.orders == [({"do": "add", "key": "ip", "value": "203.0.113.7"}, uid)]
    assert transport.value() == b"done\ndone so"


def test_a_stranger_s_order_is_not_read(obedient: Obedient) -> None:
    """As a stranger's reload."""
    transport = obedient.call(STRANGER)
    transport.protocol.dataReceived(ORDER)
    assert aborted(transport)
    assert obedient.orders == []


@pytest.mark.parametrize(
    "line",
    [
        b"quarantine\n",
        b"quarantine \n",
        b"quarantine {\n",
        b"quarantine []\n",
        b'quarantine "list"\n',
        b'quarantine {"do": 1}\n',
        b'quarantine {"do": {"do": "list"}}\n',
        b'quarantine {"do": "\xff"}\n',
        b"quarantine " + b"[" * 5000 + b"\n",
        b"quarantine " + b"9" * 5000 + b"\n",
        b'quarantine {"do": "' + b"x" * LONGEST_ORDER + b'"}\n',
        b"quarantine " + b" " * 1_000_000,
        b'quarantine {"do":\n"list"}\n',
        b"quarantined {}\n",
    ],
)
def test_what_is_no_order_ends_the_connection(obedient: Obedient, line: bytes) -> None:
    """Whatever stands in it, and without waiting for more than is read of one."""
    transport = obedient.call()
    transport.protocol.dataReceived(line)
    assert aborted(transport)
    assert obedient.orders == []


def test_half_an_order_is_waited_for_no_longer_than_a_request(obedient: Obedient) -> None:
    """Nor is more kept of it than an order may have."""
    transport = obedient.call()
    transport.protocol.dataReceived(ORDER[:-1])
    assert not aborted(transport)
    obedient.reactor.advance(PATIENCE + 0.1)
    assert aborted(transport)
    dripping = obedient.call()
    for _ in range(LONGEST_ORDER):
        dripping.protocol.dataReceived(b" " if dripping.protocol._received else b"quarantine {")
        if aborted(dripping):
            break
    assert len(dripping.protocol._received) <= LONGEST_ORDER


def test_an_order_that_fails_unforeseen_is_a_failure(
    obedient: Obedient, monkeypatch: pytest.MonkeyPatch, flush_logged_errors: Any
) -> None:
    """At once or later; the node serves on."""

    def fail(given: Mapping[str, str], uid: int) -> Deferred[Report]:
        raise ValueError("secret")

    obedient.reactor.factory.orders = {QUARANTINE: fail}
    transport = obedient.call()
    transport.protocol.dataReceived(ORDER)
    assert transport.value() == b"failed\nthe quarantine failed; the node's log says why"
    assert len(flush_logged_errors(ValueError)) == 1


def test_an_order_is_not_longer_than_a_node_reads() -> None:
    """The command says so before it asks; whatever a word has in it, the line is one line of ASCII."""
    with pytest.raises(ValueError, match="more than a node is told at once"):
        order({"value": "x" * LONGEST_ORDER})
    odd = order({"value": "a\nb\udcff\u2028ä"})
    assert odd.isascii()
    assert odd.count(b"\n") == 1


def test_a_node_without_a_quarantine_takes_no_orders(node: Node) -> None:
    """As anything else that is no request."""
    transport = node.call()
    transport.protocol.dataReceived(ORDER)
    assert aborted(transport)


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
