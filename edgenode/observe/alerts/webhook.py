"""Messages of an alert by HTTP: what exporters send events with, sends these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import field, frozen

from edgenode.model.settings import Secret
from edgenode.observe.alerts import forms
from edgenode.observe.alerts.forms import Subject
from edgenode.observe.alerts.messages import Message
from edgenode.observe.exporters.http import HTTPReceiver, HTTPRequest, HTTPSender
from edgenode.observe.exporters.receiver import Outgoing
from edgenode.observe.exporters.webhook import SIGNATURE, signature
from edgenode.proxy.origin.pool import OriginPool

_PATIENCE = 30.0
"""Seconds for a request and its answer."""


@frozen
class _Hook(HTTPReceiver):
    """What takes the messages of an alert."""

    secret: Secret | None = field(default=None, kw_only=True)

    def request(self, events: Sequence[Outgoing], now: float) -> HTTPRequest:
        """The request for a message."""
        (message,) = events
        return HTTPRequest(message.line, {"content-type": "application/json", "idempotency-key": message.key})

    def finish(self, request: HTTPRequest, body: bytes, now: float) -> Mapping[str, str]:
        """The signature."""
        return {} if self.secret is None else {SIGNATURE: signature(self.secret.encode(), body, now)}


class WebhookSender:
    """Sends messages by POST.

    :param subject: whose messages they are.
    :param pool: the connections to the receiver.
    :param now: seconds since the epoch.
    :ivar name: of the way, for people.
    """

    def __init__(self, subject: Subject, pool: OriginPool, now: Callable[[], float]) -> None:
        alert = subject.alert
        hook = _Hook(path=alert.target, headers=alert.headers, token=alert.token, secret=alert.secret)
        self._subject = subject
        self._sender = HTTPSender(hook, pool, _PATIENCE, now)
        self.name = f"origin {alert.origin}"

    async def send(self, message: Message) -> None:
        """Send a message.

        :raises Unavailable: if it was not taken.
        :raises Refused: if it never will be.
        """
        body = forms.body(self._subject, message)
        await self._sender.send([Outgoing(self._subject.key(message), message.time, {}, {}, body)])
