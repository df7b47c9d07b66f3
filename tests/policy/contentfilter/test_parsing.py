"""Rules in SecLang are read as the reference engine reads them, and what is not understood is told with its place."""

from __future__ import annotations

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.errors import ConfigurationError, Problem
from edgenode.policy.contentfilter import names
from edgenode.policy.contentfilter.collections import COLLECTIONS, RESPONSE_COLLECTIONS
from edgenode.policy.contentfilter.directives import Control, Marker, Operator, Place, Rule, SetVar, Target
from edgenode.policy.contentfilter.operators import OPERATORS
from edgenode.policy.contentfilter.parsing import parse
from edgenode.policy.contentfilter.transformations import TRANSFORMATIONS

CRS = pathlib.Path("/usr/share/modsecurity-crs/rules")
SETUP = pathlib.Path("/etc/modsecurity/crs/crs-setup.conf")


def rules(text: str, **data: str) -> list[Rule]:
    """The rules of a text."""
    found = parse([("rules/x.conf", text)], {f"rules/{name}.data": lines for name, lines in data.items()})
    return [each for each in found.directives if isinstance(each, Rule)]


def rule(text: str, **data: str) -> Rule:
    """The only rule of a text."""
    (found,) = rules(text, **data)
    return found


def problems(text: str) -> str:
    """Every problem of a text, as it is told."""
    with pytest.raises(ConfigurationError) as raised:
        parse([("x.conf", text)])
    return str(raised.value)


def test_a_rule_is_read_with_all_that_it_says() -> None:
    """Lines that end with a backslash are one; escaped quotes, blanks and macros stand as they are meant."""
    found = rule(
        r"""
# a comment, which \
goes on
SecRule ARGS|!ARGS:Password|REQUEST_COOKIES:'/^a|b/'|&ARGS:/x/|XML:/* "!@rx (?i)\ba\"b" \
    "id:942100,\
    phase:2,\
    block,\
    capture,\
    multiMatch,\
    t:none,t:urlDecodeUni,t:LOWERCASE,t:normalisePath,\
    msg:'It\'s \"it\", a = b',\
    logdata:'%{MATCHED_VAR} in %{TX.0}',\
    tag:'attack-sqli',tag:'paranoia-level/1',\
    severity:'CRITICAL',\
    ver:'OWASP_CRS/4',\
    ctl:ruleRemoveTargetByTag=OWASP_CRS;ARGS:pass,\
    skipAfter:END,\
    setvar:'tx.SCORE=+%{tx.critical_anomaly_score}',setvar:!tx.a,setvar:tx.b,setvar:tx.c=-1"
SecMarker "END"
"""
    )
    assert found == Rule(
        place=Place("rules/x.conf", 4),
        id=942100,
        phase=2,
        targets=(
            Target("ARGS"),
            Target("ARGS", "password", excluded=True),
            Target("REQUEST_COOKIES", pattern="^a|b"),
            Target("ARGS", pattern="x", counted=True),
            Target("XML", "/*"),
        ),
        operator=Operator("rx", r"(?i)\ba\"b", negated=True),
        transformations=("urlDecodeUni", "lowercase", "normalizePath"),
        multi_match=True,
        capture=True,
        disruptive="pass",
        set_vars=(
            SetVar("TX", "score", "+", "%{tx.critical_anomaly_score}"),
            SetVar("TX", "a", "!"),
            SetVar("TX", "b", "=", "1"),
            SetVar("TX", "c", "-", "1"),
        ),
        controls=(Control("ruleRemoveTargetByTag", "OWASP_CRS", Target("ARGS", "pass")),),
        skip_after="END",
        message='It\'s "it", a = b',
        log_data="%{MATCHED_VAR} in %{TX.0}",
        tags=("attack-sqli", "paranoia-level/1"),
        severity=2,
    )


def test_defaults_hold_for_every_rule_of_their_phase() -> None:
    """``block`` is what the defaults say; their transformations come first, unless ``t:none`` discards them."""
    one, two, three, four = rules(
        """
SecRule ARGS "x" "id:1,phase:2,block,t:lowercase"
SecDefaultAction "phase:2,nolog,auditlog,deny,status:403,t:urlDecode"
SecRule ARGS "x" "id:2,phase:2,t:none,t:length,log"
SecRule ARGS "x" "id:3,phase:1,block"
SecRule ARGS "x" "id:4,phase:2,block,chain"
    SecRule ARGS "y" "t:lowercase"
"""
    )
    assert (one.disruptive, one.status, one.transformations, one.logged) == (
        "deny",
        403,
        ("urlDecode", "lowercase"),
        False,
    )
    assert (two.disruptive, two.transformations, two.logged) == ("pass", ("length",), True)
    assert (three.disruptive, three.transformations, three.logged) == ("pass", (), True)
    (link,) = four.chained
    assert (link.transformations, link.disruptive, link.phase) == (("urlDecode", "lowercase"), "pass", 2)


def test_links_of_a_chain_have_its_phase_and_no_number() -> None:
    """All links stand in the first, and none in another."""
    (first,) = rules(
        """
SecRule ARGS "a" "id:1,phase:1,deny,chain"
    SecRule ARGS:x "b" "chain,setvar:tx.n=1"
    SecRule ARGS:y "c" "setvar:tx.m=1"
"""
    )
    assert [(each.id, each.phase, each.chained) for each in first.chained] == [(0, 1, ()), (0, 1, ())]
    assert [each.set_vars[0].name for each in first.chained] == ["n", "m"]


def test_files_of_operators_are_read_line_by_line() -> None:
    """Comments and empty lines are none; a relative path starts at the folder of the rule."""
    found = rule('SecRule ARGS "@pmFromFile a.data b.data" "id:1"', a="# no\nunion\n\n", b="select \r\n")
    assert found.operator == Operator("pmfromfile", "union\nselect ")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("@rx a", Operator("rx", "a")),
        ("a b", Operator("rx", "a b")),
        ("!^a", Operator("rx", "^a", negated=True)),
        ("!@streq a", Operator("streq", "a", negated=True)),
        ("@streq eq", Operator("streq", "eq")),
        ("@rx @a", Operator("rx", "@a")),
        ("@rx  a ", Operator("rx", " a ")),
        (r"@contains <a b=\"c\">", Operator("contains", '<a b="c">')),
        (r"@rx a\"b\\c", Operator("rx", r"a\"b\\c")),
        ("@ge %{tx.threshold}", Operator("ge", "%{tx.threshold}")),
        ("@PMF words.data", Operator("pmfromfile", "x")),
        ("@unconditionalMatch", Operator("unconditionalmatch")),
    ],
)
def test_an_operator_is_read_as_it_is_written(written: str, meant: Operator) -> None:
    """Without a name it is a regular expression; one blank ends the name, and all that comes is the argument."""
    assert rule(f'SecRule ARGS "{written}" "id:1"', words="x").operator == meant


def test_markers_stand_between_rules() -> None:
    """Where ``skipAfter`` goes on is a directive in its own place."""
    text = 'SecMarker BEGIN\nSecAction "id:1,phase:1,nolog,pass,skipAfter:END"\nSecMarker "END"'
    first, _, last = parse([("x.conf", text)]).directives
    assert (first, last) == (Marker("BEGIN", Place("x.conf", 1)), Marker("END", Place("x.conf", 3)))


def test_what_changes_rules_holds_wherever_they_are_written() -> None:
    """Rules are left out, and targets and actions added, before and behind the directive that says so."""
    text = """
SecRuleRemoveById 1 5-6
SecRuleRemoveByTag gone
SecRuleRemoveByMsg "not this"
SecRuleUpdateTargetById 2 "!ARGS:a,!ARGS:/^b/"
SecRuleUpdateTargetByTag kept !ARGS:c
SecRuleUpdateActionById 3-2000000000 "deny,status:406,t:none"
SecRule ARGS "x" "id:1"
SecRule ARGS "x" "id:2,tag:kept,pass"
SecRule ARGS "x" "id:3,pass,t:length"
SecRule ARGS "x" "id:5"
SecRule ARGS "x" "id:6"
SecRule ARGS "x" "id:7,tag:gone"
SecRule ARGS "x" "id:8,msg:'not this'"
"""
    two, three = rules(text)
    excluded = (Target("ARGS", "a", excluded=True), Target("ARGS", pattern="^b", excluded=True))
    assert two.targets == (Target("ARGS"), *excluded, Target("ARGS", "c", excluded=True))
    assert (three.disruptive, three.status, three.transformations) == ("deny", 406, ())


def test_what_is_known_and_cannot_be_done_is_noted() -> None:
    """It is an error only if the rule can run, which the parser cannot know."""
    found = rule(
        'SecRule REMOTE_ADDR|IP:score "@rbl dnsbl.example" "id:1,exec:/x,setvar:ip.score=1,expirevar:ip.score=60"'
    )
    assert found.set_vars == ()
    assert found.unsupported == (
        "exec is not supported: it starts a program; an [edge-function] runs code; "
        "@rbl is not supported: it asks another server while a request waits; "
        "IP is not supported: no collection outlives a request"
    )


def test_every_known_word_is_one_that_is_done() -> None:
    """What the parser knows and does not note as impossible has a reader, a function or an operator."""
    variables = (names.WITH_MEMBERS | names.WITHOUT_MEMBERS) - names.UNREADABLE.keys()
    assert variables == COLLECTIONS.keys() | RESPONSE_COLLECTIONS.keys() | _OF_RUNS
    assert set(names.TRANSFORMATIONS.values()) <= TRANSFORMATIONS.keys()
    assert {each.name.lower() for each in names.OPERATORS.values() if not each.unsupported} <= OPERATORS.keys()


_OF_RUNS = {"HIGHEST_SEVERITY", "MATCHED_VAR", "MATCHED_VARS", "MATCHED_VARS_NAMES", "MATCHED_VAR_NAME", "RULE", "TX"}


@pytest.mark.parametrize(
    ("text", "told"),
    {
        "directive": ("\nSecFoo on", "x.conf:2: there is no directive SecFoo\n    SecFoo on\n    ^"),
        "refused": ("SecCookieFormat 1", "SecCookieFormat is not supported: cookies are read as RFC 6265 says"),
        "web server": ("<Location /x>", "sections of a web server's configuration cannot stand here"),
        "variable": ('SecRule ARGZ|ARGS "x" "id:1"', "there is no variable ARGZ\n    SecRule ARGZ|ARGS\x20"),
        "member": ('SecRule REQUEST_URI:x "x" "id:1"', "REQUEST_URI has no members"),
        "operator": ('SecRule ARGS "!@foo x" "id:1"', "there is no operator !@foo"),
        "argument missing": ('SecRule ARGS "@pm" "id:1"', "@pm needs an argument"),
        "argument": ('SecRule ARGS "@detectSQLi x" "id:1"', "@detectSQLi has no argument"),
        "number": ('SecRule &ARGS "@gt x" "id:1"', "@gt needs a number"),
        "file": ('SecRule ARGS "@pmFromFile no.data" "id:1"', "no.data cannot be read"),
        "action": ('SecRule ARGS "x" "id:1,fly"', "there is no action fly"),
        "value": ('SecRule ARGS "x" "id:1,deny:x"', "deny has no value"),
        "no value": ('SecRule ARGS "x" "id:1,msg"', "msg needs a value"),
        "transformation": ('SecRule ARGS "x" "id:1,t:rot13"', "there is no transformation rot13"),
        "phase": ('SecRule ARGS "x" "id:1,phase:6"', "there is no phase 6: there are 1 to 5"),
        "status": ('SecRule ARGS "x" "id:1,status:1000"', "this is no number from 100 to 599: 1000"),
        "severity": ('SecRule ARGS "x" "id:1,severity:BAD"', "there is no severity BAD"),
        "setvar": ('SecRule ARGS "x" "id:1,setvar:foo=1"', "this sets none of GLOBAL, IP"),
        "initcol": ('SecAction "id:1,initcol:tx=1"', "this begins none of GLOBAL, IP"),
        "control": ('SecAction "id:1,ctl:fly=1"', "there is no control fly"),
        "its value": (
            'SecAction "id:1,ctl:ruleEngine=maybe"',
            "ruleEngine is one of detectiononly, off, on, and not maybe",
        ),
        "its target": ('SecAction "id:1,ctl:ruleRemoveTargetById=1"', "ruleRemoveTargetById needs a target"),
        "its number": ('SecAction "id:1,ctl:ruleRemoveById=x"', "this is no number of a rule"),
        "macro": ("SecAction \"id:1,msg:'%{nothing}'\"", "there is no variable nothing"),
        "open macro": ("SecAction \"id:1,msg:'%{tx.a'\"", "this macro does not end"),
        "no id": ('SecRule ARGS "x" "deny"', "the rule has no number: id:NUMBER is missing"),
        "bad id": ('SecRule ARGS "x" "id:x"', "this is no number from 1 to 2147483647: x"),
        "two ids": ('SecRule ARGS "x" "id:1,id:2"', "the rule has a number already"),
        "the same id": ('SecAction "id:1"\nSecAction "phase:1,id:1"', "x.conf:2: there is a rule 1 already: x.conf:1"),
        "quote": (
            'SecAction "id:1,phase:1',
            "this is not a whole rule, or more than one: a quote is not closed, or a part is missing",
        ),
        "argument on two lines": ('SecRule ARGS "a\\\n b" "id:1"', "the argument of an operator stands in one line"),
        "two rules in one": (
            'SecRule ARGS "@rx x" "id:1"\\\nSecRule ARGS "@rx y" "id:2"',
            "this is not a whole rule, or more than one",
        ),
        "grammar": ('SecRule ARGS "x" id "id:1"', "the grammar of rules knows nothing like this"),
        "chain": ('SecRule ARGS "x" "id:1,chain"', "the chain has no end: the next rule is missing"),
        "broken chain": ('SecRule ARGS "x" "id:1,chain"\nSecMarker X', "x.conf:1: the chain has no end"),
        "id of a link": (
            'SecRule ARGS "x" "id:1,chain"\nSecRule ARGS "y" "id:2"',
            "only the first rule of a chain has id",
        ),
        "deny of a link": (
            'SecRule ARGS "x" "id:1,chain"\nSecRule ARGS "y" deny',
            "only the first rule of a chain has deny",
        ),
        "marker": ('SecAction "id:1,skipAfter:X"', "skipAfter names a marker that there is not: X"),
        "two defaults": (
            'SecDefaultAction "phase:1,pass"\nSecDefaultAction "phase:1,deny"',
            "x.conf:2: the defaults of phase 1 have been given: x.conf:1",
        ),
        "defaults without phase": ('SecDefaultAction "pass"', "a phase is missing"),
        "change": ("SecRuleRemoveById x", "this is no number of a rule, and no range such as 942000-942999: x"),
        "range": ("SecRuleRemoveById 3-1", "this is no number of a rule, and no range such as 942000-942999: 3-1"),
        "actions": ('SecDefaultAction "phase:1,fly"', 'SecDefaultAction "phase:1,fly"\n' + " " * 30 + "^"),
        "updated actions": (
            'SecRuleUpdateActionById 1-9 "id:7"',
            "the number, the phase and the chain of a rule cannot",
        ),
        "open actions": ('SecDefaultAction "phase:1,msg:\'x"', "this is not a whole rule"),
        "targets": ("SecRuleUpdateTargetById 1", "SecRuleUpdateTargetById needs numbers of rules, and targets"),
        "words": ("SecMarker", "SecMarker needs the name of the marker"),
        "open quote": ('SecMarker "X', "this quote does not end"),
    }.values(),
)
def test_what_is_wrong_is_told(text: str, told: str) -> None:
    """Every kind of mistake is an error, and says what would be right where that helps."""
    assert told in problems(text)


def test_a_caret_stands_below_the_word_that_is_wrong() -> None:
    """In the line of the file where it stands, though the rule has several."""
    text = 'SecRule ARGS "@rx x" \\\n    "id:1,\\\n\tt:none,t:rot13,\\\n    deny"'
    assert (
        problems(text)
        == "x.conf:3: there is no transformation rot13\n     t:none,t:rot13,\\\n" + 4 * " " + 10 * " " + "^"
    )


def test_all_problems_are_told_at_once() -> None:
    """One that is wrong does not hide the next."""
    text = (
        'SecRule ARGZ "@foo" "id:1"\nSecFoo\nSecAction "id:x"\n'
        'SecRule ARGS "x" "id:2,chain,t:x"\nSecRule ARGS "y" "t:y"'
    )
    told = problems(text)
    assert [line.partition(" ")[0] for line in told.split("\n") if line.startswith("x.conf")] == [
        "x.conf:2:",
        "x.conf:1:",
        "x.conf:1:",
        "x.conf:3:",
        "x.conf:4:",
        "x.conf:5:",
    ]


def test_one_mistake_is_told_once() -> None:
    """Links of a chain whose first rule cannot be read are not taken for rules without a number."""
    chain = 'SecRule ARGS "x" "chain,t:none"\nSecRule ARGS "y" "t:none"\nSecRule ARGS "z" "id:2"'
    for first in ('SecRule ARGS "a" x "id:1,chain"', 'SecRule ARGS "a" "id:1,t:x,chain"', 'SecRule ARGS "id:1,chain'):
        assert problems(f"{first}\n{chain}").count("x.conf:") == 1


@pytest.mark.skipif(not CRS.is_dir(), reason="the Core Rule Set is not installed")
def test_the_core_rule_set_is_read() -> None:
    """Every rule of Debian's package, with its own set-up."""
    files = [SETUP, *sorted(CRS.glob("*.conf"))]
    data = {str(path): path.read_text("utf-8") for path in CRS.glob("*.data")}
    found = parse([(str(path), path.read_text("utf-8")) for path in files], data).directives
    read = [each for each in found if isinstance(each, Rule)]
    written = sum(path.read_text("utf-8").count("\nSecRule ") for path in files)
    assert len(read) + sum(len(each.chained) for each in read) > written
    assert {each.disruptive for each in read} == {"pass", "deny", "drop"}


_LINES = (
    "SecRule ARGS|!ARGS:x|&TX:/a|b/ \"@rx ^a\" \"id:1,phase:2,chain,t:none,setvar:'tx.a=+%{tx.b}',msg:'a'\"",
    'SecRule REQUEST_HEADERS:User-Agent "@pmFromFile a.data" \\\n    "id:2,\\\n    ctl:ruleRemoveTargetById=1;ARGS:q"',
    'SecAction "id:3,phase:1,nolog,pass,skipAfter:END"',
    'SecMarker "END"',
    'SecDefaultAction "phase:2,log,deny,status:403"',
    'SecRuleUpdateTargetById 1 "!ARGS:y"',
    'SecRuleUpdateActionById 1 "t:none,pass"',
    "SecRuleRemoveById 1 2-3",
)


@given(st.lists(st.sampled_from(_LINES), min_size=1, max_size=3).map("\n".join), st.data())
def test_whatever_stands_in_a_file_is_read_or_told(text: str, data: st.DataObject) -> None:
    """Never is anything else raised, and every problem points into the file."""
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(text)))
        put = data.draw(st.text(st.sampled_from("\"'\\\n |!&:,;=@%{}/ab1\t"), max_size=3))
        text = text[:at] + put + text[at + data.draw(st.integers(0, 3)) :]
    try:
        parse([("x.conf", text)], {"a.data": "x"})
    except ConfigurationError as error:
        lines = text.split("\n")
        for each in error.problems:
            assert each.file == "x.conf"
            assert 1 <= each.line <= len(lines)
            assert each.column is None or 0 <= each.column <= len(lines[each.line - 1])


@given(st.text(max_size=60))
def test_any_text_is_read_or_told(text: str) -> None:
    """Whatever characters are in it: there are rules, or problems, and each problem is in a line of it."""
    problems: tuple[Problem, ...] = ()
    try:
        parse([("x.conf", text)])
    except ConfigurationError as error:
        problems = tuple(error.problems)
    assert {(each.file, each.line >= 1) for each in problems} <= {("x.conf", True)}
