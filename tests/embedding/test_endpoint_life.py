"""The endpoint from outside: what it needs of a file, reloads, and its end, after which nothing of it is left."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from zope.interface import implementer

from edgenode import Configuration, ConfigurationError, EdgeEndpoint, EdgeService, IEventSink, Record
from tests.support.listening import Talks
from tests.support.node import PKI, Client, connect, in_thread, until

ALONE = """
[edge]
events         = {events}
access-log     = off
watch-interval = {watch}

[listener lines]
endpoint             = tcp:0:interface=127.0.0.1
server-groups        = partners
default-server-group = partners

[server-group partners]
hosts       = strict.test
certificate = {certificate}
{mtls}

[certificate {certificate}]
chain = {certificate}.pem
key   = {certificate}.key
"""
"""All that a protocol needs that has no requests."""

MTLS = "mtls = on\ntrust-store = clients\n\n[trust-store clients]\nauthorities = clients.pem"


def _reactor() -> Any:
    from twisted.internet import reactor  # only now: pytest-twisted installs it

    return reactor


@pytest.fixture
def write(pki: PKI, tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Writes the file, and says where it is."""

    def write(certificate: str = "edge", mtls: str = "", events: str = "none", watch: str = "1h") -> pathlib.Path:
        file = pki.folder / f"{tmp_path.name}.ini"
        file.write_text(ALONE.format(certificate=certificate, mtls=mtls, events=events, watch=watch))
        return file

    return write


def _certificate(port: Any) -> bytes:
    """The name that the server's certificate has, in a new handshake."""
    with Client(port.getHost().port, "strict.test") as client:
        certificate = client.tls.get_peer_certificate(as_cryptography=True)
        assert certificate is not None
        return certificate.subject.rfc4514_string().encode()


def _rest(port: Any) -> bytes:
    """What a client without a certificate gets."""
    with Client(port.getHost().port, "strict.test") as client:
        return client.rest()


def _left() -> list[Any]:
    """What is in the reactor that is not the tests' own."""
    reactor = _reactor()
    calls = [call for call in reactor.getDelayedCalls() if call.func.__module__.startswith("edgenode")]
    return [
        *calls,
        *(each for each in reactor.getReaders() + reactor.getWriters() if "Waker" not in type(each).__name__),
    ]


async def test_a_listener_alone_is_enough(write: Callable[..., pathlib.Path]) -> None:
    """Neither security policy, path map nor origin: nothing is judged by its path, and nothing forwarded."""
    file = write()
    port: Any = await serverFromString(_reactor(), f"edgenode:{file}").listen(Talks())
    assert await in_thread(_certificate, port) == b"CN=edge"
    await port.stopListening()
    await port.when_over()


def test_a_node_needs_a_security_policy(write: Callable[..., pathlib.Path]) -> None:
    """Such a file is refused wherever requests are to be served, also if it has been read for something else."""
    problem = r"\[server-group partners\] security-policy: this key is required"
    with pytest.raises(ConfigurationError, match=problem):
        Configuration.load(write())
    with pytest.raises(ConfigurationError, match=problem):
        Configuration.from_text(write().read_text(), write().parent)
    with pytest.raises(ConfigurationError, match=problem):
        EdgeService(Configuration.load(write(), requests=False), _reactor())


def test_errors_of_the_string_are_told_when_it_is_read(write: Callable[..., pathlib.Path]) -> None:
    """In words that say how it is written."""
    for string in ("edgenode:", "edgenode:a:b:c:d:e", "edgenode:a:listner=b", "edgenode:a:alpn=ä"):
        with pytest.raises(ValueError, match=r"edgenode:FILE:listener=NAME:alpn=PROTOCOLS"):
            serverFromString(_reactor(), string)


async def test_a_reload_is_for_new_handshakes(pki: PKI, write: Callable[..., pathlib.Path]) -> None:
    """They get the new certificate, or have to show one of their own; an open connection goes on."""
    factory = Talks(then=lambda talk: talk.transport.write(b"ok"))  # type: ignore[union-attr]
    endpoint = EdgeEndpoint(_reactor(), write())
    port: Any = await endpoint.listen(factory)
    client = await in_thread(Client, port.getHost().port, "strict.test")
    with client:
        assert await in_thread(_certificate, port) == b"CN=edge"
        write("origin")
        configuration = await endpoint.reload()
        assert [*configuration.certificates] == ["origin"]
        assert await in_thread(_certificate, port) == b"CN=origin"
        assert (await in_thread(client.send, b"a"), await in_thread(client.receive)) == (None, b"ok")
        write("origin", MTLS)
        await endpoint.reload()
        assert await in_thread(_rest, port) == b""
        assert len(factory.talks) == 3
        await endpoint.reload(Configuration.load(write("edge"), requests=False))
        assert await in_thread(_certificate, port) == b"CN=edge"
    await port.stopListening()
    await port.when_over()


async def test_a_connection_on_other_terms_ends_at_a_reload(write: Callable[..., pathlib.Path]) -> None:
    """Whom nobody has asked for a certificate cannot be judged by one, and who would have needed one must not stay."""
    endpoint = EdgeEndpoint(_reactor(), write())
    port: Any = await endpoint.listen(Talks())
    with await in_thread(Client, port.getHost().port, "strict.test") as client:
        write(mtls=MTLS)
        await endpoint.reload()
        assert await in_thread(client.rest) == b""
    await port.stopListening()
    await port.when_over()


async def test_a_handshake_that_has_begun_is_judged_by_the_reload(write: Callable[..., pathlib.Path]) -> None:
    """The terms are those of its ClientHello, and the verdict is as of its end."""
    factory = Talks()
    endpoint = EdgeEndpoint(_reactor(), write(mtls=MTLS.replace("= on", "= optional")))
    port: Any = await endpoint.listen(factory)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls = context.wrap_bio(incoming, outgoing, server_hostname="strict.test")

    def step(sock: socket.socket) -> None:
        """Take what comes, until the client has something to send; the last flight is not sent yet."""
        while True:
            try:
                tls.do_handshake()
                return
            except ssl.SSLWantReadError:
                if hello := outgoing.read():
                    sock.sendall(hello)
                incoming.write(sock.recv(65536))

    def finish(sock: socket.socket) -> bytes:
        sock.sendall(outgoing.read())
        while piece := sock.recv(65536):
            incoming.write(piece)
        incoming.write_eof()
        with contextlib.suppress(ssl.SSLError):
            return tls.read()
        return b""

    with connect(port.getHost().port) as sock:
        await in_thread(step, sock)
        write(mtls=MTLS)
        await endpoint.reload()
        assert await in_thread(finish, sock) == b""
    await port.stopListening()
    await port.when_over()
    assert factory.talks == []


async def test_reloads_take_their_turns(write: Callable[..., pathlib.Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read first, and slowly, is not what is in use in the end."""
    endpoint, load, overtaken = EdgeEndpoint(_reactor(), write()), Configuration.load, threading.Event()
    port: Any = await endpoint.listen(Talks())

    def slowly(*arguments: Any, **keywords: Any) -> Configuration:
        configuration = load(*arguments, **keywords)
        first = not overtaken.is_set() and "edge" in configuration.certificates
        if first:
            write("origin")
            overtaken.wait(0.5)
        else:
            overtaken.set()
        return configuration

    monkeypatch.setattr(Configuration, "load", slowly)
    reloads = [endpoint.reload(), endpoint.reload()]
    for reload in reloads:
        await reload
    assert await in_thread(_certificate, port) == b"CN=origin"
    await port.stopListening()
    await port.when_over()


async def test_a_port_that_comes_in_a_reload_is_not_left_behind(
    write: Callable[..., pathlib.Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would have the old configuration for good."""
    old, new = (Configuration.load(write(name), requests=False) for name in ("edge", "origin"))
    endpoint = EdgeEndpoint(_reactor(), old)
    ports: list[Any] = [await endpoint.listen(Talks())]
    reload = ports[0].reload

    async def come(configuration: Configuration) -> None:
        if len(ports) == 1:
            ports.append(await endpoint.listen(Talks()))
        await reload(configuration)

    monkeypatch.setattr(ports[0], "reload", lambda configuration: Deferred.fromCoroutine(come(configuration)))
    await endpoint.reload(new)
    for port in ports:
        assert await in_thread(_certificate, port) == b"CN=origin"
        await port.stopListening()
    await endpoint.when_over()


async def test_a_reload_that_cannot_be_has_changed_nothing(write: Callable[..., pathlib.Path]) -> None:
    """A file with errors, another address, no such listener, events that cannot be written: all are told."""
    file = write()
    endpoint = EdgeEndpoint(_reactor(), str(file))
    port: Any = await endpoint.listen(Talks())
    good = file.read_text()
    for old, new, problem in (
        ("endpoint  ", "endpiont  ", "unknown key"),
        ("tcp:0:", "tcp:1:", r"\[listener lines\] endpoint: is another than that of the port in use"),
        ("listener lines", "listener other", r"\[listener lines\]: is in use by an endpoint, and is missing now"),
        ("= none", "= /nowhere/at/all", r"\[edge\] events: cannot write /nowhere/at/all"),
        ("origin.key", "nothing.key", "nothing.key"),
    ):
        other = good.replace("edge.pem", "origin.pem").replace("edge.key", "origin.key")
        file.write_text(other.replace(old, new))
        with pytest.raises(ConfigurationError, match=problem):
            await endpoint.reload()
        assert await in_thread(_certificate, port) == b"CN=edge"
    await port.stopListening()
    await endpoint.when_over()


async def test_nothing_is_left_in_the_reactor(write: Callable[..., pathlib.Path]) -> None:
    """In the very turn in which the last connection ends; and who waits for that hears of it."""
    reactor = _reactor()
    over: list[str] = []
    factory = Talks()
    endpoint = EdgeEndpoint(reactor, Configuration.load(write(), requests=False))
    endpoint.when_over().addCallback(lambda _: over.append("nothing yet"))
    port: Any = await endpoint.listen(factory)
    clients = []
    for number in range(2):
        clients.append(await in_thread(Client, port.getHost().port, "strict.test"))
        await factory.built(number)
    given_up: Deferred[None] = port.when_over().addErrback(lambda _: over.append("given up"))
    given_up.cancel()
    for waiting in (endpoint, port):
        waiting.when_over().addCallback(lambda _: over.append("over"))
    await port.stopListening()
    clients[0].close()
    await factory.talks[0].end()
    assert over == ["nothing yet", "given up"]
    assert len(_left()) > 2
    left: list[Any] = []

    async def look() -> None:
        await factory.talks[1].end()
        reactor.callLater(0, lambda: left.append(_left()))

    ended = Deferred.fromCoroutine(look())
    clients[1].close()
    await until(lambda: left)
    assert over == ["nothing yet", "given up", "over", "over"]
    assert ended.called
    assert left == [[]]
    await endpoint.when_over()


async def test_cut_ends_what_is_open(write: Callable[..., pathlib.Path]) -> None:
    """For whoever cannot wait: connections, and handshakes too."""
    factory = Talks()
    port: Any = await EdgeEndpoint(_reactor(), write()).listen(factory)
    client = await in_thread(Client, port.getHost().port, "strict.test")
    with client, await in_thread(connect, port.getHost().port):
        await factory.built(0)
        await port.stopListening()
        port.cut()
        await port.when_over()
    assert factory.talks[0].told == ["made", "lost"]


TRIAL = """
import sys
from twisted.internet import reactor, ssl
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString, SSL4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.basic import LineReceiver
from twisted.trial.unittest import TestCase

class Says(LineReceiver):
    def lineReceived(self, line):
        self.sendLine(line.upper())

class Hears(LineReceiver):
    def __init__(self):
        self.line, self.over = Deferred(), Deferred()
    def lineReceived(self, line):
        self.line.callback(line)
    def connectionLost(self, reason):
        self.over.callback(None)

class Test(TestCase):
    async def test_lines(self):
        port = await serverFromString(reactor, "edgenode:FILE").listen(Factory.forProtocol(Says))
        self.addCleanup(port.stopListening)
        client = SSL4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port, CertificateOptions())
        hears = await connectProtocol(client, Hears())
        hears.sendLine(b"hello")
        self.assertEqual(await hears.line, b"HELLO")
        hears.transport.loseConnection()
        await hears.over
    test_again = test_lines
"""


@pytest.mark.parametrize("reactor", ["select", "poll", "epoll", "asyncio"])
def test_a_test_of_trials_is_clean(
    reactor: str, write: Callable[..., pathlib.Path], pki: PKI, tmp_path: pathlib.Path
) -> None:
    """On every reactor: no reactor left dirty, nothing logged as an error, and a warning of the file breaks nothing."""
    file = write("edge", "\n[trust-store unused]\nauthorities = clients.pem", watch="50ms")
    (tmp_path / "test_lines.py").write_text(TRIAL.replace("FILE", str(file)))
    command = [sys.executable, "-m", "twisted.trial", f"--reactor={reactor}", "test_lines"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED (successes=2)" in done.stdout


@implementer(IEventSink)
class Keeping(Service):
    """Keeps what events say while it runs."""

    all: ClassVar[list[Keeping]] = []

    def __init__(self, name: str) -> None:
        self.kept: list[str] = []
        self.all.append(self)

    def record(self, record: Record) -> None:
        """Take a record."""
        assert self.running
        self.kept.append(record.listener)


async def test_a_reload_moves_the_events(write: Callable[..., pathlib.Path], tmp_path: pathlib.Path) -> None:
    """Those of connections that were open before it too."""
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    factory, endpoint = Talks(), EdgeEndpoint(_reactor(), write(events=str(one)))
    port: Any = await endpoint.listen(factory)
    client = await in_thread(Client, port.getHost().port, "strict.test")
    await factory.built(0)
    write(events=str(two))
    await endpoint.reload()
    client.close()
    await until(lambda: two.read_text().count("\n") == 1)
    assert one.read_text() == ""
    await port.stopListening()
    await endpoint.when_over()


async def test_a_sink_lives_with_the_port(write: Callable[..., pathlib.Path]) -> None:
    """Those of its configuration begin when it listens, and end after its last connection; a reload keeps them."""
    Keeping.all.clear()
    file = write()
    file.write_text(file.read_text() + f"\n[sink kept]\nfactory = {__name__}:Keeping\n")
    factory, endpoint = Talks(), EdgeEndpoint(_reactor(), file)
    port: Any = await endpoint.listen(factory)
    sink = Keeping.all[-1]
    assert sink.running
    client = await in_thread(Client, port.getHost().port, "strict.test")
    await factory.built(0)
    await endpoint.reload()
    client.close()
    await until(lambda: sink.kept == ["lines"])
    assert not any(other.running for other in Keeping.all if other is not sink)
    await port.stopListening()
    await endpoint.when_over()
    assert not sink.running
