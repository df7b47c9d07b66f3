"""``edgenode import curiefense`` of limits, ACL profiles, flows and security policies: each does what it did there."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode import __main__ as command
from edgenode.config.curiefense import Imported, convert
from edgenode.config.curiefense_documents import documents
from edgenode.config.load import Configuration
from edgenode.model.decision import Decision, Respond
from edgenode.rules.matching.compiling import compile_formulas
from edgenode.rules.section_formulas import SectionFormulas
from edgenode.state.memory import MemoryState
from tests.commands.test_import import Sent, a_filter
from tests.support.configurations import changed, write_server

SITE = "[edge]\nsystem-filters = no\n\n" + changed({}) + "\n[origin origin]\nservers = http://127.0.0.1:8080\n"
BLOCK = {"id": "stop", "type": "custom", "params": {"status": 403, "content": "no"}}
TEAPOT = {"id": "teapot", "type": "custom", "params": {"status": 418, "content": "tea"}}
ACTIONS = [BLOCK, TEAPOT, {"id": "see", "type": "monitor", "params": {}}, {"id": "past", "type": "skip"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """What a minimal configuration takes."""
    return write_server(tmp_path_factory.mktemp("importing"))


class Product:
    """What was imported, at work: its security policies choose the path map, and its clock is set by hand."""

    def __init__(self, folder: pathlib.Path, **data: Any) -> None:
        self.imported: Imported = convert({"actions": ACTIONS, **data}, [], "x")
        self.configuration = Configuration.from_text(SITE + self.imported.text, folder)
        self.now = 1000.0
        self._state = MemoryState(lambda: self.now, lambda: self.now)

    def decide(self, target: str = "/", policy: str = "shop", **sent: Any) -> tuple[int, frozenset[str]]:
        """The status of the answer, 0 if the request passes; and its tags."""
        exchange = Sent(target, **sent).exchange()
        exchange.security_policy = policy
        formulas = SectionFormulas(self.configuration.rules.definitions)
        names = self.configuration.security_policies[policy].path_maps
        sections = [formulas.formula(self.configuration.path_maps[name], name) for name in names]
        (place, _), *_ = compile_formulas(sections).matching(exchange)
        exchange.path_map = names[place]
        decision = self.configuration.pipeline(names[place], state=self._state).decide(exchange)
        assert isinstance(decision, Decision)
        outcome = decision.outcome(exchange)
        return outcome.response.status if isinstance(outcome, Respond) else 0, decision.tags

    def statuses(self, *targets: str, **sent: Any) -> list[int]:
        """The statuses of several requests."""
        return [self.decide(target, **sent)[0] for target in targets]


def a_limit(**keys: Any) -> dict[str, Any]:
    """A global limit of two in a minute for each address."""
    usual = {"id": "l1", "name": "Two a minute", "active": True, "global": True, "timeframe": 60, "include": [],
             "exclude": [], "key": [{"attrs": "ip"}], "pairwith": {"self": "self"},
             "thresholds": [{"limit": 2, "action": "stop"}]}  # fmt: skip
    return {**usual, **keys}


def a_profile(**keys: Any) -> dict[str, Any]:
    """An ACL profile."""
    lists = ("allow", "allow_bot", "deny", "deny_bot", "force_deny", "passthrough")
    return {"id": "p1", "name": "Profile", "action": "stop", **{key: [] for key in lists}, **keys}


def a_policy(*entries: Mapping[str, Any], **keys: Any) -> dict[str, Any]:
    """A security policy whose entries have a name, an expression, and what they name."""
    usual = {"acl_profile": "__default__", "acl_active": False, "limit_ids": []}
    return {"id": "s1", "name": "Shop", "match": "www", "map": [{**usual, **each} for each in entries], **keys}


def a_flow(*steps: Mapping[str, Any], **keys: Any) -> dict[str, Any]:
    """A flow of these steps, for each address in a minute."""
    sequence = [{"method": "GET", "headers": {"host": "www.test"}, **step} for step in steps]
    usual = {"id": "f1", "name": "Checkout", "active": True, "include": ["all"], "exclude": [], "timeframe": 60}
    return {**usual, "tags": ["buyer"], "key": [{"attrs": "ip"}], "sequence": sequence, **keys}


# -- rate limits -------------------------------------------------------------------------------------------------------


def test_a_limit_counts_in_a_window_that_begins_with_a_request(folder: pathlib.Path) -> None:
    """It is over with the one after its number, tags that by its id and its name, and begins anew with the time."""
    product = Product(folder, ratelimits=[a_limit(tags=["busy"])])
    assert product.imported.losses == product.imported.remarks == ()
    assert product.statuses("/", "/a") == [0, 0]
    product.now += 59
    status, tags = product.decide("/")
    assert status == 403
    assert {"limit-id:l1", "limit-name:two-a-minute", "busy"} <= tags
    assert product.statuses("/", ip="192.0.2.8") == [0]
    product.now += 1
    assert product.statuses("/") == [0]


def test_a_limit_of_the_products_own_api(folder: pathlib.Path) -> None:
    """One threshold with its action, tags with a relation, and a ban with its time."""
    include, exclude = ({"relation": "OR", "tags": [tag]} for tag in ("all", "ip:192-0-2-8"))
    limit = a_limit(thresholds=None, threshold=1, action="action-rate-limit-block", is_action_ban=True, ttl=600)
    limit |= {"include": include, "exclude": exclude}
    product = Product(folder, ratelimits=[limit])
    assert product.statuses("/", "/") == [0, 471]
    product.now += 599
    assert product.statuses("/") == [471]
    product.now += 2
    assert product.statuses("/") == [0]
    assert product.statuses("/", "/", "/", ip="192.0.2.8") == [0, 0, 0]


@pytest.mark.parametrize(
    ("key", "requests", "expected"),
    [
        (
            [{"headers": "X-Org"}],
            [{"x-org": "a"}, {"x-org": "b"}, {"x-org": "a"}, {"x-org": "a"}, {}],
            [0, 0, 0, 403, 0],
        ),
        ([{"args": "q"}, {"attrs": "ip"}], ["/?q=1", "/?q=1", "/?q=2", "/?q=1", "/"], [0, 0, 0, 403, 0]),
        ([{"cookies": "id"}], [{"cookie": "id=1"}] * 3, [0, 0, 403]),
        ([{"attrs": "path"}], ["/a", "/a?x", "/a?y", "/b"], [0, 0, 403, 0]),
        ([{"attrs": "method"}, {"attrs": "authority"}], ["/", "/", "/"], [0, 0, 403]),
        ([{"attrs": "securitypolicyid"}, {"attrs": "securitypolicyentryid"}], ["/", "/", "/"], [0, 0, 403]),
        ([], ["/", "/", "/"], [0, 0, 403]),
        ([{"attrs": "ip", "args": None}], ["/", "/", "/"], [0, 0, 403]),
    ],
)
def test_what_limits_count_by(folder: pathlib.Path, key: Any, requests: Sequence[Any], expected: list[int]) -> None:
    """Attributes, headers, cookies and arguments; a request without one of them is not counted."""
    product = Product(folder, ratelimits=[a_limit(key=key)])
    assert not product.imported.losses
    found = [
        product.decide(each)[0] if isinstance(each, str) else product.decide("/", headers=tuple(each.items()))[0]
        for each in requests
    ]
    assert found == expected


def test_distinct_values_are_counted_with_a_pair(folder: pathlib.Path) -> None:
    """The same value again does not count, and no value neither."""
    product = Product(folder, ratelimits=[a_limit(pairwith={"args": "user"})])
    targets = ("/?user=a", "/?user=a", "/?user=b", "/", "/?user=a", "/?user=c")
    assert product.statuses(*targets) == [0, 0, 0, 0, 0, 403]


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [
        ([(0, "stop")], [403] * 4),
        ([(1, "see"), (2, "stop")], [0, 0, 403, 403]),
        ([(2, "stop"), (1, "teapot")], [0, 418, 403, 403]),
        ([(1, "stop"), (2, "see")], [0, 403, 403, 403]),
        ([(1, "past"), (2, "stop")], [0, 0, 403, 403]),
        ([(1, "missing")], [0, 503, 503, 503]),
        ([("1", "stop")], [0, 403, 403, 403]),
        ([(1, "stop"), (1, "teapot")], [0, 418, 418, 418]),
    ],
)
def test_of_several_thresholds_the_strongest_action_is_taken(
    folder: pathlib.Path, thresholds: list[tuple[Any, str]], expected: list[int]
) -> None:
    """Of equally strong ones that of the higher; one with a weaker action than a lower one has no effect."""
    given = [{"limit": limit, "action": action} for limit, action in thresholds]
    product = Product(folder, ratelimits=[a_limit(thresholds=given)])
    assert not product.imported.losses
    assert product.statuses("/", "/", "/", "/") == expected


def test_of_several_limits_the_later_ones_action_is_taken(folder: pathlib.Path) -> None:
    """Where they are equally strong; all of them are counted and tag."""
    limits = [
        a_limit(thresholds=[{"limit": 0, "action": "stop"}]),
        a_limit(id="l2", name="Other", thresholds=[{"limit": 0, "action": "teapot"}]),
    ]
    status, tags = Product(folder, ratelimits=limits).decide()
    assert status == 418
    assert {"limit-id:l1", "limit-id:l2"} <= tags


def test_a_ban_of_an_older_version_is_one(folder: pathlib.Path) -> None:
    """It was an action with another one in it."""
    ban = {"type": "ban", "params": {"duration": "300", "action": {"type": "response", "params": {"status": "429"}}}}
    product = Product(folder, ratelimits=[{**a_limit(thresholds=None), "limit": "1", "action": ban}])
    assert product.statuses("/", "/") == [0, 429]
    product.now += 299
    assert product.statuses("/") == [429]


def test_include_and_exclude_look_for_tags_of_filters_and_of_the_node(folder: pathlib.Path) -> None:
    """Any of them; with the relation AND a filter of its own looks for all."""
    filters = [
        a_filter(["path", "^/a", ""], name="a", tags=["one"]),
        a_filter(["method", "POST", ""], name="b", tags=["two"]),
    ]
    limit = a_limit(include={"relation": "AND", "tags": ["one", "two"]}, thresholds=[{"limit": 0, "action": "stop"}])
    product = Product(folder, globalfilters=filters, ratelimits=[limit])
    assert not product.imported.losses
    assert product.statuses("/a", "/b") == [0, 0]
    assert product.statuses("/a", "/b", method="POST") == [403, 0]


@pytest.mark.parametrize(
    ("keys", "loss"),
    [
        ({"key": [{"plugins": "jwt.sub"}]}, "key: nothing is counted by plugins here"),
        ({"key": [{"attrs": "tags"}]}, "key: nothing is counted by tags here"),
        ({"key": [{"attrs": "ip", "args": "x"}]}, "key: a part is one type and one name"),
        ({"key": "ip"}, "key: it cannot be read: ip"),
        ({"pairwith": {"plugins": "jwt.sub"}}, "pairwith: nothing is counted by plugins here"),
        ({"thresholds": [{"limit": "many", "action": "stop"}]}, "it has no number"),
        ({"timeframe": "soon"}, "timeframe: it is no number of seconds"),
        ({"include": {"headers": {"x": "y"}}}, "include: it has other keys than tags and relation"),
    ],
)
def test_a_limit_of_which_a_part_is_lost_does_not_count(folder: pathlib.Path, keys: Any, loss: str) -> None:
    """It would count others: it is written inactive, and what is lost is told."""
    product = Product(folder, ratelimits=[a_limit(**keys)])
    assert any(loss in each for each in product.imported.losses), product.imported.losses
    assert product.statuses("/", "/", "/", "/") == [0, 0, 0, 0]


def test_a_dynamic_rule_holds_what_it_counts(folder: pathlib.Path) -> None:
    """At once, and for its time; with the product's own status."""
    rule = {"id": "d1", "name": "Bursts", "active": True, "target": "headers_X-Org", "threshold": 2, "timeframe": 60,
            "ttl": 3600, "action": "action-dynamic-rule-block", "tags": ["burst"],
            "include": {"relation": "OR", "tags": ["all"]}, "exclude": {"relation": "OR", "tags": []}}  # fmt: skip
    product = Product(folder, dynamicrules=[rule])
    assert not product.imported.losses
    org, other = (("x-org", "a"),), (("x-org", "b"),)
    assert product.statuses("/", "/", "/", headers=org) == [0, 0, 474]
    product.now += 3599
    status, tags = product.decide("/", headers=org)
    assert (status, {"dynamic-rule:bursts", "burst"} <= tags) == (474, True)
    assert product.statuses("/", headers=other) == [0]
    product.now += 3601
    assert product.statuses("/", headers=org) == [0]


# -- ACL profiles and security policies --------------------------------------------------------------------------------


def test_entries_of_a_security_policy_are_path_maps(folder: pathlib.Path) -> None:
    """The one with the longest expression that matches is taken; each has its limits and its profile."""
    policy = a_policy(
        {"name": "rest", "match": "/", "limit_ids": ["l1"]},
        {"name": "admin", "match": "/admin", "acl_profile": "p1", "acl_active": True},
        {"name": "admin api", "match": "/ADMIN/api", "acl_profile": "p1", "limit_ids": ["l1", "l2"]},
    )
    limits = [a_limit(**{"global": False}), a_limit(id="l2", thresholds=[{"limit": 0, "action": "teapot"}])]
    limits[1]["global"], limits[1]["name"] = False, "None"
    product = Product(
        folder, securitypolicies=[policy], ratelimits=limits, aclprofiles=[a_profile(deny=["all"], tags=["denied"])]
    )
    assert not product.imported.losses
    maps = product.configuration.security_policies["Shop"].path_maps
    assert maps == ("admin-api", "admin", "rest")
    asked = [product.decide(target, "Shop") for target in ("/", "/x", "/y", "/admin", "/x/admin/API/y")]
    assert [status for status, _ in asked] == [0, 0, 403, 403, 418]
    assert [sorted(tag for tag in tags if tag.startswith("acl")) for _, tags in asked][2:] == [
        [],
        ["acl:profile", "aclid:p1", "aclname:profile"],
        ["aclid:p1", "aclname:profile"],
    ]
    assert ["denied" in tags for _, tags in asked] == [False] * 3 + [True, False]


@pytest.mark.parametrize(
    ("lists", "statuses"),
    [
        ({"deny": ["one"]}, [403, 0]),
        ({"allow": ["one"], "deny": ["all"]}, [0, 403]),
        ({"force_deny": ["one"], "passthrough": ["all"]}, [403, 0]),
        ({"passthrough": ["one"], "deny": ["all"]}, [0, 403]),
        ({"allow_bot": ["one"], "deny": ["all"]}, [403, 403]),
        ({"deny": ["IP:192.0.2.7"]}, [403, 403]),
    ],
)
def test_the_lists_of_a_profile(folder: pathlib.Path, lists: dict[str, list[str]], statuses: list[int]) -> None:
    """Six of them, by the product's names for them."""
    product = Product(
        folder,
        globalfilters=[a_filter(["path", "^/a", ""], name="a", tags=["one"])],
        aclprofiles=[a_profile(**lists)],
        securitypolicies=[a_policy({"name": "rest", "match": "/", "acl_profile": "p1", "acl_active": True})],
    )
    assert [product.decide(target, "Shop")[0] for target in ("/a", "/b")] == statuses


def test_a_profile_that_is_not_active_has_no_effect(folder: pathlib.Path) -> None:
    """And it is told that this is another thing than there."""
    product = Product(
        folder,
        aclprofiles=[a_profile(force_deny=["all"], deny_bot=["all"])],
        securitypolicies=[a_policy({"name": "rest", "match": "/", "acl_profile": "p1", "acl_active": False})],
    )
    assert product.decide("/", "Shop")[0] == 0
    assert any("here it does nothing" in each for each in product.imported.remarks)


def test_what_a_policy_names_and_is_not_there_is_told(folder: pathlib.Path) -> None:
    """Limits and profiles; and that origins are to be written."""
    policy = a_policy(
        {"name": "all", "acl_profile": "x", "acl_active": True, "limit_ids": ["y"], "backend_service": "b"}
    )
    imported = convert({"securitypolicies": [policy]}, [], "x")
    assert imported.losses == ("Shop, all: there is no rate limit y", "Shop, all: there is no ACL profile x")
    assert any("[origin b], which is to be written" in each for each in imported.remarks)


# -- flows -------------------------------------------------------------------------------------------------------------


def test_a_flow_tags_whoever_takes_its_steps_in_order(folder: pathlib.Path) -> None:
    """Method, host and path are equal texts; headers, cookies and arguments regular expressions in either case."""
    steps = (
        {"uri": "/cart"},
        {"uri": "/pay", "method": "POST", "args": {"card": "^vi"}, "headers": {"Host": "www.test", "X-One": "yes"}},
    )
    flow = a_flow(*steps)
    product = Product(folder, flowcontrol=[flow])
    assert product.imported.losses == product.imported.remarks == ()

    def paid(target: str, method: str = "POST", one: str = "YES", ip: str = "192.0.2.7") -> bool:
        tags = product.decide(target, method=method, headers=(("x-one", one),), ip=ip)[1]
        assert ("buyer" in tags) == ("fc-id:f1" in tags) == ("fc-name:checkout" in tags)
        return "buyer" in tags

    assert not paid("/pay?card=VISA")
    assert not paid("/cart", "GET")
    assert not paid("/Pay?card=VISA")
    assert not paid("/pay?card=evil")
    assert not paid("/pay?card=visa", "PUT")
    assert not paid("/pay?card=visa", one="no")
    assert not paid("/pay?card=visa", ip="192.0.2.8")
    assert paid("/pay?card=VISA")
    assert paid("/pay?card=visa")
    product.now += 60
    assert not paid("/pay?card=visa")


def test_limits_and_profiles_see_the_tags_of_flows(folder: pathlib.Path) -> None:
    """By the flow's own tags and by its name, of the very request that takes the last step."""
    flow = a_flow({"uri": "/a"}, {"uri": "/b"})
    limit = a_limit(include=["fc-name:checkout"], thresholds=[{"limit": 0, "action": "teapot"}])
    product = Product(folder, flowcontrol=[flow], ratelimits=[limit])
    assert product.statuses("/b", "/a", "/b", "/c", "/b") == [0, 0, 418, 0, 418]


@pytest.mark.parametrize(
    ("flow", "loss"),
    [
        (a_flow({"uri": "/a", "headers": {}}), "step 1: it has no header Host, without which it is never taken there"),
        (a_flow({"uri": "/a", "args": {"x": "("}}), "step 1: not a regular expression"),
        (a_flow({"uri": "/a", "plugins": {"jwt.x": "y"}}), "step 1: nothing looks at plugins here"),
        (a_flow(), "it has no steps"),
        (a_flow({"uri": "/a"}, key=[{"attrs": "tags"}]), "key: nothing is counted by tags here"),
    ],
)
def test_a_flow_of_which_a_part_is_lost_is_not_followed(folder: pathlib.Path, flow: dict[str, Any], loss: str) -> None:
    """It is written inactive."""
    product = Product(folder, flowcontrol=[flow])
    assert any(loss in each for each in product.imported.losses), product.imported.losses
    assert "buyer" not in product.decide("/a")[1]


# -- files -------------------------------------------------------------------------------------------------------------


def test_documents_are_told_apart_by_their_keys() -> None:
    """In a list of all kinds, or alone; in a whole configuration by the names of the lists, in every spelling."""
    policy, rule = a_policy({"name": "a"}), {"target": "ip", "ttl": 3600, "timeframe": 60, "threshold": 1}
    every = [a_filter(), BLOCK, a_limit(), a_profile(), a_flow({"uri": "/"}), rule, policy]
    found = documents(every)
    assert [found[kind] for kind in ("filters", "actions", "limits", "profiles", "flows", "rules", "policies")] == [
        [each] for each in every
    ]
    for each in every:
        assert sum(map(len, documents(each).values())) == 1
        assert documents({"total": 1, "items": [each]}) == documents([each])
    for name in ("ratelimits", "rate-limits", "rate-limit-rules", "rate_limit_rules"):
        assert documents({name: [a_limit()]})["limits"] == [a_limit()]


def test_a_folder_of_files_is_read_as_a_whole(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And so are several files."""
    (tmp_path / "limits.json").write_text(json.dumps([a_limit()]))
    (tmp_path / "actions.json").write_text(json.dumps(ACTIONS))
    (tmp_path / "flow-control.json").write_text(json.dumps([a_flow({"uri": "/a"}, {"uri": "/b"})]))
    assert command.main(["import", "curiefense", str(tmp_path)]) == 0
    of_folder, told = capsys.readouterr()
    assert told == ""
    assert re.findall(r"^\[(.*)\]$", of_folder, re.MULTILINE) == [
        "action stop", "flow Checkout", "section Checkout-1", "section Checkout-2", "rate-limit Two-a-minute",
    ]  # fmt: skip
    assert command.main(["import", "curiefense", *map(str, sorted(tmp_path.glob("*.json")))]) == 0
    assert capsys.readouterr().out.partition("\n")[2] == of_folder.partition("\n")[2]


@pytest.mark.parametrize("kind", ["limits", "aclprofiles", "flowcontrol", "securitypolicies", "dynamicrules"])
@pytest.mark.parametrize("junk", [None, 7, "x", {}, {"map": 7}, {"key": 7, "thresholds": 7}, {"sequence": [7]}, []])
def test_what_is_no_document_is_told(folder: pathlib.Path, kind: str, junk: Any) -> None:
    """Nothing of it is dropped in silence, and nothing is raised."""
    imported = convert({kind: [junk]}, [], "x")
    written = re.search(
        r"^\[(?:rate-limit|acl-profile|flow|security-policy|dynamic-rule) ", imported.text, re.MULTILINE
    )
    assert imported.losses or written
    Configuration.from_text(SITE + imported.text, folder)


@pytest.mark.parametrize(
    ("keys", "loss"),
    [
        ({"timeframe": 10**12}, "limit: expected a duration"),
        ({"timeframe": -1}, "limit: expected a duration"),
        ({"timeframe": 10**8}, "limit: a period is more than 0 and at most 366d"),
        ({"thresholds": [{"limit": 10**20, "action": "stop"}]}, "limit: expected a number"),
        ({"thresholds": [{"limit": 20000, "action": "stop"}], "pairwith": {"args": "x"}}, "of distinct ones at most"),
        ({"include": ["all"], "exclude": ["all"]}, "every request has the tag all"),
        ({"key": [{"headers": "a b"}]}, "key: "),
    ],
)
def test_what_the_node_could_not_read_is_written_as_a_comment(
    folder: pathlib.Path, keys: dict[str, Any], loss: str
) -> None:
    """With the reason; the rest of the configuration can be used."""
    policy = a_policy({"name": "rest", "match": "/", "limit_ids": ["l1"]})
    product = Product(folder, ratelimits=[a_limit(**{"global": False}, **keys)], securitypolicies=[policy])
    assert any(loss in each for each in product.imported.losses), product.imported.losses
    assert product.decide("/", "Shop")[0] == 0


_TEXTS = st.sampled_from(
    ("", "ip", "all", "a b", "\n[edge]\nmode = off", "é", "x" * 300, "#", "${a}", "(", "tag:x", "0")
)
_SCALARS = st.none() | st.booleans() | st.integers(-5, 10**16) | _TEXTS
_ANY = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3))
_KEYS = st.sampled_from(
    ("id", "name", "active", "global", "timeframe", "threshold", "thresholds", "limit", "action", "ttl", "include",
     "is_action_ban", "exclude", "key", "pairwith", "tags", "sequence", "steps", "target", "map", "match", "allow",
     "deny", "deny_bot", "force_deny", "passthrough", "session", "description")
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(("ratelimits", "aclprofiles", "flowcontrol", "dynamicrules", "securitypolicies")),
    st.dictionaries(_KEYS, _ANY, max_size=8),
)
def test_whatever_a_document_says_what_comes_of_it_can_be_used(
    folder: pathlib.Path, kind: str, document: dict[str, Any]
) -> None:
    """Nothing of it becomes a key or a section of its own, and none of it stops the node."""
    usual = {
        "ratelimits": a_limit(), "aclprofiles": a_profile(), "flowcontrol": a_flow({"uri": "/a"}, {"uri": "/b"}),
        "dynamicrules": {"target": "ip", "active": True}, "securitypolicies": a_policy({"name": "rest"}),
    }[kind]  # fmt: skip
    imported = convert({kind: [{**usual, **document}]}, [], "x")
    configuration = Configuration.from_text(SITE + imported.text, folder)
    assert configuration.edge.mode == "block"
