"""The values of fields of extensions: checked each time, for nobody here has written what reads them.

Law: a value of another type than its field's is an error. Text in the place of bytes would equal nothing, and every
rule on it would be passed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from edgenode.model.errors import InvalidValue
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


def _instance(name: str, value: Any, expected: Any) -> Any:
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise TypeError(f"the field {name} of an extension has a value of type {type(value).__name__}")
    return value
