"""The method of a request, and those that frameworks take for it because the client says so elsewhere.

Law: whoever writes ``X-HTTP-Method-Override: DELETE`` or ``_method=delete`` asks Rails, Laravel, Symfony, Express,
ASP.NET and others for DELETE; a rule on the method sees what any of them would.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from edgenode.model.exchange import NO_BODY, Exchange
from edgenode.rules.views import arguments

_HEADERS = frozenset(
    words[0] + b"".join(map(b"".join, zip(signs, words[1:], strict=True)))
    for words in ((b"x", b"http", b"method", b"override"), (b"x", b"http", b"method"), (b"x", b"method", b"override"))
    for signs in product((b"-", b"_"), repeat=len(words) - 1)
)
"""Also with underscores, which are hyphens to CGI, WSGI and PHP."""
_ARGUMENTS = (b"_method", b"x-http-method-override")
"""In any case: Slim has ``_METHOD``, and ASP.NET MVC looks for the header's name in forms and queries."""


def overridden(further: frozenset[str]) -> Callable[[Exchange], tuple[bytes, ...] | None]:
    """A reader of the method as sent, and of every other, as it is written and in capitals.

    :param further: how arguments are read.
    """
    read_all = arguments.with_further(further | {"any-case"})

    def read(exchange: Exchange) -> tuple[bytes, ...] | None:
        request = exchange.request
        if request is None:
            return None
        fields = request.fields
        written = [value for name in fields.keys() & _HEADERS for value in fields[name]]
        if request.query or request.body is not NO_BODY:
            found = read_all(request)
            written += [value for name in _ARGUMENTS for value in found.get(name, ())]
        methods = [request.method]
        for each in written:
            methods += (each, *(word.strip().upper() for word in each.split(b",")))
        return tuple(dict.fromkeys(methods))

    return read
