"""Rate limits against clients that would rather not be counted: real sockets, HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess

import pytest

from tests.support.grpc_origin import Caller
from tests.support.node import PKI, Alone, Answer, Changes, Client, Origin, Served, alone, get, in_thread, started
from tests.support.waiting import wait_for

pytestmark = pytest.mark.lasting


def limited(**keys: str) -> Changes:
    """A node with one limit, which everything is under."""
    return {"rate-limit one": {"limit": "5 per 1h", **{key.replace("_", "-"): value for key, value in keys.items()}}}


def request(target: str = "/", *fields: str, method: str = "GET", host: str = "open.test") -> bytes:
    """One."""
    return get(target, host, *fields, method=method)


def ask(node: Alone, data: bytes, count: int = 1, **options: object) -> list[Answer]:
    """The answers to requests in one write."""
    with Client(node.port, **options) as client:  # type: ignore[arg-type]
        client.send(data)
        method = data.split(b" ", 1)[0].decode()
        return [client.answer(method) for _ in range(count)]


def passed(answers: list[Answer]) -> int:
    """How many got through."""
    assert {answer.status for answer in answers} <= {200, 429}
    return sum(answer.status == 200 for answer in answers)


def each(node: Alone, *requests: bytes) -> int:
    """How many of these pass, each on a connection of its own."""
    return sum(passed(ask(node, one)) for one in requests)


def test_requests_in_one_write_are_each_counted(pki: PKI) -> None:
    """Pipelining; the refusals come in order and keep the connection."""
    with Origin(pki) as origin, alone(pki, origin, limited(key="ip")) as node:
        answers = ask(node, request() * 12, 12)
        assert [answer.status for answer in answers] == [200] * 5 + [429] * 7
        assert [answer.fields("ratelimit") for answer in answers[:6]] == [
            [b'"one";r=%d;t=3600' % rest] for rest in (4, 3, 2, 1, 0, 0)
        ]
        assert answers[5].fields("ratelimit-policy") == [b'"one";q=5;w=3600']
        assert answers[5].fields("retry-after") == [b"3600"]
        assert not answers[4].fields("retry-after")
        assert answers[5].fields("cache-control") == [b"no-store"]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "get"])
def test_every_method_counts(pki: PKI, method: str) -> None:
    """There is no cheap one."""
    changes = {**limited(key="ip")}
    with Origin(pki) as origin, alone(pki, origin, changes) as node:
        for _ in range(5):
            ask(node, request(method=method))
        assert each(node, request()) == 0


SPELLINGS: dict[str, tuple[str, list[bytes]]] = {
    "a header twice": ("header.x-user", [request("/", f"X-User: u{n}", "x-user: Ann") for n in range(9)]),
    "letter case of a value": (
        "header.x-user",
        [
            request("/", f"{name}: {value}")
            for name in ("X-User", "x-uSER")
            for value in ("ann", "ANN", "aNN", "Ann", " ann ")
        ],
    ),
    "spellings of credentials": (
        "header.authorization",
        [
            request("/", f"Authorization: {value}")
            for value in (
                *("Bearer abc", "bearer abc", "BEARER abc", "Bearer  abc", "Bearer\tabc", " Bearer abc"),
                *("bEarer abc ", "Bearer abc\t"),
            )
        ],
    ),
    "spellings of a password": (
        "header.authorization",
        [
            request("/", f"Authorization: {scheme} {value}")
            for scheme in ("Basic", "basic", "BASIC")
            for value in (base64.b64encode(b"ann:pw").decode(), base64.b64encode(b"ann:pw").decode().rstrip("="))
        ]
        * 2,
    ),
    "a cookie among others": (
        "cookie.sid",
        [
            request("/", f"Cookie: {value}")
            for value in ("sid=a", 'sid="a"', "x=1; sid=a", "sid=%61", "sid=a; sid=b", "sid=a;", "y=2;sid=a")
        ],
    ),
    "two fields of cookies": ("cookie.sid", [request("/", f"Cookie: x={n}", "Cookie: sid=a") for n in range(7)]),
    "an argument among others": (
        "argument.user",
        [
            request(f"/?{query}")
            for query in (
                "user=ann",
                "user=%61nn",
                "USER=x&user=ann",
                "user=ANN",
                "u%73er=ann",
                "user=ann+",
                "user=b&user=ann",
                "a;user=ann",
            )
        ],
    ),
    "spellings of a path": (
        "path",
        [
            request(target)
            for target in (
                "/login",
                "//login",
                "/./login",
                "/x/../login",
                "/%6cogin",
                "/LOGIN",
                "/login;a=1",
                "/login;a=2",
                "/login?x=1",
            )
        ],
    ),
    "addresses that it claims": (
        "ip",
        [
            request("/", f"{name}: 198.51.100.{n}")
            for n, name in enumerate(("X-Forwarded-For", "X-Real-IP", "Forwarded", "Client-IP", "True-Client-IP") * 2)
        ],
    ),
    "spellings of a host": (
        "authority",
        [request(host=host) for host in ("open.test", "OPEN.test", "open.test.", "open.test:443", "Open.Test:443")] * 2,
    ),
    "forms of a target": (
        "path",
        [request(target) for target in ("/a", "https://open.test/a", "https://open.test:443/a", "/a?") * 2],
    ),
    "nothing at all": ("header.x-user", [request("/", "X-User:") for _ in range(7)]),
    "more values than there are keys": (
        "header.x-user",
        [request("/", *(f"X-User: a{n}-{m}" for m in range(20))) for n in range(7)],
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_is_another_client(pki: PKI, spelling: str) -> None:
    """Five pass, whatever it is that they differ in."""
    key, requests = SPELLINGS[spelling]
    assert len(requests) > 5
    with Origin(pki) as origin, alone(pki, origin, limited(key=key)) as node:
        assert each(node, *requests) == 5


def test_behind_a_proxy_the_address_that_it_reports_is_counted(pki: PKI) -> None:
    """The last one: those before it the client has written."""
    changes = {**limited(key="ip"), "edge": {"trusted-proxies": "127.0.0.1"}}
    with Origin(pki) as origin, alone(pki, origin, changes) as node:
        assert each(node, *(request("/", f"X-Forwarded-For: 198.51.100.{n}, 192.0.2.7") for n in range(7))) == 5
        assert each(node, *(request("/", f"X-Forwarded-For: 192.0.2.7, 2001:db8:1:2::{n + 1}") for n in range(7))) == 5
        assert each(node, *(request("/", f"X-Forwarded-For: 2001:db8:1:{n + 3}::1") for n in range(7))) == 7
        assert each(node, *[request("/", "X-Forwarded-For: nobody") for n in range(7)]) == 5


def test_an_argument_is_found_in_a_body_too(pki: PKI) -> None:
    """Of a form, in whatever pieces it comes; and what is padded until it is no longer seen is refused."""
    form = "Content-Type: application/x-www-form-urlencoded"
    padded = b"x=" + b"y" * 200_000 + b"&user=ann"
    with Origin(pki) as origin, alone(pki, origin, limited(key="argument.user")) as node:
        bodies = [b"user=ann", b"a=1&user=Ann", b"us%65r=ann", b"user=ann&user=bob"]
        requests = [request("/", form, f"Content-Length: {len(body)}", method="POST") + body for body in bodies]
        chunked = (
            request("/", form, "Transfer-Encoding: chunked", method="POST") + b"3\r\nuse\r\n5\r\nr=ann\r\n0\r\n\r\n"
        )
        assert each(node, *requests, chunked, *requests) == 5
        (answer,) = ask(node, request("/", form, f"Content-Length: {len(padded)}", method="POST") + padded)
        assert answer.status == 413


def test_two_parts_cannot_be_confused(pki: PKI) -> None:
    """``a|b`` and ``c`` are another key than ``a`` and ``b|c``."""
    with Origin(pki) as origin, alone(pki, origin, limited(key="header.x-a, header.x-b")) as node:
        one = [request("/", "X-A: a|b", "X-B: c")] * 5
        other = [request("/", "X-A: a", "X-B: b|c")] * 5
        assert each(node, *one, *other, *one) == 10


def test_a_certificate_is_counted_on_all_its_connections_and_exempts_nobody(pki: PKI) -> None:
    """Also with sessions of its own; another certificate has its own count."""
    other = pki.clients.issue("Bob")
    with Origin(pki) as origin, alone(pki, origin, limited(key="certificate.fingerprint")) as node:
        data = request(host="strict.test")
        counts = [passed(ask(node, data, name="strict.test", chain=[pki.client])) for _ in range(8)]
        assert counts == [1] * 5 + [0] * 3
        assert passed(ask(node, data, name="strict.test", chain=[other])) == 1
        assert each(node, *[request()] * 7) == 7  # without one nothing is counted


def test_bytes_that_an_impatient_client_had_sent_are_counted(pki: PKI) -> None:
    """Who goes away in the middle of an answer has had what came until then."""

    def large(served: Served) -> None:
        while served.request() is not None:
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n" + bytes(4_000_000))

    with Origin(pki, large) as origin, alone(pki, origin, limited(key="ip", count="bytes", limit="1m per 1h")) as node:
        with Client(node.port) as client:
            client.send(request())
            assert len(client.exactly(1_500_000)) == 1_500_000
            client.reset()
        wait_for(lambda: ask(node, request(method="HEAD"))[0].status == 429, "what was sent is counted", pause=0.05)


def test_failures_are_counted_whether_or_not_the_client_reads_them(pki: PKI) -> None:
    """Who sends many guesses at once, and reads the answers later or never, is refused all the same."""

    def refusing(served: Served) -> None:
        while served.request() is not None:
            served.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")

    changes = limited(key="ip", count="status = 401", limit="2 per 1h")
    with Origin(pki, refusing) as origin, alone(pki, origin, changes) as node:
        answers = ask(node, request() * 6, 6)
        assert [answer.status for answer in answers] == [401, 401, 429, 429, 429, 429]
    with Origin(pki, refusing) as origin, alone(pki, origin, changes) as node:
        for _ in range(2):
            with Client(node.port) as client:
                client.send(request())
                client.receive(1)
                client.reset()
        wait_for(lambda: ask(node, request())[0].status == 429, "what was sent is counted", pause=0.05)


@pytest.mark.skipif(shutil.which("h2load") is None, reason="tried out with h2load")
@pytest.mark.parametrize(("window", "ban"), [("fixed", "0"), ("sliding", "0"), ("fixed", "1h")])
def test_streams_at_once_are_counted_exactly(pki: PKI, window: str, ban: str) -> None:
    """A hundred on one connection, and on several."""
    with (
        Origin(pki) as origin,
        alone(pki, origin, limited(key="ip", limit="50 per 1h", window=window, ban=ban)) as node,
    ):
        command = ["h2load", "-n", "400", "-c", "4", "-m", "100", "--connect-to", f"127.0.0.1:{node.port}"]
        done = subprocess.run([*command, "https://open.test/"], capture_output=True, text=True, timeout=60, check=True)
        counts = re.search(r"(\d+) 2xx, (\d+) 3xx, (\d+) 4xx", done.stdout)
        assert counts is not None, done.stdout
        assert (counts[1], counts[3]) == ("50", "350")


async def test_a_grpc_client_is_told_that_its_resources_are_exhausted(pki: PKI) -> None:
    """Over the same limit, by the status that its libraries wait and try again for."""
    with Origin(pki) as origin:
        async with started(pki, origin, limited(key="ip", limit="0 per 1h", ban="7s")) as node:

            def call() -> tuple[str, dict[str, object]]:
                with Caller.of(pki.folder, node.port) as caller:
                    error = caller.failing(b"", "/shop.Cart/Add")
                    return error.code().name, dict((*error.initial_metadata(), *error.trailing_metadata()))

            code, metadata = await in_thread(call)
            assert code == "RESOURCE_EXHAUSTED"
            assert metadata["retry-after"] == "7"
            assert metadata["ratelimit"] == '"one";r=0'


async def test_where_nothing_is_refused_all_is_counted_and_told_in_events(pki: PKI) -> None:
    """The mode ``monitoring``: no refusal, and so no time to come again; the limits of the client are told."""
    changes = {**limited(key="ip", limit="1 per 1h"), "path-map all": {"mode": "monitoring"}}
    with Origin(pki) as origin:
        async with started(pki, origin, changes) as node:

            def twice() -> list[Answer]:
                with node.client() as client:
                    client.send(request() * 2)
                    return [client.answer() for _ in range(2)]

            answers = await in_thread(twice)
            assert [answer.status for answer in answers] == [200, 200]
            assert not answers[1].fields("retry-after")
            assert answers[1].fields("ratelimit") == [b'"one";r=0;t=3600']
            _, event = await node.events.take(2)
            assert "limit:one" in event["tags"]
            assert event["action"] == "rate-limit"
