"""Abuses of HTTP/2 before a node of its own, each with a control client beside it.

No time is judged but that of patience: the control client is served all the while, the abuser is cut where it has to
be, and the memory of the node does not grow with what it sends. How long the control client waits is measured by
``bench/abuse.py``.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from attrs import define

from edgenode.proxy.origin.bursts import AT_ONCE
from tests.support.clients import PATIENCE
from tests.support.http2_abuses import ABUSES, NO_WINDOW, Abuse
from tests.support.http2_frames import PING, Connection, frame, get, headers, rst_stream
from tests.support.node import PKI, Alone, Origin, Served, alone

CHANGES = {"listener public": {"max-connections-per-client": "1000", "send-timeout": "2s"}}

MOST = 64 * 1024 * 1024
"""Bytes by which the node's memory may ever be larger than before the abuse."""

LONGEST = 5.0
"""Seconds for which an abuser goes on that is not cut."""


@define
class Abuser:
    """A client that abuses.

    :ivar cut: whether the node has ended the connection, or all of its streams.
    :ivar held: whether the node has stopped to read from it.
    """

    port: int
    abuse: Abuse
    cut: bool = False
    held: bool = False

    def run(self, seconds: float) -> None:
        """Send until it is cut, or for so long."""
        until = time.monotonic() + seconds
        try:
            with Connection.to(self.port, *self.abuse.settings, automatic=False, patience=seconds) as connection:
                for piece in self.abuse.pieces():
                    connection.send(piece)
                    if not self.abuse.deaf:
                        self._read(connection, 0.0 if piece else 0.01)
                    self.cut = bool(connection.client.ended) or connection.lost or connection.goaway is not None
                    if self.abuse.settings == NO_WINDOW:
                        self.cut = self.cut or all(reply.reset is not None for reply in connection.replies.values())
                    if self.cut or time.monotonic() > until:
                        break
                self._read(connection)
                self.cut = self.cut or connection.lost or connection.goaway is not None
        except TimeoutError:
            self.held = True

    @staticmethod
    def _read(connection: Connection, seconds: float = 0.0) -> None:
        while not connection.lost and connection.client.ready(seconds):
            connection.read()


def behave(served: Served) -> None:
    """An origin with something large, something that never comes, and something that comes at once."""
    while (head := served.head()) is not None:
        if b" /slow " in head:
            served.stall()
            return
        if b" /upload " in head:
            served.body(head)
        body = b"x" * (1024 * 1024 if b" /large " in head else 100)
        if not served.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body):
            return


@pytest.fixture(scope="module")
def origin(pki: PKI) -> Iterator[Origin]:
    """An origin of all tests of this module."""
    with Origin(pki, behave) as origin:
        yield origin


@pytest.fixture(scope="module")
def node(pki: PKI, origin: Origin) -> Iterator[Alone]:
    """A node in a process of its own, for all of them: what one abuser leaves, the next one finds."""
    with alone(pki, origin, CHANGES) as node:
        yield node


@pytest.mark.deadline(60)
@pytest.mark.parametrize("name", ABUSES)
def test_others_are_served_beside_an_abuser(node: Alone, name: str) -> None:
    """The control client gets every answer, the abuser what it deserves, and memory is not for the asking."""
    before = node.memory("VmRSS")
    abuser = Abuser(node.port, ABUSES[name])
    thread = threading.Thread(target=abuser.run, args=(LONGEST if abuser.abuse.cut else 1.0,))
    answered = 0
    with Connection.to(node.port) as control:
        thread.start()
        while thread.is_alive() or answered < 3:
            reply = control.ask(get("/control"))
            assert reply.status == 200, f"the control client is not served: {reply}"
            answered += 1
        thread.join(PATIENCE)
    assert abuser.cut or abuser.held or not abuser.abuse.cut, "the abuser goes on"
    assert node.memory("VmRSS") - before < MOST


@pytest.mark.parametrize("eager", [False, True], ids=["a window at a time", "windows given back for every frame"])
def test_a_client_that_is_only_busy_is_not_cut(node: Alone, eager: bool) -> None:
    """Many requests, a PING with each, windows given back, some requests given up: that is how clients are."""
    with Connection.to(node.port, eager=eager) as connection:
        for number in range(2000):
            assert connection.ask(get("/control")).status == 200, f"{number} requests were served"
            if number % 4 == 0:
                connection.send(frame(PING, 0, 0, b"rtt-meas"))
        assert connection.answers()
        assert connection.goaway is None


def test_others_are_served_when_who_waits_for_a_connection_leaves_in_the_middle(pki: PKI, origin: Origin) -> None:
    """One client gives up a request for which a connection is being opened, the one that waits, and then the rest."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        changes = {"origin origin": {"servers": f"https://127.0.0.1:{mute.getsockname()[1]}"}}
        with alone(pki, origin, changes) as node, Connection.to(node.port) as connection:
            first, *others, waiting = (connection.stream() for _ in range(AT_ONCE + 1))
            connection.send(b"".join(headers(stream, get()) for stream in (first, *others, waiting)))
            assert connection.ask(get(method="TRACE")).status == 405, "whose turn is behind theirs"
            connection.send(b"".join(map(rst_stream, (first, waiting, *others))))
            with Connection.to(node.port) as control:
                assert control.ask(get(method="TRACE")).status == 405
