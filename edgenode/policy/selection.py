"""What a pipeline has of its own: its state, and what its path map names of the sections that are not everywhere."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from attrs import frozen

from edgenode.model.interfaces import Stage
from edgenode.policy.contentfilter.masking import NOTHING_MASKED, Masks
from edgenode.state.interface import State


@frozen(eq=False)
class Selection:
    """What a pipeline needs that is not the same for all.

    :ivar state: what is remembered between requests.
    :ivar rate_limits: the names of the rate limits of the path map, besides the global ones.
    :ivar flows: likewise of its flows.
    :ivar dynamic_rules: likewise of its dynamic rules.
    :ivar acl_profile: the name of its ACL profile; empty for none.
    :ivar content_filter: likewise of its content filter.
    :ivar masks: what is never told in clear of its requests.
    """

    state: State | None = None
    rate_limits: tuple[str, ...] = ()
    flows: tuple[str, ...] = ()
    acl_profile: str = ""
    dynamic_rules: tuple[str, ...] = ()
    content_filter: str = ""
    masks: Masks = NOTHING_MASKED


NO_SELECTION = Selection()


@runtime_checkable
class Selectable(Protocol):
    """A compiled stage that is not the same in all pipelines."""

    @property
    def name(self) -> str:
        """The stage's name."""

    def selected(self, selection: Selection) -> Stage | None:
        """The stage for one of them; ``None`` if it has nothing to do there."""
