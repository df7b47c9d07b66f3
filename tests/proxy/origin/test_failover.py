"""Several servers behind an origin: what goes to the next one, and what is never sent twice."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import frozen

from tests.support import memory
from tests.support.node import OK, PKI, Behaviour, Node, Origin, Served, answering, get, in_thread, started

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"


def resetting(served: Served) -> None:
    """Take a request, and reset the connection."""
    served.request()
    served.reset()


def stalling(served: Served) -> None:
    """Take a request, and say nothing."""
    served.request()
    served.stall()


def babbling(served: Served) -> None:
    """Take a request, and answer with what is no HTTP."""
    served.request()
    served.send(b"what?\r\n\r\n")
    served.stall()


@frozen
class Servers:
    """The servers of an origin."""

    origins: tuple[Origin, ...]
    pki: PKI

    def started(self, *down: int, weights: tuple[int, ...] = (), **settings: str) -> Any:
        """A node before the servers, after the ports in ``down``, on which nobody listens."""
        ports = [*down, *(origin.port for origin in self.origins)]
        weight = [f" weight={each}" for each in weights] or [""] * len(ports)
        servers = ", ".join(f"https://127.0.0.1:{port}{extra}" for port, extra in zip(ports, weight, strict=True))
        keys = {name.replace("_", "-"): value for name, value in settings.items()}
        return started(self.pki, ports[0], {"origin origin": {"servers": servers, "read-timeout": "300ms", **keys}})

    @property
    def requests(self) -> list[int]:
        """How many requests each has seen."""
        return [len(origin.requests) for origin in self.origins]


@contextlib.contextmanager
def servers(pki: PKI, *behaviours: Behaviour) -> Iterator[Servers]:
    """Servers that behave so."""
    with contextlib.ExitStack() as stack:
        yield Servers(tuple(stack.enter_context(Origin(pki, each)) for each in behaviours), pki)


def nobody(pki: PKI) -> int:
    """A port on which nobody listens any more."""
    with Origin(pki) as origin:
        return origin.port


async def ask(node: Node, method: str = "GET", body: bytes = b"", *lines: str) -> tuple[int, bytes, dict[str, Any]]:
    """Status and body of the answer, and the event."""
    length = [f"Content-Length: {len(body)}"] if body else []
    answer = await node.exchange(get("/", "open.test", *lines, *length, method=method, close=True, body=body))
    (event,) = await node.events.take()
    head, _, rest = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), rest, event


# -- what goes on ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", [resetting, stalling])
async def test_get_goes_on_from_a_server_that_fails(pki: PKI, behaviour: Behaviour) -> None:
    """A request without side effects that a server resets or lets wait is answered by the next."""
    with servers(pki, behaviour, answering(OK)) as both:
        async with both.started() as node:
            status, body, event = await ask(node)
        assert (status, body, both.requests) == (200, b"ok", [1, 1])
        assert event["origin"]["tries"] == 2
        assert event["origin"]["server"] == f"127.0.0.1:{both.origins[1].port}"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_any_request_goes_on_from_a_server_that_cannot_be_reached(pki: PKI, method: str) -> None:
    """Where nothing was sent nothing can happen twice: the next server gets the whole request."""
    with servers(pki, answering(OK)) as one:
        async with one.started(nobody(pki)) as node:
            status, _, event = await ask(node, method, b"a body")
        assert (status, event["origin"]["tries"], one.requests) == (200, 2, [1])
        assert one.origins[0].requests[0].endswith(b"\r\n\r\na body")


async def test_a_wrong_certificate_leads_to_the_next_server(pki: PKI) -> None:
    """A server that is not who it should be is as good as down, and has seen nothing."""
    pki.servers.issue("other", sans=["DNS:other.test"]).write(pki.folder, "other")
    with Origin(pki, stem="other") as wrong, servers(pki, answering(OK)) as one:
        async with one.started(wrong.port) as node:
            status, _, event = await ask(node, "POST", b"secret")
        assert (status, event["origin"]["tries"], wrong.received) == (200, 2, b"")


@pytest.mark.parametrize(("method", "expected"), [("GET", (200, [1, 1])), ("POST", (503, [1, 0]))])
async def test_a_busy_server_leads_on_if_that_is_wanted(pki: PKI, method: str, expected: Any) -> None:
    """With http-503 in next-upstream GET goes on; POST gets the 503, for the server may have done something."""
    with servers(pki, answering(BUSY), answering(OK)) as both:
        async with both.started(next_upstream="error http-503") as node:
            status, _, _ = await ask(node, method)
        assert (status, both.requests) == expected


async def test_a_busy_server_is_an_answer_by_default(pki: PKI) -> None:
    """Without it the 503 is passed on as it is."""
    with servers(pki, answering(BUSY), answering(OK)) as both:
        async with both.started() as node:
            assert (await ask(node))[:2] == (503, b"busy")
        assert both.requests == [1, 0]


async def test_a_malformed_answer_leads_on_if_that_is_wanted(pki: PKI) -> None:
    """invalid-header is a condition of its own, as nginx has it."""
    with servers(pki, babbling, answering(OK)) as both:
        async with both.started() as node:
            assert (await ask(node))[0] == 502
        async with both.started(next_upstream="invalid-header") as node:
            assert (await ask(node))[0] == 200
        assert both.requests == [2, 1]


# -- what does not --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "body"),
    [("POST", b"a body"), ("POST", b""), ("PUT", b"x"), ("DELETE", b""), ("PATCH", b"x"), ("GET", b"x")],
)
@pytest.mark.parametrize("behaviour", [resetting, stalling])
async def test_what_may_have_had_an_effect_is_never_sent_twice(
    pki: PKI, behaviour: Behaviour, method: str, body: bytes
) -> None:
    """A request that was sent and has side effects, or a body, ends with the first server."""
    with servers(pki, behaviour, answering(OK)) as both:
        async with both.started() as node:
            status, page, event = await ask(node, method, body)
        assert (status, both.requests) == (502 if behaviour is resetting else 504, [1, 0])
        assert page == (b"502 Bad Gateway\n" if status == 502 else b"504 Gateway Timeout\n")
        assert (event["origin"]["tries"], event["error"]["fault"]) == (1, "origin")


async def test_a_response_that_has_begun_is_cut_not_repeated(pki: PKI) -> None:
    """Once bytes have reached the client there is no next server, whatever the method."""

    def half(served: Served) -> None:
        served.request()
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")
        served.reset()

    with servers(pki, half, answering(OK)) as both:
        async with both.started() as node:
            status, body, event = await ask(node)
        assert (status, body, both.requests) == (200, b"ha", [1, 0])
        assert "in the middle of the response" in event["error"]["reason"]


@pytest.mark.parametrize(("tries", "expected"), [("1", [1, 0, 0]), ("2", [1, 1, 0]), ("9", [1, 1, 1])])
async def test_tries_are_limited(pki: PKI, tries: str, expected: list[int]) -> None:
    """No more servers are asked than next-upstream-tries says, and none twice."""
    with servers(pki, resetting, resetting, resetting) as all_three:
        async with all_three.started(next_upstream_tries=tries) as node:
            status, _, event = await ask(node)
        assert (status, all_three.requests) == (502, expected)
        assert "before the response" in event["error"]["reason"]


async def test_off_is_off(pki: PKI) -> None:
    """With next-upstream = off not even an unreachable server leads on."""
    with servers(pki, answering(OK)) as one:
        async with one.started(nobody(pki), next_upstream="off") as node:
            assert (await ask(node))[0] == 502
        assert one.requests == [0]


async def test_with_every_server_down_the_client_gets_502(pki: PKI) -> None:
    """The event tells of the connection, and the page of nothing."""
    with servers(pki) as none:
        async with none.started(nobody(pki), nobody(pki)) as node:
            status, body, event = await ask(node)
    assert (status, body) == (502, b"502 Bad Gateway\n")
    assert "Connection refused" in event["error"]["reason"]


async def test_tries_are_the_servers_that_were_asked(pki: PKI) -> None:
    """The event counts attempts, not the search for another server."""
    with servers(pki) as none:
        async with none.started(nobody(pki), nobody(pki)) as node:
            _, _, event = await ask(node)
    assert event["origin"]["tries"] == 2


async def test_a_request_that_was_answered_has_no_error(pki: PKI) -> None:
    """What went wrong with the first server is no error of the exchange once the second has answered."""
    with servers(pki, resetting, answering(OK)) as both:
        async with both.started() as node:
            status, _, event = await ask(node)
        assert (status, event["error"]) == (200, None)


async def test_the_only_server_that_is_busy_is_heard(pki: PKI) -> None:
    """With nowhere to go on to, a 503 is the origin's answer and not ours."""
    with servers(pki, answering(BUSY)) as one:
        async with one.started(next_upstream="error http-503") as node:
            assert (await ask(node))[:2] == (503, b"busy")


def test_the_trailers_of_an_answer_that_was_given_up_end_nothing(pki: PKI) -> None:
    """After a 503 with trailers the exchange waits for the next server, and a pipelined request for the exchange."""
    servers = "http://127.0.0.1:81, http://127.0.0.1:82"
    with memory.node(pki, {"origin origin": {"servers": servers, "next-upstream": "http-503"}}) as node:
        client = node.client()
        client.send(get("/1") + get("/2"))
        busy = node.origin()
        busy.send(b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n0\r\nA: b\r\n\r\n")
        other = node.origin()
        assert busy.address != other.address
        assert other.read().startswith(b"GET /1 ")
        assert client.read() == b""
        other.send(OK)
        assert client.answer().body == b"ok"
        (later,) = [each for each in (busy, *node.opened[1:]) if b"GET /2 " in each.read()]
        later.send(OK.replace(b"ok", b"OK"))
        assert client.answer().body == b"OK"
        assert [record.origin_status for record in node.records] == [200, 200]


# -- weights and failures -------------------------------------------------------------------------------------------


async def test_requests_are_spread_by_weight(pki: PKI) -> None:
    """Of six requests the server with weight 2 gets four."""
    with servers(pki, answering(OK), answering(OK)) as both:
        async with both.started(weights=(2, 1)) as node:
            for _ in range(6):
                assert (await ask(node))[0] == 200
        assert both.requests == [4, 2]


async def test_a_server_that_failed_is_left_alone(pki: PKI) -> None:
    """With max-fails = 1 one client in four waits for the bad server, not every other."""
    with servers(pki, resetting, answering(OK)) as both:
        async with both.started(max_fails="1", fail_timeout="1m") as node:
            for _ in range(4):
                assert (await ask(node))[0] == 200
        assert both.requests == [1, 4]


# -- kept connections --------------------------------------------------------------------------------------------------


def closing_as_reused(served: Served) -> None:
    """Answer the first request on a connection well, and close it as the second arrives."""
    if served.request():
        served.send(OK)
        served.request()


@pytest.mark.parametrize(("method", "expected"), [("GET", (200, 3)), ("POST", (502, 2)), ("DELETE", (502, 2))])
async def test_a_stale_connection_repeats_only_what_may_be_repeated(pki: PKI, method: str, expected: Any) -> None:
    """GET goes to a new connection without a word; POST may have had its effect, and is not repeated."""
    with servers(pki, closing_as_reused) as one:
        async with one.started(next_upstream="off") as node:
            assert (await ask(node))[0] == 200
            status, _, event = await ask(node, method)
        assert (status, one.requests[0]) == expected
        assert event["origin"]["tries"] == 1


async def test_a_stale_connection_is_no_try(pki: PKI) -> None:
    """Even with one try a request that a closed connection never delivered goes out again."""
    with servers(pki, closing_as_reused) as one:
        async with one.started(next_upstream_tries="1") as node:
            for _ in range(2):
                assert (await ask(node))[0] == 200


async def test_a_stale_connection_is_no_failure_of_the_server(pki: PKI) -> None:
    """The server stays in the round: with max-fails = 1 it is asked again at once."""
    with servers(pki, closing_as_reused, answering(OK)) as both:
        async with both.started(max_fails="1", fail_timeout="1m") as node:
            for _ in range(6):
                assert (await ask(node))[0] == 200
        assert both.origins[0].requests
        assert len(both.origins[0].connections) > 1


# -- identities and protocols -----------------------------------------------------------------------------------------


async def test_origins_with_one_server_keep_their_identities_apart(pki: PKI) -> None:
    """Two origins that differ in nothing but the client certificate never share a connection."""
    pki.servers.issue("another edge").write(pki.folder, "another-edge")
    with servers(pki, who) as one:
        port = one.origins[0].port
        changes: Any = {
            "security-policy all": {"path-maps": "other, all"},
            "path-map other": {"path": "^/other", "origin": "other"},
            "certificate other": {"chain": "another-edge.pem", "key": "another-edge.key", "authorities": "servers.pem"},
            "origin other": {
                "servers": f"https://127.0.0.1:{port}", "server-name": "origin.test", "certificate": "other",
                "trust-store": "servers",
            },
        }  # fmt: skip
        async with started(pki, port, changes) as node:
            answers = await in_thread(alternating, node)
        assert answers == [b"edge as a client", b"another edge"] * 3
        assert sorted(one.origins[0].peers) == ["another edge", "edge as a client"]


def who(served: Served) -> None:
    """Answer with the name in the client's certificate."""
    name = served.peer.encode()
    answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name))(served)


def alternating(node: Node) -> list[bytes]:
    """The answers to six requests on one connection, for the two origins in turn."""
    with node.client() as client:
        return [client.ask(get(path)).body for path in ("/", "/other") * 3]


async def test_an_origin_may_speak_no_tls(pki: PKI) -> None:
    """http:// servers are asked plainly, on connections that are kept."""
    with Origin(pki, tls=False) as origin:
        keys = {"servers": f"http://127.0.0.1:{origin.port}", "certificate": None, "trust-store": None}
        async with started(pki, origin, {"origin origin": {**keys, "server-name": None}}) as node:
            for _ in range(2):
                assert (await ask(node))[0] == 200
        assert (len(origin.requests), len(origin.connections)) == (2, 1)
        assert origin.received.startswith(b"GET / HTTP/1.1\r\nHost: open.test\r\n")


async def test_a_name_that_cannot_be_resolved_is_502(pki: PKI, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is in the event."""

    real = socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: Any) -> Any:
        if host == "nowhere.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *arguments)

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    async with started(pki, 1, {"origin origin": {"servers": "https://nowhere.test:8443"}}) as node:
        status, _, event = await ask(node)
    assert status == 502
    assert "nowhere.test cannot be resolved" in event["error"]["reason"]
