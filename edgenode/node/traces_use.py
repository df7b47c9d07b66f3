"""The traces of a node: as long as a configuration has ``[traces]``, spans are made and sent.

Law: a reload that leaves the section as it is loses no span; of one that does not, what waited is sent as it was meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict
from twisted.internet.defer import Deferred, DeferredList

from edgenode.config.load import Configuration
from edgenode.model.interfaces import IEventSink
from edgenode.node.observation import Running
from edgenode.observe.traces.sender import Counts, SpanSender
from edgenode.state.interface import Happened


class TracesUse:
    """Has spans made and sent.

    :param running: the node.
    :param reactor: its timers.
    """

    def __init__(self, running: Running, reactor: Any) -> None:
        self._running = running
        self._reactor = reactor
        self._made_of: Sequence[object] = ()
        self._sender: SpanSender | None = None
        self._leaving: set[Deferred[None]] = set()
        self.sink: IEventSink | None = None

    @property
    def counts(self) -> Counts | None:
        """What became of the spans so far; ``None`` if no request is traced."""
        return None if self._sender is None else self._sender.counts

    @property
    def standing(self) -> Mapping[str, Any]:
        """How its traces stand, for metrics and ``edgenode status``; empty if no request is traced."""
        sender = self._sender
        return {} if sender is None else {"traces": {**asdict(sender.counts), "waiting": sender.waiting}}

    def renew(self, configuration: Configuration) -> None:
        """Follow a configuration."""
        section, name = configuration.traces, configuration.edge.name
        if section.origin is None:
            self._leave()
            return
        pool = self._running.pools[section.origin]
        if self._sender is not None and self._made_of == (section, name):
            self._sender.pool = pool
            return
        self._leave()
        # Not before: it is of an extra, and takes half a second.
        from edgenode.observe.traces.spans import SpanWriter, rejected

        writer = SpanWriter(section.service_name, name, query=section.query)
        self.sink = self._sender = SpanSender(section, pool, writer, rejected, self._reactor)
        self._made_of = (section, name)

    def tell(self, happened: Happened) -> None:
        """What happens to the state is no request's."""

    def start(self) -> None:
        """Begin anew, if it was stopped."""
        if self._sender is not None:
            self._sender.start()

    def stop(self) -> Deferred[Any]:
        """Send what waits, within a bound."""
        stopped = [] if self._sender is None else [self._sender.stop()]
        return DeferredList([*stopped, *self._leaving])

    def _leave(self) -> None:
        sender, self._sender, self.sink = self._sender, None, None
        if sender is not None:
            over = sender.stop()
            if not over.called:
                self._leaving.add(over)
                over.addCallback(lambda _: self._leaving.discard(over))
