"""Edge functions that see requests, through a whole node: what they put on, decide, change and answer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from attrs import frozen
from twisted.internet.defer import Deferred, TimeoutError
from twisted.python.failure import Failure

from edgenode import Exchange, FunctionResult, Response, setting
from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from tests.proxy.http2.test_node import Client as Http2Client
from tests.support import memory
from tests.support.node import OK, PKI, Changes, get, ini

seen: list[Exchange] = []
said: list[Any] = []


def function(exchange: Exchange) -> Any:
    """Say what a test has prepared."""
    seen.append(exchange.tagged())
    answer = said[0]
    if isinstance(answer, BaseException):
        raise answer
    return answer(exchange) if callable(answer) else answer


@frozen
class Keys:
    """Those of :func:`keyed`."""

    user: str = setting("The user.")


async def keyed(exchange: Exchange, keys: Keys) -> FunctionResult:
    """Tell the origin of the user."""
    return FunctionResult(headers=((b"x-user", keys.user.encode()),), remove=(b"x-old",))


def of_two(exchange: Exchange, other: object) -> None:
    """It takes more than it is given."""


@pytest.fixture
def flush(flush_logged_errors: Callable[..., list[Failure]]) -> Callable[..., list[Failure]]:
    """Takes out the failures that a function was meant to have."""
    return flush_logged_errors


@pytest.fixture(autouse=True)
def _nothing_said() -> None:
    seen.clear()
    said.clear()


def functions(point: str = "request-before", changes: Changes | None = None, /, **keys: str) -> Changes:
    """The function at a point of the path map."""
    named = {"function": f"{__name__}:function", "point": point}
    named.update({name.replace("_", "-"): value for name, value in keys.items()})
    own: Changes = {"edge-function f": named, "path-map all": {"edge-functions": "f"}}
    return memory.merged(own, changes or {})


BLOCKING: Changes = {"global-filter no": {"action": "block", "path": "^/no"}}
SEEING: Changes = {"global-filter signed": {"action": "block", "tag": "signed"}}


def test_what_it_puts_on_is_there_for_filters_behind_it(pki: PKI) -> None:
    """Before the filters; with the tags that say who it was."""
    said.append(FunctionResult(tags={"signed"}, reason="the key is right"))
    with memory.node(pki, functions("request-before", SEEING)) as node:
        assert node.client().ask(get()).status == 403
        (event,) = node.events
        assert {"signed", "edge-function", "edge-function:f"} <= set(event["tags"])
        assert event["reasons"][0] == {
            "stage": "edge-function", "filter": "f", "entry": "", "annotation": "the key is right", "action": "",
        }  # fmt: skip
    (exchange,) = seen
    assert "all" in exchange.tags


def test_after_the_filters_it_sees_their_tags_and_none_that_is_refused(pki: PKI) -> None:
    """What a filter has refused it cannot let in."""
    said.append(FunctionResult(answer=Response(200, (), b"hello")))
    changes = memory.merged(BLOCKING, {"global-filter seen": {"tags": "seen", "path": "^/"}})
    with memory.node(pki, functions("request-after", changes)) as node:
        assert node.client().ask(get("/no")).status == 403
        assert seen == []
        assert node.client().ask(get("/")).body == b"hello"
        assert "seen" in seen[0].tags


def test_its_answer_is_given_and_the_origin_not_asked(pki: PKI) -> None:
    """The event says so, and without its values."""
    said.append(FunctionResult(answer=Response(401, ((b"www-authenticate", b"Key"),), b"no\n"), reason="no key"))
    with memory.node(pki, functions()) as node:
        answer = node.client().ask(get())
        assert (answer.status, answer.body, answer.fields("www-authenticate")) == (401, b"no\n", [b"Key"])
        assert not node.opened
        (event,) = node.events
        assert (event["reasons"][0]["entry"], event["reasons"][0]["action"]) == ("answer 401", "answer")
        assert event["action"] == "answer"


def test_it_proposes_the_actions_of_its_section_and_no_other(pki: PKI, flush: Callable[..., list[Failure]]) -> None:
    """Another one is a failure."""
    said.append(FunctionResult(action="block"))
    with memory.node(pki, functions(actions="block")) as node:
        assert node.client().ask(get()).status == 403
        assert "action:block" in node.events[0]["tags"]
    with memory.node(pki, functions(actions="close")) as node:
        assert node.client().ask(get()).status == 503
    assert len(flush(ValueError)) == 1


def test_header_fields_are_set_and_taken_away(pki: PKI) -> None:
    """In place of whatever the client has sent of that name, and in its body's trailers as well."""
    with memory.node(pki, functions(function=f"{__name__}:keyed", user="alice")) as node:
        client = node.client()
        client.send(get("/", "open.test", "X-User: root", "x-USER: root", "X-Old: 1", "X-Other: 2"))
        head = node.asked().read() or bytes(node.opened[0].received)
        assert head.lower().count(b"x-user") == 1
        assert b"x-user: alice\r\n" in head
        assert b"X-Old" not in head
        assert b"X-Other: 2\r\n" in head


def test_functions_change_one_after_the_other_and_the_action_last(pki: PKI) -> None:
    """A later one's value stands."""
    changes: Changes = {
        "edge-function second": {"function": f"{__name__}:keyed", "point": "request-after", "user": "second"},
        "path-map all": {"edge-functions": "f second"},
        "action mark": {"type": "monitor", "headers": "x-marked: action"},
        "global-filter mark": {"action": "mark", "path": "^/"},
    }
    said.append(FunctionResult(headers=((b"x-user", b"first"), (b"x-marked", b"f"), (b"x-first", b"1"))))
    with memory.node(pki, functions("request-before", changes)) as node:
        client = node.client()
        client.send(get())
        head = node.asked().read() or bytes(node.opened[0].received)
        for line in (b"x-user: second\r\n", b"x-marked: action\r\n", b"x-first: 1\r\n"):
            assert head.lower().count(line.partition(b":")[0] + b":") == 1
            assert line in head


def test_it_chooses_an_origin(pki: PKI, flush: Callable[..., list[Failure]]) -> None:
    """One that its section names; the event tells which was asked."""
    said.append(FunctionResult(origin="canary"))
    changes: Changes = {"origin canary": {"servers": "http://127.0.0.1:81"}}
    with memory.node(pki, functions("request-before", changes, origins="canary")) as node:
        client = node.client()
        client.send(get())
        origin = node.origin()
        origin.read()
        assert origin.address == ("127.0.0.1", 81)
        origin.send(OK)
        assert client.answer().status == 200
        assert node.records[0].origin == "canary"
        said[0] = FunctionResult(origin="origin")
        assert client.ask(get()).status == 503
    assert len(flush(ValueError)) == 1


def test_what_is_told_and_sent_is_in_one_line(pki: PKI) -> None:
    """A reason is a client's text perhaps, and a value with spaces around it would be malformed in HTTP/2."""
    answer = Response(200, ((b"x-a", b" 1\t"),), b"")
    said.append(FunctionResult(answer=answer, reason="a\nb\x1b" + "c" * 600))
    with memory.node(pki, functions()) as node:
        client = Http2Client(node)
        stream = client.ask()
        assert dict(client.head(stream))[b"x-a"] == b"1"
        told = node.events[0]["reasons"][0]["annotation"]
        assert told.isprintable()
        assert len(told) == 500


WRONG = [
    ValueError("mine"),
    SystemExit(),
    "a text",
    FunctionResult(tags={"Not-canonical"}),
    FunctionResult(tags={"ip:1"}),
    FunctionResult(tags={"edge-function"}),
    FunctionResult(tags={1}),  # type: ignore[arg-type]
    FunctionResult(tags=None),  # type: ignore[arg-type]
    FunctionResult(tags="signed"),
    FunctionResult(remove=b"x-a"),  # type: ignore[arg-type]
    FunctionResult(reason=1),  # type: ignore[arg-type]
    FunctionResult(action="nothing"),
    FunctionResult(action="block", answer=Response(200)),
    FunctionResult(origin="nowhere"),
    FunctionResult(headers=((b"X-Upper", b"1"),)),
    FunctionResult(headers=((b"x-a", b"1\r\nx-b: 2"),)),
    FunctionResult(headers=((b"x-a", "text"),)),  # type: ignore[arg-type]
    FunctionResult(headers=[(b"x-a", b"1")]),  # type: ignore[arg-type]
    *(
        FunctionResult(headers=((name, b"1"),))
        for name in (b"content-length", b"transfer-encoding", b"connection", b"host", b"te", b"x-forwarded-for",
                     b"client-cert", b"x-ssl-client-verify", b"ssl_client_cert", b"a b", b"", b"via", b"x_user")
    ),
    *(FunctionResult(remove=(name,)) for name in (b"host", b"content-length", b"client-cert", b"X-Upper", b"a b")),
    FunctionResult(answer=Response(200, ((b"content-length", b"1"),))),
    FunctionResult(answer=Response(200, ((b"Transfer-Encoding", b"chunked"),))),
    FunctionResult(answer=Response(200, ((b"date", b"1"),))),
    FunctionResult(answer=Response(200, ((b"x-a", b"1\n"),))),
    FunctionResult(answer=Response(101)),
    FunctionResult(answer=Response(200, (), "text")),  # type: ignore[arg-type]
    FunctionResult(answer="text"),  # type: ignore[arg-type]
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_what_cannot_be_is_a_stage_that_has_failed(pki: PKI, wrong: Any, flush: Callable[..., list[Failure]]) -> None:
    """Nothing of it counts: 503, or with the policy ``open`` as if it had said nothing."""
    said.append(wrong)
    with memory.node(pki, functions()) as node:
        assert node.client().ask(get()).status == 503
        reason = node.events[0]["reasons"][0]
        assert (reason["stage"], reason["filter"]) == ("edge-function", "f")
        assert reason["entry"].startswith("failed")
    with memory.node(pki, functions("request-before", {"edge": {"failure": "open"}})) as node:
        client = node.client()
        client.send(get())
        head = node.asked().read() or bytes(node.opened[0].received)
        assert b"x-a" not in head
        node.opened[0].send(OK)
        assert client.answer().status == 200
        assert not {"edge-function", "edge-function:f"} & set(node.events[0]["tags"])
    assert len(flush()) == 2


def test_one_that_is_late_has_failed(pki: PKI, flush: Callable[..., list[Failure]]) -> None:
    """After its own deadline, whatever that of other stages is; and it is cancelled."""
    cancelled: list[object] = []
    said.append(lambda _: Deferred(cancelled.append))
    with memory.node(pki, functions(timeout="2s")) as node:
        client = node.client()
        client.send(get())
        node.loop.wait(1.9, 0.1)
        assert client.read() == b""
        node.loop.wait(0.2, 0.1)
        assert client.answer().status == 503
        assert cancelled
        assert node.events[0]["reasons"][0]["entry"] == "failed: no answer in time"
    assert len(flush(TimeoutError)) == 1


def test_what_it_waits_for_may_be_kept(pki: PKI) -> None:
    """A Deferred that it returns again and again stays as it is."""
    kept: Deferred[Any] = Deferred()
    said.append(lambda _: kept)
    with memory.node(pki, functions()) as node:
        one, two = node.client(), node.client()
        one.send(get())
        two.send(get())
        assert not node.opened
        result = FunctionResult(answer=Response(204))
        kept.callback(result)
        assert one.answer().status == two.answer().status == 204
        assert kept.result is result
        assert one.ask(get()).status == 204


def test_it_is_cancelled_when_the_client_has_gone(pki: PKI) -> None:
    """Nobody waits for it any more."""
    cancelled: list[object] = []
    said.append(lambda _: Deferred(cancelled.append))
    with memory.node(pki, functions()) as node:
        client = node.client()
        client.send(get())
        client.close()
        assert cancelled
        assert node.events[0]["status"] == 499


def test_it_sees_the_body_if_it_asks_for_it(pki: PKI) -> None:
    """And a longer one is refused, for it could not be seen; without ``body`` there is none."""
    body: list[Any] = []
    said.append(lambda exchange: body.append(exchange.request.body))
    post = functools.partial(get, "/", "open.test", method="POST")
    for keys, length, status, data in (
        ({"body": "yes"}, 4, 200, b"aaaa"),
        ({"body": "yes"}, 9, 413, b"a" * 8),
        ({}, 4, 200, None),
    ):
        body.clear()
        changes: Changes = {"path-map all": {"inspect-body-size": "8"}}
        with memory.node(pki, functions("request-before", changes, **keys)) as node:
            client = node.client()
            client.send(post(f"Content-Length: {length}", body=b"a" * length))
            if status == 200:
                node.asked().send(OK)
            assert client.answer().status == status
            assert [None if each is None else each.data for each in body] == [data]


def test_under_monitoring_it_refuses_nothing_and_under_off_it_is_not_asked(pki: PKI) -> None:
    """What it changes of a request it changes under monitoring, as an action of that type does."""
    said.append(FunctionResult(answer=Response(401), headers=((b"x-a", b"1"),), tags={"seen"}))
    for mode, asked in (("monitoring", True), ("off", False)):
        seen.clear()
        with memory.node(pki, functions("request-before", {"path-map all": {"mode": mode}})) as node:
            client = node.client()
            client.send(get())
            head = node.asked().read() or bytes(node.opened[0].received)
            node.opened[0].send(OK)
            assert client.answer().status == 200
            assert (b"x-a: 1" in head, bool(seen), "seen" in node.events[0]["tags"]) == (asked, asked, asked)


@pytest.mark.parametrize(
    ("keys", "which", "sentence"),
    [
        ({"function": "tests.proxy.nowhere:f"}, "function", "No module named 'tests.proxy.nowhere'"),
        ({"function": f"{__name__}:nothing"}, "function", "has no attribute 'nothing'"),
        ({"function": f"{__name__}:seen"}, "function", "is no function"),
        ({"function": f"{__name__}:of_two"}, "function", "missing a required argument: 'other'"),
        ({"function": f"{__name__}:keyed"}, "user", "this key is required"),
        ({"point": "request-later"}, "point", "expected"),
        ({"origins": "nowhere"}, "origins", "there is no"),
        ({"actions": "nothing"}, "actions", "there is no"),
        ({"other": "1"}, "other", "unknown key"),
    ],
)
def test_what_is_wrong_in_its_section_is_told_at_its_place(
    pki: PKI, keys: dict[str, str], which: str, sentence: str
) -> None:
    """With the key, before anything uses it."""
    changes = memory.merged(functions(), {"edge-function f": keys})
    with pytest.raises(ConfigurationError) as caught:
        Configuration.from_text(ini(80, changes), pki.folder)
    (problem,) = [each for each in caught.value.problems if not each.warning]
    assert (problem.section, problem.key) == ("edge-function f", which)
    assert sentence in problem.sentence


def test_a_path_map_without_functions_has_no_stage_of_one(pki: PKI) -> None:
    """It costs nothing there."""
    plain, functional = (Configuration.from_text(ini(80, each), pki.folder) for each in ({}, functions()))
    names: Callable[[Configuration], list[str]] = lambda each: [one.name for one in each.pipeline("all").stages]  # noqa: E731
    assert [name for name in names(functional) if not name.startswith("edge-function")] == names(plain)
