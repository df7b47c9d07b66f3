"""Header fields on their way through: what crosses, what does not, and what we add.

Law: hop-by-hop fields do not cross (RFC 9110, section 7.6.1). What claims to say who the client is or which certificate
it has never arrives from outside, in no spelling: CGI, WSGI and their kin turn ``Client_Cert``, ``client.cert`` and
``Client-Cert`` into the same variable, so names are compared with every separator made a hyphen.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from attrs import frozen

from edgenode.exchange import Headers, Request

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
    b"x-client-verify",
    b"x-client-dn",
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
    b"edge-client",
)
_OURS = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"x-real-ip", b"x-request-id"))
_FRAMING = frozenset((b"host", b"content-length", b"expect"))
_SEPARATORS = re.compile(rb"[^a-z0-9]+")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~+/=-]{1,128}")

_KNOWN: dict[bytes, bool] = {}
_MOST_KNOWN = 4096


def claims_certificate(name: bytes) -> bool:
    """Whether a header of this name claims to say something of a client certificate.

    :param name: in lower case.
    """
    return _SEPARATORS.sub(b"-", name).strip(b"-").startswith(_CERTIFICATE_PREFIXES)


def _crosses(name: bytes) -> bool:
    """Whether a request header of this lower-case name is passed on; remembered, for names repeat."""
    crosses = _KNOWN.get(name)
    if crosses is None:
        spelled = _SEPARATORS.sub(b"-", name).strip(b"-")
        crosses = not (
            spelled in HOP_BY_HOP or spelled in _OURS or spelled in _FRAMING or spelled == b"via" or claims_certificate(name)
        )
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[name] = crosses
    return crosses


@frozen
class Provenance:
    """What we tell the origin of where a request came from.

    :ivar client: the client's address, text.
    :ivar forwarded_for: the whole X-Forwarded-For, the client first.
    :ivar peer_trusted: whether the peer is a trusted proxy, whose own reports are kept.
    """

    client: str
    forwarded_for: bytes
    peer_trusted: bool


def provenance(peer: str, request: Request, trusted: TrustedProxies) -> Provenance:
    """Where a request came from: the peer, or, if that is a trusted proxy, the last untrusted address it reports.

    The list is walked from right to left, for whoever is not trusted can write what he likes at its left.
    """
    if not trusted.contains(peer):
        return Provenance(peer, peer.encode("ascii"), False)
    reported = request.fields.get(b"x-forwarded-for", ())
    hops = [hop for hop in (h.strip() for field in reported for h in field.split(b",")) if hop]
    if not hops:
        hops = [hop for field in request.fields.get(b"forwarded", ()) for hop in _forwarded_for(field)]
    client = peer
    chain = [peer]
    for hop in reversed(hops):
        address = trusted.address(hop)
        if address is None:
            break
        client = address
        chain.append(address)
        if not trusted.contains(address):
            break
    return Provenance(client, ", ".join(reversed(chain)).encode("ascii"), True)


_FOR = re.compile(rb'(?:^|;)\s*for\s*=\s*("[^"]*"|[^;,\s]*)', re.IGNORECASE)


def _forwarded_for(field: bytes) -> Iterable[bytes]:
    for element in field.split(b","):
        match = _FOR.search(element)
        yield match[1].strip(b'"') if match else b""


class TrustedProxies:
    """The networks of the proxies in front of us."""

    def __init__(self, networks: Iterable[str]) -> None:
        import ipaddress

        self._networks = tuple(ipaddress.ip_network(network) for network in networks)
        self._read = ipaddress.ip_address

    def contains(self, address: str) -> bool:
        """Whether an address is that of a trusted proxy."""
        if not self._networks:
            return False
        ip = self._read(address)
        return any(ip in network for network in self._networks)

    def address(self, hop: bytes) -> str | None:
        """The address in a hop of X-Forwarded-For or Forwarded, without its port; ``None`` if there is none in it."""
        text = hop.decode("latin-1")
        if text.startswith("["):
            text = text[1:].partition("]")[0]
        elif text.count(":") == 1:
            text = text.partition(":")[0]
        try:
            ip = self._read(text)
        except ValueError:
            return None
        return str(getattr(ip, "ipv4_mapped", None) or ip)


def request_id(request: Request, peer_trusted: bool) -> bytes:
    """The request's identifier: a trusted proxy's own, or 128 random bits in hexadecimal."""
    if peer_trusted:
        given = request.fields.get(b"x-request-id", ())
        if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
            return given[0]
    return os.urandom(16).hex().encode("ascii")


def to_origin(request: Request, options: frozenset[bytes], origin: Provenance, identifier: bytes, via: bytes) -> Fields:
    """The header fields for the origin, without Host and framing, which its connection writes.

    :param options: the names that the client's Connection field nominates.
    :param origin: where the request came from.
    :param via: our pseudonym.
    """
    known = _KNOWN
    fields: Fields = []
    for (name, value), written in zip(request.headers, request.names, strict=True):
        crosses = known.get(name)
        if (_crosses(name) if crosses is None else crosses) and name not in options:
            fields.append((written, value))
    fields.append((b"X-Forwarded-For", origin.forwarded_for))
    proto, host = request.scheme, request.authority
    if origin.peer_trusted:
        proto = _reported(request, b"x-forwarded-proto", proto, (b"http", b"https"))
        host = _reported(request, b"x-forwarded-host", host)
    fields.append((b"X-Forwarded-Proto", proto))
    fields.append((b"X-Forwarded-Host", host))
    fields.append((b"Forwarded", b"for=%s;host=\"%s\";proto=%s" % (_node(origin.client), host, proto)))
    fields.append((b"X-Request-Id", identifier))
    fields.append((b"Via", _via(request.fields.get(b"via") if _has(request, b"via") else None, request.version, via)))
    return fields


def _has(request: Request, name: bytes) -> bool:
    return any(each == name for each, _ in request.headers)


def _reported(request: Request, name: bytes, ours: bytes, allowed: tuple[bytes, ...] = ()) -> bytes:
    """What a trusted proxy reports, if it reports one clean value."""
    values = request.fields.get(name, ())
    if len(values) != 1 or (allowed and values[0] not in allowed) or not re.fullmatch(rb"[A-Za-z0-9._:\[\]-]{1,261}", values[0]):
        return ours
    return values[0]


def _node(client: str) -> bytes:
    """An address as RFC 7239, section 6, writes it."""
    return b'"[%s]"' % client.encode("ascii") if ":" in client else client.encode("ascii")


def _via(received: tuple[bytes, ...] | None, version: tuple[int, int], pseudonym: bytes) -> bytes:
    """The Via field (RFC 9110, section 7.6.3): what was received, and us."""
    ours = b"%d.%d %s" % (*version, pseudonym)
    return b", ".join((*received, ours)) if received else ours


def to_client(headers: Headers, names: tuple[bytes, ...], options: frozenset[bytes], via: bytes) -> Fields:
    """An origin's response header fields for the client, without framing.

    :param options: the names that the origin's Connection field nominates.
    :param via: the whole value of our Via element.
    """
    fields: Fields = []
    received = None
    for (name, value), written in zip(headers, names, strict=True):
        if name in HOP_BY_HOP or name == b"content-length" or name in options:
            continue
        if name == b"via":
            received = value if received is None else received + b", " + value
            continue
        fields.append((written, value))
    fields.append((b"Via", via if received is None else received + b", " + via))
    return fields
