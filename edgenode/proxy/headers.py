"""Header fields on their way through: what crosses, what does not, and what we add.

Law: hop-by-hop fields do not cross (RFC 9110, section 7.6.1), and field lines that cross are passed on as they were
received. What claims to say who the client is or which certificate it has never arrives from outside, in no spelling:
CGI, WSGI and their kin turn ``Client_Cert``, ``client.cert`` and ``Client-Cert`` into the same variable, so names are
compared with every separator made a hyphen.
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
from edgenode.proxy.streams import RequestHead, ResponseHead
from edgenode.proxy.trusted_proxies import X_FORWARDED_FOR, TrustedProxies

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)

# Which a client's certificate is said to be by this or that proxy: RFC 9440, Envoy, nginx and Apache recipes, HAProxy
# recipes, Traefik, Cloudflare, AWS, Azure, Google, IBM, WebLogic.
_CERTIFICATE_PREFIXES = (
    b"client-cert",
    b"x-client-cert",
    b"x-forwarded-client-cert",
    b"x-forwarded-tls-client",
    b"x-forwarded-ssl-client",
    b"ssl-client",
    b"ssl-c-",
    b"ssl-cert",
    b"x-ssl",
    b"x-tls-client",
    b"tls-client",
    b"x-mtls",
    b"x-cert",
    b"x-clientcert",
    b"x-client-verif",
    b"x-client-dn",
    b"x-client-cn",
    b"x-client-san",
    b"x-client-serial",
    b"x-client-fingerprint",
    b"x-client-subject",
    b"x-client-issuer",
    b"x-client-s-dn",
    b"x-client-i-dn",
    b"x-amzn-mtls",
    b"x-arr-clientcert",
    b"x-goog-client-cert",
    b"cf-client-cert",
    b"cf-cert",
    b"wl-proxy-client-cert",
    b"wl-proxy-ssl",
    b"wscc",
    b"wsra",
    b"edge-client",
    b"x-spiffe",
    b"x-peer-cert",
    b"x-verified-c",
    b"ssl-verify",
    b"verified-client",
)
# What claims to say where a request comes from, who sent it or what it really asks for, to one server or another: a
# path map chosen by the path must not be undone by X-Original-URL, and a proxy not be named by Proxy (httpoxy).
_CLAIMS = frozenset(
    b"""
    forwarded x-real-ip x-request-id true-client-ip cf-connecting-ip fastly-client-ip x-client-ip x-cluster-client-ip
    x-original-forwarded-for x-originating-ip x-original-url x-original-uri x-original-host x-rewrite-url x-host
    remote-user remote-addr x-remote-user x-remote-addr front-end-https proxy via
    """.split()
)
_CLAIM_PREFIX = b"x-forwarded-"
_WRITTEN = frozenset(b"x-forwarded-for x-forwarded-proto x-forwarded-host forwarded via x-request-id".split())
FRAMING = frozenset((b"host", b"content-length", b"expect", b"max-forwards"))
ONE_HOP = HOP_BY_HOP | FRAMING
"""Fields of one hop, and of the framing."""

NOT_TO_CLIENTS = HOP_BY_HOP | {b"content-length", b"via"}
"""Fields of an origin's answer that do not cross as they are."""

_NODES_OWN = NOT_TO_CLIENTS | {b"date"}
_IS_NODES_OWN = "this is of one hop or of the framing, and so the node's own"
# Underscores and stranger characters: rules on ``header.user-agent`` do not see ``User_Agent``, but CGI and WSGI read
# both as one. They do not cross, as with nginx.
_ORDINARY = re.compile(rb"[a-z0-9-]+")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110, section 5.6.2
_SEPARATORS = re.compile(rb"[^a-z0-9]+")
_CLEAN = re.compile(rb"[A-Za-z0-9._:\[\]-]{1,261}")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~+/=-]{1,128}")


def claims_certificate(name: bytes) -> bool:
    """Whether a header of this name claims to say something of a client certificate.

    :param name: in lower case.
    """
    return _SEPARATORS.sub(b"-", name).strip(b"-").startswith(_CERTIFICATE_PREFIXES)


def misleads(name: bytes) -> bool:
    """Whether a request header of this name would have a reader believe what the client only claims: a certificate, an
    address, another path; or that it is another header, by its spelling.

    :param name: in lower case.
    """
    spelled = _SEPARATORS.sub(b"-", name).strip(b"-")
    return (
        not _ORDINARY.fullmatch(name)
        or spelled in _CLAIMS
        or spelled.startswith(_CLAIM_PREFIX)
        or claims_certificate(name)
    )


def request_header_fault(name: bytes) -> str:
    """Why no action may set a request header of this name, in words; empty if one may.

    :param name: in lower case.
    """
    if not _ORDINARY.fullmatch(name):
        return "a header that an origin gets has a name of letters, digits and hyphens"
    if claims_certificate(name):
        return "what an origin is told of a client certificate is the node's own: see certificate-headers"
    if name in ONE_HOP:
        return _IS_NODES_OWN
    return "the node writes its own" if name in _WRITTEN else ""


def response_header_fault(name: bytes) -> str:
    """The same of a header of an answer."""
    if name in _NODES_OWN:
        return _IS_NODES_OWN
    if name in (b"content-type", b"location"):
        return "this has a key of its own"
    return "no cache may keep an answer that is one client's" if name == b"cache-control" else ""


def changed_header_fault(name: bytes, key: str) -> str:
    """Why no response rules may change a header of this name, in words; empty if they may.

    :param name: in lower case.
    :param key: how: ``set``, ``add`` or ``remove``.
    """
    if not _TOKEN.fullmatch(name):
        return "expected the name of a header"
    if name in _NODES_OWN:
        return _IS_NODES_OWN
    if name in (b"content-type", b"content-encoding", b"content-range"):
        return "this says what the body is, and only who has written that knows"
    if name.startswith((b"sec-websocket-", b"grpc-")):
        return "this is the protocol's, which would not be understood otherwise"
    if name == b"vary" and key != "add":
        return "caches would give one client's answer to another: it can only be added to"
    if name == b"location" and key != "remove":
        return "where an answer leads says who has made it"
    if name == b"strict-transport-security" and key != "remove":
        return "this has a key of its own: hsts"
    return ""


_CROSSING = frozenset(
    b"""
    a-im accept accept-charset accept-datetime accept-encoding accept-language access-control-request-headers
    access-control-request-method authorization baggage cache-control content-disposition content-encoding
    content-language content-location content-type cookie date device-memory dnt downlink dpr early-data ect
    from grpc-accept-encoding grpc-encoding grpc-timeout idempotency-key if-match if-modified-since if-none-match
    if-range if-unmodified-since last-event-id link origin pragma prefer priority range referer rtt save-data
    sec-ch-ua sec-ch-ua-arch sec-ch-ua-bitness sec-ch-ua-full-version-list sec-ch-ua-mobile sec-ch-ua-model
    sec-ch-ua-platform sec-ch-ua-platform-version sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user
    sec-gpc sec-purpose soapaction traceparent tracestate upgrade-insecure-requests user-agent viewport-width
    x-api-key x-b3-sampled x-b3-spanid x-b3-traceid x-correlation-id x-csrf-token x-requested-with x-xsrf-token
    """.split()
)
"""Names of request fields that cross and are frequent; of all others it is worked out each time."""


HARMLESS = _CROSSING | ONE_HOP
"""Names of request fields that are known not to mislead; of all others it is worked out each time."""

crosses_often = _CROSSING.__contains__
"""Whether a request field of this name, lower case, is one of the known ones that cross."""


def crosses(name: bytes) -> bool:
    """Whether a request field is passed on, unless Connection nominates it.

    :param name: in lower case.
    """
    if name in _CROSSING:
        return True
    if name in ONE_HOP:
        return False
    spelled = _SEPARATORS.sub(b"-", name).strip(b"-")
    return not (misleads(name) or spelled in ONE_HOP)


def request_lines(head: RequestHead, without: Collection[bytes] = ()) -> bytes:
    """The field lines of a request that are passed on as they were received, each with its line end.

    :param without: further names to leave out, lower case: those of which somebody reads the first of two.
    """
    names, block = head.field_names, head.field_block
    left_out = head.options.union(without)
    if not left_out and names[0] == b"host" and _CROSSING.issuperset(names[1:]):
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
