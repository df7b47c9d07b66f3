"""The errors of an agent: those of ``twisted.web.client.Agent``, each with the origin's own as its ``__cause__``.

Law: who has written ``except`` for an ``Agent`` catches here what he would have caught there; and
:meth:`OriginError.of <edgenode.model.errors.OriginError.of>` tells what it was, and how far the request had come.
"""

from __future__ import annotations

from twisted.internet.address import HostnameAddress
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.python.failure import Failure
from twisted.web._newclient import RequestNotSent  # which users of Agent import from there
from twisted.web.client import (
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.iweb import IResponse

from edgenode.model.errors import OriginError
from edgenode.proxy.origin.server import Server


class CancelledBeforeResponse(ResponseNeverReceived, CancelledError):
    """A request was cancelled when all of it was sent; as ``addTimeout`` wants it, it is a ``CancelledError`` too."""


class CancelledWhileSending(RequestGenerationFailed, CancelledError):
    """A request was cancelled when its body was not sent yet."""


class CancelledWhileConnecting(ConnectingCancelledError, CancelledError):
    """A request was cancelled before it had a connection."""


def cancelled(server: Server | None, transmitting: bool) -> Exception:
    """The error of a request that its caller has cancelled.

    :param server: to which there was no connection yet; ``None`` if there was one.
    :param transmitting: whether its body was not sent yet.
    """
    if server is not None:
        return CancelledWhileConnecting(HostnameAddress(server.host.encode("utf-8"), server.port))
    kind = CancelledWhileSending if transmitting else CancelledBeforeResponse
    return kind([Failure(CancelledError())])


def no_response(error: OriginError, transmitting: bool) -> Exception:
    """The error of a request to which there is no response.

    :param transmitting: whether its body was not sent yet.
    """
    told: Exception
    if isinstance(error.cause, (ConnectError, DNSLookupError)) and not error.sent:
        told = error.cause
    elif error.kind == "unavailable" and not error.sent:
        told = RequestNotSent(error.reason)
    elif error.begun:
        told = ResponseFailed(_reasons(error))
    else:
        told = (RequestTransmissionFailed if transmitting else ResponseNeverReceived)(_reasons(error))
    told.__cause__ = error
    return told


def broken(error: OriginError, response: IResponse) -> ResponseFailed:
    """The error of a response that has begun, and of which there is no more."""
    told = ResponseFailed(_reasons(error), response)
    told.__cause__ = error
    return told


def _reasons(error: OriginError) -> list[Failure]:
    return [Failure(each) for each in (error.cause, error) if each is not None]
