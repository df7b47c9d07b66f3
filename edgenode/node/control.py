"""``python -m edgenode reload``: asks a running node to read its configuration again, and says what came of it.

The two talk over a Unix socket without a file, in Linux's abstract namespace, named after the node's process. Law: the
kernel says who is at the other end; a node obeys nobody but root and its own user, and the command believes nobody but
the process that it asked for.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure

_REQUEST = b"reload\n"
_DONE, _FAILED = b"done\n", b"failed\n"

_PATIENCE = 5
"""Seconds in which the command must have asked, and in which it must take what it is told."""

_MOST_CALLERS = 8

_LONGEST_WAIT = 300.0
"""Seconds for which the command waits for an answer: reloads take their turns."""

_log = Logger()


@frozen
class Report:
    """What came of a reload.

    :ivar done: whether the new configuration is in use.
    :ivar text: every problem, warnings too, or that there is none.
    """

    done: bool
    text: str


def listen(reactor: Any, reload: Callable[[], Deferred[Report]]) -> IListeningPort | None:
    """Wait to be asked for a reload; ``None``, and a line in the log, if somebody else has taken the name."""
    factory = _Callers(reload)
    try:
        port: IListeningPort = reactor.listenUNIX(_name(os.getpid()), factory)
    except CannotListenError as error:
        _log.error("python -m edgenode reload is not offered: {reason}", reason=str(error.socketError))
        return None
    return port


class _Callers(Factory):
    noisy = False

    def __init__(self, reload: Callable[[], Deferred[Report]]) -> None:
        self.reload = reload
        self.callers = 0

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        return _Caller(self)


class _Caller(Protocol, TimeoutMixin):
    """The command, as the node sees it."""

    transport: Any

    def __init__(self, callers: _Callers) -> None:
        self._callers = callers
        self._counted = False
        self._asked = b""

    def connectionMade(self) -> None:
        _, uid, _ = _peer(self.transport.getHandle())
        if uid not in (0, os.geteuid()) or self._callers.callers >= _MOST_CALLERS:
            self.transport.abortConnection()
            return
        self._callers.callers += 1
        self._counted = True
        self.setTimeout(_PATIENCE)

    def dataReceived(self, data: bytes) -> None:
        if self._asked == _REQUEST:
            return
        self._asked += data
        if self._asked == _REQUEST:
            self.setTimeout(None)
            self._callers.reload().addCallbacks(self._answer, self._fail)
        elif not _REQUEST.startswith(self._asked):
            self.transport.abortConnection()

    def _fail(self, failure: Failure) -> None:
        _log.failure("a reload failed", failure=failure)
        self._answer(Report(False, "the reload failed; the node's log says why"))

    def _answer(self, report: Report) -> None:
        if self.connected:
            self.setTimeout(_PATIENCE)
            self.transport.write((_DONE if report.done else _FAILED) + report.text.encode())
            self.transport.loseConnection()

    def timeoutConnection(self) -> None:
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.setTimeout(None)
        self._callers.callers -= self._counted


def ask(pid: int) -> Report:
    """Ask a node for a reload; this blocks.

    :param pid: its process.
    :raises OSError: if there is no such node, it does not answer, or it is not the one that does.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_LONGEST_WAIT)
        try:
            sock.connect(_name(pid))
        except ConnectionRefusedError:
            raise ConnectionRefusedError(0, "no node runs there") from None
        there, uid, _ = _peer(sock)
        if there != pid or (os.geteuid() != 0 and uid not in (0, os.geteuid())):
            raise PermissionError(0, "somebody else answers in its place")
        answer = b""
        with contextlib.suppress(ConnectionError):
            sock.sendall(_REQUEST)
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
    status, end, text = answer.partition(b"\n")
    if status + end not in (_DONE, _FAILED):
        raise ConnectionResetError(0, "it takes no orders from this user, or has ended")
    return Report(status + end == _DONE, text.decode())


def _name(pid: int) -> str:
    return f"\0edgenode.{pid}"


def _peer(sock: socket.socket) -> tuple[int, int, int]:
    """Process, user and group at the other end of a Unix socket, as of when it connected or began to listen."""
    pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid, gid
