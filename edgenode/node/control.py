"""A running node is asked to read its configuration again, what it is, what its lists hold, or about its quarantine
and its origins.

``edgenode reload`` talks to the node over a Unix socket without a file, in Linux's abstract namespace, named
after the node's process. Law: the kernel says who is at the other end. A node obeys nobody but root and its own user.
The command believes nobody but the process that it asked for, if that is root's or of its own user.

The protocol: the command sends :data:`REQUEST`, :data:`STATUS`, :data:`FEEDS`, or an :func:`order`, which is a line
with arguments; the node answers with a line, ``done`` or ``failed``, and the report in UTF-8 behind it, and closes.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure

REQUEST = b"reload\n"
FEEDS = b"feeds\n"
STATUS = b"status\n"
QUARANTINE = b"quarantine "
ORIGINS = b"origins "
"""What an order begins with, as does the one above: whose it is."""
LONGEST_ORDER = 16 * 1024
"""Bytes of an order, its end included."""
_DONE, _FAILED = b"done\n", b"failed\n"

PATIENCE = 5
"""Seconds within which the command must have asked, and within which it must have taken the answer."""

MOST_CALLERS = 8
"""Connections at a time; further ones are closed."""

_LONGEST_WAIT = 300.0
"""Seconds for which the command waits for an answer: reloads take their turns."""

_log = Logger()


@frozen
class Report:
    """What came of a reload, what the node is, or what lists and datafeeds hold.

    :ivar done: whether the new configuration is in use, and all that its files hold.
    :ivar text: every problem, warnings too, or that there is none; what was asked for.
    """

    done: bool
    text: str


Answer = Callable[[], Deferred[Report]]
"""Does what a command asks for."""

Obey = Callable[[Mapping[str, str], int], Deferred[Report]]
"""Does what an order says, whose arguments are checked by nobody yet; for the user of this number, as the kernel says.
"""

PeerOf = Callable[[socket.socket], tuple[int, int]]
"""Says which process and which user is at the other end of a socket."""


def process_and_user(sock: socket.socket) -> tuple[int, int]:
    """Process and user at the other end of a Unix socket, as of when it connected or began to listen (unix(7))."""
    pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid


# -- the node ----------------------------------------------------------------------------------------------------------


def listen(
    reactor: Any,
    reload: Answer,
    peer_of: PeerOf = process_and_user,
    feeds: Answer | None = None,
    quarantine: Obey | None = None,
    status: Answer | None = None,
    origins: Obey | None = None,
) -> IListeningPort | None:
    """Wait to be asked.

    :param reload: reads the configuration again.
    :param feeds: says what lists and datafeeds hold.
    :param quarantine: does what an order says.
    :param status: says what the node is, as JSON.
    :param origins: does what an order of its own says.
    :returns: the port; ``None``, and a line in the log, if somebody else has taken the name.
    """
    given = {REQUEST: reload, FEEDS: feeds, STATUS: status}
    answers = {request: answer for request, answer in given.items() if answer is not None}
    obeying = {QUARANTINE: quarantine, ORIGINS: origins}
    orders = {word: obey for word, obey in obeying.items() if obey is not None}
    callers = _Callers.forProtocol(_Caller, reactor, answers, peer_of, orders)
    try:
        port: IListeningPort = reactor.listenUNIX(_name(os.getpid()), callers)
    except CannotListenError as error:
        _log.error("edgenode reload is not offered: {reason}", reason=str(error.socketError))
        return None
    return port


class _Callers(Factory):
    """The connections of commands.

    :ivar connected: how many there are.
    """

    noisy = False

    def __init__(
        self, reactor: Any, answers: Mapping[bytes, Answer], peer_of: PeerOf, orders: Mapping[bytes, Obey]
    ) -> None:
        self.reactor, self.answers, self.peer_of, self.orders = reactor, answers, peer_of, orders
        self.connected = 0


class _Caller(Protocol, TimeoutMixin):
    """The command, as the node sees it."""

    transport: Any
    factory: Any
    _counted = False
    _uid = -1
    _received = b""
    _asked = ""

    def callLater(self, period: float, func: Callable[[], None]) -> Any:
        """The timer of :class:`TimeoutMixin`."""
        return self.factory.reactor.callLater(period, func)

    def connectionMade(self) -> None:
        """Obey root and our own user, and only so many at a time."""
        _, self._uid = self.factory.peer_of(self.transport.getHandle())
        if self._uid not in (0, os.geteuid()) or self.factory.connected >= MOST_CALLERS:
            self.transport.abortConnection()
            return
        self.factory.connected += 1
        self._counted = True
        self.setTimeout(PATIENCE)

    def dataReceived(self, data: bytes) -> None:
        """Answer once the whole request is there; what follows it is ignored, and anything else ends the connection."""
        if not self._counted or self._asked:
            return
        self._received += data
        answer = self._wanted()
        if answer is not None:
            self.setTimeout(None)
            self._asked = self._received.decode("ascii").split()[0]
            maybeDeferred(answer).addCallbacks(self._answer, self._fail)
        elif not self._may_become_one():
            self.transport.abortConnection()

    def _wanted(self) -> Answer | None:
        """What answers the request, if it is there."""
        line, end, _ = self._received.partition(b"\n")
        for word, obey in self.factory.orders.items() if end else ():
            arguments = _arguments(line, word)
            if arguments is not None:
                return partial(obey, arguments, self._uid)
        answer: Answer | None = self.factory.answers.get(self._received)
        return answer

    def _may_become_one(self) -> bool:
        received = self._received
        if any(request.startswith(received) for request in self.factory.answers):
            return True
        if b"\n" in received or len(received) >= LONGEST_ORDER:
            return False
        return any(received.startswith(word) or word.startswith(received) for word in self.factory.orders)

    def _fail(self, failure: Failure) -> None:
        _log.failure("the command {what} failed", what=self._asked, failure=failure)
        self._answer(Report(False, f"the {self._asked} failed; the node's log says why"))

    def _answer(self, report: Report) -> None:
        if self.connected:
            self.setTimeout(PATIENCE)
            # Names of files need not be UTF-8: what cannot be encoded is escaped.
            text = report.text.encode("utf-8", "backslashreplace")
            self.transport.write((_DONE if report.done else _FAILED) + text)
            self.transport.loseConnection()

    def timeoutConnection(self) -> None:
        """The command has neither asked nor taken its answer in time."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The connection is over."""
        self.setTimeout(None)
        self.factory.connected -= self._counted


def _arguments(line: bytes, word: bytes) -> dict[str, str] | None:
    """The arguments of an order that begins with a word; ``None`` if it is none."""
    if not line.startswith(word) or len(line) >= LONGEST_ORDER:
        return None
    try:
        found = json.loads(line.removeprefix(word).decode("ascii"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        return None
    return found


# -- the command -------------------------------------------------------------------------------------------------------


def order(arguments: Mapping[str, str], word: bytes = QUARANTINE) -> bytes:
    """A request about the quarantine, or about what another word says.

    :param word: :data:`QUARANTINE` or :data:`ORIGINS`.
    :raises ValueError: if it is longer than a node reads.
    """
    line = word + json.dumps({**arguments}).encode("ascii") + b"\n"
    if len(line) > LONGEST_ORDER:
        raise ValueError("that is more than a node is told at once")
    return line


def ask(pid: int, peer_of: PeerOf = process_and_user, request: bytes = REQUEST) -> Report:
    """Ask a node; this blocks.

    :param pid: its process.
    :param request: what for: :data:`REQUEST`, :data:`STATUS`, :data:`FEEDS` or an :func:`order`.
    :raises OSError: if there is no such node, it does not answer, or it is not the one that does.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_LONGEST_WAIT)
        try:
            sock.connect(_name(pid))
        except ConnectionRefusedError:
            raise ConnectionRefusedError(0, "no node runs there") from None
        there, uid = peer_of(sock)
        if there != pid or (os.geteuid() != 0 and uid not in (0, os.geteuid())):
            raise PermissionError(0, "somebody else answers in its place")
        answer = b""
        with contextlib.suppress(ConnectionError):
            sock.sendall(request)
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
    status, end, text = answer.partition(b"\n")
    if status + end not in (_DONE, _FAILED):
        raise ConnectionResetError(0, "it takes no orders from this user, or has ended")
    return Report(status + end == _DONE, text.decode())


def _name(pid: int) -> str:
    return f"\0edgenode.{pid}"
