"""One exchange: judged, forwarded, answered and told, with the whole data path around it in one thread."""

from __future__ import annotations

import functools
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import Factory, define, evolve
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from edgenode.config.load import Configuration
from edgenode.model.decision import NOTHING, Decision
from edgenode.model.errors import ClientError
from edgenode.model.exchange import Exchange, Response
from edgenode.net.records import RECORD
from edgenode.policy.actions import PREDEFINED, Monitor
from edgenode.proxy.exchange import ProxyExchange
from edgenode.proxy.http1.bodies import ChunkedBody
from tests.support import memory
from tests.support.memory import MemoryNode
from tests.support.node import OK, PKI, fields, get

BLOCK = Decision(action=PREDEFINED["block"])
CHUNKED = "Transfer-Encoding: chunked"


@pytest.fixture
def node(pki: PKI) -> Iterator[MemoryNode]:
    """A node that says nothing special."""
    with memory.node(pki) as node:
        yield node


@define(eq=False)
class Stage:
    """One more stage, which says what it is told to.

    :ivar seen: how much of each body it has seen, if it looks at bodies.
    """

    say: Callable[[Exchange], Any] = lambda exchange: NOTHING
    needs: frozenset[str] = frozenset()
    name: str = "testing"
    seen: list[int | None] = Factory(list)

    def decide(self, exchange: Exchange) -> Any:
        """Say it."""
        body = None if exchange.request is None else exchange.request.body
        self.seen.append(None if body is None else len(body.data))
        return self.say(exchange)


def _always(said: Any, exchange: Exchange) -> Any:
    return said


def staged(stage: Stage) -> Callable[[Configuration], Configuration]:
    """A configuration with that stage behind its own."""

    def change(configuration: Configuration) -> Configuration:
        rules = configuration.rules
        return evolve(configuration, rules=evolve(rules, stages=(*rules.stages, stage)))

    return change


def statuses(node: MemoryNode) -> list[int]:
    """Of the events so far."""
    return [record.status for record in node.records]


# -- judged ------------------------------------------------------------------------------------------------------------


def test_a_request_goes_to_the_origin_and_its_response_back(node: MemoryNode) -> None:
    """And the event has what happened, in the order in which it did."""
    client = node.client()
    client.send(get("/a", "open.test", "Content-Length: 4", method="POST", body=b"body"))
    origin = node.origin()
    assert origin.read().startswith(b"POST /a HTTP/1.1\r\nHost: open.test\r\n")
    origin.send(OK)
    assert client.answer().body == b"ok"
    (record,) = node.records
    assert (record.status, record.origin_status, record.error) == (200, 200, None)
    assert (record.received, record.sent, record.tries, record.reused) == (4, 2, 1, False)
    assert (record.origin, record.server) == ("origin", "127.0.0.1:80")
    assert 0 < record.began <= record.decided <= record.answered <= record.ended
    client.send(get("/b"))
    origin.read()
    origin.send(OK)
    assert node.records[-1].reused


def test_an_exchange_has_fewer_attributes_than_make_it_slow(node: MemoryNode) -> None:
    """From the thirtieth on CPython keeps those of an instance in a dictionary of its own, which takes a microsecond
    and 1.3 KB for each request: what is seldom set, or follows from others, is none."""
    client = node.client()
    client.send(get("/"))
    origin = node.origin()
    origin.read()
    origin.send(OK)
    assert client.answer().body == b"ok"
    assert len(vars(node.records[-1])) <= 28


def test_what_waits_to_be_judged_reaches_nobody(pki: PKI) -> None:
    """Neither its head nor its body, until every stage has spoken; then both do, or neither."""
    for said, status in ((NOTHING, 200), (BLOCK, 403)):
        waiting: Deferred[Decision] = Deferred()
        with memory.node(pki, None, staged(Stage(functools.partial(_always, waiting)))) as node:
            client = node.client()
            client.send(get("/", "open.test", "Content-Length: 4", method="POST", body=b"body"))
            assert not node.opened
            waiting.callback(said)
            if status == 200:
                origin = node.origin()
                assert origin.read().endswith(b"\r\n\r\nbody")
                origin.send(OK)
            assert client.answer().status == status
            assert statuses(node) == [status]
            assert len(node.opened) == (status == 200)


@pytest.mark.parametrize("body", [b"", b"body"])
@pytest.mark.parametrize("inspected", [False, True])
@pytest.mark.parametrize("failure", ["closed", "open"])
def test_a_stage_that_never_answers_is_not_waited_for(
    pki: PKI, body: bytes, inspected: bool, failure: str, flush_logged_errors: Callable[..., list[Failure]]
) -> None:
    """After ``judging-timeout`` it is cancelled and the failure policy holds; the event says which stage it was."""
    cancelled: list[object] = []
    stage = Stage(lambda exchange: Deferred(cancelled.append), frozenset(("body",)) if inspected else frozenset())
    changes = {"edge": {"judging-timeout": "3s", "failure": failure}}
    with memory.node(pki, changes, staged(stage)) as node:
        client = node.client()
        client.send(get("/", "open.test", f"Content-Length: {len(body)}", method="POST", body=body))
        node.loop.wait(2.5)
        assert client.read() == b""
        assert not cancelled
        node.loop.wait(1)
        if failure == "open":
            node.origin().send(OK)
        assert client.answer().status == (503 if failure == "closed" else 200)
        assert len(cancelled) == 1
        assert node.events[0]["reasons"][-1]["stage"] == "testing"
        assert node.events[0]["reasons"][-1]["entry"] == "failed: no answer in time"
        assert ("action:failure" in node.events[0]["tags"]) is (failure == "closed")
        assert len(flush_logged_errors()) == 1


@pytest.mark.parametrize("body", [b"", b"body"])
@pytest.mark.parametrize("inspected", [False, True])
def test_a_stage_is_cancelled_when_the_client_goes(pki: PKI, body: bytes, inspected: bool) -> None:
    """Nobody waits for its answer any more; one that comes all the same, or an error, is not heard."""
    cancelled: list[object] = []
    stage = Stage(lambda exchange: Deferred(cancelled.append), frozenset(("body",)) if inspected else frozenset())
    with memory.node(pki, {"edge": {"judging-timeout": "60s"}}, staged(stage)) as node:
        client = node.client()
        client.send(get("/", "open.test", f"Content-Length: {len(body)}", method="POST", body=body))
        assert stage.seen
        client.close()
        assert len(cancelled) == 1
        assert statuses(node) == [499]
        assert not node.opened


@define
class Broken(Monitor):
    """An action that does not do what it should.

    :ivar make: does what it does.
    """

    make: Callable[[], Any] = lambda: None

    def outcome(self, exchange: Exchange) -> Any:
        """Do it."""
        return self.make()


def _exit() -> None:
    raise SystemExit


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("failure", ["closed", "open"])
@pytest.mark.parametrize("make", [lambda: 1 / 0, _exit, lambda: None, lambda: Response(200, (), b"")])
def test_an_action_that_fails_refuses_the_request(
    pki: PKI, late: bool, failure: str, make: Callable[[], Any], flush_logged_errors: Callable[..., list[Failure]]
) -> None:
    """Whatever the failure policy, which is about stages: 503, and the connection stays."""
    said = Decision(action=Broken("broken", make=make))
    waits: list[Deferred[Decision]] = []

    def say(exchange: Exchange) -> Any:
        waits.append(Deferred())
        return waits[-1] if late else said

    with memory.node(pki, {"edge": {"failure": failure}}, staged(Stage(say))) as node:
        client = node.client()
        for count in (1, 2):
            client.send(get())
            if late:
                waits[-1].callback(said)
            assert client.answer().status == 503
            assert [event["status"] for event in node.events] == [503] * count
        assert not node.opened
        assert len(flush_logged_errors()) == 2


@pytest.mark.parametrize("body", [b"", b"body"])
@pytest.mark.parametrize("inspected", [False, True])
def test_what_cannot_be_judged_is_refused(
    pki: PKI,
    monkeypatch: pytest.MonkeyPatch,
    flush_logged_errors: Callable[..., list[Failure]],
    body: bytes,
    inspected: bool,
) -> None:
    """A defect behind a stage that has to wait fails closed: 503, and no byte to the origin."""
    waiting: Deferred[Decision] = Deferred()
    stage = Stage(lambda exchange: waiting, frozenset(("body",)) if inspected else frozenset())

    def fail(exchange: ProxyExchange) -> None:
        raise ZeroDivisionError

    with memory.node(pki, None, staged(stage)) as node:
        monkeypatch.setattr(ProxyExchange, "outcome", fail)
        client = node.client()
        client.send(get("/", "open.test", f"Content-Length: {len(body)}", method="POST", body=body))
        waiting.callback(NOTHING)
        assert client.answer().status == 503
        assert (statuses(node), node.opened) == ([503], [])
        assert node.records[0].error is not None
        assert len(flush_logged_errors(ZeroDivisionError)) == 1


def test_what_is_judged_after_its_client_has_left_goes_nowhere(pki: PKI) -> None:
    """It has been told as 499, and is not told again."""
    waiting: Deferred[Decision] = Deferred()
    with memory.node(pki, None, staged(Stage(lambda exchange: waiting))) as node:
        client = node.client()
        client.send(get("/", "open.test", "Content-Length: 9", method="POST"))
        client.close()
        assert statuses(node) == [499]
        waiting.callback(NOTHING)
        assert (statuses(node), node.opened) == ([499], [])


def test_what_is_judged_after_its_body_failed_goes_nowhere(pki: PKI) -> None:
    """It has been answered."""
    waiting: Deferred[Decision] = Deferred()
    with memory.node(pki, None, staged(Stage(lambda exchange: waiting))) as node:
        client = node.client()
        client.send(get("/", "open.test", CHUNKED, method="POST", body=b"x\r\n"))
        assert client.answer().status == 400
        waiting.callback(NOTHING)
        assert (statuses(node), node.opened) == ([400], [])


def test_a_defect_does_not_eat_up_the_limit(
    pki: PKI, monkeypatch: pytest.MonkeyPatch, flush_logged_errors: Callable[..., list[Failure]]
) -> None:
    """A request that ends in an exception is counted out, and the next one served."""
    with memory.node(pki, {"listener public": {"max-requests": "1"}}) as node:
        with monkeypatch.context() as patch:
            patch.setattr(ProxyExchange, "judge", lambda exchange: 1 // 0)
            client = node.client()
            client.send(get())
            assert client.read() == b""
            assert client.ended == "cut"
        assert node.port.load.requests.count == 0
        assert flush_logged_errors(ZeroDivisionError)
        client = node.client()
        client.send(get())
        node.origin().send(OK)
        assert client.answer().status == 200
        assert node.port.load.requests.count == 0


def test_one_request_too_many_is_told_when_to_come_again(pki: PKI) -> None:
    """Nobody judges it; the one before it is counted until it is over."""
    with memory.node(pki, {"listener public": {"max-requests": "1", "retry-after": "7s"}}) as node:
        first, second = node.client(), node.client()
        first.send(get())
        origin = node.origin()
        answer = second.ask(get())
        assert (answer.status, answer.fields("retry-after")) == (503, [b"7"])
        assert node.records[0].decision == NOTHING
        assert isinstance(error := node.records[0].error, ClientError)
        assert (error.status, error.reason) == (503, "over the limit: max-requests")
        origin.send(OK)
        second.send(get())
        node.loop.settle()
        origin.send(OK)
        assert second.answer().status == 200


def test_one_request_too_many_leaves_an_idle_connection(pki: PKI) -> None:
    """It has its response, and its connection the time of an idle one."""
    with memory.node(pki, {"listener public": {"max-requests": "1", "keepalive-timeout": "9s"}}) as node:
        first, second = node.client(), node.client()
        first.send(get())
        origin = node.origin()
        assert second.ask(get()).status == 503
        node.loop.advance(10)
        assert second.read() == b""
        assert second.ended == "close_notify"
        origin.send(OK)
        assert first.answer().status == 200


def test_the_certificate_is_looked_at_before_the_path(pki: PKI) -> None:
    """Who is not let in does not learn which paths there are: 400 as nginx has it, and not 404; 495 in the event."""
    with memory.node(pki, {"path-map all": {"path": "^/there"}}) as node:
        for path in ("/there", "/none"):
            assert node.client("strict.test").ask(get(path, "strict.test")).status == 400
        assert node.client("strict.test", [pki.client]).ask(get("/none", "strict.test")).status == 404
        errors = [getattr(record.error, "status", None) for record in node.records]
        assert errors == [496, 496, 404]


def test_the_certificate_is_looked_at_before_the_method(pki: PKI) -> None:
    """Who is not let in does not learn which methods there are."""
    with memory.node(pki) as node:
        assert node.client("strict.test").ask(get("/", "strict.test", method="TRACE")).status == 400
        assert node.client("strict.test", [pki.client]).ask(get("/", "strict.test", method="TRACE")).status == 405


@pytest.mark.parametrize("method", ["FOO", "VERSION-CONTROL", "BASELINE-CONTROL", "get", "PRI", "A" * 64])
def test_any_method_is_passed_on_as_it_came(node: MemoryNode, method: str) -> None:
    """What it means is the origin's matter; the event has it."""
    client = node.client()
    client.send(get("/a", method=method))
    origin = node.origin()
    assert origin.read().startswith(f"{method} /a HTTP/1.1\r\n".encode())
    origin.send(OK)
    assert client.answer().body == b"ok"
    assert node.events[0]["request"]["method"] == method


@pytest.mark.parametrize("method", ["TRACE", "trace", "Trace", "connect"])
def test_a_method_that_shows_what_an_origin_is_told_is_not_served(node: MemoryNode, method: str) -> None:
    """TRACE echoes our own headers to whoever asks, the certificate's among them; and nobody opens a tunnel."""
    client = node.client()
    answer = client.ask(get("/a", method=method))
    assert (answer.status, answer.fields("allow")) == (405, [b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"])
    assert answer.fields("connection") == []
    assert node.events[0]["error"]["reason"] == f"the method is not served: {method}"
    assert not node.opened


def test_the_methods_that_are_named_are_served_and_no_others(pki: PKI) -> None:
    """To the letter; OPTIONS that goes no further says which (RFC 9110, section 9.3.7)."""
    with memory.node(pki, {"path-map all": {"methods": "GET TRACE FOO OPTIONS"}}) as node:
        client = node.client()
        for method in ("HEAD", "POST", "get", "foo", "trace"):
            answer = client.ask(get(method=method))
            assert (answer.status, answer.fields("allow")) == (405, [b"FOO, GET, OPTIONS, TRACE"])
        answer = client.ask(get("/", "open.test", "Max-Forwards: 0", method="OPTIONS"))
        assert (answer.status, answer.fields("allow")) == (204, [b"FOO, GET, OPTIONS, TRACE"])
        assert not node.opened
        for method in ("TRACE", "GET", "FOO"):
            client.send(get(method=method))
            origin = node.asked()
            assert origin.read().startswith(method.encode())
            origin.send(OK)
            assert client.answer().status == 200


@pytest.mark.parametrize(
    ("host", "status", "closes"), [("nobody.test", 421, True), ("strict.test", 421, True), ("twin.test", 400, True)]
)
def test_a_connection_for_the_wrong_host_or_certificate_ends(
    node: MemoryNode, host: str, status: int, closes: bool
) -> None:
    """It is of no further use; 404 and 403 are no reason to end it."""
    client = node.client("twin.test" if host == "twin.test" else "open.test")
    answer = client.ask(get("/", host))
    assert (answer.status, answer.fields("connection") == [b"close"]) == (status, closes)
    assert node.records[0].standing is None or host == "twin.test"


def test_a_refusal_by_a_filter_leaves_the_connection(pki: PKI) -> None:
    """The next request on it is another matter; 444 ends it without a word."""
    changes = {
        "global-filter block": {"path": "^/blocked$", "action": "block"},
        "global-filter close": {"path": "^/closed$", "action": "close"},
    }
    with memory.node(pki, changes) as node:
        client = node.client()
        answer = client.ask(get("/blocked"))
        assert (answer.status, answer.fields("connection")) == (403, [])
        assert client.ask(get("/blocked")).status == 403
        client.send(get("/closed"))
        assert (client.read(), client.ended) == (b"", "close_notify")
        assert statuses(node) == [403, 403, 444]
        assert node.records[0].sent == len(answer.body)


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("where", ["forwarding.request_lines", "answers.response_lines"])
@pytest.mark.parametrize("answer", [OK, OK[:-1]])
def test_a_defect_on_the_way_to_the_origin_or_back_ends_the_request(
    pki: PKI,
    kept: bool,
    where: str,
    answer: bytes,
    monkeypatch: pytest.MonkeyPatch,
    flush_logged_errors: Callable[..., list[Failure]],
) -> None:
    """Whichever connection it happens on, the client does not wait for ever, and its place is free again."""
    with memory.node(pki, {"listener public": {"max-requests-per-client": "1"}}) as node:
        client = node.client()
        if kept:
            client.send(get())
            node.origin().send(OK)
            assert client.answer().status == 200
        monkeypatch.setattr(f"edgenode.proxy.{where}", lambda *_: 1 / 0)
        client.send(get("/second"))
        origin = node.asked()
        if where == "answers.response_lines":
            origin.send(answer)
        client.read()
        assert client.ended or where == "forwarding.request_lines"
        assert [event["request"]["target"] for event in node.events] == ["/"] * kept + ["/second"]
        assert node.port.load.requests.count == 0
        assert len(flush_logged_errors(ZeroDivisionError)) == 1


def test_an_answer_to_head_counts_no_body(pki: PKI) -> None:
    """The event says what was sent, not what would have been."""
    with memory.node(pki, {"global-filter block": {"path": "^/blocked$", "action": "block"}}) as node:
        client = node.client()
        sizes = [len(client.ask(get("/blocked", method=method)).body) for method in ("HEAD", "GET")]
        assert [event["bytes"]["sent"] for event in node.events] == sizes


def test_a_filter_sets_headers_on_the_way(pki: PKI) -> None:
    """In place of the client's, of which none is left."""
    changes = {
        "global-filter mark": {"path": "^/", "action": "mark"},
        "action mark": {"type": "monitor", "headers": "X-Mark: ours"},
    }
    with memory.node(pki, changes) as node:
        client = node.client()
        client.send(get("/", "open.test", "X-Mark: theirs", "x-mark: theirs too", "X-Other: b"))
        received = node.origin().read()
        assert fields(received, "x-mark") == [b"ours"]
        assert fields(received, "x-other") == [b"b"]


# -- bodies ------------------------------------------------------------------------------------------------------------

LIMIT = {"path-map all": {"max-body-size": "1000", "inspect-body-size": "100"}}


@pytest.mark.parametrize(("size", "status"), [(1000, 200), (1001, 413)])
@pytest.mark.parametrize("how", ["length", "chunked", "in pieces"])
def test_the_largest_body_is_as_large_as_the_limit(pki: PKI, size: int, status: int, how: str) -> None:
    """To the byte; of a larger one the origin gets the end never, and nothing at all if its length was told."""
    with memory.node(pki, LIMIT) as node:
        client = node.client()
        body = b"a" * size
        if how == "length":
            client.send(get("/", "open.test", f"Content-Length: {size}", method="POST", body=body))
        else:
            client.send(get("/", "open.test", CHUNKED, method="POST"))
            for piece in [body] if how == "chunked" else [body[:600], body[600:]]:
                client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            client.send(b"0\r\n\r\n")
        if status == 200:
            origin = node.origin()
            assert origin.read().count(b"a" * 400) == 2
            origin.send(OK)
        elif node.opened:
            assert not node.opened[0].read().endswith(b"0\r\n\r\n")
        answer = client.answer()
        assert answer.status == status
        assert statuses(node) == [status]
        assert bool(node.opened) == (status == 200 or how != "length")


@pytest.mark.parametrize("size", [1, 99, 100, 101, 102, 1000, 1001])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_judged_by_its_beginning(pki: PKI, size: int, chunked: bool) -> None:
    """With inspect-body-size bytes of it, or all there are; what is over the limit is judged first, if it can be."""
    stage = Stage(needs=frozenset(("body",)))
    with memory.node(pki, LIMIT, staged(stage)) as node:
        client = node.client()
        body = b"a" * size
        if chunked:
            client.send(get("/", "open.test", CHUNKED, method="POST", body=b"%x\r\n%b\r\n" % (size, body)))
            assert stage.seen == ([100] if size > 100 else [])
            client.send(b"0\r\n\r\n")
        else:
            client.send(get("/", "open.test", f"Content-Length: {size}", method="POST", body=body))
        told = size <= 1000 or chunked
        assert stage.seen == ([min(size, 100)] if told else [])
        if size <= 1000:
            assert node.origin().read().count(b"a" * min(size, 100)) >= 1
        else:
            assert client.answer().status == 413
        assert node.records == [] or size > 1000
        if node.records:
            request = node.records[0].exchange.request
            assert request is not None
            assert request.body is None, "the body is not kept for the event"


def test_what_is_over_the_limit_already_is_not_waited_for(pki: PKI) -> None:
    """Though rules would look at more than that of a body, if there were more."""
    stage = Stage(needs=frozenset(("body",)))
    limits = {"path-map all": {"max-body-size": "1000", "inspect-body-size": "2000"}}
    with memory.node(pki, limits, staged(stage)) as node:
        for size, refused in ((1000, False), (1001, True)):
            client = node.client()
            client.send(get("/", "open.test", CHUNKED, method="POST", body=b"%x\r\n%b\r\n" % (size, b"a" * size)))
            assert (b"HTTP/1.1 413 " in client.read()) is refused
        assert (stage.seen, node.opened) == ([], [])


def test_a_get_with_a_body_is_not_sent_twice(pki: PKI) -> None:
    """Its body is gone; one without goes to the next server."""
    servers = {"origin origin": {"servers": "http://127.0.0.1:81, http://127.0.0.1:82"}}
    for lines, body, status in ((("Content-Length: 4",), b"body", 502), ((), b"", 200)):
        with memory.node(pki, servers) as node:
            client = node.client()
            client.send(get("/", "open.test", *lines, body=body))
            node.origin().close()
            if status == 200:
                node.origin().send(OK)
            assert client.answer().status == status
            assert len(node.opened) == (2 if status == 200 else 1)


def test_a_body_of_which_a_part_is_judged_arrives_whole(pki: PKI) -> None:
    """What was held back comes first, then the rest."""
    stage = Stage(needs=frozenset(("body",)))
    with memory.node(pki, {"path-map all": {"inspect-body-size": "100"}}, staged(stage)) as node:
        client = node.client()
        body = bytes(range(256)) * 40
        client.send(get("/", "open.test", f"Content-Length: {len(body)}", method="POST"))
        for at in range(0, len(body), 70):
            client.send(body[at : at + 70])
        origin = node.origin()
        assert origin.read().partition(b"\r\n\r\n")[2] == body
        origin.send(OK)
        assert client.answer().status == 200
        assert stage.seen == [100]


def test_a_body_in_tiny_pieces_takes_the_place_of_its_bytes(pki: PKI) -> None:
    """While it waits to be judged: not the forty-fold that as many objects would take."""
    stage = Stage(needs=frozenset(("body",)))
    with memory.node(pki, {}, staged(stage)) as node:
        client = node.client()
        client.send(get("/", "open.test", "Content-Length: 100000", method="POST"))
        tracemalloc.start()
        try:
            for _ in range(1000):
                client.send(b"ab")
            held = tracemalloc.take_snapshot().filter_traces(
                [tracemalloc.Filter(True, "*/edgenode/*"), tracemalloc.Filter(True, "*/OpenSSL/*")]
            )
        finally:
            tracemalloc.stop()
        assert sum(each.size for each in held.traces) < 20_000
        assert stage.seen == []


def test_a_get_says_of_its_body_what_the_client_said(node: MemoryNode) -> None:
    """A length of nothing is passed on, and none is made up."""
    client = node.client()
    for lines, expected in (((), []), (("Content-Length: 0",), [b"0"])):
        client.send(get("/", "open.test", *lines, method="POST"))
        received = node.opened[0].read() if node.opened else node.origin().read()
        assert fields(received, "content-length") == expected
        assert fields(received, "transfer-encoding") == []
        node.opened[0].send(OK)
        assert client.answer().status == 200


@pytest.mark.parametrize("size", [4, 4000])
def test_a_body_is_not_read_before_its_request_is_judged(pki: PKI, size: int) -> None:
    """Not even if it has come with the head: a refusal ends the connection, and what follows is not served."""
    with memory.node(pki, None, staged(Stage(lambda exchange: BLOCK))) as node:
        client = node.client()
        client.send(get("/", "open.test", f"Content-Length: {size}", method="POST", body=b"a" * size) + get())
        received = client.read()
        assert received.count(b"HTTP/1.1 ") == 1
        assert b"\r\nConnection: close\r\n" in received
        assert (statuses(node), node.records[0].received) == ([403], 0)


TINY = b"1\r\nx\r\n" * 2000
"""More chunks than are read at once."""


def record(start: str, end: bytes) -> bytes:
    """A message with :data:`TINY` for a body that fills a TLS record, so that what follows is seen in the same read."""
    rest = RECORD - len(f"{start}X-Pad: \r\n\r\n") - len(TINY + end)
    return f"{start}X-Pad: {'a' * rest}\r\n\r\n".encode() + TINY + end


@pytest.mark.parametrize("end", [b"", b"0\r\n\r\n"])
def test_tiny_chunks_of_a_client_are_read_in_turns_and_its_end_after_them(node: MemoryNode, end: bytes) -> None:
    """A client that closes its side right behind them is answered if the body was whole, and cut off if it was not."""
    client = node.client()
    client.tls.send(record(f"POST / HTTP/1.1\r\nHost: open.test\r\n{CHUNKED}\r\n", end))
    client.notify()
    assert fields(node.origin().read(), "transfer-encoding") == [b"chunked"]
    origin = node.opened[0]
    if end:
        assert ChunkedBody().feed(bytes(origin.received.partition(b"\r\n\r\n")[2]))[0] == b"x" * 2000
        origin.send(OK)
        assert client.answer().status == 200
    else:
        assert client.read() == b""
        assert origin.ended
    assert (node.records[0].status, node.records[0].received) == (200 if end else 499, 2000)


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("end", [b"", b"0\r\n\r\n"])
def test_tiny_chunks_of_an_origin_are_read_in_turns_and_its_end_after_them(pki: PKI, end: bytes, paused: bool) -> None:
    """Likewise, also if the client does not take them for a while; the connection is not used again."""
    with memory.node(pki, tls=True) as node:
        client = node.client()
        client.send(get())
        origin = node.origin()
        origin.read()
        stream: Any
        (stream,) = node.pool._connections
        if paused:
            stream.pause()
            node.loop.settle()
        origin.connection.send(record(f"HTTP/1.1 200 OK\r\n{CHUNKED}\r\n", end))
        origin.connection.shutdown()
        if paused:
            node.loop.settle()
            stream.resume()
        data = client.read()
        assert data.replace(b"X-Pad", b"").count(b"x") == 2000
        assert data.endswith(b"0\r\n\r\n") is bool(end)
        assert client.ended == ("" if end else "cut")
        assert node.pool.open == 0


@pytest.mark.parametrize("end", ["notify", "fin"])
def test_a_client_that_closed_its_side_waits_for_its_origin_and_no_longer(node: MemoryNode, end: str) -> None:
    """By close_notify, or by FIN alone, which may mean that it is gone: read-timeout of the origin ends that."""
    client = node.client()
    client.tls.send(record(f"POST / HTTP/1.1\r\nHost: open.test\r\n{CHUNKED}\r\n", b"0\r\n\r\n"))
    getattr(client, end)()
    node.origin().read()
    node.loop.wait(59)
    assert node.pool.open == 1
    node.loop.wait(2)
    assert node.pool.open == 0
    assert statuses(node) == [504]
    assert not node.port.connections
    assert client.read().startswith(b"HTTP/1.1 504 ")
    assert client.ended == "close_notify"


# -- ends --------------------------------------------------------------------------------------------------------------


def test_a_client_that_leaves_ends_the_request_to_the_origin(node: MemoryNode) -> None:
    """At once; what had begun is told with its status, what had not as 499."""
    for begun in (False, True):
        client = node.client()
        client.send(get())
        origin = node.origin()
        origin.read()
        if begun:
            origin.send(OK[:-1])  # unread, this makes the close a reset
        client.close()
        node.loop.wait(0 if begun else 6)
        assert origin.read() == b""
        assert origin.ended
        record = node.records[-1]
        assert record.status == (200 if begun else 499)
        assert getattr(record.error, "status", None) == 499


def test_a_response_that_the_origin_breaks_off_is_cut(node: MemoryNode) -> None:
    """Neither a last chunk nor close_notify says that it is whole."""
    client = node.client()
    client.send(get())
    origin = node.origin()
    origin.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    origin.close()
    assert client.read().endswith(b"2\r\nok\r\n")
    assert client.ended == "cut"
    assert (node.records[0].status, node.records[0].sent) == (200, 2)


def test_without_an_origin_there_is_a_page(node: MemoryNode) -> None:
    """502, the reason for nobody but the event; and the connection stays."""
    node.refusing = True
    client = node.client()
    for _ in range(2):
        answer = client.ask(get())
        assert (answer.status, answer.body, answer.fields("connection")) == (502, b"502 Bad Gateway\n", [])
    record = node.records[0]
    assert (record.origin_status, record.tries, record.server) == (0, 1, "127.0.0.1:80")
    assert "Connection refused" in str(record.error)


def test_trailers_are_for_those_who_take_them(node: MemoryNode) -> None:
    """And only those that may be trailers; the event counts the body alone."""
    response = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
        b"X-Sum: 1\r\nCookie: a=b\r\nSet-Cookie: c=d\r\n\r\n"
    )
    for lines, end in ((("TE: trailers", "Connection: TE"), b"0\r\nx-sum: 1\r\n\r\n"), ((), b"0\r\n\r\n")):
        client = node.client()
        client.send(get("/", "open.test", *lines))
        origin = node.opened[0] if node.opened else node.origin()
        received = origin.read()
        assert fields(received, "te") == ([b"trailers"] if lines else [])
        origin.send(response)
        assert client.read().endswith(b"\r\n2\r\nok\r\n" + end)
        assert node.records[-1].sent == 2


# -- identifiers, and who says them ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trusted", "given", "believed"),
    [
        ("127.0.0.0/8", "abc-123", True),
        ("127.0.0.0/8", "a" * 128, True),
        ("127.0.0.0/8", "a" * 129, False),
        ("127.0.0.0/8", "a b", False),
        ("127.0.0.0/8", "a\xff", False),
        ("10.0.0.0/8", "abc-123", False),
        ("", "abc-123", False),
    ],
)
def test_an_identifier_is_believed_of_trusted_proxies_alone(pki: PKI, trusted: str, given: str, believed: bool) -> None:
    """And only a clean one; everybody else's is replaced, by one that nobody can guess."""
    with memory.node(pki, {"edge": {"trusted-proxies": trusted or None}}) as node:
        client = node.client()
        client.send(get("/", "open.test", f"X-Request-Id: {given}"))
        (sent,) = fields(node.origin().read(), "x-request-id")
        assert (sent == given.encode("latin-1")) == believed
        assert len(sent) == 32 or believed


def test_every_request_has_an_identifier_of_its_own(node: MemoryNode) -> None:
    """The origin gets the one that the event has."""
    client, sent = node.client(), []
    for _ in range(3):
        client.send(get())
        origin = node.opened[0] if node.opened else node.origin()
        sent += fields(origin.read(), "x-request-id")
        origin.send(OK)
    assert [record.identifier for record in node.records] == sent
    assert len(set(sent)) == 3
