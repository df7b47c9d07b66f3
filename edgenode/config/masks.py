"""What a configuration masks: of each path map, and in what is counted and held."""

from __future__ import annotations

from typing import Any, TypeVar

from attrs import evolve

from edgenode.config.data import Sections
from edgenode.policy.contentfilter.masking import MaskKey, Masks
from edgenode.policy.dynamicrules import DynamicRule
from edgenode.policy.flows import Flow
from edgenode.policy.keys import Part
from edgenode.policy.ratelimits import RateLimit

_Counting = TypeVar("_Counting", RateLimit, DynamicRule, Flow)


def masks_of(sections: Sections, key: MaskKey, path_map: str = "") -> Masks:
    """What is masked of the requests of a path map; false if nothing is.

    :param path_map: its name; without one everything that is masked anywhere.
    """
    filters = sections.content_filters
    if path_map:
        named = sections.path_maps[path_map].content_filter
        several = [filters[named]] if named is not None else []
    else:
        several = [*filters.values()]
    words = (*sections.masking.mask, *(word for each in several for word in each.mask))
    return Masks.of(words, key, tags_copied=bool(sections.edge_functions or sections.stages))


def hidden(sections: Sections, key: MaskKey) -> dict[str, Any]:
    """The sections that count, by the attribute that holds them, with what is masked anywhere masked in their keys:
    what they count is kept, shared and listed."""
    masks = masks_of(sections, key)
    return {
        "rate_limits": {name: _hiding(each, masks) for name, each in sections.rate_limits.items()},
        "dynamic_rules": {name: _hiding(each, masks) for name, each in sections.dynamic_rules.items()},
        "flows": {name: _hiding(each, masks) for name, each in sections.flows.items()},
    }


def _hiding(section: _Counting, masks: Masks) -> _Counting:
    changes: dict[str, Any] = {}
    if isinstance(section.key, Part):
        changes["key"] = section.key.hiding(masks)
    else:
        changes["key"] = tuple(each.hiding(masks) for each in section.key)
    if not isinstance(section, Flow) and section.count.part is not None:
        changes["count"] = evolve(section.count, part=section.count.part.hiding(masks))
    same = all(getattr(section, name) == value for name, value in changes.items())
    return section if same else evolve(section, **changes)
