"""The cookie by which a client comes back to the server that has answered it.

Law: its value is an HMAC over the origin and the server: who does not have the key can name no server, and nobody
learns an address from it. A value that is of no server, or of one that is gone or cannot be asked, is as none: another
server is chosen, and the client is told of that one. A server that is being drained keeps the clients that it has.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from typing import Self

from edgenode.model.exchange import Exchange
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.origin import Origin

_PURPOSE = b"edgenode sticky cookie\0"
_LENGTH = 32
_VALUE = rf"=([A-Za-z0-9_-]{{{_LENGTH}}})(?=[ \t]*(?:;|$))"


class StickyCookie:
    """The cookie of an origin.

    :param origin: the origin's name.
    :param section: the keys ``sticky-...``.
    :param secrets: the first signs, and what any of them has signed is accepted.
    """

    def __init__(self, origin: str, section: Origin, secrets: Sequence[bytes]) -> None:
        assert section.sticky_cookie is not None
        self._bound = _PURPOSE + origin.encode() + b"\0"
        self._secrets = (*secrets,)
        self._written = section.sticky_cookie.encode() + b"="
        self._find = re.compile(rb"(?:^|;[ \t]*)" + re.escape(section.sticky_cookie.encode()) + _VALUE.encode())
        age = f"; Max-Age={int(section.sticky_lifetime)}" if section.sticky_lifetime else ""
        site = section.sticky_same_site.title()
        self._attributes = f"; Path=/{age}; Secure; HttpOnly; SameSite={site}".encode()
        self._servers: dict[bytes, Balanced] = {}
        self._values: dict[Balanced, bytes] = {}

    def take(self, servers: Iterable[Balanced]) -> Self:
        """These are the servers from now on."""
        self._servers, self._values = {}, {}
        for each in servers:
            values = [self._value(secret, each) for secret in self._secrets]
            self._servers |= dict.fromkeys(values, each)
            self._values[each] = values[0]
        return self

    def _value(self, secret: bytes, server: Balanced) -> bytes:
        return urlsafe_b64encode(hmac.digest(secret, self._bound + server.text.encode(), "sha256"))[:_LENGTH]

    def named(self, exchange: Exchange | None) -> tuple[Balanced, ...]:
        """The servers that the cookies of a request name: nearly always one, or none."""
        request = None if exchange is None else exchange.request
        fields = () if request is None else request.fields.get(b"cookie", ())
        found = (self._servers.get(value) for field in fields for value in self._find.findall(field))
        return tuple(each for each in found if each is not None)

    def to_set(self, exchange: Exchange | None, server: Balanced) -> bytes:
        """The value of Set-Cookie for a client that this server has answered; empty if it has the cookie already."""
        value = self._values.get(server)
        if value is None or exchange is None or exchange.request is None:
            return b""
        held = (each for field in exchange.request.fields.get(b"cookie", ()) for each in self._find.findall(field))
        return b"" if next(held, None) == value else self._written + value + self._attributes
