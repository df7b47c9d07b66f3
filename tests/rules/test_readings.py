"""The key ``readings``: what entries look at besides, and what becomes of bodies that cannot be read for them."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.config.load import Configuration
from edgenode.model.decision import Decision, Respond
from edgenode.model.exchange import NO_BODY, Body, Exchange, Request
from edgenode.policy.actions import PREDEFINED
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.stages import Rules, compiled, pipeline_of
from edgenode.rules.categories import entry
from edgenode.rules.definitions import Definitions
from edgenode.rules.sections import READINGS, Section
from tests.support.configurations import changed, write_server
from tests.support.strategies import CONNECTION

EVIL = b'{"q": {"cmd": "evil"}}'
XML = b"<r><cmd>evil</cmd></r>"
GRAPHQL = b'{ run(cmd: "evil") }'
JSON, FORM, MULTIPART = "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"


def pipeline(*filters: Any, uninspected: str = "refuse") -> Pipeline:
    """The pipeline of these filters."""
    rules = Rules(global_filters={str(at): each for at, each in enumerate(filters)}, actions=PREDEFINED)
    return pipeline_of(compiled(rules), uninspected=uninspected)


def blocking(key: str, value: str, *readings: str) -> GlobalFilter:
    """A filter that blocks what has one entry."""
    return GlobalFilter(entries=(entry(key, value),), action="block", readings=readings)


def request(
    body: bytes = b"", kind: str | None = None, query: bytes | None = None, method: bytes = b"POST", **headers: str
) -> Request:
    """A request; the names of headers have ``_`` for ``-``."""
    fields = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())
    fields += () if kind is None else ((b"content-type", kind.encode()),)
    found = Body(body, len(body)) if body else NO_BODY
    return Request(method, b"https", b"a", b"/", b"/", query, b"/", fields, length=len(body), body=found)


def status(judge: Pipeline, asked: Request) -> int:
    """What a request is answered with; 0 if it passes."""
    exchange = Exchange(CONNECTION, asked)
    decision = judge.decide(exchange)
    assert isinstance(decision, Decision)
    outcome = decision.outcome(exchange)
    return outcome.response.status if isinstance(outcome, Respond) else 0


def part(name: str, kind: str, value: bytes, more: str = "") -> bytes:
    """A multipart body of one part."""
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\nContent-Type: {kind}\r\n\r\n'
    return head.encode() + value + b"\r\n--b--\r\n"


@pytest.mark.parametrize(
    ("reading", "key", "asked"),
    [
        ("json", "q_cmd", request(EVIL, JSON)),
        ("json", "q_cmd", request(EVIL, "application/vnd.api+json; charset=utf-8")),
        ("json", "q_cmd", request(EVIL, "text/x-json")),
        ("json", "q_cmd", request(EVIL, "application/x-ndjson")),
        ("json", "q_cmd", request(EVIL, "text/plain")),
        ("json", "q_cmd", request(EVIL, FORM)),
        ("json", "q_cmd", request(EVIL)),
        ("json", "q_cmd", request(b"[1, " + EVIL + b"]", "text/plain")),
        ("json", "q_cmd", request(EVIL.decode().encode("utf-16"), JSON)),
        ("json", "q_cmd", request(EVIL.decode().encode("utf-16-le"), FORM)),
        ("json", "q_cmd", request(EVIL.decode().encode("utf-7"), f"{JSON}; charset=utf-7")),
        ("json", "q_cmd", request(b"\xef\xbb\xbf" + EVIL, JSON)),
        ("json", "p_q_cmd", request(part("p", JSON, EVIL), MULTIPART)),
        ("json", "p_q_cmd", request(part("p", JSON, EVIL, '; filename="x.json"'), MULTIPART)),
        ("json", "p_q_cmd", request(part("p", JSON, EVIL + b" x", '; filename="x.json"'), MULTIPART)),
        ("xml", "cmd", request(XML, "text/xml")),
        ("xml", "r1cmd1", request(XML, "application/soap+xml")),
        ("xml", "cmd", request(b'<?xml version="1.0"?>' + XML, "text/plain")),
        ("xml", "cmd", request(XML)),
        ("xml", "cmd", request(b"<!-- x --><?y z?>\n" + XML)),
        ("xml", "cmd", request(b"<!DOCTYPE r>" + XML, "text/plain")),
        ("xml", "cmd", request(b"<a/>" + XML, "text/plain")),
        ("xml", "cmd", request(b'<!doctype html><x:r y:cmd="&#101;vil"><br>', "text/plain")),
        ("xml", "cmd", request(XML.decode().encode("utf-16"), "text/xml")),
        ("xml", "cmd", request((b'<?xml version="1.0"?>' + XML).decode().encode("cp037"), "text/xml")),
        ("xml", "cmd", request(b'<?xml version="1.0" encoding="utf-7"?><r><cmd>+AGUAdgBpAGw-</cmd></r>', "text/xml")),
        ("graphql", "cmd", request(GRAPHQL, "application/graphql")),
        ("graphql", "cmd", request(json.dumps({"query": GRAPHQL.decode()}).encode(), JSON)),
        ("graphql", "cmd", request(json.dumps([{"query": "{a}", "variables": {"cmd": "evil"}}]).encode(), JSON)),
        ("graphql", "cmd", request(b'{"variables":"{\\"cmd\\":\\"evil\\"}"}', JSON)),
        ("graphql", "cmd", request(query=b'query={run(cmd:"evil")}', method=b"GET")),
        ("graphql", "cmd", request(query=b'query={a}&variables={"cmd":"evil"}', method=b"GET")),
        ("graphql", "cmd", request(part("operations", "text/plain", b'{"variables":{"cmd":"evil"}}'), MULTIPART)),
        ("graphql", "cmd", request(json.dumps({"QUERY": GRAPHQL.decode()}).encode(), JSON)),
        ("graphql", "cmd", request('{"Variable\u017f":{"cmd":"evil"}}'.encode(), JSON)),
        ("graphql", "cmd", request(query=b'Query={run(cmd:"evil")}', method=b"GET")),
        ("base64", "cmd", request(query=b"cmd=ZXZpbA==", method=b"GET")),
        ("base64", "cmd", request(query=b"cmd=DATA:text/plain;base64,ZXZpbA==", method=b"GET")),
        ("base64", "cmd:decoded", request(b"cmd=ZXZpbA", FORM)),
        ("any-case", "cmd", request(query=b"CMD=evil", method=b"GET")),
        ("any-case", "Cmd", request(b"cMD=evil", FORM)),
    ],
)  # fmt: skip
def test_an_argument_is_found_where_a_reading_looks_for_it(reading: str, key: str, asked: Request) -> None:
    """With the reading, and with all of them; without it not, and then nothing is refused for it."""
    assert status(pipeline(blocking(f"argument.{key}", "^evil$", reading)), evolve(asked)) == 403
    assert status(pipeline(blocking(f"argument.{key}", "^evil$", *READINGS)), evolve(asked)) == 403
    others = [each for each in READINGS if each != reading]
    assert status(pipeline(blocking(f"argument.{key}", "^evil$", *others)), evolve(asked)) == 0
    assert status(pipeline(blocking(f"argument.{key}", "^evil$")), evolve(asked)) == 0


def test_readings_go_together() -> None:
    """What is in JSON is decoded too, and its names have no case; Go takes a long s for an s."""
    judge = pipeline(blocking("argument.cmds", "^evil$", *READINGS))
    assert status(judge, request('{"CMD\u017f": "ZXZpbA"}'.encode(), JSON)) == 403


AMBIGUOUS = b"&".join(b"a=a%d-_ b=cQ=Z" % number for number in range(4000))
"""Each value says something else in each alphabet, and in pieces."""


@pytest.mark.parametrize(
    ("reading", "body", "kind", "refused"),
    [
        ("json", b'{"a":NaN}', JSON, True), ("json", b"{'a':1}", "text/plain", True), ("json", b'{"a":1', FORM, True),
        ("json", b"hello", JSON, True), ("json", b"hello", "text/plain", False), ("json", b"[0]=1", FORM, False),
        ("json", b" ", JSON, False), ("json", b"<a", "text/xml", False), ("json", b"[" * 100, JSON, True),
        ("xml", b"<a>", "text/xml", True), ("xml", b"<!DOCTYPE a []><a/>", "text/plain", True),
        ("xml", b'<!DOCTYPE html [<!ENTITY x "y">]><a>&x;</a>', "text/html", True),
        ("xml", b"<!DOCTYPE html><br>", None, False),
        ("xml", b"<a>" * 70 + b"</a>" * 70, "text/plain", True), ("xml", b"<r>" + b"<a/>" * 9000 + b"</r>", None, True),
        ("xml", b"<a>&#" + b"9" * 9000 + b";<", "text/plain", False),
        ("json", b'[1,{"a":NaN}]', "text/plain", True), ("json", b"[" * 70 + b"]" * 70, None, True),
        ("graphql", b'{"query":"type T {a: B} {a(cmd: 1)}"}', JSON, True),
        ("xml", b"<!doctype html><br>", "text/html", False), ("xml", b"<p>a<br></p>", "text/html", False),
        ("xml", b'<?xml version="1.0" encoding="x-odd"?><a/>', "text/xml", True), ("xml", b"{", JSON, False),
        ("graphql", b"{", "application/graphql", True), ("graphql", b'{"query":"{a("}', JSON, True),
        ("graphql", b'{"query":"(x"}', JSON, False), ("graphql", b"{", JSON, True),
        ("graphql", b"query={a(&a=1", FORM, True), ("graphql", b"query={&x", FORM, True),
        ("graphql", b"query=a&variables=1{", FORM, False), ("graphql", b'variables={"a":[}', FORM, True),
        ("graphql", part("operations", "text/plain", b'{"a":'), MULTIPART, True),
        ("json", part("p", JSON, b"{"), MULTIPART, True), ("json", part("p", "text/plain", b"{"), MULTIPART, False),
        ("json", part("p", JSON, b"{", '; filename="x"'), MULTIPART, False),
        ("base64", b"{", JSON, False),
        ("base64", b"&".join([b"a=cmQ"] * 4090), FORM, False), ("base64", AMBIGUOUS, FORM, True),
        ("json", b"[" + b"1.5," * 8000 + b"1]", JSON, False), ("json", b"[" + b"1e2," * 4100 + b"1]", JSON, True),
        ("xml", b"<r>" + b"<a>b</a>" * 4000 + b"</r>", None, False),
        ("xml", b"<r>" + b"<a> b</a>" * 3000 + b"</r>", None, True),
        ("graphql", b"{a" + b"@b" * 9000 + b"}", "application/graphql", True),
        ("json", part("p", JSON, b"1").removesuffix(b"--b--\r\n") * 600 + b"--b--\r\n", MULTIPART, True),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_refused_where_a_rule_reads_such(
    reading: str, body: bytes, kind: str | None, refused: bool
) -> None:
    """With a reason, and unless ``uninspected`` is ``pass``; what is not of the kind is not looked at."""
    asked = request(body, kind)
    rule = blocking("argument.cmd", "^evil$", reading)
    assert status(pipeline(rule), evolve(asked)) == (400 if refused else 0)
    assert status(pipeline(rule, uninspected="pass"), evolve(asked)) == 0
    tags = pipeline(rule, uninspected="pass").decide(Exchange(CONNECTION, evolve(asked)))
    assert isinstance(tags, Decision)
    assert ("body:malformed" in tags.tags) is refused


@pytest.mark.parametrize(
    "asked",
    [
        request(x_http_method_override="DELETE"), request(x_http_method="delete"),
        request(x_method_override=" delete , x"),
        request(query=b"_method=Delete"), request(b"_method=DELETE", FORM), request(b'{"_method": "DELETE"}', JSON),
        request(part("_method", "text/plain", b"DELETE"), MULTIPART), request(b"_METHOD=DELETE", FORM),
        request(query=b"X-HTTP-Method-Override=DELETE"),
    ],
)  # fmt: skip
def test_another_method_that_is_asked_for_is_one(asked: Request) -> None:
    """By header, query, form and what else arguments are read from; without the reading it is the method as sent."""
    judge = pipeline(blocking("method", "^DELETE$", "method-override", "json"))
    assert status(judge, evolve(asked)) == 403
    assert status(judge, request()) == 0
    assert status(judge, request(method=b"DELETE")) == 403
    for name in (b"x_http_method_override", b"x-http_method"):
        assert status(judge, evolve(request(), fields={name: (b"DELETE",)})) == 403
    assert status(pipeline(blocking("method", "^DELETE$", "json")), evolve(asked)) == 0


def test_names_of_cookies_have_no_case_either() -> None:
    """As ASP.NET reads them."""
    asked = request(cookie="a=1; SID=evil")
    assert status(pipeline(blocking("cookie.sid", "^evil$", "any-case")), evolve(asked)) == 403
    assert status(pipeline(blocking("cookie.sid", "^evil$")), evolve(asked)) == 0


def test_a_reading_is_of_the_section_that_names_it() -> None:
    """As ``match-case`` is; what a section reads is malformed for the filters that name it, too."""
    inner = Section(entries=(entry("argument.cmd", "^evil$"),), readings=("json",))
    outer = GlobalFilter(sections=("inner",), action="block")
    rules = Rules(global_filters={"f": outer}, definitions=Definitions({"inner": inner}), actions=PREDEFINED)
    judge = pipeline_of(compiled(rules))
    assert status(judge, request(b'{"cmd":"evil"}', JSON)) == 403
    assert status(judge, request(b'{"cmd":', JSON)) == 400
    rules = evolve(rules, definitions=Definitions({"inner": evolve(inner, readings=())}))
    assert status(pipeline_of(compiled(rules)), request(b'{"cmd":"evil"}', JSON)) == 0


def test_the_node_has_readings_for_all_of_its_filters(tmp_path: pathlib.Path) -> None:
    """Besides their own, and for sections as well; the entries of path maps have only theirs."""
    write_server(tmp_path, "www.test")
    head = changed({"hosts = shop.example": "hosts = www.test"})
    rules = "[global-filter f]\naction = block\nargument.cmd = ^evil$\nreadings = base64\n"
    rules += "[global-filter g]\naction = block\nsections = s\n[section s]\nargument.x = ^evil$\n"
    rules += "[path-map p]\norigin = shop\n"
    for edge, found in (("", 0), ("[edge]\nreadings = json method-override\n", 403)):
        configuration = Configuration.from_text(edge + head + rules, tmp_path)
        for body in (b'{"cmd": "ZXZpbA=="}', b'{"x": "evil"}'):
            assert status(configuration.pipeline("all"), request(body, JSON)) == found
        assert configuration.path_maps["p"].readings == ()
        assert not [each for each in configuration.warnings if each.key == "readings"]


@settings(max_examples=200)
@given(
    st.sampled_from([None, "", JSON, FORM, MULTIPART, "text/xml", "application/graphql", f"{JSON}; charset=utf-16"]),
    st.binary() | st.sampled_from([EVIL, XML, GRAPHQL, b"_charset_=utf-7&a=1", part("a", JSON, EVIL)]),
    st.sampled_from([None, b"", b"query={a}", b"variables=[1]&a.b=2"]),
)
def test_further_readings_take_nothing_away(kind: str | None, body: bytes, query: bytes | None) -> None:
    """Whatever is sent: nothing is an error, and what is found without them is found with them."""
    asked = request(body, kind, query)
    for key in ("argument.a", "argument.a_b", "method"):
        if status(pipeline(blocking(key, ".", "json")), evolve(asked)):
            assert status(pipeline(blocking(key, ".", *READINGS)), evolve(asked))
