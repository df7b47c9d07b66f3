"""What is written of a tree of rules is read as the same tree."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from edgenode.policy.contentfilter.directives import Control, Marker, Operator, Place, Rule, RuleTree, SetVar, Target
from edgenode.policy.contentfilter.names import (
    CONTROL_VALUES,
    OPERATORS,
    TRANSFORMATIONS,
    UNREADABLE,
    WITH_MEMBERS,
    WITHOUT_MEMBERS,
)
from edgenode.policy.contentfilter.parsing import parse
from tests.support.seclang import written

NOWHERE = Place("x.conf", 1)
CRS = pathlib.Path("/usr/share/modsecurity-crs/rules")

names = st.from_regex(r"[a-z0-9_.-]{1,8}", fullmatch=True)
patterns = st.sampled_from((r"^a|b", r"[a-z]+", r"\d{2,3}", "_", r"a\/b"))
plain = st.text(st.sampled_from("abz019 .,;:=|!&()[]{}<>?*+^$#@~-_äß"), min_size=1, max_size=20).map(
    lambda text: text.strip() or "x"
)
texts = st.text(st.sampled_from("abz019 .,;:=|!&()'\"<>?*+^$#@~-_ä"), max_size=20).map(str.strip)


@st.composite
def targets(draw: st.DrawFn) -> Target:
    """A variable that can be looked at."""
    if draw(st.booleans()):
        return Target(draw(st.sampled_from(sorted(WITHOUT_MEMBERS - UNREADABLE.keys()))), counted=draw(st.booleans()))
    collection = draw(st.sampled_from(sorted(WITH_MEMBERS - UNREADABLE.keys() - {"XML"})))
    key, pattern = draw(st.one_of(st.just(("", "")), st.tuples(names, st.just("")), st.tuples(st.just(""), patterns)))
    excluded = draw(st.booleans())
    return Target(collection, key, pattern, excluded, not excluded and draw(st.booleans()))


@st.composite
def operators(draw: st.DrawFn) -> Operator:
    """An operator with an argument of its kind."""
    known = [each for each in OPERATORS.values() if not each.unsupported and each.argument != "files"]
    kind = draw(st.sampled_from(known))
    argument = {"none": st.just(""), "number": st.integers(0, 999).map(str)}.get(kind.argument, plain)
    return Operator(kind.name.lower(), draw(argument), draw(st.booleans()))


def set_vars() -> st.SearchStrategy[SetVar]:
    """What sets a variable."""
    values = st.one_of(st.integers(0, 99).map(str), st.just("%{tx.critical}"), st.just("a b"))
    sets = st.builds(SetVar, st.just("TX"), names, st.sampled_from("=+-"), values)
    return st.one_of(sets, st.builds(SetVar, st.just("TX"), names, st.just("!")))


def controls() -> st.SearchStrategy[Control]:
    """A control of any kind."""
    switched = st.one_of(*(st.builds(Control, st.just(n), st.sampled_from(v)) for n, v in CONTROL_VALUES.items()))
    aimed = st.builds(
        Control, st.just("ruleRemoveTargetById"), st.just("942100"), st.builds(Target, st.just("ARGS"), names)
    )
    return st.one_of(switched, aimed, st.just(Control("ruleRemoveByTag", "OWASP_CRS/x")))


@st.composite
def links(draw: st.DrawFn, phase: int) -> Rule:
    """A rule without a number."""
    worked = sorted({*TRANSFORMATIONS.values()} - {"none"})
    return Rule(
        NOWHERE,
        0,
        phase,
        tuple(draw(st.lists(targets(), min_size=1, max_size=3))),
        draw(operators()),
        tuple(draw(st.lists(st.sampled_from(worked), max_size=3))),
        multi_match=draw(st.booleans()),
        capture=draw(st.booleans()),
        set_vars=tuple(draw(st.lists(set_vars(), max_size=2))),
        controls=tuple(draw(st.lists(controls(), max_size=2))),
        message=draw(texts),
        log_data=draw(texts),
        tags=tuple(draw(st.lists(plain.map(lambda text: text.replace(",", "") or "x"), max_size=2))),
        severity=draw(st.one_of(st.none(), st.integers(0, 7))),
        logged=draw(st.booleans()),
    )


@st.composite
def trees(draw: st.DrawFn) -> RuleTree:
    """Some rules, chains and markers."""
    directives: list[Rule | Marker] = [Marker("END", NOWHERE)]
    for number in range(1, draw(st.integers(2, 4))):
        phase = draw(st.integers(1, 5))
        several: Sequence[Rule] = draw(st.lists(links(phase), min_size=1, max_size=3))
        disruptive, allows = draw(st.sampled_from((("pass", ""), ("deny", ""), ("allow", "phase"), ("drop", ""))))
        first = evolve(
            several[0],
            id=number,
            disruptive=disruptive,
            allows=allows,
            status=draw(st.sampled_from((0, 403))),
            skip_after=draw(st.sampled_from(("", "END"))),
            skip=draw(st.sampled_from((0, 2))),
            init_collections=draw(st.sampled_from(((), (("IP", "%{REMOTE_ADDR}"),)))),
            chained=tuple(several[1:]),
        )
        if not first.chained and draw(st.booleans()):
            first = evolve(first, targets=(), operator=None)
        directives.append(first)
    return RuleTree(tuple(directives))


def placeless(tree: RuleTree) -> RuleTree:
    """The tree without its places."""

    def moved(each: Rule) -> Rule:
        return evolve(each, place=NOWHERE, chained=tuple(map(moved, each.chained)))

    return RuleTree(
        tuple(moved(each) if isinstance(each, Rule) else evolve(each, place=NOWHERE) for each in tree.directives)
    )


@given(trees())
def test_a_tree_that_is_written_is_read_as_the_same(tree: RuleTree) -> None:
    """Whatever stands in it."""
    assert placeless(parse([("x.conf", written(tree))])) == tree


@pytest.mark.skipif(not CRS.is_dir(), reason="the Core Rule Set is not installed")
def test_the_core_rule_set_that_is_written_is_read_as_the_same() -> None:
    """Every rule of it, without those that read files, or cannot be done."""
    data = {str(path): path.read_text("utf-8") for path in CRS.glob("*.data")}
    tree = parse([(str(path), path.read_text("utf-8")) for path in sorted(CRS.glob("*.conf"))], data)

    def plain(each: Rule) -> bool:
        several = (each, *each.chained)
        names = {link.operator.name for link in several if link.operator is not None}
        return not any(link.unsupported for link in several) and not names & {"pmfromfile", "ipmatchfromfile"}

    kept = tuple(each for each in tree.directives if not isinstance(each, Rule) or plain(each))
    assert len(kept) > 500
    assert placeless(parse([("x.conf", written(RuleTree(kept)))])) == placeless(RuleTree(kept))
