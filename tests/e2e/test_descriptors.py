"""A process that is short of descriptors: whoever is connected is served, and waiting costs nothing."""

from __future__ import annotations

import contextlib
import resource
import socket
from collections.abc import Iterator

import pytest

from tests.support.node import PKI, Alone, Client, Origin, alone, answering, connect, get
from tests.support.waiting import settled, wait_for

LIMIT = 128
IDLE = 400
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
"""An origin's answer after which the next request needs a new connection to it."""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    """A node in a process of its own that may have 128 descriptors, in front of an origin that keeps no connection."""
    pki = PKI.make(tmp_path_factory.mktemp("pki"))
    changes = {
        "listener public": {"max-connections-per-client": "1000", "handshake-timeout": "1h"},
        "edge": {"events": "events.jsonl"},
    }
    with Origin(pki, answering(ANSWER)) as origin, alone(pki, origin, changes) as node:
        resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
        yield node


@contextlib.contextmanager
def idle(process: Alone, count: int) -> Iterator[list[socket.socket]]:
    """So many connections that do nothing, once the node has accepted all that it wants to."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connect(process.port)) for _ in range(count)]
        wait_for(lambda: process.descriptors() >= 50, "the node has accepted connections")
        settled(process.descriptors, "it accepts no more", pause=0.05)
        yield socks


def test_out_of_descriptors(process: Alone) -> None:
    """400 idle connections under a limit of 128 descriptors: open clients are served, and so is the next afterwards."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(process.port)) for _ in range(20)]
        assert all(client.ask(get()).status == 200 for client in clients)
        with idle(process, IDLE):
            for client in clients:
                client.send(get())  # all at the same time, and each needs a connection to the origin of its own
            assert [client.answer().status for client in clients] == [200] * len(clients)
            assert process.share_while_waiting() <= 0.1
            assert process.descriptors() < LIMIT
            assert clients[0].ask(get()).status == 200
        with Client(process.port) as client:
            assert client.ask(get()).status == 200


def test_waiting_connections_are_accepted_as_others_leave(process: Alone) -> None:
    """While there is no room new clients wait, and each that leaves lets one in at once."""
    with idle(process, 48) as socks:
        with connect(process.port, patience=0.5) as waiting:
            waiting.sendall(get())
            with pytest.raises(BlockingIOError):
                waiting.recv(100)
        socks.pop().close()
        socks.pop().close()
        with Client(process.port) as client:
            assert client.ask(get()).status == 200
