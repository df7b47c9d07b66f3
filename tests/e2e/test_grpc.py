"""gRPC through the node, between grpcio's client and grpcio's server, with TLS of both sides on both connections."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater

from tests.support.grpc_origin import SERVICE, Caller, GrpcOrigin, Turns, message
from tests.support.http2_origins import Asked, Http2Origin, Spoken
from tests.support.node import PKI, Changes, Node, Origin, answering, in_thread, running, started, until

pytestmark = pytest.mark.lasting
H2: Changes = {
    "origin origin": {"protocol": "h2"},
    "path-map all": {"max-body-size": "16m"},
    "edge": {"event-headers": "content-type"},
}
Code = grpc.StatusCode


@pytest.fixture(scope="module", autouse=True)
def alice(pki: PKI) -> None:
    """The client's certificate, in files."""
    pki.client.write(pki.folder, "alice")


@pytest.fixture(scope="module")
def origin(pki: PKI) -> Iterator[GrpcOrigin]:
    """A server of gRPC."""
    with GrpcOrigin.running(pki) as origin:
        yield origin


@pytest.fixture(scope="module")
def node(pki: PKI, origin: GrpcOrigin) -> Iterator[Node]:
    """A node in front of it."""
    with running(pki, origin.port, H2) as node:
        yield node


async def calling(node: Node, case: Callable[[Caller], Any], **options: Any) -> Any:
    """Run a case with a channel to the node, where clients have certificates."""

    def run() -> Any:
        with Caller.of(node.pki.folder, node.port, "alice", "strict.test", **options) as caller:
            return case(caller)

    return await in_thread(run)


def ends(call: Any, *, streams: bool = True) -> grpc.StatusCode:
    """How a call ends, whatever comes before.

    :param streams: whether its answers do.
    """
    try:
        if streams:
            list(call)
        else:
            call.result()
    except grpc.RpcError:
        pass
    code: grpc.StatusCode = call.code()
    return code


# -- what passes -------------------------------------------------------------------------------------------------------


async def test_an_event_says_how_the_origin_has_ended_the_call(node: Node) -> None:
    """The trailers' status, of a call that has gone well and of one that has not; also without any message."""
    node.events.told.clear()
    await calling(node, lambda caller: caller.unary(message(sizes=[9])))
    await calling(node, lambda caller: caller.failing(message(code=5)))
    await calling(node, lambda caller: caller.failing(b"", f"{SERVICE}Unimplemented"))
    events = await node.events.take(3)
    assert [(event["status"], event["grpc_status"]) for event in events] == [(200, 0), (200, 5), (200, 12)]
    assert [event["request"]["version"] for event in events] == ["HTTP/2.0"] * 3
    assert events[0]["origin"]["status"] == 200
    assert events[0]["certificate"]["subject"] == "CN=Alice,O=Partners"


async def test_metadata_crosses_as_it_was_sent(node: Node, origin: GrpcOrigin) -> None:
    """Text, bytes, several of one name; and what claims to be the node's does not."""
    metadata = (
        ("x-text", "a b"), ("x-many", "1"), ("x-many", "2"), ("x-data-bin", bytes(range(256))),
        ("authorization", "Bearer x"), ("ssl-client-verify", "SUCCESS"),
    )  # fmt: skip
    await calling(node, lambda caller: caller.unary(message(), metadata=metadata))
    seen = await in_thread(origin.seen)
    found = [tuple(each) for each in seen[-1]["metadata"]]
    assert [value for name, value in found if name == "x-many"] == ["1", "2"]
    assert {("x-text", "a b"), ("x-data-bin", bytes(range(256)).hex()), ("authorization", "Bearer x")} <= {*found}
    names = {name for name, _ in found}
    assert "ssl-client-verify" not in names
    assert {"x-forwarded-for", "x-request-id", "user-agent"} <= names
    assert seen[-1]["peer"] == ["edge as a client"]


async def test_messages_of_three_megabytes_cross_both_ways(node: Node) -> None:
    """And such that do not compress, compressed."""
    payload = os.urandom(3 << 20)

    def case(caller: Caller) -> None:
        assert len(caller.unary(message(payload, sizes=[3 << 20]), timeout=20)) == 3 << 20
        asked = message(payload, sizes=[3 << 20], gzip=True)
        assert len(caller.unary(asked, timeout=20, compression=grpc.Compression.Gzip)) == 3 << 20

    await calling(node, case)


async def test_thousands_of_messages_cross_in_a_stream(node: Node) -> None:
    """Both ways at once, each in its turn."""

    def case(caller: Caller) -> None:
        sizes = [1 + number % 300 for number in range(3000)]
        call = caller.duplex((message(sizes=[size]) for size in sizes), timeout=25)
        assert [len(each) for each in call] == sizes
        assert call.code() is Code.OK

    await calling(node, case)


async def test_calls_share_a_connection(node: Node) -> None:
    """Two hundred by forty threads on one channel, of all four kinds."""

    def one(caller: Caller, number: int) -> bool:
        asked = message(bytes(number), sizes=[number, 7])
        match number % 4:
            case 0:
                return len(caller.unary(asked)) == number + 7
            case 1:
                return [len(each) for each in caller.output(asked)] == [number, 7]
            case 2:
                return bool(caller.input(iter([asked, asked])).result() == b"%d" % (2 * number))
            case _:
                return [len(each) for each in caller.duplex(iter([asked, asked]))] == [number, 7, number, 7]

    def case(caller: Caller) -> None:
        with ThreadPoolExecutor(40) as pool:
            assert all(pool.map(lambda number: one(caller, number), range(200)))

    await calling(node, case)


async def test_a_client_that_pings_is_served(node: Node) -> None:
    """Keepalive, far more often than the origin would allow it."""

    def case(caller: Caller) -> None:
        call = caller.output(message(sizes=[1] * 8, wait=0.2))
        assert len([*call]) == 8

    await calling(node, case, grpc_keepalive_time_ms=50, grpc_http2_max_pings_without_data=0)


async def test_a_slow_reader_holds_up_nobody_but_itself(node: Node) -> None:
    """32 MiB that one client does not read, and another's call meanwhile."""

    def case(caller: Caller) -> None:
        slow = caller.output(message(sizes=[1 << 20] * 32), timeout=25)
        next(slow)
        for _ in range(20):
            assert len(caller.unary(message(sizes=[1000]), timeout=2)) == 1000
        assert len([*slow]) == 31

    await calling(node, case)


# -- how calls end -----------------------------------------------------------------------------------------------------


def _of(seen: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The last of them, ``over`` if there was none."""
    return next((call for call in reversed(seen) if call["name"] == name), {"over": True})


@pytest.mark.parametrize("kind", ["UnaryCall", "StreamingInputCall", "StreamingOutputCall", "FullDuplexCall"])
async def test_a_cancelled_call_is_cancelled_at_the_origin(node: Node, origin: GrpcOrigin, kind: str) -> None:
    """Of every kind."""
    turns, asked = Turns(), message(sizes=[1] * 100, wait=0.1)

    def case(caller: Caller) -> None:
        match kind:
            case "UnaryCall":
                call = caller.channel.unary_unary(f"{SERVICE}UnaryCall").future(message(wait=3.0))
            case "StreamingInputCall":
                call = caller.input(iter(turns))
                turns.send(asked)
            case "StreamingOutputCall":
                call = caller.output(asked)
                next(call)
            case _:
                call = caller.duplex(iter(turns))
                turns.send(asked)
                next(call)
        under_way = _of(origin.seen(lambda seen: not _of(seen, kind).get("over")), kind)
        assert "over" not in under_way
        call.cancel()
        turns.end()
        assert call.code() is Code.CANCELLED
        assert _of(origin.seen(lambda seen: _of(seen, kind).get("over")), kind).get("cancelled") is True

    await calling(node, case)


async def test_an_abort_of_the_server_reaches_the_client(node: Node) -> None:
    """Of a call, and of a stream between messages."""

    def case(caller: Caller) -> None:
        error = caller.failing(message(abort=True))
        assert (error.code(), error.details()) == (Code.ABORTED, "the server has given up")
        call = caller.output(message(sizes=[5], abort=True))
        assert len(next(call)) == 5
        assert ends(call) is Code.ABORTED

    await calling(node, case)


async def test_a_deadline_reaches_the_origin(node: Node, origin: GrpcOrigin) -> None:
    """As much of it as is left."""
    await calling(node, lambda caller: caller.unary(message(), timeout=7.5))
    left = (await in_thread(origin.seen))[-1]["left"]
    assert 5 < left <= 7.5
    error = await calling(node, lambda caller: caller.failing(message(wait=2.0), timeout=0.3))
    assert error.code() is Code.DEADLINE_EXCEEDED


async def test_an_origin_that_is_killed_is_unavailable(pki: PKI) -> None:
    """Before it answers, in the middle of its answer, and afterwards."""
    with GrpcOrigin.running(pki) as origin:
        async with started(pki, origin.port, H2) as node:

            def case(caller: Caller) -> None:
                waiting = caller.channel.unary_unary(f"{SERVICE}UnaryCall").future(message(wait=9.0), timeout=10)
                answering = caller.output(message(sizes=[1] * 90, wait=0.1))
                next(answering)
                origin.kill()
                assert ends(waiting, streams=False) is Code.UNAVAILABLE
                assert ends(answering) is Code.UNAVAILABLE
                assert caller.failing(message()).code() is Code.UNAVAILABLE

            await calling(node, case)
            events = await node.events.take(3)
            assert [event["grpc_status"] for event in events] == [14, 14, 14]


async def test_an_origin_that_goes_away_loses_no_call(pki: PKI) -> None:
    """What runs comes to its end, and what comes next goes to the other server."""
    with GrpcOrigin.running(pki) as first, GrpcOrigin.running(pki) as second:
        servers = f"https://127.0.0.1:{first.port}, https://127.0.0.1:{second.port}"
        changes = {**H2, "origin origin": {"protocol": "h2", "servers": servers}}
        async with started(pki, first.port, changes) as node:

            def case(caller: Caller) -> None:
                stop, failed = threading.Event(), []

                def ask() -> int:
                    count = 0
                    while not stop.is_set():
                        try:
                            caller.unary(message(bytes(2000), sizes=[10]))
                            count += 1
                        except grpc.RpcError as error:
                            failed.append(error)
                    return count

                with ThreadPoolExecutor(8) as pool:
                    running = [pool.submit(ask) for _ in range(8)]
                    long = [caller.output(message(sizes=[1] * 10, wait=0.1)) for _ in range(4)]
                    for call in long:
                        next(call)
                    time.sleep(0.2)
                    first.go_away()
                    time.sleep(0.8)
                    stop.set()
                    counts = [each.result() for each in running]
                assert [ends(call) for call in long] == [Code.OK] * 4
                # grpcio's server itself cancels what comes between its GOAWAY and whoever reads that.
                assert {error.code() for error in failed} <= {Code.CANCELLED}
                assert min(counts) > 5

            await calling(node, case)
            node.events.told.clear()


async def test_rules_see_the_messages_of_a_call(pki: PKI, origin: GrpcOrigin) -> None:
    """Whole, with their framing; the origin gets them as they came, or not at all."""
    rule = {"action": "block", "expression": 'http.request.body.raw contains "evil"'}
    async with started(pki, origin.port, {**H2, "global-filter evil": rule}) as node:

        def case(caller: Caller) -> None:
            assert len(caller.unary(message(b"good" * 1000, sizes=[9]))) == 9
            assert caller.failing(message(b"so evil")).code() is Code.PERMISSION_DENIED
            assert caller.input(iter([message(b"good")] * 5)).result() == b"20"
            refused = caller.input(iter([message(b"good"), message(b"evil")]))
            assert ends(refused, streams=False) is Code.PERMISSION_DENIED

        await calling(node, case)
        events = await node.events.take(4)
        assert [event["grpc_status"] for event in events] == [0, 7, 0, 7]


async def test_an_origin_of_http_1_may_answer_a_call(pki: PKI) -> None:
    """Its trailers stand behind chunks, and are those of the call."""
    reply = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"6\r\n\0\0\0\0\1x\r\n0\r\ngrpc-status: 0\r\nx-more: y\r\n\r\n"
    )
    with Origin(pki, answering(reply)) as http1:
        async with started(pki, http1) as node:

            def case(caller: Caller) -> None:
                answer, call = caller.channel.unary_unary("/shop.Cart/Add").with_call(b"", timeout=5)
                assert (answer, dict(call.trailing_metadata())["x-more"]) == (b"x", "y")

            await calling(node, case)
            (event,) = await node.events.take()
            assert event["grpc_status"] == 0


@pytest.mark.parametrize("what", ["reload", "keepalive-requests"])
async def test_a_node_that_goes_away_loses_no_call(pki: PKI, origin: GrpcOrigin, what: str) -> None:
    """By a reload, or when a connection has had its share of requests: streams go on, and calls go elsewhere."""
    changes = {**H2, **({"listener public": {"keepalive-requests": "50"}} if what != "reload" else {})}
    async with started(pki, origin.port, changes) as node:
        stop = threading.Event()

        def case(caller: Caller) -> list[int]:
            def ask() -> int:
                count = 0
                while not stop.is_set():
                    caller.unary(message(bytes(2000), sizes=[10]))
                    count += 1
                return count

            with ThreadPoolExecutor(8) as pool:
                long = [caller.output(message(sizes=[1] * 10, wait=0.1)) for _ in range(4)]
                counts = [each.result() for each in [pool.submit(ask) for _ in range(8)]]
            assert [ends(call) for call in long] == [Code.OK] * 4
            return counts

        called = ensureDeferred(calling(node, case))
        for number in range(3):
            await deferLater(_reactor(), 0.3)
            if what == "reload":
                await node.reload(origin.port, {**changes, "edge": {"event-headers": f"content-type, x-{number}"}})
        stop.set()
        assert sum(await called) > 100
        statuses = {event["grpc_status"] for event in node.events.told}
        node.events.told.clear()
        assert statuses == {0}


async def test_a_node_that_stops_lets_a_stream_come_to_its_end(pki: PKI, origin: GrpcOrigin) -> None:
    """Within ``drain-timeout``."""
    async with started(pki, origin.port, {**H2, "edge": {"drain-timeout": "5s"}}) as node:
        begun = threading.Event()

        def case(caller: Caller) -> grpc.StatusCode:
            call = caller.output(message(sizes=[1] * 10, wait=0.1))
            next(call)
            begun.set()
            return ends(call)

        called = ensureDeferred(calling(node, case))
        await until(begun.is_set)
        await node.stop()
        assert (await called) is Code.OK
        node.events.told.clear()


def _reactor() -> Any:
    from twisted.internet import reactor  # only now: pytest-twisted installs it

    return reactor


WHOLE = [(b":status", b"200"), (b"content-type", b"application/grpc")]


@pytest.mark.parametrize("how", ["goaway", "refused"])
@pytest.mark.parametrize("kind", ["unary", "input"])
async def test_a_call_that_the_origin_has_not_looked_at_is_made_again(pki: PKI, how: str, kind: str) -> None:
    """By GOAWAY or REFUSED_STREAM, as long as all of its messages are still there."""

    server: Http2Origin

    def answer(spoken: Spoken, asked: Asked) -> None:
        if len(server.asked) != 2:
            spoken.answer(asked.stream, b"\0\0\0\0\1x", WHOLE, [(b"grpc-status", b"0")])
        elif how == "goaway":
            spoken.h2.close_connection(last_stream_id=asked.stream - 2)
        else:
            spoken.h2.reset_stream(asked.stream, 7)
        spoken.flush()

    def case(caller: Caller) -> None:
        for _ in range(3):
            if kind == "unary":
                assert caller.unary(b"some bytes") == b"x"
            else:
                assert caller.input(iter([b"some", b"bytes"])).result() == b"x"

    with Http2Origin(pki, answer) as server:
        async with started(pki, server, H2) as node:
            await calling(node, case)
            assert len(server.asked) == 4
            assert len({asked.body for asked in server.asked}) == 1
            events = await node.events.take(3)
            assert [event["grpc_status"] for event in events] == [0, 0, 0]


@pytest.mark.parametrize(
    ("code", "expected"),
    [(7, Code.UNAVAILABLE), (8, Code.CANCELLED), (11, Code.RESOURCE_EXHAUSTED), (12, Code.PERMISSION_DENIED),
     (2, Code.UNAVAILABLE), (1, Code.UNAVAILABLE)],
)  # fmt: skip
@pytest.mark.parametrize("begun", [False, True])
async def test_a_stream_that_the_origin_resets_ends_as_its_code_says(
    pki: PKI, code: int, expected: grpc.StatusCode, begun: bool
) -> None:
    """Before and behind the beginning of the answer."""

    def answer(spoken: Spoken, asked: Asked) -> None:
        if begun:
            spoken.h2.send_headers(asked.stream, [(b":status", b"200"), (b"content-type", b"application/grpc")])
            spoken.h2.send_data(asked.stream, b"\0\0\0\0\1x")
            spoken.flush()
        spoken.h2.reset_stream(asked.stream, code)
        spoken.flush()

    with Http2Origin(pki, answer) as origin:
        async with started(pki, origin, H2) as node:
            assert (await calling(node, lambda caller: ends(caller.output(b"", timeout=5)))) is expected
            (event,) = await node.events.take()
            assert event["grpc_status"] == expected.value[0]
            assert event["error"]["fault"] == "origin"


async def test_an_origin_that_is_too_slow_is_unavailable(pki: PKI) -> None:
    """``read-timeout``; the deadline of the call is a matter of its own."""
    with Http2Origin(pki, lambda spoken, asked: None) as origin:
        changes = {**H2, "origin origin": {"protocol": "h2", "read-timeout": "300ms"}}
        async with started(pki, origin, changes) as node:
            error = await calling(node, lambda caller: caller.failing(b""))
            assert error.code() is Code.UNAVAILABLE
            (event,) = await node.events.take()
            assert (event["status"], event["grpc_status"]) == (504, 14)


async def test_what_is_no_answer_of_grpc_is_cut(pki: PKI) -> None:
    """A page that breaks off does not end as though it were whole, though a call has asked for it."""

    def answer(spoken: Spoken, asked: Asked) -> None:
        spoken.h2.send_headers(asked.stream, [(b":status", b"200"), (b"content-type", b"text/html")])
        spoken.h2.send_data(asked.stream, b"<p>")
        spoken.h2.reset_stream(asked.stream, 2)
        spoken.flush()

    with Http2Origin(pki, answer) as origin:
        async with started(pki, origin, H2) as node:
            code = await calling(node, lambda caller: ends(caller.output(b"", timeout=5)))
            assert code is not Code.OK
            (event,) = await node.events.take()
            assert "grpc_status" not in event


async def test_a_stream_outlives_the_time_for_a_body(pki: PKI, origin: GrpcOrigin) -> None:
    """``body-timeout`` is for bodies that the origin waits for: here the client waits for the origin's answers."""
    async with started(pki, origin.port, {**H2, "listener public": {"body-timeout": "500ms"}}) as node:

        def case(caller: Caller) -> None:
            turns = Turns()
            call = caller.duplex(iter(turns))
            for _ in range(4):
                turns.send(message(sizes=[3]))
                assert len(next(call)) == 3
                time.sleep(0.4)
            turns.end()
            assert ends(call) is Code.OK

        await calling(node, case)


async def test_a_client_that_begins_a_stream_and_sends_nothing_is_told(pki: PKI, origin: GrpcOrigin) -> None:
    """The time for the body is over."""
    async with started(pki, origin.port, {**H2, "listener public": {"body-timeout": "300ms"}}) as node:

        def case(caller: Caller) -> None:
            turns = Turns()
            call = caller.input(iter(turns))
            assert ends(call, streams=False) is Code.DEADLINE_EXCEEDED
            turns.end()

        await calling(node, case)
        (event,) = await node.events.take()
        assert (event["status"], event["grpc_status"]) == (408, 4)


async def test_a_message_that_is_too_large_exhausts_resources(pki: PKI, origin: GrpcOrigin) -> None:
    """``max-body-size``."""
    async with started(pki, origin.port, {"origin origin": {"protocol": "h2"}}) as node:
        error = await calling(node, lambda caller: caller.failing(bytes(1_100_000)))
        assert (error.code(), error.details()) == (Code.RESOURCE_EXHAUSTED, "413 Content Too Large")


async def test_calls_over_the_limit_exhaust_resources(pki: PKI, origin: GrpcOrigin) -> None:
    """``max-requests``."""
    changes = {**H2, "listener public": {"max-requests": "2"}}
    async with started(pki, origin.port, changes) as node:

        def case(caller: Caller) -> None:
            held = [caller.output(message(sizes=[1] * 20, wait=0.1)) for _ in range(2)]
            for call in held:
                next(call)
            assert caller.failing(message()).code() is Code.RESOURCE_EXHAUSTED
            for call in held:
                call.cancel()

        await calling(node, case)
        node.events.told.clear()


# -- clients that are not grpcio ---------------------------------------------------------------------------------------


async def curl(node: Node, path: str, *options: str) -> str:
    """What curl is answered, head and trailers with it."""
    where = f"open.test:{node.port}"
    command = [
        "curl", "-sSi", "--cacert", str(node.pki.folder / "servers.pem"), "--resolve", f"{where}:127.0.0.1",
        "--data-binary", "x", "-H", "te: trailers", *options, f"https://{where}{path}",
    ]  # fmt: skip
    run = await in_thread(subprocess.run, command, capture_output=True, check=False, timeout=20)
    return str((run.stdout + run.stderr).decode("latin-1"))


GRPC = ("-H", "content-type: application/grpc")


@pytest.mark.parametrize("begun", [False, True])
async def test_the_deadline_of_a_call_is_kept_where_its_client_does_not(pki: PKI, begun: bool) -> None:
    """The client is told, in trailers if its answer has begun, and the origin works no longer."""

    def answer(spoken: Spoken, asked: Asked) -> None:
        if begun:
            spoken.h2.send_headers(asked.stream, WHOLE)
            spoken.flush()

    with Http2Origin(pki, answer) as origin:
        async with started(pki, origin, H2) as node:
            told = await curl(node, "/shop.Cart/Add", *GRPC, "-H", "grpc-timeout: 300m")
            assert "\ngrpc-status: 4\r\ngrpc-message: Gateway Timeout" in told or (
                "\ngrpc-status: 4\r\ngrpc-message: 504 Gateway Timeout" in told
            )
            await until(lambda: origin.asked[0].reset == 8)
            (event,) = await node.events.take()
            assert event["grpc_status"] == 4
            assert "grpc-timeout" in event["error"]["reason"]
            assert await curl(node, "/shop.Cart/Add", *GRPC, "-H", "grpc-timeout: 0.3S", "--max-time", "0.6")
            (event,) = await node.events.take()
            assert event["error"]["status"] == 499, "what is malformed is no deadline"


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
@pytest.mark.parametrize("kind", ["application/grpc-web+proto", "application/grpc-web-text"])
async def test_grpc_web_passes_as_http(pki: PKI, version: str, kind: str) -> None:
    """Its messages and trailers are a body, and a refusal has a status of HTTP; rules know the service."""
    rule = {"action": "block", "expression": 'edge.grpc.service eq "shop.Secret"'}
    body = b"\0\0\0\0\1x\x80\0\0\0\x0fgrpc-status:0\r\n"
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind.encode(), len(body), body)
    with Origin(pki, answering(reply)) as origin:
        async with started(pki, origin, {"global-filter secret": rule}) as node:
            told = await curl(node, "/shop.Cart/Add", version, "-H", f"content-type: {kind}")
            assert told.endswith(body.decode("latin-1"))
            assert " 200" in told.partition("\r\n")[0]
            told = await curl(node, "/shop.Secret/Add", version, "-H", f"content-type: {kind}")
            assert " 403" in told.partition("\r\n")[0]
            assert "grpc-status" not in told
            events = await node.events.take(2)
            assert [event["status"] for event in events] == [200, 403]


async def test_what_says_that_it_is_grpc_over_http_1_is_answered_in_http(node: Node) -> None:
    """There is no gRPC over HTTP/1.1, and who looks at the status must not read 200."""
    node.events.told.clear()
    told = await curl(node, "/shop.Cart/%zz", "--http1.1", *GRPC)
    assert told.startswith("HTTP/1.1 400 ")
    node.events.told.clear()
