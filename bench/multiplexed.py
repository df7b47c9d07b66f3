"""The load generator of what ``load.c`` does not speak: HTTP/2, gRPC and WebSocket over TLS with a client certificate.

    python multiplexed.py -M http2|grpc|websocket -P port -E client.pem [-c connections] [-s streams] [-d seconds]
                          [-w seconds of warming up] [-p path] [-V count] [-H 'Name: value']...

``-s`` requests are on the way on each connection at any time; of WebSocket one message is, and comes back. ``-V`` makes
so many requests in turn that differ as those of ``load.c`` do. What is printed is what ``load.c`` prints.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import selectors
import socket
import ssl
import struct
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ngh2

WINDOW = 16 * 1024 * 1024
"""Bytes that may be on the way to this client, as with a browser more than a megabyte."""

GRPC_MESSAGE = 100
"""Bytes of a message of gRPC without its prefix."""

MESSAGE = 64
"""Bytes of a message of WebSocket."""

Request = tuple[tuple[tuple[bytes, bytes], ...], bytes]


class Tally:
    """What is counted while it measures.

    :ivar measuring: whether it does.
    """

    def __init__(self) -> None:
        self.measuring = False
        self.waits: list[float] = []
        self.errors = self.refused = self.repeated = self.handshakes = self.sent = 0
        self.last: object = None

    def answered(self, began: float, head: object, good: bool) -> None:
        """An answer is whole."""
        if self.measuring:
            self.waits.append(time.monotonic() - began)
            self.refused += not good
            self.repeated += head is not None and head == self.last
        self.last = head

    def failed(self) -> None:
        """What was asked will not be answered."""
        self.errors += self.measuring


class Client:
    """One connection: what is common to all protocols.

    :ivar bytes: of bodies and messages, while measuring.
    """

    protocols: Sequence[str] = ("http/1.1",)

    def __init__(self, options: argparse.Namespace, requests: Iterator[Request], tally: Tally) -> None:
        self._options, self._requests, self.tally = options, requests, tally
        self.bytes = 0
        self._unsent = b""
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(options.certificate)
        context.set_alpn_protocols(list(self.protocols))
        raw = socket.create_connection(("127.0.0.1", options.port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = context.wrap_socket(raw, server_hostname="localhost")
        tally.handshakes += tally.measuring
        if self.sock.selected_alpn_protocol() not in (*self.protocols, None):
            raise SystemExit(f"the peer speaks {self.sock.selected_alpn_protocol()}")
        self.sock.setblocking(False)
        self.begin()
        self.flush()

    def begin(self) -> None:
        """Send the first requests."""
        raise NotImplementedError

    def take(self, data: bytes) -> bool:
        """Bytes have come; returns whether the connection goes on."""
        raise NotImplementedError

    def output(self) -> bytes:
        """What is to be sent."""
        raise NotImplementedError

    def waiting(self) -> list[float]:
        """When each request began that is not answered yet."""
        raise NotImplementedError

    def turn(self) -> bool:
        """Read what has come, and write what follows from it; returns whether the connection goes on."""
        with contextlib.suppress(ssl.SSLWantReadError):
            for _ in range(8):
                try:
                    data = self.sock.recv(65536)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    raise
                except OSError:
                    data = b""
                if not data or not self.take(data):
                    return False
                if len(data) < 16384 and not self.sock.pending():
                    break
        return self.flush()

    def flush(self) -> bool:
        """Write what is to be sent; returns whether the connection goes on."""
        unsent = self._unsent + self.output()
        try:
            while unsent:
                count = self.sock.send(unsent)
                self.tally.sent += count if self.tally.measuring else 0
                unsent = unsent[count:]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError:
            return False
        self._unsent = unsent
        return True

    @property
    def interest(self) -> int:
        """What to wait for."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)


class Http2(Client):
    """Many requests at once on a connection of HTTP/2."""

    protocols = ("h2",)

    def begin(self) -> None:
        """Send the preface, and as many requests as there are streams."""
        self._engine = ngh2.Connection(ngh2.Role.CLIENT)
        settings = ngh2.Setting
        self._engine.initiate_connection({settings.ENABLE_PUSH: 0, settings.INITIAL_WINDOW_SIZE: WINDOW})
        self._engine.set_local_window_size(WINDOW)
        self._began: dict[int, float] = {}
        self._heads: dict[int, tuple[Any, ...]] = {}
        for _ in range(self._options.streams):
            self._ask()

    def _ask(self) -> None:
        fields, body = next(self._requests)
        stream = self._engine.send_request(fields, end_stream=not body)
        if body:
            self._engine.send_data(stream, body, end_stream=True)
        self._began[stream] = time.monotonic()

    def waiting(self) -> list[float]:
        """When each request began that is not answered yet."""
        return list(self._began.values())

    def output(self) -> bytes:
        """What the engine has."""
        return self._engine.data_to_send()

    def take(self, data: bytes) -> bool:
        """Count what came to its end, and ask again."""
        self._engine.receive_data(data)
        for event in self._engine.events():
            match event:
                case ngh2.DataReceived(stream_id=stream, data=part, end_stream=done):
                    self.bytes += len(part) if self.tally.measuring else 0
                    if done:
                        self._answered(stream)
                case ngh2.ResponseReceived(stream_id=stream, headers=head, end_stream=done):
                    self._heads[stream] = head
                    if done:
                        self._answered(stream)
                case ngh2.TrailersReceived(stream_id=stream, headers=trailers):
                    self._answered(stream, trailers)
                case ngh2.StreamReset(stream_id=stream) if stream in self._began:
                    del self._began[stream]
                    self._heads.pop(stream, None)
                    self.tally.failed()
                    self._ask()
                case ngh2.GoAwayReceived() | ngh2.ConnectionClosed():
                    return False
        return True

    def _answered(self, stream: int, trailers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        head = self._heads.pop(stream)
        good = head[0][1][:1] == b"2"
        if self._options.mode == "grpc":
            good = good and (b"grpc-status", b"0") in trailers
        self.tally.answered(self._began.pop(stream), head, good)
        self._ask()


class WebSocket(Client):
    """One message at a time on a connection of WebSocket, and its echo."""

    def begin(self) -> None:
        """Send the handshake."""
        key = b"dGhlIHNhbXBsZSBub25jZQ=="
        self._number = itertools.count()
        self._in, self._opened, self._began = b"", False, time.monotonic()
        self._out = (
            b"GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n" % (self._options.path.encode(), key)
        )

    def waiting(self) -> list[float]:
        """When the message was sent that has not come back."""
        return [self._began]

    def output(self) -> bytes:
        """The handshake, or the next message."""
        out, self._out = self._out, b""
        return out

    def _message(self) -> None:
        text = (b"%d " % next(self._number)).ljust(MESSAGE, b"x")
        mask = os.urandom(4)
        key = int.from_bytes(mask * (MESSAGE // 4), "big")
        masked = (int.from_bytes(text, "big") ^ key).to_bytes(MESSAGE, "big")
        self._out = struct.pack(">BB", 0x81, 0x80 | MESSAGE) + mask + masked
        self._expected = struct.pack(">BB", 0x81, MESSAGE) + text
        self._began = time.monotonic()

    def take(self, data: bytes) -> bool:
        """Compare what has come back, and send the next message."""
        self._in += data
        if not self._opened:
            if b"\r\n\r\n" not in self._in:
                return True
            if not self._in.startswith(b"HTTP/1.1 101 "):
                raise SystemExit(f"no handshake: {self._in!r}")
            self._in, self._opened = b"", True
            self._message()
        elif len(self._in) >= len(self._expected):
            self.tally.answered(self._began, None, self._in == self._expected)
            self.bytes += MESSAGE if self.tally.measuring else 0
            self._in = b""
            self._message()
        return True


KINDS: Mapping[str, type[Client]] = {"http2": Http2, "grpc": Http2, "websocket": WebSocket}


def requests(options: argparse.Namespace) -> Iterator[Request]:
    """The requests, in turn."""
    all_requests = [_request(options, number) for number in range(options.varied or 1)]
    return itertools.cycle(all_requests)


def _request(options: argparse.Namespace, number: int) -> Request:
    grpc = options.mode == "grpc"
    path, differing, body = options.path, [], b""
    if options.varied:
        parts = [(number + 1) * 2654435761 * factor % 2**32 for factor in (1, 3, 5, 7, 11, 13)]
        trace = "00-{:08x}{:08x}{:08x}{:08x}-{:08x}{:08x}-01".format(*parts)
        differing = [("traceparent", trace)]
        if not grpc:
            path += f"{'&' if '?' in path else '?'}item={number}"
            differing.insert(0, ("referer", f"https://localhost/list/{parts[0] % 977}"))
    fields = [
        (":method", "POST" if grpc else "GET"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", path),
    ]
    if grpc:
        fields += [("te", "trailers"), ("content-type", "application/grpc"), ("grpc-timeout", "10S")]
        body = struct.pack(">BI", 0, GRPC_MESSAGE) + (b"%d " % number).ljust(GRPC_MESSAGE, b"x")
    fields += [("user-agent", "Mozilla/5.0 (X11; Linux x86_64) load"), ("accept", "*/*"), *differing]
    for line in options.header:
        name, _, value = line.partition(":")
        fields.append((name.lower(), value.strip()))
    return tuple((name.encode(), value.encode()) for name, value in fields), body


def run(options: argparse.Namespace) -> Mapping[str, float]:
    """Make load, and return what is to be printed."""
    tally, asked = Tally(), requests(options)
    selector = selectors.DefaultSelector()

    def client() -> Client:
        made = KINDS[options.mode](options, asked, tally)
        selector.register(made.sock, made.interest, made)
        return made

    clients = [client() for _ in range(options.connections)]
    began = measured = time.monotonic()
    while (now := time.monotonic()) < began + options.warming + options.seconds:
        if not tally.measuring and now >= began + options.warming:
            print("measuring", flush=True)
            tally.measuring, measured = True, time.monotonic()
        for key, _ in selector.select(0.05):
            each: Client = key.data
            interest = each.interest
            if not each.turn():
                tally.failed()
                selector.unregister(each.sock)
                each.sock.close()
                time.sleep(0.001)
                again = client()
                again.bytes = each.bytes
                clients[clients.index(each)] = again
            elif each.interest != interest:
                selector.modify(each.sock, each.interest, each)
    return report(tally, clients, time.monotonic() - measured)


def report(tally: Tally, clients: Sequence[Client], seconds: float) -> Mapping[str, float]:
    """The figures; waits in milliseconds."""
    now, waits = time.monotonic(), sorted(tally.waits) or [0.0]
    unanswered = [now - began for each in clients for began in each.waiting()]
    got = [each.bytes for each in clients]
    return {
        "requests": len(tally.waits),
        "seconds": seconds,
        "p50": waits[len(waits) // 2] * 1000,
        "p99": waits[int((len(waits) - 1) * 0.99)] * 1000,
        "worst": max(waits[-1], *unanswered) * 1000,
        "errors": tally.errors,
        "refused": tally.refused,
        "repeated": tally.repeated,
        "handshakes": tally.handshakes,
        "bytes": sum(got),
        "least": min(got),
        "most": max(got),
        "sent": tally.sent,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description="Make load of HTTP/2, gRPC or WebSocket.")
    parser.add_argument("-M", dest="mode", choices=KINDS, required=True)
    parser.add_argument("-P", dest="port", type=int, required=True)
    parser.add_argument("-E", dest="certificate", required=True)
    parser.add_argument("-c", dest="connections", type=int, default=10)
    parser.add_argument("-s", dest="streams", type=int, default=10)
    parser.add_argument("-d", dest="seconds", type=float, default=3.0)
    parser.add_argument("-w", dest="warming", type=float, default=1.0)
    parser.add_argument("-p", dest="path", default="/1k")
    parser.add_argument("-V", dest="varied", type=int, default=0)
    parser.add_argument("-H", dest="header", action="append", default=[])
    print(json.dumps(run(parser.parse_args(argv))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
