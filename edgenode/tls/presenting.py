"""Our own certificate in a handshake with an origin: whether it asked for one, and which it was sent.

No public interface tells; OpenSSL's state machine does, step by step, and does so in TLS 1.2 and 1.3 alike.
"""

from __future__ import annotations

import datetime

from OpenSSL import SSL

from edgenode.model.presentation import Presentation
from edgenode.tls.identity import der_of, describe
from edgenode.tls.verification import Record

_ASKED = b"SSLv3/TLS read server certificate request"
_SENT = b"SSLv3/TLS write certificate verify"
"""Only who sends a certificate, and not an empty list of them, proves that it has the key."""


class OriginRecord(Record):
    """What a handshake with an origin has shown.

    :ivar asked: whether the origin asked for a certificate.
    :ivar sent: whether it was sent one.
    """

    __slots__ = ("asked", "sent")

    def __init__(self) -> None:
        super().__init__()
        self.asked = self.sent = False

    def presentation(self, connection: SSL.Connection, done: bool) -> Presentation:
        """What is known of our certificate on a connection.

        :param done: whether its handshake is done.
        """
        presentation = Presentation(self.asked)
        ours = connection.get_certificate() if self.sent else None
        if ours is not None:
            identity = describe(der_of(ours))
            expired = identity.not_after if identity.not_after < datetime.datetime.now(datetime.UTC) else None
            presentation = Presentation(self.asked, identity.subject, identity.serial, expired=expired)
        # In TLS 1.2 the end of the handshake is the origin's, and it has looked at the certificate before.
        known = done and connection.get_protocol_version() < SSL.TLS1_3_VERSION
        return presentation.answered() if known else presentation


def watch(context: SSL.Context) -> None:
    """Have the :class:`OriginRecord` of each connection of a context say what becomes of our certificate."""
    context.set_info_callback(_step)


def _step(connection: SSL.Connection, where: int, value: int) -> None:
    if where != SSL.SSL_CB_CONNECT_LOOP:
        return
    record = connection.get_app_data()
    if isinstance(record, OriginRecord):
        state = connection.get_state_string()
        if state == _ASKED:
            record.asked = True
        elif state == _SENT:
            record.sent = True
