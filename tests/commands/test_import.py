"""``edgenode import curiefense``: what is written means what it meant, and nothing is lost in silence."""

from __future__ import annotations

import ipaddress
import json
import pathlib
import re
import shlex
import subprocess
import sys
import urllib.parse
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode import __main__ as command
from edgenode.config.curiefense import convert
from edgenode.config.load import Configuration
from edgenode.config.system_filters import is_system
from edgenode.model.decision import Decision, Respond
from edgenode.model.exchange import Address, Body, Connection, Exchange
from edgenode.policy.challenge import Challenge
from tests.support.configurations import changed, write_server
from tests.support.databases import write_databases
from tests.support.requests import request_of

ROOT = pathlib.Path(__file__).parent.parent.parent
MIGRATING = ROOT / "examples" / "migrating"

INI = """
[edge]
system-filters = no
state          = .

[geo]
city = city.mmdb
asn  = asn.mmdb

""" + changed({"hosts = shop.example": "hosts = www.test"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """What a minimal configuration takes."""
    folder = tmp_path_factory.mktemp("importing")
    write_server(folder, "www.test")
    write_databases(folder, {"203.0.113.0/24": {"country": "DE"}}, {"203.0.113.0/24": (64500, "Example AG")})
    return folder


@frozen
class Sent:
    """A request."""

    target: str = "/"
    method: str = "GET"
    ip: str = "192.0.2.7"
    headers: tuple[tuple[str, str], ...] = ()

    def exchange(self) -> Exchange:
        """As the node has it."""
        fields = (f"{name}: {value}" for name, value in self.headers)
        request = request_of(f"{self.method} {self.target} HTTP/1.1", *fields)
        connection = Connection(Address(self.ip, 1), Address("192.0.2.1", 443), "www.test", tls_version="TLSv1.3")
        return Exchange(connection, request, self.ip, frozenset(), "shop", "shop", "all", time=1e9)


def decided(configuration: Configuration, sent: Sent) -> Decision:
    """What a configuration decides."""
    decision = configuration.pipeline("all").decide(sent.exchange())
    assert isinstance(decision, Decision)
    return decision


# -- the product, as facts have it -------------------------------------------------------------------------------------

STRENGTH = {"action-skip": 9, "action-global-filter-block": 8, "teapot": 8, "action-monitor": 1}


def product(filters: list[dict[str, Any]], sent: Sent) -> tuple[set[str], str]:
    """The tags and the action of the product's engine: each filter in turn; the later of two equals wins."""
    tags, action, strength = {"all"}, "", 0
    for each in filters:
        if each["active"] and _rule(each["rule"], sent, tags):
            tags |= {re.sub("[^a-z0-9:]", "-", tag.lower()) for tag in each["tags"]}
            if STRENGTH[each["action"]] >= strength:
                action, strength = each["action"], STRENGTH[each["action"]]
    return tags, action


def _rule(rule: Any, sent: Sent, tags: set[str]) -> bool:
    found = [
        _rule(each, sent, tags) if isinstance(each, dict) else _entry(each[0], each[1], sent, tags)
        for each in rule["entries"]
    ]
    return all(found) if rule["relation"] == "AND" else any(found)


def _entry(kind: str, value: Any, sent: Sent, tags: set[str]) -> bool:
    path, mark, query = sent.target.partition("?")
    if kind in ("args", "headers", "cookies"):
        name, value = value
        present = {
            "args": dict(urllib.parse.parse_qsl(query, keep_blank_values=True)),
            "headers": {key.lower(): text for key, text in sent.headers},
            "cookies": dict(
                pair.split("=") for key, text in sent.headers if key == "Cookie" for pair in text.split("; ")
            ),
        }[kind]
        subject = present.get(name.lower() if kind == "headers" else name)
        if subject is None:  # for a negated value too, as in the product
            return False
    else:
        subject = {
            "path": path, "query": mark + query, "uri": urllib.parse.unquote_plus(sent.target), "method": sent.method,
            "authority": "www.test", "ip": sent.ip, "tag": "",
        }[kind]  # fmt: skip
        if kind == "query" and not mark:
            return False  # nothing to look at
    negated, value = value.startswith("!"), value.removeprefix("!")
    if kind == "tag":
        return (value in tags) is not negated
    if kind == "ip":
        return (ipaddress.ip_address(subject) in ipaddress.ip_network(value, strict=False)) is not negated
    return _found(value, subject) is not negated


def _found(value: str, subject: str) -> bool:
    if value == subject:
        return True
    try:
        return re.search(value, subject, re.IGNORECASE) is not None
    except re.error:
        return False


VALUES = {
    "path": ("^/api", "api", "!^/api", "/a.php", "/API/users$", "[", "/a+b", "#x", " x"),
    "query": ("x=1", "^\\?x=1", "\\?x", "?x=1", "!^\\?x=1", "y=2$", "[?]y"),
    "uri": ("^/api", "/a.php?x=1", "x=1$", "b c", "!users"),
    "method": ("GET", "^p", "!POST", "P.T"),
    "authority": ("www", "^WWW\\.", "!test$"),
    "ip": ("192.0.2.7", "192.0.2.7/24", "!10.0.0.0/8", "2001:db8::/32"),
    "tag": ("all", "one", "!one", "two"),
}
NAMED = {
    "args": (("x", "1"), ("x", "!1"), ("X", "1"), ("y", "."), ("x", "^$"), ("z z", ".")),
    "headers": (("User-Agent", "^curl"), ("user-agent", "!CURL"), ("X-One", "on+e"), ("x-one", "é")),
    "cookies": (("session", "old"), ("session", "!old"), ("Session", ".")),
}


@st.composite
def entries(draw: st.DrawFn) -> list[Any]:
    """An entry."""
    kind = draw(st.sampled_from((*VALUES, *NAMED)))
    value = draw(st.sampled_from(VALUES[kind])) if kind in VALUES else list(draw(st.sampled_from(NAMED[kind])))
    return [kind, value, draw(st.sampled_from(("", "why # not", "a\nb")))]


rules = st.recursive(
    st.builds(lambda relation, found: {"relation": relation, "entries": found}, st.sampled_from(("AND", "OR")),
              st.lists(entries(), max_size=3)),
    lambda inner: st.builds(lambda relation, found: {"relation": relation, "entries": found},
                            st.sampled_from(("AND", "OR")), st.lists(inner | entries(), max_size=3)),
    max_leaves=3,
)  # fmt: skip
filters = st.lists(
    st.builds(
        lambda name, tags, action, active, rule: {
            "id": "1", "name": name, "tags": tags, "action": action, "active": active, "rule": rule,
        },
        st.sampled_from(("A filter", "a-filter", "Ünï", "system.x", "")),
        st.lists(st.sampled_from(("one", "Two Three", "two")), max_size=2, unique=True),
        st.sampled_from(sorted(STRENGTH)), st.sampled_from((True, True, False)), rules,
    ),
    min_size=1, max_size=4,
)  # fmt: skip
requests = st.builds(
    Sent,
    st.sampled_from(("/", "/api/users", "/API/Users?x=1", "/a.php?x=1&y=2", "/b%20c?y=2", "/a+b", "/?x=", "/?q?x")),
    st.sampled_from(("GET", "POST", "PUT")),
    st.sampled_from(("192.0.2.7", "10.1.2.3", "2001:db8::1")),
    st.sampled_from((
        (), (("User-Agent", "curl/8"), ("Cookie", "session=old")), (("User-Agent", "Mozilla"), ("X-One", "on+e")),
        (("Cookie", "session=new; other=x"), ("X-One", "oné")),
    )),
)  # fmt: skip
TEAPOT = [{"id": "teapot", "name": "Teapot", "type": "custom", "tags": [], "params": {"status": 418, "content": "no"}}]
NAMES = {"action-skip": "skip", "action-monitor": "monitor", "teapot": "teapot"}
NAMES["action-global-filter-block"] = "global-filter-block"


@settings(max_examples=60)
@given(filters, st.lists(requests, min_size=4, max_size=8))
def test_what_is_imported_decides_as_the_product_does(
    folder: pathlib.Path, documents: list[dict[str, Any]], sent: list[Sent]
) -> None:
    """The same tags and the same action for every request, if the product leaves out what could not be expressed."""
    imported = convert(documents, TEAPOT, "filters.json")
    configuration = Configuration.from_text(INI + imported.text, folder)
    own_filters = [each for name, each in configuration.global_filters.items() if not is_system(name)]
    written = list(zip(documents, reversed(own_filters), strict=True))
    lost = [document for document, filter in written if document["active"] and not filter.active]
    assert len(lost) <= len(imported.losses)
    documents = [{**document, "active": filter.active} for document, filter in written]
    for each in sent:
        tags, action = product(documents, each)
        decision = decided(configuration, each)
        assert (decision.action.name if decision.action else "") == NAMES.get(action, "")
        own = {tag for tag in decision.tags if tag in ("one", "two", "two-three")}
        assert own == tags - {"all"}


# -- what is lost ------------------------------------------------------------------------------------------------------


def a_filter(*entries: Any, **more: Any) -> dict[str, Any]:
    """An active filter."""
    rule = {"relation": "AND", "entries": list(entries)}
    return {"id": "f", "name": "F", "active": True, "tags": ["f"], "action": "action-monitor", "rule": rule, **more}


@pytest.mark.parametrize(
    ("document", "loss"),
    [
        (a_filter(["plugins", ["jwt.iss", "x"], ""]), "there is no category for plugins"),
        (a_filter(["securitypolicyid", "x", ""]), "there is no category for securitypolicyid"),
        (a_filter(["path", "(?=x)", ""]), "not a regular expression of RE2"),
        (a_filter(["path", "[é]", ""]), "beyond ASCII"),
        (a_filter(["query", "^x=1", ""]), "it can match nothing there"),
        (a_filter(["authority", "www.test:443", ""]), "no port 443 here"),
        (a_filter(["country", "FR|DE", ""]), "several are several entries"),
        (a_filter(["asn", "x", ""]), "the number of an autonomous system"),
        (a_filter(["ip", "nowhere", ""]), "no address"),
        (a_filter(["tag", "robot", ""]), "nothing sets it here"),
        (a_filter(["tag", "f", ""]), "no earlier active filter sets it"),
        (a_filter(["path", "", ""]), "a value is missing"),
        (a_filter(["headers", ["a b", "x"], ""]), "no name of a header"),
        (a_filter("path"), "not an entry"),
        (a_filter(["args", "x", ""]), "not a name and a value"),
        (a_filter(rule={"relation": "XOR", "entries": []}), "not a rule"),
        (a_filter(tags=["ip:1"]), "is set by the node alone"),
        (a_filter(source="http://feeds.example.net/x"), "only https"),
        (a_filter(rule={"relation": "AND"}), "it has no entries"),
        (17, "not a rule"),
    ],
)
def test_a_filter_with_a_loss_is_inactive(folder: pathlib.Path, document: Any, loss: str) -> None:
    """It is listed, stands as a comment at its filter, and the filter matches nothing."""
    imported = convert([document], [], "x")
    assert len(imported.losses) == 1
    assert loss in imported.losses[0]
    assert imported.text.count(loss) == 2
    configuration = Configuration.from_text(INI + imported.text, folder)
    assert not any(each.active for each in configuration.global_filters.values())


@pytest.mark.parametrize(
    ("action", "documents", "loss"),
    [
        ("other", [], "it is not known"),
        ("mine", [{"id": "mine", "type": "jump"}], "there is no type jump"),
        ("mine", [{"id": "mine", "type": "custom", "params": {"status": 199}}], "expected a number from 200 to 599"),
        ("mine", [{"id": "mine", "type": "custom", "params": {"status": 302}}], "with the status 302 needs one"),
        ("mine", [{"id": "mine", "type": "custom", "params": {"content": "${tag.x}"}}], "the template ${tag.x}"),
        ("mine", [{"id": "mine", "type": "custom", "params": {"status": "x"}}], "it cannot be read"),
    ],
)
def test_without_its_action_a_filter_only_sets_its_tags(
    folder: pathlib.Path, action: str, documents: list[Any], loss: str
) -> None:
    """And that is listed."""
    imported = convert([a_filter(["path", "x", ""], action=action)], documents, "x")
    assert [loss in each for each in imported.losses] == [True]
    found = Configuration.from_text(INI + imported.text, folder).global_filters["F"]
    assert (found.active, found.action, found.tags) == (True, None, ("f",))


@pytest.mark.parametrize(
    ("action", "documents", "losses"),
    [
        ("action-challenge", [], 0),
        ("action-ichallenge", [], 1),
        ("mine", [{"id": "mine", "type": "challenge", "tags": ["x"]}], 0),
        ("mine", [{"id": "mine", "type": "ichallenge"}], 1),
    ],
)
def test_challenges_are_challenges(
    folder: pathlib.Path, action: str, documents: list[dict[str, Any]], losses: int
) -> None:
    """And the tags of those who have solved one, or have not, are there."""
    filters = [a_filter(["tag", "bot", ""], action=action)]
    imported = convert(filters, documents, "x")
    assert ["puzzle" in each for each in imported.losses] == [True] * losses
    configuration = Configuration.from_text(INI + imported.text, folder)
    decision = decided(configuration, Sent())
    assert isinstance(decision.action, Challenge)
    assert "bot" in decision.tags
    assert {"x"} & decision.tags == ({"x"} if "tags" in str(documents) else set())


@pytest.mark.parametrize(
    ("params", "answer"),
    [
        ({}, (503, b"blocked\n")),
        ({"status": 200, "content": "fine"}, (200, b"fine\n")),
        ({"content": "${method} [${headers.X-A}]"}, (503, b"GET []\n")),
        ({"status": 418, "content": "# no\n$5 \\ ${ip}"}, (418, b"# no\n$5 \\ 192.0.2.7\n")),
        ({"status": 307, "headers": {"Location": "https://www.test/"}}, (307, b"")),
        ({"status": 302, "headers": {"Location": "/${path}"}, "content": "see\nthere"}, (302, b"see\nthere\n")),
        ({"status": 456, "headers": {"location": "http://www.test"}}, (456, b"blocked\n")),
        ({"status": 323, "content": "a  b\n"}, (323, b"a  b\n")),
        ({"status": 403, "headers": {"Content-Type": "text/html", "X-A": "b"}, "content": "<p>"}, (403, b"<p>\n")),
    ],
)
def test_actions_of_ones_own_answer_as_they_did(
    folder: pathlib.Path, params: dict[str, Any], answer: tuple[int, bytes]
) -> None:
    """Status, header fields and body, with their templates."""
    document = {"id": "mine", "type": "custom", "tags": ["mine"], "params": params}
    imported = convert([a_filter(["path", ".", ""], action="mine")], [document], "x")
    assert not imported.losses
    configuration = Configuration.from_text(INI + imported.text, folder)
    sent = Sent()
    decision = decided(configuration, sent)
    outcome = decision.outcome(sent.exchange())
    assert isinstance(outcome, Respond)
    assert (outcome.response.status, outcome.response.body) == answer
    assert {"mine", "action:mine"} <= decision.tags
    names = {name.lower() for name, _ in outcome.response.headers}
    assert {name.lower().encode() for name in params.get("headers", {})} <= names


def test_templates_name_what_they_did(folder: pathlib.Path) -> None:
    """Arguments, headers and cookies by their names, and the tags; what cannot be named is told."""
    content = "${args.x}|${args.y}|${path}|${query}|${authority}|${tags}"
    document = {"id": "mine", "type": "custom", "params": {"content": content}}
    imported = convert([a_filter(["path", ".", ""], action="mine")], [document], "x")
    assert not imported.losses
    sent = Sent("/p?x=a%20b")
    outcome = decided(Configuration.from_text(INI + imported.text, folder), sent).outcome(sent.exchange())
    assert isinstance(outcome, Respond)
    assert outcome.response.body.startswith(b"a b||/p|x=a%20b|www.test|")
    assert b",all," in outcome.response.body


@pytest.mark.parametrize(
    ("kind", "params", "header", "why"),
    [
        ("monitor", {"headers": {"x_a": "1", "X-B": "2"}}, "x_a", "letters, digits and hyphens"),
        ("monitor", {"headers": {"Content-Type": "text/html", "X-B": "2"}}, "Content-Type", "for something else"),
        ("custom", {"status": 503, "headers": {"Via": "x", "X-B": "2"}}, "Via", "the node's own"),
        ("custom", {"status": 302, "headers": {"Location": "/x", "Via": "x", "X-B": "2"}}, "Via", "the node's own"),
    ],
)
def test_a_header_that_is_not_the_configuration_s_to_set_is_lost_alone(
    folder: pathlib.Path, kind: str, params: dict[str, Any], header: str, why: str
) -> None:
    """What the node would refuse to load is not written; the other headers of the action are."""
    document = {"id": "mine", "type": kind, "params": params}
    imported = convert([a_filter(["path", ".", ""], action="mine")], [document], "x")
    (loss,) = imported.losses
    assert f"action mine: header {header}: " in loss
    assert why in loss
    (action,) = Configuration.from_text(INI + imported.text, folder).actions.values()
    assert [each.name.lower() for each in action.headers] == ["x-b"]


@pytest.mark.parametrize(
    ("content", "body"),
    [
        ("<p>\n  one\n</p>", b"<p>\none\n</p>\n"),
        ("a\n\nb", b"a\nb\n"),
        ("a\tb", b"a b\n"),
        (" a", b"a\n"),
    ],
)
def test_white_space_of_a_body_that_is_lost_is_told(folder: pathlib.Path, content: str, body: bytes) -> None:
    """A configuration has none at the ends of lines; that of a text or of JSON may matter to a client."""
    document = {"id": "mine", "type": "custom", "params": {"content": content}}
    imported = convert([a_filter(["path", ".", ""], action="mine")], [document], "x")
    assert [each.partition("content: ")[2] for each in imported.losses] == [
        "white space at the ends of lines, tabs and empty lines"
    ]
    outcome = decided(Configuration.from_text(INI + imported.text, folder), Sent()).outcome(Sent().exchange())
    assert isinstance(outcome, Respond)
    assert outcome.response.body == body


def test_what_answers_is_equally_strong_whether_it_redirects_or_not(folder: pathlib.Path) -> None:
    """There the later filter's action is taken; here a redirection is weaker than a block unless it is said."""
    actions = [
        {"id": "away", "type": "custom", "params": {"status": 302, "headers": {"location": "/away"}}},
        {"id": "no", "type": "custom", "params": {"status": 403}},
    ]
    for names in (("no", "away"), ("away", "no")):
        documents = [a_filter(["path", ".", ""], action=name, name=f"f{number}") for number, name in enumerate(names)]
        configuration = Configuration.from_text(INI + convert(documents, actions, "x").text, folder)
        action = decided(configuration, Sent()).action
        assert action is not None
        assert action.name == names[1]


def test_an_action_of_the_product_may_be_described(folder: pathlib.Path) -> None:
    """What its own file says of it counts, and its own tag is the one that the node sets."""
    actions = [
        {"id": "action-monitor", "type": "monitor", "tags": ["action:monitor"], "params": {"headers": {}}},
        {"id": "action-acl-block", "type": "custom", "tags": ["action:acl-block"], "params": {"status": 400}},
    ]
    documents = [
        a_filter(["path", "^/a", ""], name="a"),
        a_filter(["path", "^/b", ""], name="b", action="action-acl-block"),
    ]
    imported = convert(documents, actions, "x")
    assert not imported.losses
    configuration = Configuration.from_text(INI + imported.text, folder)
    assert configuration.global_filters["a"].action == "monitor"
    decision = decided(configuration, Sent("/b"))
    assert "action:acl-block" in decision.tags
    outcome = decision.outcome(Sent("/b").exchange())
    assert isinstance(outcome, Respond)
    assert outcome.response.status == 400


def test_a_filter_that_asks_for_a_lost_filter_s_tag_is_lost_too(folder: pathlib.Path) -> None:
    """``!seen`` would be true of everybody once nothing sets it."""
    documents = [
        a_filter(["plugins", ["jwt.iss", "x"], ""], name="a", tags=["seen"]),
        a_filter(["tag", "!seen", ""], name="b", action="action-global-filter-block"),
    ]
    imported = convert(documents, [], "x")
    assert [each.rpartition(": ")[2] for each in imported.losses] == [
        "there is no category for plugins",
        "a filter that sets it is not active here",
    ]
    configuration = Configuration.from_text(INI + imported.text, folder)
    assert not any(each.active for each in configuration.global_filters.values())


def test_what_is_base64_in_an_argument_has_the_product_s_name(folder: pathlib.Path) -> None:
    """``NAME:decoded``, beside the argument itself."""
    imported = convert([a_filter(["args", ["x:decoded", "^deny$"], ""])], [], "x")
    assert not imported.losses
    assert not imported.remarks
    configuration = Configuration.from_text(INI + imported.text, folder)
    found = [
        "f" in decided(configuration, Sent(target)).tags for target in ("/?x=ZGVueQ%3D%3D", "/?x=deny", "/?x=YQ%3D%3D")
    ]
    assert found == [True, False, False]


ENTRIES = [["ip", "192.0.2.7", "one"], ["path", "^/old", None], ["headers", ["X-One", "on+e"]]]
SECTION = {"relation": "AND", "entries": [["path", "^/a", ""], ["method", "GET", ""]]}


@pytest.mark.parametrize(
    "document",
    [
        {"name": "F", "active": True, "tags": ["f"], "entries_relation": "OR", "entries": ENTRIES, "notes": "n"},
        {"name": "F", "active": True, "tags": ["f"], "rule": {"relation": "OR", "sections": [
            {"relation": "OR", "entries": ENTRIES}]}, "notes": "n", "action": {"type": "monitor"}},
        {"name": "F", "active": True, "tags": ["f"], "rule": {"relation": "OR", "entries": ENTRIES},
         "entries_relation": "AND", "description": "n"},
    ],
)  # fmt: skip
def test_filters_of_every_version_of_the_api_are_read(folder: pathlib.Path, document: dict[str, Any]) -> None:
    """The first had entries in the filter itself, the second sections of entries, the third rules within rules."""
    imported = convert([document], [], "x")
    assert not imported.losses
    configuration = Configuration.from_text(INI + imported.text, folder)
    assert (configuration.global_filters["F"].name, configuration.global_filters["F"].description) == ("F", "n")
    found = [
        "f" in decided(configuration, sent).tags
        for sent in (Sent(), Sent("/old", ip="192.0.2.8"), Sent(ip="192.0.2.8"),
                     Sent(ip="192.0.2.8", headers=(("x-one", "one"),)))
    ]  # fmt: skip
    assert found == [True, True, False, True]


def test_sections_of_the_second_version_are_joined_by_their_relation(folder: pathlib.Path) -> None:
    """Each by its own, and all of them by that of the rule: nothing of it is an empty rule, which is always true."""
    rule = {"relation": "AND", "sections": [{"relation": "OR", "entries": ENTRIES}, SECTION]}
    imported = convert([{"name": "F", "active": True, "tags": ["f"], "rule": rule}], [], "x")
    assert not imported.losses
    configuration = Configuration.from_text(INI + imported.text, folder)
    assert ["f" in decided(configuration, each).tags for each in (Sent("/a"), Sent("/b"), Sent("/a", "POST"))] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("action", "answer", "losses"),
    [
        ({"type": "default"}, (503, b"curiefense - request denied\n"), 0),
        ({}, (503, b"curiefense - request denied\n"), 0),
        ({"type": "default", "params": {"status": "403"}}, (403, b"curiefense - request denied\n"), 0),
        ({"type": "response", "params": {"status": "418", "content": "no"}}, (418, b"no\n"), 0),
        ({"type": "response", "params": {"content_type": "application/json", "content": "{}"}}, (503, b"{}\n"), 0),
        ({"type": "redirect", "params": {"status": "301", "location": "/x"}}, (301, b""), 0),
        ({"type": "redirect", "params": {"location": "/x"}}, (503, b"blocked\n"), 0),
        ({"type": "ban", "params": {"action": {"type": "response", "params": {"content": "x"}}}}, (503, b"x\n"), 1),
        ({"type": "ban"}, (503, b"curiefense - request denied\n"), 1),
        ({"type": "jump"}, None, 1),
        ({"type": "response", "params": {"status": "123"}}, None, 1),
        ({"type": "request_header", "params": {"headers": {"h1": "${ip}"}}}, None, 1),
        ({"type": "monitor", "params": {}}, None, 0),
    ],
)
def test_actions_that_stood_in_their_filters_are_read(
    folder: pathlib.Path, action: dict[str, Any], answer: tuple[int, bytes] | None, losses: int
) -> None:
    """As they did before there was a file of actions; two filters with the same one share a section."""
    documents = [a_filter(["path", ".", ""], action=action), a_filter(["path", "x", ""], action=action, name="G")]
    imported = convert(documents, [], "x")
    assert len(imported.losses) == 2 * losses
    configuration = Configuration.from_text(INI + imported.text, folder)
    assert len(configuration.actions) <= 1
    outcome = decided(configuration, Sent()).outcome(Sent().exchange())
    found = (outcome.response.status, outcome.response.body) if isinstance(outcome, Respond) else None
    assert found == answer


def test_a_whole_configuration_is_read(folder: pathlib.Path) -> None:
    """What the API gives of one has filters and actions among other documents."""
    filters = [a_filter(["path", ".", ""], action="mine")]
    documents = {
        "aclprofiles": [{"id": "F", "type": "custom"}],
        "globalfilters": filters,
        "actions": [{"id": "mine", "type": "custom", "params": {"status": 418}}],
    }
    for data in ({"meta": {"id": "prod"}, "documents": documents, "blobs": {}}, documents):
        imported = convert(data, [], "x")
        assert not imported.losses
        outcome = decided(Configuration.from_text(INI + imported.text, folder), Sent()).outcome(Sent().exchange())
        assert isinstance(outcome, Respond)
        assert outcome.response.status == 418


def test_a_rule_may_be_one_entry(folder: pathlib.Path) -> None:
    """``["ip", ...]`` in place of a list of entries."""
    document = {**a_filter(), "rule": ["ip", "192.0.2.7", "one"]}
    imported = convert([document], [], "x")
    assert not imported.losses
    assert "ip = 192.0.2.7 # one" in imported.text
    Configuration.from_text(INI + imported.text, folder)


def test_a_feed_stays_a_feed(folder: pathlib.Path) -> None:
    """With its source, if all its entries are of one category; none of the last refresh is lost."""
    entries = [["ip", "192.0.2.1", ""], ["ip", "192.0.2.2", ""]]
    document = a_filter(*entries, source="https://feeds.example.net/x")
    document["rule"]["relation"] = "OR"
    imported = convert([document], [], "x")
    assert not imported.losses
    found = Configuration.from_text(INI + imported.text, folder).global_filters["F"]
    assert [str(each) for each in found.entries] == ["ip: 192.0.2.1", "ip: 192.0.2.2"]
    (source,) = found.source
    assert (source.url, str(found.feed)) == ("https://feeds.example.net/x", "ip")
    assert found.bad_lines == "skip"  # the product takes what it knows of a source
    assert "with format" in imported.remarks[0]
    assert imported.remarks[-1] == "Some filters have a source: that takes a folder, state in [edge]."


@pytest.mark.parametrize(
    ("rule", "feed"),
    [
        ({"relation": "OR", "entries": [{"relation": "OR", "entries": [["ip", "192.0.2.7"]]}]}, "ip"),
        ({"relation": "OR", "sections": [{"relation": "AND", "entries": [["ip", "192.0.2.7"]]}]}, "ip"),
        ({"relation": "OR", "entries": [["ip", "192.0.2.7"], ["path", "x"]]}, ""),
        ({"relation": "AND", "entries": [["ip", "192.0.2.7"]]}, ""),
        ({"relation": "OR", "entries": [["tag", "all"], ["ip", "192.0.2.7"]]}, ""),
        ({"relation": "OR", "entries": [{"relation": "AND", "entries": [["ip", "192.0.2.7"], ["ip", "192.0.2.0/24"]]}]},
         ""),
    ],
)  # fmt: skip
def test_entries_of_a_feed_count_whatever_becomes_of_its_source(
    folder: pathlib.Path, rule: dict[str, Any], feed: str
) -> None:
    """Those of the last refresh are in force, as there; a source that could not be expressed is told."""
    imported = convert([a_filter(rule=rule, source="https://feeds.example.net/x")], [], "x")
    assert len(imported.losses) == (not feed)
    configuration = Configuration.from_text(INI + imported.text, folder)
    found = configuration.global_filters["F"]
    assert (found.active, str(found.feed or "")) == (True, feed)
    assert "f" in decided(configuration, Sent()).tags


@pytest.mark.parametrize("source", ["self-managed", "self", "reblaze-managed", "", None])
def test_what_stands_for_no_source_is_none(folder: pathlib.Path, source: str | None) -> None:
    """The versions of the API have several words for it."""
    imported = convert([a_filter(["path", "x", ""], source=source)], [], "x")
    assert not imported.losses
    assert not Configuration.from_text(INI + imported.text, folder).global_filters["F"].sources


def test_names_and_comments_cannot_write_sections(folder: pathlib.Path) -> None:
    """Whatever stands in a name, a description or a comment, it stays one line of the text that it is."""
    evil = "x\n[global-filter evil]\naction = skip\n\u2028# \x1b[2J"
    document = a_filter(["path", evil, evil], name=evil, description=evil, tags=[evil])
    document["rule"]["entries"].append([evil, evil, evil])
    imported = convert([document], [{"id": evil, "type": evil}], evil)
    configuration = Configuration.from_text(INI + imported.text, folder)
    assert "evil" not in configuration.global_filters
    assert "skip" not in {each.action for each in configuration.global_filters.values()}


EVIL = "\n[global-filter evil]\naction = skip\npath = /"


@pytest.mark.parametrize(
    ("document", "action"),
    [
        (a_filter(["ip", "192.0.2.1", ""], source=f"https://feeds.example.net/x{EVIL}"), {}),
        (a_filter(["ip", "192.0.2.1", ""], source="https://feeds.example.net/x \x1b[2J"), {}),
        (a_filter(["headers", [f"a{EVIL}", "b"]]), {}),
        (a_filter(["path", "\ud800"]), {}),
        (a_filter(["headers", ["a", "\ud800"]]), {}),
        (a_filter(["args", ["\ud800", "b"]]), {}),
        (a_filter(["tag", "\ud800"]), {}),
        (a_filter(["path", "."], action="a"), {"headers": {"content-type": f"text/html{EVIL}"}}),
        (a_filter(["path", "."], action="a"), {"headers": {"content-type": "text/html\npriority = 1000"}}),
        (a_filter(["path", "."], action="a"), {"headers": {f"x{EVIL}": "b"}}),
        (a_filter(["path", "."], action="a"), {"headers": {"x": f"b{EVIL}"}}),
        (a_filter(["path", "."], action="a"), {"headers": {"x = y": "b"}}),
        (a_filter(["path", "."], action="a"), {"status": 302, "headers": {"location": f"/{EVIL}"}}),
        (a_filter(["path", "."], action="a"), {"content": "x\n[origin evil]\n"}),
        (a_filter(["path", "."], action="a"), {"content": "\x1b[2J"}),
        (a_filter(["path", "."], action="a"), {"status": float("inf")}),
    ],
)
def test_what_could_write_a_section_is_a_loss(folder: pathlib.Path, document: Any, action: Any) -> None:
    """Whatever stands in a source, in an entry or in an action: it is listed, on one line, and nothing of it is read
    as a key or a section."""
    imported = convert([document], [{"id": "a", "type": "custom", "params": action}], "x")
    assert imported.losses
    assert all(line.isprintable() for line in (*imported.losses, *imported.remarks, *imported.text.split("\n")))
    configuration = Configuration.from_text(INI + imported.text, folder)
    assert [name for name in configuration.global_filters if not name.startswith("system.")] == ["F"]
    assert "a" not in configuration.actions


@pytest.mark.parametrize(
    ("kind", "body", "found"),
    [
        ("application/json", b'{"a": {"b": ["x", "Evil"]}}', True),
        ("application/json", b'{"a": {"b": ["x", "RXZpbA=="]}}', True),
        ("text/xml", b"<a_b_1>evil</a_b_1>", True),
        ("application/graphql", b'{ f(a: {b: [1, "evil"]}) }', True),
        ("application/json", b'{"a": {"b": ["evil"]}}', False),
    ],
)
def test_arguments_are_looked_for_in_bodies_as_the_product_does(
    folder: pathlib.Path, kind: str, body: bytes, found: bool
) -> None:
    """By the names that it gives them, and what is Base64 decoded; where no argument is looked for nothing is read."""
    imported = convert([a_filter(["args", ["a_b_1", "^evil$"], ""])], [], "x")
    assert (imported.losses, imported.remarks) == ((), ())
    configuration = Configuration.from_text(INI + imported.text, folder)
    exchange = Sent().exchange()
    exchange.request = request_of("POST / HTTP/1.1", f"Content-Type: {kind}").with_body(Body(body, len(body)))
    decision = configuration.pipeline("all").decide(exchange)
    assert isinstance(decision, Decision)
    assert ("f" in decision.tags) is found
    assert "readings" not in convert([a_filter(["path", "^/a", ""])], [], "x").text


@pytest.mark.parametrize(
    ("value", "target"),
    [
        ("a\0b", ""),
        ("a\nb", ""),  # no path has one
        ("a\\\nb", ""),
        ("a\tb", "/a%09b"),
        ("\\\\\x0b", "/%5C%0B"),
        ("[origin evil]", "/g"),
    ],
)
def test_control_characters_in_an_expression_are_written_as_escapes(
    folder: pathlib.Path, value: str, target: str
) -> None:
    """And what looks like the header of a section is an expression still; neither makes the file unreadable."""
    document = a_filter(["path", "first", ""], ["path", value, ""])
    document["rule"]["relation"] = "OR"
    imported = convert([document], [], "x")
    assert not imported.losses
    configuration = Configuration.from_text(INI + imported.text, folder)
    assert "f" not in decided(configuration, Sent("/z")).tags
    assert not target or "f" in decided(configuration, Sent(target)).tags


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_example_is_what_the_documentation_shows(folder: pathlib.Path) -> None:
    """The command of docs/migrating-from-curiefense.rst prints the file and the list that stand there."""
    text = (ROOT / "docs" / "migrating-from-curiefense.rst").read_text()
    block = re.search(r"^   \$ edgenode (.*) > filters.ini\n((?:   .*\n)*)", text, re.MULTILINE)
    assert block is not None
    line = [sys.executable, "-m", "edgenode", *shlex.split(block[1])]
    ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.split() == block[2].split()
    assert ended.stdout == (MIGRATING / "from-curiefense.ini").read_text()
    configuration = Configuration.from_text(INI + ended.stdout, folder)
    for sent, action in (
        (Sent(ip="198.51.100.7"), "monitor"),
        (Sent("/cart", "POST", "198.51.100.7", (("User-Agent", "CURL/8"),)), "global-filter-block"),
        (Sent("/HEALTH", "POST", "198.51.100.7", (("User-Agent", "curl/8"),)), "monitor"),
        (Sent("/cart", "POST", "192.0.2.7", (("User-Agent", "curl/8"),)), ""),
        (Sent("/?DEBUG=1"), "teapot"),
        (Sent("/test.php?debug"), "teapot"),
        (Sent(ip="203.0.113.9"), "skip"),
    ):
        decision = decided(configuration, sent)
        assert (decision.action.name if decision.action else "") == action


def test_all_expressed_is_0(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And an object that holds the list will do."""
    file = tmp_path / "filters.json"
    file.write_text(json.dumps({"globalfilters": [a_filter(["path", "x", ""])]}))
    assert command.main(["import", "curiefense", str(file)]) == 0
    assert "[global-filter F]" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, b"", b"[", b"\xff", b"[" * 100_000])
def test_a_file_that_cannot_be_read_is_1(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    """With a sentence, and nothing on standard output."""
    file = tmp_path / "filters.json"
    if content is not None:
        file.write_bytes(content)
    assert command.main(["import", "curiefense", str(file)]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert str(file) in err
