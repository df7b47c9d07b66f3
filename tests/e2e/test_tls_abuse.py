"""TLS that is legal, and meant to cost: key updates, empty and tiny records, renegotiation. It is cut, or bounded."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from OpenSSL import SSL

from tests.support.handshakes import client as client_context
from tests.support.node import PKI, Alone, Client, Origin, alone, connect, get

APPLICATION_DATA, HANDSHAKE, ALERT = 23, 22, 21
KEY_UPDATE = b"\x18\0\0\1\1"
"""KeyUpdate with update_requested (RFC 8446, section 4.6.3): the other side has to answer with one of its own."""

WARNING = b"\x01\x5a"
"""A warning alert: user_canceled (RFC 8446, section 6.1)."""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    """A node in a process of its own."""
    pki = PKI.make(tmp_path_factory.mktemp("pki"))
    with Origin(pki) as origin, alone(pki, origin) as node:
        yield node


class Records:
    """A TLS 1.3 client after its handshake, whose records are written by hand (RFC 8446, section 5.2)."""

    def __init__(self, port: int) -> None:
        secrets: dict[bytes, bytes] = {}

        def note(connection: SSL.Connection, line: bytes) -> None:
            label, _, secret = line.split()
            secrets[label] = bytes.fromhex(secret.decode())

        context = client_context()
        context.set_keylog_callback(note)
        self.client = Client(port, context=context)
        assert self.client.tls.get_cipher_name() == "TLS_AES_256_GCM_SHA384"
        self._secret = secrets[b"CLIENT_TRAFFIC_SECRET_0"]
        self._key()

    def _expand(self, label: bytes, size: int) -> bytes:
        info = size.to_bytes(2, "big") + bytes([6 + len(label)]) + b"tls13 " + label + b"\0"
        return HKDFExpand(SHA384(), size, info).derive(self._secret)

    def _key(self) -> None:
        self._aead, self._iv, self._number = AESGCM(self._expand(b"key", 32)), self._expand(b"iv", 12), 0

    def record(self, kind: int, data: bytes) -> bytes:
        """A record as it goes over the wire."""
        inner = data + bytes([kind])
        head = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
        nonce = (int.from_bytes(self._iv, "big") ^ self._number).to_bytes(12, "big")
        self._number += 1
        return head + self._aead.encrypt(nonce, inner, head)

    def key_update(self) -> bytes:
        """A KeyUpdate; what follows is under the next key."""
        record = self.record(HANDSHAKE, KEY_UPDATE)
        self._secret = self._expand(b"traffic upd", 48)
        self._key()
        return record


def _served(process: Alone) -> None:
    with Client(process.port) as client:
        assert client.ask(get()).status == 200


FLOODS: dict[str, Callable[[Records], bytes]] = {
    "key updates": Records.key_update,
    "empty records": lambda records: records.record(APPLICATION_DATA, b""),
    "warnings": lambda records: records.record(ALERT, WARNING),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_floods_within_tls_are_cut(process: Alone, flood: str) -> None:
    """Two thousand records that carry nothing: the connection ends early, at little cost, and others are served."""
    _served(process)
    records = Records(process.port)
    data = b"".join(FLOODS[flood](records) for _ in range(2000))
    before = process.seconds()
    with records.client, contextlib.suppress(OSError):
        records.client.sock.sendall(data)
        while records.client.sock.recv(65536):
            pass
    _served(process)
    assert process.seconds() - before < 0.3


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


def test_renegotiation_is_refused(process: Alone) -> None:
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
        assert process.seconds() - before < 0.1
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
    """A hundred clients that have sent their ClientHello and say no more: the node sleeps, and others are served."""
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.callback(_hello_only(process).close)
        _served(process)
        before = process.seconds()
        time.sleep(0.5)
        assert process.seconds() - before <= 0.05
        _served(process)
