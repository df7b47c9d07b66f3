"""Spans on their way to a collector, over TLS with the node's certificate, on a clock of the test's own.

The collector is a strict one: :mod:`tests.support.collector`. Whatever it does, no request notices, and nothing is kept
without a bound.
"""

from __future__ import annotations

import pathlib
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from edgenode import Record, Response
from edgenode.model.trace import Trace
from edgenode.model.websocket import WebSocketState
from edgenode.node.traces_use import TracesUse
from edgenode.observe.traces.sender import FAREWELL, PIECE, TRIES, Counts
from edgenode.testing import SERVER, FakeOrigin, MemoryNode, OriginRequest, Sandbox, result_of
from tests.support.certificates import write_pem
from tests.support.collector import Seen, answer, read
from tests.support.records import EXCHANGE, FakeRecord

INI = """
[traces]
origin       = collector
sample       = {sample}
parent       = respect
service-name = shop-edge
{more}

[origin collector]
servers       = https://192.0.2.90:4318
server-name   = collector.test
trust-store   = servers
certificate   = edge-client
next-upstream = off
max-fails     = 0

[trust-store servers]
authorities = servers.pem

[certificate edge-client]
chain       = edge-client.pem
key         = edge-client.key
authorities = servers.pem
"""
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """Certificates, and a configuration that they fit."""
    made = Sandbox.make(tmp_path_factory.mktemp("sandbox"))
    write_pem(made.folder / "servers.pem", [made.servers])
    made.servers.issue("edge-client").write(made.folder, "edge-client")
    return made


def ini(more: str = "", sample: str = "1") -> str:
    """The sections of a node that traces."""
    return INI.format(sample=sample, more=more)


class Collecting(FakeOrigin):
    """A collector that demands the node's certificate.

    :ivar spans: of the requests that it has taken.
    """

    def __init__(self, sandbox: Sandbox, said: Callable[[OriginRequest], object] = lambda request: None) -> None:
        certificate = sandbox.servers.issue("collector", eku=[SERVER], sans=["DNS:collector.test"])
        super().__init__(self._take, certificate, sandbox.servers)
        self.spans: list[Seen] = []
        self.said = said

    def _take(self, request: OriginRequest) -> Response:
        told = self.said(request)
        if isinstance(told, (Response, Deferred)):
            return told  # type: ignore[return-value]  # FakeOrigin takes either
        assert (request.method, request.target) == (b"POST", b"/v1/traces")
        assert request.header(b"content-type") == b"application/x-protobuf"
        assert request.header(b"traceparent") is None
        self.spans += read(request.body)
        return Response(200, ((b"content-type", b"application/x-protobuf"),), answer())


class Traced:
    """A node with a collector behind it."""

    def __init__(
        self, sandbox: Sandbox, more: str = "", said: object = None, sample: str = "1", rules: str = ""
    ) -> None:
        self.sandbox = sandbox
        self.collector = Collecting(sandbox, said) if callable(said) else Collecting(sandbox)
        self.app = FakeOrigin()
        configuration = sandbox.configuration(ini(more, sample) + rules)
        self.node = MemoryNode(configuration, {"app": self.app, "collector": self.collector})

    def __enter__(self) -> Traced:
        return self

    def __exit__(self, *_: object) -> None:
        self.node.stop()

    @property
    def part(self) -> TracesUse:
        """What sends."""
        return next(each for each in self.node.service._observation._parts if isinstance(each, TracesUse))

    @property
    def counts(self) -> Counts:
        """What became of it."""
        counts = self.part.counts
        assert counts is not None
        return counts

    def ask(self, times: int = 1, *headers: tuple[str, str]) -> None:
        """Ask the node; every request is answered at once."""
        for _ in range(times):
            assert self.node.client("www.test").get("/a?secret=1", headers).status == 200


# -- what comes --------------------------------------------------------------------------------------------------------


def test_spans_are_sent_together_after_a_while(sandbox: Sandbox) -> None:
    """By one request with the node's certificate; nothing of it is an event, or stands in a trace."""
    with Traced(sandbox) as traced:
        traced.ask(3)
        traced.node.pass_time(4)
        assert traced.collector.requests == []
        traced.node.pass_time(2)
        (sent,) = traced.collector.requests
        assert sent.client == "edge-client"
        assert len(traced.node.events) == 3
        assert {span.resource["service.name"] for span in traced.collector.spans} == {"shop-edge"}
        kinds = [span.kind for span in traced.collector.spans]
        assert kinds == ["SERVER", "INTERNAL", "CLIENT"] * 3
        assert len({span.trace_id for span in traced.collector.spans}) == 3
        assert traced.counts == Counts(sent=3)
        traced.node.pass_time(60)
        assert len(traced.collector.requests) == 1
        told = {"sent": 3, "dropped": 0, "failed": 0, "rejected": 0, "fault": "", "waiting": 0}
        assert traced.node.service._observation.standing["traces"] == told


def test_the_spans_of_a_request_are_a_tree(sandbox: Sandbox) -> None:
    """In the client's trace: the client's span, ours, and those of the decision and of the origin below; the origin has
    got the name of the last, and the event that of ours."""
    with Traced(sandbox) as traced:
        traced.ask(1, ("traceparent", PARENT), ("tracestate", "rojo=1"))
        traced.node.pass_time(6)
        server, decision, client = traced.collector.spans
        assert {span.trace_id for span in traced.collector.spans} == {PARENT[3:35]}
        assert {span.state for span in traced.collector.spans} == {"rojo=1"}
        assert (server.parent, decision.parent, client.parent) == (PARENT[36:52], server.span_id, server.span_id)
        (asked,) = traced.app.requests
        assert asked.header(b"traceparent") == f"00-{PARENT[3:35]}-{client.span_id}-01".encode()
        (event,) = traced.node.events
        assert event["trace"] == {"trace_id": server.trace_id, "span_id": server.span_id, "sampled": True}
        assert server.attributes["edgenode.request.id"] == event["id"]
        assert "secret" not in repr(traced.collector.spans)


def test_each_try_has_a_span_of_its_own(sandbox: Sandbox) -> None:
    """And each server has got the name of its own."""
    several = """
    [origin app]
    servers       = http://192.0.2.80:80, http://192.0.2.81:80
    next-upstream = http-503
    """
    with Traced(sandbox, rules=textwrap.dedent(several)) as traced:
        traced.app.answer = Response(503)
        for _ in range(2):
            assert traced.node.client("www.test").get("/").status == 503
        traced.node.pass_time(6)
        clients = [span for span in traced.collector.spans if span.kind == "CLIENT"]
        told = [(request.header(b"traceparent") or b"").split(b"-") for request in traced.app.requests]
        assert [each[2].decode() for each in told] == [span.span_id for span in clients]
        assert [each[1].decode() for each in told] == [span.trace_id for span in clients]
        assert [span.attributes.get("http.request.resend_count", 0) for span in clients] == [0, 1, 0, 1]
        assert [span.attributes["http.response.status_code"] for span in clients] == [503] * 4
        assert len({span.attributes["server.address"] for span in clients[:2]}) == 2


def test_nothing_is_sent_of_what_is_not_sampled(sandbox: Sandbox) -> None:
    """Nor is there a timer."""
    with Traced(sandbox, sample="0") as traced:
        traced.ask(20)
        traced.node.pass_time(60)
        assert traced.collector.requests == []
        assert not traced.node.events[0]["trace"]["sampled"]
        assert traced.counts == Counts()


def test_of_a_websocket_its_end_has_a_span(sandbox: Sandbox) -> None:
    """And no message of it has one, though it may have an event."""
    trace = Trace(b"a" * 32, b"b" * 16, b"01", True)
    with Traced(sandbox) as traced:
        sink: Any = traced.part.sink
        for code in (None, 1000):
            sink.record(FakeRecord(EXCHANGE, websocket=WebSocketState(1, 1, code), trace=trace))
        traced.node.pass_time(6)
        (span,) = traced.collector.spans
        assert span.attributes["edgenode.websocket.code"] == 1000


def test_a_full_batch_does_not_wait(sandbox: Sandbox) -> None:
    """And no request has more spans than a batch."""
    with Traced(sandbox, "batch = 4") as traced:
        traced.ask(9)
        assert [len(read(each.body)) for each in traced.collector.requests] == [12, 12]
        traced.node.pass_time(6)
        assert [len(read(each.body)) for each in traced.collector.requests] == [12, 12, 3]


def test_spans_are_made_in_turns(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few requests in each, so that nobody waits for many."""
    with Traced(sandbox) as traced:
        writer = traced.part._sender._writer  # type: ignore[union-attr]
        wrote: list[int] = []
        real = writer.write

        def write(records: Sequence[Record]) -> bytes:
            wrote.append(len(records))
            return real(records)

        monkeypatch.setattr(writer, "write", write)
        traced.ask(PIECE * 2 + 1)
        traced.node.pass_time(6)
        assert wrote == [PIECE, PIECE, 1]
        assert len(traced.collector.spans) == 3 * (PIECE * 2 + 1)


def test_what_cannot_be_made_takes_nothing_else_with_it(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, flush_logged_errors: Callable[..., list[object]]
) -> None:
    """It is counted, and the rest is sent."""
    with Traced(sandbox) as traced:
        writer = traced.part._sender._writer  # type: ignore[union-attr]
        real, first = writer.write, [True]

        def write(records: Sequence[Record]) -> bytes:
            if first.pop() if first else False:
                raise RuntimeError("no spans today")
            return real(records)

        monkeypatch.setattr(writer, "write", write)
        traced.ask(PIECE + 2)
        traced.node.pass_time(6)
        assert traced.counts == Counts(sent=2, failed=PIECE)
        assert len(flush_logged_errors(RuntimeError)) == 1


# -- collectors that fail ----------------------------------------------------------------------------------------------


def status(*codes: int, headers: tuple[tuple[bytes, bytes], ...] = (), body: bytes = b"") -> Callable[..., object]:
    """Answers these, and then takes what comes."""
    left = list(codes)
    return lambda request: Response(left.pop(0), headers, body) if left else None


@pytest.mark.parametrize("code", [429, 502, 503, 504])
def test_what_may_be_taken_later_is_sent_again(sandbox: Sandbox, code: int) -> None:
    """After a while, and longer each time; the same spans."""
    with Traced(sandbox, said=status(code, code)) as traced:
        traced.ask()
        traced.node.pass_time(5.1)
        assert len(traced.collector.requests) == 1
        assert traced.counts.fault == f"the receiver answers {code}"
        traced.node.pass_time(1.1)
        assert len(traced.collector.requests) == 2
        traced.node.pass_time(2.1)
        assert len(traced.collector.requests) == 3
        assert len({each.body for each in traced.collector.requests}) == 1
        assert traced.counts == Counts(sent=1)


def test_a_collector_says_when_it_wants_to_be_asked_again(sandbox: Sandbox) -> None:
    """Not before that time; of an hour after five minutes."""
    for after, wait in ((b"17", 17), (b"3600", 300)):
        with Traced(sandbox, said=status(503, headers=((b"retry-after", after),))) as traced:
            traced.ask()
            traced.node.pass_time(5.1)
            traced.node.pass_time(wait - 1)
            assert len(traced.collector.requests) == 1
            traced.node.pass_time(2)
            assert traced.counts == Counts(sent=1)


@pytest.mark.parametrize("code", [400, 401, 404, 413, 500, 302])
def test_what_is_refused_is_not_sent_again(sandbox: Sandbox, code: int) -> None:
    """It is counted, and what comes later is sent; no redirect is followed."""
    with Traced(sandbox, said=status(code, headers=((b"location", b"https://elsewhere.test/"),))) as traced:
        traced.ask(2)
        traced.node.pass_time(60)
        assert traced.counts == Counts(failed=2, fault=f"the receiver answers {code}")
        assert len(traced.collector.requests) == 1
        traced.ask()
        traced.node.pass_time(6)
        assert traced.counts == Counts(sent=1, failed=2)


def test_a_batch_is_not_sent_for_ever(sandbox: Sandbox) -> None:
    """After so many times it is dropped, and the next is tried."""
    with Traced(sandbox, said=status(*[503] * TRIES)) as traced:
        traced.ask()
        traced.node.pass_time(100)
        assert len(traced.collector.requests) == TRIES
        assert (traced.counts.sent, traced.counts.failed) == (0, 1)
        traced.ask()
        traced.node.pass_time(6)
        assert (traced.counts.sent, traced.counts.failed) == (1, 1)


def test_a_collector_that_is_down_is_asked_later(sandbox: Sandbox) -> None:
    """No request notices, and once it is there it gets what waited."""
    with Traced(sandbox) as traced:
        traced.collector.down = True
        traced.ask()
        traced.node.pass_time(5.1)
        traced.ask(2)
        traced.collector.down = False
        traced.node.pass_time(20)
        assert traced.counts == Counts(sent=3)


def test_what_waits_has_a_bound(sandbox: Sandbox) -> None:
    """Behind a collector that never answers: what there is no place for is dropped, and counted."""
    with Traced(sandbox, "queue = 5\nbatch = 2", said=lambda request: Deferred()) as traced:
        traced.ask(20)
        assert traced.counts == Counts(dropped=13)
        assert traced.part._sender.waiting == 7  # type: ignore[union-attr]
        assert len(traced.collector.requests) == 1
        over = stopping(traced)
        traced.node.pass_time(FAREWELL + 0.2)
        assert over == [None]
        assert (traced.counts.dropped, traced.counts.failed) == (13, 7)


def stopping(traced: Traced) -> list[None]:
    """Stop the node; the list has an item once it has stopped."""
    over: list[None] = []
    stopped = traced.node.service.stopService()
    stopped.addCallback(lambda _: over.append(None))
    traced.node.settle()
    return over


def test_a_collector_that_does_not_answer_is_given_up(sandbox: Sandbox) -> None:
    """After timeout, for that time; then it is asked anew."""
    told: list[object] = [Deferred()]
    with Traced(sandbox, "timeout = 2s", said=lambda request: told.pop() if told else None) as traced:
        traced.ask()
        traced.node.pass_time(5.1)
        traced.node.pass_time(2.1)
        assert traced.counts.fault == "no answer within 2 s"
        traced.node.pass_time(1.1)
        assert traced.counts == Counts(sent=1)


@pytest.mark.parametrize("body", [b"\xff" * 100, b"<html>", b"x" * 200_000, b""])
def test_what_a_collector_says_besides_does_not_matter(sandbox: Sandbox, body: bytes) -> None:
    """It has taken the spans; an answer without a sense, or without an end, is not read."""
    with Traced(sandbox, said=status(200, body=body)) as traced:
        traced.ask()
        traced.node.pass_time(6)
        assert traced.counts == Counts(sent=1)


def test_spans_that_a_collector_rejects_are_counted(sandbox: Sandbox) -> None:
    """As it says, in a partial success."""
    with Traced(sandbox, said=status(200, body=answer(2, "too old\n\x1b[31m"))) as traced:
        traced.ask()
        traced.node.pass_time(6)
        assert traced.counts == Counts(sent=1, rejected=2)


def test_another_s_certificate_gets_nothing(sandbox: Sandbox) -> None:
    """A server that is not the collector hears not a byte of a span."""
    with Traced(sandbox) as traced:
        false = FakeOrigin(certificate=sandbox.servers.issue("false", eku=[SERVER], sans=["DNS:false.test"]))
        traced.node.serve("collector", false)
        traced.ask()
        traced.node.pass_time(6)
        assert false.requests == []
        assert "collector.test" in traced.counts.fault


# -- tokens ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "name", "value"),
    [
        ("token = abc", b"authorization", b"Bearer abc"),
        ("token = abc\ntoken-header = X-Api-Key", b"x-api-key", b"abc"),
        ("token-file = token.txt", b"authorization", b"Bearer from a file"),
    ],
)
def test_the_node_says_who_it_is(sandbox: Sandbox, written: str, name: bytes, value: bytes) -> None:
    """By a token in the header that the section names."""
    (sandbox.folder / "token.txt").write_text("from a file\nand more\n")
    with Traced(sandbox, written) as traced:
        traced.ask()
        traced.node.pass_time(6)
        assert traced.collector.requests[0].header(name) == value


def test_a_token_s_file_that_is_gone_holds_spans_up(sandbox: Sandbox) -> None:
    """Nothing is sent without it; once it is there again, they are."""
    file: pathlib.Path = sandbox.folder / "token.txt"
    file.write_text("abc\n")
    with Traced(sandbox, "token-file = token.txt") as traced:
        file.unlink()
        traced.ask()
        traced.node.pass_time(5.1)
        assert traced.collector.requests == []
        file.write_text("def\n")
        traced.node.pass_time(10)
        assert [each.header(b"authorization") for each in traced.collector.requests] == [b"Bearer def"]


# -- the end, and reloads ----------------------------------------------------------------------------------------------


def test_a_node_that_stops_sends_what_waits(sandbox: Sandbox) -> None:
    """All of it, batch by batch."""
    traced = Traced(sandbox, "batch = 2\nqueue = 100", said=status(503))
    with traced:
        traced.collector.said = lambda request: None
        for _ in range(5):
            assert traced.node.client("www.test").get("/").status == 200
    assert len(traced.collector.spans) == 15
    assert not traced.node.reactor.getDelayedCalls()


def test_a_node_that_stops_waits_for_no_collector(sandbox: Sandbox) -> None:
    """Not longer than a few seconds for one that hangs, and not at all for one that it had to wait for."""
    traced = Traced(sandbox, said=lambda request: Deferred())
    traced.ask()
    over = stopping(traced)
    traced.node.pass_time(FAREWELL - 0.2)
    assert over == []
    traced.node.pass_time(0.4)
    assert over == [None]
    assert (traced.counts.sent, traced.counts.failed) == (0, 1)
    assert not traced.node.reactor.getDelayedCalls()
    with Traced(sandbox, said=status(503, headers=((b"retry-after", b"60"),))) as traced:
        traced.ask()
        traced.node.pass_time(6)
    assert traced.counts.failed == 1
    assert not traced.node.reactor.getDelayedCalls()


def test_a_node_that_starts_again_traces_again(sandbox: Sandbox) -> None:
    """As before."""
    with Traced(sandbox) as traced:
        traced.ask()
        assert stopping(traced) == [None]
        assert len(traced.collector.spans) == 3
        traced.node.service.startService()
        traced.node.settle()
        traced.ask()
        traced.node.pass_time(6)
        assert len(traced.collector.spans) == 6


def reload(traced: Traced, more: str | None, sample: str = "1") -> None:
    """Go on with another section; with ``None`` with none."""
    text = "" if more is None else ini(more, sample)
    configuration = traced.sandbox.configuration(text)
    reloaded = traced.node.service.reload(configuration)
    traced.node.settle()
    result_of(reloaded)


def test_a_reload_of_something_else_loses_no_span(sandbox: Sandbox) -> None:
    """And goes on counting."""
    with Traced(sandbox) as traced:
        traced.ask()
        reload(traced, "")
        traced.ask()
        traced.node.pass_time(6)
        assert len(traced.collector.requests) == 1
        assert traced.counts == Counts(sent=2)


def test_a_reload_takes_traces_away_and_brings_them(sandbox: Sandbox) -> None:
    """What waits is sent; from then on requests stand in no trace, and then in one again."""
    with Traced(sandbox) as traced:
        traced.ask()
        reload(traced, None)
        assert len(traced.collector.spans) == 3
        traced.ask()
        assert "trace" not in traced.node.events[-1]
        assert traced.app.requests[-1].header(b"traceparent") is None
        assert traced.part.counts is None
        reload(traced, "")
        traced.ask()
        traced.node.pass_time(6)
        assert len(traced.collector.spans) == 6
        reload(traced, "", "0")
        traced.ask()
        traced.node.pass_time(6)
        assert len(traced.collector.spans) == 6


@pytest.mark.parametrize(("jitter", "first"), [(0.0, 0.5), (1.0, 1.0)])
def test_the_pause_has_a_random_part(sandbox: Sandbox, jitter: float, first: float) -> None:
    """Nodes that have failed together do not come back together."""
    with Traced(sandbox, said=status(503)) as traced:
        traced.part._sender._jitter = lambda: jitter  # type: ignore[union-attr]
        traced.ask()
        traced.node.pass_time(5.05)
        traced.node.pass_time(first - 0.2)
        assert len(traced.collector.requests) == 1
        traced.node.pass_time(0.4)
        assert len(traced.collector.requests) == 2
