"""IMAP with implicit TLS (RFC 8314) behind the endpoint ``edgenode:``: the certificate is the login (PREAUTH), and each
client has an INBOX of its own, in memory. Nobody else gets further than the greeting.

python examples/imap_server.py edgenode:examples/embedding.ini:listener=public:alpn=imap
"""

from __future__ import annotations

import io
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.mail import imap4
from twisted.python import log
from zope.interface import implementer

from edgenode import connection_of


@implementer(imap4.IMessageFile)
class Mail:
    """A message."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def open(self) -> io.BytesIO:
        """All of it."""
        return io.BytesIO(self._data)


class Inbox:
    """A mailbox, as far as APPEND, SELECT and FETCH need one."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    def addMessage(self, message: Any, flags: Iterable[str] = (), date: object = None) -> Deferred[int]:
        """A client appends a message."""
        self.mails.append(Mail(message.read()))
        return succeed(len(self.mails))

    def fetch(self, messages: Any, uid: bool) -> Iterator[tuple[int, Mail]]:
        """The messages of these numbers."""
        messages.last = len(self.mails)
        return ((number, self.mails[number - 1]) for number in messages if 0 < number <= len(self.mails))

    def getMessageCount(self) -> int:
        """How many there are."""
        return len(self.mails)

    def getRecentCount(self) -> int:
        """None is marked so."""
        return 0

    def getFlags(self) -> list[str]:
        """There are no flags."""
        return []

    def getUIDValidity(self) -> int:
        """Numbers hold as long as the process."""
        return 1

    def isWriteable(self) -> bool:
        """It is."""
        return True

    def addListener(self, listener: object) -> None:
        """Nobody is told of new messages."""

    removeListener = addListener


INBOXES: defaultdict[str, Inbox] = defaultdict(Inbox)
"""By the client's subject."""


class Account(imap4.MemoryAccount):
    """The account of a client."""

    def select(self, name: str, readwrite: bool = True) -> Inbox | None:
        """The only mailbox."""
        return INBOXES[self.name] if name.upper() == "INBOX" else None


class Server(imap4.IMAP4Server):
    """The client is known before the first line."""

    transport: Any

    def sendServerGreeting(self) -> None:
        """Who has a verified certificate is logged in (RFC 3501, section 7.1.4), everybody else has to go (7.1.5)."""
        client = connection_of(self.transport).client
        if client is None or not client.verification.verified:
            self.sendUntaggedResponse(b"BYE come with a certificate")
            self.transport.loseConnection()
            return
        self.account, self.state = Account(client.subject), "auth"
        self.sendUntaggedResponse(b"PREAUTH Hello, " + client.subject.encode())


async def main(reactor: Any, endpoint: str) -> None:
    """Serve until Ctrl-C."""
    log.startLogging(sys.stdout)
    await serverFromString(reactor, endpoint).listen(Factory.forProtocol(Server))
    await Deferred()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
