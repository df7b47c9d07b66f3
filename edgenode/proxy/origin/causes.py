"""What is beneath an origin's error, in the exceptions of Twisted, pyOpenSSL and service-identity.

Law: it is of the kind that ``twisted.web.client.Agent`` would have met in the same place.
"""

from __future__ import annotations

import errno
import os

from OpenSSL import SSL
from service_identity import VerificationError
from service_identity.exceptions import DNSMismatch, IPAddressMismatch
from service_identity.hazmat import DNS_ID, IPAddress_ID
from twisted.internet.error import ConnectError, ConnectionClosed, ConnectionDone, ConnectionLost, getConnectError

from edgenode.proxy.origin.server import is_address

NOT_VERIFIED = [("SSL routines", "", "certificate verify failed")]
"""What an ``SSL.Error`` says of a certificate that was not accepted."""

_OF_SOCKETS = frozenset({"", "closed without close_notify", *map(os.strerror, errno.errorcode)})
"""The reasons of a transport's end that are not those of TLS: see :func:`edgenode.net.errors.describe`."""


def connecting(number: int, reason: str) -> ConnectError:
    """Why there is no connection.

    :param number: the ``errno``; 0 for none.
    """
    if not number:
        return ConnectError(string=reason)
    error: ConnectError = getConnectError((number, reason))
    return error


def losing(reason: str, clean: bool) -> Exception:
    """Why a connection was lost.

    :param reason: as the transport has it.
    :param clean: whether the other side has closed it as its protocol demands.
    """
    if clean:
        return ConnectionDone()
    return ConnectionLost(reason) if reason in _OF_SOCKETS else SSL.Error([("SSL routines", "", reason)])


def closed(reason: str, clean: bool) -> ConnectionClosed:
    """The same of one on which a response was due, whatever has ended it."""
    return ConnectionDone() if clean else ConnectionLost(reason)


def misnamed(name: str) -> VerificationError:
    """The certificate is not valid for the name, or address, by which the server was asked."""
    if is_address(name):
        return VerificationError(errors=[IPAddressMismatch(mismatched_id=IPAddress_ID(name))])
    return VerificationError(errors=[DNSMismatch(mismatched_id=DNS_ID(name))])
