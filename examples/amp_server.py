"""AMP behind the endpoint ``edgenode:``, with commands that know their client by its certificate.

python examples/amp_server.py edgenode:examples/embedding.ini:listener=public
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols import amp
from twisted.python import log

from edgenode import connection_of


class WhoAmI(amp.Command):
    """Who does the server think I am?"""

    response = ((b"name", amp.Unicode()),)


class Server(amp.AMP):
    """Is built for clients that their server group lets in, and for nobody else."""

    @WhoAmI.responder
    def who_am_i(self) -> dict[str, str]:
        """The subject of the certificate."""
        client = connection_of(self.transport).client
        return {"name": "stranger" if client is None else client.subject}


async def main(reactor: Any, endpoint: str) -> None:
    """Serve until Ctrl-C."""
    log.startLogging(sys.stdout)
    await serverFromString(reactor, endpoint).listen(Factory.forProtocol(Server))
    await Deferred()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
