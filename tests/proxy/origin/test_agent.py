"""An origin as an agent: treq on top of a pool, in front of a TLS origin that demands our certificate."""

from __future__ import annotations

import io
import json
import threading
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
import treq
from attrs import define, field
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionAborted, ConnectionRefusedError
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web._newclient import WrongBodyLength
from twisted.web.client import (
    FileBodyProducer,
    RequestGenerationFailed,
    ResponseDone,
    ResponseFailed,
    ResponseNeverReceived,
    readBody,
)
from twisted.web.error import SchemeNotSupported
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IClientRequest, IResponse
from zope.interface import implementer
from zope.interface.verify import verifyObject

from edgenode.model.errors import OriginError
from edgenode.net.transport import READ_AHEAD
from edgenode.proxy.origin.agent import ForeignURI, OriginAgent
from tests.support import memory
from tests.support.misbehaviours import MISBEHAVIOURS, RESET, misbehaving
from tests.support.node import OK, PKI, Origin, Served, answering, fields
from tests.support.pools import agent_to, beneath, pool_to

pytestmark = pytest.mark.lasting

URI = b"https://shop.example/a?b"
PLAIN_URI = b"http://shop.example/a?b"


@define
class Fixture:
    """An origin, and the agent to it."""

    origin: Origin
    agent: OriginAgent

    @property
    def client(self) -> HTTPClient:
        """treq on the agent."""
        return HTTPClient(self.agent)

    async def failed(self, *arguments: Any, **options: Any) -> BaseException:
        """What a request fails with."""
        with pytest.raises(BaseException) as caught:
            await self.agent.request(*arguments, **options)
        return caught.value

    async def closed(self) -> None:
        """Wait until there is no connection any more."""
        await until(lambda: not self.agent.pool.open)


async def until(true: Callable[[], object]) -> None:
    """Turn the reactor until something is so."""
    from twisted.internet import reactor

    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end, "it never came to be"
        await deferLater(reactor, 0.002)


def result_of(asked: Deferred[Any]) -> Any:
    """What a Deferred has fired with."""
    fired: list[Any] = []
    asked.addCallback(fired.append)
    (result,) = fired
    return result


def failure_of(asked: Deferred[Any]) -> BaseException | None:
    """What it has failed with."""
    failed: list[Failure] = []
    asked.addErrback(failed.append)
    (failure,) = failed
    return failure.value


@pytest.fixture
def one(pki: PKI) -> Any:
    """A well-behaved origin and its agent."""
    with Origin(pki) as origin, pool_to(pki, origin.port) as pool:
        yield Fixture(origin, agent_to(pool))


@define
class Sink(Protocol):
    """Collects a body.

    :ivar first: the method of the transport to call when the first piece comes.
    :ivar ended: why it ended.
    """

    first: str = ""
    data: bytearray = field(factory=bytearray)
    ended: Deferred[BaseException | None] = field(factory=Deferred)
    transport: Any = None

    def dataReceived(self, data: bytes) -> None:
        """Bytes came."""
        self.data += data
        if self.first:
            first, self.first = self.first, ""
            getattr(self.transport, first)()

    def connectionLost(self, reason: Failure = Failure(ResponseDone())) -> None:  # noqa: B008
        """The end came."""
        self.ended.callback(reason.value)


@implementer(IBodyProducer)
@define(eq=False)
class Pieces:
    """Produces pieces as fast as it may; its end is another's to tell.

    :ivar told: the calls of its consumer.
    """

    length: Any
    consumer: Any = None
    done: Deferred[None] = field(factory=Deferred)
    told: list[str] = field(factory=list)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Remember the consumer."""
        self.told.append("start")
        self.consumer = consumer
        return self.done

    def pauseProducing(self) -> None:
        """No more for now."""
        self.told.append("pause")

    def resumeProducing(self) -> None:
        """More."""
        self.told.append("resume")

    def stopProducing(self) -> None:
        """Nothing more."""
        self.told.append("stop")


# -- requests ----------------------------------------------------------------------------------------------------------


async def test_get_asks_the_origin_as_the_uri_says(one: Fixture) -> None:
    """Path and query go into the target, the authority into the one Host field, and the answer comes back whole."""
    response = await one.client.get("https://shop.example:8443/a/b?c=d&e", headers=Headers({"X-Own": ["1", "2"]}))
    assert (response.code, response.phrase, await response.content()) == (200, b"OK", b"ok")
    (request,) = one.origin.requests
    assert request.startswith(b"GET /a/b?c=d&e HTTP/1.1\r\nHost: shop.example:8443\r\n")
    assert fields(request, "X-Own") == [b"1", b"2"]
    assert fields(request, "Host") == [b"shop.example:8443"]
    assert not fields(request, "Content-Length")
    assert response.request.absoluteURI == b"https://shop.example:8443/a/b?c=d&e"


@pytest.mark.parametrize("uri", [b"https://origin.test/", b"https://ORIGIN/#there", b"https://127.0.0.1:%d"])
async def test_the_origin_is_asked_by_its_names(one: Fixture, uri: bytes) -> None:
    """Its own, its server-name's and its servers'; the connection is made with its certificate."""
    response = await one.agent.request(b"GET", uri.replace(b"%d", b"%d" % one.origin.port))
    assert await readBody(response) == b"ok"
    assert one.origin.peers == ["edge as a client"]
    assert one.origin.requests[0].startswith(b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        (b"https://other.example/", ForeignURI),
        (b"https://origin.test:1/", ForeignURI),
        (b"https://origin.test.evil/", ForeignURI),
        (b"https://[::1]/", ForeignURI),
        (b"https://origin.test@evil.example/", ForeignURI),
        (b"https://evil.example\\@origin.test/", ForeignURI),
        (b"http://origin.test/", SchemeNotSupported),
        (b"file:///etc/passwd", SchemeNotSupported),
    ],
)
async def test_nobody_else_is_asked(one: Fixture, uri: bytes, error: type[Exception]) -> None:
    """A URI of another host, port or scheme is an error that says so, wherever a redirect leads, and no connection is
    opened."""
    failed = await one.failed(b"GET", uri)
    assert type(failed) is error
    assert "the origin 'origin'" in str(failed) or "not a valid host" in str(failed)
    assert (one.agent.pool.open, one.origin.connections) == (0, [])


async def test_the_agent_goes_on_with_the_pool_of_now(pki: PKI) -> None:
    """With what gives the pool a reload is followed: names too."""
    with Origin(pki) as origin, pool_to(pki, origin.port) as one, pool_to(pki, origin.port, host="b.test") as two:
        pools = [one]
        agent = OriginAgent(lambda: pools[-1])
        await readBody(await agent.request(b"GET", b"https://origin.test/"))
        with pytest.raises(ForeignURI):
            await agent.request(b"GET", b"https://b.test/")
        pools.append(two)
        await readBody(await agent.request(b"GET", b"https://b.test/"))
        assert (one.open, two.open) == (1, 1)
    assert [fields(request, "Host") for request in origin.requests] == [[b"origin.test"], [b"b.test"]]


async def test_post_sends_the_body_with_one_length(one: Fixture) -> None:
    """A body of bytes goes with its Content-Length, once."""
    await one.client.post("https://shop.example/", data=b"a body")
    (request,) = one.origin.requests
    assert fields(request, "Content-Length") == [b"6"]
    assert not fields(request, "Transfer-Encoding")
    assert request.endswith(b"\r\n\r\na body")


async def test_json_goes_both_ways(one: Fixture) -> None:
    """treq's json works for the request and for the response."""
    answer = b'{"a": [1]}'
    one.origin.behaviour = answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))
    response = await one.client.put("https://shop.example/", json={"b": 2})
    assert await response.json() == {"a": [1]}
    assert json.loads(one.origin.requests[0].partition(b"\r\n\r\n")[2]) == {"b": 2}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_a_missing_body_is_said_to_be_missing(one: Fixture, method: str) -> None:
    """Methods that are expected to have a body say that they have none."""
    await one.client.request(method, "https://shop.example/")
    assert fields(one.origin.requests[0], "Content-Length") == [b"0"]


async def test_what_a_caller_says_of_framing_and_connection_is_dropped(one: Fixture) -> None:
    """Content-Length, Transfer-Encoding, Expect and all hop-by-hop fields of the caller stay behind."""
    headers = Headers(
        {
            b"Content-Length": [b"3"], b"Transfer-Encoding": [b"chunked"],
            b"Connection": [b"close, X-Hop"], b"Keep-Alive": [b"1"], b"TE": [b"trailers"], b"X-Hop": [b"1"],
            b"Upgrade": [b"h2c"], b"Expect": [b"100-continue"], b"Proxy-Authorization": [b"x"], b"X-Own": [b"1"],
        }
    )  # fmt: skip
    await one.agent.request(b"POST", URI, headers, FileBodyProducer(io.BytesIO(b"a body")))
    assert one.origin.requests == [
        b"POST /a?b HTTP/1.1\r\nHost: shop.example\r\nX-Own: 1\r\nContent-Length: 6\r\n\r\na body"
    ]


async def test_a_line_end_in_a_value_makes_no_second_field(one: Fixture) -> None:
    """Twisted makes a space of a line end in a header value; no field appears out of one."""
    await one.agent.request(b"GET", URI, Headers({b"X-Own": [b"1\r\nX-Other: 2"]}))
    assert fields(one.origin.requests[0], "X-Own") == [b"1 X-Other: 2"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((b"GET", URI, Headers({b"X-Own": [b"a\0b"]})), ValueError),
        ((b"GET", URI, Headers({b"X-Own": [b"a\x7fb"]})), ValueError),
        ((b"GET", URI, Headers({b"Host": [b"a", b"b"]})), ValueError),
        ((b"GET", URI, Headers({b"Host": [b"a b"]})), ValueError),
        ((b"GE T", URI), ValueError),
        ((b"", URI), ValueError),
        ((b"GET\r\nX: y", URI), ValueError),
        ((b"CONNECT", URI), ValueError),
        ((b"GET", b"/relative"), ValueError),
        ((b"GET", b"https:///"), ValueError),
        ((b"GET", b"https://user@shop.example/"), ValueError),
        ((b"GET", b"https://shop.example:99999/"), ValueError),
        ((b"GET", b"https://shop.example/a b"), ValueError),
        ((b"GET", b"https://shop.example/\r\nX-Other: 1"), ValueError),
        ((b"GET", b"https://shop.example/\xc3\xa9"), ValueError),
        ((b"POST", URI, None, Pieces(-1)), ValueError),
        ((b"POST", URI, None, Pieces("many")), ValueError),
        ((b"GET", b"ftp://shop.example/"), SchemeNotSupported),
    ],
)
async def test_what_cannot_be_sent_as_it_is_is_refused(one: Fixture, arguments: Any, error: type[Exception]) -> None:
    """A request that would arrive as something else fails before there is a connection."""
    assert isinstance(await one.failed(*arguments), error)
    assert one.agent.pool.open == 0
    assert one.origin.connections == []


# -- responses ---------------------------------------------------------------------------------------------------------


async def test_head_has_the_length_but_no_body(one: Fixture) -> None:
    """The answer to HEAD is empty, keeps the Content-Length field, and the connection is used again."""
    one.origin.behaviour = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
    for _ in range(2):
        response = await one.agent.request(b"HEAD", URI)
        assert (response.length, response.headers.getRawHeaders("content-length")) == (0, ["99"])
        assert await treq.content(response) == b""
    assert len(one.origin.connections) == 1


async def test_headers_of_the_connection_are_not_the_callers(one: Fixture) -> None:
    """Repeated fields stay repeated; framing and hop-by-hop fields are taken out."""
    head = (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nTransfer-Encoding: chunked\r\nKeep-Alive: 5\r\n\r\n"
    )
    one.origin.behaviour = answering(head + b"2\r\nok\r\n0\r\n\r\n")
    response = await one.agent.request(b"GET", URI)
    assert dict(response.headers.getAllRawHeaders()) == {b"Set-Cookie": [b"a=1", b"b=2"]}
    assert (response.length, await readBody(response)) == (UNKNOWN_LENGTH, b"ok")


@pytest.mark.parametrize(
    ("name", "body", "error"),
    [
        ("well", b"ok", ResponseDone),
        ("with-trailers", b"ok", ResponseDone),
        ("ended-by-the-connection", b"ok", PotentialDataLoss),
        ("cut-in-an-endless-body", b"ok", ResponseFailed),
        ("notify-before-the-last-chunk", b"ok", ResponseFailed),
        ("stall-in-the-body", b"12345", ResponseFailed),
    ],
)
@pytest.mark.parametrize("late", [False, True])
async def test_a_body_ends_as_twisted_documents(
    pki: PKI, name: str, body: bytes, error: type[Exception], late: bool
) -> None:
    """Whole, possibly whole, and not whole are three different ends, now and when the body is asked for late."""
    with Origin(pki, misbehaving()) as origin, pool_to(pki, origin.port, read_timeout=0.3) as pool:
        response = await agent_to(pool).request(b"GET", b"https://shop.example/" + name.encode())
        if late:
            await deferLater(pool.reactor, 0.15)
        sink = Sink()
        response.deliverBody(sink)
        ended = await sink.ended
    assert (type(ended), bytes(sink.data)) == (error, body)
    if isinstance(ended, ResponseFailed):
        assert isinstance(ended.reasons[-1].value, OriginError)
        assert beneath(ended) is ended.reasons[-1].value
        assert ended.response is response


async def test_a_body_is_delivered_once(one: Fixture) -> None:
    """A second protocol is refused."""
    response = await one.agent.request(b"GET", URI)
    response.deliverBody(Sink())
    with pytest.raises(RuntimeError):
        response.deliverBody(Sink())


async def test_a_redirect_is_followed_only_if_wanted(one: Fixture) -> None:
    """Without redirects the 302 comes back; with them the new target is asked of the same origin."""
    moved = b"HTTP/1.1 302 Found\r\nLocation: https://origin.test/new\r\nContent-Length: 0\r\n\r\n"
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    one.origin.behaviour = answering(moved, moved, ok)
    response = await one.client.get("https://shop.example/", allow_redirects=False)
    assert (response.code, len(one.origin.take())) == (302, 1)
    response = await one.client.get("https://shop.example/")
    assert (response.code, [each.code for each in response.history()]) == (200, [302])
    assert fields(one.origin.requests[1], "Host") == [b"origin.test"]


@pytest.mark.parametrize(
    ("location", "error"),
    [
        (b"https://elsewhere.example/", ForeignURI),
        (b"//elsewhere.example/", ForeignURI),
        (b"https://shop.example:9/", ForeignURI),
        (b"http://shop.example/", SchemeNotSupported),
        (b"ftp://shop.example/", SchemeNotSupported),
    ],
)
@pytest.mark.parametrize("browser", [False, True])
async def test_a_redirect_to_another_host_or_scheme_is_an_error(
    one: Fixture, location: bytes, error: type[Exception], browser: bool
) -> None:
    """Nothing is sent there, and nothing to the origin in its place."""
    one.origin.behaviour = answering(b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % location)
    with pytest.raises(error, match="the origin 'origin'"):
        await one.client.get("https://shop.example/", browser_like_redirects=browser)
    assert len(one.origin.requests) == 1


# -- streaming ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True])
def test_a_paused_download_stands_still(pki: PKI, late: bool) -> None:
    """While the body's protocol pauses, or there is none yet, no more than two reads are held; then all of it comes."""
    body = b"x" * 2_000_000
    with memory.node(pki, {"origin origin": {"read-timeout": "1s"}}) as node:
        answered = agent_to(node.pool).request(b"GET", PLAIN_URI)
        origin = node.origin()
        origin.read()
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        sent = origin.send(whole)
        response = result_of(answered)
        sink = Sink(first="" if late else "pauseProducing")
        if not late:
            response.deliverBody(sink)
        sent += origin.send(whole[sent:])
        node.loop.wait(5)  # longer than the read-timeout: the waiting is ours
        if late:
            response.deliverBody(sink)
        assert 0 < len(sink.data) <= 2 * READ_AHEAD
        if not late:
            verifyObject(IPushProducer, sink.transport)
            sink.transport.resumeProducing()
        while sent < len(whole):
            sent += origin.send(whole[sent:])
        node.loop.settle()
        assert isinstance(result_of(sink.ended), ResponseDone)
        assert sink.data == body
        assert node.pool.open == 1


async def test_a_paused_upload_is_not_held_in_memory(pki: PKI) -> None:
    """While the origin reads nothing the producer is paused; when it reads, everything arrives in order."""
    reading = threading.Event()

    def slow(served: Served) -> None:
        reading.wait()
        while not served.received.endswith(b"0\r\n\r\n"):
            served.receive()
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    pieces = [bytes((number % 251,)) * 65536 for number in range(256)]
    producer = Pieces(UNKNOWN_LENGTH)
    with Origin(pki, slow) as origin, pool_to(pki, origin.port) as pool:
        answered = agent_to(pool).request(b"PUT", URI, None, producer)
        await until(lambda: producer.consumer)
        verifyObject(IConsumer, producer.consumer)
        for piece in pieces:
            if producer.told[-1] == "pause":
                (connection,) = pool._connections
                assert connection.transport.queued < 3 * 65536
                reading.set()
                await until(lambda: producer.told[-1] == "resume")
            producer.consumer.write(piece)
        assert reading.is_set(), "the origin's socket took everything: the test shows nothing"
        producer.done.callback(None)
        response = await answered
        body = bytes(origin.connections[0]).partition(b"\r\n\r\n")[2]
    assert response.code == 200
    assert body == b"".join(b"10000\r\n%b\r\n" % piece for piece in pieces) + b"0\r\n\r\n"


async def test_an_empty_piece_does_not_end_a_chunked_body(one: Fixture) -> None:
    """A producer may write nothing: only its Deferred ends the body."""
    producer = Pieces(UNKNOWN_LENGTH)
    answered = one.agent.request(b"POST", URI, None, producer)
    await until(lambda: producer.consumer)
    for piece in (b"a", b"", b"b"):
        producer.consumer.write(piece)
    producer.done.callback(None)
    await answered
    assert one.origin.requests[0].endswith(b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n")


@pytest.mark.parametrize(("length", "data"), [(3, b"four"), (5, b"four"), (0, b"x")])
async def test_a_body_of_another_length_is_never_completed(one: Fixture, length: int, data: bytes) -> None:
    """A producer that writes more or less than it said fails the request; nothing of the surplus is sent."""
    one.origin.behaviour = Served.stall
    producer = Pieces(length)
    answered = one.agent.request(b"POST", URI, None, producer)
    await until(lambda: one.origin.received.endswith(b"\r\n\r\n"))
    producer.consumer.write(data)
    if len(data) <= length:
        await until(lambda: one.origin.received.endswith(data))
        producer.done.callback(None)
    with pytest.raises(RequestGenerationFailed) as caught:
        await answered
    assert caught.value.reasons[0].check(WrongBodyLength)
    await one.closed()
    body = one.origin.received.partition(b"\r\n\r\n")[2]
    assert body == (data if len(data) <= length else b"")


async def test_a_failing_producer_fails_the_request(one: Fixture) -> None:
    """The connection is cut without the last chunk, so that the origin cannot take the body for whole."""
    producer = Pieces(UNKNOWN_LENGTH)
    answered = one.agent.request(b"POST", URI, None, producer)
    await until(lambda: producer.consumer)
    producer.consumer.write(b"half")
    await until(lambda: one.origin.received.endswith(b"4\r\nhalf\r\n"))
    producer.done.errback(OSError("the disk"))
    with pytest.raises(RequestGenerationFailed) as caught:
        await answered
    assert caught.value.reasons[0].check(OSError)
    await one.closed()
    assert one.origin.received.endswith(b"4\r\nhalf\r\n")
    assert one.origin.requests == []


async def test_an_early_answer_stops_the_upload(one: Fixture) -> None:
    """An origin that answers before it has the body gets no more of it, and the connection serves no other request."""

    def hasty(served: Served) -> None:
        served.head()
        served.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
        served.stall()

    one.origin.behaviour = hasty
    producer = Pieces(UNKNOWN_LENGTH)
    response = await one.agent.request(b"POST", URI, None, producer)
    assert (response.code, await readBody(response)) == (413, b"no")
    assert producer.told == ["start", "stop"]
    producer.consumer.write(b"more")
    await one.closed()


# -- ends --------------------------------------------------------------------------------------------------------------


async def test_cancelling_closes_the_connection(one: Fixture) -> None:
    """treq's timeout cancels the request: the connection is closed, and its slot is free."""
    one.origin.behaviour = Served.stall
    with pytest.raises(CancelledError):
        await one.client.get("https://shop.example/", timeout=0.1)
    assert one.agent.pool.open == 0


async def test_cancelling_stops_the_upload(one: Fixture) -> None:
    """A cancelled request asks its producer for nothing more."""
    producer = Pieces(UNKNOWN_LENGTH)
    answered = one.agent.request(b"POST", URI, None, producer)
    await until(lambda: producer.consumer)
    answered.cancel()
    with pytest.raises(CancelledError):
        await answered
    assert (producer.told, one.agent.pool.open) == (["start", "stop"], 0)


async def test_cancelling_gives_up_opening(one: Fixture) -> None:
    """A request cancelled before there is a connection leaves none behind, and sends nothing."""
    answered = one.agent.request(b"GET", URI)
    assert one.agent.pool.open == 1
    answered.cancel()
    with pytest.raises(CancelledError):
        await answered
    assert (one.agent.pool.open, one.origin.received) == (0, b"")


def _big(served: Served) -> None:
    """Answer with 8 MiB."""
    served.request()
    served.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (8 << 20))
    for _ in range(128):
        if not served.send(b"x" * 65536):
            return
    served.stall()


@pytest.mark.parametrize("how", ["stopProducing", "loseConnection", "abortConnection"])
async def test_a_protocol_may_end_its_body(pki: PKI, how: str) -> None:
    """Ending the transport of a body closes the connection, and the protocol hears that it was not all."""
    with Origin(pki, _big) as origin, pool_to(pki, origin.port) as pool:
        response = await agent_to(pool).request(b"GET", URI)
        sink = Sink()
        response.deliverBody(sink)
        getattr(sink.transport, how)()
        assert pool.open == 0
        ended = await sink.ended
    assert isinstance(ended, ResponseFailed)
    assert ended.reasons[0].check(ConnectionAborted)


async def test_a_body_that_has_ended_cannot_touch_its_connection(one: Fixture) -> None:
    """The connection is another request's already: pausing or ending what is over does nothing to it."""
    sink = Sink()
    (await one.agent.request(b"GET", URI)).deliverBody(sink)
    await sink.ended
    following = one.agent.request(b"GET", URI)
    sink.transport.pauseProducing()
    sink.transport.loseConnection()
    assert await readBody(await following) == b"ok"
    assert len(one.origin.connections) == 1


@pytest.mark.parametrize("in_two", [False, True])
def test_what_is_done_with_the_last_piece_does_nothing_to_the_connection(pki: PKI, in_two: bool) -> None:
    """A protocol that pauses, or gives up, as the last of the body comes leaves the pooled connection as it is."""
    with memory.node(pki) as node:
        for how in ("pauseProducing", "loseConnection"):
            sink = Sink(first=how)
            answered = agent_to(node.pool).request(b"GET", PLAIN_URI)
            for piece in (OK[:-2], OK[-2:]) if in_two else (OK,):
                node.asked().send(piece)
            result_of(answered).deliverBody(sink)
            assert isinstance(result_of(sink.ended), ResponseDone)
            answered = agent_to(node.pool).request(b"GET", PLAIN_URI)
            node.asked().send(OK)
            assert result_of(readBody(result_of(answered))) == b"ok"
        assert len(node.opened) == 1


async def test_trailers_leave_the_connection_in_order(pki: PKI) -> None:
    """A response with trailers is read to its end, and its connection is used again."""
    with Origin(pki, misbehaving()) as origin, pool_to(pki, origin.port) as pool:
        for _ in range(3):
            response = await agent_to(pool).request(b"GET", b"https://shop.example/with-trailers")
            await deferLater(pool.reactor, 0)
            assert await readBody(response) == b"ok"
        assert len(origin.connections) == 1


# -- connections -------------------------------------------------------------------------------------------------------


async def test_connections_are_kept_and_used_again(one: Fixture) -> None:
    """Requests one after the other share a connection; requests at once have one each, and those are kept."""
    for _ in range(3):
        assert await (await one.client.get("https://shop.example/")).content() == b"ok"
    assert (len(one.origin.connections), one.agent.pool.open) == (1, 1)
    for answered in [one.client.get("https://shop.example/") for _ in range(3)]:
        assert await (await answered).content() == b"ok"
    assert (len(one.origin.connections), one.agent.pool.open) == (3, 3)


async def test_each_identity_has_connections_of_its_own(pki: PKI) -> None:
    """Two origins with the same server and different certificates share no connection, however requests alternate."""
    first, second = pki.servers.issue("first"), pki.servers.issue("second")
    with (
        Origin(pki, _who) as origin,
        pool_to(pki, origin.port, certificate=first) as one,
        pool_to(pki, origin.port, certificate=second) as two,
    ):
        for _ in range(3):
            for pool, name in ((one, b"first"), (two, b"second")):
                response = await agent_to(pool).request(b"GET", URI)
                assert await readBody(response) == name
        assert sorted(origin.peers) == ["first", "second"]


def _who(served: Served) -> None:
    """Answer with the client's name."""
    name = served.peer.encode()
    answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name))(served)


@pytest.mark.parametrize(("method", "count"), [(b"GET", 3), (b"POST", 2)])
async def test_a_stale_connection_repeats_only_what_may_be_repeated(one: Fixture, method: bytes, count: int) -> None:
    """The origin closes a kept connection just as it is used: GET goes out again, POST fails."""

    def closing(served: Served) -> None:
        if served.request():
            served.send(OK)
            served.request()

    one.origin.behaviour = closing
    await readBody(await one.agent.request(b"GET", URI))
    answered = one.agent.request(method, URI)
    if method == b"GET":
        assert await readBody(await answered) == b"ok"
    else:
        with pytest.raises(ResponseNeverReceived) as caught:
            await answered
        error = beneath(caught.value)
        assert (error.kind, error.sent) == ("reset", True)
    assert len(one.origin.requests) == count


async def test_a_server_that_fails_is_followed_by_the_next(pki: PKI) -> None:
    """What was not sent goes to the next server with its body; what was, only if it may be repeated."""

    def resetting(served: Served) -> None:
        served.request()
        served.reset()

    with Origin(pki) as good, Origin(pki, resetting) as bad:
        with Origin(pki) as gone:
            port = gone.port
        with pool_to(pki, port, good.port) as pool:
            response = await HTTPClient(agent_to(pool)).post("https://shop.example/", data=b"a body")
            assert (response.code, good.take()[0][-6:]) == (200, b"a body")
        with pool_to(pki, bad.port, good.port) as pool:
            assert (await agent_to(pool).request(b"GET", URI)).code == 200
        with pool_to(pki, bad.port, good.port) as pool, pytest.raises(ResponseNeverReceived):
            await agent_to(pool).request(b"POST", URI)
        assert (len(bad.requests), len(good.requests)) == (2, 1)


async def test_a_busy_server_is_followed_by_the_next_if_there_is_one(pki: PKI) -> None:
    """With http-503 in next-upstream the next server answers; the last one's 503 is the answer."""
    busy = answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
    with Origin(pki, busy) as one, Origin(pki) as two:
        for ports, status in (((one.port, two.port), 200), ((one.port,), 503)):
            with pool_to(pki, *ports, next_upstream=("http-503",)) as pool:
                assert (await agent_to(pool).request(b"GET", URI)).code == status


def test_a_post_s_503_is_a_failure_of_its_server(pki: PKI) -> None:
    """It is the answer, for a POST is not repeated; but the server is passed over from now on."""
    servers = "http://127.0.0.1:81, http://127.0.0.1:82"
    changes = {"origin origin": {"servers": servers, "next-upstream": "http-503", "max-fails": "1"}}
    with memory.node(pki, changes) as node:
        for expected in (503, 200, 200):
            answered = agent_to(node.pool).request(b"POST", PLAIN_URI)
            origin = node.asked()
            origin.send(OK if origin.address[1] == 82 else OK.replace(b"200 OK", b"503 Busy"))
            assert result_of(answered).code == expected
            assert origin.address[1] == (81 if expected == 503 else 82)
        assert [server.out_until > 0 for server in node.pool.balancer.servers] == [True, False]


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS"])
@pytest.mark.parametrize("length", [4, UNKNOWN_LENGTH])
def test_no_connection_is_kept_after_a_body_that_may_be_overlooked(pki: PKI, method: bytes, length: Any) -> None:
    """The origin may take it for the next request, whose answer would be somebody else's; of a POST it is kept."""
    with memory.node(pki) as node:
        for asked, kept in ((method, 0), (b"POST", 1)):
            producer = Pieces(length)
            answered = agent_to(node.pool).request(asked, PLAIN_URI, None, producer)
            origin = node.asked()
            producer.consumer.write(b"body")
            producer.done.callback(None)
            assert b"body" in origin.read()
            origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            assert result_of(answered).code == 200
            assert node.pool.open == kept


async def test_no_server_is_an_origin_error(pki: PKI) -> None:
    """A refused connection fails as 502, kind connect, with nothing sent."""
    with Origin(pki) as origin:
        port = origin.port
    with pool_to(pki, port) as pool, pytest.raises(ConnectionRefusedError) as caught:
        await agent_to(pool).request(b"GET", URI)
    error = beneath(caught.value)
    assert (error.status, error.kind, error.sent) == (502, "connect", False)


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_whatever_the_origin_does_the_caller_is_told(pki: PKI, name: str) -> None:
    """A bad head and a bad body are a ResponseFailed; a good one is whole."""
    expected = MISBEHAVIOURS[name]
    with memory.node(pki, {"origin origin": {"read-timeout": "400ms"}}, tls=True) as node:
        node.tcp = expected.then == RESET
        answered = agent_to(node.pool).request(b"GET", b"https://shop.example/" + name.encode())
        origin = node.origin()
        origin.read()
        origin.misbehave(expected)
        node.loop.wait(4, 0.2)
        if expected.status in (502, 504):
            failed = failure_of(answered)
            assert isinstance(failed, ResponseFailed)
            error = beneath(failed)
            assert error.status == expected.status
            assert expected.reason in error.reason
            return
        response = result_of(answered)
        assert response.code == expected.status
        content = treq.content(response)
        node.loop.wait(4, 0.2)
        if expected.reason:
            failed = failure_of(content)
            assert isinstance(failed, ResponseFailed)
            assert expected.reason in beneath(failed).reason
        else:
            assert result_of(content) == expected.body


@pytest.mark.parametrize("name", [name for name, each in MISBEHAVIOURS.items() if each.endless])
async def test_what_never_ends_fills_no_memory(pki: PKI, name: str) -> None:
    """An answer that goes on for ever is given up with less than a megabyte of it in memory."""
    with Origin(pki, misbehaving()) as origin, pool_to(pki, origin.port) as pool:
        client = agent_to(pool)
        await readBody(await client.request(b"GET", URI))  # what is made once is made
        tracemalloc.start()
        try:
            with pytest.raises(ResponseFailed):
                await readBody(await client.request(b"GET", b"https://shop.example/" + name.encode()))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 1 << 20


async def test_everything_provides_what_it_says(one: Fixture) -> None:
    """Agent, response and request are what their interfaces ask for."""
    verifyObject(IAgent, one.agent)
    response = await one.agent.request(b"GET", URI)
    verifyObject(IResponse, response)
    verifyObject(IClientRequest, response.request)
    await readBody(response)
