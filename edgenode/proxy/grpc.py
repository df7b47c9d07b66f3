"""What the node says to a client of gRPC in an origin's place, and how long a call may take.

A client of gRPC reads a status of its own from the trailers, and of HTTP's no more than a guess. Law: no answer of the
node's is a success, whatever its HTTP status; nothing that it says can be taken for more than a status and a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from urllib.parse import quote

from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import Headers, Request, Response
from edgenode.net.deadlines import Deadlines

CANCELLED, DEADLINE_EXCEEDED, PERMISSION_DENIED, RESOURCE_EXHAUSTED = 1, 4, 7, 8
UNIMPLEMENTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 12, 13, 14, 16

STATUSES: Mapping[int, int] = MappingProxyType(
    {
        400: INTERNAL,
        401: UNAUTHENTICATED,
        404: UNIMPLEMENTED,
        405: UNIMPLEMENTED,
        408: DEADLINE_EXCEEDED,
        413: RESOURCE_EXHAUSTED,
        414: RESOURCE_EXHAUSTED,
        421: UNAVAILABLE,  # on this connection, which takes no more requests
        429: RESOURCE_EXHAUSTED,
        431: RESOURCE_EXHAUSTED,
        495: UNAUTHENTICATED,
        496: UNAUTHENTICATED,
        499: CANCELLED,
        500: INTERNAL,
        501: UNIMPLEMENTED,
        502: UNAVAILABLE,
        503: UNAVAILABLE,
        504: UNAVAILABLE,
    }
)
"""The status of gRPC for a status of HTTP, in the main as clients map them that get no better one (gRPC's
http-grpc-status-mapping.md). Every other one is that of an action, and means PERMISSION_DENIED."""

_RESETS: Mapping[int | None, int] = MappingProxyType({8: CANCELLED, 11: RESOURCE_EXHAUSTED, 12: PERMISSION_DENIED})
"""For an error code with which an origin resets a stream (RFC 9113, section 7); with all others it has failed."""

_OF_THE_BODY = frozenset((b"content-type", b"cache-control", b"location", b"x-content-type-options"))
_OWN = re.compile(rb"[1-9]|1[0-6]")
_LONGEST_MESSAGE = 1024
"""Bytes of a body that are sent as the message; clients take 8 KiB of header fields, and a byte may become three."""

_UNENCODED = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


def status_of(status: int) -> int:
    """The status of gRPC for one of HTTP with which the node answers."""
    return STATUSES.get(status, PERMISSION_DENIED)


def status_of_failure(error: ClientError | OriginError) -> int:
    """The status of gRPC for what ends a call at the origin, or in the middle of it."""
    code = error.code if isinstance(error, OriginError) else None
    return _RESETS.get(code, status_of(error.status))


def trailers_only(response: Response, status: int = 0) -> tuple[Response, int]:
    """An answer of the node's as a client of gRPC understands it (gRPC over HTTP/2, "Trailers-Only").

    Its message is the body, if that is a short text. Header fields that an action has set stay, and ``grpc-status``
    among them is the status.

    :param status: of gRPC; 0 for that of the HTTP status.
    :returns: the answer, and its status of gRPC.
    """
    kept: Headers = ()
    status = status or status_of(response.status)
    for name, value in response.headers:
        if name == b"grpc-status" and _OWN.fullmatch(value):
            status = int(value)
        elif name not in _OF_THE_BODY and not name.startswith(b"grpc-") and not name.endswith(b"-bin"):
            kept += ((name, value),)
    said = trailers(status, _text(response))
    return Response(200, ((b"content-type", b"application/grpc"), *said, *kept)), status


def trailers(status: int, message: bytes) -> Headers:
    """The end of a call that has failed."""
    return (b"grpc-status", b"%d" % status), (b"grpc-message", quote(message, _UNENCODED).encode("ascii"))


def _text(response: Response) -> bytes:
    """What an answer says in words: what it would have as its body, or what its status means."""
    text = response.body.strip()
    content_type = dict(response.headers).get(b"content-type", b"text/plain")
    if text and len(text) <= _LONGEST_MESSAGE and content_type.lower().startswith(b"text/plain"):
        return text
    return phrase(response.status)


def phrase(status: int) -> bytes:
    """What a status of HTTP means, in words; its number if that is not known."""
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b"%d" % status


def reported_status(fields: Iterable[tuple[bytes, bytes]]) -> int | None:
    """The status that a response of an origin has in its trailers, or in its head if that is all of it."""
    values = [value for name, value in fields if name == b"grpc-status"]
    return int(values[0]) if len(values) == 1 and values[0].isdigit() and len(values[0]) < 4 else None


def timeout_of(request: Request) -> float | None:
    """How long the client waits for the end of a call, seconds; ``None`` if it does not say."""
    values = request.fields.get(b"grpc-timeout", ())
    found = _TIMEOUT.fullmatch(values[0]) if len(values) == 1 else None
    return None if found is None else int(found[1]) * _UNITS[found[2]]


class CallDeadline:
    """The deadline of a call: a client that still waits behind it is told, and the origin works for nobody.

    :param seconds: how long from now.
    :param passed: called when it has passed.
    :ivar deadline: when that is, on the clock of ``deadlines``.
    """

    __slots__ = ("_deadlines", "_passed", "deadline")

    def __init__(self, deadlines: Deadlines, seconds: float, passed: Callable[[], None]) -> None:
        self._deadlines = deadlines
        self._passed = passed
        self.deadline = deadlines.clock() + seconds
        deadlines.watch(self)

    def expired(self, now: float) -> None:
        """It has passed."""
        self.over()
        self._passed()

    def over(self) -> None:
        """The call is over."""
        self._deadlines.forget(self)
