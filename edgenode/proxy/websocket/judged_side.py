"""A client whose messages are judged by rules, each as an exchange of its own.

Law: a message is judged with the tags of its handshake, and passes as a whole, or not at all. While a stage has one
wait, nothing further is read from the client.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from edgenode.model.decision import Decision
from edgenode.proxy.websocket.frames import NOT_TEXT, TOO_BIG, Fault, Walker
from edgenode.proxy.websocket.messages import MessageReader
from edgenode.proxy.websocket.side import Relaying, Side

_log = Logger()

_MOST_OVERHEAD = 65536
"""Bytes of frame headers that a message may have beside as many as it may be long: it is held, however it is cut."""

Judge = Callable[[bytes], "Decision | Deferred[Decision]"]
"""Judges a message."""

Verdict = Callable[[Decision], bool]
"""Takes the decision on a message, and says whether it passes."""


class JudgedSide(Side):
    """A client whose messages are judged.

    :param reader: puts the messages together.
    :param judge: judges one; never fails.
    :param verdict: takes what it says.
    """

    def __init__(
        self, relay: Relaying, name: str, walker: Walker, reader: MessageReader, judge: Judge, verdict: Verdict
    ) -> None:
        super().__init__(relay, name, walker)
        self._reader = reader
        self._judge = judge
        self._verdict = verdict
        self._waiting: Deferred[Decision] | None = None
        self._told = False

    @property
    def between(self) -> bool:
        """Whether what has passed ends with a frame."""
        return self._reader.between

    def received(self, data: bytes) -> None:
        """Bytes came."""
        self.heard = self.relay.clock()
        data = self.walker.walk(data)
        if not self.relay.closing:
            self._reader.take(data)
        self._go_through()

    def go_on(self) -> None:
        """The other side has taken everything."""
        if self._waiting is None:
            super().go_on()

    def ended(self) -> None:
        """Nothing more comes; what waits to be judged comes first."""
        self.over = True
        if self._waiting is None:
            self.relay.ended(self)

    def lost(self, reason: str) -> None:
        """The client is gone: nobody waits for a judgement any more."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
        super().lost(reason)

    def _go_through(self) -> None:
        """Judge the messages that are there, until one has to wait."""
        relay, reader = self.relay, self._reader
        while self._waiting is None and not relay.closing:
            passing, message = reader.next()
            if passing:
                self.let_pass(passing)
            if message is None:
                if reader.overhead > self.walker.most + _MOST_OVERHEAD:
                    self._refuse(TOO_BIG, "a message in too many fragments")
                break
            if reader.text and not _is_text(message):
                self._refuse(NOT_TEXT, "a text message that is not UTF-8")
                break
            decision = self._judge(message)
            if isinstance(decision, Decision):
                self._decided(decision)
            else:
                self._waiting = decision
                self.tunnel.pause()
                decision.addCallback(self._resumed).addErrback(self._failed)
        if self.walker.over and self._waiting is None and not self._told:
            self._told = True
            relay.finished(self)

    def _refuse(self, code: int, reason: str) -> None:
        """Neither the message passes, nor anything behind it."""
        self.walker.fault, self.walker.over = Fault(code, reason), True
        self._reader.drop()

    def _decided(self, decision: Decision) -> None:
        frames = self._reader.release()
        if self._verdict(decision):
            self.let_pass(frames)

    def _resumed(self, decision: Decision) -> None:
        if self._waiting is None:
            return
        self._waiting = None
        self._decided(decision)
        self._go_through()
        if self._waiting is None:
            if self.over:
                self.relay.ended(self)
            elif not self.other.tunnel.full:
                self.tunnel.resume()

    def _failed(self, failure: Failure) -> None:
        if self._waiting is not None:
            _log.failure("a message of a WebSocket could not be judged", failure=failure)
            self.tunnel.reset("a message could not be judged")


def _is_text(message: bytes) -> bool:
    try:
        message.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
