"""A line protocol that knows its clients by their certificates, behind the endpoint ``edgenode:``.

    python examples/mtls_endpoint.py edgenode:examples/embedding.ini:listener=public

examples/embedding.ini says how to make the certificates. Then, in another terminal:

    openssl s_client -quiet -connect localhost:8446 -servername partners.localhost -CAfile examples/pki/ca.pem \
        -cert examples/pki/acme.pem -key examples/pki/acme.key
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver

from edgenode import ConfigurationError, connection_of


class Greeter(LineReceiver):
    """Greets its client by name, and says everything twice. It is built only for clients that have been let in."""

    delimiter = b"\n"

    def connectionMade(self) -> None:
        """The client is known already."""
        client = connection_of(self.transport).client
        self.sendLine(b"Hello, %b." % (b"stranger" if client is None else client.subject.encode()))

    def lineReceived(self, line: bytes) -> None:
        """Nothing arrives here once the client's certificate has expired or was revoked."""
        self.sendLine(b"%b, %b" % (line, line))


async def main(reactor: Any, endpoint: str) -> None:
    """Serve until Ctrl-C."""
    try:
        port = await serverFromString(reactor, endpoint).listen(Factory.forProtocol(Greeter))
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None
    sys.stdout.write(f"listening on port {port.getHost().port}\n")
    sys.stdout.flush()
    await Deferred()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: mtls_endpoint.py ENDPOINT")
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, sys.argv[1])))
