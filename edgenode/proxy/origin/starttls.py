"""What is said to a mail server in the clear before TLS begins: STARTTLS (RFC 3207).

Law: nothing but EHLO and STARTTLS is said; a server that does not offer it is not spoken to further, for whoever could
take the offer away could read the rest. What comes behind its answer, and was not asked for, ends the connection: it
would be taken for what was said in TLS (CVE-2011-0411).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from edgenode.net.poller import Reactor

_REPLY = re.compile(rb"((?:([0-9]{3})-[^\n]*\n)*)([0-9]{3})(?:[ \r][^\n]*)?\n")
_OFFER = re.compile(rb"^250[- ]STARTTLS[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_MOST = 16 * 1024
"""Bytes that a server may say before TLS."""

_EHLO, _STARTTLS = b"EHLO [127.0.0.1]\r\n", b"STARTTLS\r\n"
_STEPS = ((b"220", _EHLO), (b"250", _STARTTLS), (b"220", b""))
"""Which reply is expected, and what is said then."""


@implementer(IReadDescriptor)
class StartTLS:
    """A connection on which TLS is about to begin.

    :param reactor: has descriptors.
    :param sock: the connection, not blocking; it is closed unless TLS may begin.
    :param agreed: called with it once TLS may begin.
    :param failed: called with why it cannot.
    """

    def __init__(
        self,
        reactor: Reactor,
        sock: socket.socket,
        agreed: Callable[[socket.socket], None],
        failed: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._sock: socket.socket | None = sock
        self._fd = sock.fileno()
        self._agreed = agreed
        self._failed = failed
        self._step = 0
        self._data = b""
        reactor.addReader(self)

    def cancel(self) -> None:
        """Nobody wants it any more; nobody is called."""
        sock = self._take()
        if sock is not None:
            sock.close()

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def logPrefix(self) -> str:
        """What the reactor writes before messages about this descriptor."""
        return "starttls"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor found the socket hung up."""
        self._end(reason.getErrorMessage())

    def doRead(self) -> None:
        """The server has said something."""
        if self._sock is None:
            return
        try:
            data = self._sock.recv(_MOST)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error.strerror or str(error))
            return
        self._data += data
        if not data:
            self._end("it has ended the connection before TLS")
        elif len(self._data) > _MOST:
            self._end("it says too much before TLS")
        else:
            self._look()

    def _look(self) -> None:
        """Look whether a whole reply has come."""
        found = _REPLY.match(self._data)
        if found is None:
            if b"\n" in self._data and not re.match(rb"(?:[0-9]{3}-[^\n]*\n)+[^\n]*\Z", self._data):
                self._end("it does not speak SMTP")
            return
        expected, answer = _STEPS[self._step]
        reply, rest = found[0], self._data[found.end() :]
        if found[3] != expected:
            self._end(f"it answers {found[3].decode('ascii')}, where {expected.decode('ascii')} is expected")
        elif answer == _STARTTLS and not _OFFER.search(reply):
            self._end("it does not offer STARTTLS")
        elif rest:
            self._end("it says more than it was asked before TLS")
        elif not answer:
            sock = self._take()
            if sock is not None:
                self._agreed(sock)
        else:
            self._data = b""
            self._step += 1
            self._say(answer)

    def _say(self, command: bytes) -> None:
        """Send a command: a few bytes, for which a new connection has room."""
        assert self._sock is not None
        try:
            whole = self._sock.send(command) == len(command)
        except OSError as error:
            self._end(error.strerror or str(error))
            return
        if not whole:
            self._end("it takes nothing")

    def _end(self, reason: str) -> None:
        if self._sock is not None:
            self.cancel()
            self._failed(reason)

    def _take(self) -> socket.socket | None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self._reactor.removeReader(self)
        return sock
