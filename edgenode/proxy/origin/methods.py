"""How a server is chosen among those that may be: ``balance``.

Laws: the shares follow the weights. With ``hash`` a request goes where the last of the same key went, and when servers
come or go only those requests move that went to a server that is gone, or go to one that is new: weighted rendezvous
hashing, also known as highest random weight (Thaler and Ravishankar, 1998; Schindelhauer and Schomaker, 2005). Nodes
with the same servers choose alike.
"""

from __future__ import annotations

import random
import types
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from math import log
from typing import Any

from edgenode.model.exchange import Exchange
from edgenode.proxy.origin.balancing import Balanced, exchange_of, round_robin

Method = Callable[[Sequence[Balanced], Any], Balanced]
"""Chooses one of some servers for an asker."""

Key = Callable[[Exchange], tuple[str, ...]]
"""Reads what requests are kept together by; nothing if one has none."""


def least_requests(candidates: Sequence[Balanced], asker: Any) -> Balanced:
    """The server with the fewest requests under way for its weight; among several in turn: nginx's ``least_conn``."""
    loads = [each.active / each.weight for each in candidates]
    least = min(loads)
    return round_robin([each for each, load in zip(candidates, loads, strict=True) if load == least])


_source = random.Random()  # noqa: S311 - no secret


def random_two(candidates: Sequence[Balanced], asker: Any) -> Balanced:
    """The less busy of two that are drawn by weight: nginx's ``random two``, Envoy's ``LEAST_REQUEST``."""
    if len(candidates) == 1:
        return candidates[0]
    (first,) = _source.choices(candidates, [each.weight for each in candidates])
    others = [each for each in candidates if each is not first]
    (second,) = _source.choices(others, [each.weight for each in others])
    return second if second.active / second.weight < first.active / first.weight else first


def hashed(key: Key) -> Method:
    """The server for the value of a key; in turn without one.

    :param key: reads it.
    """

    def choose(candidates: Sequence[Balanced], asker: Any) -> Balanced:
        exchange = exchange_of(asker)
        values = () if exchange is None else key(exchange)
        if not values:
            return round_robin(candidates)
        wanted = "\0".join(values).encode("utf-8", "surrogateescape")
        return max(candidates, key=lambda each: _score(each, wanted))

    return choose


_BITS = 52
"""As many as a float has, so that no number below is rounded to 1."""


def _score(server: Balanced, wanted: bytes) -> float:
    """A number for a server and a key, of which the greatest wins: as often as the weight says."""
    digest = blake2b(b"%b\0%b" % (server.text.encode(), wanted), digest_size=8).digest()
    return -server.weight / log(((int.from_bytes(digest, "big") >> (64 - _BITS)) + 0.5) / (1 << _BITS))


METHODS: Mapping[str, Method] = types.MappingProxyType({"least-requests": least_requests, "random-two": random_two})
"""By the value of ``balance``, those that need no key; in turn is asked without one."""
