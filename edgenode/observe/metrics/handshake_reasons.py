"""Why a handshake has failed, in one of few words.

Law: no word is a client's: what the table does not know is ``other``.
"""

from __future__ import annotations

from edgenode.model.errors import ClientError
from edgenode.model.exchange import Connection
from edgenode.proxy.listener.handshake_counts import OTHER
from edgenode.tls.verify_errors import reason

_BY_STATUS = {421: "unknown server name", 496: "no certificate", 497: "plain request"}

_CERTIFICATE = "client certificate: "

_NUMBERS = {reason(number): number for number in range(1, 100)}
"""OpenSSL's numbers of what is wrong with a certificate, by its words."""

_BEGINNINGS = {
    "the ClientHello took too long": "too slow",
    "closed within the ClientHello": "closed",
    "malformed ClientHello": "malformed ClientHello",
    "the client does not offer HTTP/2": "no common protocol",
    "TLS handshake: the client refuses our certificate": "our certificate refused",
    "TLS handshake: alert": "alert of the client",
    "TLS handshake: too slow": "too slow",
    "TLS handshake: the client closed": "closed",
    "TLS handshake: closed": "closed",
    "TLS handshake: Connection reset": "closed",
    "TLS handshake: Connection timed out": "closed",
    "TLS handshake: Broken pipe": "closed",
    "TLS handshake: the node stops": "the node stops",
    "TLS handshake: no shared cipher": "no common cipher",
    "TLS handshake: no suitable signature": "no common signature algorithm",
    "TLS handshake: no suitable key share": "no common group",
    "TLS handshake: no shared group": "no common group",
    "TLS handshake: unsupported protocol": "no common version of TLS",
    "TLS handshake: version too low": "no common version of TLS",
    "TLS handshake: too many handshake messages": "too many messages",
}
"""The words, by how the reasons of events begin."""


def reason_of(error: ClientError, connection: Connection) -> int | str:
    """Why it has failed.

    :param connection: its facts, with the client whose certificate was refused, if it could be read.
    :returns: OpenSSL's number of what is wrong with a client's certificate, or a word of the table.
    """
    if error.status == 495:
        number = connection.verification.last_error
        words = error.reason.removeprefix(_CERTIFICATE).partition(": the list of")[0]
        return number or _NUMBERS.get(words, OTHER)
    word = _BY_STATUS.get(error.status)
    if word is not None:
        return word
    return next((word for begins, word in _BEGINNINGS.items() if error.reason.startswith(begins)), OTHER)
