"""Whether ``[traces]`` can be used."""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.config.data import Sections
from edgenode.model.errors import Problem


def traces(configuration: Sections) -> Iterator[Problem]:
    """What is wrong, or of no use, in it."""
    section = configuration.traces
    for key, sentence, warning in section.faults():
        yield Problem(section.kind, key, sentence, warning=warning)
    origin = configuration.origins.get(section.origin or "")
    if origin is None:
        return
    if len({each.tls for each in origin.servers}) > 1:
        yield Problem(section.kind, "origin", f"[origin {section.origin}] has servers with TLS and without")
    if (section.token is not None or section.token_file is not None) and not origin.servers[0].tls:
        here = all(
            each.is_socket or each.host in ("localhost", "::1") or each.host.startswith("127.")
            for each in origin.servers
        )
        if not here:
            key = "token" if section.token_file is None else "token-file"
            yield Problem(
                section.kind, key, "without TLS whoever is on the way can read it: use https://", warning=True
            )
