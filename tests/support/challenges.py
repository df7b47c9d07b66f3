"""A client of challenges that computes with hashlib, and has nothing in common with the page."""

from __future__ import annotations

import re
from hashlib import sha256
from itertools import count

NAME = "__Host-edgenode-challenge"


def solution(token: str, difficulty: int) -> str:
    """The token with the first counter by which its hash begins with as many zero bits."""
    tries = (f"{token}.{counter}" for counter in count())
    return next(each for each in tries if int(sha256(each.encode()).hexdigest(), 16) >> (256 - difficulty) == 0)


def solved(page: bytes) -> str:
    """The Cookie of a browser that has solved the challenge of a page."""
    found = re.search(rb'data-token="([^"]+)" data-difficulty="([0-9]+)"', page)
    assert found is not None, page[:200]
    return f"{NAME}={solution(found[1].decode(), int(found[2]))}"
