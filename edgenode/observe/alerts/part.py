"""The alerts of a node as a part of its observer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from edgenode.observe.alerts.alert import Alert
from edgenode.observe.alerts.alerting import Alerting
from edgenode.observe.alerts.forms import Subject
from edgenode.observe.alerts.mail import MailSender
from edgenode.observe.alerts.messages import Gathering
from edgenode.observe.alerts.outbox import Outbox, Sender
from edgenode.observe.alerts.watching import Receiver, Watching
from edgenode.observe.alerts.webhook import WebhookSender
from edgenode.observe.observing import Observing
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.origin.stream import open_stream

_TELL = 5.0
"""Seconds after which the node is told how alerts stand, if that is not what it was told last."""

_REFRESH = 60.0
"""Seconds after which an Alertmanager is told again what is raised."""


class Alerts:
    """The alerts: a :class:`~edgenode.observe.observing.ObserverPart`.

    :param observing: what parts of the observer work with.
    :param now: seconds since the epoch.
    """

    def __init__(self, observing: Observing, now: Callable[[], float] = time.time) -> None:
        self._observing = observing
        self._now = now
        self._told: dict[str, Any] = {}
        self._call: IDelayedCall | None = None
        alerts = {name: alert for name, alert in observing.alerts.items() if alert.active}
        watching = [Watching(name, alert, tuple(self._receivers(name, alert)), now()) for name, alert in alerts.items()]
        longest = max((alert.threshold.period for alert in alerts.values()), default=0.0)
        self._alerting = Alerting(watching, observing.folder, longest, observing.reactor, now)

    def start(self) -> None:
        """Begin, if there are any."""
        if self._observing.alerts:
            self._alerting.start()
            self._tell()

    def stop(self) -> None:
        """End."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
            self._alerting.stop()

    def _tell(self) -> None:
        state = self._alerting.state()
        if state != self._told:
            self._told = state
            self._observing.tell({"alerts": state})
        self._call = self._observing.reactor.callLater(_TELL, self._tell)

    def _receivers(self, name: str, alert: Alert) -> Iterator[Receiver]:
        subject = Subject(name, alert, self._observing.node)
        for sender, refreshed in senders_of(subject, self._observing.pools, self._now):
            pause, repeat = (0.0, _REFRESH) if refreshed else (alert.pause, alert.repeat)
            outbox = Outbox(name, sender, self._observing.reactor, lambda: self._alerting.change(), self._now)
            yield Receiver(Gathering(pause, repeat), outbox)


def senders_of(
    subject: Subject, pools: Mapping[str, OriginPool], now: Callable[[], float]
) -> Iterator[tuple[Sender, bool]]:
    """The ways to who is told, each with whether it has to be told again and again.

    :param pools: the connections to each origin that the alert names.
    :param now: seconds since the epoch.
    """
    alert = subject.alert
    if alert.origin is not None:
        yield WebhookSender(subject, pools[alert.origin], now), alert.format == "alertmanager"
    if alert.mail_origin is not None:
        yield MailSender(subject, partial(open_stream, pools[alert.mail_origin])), False
