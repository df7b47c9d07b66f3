"""Whatever request is accepted, every field that rules can look at is read without an error, and is of its type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve

from edgenode.model.errors import ClientError
from edgenode.model.exchange import NO_BODY, Address, Body, Connection, Exchange
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.listener.speakers import read_request_head
from edgenode.rules.fields import FIELDS
from edgenode.rules.language.types import STRING_LISTS, STRINGS, Type
from edgenode.rules.views.arguments import FURTHER, with_further
from edgenode.rules.views.methods import overridden
from tests.support.hostile_requests import FAMILIES

_LIMITS = HeadLimits(1024, 8192, 64)
_CONNECTION = Connection(Address("192.0.2.1", 50000), Address("192.0.2.2", 443), tls_version="TLSv1.3")
_HEAD = b'POST /?a=%41&b HTTP/1.1\r\nHost: a\r\nCookie: a=%22; b="c"\r\nContent-Type: '
_TYPES = (b"application/x-www-form-urlencoded; charset=utf-16", b'multipart/form-data; boundary="b"; boundary*0=c')
_FURTHER = with_further(frozenset(FURTHER))
_METHODS = overridden(frozenset(FURTHER))
_BODIES = (
    b'{"a":[1e2,"\\u0061",{"b":null}],"query":"query Q($v:T=1){f(a:{b:[$v]})}","variables":{"v":"YQ=="}}',
    b'<?xml version="1.0" encoding="utf-16"?><!-- c --><x:a b="&#65;" xmlns:x="u">t<![CDATA[u]]></x:a>',
    b"_charset_=utf-7&a=%2BAGE-&_method=PUT",
    b"a=1&%62=+&&=",
    b"--b\r\nContent-Disposition: form-data; name=\"a\"; filename*=utf-8''b\r\n\r\n1\r\n--b--",
    b"preamble\n--b\nContent-Transfer-Encoding: base64\nContent-Disposition: x;\n name=a\n\nYQ==\n--b",
)


def check(data: bytes) -> None:
    """Read the bytes up to the first empty line as a head, and the others as its body."""
    head, _, body = data.partition(b"\r\n\r\n")
    try:
        request = read_request_head(head + b"\r\n\r\n", _LIMITS).with_body(NO_BODY)
    except ClientError:
        return
    exchange = Exchange(_CONNECTION, evolve(request, body=Body(body, len(body))), "192.0.2.1", time=1e9)
    for name, field in FIELDS.items():
        value = field.read(exchange)
        assert value is None or fits(value, field.type), name
    assert exchange.request is not None
    assert fits(_FURTHER(exchange.request), STRING_LISTS)
    assert fits(_METHODS(exchange), STRINGS)


def fits(value: Any, type: Type) -> bool:
    """Whether a value is of a type."""
    if type.of is not None and type.name == "Array":
        return isinstance(value, tuple) and all(fits(each, type.of) for each in value)
    if type.of is not None:
        return isinstance(value, Mapping) and all(isinstance(k, bytes) and fits(v, type.of) for k, v in value.items())
    if type.name == "Ip":
        return isinstance(value, tuple) and len(value) == 2 and value[0] in (4, 6)
    kinds = {"Bytes": bytes, "Int": int, "Bool": bool}
    return isinstance(value, kinds[type.name]) and (type.name == "Bool") == isinstance(value, bool)


def seeds() -> Iterator[bytes]:
    """The corpus of hostile requests, and forms of either kind."""
    yield from (case.data for cases in FAMILIES.values() for case in cases if len(case.data) < 2000)
    yield from (_HEAD + each + b"\r\n\r\n" + body for each in _TYPES for body in _BODIES)
