"""Whether rules can match what they say: names that exist, sections that say something, databases that are asked.

Law: what could never match as its author meant it is an error; what is only of no use is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.config.checks.path_maps import with_inner
from edgenode.config.compiled_rules import Formulas
from edgenode.config.data import Sections
from edgenode.config.notation import suggestion
from edgenode.model.errors import Problem
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.policy.inspection import AMBIGUOUS, Inspection
from edgenode.proxy.routing import PathMap
from edgenode.rules.formulas import needs_of
from edgenode.rules.readings import OF_CATEGORY
from edgenode.rules.sections import Section


def without_effect(configuration: Sections) -> Iterator[Problem]:
    """Filters that do nothing, and rule lists that say nothing."""
    for name, filter in configuration.global_filters.items():
        if not filter.tags and filter.action is None:
            yield Problem(f"global-filter {name}", "", "has neither tags nor an action, and so no effect", warning=True)
    for header, section in configuration.with_rules():
        if section.empty and not header.startswith("path-map"):
            matches = "every request" if section.relation == "and" else "nothing"
            yield Problem(header, "", f"has neither entries nor sections, and so matches {matches}", warning=True)
        feed = section.feed if isinstance(section, GlobalFilter) else None
        categories = {each.category for each in (*section.entries, *([] if feed is None else [feed.entry]))}
        known = frozenset[str]().union(*(OF_CATEGORY.get(each, ()) for each in categories))
        known |= frozenset(configuration.edge.readings)
        idle = [reading for reading in section.readings if reading not in known]
        if idle:
            sentence = f"has no effect: none of its entries has the reading {', '.join(idle)}"
            sentence += "; filters have readings of their own" if isinstance(section, PathMap) else ""
            yield Problem(header, "readings", sentence, warning=True)


def unknown_names(formulas: Formulas) -> Iterator[Problem]:
    """Entries that look for the name of a section that does not exist."""
    configuration = formulas.configuration
    kinds = {"path-matching-name": configuration.path_maps, "security-policy-name": configuration.security_policies}
    for header, section in configuration.with_rules():
        for entry in section.entries:
            known = kinds.get(entry.category)
            if known is not None and entry.pattern not in known:
                kind = "path-map" if entry.category == "path-matching-name" else "security-policy"
                sentence = f"there is no [{kind} {entry.pattern}]{suggestion(entry.pattern, known)}"
                yield Problem(header, entry.key, sentence, entry.value, len(entry.value) - len(entry.pattern))


def geography_without_database(formulas: Formulas) -> Iterator[Problem]:
    """Rules on the place of a client without a database of ``[geo]``: whom they shall refuse would be let in."""
    configuration = formulas.configuration
    for header, section in () if configuration.geo else configuration.with_rules():
        if header in formulas.judged:
            entries = [entry for inner in with_inner(section, configuration.sections) for entry in inner.entries]
            tagged = any(entry.category == "tag" and entry.pattern.startswith("geo-") for entry in entries)
            if tagged or "geography" in _needs(section, formulas):
                sentence = "looks at where a client is, which nobody knows: no database is named in [geo]"
                yield Problem(header, "", sentence)


def uninspected(formulas: Formulas) -> Iterator[Problem]:
    """Path maps in which what rules cannot see is let through."""
    configuration = formulas.configuration
    stage = Inspection.of(configuration.global_filters, formulas.section_formulas, formulas.actions)
    limits = [each for each in configuration.rate_limits.values() if each.active]
    counted = frozenset[str]().union(*(part.needs for limit in limits for part in limit.parts))
    stage = stage.looking(counted, frozenset())
    for name, path_map in configuration.path_maps.items():
        unseen = stage.all_unseen if path_map.websocket else stage.unseen
        ambiguous, unseen = AMBIGUOUS in unseen, unseen - {AMBIGUOUS}
        if unseen and path_map.uninspected == "pass":
            sentence = "lets through what rules look for if there is more in front of it than they look at: "
            yield Problem(f"path-map {name}", "uninspected", f"{sentence}{', '.join(sorted(unseen))}", warning=True)
        if ambiguous and path_map.ambiguous_multipart == "pass":
            sentence = "lets through what an origin may read otherwise than filters do"
            yield Problem(f"path-map {name}", "ambiguous-multipart", sentence, warning=True)


def _needs(section: Section, formulas: Formulas) -> frozenset[str]:
    known = formulas.section_formulas
    return section.looks_at("", known) if isinstance(section, GlobalFilter) else needs_of(known.formula(section, ""))
