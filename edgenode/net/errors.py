"""Errors of sockets and of TLS, in words."""

from __future__ import annotations

import errno
import os

from OpenSSL import SSL

TOO_MANY_MESSAGES = "too many handshake messages"


def describe(error: BaseException) -> str:
    """An OpenSSL or socket error in one sentence: OpenSSL's words where it has any.

    :param error: ``SSL.Error`` and its kinds, or ``OSError``.
    """
    if isinstance(error, OSError):
        return os.strerror(error.errno or 0)
    if isinstance(error, SSL.SysCallError):
        number = error.args[0] if error.args else -1
        if number == errno.EBADF:
            return TOO_MANY_MESSAGES  # the only reason for which a connection loses its descriptor
        return os.strerror(number) if isinstance(number, int) and number > 0 else "closed without close_notify"
    reasons = error.args[0] if error.args else ()
    words = [entry[2] for entry in reasons if isinstance(entry, tuple) and len(entry) > 2] if reasons else []
    return "; ".join(dict.fromkeys(words)) or type(error).__name__
