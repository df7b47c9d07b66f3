"""Whether the keys of ``[admin]`` go together, and with the listeners."""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.config.data import Sections
from edgenode.model.errors import Problem


def admin(configuration: Sections) -> Iterator[Problem]:
    """What is wrong, or of no use, in it."""
    section = configuration.admin
    for key, sentence, warning in section.faults():
        yield Problem(section.kind, key, sentence, warning=warning)
    endpoint = section.endpoint
    if endpoint is None or endpoint.path:
        return
    address = endpoint.address
    for name, listener in configuration.listeners.items():
        if address.overlaps(listener.endpoint):
            yield Problem(section.kind, "endpoint", f"[listener {name}] listens on port {address.port} too")
