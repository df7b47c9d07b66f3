"""The login to a server of Redis, by txredisapi: the password of a user, and the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure

from edgenode.model.errors import printable
from edgenode.state.settings import Server

_LOGIN = 16384
"""Bytes of all that a server says to a login."""

_TOLD = 200
"""Characters of what a server says in a reason."""


def told(text: str) -> str:
    """What a server says, as a reason has it."""
    return printable(text)[:_TOLD]


class Login:
    """txredisapi's protocol, while it says who we are and which database; this is its transport, and its factory.

    :param write: sends.
    :param done: is called once we are logged in, with what the server has said besides.
    :param failed: is called with the reason if we are not.
    """

    isLazy = False

    def __init__(
        self,
        server: Server,
        write: Callable[[bytes], None],
        done: Callable[[bytes], None],
        failed: Callable[[str], None],
    ) -> None:
        from txredisapi import BaseRedisProtocol  # not before: importing it installs a reactor

        self.write = write
        self.disconnecting = False
        self._done, self._failed = done, failed
        self._room = _LOGIN
        password = server.section.read_password()
        database: int | None = server.url.database
        # Who does not log in asks for the database even if it is the first: so the server says that one has to.
        database = None if password is not None and not database else database
        self._protocol = BaseRedisProtocol(username=server.section.login_name or None, password=password, dbid=database)
        self._protocol.factory = self

    def begin(self) -> None:
        """Log in."""
        self._protocol.makeConnection(self)
        self._protocol.whenConnected().addCallback(self._ready)

    def received(self, data: bytes) -> None:
        """What the server says."""
        self._room -= len(data)
        if self._room < 0:
            self._failed("its answer to the login is none")
            return
        try:
            self._protocol.dataReceived(data)
        except Exception:  # whatever an answer that is none makes of it
            self.disconnecting = True
        if self.disconnecting:
            self._failed("its answer to the login is none")

    def end(self) -> None:
        """The connection is over."""
        self._protocol.connectionLost(Failure(ConnectionError()))

    def _ready(self, protocol: Any) -> None:
        self._done(protocol.clearLineBuffer())

    # -- as its transport and factory --------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """Nothing: it asks for it between two lines."""

    def resumeProducing(self) -> None:
        """Nothing."""

    def loseConnection(self) -> None:
        """It gives up, and may say why."""
        self.disconnecting = True

    def stopTrying(self) -> None:
        """Nothing: who tries again is not its part."""

    def connectionError(self, why: str) -> None:
        """Why it gives up."""
        self._failed(told(why.removeprefix("Redis error: ")))
