"""What is left out of the rules, and what is not asked, makes no difference to what is found."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.model.exchange import Address, Connection, Exchange, Response
from edgenode.policy.contentfilter.collections import Collection
from edgenode.policy.contentfilter.directives import Control, Marker, Operator, Place, Rule, RuleTree, SetVar, Target
from edgenode.policy.contentfilter.findings import Verdict
from edgenode.policy.contentfilter.ruleset import RuleSet
from edgenode.rules.views.pairs import Pairs

EXCHANGE = Exchange(Connection(Address("192.0.2.1", 1), Address("192.0.2.2", 443)))
PLACE = Place("x.conf", 1)
COLLECTIONS = ("ARGS", "REQUEST_COOKIES", "REQUEST_LINE", "REQUEST_METHOD", "REQUEST_HEADERS", "REQUEST_BODY")

TEXTS = st.sampled_from(
    [
        *(
            "",
            "a",
            "select",
            "SELECT 1",
            "x' or '1'='1",
            "<script>",
            "<b onload=x>",
            "%3Cscript%3E",
            "a+b",
            "\\x41",
            "&lt;",
        ),
        *(
            "/etc/passwd",
            "/a/../b",
            "YWxlcnQoMSk=",
            "cat /etc/passwd",
            "c^at  /x",
            "é",
            "a\nb",
            "\nselect\n",
            "/**/x",
            "\0",
        ),
        *("GET /x HTTP/1.1", "1", "5", "al ert(1)", "ab'c", "\\", "a\\", "5a"),
        *("7z", "8z", "14", "a1b2", "a3b2", "item+71", "%37z", "&#55;z", "MTIzNDU2Nzg=", "MTIzNDU3Nzg="),
        *(
            "x%0ay",
            "&#10;a",
            "x\\u000ay",
            "s%65lect",
            "&lt;script",
            "s\\x65lect",
            "%26lt;script",
            "c2VsZWN0",
            "se lect",
        ),
    ]
) | st.text("aAbB<>'=%+&\\/ \n17", max_size=8)
PATTERNS = (
    *(
        "select",
        "(?i)select",
        "^a",
        "a$",
        "^$",
        r"[\n\r]",
        "<script",
        r"\bor\b",
        "(a)(b)?",
        "etc.passwd",
        "[^a]",
        "[A-Z]",
        "alert",
    ),
    *(r"(?:^|;)\s*cat", "onload", r"\\", "x?y?", "%{tx.word}", r"/\*", "\\x00"),
    *("7z", "[1-4]b", r"a[^1]", r"5$", r"\d{2}", "123456", r"(?:\.|/){2}", r"=\s*1", r"[^a-z]x", "select|union.x"),
)
NAMES = ("a", "b", "word", "anomaly_score", "0", "1")
TX = st.sampled_from(NAMES)
TARGETS = st.lists(
    st.builds(
        Target,
        st.sampled_from((*COLLECTIONS, "TX", "MATCHED_VARS", "MATCHED_VAR")),
        st.sampled_from(("", "", "", "a", "q", "1")),
        counted=st.sampled_from((False, False, False, True)),
    ),
    min_size=1,
    max_size=3,
).map(lambda found: tuple(evolve(each, key="") if each.collection == "REQUEST_HEADERS" else each for each in found))
OPERATORS = st.one_of(
    st.builds(Operator, st.just("rx"), st.sampled_from(PATTERNS), st.booleans()),
    st.builds(Operator, st.just("pm"), st.sampled_from(["select union", "etc/ a", "x", "7z 1b2"]), st.just(False)),
    st.builds(
        Operator, st.sampled_from(["streq", "contains", "beginswith", "endswith", "within"]), TEXTS, st.booleans()
    ),
    st.builds(
        Operator, st.sampled_from(["eq", "gt", "lt"]), st.sampled_from(["0", "1", "5", "%{tx.a}"]), st.booleans()
    ),
    st.builds(Operator, st.sampled_from(["detectsqli", "detectxss", "validateutf8encoding"])),
    st.builds(
        Operator, st.just("validatebyterange"), st.sampled_from(["1-255", "32-126", "0-9,11-255"]), st.booleans()
    ),
)
TRANSFORMATIONS = st.lists(
    st.sampled_from(
        [
            *(
                "lowercase",
                "urlDecodeUni",
                "htmlEntityDecode",
                "jsDecode",
                "cssDecode",
                "removeNulls",
                "cmdLine",
                "length",
            ),
            *("removeWhitespace", "compressWhitespace", "replaceComments", "normalizePath", "base64Decode", "trim"),
            *("utf8toUnicode", "uppercase", "escapeSeqDecode", "removeCommentsChar", "normalizePathWin", "sha1"),
        ]
    ),
    max_size=4,
).map(tuple)
SETS = st.lists(
    st.builds(
        SetVar,
        st.just("TX"),
        st.sampled_from((*NAMES, "x_%{tx.0}")),
        st.sampled_from("==+-!"),
        st.sampled_from(["0", "1", "5", "select", "%{tx.a}", "%{MATCHED_VAR}"]),
    ),
    max_size=2,
).map(tuple)
CONTROLS = st.sampled_from(
    [
        *((),) * 8,
        (Control("ruleRemoveById", "3"),),
        (Control("ruleRemoveByTag", "t"),),
        (Control("ruleRemoveTargetById", "3", Target("ARGS")),),
        (Control("ruleRemoveTargetByTag", "t", Target("ARGS", "q")),),
        (Control("ruleEngine", "Off"),),
    ]
)
LINKS = st.builds(
    Rule,
    st.just(PLACE),
    st.just(0),
    st.just(2),
    TARGETS,
    OPERATORS,
    TRANSFORMATIONS,
    multi_match=st.sampled_from((False, False, False, True)),
    capture=st.booleans(),
    set_vars=SETS,
)


@st.composite
def trees(draw: st.DrawFn) -> RuleTree:
    """Some rules, with markers, chains and what rules do."""
    directives: list[Rule | Marker] = []
    for number in range(1, draw(st.integers(1, 8)) + 1):
        head = draw(LINKS)
        if draw(st.sampled_from((False, False, False, True))):
            head = evolve(head, targets=(), operator=None, transformations=(), multi_match=False, capture=False)
        directives.append(
            evolve(
                head,
                id=number,
                phase=draw(st.sampled_from((1, 2, 2, 3, 4))),
                disruptive=draw(st.sampled_from(("pass",) * 6 + ("deny", "allow"))),
                allows=draw(st.sampled_from(("", "phase", "request"))),
                controls=draw(CONTROLS),
                skip_after=draw(st.sampled_from(("",) * 5 + ("END",))),
                skip=draw(st.sampled_from((0,) * 8 + (1,))),
                message=draw(st.sampled_from(("", "%{MATCHED_VAR_NAME} %{tx.a}"))),
                tags=draw(st.sampled_from(((), ("t",)))),
                severity=draw(st.sampled_from((None, 2))),
                logged=draw(st.booleans()),
                chained=tuple(draw(st.lists(LINKS, max_size=2))) if head.operator is not None else (),
            )
        )
        if draw(st.booleans()):
            directives.append(Marker("END", PLACE))
    return RuleTree((*directives, Marker("END", PLACE)), (("word", "select"), ("a", "1")))


def held(values: Mapping[str, Pairs], name: str, _: Exchange) -> Pairs:
    """What a collection holds."""
    return values[name]


MEMBERS = st.lists(st.tuples(st.sampled_from([b"a", b"q", b""]), TEXTS.map(str.encode)), max_size=4).map(tuple)
REQUESTS = st.lists(st.fixed_dictionaries(dict.fromkeys(COLLECTIONS, MEMBERS)), min_size=1, max_size=3)


@settings(max_examples=150, deadline=None)
@given(trees(), REQUESTS)
def test_the_short_way_finds_what_the_long_one_does(tree: RuleTree, requests: list[dict[str, Pairs]]) -> None:
    """The same verdict comes of asking every rule in its turn as of what is compiled, whatever came before; of answers
    likewise, which are judged with what the rules on the request have left behind."""
    values: dict[str, Pairs] = {}
    collections = {name: Collection(name, partial(held, values, name)) for name in COLLECTIONS}
    slowly, fast = RuleSet.unfolded(tree, collections), RuleSet.of(tree, collections)
    for request in requests:
        values.update(request)
        for expected, found in zip(judged(slowly), judged(fast), strict=True):
            assert found.findings == expected.findings
            assert (found.refused, found.by, found.scores) == (expected.refused, expected.by, expected.scores)


def judged(rules: RuleSet) -> tuple[Verdict, Verdict]:
    """What rules say to a request, and to its answer."""
    exchange = evolve(EXCHANGE)
    *_, verdict = rules.judging(exchange, carry=True)
    assert verdict is not None
    return verdict, rules.judge_response(exchange, Response(200, (), b""))
