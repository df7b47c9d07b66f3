"""Blocking TLS clients and the requests they send: code for threads, with nothing in common with what it tests."""

from __future__ import annotations

import re
import select
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Self

from attrs import frozen
from OpenSSL import SSL

from tests.support.certificates import Issued
from tests.support.handshakes import client as client_context

PATIENCE = 10.0
"""Seconds that a blocking client or origin waits for the next byte before it gives up."""


def connect(port: int, patience: float = PATIENCE, source: str = "127.0.0.1") -> socket.socket:
    """A blocking TCP connection to this host whose reads and writes give up in the kernel, not in Python.

    :param source: from which of this host's addresses; one of IPv6 connects to ``::1``.
    """
    sock = socket.create_connection(("::1" if ":" in source else "127.0.0.1", port), source_address=(source, 0))
    timeout = struct.pack("ll", int(patience), int(patience % 1 * 1e6))
    sock.settimeout(None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
    return sock


class Refused(Exception):
    """The handshake failed; in TLS 1.3 the first read finds out. Its text is OpenSSL's."""


@frozen
class Answer:
    """A response.

    :ivar status: its status.
    :ivar head: the head as it came, the empty line included.
    :ivar body: the body, without its framing.
    """

    status: int
    head: bytes
    body: bytes

    def fields(self, name: str) -> list[bytes]:
        """Every value of a header field."""
        return fields(self.head, name)


def fields(head: bytes, name: str) -> list[bytes]:
    """Every value of a header field in the head of a message."""
    return re.findall(rb"(?im)^%s:[ \t]*(.*?)[ \t]*\r$" % re.escape(name.encode()), head)


class Client:
    """A blocking TLS client on a port of this host, its handshake done.

    :param name: the server name (SNI), ``None`` for none.
    :param version: ``1.2`` or ``1.3``.
    :param chain: the certificates to present, the leaf first.
    :param session: a session to resume.
    :param alpn: the application protocols to offer.
    :param context: a context made already, instead of version, chain and alpn; needed to resume.
    :param patience: seconds.
    :param source: from which of this host's addresses.
    :raises Refused: if the handshake fails.
    :ivar tls: the connection.
    :ivar ended: how the node ended the connection: ``close_notify``, ``cut``, or what OpenSSL says; empty before that.
    """

    def __init__(
        self,
        port: int,
        name: str | None = "open.test",
        *,
        version: str = "1.3",
        chain: Sequence[Issued] = (),
        session: SSL.Session | None = None,
        alpn: Sequence[bytes] = (),
        context: SSL.Context | None = None,
        patience: float = PATIENCE,
        source: str = "127.0.0.1",
    ) -> None:
        self.ended = ""
        self._buffer = b""
        self.sock = connect(port, patience, source)
        try:
            self.tls = SSL.Connection(context or client_context(version=version, chain=chain, alpn=alpn), self.sock)
            if name is not None:
                self.tls.set_tlsext_host_name(name.encode())
            if session is not None:
                self.tls.set_session(session)
            self.tls.set_connect_state()
            self.tls.do_handshake()
        except SSL.Error as error:
            self.sock.close()
            raise Refused(_words(error)) from error
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket, without a word in TLS."""
        self.sock.close()

    def reset(self) -> None:
        """Close the socket so that the other side gets a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send all of it; what the node does not want to read any more is no error."""
        try:
            self.tls.sendall(data)
        except SSL.WantWriteError as error:
            raise TimeoutError("the node reads nothing") from error
        except SSL.Error as error:
            self.ended = self.ended or _words(error)

    def receive(self, size: int = 65536) -> bytes:
        """Some bytes, none at the end."""
        if self._buffer:
            data, self._buffer = self._buffer[:size], self._buffer[size:]
            return data
        try:
            return self.tls.recv(size)
        except SSL.WantReadError as error:
            raise TimeoutError("the node sends nothing") from error
        except SSL.ZeroReturnError:
            self.ended = "close_notify"
        except SSL.SysCallError:
            self.ended = "cut"
        except SSL.Error as error:
            self.ended = _words(error)
            if "unexpected eof" in self.ended:
                self.ended = "cut"
        return b""

    def ready(self, seconds: float = 0.0) -> bool:
        """Whether something has come that nobody has read, waiting for it so long."""
        return bool(self._buffer or self.tls.pending() or select.select([self.sock], [], [], seconds)[0])

    def rest(self) -> bytes:
        """All that comes until the end."""
        return b"".join(iter(self.receive, b""))

    def _until(self, enough: Callable[[bytes], int]) -> bytes:
        """Bytes up to the offset that ``enough`` finds, -1 for more; all there is at the end of the connection."""
        data = b""
        while True:
            piece = self.receive()
            data += piece
            end = enough(data) if piece else len(data)
            if end >= 0:
                self._buffer = data[end:] + self._buffer
                return data[:end]

    def head(self) -> bytes:
        """One response head, the empty line included; what there is if the connection ends first."""
        return self._until(lambda data: end + 4 if (end := data.find(b"\r\n\r\n")) >= 0 else -1)

    def exactly(self, size: int) -> bytes:
        """So many bytes; fewer if the connection ends first."""
        return self._until(lambda data: size if len(data) >= size else -1) if size else b""

    def answer(self, method: str = "GET") -> Answer:
        """One response, whole, read by its framing."""
        head = self.head()
        if not head:
            raise EOFError(self.ended)
        status = int(head.split(b" ", 2)[1])
        if method == "HEAD" or status < 200 or status in (204, 304):
            return Answer(status, head, b"")
        if lengths := fields(head, "content-length"):
            return Answer(status, head, self.exactly(int(lengths[0])))
        return Answer(status, head, self._chunks() if fields(head, "transfer-encoding") else self.rest())

    def _chunks(self) -> bytes:
        body = b""
        while True:
            line = self._until(lambda data: end + 2 if (end := data.find(b"\r\n")) >= 0 else -1)
            if not line:
                return body  # the connection has ended
            size = int(line.split(b";")[0], 16)
            if not size:
                break
            body += self.exactly(size)
            assert self.exactly(2) == b"\r\n" or self.ended
        while self._until(lambda data: end + 2 if (end := data.find(b"\r\n")) >= 0 else -1) not in (b"\r\n", b""):
            pass
        return body

    def ask(self, data: bytes) -> Answer:
        """Send a request, and read its response."""
        self.send(data)
        return self.answer(data.split(b" ", 1)[0].decode("latin-1"))


class Hand:
    """A TLS client that sends each of its bytes as a test wants."""

    def __init__(self, port: int, name: str = "open.test", version: str = "1.3") -> None:
        self.sock = connect(port)
        self.tls = SSL.Connection(client_context(version=version), None)
        self.tls.set_tlsext_host_name(name.encode())
        self.tls.set_connect_state()
        self._step(self.tls.do_handshake)
        self.hello = self.tls.bio_read(65536)

    def __enter__(self) -> Hand:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def _step(self, step: Callable[[], object]) -> bool:
        try:
            step()
        except SSL.WantReadError:
            return False
        return True

    def _turn(self) -> None:
        """Send what is to be sent, and wait for something to come."""
        try:
            self.sock.sendall(self.tls.bio_read(65536))
        except SSL.WantReadError:
            pass
        data = self.sock.recv(65536)
        assert data, "the node has closed the connection"
        self.tls.bio_write(data)

    def ask(self, data: bytes) -> bytes:
        """With the hello sent: finish the handshake, send a request, and return the beginning of the answer."""
        while not self._step(self.tls.do_handshake):
            self._turn()
        self.tls.sendall(data)
        received: list[bytes] = []
        while not self._step(lambda: received.append(self.tls.recv(65536))):
            self._turn()
        return received[0]


def get(
    path: str = "/", host: str = "open.test", *lines: str, method: str = "GET", close: bool = False, body: bytes = b""
) -> bytes:
    """A request with nothing wrong with it; ``body`` is sent behind the head as it is."""
    end = ["Connection: close"] if close else []
    return "\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, *end, "\r\n")).encode("latin-1") + body


def _words(error: SSL.Error) -> str:
    if isinstance(error, SSL.SysCallError):
        return str(error.args[-1])
    return "; ".join(entry[2] for entry in error.args[0]) if error.args else type(error).__name__
