"""What holds for the WebSockets of a path map, from its keys."""

from __future__ import annotations

import re
from collections.abc import Iterable

from attrs import frozen

from edgenode.model.errors import InvalidValue

INSPECTED = ("no", "text", "all")
"""Which messages of clients rules see."""

SAME, ANY, NULL = "same", "any", "null"

_ORIGIN = re.compile(r"(https?)://(\*\.)?([a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def check_origins(origins: Iterable[str]) -> None:
    """Check the value of ``websocket-origins``.

    :raises InvalidValue: if an entry is no origin.
    """
    for each in origins:
        if each not in (SAME, ANY, NULL) and not _ORIGIN.fullmatch(each):
            raise InvalidValue(
                f"expected same, any, null, or an origin in lower case, such as https://app.example.com or "
                f"https://*.example.com: {each}",
                which="websocket-origins",
            )


@frozen(eq=False)
class Settings:
    """What holds for the WebSockets of a path map.

    :ivar offered: whether it takes any.
    :ivar origins: which Origin fields are let in: :data:`SAME`, :data:`ANY`, :data:`NULL`, and origins.
    :ivar most: the largest message, bytes.
    :ivar idle: how long nothing may pass, seconds.
    :ivar ping: after which silence of a side it is sent a Ping, seconds; 0 for never.
    :ivar inspects: which messages rules see: one of :data:`INSPECTED`.
    :ivar unseen: whether a rule that can refuse would look at messages, and does not see them.
    """

    offered: bool = True
    origins: frozenset[str] = frozenset((SAME,))
    most: int = 16 * 1024 * 1024
    idle: float = 300.0
    ping: float = 0.0
    inspects: str = "no"
    unseen: bool = False

    def lets_in(self, origin: str, own: Iterable[str]) -> bool:
        """Whether a page of an origin may open a WebSocket (RFC 6455, section 10.2).

        :param origin: the value of the Origin field.
        :param own: the origins of the site itself.
        """
        if ANY in self.origins:
            return True
        if origin == NULL:
            return NULL in self.origins
        known = _ORIGIN.fullmatch(origin.lower())
        if known is None or known[2]:
            return False
        normal = normal_origin(origin.lower())
        if SAME in self.origins and normal in {normal_origin(each.lower()) for each in own}:
            return True
        if any(normal == normal_origin(each) for each in self.origins):
            return True
        scheme, _, host, port = known.groups()
        port = port or _DEFAULT_PORTS[scheme]
        return any(
            f".{host}".endswith(f".{each[3]}") and host != each[3] and scheme == each[1]
            and port == (each[4] or _DEFAULT_PORTS[each[1]])
            for each in map(_ORIGIN.fullmatch, self.origins)
            if each is not None and each[2]
        )  # fmt: skip


DEFAULT = Settings()
"""What holds if no key says otherwise."""


def normal_origin(origin: str) -> str:
    """An origin without the port that its scheme has anyway (RFC 6454, section 6.2)."""
    scheme, _, _ = origin.partition("://")
    return origin.removesuffix(f":{_DEFAULT_PORTS.get(scheme, '')}")
