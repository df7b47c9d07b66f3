"""HTTP/1.1 messages as they are written (RFC 9112): start lines, framing, chunks."""

from __future__ import annotations

from http import HTTPStatus

from edgenode.model.exchange import Headers
from edgenode.proxy.headers import header_lines, http_date
from edgenode.proxy.streams import NO_CONTENT

_PHRASES = {status.value: status.phrase.encode("ascii") for status in HTTPStatus} | {
    # Those of RFC 9110, section 15, which Python has from 3.13 on.
    413: b"Content Too Large",
    414: b"URI Too Long",
    416: b"Range Not Satisfiable",
    422: b"Unprocessable Content",
}
_STATUS_LINES = {status: b"HTTP/1.1 %d %b\r\n" % (status, phrase) for status, phrase in _PHRASES.items()}


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


def request_head(method: bytes, target: bytes, host: bytes, lines: bytes, length: int | None) -> bytes:
    """The head of a request to an origin.

    :param host: the Host field.
    :param lines: the other field lines, each with its line end.
    :param length: of the body; ``None`` for chunked, :data:`~edgenode.proxy.streams.NO_CONTENT` for no framing at all.
    """
    if length == NO_CONTENT:
        return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (method, target, host, lines)
    framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b\r\n\r\n" % (method, target, host, lines, framing)


def chunk(body: bytes) -> bytes:
    """Bytes of a body as a chunk; nothing for no bytes, for an empty chunk would be the last."""
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b""


def last_chunk(trailers: Headers = ()) -> bytes:
    """The end of a chunked body."""
    return b"0\r\n%b\r\n" % header_lines(trailers) if trailers else b"0\r\n\r\n"
