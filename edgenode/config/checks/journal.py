"""Whether the keys of ``[journal]`` go together, and can be used here."""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.config.data import Sections
from edgenode.model.errors import Problem


def journal(configuration: Sections) -> Iterator[Problem]:
    """What is wrong, or of no use, in it."""
    section = configuration.journal
    for key, sentence, warning in section.faults():
        yield Problem(section.kind, key, sentence, warning=warning)
