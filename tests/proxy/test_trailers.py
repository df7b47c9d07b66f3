"""Trailer fields on their way through, in both directions."""

from __future__ import annotations

import time

import pytest

from edgenode.model.exchange import Headers
from edgenode.proxy.trailers import passing, passing_to_origin, takes_trailers
from tests.proxy.http1.test_request_head import read
from tests.support.node import PKI, Answer, Origin, answering, get, in_thread, started


@pytest.mark.parametrize(
    ("lines", "takes"),
    [
        ((), False),
        ((b"TE: trailers",), True),
        ((b"TE: gzip", b"TE: Trailers"), True),
        ((b"TE: gzip;q=0.5,\ttrailers ",), True),
        ((b"TE: gzip",), False),
        ((b"TE: x-trailers",), False),
        ((b"TE: trailers;q=0",), False),
    ],
)
def test_who_takes_trailers_says_so(lines: tuple[bytes, ...], takes: bool) -> None:
    """RFC 9110, section 10.1.4."""
    assert takes_trailers(read(*lines)) is takes


@pytest.mark.parametrize(
    "name",
    [
        b"content-length", b"content-type", b"content-encoding", b"transfer-encoding", b"host", b"authorization",
        b"set-cookie", b"cookie", b"cookie2", b"connection", b"te", b"trailer", b"upgrade", b"cache-control", b"expect",
        b"location", b"vary", b"www-authenticate", b"proxy-authenticate", b"via", b"date", b"keep-alive", b"age",
        b"proxy-connection", b"expires", b"retry-after", b"max-forwards", b"if-match", b"set-cookie2", b"x-hop",
    ],
)  # fmt: skip
def test_what_belongs_into_a_head_is_no_trailer(name: bytes) -> None:
    """RFC 9110, section 6.5.1: framing, routing, authentication, what controls a response; and what is of one hop."""
    trailers: Headers = ((b"x-sum", b"1"), (name, b"2"), (b"server-timing", b"3"))
    assert passing(trailers, {b"x-hop"}) == (trailers[0], trailers[2])


def test_names_that_only_begin_alike_are_trailers() -> None:
    """``test`` is not ``TE``; and a digest of the content is made to be a trailer (RFC 9530)."""
    trailers: Headers = tuple(
        (name, b"1") for name in (b"test", b"variant", b"hostess", b"viability", b"content-digest")
    )
    assert passing(trailers) == trailers


@pytest.mark.parametrize(
    "name",
    [
        b"client-cert", b"ssl-client-verify", b"x_sum", b"x-forwarded-for", b"x-request-id", b"user-agent",
        b"x-api-key", b"x-judged", b"x-set", b"x-hop", b"cookie", b"content-length", b"host", b"authorization",
    ],
)  # fmt: skip
def test_no_trailer_of_a_request_can_be_taken_for_what_rules_have_judged(name: bytes) -> None:
    """A server that makes header fields of trailers learns nothing by them that it was not to learn by the head."""
    head = read(b"TE: trailers", b"Connection: x-hop, TE", b"X-Judged: 1")
    trailers: Headers = ((b"x-sum", b"1"), (name, b"2"))
    assert passing_to_origin(trailers, head, (b"x-set",)) == trailers[:1]
    assert passing_to_origin(trailers, read(), ()) == ()


POST = "Transfer-Encoding: chunked", "Trailer: X-Sum"
BODY = b"2\r\nhi\r\n0\r\nX-Sum: 1\r\nClient-Cert: forged\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: X-Hop\r\n\r\n"
TRAILERS = b"X-Sum: 1\r\nVia: 1.1 b\r\nDate: today\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\n"


@pytest.mark.parametrize("inspected", [False, True])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("lines", [(), ("TE: trailers", "Connection: TE")])
async def test_trailers_of_a_request_pass_where_the_client_takes_trailers(
    pki: PKI, lines: tuple[str, ...], late: bool, inspected: bool
) -> None:
    """With the head, behind it, or held back for rules that look at the body; else they are dropped."""
    changes = {"global-filter body": {"argument.user": "^root$", "action": "block"}} if inspected else {}
    head = get("/", "open.test", *POST, *lines, method="POST")
    with Origin(pki) as origin:
        async with started(pki, origin, changes) as node:

            def ask() -> tuple[Answer, Answer]:
                with node.client() as client:
                    client.send(head if late else head + BODY)
                    if late:
                        time.sleep(0.05)
                        client.send(BODY)
                    return client.answer(), client.ask(get("/2"))

            answers = await in_thread(ask)
            await node.events.take(2)
        first, second = origin.take()
    assert [answer.status for answer in answers] == [200, 200]
    body = first.partition(b"\r\n\r\n")[2]
    assert body == b"2\r\nhi\r\n0\r\n" + (b"x-sum: 1\r\n" if lines else b"") + b"\r\n"
    assert second.startswith(b"GET /2 ")


async def test_trailers_of_a_response_are_none_of_the_connection(pki: PKI) -> None:
    """Neither ours to write nor of one hop, and not what Connection nominates: those of the origin's hop end here."""
    with Origin(pki, answering(CHUNKED + b"2\r\nhi\r\n0\r\n" + TRAILERS + b"\r\n")) as origin:
        async with started(pki, origin) as node:
            taking = await node.exchange(get("/", "open.test", "TE: trailers", close=True))
            await node.events.take()
    assert taking.endswith(b"\r\n0\r\nx-sum: 1\r\n\r\n")
