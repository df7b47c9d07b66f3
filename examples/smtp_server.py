"""SMTP with implicit TLS (RFC 8314) behind the endpoint ``edgenode:``; only clients with a certificate may send mail.

python examples/smtp_server.py edgenode:examples/embedding.ini:listener=public
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.mail import smtp
from twisted.python import log
from zope.interface import implementer

from edgenode import ClientIdentity, connection_of


@implementer(smtp.IMessage)
class Printed:
    """A message that is written to the log."""

    def __init__(self, sender: str) -> None:
        self.sender = sender
        self.lines: list[bytes] = []

    def lineReceived(self, line: bytes) -> None:
        """A line of the message."""
        self.lines.append(line)

    def eomReceived(self) -> Deferred[None]:
        """The end of the message."""
        log.msg(f"mail from {self.sender}: {self.lines[-1].decode()}")
        return succeed(None)

    def connectionLost(self) -> None:
        """The message is not whole."""


@implementer(smtp.IMessageDelivery)
class Delivery:
    """Takes the mail of one client."""

    def __init__(self, client: ClientIdentity | None) -> None:
        self.client = client

    def receivedHeader(self, helo: Any, origin: smtp.Address, recipients: Any) -> bytes:
        """Nothing is added."""
        return b""

    def validateFrom(self, helo: Any, origin: smtp.Address) -> smtp.Address:
        """Nobody without a certificate sends mail."""
        if self.client is None or not self.client.verification.verified:
            raise smtp.SMTPBadSender(origin)
        return origin

    def validateTo(self, user: smtp.User) -> Callable[[], Printed]:
        """Everybody gets mail."""
        assert self.client is not None
        return lambda name=self.client.subject: Printed(name)


class Server(smtp.ESMTP):
    """The client is known before the first line."""

    def connectionMade(self) -> None:
        """Deliver for this client."""
        self.delivery = Delivery(connection_of(self.transport).client)
        super().connectionMade()


async def main(reactor: Any, endpoint: str) -> None:
    """Serve until Ctrl-C."""
    log.startLogging(sys.stdout)
    factory = Factory.forProtocol(Server)
    await serverFromString(reactor, endpoint).listen(factory)
    await Deferred()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
