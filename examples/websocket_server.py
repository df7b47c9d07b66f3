"""WebSocket with autobahn behind the endpoint ``edgenode:``, with clients known by their certificates.

    python examples/websocket_server.py edgenode:examples/embedding.ini:listener=public

autobahn is not part of the node: ``pip install autobahn``.
"""

from __future__ import annotations

import sys
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react
from twisted.python import log

from edgenode import connection_of


class Echo(WebSocketServerProtocol):
    """Sends everything back, with the name of whoever has sent it."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """A message has come."""
        client = connection_of(self.transport).client
        name = "stranger" if client is None else client.subject
        self.sendMessage(name.encode() + b": " + payload, isBinary)


async def main(reactor: Any, endpoint: str) -> None:
    """Serve until Ctrl-C."""
    log.startLogging(sys.stdout)
    factory = WebSocketServerFactory()
    factory.protocol = Echo
    await serverFromString(reactor, endpoint).listen(factory)
    await Deferred()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
