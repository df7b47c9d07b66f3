"""The node as a process of its own: reloaded by SIGHUP and by command, drained by SIGTERM, and known to systemd.

Law: who reloads is told every problem; who interrupts a second time does not wait.
"""

from __future__ import annotations

import gc
import json
import os
import pathlib
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import asdict
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError, Problem
from edgenode.model.version import version
from edgenode.node import control, origin_orders, quarantine_orders, systemd
from edgenode.node.feed_listing import listing
from edgenode.node.privileges import HOW
from edgenode.node.quiet_port import QuietReactor
from edgenode.node.service import EdgeService
from edgenode.observe.status import Reload, Status
from edgenode.proxy.http2.engines import ENGINE
from edgenode.proxy.listener.binding import sentence

_MOST_TOLD = 100
"""Problems of a reload that the status tells, errors before warnings."""

_log = Logger()

_WHERE = {"None": "off", "-": "to standard output"}


class Node(MultiService):
    """A process of its own for the node: reloaded by SIGHUP and by command, and known to systemd.

    :param path: the configuration file.
    :param configuration: what it says now.
    """

    def __init__(self, path: pathlib.Path, configuration: Configuration, reactor: Any) -> None:
        super().__init__()
        self._path = path
        self._reactor = reactor
        self._edge = EdgeService(configuration, reactor)
        self._edge.about.path = str(path)
        self._edge.setServiceParent(self)
        self._terminated = False
        self._reloading = False
        self._waiting: list[Deferred[control.Report]] = []
        self._control: IListeningPort | None = None
        self._serving = False
        self._closed: Deferred[Any] = succeed(None)
        self._signals: dict[int, Any] = {}

    def privilegedStartService(self) -> None:
        """Bind every port, or end with one sentence."""
        # A core would hold every private key.
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        try:
            super().privilegedStartService()
        except CannotListenError as error:
            how = f"; {HOW}" if isinstance(error.socketError, PermissionError) else ""
            raise SystemExit(f"edgenode: {sentence(error)}{how}") from error
        except ConfigurationError as error:
            raise SystemExit(f"edgenode: {self._path} cannot be used:\n{error}") from error

    def startService(self) -> None:
        """Serve; root has been given up by now."""
        edge = self._edge.configuration.edge
        _log.info("edgenode {version}, PID {pid}", version=version(), pid=os.getpid())
        logs = ", ".join(
            f"{what} {_WHERE.get(str(path), path)}"
            for what, path in (("events", edge.events), ("access log", edge.access_log))
        )
        _log.info("configuration {path}: {logs}", path=self._path, logs=logs)
        _log.info("HTTP/2 by {engine}", engine=ENGINE)
        for warning in self._edge.configuration.warnings:
            _log.warn("{problem}", problem=str(warning))
        self._terminated = False
        for number, handler in self._signals.items():  # as they were before the last stop
            signal.signal(number, handler)
        self._signals.clear()
        self._serving = True
        self._closed.addCallback(self._listen)  # the name of an earlier life is free a turn after its stop
        super().startService()
        # What has been built now stays. Without this the collector walks all of it again and again, for the objects of
        # requests, which hold no cycles, look to it like growth.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        # While a thread reads a new configuration the reactor waits so long for the interpreter after each system call.
        sys.setswitchinterval(0.0005)
        systemd.ready("serving")

    def stopService(self) -> Deferred[Any]:
        """Let open requests end; whoever interrupts a second time does not want to wait for them."""
        systemd.stopping()
        # There is nothing left to reload, and systemd shall not hear of it.
        handlers: dict[int, Any] = {signal.SIGHUP: signal.SIG_IGN, signal.SIGINT: self._on(self._edge.cut)}
        if not self._signals:
            self._signals = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        self._serving = False
        port, self._control = self._control, None
        if port is not None:
            self._closed = maybeDeferred(port.stopListening)
        stopped: Deferred[Any] = super().stopService()
        return stopped

    def _listen(self, _: object) -> None:
        if self._serving and self._control is None:
            self._control = control.listen(
                QuietReactor(self._reactor),
                self.reload,
                feeds=self._feeds,
                quarantine=self._quarantine,
                status=self._status,
                origins=self._origins,
            )

    def install_signal_handlers(self) -> None:
        """Reload on SIGHUP, which would end the process otherwise, and drain on SIGTERM, from now on."""
        signal.signal(signal.SIGHUP, self._on(self.reload))
        signal.signal(signal.SIGTERM, self._on(self._terminate))
        # Again once Twisted has put its own handler there: that one makes the process end as though by the signal.
        self._reactor.callWhenRunning(signal.signal, signal.SIGTERM, self._on(self._terminate))

    def _on(self, function: Callable[[], object]) -> Callable[[int, object], None]:
        """A handler of signals that has something done in the reactor's turn."""
        return lambda number, frame: self._reactor.callFromThread(function)

    def _terminate(self) -> None:
        if self._terminated:
            self._edge.cut()
        else:
            self._terminated = True
            _log.info("SIGTERM: open requests end")
            self._reactor.stop()

    def reload(self) -> Deferred[control.Report]:
        """Read the file again: what is wrong with it is logged, and then nothing has changed.

        Requests during a reload are answered by the next one, a single one for all of them.
        """
        asked: Deferred[control.Report] = Deferred()
        self._waiting.append(asked)
        if not self._reloading:
            self._read_again()
        return asked

    def _feeds(self) -> Deferred[control.Report]:
        """What lists and datafeeds hold; the files that are looked at for this may be on a slow disk."""
        listed = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), listing, self._edge.configuration)
        return listed.addCallback(partial(control.Report, True))

    def _status(self) -> Deferred[control.Report]:
        """What the node is, as JSON; of many certificates that takes a while to write."""
        reactor, pool = self._reactor, self._reactor.getThreadPool()
        told = self._edge.status().addCallback(lambda status: deferToThreadPool(reactor, pool, _as_json, status))
        return told.addCallback(partial(control.Report, True))

    def _quarantine(self, order: Mapping[str, str], uid: int) -> Deferred[control.Report]:
        """Do what somebody orders; who that is may have to be looked up elsewhere, and a list may be long."""
        reactor, pool = self._reactor, self._reactor.getThreadPool()
        quarantine = self._edge.configuration.state.quarantine
        if order.get("do") == "list":
            return deferToThreadPool(reactor, pool, quarantine_orders.listed, order, [*quarantine.entries()])
        named = deferToThreadPool(reactor, pool, quarantine_orders.user, uid)
        done = named.addCallback(lambda who: quarantine_orders.obey(order, who, self._edge.configuration, time.time()))
        # Who is answered may rely on it: a kill undoes nothing.
        return done.addCallback(lambda report: quarantine.saved().addCallback(partial(_kept, report)))

    def _origins(self, order: Mapping[str, str], uid: int) -> Deferred[control.Report]:
        """Do what somebody orders."""
        return succeed(origin_orders.obey(order, self._edge.pools))

    def _read_again(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._reloading = True
        systemd.reloading()
        changed = self._edge.change(self._load)
        changed.addCallbacks(self._reloaded, self._not_reloaded).addCallback(self._answer, waiting)

    def _load(self, running: Configuration) -> Configuration:
        if os.path.exists(self._path) and not os.path.isfile(self._path):
            # Whoever waits for the writer of a named pipe holds up every further reload, and the end of the node.
            raise ConfigurationError([Problem("", "", f"cannot read {self._path}: it is no regular file")])
        gc.disable()  # until what has been built is out of its sight: see startService
        return Configuration.load(self._path, running)

    def _reloaded(self, configuration: Configuration) -> control.Report:
        gc.freeze()
        for problem in configuration.warnings:
            _log.warn("{problem}", problem=str(problem))
        kept = ", ".join(f"[{header}]" for header in configuration.kept)
        systemd.ready(f"serving; the old files stay in use: {kept}" if kept else "serving")
        outcome = f"reloaded, but the old files stay in use: {kept}" if kept else "reloaded"
        return self._report(not kept, configuration.warnings, outcome)

    def _not_reloaded(self, failure: Failure) -> control.Report:
        systemd.ready("serving; the last reload failed, and nothing has changed")
        error = failure.value
        if not isinstance(error, ConfigurationError):
            _log.failure("the reload failed", failure=failure)
            return self._report(False, (), "the reload failed, and nothing has changed; the log says why")
        for problem in error.problems:
            (_log.warn if problem.warning else _log.error)("{problem}", problem=str(problem))
        return self._report(False, error.problems, "cannot be used, and nothing has changed")

    def _report(self, done: bool, problems: Sequence[Problem], outcome: str) -> control.Report:
        last = f"{self._path}: {outcome}"
        (_log.info if done else _log.error)("{outcome}", outcome=last)
        serious = sorted(problems, key=lambda each: each.warning)[:_MOST_TOLD]
        self._edge.about.reload = Reload(time.time(), done, outcome, tuple(map(str, serious)))
        return control.Report(done, "\n".join((*map(str, problems), last)))

    def _answer(self, report: control.Report, waiting: Iterable[Deferred[control.Report]]) -> None:
        self._reloading = False
        gc.enable()
        for each in waiting:
            each.callback(report)
        if self._waiting:
            self._read_again()


def _as_json(status: Status) -> str:
    return json.dumps(asdict(status), default=str)


def _kept(report: control.Report, on_disk: bool) -> control.Report:
    """What is answered to an order: it has failed too if a restart would undo it."""
    if on_disk or not report.done:
        return report
    return control.Report(False, f"{report.text}; it is not on the disk, and a restart undoes it: the log says why")
