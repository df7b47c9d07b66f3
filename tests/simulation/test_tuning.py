"""Tuning of content filters: the narrowest exclusions that let recorded requests through, and what else those let."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.policy.contentfilter.exclusions import Exclusion
from edgenode.policy.contentfilter.parsing import parse
from edgenode.simulation import tuning_text
from edgenode.simulation.scoring import Scoring
from edgenode.simulation.tuning import Fired, Line, Tuning, excludable

SCORING = Scoring(
    5,
    {1: 5, 2: 5, 3: 3, 4: 3, 9: 0},
    {1: ("attack-sqli",), 2: ("attack-sqli",), 3: ("attack-xss",), 4: ("attack-xss",)},
    ("shop", "api"),
)


def event(*entries: str, path_map: str = "shop", client: str = "192.0.2.7", target: str = "/") -> dict[str, Any]:
    """An event in which rules matched."""
    reasons = [{"stage": "content-filter", "filter": "own", "entry": each, "annotation": ""} for each in entries]
    request = {"method": "GET", "authority": "shop.example.com", "target": target}
    return {"client": client, "path_map": path_map, "request": request, "reasons": reasons, "tags": []}


def tuned(events: Iterable[dict[str, Any]], benign: str = "") -> Tuning:
    """What tuning makes of events; those from a client are to be let through, or all."""
    tuning = Tuning({"own": SCORING}, lambda each: not benign or each["client"] == benign)
    for each in events:
        tuning.take(each)
    return tuning


def lines(tuning: Tuning, at_least: int = 1) -> list[tuple[str, int, int]]:
    """The proposed lines, with what they silence, and what they let through besides."""
    return [(str(each.line), each.silences, each.besides) for each in tuning.proposals("own", at_least)]


def test_a_line_is_a_rule_and_a_place() -> None:
    """What one rule refused in one place passes with a line of both, and how often that was is told."""
    assert lines(tuned([event("1 ARGS:q")] * 3)) == [("1 argument.q", 3, 0)]


def test_what_several_rules_refuse_needs_a_line_each() -> None:
    """Every rule that would refuse by itself needs a line; neither silences anything alone."""
    tuning = tuned([event("1 ARGS:q", "2 ARGS:q")] * 2)
    assert lines(tuning) == [("1 argument.q", 2, 0), ("2 argument.q", 2, 0)]
    assert tuning.summary("own", [Line("1", "argument.q")]).silences == 0


def test_no_more_is_excluded_than_it_takes() -> None:
    """Where the score falls below the threshold without one of two rules, the other stays: it is told as besides."""
    assert lines(tuned([event("3 ARGS:q", "4 ARGS:q")])) == [("3 argument.q", 0, 1)]


def test_what_was_not_chosen_counts_as_besides() -> None:
    """A request that was not named as one to let through counts as an attack that the line would let through."""
    events = [event("1 ARGS:q", client="192.0.2.1")] * 4 + [event("1 ARGS:q", client="192.0.2.66")]
    assert lines(tuned(events, "192.0.2.1")) == [("1 argument.q", 4, 1)]


def test_what_other_rules_refuse_stays_refused() -> None:
    """A line changes nothing for a request that rules refuse for another place too."""
    tuning = tuned([event("1 ARGS:q")] * 2 + [event("1 ARGS:q", "2 ARGS:other")])
    assert lines(tuning, 2) == [("1 argument.q", 2, 0)]


def test_what_was_seen_once_is_no_pattern() -> None:
    """Events have to come as often as is asked for."""
    assert lines(tuned([event("1 ARGS:q")] * 2), 3) == []


def test_rules_that_count_nothing_are_passed_over() -> None:
    """The rule that compares the score is none to exclude, nor are rules and filters that there are no more."""
    assert lines(tuned([event("1 ARGS:q", "9 TX:score", "77 ARGS:q", "nonsense")])) == [("1 argument.q", 1, 0)]


def test_what_was_not_refused_is_passed_over() -> None:
    """Matches below the threshold need no line."""
    assert tuned([event("3 ARGS:q")]).refused == {}


def test_a_wider_line_is_told_for_many() -> None:
    """Where one rule is excluded in many places, the rule itself stands for them, with all that it lets through."""
    tuning = tuned([event(f"1 ARGS:{name}") for name in ("a", "b", "c")])
    (wider,) = tuning.wider("own", tuning.proposals("own", 1))
    assert (str(wider.line), wider.silences) == ("1", 3)


def test_a_request_that_is_no_event_is_passed_over() -> None:
    """Lines that are broken, or of another kind, change nothing."""
    tuning = tuned([])
    for line in ("", "{", "[]", "null", '{"reasons": 3}', '{"reasons": [3, {"stage": "content-filter"}]}', "[" * 9999):
        tuning.take_line(line)
    assert tuning.refused == {}


@pytest.mark.parametrize(
    ("variable", "what"),
    [
        ("ARGS:q", "argument.q"),
        ("ARGS:json.user.name", "argument.json.user.name"),
        ("ARGS_GET:q", "argument.q"),
        ("ARGS_NAMES:q", "argument-name.q"),
        ("REQUEST_COOKIES:session", "cookie.session"),
        ("REQUEST_HEADERS:User-Agent", "header.User-Agent"),
        ("REQUEST_FILENAME", "path"),
        ("REQUEST_BODY", "body"),
        ("XML:/*", "xml"),
        ("ARGS:two words", "argument./^two\\x{20}words$/"),
        ("TX:inbound_score", ""),
        ("", ""),
    ],
)
def test_a_variable_is_written_as_the_section_writes_it(variable: str, what: str) -> None:
    """Every line that is proposed is one that ``exclude`` takes."""
    assert excludable(variable) == what
    Exclusion.from_text(str(Line("942100", what)))


@given(st.text(min_size=1))
def test_every_name_makes_a_line(name: str) -> None:
    """Whatever a client calls its argument, the line for it can be read again."""
    line = str(Line("942100", excludable(f"ARGS:{name}")))
    assert str(Exclusion.from_text(line)) == line


EVENTS = st.lists(
    st.tuples(
        st.lists(st.sampled_from([f"{rule} ARGS:{name}" for rule in (1, 2, 3, 4) for name in "ab"]), max_size=4),
        st.sampled_from(["192.0.2.1", "192.0.2.66"]),
    ),
    max_size=12,
)


@given(EVENTS)
def test_with_its_lines_all_that_was_chosen_passes(events: list[tuple[list[str], str]]) -> None:
    """All chosen events pass with the lines that are proposed, and of the lines none is there for nothing."""
    tuning = tuned((event(*entries, client=client) for entries, client in events), "192.0.2.1")
    proposals = tuning.proposals("own", 1) if tuning.refused else []
    proposed = [each.line for each in proposals]
    for kind in tuning.refused.get("own", {}):
        left = [each for each in kind.fired if not any(line.covers(each, SCORING.tags) for line in proposed)]
        if kind.chosen:
            assert sum(SCORING.scores[each.rule] for each in left) < SCORING.threshold
    for each in proposals:
        assert each.silences + each.besides > 0


def test_scores_are_read_from_the_rules() -> None:
    """What a rule counts is what it adds to the scores, with what the set-up says of the severities."""
    text = """
SecAction "id:10,phase:1,pass,nolog,setvar:tx.critical_anomaly_score=7,setvar:tx.inbound_anomaly_score_threshold=14"
SecRule ARGS "@rx a" "id:1,phase:2,pass,setvar:'tx.inbound_anomaly_score_pl1=+%{tx.critical_anomaly_score}'"
SecRule ARGS "@rx b" "id:2,phase:2,pass,setvar:tx.anomaly_score=+3,tag:attack-xss"
SecRule ARGS "@rx c" "id:3,phase:2,deny"
"""
    scoring = Scoring.of(parse([("rules", text)]))
    assert scoring.threshold == 14
    assert {rule: scoring.scores[rule] for rule in (1, 2, 3, 10)} == {1: 7, 2: 3, 3: 0, 10: 0}
    assert scoring.tags[2] == ("attack-xss",)


def test_fired_is_read_from_the_entry_of_a_reason() -> None:
    """An entry has the rule's number, and where it matched."""
    assert Fired.of("942100 ARGS:q") == Fired(942100, "argument.q")
    assert Fired.of("942100") == Fired(942100, "")
    assert Fired.of("ip: 192.0.2.1") is None


def test_json_has_all_of_it() -> None:
    """JSON has the filters, the lines and what comes of them."""
    found = tuning_text.told(tuned([event("1 ARGS:q", target="/search")] * 2), 2)
    assert found["filters"]["own"]["refused"] == 2
    (line,) = found["filters"]["own"]["exclude"]
    assert (line["line"], line["silences"], line["clients"], line["besides"]) == ("1 argument.q", 2, 1, 0)
    assert line["example"]["target"] == "/search"


def test_what_one_client_did_is_no_pattern() -> None:
    """However often it tried: a line takes as many clients as are asked for."""
    several = [event("1 ARGS:q")] * 9 + [event("1 ARGS:r", client=f"192.0.2.{number}") for number in (1, 2)]
    proposals = tuned(several).proposals("own", 2, clients=2)
    assert [str(each.line) for each in proposals] == ["1 argument.r"]
