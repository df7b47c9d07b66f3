"""The clients of a soak: what good ones do, and bad ones, each kind again and again in a thread of its own.

Good clients take nothing but the right answer; bad ones leave in the middle, trickle, and send nonsense.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from attrs import Factory, define
from OpenSSL import SSL

from tests.support.clients import Client, Hand, Refused, connect, get
from tests.support.node import PKI

LARGE = 4 * 1024 * 1024
BODY = random.Random(1).randbytes(LARGE - 1) + b"."
DIGEST = hashlib.sha256(BODY).hexdigest().encode()


@define(eq=False)
class Load:
    """What the clients have in common.

    :ivar counts: how often each kind of client has done what it does.
    :ivar failures: what good clients complain of.
    :ivar slowest: the longest that a good client waited for a small answer, seconds.
    """

    pki: PKI
    port: int
    counts: dict[str, int] = Factory(dict)
    failures: list[str] = Factory(list)
    slowest: float = 0.0
    over: threading.Event = Factory(threading.Event)

    def client(self, version: str = "1.3") -> Client:
        """A client that is known to everybody."""
        return Client(self.port, "strict.test", version=version, chain=[self.pki.client], patience=60)

    def ask(self, client: Client, data: bytes, expected: bytes, status: int = 200) -> None:
        """A good request; its answer has to be right."""
        began = time.monotonic()
        answer = client.ask(data)
        if answer.status != status or answer.body.rstrip() != expected:
            self.failures.append(f"{data[:40]!r}: {answer.head[:200]!r}")
        if len(data) + len(answer.body) < 10_000:
            self.slowest = max(self.slowest, time.monotonic() - began)

    def run(self, kind: Callable[[Load], None], good: bool) -> None:
        """Do what a kind of client does, again and again."""
        while not self.over.is_set():
            try:
                kind(self)
                self.counts[kind.__name__] = self.counts.get(kind.__name__, 0) + 1
            except (OSError, SSL.Error, Refused, EOFError, AssertionError) as error:
                if good:
                    self.failures.append(f"{kind.__name__}: {error!r}")


EMPTY = hashlib.sha256(b"").hexdigest().encode()


def request(path: str = "/", *lines: str, **options: Any) -> bytes:
    """A good request to the server group that demands a certificate; arguments as :func:`tests.support.clients.get`."""
    return get(path, "strict.test", *lines, **options)


def kept(load: Load) -> None:
    """A hundred requests on one connection."""
    with load.client() as client:
        for number in range(100):
            load.ask(client, request(f"/{number % 3}"), EMPTY)
            time.sleep(0.005)


def new(load: Load) -> None:
    """A connection for one request, as most are."""
    for version in ("1.2", "1.3"):
        with load.client(version) as client:
            load.ask(client, request(close=True), EMPTY)
        time.sleep(0.02)


def sending(load: Load) -> None:
    """A large body to the origin, in each framing."""
    with load.client() as client:
        load.ask(client, request("/", f"Content-Length: {LARGE}", method="POST", body=BODY), DIGEST)
        chunks = b"".join(b"10000\r\n%b\r\n" % BODY[start : start + 65536] for start in range(0, LARGE, 65536))
        load.ask(client, request("/", "Transfer-Encoding: chunked", method="POST", body=chunks + b"0\r\n\r\n"), DIGEST)
    time.sleep(0.2)


def fetching(load: Load) -> None:
    """A large body from the origin."""
    with load.client() as client:
        for _ in range(2):
            load.ask(client, request("/large"), BODY)
    time.sleep(0.2)


def leaving(load: Load) -> None:
    """Goes away in the middle of whatever it is."""
    for size in (0, 1, 100, 10_000):
        with Hand(load.port, "strict.test") as hand:
            hand.sock.sendall(hand.hello[:size])
    for data in (request("/large"), request("/", f"Content-Length: {LARGE}", method="POST", body=BODY[:100_000])):
        with load.client() as client:
            client.send(data)
            client.receive(1000) if b"/large" in data else None
    time.sleep(0.05)


def trickling(load: Load) -> None:
    """Twenty connections on which hardly anything comes or is read."""
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connect(load.port)) for _ in range(5)]
        slow = [stack.enter_context(load.client()) for _ in range(15)]
        starts = (b"GET / HTTP/1.1\r\n", request("/", "Content-Length: 1000", method="POST"), request("/large"))
        for client, start in zip(slow, itertools.cycle(starts)):
            client.send(start)
        while not load.over.wait(0.2) and silent:
            try:
                for client, start in zip(slow, itertools.cycle((b"A: b\r\n", b"a", b""))):
                    client.tls.send(start) if start else client.sock.recv(1)
            except (OSError, SSL.Error):
                return


def crowding(load: Load) -> None:
    """Two hundred clients at the same moment, as when a network comes back."""
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(Hand(load.port)) for _ in range(200)]
        for hand in crowd:
            hand.sock.sendall(hand.hello)
        for hand in crowd:
            assert hand.ask(get(close=True)).startswith(b"HTTP/1.1 200 ")
    time.sleep(2)


def nonsense(load: Load) -> None:
    """What is no request, no client, or nothing that is served."""
    for data in (b"\0\1\2\3\r\n\r\n", request("/../.."), get("/", "nobody.test"), b"GET / HTTP/9.9\r\n\r\n"):
        with load.client() as client:
            client.send(data)
            client.rest()
    with connect(load.port) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        sock.recv(1000)
    with (
        contextlib.suppress(Refused),
        Client(load.port, "strict.test", chain=[load.pki.servers.issue("mallory")]) as it,
    ):
        it.ask(get("/", "strict.test"))
    time.sleep(0.1)


GOOD = (kept, kept, kept, new, new, crowding, sending, fetching)
BAD = (leaving, trickling, nonsense)
