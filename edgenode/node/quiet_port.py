"""A Unix port that does not tell the log of itself: what Twisted says of one means nothing to who runs a node.

Law: but for its silence it is Twisted's own.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import unix
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory


class QuietReactor:
    """A reactor whose Unix ports are quiet; all else is the reactor's."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenUNIX(self, address: str, factory: Factory) -> IListeningPort:
        """Listen; the address is one of the abstract namespace.

        :raises CannotListenError: if it is taken.
        """
        port = _Port(address, factory, self._reactor)
        port.startListening()
        return port


class _Port(unix.Port):
    def __init__(self, address: str, factory: Factory, reactor: Any) -> None:
        super().__init__(os.fsencode(address), factory, reactor=reactor)
        self._address = os.fsencode(address)

    def startListening(self) -> None:
        assert self.factory is not None
        self.factory.doStart()
        sock = self.createInternetSocket()
        try:
            sock.bind(self._address)
        except OSError as error:
            sock.close()
            raise CannotListenError(None, self._address, error) from error
        sock.listen(self.backlog)
        self.connected = True
        self.socket, self.numberAccepts = sock, 100
        self.fileno = sock.fileno  # type: ignore[method-assign]
        self.startReading()

    def _logConnectionLostMsg(self) -> None:
        pass
