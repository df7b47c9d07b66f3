"""The fields: everything about an exchange that a rule can look at, one line each.

Law: every reader sees every value, so a repeated header has all of its values looked at; what is absent has none.
Bytes stay bytes: nothing is decoded for matching, so no two readers can decode it differently.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Literal

from attrs import frozen

from edgenode.exchange import Exchange

Reader = Callable[[Exchange, bytes], Collection[Any]]
"""All values of a field; the second argument is the name within a field that has names, else empty."""


@frozen
class Field:
    """One thing to look at.

    :ivar name: as written in expressions; Cloudflare's name where Cloudflare has the field.
    :ivar type: what its values are: ``address`` (an IP address in text), ``bytes`` or ``word`` (canonical text).
    :ivar read: its reader.
    :ivar help: a phrase for the reference.
    """

    name: str
    type: Literal["address", "bytes", "word"]
    read: Reader
    help: str


def _client(exchange: Exchange, _: bytes) -> tuple[str, ...]:
    return (exchange.client,) if exchange.client else ()


def _method(exchange: Exchange, _: bytes) -> tuple[bytes, ...]:
    return () if exchange.request is None else (exchange.request.method,)


def _path(exchange: Exchange, _: bytes) -> tuple[bytes, ...]:
    return () if exchange.request is None else (exchange.request.normalised_path,)


def _authority(exchange: Exchange, _: bytes) -> tuple[bytes, ...]:
    return () if exchange.request is None else (exchange.request.authority,)


def _header(exchange: Exchange, name: bytes) -> tuple[bytes, ...]:
    return () if exchange.request is None else exchange.request.fields.get(name, ())


def _tags(exchange: Exchange, _: bytes) -> frozenset[str]:
    return exchange.tags


_TABLE = (
    Field("ip.src", "address", _client, "The client's address, as trusted proxies report it."),
    Field("http.request.method", "bytes", _method, "The method as sent."),
    Field("http.request.uri.path", "bytes", _path, "The normalised path: decoded once, slashes merged, dots resolved."),
    Field("http.request.authority", "bytes", _authority, "Host and port as asked for, in lower case."),
    Field("http.request.headers", "bytes", _header, "All values of the header of that name."),
    Field("edge.tags", "word", _tags, "The tags put on the exchange so far."),
)

FIELDS: Mapping[str, Field] = MappingProxyType({field.name: field for field in _TABLE})
"""Every field by its name."""
