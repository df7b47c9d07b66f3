"""Whether what observes a node has what it needs."""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.config.data import Sections
from edgenode.model.errors import Problem


def exporters(configuration: Sections) -> Iterator[Problem]:
    """Exporters without a journal to read, and keys of theirs that do not go together."""
    for name, exporter in configuration.exporters.items():
        header = f"exporter {name}"
        if configuration.journal.folder is None:
            yield Problem(header, "", "it reads events from the journal: [journal] folder is missing")
        for key, sentence, warning in exporter.faults():
            yield Problem(header, key, sentence, warning=warning)
