"""Exclusions leave out what they name, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.errors import InvalidValue
from edgenode.policy.contentfilter.directives import Marker, Rule, RuleTree
from edgenode.policy.contentfilter.exclusions import EXCLUDABLE, Change, Exclusion
from edgenode.policy.contentfilter.parsing import parse

RULES = """
SecRule ARGS|ARGS_NAMES|REQUEST_COOKIES "@rx a" "id:942100,phase:2,pass,tag:attack-sqli"
SecRule REQUEST_HEADERS|!REQUEST_HEADERS:Cookie "@rx b" "id:942200,phase:2,pass,tag:attack-sqli,chain"
    SecRule ARGS:x|MATCHED_VARS "@rx c" "t:none"
SecMarker END
SecRule REQUEST_FILENAME|REQUEST_URI "@rx d" "id:941100,phase:1,pass,tag:attack-xss"
SecRule REQUEST_BODY "@rx e" "id:920100,phase:2,pass"
"""
TREE = parse([("x.conf", RULES)])
NUMBERS = (942100, 942200, 941100, 920100)

which = st.one_of(
    st.sampled_from(NUMBERS).map(str),
    st.sampled_from(("942000-942999", "900000-949999", "920100-941100", "tag:attack-sqli", "tag:attack-xss")),
)
words = st.sampled_from(sorted(EXCLUDABLE))
names = st.one_of(st.just(""), st.from_regex(r"[A-Za-z0-9_\[\].-]{1,10}", fullmatch=True), st.just("/^utm_|x/"))


def rules(tree: RuleTree) -> dict[int, Rule]:
    """The rules by their number."""
    return {each.id: each for each in tree.directives if isinstance(each, Rule)}


def applied(exclusion: Exclusion, tree: RuleTree = TREE) -> RuleTree | None:
    """The tree with an exclusion; ``None`` if it fits nothing."""
    try:
        return exclusion.applied(tree)
    except InvalidValue:
        return None


def lines() -> st.SearchStrategy[str]:
    """Exclusions of what rules look at."""

    def line(rules: str, word: str, name: str) -> str:
        named = name and word.partition("-")[0] in ("argument", "cookie", "header", "file")
        return f"{rules} {word}.{name}" if named else f"{rules} {word}"

    return st.builds(line, which, words, names)


@given(lines())
def test_only_exclusions_are_added(line: str) -> None:
    """No rule is lost, and none looks at more than before; what does not fit is as it was."""
    exclusion = Exclusion.from_text(line)
    found = applied(exclusion)
    if found is None:
        return
    assert [type(each) for each in found.directives] == [type(each) for each in TREE.directives]
    for number, rule in rules(found).items():
        before = rules(TREE)[number]
        for link, known in zip((rule, *rule.chained), (before, *before.chained), strict=True):
            assert link.targets[: len(known.targets)] == known.targets
            added = link.targets[len(known.targets) :]
            assert all(each.excluded and each.collection in exclusion.collections for each in added)
            assert {each.collection for each in added} <= {each.collection for each in known.targets}
        assert rule == before or exclusion.rules.fits(before)


@given(lines())
def test_an_exclusion_is_what_it_was_written_as(line: str) -> None:
    """Written again it is the same, whatever blanks stand between its words."""
    exclusion = Exclusion.from_text(line)
    assert Exclusion.from_text(str(exclusion)) == exclusion
    assert Exclusion.from_text(line.replace(" ", " \t ")) == exclusion


@given(which)
def test_rules_that_are_left_out_are_gone(written: str) -> None:
    """Those that are named, and no others; markers stay, and a second time there is nothing to leave out."""
    exclusion = Exclusion.from_text(written)
    found = exclusion.applied(TREE)
    assert rules(found) == {number: each for number, each in rules(TREE).items() if not exclusion.rules.fits(each)}
    assert [each for each in found.directives if isinstance(each, Marker)]
    assert applied(exclusion, found) is None


def test_links_of_chains_that_look_at_it_do_so_no_longer() -> None:
    """Though the first rule looks at something else."""
    found = rules(Exclusion.from_text("942200 argument.x").applied(TREE))[942200]
    assert found.targets == rules(TREE)[942200].targets
    assert [(each.collection, each.key) for each in found.chained[0].targets if each.excluded] == [("ARGS", "x")]


def test_an_expression_that_cannot_be_read_is_told_at_its_place() -> None:
    """The problem is one of the exclusion, and not of the rules that would have it."""
    with pytest.raises(InvalidValue, match="not a regular expression") as caught:
        Exclusion.from_text("942100 argument./a(/")
    assert caught.value.column == len("942100 argument./")


def test_directives_of_files_may_fit_nothing() -> None:
    """As in the reference engine; only ``exclude`` has to fit."""
    assert rules(parse([("x.conf", f"SecRuleRemoveById 1\nSecRuleUpdateTargetByTag no !ARGS:x\n{RULES}")])).keys() == {
        *NUMBERS
    }


@pytest.mark.parametrize(
    ("change", "fitting"),
    [
        (Change(ranges=((942100, 942100), (920000, 929999))), {942100, 920100}),
        (Change(tag="attack-sqli"), {942100, 942200}),
        (Change(message="x"), set()),
        (Change(), set()),
    ],
)
def test_a_change_is_about_the_rules_that_it_names(change: Change, fitting: set[int]) -> None:
    """By number, tag or message; one that names nothing is about none."""
    assert {number for number, each in rules(TREE).items() if change.fits(each)} == fitting
