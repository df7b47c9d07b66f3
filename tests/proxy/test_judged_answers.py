"""Edge functions that see the answers of origins, through a whole node: nothing goes to the client before they have."""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from edgenode import Exchange, FunctionResult, OriginResponse, Response
from edgenode.config.load import Configuration
from edgenode.embedding.filtered_resource import FilteredResource
from edgenode.model.errors import ConfigurationError
from tests.proxy.http2.test_node import Client as Http2Client
from tests.proxy.websocket.dialogue import opened
from tests.support import memory
from tests.support.clients import Answer
from tests.support.memory import MemoryNode, OriginEnd
from tests.support.node import PKI, Changes, get, ini

seen: list[OriginResponse] = []
said: list[Any] = []


def function(exchange: Exchange, response: OriginResponse) -> Any:
    """Say what a test has prepared."""
    seen.append(response)
    answer = said[0] if said else None
    if isinstance(answer, BaseException):
        raise answer
    return answer(response) if callable(answer) else answer


def no_secrets(exchange: Exchange, response: OriginResponse) -> FunctionResult | None:
    """Let no answer pass in whose body there is a secret."""
    if response.body is not None and b"secret" in response.body.data:
        return FunctionResult(answer=Response(500, (), b"no\n"), tags={"leak"}, reason="a secret")
    return None


@pytest.fixture(autouse=True)
def _nothing_said() -> None:
    seen.clear()
    said.clear()


def functions(point: str = "response-before", changes: Changes | None = None, /, **keys: str) -> Changes:
    """The function at a point of the path map."""
    named = {"function": f"{__name__}:function", "point": point}
    named.update({name.replace("_", "-"): value for name, value in keys.items()})
    own: Changes = {"edge-function f": named, "path-map all": {"edge-functions": "f"}}
    return memory.merged(own, changes or {})


def leaks(**keys: str) -> Changes:
    """A function that lets no secret pass."""
    return functions("response-before", None, **{"function": f"{__name__}:no_secrets", "response_limit": "64", **keys})


def ok(body: bytes = b"ok", *lines: bytes) -> bytes:
    """An answer with a body and header fields."""
    fields = b"".join(line + b"\r\n" for line in lines)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), fields, body)


def chunked(*chunks: bytes, trailers: bytes = b"") -> bytes:
    """A body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks) + b"0\r\n%b\r\n" % trailers


def forwarded(node: MemoryNode, answer: bytes, request: bytes = get()) -> Answer:
    """What the client gets of an origin's answer."""
    client = node.client()
    client.send(request)
    node.asked().send(answer)
    return client.answer(request.split(b" ", 1)[0].decode())


# -- header fields, tags, answers --------------------------------------------------------------------------------------


def test_it_sees_the_head_and_changes_the_fields_of_the_client(pki: PKI) -> None:
    """In place of all of these names; and the event says what it has done."""
    said.append(FunctionResult(headers=((b"server", b"mine"),), remove=(b"x-powered-by",), tags={"seen"}, reason="why"))
    with memory.node(pki, functions()) as node:
        answer = forwarded(node, ok(b"ok", b"Server: a", b"SERVER: b", b"X-Powered-By: c", b"X-Kept: d"))
        assert answer.fields("server") == [b"mine"]
        assert answer.fields("x-powered-by") == []
        assert answer.fields("x-kept") == [b"d"]
        assert answer.body == b"ok"
        (event,) = node.events
        assert {"seen", "edge-function", "edge-function:f"} <= set(event["tags"])
        assert event["reasons"][-1] == {
            "stage": "edge-function", "filter": "f", "entry": "set server, remove x-powered-by", "annotation": "why",
            "action": "",
        }  # fmt: skip
    (response,) = seen
    assert (response.status, response.fields[b"server"], response.body) == (200, (b"a", b"b"), None)


def test_before_it_sees_what_the_origin_has_sent_and_after_what_response_rules_leave(pki: PKI) -> None:
    """The rules have the last word before it, and it has after them."""
    said.append(FunctionResult(headers=((b"x-frame-options", b"function"),)))
    rules: Changes = {
        "response-rules site": {"set": "X-Frame-Options: rules", "remove": "server"},
        "path-map all": {"response-rules": "site"},
    }
    for point, last, server in (("response-before", b"rules", True), ("response-after", b"function", False)):
        seen.clear()
        with memory.node(pki, functions(point, rules)) as node:
            answer = forwarded(node, ok(b"ok", b"Server: a", b"X-Frame-Options: origin"))
            assert answer.fields("x-frame-options") == [last]
            assert answer.fields("server") == []
            assert (b"server" in seen[0].fields) is server


def test_functions_at_one_point_see_what_those_before_them_have_changed(pki: PKI) -> None:
    """And at the later point as well."""
    said.append(lambda each: FunctionResult(headers=((b"x-n", each.fields.get(b"x-n", (b"",))[0] + b"1"),)))
    more: Changes = {
        "edge-function g": {"function": f"{__name__}:function", "point": "response-before"},
        "edge-function h": {"function": f"{__name__}:function", "point": "response-after"},
        "path-map all": {"edge-functions": "h f g"},
    }
    with memory.node(pki, functions("response-before", more)) as node:
        assert forwarded(node, ok()).fields("x-n") == [b"111"]


def test_its_answer_takes_the_place_of_the_origin_s(pki: PKI) -> None:
    """And the connection to the origin is kept; response rules hold for it as for every answer of the node's."""
    said.append(FunctionResult(answer=Response(451, ((b"x-why", b"law"),), b"gone\n")))
    rules: Changes = {"response-rules site": {"set": "X-Rules: 1"}, "path-map all": {"response-rules": "site"}}
    for point in ("response-before", "response-after"):
        with memory.node(pki, functions(point, rules)) as node:
            client = node.client()
            client.send(get())
            origin = node.asked()
            origin.send(ok(b"body", b"Server: a"))
            answer = client.answer()
            assert (answer.status, answer.body, answer.fields("server")) == (451, b"gone\n", [])
            assert answer.fields("x-why") == [b"law"]
            assert answer.fields("x-rules") == [b"1"]
            assert (node.records[0].status, node.records[0].origin_status) == (451, 200)
            assert node.events[0]["action"] == "answer"
            client.send(get())
            origin.read()
            origin.send(ok())
            assert client.answer().status == 451
            assert len(node.opened) == 1


def test_a_long_body_behind_an_answer_in_its_place_is_not_waited_for(pki: PKI) -> None:
    """The connection is given up; one of which little is left is kept."""
    said.append(FunctionResult(answer=Response(451)))
    for length, kept in ((1000, True), (10_000_000, False)):
        with memory.node(pki, functions()) as node:
            client = node.client()
            client.send(get())
            origin = node.asked()
            origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
            assert client.answer().status == 451
            origin.read()
            assert origin.ended is not kept
            if kept:
                origin.send(b"a" * length)
                client.send(get())
                origin.read()
                assert len(node.opened) == 1


def test_an_action_is_taken_in_its_place(pki: PKI) -> None:
    """Even one that closes the connection; and in the mode ``monitoring`` none is."""
    for action, mode, status in (("block", "block", 403), ("close", "block", 444), ("block", "monitoring", 200)):
        said[:] = [FunctionResult(action=action, headers=((b"x-a", b"1"),))]
        with memory.node(pki, functions("response-before", {"path-map all": {"mode": mode}}, actions=action)) as node:
            client = node.client()
            client.send(get())
            node.asked().send(ok())
            if status == 444:
                assert client.read() == b""
                assert client.ended
            else:
                assert client.answer().status == status
            event = node.events[0]
            assert (event["status"], event["action"]) == (status, action)
            assert f"action:{action}" in event["tags"]


def test_under_off_it_is_not_asked(pki: PKI) -> None:
    """As with stages."""
    with memory.node(pki, functions("response-before", {"path-map all": {"mode": "off"}})) as node:
        assert forwarded(node, ok()).status == 200
        assert seen == []


def test_answers_of_the_node_are_not_judged(pki: PKI) -> None:
    """Neither a refusal, nor a failure of the origin, nor a page in the place of its error behind response rules."""
    rules: Changes = {
        "global-filter no": {"action": "block", "path": "^/no"},
        "response-rules site": {"error-page": '500: "Sorry."'},
        "path-map all": {"response-rules": "site"},
    }
    said.append(FunctionResult(answer=Response(200)))
    with memory.node(pki, functions("response-after", rules)) as node:
        assert node.client().ask(get("/no")).status == 403
        answer = forwarded(node, b"HTTP/1.1 500 x\r\nContent-Length: 5\r\n\r\nstack")
        assert (answer.status, answer.body) == (500, b"Sorry.\n")
        node.opened[0].close()
        node.refusing = True
        assert node.client().ask(get()).status == 502
        assert seen == []


def test_one_that_fails_follows_the_failure_policy(pki: PKI, flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """503 in the answer's place, or the answer as it is."""
    for wrong in (ValueError("mine"), "text", FunctionResult(headers=((b"content-length", b"1"),)),
                  FunctionResult(headers=((b"x-a", b"1\n"),)), FunctionResult(headers=((b"content-type", b"a/b"),)),
                  FunctionResult(origin="origin"), FunctionResult(answer=Response(200, ((b"te", b"x"),)))):  # fmt: skip
        said[:] = [wrong]
        for failure, status in (("closed", 503), ("open", 200)):
            with memory.node(pki, functions("response-before", {"edge": {"failure": failure}})) as node:
                answer = forwarded(node, ok())
                assert answer.status == status
                reason = node.events[0]["reasons"][-1]
                assert (reason["stage"], reason["filter"]) == ("edge-function", "f")
                assert reason["entry"].startswith("failed")
        assert len(flush_logged_errors()) == 2


# -- bodies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["response-before", "response-after"])
def test_it_sees_the_body_before_the_client_does(pki: PKI, point: str) -> None:
    """Whole, however it comes; and then it goes on as it came."""
    with memory.node(pki, functions(point, None, response_limit="64")) as node:
        client = node.client()
        client.send(get())
        origin = node.asked()
        origin.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n5\r\nhello\r\n")
        assert client.read() == b""
        assert seen == []
        origin.send(b"6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n")
        data = client.read()
        assert data.startswith(b"HTTP/1.1 200 ")
        assert b"hello world" in data
        assert [each.body.data for each in seen if each.body is not None] == [b"hello world"]
        assert not any(each.body.truncated for each in seen if each.body is not None)
        assert node.records[0].sent == 11


def test_a_secret_is_not_let_out(pki: PKI) -> None:
    """In a body of known length, in chunks, compressed, over HTTP/1.1 and HTTP/2."""
    zipped = gzip.compress(b"a secret")
    answers = [
        ok(b"a secret"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"a sec", b"ret"),
        ok(zipped, b"Content-Encoding: gzip"),
        ok(zlib.compress(b"a secret"), b"Content-Encoding: deflate"),
        ok(gzip.compress(zipped), b"Content-Encoding: gzip, gzip"),
    ]
    with memory.node(pki, leaks()) as node:
        for answer in answers:
            got = forwarded(node, answer)
            assert (got.status, got.body) == (500, b"no\n")
            client = Http2Client(node)
            stream = client.ask()
            node.asked().send(answer)
            assert (client.status(stream), client.body(stream)) == (500, b"no\n")
            assert "leak" in node.events[-1]["tags"]


UNSEEN = [
    ok(b"a" * 65),
    ok(gzip.compress(b"a" * 1000), b"Content-Encoding: gzip"),
    ok(b"abc", b"Content-Encoding: br"),
    ok(b"abc", b"Content-Encoding: gzip"),
    b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"a" * 60, b"a" * 60),
    b"HTTP/1.1 206 x\r\nContent-Type: multipart/byteranges; boundary=x\r\nContent-Length: 6\r\n\r\n--x--\n",
]


@pytest.mark.parametrize("number", range(len(UNSEEN)))
def test_a_body_whose_end_it_cannot_see_is_refused_or_passes(pki: PKI, number: int) -> None:
    """By ``unseen``; of what passes it has seen what there is."""
    with memory.node(pki, functions("response-before", None, response_limit="64")) as node:
        answer = forwarded(node, UNSEEN[number])
        assert answer.status == 502
        assert seen == []
        event = node.events[0]
        assert (event["status"], event["action"]) == (502, "unseen")
        assert event["reasons"][-1]["entry"] == "the answer's body could not be seen to its end"
    with memory.node(pki, functions("response-before", None, response_limit="64", unseen="pass")) as node:
        client = node.client()
        client.send(get())
        node.asked().send(UNSEEN[number])
        data = client.read()
        sent, got = (each.partition(b"\r\n\r\n")[2] for each in (UNSEEN[number], data))
        assert got.count(b"a") == 120 if b"chunked" in data else got == sent
        (response,) = seen
        assert response.body is None or (response.body.truncated and len(response.body.data) <= 64)


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 1000\r\n\r\n"),
        ("GET", ok(b"")),
    ],
)
def test_an_answer_without_a_body_is_seen_whole(pki: PKI, method: str, answer: bytes) -> None:
    """Whatever its fields say of one."""
    with memory.node(pki, functions("response-before", None, response_limit="64")) as node:
        client = node.client()
        client.send(get(method=method))
        node.asked().send(answer)
        got = client.answer(method)
        assert got.status == int(answer.split(b" ")[1])
        assert seen[0].body is not None
        assert (seen[0].body.data, seen[0].body.truncated) == (b"", False)
        if method == "HEAD":
            assert got.fields("content-length") == [b"1000"]


def test_bodies_of_other_types_and_streams_are_not_held_back(pki: PKI) -> None:
    """Of these it sees the head; streams are held back only if that is asked for."""
    for keys, media_type, held in (
        ({"response_types": "text/html application/*"}, b"Text/HTML; charset=utf-8", True),
        ({"response_types": "text/html application/*"}, b"application/json", True),
        ({"response_types": "text/html application/*"}, b"image/png", False),
        ({"response_types": "text/html application/*"}, b"text/plain", False),
        ({}, b"text/event-stream", False),
        ({}, b"application/grpc", False),
        ({"streams": "yes"}, b"text/event-stream; charset=utf-8", True),
    ):
        with memory.node(pki, functions("response-before", None, response_limit="64", **keys)) as node:
            client = node.client()
            client.send(get())
            node.asked().send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Type: " + media_type + b"\r\n\r\nok")
            assert (client.read() == b"") is held
            assert [each.body for each in seen] == ([] if held else [None])
            seen.clear()


def test_the_origin_is_asked_for_codings_that_can_be_undone(pki: PKI) -> None:
    """And only where bodies are looked at."""
    for keys, accepted, asked in (
        ({"response_limit": "1k"}, "br, gzip;q=0.5", b"gzip"),
        ({"response_limit": "1k"}, "br, GZIP ; q=0.000", b"identity"),
        ({"response_limit": "1k"}, "br", b"identity"),
        ({"response_limit": "1k"}, None, b"identity"),
        ({}, "br, gzip", b"br, gzip"),
    ):
        with memory.node(pki, functions("response-before", None, **keys)) as node:
            client = node.client()
            client.send(get("/", "open.test", *([f"Accept-Encoding: {accepted}"] if accepted else [])))
            head = node.asked().read() or bytes(node.opened[0].received)
            assert [line[17:] for line in head.split(b"\r\n") if line.lower().startswith(b"accept-encoding: ")] == [
                asked
            ]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=300),
    cuts=st.lists(st.integers(0, 300), max_size=6),
    limit=st.sampled_from([1, 64, 256]),
    known=st.booleans(),
    late=st.booleans(),
)
def test_what_passes_arrives_as_it_was_sent(
    pki: PKI, body: bytes, cuts: list[int], limit: int, known: bool, late: bool
) -> None:
    """In whatever pieces it comes, wherever the limit lies, whether somebody waits or not."""
    waiting: Deferred[None] = Deferred()
    said[:] = [lambda _: waiting] if late else []
    with memory.node(pki, functions("response-before", None, response_limit=str(limit), unseen="pass")) as node:
        client = node.client()
        client.send(get())
        origin = node.asked()
        places = sorted({0, len(body), *(each for each in cuts if each < len(body))})
        pieces = [body[one:two] for one, two in itertools.pairwise(places)]
        length = b"Content-Length: %d" % len(body) if known else b"Transfer-Encoding: chunked"
        origin.send(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n")
        for piece in pieces:
            origin.send(piece if known else b"%x\r\n%b\r\n" % (len(piece), piece))
        if not known:
            origin.send(b"0\r\n\r\n")
        if late:
            assert client.read() == b""
            waiting.callback(None)
        head, _, rest = client.read().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        if not known:
            found = b""
            while rest != b"0\r\n\r\n":
                size, _, rest = rest.partition(b"\r\n")
                found, rest = found + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
            rest = found
        assert rest == body
        assert node.records[0].sent == len(body)


# -- waiting -----------------------------------------------------------------------------------------------------------


def waiting_node(node: MemoryNode, answer: bytes) -> tuple[Any, OriginEnd]:
    """A client, and an origin that has answered."""
    client = node.client()
    client.send(get())
    origin = node.asked()
    origin.send(answer)
    return client, origin


def test_while_it_waits_the_origin_waits_too(pki: PKI) -> None:
    """What it sends stays with the kernel; afterwards all of it comes, as fast as the client takes it."""
    waiting: Deferred[None] = Deferred()
    said.append(lambda _: waiting)
    size = 20_000_000
    with memory.node(pki, functions("response-before", None, response_limit="1k", unseen="pass")) as node:
        client, origin = waiting_node(node, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        sent = origin.send(b"a" * size)
        assert sent < size / 4
        assert client.read() == b""
        waiting.callback(None)
        got = len(client.read().partition(b"\r\n\r\n")[2])
        while sent < size:
            more = origin.send(b"a" * (size - sent))
            sent, got = sent + more, got + len(client.read())
        assert got + len(client.read()) == size


def test_one_that_is_late_is_a_failure_of_its_own_deadline(
    pki: PKI, flush_logged_errors: Callable[..., list[Failure]]
) -> None:
    """And is cancelled."""
    cancelled: list[object] = []
    said.append(lambda _: Deferred(cancelled.append))
    with memory.node(pki, functions(timeout="2s")) as node:
        client, _ = waiting_node(node, ok())
        node.loop.wait(2.1, 0.1)
        assert client.answer().status == 503
        assert cancelled
    assert len(flush_logged_errors()) == 1


def test_a_client_that_has_gone_is_not_waited_for(pki: PKI) -> None:
    """Whether somebody judges, or the body is still to come."""
    cancelled: list[object] = []
    said.append(lambda _: Deferred(cancelled.append))
    for answer, judged in ((ok(), True), (ok(b"a" * 9)[:-4], False)):
        cancelled.clear()
        with memory.node(pki, functions("response-before", None, response_limit="64")) as node:
            client, origin = waiting_node(node, answer)
            client.close()
            assert [bool(cancelled), node.events[0]["status"]] == [judged, 499]
            origin.read()
            assert origin.ended is not judged


@pytest.mark.parametrize("judging", [False, True])
def test_an_origin_that_breaks_off_in_what_is_held_is_a_502(pki: PKI, judging: bool) -> None:
    """For the client has been sent nothing; what is decided later is heard by nobody."""
    waiting: list[Deferred[None]] = []

    def wait(_: OriginResponse) -> Deferred[None]:
        waiting.append(Deferred(lambda _: None))
        return waiting[-1]

    said.append(wait)
    with memory.node(pki, functions("response-before", None, response_limit="4", unseen="pass")) as node:
        node.tcp = True
        client, origin = waiting_node(
            node, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"a" * (9 if judging else 2)
        )
        assert bool(waiting) is judging
        origin.reset()
        if judging:  # it is paused, and so is only noticed when it is read again
            waiting[0].callback(None)
            client.read()
            assert client.ended
            assert node.events[0]["error"]
        else:
            assert client.answer().status == 502
            assert node.records[0].origin_status == 200


def test_an_origin_that_breaks_off_behind_what_was_held_is_cut(pki: PKI) -> None:
    """The client must not take it for whole."""
    with memory.node(pki, functions("response-before", None, response_limit="4", unseen="pass")) as node:
        client, origin = waiting_node(node, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\naaaaaaa")
        assert client.read().endswith(b"aaaaaaa")
        origin.close()
        client.read()
        assert client.ended == "cut"


def test_a_client_whose_upload_breaks_off_meanwhile_is_answered(pki: PKI) -> None:
    """It has been sent nothing yet."""
    waiting: Deferred[None] = Deferred()
    said.append(lambda _: waiting)
    with memory.node(pki, functions()) as node:
        client = node.client()
        client.send(get("/", "open.test", "Transfer-Encoding: chunked", method="POST", body=b"2\r\nab\r\n"))
        node.asked().send(ok())
        assert client.read() == b""
        client.send(b"no chunk\r\n")
        assert client.answer().status == 400


def test_interim_responses_pass_before(pki: PKI) -> None:
    """They are no answers."""
    waiting: Deferred[None] = Deferred()
    said.append(lambda _: waiting)
    with memory.node(pki, functions()) as node:
        client, _ = waiting_node(node, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok())
        assert client.read().startswith(b"HTTP/1.1 103 ")
        waiting.callback(None)
        assert client.answer().status == 200


def test_streams_of_one_connection_do_not_wait_for_one_another(pki: PKI) -> None:
    """Over HTTP/2 one is judged while another passes, in both directions."""
    first: Deferred[None] = Deferred()
    said.append(lambda _: first)
    with memory.node(pki, functions()) as node:
        client = Http2Client(node)
        one = client.ask("/one")
        node.origin().send(ok(b"one"))
        said[0] = None
        two = client.ask("/two")
        node.asked().send(ok(b"two"))
        assert client.body(two) == b"two"
        assert client.body(one) == b""
        first.callback(None)
        assert client.body(one) == b"one"


def test_a_websocket_is_none_of_its_business(pki: PKI) -> None:
    """It is no answer with a body."""
    said.append(FunctionResult(answer=Response(403)))
    with memory.node(pki, functions("response-before", None, response_limit="64", unseen="pass")) as node:
        opened(node)
        assert seen == []


def test_a_call_of_grpc_keeps_its_trailers_and_is_not_held_back(pki: PKI) -> None:
    """Its messages come when they come; a function changes the fields of its head."""
    said.append(FunctionResult(headers=((b"x-a", b"1"),)))
    with memory.node(pki, functions("response-before", None, response_limit="64")) as node:
        client = Http2Client(node)
        fields = ((b"content-type", b"application/grpc"), (b"te", b"trailers"))
        stream = client.ask("/a.B/C", *fields, method="POST", body=b"\0\0\0\0\0")
        origin = node.asked()
        origin.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
        )
        assert client.body(stream) == b"a"
        assert dict(client.head(stream))[b"x-a"] == b"1"
        origin.send(b"0\r\ngrpc-status: 5\r\n\r\n")
        client.talk()
        assert node.events[0]["grpc_status"] == 5


# -- what is wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "keys", "which"),
    [
        ("response-before", {"body": "yes"}, "body"),
        ("response-after", {"origins": "origin"}, "origins"),
        ("request-before", {"response-limit": "1k"}, "response-limit"),
        ("request-after", {"unseen": "pass"}, "unseen"),
        ("response-before", {"response-types": "html"}, "response-types"),
        ("request-before", {}, "function"),
    ],
)
def test_keys_belong_to_their_point(pki: PKI, point: str, keys: dict[str, str], which: str) -> None:
    """And a function that takes an answer is none of requests."""
    changes = memory.merged(functions(point), {"edge-function f": keys})
    with pytest.raises(ConfigurationError) as caught:
        Configuration.from_text(ini(80, changes), pki.folder)
    (problem,) = [each for each in caught.value.problems if not each.warning]
    assert (problem.section, problem.key) == ("edge-function f", which)


def test_a_resource_is_refused_what_would_judge_its_answers(pki: PKI) -> None:
    """For nobody would ask it."""
    pipeline = Configuration.from_text(ini(80, functions()), pki.folder).pipeline("all")
    with pytest.raises(ValueError, match="judges answers"):
        FilteredResource(pipeline, object())  # type: ignore[arg-type]


def test_a_path_map_without_functions_judges_no_answers(pki: PKI) -> None:
    """It costs nothing there."""
    assert Configuration.from_text(ini(80, {}), pki.folder).pipeline("all").answers is None
