"""Handshakes that break, by the thousand: nothing is left of them, and waiting for the rest of one costs nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from OpenSSL import SSL

from bench import soak
from tests.support.certificates import Issued
from tests.support.handshakes import client as client_context
from tests.support.node import PKI, Alone, Client, Hand, Origin, Refused, alone, connect, get
from tests.support.waiting import wait_for


def _garbage(port: int, pki: PKI) -> None:
    with connect(port) as sock:
        sock.sendall(b"\x80\x2e\x01\0\x02" * 10)


def _half_a_hello(port: int, pki: PKI) -> None:
    with Hand(port) as hand:
        hand.sock.sendall(hand.hello[:100])


def _closed_at_once(port: int, pki: PKI) -> None:
    connect(port).close()


def _reset(port: int, pki: PKI) -> None:
    with Hand(port) as hand:
        hand.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        hand.sock.sendall(hand.hello[:200])


def _gone_after_the_hello(port: int, pki: PKI) -> None:
    with Hand(port) as hand:
        hand.sock.sendall(hand.hello)


def _garbage_after_the_hello(port: int, pki: PKI) -> None:
    with Hand(port) as hand:
        hand.sock.sendall(hand.hello)
        hand.sock.recv(65536)
        hand.sock.sendall(b"\x17\x03\x03\0\x20" + b"a" * 32)


def _wrong_certificate(port: int, pki: PKI) -> None:
    _expect_refusal(port, "refusing.test", [pki.servers.issue("mallory")])


def _no_certificate(port: int, pki: PKI) -> None:
    _expect_refusal(port, "refusing.test", [])


def _expect_refusal(port: int, name: str, chain: list[Issued]) -> None:
    try:
        with Client(port, name, version="1.2", chain=chain):
            raise AssertionError("the handshake was to fail")
    except Refused:
        pass


def _alert(port: int, pki: PKI) -> None:
    context = client_context(version="1.2")
    context.set_verify(SSL.VERIFY_PEER, None)  # it believes nobody
    try:
        with Client(port, context=context):
            raise AssertionError("the handshake was to fail")
    except Refused:
        pass


def _unknown_name(port: int, pki: PKI) -> None:
    _expect_refusal(port, "unknown.test", [])


def _plain_http(port: int, pki: PKI) -> None:
    with connect(port) as sock:
        sock.sendall(get())
        assert sock.recv(100).startswith(b"HTTP/1.1 400 ")


BROKEN = (
    _garbage, _half_a_hello, _closed_at_once, _reset, _gone_after_the_hello, _garbage_after_the_hello,
    _wrong_certificate, _no_certificate, _alert, _unknown_name, _plain_http,
)  # fmt: skip
GROUP = {
    "hosts": "refusing.test",
    "certificate": "edge",
    "security-policy": "all",
    "mtls": "on",
    "trust-store": "clients",
}


@pytest.fixture(scope="module")
def process(pki: PKI) -> Iterator[Alone]:
    """A node in a process of its own."""
    changes = {
        "server-group refusing": {**GROUP, "mtls-refusal": "handshake"},
        "listener public": {"server-groups": "open, refusing"},
    }
    with Origin(pki) as origin, alone(pki, origin, changes) as node:
        yield node


def test_descriptors_after_a_thousand_broken_handshakes(pki: PKI, process: Alone) -> None:
    """However handshakes break, a thousand of them leave no descriptor behind, and the next client is served."""

    def serve() -> None:
        with Client(process.port) as client:
            assert client.ask(get(close=True)).status == 200
            assert client.rest() == b""

    for kind in BROKEN:
        kind(process.port, pki)
    serve()
    before, rounds = process.descriptors(), []
    for _ in range(9):
        for number in range(112):
            BROKEN[number % len(BROKEN)](process.port, pki)
        rounds.append((process.memory("VmRSS"), process.descriptors()))
    serve()
    wait_for(lambda: process.descriptors() <= before, "the last connections are closed")
    assert soak.judge(rounds) == []


def test_half_a_hello_costs_nothing(process: Alone) -> None:
    """While a node waits for the rest of ClientHellos, it is idle: no poll spins on the part not consumed."""
    parts = {Hand(process.port): size for size in (1, 2, 5, 6, 50, 200)}
    try:
        for hand, size in parts.items():
            hand.sock.sendall(hand.hello[:size])
        with Client(process.port) as client:
            assert client.ask(get()).status == 200  # so the node has seen the hellos
            assert process.share_while_waiting() <= 0.1
        for hand, size in parts.items():
            hand.sock.sendall(hand.hello[size:])
            assert hand.ask(get()).startswith(b"HTTP/1.1 200 ")
    finally:
        for hand in parts:
            hand.sock.close()
