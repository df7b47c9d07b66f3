"""What requests are counted under together: the values of all words of a ``key``, joined.

Law: two requests have the same key if and only if they have the same value in every part. A request has at most
:data:`MOST` keys, however many values it brings along, and none if a part is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from edgenode.model.exchange import UNKNOWN_CLIENT, Exchange
from edgenode.policy.keys import CLIENT, Part, Texts, clients

MOST = 8
"""Keys of one request. Parts with several values are counted under :data:`MANY` if there were more of them."""

MANY = " many"
"""Stands for all values of a part, of which there are too many; no value begins with a blank."""

_BETWEEN = "|"
_EVERYTHING = ("",)


def joined(parts: Sequence[Part]) -> Texts:
    """What reads the keys of a request; without a part there is one key for all."""
    several = [_counted(part) for part in parts]
    if not several:
        return lambda exchange: _EVERYTHING
    if len(several) > 1:
        return _several(several)
    return several[0] if parts[0].of_field == CLIENT else _single(several[0])


def shown(parts: Sequence[Part], key: str) -> str:
    """A key for people: each word with its value."""
    if not parts:
        return "all"
    values = [key] if len(parts) == 1 else map(_unescaped, key.split(_BETWEEN))
    return " and ".join(f"{part.word}: {value.strip()}" for part, value in zip(parts, values, strict=True))


def _counted(part: Part) -> Texts:
    """The values of a part. Clients that nobody knows are one, or they would not be counted at all; and who makes a
    certificate in the name of another is not counted as the other."""
    values = part.values
    if part.of_field == CLIENT:
        return clients(part, values, (UNKNOWN_CLIENT,))
    if part.proven:
        return values

    def certificates(exchange: Exchange) -> tuple[str, ...]:
        found = values(exchange)
        return tuple(f"not verified: {each}" for each in found) if found and part.forgeable(exchange) else found

    return certificates


def _single(values: Texts) -> Texts:
    def keys(exchange: Exchange) -> tuple[str, ...]:
        found = values(exchange)
        return found if len(found) <= MOST else (MANY,)

    return keys


def _several(columns: Sequence[Texts]) -> Texts:
    def keys(exchange: Exchange) -> tuple[str, ...]:
        found, count = [], 1
        for values in columns:
            each = values(exchange)
            if not each:
                return ()
            found.append(each)
            count *= len(each)
        if count > MOST:
            found = [each if len(each) == 1 else (MANY,) for each in found]
        elif count == 1:
            return (_BETWEEN.join([_escaped(each[0]) for each in found]),)
        return tuple(_BETWEEN.join(map(_escaped, each)) for each in product(*found))

    return keys


def _escaped(value: str) -> str:
    if "|" not in value and "%" not in value:
        return value
    return value.replace("%", "%25").replace("|", "%7C")


def _unescaped(value: str) -> str:
    return value.replace("%7C", "|").replace("%25", "%")
