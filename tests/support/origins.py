"""Origins that record every byte they get: TLS servers in threads, with a behaviour that a test writes as it likes."""

from __future__ import annotations

import contextlib
import pathlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Any, Protocol, Self

from tests.support.clients import PATIENCE, fields

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
"""The answer of an origin that was told nothing else."""


class Served:
    """One connection that an origin has accepted, as its behaviour sees it.

    :ivar received: the bytes that came on it, in the same list of the origin's.
    :ivar requests: how many requests were read on it.
    :ivar peer: the subject of the certificate presented on it, empty without one.
    """

    def __init__(self, origin: Origin, sock: socket.socket, peer: str) -> None:
        self._origin = origin
        self._sock = sock
        self.peer = peer
        self._buffer = b""
        self._scratch = bytearray(65536)
        self.requests = 0
        self.received = bytearray()
        origin.connections.append(self.received)

    def receive(self) -> bytes:
        """Some bytes, none at the end."""
        try:
            data = self._sock.recv(65536)
        except (ssl.SSLError, OSError):
            data = b""
        self.received += data
        return data

    def drop(self, size: int) -> int:
        """Read so many bytes and keep none of them; returns how many there were."""
        left = size - len(self._buffer)
        while left > 0 and (count := self._sock.recv_into(self._scratch, min(left, len(self._scratch)))):
            left -= count
        self._buffer = b""
        return size - left

    def _until(self, enough: Callable[[bytes], int]) -> bytes | None:
        data = self._buffer
        while (end := enough(data)) < 0:
            piece = self.receive()
            if not piece:
                return None
            data += piece
        self._buffer = data[end:]
        return data[:end]

    def head(self) -> bytes | None:
        """One request head, the empty line included; ``None`` if the connection ends first."""
        return self._until(lambda data: end + 4 if (end := data.find(b"\r\n\r\n")) >= 0 else -1)

    def body(self, head: bytes) -> bytes | None:
        """The body behind a head, as it came, framing and all; ``None`` if the connection ends first."""
        if lengths := fields(head, "content-length"):
            size = int(lengths[0])
            return self._until(lambda data: size if len(data) >= size else -1)
        if fields(head, "transfer-encoding"):
            last = re.compile(rb"(?:\A|\r\n)0\r\n(?:.+\r\n)*\r\n")
            return self._until(lambda data: match.end() if (match := last.search(data)) else -1)
        return b""

    def request(self) -> bytes | None:
        """One whole request, as it came, recorded; ``None`` if the connection ends first."""
        head = self.head()
        body = self.body(head) if head is not None else None
        if head is None or body is None:
            return None
        self.requests += 1
        self._origin.requests.append(head + body)
        return head + body

    def send(self, data: bytes) -> bool:
        """Send all of it; false if the node does not want it any more."""
        try:
            self._sock.sendall(data)
        except (ssl.SSLError, OSError):
            return False
        return True

    def notify(self) -> None:
        """Send close_notify, or a FIN without TLS; the connection is closed when the behaviour returns."""
        with contextlib.suppress(ssl.SSLError, OSError):
            if isinstance(self._sock, ssl.SSLSocket):
                self._sock.unwrap()
            else:
                self._sock.shutdown(socket.SHUT_WR)

    def stall(self) -> None:
        """Do nothing until the other side has had enough."""
        while self.receive():
            pass

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket(fileno=self._sock.detach()).close()


Behaviour = Callable[[Served], None]
"""What an origin does on each connection; when it returns, the connection is closed."""


def answering(*answers: bytes) -> Behaviour:
    """Answer request by request with these bytes, the last ones again and again."""

    def behave(served: Served) -> None:
        while served.request() is not None:
            if not served.send(answers[min(served.requests, len(answers)) - 1]):
                return

    return behave


class Folder(Protocol):
    """Where the certificates of the origin are: ``tests.support.node.PKI``."""

    @property
    def folder(self) -> pathlib.Path:
        """Has ``origin.pem``, ``origin.key``, and ``servers.pem`` with the authority of the edge as a client."""
        ...


class Origin:
    """A TLS server on this host that demands the edge's client certificate, and records what it gets.

    :param pki: where its certificates are.
    :param behaviour: what it does on each connection; it may be replaced at any time.
    :param stem: the name of its certificate and key there, without ``.pem`` and ``.key``.
    :param demand: whether it demands a client certificate.
    :param tls: whether it speaks TLS; without it a behaviour sees the ClientHello.
    :ivar context: its TLS context, to be changed before the first connection.
    :ivar requests: the whole requests, in the order they were complete, byte by byte as they came.
    :ivar connections: everything received, by connection.
    :ivar peers: the subject of the certificate presented on each connection, empty without one.
    :ivar names: the server name (SNI) asked for in each handshake, good or bad.
    """

    def __init__(
        self,
        pki: Folder,
        behaviour: Behaviour | None = None,
        *,
        stem: str = "origin",
        demand: bool = True,
        tls: bool = True,
    ) -> None:
        self.behaviour = behaviour or answering(OK)
        self.requests: list[bytes] = []
        self.connections: list[bytearray] = []
        self.peers: list[str] = []
        self.names: list[str | None] = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pki.folder / f"{stem}.pem", pki.folder / f"{stem}.key")
        self.context.load_verify_locations(pki.folder / "servers.pem")
        self.context.verify_mode = ssl.CERT_REQUIRED if demand else ssl.CERT_NONE
        self.context.sni_callback = lambda sock, name, context: self.names.append(name)
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._socket.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def received(self) -> bytes:
        """Every byte of every connection."""
        return b"".join(self.connections)

    def take(self) -> list[bytes]:
        """Take out the requests so far."""
        requests, self.requests[:] = self.requests[:], []
        return requests

    def close(self) -> None:
        """Accept no more, and wait until every connection is over."""
        self._socket.shutdown(socket.SHUT_RDWR)  # only this wakes up accept()
        self._accepting.join()
        self._socket.close()
        for sock in tuple(self._open):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # SSLSocket's own would take TLS from under its thread
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the origin's behaviour does not end"

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._open.add(sock)
            thread.start()
            self._threads.append(thread)  # not before: a test may wait for it to end

    def _serve(self, raw: socket.socket) -> None:
        raw.settimeout(PATIENCE)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open.discard(raw)
        sock = raw
        if self._tls:
            try:
                sock = self.context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
            except OSError:  # the client is gone already
                raw.close()
                return
        self._open.add(sock)
        with sock:
            peer = self._shake_hands(sock)
            if peer is not None:
                self.peers.append(peer)
                self.behaviour(Served(self, sock, peer))
            self._open.discard(sock)

    def _shake_hands(self, sock: socket.socket) -> str | None:
        """The name of the client, empty without a certificate; ``None`` if the handshake fails."""
        if not isinstance(sock, ssl.SSLSocket):
            return ""
        try:
            sock.do_handshake()
            subject: Any = (sock.getpeercert() or {}).get("subject", ())
        except (ssl.SSLError, OSError):
            with socket.socket(fileno=sock.detach()) as plain, contextlib.suppress(OSError):
                plain.shutdown(socket.SHUT_WR)
                while plain.recv(65536):  # closed with bytes unread, a reset would overtake the alert
                    pass
            return None
        return str(dict(pair[0] for pair in subject).get("commonName", ""))
