"""The endpoint ``edgenode:``: the node's listener before any Twisted protocol, and all that Twisted promises one."""

from __future__ import annotations

import datetime
import itertools
import os
import shutil
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.application import strports
from twisted.internet import interfaces
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError, ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.task import deferLater
from twisted.protocols import amp
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer
from zope.interface.verify import verifyObject

from edgenode.embedding.connection_facts import connection_of
from edgenode.embedding.protocol_transport import ProtocolTransport
from edgenode.model.errors import ConfigurationError
from edgenode.model.interfaces import IEdgeTransport
from tests.support.certificates import make_authority, now, write_pem
from tests.support.listening import Talk, Talks, listening
from tests.support.node import PKI, Client, Refused, connect, get, in_thread, ini, until

SECOND = datetime.timedelta(seconds=1)


def transport_of(talk: Talk) -> ProtocolTransport:
    """The transport of a protocol, as what it is."""
    assert isinstance(talk.transport, ProtocolTransport)
    return talk.transport


def say(data: bytes) -> Callable[[Client], bytes]:
    """Send bytes, and return all that comes."""

    def speak(client: Client) -> bytes:
        client.send(data)
        return client.rest()

    return speak


def within(client: Callable[[], Client], speak: Callable[[Client], Any]) -> Any:
    """Connect, speak, close: for a thread."""
    with client() as connected:
        return speak(connected)


# -- listening -------------------------------------------------------------------------------------------------------


async def test_a_protocol_greets_its_client_by_name(pki: PKI) -> None:
    """It is built once the client is known, and everything that it can ask says the same."""

    def greet(talk: Talk) -> None:
        transport = transport_of(talk)
        for interface in (interfaces.INegotiated, interfaces.IConsumer, interfaces.IPushProducer):
            verifyObject(interface, transport)
        verifyObject(interfaces.ILoggingContext, transport)
        verifyObject(IEdgeTransport, transport)
        assert isinstance(transport, TLSMemoryBIOProtocol)  # autobahn asks for that, and for no interface
        facts = transport.connection
        assert facts.client is not None
        assert transport.client == facts.client
        assert (facts.server_name, facts.alpn, facts.tls_version) == ("strict.test", "", "TLSv1.3")
        assert facts.verification.verified
        assert facts.fingerprint
        assert transport.server_group == "strict"
        certificate = transport.getPeerCertificate()
        assert certificate is not None
        assert certificate.to_cryptography() == pki.client.certificate
        assert transport.negotiatedProtocol is None
        assert (transport.getPeer().type, transport.getPeer().host) == ("TCP", "127.0.0.1")
        assert transport.getPeer() == talk.factory.peers[0]
        assert transport.getHost() == served.port.getHost()
        transport.writeSequence([b"hello ", facts.client.subject.encode()])
        transport.loseConnection()

    factory = Talks(greet)
    async with listening(pki, factory) as served:
        verifyObject(interfaces.IListeningPort, served.port)
        options = {"chain": (pki.client,)}
        answer = await in_thread(within, lambda: served.client("strict.test", **options), Client.rest)
        (event,) = await served.events(1)
    assert answer == b"hello CN=Alice,O=Partners"
    assert factory.talks[0].told == ["made", "lost"]
    assert factory.talks[0].why.check(ConnectionLost)  # the client has closed without a word
    assert (event["server_group"], event["certificate"]["verify"]) == ("strict", "SUCCESS")
    assert (event["request"], event["error"], event["listener"]) == (None, None, "public")
    assert event["bytes"] == {"received": 0, "sent": len(answer)}


async def test_the_string_is_read_as_twisted_reads_endpoints(pki: PKI) -> None:
    """A colon in the path is escaped; a lone listener needs no name; nothing is read before somebody listens."""
    from twisted.internet import reactor

    folder = pki.folder / "a:b=c"
    shutil.copytree(pki.folder, folder, ignore=shutil.ignore_patterns("a:b=c", "endpoint*"))
    endpoint = serverFromString(
        reactor, "edgenode:{}".format(str(folder / "file.ini").replace(":", "\\:").replace("=", "\\="))
    )
    verifyObject(interfaces.IStreamServerEndpoint, endpoint)
    (folder / "file.ini").write_text(ini(1))
    port = await endpoint.listen(Talks())
    assert port.getHost().port
    await port.stopListening()
    (folder / "file.ini").write_text(ini(1, {"listener other": {"endpoint": "tcp:0", "server-groups": "open"}}))
    with pytest.raises(ConfigurationError, match=r"needs listener=NAME, with a name of: public, other"):
        await endpoint.listen(Talks())
    with pytest.raises(ConfigurationError, match=r"\[listener nobody\]: .* public, other"):
        await serverFromString(reactor, str(f"edgenode:{pki.folder}/a\\:b\\=c/file.ini:listener=nobody")).listen(
            Talks()
        )


async def test_all_problems_of_the_file_are_reported_before_anything_is_bound(pki: PKI) -> None:
    """As one error, from the Deferred; and a service made of the string raises it, so that twistd does not go on."""
    from twisted.internet import reactor

    file = pki.folder / "broken.ini"
    file.write_text(ini(1, {"listener public": {"protocol": "gopher"}, "server-group open": {"mtls": "perhaps"}}))
    failed = serverFromString(reactor, f"edgenode:{file}").listen(Talks())
    with pytest.raises(ConfigurationError) as caught:
        await failed
    assert [problem.key for problem in caught.value.problems] == ["protocol", "mtls"]
    factory = Talks()
    with pytest.raises(ConfigurationError):
        strports.service(f"edgenode:{file}", factory, reactor).privilegedStartService()
    file.write_text(ini(1, {"edge": {"events": "/nowhere/at/all"}}))
    with pytest.raises(ConfigurationError, match=r"\[edge\] events: cannot write /nowhere/at/all"):
        await serverFromString(reactor, f"edgenode:{file}").listen(factory)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file.write_text(ini(1, {"listener public": {"endpoint": f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"}}))
        with pytest.raises(CannotListenError):
            await serverFromString(reactor, f"edgenode:{file}").listen(factory)
    assert factory.running == []


async def test_a_port_that_stops_leaves_its_connections_alone(pki: PKI) -> None:
    """As Twisted's do: no new one is accepted, an open one goes on, and the factory is started and stopped once."""
    factory = Talks(then=lambda talk: transport_of(talk).write(talk.data[-1:]))
    async with listening(pki, factory) as served:
        client = await in_thread(served.client)
        with client:
            assert (await in_thread(client.send, b"a"), await in_thread(client.receive)) == (None, b"a")
            await served.stop()
            with pytest.raises(OSError, match="refused"):
                await in_thread(connect, served.number)
            assert (await in_thread(client.send, b"b"), await in_thread(client.receive)) == (None, b"b")
            assert factory.running == [True, False]
        await factory.talks[0].end()
        await served.events(1)
    assert factory.running == [True, False]


# -- the handshake ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", ["handshake", "400", "444"])
async def test_no_protocol_is_built_for_a_client_that_is_refused(pki: PKI, refusal: str) -> None:
    """However the server group refuses: it is the event that says why, and no byte is sent."""
    stranger = make_authority("Nobody").issue("Mallory")
    factory = Talks(lambda talk: transport_of(talk).write(b"welcome"))
    outcomes = []
    async with listening(pki, factory, {"server-group strict": {"mtls-refusal": refusal}}) as served:
        for chain in ((), (stranger,)):
            try:
                outcomes.append(
                    await in_thread(within, lambda c=chain: served.client("strict.test", chain=c), say(b"hello"))
                )
            except Refused as error:
                outcomes.append(str(error))
        events = await served.events(2)
    assert factory.talks == []
    assert [event["error"]["status"] for event in events] == [496, 495]
    assert [event["server_group"] for event in events] == ["strict", "strict"]
    assert outcomes == [b"", b""]


async def test_a_client_that_expires_is_heard_no_more(pki: PKI) -> None:
    """Within two seconds an idle one is cut off, and its protocol is told so; the event has the reason."""
    passing = pki.clients.issue("CN=Mayfly", not_after=now() + 3 * SECOND)
    factory = Talks(then=lambda talk: transport_of(talk).write(b"ok"))
    async with listening(pki, factory) as served:
        client = await in_thread(served.client, "strict.test", chain=(passing,))
        with client:
            assert (await in_thread(client.send, b"a"), await in_thread(client.receive)) == (None, b"ok")
            assert await in_thread(client.rest) == b""
            assert now() >= passing.certificate.not_valid_after_utc
            reason = await factory.talks[0].end()
        (event,) = await served.events(1)
    assert reason.check(ConnectionLost)
    assert (event["error"]["status"], event["error"]["reason"]) == (495, "client certificate: certificate has expired")
    assert event["certificate"]["verify"] == "FAILED:certificate has expired"
    assert event["timings"]["total"] > 1e6


async def test_bytes_of_an_expired_client_are_not_delivered(pki: PKI, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even before anybody has looked: every byte is delivered under a verdict as of its second."""
    passing = pki.clients.issue("CN=Mayfly", not_after=now() + 2 * SECOND)
    monkeypatch.setattr("edgenode.embedding.protocol_transport._LOOK_AGAIN", 3600.0)
    factory = Talks(then=lambda talk: transport_of(talk).write(b"ok"))
    async with listening(pki, factory) as served:
        client = await in_thread(served.client, "strict.test", chain=(passing,))
        with client:
            assert (await in_thread(client.send, b"a"), await in_thread(client.receive)) == (None, b"ok")
            await until(lambda: now() > passing.certificate.not_valid_after_utc)
            assert await in_thread(say(b"b"), client) == b""
        await factory.talks[0].end()
        await served.events(1)
    assert factory.talks[0].data == b"a"


async def test_a_revoked_client_is_cut_off_when_the_list_is_replaced(pki: PKI, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of trust stores are watched, and open connections judged anew at once; another client stays."""
    monkeypatch.setattr("edgenode.embedding.protocol_transport._LOOK_AGAIN", 3600.0)
    revocations = pki.folder / "revoked.pem"
    write_pem(revocations, [pki.clients.crl()])
    changes = {
        "edge": {"watch-interval": "50ms"},
        "trust-store clients": {"crl": str(revocations)},
        "server-group strict": {"mtls-refusal": "handshake"},
    }
    bob = pki.clients.issue("CN=Bob")
    factory = Talks(then=lambda talk: transport_of(talk).write(b"ok"))
    async with listening(pki, factory, changes) as served:
        alice_client = await in_thread(served.client, "strict.test", chain=(pki.client,))
        with alice_client, await in_thread(served.client, "strict.test", chain=(bob,)) as bobs:
            for each in (alice_client, bobs):
                assert (await in_thread(each.send, b"a"), await in_thread(each.receive)) == (None, b"ok")
            write_pem(revocations, [pki.clients.crl([pki.client])])
            assert await in_thread(alice_client.rest) == b""
            assert (await in_thread(bobs.send, b"b"), await in_thread(bobs.receive)) == (None, b"ok")
        events = await served.events(2)
    assert events[0]["error"]["reason"] == "client certificate: certificate revoked"
    assert events[0]["certificate"]["revoked"]
    assert events[1]["error"] is None


async def test_a_connection_over_the_limit_gets_no_protocol(pki: PKI) -> None:
    """And says so in its event."""
    factory = Talks()
    async with listening(pki, factory, {"listener public": {"max-connections": "1"}}) as served:
        with await in_thread(served.client):
            await factory.built(0)
            assert await in_thread(within, served.client, Client.rest) == b""
            (event,) = await served.events(1)
        await factory.talks[0].end()
        await served.events(2)
    assert len(factory.talks) == 1
    assert (event["error"]["status"], event["error"]["reason"]) == (503, "over the limit: max-connections")


@pytest.mark.parametrize("stall", [0, 3, 200])
async def test_a_handshake_that_is_given_up_builds_nothing(pki: PKI, stall: int) -> None:
    """Aborted before, within or after the ClientHello: no protocol, and nothing is left of the connection."""
    hello = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    hello.set_tlsext_host_name(b"open.test")
    hello.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        hello.do_handshake()
    data = hello.bio_read(65536)
    factory = Talks()
    async with listening(pki, factory) as served:
        sock = await in_thread(connect, served.number)
        await in_thread(sock.sendall, data if stall == 200 else data[:stall])
        sock.close()
        if stall:
            (event,) = await served.events(1)
            assert event["error"]["status"] == 400
        await served.stop()
    assert factory.talks == []


async def test_a_handshake_that_takes_too_long_is_cut(pki: PKI) -> None:
    """The listener's ``handshake-timeout`` holds here too."""
    factory = Talks()
    async with listening(pki, factory, {"listener public": {"handshake-timeout": "300ms"}}) as served:
        with await in_thread(connect, served.number) as sock:
            assert await in_thread(sock.recv, 100) == b""
    assert factory.talks == []


async def test_alpn_is_what_the_factory_says(pki: PKI) -> None:
    """Who names protocols gets the first that both speak, and refuses clients that offer only others (RFC 7301, section
    3.2); with none nothing is negotiated, and everybody served. ``alpn`` in the string says otherwise."""

    @implementer(interfaces.IProtocolNegotiationFactory)
    class Naming(Talks):
        def acceptableProtocols(self) -> list[bytes]:
            return [b"two", b"one"]

    def answer(talk: Talk) -> None:
        transport = transport_of(talk)
        transport.write(transport.negotiatedProtocol or b"none")
        transport.loseConnection()

    async with listening(pki, Naming(answer)) as served:
        chosen = await in_thread(within, lambda: served.client(alpn=[b"one", b"two"]), Client.rest)
        silent = await in_thread(within, served.client, Client.rest)
        with pytest.raises(Refused, match="no application protocol"):
            await in_thread(served.client, alpn=[b"http/1.1"])
        await served.events(3)
    assert (chosen, silent) == (b"two", b"none")
    async with listening(pki, Talks(answer)) as served:
        for offered in ([b"http/1.1"], []):
            assert await in_thread(within, lambda a=offered: served.client(alpn=a), Client.rest) == b"none"
        await served.events(2)
    async with listening(pki, Talks(answer), more=":alpn=one, three") as served:
        chosen = await in_thread(within, lambda: served.client(alpn=[b"three", b"one"]), Client.rest)
        with pytest.raises(Refused, match="no application protocol"):
            await in_thread(served.client, alpn=[b"two"])
        await served.events(2)
    assert chosen == b"one"
    async with listening(pki, Naming(answer), more=":alpn=") as served:
        assert await in_thread(within, lambda: served.client(alpn=[b"two"]), Client.rest) == b"none"
        await served.events(1)


# -- the end ---------------------------------------------------------------------------------------------------------


async def test_closing_sends_everything_first(pki: PKI) -> None:
    """However much it is and however slowly it is read; and writes after the close are dropped."""
    much = os.urandom(5_000_000)

    def give(talk: Talk) -> None:
        transport = transport_of(talk)
        transport.write(much)
        transport.loseConnection()
        transport.write(b"more")

    factory = Talks(give)
    async with listening(pki, factory) as served:
        with await in_thread(served.client) as client:
            await in_thread(client.send, b"x" * 1000)
            transport = transport_of(await factory.built(0))
            await until(lambda: transport.disconnecting)
            assert transport.transport.queued
            transport.expired(time.monotonic() + 10)  # longer than it lingers for a client that has got everything
            assert await in_thread(client.rest) == much
            assert client.ended == "close_notify"
        await factory.talks[0].end()
        (event,) = await served.events(1)
    assert factory.talks[0].told == ["made", "lost"]
    assert event["bytes"]["sent"] == len(much)


async def test_a_giant_write_does_not_stop_the_reactor(pki: PKI) -> None:
    """A client that reads as fast as it is written gets its bytes in portions: others are served in between."""
    portions = []
    factory = Talks(lambda talk: transport_of(talk).write(bytes(60_000_000)))
    factory.then = lambda talk: transport_of(talk).write(b"quick")

    def devour(client: Client) -> int:
        got = 0
        while got < 60_000_000:
            got += len(client.receive(1 << 20))
        return got

    async with listening(pki, factory) as served:
        client = await in_thread(served.client)
        with client:
            devouring = in_thread(devour, client)
            while not devouring.called:
                portions.append(transport_of(await factory.built(0)).transport.sent)
                await deferLater(_reactor(), 0)
            assert await devouring == 60_000_000
        await factory.talks[0].end()
        await served.events(1)
    steps = [after - before for before, after in itertools.pairwise(portions)]
    assert max(steps) < 30_000_000  # what a turn of the poller sends, with much to spare


async def test_aborting_cuts_the_connection(pki: PKI) -> None:
    """The protocol hears of it after the call, not within; nothing that was received meanwhile is delivered."""

    def abort(talk: Talk) -> None:
        transport_of(talk).write(b"bye")
        transport_of(talk).abortConnection()
        transport_of(talk).abortConnection()
        transport_of(talk).write(b"more")

    factory = Talks(then=abort)
    async with listening(pki, factory) as served:
        with await in_thread(served.client) as client:
            # What is unread here makes the end a reset, which may overtake the last bytes.
            assert await in_thread(say(b"a" * 100_000), client) in (b"bye", b"")
            assert client.ended != "close_notify"
        reason = await factory.talks[0].end()
        await served.events(1)
    assert reason.check(ConnectionAborted)
    assert factory.talks[0].told == ["made", "data", "lost"]


async def test_a_half_close_goes_on_reading(pki: PKI) -> None:
    """The client has everything and the end of it, and still says something."""

    @implementer(interfaces.IHalfCloseableProtocol)
    class Half(Talk):
        def writeConnectionLost(self) -> None:
            self.told.append("write lost")

        def readConnectionLost(self) -> None:
            raise AssertionError

    def answer(talk: Talk) -> None:
        if talk.data == b"question":
            transport_of(talk).write(b"answer")
            transport_of(talk).loseWriteConnection()
            transport_of(talk).write(b"more")

    def ask(client: Client) -> tuple[bytes, str]:
        client.send(b"question")
        answer = client.rest()
        client.send(b", thanks")
        return answer, client.ended

    factory = Talks(then=answer, kind=Half)
    async with listening(pki, factory) as served:
        with await in_thread(served.client) as client:
            assert await in_thread(ask, client) == (b"answer", "close_notify")
            await until(lambda: factory.talks[0].data == b"question, thanks")
            client.tls.shutdown()
            reason = await factory.talks[0].end()
        await served.events(1)
    assert reason.check(ConnectionDone)
    told = factory.talks[0].told
    assert sorted(told) == ["data", "data", "lost", "made", "write lost"]
    assert (told[:2], told[-1]) == (["made", "data"], "lost")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_a_clients_close_notify_is_answered(pki: PKI, version: str) -> None:
    """A half-closeable protocol may answer first in TLS 1.3 (RFC 8446, section 6.1), but not for ever: ``send-timeout``
    bounds the time in which it says nothing. In TLS 1.2 close_notify is the end (RFC 5246, section 7.2.1)."""

    @implementer(interfaces.IHalfCloseableProtocol)
    class Half(Talk):
        def readConnectionLost(self) -> None:
            self.told.append("read lost")
            transport_of(self).write(b"an answer")

        def writeConnectionLost(self) -> None:
            """Of no interest."""

    factory = Talks(kind=Half)
    async with listening(pki, factory, {"listener public": {"send-timeout": "300ms"}}) as served:
        with await in_thread(served.client, version=version) as client:
            talk = await factory.built(0)
            client.tls.shutdown()
            assert await in_thread(client.rest) == (b"" if version == "1.2" else b"an answer")
            assert client.ended == "close_notify"
        assert (await talk.end()).check(ConnectionDone)
        await served.events(1)
    assert talk.told == (["made", "lost"] if version == "1.2" else ["made", "read lost", "lost"])


async def test_a_client_that_closes_is_told_apart_from_one_that_breaks_off(pki: PKI) -> None:
    """``ConnectionDone`` after close_notify, ``ConnectionLost`` without."""
    factory = Talks()
    async with listening(pki, factory) as served:
        for number, polite in enumerate((True, False)):
            with await in_thread(served.client) as client:
                talk = await factory.built(number)
                if polite:
                    client.tls.shutdown()
            assert (await talk.end()).check(ConnectionDone if polite else ConnectionLost)
        await served.events(2)


async def test_a_client_that_takes_nothing_is_cut(pki: PKI) -> None:
    """After the listener's ``send-timeout``, even if its protocol has closed already."""

    def give(talk: Talk) -> None:
        transport_of(talk).write(bytes(20_000_000))
        if len(talk.factory.talks) == 2:
            transport_of(talk).loseConnection()

    factory = Talks(give)
    async with listening(pki, factory, {"listener public": {"send-timeout": "500ms"}}) as served:
        with await in_thread(served.client), await in_thread(served.client):
            await until(lambda: len(factory.talks) == 2)
            ends = [await talk.end() for talk in factory.talks]
        assert [end.type for end in ends] == [ConnectionLost, ConnectionLost]
        assert len(await served.events(2)) == 2


async def test_a_client_that_does_not_hang_up_is_cut(pki: PKI) -> None:
    """Once its protocol has closed it may read what it got, but not stay."""
    factory = Talks(lambda talk: transport_of(talk).loseConnection())
    async with listening(pki, factory) as served:
        with await in_thread(served.client):
            assert (await (await factory.built(0)).end()).check(ConnectionDone)
        await served.events(1)


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
@pytest.mark.parametrize("where", ["built", "made", "received", "lost"])
async def test_a_failing_protocol_ends_its_own_connection_alone(
    pki: PKI, where: str, error: type[BaseException], flush_logged_errors: Callable[..., list[Failure]]
) -> None:
    """The failure is logged, the connection cut, and the next client served; ``sys.exit()`` is a failure as others."""

    def fail(here: str) -> None:
        if here == where and len(factory.talks) == 1:
            raise error

    class Fragile(Talk):
        def connectionLost(self, reason: Failure = connectionDone) -> None:
            super().connectionLost(reason)
            fail("lost")

    class Failing(Talks):
        def buildProtocol(self, addr: Any) -> Talk:
            talk = super().buildProtocol(addr)
            fail("built")
            return talk

    def answer(talk: Talk) -> None:
        fail("received")
        transport_of(talk).write(b"ok")

    factory = Failing(lambda talk: fail("made"), answer, Fragile)
    async with listening(pki, factory) as served:
        for answered in (b"ok" if where == "lost" else b"", b"ok"):
            with await in_thread(served.client) as client:
                await in_thread(client.send, b"a")
                assert await in_thread(client.receive) == answered
            await until(lambda: not factory.talks[-1].told or factory.talks[-1].told[-1] == "lost")
        await served.events(2)
    assert len(flush_logged_errors(error)) == 1


# -- producers -------------------------------------------------------------------------------------------------------


@implementer(interfaces.IPushProducer)
class Push:
    """Writes a kilobyte for every turn of the reactor until it has written enough, unless it is paused."""

    def __init__(self, transport: Any, most: int) -> None:
        self.transport = transport
        self.left = most
        self.paused = False
        self.told: list[str] = []

    def produce(self) -> None:
        while self.left and not self.paused:
            self.left -= 1
            self.transport.write(b"x" * 1024)
        if not self.left:
            self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self.told.append("pause")
        self.paused = True

    def resumeProducing(self) -> None:
        self.told.append("resume")
        self.paused = False
        self.produce()

    def stopProducing(self) -> None:
        self.told.append("stop")


@implementer(interfaces.IPullProducer)
class Pull:
    """Writes a kilobyte whenever it is asked to."""

    def __init__(self, transport: Any, most: int) -> None:
        self.transport = transport
        self.left = most
        self.told: list[str] = []

    def resumeProducing(self) -> None:
        self.transport.write(b"x" * 1024)
        self.left -= 1
        if not self.left:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.told.append("stop")


async def test_a_push_producer_is_held_back_by_a_slow_reader(pki: PKI) -> None:
    """It is paused before much waits in memory, resumed when the client has read, and closed after the last byte."""
    producers = []

    def produce(talk: Talk) -> None:
        transport = transport_of(talk)
        producer = Push(transport, 10_000)
        producers.append(producer)
        transport.registerProducer(producer, True)
        with pytest.raises(RuntimeError):
            transport.registerProducer(producer, True)
        transport.loseConnection()
        producer.produce()

    factory = Talks(produce)
    async with listening(pki, factory) as served:
        with await in_thread(served.client) as client:
            await until(lambda: producers and producers[0].told == ["pause"])
            assert transport_of(factory.talks[0]).transport.queued < 100_000
            assert await in_thread(client.rest) == b"x" * 10_240_000
            assert client.ended == "close_notify"
        await factory.talks[0].end()
        await served.events(1)
    assert producers[0].told[:2] == ["pause", "resume"]
    assert producers[0].told.count("pause") == producers[0].told.count("resume")


async def test_a_pull_producer_is_asked_until_it_is_done(pki: PKI) -> None:
    """Whether the client is slower or faster than it."""
    factory = Talks(lambda talk: transport_of(talk).registerProducer(Pull(talk.transport, 2000), False))
    factory.then = lambda talk: transport_of(talk).loseConnection()
    async with listening(pki, factory) as served:
        with await in_thread(served.client) as client:
            assert await in_thread(client.exactly, 2_048_000) == b"x" * 2_048_000
            assert await in_thread(say(b"done"), client) == b""
        await factory.talks[0].end()
        await served.events(1)


@pytest.mark.parametrize("kind", [Push, Pull])
async def test_a_producer_is_stopped_when_the_client_is_gone(pki: PKI, kind: Any) -> None:
    """Once; and one that is registered after that, at once."""
    producers: list[Any] = []

    def produce(talk: Talk) -> None:
        producers.append(kind(talk.transport, 1_000_000))
        transport_of(talk).registerProducer(producers[0], kind is Push)
        if kind is Push:
            producers[0].produce()

    factory = Talks(produce)
    async with listening(pki, factory) as served:
        with await in_thread(served.client):
            transport = transport_of(await factory.built(0))
        await factory.talks[0].end()
        late = kind(transport, 1)
        transport.registerProducer(late, kind is Push)
        await served.events(1)
    assert [word for word in producers[0].told if word != "pause"] == ["stop"]
    assert late.told == ["stop"]


async def test_a_protocol_that_pauses_gets_nothing_until_it_resumes(pki: PKI) -> None:
    """And then everything, once and in order."""
    sent = os.urandom(3_000_000)

    def pause(talk: Talk) -> None:
        if talk.told.count("data") == 1:
            transport_of(talk).pauseProducing()

    factory = Talks(then=pause)
    async with listening(pki, factory) as served:
        with await in_thread(served.client) as client:
            sending = in_thread(client.send, sent)
            await until(lambda: factory.talks and factory.talks[0].data)
            await deferLater(_reactor(), 0.05)
            assert factory.talks[0].told == ["made", "data"]
            transport_of(factory.talks[0]).resumeProducing()
            await sending
            await until(lambda: len(factory.talks[0].data) == len(sent))
        await factory.talks[0].end()
        await served.events(1)
    assert factory.talks[0].data == sent


# -- what others write on it -----------------------------------------------------------------------------------------


async def test_a_site_of_twisted_serves_pipelined_requests(pki: PKI) -> None:
    """Over HTTP/1.1, in order, on one connection."""

    class Echo(Resource):
        isLeaf = True

        def render_POST(self, request: Any) -> bytes:
            assert request.isSecure()
            return bytes(request.path + b" " + request.content.read())

    async with listening(pki, Site(Echo())) as served:
        with await in_thread(served.client, alpn=[b"http/1.1"]) as client:
            body = b"x" * 300_000
            one, two = (
                get(path, "open.test", "Content-Length: 300000", method="POST", body=body) for path in ("/1", "/2")
            )
            await in_thread(client.send, one + two)
            assert [(await in_thread(client.answer)).body for _ in range(2)] == [b"/1 " + body, b"/2 " + body]
        (event,) = await served.events(1)
    assert event["tls"]["alpn"] == "http/1.1"


async def test_an_amp_peer_knows_its_client(pki: PKI) -> None:
    """AMP takes the peer's certificate from the transport."""

    class Who(amp.Command):
        response = [(b"name", amp.Unicode())]  # noqa: RUF012

    class Server(amp.AMP):
        @Who.responder
        def who(self) -> dict[str, str]:
            return {"name": connection_of(self.transport).client.subject}  # type: ignore[arg-type, union-attr]

    factory = Factory.forProtocol(Server)
    packet = b"\0\4_ask\0\x011\0\x08_command\0\3Who\0\0"
    async with listening(pki, factory) as served:
        with await in_thread(served.client, "strict.test", chain=(pki.client,)) as client:
            await in_thread(client.send, packet)
            answer = await in_thread(client.receive)
        await served.events(1)
    assert b"CN=Alice,O=Partners" in answer


async def test_options_of_the_socket(pki: PKI) -> None:
    """They can be set and asked for, also when the client is gone; and only bytes can be written."""

    def look(talk: Talk) -> None:
        transport = transport_of(talk)
        assert transport.getTcpNoDelay()
        assert not transport.getTcpKeepAlive()
        transport.setTcpNoDelay(False)
        transport.setTcpKeepAlive(True)
        assert not transport.getTcpNoDelay()
        assert transport.getTcpKeepAlive()
        with pytest.raises(TypeError):
            transport.write("text")  # type: ignore[arg-type]
        transport.write(b"ok")

    factory = Talks(look)
    async with listening(pki, factory) as served:
        with await in_thread(served.client) as client:
            assert await in_thread(client.receive) == b"ok"
        await factory.talks[0].end()
        transport_of(factory.talks[0]).setTcpNoDelay(True)
        transport_of(factory.talks[0]).write(b"late")
        await served.events(1)


def _reactor() -> Any:
    from twisted.internet import reactor  # only now: pytest-twisted installs it

    return reactor
