"""HTTP/2 to origins: servers that are not ours, asked through a pool."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import Factory, define
from h2.settings import SettingCodes
from twisted.internet.task import deferLater

from edgenode.model.errors import OriginError
from edgenode.model.exchange import Headers
from edgenode.proxy.origin.attempts import Attempts
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.streams import NO_CONTENT, OriginStream, ResponseHead
from tests.proxy.origin.test_agent import until
from tests.support.http2_origins import Asked, Http2Origin, Spoken
from tests.support.node import OK, PKI, Origin, Served
from tests.support.pools import pool_to

pytestmark = pytest.mark.lasting


@define(eq=False)
class Asking(Attempts):
    """A request to an origin, as an exchange makes it.

    :ivar sends: its body, piece by piece.
    :ivar trailers: behind it.
    :ivar got: the response's body so far.
    :ivar over: whether the response is complete, or there will be none.
    """

    pool: OriginPool
    method: bytes = b"GET"
    sends: tuple[bytes, ...] = ()
    lines: bytes = b""
    length: int | None = NO_CONTENT
    trailers: Headers = ()
    repeatable: bool = True
    pausing: bool = False
    interims: list[int] = Factory(list)
    head: ResponseHead | None = None
    got: bytes = b""
    took_trailers: Headers = ()
    error: OriginError | None = None
    over: bool = False
    drained: int = 0

    def begin(self) -> Asking:
        """Ask."""
        self.attempt()
        return self

    def send(self, stream: OriginStream) -> None:
        """Send all of it."""
        whole = not self.sends
        stream.begin(self, self.method, b"/", b"a.test", self.lines, self.length, b"", whole)
        for number, piece in enumerate(self.sends):
            last = number + 1 == len(self.sends)
            stream.send_body(piece, last, self.trailers if last else ())

    def interim(self, head: ResponseHead) -> None:
        """1xx."""
        self.interims.append(head.status)

    def origin_drained(self) -> None:
        """All is sent."""
        self.drained += 1

    def take_response(self, head: ResponseHead, body: bytes, done: bool) -> None:
        """The head."""
        self.head = head
        self.response_body(body, done, ())

    def response_body(self, body: bytes, done: bool, trailers: Headers) -> None:
        """More of it."""
        self.got += body
        self.took_trailers = trailers
        self.over = done
        if self.pausing and not done and self.stream is not None:
            self.stream.pause()

    def no_response(self, error: OriginError) -> None:
        """None."""
        self.error, self.over = error, True

    def response_broken(self, error: OriginError) -> None:
        """No more."""
        self.error, self.over = error, True


async def asked(pool: OriginPool, **options: Any) -> Asking:
    """Ask, and wait for the end."""
    asking = Asking(pool, **options).begin()
    await until(lambda: asking.over)
    return asking


async def test_many_requests_share_one_connection(pki: PKI) -> None:
    """Fifty at once, of whom all but one wait for the connection that the first has begun."""
    with Http2Origin(pki) as origin, pool_to(pki, origin.port, protocol="h2") as pool:
        asking = [Asking(pool).begin() for _ in range(50)]
        await until(lambda: all(each.over for each in asking))
        assert [(each.got, each.tries, each.error) for each in asking] == [(b"ok", 1, None)] * 50
        assert [each.reused for each in asking] == [False, *[True] * 49]
        assert len(origin.spoken) == 1
        assert pool.open == 1
        assert asking[0].head is not None
        assert asking[0].head.status == 200
        fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a.test"), (b":path", b"/")]
        assert [each.fields for each in origin.asked] == [fields] * 50


async def test_fields_are_written_as_http2_has_them(pki: PKI) -> None:
    """Names in lower case, none of the connection but ``te: trailers``, without which no gRPC call works."""
    lines = b"Accept: */*\r\nTE: trailers\r\nConnection: TE\r\nX-A: b: c\r\n"
    with Http2Origin(pki) as origin, pool_to(pki, origin.port, protocol="h2") as pool:
        await asked(pool, lines=lines)
        assert origin.asked[0].fields[4:] == [(b"accept", b"*/*"), (b"te", b"trailers"), (b"x-a", b"b: c")]


async def test_bodies_and_trailers_pass_both_ways(pki: PKI) -> None:
    """As many bytes as there are, with and without a length; the origin's trailers come with the end."""

    def answer(spoken: Spoken, asked: Asked) -> None:
        trailers = ((b"grpc-status", b"0"), *asked.trailers)
        spoken.answer(asked.stream, asked.body, ((b":status", b"200"),), trailers)

    body = bytes(range(256)) * 4096
    with Http2Origin(pki, answer) as origin, pool_to(pki, origin.port, protocol="h2") as pool:
        for length in (len(body), None):
            sent = await asked(
                pool, method=b"POST", sends=(body[:99], body[99:]), length=length, trailers=((b"x-end", b"1"),)
            )
            assert sent.error is None
            assert sent.got == body
            assert sent.took_trailers == ((b"grpc-status", b"0"), (b"x-end", b"1"))
        assert origin.asked[0][b"content-length"] == b"%d" % len(body)
        assert len(origin.asked[1].fields) == 4


async def test_an_origin_sends_no_more_than_a_window_ahead(pki: PKI) -> None:
    """To who has paused it gives no more, and goes on when that one does."""
    big = bytes(3 << 20)

    def answer(spoken: Spoken, asked: Asked) -> None:
        spoken.answer(asked.stream, big, ((b":status", b"200"),))

    with Http2Origin(pki, answer) as origin, pool_to(pki, origin.port, protocol="h2") as pool:
        slow = Asking(pool, pausing=True).begin()
        await until(lambda: slow.head)
        assert slow.stream is not None
        size = -1
        while size != len(slow.got):
            size = len(slow.got)
            await deferLater(pool.reactor, 0.05)
        assert size < 300_000
        assert len(origin.spoken[0].served.received) < 500
        slow.pausing = False
        slow.stream.resume()
        await until(lambda: slow.over)
        assert slow.got == big


@pytest.mark.parametrize("protocol", ["auto", "http/1.1"])
async def test_a_server_without_http2_is_spoken_to_as_before(pki: PKI, protocol: str) -> None:
    """With ``auto``, all who waited for one connection get their own."""
    with Origin(pki) as origin, pool_to(pki, origin.port, protocol=protocol) as pool:
        asking = [Asking(pool).begin() for _ in range(5)]
        await until(lambda: all(each.over for each in asking))
        assert [(each.got, each.tries, each.error) for each in asking] == [(b"ok", 1, None)] * 5
        assert len(origin.connections) == 5


async def test_auto_takes_http2_where_the_server_knows_it(pki: PKI) -> None:
    """By ALPN; the event says so."""
    with Http2Origin(pki, alpn=("h2", "http/1.1")) as origin, pool_to(pki, origin.port, protocol="auto") as pool:
        done = await asked(pool)
        assert (done.got, done.origin_protocol) == (b"ok", "HTTP/2")


@pytest.mark.parametrize("alpn", [(), ("http/1.1",)])
async def test_http2_is_required_where_it_is_configured(pki: PKI, alpn: tuple[str, ...]) -> None:
    """A server that does not choose it gets no byte of a request."""
    with Http2Origin(pki, alpn=alpn) as origin, pool_to(pki, origin.port, protocol="h2") as pool:
        failed = await asked(pool)
        assert failed.error is not None
        assert (failed.error.status, failed.error.kind, failed.error.sent) == (502, "handshake", False)
        assert pool.open == 0
        assert not origin.asked


async def test_without_tls_http2_is_spoken_with_prior_knowledge(pki: PKI) -> None:
    """``h2`` and an ``http://`` server: RFC 9113, section 3.3."""
    with Http2Origin(pki, tls=False) as origin, pool_to(pki, origin.port, tls=False, protocol="h2") as pool:
        done = await asked(pool)
        assert done.got == b"ok"
        assert origin.asked[0][b":scheme"] == b"http"


async def test_a_server_that_answers_in_http1_gets_no_request(pki: PKI) -> None:
    """It has said no SETTINGS."""

    def answer(served: Served) -> None:
        served.receive()
        served.send(OK)

    with (
        Origin(pki, answer, tls=False) as origin,
        pool_to(pki, origin.port, tls=False, protocol="h2") as pool,
    ):
        failed = await asked(pool)
        assert failed.error is not None
        assert (failed.error.kind, failed.error.sent) == ("handshake", False)
        assert b"/" not in origin.received.partition(b"SM\r\n\r\n")[2]


async def test_a_server_that_never_says_its_settings_costs_connect_timeout(pki: PKI) -> None:
    """For all who wait for it at once, and none of them is sent."""
    with Http2Origin(pki) as origin, pool_to(pki, origin.port, protocol="h2", connect_timeout=0.3) as pool:
        origin.behaviour = Served.stall
        asking = [Asking(pool).begin() for _ in range(5)]
        await until(lambda: all(each.over for each in asking))
        for each in asking:
            assert each.error is not None
            assert (each.error.status, each.error.kind, each.error.sent, each.tries) == (504, "timeout", False, 1)
            assert each.error.reason.startswith("no SETTINGS of ")
        assert len(origin.connections) == 1
        assert pool.open == 0


async def test_no_more_streams_than_the_server_takes(pki: PKI) -> None:
    """Of five requests two share each connection."""
    few = {SettingCodes.MAX_CONCURRENT_STREAMS: 2}
    with Http2Origin(pki, settings=few) as origin, pool_to(pki, origin.port, protocol="h2") as pool:
        asking = [Asking(pool).begin() for _ in range(5)]
        await until(lambda: all(each.over for each in asking))
        assert [(each.got, each.error) for each in asking] == [(b"ok", None)] * 5
        assert len(origin.spoken) == 3
