"""The example of all protocols, between clients and servers that others wrote.

The node runs the file as it is written, but for its ports, in a process of its own. Behind it are aiohttp and grpcio;
before it curl, nghttp, h2load, Chromium, grpcio, aiohttp and websockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import queue
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp import web
from attrs import frozen
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

ROOT = pathlib.Path(__file__).parent.parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
EXAMPLE = "examples/protocols/edgenode.ini"
ELSEWHERE = Origin("https://elsewhere.example")
PATIENCE = 60

PAGE = """<!doctype html><title>asking</title><script>
const socket = new WebSocket(`wss://${location.host}/chat`);
const said = [performance.getEntriesByType("navigation")[0].nextHopProtocol];
socket.onopen = () => socket.send("from a page");
socket.onmessage = event => { said.push(event.data); socket.send("<SCRIPT>"); };
socket.onclose = event => { said.push(event.code); fetch("/said?" + said.join()); };
</script>"""

_said: queue.SimpleQueue[str] = queue.SimpleQueue()
"""What the script of a page has told the site."""


def needs(program: str) -> Any:
    """Skip where a program is not installed."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


@frozen
class Place:
    """The example at work.

    :ivar folder: a copy of the checkout's examples.
    :ivar port: where the node listens.
    """

    folder: pathlib.Path
    port: int

    @property
    def pki(self) -> pathlib.Path:
        """The certificates."""
        return self.folder / "examples" / "protocols" / "pki"

    @property
    def url(self) -> str:
        """Of the site."""
        return f"https://localhost:{self.port}"

    def run(self, *command: str | pathlib.Path) -> str:
        """Run a client that ends well; returns what it says."""
        words = [str(each) for each in command]
        done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def context(self, client: str | None = None) -> ssl.SSLContext:
        """What a client trusts, and its certificate."""
        context = ssl.create_default_context(cafile=self.pki / "ca.pem")
        if client:
            context.load_cert_chain(self.pki / f"{client}.pem", self.pki / f"{client}.key")
        return context

    def channel(self, client: str | None = None) -> Any:
        """A channel of grpcio to the node."""
        chain, key = ((self.pki / f"{client}.{end}").read_bytes() if client else None for end in ("pem", "key"))
        credentials = grpc.ssl_channel_credentials((self.pki / "ca.pem").read_bytes(), key, chain)
        return grpc.secure_channel(f"localhost:{self.port}", credentials)

    def spoken(self) -> set[tuple[str, str]]:
        """The versions of the requests in the events so far, each with its path map."""
        lines = (self.folder / "examples" / "protocols" / "events.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        return {(each["request"]["version"], each["path_map"]) for each in events if each.get("request")}


# -- the servers -------------------------------------------------------------------------------------------------------


def _server_context(pki: pathlib.Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pki / "ca.pem")
    context.load_cert_chain(pki / "origin.pem", pki / "origin.key")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def _site(request: web.Request) -> web.StreamResponse:
    if request.path == "/page":
        return web.Response(text=PAGE, content_type="text/html")
    if request.path == "/said":
        _said.put(request.query_string)
    body = await request.read()
    return web.json_response({"via": request.headers["Via"], "host": request.host, "body": len(body)})


async def _chat(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            await socket.send_str(f"{message.data}!")
        elif message.type is aiohttp.WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


@contextlib.contextmanager
def _aiohttp(pki: pathlib.Path) -> Iterator[int]:
    """The port of a site with a chat."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> tuple[web.AppRunner, int]:
        application = web.Application(client_max_size=16 << 20)
        application.router.add_get("/chat", _chat)
        application.router.add_route("*", "/{any:.*}", _site)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=_server_context(pki)).start()
        return runner, runner.addresses[0][1]

    runner, port = asyncio.run_coroutine_threadsafe(start(), loop).result(PATIENCE)
    try:
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()


def _add(request: bytes, context: Any) -> bytes:
    context.set_trailing_metadata((("x-seen", ",".join(each.decode() for each in context.peer_identities())),))
    return b"added " + request


@contextlib.contextmanager
def _grpcio(pki: pathlib.Path) -> Iterator[int]:
    """The port of a service of gRPC."""
    server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    handlers = {
        "Add": grpc.unary_unary_rpc_method_handler(_add),
        "List": grpc.unary_stream_rpc_method_handler(lambda request, context: iter([b"one", b"two", b"three"])),
        "Talk": grpc.stream_stream_rpc_method_handler(lambda requests, context: (each[::-1] for each in requests)),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.v1.Cart", handlers),))
    files = [(pki / name).read_bytes() for name in ("origin.key", "origin.pem", "ca.pem")]
    credentials = grpc.ssl_server_credentials([(files[0], files[1])], files[2], require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)  # of "localhost" it may be ::1 alone
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait(PATIENCE)


# -- the node ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with the example and the certificates that its first lines make."""
    folder = tmp_path_factory.mktemp("checkout")
    target = folder / "examples" / "protocols"
    target.mkdir(parents=True)
    text = (ROOT / EXAMPLE).read_text()
    commands = re.findall(r"^#   \$ python (-m edgenode pki .*)$", text, re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        subprocess.run([sys.executable, *shlex.split(command)], cwd=folder, env=ENVIRONMENT, check=True)
    (target / "edgenode.ini").write_text(text)
    return folder


@contextlib.contextmanager
def _running(folder: pathlib.Path, **ports: int) -> Iterator[Place]:
    """The node with its origins elsewhere."""
    file = folder / "examples" / "protocols" / "running.ini"
    text = (folder / EXAMPLE).read_text().replace("tcp:8448:", "tcp:0:")
    for name, standing in (("site", 9443), ("cart", 9444), ("chat", 9445)):
        assert f"https://127.0.0.1:{standing}" in text
        text = text.replace(f"https://127.0.0.1:{standing}", f"https://127.0.0.1:{ports[name]}")
    file.write_text(text)
    command = [sys.executable, "-m", "tests.support.node", str(file)]
    with subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Place(folder, int(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait(PATIENCE)


@pytest.fixture(scope="module")
def place(folder: pathlib.Path) -> Iterator[Place]:
    """The example, with its servers behind it."""
    pki = folder / "examples" / "protocols" / "pki"
    with (
        _aiohttp(pki) as site,
        _grpcio(pki) as cart,
        _running(folder, site=site, cart=cart, chat=site) as place,
    ):
        yield place


def test_the_file_as_it_is_has_no_problem(folder: pathlib.Path) -> None:
    """``edgenode check`` finds none."""
    command = [sys.executable, "-m", "edgenode", "check", EXAMPLE]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# -- the clients -------------------------------------------------------------------------------------------------------


@needs("curl")
def test_curl_speaks_both(place: Place) -> None:
    """By HTTP/2 unless it is told otherwise; and an upload arrives, that rules on messages do not wait for."""
    written = ["-sS", "--cacert", str(place.pki / "ca.pem"), "-w", " %{http_version} %{response_code}"]
    assert place.run("curl", *written, f"{place.url}/a").endswith(" 2 200")
    assert place.run("curl", *written, "--http1.1", f"{place.url}/a").endswith(" 1.1 200")
    assert place.run("curl", *written, "-A", "sqlmap", f"{place.url}/a").endswith(" 2 403")
    upload = place.folder / "upload"
    upload.write_bytes(bytes(1_000_000))
    assert '"body": 1000000' in place.run("curl", *written, "-T", upload, f"{place.url}/up")


@needs("nghttp")
def test_nghttp_has_many_streams(place: Place) -> None:
    """Forty requests on one connection, with the priorities that it sends."""
    said = place.run("nghttp", "-v", "--no-verify-peer", "-m", "40", f"{place.url}/a")
    assert said.count(":status: 200") == 40
    assert "GOAWAY frame <length=8, flags=0x00, stream_id=0>" in said
    assert "error_code=NO_ERROR(0x00)" in said


@needs("h2load")
def test_h2load_loses_nothing(place: Place) -> None:
    """Two thousand requests of four clients, ten at a time each."""
    said = place.run("h2load", "-n", "2000", "-c", "4", "-m", "10", f"{place.url}/a")
    assert "Application protocol: h2" in said
    assert "2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout" in said


@needs("chromium")
def test_chromium_shows_a_page_and_chats(place: Place) -> None:
    """A page by HTTP/2, whose script opens a WebSocket, hears its echo, and is closed when it says what no one may."""
    options = (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--ignore-certificate-errors",
        "--disable-dev-shm-usage", "--remote-debugging-port=0", f"--user-data-dir={place.folder / 'chromium'}",
    )  # fmt: skip
    command = ["chromium", *options, f"{place.url}/page"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, process_group=0, stdout=quiet, stderr=quiet) as browser:
        try:
            said = _said.get(timeout=PATIENCE)
        finally:
            os.killpg(browser.pid, signal.SIGKILL)
    assert said == "h2,from a page!,1008"
    # The WebSocket is a stream of the connection that the page came on (RFC 8441).
    assert _becomes(lambda: ("HTTP/2.0", "chat") in place.spoken())


def test_grpcio_calls(place: Place) -> None:
    """Unary calls and streams pass, and one that is refused says why."""
    with place.channel("acme") as channel:
        add = channel.unary_unary("/shop.v1.Cart/Add")
        answer, call = add.with_call(b"a book", timeout=PATIENCE)
        assert answer == b"added a book"
        assert [(each.key, each.value) for each in call.trailing_metadata()] == [("x-seen", "edge")]
        assert list(channel.unary_stream("/shop.v1.Cart/List")(b"", timeout=PATIENCE)) == [b"one", b"two", b"three"]
        words: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        talk = channel.stream_stream("/shop.v1.Cart/Talk")(iter(words.get, None), timeout=PATIENCE)
        for word in (b"abc", b"def"):
            words.put(word)
            assert next(talk) == word[::-1], "an answer comes before the call sends more"
        words.put(None)
        assert list(talk) == []
    with place.channel() as channel:
        assert len(list(channel.unary_stream("/shop.v1.Cart/List")(b"", timeout=PATIENCE))) == 3
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/shop.v1.Cart/Add")(b"a book", timeout=PATIENCE)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_aiohttp_asks_and_chats(place: Place) -> None:
    """By HTTP/1.1, on one connection after the other."""

    async def talk() -> tuple[int, list[str], int | None]:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{place.url}/a", ssl=place.context()) as response:
                status = response.status
            async with session.ws_connect(f"{place.url}/chat", ssl=place.context("acme")) as socket:
                said = []
                for word in ("hello", "again"):
                    await socket.send_str(word)
                    said.append((await socket.receive_str())[:])
                await socket.send_str("x<script>")
                await socket.receive()
                return status, said, socket.close_code

    assert asyncio.run(talk()) == (200, ["hello!", "again!"], 1008)


def test_websockets_chats(place: Place) -> None:
    """Text and binary messages, PING, fragments, and its end; a page of another site is not let in."""
    url = f"wss://localhost:{place.port}/chat"
    with connect(url, ssl=place.context(), open_timeout=PATIENCE) as socket:
        socket.send("hello")
        assert socket.recv(PATIENCE) == "hello!"
        socket.send(b"\x00" * 10_000)
        assert socket.recv(PATIENCE) == b"\x00" * 10_000
        socket.send(["in ", "three ", "pieces"])
        assert socket.recv(PATIENCE) == "in three pieces!"
        assert socket.ping().wait(PATIENCE)
        socket.send("<script>")
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(PATIENCE)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1008
    with pytest.raises(Exception, match="403"), connect(url, ssl=place.context(), origin=ELSEWHERE):
        pass


def test_events_tell_the_protocol_of_each(place: Place) -> None:
    """The same file has the requests of all clients."""
    with place.channel("acme") as channel:
        channel.unary_unary("/shop.v1.Cart/Add")(b"", timeout=PATIENCE)
    with connect(f"wss://localhost:{place.port}/chat", ssl=place.context(), open_timeout=PATIENCE):
        pass
    assert _becomes(lambda: {("HTTP/2.0", "cart"), ("HTTP/1.1", "chat")} <= place.spoken())


def _becomes(true: Callable[[], bool]) -> bool:
    for _ in range(PATIENCE * 20):
        if true():
            return True
        threading.Event().wait(0.05)
    return False
