"""Streams without TLS on either side: the kernel moves their bytes, and all else is as with other streams."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from edgenode.proxy.stream import spliced
from tests.proxy.stream.test_streams import PLAIN
from tests.support import memory
from tests.support.memory import MemoryNode, merged
from tests.support.node import PKI


@pytest.fixture
def plain(pki: PKI, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryNode]:
    """A node without TLS that has nothing but splices."""
    monkeypatch.delattr(spliced, "join")
    with memory.node(pki, merged(PLAIN, {"path-map all": {"idle-timeout": "10s"}})) as made:
        yield made


def test_who_ends_first_and_how_much_has_passed_is_told(plain: MemoryNode) -> None:
    """The event has the bytes of both directions; either side may end first, and the other goes on."""
    client = plain.raw()
    origin = plain.origin()
    origin.send(b"greeting")
    origin.finish()
    assert client.read() == b"greetingEOF"
    client.send(b"and yet")
    client.sock.shutdown(socket.SHUT_WR)
    plain.loop.settle()
    assert (origin.read(), origin.ended) == (b"and yet", True)
    (event,) = plain.events
    assert (event["stream"]["closed_by"], event["bytes"]) == ("origin", {"received": 7, "sent": 8})


def test_an_idle_stream_is_cut_and_one_that_moves_is_not(plain: MemoryNode) -> None:
    """What passes counts, whoever moves it; and the cut is told as any other."""
    client = plain.raw()
    origin = plain.origin()
    for _ in range(3):
        plain.loop.wait(7)
        client.send(b"a")
        assert origin.read() == b"a"
    plain.loop.wait(12)
    (event,) = plain.events
    assert (event["status"], event["stream"]["closed_by"], event["bytes"]["received"]) == (408, "node", 3)
