"""The documents in files of curiefense and Link11 WAAP, sorted by what they are of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_NAMES: Mapping[str, tuple[str, ...]] = {
    "filters": ("globalfilters", "tagrules", "profilinglists", "globalfilterlists"),
    "actions": ("actions",),
    "limits": ("ratelimits", "ratelimitrules", "limits"),
    "profiles": ("aclprofiles", "aclpolicies"),
    "flows": ("flowcontrol", "flowcontrolpolicies", "flows"),
    "rules": ("dynamicrules",),
    "policies": ("securitypolicies", "securitypolicy", "urlmaps"),
}
"""The kinds of documents, and what the product has called lists of them, without hyphens."""

_OF_NAME = {name: kind for kind, names in _NAMES.items() for name in names}

_LISTS = ("force_deny", "passthrough", "bypass", "enforce_deny", "allow_bot", "deny_bot")

Documents = dict[str, list[Any]]


def documents(data: Any) -> Documents:
    """The documents in a file: an object with lists by their kinds, as a whole configuration, a list, or one."""
    found: Documents = {kind: [] for kind in _NAMES}
    if isinstance(data, dict):
        inside = data.get("documents", data)
        lists = {_plain(name): each for name, each in inside.items()} if isinstance(inside, dict) else {}
        lists = {name: each for name, each in lists.items() if isinstance(each, list)}
        if _OF_NAME.keys() & lists.keys():
            for name in lists:
                if name in _OF_NAME:
                    found[_OF_NAME[name]] += lists[name]
            return found
        alone = len(lists) == 1 and not {"rule", "id", "entries"} & set(data)
        data = next(iter(lists.values())) if alone else [data]
    for each in data if isinstance(data, list) else [data]:
        found[_kind(each)].append(each)
    return found


def together(several: Iterable[Any]) -> Documents:
    """The documents of several files."""
    found: Documents = {kind: [] for kind in _NAMES}
    for data in several:
        for kind, each in documents(data).items():
            found[kind] += each
    return {_NAMES[kind][0]: each for kind, each in found.items() if each}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _kind(document: Any) -> str:
    """What a document that stands alone is of, by its keys; a global filter if that is not known."""
    keys = set(document) if isinstance(document, dict) else set()
    if keys & {"rule", "entries"}:
        return "filters"
    if keys & {"sequence", "steps"}:
        return "flows"
    if "target" in keys:
        return "rules"
    if "timeframe" in keys:
        return "limits"
    if keys.intersection(_LISTS):
        return "profiles"
    if "map" in keys:
        return "policies"
    return "actions" if {"id", "type"} <= keys else "filters"
