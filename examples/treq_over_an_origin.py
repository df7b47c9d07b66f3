"""Ask an origin of a configuration with treq, as a filter or a health check of your own would do.

    python examples/treq_over_an_origin.py etc/edgenode.ini shop /health

The connection goes to the origin's servers, with the origin's client certificate, trust and name check; what fails is
an exception of ``twisted.web.client.Agent``, whose ``OriginError`` says what happened.
"""

from __future__ import annotations

import sys
from typing import Any

from treq.client import HTTPClient
from twisted.internet.task import react

from edgenode import ConfigurationError, OriginAgent, OriginError


async def main(reactor: Any, path: str, origin: str, target: str = "/") -> None:
    """Print the status and the body of the origin's answer to GET."""
    try:
        agent = OriginAgent.of(path, origin, reactor)
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None
    # treq's client keeps cookies: one client for every identity of your own, never one for all your users.
    client = HTTPClient(agent)
    section = agent.pool.origin
    scheme = "https" if section.servers[0].tls else "http"
    try:
        # The authority becomes the Host field; the agent sends nothing to anybody but the origin.
        response = await client.get(f"{scheme}://{section.server_name or origin}{target}", timeout=10)
        sys.stdout.write(f"{response.code}\n{await response.text()}\n")
    except Exception as failed:  # what treq's users know: ConnectError, ResponseNeverReceived, ...
        what = OriginError.of(failed)
        if what is None:
            raise
        raise SystemExit(f"{what.kind}: {what}") from None
    finally:
        await agent.close()


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        raise SystemExit("usage: treq_over_an_origin.py CONFIGURATION ORIGIN [TARGET]")
    react(lambda reactor: main(reactor, *sys.argv[1:]))
