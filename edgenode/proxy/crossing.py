"""Heads as they cross: a request's as its origin gets it, a response's as the client does; written once if they repeat.

Law: what we say of a client is as of the judgement that let its request pass.
"""

from __future__ import annotations

from edgenode.model.exchange import Headers, Request, Response
from edgenode.proxy.certificate_headers import certificate_lines
from edgenode.proxy.headers import Passage, header_lines, to_client
from edgenode.proxy.http1.responseheads import ResponseHead
from edgenode.proxy.http1.writing import request_head
from edgenode.proxy.judging import Judgement
from edgenode.proxy.origin.balancing import Balanced

_COUNTED = frozenset((b"TRACE", b"OPTIONS"))
"""Methods for which Max-Forwards counts (RFC 9110, section 7.6.2)."""

_ALLOWED = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
"""What may come of the other methods is for the origin to say, whom a request that is answered here does not reach."""


def answered_here(request: Request, passage: Passage) -> Response | None:
    """The answer to a request that may pass no further proxy (RFC 9110, section 7.6.2); ``None`` to all others."""
    if passage.max_forwards != 0 or request.method not in _COUNTED:
        return None
    return Response(204 if request.method == b"OPTIONS" else 405, ((b"allow", _ALLOWED),))


def origin_request(
    judgement: Judgement, server: Balanced, passage: Passage, extra: Headers, identifier: bytes
) -> bytes:
    """A request head: the same for every request with this judgement, but for its identifier.

    :param judgement: of a request that was let pass; it remembers what was written.
    :param extra: the header fields that an action sets.
    """
    written = judgement.written
    if written is None or written[0] is not server:
        judgement.written = written = server, *_write(judgement, server, passage, extra)
    return b"%bX-Request-Id: %b\r\n%b" % (written[1], identifier, written[2])


def _write(judgement: Judgement, server: Balanced, passage: Passage, extra: Headers) -> tuple[bytes, bytes]:
    request, group, path_map = judgement.exchange.request, judgement.group, judgement.path_map
    assert request is not None
    assert group is not None
    assert path_map is not None
    pool = path_map.pool
    host = request.authority if pool.origin.host == "client" else pool.host(server)
    further = certificate_lines(group, judgement.exchange.connection) + header_lines(extra)
    if passage.max_forwards is not None:
        further += b"Max-Forwards: %d\r\n" % (passage.max_forwards - (request.method in _COUNTED))
    return request_head(request, host, _without(passage.lines, extra) + further)


def _without(lines: bytes, extra: Headers) -> bytes:
    """Header fields without those that an action sets: whoever reads the first of two would read the client's."""
    if not extra:
        return lines
    names = {name for name, _ in extra}
    return b"".join(line for line in lines.splitlines(keepends=True) if line.partition(b":")[0].lower() not in names)


def response_lines(head: ResponseHead, via: bytes) -> tuple[bytes, bool]:
    """The header fields for the client, and whether Date is among them; kept with the head, which may be remembered."""
    lines = head.lines
    if lines is None or lines[0] != via:
        lines = head.lines = via, *to_client(head.headers, head.names, head.options, b"1.1 " + via)
    return lines[1], lines[2]
