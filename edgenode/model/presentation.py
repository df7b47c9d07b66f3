"""What becomes of the certificate that we present to an origin."""

from __future__ import annotations

import datetime

from attrs import define, evolve, field


@define(weakref_slot=False)
class Presentation:
    """Our client certificate in the handshake of one connection to an origin; not changed once it is made.

    :ivar asked: whether the origin asked for one.
    :ivar subject: the subject of the one that it was sent (RFC 4514); ``None`` if it was sent none.
    :ivar serial: its serial number, hexadecimal; likewise.
    :ivar expired: since when that one had expired at the handshake, UTC; ``None`` if it had not.
    :ivar accepted: whether the origin accepts what it got. ``None`` if it did not ask, and while that is not known: in
        TLS 1.3 until it answers.
    :ivar alert: the alert with which it ended the connection instead, such as ``unknown ca`` (RFC 8446, section 6.2).
    :ivar event_text: it as JSON, once an event has been written with it.
    """

    asked: bool
    subject: str | None = None
    serial: str | None = None
    accepted: bool | None = None
    alert: str | None = None
    expired: datetime.datetime | None = None
    event_text: str = field(default="", init=False, eq=False, repr=False)

    def answered(self) -> Presentation:
        """The same, for a connection on which the origin has answered."""
        return evolve(self, accepted=True) if self.asked and self.accepted is None else self

    def refused(self, alert: str) -> Presentation:
        """The same, for a connection that the origin ended with an alert."""
        return evolve(self, accepted=False if self.asked else None, alert=alert)
