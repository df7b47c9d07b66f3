"""TLS that is legal, and meant to cost: key updates, empty and tiny records, renegotiation. It is cut, or bounded."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest
from OpenSSL import SSL

from tests.support.handshakes import client as client_context
from tests.support.node import PKI, Alone, Client, Origin, alone, connect, get
from tests.support.tls_records import ALERT, APPLICATION_DATA, Secrets, Writer
from tests.tls.test_clienthello import extension, hello, numbers, record, server_name, vector

WARNING = b"\x01\x5a"
"""A warning alert: user_canceled (RFC 8446, section 6.1)."""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    """A node in a process of its own."""
    pki = PKI.make(tmp_path_factory.mktemp("pki"))
    with Origin(pki) as origin, alone(pki, origin) as node:
        yield node


@pytest.fixture(scope="module")
def hundred(process: Alone) -> float:
    """The CPU time of a hundred clients that ask once: what an attack costs is measured by it."""
    _served(process)
    before = process.seconds()
    for _ in range(100):
        _served(process)
    return process.seconds() - before


class Records(Writer):
    """A client after its handshake, whose records are written by hand."""

    def __init__(self, port: int) -> None:
        context, secrets = client_context(), Secrets()
        context.set_keylog_callback(secrets)
        context.set_tls13_ciphersuites(b"TLS_AES_256_GCM_SHA384")  # the one that a writer knows
        self.client = Client(port, context=context)
        super().__init__(self.client.tls, secrets)


def _served(process: Alone) -> None:
    with Client(process.port) as client:
        assert client.ask(get()).status == 200


FLOODS: dict[str, tuple[int, Callable[[Records], bytes]]] = {
    "key updates": (2000, Records.key_update),
    "unrequested key updates": (20_000, Records.unrequested_key_update),
    "empty records": (2000, lambda records: records.record(APPLICATION_DATA, b"")),
    "warnings": (2000, lambda records: records.record(ALERT, WARNING)),
    "empty records of full size, and key updates": (60, Records.costly_nothing),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_floods_within_tls_are_cut(process: Alone, hundred: float, flood: str) -> None:
    """Thousands of records that carry nothing: the connection ends early, at no more than others cost."""
    _served(process)
    records = Records(process.port)
    count, make = FLOODS[flood]
    data = b"".join(make(records) for _ in range(count))
    before = process.seconds()
    with records.client, contextlib.suppress(OSError):
        records.client.sock.sendall(data)
        while records.client.sock.recv(65536):
            pass
    _served(process)
    assert process.seconds() - before < hundred


def test_a_few_of_them_are_nothing_unusual(process: Alone) -> None:
    """A client may change its keys, and send an empty record now and then."""
    records = Records(process.port)
    with records.client as client:
        for _ in range(3):
            data = records.key_update() + records.record(APPLICATION_DATA, b"") + records.key_update()
            client.sock.sendall(data + records.record(APPLICATION_DATA, get()))
            assert client.answer().status == 200


def test_a_request_byte_by_byte_in_records_of_its_own(process: Alone) -> None:
    """Tiny records cost what they cost, and are read right."""
    records = Records(process.port)
    with records.client as client:
        lines = [f"X-{number}: {'a' * 100}" for number in range(50)]
        for byte in get("/", "open.test", *lines):
            client.sock.sendall(records.record(APPLICATION_DATA, bytes([byte])))
        assert client.answer().status == 200


def test_renegotiation_is_refused(process: Alone, hundred: float) -> None:
    """A TLS 1.2 client that wants another handshake on the same connection gets none, however often it asks."""
    with Client(process.port, version="1.2") as client:
        before = process.seconds()
        refused = False
        for _ in range(100):
            try:
                client.tls.renegotiate()
                client.tls.do_handshake()
            except SSL.Error:
                refused = True
                break
        assert refused
        assert process.seconds() - before < hundred
    _served(process)


def _hello_only(process: Alone) -> socket.socket:
    sock = connect(process.port)
    tls = SSL.Connection(client_context(), None)
    tls.set_tlsext_host_name(b"open.test")
    tls.set_connect_state()
    with contextlib.suppress(SSL.WantReadError):
        tls.do_handshake()
    sock.sendall(tls.bio_read(65536))
    return sock


def test_handshakes_left_at_the_servers_turn_cost_nothing_while_they_wait(process: Alone) -> None:
    """A hundred clients that have sent their ClientHello and say no more: the node waits, and others are served."""
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.callback(_hello_only(process).close)
        _served(process)
        assert process.share_while_waiting() <= 0.1
        _served(process)


def _asked_again(padding: int) -> bytes:
    """A ClientHello without a key share, after which a server asks for another one (RFC 8446, section 4.1.4)."""
    content = {
        10: vector(numbers(23), 2),
        13: vector(numbers(0x0403, 0x0804, 0x0401), 2),
        43: vector(numbers(0x0304), 1),
        51: vector(b"", 2),
        **({21: bytes(padding)} if padding else {}),
    }
    return hello(server_name(b"open.test"), *(extension(kind, data) for kind, data in content.items()))[5:]


def test_a_second_hello_in_tiny_records_holds_nobody_up(process: Alone, hundred: float) -> None:
    """60 KB in as many records, which OpenSSL would read in one go for a fifth of a second: the node takes few at a
    time, and cuts who sends thousands."""
    _served(process)
    with connect(process.port) as sock:
        sock.sendall(record(_asked_again(0)))
        assert sock.recv(65536)[:1] == b"\x16", "HelloRetryRequest"
        message = _asked_again(60_000)
        before, answer = process.seconds(), b""
        with contextlib.suppress(OSError):
            sock.sendall(b"".join(record(message[at : at + 1]) for at in range(len(message))))
            answer = sock.recv(65536)
    assert answer == b"", "OpenSSL has read all of it"
    _served(process)
    assert process.seconds() - before < hundred
