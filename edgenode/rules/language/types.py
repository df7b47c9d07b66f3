"""The types of the Rules language: what a value is, before any request has come.

Law: a type is known when a rule is loaded, so no operator ever meets a value that it cannot compare.

The values themselves are plain: ``Bool`` is ``bool``, ``Int`` is ``int``, ``Bytes`` is ``bytes``, ``Ip`` is the pair
(version, number) of :func:`edgenode.rules.networks.address`, an array is a tuple (or any other sized collection) and a
map is a mapping from ``bytes``. What is missing is ``None``.
"""

from __future__ import annotations

from attrs import frozen


@frozen
class Type:
    """A type: a primitive one, or an array or a map of another.

    :ivar name: ``Bool``, ``Int``, ``Bytes``, ``Ip``, ``Array`` or ``Map``.
    :ivar of: the type of the elements of an array, or of the values of a map.
    """

    name: str
    of: Type | None = None

    def __str__(self) -> str:
        return self.name if self.of is None else f"{self.name}({self.of})"


BOOL = Type("Bool")
INT = Type("Int")
BYTES = Type("Bytes")
IP = Type("Ip")


def array(of: Type) -> Type:
    """The type of arrays of a type."""
    return Type("Array", of)


def map_of(of: Type) -> Type:
    """The type of maps to a type."""
    return Type("Map", of)


STRINGS = array(BYTES)
STRING_LISTS = map_of(STRINGS)
