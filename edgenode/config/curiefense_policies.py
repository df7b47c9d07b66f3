"""Security policies and ACL profiles of curiefense, and of Link11 WAAP: entries of a policy are path maps of edgenode.
Filters put on the tags by which the product knows the profile that an entry names.

Law: the entry that is taken is the same: there the one with the longest expression that matches, here the first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field

from edgenode.config.curiefense_made import SENTENCE, Made, Naming, listed, made_of
from edgenode.config.curiefense_rules import PAIRS, Rule, named_key, own_tags, pattern, plain, slug
from edgenode.model.errors import InvalidValue

_EVERYTHING = ("/", "^/", ".*", "/.*", "^/.*")
"""Expressions that every path matches."""

_LISTS: Mapping[str, tuple[str, ...]] = {
    "enforce-deny": ("force_deny", "enforce_deny"),
    "bypass": ("passthrough", "bypass"),
    "allow-bot": ("allow_bot",),
    "deny-bot": ("deny_bot",),
    "allow": ("allow",),
    "deny": ("deny",),
}
"""The lists of a profile here, and what they are called there."""


def session_word(policies: Sequence[Any]) -> tuple[str, str]:
    """The word for a session, and a remark on it, or nothing: what all policies say of it first."""
    said = {json.dumps(each.get("session") or [{"attrs": "ip"}]) for each in policies if isinstance(each, dict)}
    if said == {json.dumps([{"attrs": "ip"}])} or not policies:
        return "ip", ""
    sentence = "a session is what a security policy says: here it is the address of the client"
    try:
        (alone,) = said
        ((kind, name), *_) = json.loads(alone)[0].items()
    except (ValueError, AttributeError, IndexError, KeyError, TypeError):
        return "ip", sentence
    if kind in PAIRS:
        return named_key(kind, str(name)), ""
    return ("ip", "") if name == "ip" else ("ip", sentence)


def profiles(naming: Naming, several: Sequence[Any], *, named: bool) -> list[Made]:
    """ACL profiles.

    :param named: whether there are path maps that name them; then filters put the tags on that name them.
    """
    found = []
    for made in made_of(naming, "acl-profile", several):
        document = made.document
        made.active = document.get("active") is not False
        for key, names in _LISTS.items():
            made.write(key, " ".join(made.tags(tag for name in names for tag in listed(document.get(name)))))
        action = made.action(naming, document.get("action") or "action-acl-block")
        made.write("action", action if action and action != "block" else "")
        made.write_tags(() if named else _names_of(document))
        if not named:
            made.look("it holds for the path maps that name it in acl-profile")
        found.append(made)
    return found


def _names_of(profile: Mapping[str, Any]) -> list[str]:
    """The tags by which the product knows a profile."""
    return [f"aclid:{profile.get('id', '')}", f"aclname:{profile.get('name', '')}"]


@define
class Policies:
    """Makes path maps and security policies.

    :ivar naming: gives names.
    :ivar limits: the rate limits by the id of their documents.
    :ivar profiles: likewise the ACL profiles.
    :ivar losses: what could not be expressed.
    :ivar remarks: what is to be looked at.
    """

    naming: Naming
    limits: Mapping[str, Made]
    profiles: Mapping[str, Made]
    losses: list[str] = field(factory=list)
    remarks: list[str] = field(factory=list)
    _users: dict[str, list[str]] = field(factory=dict)

    def written(self, documents: Sequence[Any]) -> list[list[str]]:
        """The sections of security policies, each as its lines."""
        found: list[list[str]] = []
        for document in documents:
            if not isinstance(document, dict) or not isinstance(document.get("map"), list):
                self.losses.append(f"a security policy that is none: {plain(document)}")
                continue
            found += self._policy(document)
        return found + [self._named(profile, users) for profile, users in self._users.items()]

    def _policy(self, document: Mapping[str, Any]) -> list[list[str]]:
        title = plain(document.get("name") or document.get("id") or "a security policy")
        entries = [each for each in document["map"] if isinstance(each, dict)]
        if len(entries) < len(document["map"]) or not entries:
            self.losses.append(f"{title}: its map has none, or something that is no entry")
        if not entries:
            return []
        entries.sort(key=lambda each: -len(str(each.get("match") or "/")))
        names, sections = [], []
        for entry in entries:
            name = self.naming.name("path-map", str(entry.get("name") or entry.get("id") or "entry"))
            names.append(name)
            sections.append(self._entry(name, f"{title}, {plain(entry.get('name') or name)}", entry))
        policy = self.naming.name("security-policy", title)
        tags = own_tags(document.get("tags"), self.losses)
        lines = [f"# {title}: of the hosts that match {plain(document.get('match'))}"] if document.get("match") else []
        lines += [f"[security-policy {policy}]", f"path-maps = {', '.join(names)}"]
        lines += [f"tags = {' '.join(tags)}"] if tags else []
        if not any(str(entry.get("match") or "/") in _EVERYTHING for entry in entries):
            self._look(f"{title}: a path that none of its entries matches gets 404 here")
        return [*sections, lines]

    def _entry(self, name: str, title: str, entry: Mapping[str, Any]) -> list[str]:
        rule, match = Rule("and"), str(entry.get("match") or "/")
        if match not in _EVERYTHING:
            try:
                rule.add("path", pattern(match))
            except InvalidValue as why:
                self.losses.append(plain(f"{title}: match {match}: {why}", SENTENCE))
                rule = Rule("or")
        origin = slug(str(entry.get("backend_service") or "origin"))
        self._look(f"the path maps forward to [origin {origin}], which is to be written")
        lines = [f"[path-map {name}]", f"origin = {origin}", *rule.written()]
        limits = []
        for each in entry.get("limit_ids") or entry.get("rate_limit_rules") or ():
            made = self.limits.get(str(each))
            if made is None or not made.readable:
                self.losses.append(f"{title}: there is no rate limit {plain(each)}")
            elif made.document.get("global") is not True and made.name not in limits:
                limits.append(made.name)
        lines += [f"rate-limits = {', '.join(limits)}"] if limits else []
        return [*lines, *self._profile(name, title, entry)]

    def _profile(self, name: str, title: str, entry: Mapping[str, Any]) -> list[str]:
        given = str(entry.get("acl_profile") or "")
        active = entry.get("acl_active", entry.get("acl_profile_active", True)) is True
        profile = self.profiles.get(given)
        if profile is None or not profile.readable:
            if active and given not in ("", "__default__", "__acldefault__"):
                self.losses.append(f"{title}: there is no ACL profile {plain(given)}")
            return []
        self._users.setdefault(given, []).append(name)
        if not active:
            if profile.document.get("tags") or profile.document.get("deny_bot"):
                sentence = "where it is not active there it still sets its tags, and challenges; here it does nothing"
                self._look(f"ACL profile {profile.title}: {sentence}")
            return []
        return [f"acl-profile = {profile.name}"]

    def _named(self, profile: str, users: Sequence[str]) -> list[str]:
        """The filter that puts on the tags that name a profile."""
        made = self.profiles[profile]
        tags = own_tags(_names_of(made.document), self.losses)
        name = self.naming.name("global-filter", f"acl-{made.name}")
        lines = [f"[global-filter {name}]", f"tags = {' '.join(tags)}", "relation = or", "path-matching-name ="]
        return [*lines, *(f"    {each}" for each in users)]

    def _look(self, remark: str) -> None:
        if remark not in self.remarks:
            self.remarks.append(remark)
