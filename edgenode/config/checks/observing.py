"""Whether exporters have what they need, and send what there is.

Law: what cannot work is an error; that it looks at what can never be, or that others can read it, is a warning.
"""

from __future__ import annotations

import contextlib
import ipaddress
import pathlib
from collections.abc import Iterator

from edgenode.config import schema
from edgenode.config.checks.event_expressions import header_fault, of_expression
from edgenode.config.data import Sections
from edgenode.model.errors import Problem
from edgenode.observe.exporters.exporter import Exporter
from edgenode.proxy.origin.server import Server
from edgenode.tls.certificates import TOO_OPEN

_HEADERS = ("request", "headers")


def exporters(configuration: Sections) -> Iterator[Problem]:
    """What is wrong with exporters, or doubtful."""
    for name, exporter in configuration.exporters.items():
        header = f"{Exporter.kind} {name}"
        if configuration.journal.folder is None:
            yield Problem(header, "", "it reads events from the journal: [journal] folder is missing")
        for key, sentence, warning in exporter.faults():
            yield Problem(header, key, sentence, warning=warning)
        yield from _open_to_others(header, exporter)
        origin = configuration.origins.get(exporter.origin)
        if origin is not None and not all(map(_private, origin.servers)):
            sentence = "without TLS whoever is on the way can read events, and what the receiver knows the node by"
            yield Problem(header, "origin", sentence, exporter.origin, 0, warning=True)
        if exporter.expression is not None:
            yield from of_expression(configuration, header, "expression", exporter.expression)
        for each in exporter.fields:
            fault = header_fault(configuration, each.path[2]) if each.path[:2] == _HEADERS and each.path[2:] else ""
            if fault:
                yield Problem(header, "fields", fault, str(each), str(each).find(": ") + 2, warning=True)


def _open_to_others(header: str, exporter: Exporter) -> Iterator[Problem]:
    """Files with secrets that others can read; one that is not there has been reported."""
    for key, (_, value) in schema.values_of(exporter).items():
        if key.endswith("-file") and isinstance(value, pathlib.Path):
            with contextlib.suppress(OSError):
                if value.stat().st_mode & TOO_OPEN:
                    sentence = f"{value} is open to others than its owner and group; chmod 600 or 640 it"
                    yield Problem(header, key, sentence, warning=True)


def _private(server: Server) -> bool:
    """Whether nobody is on the way to a server who can read."""
    if server.tls or server.is_socket or server.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(server.host).is_loopback
    except ValueError:
        return False
