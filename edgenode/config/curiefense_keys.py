"""What curiefense, and Link11 WAAP, count by, as words of a key of edgenode.

Law: what is counted together there is counted together here, or the section is written inactive.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgenode.config.curiefense_made import Made
from edgenode.config.curiefense_rules import PAIRS, named_key
from edgenode.model.errors import InvalidValue
from edgenode.policy.keys import Part

_ATTRIBUTES: Mapping[str, str] = {
    "ip": "ip",
    "session": "ip",
    "path": "path",
    "uri": "uri",
    "query": "query",
    "method": "method",
    "authority": "authority",
    "host": "authority",
    "asn": "asn",
    "country": "country",
    "region": "region",
    "subregion": "subregion",
    "company": "organization",
    "organization": "organization",
    "network": "ip/24/56",
} | dict.fromkeys(
    ("secpolid", "securitypolicyid", "securitypolicy", "securitypolicyname"), "security-policy-name"
) | dict.fromkeys(
    ("secpolentryid", "securitypolicyentryid", "securitypolicyentry", "securitypolicyentryname"), "path-matching-name"
)  # fmt: skip
"""The attributes that things are counted by: the word here."""


def word(kind: str, name: str) -> str:
    """The word of a key here.

    :raises InvalidValue: if there is none.
    """
    if kind in ("attrs", "attributes"):
        if name not in _ATTRIBUTES:
            raise InvalidValue(f"nothing is counted by {name} here")
        return _ATTRIBUTES[name]
    pairs = "args" if kind == "arguments" else kind
    if pairs not in PAIRS:
        raise InvalidValue(f"nothing is counted by {kind} here")
    found = named_key(pairs, name)
    Part.from_text(found)
    return found


def words(made: Made, session: str) -> str:
    """The words of the key of a section.

    :param session: the word for a session.
    """
    found = []
    try:
        for kind, name in _selectors(made.document.get("key")):
            found.append(session if (kind, name) == ("attrs", "session") else word(kind, name))
            if name == "network":
                made.look("a network is that of the database there, and here one of /24, of IPv6 of /56")
    except (InvalidValue, AttributeError, TypeError) as why:
        made.lose(f"key: {why}")
    return ", ".join(dict.fromkeys(found))


def distinct(made: Made) -> str:
    """The word whose different values are counted instead of requests, if they are."""
    try:
        pairs = [pair for pair in _selectors(made.document.get("pairwith")) if pair[0] != "self"]
        return word(*pairs[0]) if pairs else ""
    except (InvalidValue, AttributeError, TypeError) as why:
        made.lose(f"pairwith: {why}")
        return ""


def _selectors(given: Any) -> list[tuple[str, str]]:
    """The parts of a key: each its type and its name.

    :raises InvalidValue: if one has not exactly these.
    """
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            raise InvalidValue(f"it cannot be read: {given}") from None
    found: list[tuple[str, str]] = []
    for each in [given] if isinstance(given, dict) else given or []:
        parts = {str(kind): str(name) for kind, name in each.items() if name} if isinstance(each, dict) else {}
        if len(parts) != 1:
            raise InvalidValue(f"a part is one type and one name, not {each}")
        found += parts.items()
    return found
