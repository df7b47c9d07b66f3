"""The variables of answers, which rules of phases 3 and 4 look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from edgenode.model.exchange import Response
from edgenode.policy.contentfilter.variables import Pairs


def _header(response: Response, wanted: bytes) -> Pairs:
    return tuple((b"", value) for name, value in response.headers if name.lower() == wanted)[:1]


_REQUIRED = b"HTTP/1.1"

ANSWERS: Mapping[str, Callable[[Response, bytes], Pairs]] = MappingProxyType(
    {
        "RESPONSE_BODY": lambda response, body: ((b"", body),),
        "RESPONSE_CONTENT_LENGTH": lambda response, body: (
            _header(response, b"content-length") or ((b"", b"%d" % len(body)),)
        ),
        "RESPONSE_CONTENT_TYPE": lambda response, body: _header(response, b"content-type"),
        "RESPONSE_HEADERS": lambda response, body: response.headers,
        "RESPONSE_HEADERS_NAMES": lambda response, body: tuple((name, name) for name, _ in response.headers),
        "RESPONSE_PROTOCOL": lambda response, body: ((b"", _REQUIRED),),
        "RESPONSE_STATUS": lambda response, body: ((b"", b"%d" % response.status),),
        "STATUS_LINE": lambda response, body: ((b"", b"%b %d" % (_REQUIRED, response.status)),),
    }
)
"""What reads each of an answer's head and the beginning of its body."""
