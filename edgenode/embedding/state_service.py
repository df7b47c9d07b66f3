"""The state of a configuration as a service of a Twisted program that has only pipelines of it: behind a
:class:`~edgenode.embedding.filtered_resource.FilteredResource`, for one.

Law: without it everything is counted and held in this process's memory alone. ``EdgeService`` and the endpoint
``edgenode:`` start the state of their configuration themselves; the same state may have several users.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred

from edgenode.config.load import Configuration
from edgenode.model.interfaces import IEventSink
from edgenode.node.state_use import StateUse
from edgenode.observe.guarded_sink import GuardedSink


class StateService(Service):
    """Keeps the quarantine in ``[edge] state``, and connects to the server of ``[state]``, while it runs.

    :param configuration: the one whose pipelines are used.
    :param reactor: its timers and threads; the running reactor if absent.
    :param events: if it has a method ``tell``, it is given what happens to the state.
    """

    name = "edgenode-state"

    def __init__(self, configuration: Configuration, reactor: Any = None, events: IEventSink | None = None) -> None:
        self._configuration = configuration
        self._reactor = reactor
        self._sink = None if events is None else GuardedSink(events)
        self._use: StateUse | None = None

    def startService(self) -> None:
        """Use the state."""
        super().startService()
        if self._use is None:
            if self._reactor is None:
                from twisted.internet import reactor  # only now: importing it installs one

                self._reactor = reactor
            self._use = StateUse(self._reactor, lambda happened: self._sink.tell(happened) if self._sink else None)
        self._use.start(self._configuration)

    def stopService(self) -> Deferred[Any]:
        """Use it no longer; fires once all is written."""
        super().stopService()
        assert self._use is not None
        return self._use.stop()

    def reload(self, configuration: Configuration) -> None:
        """Go on with another configuration, one that was loaded with the one before as ``before``: then the state is
        the same."""
        self._configuration = configuration
        if self.running and self._use is not None:
            self._use.start(configuration)
