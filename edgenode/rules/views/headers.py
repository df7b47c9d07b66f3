"""Header fields as rules look at them.

Law: names and values stand index by index in the order received; a repeated field is looked at every time.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from edgenode.model.exchange import Exchange, Request
from edgenode.rules.views.view import view

_WEIGHT = re.compile(rb"[qQ]=([01](?:\.[0-9]{0,3})?)")


def version(request: Request) -> bytes:
    """The version of HTTP: ``HTTP/1.1``, ``HTTP/2``."""
    major, minor = request.version
    return b"HTTP/%d" % major if major > 1 else b"HTTP/%d.%d" % (major, minor)


def of_name(name: bytes) -> Callable[[Exchange], tuple[bytes, ...] | None]:
    """A reader of the values of one field.

    :param name: in lower case.
    """

    def read(exchange: Exchange) -> tuple[bytes, ...] | None:
        request = exchange.request
        return None if request is None else request.fields.get(name)

    return read


def joined(name: bytes) -> Callable[[Request], bytes]:
    """A reader of a field as one text: repeated fields joined as RFC 9110, section 5.3, says; empty without one."""
    return lambda request: b", ".join(request.fields.get(name, ()))


@view
def accepted_languages(request: Request) -> tuple[bytes, ...]:
    """The languages that the client asks for, those with the highest weight first."""
    found = []
    for item in joined(b"accept-language")(request).split(b","):
        language, *parameters = (part.strip() for part in item.split(b";"))
        weights = [match[1] for match in map(_WEIGHT.fullmatch, parameters) if match is not None]
        if language:
            found.append((float(weights[0]) if weights else 0.0 if parameters else 1.0, language))
    return tuple(language for _, language in sorted(found, key=lambda each: -each[0]))
