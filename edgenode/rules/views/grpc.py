"""gRPC as rules look at it: a call is told by its content type, and named by its path.

Law: one reading of a content type for rules and for refusals, as servers read it: in any letter case, with any message
format (``+proto``) and parameters behind it (gRPC over HTTP/2, "Requests").
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from edgenode.model.exchange import Request
from edgenode.rules.views.view import view

_GRPC = re.compile(rb"application/grpc(?:$|[+; \t])", re.IGNORECASE)
_GRPC_OR_WEB = re.compile(rb"application/grpc(?:-web(?:-text)?)?(?:$|[+; \t])", re.IGNORECASE)
_CALL = re.compile(rb"/([^/]+)/([^/]+)")


def is_call(request: Request) -> bool:
    """Whether who sends a request waits for an answer of gRPC: it came over HTTP/2, and is not gRPC-Web."""
    return request.version >= (2, 0) and request.method == b"POST" and has_grpc(request.fields)


def has_grpc(fields: Mapping[bytes, tuple[bytes, ...]]) -> bool:
    """Whether a message with these header fields is one of gRPC, and not of gRPC-Web."""
    return _says(fields, _GRPC)


@view
def call(request: Request) -> tuple[bytes, bytes] | None:
    """The service with its package, and the method, that a call of gRPC or gRPC-Web is for; ``None`` if it is none."""
    found = _CALL.fullmatch(request.normalised_path) if _says(request.fields, _GRPC_OR_WEB) else None
    return None if found is None else (found[1], found[2])


def _says(fields: Mapping[bytes, tuple[bytes, ...]], content_type: re.Pattern[bytes]) -> bool:
    return any(map(content_type.match, fields.get(b"content-type", ())))
