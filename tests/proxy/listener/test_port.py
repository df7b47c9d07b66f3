"""The listening socket: IPv6, and what happens when accepting fails."""

from __future__ import annotations

import socket

import pytest
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs

from edgenode.proxy.listener.port import Port
from tests.support import memory
from tests.support.node import PKI, Origin, get, started

LISTENER = "listener public"


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_ipv6(), reason="this host has no IPv6")
@pytest.mark.parametrize("interface", [r"\:\:1", r"\:\:"])
async def test_ipv6(pki: PKI, interface: str) -> None:
    """A listener on IPv6 serves clients, counts their network, and says in events where they come from."""
    with Origin(pki) as origin:
        async with started(pki, origin, {LISTENER: {"endpoint": f"tcp6:0:interface={interface}"}}) as node:
            answer = await node.exchange(get(close=True), source="::1")
            assert answer.startswith(b"HTTP/1.1 200 ")
            (event,) = await node.events.take()
            assert event["client"] == "::1"
            assert event["peer"].startswith("[::1]:")
            assert event["local"] == f"[::1]:{node.port}"
    assert b"\r\nX-Forwarded-For: ::1\r\n" in origin.take()[0]


@pytest.mark.skipif(not _has_ipv6(), reason="this host has no IPv6")
async def test_ipv4_on_an_ipv6_socket(pki: PKI) -> None:
    """A client of IPv4 that comes in on a socket of IPv6 has its IPv4 address in events and rules."""
    with Origin(pki) as origin:
        changes = {LISTENER: {"endpoint": r"tcp6:0:interface=\:\:", "max-connections-per-client": "1"}}
        async with started(pki, origin, changes) as node:
            assert (await node.exchange(get(close=True))).startswith(b"HTTP/1.1 200 ")
            (event,) = await node.events.take()
            assert event["client"] == "127.0.0.1"


def test_who_waits_is_accepted_when_somebody_departs(pki: PKI) -> None:
    """At the limit nobody is accepted, and the kernel keeps who comes; the first who leaves makes room."""
    limits = {"endpoint": r"tcp:0:interface=127.0.0.1", "max-connections": "1", "max-excess-connections": "0"}
    with memory.node(pki, {LISTENER: limits}) as node:
        port = node.port
        port.startListening()
        place = "127.0.0.1", port.getHost().port
        with socket.create_connection(place) as first:
            node.loop.settle()
            with socket.create_connection(place) as second:
                node.loop.settle()
                assert [each.peer.port for each in port.connections] == [first.getsockname()[1]]
                assert port not in node.loop.reading
                first.close()
                node.loop.settle()
                assert [each.peer.port for each in port.connections] == [second.getsockname()[1]]
        node.loop.settle()
        assert not port.connections
        assert port in node.loop.reading
        port.stopListening()


async def test_failing_to_accept_costs_no_time(pki: PKI, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listening socket that cannot accept is tried again four times a second, and complained of once a minute."""
    with Origin(pki) as origin:
        async with started(pki, origin) as node:
            with socket.socket(fileno=node.service.ports["public"].fileno()) as sock:
                sock.shutdown(socket.SHUT_RDWR)  # from now on accept fails, while polls find the socket readable
                sock.detach()
            tries, accept = list[Port](), Port.doRead

            def counted(self: Port) -> None:
                tries.append(self)
                accept(self)

            monkeypatch.setattr(Port, "doRead", counted)
            with capturedLogs() as logged:
                await deferLater(reactor, 0.8)
            assert 1 <= len(tries) <= 5
    (complaint,) = [event for event in logged if event["log_namespace"] == "edgenode.proxy.listener.port"]
    assert complaint["reason"] == "Invalid argument"
