"""An agent of ``twisted.web`` whose origin speaks HTTP/2: callers see what they saw before."""

from __future__ import annotations

from io import BytesIO

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import FileBodyProducer, ResponseFailed, ResponseNeverReceived, readBody
from twisted.web.http_headers import Headers

from edgenode.proxy.origin.agent import OriginAgent
from tests.proxy.origin.test_agent import until
from tests.support.http2_origins import Asked, Http2Origin, Spoken
from tests.support.node import PKI
from tests.support.pools import beneath, pool_to

pytestmark = pytest.mark.lasting

PLAIN = ((b":status", b"200"), (b"x-a", b"1"))


class Body(Protocol):
    """Collects a body.

    :ivar data: its bytes.
    :ivar ended: fires with the name of its end.
    """

    def __init__(self) -> None:
        self.data = b""
        self.ended: Deferred[str] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        """More of it."""
        self.data += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The end of it."""
        assert reason is not None
        self.ended.callback(type(reason.value).__name__)


async def test_a_request_and_its_response(pki: PKI) -> None:
    """The version is HTTP/2's; a body without a length has an end all the same; nothing of the connection is sent."""

    def answer(spoken: Spoken, asked: Asked) -> None:
        spoken.answer(asked.stream, asked.body, PLAIN, ((b"x-end", b"1"),))

    with Http2Origin(pki, answer) as origin, pool_to(pki, origin.port, protocol="h2") as pool:
        headers = Headers({"Content-Type": ["text/plain"], "Connection": ["close"], "X-B": [" b "], "TE": ["gzip"]})
        upload = FileBodyProducer(BytesIO(b"x" * 300_000))
        response = await OriginAgent(pool).request(b"POST", b"https://origin.test/a?b", headers, upload)
        assert (response.version, response.code) == ((b"HTTP", 2, 0), 200)
        body = Body()
        response.deliverBody(body)
        reason = await body.ended
        assert (len(body.data), reason) == (300_000, "ResponseDone")
        (asked,) = origin.asked
        assert asked.fields[1:] == [
            (b":scheme", b"https"),
            (b":authority", b"origin.test"),
            (b":path", b"/a?b"),
            (b"content-type", b"text/plain"),
            (b"x-b", b"b"),
            (b"content-length", b"300000"),
        ]


@pytest.mark.parametrize(("code", "begun", "error"), [(2, False, ResponseNeverReceived), (2, True, ResponseFailed)])
async def test_a_reset_is_told_as_twisted_tells_it(pki: PKI, code: int, begun: bool, error: type[Exception]) -> None:
    """With the origin's own error beneath it, and its code."""

    def answer(spoken: Spoken, asked: Asked) -> None:
        if begun:
            spoken.h2.send_headers(asked.stream, PLAIN)
            spoken.h2.send_data(asked.stream, b"half")
            spoken.flush()
        spoken.h2.reset_stream(asked.stream, code)
        spoken.flush()

    with Http2Origin(pki, answer) as origin, pool_to(pki, origin.port, protocol="h2") as pool:
        with pytest.raises(error) as caught:
            await readBody(await OriginAgent(pool).request(b"GET", b"https://origin.test/"))
        assert beneath(caught.value).code == code


async def test_cancelling_resets_the_stream_alone(pki: PKI) -> None:
    """Others on the connection go on."""
    held: list[tuple[Spoken, Asked]] = []
    with (
        Http2Origin(pki, lambda spoken, asked: held.append((spoken, asked))) as origin,
        pool_to(pki, origin.port, protocol="h2") as pool,
    ):
        agent = OriginAgent(pool)
        first, second = (agent.request(b"GET", b"https://origin.test/") for _ in range(2))
        await until(lambda: len(held) == 2)
        first.cancel()
        with pytest.raises(CancelledError):
            await first
        await until(lambda: held[0][1].reset == 8)
        origin.answer = lambda spoken, asked: spoken.answer(held[1][1].stream, b"ok", PLAIN)
        third = agent.request(b"GET", b"https://origin.test/")
        assert await readBody(await second) == b"ok"
        third.addErrback(lambda _: None).cancel()
        assert pool.open == 1
