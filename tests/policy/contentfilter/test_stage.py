"""What the rules of a content filter find becomes a decision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from edgenode.model.decision import NOTHING, Decision
from edgenode.model.errors import ConfigurationError, InvalidValue
from edgenode.model.exchange import Address, Body, Connection, Exchange, Request, Response
from edgenode.policy.actions import PREDEFINED
from edgenode.policy.contentfilter.bodies import MediaRange
from edgenode.policy.contentfilter.contentfilter import ContentFilter
from edgenode.policy.contentfilter.parsing import parse
from edgenode.policy.contentfilter.ruleset import RuleSet
from edgenode.policy.contentfilter.stage import LONGEST_SHOWN, ContentFilters, Filter, shown
from edgenode.policy.selection import Selection
from edgenode.policy.tagging import MESSAGE

RULES = """SecDefaultAction "phase:2,pass,log"
SecRule ARGS "@contains attack" "id:1,msg:'An attack',tag:attack-sqli,tag:other,severity:2,setvar:tx.anomaly_score=+5"
SecRule RESPONSE_BODY "@contains secret" "id:3,phase:4,deny,msg:'A leak',severity:ERROR"
SecRule TX:anomaly_score "@ge 5" "id:2,deny,nolog"
"""


def stage(rules: str = RULES, **keys: object) -> Filter:
    """The stage of a content filter.

    :param keys: those of its section.
    """
    section = ContentFilter(rules=(), **keys)  # type: ignore[arg-type]
    made = ContentFilters.of({"own": (section, RuleSet.of(parse([("x.conf", rules)])))}, PREDEFINED)
    found = made.selected(Selection(content_filter="own"))
    assert found is not None
    return found


def exchange(query: bytes = b"q=attack", body: bytes = b"") -> Exchange:
    """A request with a query, and maybe with a form."""
    headers = ((b"content-type", b"application/x-www-form-urlencoded"),) if body else ()
    names = tuple(name for name, _ in headers)
    request = Request(
        b"GET",
        b"https",
        b"x",
        b"/?" + query,
        b"/",
        query,
        b"/",
        headers,
        names,
        (1, 1),
        len(body),
        Body(body, len(body)),
    )
    return Exchange(Connection(Address("192.0.2.1", 1), Address("192.0.2.2", 443)), request, "192.0.2.1")


def test_every_rule_that_matched_is_a_reason() -> None:
    """A reason has number, variable, message and text; tags say rule, kind and risk; the action is taken."""
    decision = stage(tags=("bad",)).decide(exchange())
    assert isinstance(decision, Decision)
    assert decision.action is PREDEFINED["block"]
    assert decision.tags == {"cf-rule:1", "cf-category:sqli", "cf-risk:5", "bad", "action:block"}
    told, refusing = decision.reasons
    assert (told.entry, told.annotation, told.action) == ("1 ARGS:q", "An attack: attack (score 5)", "")
    assert (refusing.stage, refusing.filter, refusing.entry, refusing.action) == ("content-filter", "own", "2", "block")


def test_monitoring_takes_no_action() -> None:
    """In the mode ``monitoring`` the same is told, and nothing is done."""
    decision = stage(mode="monitoring").decide(exchange())
    assert isinstance(decision, Decision)
    assert decision.action is None
    assert decision.tags == {"cf-rule:1", "cf-category:sqli", "cf-risk:5"}


def test_a_body_that_may_not_come_is_refused_before_any_rule() -> None:
    """It is told without the rules; in the mode ``monitoring`` they are asked as well."""
    types = (MediaRange.from_text("application/json"),)
    decision = stage(content_types=types).decide(exchange(body=b"a=1"))
    assert isinstance(decision, Decision)
    assert decision.action is PREDEFINED["block"]
    assert decision.tags == {"cf-restrict:body", "action:block"}
    assert [(each.entry, each.annotation) for each in decision.reasons] == [("body", "of a type that may not come")]
    monitored = stage(content_types=types, mode="monitoring").decide(exchange(body=b"a=1"))
    assert isinstance(monitored, Decision)
    assert (monitored.action, len(monitored.reasons)) == (None, 2)


def test_what_cannot_be_read_is_refused_unless_it_is_let_pass() -> None:
    """JSON that is none is refused, where something is refused; ``partial`` lets it pass."""
    broken = exchange(query=b"q=1", body=b'{"a": ')
    assert broken.request is not None
    broken.request.headers = ((b"content-type", b"application/json"),)
    broken.request.fields = {b"content-type": (b"application/json",)}
    decision = stage().decide(broken)
    assert isinstance(decision, Decision)
    assert [(each.entry, each.annotation) for each in decision.reasons] == [("body", "it cannot be read")]
    assert decision.action is PREDEFINED["block"]
    assert stage(partial=True).decide(broken) is NOTHING
    assert stage(mode="monitoring").decide(broken) is NOTHING


def test_a_member_is_found_by_whatever_name_a_server_gives_it() -> None:
    """A rule on one argument looks at it also where PHP or Rack read it by another name, and counts it once."""
    rules = """SecRule ARGS:user_id "@contains attack" "id:1,phase:2,deny,msg:'An attack',setvar:tx.n=+1"
    """
    for query in (b"user_id=attack", b"user.id=attack", b"user%20id[x]=attack"):
        decision = stage(rules).decide(exchange(query=query))
        assert isinstance(decision, Decision)
        assert decision.action is PREDEFINED["block"], query
    assert stage(rules).decide(exchange(query=b"user=attack")) is NOTHING


def test_what_is_clean_is_nothing() -> None:
    """Of a request in which no rule finds anything nothing is said; nor of streams, and of messages of WebSockets."""
    assert stage().decide(exchange(b"q=blue+shoes")) is NOTHING
    assert stage().decide(evolve(exchange(), request=None)) is NOTHING
    assert stage().decide(exchange().tagged((MESSAGE,))) is NOTHING


def test_an_answer_is_judged_too() -> None:
    """Phases 3 and 4 come to a decision as well."""
    decision = stage().judge_response(exchange(), Response(200, (), b"a secret"))
    assert isinstance(decision, Decision)
    assert decision.action is PREDEFINED["block"]
    assert decision.tags == {"cf-rule:3", "cf-risk:4", "action:block"}


def test_what_rules_on_a_request_have_left_holds_for_its_answer() -> None:
    """Variables, exclusions by ``ctl`` and ``allow`` carry over to phases 3 and 4, as in ModSecurity."""
    rules = """SecRule ARGS:a "@streq set" "id:1,phase:2,pass,nolog,setvar:tx.seen=1"
        SecRule ARGS:a "@streq out" "id:2,phase:2,pass,nolog,ctl:ruleRemoveById=11"
        SecRule ARGS:a "@streq all" "id:3,phase:1,allow,nolog"
        SecRule ARGS:a "@streq request" "id:4,phase:1,allow:request,nolog"
        SecRule ARGS:a "@streq off" "id:5,phase:1,pass,nolog,ctl:ruleEngine=Off"
        SecRule TX:seen "@eq 1" "id:10,phase:4,log,pass"
        SecRule RESPONSE_BODY "@contains secret" "id:11,phase:4,log,deny"
    """
    filter = stage(rules, responses=True)
    found = {}
    for word in ("set", "out", "all", "request", "off", "other"):
        asked = exchange(b"a=" + word.encode())
        filter.decide(asked)
        decision = filter.judge_response(asked, Response(200, (), b"a secret"))
        assert isinstance(decision, Decision)
        found[word] = [each.entry.partition(" ")[0] for each in decision.reasons]
    assert found == {"set": ["10", "11"], "out": [], "all": [], "request": ["11"], "off": [], "other": ["11"]}


def test_much_is_judged_in_pieces() -> None:
    """What takes long is given up in between, and goes on in later turns."""
    clock = Clock()
    rules = (
        "".join(f'SecRule ARGS "@rx x1.*x1" "id:{number},nolog,setvar:tx.n=+1"\n' for number in range(100, 200)) + RULES
    )
    turns = []

    def later(delay: float, function: Callable[..., object], *arguments: object) -> object:
        turns.append(delay)
        return clock.callLater(delay, function, *arguments)

    waiting = evolve(stage(rules), call_later=later).decide(exchange(b"q=attack", b"r=" + b"x1" * 50_000))
    assert isinstance(waiting, Deferred)
    clock.advance(0)
    decision: object = waiting.result
    assert isinstance(decision, Decision)
    assert len(turns) > 5
    assert [each.entry for each in decision.reasons] == ["1 ARGS:q", "2"]


def test_a_client_that_has_gone_is_judged_no_further() -> None:
    """A decision that nobody waits for any more is not made."""
    clock = Clock()
    rules = (
        "".join(f'SecRule ARGS "@rx x1.*x1" "id:{number},nolog,setvar:tx.n=+1"\n' for number in range(100, 200)) + RULES
    )
    waiting = evolve(stage(rules), call_later=clock.callLater).decide(exchange(b"", b"r=" + b"x1" * 50_000))
    assert isinstance(waiting, Deferred)
    waiting.addErrback(lambda _: None)
    waiting.cancel()
    clock.advance(0)
    assert clock.getDelayedCalls() == []


def test_only_where_something_is_refused_all_has_to_be_seen() -> None:
    """What was not seen is refused unless ``partial`` or ``monitoring`` says otherwise."""
    assert "body" in stage().needs_to_refuse
    assert not stage(partial=True).needs_to_refuse
    assert not stage(mode="monitoring").needs_to_refuse


def test_a_text_is_shown_short_and_printable() -> None:
    """What a client sent cannot steer a terminal, nor fill an event."""
    assert shown(b"a\x1b\xff") == "a\\x1b\\xff"
    assert len(shown(b"\0" * 1000)) == len(shown(b"a" * 1000)) == LONGEST_SHOWN


def test_what_cannot_be_done_is_a_problem_with_its_place() -> None:
    """Rules that cannot be compiled, and an action that there is not."""
    with pytest.raises(ConfigurationError) as error:
        stage('SecRule ARGS "@rx (" "id:5,phase:2"')
    (problem,) = error.value.problems
    assert (problem.file, problem.line) == ("x.conf", 1)
    with pytest.raises(InvalidValue):
        stage(action="none")
    assert ContentFilters.of({}, PREDEFINED).selected(Selection(content_filter="own")) is None


@pytest.mark.parametrize(
    ("query", "score"),
    [
        (b"q=attack", 5),
        (b"q=attack;x=attack", 5),
        (b"q=1;x=attack", 5),
        (b"q=attack&x=attack", 10),
        (b"q=1;x=at;y=tack", 0),
    ],
)
def test_what_was_sent_once_counts_once(query: bytes, score: int) -> None:
    """What another server would read of the same counts only if nothing else matches."""
    verdict = stage().rules.judge(exchange(query=query))
    assert verdict.scores.get("inbound", 0) == score


def test_a_chain_looks_at_every_reading() -> None:
    """What matches the first link does not hide from it what would match the second."""
    rules = """SecRule ARGS "@contains att" "id:1,phase:2,deny,msg:'An attack',chain"
        SecRule MATCHED_VARS "@streq attack" "t:none"
    """
    decision = stage(rules).decide(exchange(query=b"q=att;x=attack"))
    assert isinstance(decision, Decision)
    assert decision.action is PREDEFINED["block"]
