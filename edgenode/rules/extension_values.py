"""The values of fields of extensions: checked each time, for nobody here has written what reads them.

Law: a value of another type than its field's is an error. Text in the place of bytes would equal nothing, and every
rule on it would be passed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Address, Connection, Exchange, Request
from edgenode.rules.language.types import BOOL, BYTES, INT, IP, Type
from edgenode.rules.networks import address

_TYPES: Mapping[Type, type[Any]] = {BOOL: bool, INT: int, BYTES: bytes}


def checked(name: str, type: Type) -> Callable[[Any], Any]:
    """What checks a value, and gives it as rules have it: an address is one of :mod:`ipaddress`, an array a tuple.

    :param name: the field's, for what is raised: ``TypeError``.
    :param type: the field's.
    :raises InvalidValue: if there is no such type.
    """
    if type == IP:
        return lambda value: address(str(_instance(name, value, (IPv4Address, IPv6Address))))
    if type.name == "Array" and type.of is not None:
        each = checked(name, type.of)
        return lambda value: tuple(map(each, _instance(name, value, tuple)))
    if type.name == "Map" and type.of is not None:
        each = checked(name, type.of)
        return lambda value: {
            _instance(name, key, bytes): each(found) for key, found in _instance(name, value, Mapping).items()
        }
    if type not in _TYPES:
        raise InvalidValue(f"the field {name} is of a type that there is not: {type}", 0)
    expected = _TYPES[type]
    return lambda value: _instance(name, value, expected)


class _Touched(BaseException):
    """A reader looks at the body."""


class _Body:
    """A body that nobody may look at."""

    def __getattr__(self, name: str) -> Any:
        raise _Touched


def looks_at_body(read: Callable[[Exchange], Any]) -> bool:
    """Whether a reader looks at the body of a plain request: that is there only for a field that says that it needs it,
    and a reader that takes it for missing would let every request pass."""
    body: Any = _Body()
    host = ((b"host", b"a.example"), (b"content-length", b"1"))
    request = Request(b"POST", b"https", b"a.example", b"/", b"/", None, b"/", host, length=1, body=body)
    here = Address("192.0.2.1", 443)
    try:
        read(Exchange(Connection(here, here), request, "192.0.2.1"))
    except _Touched:
        return True
    except Exception:  # of what is not there in so small a request
        return False
    return False


def _instance(name: str, value: Any, expected: Any) -> Any:
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise TypeError(f"the field {name} of an extension has a value of type {type(value).__name__}")
    return value
