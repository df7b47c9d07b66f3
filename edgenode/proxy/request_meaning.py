"""What a request head means, in whichever version of HTTP it came.

Law: a head that is accepted has one meaning: its framing is given once, as is the type of its body, and there is one
authority, the target's, or else the one Host's.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from edgenode.model.errors import ClientError
from edgenode.proxy.framing import NO_OPTIONS, content_length, persistence
from edgenode.proxy.streams import RequestHead
from edgenode.proxy.targets import read_authority, read_target

_FURTHER_CODINGS = re.compile(rb"(?:(?!chunked)[!#$%&'*+.^_`|~0-9a-z-]+[ \t]*,[ \t]*)+chunked")
_LONGEST_METHOD = 64


def meant(
    method: bytes,
    target: bytes,
    version: tuple[int, int],
    names: list[bytes],
    fields: dict[bytes, tuple[bytes, ...]],
    lines: bytes,
    scheme: bytes,
    presumed: Callable[[], bytes] | None = None,
    unsaid: int | None = 0,
) -> RequestHead:
    """What is meant by a head that is well-formed.

    :param names: of the field lines in lower case, in the order received.
    :param fields: every value by the name.
    :param lines: the field lines, each with its line end.
    :param presumed: the authority of a request of HTTP/1.0 that says none (RFC 9112, section 3.3).
    :param unsaid: the length of the body if no field says one; ``None`` if it is not known.
    :raises ClientError: with the status to answer.
    """
    if method == b"CONNECT":
        raise ClientError(400, "CONNECT is not served")
    if len(method) > _LONGEST_METHOD:
        raise ClientError(501, "the method is longer than any")  # RFC 9112, section 3
    if b"content-type" in fields and len(fields[b"content-type"]) > 1:
        raise ClientError(400, "the Content-Type field is repeated")
    authority, path, query, normalised = read_target(target, method)
    hosts = fields.get(b"host", ())
    if len(hosts) == 1:
        host = read_authority(hosts[0])
    elif hosts or version != (1, 0) or presumed is None:
        raise ClientError(400, "the Host field is repeated" if hosts else "the Host field is missing")
    else:  # it is read as though it had one
        host = read_authority(presumed()) if authority is None else authority
        names, fields[b"host"], lines = [b"host", *names], (host,), b"Host: %b\r\n%b" % (host, lines)
    if authority is None:
        authority = host
    else:
        fields[b"host"] = (authority,)  # it makes the Host field void (RFC 9112, section 3.2.2)
    origin_target = target
    if len(target) != len(path) + (0 if query is None else len(query) + 1):  # it is absolute, or had dot segments
        origin_target = path if query is None else b"%b?%b" % (path, query)
    has_body = b"content-length" in fields or b"transfer-encoding" in fields
    length = _body_length(fields, version) if has_body else unsaid
    connection = fields.get(b"connection")
    keep_alive, options = (version != (1, 0), NO_OPTIONS) if connection is None else persistence(connection, version)
    upgrade = b"upgrade" in options and version != (1, 0) and _asks_for_websocket(fields)
    expects_continue = b"expect" in fields and length != 0 and _expects_continue(fields[b"expect"], version)
    return RequestHead(
        method, scheme, authority, target, path, query, normalised, version, length, fields,
        origin_target, names, lines, options, keep_alive, expects_continue, upgrade,
    )  # fmt: skip


def _body_length(fields: dict[bytes, tuple[bytes, ...]], version: tuple[int, int]) -> int | None:
    """The body's length: ``None`` for chunked. Anything that a second reader could frame differently is refused."""
    lengths, codings = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    if codings is not None:
        if lengths is not None:
            raise ClientError(400, "both Content-Length and Transfer-Encoding")
        coding = codings[0].lower()
        if version == (1, 1) and len(codings) == 1 and _FURTHER_CODINGS.fullmatch(coding):
            raise ClientError(501, "a transfer coding besides chunked")
        if version != (1, 1):
            raise ClientError(400, "a Transfer-Encoding in HTTP/1.0")
        if len(codings) != 1 or coding != b"chunked":
            raise ClientError(400, "a Transfer-Encoding other than chunked")
        return None
    if lengths is None:
        return 0
    length = content_length(lengths[0]) if len(lengths) == 1 else None
    if length is None:
        raise ClientError(400, "a malformed Content-Length" if len(lengths) == 1 else "a repeated Content-Length")
    return length


def _asks_for_websocket(fields: dict[bytes, tuple[bytes, ...]]) -> bool:
    """Whether it asks for WebSocket; an upgrade to another protocol is ignored (RFC 9110, section 7.8)."""
    asked = b",".join(fields.get(b"upgrade", ())).lower()
    return b"websocket" in asked and b"websocket" in [each.strip(b" \t") for each in asked.split(b",")]


def _expects_continue(fields: tuple[bytes, ...], version: tuple[int, int]) -> bool:
    if len(fields) != 1 or fields[0].lower() != b"100-continue":
        raise ClientError(417, "an expectation other than 100-continue")
    return version != (1, 0)
