"""Large bodies flow through: whatever their size and whoever is slow, the memory of the node stays as it is."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from attrs import frozen

from tests.node import PKI, Behaviour, Client, Origin, Served, get, ini

GIB = 1 << 30
MIB = 1 << 20
ROOT = pathlib.Path(__file__).parent.parent


@frozen
class Alone:
    """A node in a process of its own.

    :ivar pid: the process.
    :ivar port: its TCP port.
    """

    pid: int
    port: int

    def memory(self, what: str) -> int:
        """A line of /proc/PID/status, in bytes: ``VmRSS`` is the memory now, ``VmHWM`` the most there ever was."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        match = re.search(rf"{what}:\s*(\d+) kB", status)
        assert match is not None
        return int(match[1]) * 1024

    def descriptors(self) -> int:
        """How many file descriptors it has open."""
        return len(list(pathlib.Path(f"/proc/{self.pid}/fd").iterdir()))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """The certificates."""
    return PKI.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def origin(pki: PKI) -> Iterator[Origin]:
    """An origin that still has to be told what to do."""
    with Origin(pki) as origin:
        yield origin


@pytest.fixture
def node(pki: PKI, origin: Origin) -> Iterator[Alone]:
    """A node that has served one request, so that whatever it needs anyway is there."""
    file = pki.folder / f"{origin.port}.ini"
    limits = {"path-map all": {"max-body-size": "2g"}, "listener public": {"max-connections-per-client": "5000"}}
    file.write_text(ini(origin.port, limits))
    command = [sys.executable, "-m", "tests.node", str(file)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            alone = Alone(process.pid, int(process.stdout.readline()))
            with Client(alone.port) as client:
                assert client.ask(get(close=True)).status == 200
            yield alone
        finally:
            process.stdin.close()
            process.wait(10)


def _upload(node: Alone, size: int) -> bytes:
    piece = memoryview(bytes(256 * 1024))
    with Client(node.port, patience=60) as client:
        client.send(get("/", "open.test", f"Content-Length: {size}", method="POST", close=True))
        for _ in range(size // len(piece)):
            client.tls.sendall(piece)
        return client.answer().body


def _download(node: Alone, pause: float = 0.0) -> int:
    with Client(node.port, patience=60) as client:
        client.send(get(close=True))
        head = client.head()
        assert head.startswith(b"HTTP/1.1 200 ")
        time.sleep(pause)
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


def _receiving(size: int, pause: float = 0.0) -> Behaviour:
    """Take a body of so many bytes, after a while, and answer with how many there were."""

    def behave(served: Served) -> None:
        if served.head() is not None:
            time.sleep(pause)
            text = b"%d" % served.drop(size)
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
            served.receive()

    return behave


def test_a_gibibyte_up_in_flat_memory(origin: Origin, node: Alone) -> None:
    """1 GiB is uploaded, every byte of it arrives, and the node's memory does not grow."""
    origin.behaviour = _receiving(GIB)
    before = node.memory("VmRSS")
    assert _upload(node, GIB) == b"%d" % GIB
    assert node.memory("VmHWM") - before < 16 * MIB


def test_a_gibibyte_down_in_flat_memory(origin: Origin, node: Alone) -> None:
    """1 GiB is downloaded, every byte of it arrives, and the node's memory does not grow."""
    origin.behaviour = _sending(GIB)
    before = node.memory("VmRSS")
    assert _download(node) == GIB
    assert node.memory("VmHWM") - before < 16 * MIB


@pytest.mark.parametrize("chunked", [False, True])
def test_a_slow_reader_fills_no_memory(origin: Origin, node: Alone, chunked: bool) -> None:
    """While a client does not read, the node does not read on from the origin either; then everything arrives."""
    origin.behaviour = _sending(64 * MIB, chunked=chunked)
    before = node.memory("VmRSS")
    size = _download(node, pause=0.7)
    assert size >= 64 * MIB
    assert node.memory("VmHWM") - before < 8 * MIB


def test_a_slow_origin_fills_no_memory(origin: Origin, node: Alone) -> None:
    """While an origin does not read, the node does not read on from the client either; then everything arrives."""
    origin.behaviour = _receiving(64 * MIB, pause=0.7)
    before = node.memory("VmRSS")
    assert _upload(node, 64 * MIB) == b"%d" % (64 * MIB)
    assert node.memory("VmHWM") - before < 8 * MIB
