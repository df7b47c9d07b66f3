"""Trailer fields on their way through (RFC 9110, section 6.5): which of them are passed on.

Law: they pass only where the client has said ``TE: trailers``, which the origin is then told. No rule sees them, and a
server may take them for header fields: so none passes that belongs into a head, and none of a request that is a known
field, or one that the head has or an action has set. All others are dropped.
"""

from __future__ import annotations

from collections.abc import Collection

from edgenode.model.exchange import Headers, Request
from edgenode.proxy.header_names import FRAMING, HOP_BY_HOP, crosses, crosses_often
from edgenode.proxy.streams import RequestHead

TRAILERS_WANTED = b"TE: trailers\r\nConnection: TE\r\n"
"""What an origin is told for a client that takes trailers."""

_OF_A_HEAD = (
    HOP_BY_HOP
    | FRAMING
    | frozenset(
        b"""
        age authorization cache-control clear-site-data cookie date expires forwarded location pragma range refresh
        retry-after server set-cookie strict-transport-security vary via warning
        """.split()
    )
)
_OF_A_HEAD_PREFIXES = (b"access-control-", b"content-", b"cookie", b"if-", b"proxy-", b"set-cookie", b"www-")
_CONTENT_DIGEST = b"content-digest"  # RFC 9530, section 2: made to be a trailer


def takes_trailers(request: Request) -> bool:
    """Whether the client takes trailers (RFC 9110, section 10.1.4)."""
    values = b",".join(request.fields.get(b"te", ())).lower().split(b",")
    return b"trailers" in [value.strip(b" \t") for value in values]


def passing(trailers: Headers, nominated: Collection[bytes] = ()) -> Headers:
    """The trailer fields of a response that may be passed on to who asked for trailers: none of framing, routing,
    authentication, of the content's format, or that control the response (RFC 9110, section 6.5.1).

    :param nominated: what the Connection field of the head says to be of one hop, lower case.
    """
    return tuple([field for field in trailers if field[0] not in nominated and not _of_a_head(field[0])])


def passing_to_origin(trailers: Headers, head: RequestHead, set_by_rules: Collection[bytes]) -> Headers:
    """The trailer fields of a request that may be passed on: none if the client does not take trailers itself.

    :param set_by_rules: the names of the fields that actions have set, lower case.
    """
    if not takes_trailers(head):
        return ()
    return tuple(
        [
            (name, value)
            for name, value in passing(trailers, head.options)
            if crosses(name) and not crosses_often(name) and name not in head.fields and name not in set_by_rules
        ]
    )


def _of_a_head(name: bytes) -> bool:
    return name in _OF_A_HEAD or (name.startswith(_OF_A_HEAD_PREFIXES) and name != _CONTENT_DIGEST)
