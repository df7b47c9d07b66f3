"""Why a handshake has failed, in the words of an event."""

from __future__ import annotations

import contextlib

from edgenode.model.errors import ClientError
from edgenode.model.exchange import ClientIdentity
from edgenode.net.errors import alert_in
from edgenode.proxy.routing import ServedGroup
from edgenode.tls.identity import identity_of
from edgenode.tls.verification import Record

_MISSING_CERTIFICATE = "peer did not return a certificate"
_REFUSES_OURS = frozenset({
    "unknown ca", "bad certificate", "unsupported certificate", "certificate revoked", "certificate expired",
    "certificate unknown",
})  # fmt: skip
"""The alerts with which a client refuses our certificate (RFC 8446, section 6.2)."""


def failure_of(reason: str, record: Record | None, group: ServedGroup | None) -> ClientError:
    """Why the handshake failed.

    :param reason: what ended the connection.
    :param record: what was found out about the client's certificate.
    :param group: under whose policy it was.
    """
    if record is not None and (record.errors or record.failure is not None):
        return ClientError(495, f"client certificate: {record.verification(True).sentence}")
    if _MISSING_CERTIFICATE in reason:
        return ClientError(496, "no required client certificate was sent")
    if alert_in(reason) in _REFUSES_OURS:
        reason = f"the client refuses our certificate: {alert_in(reason)}"
        if group is not None and group.expired is not None:
            reason += f"; it expired on {group.expired:%Y-%m-%d %H:%M} UTC"
    return ClientError(400, f"TLS handshake: {reason or 'the client closed the connection'}")


def refused_client(record: Record | None) -> ClientIdentity | None:
    """Whose certificate was refused in the handshake, as far as it can be read."""
    if record is None or record.leaf is None:
        return None
    with contextlib.suppress(Exception):
        return identity_of(record.leaf, record.verification(True))
    return None
