"""The origin's refusals of a TLS handshake, in words, and what follows from them.

In TLS 1.2 a refusal comes in the handshake. In TLS 1.3 it comes after our side takes that for done, and a request has
been sent: with the first bytes that are read, or with a reset right behind it (RFC 8446, section 4.4.2.4). Law: either
is told alike, and with the name of the alert.
"""

from __future__ import annotations

from attrs import evolve
from OpenSSL import SSL

from edgenode.model.errors import OriginError
from edgenode.model.presentation import Presentation
from edgenode.net.errors import NAMELESS, UNREAD, alert_in
from edgenode.proxy.origin.causes import closed

OF_THE_CERTIFICATE = frozenset({
    "no certificate", "bad certificate", "unsupported certificate", "certificate revoked", "certificate expired",
    "certificate unknown", "unknown ca", "access denied", "certificate required", "certificate unobtainable",
    "bad certificate hash value",
})  # fmt: skip
"""The alerts that say something of our certificate, or of its absence (RFC 8446, section 6.2; RFC 6066; RFC 6101)."""

OF_THE_HANDSHAKE = OF_THE_CERTIFICATE | {
    "handshake failure", "decrypt error", "protocol version", "insufficient security", "inappropriate fallback",
    "missing extension", "unsupported extension", "unrecognized name", "bad certificate status response",
    "unknown psk identity", "no application protocol", "export restriction",
}  # fmt: skip
"""The alerts that can only be sent before the handshake is done: whoever sends one has looked at no request."""

_IN_WORDS = {
    NAMELESS: "an alert that nobody has defined",
    UNREAD: "its alert was lost when it reset the connection",
}


def refusal(alert: str, presentation: Presentation, sent: bool) -> OriginError:
    """The error for an alert with which an origin has ended a connection before its first answer.

    :param alert: the name of the alert; or :data:`~edgenode.net.errors.UNREAD`.
    :param sent: whether a request was sent on it.
    """
    asked, given = presentation.asked, presentation.subject is not None
    told = _IN_WORDS.get(alert, alert)
    # Without a certificate TLS 1.2 has no alert of its own for it (RFC 5246, section 7.4.6).
    if alert in OF_THE_CERTIFICATE or (asked and (alert == UNREAD or (alert == "handshake failure" and not given))):
        reason = f"the origin refused our certificate: {told}"
        if asked and not given:
            reason += " (it asked for one, and was sent none)"
    else:
        reason = f"the origin refused the handshake: {told}"
        if given:
            reason += " (it was sent our certificate)"
    processed = sent and alert not in OF_THE_HANDSHAKE
    cause = SSL.Error([("SSL routines", "", f"ssl/tls alert {alert}")])
    return OriginError(502, "handshake", reason, processed, presented=presentation.refused(alert), cause=cause)


def ended(
    reason: str,
    presentation: Presentation | None,
    where: str,
    first: bool,
    *,
    clean: bool = False,
    begun: bool = False,
) -> OriginError:
    """The error for a connection that ended while a response was due.

    :param reason: why, as the transport has it.
    :param presentation: what was known of our certificate on it; ``None`` without TLS.
    :param where: how far it had come, such as ``before the response``.
    :param first: whether it has served nobody before, and not a byte of a response has come on it.
    :param clean: whether the origin has closed it as its protocol demands.
    :param begun: whether a byte of this response has come.
    """
    alert = alert_in(reason)
    if presentation is not None and alert and (first or alert in OF_THE_CERTIFICATE):
        error = refusal(alert, presentation, sent=True)
        return error if first else evolve(error, sent=True, begun=begun)
    told = f"connection ended {where}: {reason or 'closed'}"
    cause = closed(reason, clean)
    return OriginError(502, "reset", told, sent=True, begun=begun, presented=presentation, cause=cause)
