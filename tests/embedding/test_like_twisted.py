"""The same protocols on ``edgenode:`` and on Twisted's ``ssl:``: they, and their clients, must see the same.

Law: a scenario is a protocol and what its client does. What both see is written down and compared; where the two
endpoints are meant to differ, :data:`DIFFERENT` has what is seen on ``edgenode:``, and why.
"""

# ruff: noqa: D101, D103 -- what a scenario is, its name says

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest
from twisted.internet import interfaces
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import Certificate
from twisted.protocols.basic import FileSender, LineReceiver
from twisted.protocols.policies import TimeoutFactory, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer

from tests.support.node import PATIENCE, PKI, Client, in_thread, ini, until

MUCH = 3_000_000
"""Bytes that no socket takes at once, while nobody reads."""

HELD = threading.Event()
"""Set once a producer was paused, or has ended."""

Seen = dict[str, Any]


class Scenario(Protocol):
    """A protocol that writes down what it is told; a subclass says what it does, and what its client does.

    :cvar options: of the client: see :class:`Client`.
    :ivar seen: what it has seen, by whatever name.
    """

    options: ClassVar[Mapping[str, Any]] = {}
    logs: ClassVar[int] = 0
    """How many failures are logged."""

    transport: Any

    def __init__(self) -> None:
        self.seen: Seen = {"told": [], "data": b""}
        self.over = False

    def tell(self, word: str) -> None:
        if self.seen["told"][-1:] != [word]:
            self.seen["told"].append(word)

    def tried(self, name: str, call: Callable[..., object], *arguments: object) -> None:
        """Call, and write down what it returns or raises."""
        try:
            self.seen[name] = call(*arguments)
        except Exception as error:
            self.seen[name] = type(error)

    def connectionMade(self) -> None:
        self.tell("made")
        self.begin()

    def dataReceived(self, data: bytes) -> None:
        self.tell("data")
        self.seen["data"] += data
        self.more()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.tell("lost")
        self.seen["reason"] = reason.type
        self.over = True
        self.after()

    def begin(self) -> None:
        """What it does first."""

    def more(self) -> None:
        """What it does whenever something was received."""

    def after(self) -> None:
        """What it does when all is over."""

    @staticmethod
    def client(client: Client) -> Any:
        """What the client does; returns what it sees."""
        client.send(b"hello")
        return client.rest(), client.ended

    @staticmethod
    def wrapped(factory: Factory[Any]) -> Any:
        """The factory as it listens."""
        return factory


SCENARIOS: list[type[Scenario]] = []
"""All of them, in the order of this file."""


def scenario(cls: type[Scenario]) -> type[Scenario]:
    SCENARIOS.append(cls)
    return cls


def polite(client: Client) -> tuple[bytes, str]:
    """Reads until the end, and answers close_notify."""
    client.send(b"hello")
    rest = client.rest()
    client.tls.shutdown()
    return rest, client.ended


# -- writing ---------------------------------------------------------------------------------------------------------


@scenario
class Echoes(Scenario):
    def more(self) -> None:
        self.transport.write(self.seen["data"])
        self.transport.loseConnection()

    client = staticmethod(polite)


@scenario
class Greets(Scenario):
    """Before it has heard anything; and the greeting needs no bytes of the client."""

    def begin(self) -> None:
        self.transport.write(b"welcome")
        self.transport.loseConnection()

    @staticmethod
    def client(client: Client) -> Any:
        got = client.rest()
        client.tls.shutdown()
        return got, client.ended


@scenario
class WritesOfEveryKind(Scenario):
    def more(self) -> None:
        write = self.transport.write
        changed = bytearray(b"array ")
        self.tried("bytes", write, b"bytes ")
        self.tried("bytearray", write, changed)
        changed[:] = b"ARRAY "
        self.tried("nothing", write, b"")
        self.tried("empty", write, bytearray())
        self.tried("text", write, "text")
        self.tried("none", write, None)
        self.tried("number", write, 5)
        self.tried("sequence", self.transport.writeSequence, [b"a", bytearray(b"b"), memoryview(b"c")])
        self.tried("iterator", self.transport.writeSequence, iter((b"d", b"e")))
        self.tried("no sequence", self.transport.writeSequence, [])
        self.tried("sequence of text", self.transport.writeSequence, ["text"])
        self.transport.loseConnection()

    client = staticmethod(polite)


@scenario
class WritesMuch(Scenario):
    def more(self) -> None:
        self.transport.write(bytes(MUCH))
        self.transport.write(b"end")
        self.transport.loseConnection()
        self.transport.write(b"dropped")
        self.transport.writeSequence([b"dropped"])

    @staticmethod
    def client(client: Client) -> Any:
        client.send(b"hello")
        got = client.rest()
        client.tls.shutdown()
        return len(got), got[-3:], client.ended


@scenario
class WritesWhenAllIsOver(Scenario):
    def more(self) -> None:
        self.transport.loseConnection()

    def after(self) -> None:
        self.tried("write", self.transport.write, b"late")
        self.tried("sequence", self.transport.writeSequence, [b"late"])
        self.tried("lose", self.transport.loseConnection)
        self.tried("unregister", self.transport.unregisterProducer)

    client = staticmethod(polite)


# -- producers -------------------------------------------------------------------------------------------------------


class Push:
    """Declares nothing, as many do."""

    def __init__(self, scenario: Scenario, size: int = 1024, count: int = MUCH // 1024) -> None:
        self.scenario = scenario
        self.size = size
        self.left = count
        self.paused = False

    def produce(self) -> None:
        while self.left and not self.paused:
            self.left -= 1
            self.scenario.transport.write(b"x" * self.size)
        if not self.left:
            self.finish()

    def finish(self) -> None:
        HELD.set()
        self.scenario.transport.unregisterProducer()
        self.scenario.transport.loseConnection()

    def pauseProducing(self) -> None:
        assert not self.paused
        self.paused = True
        self.scenario.seen["paused"] = True
        HELD.set()

    def resumeProducing(self) -> None:
        assert self.paused
        self.paused = False
        self.produce()

    def stopProducing(self) -> None:
        self.scenario.tell("stop")


class Pull:
    """Likewise."""

    def __init__(self, scenario: Scenario, size: int = 1024, count: int = 300) -> None:
        self.scenario = scenario
        self.size = size
        self.left = count

    def resumeProducing(self) -> None:
        self.scenario.tell("pulled")
        self.left -= 1
        self.scenario.transport.write(b"x" * self.size)
        if not self.left:
            self.scenario.transport.unregisterProducer()
            self.scenario.transport.loseConnection()

    def stopProducing(self) -> None:
        self.scenario.tell("stop")


@implementer(interfaces.IPushProducer)
class DeclaredPush(Push):
    pass


@implementer(interfaces.IPullProducer)
class DeclaredPull(Pull):
    pass


def counting(client: Client) -> tuple[int, str]:
    client.send(b"hello")
    size = len(client.rest())
    client.tls.shutdown()
    return size, client.ended


def counting_late(client: Client) -> tuple[int, str]:
    """It reads nothing before the producer was paused: else it might keep up with it."""
    HELD.clear()
    client.send(b"hello")
    HELD.wait(PATIENCE)
    size = len(client.rest())
    client.tls.shutdown()
    return size, client.ended


class Produces(Scenario):
    """:cvar kind: of its producer."""

    kind: ClassVar[Any]
    streaming: ClassVar[bool]
    producer: Any

    def more(self) -> None:
        self.producer = self.kind(self)
        self.transport.registerProducer(self.producer, self.streaming)
        self.tell("registered")
        if self.streaming:
            self.producer.produce()

    client = staticmethod(counting)


@scenario
class PushUndeclared(Produces):
    kind, streaming = Push, True
    client = staticmethod(counting_late)


@scenario
class PushDeclared(Produces):
    kind, streaming = DeclaredPush, True
    client = staticmethod(counting_late)


@scenario
class PullUndeclared(Produces):
    kind, streaming = Pull, False


@scenario
class PullDeclared(Produces):
    kind, streaming = DeclaredPull, False


@scenario
class PullLarge(Produces):
    streaming = False

    @staticmethod
    def kind(scenario: Scenario) -> Pull:
        return Pull(scenario, 500_000, 6)


@scenario
class SendsAFile(Scenario):
    """With Twisted's own producer, which declares less than it is."""

    def more(self) -> None:
        sent = FileSender().beginFileTransfer(io.BytesIO(b"f" * MUCH), self.transport)
        sent.addCallback(self.sent)

    def sent(self, last: bytes) -> None:
        self.seen["last"] = last
        self.transport.loseConnection()

    client = staticmethod(counting)


@scenario
class RegistersTwice(Scenario):
    def more(self) -> None:
        transport = self.transport
        self.tried("none", transport.unregisterProducer)
        self.tried("first", transport.registerProducer, Push(self), True)
        self.tried("second", transport.registerProducer, Push(self), True)
        self.tried("pull", transport.registerProducer, Pull(self), False)
        self.tried("unregistered", transport.unregisterProducer)
        self.tried("twice", transport.unregisterProducer)
        self.tried("again", transport.registerProducer, Push(self), True)
        transport.unregisterProducer()
        transport.loseConnection()

    client = staticmethod(polite)


@scenario
class ClosesBeforeItsProducer(Scenario):
    """The connection ends when the producer is done; until then it writes, and whoever else too."""

    def more(self) -> None:
        self.producer = Push(self)
        self.transport.registerProducer(self.producer, True)
        self.transport.loseConnection()
        self.seen["disconnecting"] = bool(self.transport.disconnecting)
        self.transport.write(b"still")
        self.producer.produce()

    client = staticmethod(counting)


@scenario
class ClosesBeforeItsPull(Scenario):
    def more(self) -> None:
        self.transport.registerProducer(Pull(self), False)
        self.transport.loseConnection()

    client = staticmethod(counting)


@scenario
class AbortsWithAProducer(Scenario):
    def more(self) -> None:
        self.transport.registerProducer(Push(self), True)
        self.transport.abortConnection()
        self.tell("aborted")

    @staticmethod
    def client(client: Client) -> Any:
        client.send(b"hello")
        return client.rest()


class LosesItsClient(Scenario):
    def begin(self) -> None:
        self.tell("begun")

    @staticmethod
    def client(client: Client) -> Any:
        client.send(b"hello")
        client.receive()
        client.reset()


@scenario
class PushLosesItsClient(LosesItsClient):
    def more(self) -> None:
        self.producer = Push(self, count=1_000_000)
        self.transport.registerProducer(self.producer, True)
        self.producer.produce()


@scenario
class PullLosesItsClient(LosesItsClient):
    def more(self) -> None:
        self.transport.registerProducer(Pull(self, count=1_000_000), False)


@scenario
class RegistersTooLate(Scenario):
    def more(self) -> None:
        self.transport.loseConnection()

    def after(self) -> None:
        self.tried("push", self.transport.registerProducer, Push(self), True)
        self.tried("pull", self.transport.registerProducer, Pull(self), False)

    client = staticmethod(polite)


@scenario
class PullFails(Scenario):
    """A pull producer that raises is unregistered, and the failure logged; the connection is as before."""

    logs = 1

    def more(self) -> None:
        if self.seen["data"] == b"hello":
            self.transport.registerProducer(self, False)
        else:
            self.tried("free", self.transport.registerProducer, Push(self), True)
            self.transport.write(b"well")
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def resumeProducing(self) -> None:
        self.transport.write(b"something")
        raise ZeroDivisionError

    @staticmethod
    def client(client: Client) -> Any:
        client.send(b"hello")
        first = client.receive()
        client.send(b"more")
        rest = client.rest()
        client.tls.shutdown()
        return first, rest


@scenario
class PushFailsToPause(Scenario):
    """Whoever writes has to know."""

    def more(self) -> None:
        self.transport.registerProducer(self, True)
        self.tried("much", self.transport.write, bytes(10 * MUCH))
        self.transport.abortConnection()

    def pauseProducing(self) -> None:
        self.tell("pause")

    def stopProducing(self) -> None:
        self.tell("stop")

    @staticmethod
    def client(client: Client) -> Any:
        client.send(b"hello")
        client.rest()


# -- reading ---------------------------------------------------------------------------------------------------------


@scenario
class Pauses(Scenario):
    """In the middle of reading, and goes on with everything."""

    def more(self) -> None:
        from twisted.internet import reactor

        if self.seen["told"].count("paused") < 3:
            self.transport.pauseProducing()
            self.tell("paused")
            reactor.callLater(0.01, self.resume)
        self.finish()

    def resume(self) -> None:
        self.tell("resumed")
        self.transport.resumeProducing()

    def finish(self) -> None:
        if self.seen["data"].endswith(b"."):
            self.transport.loseConnection()

    def after(self) -> None:
        self.seen["data"] = len(self.seen["data"])
        self.seen["told"] = [word for word in self.seen["told"] if word in ("made", "lost")]

    @staticmethod
    def client(client: Client) -> Any:
        client.send(b"x" * MUCH + b".")
        got = client.rest()
        client.tls.shutdown()
        return got, client.ended


@scenario
class ReadsLines(Scenario, LineReceiver):
    """A line at a time, pausing itself in between."""

    dataReceived = LineReceiver.dataReceived

    def lineReceived(self, line: bytes) -> None:
        from twisted.internet import reactor

        self.seen["data"] += line
        self.sendLine(line.upper())
        if line == b"quit":
            self.transport.loseConnection()
        else:
            self.pauseProducing()
            reactor.callLater(0, self.resumeProducing)

    @staticmethod
    def client(client: Client) -> Any:
        client.send(b"one\r\ntwo\r\nthree\r\nquit\r\nmore\r\n")
        got = client.rest()
        client.tls.shutdown()
        return got, client.ended


# -- the end ---------------------------------------------------------------------------------------------------------


@scenario
class StaysOpen(Scenario):
    """Until its client closes properly."""

    def more(self) -> None:
        self.transport.write(b"answer")

    @staticmethod
    def client(client: Client) -> Any:
        client.send(b"hello")
        answer = client.receive()
        client.tls.shutdown()
        return answer, client.rest(), client.ended


@scenario
class StaysOpenTLS12(StaysOpen):
    options: ClassVar = {"version": "1.2"}


@scenario
class DataAndCloseNotify(Scenario):
    """In one segment: everything is delivered and answered before the end."""

    def more(self) -> None:
        self.transport.write(b"answer")

    @staticmethod
    def client(client: Client) -> Any:
        client.send(b"hello")
        client.tls.shutdown()
        return client.rest(), client.ended


@scenario
class CutOff(Scenario):
    @staticmethod
    def client(client: Client) -> Any:
        client.send(b"hello")
        client.close()


@scenario
class Reset(LosesItsClient):
    def more(self) -> None:
        self.transport.write(b"answer")


@scenario
class ClosesOnOneThatIsImpolite(Scenario):
    """The client ends without close_notify after it got ours."""

    def more(self) -> None:
        self.transport.loseConnection()


@scenario
class Nonsense(Scenario):
    """Something that is no TLS record."""

    @staticmethod
    def client(client: Client) -> Any:
        client.sock.sendall(b"this is no record at all")
        client.rest()


@scenario
class Altered(Scenario):
    """A record that does not decrypt."""

    @staticmethod
    def client(client: Client) -> Any:
        client.sock.sendall(b"\x17\x03\x03" + struct.pack(">H", 40) + b"z" * 40)
        client.rest()


@scenario
class ClosesTwice(Scenario):
    def more(self) -> None:
        self.transport.loseConnection()
        self.transport.loseConnection()

    client = staticmethod(polite)


@scenario
class Aborts(Scenario):
    def more(self) -> None:
        self.transport.write(b"something")
        self.transport.abortConnection()
        self.tell("aborted")
        self.transport.abortConnection()
        self.transport.loseConnection()
        self.tried("late", self.transport.write, b"late")

    @staticmethod
    def client(client: Client) -> Any:
        client.send(b"hello")
        return client.rest() in (b"", b"something"), client.ended == "close_notify"


@scenario
class AbortsAfterClosing(Scenario):
    def more(self) -> None:
        self.transport.write(bytes(10 * MUCH))
        self.transport.loseConnection()
        self.transport.abortConnection()

    @staticmethod
    def client(client: Client) -> Any:
        client.send(b"hello")
        return len(client.rest()) < 10 * MUCH


@scenario
class FailsWhenReceiving(Scenario):
    logs = 1

    def more(self) -> None:
        raise ZeroDivisionError

    @staticmethod
    def client(client: Client) -> Any:
        client.send(b"hello")
        return client.rest()


@scenario
class FailsAtTheEnd(Scenario):
    logs = 1

    def after(self) -> None:
        raise ZeroDivisionError

    @staticmethod
    def client(client: Client) -> Any:
        client.tls.shutdown()
        return client.rest()


@scenario
class StopsProducing(Scenario):
    """The transport as a producer that is stopped: the connection is lost."""

    def more(self) -> None:
        self.transport.stopProducing()

    def after(self) -> None:
        self.seen["reason"] = self.seen["reason"] in (ConnectionDone, ConnectionLost)

    @staticmethod
    def client(client: Client) -> Any:
        client.send(b"hello")
        return client.rest()


# -- facts -----------------------------------------------------------------------------------------------------------


@scenario
class Asks(Scenario):
    """Who is there."""

    def more(self) -> None:
        transport = self.transport
        peer, host = transport.getPeer(), transport.getHost()
        self.seen["addresses"] = type(peer), peer.host, type(host), host.host, peer.port != host.port
        self.seen["certificate"] = transport.getPeerCertificate()
        self.seen["alpn"] = transport.negotiatedProtocol
        self.seen["handle"] = type(transport.getHandle()).__mro__[-2]
        for name in ("connected", "disconnecting", "disconnected"):
            self.seen[name] = bool(getattr(transport, name))
        self.seen["wrapped"] = transport.wrappedProtocol is self
        self.seen["class"] = isinstance(transport, TLSMemoryBIOProtocol)
        self.seen["factory"] = interfaces.IProtocolFactory.providedBy(transport.factory)
        self.seen["producer"] = transport.producer, transport.streamingProducer
        self.seen["hostname"] = transport.hostname
        self.seen["socket"] = transport.socket.getpeername()[1] == peer.port
        self.seen["reactor"] = interfaces.IReactorTime.providedBy(transport.reactor)
        self.seen["server"] = transport.server.getHost() == host
        self.seen["prefix"] = type(transport.logPrefix())
        self.seen["nodelay"] = [self.switched(transport.setTcpNoDelay, transport.getTcpNoDelay)]
        self.seen["keepalive"] = [self.switched(transport.setTcpKeepAlive, transport.getTcpKeepAlive)]
        transport.loseConnection()
        self.seen["now disconnecting"] = bool(transport.disconnecting)

    @staticmethod
    def switched(switch: Callable[[bool], None], state: Callable[[], bool]) -> list[bool]:
        found = []
        for on in (True, False):
            switch(on)
            found.append(bool(state()))
        return found

    def after(self) -> None:
        transport = self.transport
        self.seen["connected at the end"] = bool(transport.connected)
        self.seen["disconnected at the end"] = bool(transport.disconnected)
        self.seen["peer at the end"] = transport.getPeer().host

    client = staticmethod(polite)


@scenario
class KnowsItsCertificate(Scenario):
    """As AMP asks for it."""

    def more(self) -> None:
        self.tried("host", Certificate.hostFromTransport, self.transport)
        self.tried("peer", Certificate.peerFromTransport, self.transport)
        self.transport.loseConnection()

    client = staticmethod(polite)


@scenario
class Negotiates(Scenario):
    options: ClassVar = {"alpn": [b"two", b"one"]}

    def more(self) -> None:
        self.transport.write(self.transport.negotiatedProtocol)
        self.transport.loseConnection()

    @staticmethod
    def wrapped(factory: Factory[Any]) -> Any:
        factory.acceptableProtocols = lambda: [b"one", b"two"]  # type: ignore[attr-defined]
        directlyProvides(factory, interfaces.IProtocolNegotiationFactory)
        return factory

    @staticmethod
    def client(client: Client) -> Any:
        client.send(b"hello")
        got = client.rest()
        client.tls.shutdown()
        return got, client.tls.get_alpn_proto_negotiated()


@scenario
@implementer(interfaces.IHandshakeListener)
class ListensToTheHandshake(Scenario):
    def handshakeCompleted(self) -> None:
        self.tell("handshake")

    def more(self) -> None:
        self.transport.loseConnection()

    client = staticmethod(polite)


@scenario
class IsReplaced(Scenario):
    """Another protocol takes the transport over, as a WebSocket does from HTTP."""

    def more(self) -> None:
        other = Echoes()
        self.seen["other"] = other.seen
        transport, self.transport = self.transport, None
        transport.wrappedProtocol = other
        other.makeConnection(transport)
        transport.write(b"now ")
        self.other = other

    @property
    def is_over(self) -> bool:
        return self.other.over

    @staticmethod
    def client(client: Client) -> Any:
        client.send(b"hello")
        first = client.receive(4)
        client.send(b"other")
        got = client.rest()
        client.tls.shutdown()
        return first, got


@scenario
class IsWrapped(Scenario):
    """Twisted's wrappers hand everything through."""

    def more(self) -> None:
        self.seen["wrapped"] = self.transport.getPeer().host, self.transport.negotiatedProtocol
        self.transport.registerProducer(Pull(self, count=5), False)

    @staticmethod
    def wrapped(factory: Factory[Any]) -> Any:
        return TimeoutFactory(WrappingFactory(factory), 5)

    client = staticmethod(counting)


# -- the comparison --------------------------------------------------------------------------------------------------

_ABORTED = ({"reason": ConnectionAborted}, "as ITCPTransport says; Twisted's TLS takes the end it makes for an EOF")
_ALL_IS_SENT = "Twisted's TLS drops what was written last before the producer has gone, or the client has closed"

DIFFERENT: Mapping[type[Scenario], tuple[Seen, str]] = {
    ClosesBeforeItsProducer: ({"client": (MUCH // 1024 * 1024 + 5, "close_notify")}, _ALL_IS_SENT),
    ClosesBeforeItsPull: ({"client": (300 * 1024, "close_notify")}, _ALL_IS_SENT),
    DataAndCloseNotify: ({"client": (b"answer", "close_notify")}, _ALL_IS_SENT),
    AbortsWithAProducer: _ABORTED,
    PushFailsToPause: _ABORTED,
    Aborts: _ABORTED,
    AbortsAfterClosing: _ABORTED,
}
"""What is seen on ``edgenode:`` and not on ``ssl:``, and why."""


async def seen_on(endpoint: str, scenario: type[Scenario]) -> Seen:
    """Run a scenario on an endpoint."""
    from twisted.internet import reactor

    made: list[Scenario] = []

    class Made(Factory[Scenario]):
        noisy = False

        def buildProtocol(self, addr: Any) -> Scenario:
            made.append(scenario())
            return made[-1]

    port: Any = await serverFromString(reactor, endpoint).listen(scenario.wrapped(Made()))

    def talk() -> Any:
        with Client(port.getHost().port, **scenario.options) as client:
            return scenario.client(client)

    try:
        client = await in_thread(talk)
        await until(lambda: made and getattr(made[0], "is_over", made[0].over))
    finally:
        await port.stopListening()
        for each in made:
            if not each.over and each.transport:
                each.transport.abortConnection()
    return {**made[0].seen, "client": client}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pyOpenSSL, for what Twisted gives it
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_a_protocol_sees_what_it_sees_on_twisteds_tls(
    pki: PKI, scenario: type[Scenario], flush_logged_errors: Callable[..., list[Failure]]
) -> None:
    """And so does its client."""
    file = pki.folder / "like-twisted.ini"
    file.write_text(ini(1, {"edge": {"watch-interval": "0"}}))
    ours = await seen_on(f"edgenode:{file}:listener=public", scenario)
    logged = len(flush_logged_errors())
    theirs = await seen_on(
        f"ssl:0:interface=127.0.0.1:privateKey={pki.folder}/edge.key:certKey={pki.folder}/edge.pem", scenario
    )
    flush_logged_errors()
    theirs.update(DIFFERENT.get(scenario, ({}, ""))[0])
    assert ours == theirs
    assert logged == scenario.logs
