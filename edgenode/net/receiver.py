"""What a transport tells, and whom: the interface between the net room and everyone who speaks on a connection.

Law: ``handshaken`` comes first and once. Then ``received`` and ``drained`` come in any order, ``ended`` at most once,
after the last byte. ``lost`` comes last and once, even if there was no handshake; not from within ``write``, ``pause``
or ``resume``, but from within ``close`` and ``abort``. An exception that a receiver raises ends its connection only.
"""

from __future__ import annotations

from typing import Protocol


class Receiver(Protocol):
    """Whom a transport tells what happens."""

    def handshaken(self) -> None:
        """The handshake is done; nothing has been received yet."""

    def received(self, data: bytes) -> None:
        """Bytes arrived.

        :param data: up to ``transport.READ_AHEAD`` bytes; empty, if ``Transport.call_again`` has asked for it.
        """

    def drained(self) -> None:
        """All that was queued has been sent."""

    def ended(self) -> None:
        """The other side has ended its sending side properly: by close_notify in TLS, by FIN without.

        No more bytes are received; what is written is still sent. ``lost`` comes once this side has ended too, so call
        ``close``, now or when everything is written. A receiver may hear of the end while it is paused; one that has
        closed already does not hear of it.
        """

    def lost(self, reason: str, clean: bool) -> None:
        """The connection is over; nothing follows.

        :param reason: why, empty if it was closed properly.
        :param clean: whether it ended as its protocol ends: by close_notify in TLS, by FIN without.
        """


class Nobody:
    """The receiver of a connection that is over."""

    def handshaken(self) -> None:
        """Nothing."""

    def received(self, data: bytes) -> None:
        """Nothing."""

    def drained(self) -> None:
        """Nothing."""

    def ended(self) -> None:
        """Nothing."""

    def lost(self, reason: str, clean: bool) -> None:
        """Nothing."""


NOBODY = Nobody()
