"""The method of a request, and those that frameworks take for it because the client says so elsewhere.

Law: whoever writes ``X-HTTP-Method-Override: DELETE`` or ``_method=delete`` asks Rails, Laravel, Symfony, Express,
ASP.NET and others for DELETE; a rule on the method sees what any of them would.
"""

from __future__ import annotations

from collections.abc import Callable

from edgenode.model.exchange import Exchange
from edgenode.rules.views import arguments

HEADERS = (b"x-http-method-override", b"x-http-method", b"x-method-override")
ARGUMENT = b"_method"


def overridden(further: frozenset[str]) -> Callable[[Exchange], tuple[bytes, ...] | None]:
    """A reader of the method as sent, and of every other, as it is written and in capitals.

    :param further: how arguments are read.
    """
    of_argument = arguments.of_name(ARGUMENT, further)

    def read(exchange: Exchange) -> tuple[bytes, ...] | None:
        request = exchange.request
        if request is None:
            return None
        fields = request.fields
        written = [value for name in HEADERS for value in fields.get(name, ())]
        written += of_argument(exchange) or ()
        found = [request.method]
        for each in written:
            found += (each, *(word.strip().upper() for word in each.split(b",")))
        return tuple(dict.fromkeys(found)) if written else (request.method,)

    return read
