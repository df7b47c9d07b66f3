"""What an origin is told in a PROXY header of the connections that are opened to it."""

from __future__ import annotations

import pytest

from edgenode.model.errors import ConfigurationError
from edgenode.model.exchange import Address
from edgenode.model.proxy_protocol import ProxyHeader
from edgenode.proxy.proxyprotocol.reading import read_header
from tests.support import memory
from tests.support.memory import MemoryNode
from tests.support.node import PKI, Changes

GET = b"GET / HTTP/1.1\r\nHost: %b.test\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def announcing(version: str) -> Changes:
    """A node whose origin is told."""
    return {"origin origin": {"proxy-protocol": version}, "edge": {"trusted-proxies": "192.0.2.200"}}


def told(node: MemoryNode) -> tuple[ProxyHeader, bytes]:
    """The header on the next connection to the origin, and what follows."""
    data = node.origin().read()
    found = read_header(data)
    assert isinstance(found, tuple)
    return found[0], data[found[1] :]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_each_request_has_a_connection_that_says_whose_it_is(pki: PKI, version: str) -> None:
    """The client's, or the one that a trusted proxy reports; nothing of one client's goes on another's."""
    with memory.node(pki, announcing(version)) as node:
        for peer, client in (
            ("198.51.100.7", Address("198.51.100.7", 50000)),
            ("198.51.100.7", Address("198.51.100.7", 50000)),
            ("192.0.2.200", Address("203.0.113.9", 0)),
        ):
            asking = node.client(address=peer)
            asking.send(GET % b"open")
            header, rest = told(node)
            assert header.source == client
            assert rest.startswith(b"GET / HTTP/1.1\r\n")
            node.opened[-1].send(OK)
            assert asking.answer().status == 200
            assert node.opened[-1].read() == b""
            assert node.opened[-1].ended
        assert len(node.opened) == 3


def test_version_2_tells_of_the_clients_certificate(pki: PKI) -> None:
    """As HAProxy's send-proxy-v2-ssl-cn does."""
    with memory.node(pki, announcing("v2")) as node:
        node.client("strict.test", [pki.client]).send(GET % b"strict")
        header, _ = told(node)
        tls = header.tls
        assert tls is not None
        assert (tls.name, tls.verified, tls.version) == (b"Alice", True, b"TLSv1.3")
        assert header.authority == b"strict.test"


def test_what_would_be_shared_is_an_error(pki: PKI) -> None:
    """HTTP/2 carries requests of several clients."""
    changes: Changes = {"origin origin": {"proxy-protocol": "v2", "protocol": "auto"}}
    with pytest.raises(ConfigurationError, match="HTTP/2 would share it"), memory.node(pki, changes):
        pass
