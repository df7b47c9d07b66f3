"""The opening handshake (RFC 6455, section 4; RFC 8441): what a request has to be, and what may answer it.

Law: what is not exactly a handshake of WebSocket is none. The key and the value that accepts it are of one hop, and
each protocol's own; here is what holds for the request as a whole, and it is the same over HTTP/1.1 and HTTP/2.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os

from edgenode.model.errors import ClientError
from edgenode.model.exchange import Headers
from edgenode.proxy.headers import Forwarded
from edgenode.proxy.streams import RequestHead, ResponseHead
from edgenode.proxy.websocket.settings import Settings

KEY, ACCEPT, VERSION = b"sec-websocket-key", b"sec-websocket-accept", b"sec-websocket-version"
EXTENSIONS = b"sec-websocket-extensions"

OF_ONE_HOP = (KEY, VERSION, ACCEPT)
"""The fields that each hop has of its own."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_DEFLATE = b"permessage-deflate"


def new_key() -> bytes:
    """A Sec-WebSocket-Key of ours."""
    return base64.b64encode(os.urandom(16))


def accepting(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that belongs to a key."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def check_request(head: RequestHead, settings: Settings, forwarded: Forwarded | None = None) -> None:
    """Check a request that asks for WebSocket, once its path map is known.

    :param settings: those of the path map.
    :param forwarded: what a trusted proxy reports of the request.
    :raises ClientError: if it is not let in.
    """
    if not settings.offered:
        raise ClientError(501, "WebSocket is not offered here: websocket = no")
    fields = head.fields
    if head.method != b"GET":
        raise ClientError(400, "a WebSocket handshake that is no GET")
    if head.length != 0:
        raise ClientError(400, "a WebSocket handshake with a body")
    versions = fields.get(VERSION, ())
    if versions != (b"13",):
        again: Headers = ((VERSION, b"13"),)
        if head.version < (2, 0):
            again += ((b"upgrade", b"websocket"),)
        raise ClientError(426 if head.version < (2, 0) else 400, "a version of WebSocket other than 13", again)
    if head.version < (2, 0) and not _is_key(fields.get(KEY, ())):
        raise ClientError(400, "no good Sec-WebSocket-Key")
    if len(fields.get(b"origin", ())) > 1:
        raise ClientError(400, "the Origin field is repeated")
    for origin in fields.get(b"origin", ()):
        own = [(head.scheme, head.authority)]
        if forwarded is not None:
            own.append((forwarded.scheme, forwarded.host))
        sites = [b"%b://%b" % site for site in own]
        if not settings.lets_in(origin.decode("latin-1"), [site.decode("latin-1") for site in sites]):
            raise ClientError(403, f"a page of this origin is not let in: {origin.decode('latin-1')[:200]}")
    if settings.unseen:
        raise ClientError(
            501, "rules would not see the messages of a WebSocket: see inspect-messages, or uninspected = pass"
        )


def _is_key(values: tuple[bytes, ...]) -> bool:
    """Whether it is 16 bytes in base64, once."""
    try:
        return len(values) == 1 and len(values[0]) == 24 and len(base64.b64decode(values[0], validate=True)) == 16
    except binascii.Error:
        return False


def accepts_tunnel(request: RequestHead, status: int) -> bool:
    """Whether the client would take a status for that of a WebSocket, and what follows for its frames: on HTTP/2
    every success is (RFC 8441, section 5; RFC 9113, section 8.5)."""
    return request.upgrade and request.version >= (2, 0) and 200 <= status < 300


def answer_fault(head: ResponseHead, request: RequestHead, *, extensible: bool) -> str:
    """What is wrong with an origin's answer that accepts the handshake; empty if nothing is.

    :param extensible: whether the origin was told of the extensions that the client knows.
    """
    if head.fields.get(EXTENSIONS) and not (extensible and request.fields.get(EXTENSIONS)):
        return "it uses an extension that nobody has offered"
    return ""


def reserved_bits(head: ResponseHead) -> int | None:
    """The reserved bits that may be set after this answer: see :class:`edgenode.proxy.websocket.frames.Walker`."""
    values = b",".join(head.fields.get(EXTENSIONS, ()))
    agreed = [name for each in values.split(b",") if (name := each.partition(b";")[0].strip(b" \t"))]
    if not agreed:
        return 0
    return 0x40 if agreed == [_DEFLATE] else None
