"""Filters that can be true of messages of WebSockets alone: no request is held for them, or refused."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.python.failure import Failure

from edgenode.model.decision import Decision, Respond
from edgenode.model.exchange import Body, Exchange, Request
from edgenode.model.settings import Source, Word
from edgenode.policy import escaping
from edgenode.policy.actions import PREDEFINED, Block
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.stages import Placed, Rules, compiled, pipeline_of
from edgenode.policy.templates import Template
from edgenode.rules.categories import entry
from edgenode.rules.definitions import Definitions
from edgenode.rules.filter_feeds import FeedCategory
from edgenode.rules.language.expressions import Expression
from edgenode.rules.lists import Members
from edgenode.rules.sections import Section
from tests.policy.test_pipeline import Saying
from tests.support.strategies import CONNECTION

MESSAGE = 'any(edge.tags[*] == "websocket:message")'
DROP = 'http.request.body.raw contains "DROP"'
NAMED = {
    "message": Section(entries=(entry("tag", "websocket:message"),)),
    "inner": Section(sections=(Word("message"),)),
    "either": Section(relation="or", entries=(entry("tag", "websocket:message"), entry("path", "^/x"))),
    "drop": Section(expression=Expression.from_text(DROP)),
}


def judging(*filters: GlobalFilter) -> Pipeline:
    """The pipeline of filters that may name these sections."""
    rules = Rules(
        global_filters={str(at): each for at, each in enumerate(filters)},
        definitions=Definitions(NAMED),
        actions=PREDEFINED,
    )
    return pipeline_of(compiled(rules))


def said_by(text: str) -> GlobalFilter:
    """A filter that blocks by an expression."""
    return GlobalFilter(expression=Expression.from_text(text), action="block")


ON_MESSAGES = {
    "the page's own": said_by(f"{MESSAGE} and {DROP}"),
    "behind the body": said_by(f"{DROP} and {MESSAGE}"),
    "in parentheses": said_by(f'({MESSAGE} and http.host eq "a") and ({DROP} or http.host eq "b")'),
    "in every branch": said_by(f'({MESSAGE} and {DROP}) or ({MESSAGE} and http.host eq "b")'),
    "an entry": GlobalFilter(
        entries=(entry("tag", "websocket:message"),), expression=Expression.from_text(DROP), action="block"
    ),
    "a section": GlobalFilter(sections=(Word("message"), Word("drop")), action="block"),
    "a section in a section": GlobalFilter(sections=(Word("drop"), Word("inner")), action="block"),
}
ON_REQUESTS = {
    "no tag": said_by(DROP),
    "or": said_by(f"{MESSAGE} or {DROP}"),
    "not": said_by(f"not {MESSAGE} and {DROP}"),
    "not of both": said_by(f"not ({MESSAGE} and {DROP})"),
    "xor": said_by(f"{MESSAGE} xor {DROP}"),
    "within xor": said_by(f"({MESSAGE} and {DROP}) xor {MESSAGE}"),
    "a branch without it": said_by(f'({MESSAGE} and {DROP}) or (http.host eq "b" and {DROP})'),
    "another tag": said_by(f'any(edge.tags[*] == "websocket") and {DROP}'),
    "a longer tag": said_by(f'any(starts_with(edge.tags[*], "websocket:message")) and {DROP}'),
    "one of several tags": said_by(f'any(edge.tags[*] in {{"websocket:message" "all"}}) and {DROP}'),
    "a header that says so": said_by(f'any(http.request.headers["x"][*] == "websocket:message") and {DROP}'),
    "a negated entry": GlobalFilter(
        entries=(entry("tag", "!websocket:message"),), expression=Expression.from_text(DROP), action="block"
    ),
    "relation = or": GlobalFilter(relation="or", sections=(Word("message"), Word("drop")), action="block"),
    "a section that is an or": GlobalFilter(sections=(Word("either"), Word("drop")), action="block"),
}


@pytest.mark.parametrize("filter", ON_MESSAGES.values(), ids=ON_MESSAGES)
def test_a_filter_that_is_true_of_messages_alone_does_not_look_at_bodies_of_requests(filter: GlobalFilter) -> None:
    """In either notation; beside one that does look, bodies are looked at."""
    pipeline = judging(filter)
    assert (pipeline.inspects, pipeline.inspects_messages) == (0, 128 * 1024)
    assert "body" in pipeline.needs
    assert judging(filter, said_by(DROP)).inspects == 128 * 1024


@pytest.mark.parametrize("filter", ON_REQUESTS.values(), ids=ON_REQUESTS)
def test_where_that_is_not_certain_it_looks_at_bodies_of_requests(filter: GlobalFilter) -> None:
    """Such a filter may be true of a request for what is in its body."""
    pipeline = judging(filter)
    assert (pipeline.inspects, pipeline.inspects_messages) == (128 * 1024, 128 * 1024)


def test_the_action_of_a_filter_on_messages_alone_looks_at_no_request() -> None:
    """One whose page shows the body is taken on messages alone, unless another filter names it."""
    shows = Block("shows", body=escaping.body(Template.from_text("${http.request.body.raw}"), "text/plain"))
    on_messages = GlobalFilter(entries=(entry("tag", "websocket:message"),), action="shows")
    on_paths = GlobalFilter(entries=(entry("path", "^/x"),), action="shows")
    for filters, inspects in (({"a": on_messages}, False), ({"a": on_messages, "b": on_paths}, True)):
        pipeline = pipeline_of(compiled(Rules(global_filters=filters, actions={"shows": shows})))
        assert (bool(pipeline.inspects), bool(pipeline.inspects_messages)) == (inspects, True)


@pytest.mark.parametrize(("relation", "inspects"), [("and", False), ("or", True)])
def test_a_feed_beside_the_tag_counts_as_the_relation_says(relation: str, inspects: bool) -> None:
    """With ``or`` a line of it is enough, whatever tag there is."""
    filter = GlobalFilter(
        relation=relation,
        entries=(entry("tag", "websocket:message"),),
        source=(Source(path=pathlib.Path("lines")),),
        feed=FeedCategory.from_text("argument.q"),
        action="block",
    )
    rules = Rules(global_filters={"fed": filter}, actions=PREDEFINED, feeds={"fed": Members("fed", regexes=("DROP",))})
    assert bool(pipeline_of(compiled(rules)).inspects) is inspects


ATOMS = st.sampled_from((MESSAGE, DROP, 'http.request.uri.path eq "/x"', 'any(edge.tags[*] == "all")'))
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        inner.map("not ({})".format),
        st.tuples(inner, st.sampled_from(("and", "and", "or", "xor")), inner).map(
            lambda parts: f"({parts[0]}) {parts[1]} ({parts[2]})"
        ),
    ),
    max_leaves=6,
)
FILTERS = st.builds(
    lambda text, sections, relation: GlobalFilter(
        relation=relation,
        sections=tuple(map(Word, sections)),
        expression=Expression.from_text(text),
        tags=(Word("hit"),),
        action="block",
    ),
    EXPRESSIONS,
    st.lists(st.sampled_from(sorted(NAMED)), max_size=2, unique=True),
    st.sampled_from(("and", "and", "or")),
)


@given(st.lists(FILTERS, min_size=1, max_size=3), st.sampled_from((b"/", b"/x")), st.sampled_from((b"x", b"DROP")))
def test_a_body_that_is_not_held_makes_no_difference_to_a_request(
    filters: list[GlobalFilter], path: bytes, data: bytes
) -> None:
    """Whatever is made of the tag: where no body of a request is held, its verdict is that of the body that is."""
    pipeline = judging(*filters)
    if pipeline.inspects:
        return
    head = Request(b"POST", b"https", b"a", path, path, None, path, length=len(data))
    with_body = Request(
        b"POST", b"https", b"a", path, path, None, path, length=len(data), body=Body(data, len(data), False)
    )
    one, two = (pipeline.decide(Exchange(CONNECTION, each)) for each in (head, with_body))
    assert isinstance(one, Decision)
    assert isinstance(two, Decision)
    assert (one.action, one.tags, one.reasons) == (two.action, two.tags, two.reasons)


TRUNCATED = Body(b"x", 9, True)


def _status(pipeline: Pipeline, query: bytes | None, body: Body | None, tags: frozenset[str] = frozenset()) -> int:
    """What a request, or with its tag a message, is answered with; 0 if it passes."""
    request = Request(b"POST", b"https", b"a", b"/", b"/", query, b"/", length=body.size if body else 0, body=body)
    exchange = Exchange(CONNECTION, request)
    if tags:
        exchange = exchange.tagged(pipeline.tagging.decide(exchange).tags | tags)  # type: ignore[union-attr]
    decision = pipeline.decide(exchange)
    assert isinstance(decision, Decision)
    outcome = decision.outcome(exchange)
    return outcome.response.status if isinstance(outcome, Respond) else 0


def test_a_request_is_not_refused_for_what_a_filter_on_messages_cannot_see_of_it() -> None:
    """Of a message it is, and of a request for another filter that can refuse, though that one looks at no bodies."""
    many, message = b"&".join([b"a"] * 4097), frozenset(("websocket:message",))
    arguments = said_by(f'{MESSAGE} and {DROP} and any(http.request.uri.args["q"][*] eq "x")')
    for others in ((), (said_by('http.host eq "b"'),)):
        pipeline = judging(arguments, *others)
        assert (_status(pipeline, many, None), _status(pipeline, None, TRUNCATED)) == (0, 0)
        assert (_status(pipeline, many, None, message), _status(pipeline, None, TRUNCATED, message)) == (400, 413)
    assert _status(judging(arguments, said_by(DROP)), None, TRUNCATED) == 413


def test_a_stage_of_one_s_own_cannot_set_the_tag(flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """It has failed, and the request with it: a filter on messages would look at a body that nobody has held."""
    for said, status in (("websocket:message", 503), ("websocket:other", 0)):
        stage = Saying("own", Decision(frozenset((said,))))
        rules = Rules(global_filters={"a": said_by(f"{MESSAGE} and {DROP}")}, actions=PREDEFINED)
        pipeline = pipeline_of(compiled(rules), [Placed(stage, before="global-filters")])
        assert _status(pipeline, None, None) == status
        assert len(flush_logged_errors(ValueError)) == (status == 503)
    assert _status(pipeline, None, Body(b"DROP", 4, False), frozenset(("websocket:message",))) == 403
