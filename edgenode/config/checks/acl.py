"""Whether ACL profiles do what they say.

Law: a list that lets in or refuses nobody, though it names somebody, is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgenode.config.compiled_rules import Formulas
from edgenode.model.errors import Problem
from edgenode.policy.acl import LISTS, ACLProfile
from edgenode.policy.actions import refuses

_FIRST: Mapping[str, tuple[str, ...]] = {
    "bypass": ("enforce-deny",),
    "allow-bot": ("enforce-deny", "bypass"),
    "deny-bot": ("enforce-deny", "bypass", "allow-bot"),
    "allow": ("enforce-deny", "bypass"),
    "deny": ("enforce-deny", "bypass", "allow"),
}
"""The lists that decide before another one, if both have a tag."""


def acl_profiles(formulas: Formulas) -> Iterator[Problem]:
    """Profiles that refuse nobody, and tags that another list of their profile decides on."""
    for name, profile in formulas.configuration.acl_profiles.items():
        header, lists = f"acl-profile {name}", profile.lists()
        refusing = any(lists[each] for each in ("enforce-deny", "deny-bot", "deny"))
        if not profile.active:
            continue
        if not refusing and lists["bypass"]:
            sentence = "nobody is refused: who is in no list passes"
            yield Problem(header, "", sentence, warning=True)
        elif not refusing:
            sentence = "has no effect: who is in no list passes; deny = all refuses everybody whom allow does not name"
            yield Problem(header, "", sentence, warning=True)
        action = formulas.actions[profile.action]
        if not refuses(action) or action.exempts:
            sentence = f"lets in those whom the lists refuse, for it is of type {type(action).__name__.lower()}"
            yield Problem(header, "action", sentence, profile.action, 0, warning=True)
        yield from _decided_before(header, profile)


def _decided_before(header: str, profile: ACLProfile) -> Iterator[Problem]:
    lists = profile.lists()
    for name in LISTS:
        for tag in lists[name]:
            before = next((each for each in _FIRST.get(name, ()) if {tag, "all"} & set(lists[each])), None)
            if before is not None:
                found = tag if tag in lists[before] else "all"
                sentence = f"{tag} has no effect here: {before} has {found}, and decides first"
                yield Problem(header, name, sentence, " ".join(lists[name]), 0, warning=True)
