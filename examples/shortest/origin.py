"""Asks an origin, with the node's certificate and trust: ``python examples/shortest/origin.py INI ORIGIN``."""

from __future__ import annotations

import sys
from typing import Any

from treq.client import HTTPClient
from twisted.internet.task import react

from edgenode import OriginAgent


async def main(reactor: Any, path: str, origin: str) -> None:
    """Print what it says."""
    agent = OriginAgent.of(path, origin, reactor)
    response = await HTTPClient(agent).get(f"https://{origin}/")
    sys.stdout.write(await response.text())
    await agent.close()


react(main, sys.argv[1:])
