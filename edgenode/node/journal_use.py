"""The journal of a running node: its writing side, and the observer that does all else.

Law: what the observer does is of no account for any request. It runs while there is a journal, with the configuration
that the node follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred

from edgenode.config import schema
from edgenode.config.load import Configuration
from edgenode.model.interfaces import IEventSink
from edgenode.node.observation import Running
from edgenode.node.observer_process import ObserverProcess
from edgenode.observe.event_log import EventLog
from edgenode.observe.journal.writer import JournalWriter
from edgenode.proxy.origin.origin import Origin
from edgenode.state.interface import Happened


@frozen
class _Observed:
    """What of a configuration is for the observer: it begins anew if that is another."""

    sections: tuple[object, ...]
    credentials: tuple[object, ...]

    @classmethod
    def of(cls, configuration: Configuration) -> _Observed:
        own = (*configuration.exporters.values(), *configuration.alerts.values())
        names = dict.fromkeys(name for each in own for name in _named_by(each, Origin.kind))
        origins, credentials = [configuration.origins[name] for name in names], configuration.credentials
        files = [
            (
                None if each.certificate is None else credentials.certificates[each.certificate],
                None if each.trust_store is None else credentials.trust_stores[each.trust_store],
            )
            for each in origins
        ]
        headers = (configuration.edge.name, (*configuration.exporters,), (*configuration.alerts,), (*names,))
        return cls((*headers, configuration.journal, *map(_values, own), *origins), (*files,))


def _values(section: object) -> dict[str, object]:
    """What a section says, with the keys of its type, which are not compared with it."""
    return {key: value for key, (_, value) in schema.values_of(section).items()}


def _named_by(section: object, kind: str) -> Iterator[str]:
    """The names of the sections of a kind that one names."""
    for setting, value in schema.values_of(section).values():
        if setting.notation.refers_to == kind and value is not None:
            yield from value if isinstance(value, tuple) else (value,)


class JournalUse:
    """The journal of a node: a :class:`~edgenode.node.observation.Part`.

    :param running: the node.
    :param reactor: its reactor.
    :ivar told: what the observer has told last, by what it is about: ``journal``, ``exporters``, ``alerts``.
    """

    def __init__(self, running: Running, reactor: Any) -> None:
        self._running = running
        self._copied: EventLog | None = None
        self._writer = JournalWriter(reactor)
        self._observer = ObserverProcess(reactor, self._hear)
        self._configuration: Configuration | None = None
        self._observed: _Observed | None = None
        self._serving = False
        self.sink: IEventSink | None = None
        self.told: dict[str, Any] = {}

    def renew(self, configuration: Configuration) -> None:
        """Follow a configuration."""
        self._configuration = configuration
        self._choose(configuration.journal.folder is not None)
        if self._serving:
            self._follow(configuration)

    def tell(self, happened: Happened) -> None:
        """An event of the state is a line of the journal."""
        self._writer.log.tell(happened)

    def start(self) -> None:
        """Write, and have it observed."""
        if self._serving or self._configuration is None:
            return
        self._serving = True
        self._follow(self._configuration)

    def stop(self) -> Deferred[Any]:
        """Write what waits, and end."""
        self._serving = False
        self._observed = None
        self._writer.close()
        return self._observer.stop()

    @property
    def standing(self) -> Mapping[str, Any]:
        """How the journal stands, for metrics and ``edgenode status``: what the node knows, and what the observer has
        told; empty without a journal."""
        if self._configuration is None or self._configuration.journal.folder is None:
            return {}
        writer, observer = self._writer, self._observer
        own = {
            "segment": 0 if writer.segment is None else writer.segment.number,
            "written": writer.log.events,
            "dropped": writer.log.lost,
            "fault": writer.fault,
        }
        process = {"pid": observer.pid, "starts": observer.starts}
        told = {name: self._present(name, value) for name, value in self.told.items()}
        return {**told, "journal": {**told.get("journal", {}), **own}, "observer": process}

    # -- inside ------------------------------------------------------------------------------------------------------

    def _choose(self, wanted: bool) -> None:
        """Take the records; or, if a log of events makes lines of them already, these."""
        if self._copied is not None:
            self._copied.copies = ()
        self._copied = self._running.event_log if wanted else None
        self.sink = self._writer.log if wanted and self._copied is None else None
        if self._copied is not None:
            self._copied.copies = (self._writer.log,)

    def _follow(self, configuration: Configuration) -> None:
        self._writer.open(configuration.journal)
        if configuration.journal.folder is None:
            self._observed = None
            self.told.clear()
            self._observer.stop()
            return
        observed = _Observed.of(configuration)
        if observed != self._observed:
            self._observed = observed
            self._observer.run(configuration.written_as)

    def _present(self, name: str, told: Any) -> Any:
        """What is told of sections, without those that are in the configuration no more."""
        assert self._configuration is not None
        sections = {"exporters": self._configuration.exporters, "alerts": self._configuration.alerts}.get(name)
        return told if sections is None else {each: value for each, value in told.items() if each in sections}

    def _hear(self, told: Mapping[str, Any]) -> None:
        """Take what the observer tells; within an object too, the last of a name is what holds."""
        for name, value in told.items():
            known = self.told.get(name)
            self.told[name] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
