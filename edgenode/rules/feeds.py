"""Datafeeds: values that stand in no section but come from a source, for ``[list]`` and ``[global-filter]``."""

from __future__ import annotations

from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.model.settings import Between, Choice, Reference, Seconds, Size, Source, setting
from edgenode.rules.feed_formats import Format


@frozen(slots=False)  # sections have a base already, and Python lays out but one with slots
class Sourced:
    """What comes from somewhere else, and how it is fetched.

    :cvar follows: whether a redirect of the server is followed.
    """

    follows: ClassVar[bool] = True

    source: tuple[Source, ...] = setting(
        "Where its values come from, one source a line: ``https://…``, ``file:PATH``, or ``self-managed``: "
        "from this file only. The values of all sources together are one content.",
        (),
    )
    refresh: Seconds = setting(
        "How often an ``https`` source is fetched; ``0``: only by ``edgenode feeds update``.",
        Seconds(86400.0),
    )
    trust_store: Annotated[str, Reference("trust-store")] | None = setting(
        "The authorities that are trusted for the server of the source; without the key the system's.", None
    )
    fetch_timeout: Seconds = setting("The time for a download, from the first packet to the last.", Seconds(60.0))
    max_size: Size = setting("The largest content, uncompressed; a larger one is refused.", Size(32 * 1024 * 1024))

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


@frozen(slots=False)
class Feed(Sourced):
    """Where values come from, and how much of it is believed."""

    format: Format = setting(
        "The format of the source: ``lines``, one value a line; ``csv COLUMN``, the column's number or its "
        "name in the first row; ``separated SEPARATOR COLUMN``, such as ``separated tab 2``; ``json PATH``, "
        "such as ``prefixes[*].ip_prefix``; ``json-lines PATH``, one document a line.",
        Format(),
    )
    most_shrink: Annotated[int, Between(0, 100)] = setting(
        "The percentage of values that new content may lack; if more are gone, the old content stays in "
        "use. Empty content lacks all.",
        50,
    )

    bad_lines: Annotated[str, Choice(("refuse", "skip"))] = setting(
        "What happens if a line of new content cannot be read: ``refuse`` all of it, or ``skip`` such lines "
        "with a warning. Content with more bad lines than good ones is refused in any case.",
        "refuse",
    )


def without_query(source: str) -> str:
    """Sources as they may be shown: their queries may hold keys."""
    return ", ".join(each.partition("?")[0] for each in source.split("\n"))
