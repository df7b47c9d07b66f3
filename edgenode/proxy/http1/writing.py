"""HTTP/1.1 messages as they are written (RFC 9112): start lines, framing, chunks."""

from __future__ import annotations

from http import HTTPStatus

from edgenode.model.exchange import Request
from edgenode.proxy.headers import http_date

_PHRASES = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
_STATUS_LINES = {status: b"HTTP/1.1 %d %b\r\n" % (status, phrase) for status, phrase in _PHRASES.items()}

LAST_CHUNK = b"0\r\n\r\n"
"""The end of a chunked body without trailers."""


def status_line(status: int, reason: bytes = b"") -> bytes:
    """The status line with its line end.

    :param reason: the reason phrase; the status's own if it is empty.
    """
    if not reason or _PHRASES.get(status) == reason:
        known = _STATUS_LINES.get(status)
        if known is not None:
            return known
    return b"HTTP/1.1 %d %b\r\n" % (status, reason)


def error_response(status: int) -> bytes:
    """A whole response that says no more than its status, and that the connection ends."""
    page = b"%d %b\n" % (status, _PHRASES.get(status, b"Error"))
    return b"%b%bContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (
        status_line(status),
        http_date(),
        len(page),
        page,
    )


def request_head(request: Request, host: bytes, lines: bytes) -> tuple[bytes, bytes]:
    """The head of a request to an origin in two parts, between which more header fields may be written.

    :param host: the Host field.
    :param lines: the other header fields, each with its line end.
    :returns: all up to there; the framing of the body and the empty line.
    """
    length = request.length
    if length:
        framing = b"Content-Length: %d\r\n\r\n" % length
    elif length is None:
        framing = b"Transfer-Encoding: chunked\r\n\r\n"
    else:
        framing = b"Content-Length: 0\r\n\r\n" if b"content-length" in request.fields else b"\r\n"
    query = b"" if request.query is None else b"?" + request.query
    return b"%b %b%b HTTP/1.1\r\nHost: %b\r\n%b" % (request.method, request.path, query, host, lines), framing


def chunk(body: bytes) -> bytes:
    """Bytes of a body as a chunk; nothing for no bytes, for an empty chunk would be the last."""
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b""
