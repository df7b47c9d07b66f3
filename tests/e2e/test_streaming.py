"""Large bodies flow through: whatever their size and whoever is slow, the memory of the node stays as it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.node import PKI, Alone, Behaviour, Client, Origin, Served, alone, answering, get
from tests.support.waiting import settled

GIB = 1 << 30
MIB = 1 << 20


@pytest.fixture
def origin(pki: PKI) -> Iterator[Origin]:
    """An origin that keeps no connection, and still has to be told what to do."""
    with Origin(pki, answering(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")) as origin:
        yield origin


@pytest.fixture
def node(pki: PKI, origin: Origin) -> Iterator[Alone]:
    """A node that has served one request, so that whatever it needs anyway is there."""
    with alone(pki, origin, {"path-map all": {"max-body-size": "2g"}}) as node:
        with Client(node.port) as client:
            assert client.ask(get(close=True)).status == 204
        yield node


def _upload(node: Alone, size: int) -> bytes:
    piece = memoryview(bytes(256 * 1024))
    with Client(node.port, patience=60) as client:
        client.send(get("/", "open.test", f"Content-Length: {size}", method="POST", close=True))
        for _ in range(size // len(piece)):
            client.tls.sendall(piece)
        return client.answer().body


def _full(node: Alone) -> None:
    """Wait until the node has nothing to do any more: all buffers are full, or everything has passed."""
    settled(lambda: round(node.seconds() * 100), "the node reads no more")


def _download(node: Alone, *, late: bool = False) -> int:
    with Client(node.port, patience=60) as client:
        client.send(get(close=True))
        head = client.head()
        assert head.startswith(b"HTTP/1.1 200 ")
        if late:
            _full(node)
        size = 0
        while data := client.receive():
            size += len(data)
        assert client.ended == "close_notify"
        return size


def _sending(size: int, *, chunked: bool = False) -> Behaviour:
    """Answer with a body of so many bytes."""
    piece = bytes(MIB)
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
    part, end = (b"%x\r\n%b\r\n" % (MIB, piece), b"0\r\n\r\n") if chunked else (piece, b"")

    def behave(served: Served) -> None:
        if served.request() is not None:
            served.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing)
            for _ in range(size // MIB):
                served.send(part)
            served.send(end)
            served.receive()

    return behave


def _receiving(size: int, late: Alone | None = None) -> Behaviour:
    """Take a body of so many bytes, and answer with how many there were.

    :param late: the node that has nothing to do any more before any of it is read.
    """

    def behave(served: Served) -> None:
        if served.head() is not None:
            if late is not None:
                _full(late)
            text = b"%d" % served.drop(size)
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
            served.receive()

    return behave


def test_a_gibibyte_up_in_flat_memory(origin: Origin, node: Alone) -> None:
    """1 GiB is uploaded, every byte of it arrives, and the node's memory does not grow."""
    origin.behaviour = _receiving(GIB)
    before = node.memory("VmRSS")
    assert _upload(node, GIB) == b"%d" % GIB
    assert node.memory("VmHWM") - before < GIB / 32


def test_a_gibibyte_down_in_flat_memory(origin: Origin, node: Alone) -> None:
    """1 GiB is downloaded, every byte of it arrives, and the node's memory does not grow."""
    origin.behaviour = _sending(GIB)
    before = node.memory("VmRSS")
    assert _download(node) == GIB
    assert node.memory("VmHWM") - before < GIB / 32


@pytest.mark.parametrize("chunked", [False, True])
def test_a_slow_reader_fills_no_memory(origin: Origin, node: Alone, chunked: bool) -> None:
    """While a client does not read, the node does not read on from the origin either; then everything arrives."""
    origin.behaviour = _sending(64 * MIB, chunked=chunked)
    before = node.memory("VmRSS")
    size = _download(node, late=True)
    assert size >= 64 * MIB
    assert node.memory("VmHWM") - before < 64 * MIB / 4


def test_a_slow_origin_fills_no_memory(origin: Origin, node: Alone) -> None:
    """While an origin does not read, the node does not read on from the client either; then everything arrives."""
    origin.behaviour = _receiving(64 * MIB, late=node)
    before = node.memory("VmRSS")
    assert _upload(node, 64 * MIB) == b"%d" % (64 * MIB)
    assert node.memory("VmHWM") - before < 64 * MIB / 4
