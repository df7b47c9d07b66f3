"""What rules have not seen is refused where one would have looked for it, and could have refused it."""

from __future__ import annotations

import pytest

from edgenode.model.decision import Decision, Respond
from edgenode.model.exchange import Body, Exchange, Request
from edgenode.model.settings import Word
from edgenode.policy.actions import PREDEFINED
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.stages import Rules, compiled, pipeline_of
from edgenode.rules.categories import entry
from edgenode.rules.language.expressions import Expression
from tests.support.strategies import CONNECTION

MANY = b"&".join([b""] * 4097) + b"&q=attack"
FORM = b"application/x-www-form-urlencoded"
ARGUMENT = GlobalFilter(entries=(entry("argument.q", "^attack$"),), action="block")
ARGS = GlobalFilter(expression=Expression.from_text('any(http.request.uri.args["q"][*] eq "attack")'), action="block")
BODY = GlobalFilter(expression=Expression.from_text('http.request.body.raw contains "assault"'), action="block")
TAGGED = GlobalFilter(entries=(entry("argument.q", "^attack$"),), tags=(Word("attack"),))
BY_TAG = GlobalFilter(entries=(entry("tag", "attack"),), action="block")
PATH = GlobalFilter(entries=(entry("path", "^/x"),), action="block")


def pipeline(
    *filters: GlobalFilter, mode: str = "block", uninspected: str = "refuse", ambiguous: str = "refuse"
) -> Pipeline:
    """The pipeline of these filters."""
    rules = Rules(global_filters={str(at): each for at, each in enumerate(filters)}, actions=PREDEFINED)
    return pipeline_of(compiled(rules), mode=mode, uninspected=uninspected, ambiguous_multipart=ambiguous)


def status(judge: Pipeline, query: bytes | None = None, body: Body | None = None, kind: bytes = FORM) -> int:
    """What a request is answered with; 0 if it passes."""
    headers = ((b"content-type", kind),) if body else ()
    length = body.size if body else 0
    head = Request(b"POST", b"https", b"a", b"/", b"/", query, b"/", headers, length=length)
    if body:
        head = Request(b"POST", b"https", b"a", b"/", b"/", query, b"/", headers, length=length, body=body)
    decision = judge.decide(Exchange(CONNECTION, head))
    assert isinstance(decision, Decision)
    outcome = decision.outcome(Exchange(CONNECTION, head))
    return outcome.response.status if isinstance(outcome, Respond) else 0


def whole(data: bytes) -> Body:
    """A body that was read to its end."""
    return Body(data, len(data), False)


@pytest.mark.parametrize(
    ("filters", "refused"),
    [
        ((ARGUMENT,), 400),
        ((ARGS,), 400),
        ((TAGGED, BY_TAG), 400),
        ((TAGGED, PATH), 400),
        ((TAGGED,), 0),
        ((PATH,), 0),
        ((BODY,), 0),
    ],
)
def test_arguments_behind_too_many_are_refused_where_a_rule_looks_at_them(
    filters: tuple[GlobalFilter, ...], refused: int
) -> None:
    """A filter that only tags can make another refuse; where nothing refuses, nothing is refused."""
    assert status(pipeline(*filters), MANY) == refused
    assert status(pipeline(*filters), b"q=1") == 0


@pytest.mark.parametrize(
    ("body", "kind", "refused"),
    [
        (Body(b"x" * 10, 20, True), FORM, 413),
        (whole(MANY), FORM, 413),
        (whole(b"--b\r\n\r\n" * 1002), b"multipart/form-data; boundary=b", 413),
        (whole(b"x"), b"text/plain; charset=ebcdic-int1", 415),
        (whole(b'--b\r\nContent-Disposition: form-data; name="q"\r\nContent-Type: text/plain; charset=utf-9\r\n\r\n'
               b"attac\r\n--b--"), b"multipart/form-data; boundary=b", 415),
        (whole(b"x"), b"text/plain; charset=utf-8", 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rule", [ARGUMENT, BODY])
def test_a_body_that_rules_have_not_seen_whole_is_refused(
    rule: GlobalFilter, body: Body, kind: bytes, refused: int
) -> None:
    """Bytes, fields and parts beyond what is looked at, and character sets that nobody knows."""
    assert status(pipeline(rule), None, body, kind) == refused
    assert status(pipeline(PATH), None, body, kind) == 0


LINE_FEEDS = whole(b'--b\nContent-Disposition: form-data; name="q"\n\nx\n--b--\n')
PARTS = b"multipart/form-data; boundary=b"


@pytest.mark.parametrize("rule", [ARGUMENT, BODY])
def test_multipart_that_two_servers_may_read_differently_is_refused_where_a_rule_looks_at_bodies(
    rule: GlobalFilter,
) -> None:
    """With 400 and the reason, unless ``ambiguous-multipart`` is ``pass``; what else rules cannot see stays refused."""
    assert status(pipeline(rule), None, LINE_FEEDS, PARTS) == 400
    assert status(pipeline(PATH), None, LINE_FEEDS, PARTS) == 0
    assert status(pipeline(rule, ambiguous="pass"), None, LINE_FEEDS, PARTS) == 0
    assert status(pipeline(rule, uninspected="pass"), None, LINE_FEEDS, PARTS) == 400
    assert status(pipeline(rule, ambiguous="pass"), None, Body(b"x" * 10, 20, True), PARTS) == 413
    request = Request(*_head(None), ((b"content-type", PARTS),), length=LINE_FEEDS.size, body=LINE_FEEDS)
    decision = pipeline(rule).decide(Exchange(CONNECTION, request))
    assert isinstance(decision, Decision)
    (reason,) = decision.reasons
    assert (reason.stage, reason.entry, reason.action) == ("inspection", "tag: body:ambiguous", "uninspected")
    assert reason.annotation.endswith("may read differently: it does not end with its boundary")


def test_who_lets_it_pass_has_said_so() -> None:
    """``uninspected = pass``, the mode of filtration, and an action that exempts from the stage."""
    assert status(pipeline(ARGUMENT, uninspected="pass"), MANY) == 0
    assert status(pipeline(ARGUMENT, mode="monitoring"), MANY) == 0
    skip = GlobalFilter(entries=(entry("path", "^/"),), action="skip")
    assert status(pipeline(ARGUMENT, skip), MANY) == 0


def test_the_reason_names_the_tag_and_a_stronger_filter_wins() -> None:
    """Every filter is judged and its tags are kept."""
    request = Request(b"GET", b"https", b"a", b"/", b"/x", b"q=attack&" + MANY, b"/x")
    decision = pipeline(ARGUMENT).decide(Exchange(CONNECTION, request))
    assert isinstance(decision, Decision)
    assert decision.action is PREDEFINED["block"]
    decision = pipeline(TAGGED, BY_TAG).decide(Exchange(CONNECTION, Request(*_head(MANY))))
    assert isinstance(decision, Decision)
    (reason,) = decision.reasons
    assert (reason.stage, reason.entry) == ("inspection", "tag: args:truncated")
    assert {"args:truncated", "action:uninspected"} <= decision.tags


def _head(query: bytes | None) -> tuple[bytes, bytes, bytes, bytes, bytes, bytes | None, bytes]:
    return b"GET", b"https", b"a", b"/", b"/", query, b"/"
