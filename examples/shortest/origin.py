"""Asks an origin, with the node's certificate and trust: ``python examples/shortest/origin.py INI ORIGIN``."""

from __future__ import annotations

import sys
from typing import Any

from treq.client import HTTPClient
from twisted.internet.task import react

from edgenode import Configuration, EdgeService, OriginAgent


async def main(reactor: Any, path: str, origin: str) -> None:
    """Print what it says."""
    pool = EdgeService(Configuration.load(path), reactor).pools[origin]
    response = await HTTPClient(OriginAgent(pool)).get("https://origin.test/")
    sys.stdout.write(await response.text())
    pool.abort()


react(main, sys.argv[1:])
