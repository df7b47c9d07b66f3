"""A small HTTP/1.1 server for those who look at a node: GET and HEAD of a few paths, one request a connection.

Law: whoever is slow, too many, or says too much is turned away, at a cost that is bounded, and nobody else notices. It
reads a head and no body, and nothing of a request but its method, its path and what it accepts.
"""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from edgenode.net.deadlines import Deadlines
from edgenode.net.plain import Plain
from edgenode.net.transport import Transport

MOST_CONNECTIONS = 16
"""Connections at a time; with one more the oldest ends that waits for nothing from here, or else the new one."""

LONGEST_HEAD = 8192
"""Bytes of a request head."""

PATIENCE = 10.0
"""Seconds for a whole request head; and again for taking the answer, and closing."""

LONGEST_ANSWER = 60.0
"""Seconds that a request may wait for its answer to be made."""

_BREATHER = 0.25
"""Seconds without accepting after the process has run short of descriptors, or of memory for sockets."""

_MOST_IGNORED = 65536
"""Bytes of what follows a head that are read, so that a close does not cut the answer off."""

_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (/[!-~]*) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")

_PASSING = (errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EAGAIN)
"""What says something of one connection only, or that there is none."""

_log = Logger()


@frozen
class Answer:
    """An answer.

    :ivar status: its status.
    :ivar body: its body.
    :ivar content_type: of its body.
    """

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


Route = Callable[[str], Answer | Deferred[Answer]]
"""Answers a request for a path: the argument is the value of ``Accept``, empty for none."""

_BAD, _TOO_LARGE = Answer(400, b"400 Bad Request\n"), Answer(431, b"431 Request Header Fields Too Large\n")
_NOT_FOUND, _NO_METHOD = Answer(404, b"404 Not Found\n"), Answer(405, b"405 Method Not Allowed\n")
_FAILED = Answer(500, b"500 Internal Server Error\n")

_PHRASES = {
    200: b"OK", 400: b"Bad Request", 404: b"Not Found", 405: b"Method Not Allowed",
    431: b"Request Header Fields Too Large", 500: b"Internal Server Error", 503: b"Service Unavailable",
}  # fmt: skip


@implementer(IReadDescriptor)
class AdminServer:
    """Serves what comes to a listening socket.

    :param sock: the socket, non-blocking; whoever owns it closes it.
    :param routes: what answers, by path.
    :param reactor: as transports want it.
    :ivar connections: those that are open.
    """

    def __init__(self, sock: Any, routes: Mapping[str, Route], reactor: Any, deadlines: Deadlines) -> None:
        self._socket = sock
        self._descriptor: int = sock.fileno()
        self.routes = routes
        self.reactor = reactor
        self.deadlines = deadlines
        self.connections: dict[_Connection, None] = {}
        self._breather: Any = None
        self._accept_again()

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def logPrefix(self) -> str:
        """What the reactor writes before messages about this descriptor."""
        return "admin"

    def doRead(self) -> None:
        """Connections wait to be accepted."""
        for _ in range(MOST_CONNECTIONS):
            try:
                sock, _ = self._socket.accept()
            except OSError as error:
                if error.errno not in _PASSING:
                    self.reactor.removeReader(self)
                    self._breather = self.reactor.callLater(_BREATHER, self._accept_again)
                return
            if self._has_room():
                sock.setblocking(False)
                _Connection(self, sock)
            else:
                sock.close()

    def _has_room(self) -> bool:
        if len(self.connections) >= MOST_CONNECTIONS:
            idle = next((each for each in self.connections if each.is_idle), None)
            if idle is None:
                return False
            idle.transport.abort("another one has come")
        return True

    def _accept_again(self) -> None:
        self._breather = None
        self.reactor.addReader(self)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has given the listening socket up."""
        _log.error("the socket of [admin] failed: {reason}", reason=reason.getErrorMessage())

    def stop(self) -> None:
        """Accept no more, and end what is open."""
        if self._breather is None:
            self.reactor.removeReader(self)
        else:
            self._breather.cancel()
        for each in tuple(self.connections):
            each.transport.abort("the node stops")


class _Connection:
    """One request and its answer."""

    def __init__(self, server: AdminServer, sock: Any) -> None:
        self._server = server
        self._received = bytearray()
        self._asked = False
        self._ignored = 0
        self._waiting: Deferred[Any] | None = None
        self.deadline = server.deadlines.clock() + PATIENCE
        server.connections[self] = None
        server.deadlines.watch(self)
        self.transport = Transport(server.reactor, sock, Plain(sock), self)
        self.transport.start()

    @property
    def is_idle(self) -> bool:
        """Whether it has not asked yet, or has been sent all of its answer."""
        return not self._asked or (self._waiting is None and not self.transport.queued)

    def handshaken(self) -> None:
        """The connection is there."""

    def received(self, data: bytes) -> None:
        """More of the head, or what follows it."""
        if self._asked:
            self._ignored += len(data)
            if self._ignored > _MOST_IGNORED:
                self.transport.abort("too much")
            return
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end >= 0 and end <= LONGEST_HEAD:
            self._take(bytes(self._received[:end]))
        elif len(self._received) > LONGEST_HEAD:
            self._reply(_TOO_LARGE)

    def drained(self) -> None:
        """All of the answer was sent."""

    def ended(self) -> None:
        """The other side sends no more."""
        if not self._asked:
            self.transport.close()

    def expired(self, now: float) -> None:
        """It has taken too long to ask, or to take the answer."""
        self.transport.abort("too slow")

    def lost(self, reason: str, clean: bool) -> None:
        """The connection is over."""
        self._server.deadlines.forget(self)
        self._server.connections.pop(self, None)
        if self._waiting is not None:
            self._waiting.cancel()

    def _take(self, head: bytes) -> None:
        request = _read(head)
        if request is None:
            self._reply(_BAD)
            return
        method, path, accept = request
        route = self._server.routes.get(path)
        if route is None:
            self._reply(_NOT_FOUND, method == b"HEAD")
        elif method not in (b"GET", b"HEAD"):
            self._reply(_NO_METHOD)
        else:
            self._asked = True
            self.deadline = self._server.deadlines.clock() + LONGEST_ANSWER
            waiting: Deferred[Any] = maybeDeferred(route, accept)
            self._waiting = waiting
            waiting.addErrback(self._failed).addCallback(self._reply, method == b"HEAD")

    def _failed(self, failure: Failure) -> Answer:
        if not self.transport.lost:
            _log.failure("what [admin] was asked could not be answered", failure)
        return _FAILED

    def _reply(self, answer: Answer, only_head: bool = False) -> None:
        self._asked, self._waiting = True, None
        if self.transport.lost:
            return
        self.deadline = self._server.deadlines.clock() + PATIENCE
        allow = b"Allow: GET, HEAD\r\n" if answer.status == 405 else b""
        self.transport.write(
            b"HTTP/1.1 %d %b\r\nDate: %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%bCache-Control: no-store\r\n"
            b"X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n%b"
            % (
                answer.status,
                _PHRASES[answer.status],
                formatdate(time.time(), usegmt=True).encode(),
                answer.content_type.encode("ascii"),
                len(answer.body),
                allow,
                b"" if only_head else answer.body,
            )
        )
        self.transport.half_close()


def _read(head: bytes) -> tuple[bytes, str, str] | None:
    """Method, path and ``Accept`` of a request; ``None`` if it is not one of HTTP/1.1 or 1.0 (RFC 9112)."""
    first, *lines = head.split(b"\r\n")
    request = _REQUEST.fullmatch(first)
    fields = [_FIELD.fullmatch(line) for line in lines]
    values: dict[bytes, list[bytes]] = {}
    for each in fields:
        if each is not None:
            values.setdefault(each[1].lower(), []).append(each[2])
    hosts = len(values.get(b"host", ()))
    if request is None or None in fields or hosts > 1 or (request[3] == b"1" and not hosts):
        return None
    accept = b", ".join(values.get(b"accept", ())).decode("latin-1")
    return request[1], request[2].partition(b"?")[0].decode("ascii"), accept
