"""The names of header fields: what each is for, who may set it, and whether it crosses.

Law: hop-by-hop fields do not cross (RFC 9110, section 7.6.1). What claims to say who the client is or which certificate
it has never arrives from outside, in no spelling: CGI, WSGI and their kin turn ``Client_Cert``, ``client.cert`` and
``Client-Cert`` into the same variable, so names are compared with every separator made a hyphen.
"""

from __future__ import annotations

import re

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


def answer_header_fault(name: bytes) -> str:
    """The same of a header of an answer that an extension gives whole."""
    return _IS_NODES_OWN if name in ONE_HOP or name in _NODES_OWN else ""


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


CROSSING = frozenset(
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

HARMLESS = CROSSING | ONE_HOP
"""Names of request fields that are known not to mislead; of all others it is worked out each time."""

crosses_often = CROSSING.__contains__
"""Whether a request field of this name, lower case, is one of the known ones that cross."""


def crosses(name: bytes) -> bool:
    """Whether a request field is passed on, unless Connection nominates it.

    :param name: in lower case.
    """
    if name in CROSSING:
        return True
    if name in ONE_HOP:
        return False
    spelled = _SEPARATORS.sub(b"-", name).strip(b"-")
    return not (misleads(name) or spelled in ONE_HOP)
