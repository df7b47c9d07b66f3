"""Rules are judged as the reference manual of ModSecurity says."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pytest

from edgenode.model.errors import ConfigurationError
from edgenode.model.exchange import Address, Connection, Exchange, Response
from edgenode.policy.contentfilter.collections import Collection
from edgenode.policy.contentfilter.directives import RuleTree
from edgenode.policy.contentfilter.findings import CLEAN, Finding, Verdict
from edgenode.policy.contentfilter.parsing import parse
from edgenode.policy.contentfilter.ruleset import RuleSet
from edgenode.rules.views.pairs import Pairs

EXCHANGE = Exchange(Connection(Address("192.0.2.1", 1), Address("192.0.2.2", 443)))
PAIR = ((b"q", b"x"),)
HEAD = 'SecDefaultAction "phase:2,pass,log"\n'


def judged(text: str, variables: Mapping[str, str] | None = None, **values: object) -> Verdict:
    """The verdict of rules on a request.

    :param variables: those that the section sets.
    :param values: what each variable holds: a dict, a list of pairs, or a text.
    """
    return ruleset(text, variables, **values).judge(EXCHANGE)


def ruleset(text: str, variables: Mapping[str, str] | None = None, **values: object) -> RuleSet:
    """Rules over collections that hold what is said."""
    tree = parse([("x.conf", HEAD + text)])
    return RuleSet.of(RuleTree(tree.directives, tuple((variables or {}).items())), reading(values))


def reading(values: Mapping[str, object]) -> Mapping[str, Collection]:
    """Collections that hold what is said."""
    return {name: Collection(name, partial(_held, _pairs(held))) for name, held in values.items()}


def _held(held: Pairs, _: Exchange) -> Pairs:
    return held


def _pairs(held: object) -> Pairs:
    if isinstance(held, str):
        return ((b"", held.encode()),)
    several = held.items() if isinstance(held, dict) else held
    return tuple((name.encode(), value.encode()) for name, value in several)  # type: ignore[attr-defined]


def ids(verdict: Verdict) -> list[int]:
    """The numbers of the rules that matched."""
    return [each.rule for each in verdict.findings]


def test_a_match_is_told_with_its_variable_and_text() -> None:
    """A finding has the rule's number, its macros worked out, where it matched, and what it added to the scores."""
    verdict = judged(
        """SecRule ARGS "@rx (b+)" "id:7,capture,t:lowercase,msg:'in %{MATCHED_VAR_NAME}',logdata:'%{TX.1}',
        tag:x/%{ARGS.A},severity:CRITICAL,setvar:tx.anomaly_score_pl1=+%{tx.five}" """.replace("\n", ""),
        {"five": "5"},
        ARGS={"a": "z", "Q": "aBBc"},
    )
    assert verdict.findings == (Finding(7, "in ARGS:Q", "bb", "ARGS:Q", b"abbc", 2, 5, ("x/z",)),)
    assert not verdict.refused


def test_scores_add_up_by_every_value_that_matches() -> None:
    """A rule sets its variables for each value; the rule on the score refuses, and the scores are told."""
    verdict = judged(
        """SecRule ARGS "@streq x" "id:1,setvar:tx.anomaly_score=+5,setvar:tx.xss_score=+5"
        SecRule TX:anomaly_score "@ge 10" "id:2,deny" """,
        ARGS=[("a", "x"), ("b", "y"), ("c", "x")],
    )
    assert ids(verdict) == [1, 2]
    assert verdict.refused
    assert verdict.by == 2
    assert verdict.scores == {"inbound": 10, "xss": 10}
    assert verdict.findings[0].score == 10


def test_all_links_of_a_chain_have_to_match() -> None:
    """A chain matches if all of its links do, and is told with the last; links see what the one before has matched."""
    text = """SecRule ARGS "@rx (.)b" "id:1,capture,chain,msg:m"
        SecRule MATCHED_VARS "@rx c" "chain"
        SecRule TX:1 "@streq a" "setvar:tx.done=1"
        SecRule TX:done "@eq 1" "id:2" """
    verdict = judged(text, ARGS={"q": "abc"})
    assert ids(verdict) == [1, 2]
    assert verdict.findings[0].variable == "TX:1"
    assert judged(text, ARGS={"q": "xbc"}) is CLEAN
    assert judged(text, ARGS={"q": "ab"}) is CLEAN


def test_what_a_link_sets_stays_set_if_the_next_does_not_match() -> None:
    """Variables are set by each link that matches, as in the reference engine."""
    text = """SecRule ARGS "@streq a" "id:1,chain,setvar:tx.seen=1"
        SecRule ARGS "@streq b" "t:none"
        SecRule TX:seen "@eq 1" "id:2" """
    assert ids(judged(text, ARGS={"q": "a"})) == [2]


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ('&ARGS "@eq 2"', True),
        ('&ARGS:q "@eq 1"', True),
        ('&ARGS:/^[qr]/ "@eq 2"', True),
        ('ARGS:Q "@streq one"', True),
        ('ARGS|!ARGS:q|!ARGS:/^R$/ "@rx ."', False),
        ('ARGS:r "!@streq one"', True),
        ('ARGS:none "!@streq one"', False),
        ('ARGS_NAMES "@streq r"', False),
        ('REQUEST_METHOD "!@within GET HEAD"', True),
        ('ARGS|REQUEST_METHOD "@streq POST"', True),
    ],
)
def test_targets_choose_values(rule: str, matches: bool) -> None:
    """Members by name in any case and by pattern, exclusions, and numbers; what is not there never matches."""
    found = ids(judged(f'SecRule {rule} "id:1"', ARGS={"q": "one", "r": "two"}, REQUEST_METHOD="POST"))
    assert found == ([1] if matches else [])


def test_multi_match_looks_at_every_step() -> None:
    """The operator looks at a value before and behind each transformation that changes it."""
    text = 'SecRule ARGS "@rx [Ac]" "id:1,{}t:trim,t:lowercase,setvar:tx.anomaly_score=+1"'
    assert judged(text.format("multiMatch,"), ARGS={"q": " Abc "}).findings[0].score == 3
    assert judged(text.format(""), ARGS={"q": " Abc "}).findings[0].score == 1


def test_skipping_goes_on_at_a_marker_or_behind_some_rules() -> None:
    """``skipAfter`` and ``skip`` leave out rules of their phase; a marker is one of all phases."""
    text = """SecAction "id:1,{}"
        SecAction "id:2"
        SecAction "id:3,phase:1"
        SecAction "id:4"
        SecMarker END
        SecAction "id:5" """
    assert ids(judged(text.format("skipAfter:END"))) == [3, 1, 5]
    assert ids(judged(text.format("skip:1"))) == [3, 1, 4, 5]
    assert ids(judged(text.format("skip:9"))) == [3, 1]


def test_controls_take_rules_and_targets_out() -> None:
    """``ctl`` removes rules by number, tag and message, or what they look at."""
    text = """SecRule REQUEST_METHOD "@unconditionalMatch" "id:1,phase:1,nolog,ctl:{}"
        SecRule ARGS "@streq x" "id:20,tag:t,msg:m" """
    values = {"REQUEST_METHOD": "GET", "ARGS": {"q": "x"}}
    for control in ("ruleRemoveById=20", "ruleRemoveById=15-25", "ruleRemoveByTag=t", "ruleRemoveByMsg=m"):
        assert judged(text.format(control), None, **values) is CLEAN
    for control in ("ruleRemoveTargetById=20;ARGS:q", "ruleRemoveTargetByTag=t;ARGS", "ruleRemoveTargetByMsg=m;ARGS:q"):
        assert judged(text.format(control), None, **values) is CLEAN
    for control in ("ruleRemoveById=21", "ruleRemoveTargetById=20;ARGS:r", "ruleRemoveTargetByTag=u;ARGS"):
        assert ids(judged(text.format(control), None, **values)) == [20]


def test_the_engine_is_switched_off_or_only_detects() -> None:
    """``ctl:ruleEngine`` holds for what comes: off from the next phase on."""
    text = """SecAction "id:1,phase:1,nolog,ctl:ruleEngine={}"
        SecAction "id:2,phase:1,deny" """
    assert judged(text.format("On")).refused
    for value in ("Off", "DetectionOnly"):
        verdict = judged(text.format(value) + '\nSecAction "id:3"')
        assert not verdict.refused
        assert ids(verdict) == ([2] if value == "Off" else [2, 3])


@pytest.mark.parametrize(("allow", "found"), [("allow", [1]), ("allow:request", [1]), ("allow:phase", [1, 3])])
def test_allow_ends_a_phase_or_all(allow: str, found: list[int]) -> None:
    """``allow`` leaves out what comes: everything, all of the request, or its phase."""
    assert ids(judged(f'SecAction "id:1,phase:1,{allow}"\nSecAction "id:2,phase:1"\nSecAction "id:3"')) == found


def test_a_rule_that_refuses_is_the_last() -> None:
    """Behind ``deny`` no rule is judged."""
    verdict = judged('SecAction "id:1,deny"\nSecAction "id:2"')
    assert ids(verdict) == [1]
    assert verdict.by == 1


def test_variables_are_set_counted_and_deleted() -> None:
    """``setvar`` sets, adds, subtracts and deletes; its name may have macros."""
    text = """SecAction "id:1,nolog,setvar:tx.a=3,setvar:tx.a=-1,setvar:tx.b,setvar:!tx.c,setvar:'tx.%{tx.n}_x=+2'"
        SecRule TX:a "@streq 2" "id:2"
        SecRule TX:b "@streq 1" "id:3"
        SecRule &TX:c "@eq 0" "id:4"
        SecRule TX:/_X$/ "@streq 2" "id:5" """
    assert ids(judged(text, {"c": "1", "n": "Name"})) == [2, 3, 4, 5]


def test_in_the_first_phase_there_is_no_body() -> None:
    """Rules of phase 1 see only what the head says; what is read besides is seen, and not counted."""
    collection = Collection("ARGS", lambda _: PAIR, lambda _: ((b"r", b"y"),), lambda _: ())
    text = 'SecRule ARGS "@rx y" "id:{0},phase:{0}"\nSecRule &ARGS "@eq 1" "id:{0}0,phase:{0}"\n'
    tree = parse([("x.conf", HEAD + text.format(1) + text.format(2))])
    verdict = RuleSet.of(tree, {"ARGS": collection}).judge(EXCHANGE)
    assert ids(verdict) == [2, 20]
    assert verdict.findings[0].variable == "ARGS:r"


def test_an_operator_may_have_macros() -> None:
    """An argument is worked out when the rule is judged; an expression that is none then matches nothing."""
    text = 'SecRule ARGS:q "@{} %{{ARGS.p}}" "id:1"'
    assert ids(judged(text.format("streq"), ARGS={"p": "x", "q": "x"})) == [1]
    assert ids(judged(text.format("rx"), ARGS={"p": "x.", "q": "xy"})) == [1]
    assert judged(text.format("rx"), ARGS={"p": "(", "q": "("}) is CLEAN


def test_a_value_too_long_for_an_expression_is_what_a_rule_is_about() -> None:
    """Of an expression that RE2 does not read: nobody passes an allow-list, or a rule on attacks, by length or time."""
    text = """SecRule ARGS:q "!@rx ^(?!x)a+$" "id:1"
        SecRule ARGS:q "@rx (?!x)aa" "id:2"
        SecRule ARGS:r "!@rx (?!x)(a+)+b" "id:3" """
    assert ids(judged(text, ARGS={"q": "aa", "r": "ab"})) == [2]
    assert ids(judged(text, ARGS={"q": "a" * 2000, "r": "a" * 1000})) == [1, 2, 3]


def test_answers_are_judged_in_the_last_phases() -> None:
    """Phases 3 and 4 see status, headers and body of an answer."""
    text = """SecRule RESPONSE_STATUS "@rx ^5" "id:1,phase:3"
        SecRule RESPONSE_HEADERS:Server "@contains x" "id:2,phase:3"
        SecRule RESPONSE_BODY "@contains secret" "id:3,phase:4,deny"
        SecAction "id:4" """
    found = ruleset(text).judge_response(EXCHANGE, Response(500, ((b"server", b"nginx"),), b"a secret"))
    assert ids(found) == [1, 2, 3]
    assert found.refused


def test_everything_that_cannot_be_compiled_is_told_with_its_place() -> None:
    """All problems are told at once, with file and line."""
    with pytest.raises(ConfigurationError) as error:
        ruleset('SecRule ARGS "@rx (" "id:1"\nSecRule ARGS:/(/ "@rx a" "id:2"')
    assert [(each.file, each.line) for each in error.value.problems] == [("x.conf", 2), ("x.conf", 3)]
