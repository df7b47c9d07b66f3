"""``OriginAgent`` beside ``twisted.web.client.Agent``: the same origins, the same calls, the same outcomes."""

from __future__ import annotations

import contextlib
import gzip
import io
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from http.cookiejar import CookieJar
from typing import Any

import pytest
from attrs import define, field, frozen
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    BrowserLikeRedirectAgent,
    ContentDecoderAgent,
    CookieAgent,
    FileBodyProducer,
    GzipDecoder,
    HTTPConnectionPool,
    RedirectAgent,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
    ResponseNeverReceived,
    readBody,
)
from twisted.web.error import InfiniteRedirection, RedirectWithNoLocation, SchemeNotSupported
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from edgenode.model.settings import Word
from edgenode.proxy.origin.agent import OriginAgent
from tests.support.node import OK, PKI, Behaviour, Origin, Served, answering
from tests.support.pools import beneath, pool_to

pytestmark = [
    pytest.mark.lasting,
    pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning"),  # which Twisted itself does
    pytest.mark.filterwarnings("ignore:Using readBody with a transport:DeprecationWarning"),
]

AGENTS = ["twisted", "ours"]
NAME = "origin.test"


@implementer(IAgent)
@define(eq=False)
class Tried:
    """An agent to one origin: Twisted's own, or ours."""

    ours: bool
    agent: Any
    scheme: bytes
    reactor: Any

    def request(self, method: bytes, uri: bytes, *arguments: Any) -> Deferred[IResponse]:
        """Ask; a target is made a URI of the origin."""
        if uri.startswith(b"/"):
            uri = self.scheme + b"://" + NAME.encode() + uri
        asked: Deferred[IResponse] = self.agent.request(method, uri, *arguments)
        return asked


@contextlib.asynccontextmanager
async def tried(which: str, pki: PKI, port: int, tls: bool = False) -> AsyncIterator[Tried]:
    """Either agent, to the same origin, with the same certificate and trust."""
    from twisted.internet import reactor

    scheme = b"https" if tls else b"http"
    if which == "ours":
        with pool_to(pki, port, tls=tls, server_name=Word(NAME)) as pool:
            yield Tried(True, OriginAgent(pool), scheme, reactor)
            pool.abort()
        return

    class Endpoints:
        def endpointForURI(self, uri: URI) -> Any:
            if uri.scheme not in (b"http", b"https"):
                raise SchemeNotSupported(repr(uri.scheme))
            to = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
            if not tls:
                return to
            text = (pki.folder / "origin-client.pem").read_text() + (pki.folder / "origin-client.key").read_text()
            ours = PrivateCertificate.loadPEM(text)
            trust = Certificate.loadPEM((pki.folder / "servers.pem").read_bytes())
            return wrapClientTLS(optionsForClientTLS(NAME, trust, ours), to)

    pki.servers.issue("edge as a client").write(pki.folder, "origin-client")
    from twisted.web.iweb import IAgentEndpointFactory

    endpoints = implementer(IAgentEndpointFactory)(Endpoints)()
    kept = HTTPConnectionPool(reactor)
    yield Tried(False, Agent.usingEndpointFactory(reactor, endpoints, kept), scheme, reactor)
    await kept.closeCachedConnections()


@define
class Sink(Protocol):
    """Collects a body.

    :ivar ended: why it ended.
    """

    data: bytearray = field(factory=bytearray)
    ended: Deferred[BaseException | None] = field(factory=Deferred)
    transport: Any = None

    def dataReceived(self, data: bytes) -> None:
        """Bytes came."""
        self.data += data

    def connectionLost(self, reason: Failure = Failure(ResponseDone())) -> None:  # noqa: B008
        """The end came."""
        self.ended.callback(reason.value)


@implementer(IBodyProducer)
@define(eq=False)
class Producer:
    """A body that the test produces."""

    length: Any = UNKNOWN_LENGTH
    consumer: Any = None
    started: Deferred[None] = field(factory=Deferred)
    done: Deferred[None] = field(factory=Deferred)
    stopped: int = 0

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Tell the test."""
        self.consumer = consumer
        self.started.callback(None)
        return self.done

    def pauseProducing(self) -> None:
        """Nothing."""

    def resumeProducing(self) -> None:
        """Nothing."""

    def stopProducing(self) -> None:
        """Count."""
        self.stopped += 1


async def begun(producer: Producer, agent: Tried) -> None:
    """Wait until a producer was asked to produce, and it is over."""
    await producer.started
    await deferLater(agent.reactor, 0)


async def failure_of(awaited: Awaitable[Any]) -> Exception:
    """What it fails with."""
    with pytest.raises(Exception) as caught:
        await awaited
    return caught.value


def head_then(*pieces: bytes, end: str = "") -> Behaviour:
    """Read a request, send pieces, end."""

    def behave(served: Served) -> None:
        served.request()
        for piece in pieces:
            served.send(piece)
        if end == "reset":
            served.reset()
        elif end == "stall":
            served.stall()
        else:
            served.notify()

    return behave


# -- no response -------------------------------------------------------------------------------------------------------


@frozen
class Case:
    """An origin that does not answer, and what both agents fail with.

    :ivar reason: the kind of the first of its reasons.
    :ivar kind: of the origin's error.
    """

    behaviour: Behaviour
    error: type[Exception]
    reason: type[BaseException]
    kind: str


CASES = {
    "closed": Case(head_then(), ResponseNeverReceived, ConnectionDone, "reset"),
    "reset": Case(head_then(end="reset"), ResponseNeverReceived, ConnectionLost, "reset"),
    "half-a-head": Case(head_then(b"HTTP/1.1 200 OK\r\nA: "), ResponseFailed, ConnectionDone, "reset"),
    "reset-in-the-head": Case(
        head_then(b"HTTP/1.1 200 OK\r\nA: ", end="reset"), ResponseFailed, ConnectionLost, "reset"
    ),
    "no-http": Case(head_then(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), ResponseFailed, Exception, "invalid"),
}


@pytest.mark.parametrize("which", AGENTS)
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("name", CASES)
async def test_an_origin_that_does_not_answer(pki: PKI, which: str, tls: bool, name: str) -> None:
    """The exception and the first of its reasons are of the same kind."""
    case = CASES[name]
    with Origin(pki, case.behaviour, tls=tls) as origin:
        async with tried(which, pki, origin.port, tls) as agent:
            error = await failure_of(agent.request(b"GET", b"/"))
    assert type(error) is case.error
    assert isinstance(error, ResponseFailed)
    assert error.reasons[0].check(case.reason)
    if agent.ours:
        assert (beneath(error).kind, beneath(error).sent) == (case.kind, True)
        assert error.reasons[-1].value is beneath(error)


@pytest.mark.parametrize("which", AGENTS)
async def test_a_refused_connection(pki: PKI, which: str) -> None:
    """``ConnectionRefusedError``, with the number of the system's error."""
    with Origin(pki, tls=False) as origin:
        port = origin.port
    async with tried(which, pki, port) as agent:
        error = await failure_of(agent.request(b"GET", b"/"))
    assert type(error) is ConnectionRefusedError
    assert error.osError == 111


async def test_a_name_without_an_address(pki: PKI, monkeypatch: pytest.MonkeyPatch) -> None:
    """``DNSLookupError``, as from Twisted's ``HostnameEndpoint``."""
    from twisted.internet import reactor

    def getaddrinfo(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pool_to(pki, "nowhere.test:80", tls=False) as pool:
        ours = await failure_of(OriginAgent(pool).request(b"GET", b"http://origin.test/"))
    twisteds = await failure_of(Agent(reactor).request(b"GET", b"http://nowhere.test/"))
    assert type(ours) is type(twisteds) is DNSLookupError
    assert beneath(ours).kind == "connect"


@pytest.mark.parametrize("which", AGENTS)
@pytest.mark.parametrize(
    ("stem", "reason"), [("of-strangers", SSL.Error), ("expired", SSL.Error), ("another-name", VerificationError)]
)
@pytest.mark.parametrize("body", [False, True])
async def test_a_certificate_that_is_not_the_origins(
    pki: PKI, which: str, stem: str, reason: type[Exception], body: bool
) -> None:
    """Nothing is sent; the reason is what OpenSSL, or service-identity, says."""
    _issue_wrong(pki)
    with Origin(pki, stem=stem) as origin:
        async with tried(which, pki, origin.port, tls=True) as agent:
            producer = [FileBodyProducer(io.BytesIO(b"body"))] if body else []
            error = await failure_of(agent.request(b"POST", b"/", None, *producer))
    # Twisted's has no producer of this body's any more when it hears of it; which of the two it is, is timing.
    kinds = (RequestTransmissionFailed, ResponseNeverReceived) if body else (ResponseNeverReceived,)
    assert isinstance(error, kinds)
    assert error.reasons[0].check(reason)
    assert origin.received == b""
    if agent.ours:
        assert (beneath(error).kind, beneath(error).sent) == ("certificate", False)
        assert type(error) is kinds[0]


def _issue_wrong(pki: PKI) -> None:
    import datetime

    from tests.support.certificates import SERVER, make_authority, now

    named: Any = {"eku": [SERVER], "sans": ["DNS:origin.test"]}
    make_authority("Strangers").issue("origin", **named).write(pki.folder, "of-strangers")
    pki.servers.issue("origin", **named, not_after=now() - datetime.timedelta(hours=1)).write(pki.folder, "expired")
    pki.servers.issue("origin", eku=[SERVER], sans=["DNS:other.test"]).write(pki.folder, "another-name")


# -- cancelled ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", AGENTS)
async def test_a_request_that_is_cancelled_when_it_was_sent(pki: PKI, which: str) -> None:
    """``ResponseNeverReceived`` with the ``CancelledError``; ours is one itself, so that ``addTimeout`` tells."""
    with Origin(pki, Served.stall, tls=False) as origin:
        async with tried(which, pki, origin.port) as agent:
            asked = agent.request(b"GET", b"/")
            while not origin.received:
                await deferLater(agent.reactor, 0.002)
            asked.cancel()
            error = await failure_of(asked)
            assert isinstance(error, ResponseNeverReceived)
            assert error.reasons[0].check(CancelledError)
            assert isinstance(error, CancelledError) == agent.ours


@pytest.mark.parametrize("which", AGENTS)
async def test_a_request_that_is_cancelled_before_there_is_a_connection(pki: PKI, which: str) -> None:
    """``ConnectingCancelledError``, or Twisted's plain ``CancelledError``, which is in ours too."""
    from twisted.internet.error import ConnectingCancelledError

    with Origin(pki, Served.stall, tls=False) as origin:
        async with tried(which, pki, origin.port) as agent:
            asked = agent.request(b"GET", b"/")
            asked.cancel()
            error = await failure_of(asked)
            assert isinstance(error, (CancelledError, ConnectingCancelledError))
            assert isinstance(error, ConnectingCancelledError)


@pytest.mark.parametrize("which", AGENTS)
async def test_a_request_that_is_cancelled_while_its_body_is_sent(pki: PKI, which: str) -> None:
    """``RequestGenerationFailed`` with the ``CancelledError``; the connection is closed without the body's end."""
    with Origin(pki, Served.stall, tls=False) as origin:
        async with tried(which, pki, origin.port) as agent:
            producer = Producer()
            asked = agent.request(b"POST", b"/", None, producer)
            await begun(producer, agent)
            asked.cancel()
            error = await failure_of(asked)
            assert isinstance(error, RequestGenerationFailed)
            assert error.reasons[0].check(CancelledError)
    assert b"0\r\n\r\n" not in origin.received


# -- bodies of requests ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", AGENTS)
async def test_an_origin_that_closes_while_the_body_is_sent(pki: PKI, which: str) -> None:
    """``RequestTransmissionFailed``, and the producer is stopped."""

    def hang_up(served: Served) -> None:
        served.head()

    with Origin(pki, hang_up, tls=False) as origin:
        async with tried(which, pki, origin.port) as agent:
            producer = Producer()
            error = await failure_of(agent.request(b"POST", b"/", None, producer))
    assert type(error) is RequestTransmissionFailed
    assert error.reasons[0].check(ConnectionDone, ConnectionLost)
    assert producer.stopped == 1


@pytest.mark.parametrize("which", AGENTS)
@pytest.mark.parametrize("data", [b"abcd", b"ab"])
async def test_a_body_of_another_length(pki: PKI, which: str, data: bytes) -> None:
    """``RequestGenerationFailed`` with ``WrongBodyLength``."""
    from twisted.web._newclient import WrongBodyLength

    with Origin(pki, Served.stall, tls=False) as origin:
        async with tried(which, pki, origin.port) as agent:
            producer = Producer(length=3)
            asked = agent.request(b"POST", b"/", None, producer)
            await begun(producer, agent)
            producer.consumer.write(data)
            if len(data) < 3:
                producer.done.callback(None)
            error = await failure_of(asked)
    assert type(error) is RequestGenerationFailed
    assert error.reasons[0].check(WrongBodyLength)


@pytest.mark.parametrize("which", AGENTS)
@pytest.mark.parametrize("at_once", [False, True])
async def test_a_producer_that_fails(pki: PKI, which: str, at_once: bool) -> None:
    """``RequestGenerationFailed`` with its error, whether it raises it or its Deferred fails."""

    class Raising(Producer):
        def startProducing(self, consumer: IConsumer) -> Deferred[None]:
            raise OSError("the disk")

    with Origin(pki, Served.stall, tls=False) as origin:
        async with tried(which, pki, origin.port) as agent:
            producer = Raising() if at_once else Producer()
            asked = agent.request(b"POST", b"/", None, producer)
            if not at_once:
                await begun(producer, agent)
                producer.done.errback(OSError("the disk"))
            error = await failure_of(asked)
    assert type(error) is RequestGenerationFailed
    assert error.reasons[0].check(OSError)


async def test_a_producer_whose_stop_fails(pki: PKI, flush_logged_errors: Any) -> None:
    """Its exception is logged, and the request fails as it would have; Twisted's agent says nothing any more."""

    class Raising(Producer):
        def stopProducing(self) -> None:
            raise RuntimeError("cannot stop")

    def hang_up(served: Served) -> None:
        served.head()

    with Origin(pki, hang_up, tls=False) as origin:
        async with tried("ours", pki, origin.port) as agent:
            error = await failure_of(agent.request(b"POST", b"/", None, Raising()))
    assert type(error) is RequestTransmissionFailed
    assert len(flush_logged_errors(RuntimeError)) == 1


@pytest.mark.parametrize("which", AGENTS)
@pytest.mark.parametrize("known", [False, True])
async def test_a_file_is_sent(pki: PKI, which: str, known: bool) -> None:
    """With its length, or in chunks if nobody can know it."""
    data = b"x" * 300_000

    class Pipe:
        def __init__(self) -> None:
            self._file = io.BytesIO(data)
            self.read, self.close = self._file.read, self._file.close

    with Origin(pki, tls=False) as origin:
        async with tried(which, pki, origin.port) as agent:
            producer = FileBodyProducer(io.BytesIO(data) if known else Pipe())
            response = await agent.request(b"PUT", b"/", None, producer)
            assert await readBody(response) == b"ok"
    (request,) = origin.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert (b"Content-Length: 300000" in head, b"Transfer-Encoding: chunked" in head) == (known, not known)
    assert body.count(b"x") == 300_000


# -- what cannot be asked ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", AGENTS)
@pytest.mark.parametrize(
    ("method", "uri", "error"),
    [
        (b"GET", b"ftp://origin.test/", SchemeNotSupported),
        (b"GE T", b"/", ValueError),
        (b"GET", b"/a b", ValueError),
        (b"GET", b"/\r\nA: b", ValueError),
        ("GET", b"/", TypeError),
    ],
)
async def test_what_cannot_be_asked(pki: PKI, which: str, method: Any, uri: bytes, error: type[Exception]) -> None:
    """The same exception, before there is a connection."""

    async def ask(agent: Tried) -> None:
        await agent.request(method, uri)

    with Origin(pki, tls=False) as origin:
        async with tried(which, pki, origin.port) as agent:
            assert type(await failure_of(ask(agent))) is error
    assert origin.connections == []


# -- responses ---------------------------------------------------------------------------------------------------------

ANSWERS: dict[str, tuple[bytes, bytes, Any, bytes, type[Exception]]] = {
    "length": (b"GET", OK, 2, b"ok", ResponseDone),
    "empty": (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, b"", ResponseDone),
    "head": (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 0, b"", ResponseDone),
    "204": (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", 0, b"", ResponseDone),
    "304": (b"GET", b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', 0, b"", ResponseDone),
    "no-phrase": (b"GET", b"HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n", 0, b"", ResponseDone),
    "interim": (b"GET", b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK, 2, b"ok", ResponseDone),
    "chunks": (
        b"GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
        UNKNOWN_LENGTH, b"ab", ResponseDone,
    ),
    "fields": (
        b"GET", b"HTTP/1.1 200 OK\r\nX-A: 1\r\nSet-Cookie: a=b\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n",
        0, b"", ResponseDone,
    ),
}  # fmt: skip
CUT = {
    "until-the-end": (b"HTTP/1.1 200 OK\r\n\r\nabc", UNKNOWN_LENGTH, b"abc", PotentialDataLoss),
    "too-short": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", 5, b"abc", ResponseFailed),
    "no-last-chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", UNKNOWN_LENGTH, b"abc", ResponseFailed
    ),
}  # fmt: skip


async def look(agent: Tried, method: bytes, late: bool) -> tuple[Any, ...]:
    """All that a caller sees of a response."""
    response = await agent.request(method, b"/a?b", Headers({b"X-Own": [b"1"]}))
    if late:
        await deferLater(agent.reactor, 0.05)
    sink = Sink()
    response.deliverBody(sink)
    ended = await sink.ended
    if isinstance(ended, ResponseFailed):
        assert ended.response is response
        assert ended.reasons[0].check(ConnectionDone, ConnectionLost)
    with pytest.raises(RuntimeError):
        response.deliverBody(Sink())
    request = response.request
    return (
        response.version,
        response.code,
        response.phrase,
        response.length,
        sorted(response.headers.getAllRawHeaders()),
        response.previousResponse,
        request.method,
        request.absoluteURI,
        request.headers.getRawHeaders(b"X-Own"),
        bytes(sink.data),
        type(ended),
    )


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", [*ANSWERS, *CUT])
async def test_a_response_looks_the_same(pki: PKI, name: str, late: bool) -> None:
    """Status, phrase, length, fields, request, body, and how the body ends, asked for at once or later."""
    if name in CUT:
        answer, length, body, end = CUT[name]
        method, behaviour = b"GET", head_then(answer)
    else:
        method, answer, length, body, end = ANSWERS[name]
        behaviour = answering(answer)
    seen = []
    with Origin(pki, behaviour, tls=False) as origin:
        for which in AGENTS:
            async with tried(which, pki, origin.port) as agent:
                seen.append(await look(agent, method, late))
    assert seen[0] == seen[1]
    assert (seen[1][3], *seen[1][-2:]) == (length, body, end)


@pytest.mark.parametrize("which", AGENTS)
@pytest.mark.parametrize("how", ["stopProducing", "loseConnection"])
async def test_a_body_that_nobody_wants(pki: PKI, which: str, how: str) -> None:
    """Its transport ends it; the protocol hears ``ResponseFailed``."""

    def big(served: Served) -> None:
        served.request()
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\nabc")
        served.stall()

    with Origin(pki, big, tls=False) as origin:
        async with tried(which, pki, origin.port) as agent:
            response = await agent.request(b"GET", b"/")
            sink = Sink()
            response.deliverBody(sink)
            getattr(sink.transport, how)()
            error = await sink.ended
    assert type(error) is ResponseFailed
    if agent.ours:
        assert IPushProducer.providedBy(sink.transport)


@pytest.mark.parametrize("which", AGENTS)
async def test_a_body_s_protocol_that_raises(pki: PKI, which: str, flush_logged_errors: Any) -> None:
    """It is told that its body failed; other requests are served."""

    class Raising(Sink):
        def dataReceived(self, data: bytes) -> None:
            raise RuntimeError("the protocol's own")

    with Origin(pki, head_then(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", end="stall"), tls=False) as origin:
        async with tried(which, pki, origin.port) as agent:
            response = await agent.request(b"GET", b"/")
            sink = Raising()
            with contextlib.suppress(RuntimeError):
                response.deliverBody(sink)
            assert not sink.ended.called
            origin.behaviour = answering(OK)
            assert await readBody(await agent.request(b"GET", b"/")) == b"ok"
            sink.transport.loseConnection()
            await sink.ended
    flush_logged_errors(RuntimeError)


async def test_reading_a_body_can_be_cancelled(pki: PKI) -> None:
    """``readBody`` needs ``abortConnection`` for that, which ours has and Twisted's has not."""
    with Origin(pki, head_then(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", end="stall"), tls=False) as origin:
        async with tried("ours", pki, origin.port) as agent:
            reading = readBody(await agent.request(b"GET", b"/"))
            reading.cancel()
            assert isinstance(await failure_of(reading), CancelledError)
            await deferLater(agent.reactor, 0)
            assert agent.agent.pool.open == 0


# -- wrapped -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", AGENTS)
@pytest.mark.parametrize("wrapper", [RedirectAgent, BrowserLikeRedirectAgent])
async def test_a_redirect_is_followed(pki: PKI, which: str, wrapper: Callable[[Any], Any]) -> None:
    """A relative one, with the response before it in ``previousResponse``; endless and empty ones fail."""
    moved = b"HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n"
    nowhere = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"
    with Origin(pki, tls=False) as origin:
        async with tried(which, pki, origin.port) as agent:
            uri = agent.scheme + b"://origin.test/"
            origin.behaviour = answering(moved, OK, nowhere, moved)
            response = await wrapper(agent).request(b"GET", uri)
            assert (response.code, response.request.absoluteURI[-5:]) == (200, b"/next")
            assert response.previousResponse.code == 302
            assert await readBody(response) == b"ok"
            for reason in (RedirectWithNoLocation, InfiniteRedirection):
                error = await failure_of(wrapper(agent).request(b"GET", uri))
                assert isinstance(error, ResponseFailed)
                assert error.reasons[0].check(reason)
    assert origin.requests[1].startswith(b"GET /next HTTP/1.1\r\n")


@pytest.mark.parametrize("which", AGENTS)
async def test_cookies_are_kept(pki: PKI, which: str) -> None:
    """``CookieAgent`` sends back what the origin has set."""
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    with Origin(pki, answering(cookie), tls=False) as origin:
        async with tried(which, pki, origin.port) as agent:
            client = CookieAgent(agent, CookieJar())
            for _ in range(2):
                await client.request(b"GET", b"http://origin.test/")
    assert [b"Cookie: a=b" in request for request in origin.requests] == [False, True]


@pytest.mark.parametrize("which", AGENTS)
async def test_content_is_decoded(pki: PKI, which: str) -> None:
    """``ContentDecoderAgent`` asks for gzip and unpacks it."""
    body = gzip.compress(b"hello")
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with Origin(pki, answering(answer), tls=False) as origin:
        async with tried(which, pki, origin.port) as agent:
            client = ContentDecoderAgent(agent, [(b"gzip", GzipDecoder)])
            response = await client.request(b"GET", b"http://origin.test/")
            assert (response.length, await readBody(response)) == (UNKNOWN_LENGTH, b"hello")
            assert not response.headers.hasHeader(b"content-encoding")
    assert b"Accept-Encoding: gzip" in origin.requests[0]


@pytest.mark.parametrize("which", AGENTS)
async def test_a_caller_s_host_is_sent(pki: PKI, which: str) -> None:
    """A Host among the headers stands for that of the URI: how a virtual host is asked."""
    with Origin(pki, tls=False) as origin:
        async with tried(which, pki, origin.port) as agent:
            await readBody(await agent.request(b"GET", b"/", Headers({b"Host": [b"www.shop.example"]})))
    assert origin.requests[0].count(b"Host:") == 1
    assert b"\r\nHost: www.shop.example\r\n" in origin.requests[0]
