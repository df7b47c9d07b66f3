"""Whether ``[traces]`` can be used."""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.config.data import Sections
from edgenode.model.errors import Problem
from edgenode.proxy.origin.server import Server


def traces(configuration: Sections) -> Iterator[Problem]:
    """What is wrong, or doubtful, in it."""
    section = configuration.traces
    for key, sentence, warning in section.faults():
        yield Problem(section.kind, key, sentence, warning=warning)
    origin = configuration.origins.get(section.origin or "")
    if origin is None or (section.token is None and section.token_file is None):
        return
    if any(not each.tls and not _is_here(each) for each in origin.servers):
        key = "token" if section.token_file is None else "token-file"
        sentence = "without TLS whoever is on the way can read it: the servers would have to be https"
        yield Problem(section.kind, key, sentence, warning=True)


def _is_here(server: Server) -> bool:
    """Whether it is on this machine, so that nobody is on the way."""
    return server.is_socket or server.host in ("localhost", "::1") or server.host.startswith("127.")
