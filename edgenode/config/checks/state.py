"""Whether the keys of ``[state]`` go together."""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.config.data import Sections
from edgenode.model.errors import Problem


def state(configuration: Sections) -> Iterator[Problem]:
    """What is wrong, or of no use, in it."""
    section = configuration.state_settings
    for key, sentence, warning in section.faults():
        yield Problem(section.kind, key, sentence, warning=warning)
