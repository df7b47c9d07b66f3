"""Phases 3 and 4 of a content filter through a whole node: what leaks is not let out."""

from __future__ import annotations

import gzip

import pytest

from tests.proxy.http2.test_node import Client as Http2Client
from tests.proxy.test_judged_answers import forwarded, ok
from tests.support import memory
from tests.support.node import PKI, Changes, get

RULES = """
SecRule RESPONSE_STATUS "@rx ^500$" "id:31,phase:3,pass,t:none,msg:'It fails',setvar:tx.fails=1"
SecRule RESPONSE_HEADERS:X-Debug "@rx ." "id:32,phase:3,deny,status:403,t:none,msg:'It debugs',severity:ERROR"
SecRule RESPONSE_BODY "@rx (?i)ORA-[0-9]{5}" \\
    "id:41,phase:4,deny,t:none,msg:'Oracle error',severity:CRITICAL,tag:'attack-disclosure'"
SecRule REQUEST_URI "@contains evil" "id:1,phase:1,deny,t:none,msg:'Evil'"
"""
ORACLE = b"<p>ORA-00933: SQL command not properly ended</p>"
HTML = b"Content-Type: text/html; charset=utf-8"


@pytest.fixture(autouse=True)
def _rules(pki: PKI) -> None:
    (pki.folder / "leaks.conf").write_text(RULES)


def filtered(changes: Changes | None = None, /, **keys: str) -> Changes:
    """The rules for answers of the path map."""
    named = {"rules": "leaks.conf", "responses": "yes", **{name.replace("_", "-"): each for name, each in keys.items()}}
    own: Changes = {"content-filter leaks": named, "path-map all": {"content-filter": "leaks"}}
    return memory.merged(own, changes or {})


def test_what_leaks_is_refused_and_told(pki: PKI) -> None:
    """By what the body says, however it is sent, and by the head; with the rule, and where it has matched."""
    answers = [
        ok(ORACLE, HTML),
        ok(gzip.compress(ORACLE), HTML, b"Content-Encoding: gzip"),
        ok(ORACLE),
        b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n<p>ORA\r\n6\r\n-00933\r\n0\r\n\r\n",
        ok(b"hello", b"X-Debug: 1"),
    ]
    with memory.node(pki, filtered()) as node:
        for answer in answers:
            assert forwarded(node, answer).status == 403
            client = Http2Client(node)
            stream = client.ask()
            node.asked().send(answer)
            assert client.status(stream) == 403
        event = node.events[0]
        reason = event["reasons"][-1]
        assert (reason["stage"], reason["filter"], reason["action"]) == ("content-filter", "leaks", "block")
        assert reason["entry"].startswith("41 RESPONSE_BODY")
        assert {"cf-rule:41", "cf-category:disclosure", "cf-risk:5"} <= set(event["tags"])
        assert (event["status"], node.records[0].origin_status) == (403, 200)
        assert {"content-filter", "content-filter:answer"} <= event["stages"].keys()


def test_what_does_not_leak_passes_as_it_is(pki: PKI) -> None:
    """And so does what is no text, unseen."""
    with memory.node(pki, filtered()) as node:
        for answer, body in (
            (ok(b"<p>hello</p>", HTML), b"<p>hello</p>"),
            (ok(ORACLE, b"Content-Type: image/png"), ORACLE),
            (ok(b"data: ORA-00933\n\n", b"Content-Type: text/event-stream"), b"data: ORA-00933\n\n"),
        ):
            assert forwarded(node, answer).body == body
        assert node.client().ask(get("/evil")).status == 403


@pytest.mark.parametrize(
    ("keys", "status"),
    [
        ({}, 502),
        ({"response_partial": "yes"}, 200),
        ({"mode": "monitoring"}, 200),
        ({"response_limit": "2k"}, 200),
        ({"active": "no"}, 200),
        ({"responses": "no"}, 200),
    ],
)
def test_a_longer_text_is_refused_unless_that_is_said_otherwise(pki: PKI, keys: dict[str, str], status: int) -> None:
    """For what is behind it nobody has seen."""
    with memory.node(pki, filtered(None, **{"response_limit": "1k", **keys})) as node:
        assert forwarded(node, ok(b"a" * 1500, HTML)).status == status


def test_parts_of_a_text_are_refused(pki: PKI) -> None:
    """Who asks for it piece by piece would have it all, and no rule would have matched; several at once as well."""
    one = b"HTTP/1.1 206 x\r\nContent-Type: text/html\r\nContent-Range: bytes 0-2/9\r\nContent-Length: 3\r\n\r\nORA"
    several = b"HTTP/1.1 206 x\r\nContent-Type: multipart/byteranges; boundary=x\r\nContent-Length: 3\r\n\r\nORA"
    for answer in (one, several):
        with memory.node(pki, filtered()) as node:
            assert forwarded(node, answer).status == 502
        with memory.node(pki, filtered(response_partial="yes")) as node:
            assert forwarded(node, answer).status == 206


def test_where_it_only_watches_nothing_is_refused(pki: PKI) -> None:
    """But told; and who skips the filters, or is let past this one, skips it for the answer too."""
    skipping: Changes = {"action past": {"type": "skip"}, "global-filter past": {"action": "past", "path": "^/"}}
    exempting = memory.merged(skipping, {"action past": {"skip": "content-filter"}})
    for keys, changes, told in (
        ({"mode": "monitoring"}, {}, True),
        ({}, {"path-map all": {"mode": "monitoring"}}, True),
        ({}, {"path-map all": {"mode": "off"}}, False),
        ({}, skipping, False),
        ({}, exempting, False),
    ):
        with memory.node(pki, filtered(changes, **keys)) as node:
            assert forwarded(node, ok(ORACLE, HTML)).status == 200
            assert ("cf-rule:41" in node.events[0]["tags"]) is told


def test_a_function_sees_the_answer_before_it_and_another_what_has_passed(pki: PKI) -> None:
    """So one can take away what the rules would refuse."""
    changes: Changes = {
        "edge-function clean": {"function": f"{__name__}:clean", "point": "response-before"},
        "path-map all": {"edge-functions": "clean"},
    }
    with memory.node(pki, filtered(changes)) as node:
        answer = forwarded(node, ok(b"hello", b"X-Debug: 1"))
        assert (answer.status, answer.fields("x-debug")) == (200, [])


def clean(exchange: object, response: object) -> object:
    """Take away what debugs."""
    from edgenode import FunctionResult

    return FunctionResult(remove=(b"x-debug",))
