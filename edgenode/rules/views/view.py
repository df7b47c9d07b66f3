"""Views of a request: what is computed from it only if some rule asks, and then once.

Law: a view is kept in the ``__dict__`` of its request, so nothing outlives a request. What takes less time than to keep
it is no view.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from edgenode.model.exchange import Exchange, Request

S = TypeVar("S")
T = TypeVar("T")
U = TypeVar("U")


def view(compute: Callable[[Request], T]) -> Callable[[Request], T]:
    """The same function, computed once for each request; a request is never changed, so it cannot go stale."""
    name = f"{compute.__module__}.{compute.__qualname__}"

    @wraps(compute)
    def read(request: Request) -> T:
        kept = request.__dict__
        found = kept.get(name, kept)  # nothing is a view of itself
        if found is kept:
            found = kept[name] = compute(request)
        return found  # type: ignore[no-any-return]

    return read


def uncollected(compute: Callable[[Request], T], request: Request) -> T:
    """What is computed from a request, without the garbage collector: of many thousand names and values, none of which
    is in a cycle, it would look at all again and again while they grow, and take as long as all the rest."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        return compute(request)
    finally:
        if enabled:
            gc.enable()


def then(read: Callable[[S], T | None], step: Callable[[T], U]) -> Callable[[S], U | None]:
    """A reader of what a step makes of what another reads; missing where that is."""

    def reader(source: S) -> U | None:
        found = read(source)
        return None if found is None else step(found)

    return reader


def of_request(read: Callable[[Request], T]) -> Callable[[Exchange], T | None]:
    """A reader of an exchange from one of a request; a stream has no request."""

    def reader(exchange: Exchange) -> T | None:
        request = exchange.request
        return None if request is None else read(request)

    return reader
