"""The heads of HTTP/2 requests (RFC 9113, section 8.3), as the head that rules, routing and HTTP/1.1 origins see.

Law: fields arrive here well-formed (:mod:`edgenode.proxy.http2.engine`). What a head means is read as in HTTP/1.1
(:mod:`edgenode.proxy.request_meaning`); its authority stands first among its field lines, as Host.
"""

from __future__ import annotations

from edgenode.model.errors import ClientError
from edgenode.model.exchange import by_name
from edgenode.proxy.http2.engine import Fields
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.request_meaning import meant
from edgenode.proxy.streams import RequestHead

_VERSION = (2, 0)
_COLON = 0x3A
_SCHEMES = (b"https", b"http")
_UPGRADE = ((b"connection", b"upgrade"), (b"upgrade", b"websocket"))
"""What extended CONNECT for WebSocket says in HTTP/1.1, where it is a GET: rules see the same of both."""


def read_request_head(fields: Fields, done: bool, limits: HeadLimits, scheme: bytes = b"https") -> RequestHead:
    """Read a request head.

    :param done: whether there is no body.
    :param scheme: that of the connection.
    :raises ClientError: with the status to answer.
    """
    at = 0
    for name, _ in fields:
        if name[0] != _COLON:
            break
        at += 1
    pseudo = dict(fields[:at])
    rest = fields[at:]
    method, target = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
    if len(target) > limits.target:
        raise ClientError(414, "the request target is too long")
    found: dict[bytes, tuple[bytes, ...]] = {name: (value,) for name, value in rest}
    authority = pseudo.get(b":authority")
    if authority is None or len(found) != len(rest) or b"host" in found:
        authority, rest = _one_authority(authority, rest)
        rest = _one_cookie(rest)
        found = by_name(tuple(rest))
    if len(rest) > limits.headers:
        raise ClientError(431, "too many header fields")
    lines = b"host: %b\r\n" % authority
    if rest:
        lines += b"\r\n".join([b": ".join(field) for field in rest]) + b"\r\n"
    if len(method) + len(target) + len(lines) > limits.head:
        raise ClientError(431, "the request head is too large")
    if pseudo.get(b":scheme") not in _SCHEMES and method != b"CONNECT":
        raise ClientError(400, "the scheme is neither https nor http")
    if target[:1] != b"/" and target != b"*" and method != b"CONNECT":
        raise ClientError(400, "the target is no path")
    names = [b"host", *[name for name, _ in rest]]
    found[b"host"] = (authority,)
    if b":protocol" in pseudo:
        if pseudo[b":protocol"] != b"websocket":
            raise ClientError(501, "CONNECT for another protocol than WebSocket")
        method, done = b"GET", True
        names += [name for name, _ in _UPGRADE]
        found |= {name: (value,) for name, value in _UPGRADE}
        lines += b"".join([b"%b: %b\r\n" % field for field in _UPGRADE])
    head = meant(method, target, _VERSION, names, found, lines, scheme, unsaid=0 if done else None)
    if done and head.length:
        raise ClientError(400, "the body is not as long as its Content-Length says")
    return head


def _one_authority(authority: bytes | None, fields: Fields) -> tuple[bytes, Fields]:
    """The authority, and the fields without Host: that says the same, or stands alone (RFC 9113, section 8.3.1)."""
    hosts = [value for name, value in fields if name == b"host"]
    if authority is None:
        if not hosts:
            raise ClientError(400, "neither an authority nor a Host field")
        authority = hosts[0]
    if any(host.lower() != authority.lower() for host in hosts):
        raise ClientError(400, "the Host field is not the authority")
    return authority, [field for field in fields if field[0] != b"host"]


def _one_cookie(fields: Fields) -> Fields:
    """The same with one Cookie field: its crumbs are joined before anybody else sees them (RFC 9113, section 8.2.3)."""
    crumbs = [value for name, value in fields if name == b"cookie"]
    if len(crumbs) < 2:
        return fields
    at = [name for name, _ in fields].index(b"cookie")
    others = [field for field in fields[at:] if field[0] != b"cookie"]
    return [*fields[:at], (b"cookie", b"; ".join(crumbs)), *others]
