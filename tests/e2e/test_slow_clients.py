"""Clients that take their time, by the hundred: each is cut in its time, and nobody else has to wait for them."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Iterator

import pytest
from OpenSSL import SSL

from tests.support.node import OK, PKI, Alone, Client, Hand, Origin, Served, alone, connect, get

EACH = 60
"""Slow clients of each kind, all at once."""

TIMEOUT = 2.0
SLACK = 4.0
"""Seconds to read why it was cut, for sweeps, and for a machine that has other things to do as well."""

BIG = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 1_000_000


class Silent:
    """Connects, and is silent."""

    def __init__(self, port: int) -> None:
        self.sock = connect(port)

    def nudge(self) -> None:
        """Do the least that looks alive."""


class HalfHello(Silent):
    """Sends its ClientHello byte by byte."""

    def __init__(self, port: int) -> None:
        hand = Hand(port)
        self.sock, self._rest = hand.sock, hand.hello

    def nudge(self) -> None:
        """One more byte."""
        if self._rest:
            self.sock.send(self._rest[:1])
            self._rest = self._rest[1:]


class HalfHandshake(Silent):
    """Sends its ClientHello, and has no answer to what comes back."""

    def __init__(self, port: int) -> None:
        hand = Hand(port)
        self.sock = hand.sock
        self.sock.sendall(hand.hello)


class SlowHead(Silent):
    """Sends header after header, and never the last (slowloris)."""

    start = b"GET / HTTP/1.1\r\nHost: open.test\r\n"
    more = b"X-A: b\r\n"

    def __init__(self, port: int) -> None:
        self._client = Client(port)
        self.sock = self._client.sock
        self._client.send(self.start)

    def nudge(self) -> None:
        """A little more."""
        self._client.tls.send(self.more)


class SlowBody(SlowHead):
    """Sends a body byte by byte."""

    start = get("/", "open.test", "Content-Length: 100000", method="POST")
    more = b"a"


class SlowReader(SlowHead):
    """Asks for much, and reads it byte by byte."""

    start = get("/big")

    def nudge(self) -> None:
        """One byte, of any record."""
        self.sock.recv(1, socket.MSG_DONTWAIT)


def _behave(served: Served) -> None:
    while (request := served.request()) is not None:
        served.send(BIG if request.startswith(b"GET /big ") else OK)


KINDS = (Silent, HalfHello, HalfHandshake, SlowHead, SlowBody, SlowReader)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    """A node in a process of its own that has little patience."""
    pki = PKI.make(tmp_path_factory.mktemp("pki"))
    timeouts = dict.fromkeys(("handshake-timeout", "header-timeout", "body-timeout", "send-timeout"), f"{TIMEOUT:.0f}s")
    listener: dict[str, str | None] = {**timeouts, "max-connections-per-client": "4096"}
    with Origin(pki, _behave) as origin, alone(pki, origin, {"listener public": listener}) as node:
        _, hard = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (hard, hard))
        yield node


def test_slow_clients(process: Alone) -> None:
    """While slow clients are there others need not wait for them; and they are there no longer than their time."""
    served = 0

    def serve() -> None:
        with Client(process.port) as client:
            assert client.ask(get()).status == 200

    serve()
    before = process.descriptors()
    with contextlib.ExitStack() as stack:
        slow: list[Silent] = []
        for each in KINDS:
            for _ in range(EACH):
                slow.append(each(process.port))
                stack.callback(slow[-1].sock.close)
        deadline = time.monotonic() + TIMEOUT + SLACK
        serve()
        assert process.descriptors() > before + EACH
        while process.descriptors() > before + 5:
            assert time.monotonic() < deadline, f"{process.descriptors() - before} descriptors are left"
            for client in slow:
                with contextlib.suppress(OSError, SSL.Error):
                    client.nudge()
            serve()
            served += 1
    assert served > len(KINDS)
