"""What servers read in a form, by their own parsers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.testing import StringTransport
from twisted.web.http import HTTPChannel, Request

Found = Mapping[bytes, Sequence[Any]]
"""The values of each name."""


class _Request(Request):
    def process(self) -> None:
        pass


def twisted_arguments(content_type: bytes, data: bytes, query: bytes | None = None) -> Found:
    """``Request.args`` of a POST; nothing where Twisted fails or answers 400."""
    channel = HTTPChannel()
    channel.makeConnection(StringTransport())
    request = _Request(channel)
    request.gotLength(len(data))
    request.requestHeaders.setRawHeaders(b"content-type", [content_type])
    request.handleContentChunk(data)
    try:
        request.requestReceived(b"POST", b"/" if query is None else b"/?" + query, b"HTTP/1.1")
    except Exception:  # what it does not catch closes the connection
        return {}
    return dict(request.args or {})
