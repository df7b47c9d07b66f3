"""Before there is a request: the ClientHello as it may come, what is no TLS at all, and the time it may take."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from attrs import frozen
from OpenSSL import SSL

from tests.support.handshakes import client as client_context
from tests.support.node import (
    PKI,
    Changes,
    Client,
    Hand,
    Node,
    Origin,
    Refused,
    connect,
    get,
    in_thread,
    running,
    started,
)

pytestmark = pytest.mark.lasting

UNEXPECTED_MESSAGE, RECORD_OVERFLOW, DECODE_ERROR, UNRECOGNIZED_NAME = (
    bytes((21, 3, 3, 0, 2, 2, number)) for number in (10, 22, 50, 112)
)


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


@pytest.mark.parametrize("last", [0, 16, 100_000], ids=["no more", "a little more", "much more"])
@pytest.mark.parametrize(
    ("data", "alert"),
    [
        (b"\x16\x03\x01\xff\xff" + b"\x01\0\xff\xff" + b"a" * 20000, RECORD_OVERFLOW),
        (b"\x16\x03\x01\x40\x01" + b"\x01\0\xff\xff", RECORD_OVERFLOW),
        (b"\x16\x03\x01\x40\0" + b"\x01\0\xff\xff" + b"a" * 20000, UNEXPECTED_MESSAGE),
        (b"\x16\x03\x01\0\x04\x01\xff\xff\xff", DECODE_ERROR),
        (b"\x16\x03\x01\0\0", UNEXPECTED_MESSAGE),
        (b"\x16\x03\x01\0\x04\x02\0\0\0", UNEXPECTED_MESSAGE),
        (b"\x16\x03\x01\0\x01\x14", UNEXPECTED_MESSAGE),
        (b"\x16\x03\x01\0\x05\x01\0\0\x01\0", DECODE_ERROR),
        (b"\x16\x03\x01\0\x02\x01\0\x17\x03\x03\0\x02ab", UNEXPECTED_MESSAGE),
        (b"\x14\x03\x03\0\x01\x01", UNEXPECTED_MESSAGE),
        (b"\x15\x03\x03\0\x02\x01\x00", UNEXPECTED_MESSAGE),
        (b"\x17\x03\x03\0\x02ab", UNEXPECTED_MESSAGE),
        (b"\x18\x03\x02\0\x03\x01\x40\0", UNEXPECTED_MESSAGE),
    ],
    ids=["record", "record just too long", "garbage for a record", "message", "empty record", "ServerHello", "Finished",
         "empty hello", "other record", "change_cipher_spec", "alert", "application data", "heartbeat"],
)  # fmt: skip
async def test_what_is_no_client_hello_gets_its_alert(front: Front, data: bytes, alert: bytes, last: int) -> None:
    """What says that it is TLS but is no well-formed ClientHello is told at once what is wrong, and there is an event.
    Nobody is reset who has sent more than was looked at, or goes on sending."""

    def say() -> bytes:
        with connect(front.node.port) as sock:
            sock.sendall(data + bytes(last))
            received = sock.recv(7)
            sock.sendall(bytes(last))
            return received + sock.recv(1)

    assert await in_thread(say) == alert
    (event,) = await front.node.events.take()
    assert (event["status"], event["error"]["status"]) == (0, 400)
    assert event["error"]["reason"].startswith("malformed ClientHello: ")


def _large(hello: bytes, ciphers: int, extensions: int, padding: int) -> bytes:
    """A ClientHello with more cipher suites, more extensions and more padding in it, as a message."""
    body = hello[9:]
    at = 35 + body[34]
    end = at + 2 + int.from_bytes(body[at : at + 2], "big")
    suites = body[at + 2 : end] + b"".join(number.to_bytes(2, "big") for number in range(0x0100, 0x0100 + ciphers))
    rest = end + 1 + body[end]
    added = [(0x4000 + number, b"") for number in range(extensions)] + ([(80, bytes(padding))] if padding else [])
    found = body[rest + 2 :] + b"".join(
        kind.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content for kind, content in added
    )
    body = body[:at] + len(suites).to_bytes(2, "big") + suites + body[end:rest]
    body += len(found).to_bytes(2, "big") + found
    return b"\x01" + len(body).to_bytes(3, "big") + body


LARGE = [(0, 64, 0), (512, 0, 0), (4000, 1000, 0), (0, 16_000, 0), (0, 0, 0x3F80), (0, 0, 0xF700), (32_600, 0, 0xF700)]
"""Cipher suites, extensions and bytes of padding that are added to a ClientHello."""


@pytest.mark.parametrize(
    ("size", "added"),
    [(1, (0, 0, 200)), *((size, added) for size in (16384, 1000, 100) for added in LARGE)],
)
async def test_a_large_hello_is_read(front: Front, size: int, added: tuple[int, int, int]) -> None:
    """More suites, extensions and bytes than any client has, up to 128 KiB, in up to 2048 records: it goes the way of
    every other, to the group that it names, and to OpenSSL, which answers it."""

    def answer() -> bytes:
        with Hand(front.node.port) as hand:
            hand.sock.sendall(_records(hand.hello[:5] + _large(hand.hello, *added), size))
            return hand.sock.recv(3)

    assert await in_thread(answer) == b"\x16\x03\x03", "ServerHello"
    (event,) = await front.node.events.take()
    assert event["error"]["reason"].startswith("TLS handshake: ")
    assert event["tls"]["server_name"] == "open.test"


async def test_a_hello_in_thousands_of_records_is_refused(front: Front) -> None:
    """Each costs as much as a long one."""
    with Hand(front.node.port) as hand:
        data = _records(hand.hello[:5] + _large(hand.hello, 0, 0, 3000), 1)
    assert await _say(front, data) == DECODE_ERROR
    (event,) = await front.node.events.take()
    assert event["error"]["reason"] == "malformed ClientHello: a ClientHello in too many records"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_a_client_with_a_large_hello_is_served(front: Front, version: str) -> None:
    """60 KB of application protocols: the handshake that it begins is good to the end."""
    context = client_context(version=version, alpn=[bytes([65 + n % 26]) * 250 for n in range(240)] + [b"http/1.1"])
    received = await front.node.exchange(get(close=True), context=context)
    assert received.startswith(b"HTTP/1.1 200 ")
    (event,) = await front.node.events.take()
    assert event["tls"]["alpn"] == "http/1.1"


async def test_a_large_hello_that_dribbles_in(front: Front) -> None:
    """128 KiB in pieces: the kernel holds all of it for us, whatever it thinks of a socket that nobody reads."""

    def answer() -> bytes:
        with Hand(front.node.port) as hand:
            data = _records(hand.hello[:5] + _large(hand.hello, 32_600, 0, 0xF700), 700)
            for at in range(0, len(data), 333):
                hand.sock.sendall(data[at : at + 333])
            return hand.sock.recv(3)

    assert await in_thread(answer) == b"\x16\x03\x03"
    await front.node.events.take()


async def test_a_hello_of_more_than_that_is_not_read(front: Front) -> None:
    """A message that says that it is longer than any ClientHello can be is refused by its header."""
    data = b"\x16\x03\x01\0\x20\x01" + (131_397).to_bytes(3, "big") + bytes(28)
    assert await _say(front, data) == DECODE_ERROR
    (event,) = await front.node.events.take()
    assert event["error"]["reason"] == "malformed ClientHello: a ClientHello of too many bytes"


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


@pytest.mark.parametrize("default", [None, "open"])
async def test_without_a_name_the_address_says_which_group(front: Front, default: str | None) -> None:
    """No client names an address in its handshake: it gets the group that has the one that it has connected to, with
    that group's policy, before the default group; a request for the address is served there, and no other."""
    changes: Changes = {
        "listener public": {"endpoint": r"tcp:0:interface=\:\:", "default-server-group": default},
        "server-group strict": {"hosts": "strict.test, 127.0.0.1", "mtls-refusal": "403"},
        "server-group other": {"hosts": "other.test, [::1]", "minimum-version": "1.3"},
    }
    async with started(front.pki, front.origin, changes) as node:
        refused = await node.exchange(get("/", "127.0.0.1"), None)
        served = await node.exchange(get("/", "127.0.0.1", close=True), None, chain=[front.pki.client])
        misled = await node.exchange(get("/", "open.test", close=True), None, chain=[front.pki.client])
        sixth = await node.exchange(get("/", "[::1]", close=True), None, source="::1")
        named = await node.exchange(get("/", "open.test", close=True), "open.test")
        events = await node.events.take(5)
    assert [answer[9:12] for answer in (refused, served, misled, sixth, named)] == [
        b"403", b"200", b"421", b"200", b"200"
    ]  # fmt: skip
    assert [event["server_group"] for event in events] == ["strict", "strict", "", "other", "open"]


@pytest.mark.parametrize("name", ["OPEN.test", "open.test."])
async def test_a_server_name_in_another_spelling_is_the_same(front: Front, name: str) -> None:
    """Case and a final dot make no other name."""
    assert (await front.node.exchange(get(close=True), name)).startswith(b"HTTP/1.1 200 ")
    (event,) = await front.node.events.take()
    assert event["tls"]["server_name"] == "open.test"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("stranger", [False, True], ids=["without a certificate", "of an unknown authority"])
async def test_a_client_refused_in_the_handshake_reads_why(front: Front, version: str, stranger: bool) -> None:
    """By TLS 1.3 it has sent its request before it is refused, and what of it is unread must not make a reset of the
    close: every client gets the alert."""
    chain = [front.pki.servers.issue("CN=Mallory")] if stranger else []
    words = ("unknown ca",) if stranger else ("certificate required", "handshake failure")

    def told(port: int) -> str:
        with connect(port) as sock:
            tls = SSL.Connection(client_context(version=version, chain=chain), sock)
            tls.set_tlsext_host_name(b"strict.test")
            tls.set_connect_state()
            sock.settimeout(None)
            try:
                tls.do_handshake()
                tls.sendall(get("/", "strict.test") + bytes(50_000))
                return str(tls.recv(1))
            except SSL.Error as error:
                return str(error)

    async with started(front.pki, front.origin, {"server-group strict": {"mtls-refusal": "handshake"}}) as node:
        for _ in range(10):
            answer = await in_thread(told, node.port)
            assert any(each in answer for each in words), answer
        await node.events.take(10)


# -- deadlines ---------------------------------------------------------------------------------------------------------


async def test_a_silent_connection_is_closed(hasty: Front) -> None:
    """Who connects and says nothing is closed after the handshake's time; nothing has happened, so no event."""
    began = time.monotonic()
    assert await _say(hasty, b"") == b""
    assert time.monotonic() - began > 0.25
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
    assert took > 0.25
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
    assert took > 0.25
    assert event["error"]["status"] == 400
    assert event["tls"]["server_name"] == "open.test"


async def test_closed_within_the_hello(front: Front) -> None:
    """A client that closes within its ClientHello is done with at once; the event says so."""
    await _say(front, b"\x16\x03\x01\x02\0\x01\0\x01\xfc", close=True)
    (event,) = await front.node.events.take()
    assert event["error"]["reason"] == "closed within the ClientHello"
