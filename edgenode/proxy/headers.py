"""Header fields on their way through: what crosses, what does not, and what we add.

Law: hop-by-hop fields do not cross (RFC 9110, section 7.6.1). What claims to say who the client is or which certificate
it has never arrives from outside, in no spelling: CGI, WSGI and their kin turn ``Client_Cert``, ``client.cert`` and
``Client-Cert`` into the same variable, so names are compared with every separator made a hyphen.
"""

from __future__ import annotations

import email.utils
import functools
import os
import re
import time
from collections.abc import Iterable, Iterator

from attrs import frozen

from edgenode.model.exchange import Headers, Request
from edgenode.proxy.trusted_proxies import X_FORWARDED_FOR, TrustedProxies

Fields = list[tuple[bytes, bytes]]
"""Header fields to be sent, with their names as they shall be written."""

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
_FRAMING = frozenset((b"host", b"content-length", b"expect", b"max-forwards"))
# Underscores and stranger characters: rules on ``header.user-agent`` do not see ``User_Agent``, but CGI and WSGI read
# both as one. They do not cross, as with nginx.
_ORDINARY = re.compile(rb"[a-z0-9-]+")
_SEPARATORS = re.compile(rb"[^a-z0-9]+")
_CLEAN = re.compile(rb"[A-Za-z0-9._:\[\]-]{1,261}")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~+/=-]{1,128}")

_KNOWN: dict[bytes, bool] = {}
_MOST_KNOWN, _LONGEST_KNOWN = 4096, 64


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
    if name in HOP_BY_HOP or name in _FRAMING:
        return "this is of one hop or of the framing, and so the node's own"
    return "the node writes its own" if name in _WRITTEN else ""


def response_header_fault(name: bytes) -> str:
    """The same of a header of an answer."""
    if name in HOP_BY_HOP or name in (b"content-length", b"date", b"via"):
        return "this is of one hop or of the framing, and so the node's own"
    if name in (b"content-type", b"location"):
        return "this has a key of its own"
    return "no cache may keep an answer that is one client's" if name == b"cache-control" else ""


def _crosses(name: bytes) -> bool:
    """Whether a request header of this lower-case name is passed on; remembered, for names repeat."""
    crosses = _KNOWN.get(name)
    if crosses is None:
        spelled = _SEPARATORS.sub(b"-", name).strip(b"-")
        crosses = not (misleads(name) or spelled in HOP_BY_HOP or spelled in _FRAMING)
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        if len(name) <= _LONGEST_KNOWN:
            _KNOWN[name] = crosses
    return crosses


@frozen(eq=False)
class Passage:
    """How a header block goes through to the origin: the same for every request with that block on a connection.

    :ivar client: the client's address, text.
    :ivar identifier: the request's identifier that a trusted proxy gave, if it did.
    :ivar lines: the header fields for the origin, each with its line end; without Host, framing and X-Request-Id.
    :ivar trailers: whether the client takes trailers.
    :ivar max_forwards: how many more proxies TRACE and OPTIONS may pass; ``None`` without the field.
    """

    client: str
    identifier: bytes | None
    lines: bytes
    trailers: bool
    max_forwards: int | None


def read_passage(
    request: Request, options: frozenset[bytes], peer: str, trusted: TrustedProxies, via: bytes
) -> Passage:
    """What crosses of a request's header fields, and what we add.

    :param options: the names that the client's Connection field nominates.
    :param peer: the address at the other end of the connection.
    :param via: our pseudonym.
    """
    reported = trusted.contains(peer)
    client, chain = trusted.walk(peer, request.fields) if reported else (peer, peer)
    # Proxies that write Forwarded pass on what a client has written into these.
    customary = reported and trusted.header == X_FORWARDED_FOR
    proto = _reported(request, b"x-forwarded-proto") if customary else None
    host = _reported(request, b"x-forwarded-host") if customary else None
    proto = proto if proto in (b"http", b"https") else request.scheme
    host = host or request.authority
    trailers = b"trailers" in b",".join(request.fields.get(b"te", ())).lower()
    fields: Fields = [
        (written, value)
        for (name, value), written in zip(request.headers, request.names, strict=True)
        if _crosses(name) and name not in options
    ]
    fields += (
        (b"X-Forwarded-For", chain.encode("ascii")),
        (b"X-Forwarded-Proto", proto),
        (b"X-Forwarded-Host", host),
        (b"Forwarded", b'for=%b;host="%b";proto=%b' % (_node(client), host, proto)),
        (b"Via", _via(request.fields.get(b"via"), request.version, via)),
    )
    if trailers:
        fields += ((b"TE", b"trailers"), (b"Connection", b"TE"))
    return Passage(
        client, _identifier(request) if reported else None, header_lines(fields), trailers, _max_forwards(request)
    )


def _max_forwards(request: Request) -> int | None:
    values = request.fields.get(b"max-forwards", ())
    return int(values[0]) if len(values) == 1 and values[0].isdigit() and len(values[0]) < 10 else None


def _identifier(request: Request) -> bytes | None:
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


def _via(received: tuple[bytes, ...] | None, version: tuple[int, int], pseudonym: bytes) -> bytes:
    """The Via field (RFC 9110, section 7.6.3): what was received, and us."""
    ours = b"%d.%d %s" % (*version, pseudonym)
    return b", ".join((*received, ours)) if received else ours


def header_lines(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Header fields as they are written in HTTP/1.1."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])


def http_date() -> bytes:
    """The Date field with its line end (RFC 9110, section 6.6.1)."""
    return _date(int(time.time()))


@functools.lru_cache(2)
def _date(seconds: int) -> bytes:
    return b"Date: %b\r\n" % email.utils.formatdate(seconds, usegmt=True).encode("ascii")


def to_client(headers: Headers, names: tuple[bytes, ...], options: frozenset[bytes], via: bytes) -> tuple[bytes, bool]:
    """An origin's response header fields for the client, each with its line end, without framing.

    :param options: the names that the origin's Connection field nominates.
    :param via: the whole value of our Via element.
    :returns: the lines, and whether Date is among them.
    """
    received = tuple(value for name, value in headers if name == b"via")
    fields = [
        (written, _vary(value) if name == b"vary" else value)
        for (name, value), written in zip(headers, names, strict=True)
        if name not in HOP_BY_HOP and name != b"content-length" and name != b"via" and name not in options
    ]
    dated = any(name == b"date" for name, _ in headers)
    return header_lines((*fields, (b"Via", b", ".join((*received, via))))), dated


def _vary(value: bytes) -> bytes:
    """A Vary field for the client: a certificate header in it becomes ``*`` (RFC 9440, section 2.4)."""
    # No client sends what the origin chose by, so to a cache every client would be like the first.
    return b"*" if any(claims_certificate(name.strip().lower()) for name in value.split(b",")) else value


_NO_TRAILERS = (
    b"content-", b"transfer-", b"host", b"authorization", b"set-cookie", b"cookie", b"connection", b"te", b"trailer",
    b"upgrade", b"cache-control", b"expect", b"location", b"vary", b"www-", b"proxy-",
)  # fmt: skip
"""Fields that belong into a head: framing, routing, authentication, what else RFC 9110, section 6.5.1, names."""


def passing(trailers: Headers) -> Headers:
    """The trailer fields that may be passed on to who asked for trailers."""
    return tuple(field for field in trailers if not field[0].startswith(_NO_TRAILERS))
