"""Errors of sockets and of TLS, in words: never those of a library's insides."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterator

from OpenSSL import SSL

TOO_MANY_MESSAGES = "too many handshake messages"

UNANNOUNCED = "closed without close_notify"
"""The end of a connection with TLS by a FIN alone: nobody knows whether all has come."""

_ALERT = "alert "

NAMELESS = "nameless"
"""In place of the name of an alert that nobody has defined."""

UNREAD = "unread"
"""In place of the name of an alert that came, and could not be read any more."""

_NAMED = re.compile(
    r"(?:tls|tlsv1|tlsv13|sslv3|ssl/tls) alert (.+)"
    r"|tlsv1 (unsupported extension|certificate unobtainable|unrecognized name)"
    r"|tlsv1 (bad certificate (?:status response|hash value))"
)
"""OpenSSL's reasons for the alerts of the other side: ``SSL_R_TLSV1_ALERT_*`` and their kin."""

_ALERT_RECORD = 19
"""The length of a TLS 1.3 record with an alert: two bytes, its type, and a tag of 16 bytes (RFC 8446, section 5.2). No
response begins with two bytes."""


def describe(error: BaseException) -> str:
    """An OpenSSL or socket error in one sentence: OpenSSL's words where it has any.

    Of an alert of the other side it is ``alert`` and its name, see :func:`alert_in`.

    :param error: ``SSL.Error`` and its kinds, or ``OSError``.
    """
    if isinstance(error, OSError):
        return os.strerror(error.errno or 0)
    if isinstance(error, SSL.SysCallError):
        number = error.args[0] if error.args else -1
        if number == errno.EBADF:
            return TOO_MANY_MESSAGES  # the only reason for which a connection loses its descriptor
        return os.strerror(number) if isinstance(number, int) and number > 0 else UNANNOUNCED
    if isinstance(error, SSL.ZeroReturnError):
        return "closed by the other side"
    words = list(dict.fromkeys(_words(error)))
    alert = next((each for each in words if each.startswith(_ALERT)), None)
    return alert or "; ".join(words) or "the connection is broken"


def _words(error: BaseException) -> Iterator[str]:
    """What OpenSSL's queue of errors said; pyOpenSSL may have left entries of an earlier error in it."""
    reasons = error.args[0] if error.args else ()
    for library, _, reason in (entry for entry in reasons if isinstance(entry, tuple) and len(entry) == 3):
        match = _NAMED.fullmatch(reason)
        if match is not None:
            yield _ALERT + (match[match.lastindex or 0])
        elif reason:
            yield reason
        elif library == "SSL routines":  # only the alerts that nobody has defined have no name
            yield _ALERT + NAMELESS


def alert_in(reason: str) -> str:
    """The name of the alert (RFC 8446, section 6.2) with which the other side ended a connection, such as ``unknown
    ca``; empty if it was none.

    :param reason: as :func:`describe` has it.
    """
    return reason.removeprefix(_ALERT) if reason.startswith(_ALERT) else ""


def unread_alert(sock: socket.socket) -> str:
    """What :func:`describe` would say if an alert waits unread in the socket; empty if none does.

    OpenSSL reads nothing more once a write has failed. But a TLS 1.3 server that refuses our certificate may reset the
    connection right after its alert, and then the next write fails; the kernel still has the alert.
    """
    try:
        waiting = sock.recv(65536, socket.MSG_PEEK)
    except OSError:
        return ""
    while len(waiting) >= 5:
        kind, length = waiting[0], int.from_bytes(waiting[3:5])
        if kind == 21 or (kind == 23 and length == _ALERT_RECORD and len(waiting) == 5 + length):
            return _ALERT + UNREAD
        waiting = waiting[5 + length :]
    return ""
