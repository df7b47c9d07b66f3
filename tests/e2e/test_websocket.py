"""WebSocket through a node, with the clients that people have: ``websockets``, aiohttp, autobahn, Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import pathlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from tests.support.certificates import Issued, write_pem
from tests.support.challenges import solved
from tests.support.memory import merged
from tests.support.node import PKI, Changes, Node, in_thread, started, until

sync_client: Any = pytest.importorskip("websockets.sync.client")
exceptions: Any = pytest.importorskip("websockets.exceptions")
sync_server: Any = pytest.importorskip("websockets.sync.server")

OPEN: Changes = {"origin origin": {"certificate": None}}


class Echo:
    """An origin by ``websockets``, in threads: it sends back what it gets.

    :ivar requests: the handshakes.
    :ivar closed: the codes with which its WebSockets ended.
    """

    def __init__(self, pki: PKI, alpn: list[str] | None = None) -> None:
        self.requests: list[Any] = []
        self.closed: list[int | None] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki.folder / "origin.pem", pki.folder / "origin.key")
        if alpn:
            context.set_alpn_protocols(alpn)
        self._server = sync_server.serve(
            self._serve,
            "127.0.0.1",
            0,
            ssl=context,
            process_request=self._page,
            max_size=None,
            select_subprotocol=lambda connection, offered: "chat" if "chat" in offered else None,
        )
        self.port = int(self._server.socket.getsockname()[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _page(self, connection: Any, request: Any) -> Any:
        if "Upgrade" not in request.headers:
            response = connection.respond(200, PAGE)
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = "text/html"
            return response
        self.requests.append(request)
        return None

    def _serve(self, connection: Any) -> None:
        for message in connection:
            connection.send(message)
        self.closed.append(connection.close_code)

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join(5)


PAGE = """<!doctype html><title>waiting</title><script>
const socket = new WebSocket("wss://" + location.host + "/chat", ["chat"]);
socket.onopen = () => socket.send("hello from the page");
socket.onmessage = event => socket.close(event.data === "hello from the page" ? 4000 : 4001, "bye");
</script><body>waiting</body>"""


@pytest.fixture
def echo(pki: PKI) -> Iterator[Echo]:
    """An origin."""
    echo = Echo(pki)
    yield echo
    echo.close()


@pytest_twisted.async_yield_fixture
async def node(pki: PKI, echo: Echo) -> Any:
    """A node in front of it."""
    node = Node.of(pki, echo.port, OPEN)
    node.start()
    yield node
    await node.stop()


def trusting(pki: PKI, certificate: str = "") -> ssl.SSLContext:
    """The TLS of a client.

    :param certificate: the stem of the files of its own.
    """
    context = ssl.create_default_context(cafile=str(pki.folder / "servers.pem"))
    if certificate:
        context.load_cert_chain(pki.folder / f"{certificate}.pem", pki.folder / f"{certificate}.key")
    return context


def connected(node: Node, name: str = "open.test", **options: Any) -> Any:
    """A client by ``websockets``.

    It writes its handshake while another thread of it reads, on one TLS connection. About one in a hundred times what
    it wrote is lost, when a session ticket of TLS 1.3 comes just then; so it may try again.
    """
    context = trusting(node.pki, options.pop("certificate", ""))
    for patience in 4, 10:
        sock = socket.create_connection(("127.0.0.1", node.port))
        with contextlib.suppress(TimeoutError):
            return sync_client.connect(
                f"wss://{name}/chat", sock=sock, ssl=context, max_size=None, open_timeout=patience, **options
            )
    raise AssertionError("no handshake in time")


def _talk(node: Node) -> tuple[str | None, int | None]:
    with connected(node, subprotocols=["chat"]) as client:
        for message in ("hello", "", "é" * 1000, b"\0" * 3_000_000, "x" * 100_000):
            client.send(message)
            assert client.recv(timeout=10) == message
        client.send(["frag", "men", "ts"])
        assert client.recv(timeout=10) == "fragments"
        assert client.ping().wait(5)
        chosen = client.subprotocol
    return chosen, client.close_code


async def test_websockets_speaks_through_it(node: Node, echo: Echo) -> None:
    """Compressed, in fragments, with pings, and closed with a code."""
    assert await in_thread(_talk, node) == ("chat", 1000)
    handshake, end = await node.events.take(2)
    assert handshake["status"] == 101
    assert (end["websocket"]["code"], end["websocket"]["closed_by"]) == (1000, "client")
    assert (end["websocket"]["received"], end["websocket"]["sent"]) == (6, 6)
    await until(lambda: echo.closed)
    assert echo.closed == [1000]
    assert "permessage-deflate" in echo.requests[0].headers["Sec-WebSocket-Extensions"]


def _talk_certified(node: Node) -> int | None:
    node.pki.client.write(node.pki.folder, "alice")
    with connected(node, "strict.test", certificate="alice") as client:
        client.send("hello")
        assert client.recv(timeout=10) == "hello"
    return int(client.close_code)


async def test_a_client_is_known_by_its_certificate(node: Node) -> None:
    """The event of the end too says whose it was."""
    assert await in_thread(_talk_certified, node) == 1000
    for event in await node.events.take(2):
        assert event["certificate"]["subject"] == "CN=Alice,O=Partners"


async def test_an_origin_that_speaks_http_2_too_is_asked_by_http_1(pki: PKI) -> None:
    """With protocol = auto: few servers take WebSocket over HTTP/2."""
    echo = Echo(pki, ["h2", "http/1.1"])
    node = Node.of(pki, echo.port, {"origin origin": {"certificate": None, "protocol": "auto"}})
    node.start()
    assert await in_thread(_talk, node) == ("chat", 1000)
    await node.stop()
    echo.close()


def _wait_for_the_end(node: Node, opened: threading.Event, client: Issued) -> tuple[int | None, float]:
    """The code with which it ends, and how long that took since the test has gone on."""
    client.write(node.pki.folder, "it")
    with connected(node, "strict.test", certificate="it") as websocket:
        websocket.send("hello")
        assert websocket.recv(timeout=10) == "hello"
        opened.set()
        began = time.monotonic()
        try:
            websocket.recv(timeout=15)
        except exceptions.ConnectionClosed:
            return websocket.close_code, time.monotonic() - began
    raise AssertionError("it goes on")


async def test_a_client_whose_certificate_expires_is_closed(node: Node) -> None:
    """1008, within a second."""
    now = datetime.datetime.now(datetime.UTC)
    brief = node.pki.clients.issue("CN=Brief", not_after=now + datetime.timedelta(seconds=3))
    code, _ = await in_thread(_wait_for_the_end, node, threading.Event(), brief)
    late = datetime.datetime.now(datetime.UTC) - brief.certificate.not_valid_after_utc
    assert code == 1008
    assert late.total_seconds() < 2.1, "a certificate is good to the end of its last second"
    _, end = await node.events.take(2)
    assert (end["error"]["status"], end["websocket"]["closed_by"]) == (495, "node")


async def test_a_client_that_is_revoked_is_closed_and_others_go_on(pki: PKI, echo: Echo) -> None:
    """1008, within a second after the reload."""
    other = pki.clients.issue("CN=Other")
    write_pem(pki.folder / "none.crl", [pki.clients.crl()])
    write_pem(pki.folder / "one.crl", [pki.clients.crl([pki.client])])
    node = Node.of(pki, echo.port, {**OPEN, "trust-store clients": {"crl": "none.crl"}})
    node.start()
    opened = threading.Event()
    other.write(pki.folder, "other")
    stack = contextlib.ExitStack()
    staying: Any = await in_thread(lambda: stack.enter_context(connected(node, "strict.test", certificate="other")))
    waiting = in_thread(_wait_for_the_end, node, opened, pki.client)
    await until(opened.is_set)
    await node.reload(echo.port, {**OPEN, "trust-store clients": {"crl": "one.crl"}})
    began = time.monotonic()
    assert (await waiting)[0] == 1008
    assert time.monotonic() - began < 1
    assert await in_thread(_echoed, staying, "still") == "still"
    # Without its path map a WebSocket has until the end of drain-timeout.
    await node.reload(echo.port, {**OPEN, "path-map all": {"websocket": "no"}})
    began = time.monotonic()
    assert await in_thread(_echoed, staying, "once more") == "once more"
    assert await in_thread(_closed, staying) == 1001
    assert 0.9 < time.monotonic() - began < 2.5
    await in_thread(stack.close)
    await node.stop()


async def test_a_new_revocation_list_closes_an_open_one_without_a_reload(pki: PKI, echo: Echo) -> None:
    """1008: the file is found to be another, read, and clients are judged by it. How soon, is a sum of intervals."""
    write_pem(pki.folder / "clients.crl", [pki.clients.crl()])
    node = Node.of(pki, echo.port, {**OPEN, "trust-store clients": {"crl": "clients.crl"}})
    node.start()
    opened = threading.Event()
    waiting = in_thread(_wait_for_the_end, node, opened, pki.client)
    await until(opened.is_set)
    write_pem(pki.folder / "clients.crl", [pki.clients.crl([pki.client])])
    assert (await waiting)[0] == 1008
    await node.stop()


async def test_a_stop_of_the_node_ends_it_with_1001(pki: PKI, echo: Echo) -> None:
    """After drain-timeout, on both sides; until then it goes on."""
    node = Node.of(pki, echo.port, OPEN)
    node.start()
    stack = contextlib.ExitStack()
    client: Any = await in_thread(lambda: stack.enter_context(connected(node)))
    began = time.monotonic()
    stopped = node.service.stopService()
    assert await in_thread(_echoed, client, "on") == "on"
    assert await in_thread(_closed, client) == 1001
    assert 0.9 < time.monotonic() - began < 2.5
    await stopped
    await until(lambda: echo.closed)
    assert echo.closed == [1001]
    _, end = await node.events.take(2)
    assert (end["websocket"]["code"], end["websocket"]["closed_by"]) == (1001, "node")
    await in_thread(stack.close)
    await node.stop()


def _echoed(client: Any, message: str) -> Any:
    client.send(message)
    return client.recv(timeout=10)


def _closed(client: Any) -> int | None:
    try:
        client.recv(timeout=10)
    except exceptions.ConnectionClosed:
        pass
    return client.close_code  # type: ignore[no-any-return]


def _in_asyncio(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


async def test_aiohttp_speaks_through_it(node: Node, pki: PKI) -> None:
    """Client of another make."""
    aiohttp: Any = pytest.importorskip("aiohttp")

    async def talk() -> tuple[str, int | None]:
        connector = aiohttp.TCPConnector(resolver=_Here(), ssl=trusting(pki))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.ws_connect(f"wss://open.test:{node.port}/chat", compress=15, autoping=True) as client,
        ):
            await client.send_str("hello")
            message = await client.receive(timeout=10)
            await client.close(code=4001)
            return message.data, client.close_code

    assert await in_thread(_in_asyncio, talk()) == ("hello", 4001)
    _, end = await node.events.take(2)
    assert end["websocket"]["code"] == 4001


class _Here:
    """Resolves every name to this host."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        """It is here."""
        here = {"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
        return [here]

    async def close(self) -> None:
        """Nothing."""


async def test_autobahn_speaks_through_it(node: Node, pki: PKI) -> None:
    """On Twisted, in the same reactor."""
    websocket: Any = pytest.importorskip("autobahn.twisted.websocket")
    from twisted.internet import reactor
    from twisted.internet import ssl as twisted_ssl

    heard: Deferred[Any] = Deferred()

    class Talking(websocket.WebSocketClientProtocol):
        def onOpen(self) -> None:
            self.sendMessage(b"hello")

        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            self.heard = payload
            self.sendClose(3000)

        def onClose(self, clean: bool, code: int, reason: str) -> None:
            heard.callback((self.heard, clean, code))

    factory = websocket.WebSocketClientFactory(f"wss://open.test:{node.port}/chat")
    factory.protocol = Talking
    authority = twisted_ssl.Certificate.loadPEM((pki.folder / "servers.pem").read_bytes())
    options = twisted_ssl.optionsForClientTLS("open.test", authority)
    reactor.connectSSL("127.0.0.1", node.port, factory, options)  # type: ignore[attr-defined]
    assert await heard == (b"hello", True, 3000)
    await node.events.take(2)


@pytest.mark.parametrize("protocols", ["h2 http/1.1", "http/1.1"])
@pytest.mark.deadline(60)
async def test_a_page_in_chromium_speaks_through_it(
    pki: PKI, echo: Echo, protocols: str, tmp_path: pathlib.Path
) -> None:
    """Of the site itself; over HTTP/2 where the node offers it, on the connection of the page."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium here")
    node = Node.of(pki, echo.port, {**OPEN, "listener public": {"protocols": protocols}})
    node.start()
    arguments = (
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors",
        "--remote-debugging-port=0", f"--user-data-dir={tmp_path}",
        f"--host-resolver-rules=MAP open.test 127.0.0.1:{node.port}", "https://open.test/page",
    )  # fmt: skip
    browser = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await until(lambda: any("websocket" in event for event in node.events.told))
    finally:
        browser.terminate()
        await in_thread(browser.wait)
    (end,) = [event for event in node.events.told if "websocket" in event]
    assert end["websocket"] == {"received": 1, "sent": 1, "code": 4000, "closed_by": "client"}
    assert end["request"]["version"] == ("HTTP/2.0" if "h2" in protocols else "HTTP/1.1")
    assert echo.requests[0].headers["Origin"] == "https://open.test"
    await node.stop()


def _outcome(client: Any, size: int) -> str:
    """What becomes of a message: it comes back, or the WebSocket is closed with a code."""
    try:
        client.send("x" * size)
        return "passes" if client.recv(timeout=10) == "x" * size else "another"
    except exceptions.ConnectionClosed as closed:
        return str(closed.rcvd.code)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"idle-timeout": "100s"}, "passes"),
        ({"inspect-messages": "text"}, "1001"),
        ({"websocket-origins": "https://elsewhere.test"}, "1008"),
        ({"max-message-size": "500"}, "1009"),
    ],
    ids=["nothing of it", "messages are inspected", "its page is no longer let in", "smaller messages"],
)
async def test_a_reload_holds_for_open_websockets(
    node: Node, echo: Echo, changes: dict[str, str], outcome: str
) -> None:
    """It goes on by the new keys of its path map, or ends if it would not be let in, or cannot be inspected."""
    client = await in_thread(lambda: connected(node, origin="https://open.test", compression=None).__enter__())
    assert await in_thread(_outcome, client, 1000) == "passes"
    await node.reload(echo.port, merged(OPEN, {"path-map all": changes}))
    relays: list[Any] = [each for port in node.service.ports.values() for each in port.load.relays]
    await until(lambda: all(each.deadline for each in relays))
    assert await in_thread(_outcome, client, 1000) == outcome
    await in_thread(client.close)


def _messages(node: Node, count: int) -> tuple[int, int | None]:
    """How many messages came back, and the code with which it ended."""
    with connected(node) as client:
        for number in range(count):
            try:
                client.send("hello")
                client.recv(timeout=10)
            except exceptions.ConnectionClosed:
                return number, client.close_code
    return count, client.close_code


async def test_a_limit_counts_handshakes_and_one_on_messages_messages(pki: PKI, echo: Echo) -> None:
    """Messages are no requests; whoever includes their tag counts them, and closes what is over with 1008."""
    limits = {
        "rate-limit handshakes": {"key": "ip", "limit": "2 per 1h"},
        "rate-limit messages": {"key": "ip", "limit": "30 per 1h", "include": "websocket:message"},
        "path-map all": {"inspect-messages": "text"},
    }
    node = Node.of(pki, echo.port, {**OPEN, **limits})
    node.start()
    assert await in_thread(_messages, node, 20) == (20, 1000)
    assert await in_thread(_messages, node, 20) == (10, 1008)
    with pytest.raises(exceptions.InvalidStatus) as refused:
        await in_thread(_messages, node, 1)
    assert refused.value.response.status_code == 429
    assert int(refused.value.response.headers["Retry-After"]) > 3000
    await node.stop()


async def test_a_challenge_is_solved_before_the_handshake_and_holds_for_its_messages(pki: PKI, echo: Echo) -> None:
    """A handshake cannot show a page, so it is refused; with a solution its messages pass what asks for one."""
    changes: Changes = {
        **OPEN,
        "path-map all": {"inspect-messages": "text"},
        "challenge": {"difficulty": "8"},
        "global-filter asks": {"action": "challenge", "path": "^/"},
    }
    agent = "Mozilla/5.0 test"
    async with started(pki, echo.port, changes) as node:

        def challenged() -> str:
            with node.client("open.test") as client:
                lines = ("GET / HTTP/1.1", "Host: open.test", f"User-Agent: {agent}", "Accept: text/html", "", "")
                return solved(client.ask("\r\n".join(lines).encode()).body)

        def talk(cookie: str) -> str:
            headers = {"Cookie": cookie} if cookie else {}
            try:
                with connected(node, additional_headers=headers, user_agent_header=agent, compression=None) as client:
                    return _outcome(client, 1000)
            except exceptions.InvalidStatus as refused:
                return str(refused.response.status_code)

        assert await in_thread(talk, "") == "403"
        assert await in_thread(talk, await in_thread(challenged)) == "passes"
