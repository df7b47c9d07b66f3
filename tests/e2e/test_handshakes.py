"""Before there is a request: the ClientHello as it may come, what is no TLS at all, and the time it may take."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from attrs import frozen

from tests.support.node import PKI, Client, Hand, Node, Origin, Refused, connect, get, in_thread, running, started

pytestmark = pytest.mark.lasting

DECODE_ERROR = bytes((21, 3, 3, 0, 2, 2, 50))
UNRECOGNIZED_NAME = bytes((21, 3, 3, 0, 2, 2, 112))


@frozen(eq=False)
class Front:
    """A node and its origin."""

    node: Node
    origin: Origin
    pki: PKI


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A node."""
    pki = PKI.make(tmp_path_factory.mktemp("pki"))
    with Origin(pki) as origin, running(pki, origin) as node:
        yield Front(node, origin, pki)


@pytest.fixture(scope="module")
def hasty(front: Front) -> Iterator[Front]:
    """A node that is patient for 300 milliseconds only."""
    changes = {"listener public": {"handshake-timeout": "300ms"}}
    with running(front.pki, front.origin, changes) as node:
        yield Front(node, front.origin, front.pki)


def _records(hello: bytes, size: int) -> bytes:
    """The same handshake message in records of that many bytes."""
    message = hello[5:]
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(hello[:3] + len(part).to_bytes(2, "big") + part for part in parts)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("size", [1, 7, 100, None])
async def test_a_hello_byte_by_byte(front: Front, version: str, size: int | None) -> None:
    """A ClientHello that dribbles in, in one record or in many, is the same ClientHello."""

    def ask() -> bytes:
        with Hand(front.node.port, version=version) as hand:
            data = hand.hello if size is None else _records(hand.hello, size)
            for at in range(len(data)):
                hand.sock.sendall(data[at : at + 1])
            return hand.ask(get())

    assert (await in_thread(ask)).startswith(b"HTTP/1.1 200 OK\r\n")
    (event,) = await front.node.events.take()
    assert event["tls"]["server_name"] == "open.test"
    assert event["tls"]["version"] == f"TLSv{version}"


async def _say(front: Front, data: bytes, *, close: bool = False) -> bytes:
    """Send bytes on a plain connection; what comes back until it is closed."""

    def say() -> bytes:
        with connect(front.node.port) as sock:
            sock.sendall(data)
            if close:
                sock.shutdown(socket.SHUT_WR)
            received = b""
            try:
                while piece := sock.recv(65536):
                    received += piece
            except ConnectionResetError:
                pass
            return received

    received: bytes = await in_thread(say)
    return received


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\xff\xff" + b"\x01\0\xff\xff" + b"a" * 20000,
        b"\x16\x03\x01\x40\0" + b"\x01\0\xff\xff" + b"a" * 20000,
        b"\x16\x03\x01\0\x04\x01\xff\xff\xff",
        b"\x16\x03\x01\0\0",
        b"\x16\x03\x01\0\x04\x02\0\0\0",
        b"\x16\x03\x01\0\x05\x01\0\0\x01\0",
        b"\x16\x03\x01\0\x02\x01\0\x17\x03\x03\0\x02ab",
    ],
    ids=["record", "record at its limit", "message", "empty record", "ServerHello", "empty hello", "other record"],
)
async def test_an_oversize_or_malformed_hello_gets_an_alert(front: Front, data: bytes) -> None:
    """What says it is TLS but is no ClientHello of a sane size gets the alert decode_error at once, and an event."""
    assert await _say(front, data) == DECODE_ERROR
    (event,) = await front.node.events.take()
    assert (event["status"], event["error"]["status"]) == (0, 400)
    assert event["error"]["reason"].startswith("malformed ClientHello: ")


@pytest.mark.parametrize(
    "data", [get(), b"GET /\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\0\0\0\0\0\0", b"\x16\x02\0\0\0\0"]
)
async def test_plain_http_is_told_so(front: Front, data: bytes) -> None:
    """Who does not speak TLS is told so in plain HTTP with 400, and the event says 497."""
    received = await _say(front, data)
    (event,) = await front.node.events.take()
    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert received.endswith(b"\r\n\r\n400 The plain HTTP request was sent to HTTPS port\n")
    assert (event["status"], event["error"]["status"]) == (400, 497)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("name", [None, "unknown.test", "a.open.test", "open.test.unknown"])
async def test_no_or_an_unknown_name_is_not_recognised(front: Front, name: str | None, version: str) -> None:
    """Without a name that a group has, and without a default group, the handshake ends with unrecognized_name."""
    with pytest.raises(Refused, match="unrecognized name"):
        await in_thread(Client, front.node.port, name, version=version)
    (event,) = await front.node.events.take()
    assert (event["status"], event["error"]["status"]) == (0, 421)
    assert event["tls"]["server_name"] == name


async def test_the_alert_for_an_unknown_name_is_fatal_and_plain(front: Front) -> None:
    """The alert is one plaintext record, and the connection is closed behind it."""

    def hello() -> bytes:
        with Hand(front.node.port, "unknown.test") as hand:
            return hand.hello

    assert await _say(front, await in_thread(hello)) == UNRECOGNIZED_NAME
    await front.node.events.take()


@pytest.mark.parametrize("name", [None, "unknown.test"])
async def test_the_default_group_takes_who_names_no_other(front: Front, name: str | None) -> None:
    """With a default group such clients are judged by its policy, here refused for want of a certificate."""
    changes = {"listener public": {"default-server-group": "strict"}}
    async with started(front.pki, front.origin, changes) as node:
        refused = await node.exchange(get("/", name or "127.0.0.1"), name)
        served = await node.exchange(get("/", name or "127.0.0.1", close=True), name, chain=[front.pki.client])
        events = await node.events.take(2)
    assert refused.startswith(b"HTTP/1.1 400 ")
    assert served.startswith(b"HTTP/1.1 200 ")
    assert [event["server_group"] for event in events] == ["strict", "strict"]


@pytest.mark.parametrize("name", ["OPEN.test", "open.test."])
async def test_a_server_name_in_another_spelling_is_the_same(front: Front, name: str) -> None:
    """Case and a final dot make no other name."""
    assert (await front.node.exchange(get(close=True), name)).startswith(b"HTTP/1.1 200 ")
    (event,) = await front.node.events.take()
    assert event["tls"]["server_name"] == "open.test"


# -- deadlines ---------------------------------------------------------------------------------------------------------


async def test_a_silent_connection_is_closed(hasty: Front) -> None:
    """Who connects and says nothing is closed after the handshake's time; nothing has happened, so no event."""
    began = time.monotonic()
    assert await _say(hasty, b"") == b""
    assert 0.25 < time.monotonic() - began < 2
    assert hasty.node.events.told == []


@pytest.mark.parametrize("size", [1, 5, 50])
async def test_half_a_hello_is_closed(hasty: Front, size: int) -> None:
    """A ClientHello that does not end in time ends the connection, however it trickles."""

    def ask() -> tuple[bytes, float]:
        with Hand(hasty.node.port) as hand:
            began = time.monotonic()
            hand.sock.sendall(hand.hello[:size])
            try:
                return hand.sock.recv(100), time.monotonic() - began
            except ConnectionResetError:
                return b"", time.monotonic() - began

    received, took = await in_thread(ask)
    (event,) = await hasty.node.events.take()
    assert received == b""
    assert 0.25 < took < 2
    assert event["error"]["status"] == 408


async def test_half_a_handshake_is_closed(hasty: Front) -> None:
    """The time covers the whole handshake, not only the ClientHello."""

    def ask() -> float:
        with Hand(hasty.node.port) as hand:
            began = time.monotonic()
            hand.sock.sendall(hand.hello)
            try:
                while hand.sock.recv(65536):
                    pass
            except ConnectionResetError:
                pass
            return time.monotonic() - began

    took = await in_thread(ask)
    (event,) = await hasty.node.events.take()
    assert 0.25 < took < 2
    assert event["error"]["status"] == 400
    assert event["tls"]["server_name"] == "open.test"


async def test_closed_within_the_hello(front: Front) -> None:
    """A client that closes within its ClientHello is done with at once; the event says so."""
    await _say(front, b"\x16\x03\x01\x02\0\x01\0\x01\xfc", close=True)
    (event,) = await front.node.events.take()
    assert event["error"]["reason"] == "closed within the ClientHello"
