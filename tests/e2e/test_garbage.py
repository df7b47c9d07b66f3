"""A connection that is over is forgotten at once, and its memory does not wait for the garbage collector."""

from __future__ import annotations

import contextlib
import gc
import subprocess
from collections.abc import Callable, Iterator

import pytest

from edgenode.net.transport import Transport
from edgenode.proxy.exchange import ProxyExchange
from edgenode.proxy.http1.client import OriginConnection
from edgenode.proxy.http1.server import ServerConnection
from edgenode.proxy.http2.client import MultiplexedConnection
from edgenode.proxy.http2.origin_stream import RequestStream
from edgenode.proxy.http2.server import ServerConnection as Http2Connection
from edgenode.proxy.http2.server_stream import ServerStream
from edgenode.proxy.listener.client_connection import ClientConnection
from edgenode.proxy.listener.client_session import ClientSession
from tests.support.http2_origins import Asked, Http2Origin, Spoken
from tests.support.node import OK, PKI, Hand, Node, Origin, Refused, Served, connect, get, in_thread, started, until

BIG = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"a" * 3_000_000
CHANGES: dict[str, dict[str, str | None]] = {
    "global-filter block": {"path": "^/blocked$", "action": "block"},
    "path-map all": {"path": "^/"},
    "listener public": {"header-timeout": "300ms"},
}
OF_A_CONNECTION = (
    ClientConnection, ProxyExchange, OriginConnection, ServerConnection, Transport, ClientSession,
    MultiplexedConnection, RequestStream, Http2Connection, ServerStream,
)  # fmt: skip


def _behave(served: Served) -> None:
    while (request := served.request()) is not None:
        if request.startswith(b"GET /reset "):
            served.reset()
            return
        served.send(BIG if request.startswith(b"GET /big ") else OK)


def _asking(data: bytes, name: str = "open.test", close: bool = True) -> Callable[[Node], None]:
    def ask(node: Node) -> None:
        with contextlib.suppress(Refused), node.client(name, chain=[node.pki.servers.issue("mallory")]) as client:
            client.send(data)
            if close:
                client.rest()
            else:
                client.receive(100)

    return ask


def _hello(size: int) -> Callable[[Node], None]:
    def send(node: Node) -> None:
        with Hand(node.port) as hand:
            hand.sock.sendall(hand.hello[:size])

    return send


def _plain(node: Node) -> None:
    with connect(node.port) as sock:
        sock.sendall(get())
        sock.recv(100)


def _curl(path: str, *options: str) -> Callable[[Node], None]:
    def ask(node: Node) -> None:
        to = f"open.test:{node.port}:127.0.0.1"
        url = f"https://open.test:{node.port}{path}"
        subprocess.run(["curl", "-sk", "--http2", "--resolve", to, *options, url], capture_output=True, check=False)

    return ask


ENDS: dict[str, Callable[[Node], None]] = {
    "answered": _asking(get(close=True)),
    "left": _asking(get(), close=False),
    "a wrong certificate": _asking(get("/", "strict.test"), "strict.test"),
    "a wrong host": _asking(get("/", "twin.test")),
    "nobody's host": _asking(get("/", "nobody.test")),
    "blocked": _asking(get("/blocked", close=True)),
    "malformed": _asking(b"\0\r\n\r\n"),
    "half a head": _asking(b"GET /"),
    "left amid a download": _asking(get("/big"), close=False),
    "reset by the origin": _asking(get("/reset", close=True)),
    "a malformed body": _asking(get("/", "open.test", "Transfer-Encoding: chunked", method="POST") + b"x\r\n"),
    "no hello": _hello(0),
    "half a hello": _hello(100),
    "half a handshake": _hello(100_000),
    "plain": _plain,
    "answered over HTTP/2": _curl("/"),
    "blocked over HTTP/2": _curl("/blocked"),
    "reset over HTTP/2": _curl("/reset"),
    "left amid a download over HTTP/2": _curl("/big", "-m", "0.05"),
}


@pytest.fixture
def garbage() -> Iterator[list[object]]:
    """What the garbage collector finds when it is called; it does not come by itself."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.mark.parametrize("end", ENDS)
async def test_nothing_waits_for_the_garbage_collector(pki: PKI, garbage: list[object], end: str) -> None:
    """However a connection ends, what belonged to it goes by itself."""
    with Origin(pki, _behave) as origin:
        async with started(pki, origin, CHANGES) as node:
            port = node.service.ports["public"]
            await in_thread(ENDS[end], node)
            await until(lambda: not port.connections)
            node.events.told.clear()
            gc.collect()
            assert [each for each in garbage if isinstance(each, OF_A_CONNECTION)] == []


def _answer(spoken: Spoken, asked: Asked) -> None:
    match asked[b":path"]:
        case b"/reset":
            spoken.served.reset()
        case b"/stream":
            spoken.h2.reset_stream(asked.stream, 2)
            spoken.flush()
        case b"/goaway":
            spoken.answer(asked.stream)
            spoken.h2.close_connection()
            spoken.flush()
        case b"/garbage":
            spoken.served.send(b"garbage" * 100)
        case b"/big":
            spoken.answer(asked.stream, bytes(3_000_000), ((b":status", b"200"),))
        case _:
            spoken.answer(asked.stream)


@pytest.mark.parametrize("path", ["/", "/reset", "/stream", "/goaway", "/garbage", "/big"])
@pytest.mark.parametrize("close", [True, False])
async def test_nor_do_connections_of_http2_to_origins(pki: PKI, garbage: list[object], path: str, close: bool) -> None:
    """However a stream or its connection ends."""
    with Http2Origin(pki, _answer) as origin:
        async with started(pki, origin, {"origin origin": {"protocol": "h2"}}) as node:
            port = node.service.ports["public"]
            await in_thread(_asking(get(path, close=close), close=close), node)
            await until(lambda: not port.connections)
            (pool,) = node.service.pools.values()
            pool.abort()
            node.events.told.clear()
            del pool
            gc.collect()
            assert [each for each in garbage if isinstance(each, OF_A_CONNECTION)] == []
