"""Whether what an origin says of the choice of its servers can be."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgenode.config import schema, sticky_keys
from edgenode.config.checks.limits import geography
from edgenode.config.data import Sections
from edgenode.model.errors import Problem
from edgenode.proxy.origin.origin import Origin

_COOKIE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_ONLY_WITH = {
    "hash-key": ("balance", "hash"),
    "sticky-keys": ("sticky-cookie", None),
    "sticky-lifetime": ("sticky-cookie", None),
    "sticky-same-site": ("sticky-cookie", None),
    "eject-requests": ("eject-errors", None),
    "eject-interval": ("eject-errors", None),
    "eject-time": ("eject-errors", None),
    "eject-share": ("eject-errors", None),
}
"""Keys that have an effect only with another key, and with which value of it; ``None`` for any."""


def balancing(configuration: Sections) -> Iterator[Problem]:
    """What is wrong, or has no effect."""
    for name, origin in configuration.origins.items():
        header = f"{origin.kind} {name}"
        yield from _without_effect(header, origin)
        yield from geography(configuration, header, origin.hash_key, (), active=origin.balance == "hash")
        if origin.balance == "hash" and not origin.hash_key:
            yield Problem(header, "hash-key", "balance = hash needs this key")
        for part in origin.hash_key:
            if "body" in part.needs:
                sentence = f"{part.word} is looked for in bodies, of which nothing is left when a server is chosen"
                yield Problem(header, "hash-key", sentence)
        if origin.sticky_cookie is not None:
            if not _COOKIE.fullmatch(origin.sticky_cookie):
                sentence = "expected the name of a cookie: at most 64 ASCII letters, digits and !#$%&'*+-.^_`|~"
                yield Problem(header, "sticky-cookie", sentence, origin.sticky_cookie, 0)
            yield from sticky_keys.load(name, origin)[1]
        if all(server.backup for server in origin.servers):
            yield Problem(header, "servers", "all of them are backups, and so none is", warning=True)
        for key in ("eject-interval", "eject-time"):
            if not getattr(origin, key.replace("-", "_")):
                yield Problem(header, key, "0 would leave nothing")


def _without_effect(header: str, origin: Origin) -> Iterator[Problem]:
    keys = schema.settings(Origin)
    for key, (other, value) in _ONLY_WITH.items():
        written = getattr(origin, keys[key].attribute) != keys[key].default
        found = getattr(origin, keys[other].attribute)
        if written and (found is None if value is None else found != value):
            wanted = other if value is None else f"{other} = {value}"
            yield Problem(header, key, f"has no effect without {wanted}", warning=True)
