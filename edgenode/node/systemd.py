"""The node's state for systemd: the protocol of sd_notify(3), without its library.

Law: a node runs as well without systemd, and no state that cannot be sent holds anything up.
"""

from __future__ import annotations

import os
import socket
import time

from twisted.logger import Logger

_log = Logger()


def ready(status: str) -> None:
    """The node serves, after its start or a reload.

    :param status: for ``systemctl status``.
    """
    _notify("READY=1", f"STATUS={status}")


def reloading() -> None:
    """A reload has begun."""
    _notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """The node drains."""
    _notify("STOPPING=1", "STATUS=open requests end")


def _notify(*lines: str) -> None:
    """Send some assignments to the socket that systemd has named; one with ``@`` in front is an abstract one."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
            sock.sendto("\n".join(lines).encode(), address)
    except OSError as error:
        _log.warn("systemd was not notified: {reason}", reason=error.strerror)
