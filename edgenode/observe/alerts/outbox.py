"""The messages of one alert for one receiver, on their way: one after the other, until each is taken or too old.

Law: a receiver that is down, slow or lying holds up nothing else, and what waits for it is bounded. It is never told
that something is resolved, or is still raised, of which it was not told that it is raised.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from edgenode.model.errors import OriginError
from edgenode.observe.alerts.messages import Message
from edgenode.observe.exporters.backoff import Backoff
from edgenode.observe.exporters.receiver import Refused, Unavailable

MOST_WAITING = 100
"""Messages that wait for a receiver; a further one takes the place of the oldest."""

OLDEST = 86400.0
"""The age, in seconds, at which a message is given up."""

PATIENCE = 60.0
"""Seconds for one attempt as a whole, whatever the time limits of the origin are."""

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 300.0
"""Seconds until the second attempt, and between any two."""

_log = Logger()


class Sender(Protocol):
    """A way to a receiver.

    :ivar name: for people: ``origin hooks``.
    """

    name: str

    async def send(self, message: Message) -> None:
        """Have the receiver take a message.

        :raises Unavailable: if it has not, as :class:`~edgenode.model.errors.OriginError` too.
        :raises Refused: if it never will.
        """


class Outbox:
    """The messages for one receiver.

    :param alert: the name of the alert, for the log.
    :param sender: the way to it.
    :param reactor: a clock with ``callLater``.
    :param changed: called when what has to outlast the process is another.
    :param now: seconds since the epoch.
    :param jitter: a number from 0 to 1, another each time.
    :ivar sent: how many messages were taken.
    :ivar failed: how many never were.
    :ivar error: why the last attempt has failed; empty if it has not.
    """

    def __init__(
        self,
        alert: str,
        sender: Sender,
        reactor: Any,
        changed: Callable[[], None],
        now: Callable[[], float],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._alert = alert
        self._sender = sender
        self._reactor = reactor
        self._changed = changed
        self._now = now
        self._backoff = Backoff(_FIRST_WAIT, _LONGEST_WAIT, jitter)
        self._queue: deque[Message] = deque()
        self._told: dict[str, None] = {}
        self._sending: Deferred[None] | None = None
        self._again: IDelayedCall | None = None
        self._open = False
        self.sent = self.failed = 0
        self.error = ""

    @property
    def name(self) -> str:
        """Of the receiver, for people."""
        return self._sender.name

    @property
    def waiting(self) -> int:
        """How many messages are on their way."""
        return len(self._queue)

    def put(self, message: Message) -> None:
        """Send a message once those before it are taken, or given up."""
        if len(self._queue) >= MOST_WAITING:
            place = int(self._sending is not None)  # the one under way may have been taken already
            self._give_up(self._queue[place], "there are too many")
            del self._queue[place]
        self._queue.append(message)
        self._next()

    def start(self) -> None:
        """Begin to send."""
        self._open = True
        self._next()

    def stop(self) -> None:
        """Send nothing more; what was not taken is kept."""
        self._open = False
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._sending is not None:
            self._sending.cancel()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _next(self) -> None:
        while self._open and self._queue and self._sending is None and self._again is None:
            message = self._queue[0].known_to(self._told)
            if message is None:
                self._forget(self._queue.popleft())
                self._changed()
                continue
            self._sending = sending = Deferred.fromCoroutine(self._sender.send(message))
            sending.addTimeout(PATIENCE, self._reactor)
            sending.addCallbacks(self._taken, self._not_taken, callbackArgs=(message,), errbackArgs=(message,))

    def _taken(self, _: None, message: Message) -> None:
        self._sending = None
        self._queue.popleft()
        self.sent += 1
        if self.error:
            _log.info("[alert {alert}] {receiver} takes messages again", alert=self._alert, receiver=self.name)
        self._backoff.succeeded()
        self.error = ""
        self._told.update(dict.fromkeys(each.identity for each in message.raised if each.until is None))
        self._forget(message)
        self._changed()
        self._next()

    def _not_taken(self, failure: Failure, message: Message) -> None:
        self._sending = None
        if not self._open:
            return
        reason = failure.getErrorMessage() or type(failure.value).__name__
        too_old = self._now() - message.time > OLDEST
        if too_old or failure.check(Refused):
            self._give_up(self._queue.popleft(), reason)
            self._backoff.succeeded()
            self.error = reason
            self._changed()
            self._next()
            return
        if not self.error:
            text = "[alert {alert}] a message was not taken by {receiver}, it is tried again: {reason}"
            _log.warn(text, alert=self._alert, receiver=self.name, reason=reason)
        if not failure.check(Unavailable, OriginError, TimeoutError, CancelledError):
            _log.failure("[alert {alert}] a message could not be made", failure, alert=self._alert)
        self.error = reason
        wait = self._backoff.failed(getattr(failure.value, "after", 0.0))
        self._again = self._reactor.callLater(wait, self._retry)
        self._changed()

    def _retry(self) -> None:
        self._again = None
        self._next()

    def _give_up(self, message: Message, reason: str) -> None:
        self.failed += 1
        self._forget(message)
        text = "[alert {alert}] {receiver} was not told what is {status}: {reason}"
        _log.error(text, alert=self._alert, receiver=self.name, status=message.status, reason=reason)

    def _forget(self, message: Message) -> None:
        """Nothing more is to be said of what is over."""
        for each in message.resolved:
            self._told.pop(each.identity, None)

    # -- what outlasts the process -----------------------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """As an object for JSON."""
        return {"told": list(self._told), "queue": [each.as_json() for each in self._queue]}

    def restore(self, value: Any) -> None:
        """Go on where another has stopped.

        :raises ValueError: if this is not what :meth:`as_json` makes.
        """
        try:
            told, queue = dict.fromkeys(map(str, value["told"])), list(map(Message.from_json, value["queue"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no outbox: {error}") from None
        self._told, self._queue = told, deque(queue[-MOST_WAITING:])
