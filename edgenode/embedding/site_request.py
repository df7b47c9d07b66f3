"""A request of twisted.web: read as the node would read it, and shown to resources as it was judged.

Law: whatever a resource can ask of its request, the rules have seen in that reading. What Twisted has made of the body
and the query is judged besides our own readings; where a resource could read something that is not judged, the request
is refused, or what it would read is replaced by what was judged.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import ITransport
from twisted.web import http, server

from edgenode.model.errors import ClientError
from edgenode.model.exchange import NO_BODY, Body, Connection
from edgenode.proxy.header_names import HARMLESS, misleads
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.listener.speakers import known_request_head
from edgenode.proxy.streams import RequestHead
from edgenode.proxy.targets import read_authority

_LIMITS = HeadLimits(target=8 * 1024, head=32 * 1024, headers=100)
"""Those that a listener has by default; Twisted has its own in front of them."""

_COOKIE = b"cookie"
_HOST = b"host"


class BodyNotKept(Exception):
    """Rules look at bodies, and the class of the request, or its site, keeps none in ``request.content``."""


def transport_of(request: server.Request) -> ITransport:
    """The transport of a request's connection: with HTTP/2 Twisted gives a request none, and has no public way."""
    transport: Any = request.transport
    if transport is None:
        channel: Any = request.channel
        transport = channel._conn.transport
    found: ITransport = transport
    return found


def taken_over(request: server.Request) -> bool:
    """Whether a resource has given the connection of a request to another protocol, as resources for WebSocket do: then
    Twisted tells nobody of the request's end."""
    if request.transport is None:
        return False  # HTTP/2, where a stream has no transport
    channel: Any = request.channel
    # autobahn takes the transport away; twisted.web.websocket sets other methods.
    return channel.transport is None or "connectionLost" in vars(channel)


def read_head(request: server.Request, connection: Connection, secure: bool) -> RequestHead:
    """The head of a request as our own reader reads it, with the fields that Twisted has read.

    :param connection: says whom it is for if it does not, which only HTTP/1.0 may.
    :param secure: whether it came over TLS.
    :raises ClientError: if the node would not take it.
    """
    http2 = request.clientproto == b"HTTP/2"
    head = known_request_head(
        request.method,
        request.uri,
        b"HTTP/1.1" if http2 else request.clientproto,
        request.requestHeaders.getAllRawHeaders(),
        _LIMITS,
        b"https" if secure else b"http",
        partial(_presumed, connection),
    )
    if http2:
        head.version = (2, 0)
    return head


def _presumed(connection: Connection) -> bytes:
    address = connection.local.host
    return (connection.server_name or (f"[{address}]" if ":" in address else address)).encode("ascii")


def read_body(request: server.Request, head: RequestHead, wanted: int) -> int:
    """Check the body of a request, and give its head as much of it as rules want to see.

    :param wanted: so many bytes; 0 if they do not look at bodies.
    :returns: its size.
    :raises ClientError: 400, if it is not as long as it says.
    :raises BodyNotKept: if it is wanted, and not there: the class of the request has dealt with it otherwise.
    """
    content: Any = request.content
    try:
        size = content.seek(0, os.SEEK_END)
        if size != 0:
            content.seek(0)
    except (AttributeError, TypeError, OSError, ValueError):
        size = None
    length = head.length
    if length == 0 and size and head.version == (2, 0) and b"content-length" not in head.fields:
        head.length = length = None  # a body needs no length in HTTP/2
        head.body = None
    if not isinstance(size, int) or (length is not None and size != length):
        if isinstance(size, int) and not _streams(request):
            raise ClientError(400, "the body is not as long as its Content-Length says")
        return _streamed(request, length, wanted)
    if not size:
        if length is None and _streams(request):
            return _streamed(request, length, wanted)
        head.body = NO_BODY
    elif wanted:
        head.body = Body(content.read(wanted), size, size > wanted)
        content.seek(0)
    return size


def _streamed(request: server.Request, length: int | None, wanted: int) -> int:
    """The size of a body that the class of its request has dealt with otherwise, as far as it is known."""
    if wanted and length != 0:
        raise BodyNotKept(f"rules look at bodies, and {type(request).__qualname__} keeps none in request.content")
    return length or 0


def _streams(request: server.Request) -> bool:
    """Whether the class of a request, or its site, has ways of its own with bodies."""
    kind, site = type(request), getattr(request.channel, "site", None)
    return (
        kind.handleContentChunk is not http.Request.handleContentChunk
        or kind.gotLength is not server.Request.gotLength
        or hasattr(site, "getContentFile")
    )


def read_arguments(request: server.Request, head: RequestHead) -> None:
    """Let rules see the arguments that Twisted has read: of the query, of a form, of ``multipart/form-data``."""
    arguments = request.args
    if arguments:
        head.application_arguments = arguments
        if head.query is None and head.length == 0:
            head.body = Body()  # they are not those of the query: whoever looks for one has to look at all of them


def show(request: server.Request, head: RequestHead, resource: object) -> None:
    """Let resources see what is judged: the resolved path, the authority, one Cookie, and no header that misleads.

    :param resource: who is asked for the request: if that is the site's own, no other one has looked at it before.
    :raises ClientError: 400, if the path, or the authority, is another than the one by which it has come here.
    """
    path, headers = head.path, request.requestHeaders
    segments = path[1:].split(b"/")
    if path.find(b"%") >= 0:
        segments = [unquote_to_bytes(segment) for segment in segments]
    if above := request.prepath:
        if segments[: len(above)] != above:
            raise ClientError(400, "the path leads to another resource than it seems")
        segments = segments[len(above) :]
    request.postpath = segments
    request.path = path
    request.uri = head.origin_target
    if not HARMLESS.issuperset(head.field_names):
        for name in head.field_names:
            if name not in HARMLESS and misleads(name):
                headers.removeHeader(name)
    authority = head.authority
    if head.fields[_HOST] != (authority,) or head.target[:1] != b"/" or head.version == (1, 0):  # it may say otherwise
        hosts = headers.getRawHeaders(_HOST)
        if hosts != [authority]:
            at_root = above == [] and getattr(request.site, "resource", None) is resource
            if hosts and not at_root and read_authority(hosts[0]) != authority:
                raise ClientError(400, "the target has another authority than Host, and that may have led here")
            headers.setRawHeaders(_HOST, [authority])
    if len(cookies := head.fields.get(_COOKIE, ())) > 1:
        headers.setRawHeaders(_COOKIE, [b"; ".join(cookies)])  # RFC 9113, section 8.2.3; WSGI would join them by commas
