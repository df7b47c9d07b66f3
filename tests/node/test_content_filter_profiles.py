"""Profiles and masks of a content filter, in a node."""

from __future__ import annotations

from typing import Any

import pytest

from edgenode.__main__ import main
from edgenode.observe.access_log import FORMATS
from edgenode.testing import FakeOrigin, MemoryNode, Sandbox

RULES = """
[path-map all]
origin         = app
content-filter = shop

[content-filter shop]
rules     = own.conf
mode      = {mode}
max-count = headers 20, arguments 3
max-value = arguments 60, path 20, body 200
restrict  =
    argument.page [0-9]{{1,3}}
    header.x-id [a-f0-9]+
ignore    = argument.comment
mask      = argument.password, cards
tags      = odd
"""

OWN = """
SecDefaultAction "phase:2,log,deny"
SecRule ARGS|REQUEST_COOKIES|REQUEST_URI "@rx (?i)union\\s+select\\s+\\w+" \\
    "id:1,phase:2,block,capture,t:none,t:urlDecodeUni,msg:'SQL',logdata:'found %{TX.0} in %{MATCHED_VAR}'"
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """Certificates, and a configuration that they fit."""
    made = Sandbox.make(tmp_path_factory.mktemp("sandbox"))
    (made.folder / "own.conf").write_text(OWN)
    return made


def asked(sandbox: Sandbox, *requests: tuple[str, str, dict[str, str], bytes | None], mode: str = "block") -> list[Any]:
    """The events of some requests, each a mapping with its access log."""
    with MemoryNode(sandbox.configuration(RULES.format(mode=mode)), {"app": FakeOrigin()}) as node:
        for method, target, headers, body in requests:
            node.client("www.test").ask(method, target, headers.items(), body)
        lines = ["\n".join(write(each) for write in FORMATS.values()) for each in node.sink.records]
        return [dict(event) | {"lines": line} for event, line in zip(node.events, lines, strict=True)]


def why(event: Any) -> list[str]:
    """The reasons of an event."""
    reasons = [each for each in event["reasons"] if each["stage"] == "content-filter"]
    return [f"{each['entry']}: {each['annotation']} -> {each['action']}" for each in reasons]


def test_what_does_not_look_as_the_profile_says_is_refused(sandbox: Sandbox) -> None:
    """Before a rule is asked, and with a reason that has no value."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    fine, many, page, long, body = asked(
        sandbox,
        ("GET", "/?page=1&a=2", {"x-id": "0f"}, None),
        ("GET", "/?a=1&b=2&c=3&d=union+select+x", {}, None),
        ("GET", "/?page=1;drop", {"x-id": "zz"}, None),
        ("GET", f"/?a={'x' * 61}", {}, None),
        ("POST", "/", form, b"page=7x&" + b"a" * 300),
    )
    assert (fine["status"], why(fine)) == (200, [])
    assert why(many) == ["arguments: more than 3 -> block"]
    assert {"odd", "cf-restrict:arguments", "action:block"} <= {*many["tags"]}
    assert why(page) == [
        "header.x-id: does not match what it is restricted to -> block",
        "argument.page: does not match what it is restricted to -> block",
    ]
    assert why(long) == ["argument.a: longer than 60 bytes -> block"]
    assert why(body) == [
        "argument.page: does not match what it is restricted to -> block",
        "body: longer than 200 bytes -> block",
    ]
    assert all(each["status"] == 403 for each in (many, page, long, body))
    assert "zz" not in page["lines"].replace("x-id: zz", "")


def test_monitoring_tells_of_both_profile_and_rules(sandbox: Sandbox) -> None:
    """And refuses nothing."""
    (event,) = asked(sandbox, ("GET", "/?page=x&q=union+select+x", {}, None), mode="monitoring")
    assert event["status"] == 200
    assert why(event)[0] == "argument.page: does not match what it is restricted to -> "
    assert any("SQL" in each for each in why(event)[1:])


def test_what_a_rule_has_found_in_a_masked_value_is_not_told(sandbox: Sandbox) -> None:
    """Neither the text that matched nor the data of the rule, nor where it stands in the address."""
    password, form = "x' union select hunter2", {"content-type": "application/x-www-form-urlencoded"}
    spelled = "x'+union+select+hunter2"
    in_query, in_form, other = asked(
        sandbox,
        ("GET", f"/?password={spelled}", {}, None),
        ("POST", "/", form, f"password={spelled}&q=1".encode()),
        ("GET", "/?q=union+select+visible", {}, None),
    )
    for event in (in_query, in_form):
        assert event["status"] == 403
        assert ": SQL: masked-" in why(event)[0]
        assert "hunter2" not in str(event)
        assert "union" not in str(event)
        assert password not in event["lines"]
    assert "union select visible" in str(other["reasons"])


def test_no_rule_looks_at_what_is_ignored_while_its_length_is_bounded(sandbox: Sandbox) -> None:
    """In a form, where no rule sees the whole address."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    passed, refused = asked(
        sandbox,
        ("POST", "/", form, b"comment=union+select+x"),
        ("POST", "/", form, b"comment=" + b"long" * 20),
    )
    assert passed["status"] == 200
    assert why(refused) == ["argument.comment: longer than 60 bytes -> block"]


def test_explain_tells_what_deviates(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """As the node does, and nothing of what is masked."""
    path = str(sandbox.write(RULES.format(mode="block")))
    assert main(["explain", path, "https://www.test/?page=x&password=hunter2"]) == 0
    told = capsys.readouterr().out
    assert "what the content filter shop lets nobody send" in told
    assert "argument.page  does not match what it is restricted to" in told
    assert "shop: 1 not as it should be -> block" in told
    assert "hunter2" not in told
