"""Listening sockets: bound here, or opened by systemd and handed to us.

Law: a socket of systemd's is never closed, only a duplicate of it: so a reload, or a listener that comes back, can have
it again.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError

from edgenode.proxy.listener.listener import Endpoint

_UNSENT = 131072
"""Bytes that the kernel takes for a client beyond what the client lets it send: so what is taken is what moves on."""


def listening_socket(endpoint: Endpoint, reactor: Any) -> socket.socket:
    """A socket that listens, non-blocking; nothing is accepted yet. This may need root.

    :raises CannotListenError: if the address cannot be had.
    """
    sockets = getattr(reactor, "sockets", None)
    if sockets is not None:
        listening: socket.socket = sockets.listening(endpoint.interface, endpoint.port)
        return listening
    try:
        sock = _inherited(endpoint.inherited, reactor) if endpoint.inherited else _bound(endpoint)
        try:
            sock.setblocking(False)
            # Both are inherited by every accepted socket. Without the first Nagle and delayed acknowledgements add 40
            # ms to a request; without the second a client that reads nothing has 4 MiB of the kernel's memory filled.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
        except OSError:
            sock.close()
            raise
    except OSError as error:
        interface, _, port = str(endpoint).rpartition(":")
        raise CannotListenError(interface, port, error) from error
    return sock


def sentence(error: CannotListenError) -> str:
    """Why a port cannot be had, in one sentence."""
    return f"cannot listen on {error.interface}:{error.port}: {error.socketError.strerror}"


def _bound(endpoint: Endpoint) -> socket.socket:
    family = socket.AF_INET6 if ":" in endpoint.interface else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((endpoint.interface, endpoint.port))
        sock.listen(endpoint.backlog)
    except OSError:
        sock.close()
        raise
    return sock


def _inherited(which: str, reactor: Any) -> socket.socket:
    """A duplicate of a socket that systemd has passed (sd_listen_fds(3)).

    Twisted takes ``LISTEN_FDS`` out of the environment when it is imported, and hands the descriptors out only through
    an endpoint.
    """
    try:
        endpoint: Any = serverFromString(reactor, f"systemd:domain=INET:{which.replace(':', chr(92) + ':')}")
    except (LookupError, ValueError):
        raise OSError(errno.ENOENT, "systemd has passed no such socket") from None
    sock = socket.socket(fileno=os.dup(endpoint.fileno))
    os.set_inheritable(endpoint.fileno, False)
    listening = sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not listening or sock.family not in (socket.AF_INET, socket.AF_INET6):
        sock.close()
        raise OSError(errno.EINVAL, "systemd has passed something else than a listening TCP socket")
    return sock
