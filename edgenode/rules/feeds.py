"""Datafeeds: values that stand in no section but come from a source, for ``[list]`` and ``[global-filter]``."""

from __future__ import annotations

from typing import Annotated

from attrs import frozen

from edgenode.model.settings import Between, Choice, Reference, Seconds, Size, Source, setting
from edgenode.rules.feed_formats import Format


@frozen(slots=False)  # sections have a base already, and Python lays out but one with slots
class Feed:
    """Where values come from, and how much of it is believed."""

    source: tuple[Source, ...] = setting(
        "Where its values come from, one source a line: ``https://…``, ``file:PATH``, or ``self-managed``: from this "
        "file. What several hold is one content.",
        (),
    )
    format: Format = setting(
        "How the source is written: ``lines``, one value each; ``csv COLUMN``, its number or its name in the first "
        "row; ``separated SEPARATOR COLUMN``, such as ``separated tab 2``; ``json PATH``, such as "
        "``prefixes[*].ip_prefix``; ``json-lines PATH``, a document each.",
        Format(),
    )
    refresh: Seconds = setting(
        "How often an ``https`` source is asked; ``0``: only by ``edgenode feeds update``.", Seconds(86400.0)
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

    bad_lines: Annotated[str, Choice(("refuse", "skip"))] = setting(
        "What becomes of a content in which a line cannot be read: ``refuse`` all of it, or ``skip`` such lines with a "
        "warning. More bad lines than good ones are refused all the same.",
        "refuse",
    )

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources that there are: ``self-managed`` is none."""
        return tuple(each for each in self.source if each != Source())

    @property
    def remote(self) -> bool:
        """Whether a source is somewhere else."""
        return any(each.url for each in self.source)

    @property
    def whence(self) -> str:
        """All sources, a line each."""
        return "\n".join(map(str, self.sources))


def without_query(source: str) -> str:
    """Sources as they may be shown: their queries may hold keys."""
    return ", ".join(each.partition("?")[0] for each in source.split("\n"))
