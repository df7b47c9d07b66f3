"""Ports that not everybody may bind, and how a node gets them.

Law: what is told is what the kernel would answer to this process; nothing is bound to find out.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

from edgenode.config.data import Sections

HOW = (
    "under systemd AmbientCapabilities=CAP_NET_BIND_SERVICE, or a socket unit and endpoint = systemd:...; by hand "
    "twistd --uid USER as root, which gives it up, or another port"
)
"""Ways to a privileged port."""

_FIRST_UNPRIVILEGED = pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_STATUS = pathlib.Path("/proc/self/status")

_BIND = 10
"""The number of ``CAP_NET_BIND_SERVICE`` (capabilities(7))."""


def privileged(configuration: Sections) -> Mapping[str, int]:
    """The ports that this process may not bind, by the listener."""
    least = _first_unprivileged()
    ports = {name: listener.endpoint for name, listener in configuration.listeners.items()}
    wanted = {name: each.port for name, each in ports.items() if not each.inherited and 0 < each.port < least}
    return {} if _may_bind() else wanted


def _first_unprivileged() -> int:
    try:
        return int(_FIRST_UNPRIVILEGED.read_text())
    except (OSError, ValueError):
        return 1024


def _may_bind() -> bool:
    try:
        status = _STATUS.read_text()
        return bool(int(status.partition("CapEff:")[2].split()[0], 16) >> _BIND & 1)
    except (OSError, ValueError, IndexError):
        return False
