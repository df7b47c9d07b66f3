"""Datafeeds: values that stand in no section but come from a source, for ``[list]`` and ``[global-filter]``."""

from __future__ import annotations

from typing import Annotated

from attrs import frozen

from edgenode.model.settings import Between, Reference, Seconds, Size, Source, setting
from edgenode.rules.feed_formats import Format


@frozen(slots=False)  # sections have a base already, and Python lays out but one with slots
class Feed:
    """Where values come from, and how much of it is believed."""

    source: Source | None = setting(
        "Where its values come from: ``https://…``, ``file:PATH``, or ``self-managed``: from this file.", None
    )
    format: Format = setting(
        "How the source is written: ``lines``, one value each; ``csv COLUMN``, its number or its name in the first "
        "row; ``json PATH``, such as ``prefixes[*].ip_prefix``.",
        Format(),
    )
    refresh: Seconds = setting(
        "How often an ``https`` source is asked; ``0``: only by ``python -m edgenode feeds update``.", Seconds(86400.0)
    )
    trust_store: Annotated[str, Reference("trust-store")] | None = setting(
        "Whom to believe about the server of the source; without one the system's authorities.", None
    )
    fetch_timeout: Seconds = setting("How long a download may take, from the first packet to the last.", Seconds(60.0))
    max_size: Size = setting("The largest content, uncompressed; a larger one is refused.", Size(32 * 1024 * 1024))
    most_shrink: Annotated[int, Between(0, 100)] = setting(
        "The share of its values, in percent, that may be gone when it is refreshed; if more are, the old content "
        "stays in use. An empty content has lost all.",
        50,
    )

    @property
    def remote(self) -> bool:
        """Whether the source is somewhere else."""
        return self.source is not None and self.source.path is None


def without_query(source: str) -> str:
    """A source as it may be shown: its query may hold a key."""
    return source.partition("?")[0]
