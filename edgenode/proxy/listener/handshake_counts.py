"""How handshakes with clients end, counted.

Law: whatever clients send, there is no more to remember than a bound: the names of issuers are those of clients that
were verified, and so many of them.
"""

from __future__ import annotations

from edgenode.model.exchange import ClientIdentity

MOST_AUTHORITIES = 100
"""Issuers that are told apart; further ones are :data:`OTHER`."""

MOST = 10_000
"""Counts that are kept; what comes on top is :data:`OTHER` in every respect."""

OTHER = "other"

_LONGEST_NAME = 128

Ending = tuple[str, str, str, int | str, str]
"""The listener, the server group, the result, the reason, and who has issued the client's certificate."""


class HandshakeCounts:
    """Handshakes by how they ended; listeners that share one count together.

    :ivar endings: the number of those that ended so. A result is one of ``verified``, ``not verified`` (the client was
        let in all the same), ``no certificate`` and ``failed``; a reason is a number of OpenSSL's for a fault of the
        client's certificate, or a word.
    :ivar turned_away: by the listener's name, connections that were closed at once, for there were too many.
    """

    __slots__ = ("_authorities", "endings", "turned_away")

    def __init__(self) -> None:
        self.endings: dict[Ending, int] = {}
        self.turned_away: dict[str, int] = {}
        self._authorities: set[str] = set()

    def done(self, listener: str, server_group: str, client: ClientIdentity | None) -> None:
        """Count a handshake that has come to its end.

        :param client: the client, as it was judged; ``None`` without a certificate.
        """
        if client is None:
            self._add((listener, server_group, "no certificate", "", ""))
        elif client.verification.verified:
            issuer = client.issuer[:_LONGEST_NAME]
            if issuer not in self._authorities:
                if len(self._authorities) < MOST_AUTHORITIES:
                    self._authorities.add(issuer)
                else:
                    issuer = OTHER
            self._add((listener, server_group, "verified", "", issuer))
        else:
            reason = client.verification.last_error
            self._add((listener, server_group, "not verified", reason, self._known(client)))

    def failed(self, listener: str, server_group: str, reason: int | str, client: ClientIdentity | None) -> None:
        """Count one that has failed.

        :param reason: one of few: OpenSSL's number, or a word that no client has chosen.
        :param client: whose certificate was refused, if one was.
        """
        self._add((listener, server_group, "failed", reason, self._known(client)))

    def turn_away(self, listener: str) -> None:
        """Count a connection that was closed at once."""
        self.turned_away[listener] = self.turned_away.get(listener, 0) + 1

    def _known(self, client: ClientIdentity | None) -> str:
        """Who has issued a certificate that was not verified, if others of that issuer were: else anybody could say
        anything."""
        issuer = "" if client is None else client.issuer[:_LONGEST_NAME]
        return issuer if issuer in self._authorities else ""

    def _add(self, ending: Ending) -> None:
        endings = self.endings
        if ending not in endings and len(endings) >= MOST:
            ending = (OTHER, OTHER, OTHER, OTHER, OTHER)
        endings[ending] = endings.get(ending, 0) + 1
