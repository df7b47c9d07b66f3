"""Where a client is, and whose its address is, as rules look at it.

Law: what the databases do not know has Cloudflare's values of the unknown: the country ``XX``, the number 0, and an
empty text. So a rule on every country but one is true of the unknown too, and is not passed by who has none.
"""

from __future__ import annotations

from collections.abc import Callable

from edgenode.model.exchange import Exchange, Geography

UNKNOWN_COUNTRY = b"XX"

_NOWHERE = Geography()


def place(exchange: Exchange) -> Geography:
    """Where the client is."""
    return exchange.geography or _NOWHERE


def text(attribute: str) -> Callable[[Exchange], bytes]:
    """A reader of a text; empty if it is unknown."""
    return lambda exchange: getattr(exchange.geography or _NOWHERE, attribute).encode("utf-8", "surrogatepass")


def country(exchange: Exchange) -> bytes:
    """The country's code."""
    return place(exchange).country.encode("ascii", "replace") or UNKNOWN_COUNTRY


def subdivision(attribute: str) -> Callable[[Exchange], bytes]:
    """A reader of a code behind that of its country, as ISO 3166-2 writes it; empty if it is unknown."""
    code = text(attribute)

    def read(exchange: Exchange) -> bytes:
        found = code(exchange)
        return country(exchange) + b"-" + found if found else b""

    return read


def readings(*attributes: str) -> Callable[[Exchange], tuple[bytes, ...]]:
    """A reader of several texts of one thing, such as its name and its code; those that are known."""

    def read(exchange: Exchange) -> tuple[bytes, ...]:
        found = exchange.geography or _NOWHERE
        texts = (getattr(found, attribute) for attribute in attributes)
        return tuple(each.encode("utf-8", "surrogatepass") for each in texts if each)

    return read
