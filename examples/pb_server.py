"""Perspective Broker behind the endpoint ``edgenode:``: the root object is made for the client that has come.

python examples/pb_server.py edgenode:examples/embedding.ini:listener=public
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react
from twisted.python import log
from twisted.spread import pb

from edgenode import connection_of


class Session(pb.Referenceable):
    """What a client can call."""

    def __init__(self, broker: pb.Broker) -> None:
        self.broker = broker

    def remote_greet(self, greeting: str) -> str:
        """Greet it by name."""
        client = connection_of(self.broker.transport).client
        return f"{greeting}, {'stranger' if client is None else client.subject}."


class Sessions(pb.Root):
    """Makes the root object of each connection."""

    def rootObject(self, broker: pb.Broker) -> Session:
        """The broker has no transport yet: the client is known once it calls."""
        return Session(broker)


async def main(reactor: Any, endpoint: str) -> None:
    """Serve until Ctrl-C."""
    log.startLogging(sys.stdout)
    await serverFromString(reactor, endpoint).listen(pb.PBServerFactory(Sessions()))
    await Deferred()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
