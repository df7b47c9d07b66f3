"""Warnings about tags: those that are looked for and never there, and those that are set and never looked for.

Law: a stage sees the tags of the stages before it, and of no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgenode.config import schema
from edgenode.config.checks.evidence import problem_at
from edgenode.config.compiled_rules import Formulas
from edgenode.config.data import Sections
from edgenode.config.system_filters import is_system
from edgenode.model.errors import Problem
from edgenode.policy.edgefunctions import REQUEST_BEFORE
from edgenode.policy.keys import Part
from edgenode.policy.tagging import BOT, FAMILIES, HUMAN, MESSAGE
from edgenode.policy.thresholds import Amount
from edgenode.proxy.routing import PathMap
from edgenode.rules.formulas import Computed, Leaf, every, leaves
from edgenode.rules.tags import canonical

_LATER: Mapping[str, tuple[str, int]] = {
    "flow": ("flow", 1),
    "dynamic-rule": ("dynamic-rule", 2),
    "rate-limit": ("limit", 2),
    "acl-profile": ("acl", 3),
}
"""The kinds of section whose tags come behind those of the filters: what stands before the colon in the tag of its
name, and its place in the order."""

_OF_CONTENT = ("cf-category", "cf-risk", "cf-rule")
"""The tags of content filters, which nothing looks at: they are put on last."""

_FAMILIES = (*(family for family, _ in _LATER.values()), *_OF_CONTENT)
_WORDS = ("all", "quarantine")
"""Automatic tags without a colon."""


def unset_tags(formulas: Formulas) -> Iterator[Problem]:
    """Tags that rules look for, and nothing sets before they are judged."""
    configuration, known = formulas.configuration, _of_filters(formulas)
    of_actions = {tag for action in formulas.actions.values() for tag in action.tags}
    later = _later(configuration)
    for header, own in formulas.own.items():
        for leaf in (leaf for formula in own for leaf in leaves(formula)):
            tag = leaf.predicate.sought
            if not isinstance(tag, str) or "tags" not in leaf.predicate.subject.needs or tag in known:
                continue
            plain = any(listener.tls == "no" for listener in configuration.listeners.values())
            if tag == "protocol:http" and not plain and not configuration.edge.trusted_proxies:
                sentence = (
                    "every request comes by https, unless one of trusted-proxies reports http in X-Forwarded-Proto"
                )
                yield problem_at(header, leaf.evidence, f"the tag {tag} never comes: {sentence}")
            if tag == MESSAGE and not any(map(_judges_messages, configuration.path_maps.values())):
                sentence = f"the tag {tag} never comes: no path map has rules see messages, with inspect-messages"
                yield problem_at(header, leaf.evidence, sentence)
            if tag.partition(":")[0] in _OF_CONTENT:
                sentence = f"the tag {tag} is a content filter's, and put on only after every filter has been judged"
                yield problem_at(header, leaf.evidence, sentence)
            elif tag in of_actions or tag.startswith("action:"):
                sentence = f"the tag {tag} is an action's, and put on only after every filter has been judged"
                yield problem_at(header, leaf.evidence, sentence)
            elif tag in later:
                sentence = (
                    f"the tag {tag} is that of [{later[tag][0]}], and put on only after every filter has been judged"
                )
                yield problem_at(header, leaf.evidence, sentence)
            elif not _is_automatic(tag):
                yield problem_at(header, leaf.evidence, f"nothing sets the tag {tag}")


def unset_tags_in_lists(formulas: Formulas) -> Iterator[Problem]:
    """Tags that stages behind the filters look for, and nothing sets before them."""
    configuration, later = formulas.configuration, _later(formulas.configuration)
    known = _of_filters(formulas) | {tag for action in formulas.actions.values() for tag in action.tags}
    for header, section in configuration.written():
        _, place = _LATER.get(type(section).kind, ("", len(_LATER)))
        for key, (setting, tags) in schema.values_of(section).items():
            for tag in tags if setting.notation.seeks else ():
                setter, at = later.get(tag, ("", 0))
                if at >= place:
                    sentence = f"the tag {tag} is that of [{setter}], and put on only after this was judged"
                    yield Problem(header, key, sentence, " ".join(tags), 0)
                elif tag.partition(":")[0] in _OF_CONTENT:
                    sentence = f"the tag {tag} is a content filter's, and put on only after this was judged"
                    yield Problem(header, key, sentence, " ".join(tags), 0)
                elif not setter and tag not in known and not _is_automatic(tag):
                    yield Problem(header, key, f"nothing sets the tag {tag}", " ".join(tags), 0)


def keys_without_values(formulas: Formulas) -> Iterator[Problem]:
    """Words of keys that no request has: tags that nothing sets before they are counted, and certificates where no
    client is asked for one. Who is counted under such a word alone is not counted at all."""
    configuration = formulas.configuration
    known = _of_filters(formulas) | {tag for action in formulas.actions.values() for tag in action.tags}
    asked = any(group.mtls != "off" for group in configuration.server_groups.values())
    for header, section in configuration.written():
        for key, part in _parts(section) if getattr(section, "active", True) else ():
            family = part.word.partition("tag.")[2]
            set_by_others = any(f"{tag}:".startswith(f"{family}:") for tag in known)
            if family and not set_by_others and not _is_automatic(family):
                yield Problem(header, key, f"nothing sets the tag {family} before this is counted")
            if "certificate" in part.needs and not asked:
                yield Problem(header, key, "looks at client certificates, and no server group asks for one")


def _parts(section: object) -> Iterator[tuple[str, Part]]:
    """The words by which a section counts, each with the key that it stands in."""
    for key, (_, value) in schema.values_of(section).items():
        for each in value if isinstance(value, tuple) else (value,):
            part = each.part if isinstance(each, Amount) else each
            if isinstance(part, Part):
                yield key, part


def vain_tags(formulas: Formulas) -> Iterator[Problem]:
    """Filters and flows that only tag, where nobody looks for their tags and no event tells of them."""
    configuration = formulas.configuration
    if configuration.edge.events is not None or configuration.journal.folder is not None:
        return
    if any("tags" in action.needs for action in formulas.actions.values()):
        return
    parts = [part for formula in formulas.judged.values() for part in every(formula)]
    if any(isinstance(part, Computed) and "tags" in part.needs for part in parts):
        return  # it may look for any
    sought: set[object] = {part.predicate.sought for part in parts if isinstance(part, Leaf)}
    for _, section in configuration.written():
        sought.update(tag for each, tags in schema.values_of(section).values() if each.notation.seeks for tag in tags)
    sentence = "nobody uses its tags: no rule looks for them, and without [edge] events nobody is told"
    for header, filter in formulas.filters:
        vain = filter.action is None and filter.tags and not sought & set(filter.tags)
        if vain and not is_system(header.partition(" ")[2]):
            yield Problem(header, "tags", sentence)
    for name, flow in configuration.flows.items():
        if flow.active and not sought & {canonical(f"flow:{name}"), *flow.tags}:
            yield Problem(f"flow {name}", "", sentence)


def _of_filters(formulas: Formulas) -> set[str]:
    """The tags that are there behind the filters, besides the automatic ones."""
    configuration = formulas.configuration
    known: set[str] = {tag for _, filter in formulas.filters for tag in filter.tags}
    known.update(tag for policy in configuration.security_policies.values() for tag in policy.tags)
    known.update(tag for store in configuration.trust_stores.values() for tag in store.tags)
    functions = configuration.edge_functions.values()
    known.update(tag for each in functions if each.point == REQUEST_BEFORE for tag in each.tags)
    known.update(() if formulas.tokens is None else (HUMAN, BOT))
    return known


def _later(configuration: Sections) -> dict[str, tuple[str, int]]:
    """The tags that come behind those of the filters: the header of the first section that sets each, and its place."""
    found: dict[str, tuple[str, int]] = {}
    for header, section in configuration.written():
        kind, _, name = header.partition(" ")
        if kind in _LATER and section.active:
            family, place = _LATER[kind]
            for tag in (canonical(f"{family}:{name}"), *getattr(section, "tags", ())):
                if tag not in found or place < found[tag][1]:
                    found[tag] = header, place
    return found


def _is_automatic(tag: str) -> bool:
    """Whether the node may set it, whatever is written."""
    family = tag.partition(":")[0]
    return tag in _WORDS or (family in FAMILIES and family not in _FAMILIES)


def _judges_messages(path_map: PathMap) -> bool:
    return path_map.websocket and path_map.inspect_messages != "no"
