"""What the configuration says of dynamic rules that would hold nobody, or everybody."""

from __future__ import annotations

import pytest

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from tests.support.node import PKI, ini

RULE = {"limit": "5 per 1m"}


def problems(pki: PKI, keys: dict[str, str | None], **path_map: str) -> list[str]:
    """Every problem and warning of a rule."""
    text = ini(1, {"dynamic-rule scanners": {**RULE, **keys}, "path-map all": path_map})
    try:
        found = Configuration.from_text(text, pki.folder, {}).warnings
    except ConfigurationError as error:
        found = tuple(error.problems)
    return [f"{each.key}: {each.sentence}" for each in found]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"limit": None}, "limit: this key is required"),
        ({"action": "nobody"}, "action: there is no [action nobody]"),
        ({"action": "skip"}, "action: an action that lets requests pass does not hold them"),
        ({"key": "country"}, ": looks at where a client is, which nobody knows: no database is named in [geo]"),
        ({"key": "http.request.method"}, "key: a value of method is common to many clients, and one of them would"),
        ({"key": "ip/7/64"}, "key: so wide a network holds too many: one is a /8 of IPv4 or a /20 of IPv6 at most"),
        ({"key": "ip/32/0"}, "key: so wide a network holds too many"),
        ({"exclude": "all"}, "exclude: every request has the tag all, and so nothing is counted"),
        ({"key": "ip, country"}, "key: there is no category ip, country"),
        ({"limit": "5 per 1m block"}, "limit: the action of a dynamic rule is written in action"),
        ({"limit": "5"}, "limit: expected a number and a period"),
        ({"hold": "0"}, "hold: nothing is held for no time at all"),
        ({"include": "nobody-sets-it"}, "include: nothing sets the tag nobody-sets-it"),
        ({"key": "header.x-forwarded-for"}, "key: any client can write what it likes into it"),
        ({"global": "no"}, ": nothing refers to this section"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said(pki: PKI, keys: dict[str, str | None], problem: str) -> None:
    """With the key that it stands in."""
    (found,) = problems(pki, keys)
    assert found.startswith(problem)


def test_a_rule_that_is_right_has_no_problem(pki: PKI) -> None:
    """In whatever of its forms."""
    assert problems(pki, {}) == []
    assert problems(pki, {"key": "argument.user", "count": "distinct ip", "limit": "5 per 1s\n  50 per 1h"}) == []
    assert problems(pki, {"global": "no"}, **{"dynamic-rules": "scanners"}) == []
    (found,) = problems(pki, {}, **{"dynamic-rules": "scanners"})
    assert found == "global: holds everywhere, also where no path map names it: global = no"
    (found,) = problems(pki, {}, **{"dynamic-rules": "scanner"})
    assert found.startswith("dynamic-rules: there is no [dynamic-rule scanner]")
