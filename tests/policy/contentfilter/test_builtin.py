"""Our own rules: they are read, RE2 has their patterns, and they count as those of the Core Rule Set do."""

from __future__ import annotations

import importlib.resources
import pathlib
import urllib.parse
from collections.abc import Iterator

import pytest
import re2

from edgenode.model.exchange import Exchange
from edgenode.policy.contentfilter.directives import Rule, RuleTree
from edgenode.policy.contentfilter.parsing import parse
from edgenode.simulation.rules_alone import rule_set, section_of
from edgenode.testing.exchanges import exchange_of
from tests.support.modsecurity import DEBIAN_RULES

_FOLDER = importlib.resources.files("edgenode.policy.contentfilter") / "builtin"
_TEXTS = {each.name: each.read_text("utf-8") for each in sorted(_FOLDER.iterdir(), key=lambda each: each.name)}
_LEVELS = {2: "critical", 3: "error", 4: "warning", 5: "notice"}


@pytest.fixture(scope="module", name="tree")
def _tree() -> RuleTree:
    data = {name: text for name, text in _TEXTS.items() if name.endswith(".data")}
    return parse([each for each in _TEXTS.items() if each[0].endswith(".conf")], data)


def _judging(tree: RuleTree) -> list[Rule]:
    rules = [each for each in tree.directives if isinstance(each, Rule)]
    return [each for each in rules if any(tag.startswith("attack-") for tag in each.tags)]


def test_there_are_at_least_sixty_rules(tree: RuleTree) -> None:
    """At least sixty rules judge at the first level of paranoia, and some more at the second."""
    levels = [next(tag for tag in each.tags if tag.startswith("paranoia-level/"))[-1] for each in _judging(tree)]
    assert levels.count("1") >= 60
    assert levels.count("2") >= 10


def test_numbers_are_of_a_range_of_their_own(tree: RuleTree) -> None:
    """No number is one of the Core Rule Set or its plugins, and none is there twice."""
    numbers = [each.id for each in tree.directives if isinstance(each, Rule)]
    assert all(5_000_000 <= each < 6_000_000 for each in numbers)
    assert len(set(numbers)) == len(numbers)


def test_every_rule_scores_what_its_severity_says(tree: RuleTree) -> None:
    """A rule adds the score of its severity into that of its level, in phase 2, where the Core Rule Set keeps it."""
    for rule in _judging(tree):
        (level,) = (tag[-1] for tag in rule.tags if tag.startswith("paranoia-level/"))
        (scored,) = (each for link in (rule, *rule.chained) for each in link.set_vars)
        assert rule.phase == 2, rule.id
        assert scored.name == f"inbound_anomaly_score_pl{level}", rule.id
        assert rule.severity is not None
        assert scored.value == f"%{{tx.{_LEVELS[rule.severity]}_anomaly_score}}", rule.id
        assert (bool(rule.message), rule.logged, rule.disruptive) == (True, True, "pass"), rule.id


def test_every_pattern_is_one_of_re2(tree: RuleTree) -> None:
    """Patterns are linear: RE2 takes each as it is."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    for rule in (link for each in _judging(tree) for link in (each, *each.chained)):
        if rule.operator is not None and rule.operator.name == "rx":
            assert re2.compile(rule.operator.argument.encode("utf-8"), options) is not None, rule.id


def test_no_list_has_a_word_twice_or_an_empty_line() -> None:
    """Lists of words have one word a line, none twice and none so short that it stands in every text."""
    for name, text in _TEXTS.items():
        if name.endswith(".data"):
            words = [line for line in text.splitlines() if not line.startswith("#")]
            assert len(set(words)) == len(words), name
            assert all(len(each) >= 4 for each in words), name
            assert all(each == each.lower() for each in words), name


def _exchanges(name: str) -> Iterator[tuple[str, Exchange]]:
    """Every line of a file as the field of a form; lines with escapes as they are."""
    for line in (pathlib.Path(__file__).parent / "texts" / name).read_text().splitlines():
        value = line if line.startswith("%") and not line.startswith("%n") else urllib.parse.quote(line, safe="")
        kind = ("content-type", "application/x-www-form-urlencoded")
        yield line, exchange_of("POST", "https://shop.example.com/", [kind], f"text={value}".encode())


@pytest.mark.parametrize(("name", "refused"), [("attacks.txt", True), ("ordinary.txt", False)])
def test_attacks_are_refused_and_what_people_write_is_not(name: str, refused: bool) -> None:
    """At level 1 every attack of a list is refused, and no text of another, which has the same words and signs."""
    rules = rule_set(section_of("builtin"))
    wrong = {}
    for line, exchange in _exchanges(name):
        verdict = rules.judge(exchange)
        if verdict.refused != refused:
            wrong[line] = [each.rule for each in verdict.findings]
    assert wrong == {}


@pytest.mark.parametrize("body", [b"<a>%b</a>", b"<a b='%b'/>"])
def test_an_attack_in_xml_is_refused_wherever_it_stands(body: bytes) -> None:
    """In the text of an element, and in an attribute."""
    sent = body % b"1 union select password from users-- -"
    exchange = exchange_of("POST", "https://a.example/", [("Content-Type", "text/xml")], sent)
    assert rule_set(section_of("builtin")).judge(exchange).refused


def _paths(name: str) -> str:
    return {"builtin": "builtin", "crs": f"crs:{DEBIAN_RULES}"}[name]


@pytest.mark.skipif(not DEBIAN_RULES.is_dir(), reason="the package modsecurity-crs is not installed")
@pytest.mark.parametrize("order", [("crs", "builtin"), ("builtin", "crs")])
def test_one_decision_is_made_over_both(order: tuple[str, str]) -> None:
    """Beside the Core Rule Set, in either order, the scores of both count together against the threshold."""
    exchange = exchange_of("GET", "https://shop.example.com/?q=1'%20union%20select%20password%20from%20users--")
    alone = [rule_set(section_of(_paths(name))).judge(exchange).scores["inbound"] for name in order]
    assert min(alone) > 0
    both = " ".join(map(_paths, order))
    told = [rule_set(section_of(both, threshold=sum(alone) + more)).judge(exchange) for more in (0, 1)]
    assert [verdict.refused for verdict in told] == [True, False]
    assert [verdict.scores["inbound"] for verdict in told] == [sum(alone)] * 2


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("1' union select password from users--.png", True),
        ("sleep(10)-- -.jpg", True),
        ("<img src=x onerror=alert(1)>.png", True),
        ("Holiday at Union Square - select photos (1).png", False),
        ("it's order 5 from the shop.pdf", False),
    ],
)
def test_names_of_files_are_looked_at(name: str, refused: bool) -> None:
    """Servers write them into databases and pages as they come."""
    body = f'--x\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n\r\nabc\r\n--x--\r\n'
    exchange = exchange_of(
        "POST", "https://a.example/", [("content-type", "multipart/form-data; boundary=x")], body=body.encode()
    )
    assert rule_set(section_of("builtin")).judge(exchange).refused is refused
