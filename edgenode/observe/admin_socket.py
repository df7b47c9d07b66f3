"""The listening socket of ``[admin]``.

Law: the file of a socket at which nobody listens is replaced, that of somebody who does is not, and nothing else than
a socket is ever removed. Nobody can connect before the file has its permissions.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import Any

from twisted.internet.error import CannotListenError

from edgenode.observe.admin import Admin, AdminEndpoint
from edgenode.proxy.listener import binding

_BACKLOG = 16


class AdminSocket:
    """A socket that listens, non-blocking.

    :param section: where, and with which permissions.
    :param reactor: as :func:`edgenode.proxy.listener.binding.listening_socket` wants it.
    :raises CannotListenError: if the address, or the file, cannot be had.
    :ivar endpoint: where.
    :ivar socket: the socket.
    """

    def __init__(self, section: Admin, reactor: Any) -> None:
        assert section.endpoint is not None
        self.endpoint: AdminEndpoint = section.endpoint
        self._file: tuple[int, int] | None = None
        if not self.endpoint.path:
            self.socket = binding.listening_socket(self.endpoint.address, reactor)
            return
        try:
            self.socket = _bound(self.endpoint.path, section.mode.bits)
            self._file = _identity(self.endpoint.path)
        except OSError as error:
            raise CannotListenError("unix", self.endpoint.path, error) from error

    def chmod(self, section: Admin) -> None:
        """Give the file other permissions, if it is ours still."""
        if self._is_ours():
            with contextlib.suppress(OSError):
                os.chmod(self.endpoint.path, section.mode.bits)

    def close(self) -> None:
        """Listen no more, and remove the file, if it is ours still."""
        if self._is_ours():
            with contextlib.suppress(OSError):
                os.unlink(self.endpoint.path)
        self.socket.close()

    def _is_ours(self) -> bool:
        try:
            return self._file is not None and _identity(self.endpoint.path) == self._file
        except OSError:
            return False


def sentence(error: CannotListenError) -> str:
    """Why it cannot listen, in one sentence."""
    return binding.sentence(error)


def _bound(path: str, mode: int) -> socket.socket:
    _make_room(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        os.chmod(path, mode)  # before it listens every connection is refused
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _make_room(path: str) -> None:
    """Remove the file of a node that is no more.

    :raises OSError: if somebody listens there, or it is no socket.
    """
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise FileExistsError(errno.EEXIST, "there is another file, which is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except FileNotFoundError:
            return
        except BlockingIOError:
            pass  # so many are connecting to it that one more would have to wait
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino
