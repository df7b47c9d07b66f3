"""The observer of a node: a process of its own, which keeps the journal, sends events to others, and raises alerts.

The node starts it, and hands it the configuration on standard input; on standard output it tells, by a JSON object a
line, how things stand, and what the node shall log. Law: it never holds up the node, and does not outlive it: it ends
when standard input does.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IReactorCore
from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, formatEvent, globalLogBeginner
from zope.interface import implementer

from edgenode.config.load import Configuration, Written, load_observer
from edgenode.model.errors import ConfigurationError
from edgenode.net.deadlines import Deadlines
from edgenode.net.poller import Poller
from edgenode.node.assembly import Assembly
from edgenode.observe.alerts.part import Alerts
from edgenode.observe.exporters.exporting import Exporting
from edgenode.observe.journal.keeper import JournalKeeper
from edgenode.observe.journal.positions import Positions
from edgenode.observe.observing import ObserverPart, Observing

PARTS: tuple[Callable[[Observing], ObserverPart], ...] = (JournalKeeper, Exporting, Alerts)
"""What makes each part."""

LOCK = "observer.lock"
"""The file in the journal's folder that one observer at a time has locked."""

_NICENESS = 10
"""The node needs the processor more."""

_PATIENCE = 10
"""Whole seconds that its end may take: it takes one, but others may have the processor first."""

_AGAIN = 0.2
"""Seconds between two tries to be the only one."""

_BEAT = 10.0
"""Seconds between two times that the node is told that this process does not hang."""

_log = Logger()


class Observer(Protocol):
    """The process: its parts, and its talk with the node.

    :param configuration: what of the configuration is for it.
    :param reactor: its reactor.
    :param parts: what makes its parts.
    :ivar gone: called when the node has gone.
    """

    def __init__(
        self,
        configuration: Configuration,
        reactor: Any,
        parts: Sequence[Callable[[Observing], ObserverPart]] = PARTS,
    ) -> None:
        assert configuration.journal.folder is not None
        self._folder = configuration.journal.folder
        self._configuration = configuration
        self._reactor = Poller(reactor)
        self._deadlines = Deadlines(self._reactor)
        self._assembly = Assembly.for_origins(configuration, configuration.origins, self._reactor, self._deadlines)
        self._factories = parts
        self._parts: list[ObserverPart] = []
        self._lock: int | None = None
        self._ended = False
        self.gone: Callable[[], object] = lambda: None

    def tell(self, what: Mapping[str, Any]) -> None:
        """Tell the node; whoever reads no more is no reason to wait."""
        if self.transport is not None and not self._ended:
            self.transport.write(json.dumps(what).encode("ascii") + b"\n")

    def connectionMade(self) -> None:
        """Begin, once no other observer is here."""
        self._begin()

    def connectionLost(self, reason: object = None) -> None:
        """The node has gone."""
        self._ended = True
        self.gone()

    def _begin(self) -> None:
        if self._ended:
            return
        lock = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # the one before has not ended yet
            os.close(lock)
            self._reactor.callLater(_AGAIN, self._begin)
            return
        self._lock = lock
        configuration = self._configuration
        observing = Observing(
            configuration.edge.name,
            configuration.journal,
            self._folder,
            configuration.exporters,
            configuration.alerts,
            self._assembly.pools,
            Positions(self._folder),
            self._reactor,
            self.tell,
        )
        self._beat()
        for make in self._factories:
            try:
                part = make(observing)
                part.start()
                self._parts.append(part)
            except Exception:
                _log.failure("a part of the observer cannot be started")

    def _beat(self) -> None:
        self.tell({"observer": {"pid": os.getpid()}})
        self._next_beat = self._reactor.callLater(_BEAT, self._beat)

    def stop(self) -> Deferred[Any]:
        """End the parts."""
        if self._next_beat is not None:
            self._next_beat.cancel()
            self._next_beat = None
        stopped = [maybeDeferred(each.stop) for each in self._parts]
        for each in stopped:
            each.addErrback(lambda failure: _log.failure("a part of the observer could not be stopped", failure))
        return DeferredList(stopped).addCallback(self._stopped)

    def _stopped(self, _: object) -> None:
        for pool in self._assembly.pools.values():
            pool.abort("the observer ends")
        self._deadlines.stop()
        if self._lock is not None:
            os.close(self._lock)


def main() -> None:
    """Be the observer of the node that has started this process.

    :raises SystemExit: if the configuration cannot be used.
    """
    from twisted.internet import reactor

    os.umask(os.umask(0o027) | 0o027)  # events name people
    with contextlib.suppress(OSError):  # where that is forbidden
        os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    for number in (signal.SIGINT, signal.SIGHUP):  # of the terminal that the node was started in
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    written = Written(**json.loads(sys.stdin.buffer.readline()))
    try:
        configuration = load_observer(written)
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None
    if configuration.journal.folder is None:
        raise SystemExit("there is no journal")
    observer = Observer(configuration, reactor)
    globalLogBeginner.beginLoggingTo([_Log(observer)], redirectStandardIO=False)
    run(observer, reactor)


def run(observer: Observer, reactor: Any) -> None:
    """Have it live as long as the reactor."""
    core: IReactorCore = reactor
    core.addSystemEventTrigger("before", "shutdown", signal.alarm, _PATIENCE)  # whatever hangs ends with the process
    core.addSystemEventTrigger("before", "shutdown", observer.stop)

    def end() -> None:
        with contextlib.suppress(ReactorNotRunning):
            core.stop()

    observer.gone = end
    StandardIO(observer, reactor=reactor)
    core.run()


@implementer(ILogObserver)
class _Log:
    """Has the node log what is logged here."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def __call__(self, event: LogEvent) -> None:
        level, of_twisted = event["log_level"], event.get("log_namespace", "").startswith("twisted")
        if level < (LogLevel.warn if of_twisted else LogLevel.info):
            return
        text = formatEvent(event)
        if "log_failure" in event:
            text = f"{text}\n{event['log_failure'].getTraceback()}"
        self._observer.tell({"log": {"level": level.name, "text": text}})


if __name__ == "__main__":
    main()
