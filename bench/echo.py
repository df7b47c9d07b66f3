"""The origin of gRPC and WebSocket in a measurement: it sends back every message, over TLS with a required client
certificate.

``python echo.py PORT FOLDER``; by ALPN the first over HTTP/2, else the second. Of WebSocket it takes what came as one
short frame, as the load generator sends it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import pathlib
import re
import selectors
import socket
import ssl
import sys

import ngh2

_ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
)
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Session:
    """A client's connection."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self.sock = sock

    def take(self, data: bytes) -> bytes:
        """Bytes have come; returns the answer."""
        raise NotImplementedError

    def turn(self) -> bool:
        """Read, and answer; returns whether the connection goes on."""
        try:
            data = self.sock.recv(65536)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True
        except OSError:
            return False
        out = self.take(data)
        while out:  # what was asked for is small, and so is this
            try:
                out = out[self.sock.send(out) :]
            except ssl.SSLWantWriteError:
                continue
            except OSError:
                return False
        return bool(data)


class WebSocket(Session):
    """One of WebSocket."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        super().__init__(sock)
        self._in = b""
        self._open = False

    def take(self, data: bytes) -> bytes:
        """The handshake, then whole messages."""
        self._in += data
        if self._open:
            return self._messages()
        head, end, rest = self._in.partition(b"\r\n\r\n")
        if not end:
            return b""
        self._in, self._open = rest, True
        key = re.findall(rb"(?im)^sec-websocket-key: *(\S+)", head)[0]
        return _ACCEPTED % base64.b64encode(hashlib.sha1(key + _GUID).digest())

    def _messages(self) -> bytes:
        out = b""
        while len(self._in) >= 6:
            size = self._in[1] & 127
            assert size < 126, "too long for this origin"
            if len(self._in) < 6 + size:
                break
            mask, masked = self._in[2:6], self._in[6 : 6 + size]
            key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
            text = (int.from_bytes(masked, "big") ^ key).to_bytes(size, "big")
            out += bytes([self._in[0], size]) + text
            self._in = self._in[6 + size :]
        return out


class Grpc(Session):
    """One of gRPC: unary calls."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        super().__init__(sock)
        self._engine = ngh2.Connection(ngh2.Role.SERVER)
        self._engine.initiate_connection()
        self._bodies: dict[int, bytes] = {}

    def take(self, data: bytes) -> bytes:
        """Answer the calls that are whole."""
        self._engine.receive_data(data)
        for event in self._engine.events():
            match event:
                case ngh2.RequestReceived(stream_id=stream):
                    self._bodies[stream] = b""
                case ngh2.DataReceived(stream_id=stream, data=part, end_stream=done):
                    self._bodies[stream] += part
                    if done:
                        self._answer(stream, self._bodies.pop(stream))
        return self._engine.data_to_send()

    def _answer(self, stream: int, body: bytes) -> None:
        identifier = os.urandom(8).hex().encode()
        head = {b":status": b"200", b"content-type": b"application/grpc", b"x-request-id": identifier}
        self._engine.send_response(stream, head.items())
        self._engine.send_data(stream, body)
        self._engine.send_trailers(stream, [(b"grpc-status", b"0")])


def main(port: int, folder: pathlib.Path) -> None:
    """Serve for ever."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "origin-srv.crt", folder / "origin-srv.key")
    context.load_verify_locations(folder / "origin-ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2", "http/1.1"])
    selector = selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            session: Session | None = key.data
            if session is None:
                raw, _ = listener.accept()
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    sock = context.wrap_socket(raw, server_side=True)
                except OSError:
                    raw.close()
                    continue
                sock.setblocking(False)
                kind = Grpc if sock.selected_alpn_protocol() == "h2" else WebSocket
                selector.register(sock, selectors.EVENT_READ, kind(sock))
            elif not session.turn():
                selector.unregister(session.sock)
                session.sock.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), pathlib.Path(sys.argv[2]))
