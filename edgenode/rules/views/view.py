"""Views of a request: what is computed from it only if some rule asks, and then once.

Law: a view is kept in the ``__dict__`` of its request, so nothing outlives a request. What takes less time than to keep
it is no view.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from edgenode.model.exchange import Exchange, Request

S = TypeVar("S")
T = TypeVar("T")
U = TypeVar("U")


def view(compute: Callable[[Request], T]) -> Callable[[Request], T]:
    """The same function, computed once for each request; a request is never changed, so it cannot go stale."""
    return wraps(compute)(kept(f"{compute.__module__}.{compute.__qualname__}", compute))


def kept(name: str, compute: Callable[[Request], T]) -> Callable[[Request], T]:
    """A view of this name, of which there may be several that are computed likewise."""

    def read(request: Request) -> T:
        views = request.__dict__
        found = views.get(name, views)  # nothing is a view of itself
        if found is views:
            found = views[name] = compute(request)
        return found  # type: ignore[no-any-return]

    return read


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
