"""Header fields on their way through: the lines that are passed on, and those that we add.

Law: field lines that cross are passed on as they were received; which do is said in
:mod:`edgenode.proxy.header_names`.
"""

from __future__ import annotations

import email.utils
import functools
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator
from itertools import compress
from operator import not_

from attrs import frozen

from edgenode.model.exchange import Request, Response
from edgenode.proxy.header_names import CROSSING, NOT_TO_CLIENTS, claims_certificate, crosses
from edgenode.proxy.streams import RequestHead, ResponseHead
from edgenode.proxy.trusted_proxies import X_FORWARDED_FOR, TrustedProxies

_CLEAN = re.compile(rb"[A-Za-z0-9._:\[\]-]{1,261}")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~+/=-]{1,128}")


def request_lines(head: RequestHead, without: Collection[bytes] = ()) -> bytes:
    """The field lines of a request that are passed on as they were received, each with its line end.

    :param without: further names to leave out, lower case: those of which somebody reads the first of two.
    """
    names, block = head.field_names, head.field_block
    left_out = head.options.union(without)
    if not left_out and names[0] == b"host" and CROSSING.issuperset(names[1:]):
        return block[block.index(b"\n") + 1 :]
    lines = head.field_lines
    kept = [line for line, name in zip(lines, names, strict=True) if name not in left_out and crosses(name)]
    kept.append(b"")
    return b"\r\n".join(kept)


@frozen
class Forwarded:
    """Where a request comes from, as the origin is told.

    :ivar client: the client's address, text.
    :ivar chain: the value of X-Forwarded-For: the part of the list that is believed, the client first.
    :ivar scheme: of the client's request: the peer's, or what a trusted proxy reports.
    :ivar host: likewise its authority.
    """

    client: str
    chain: str
    scheme: bytes
    host: bytes

    @classmethod
    def reported(cls, request: Request, peer: str, trusted: TrustedProxies) -> Forwarded:
        """What a trusted proxy reports of a request.

        :param peer: the proxy's address.
        """
        client, chain = trusted.walk(peer, request.fields)
        # Proxies that write Forwarded pass on what a client has written into these.
        customary = trusted.header == X_FORWARDED_FOR
        scheme = _reported(request, b"x-forwarded-proto") if customary else None
        host = _reported(request, b"x-forwarded-host") if customary else None
        scheme = scheme if scheme in (b"http", b"https") else request.scheme
        return cls(client, chain, scheme, host or request.authority)

    def lines(self) -> bytes:
        """The field lines that say so, each with its line end (RFC 7239, and by custom)."""
        return header_lines(
            (
                (b"X-Forwarded-For", self.chain.encode("ascii")),
                (b"X-Forwarded-Proto", self.scheme),
                (b"X-Forwarded-Host", self.host),
                (b"Forwarded", b'for=%b;host="%b";proto=%b' % (_node(self.client), self.host, self.scheme)),
            )
        )


def via_line(request: Request, pseudonym: bytes) -> bytes:
    """The Via field line of a request (RFC 9110, section 7.6.3): what was received, and us."""
    received = request.fields.get(b"via")
    if received is None and request.version == (1, 1):
        return b"Via: 1.1 %b\r\n" % pseudonym
    ours = b"%d.%d %b" % (*request.version, pseudonym)
    return b"Via: %b\r\n" % (b", ".join((*received, ours)) if received else ours)


_COUNTED = frozenset((b"TRACE", b"OPTIONS"))
"""Methods for which Max-Forwards counts (RFC 9110, section 7.6.2)."""


def answered_here(request: Request, allow: bytes) -> Response | None:
    """The response to a request that may pass no further proxy (RFC 9110, section 7.6.2); ``None`` to all others.

    :param allow: the value of Allow: :attr:`edgenode.proxy.routing.ServedPathMap.allow`.
    """
    if request.method not in _COUNTED or _max_forwards(request) != 0:
        return None
    return Response(204 if request.method == b"OPTIONS" else 405, ((b"allow", allow),))


def max_forwards_line(request: Request) -> bytes:
    """The Max-Forwards field line for the next proxy, one less where it counts; empty without the field."""
    left = _max_forwards(request)
    return b"" if left is None else b"Max-Forwards: %d\r\n" % (left - (request.method in _COUNTED))


def _max_forwards(request: Request) -> int | None:
    values = request.fields.get(b"max-forwards", ())
    return int(values[0]) if len(values) == 1 and values[0].isdigit() and len(values[0]) < 10 else None


def reported_identifier(request: Request) -> bytes | None:
    """The request's identifier that a trusted proxy gave, if it gave a clean one."""
    given = request.fields.get(b"x-request-id", ())
    return given[0] if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) else None


def _random_identifiers() -> Iterator[bytes]:
    """128 random bits in hexadecimal, again and again; the system is asked for many at a time."""
    while True:
        digits = os.urandom(4096).hex().encode("ascii")
        yield from (digits[at : at + 32] for at in range(0, len(digits), 32))


new_identifier = functools.partial(next, _random_identifiers())
"""A new identifier for a request."""


def _reported(request: Request, name: bytes) -> bytes | None:
    """What a trusted proxy reports, if it reports one clean value."""
    values = request.fields.get(name, ())
    return values[0] if len(values) == 1 and _CLEAN.fullmatch(values[0]) else None


def _node(client: str) -> bytes:
    """An address as RFC 7239, section 6, writes it."""
    return b'"[%s]"' % client.encode("ascii") if ":" in client else client.encode("ascii")


def header_lines(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Header fields as field lines, each with its line end."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])


def http_date() -> bytes:
    """The Date field with its line end (RFC 9110, section 6.6.1)."""
    return _date(int(time.time()))


@functools.lru_cache(2)
def _date(seconds: int) -> bytes:
    return b"Date: %b\r\n" % email.utils.formatdate(seconds, usegmt=True).encode("ascii")


def response_lines(head: ResponseHead, pseudonym: bytes, unwanted: frozenset[bytes] = NOT_TO_CLIENTS) -> bytes:
    """An origin's field lines for the client, each with its line end: as received, with Via and Date (RFC 9110,
    sections 7.6.3 and 6.6.1), without framing.

    :param pseudonym: ours, for Via.
    :param unwanted: the names of the fields that do not cross, :data:`NOT_TO_CLIENTS` among them.
    """
    fields, options = head.fields, head.options
    if not options <= unwanted:
        unwanted |= options
    kept = [*compress(head.field_lines, map(not_, map(unwanted.__contains__, head.field_names)))]
    if b"vary" in fields:
        kept = [_vary_line(line) if line[:5].lower() == b"vary:" else line for line in kept]
    received = fields.get(b"via")
    if received is None:
        kept.append(b"Via: %b %b\r\n" % (head.version, pseudonym))
    else:
        kept.append(b"Via: %b, %b %b\r\n" % (b", ".join(received), head.version, pseudonym))
    lines = b"\r\n".join(kept)
    return lines if b"date" in fields or head.status < 200 else lines + http_date()


def _vary_line(line: bytes) -> bytes:
    name, _, value = line.partition(b":")
    return b"%b: %b" % (name, _vary(value.strip(b" \t")))


def _vary(value: bytes) -> bytes:
    """A Vary field for the client: a certificate header in it becomes ``*`` (RFC 9440, section 2.4)."""
    # No client sends what the origin chose by, so to a cache every client would be like the first.
    return b"*" if any(claims_certificate(name.strip().lower()) for name in value.split(b",")) else value
