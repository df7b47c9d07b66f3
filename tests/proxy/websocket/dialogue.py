"""WebSockets through a node in memory: the handshake, and then what is said."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgenode.proxy.websocket.handshake import accepting
from tests.support.certificates import Issued
from tests.support.memory import ClientEnd, MemoryNode, OriginEnd

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""Those of RFC 6455, section 1.3."""


def asking(*lines: bytes, host: bytes = b"open.test", target: bytes = b"/chat", version: bytes = b"13") -> bytes:
    """A handshake."""
    fields = (
        b"Host: " + host, b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Key: " + KEY,
        b"Sec-WebSocket-Version: " + version, *lines,
    )  # fmt: skip
    return b"GET %b HTTP/1.1\r\n%b\r\n\r\n" % (target, b"\r\n".join(fields))


def accepted(request: bytes, *lines: bytes) -> bytes:
    """The answer that accepts a handshake."""
    key = re.search(rb"Sec-WebSocket-Key: (\S+)\r\n", request)
    assert key is not None
    fields = (
        b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: " + accepting(key[1]), *lines
    )  # fmt: skip
    return b"HTTP/1.1 101 Switching Protocols\r\n%b\r\n\r\n" % b"\r\n".join(fields)


def opened(
    node: MemoryNode,
    *lines: bytes,
    answer: Sequence[bytes] = (),
    name: str = "open.test",
    chain: Sequence[Issued] = (),
) -> tuple[ClientEnd, OriginEnd]:
    """A WebSocket whose handshake is over, and of whose frames nothing was sent.

    :param lines: further ones of the handshake.
    :param answer: the same of its answer.
    """
    client = node.client(name, chain)
    client.send(asking(*lines, host=name.encode()))
    origin = node.origin()
    origin.send(accepted(origin.read(), *answer))
    assert client.read().startswith(b"HTTP/1.1 101 ")
    return client, origin
