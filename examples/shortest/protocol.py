"""Greets clients by the names in their certificates: ``python examples/shortest/protocol.py``."""

from __future__ import annotations

import sys

from twisted.internet import endpoints, protocol, reactor
from twisted.python import log


class Greeter(protocol.Protocol):
    """Is built for clients that their server group lets in."""

    def connectionMade(self) -> None:
        """The client is known already."""
        client = self.transport.client
        self.transport.write(b"Hello, %b.\n" % (client.subject.encode() if client else b"stranger"))
        self.transport.loseConnection()


log.startLogging(sys.stdout)
endpoint = endpoints.serverFromString(reactor, "edgenode:examples/embedding.ini:listener=public")
endpoint.listen(protocol.Factory.forProtocol(Greeter)).addErrback(log.err)
reactor.run()
