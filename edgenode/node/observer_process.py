"""The life of a node's observer, as the node sees it: started, heard, started again when it has died, and ended.

Law: whatever the process does, or does not, the node only hears of it.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from attrs import asdict
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from edgenode.config.load import Written

_CHILD = "import sys; sys.path[:] = sys.argv[1:]; from edgenode.node.observer import main; main()"

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds until it is started again: twice as long each time, and the first again once it has lived the second."""

_PATIENCE = 12.0
"""Seconds that its end may take; by itself it gives up after ten."""

_SILENCE = 60.0
"""Seconds for which it may tell nothing: then it hangs, and is killed. By itself it tells something six times."""

_LONGEST_LINE = 1 << 20

_LEVELS = {level.name: level for level in LogLevel.iterconstants()}

_log = Logger()


class ObserverProcess:
    """The observer of a node.

    :param reactor: starts processes, and has timers.
    :param hear: takes the objects that it tells.
    :param command: what is run; the observer by itself.
    :ivar pid: its process; 0 while there is none.
    :ivar starts: how often it has been started.
    """

    def __init__(
        self, reactor: Any, hear: Callable[[Mapping[str, Any]], None], command: tuple[str, ...] | None = None
    ) -> None:
        package = str(pathlib.Path(__file__).parents[2])
        self._command = command or (sys.executable, "-I", "-c", _CHILD, package, *sys.path)
        self._reactor = reactor
        self._hear = hear
        self._written: Written | None = None
        self._process: _Process | None = None
        self._pause = _FIRST_PAUSE
        self._next: Any = None
        self._started = 0.0
        self.starts = 0

    @property
    def pid(self) -> int:
        """Its process; 0 while there is none."""
        return 0 if self._process is None else self._process.pid

    def run(self, written: Written) -> None:
        """Have it run with a configuration from now on: another one than before ends, and begins anew."""
        self._written, self._pause = written, _FIRST_PAUSE
        if self._process is not None:
            self._process.end()
        else:
            self._start()

    def stop(self) -> Deferred[Any]:
        """End it; fires when it has ended."""
        self._written = None
        if self._next is not None:
            self._next.cancel()
            self._next = None
        return succeed(None) if self._process is None else self._process.end()

    def _start(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._written is None or self._process is not None:
            return
        process = _Process(self._reactor, self._hear, self._died)
        self.starts += 1
        self._started = self._reactor.seconds()
        try:
            self._reactor.spawnProcess(process, self._command[0], self._command, env=dict(os.environ), path="/")
        except OSError as error:
            _log.error("the observer cannot be started: {error}", error=error)
            self._again()
            return
        self._process = process
        process.send(json.dumps(asdict(self._written)).encode("utf-8", "surrogateescape") + b"\n")

    def _died(self, process: _Process, reason: str) -> None:
        self._process = None
        if process.ending is None:
            _log.error("the observer, PID {pid}, has ended: {reason}", pid=process.pid, reason=reason)
            self._again()
        else:
            process.ending.callback(None)
            self._start()

    def _again(self) -> None:
        if self._reactor.seconds() - self._started >= _LONGEST_PAUSE:
            self._pause = _FIRST_PAUSE
        self._next = self._reactor.callLater(self._pause, self._due)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _due(self) -> None:
        self._next = None
        self._start()


class _Process(ProcessProtocol):
    """One process.

    :ivar ending: fires when it has ended as it was told to; ``None`` if it was not.
    """

    transport: Any

    def __init__(
        self, reactor: Any, hear: Callable[[Mapping[str, Any]], None], died: Callable[[_Process, str], None]
    ) -> None:
        self._reactor = reactor
        self._hear = hear
        self._died = died
        self._rest = b""
        self._kill: Any = None
        self._silence: Any = None
        self.pid = 0
        self.ending: Deferred[None] | None = None

    def connectionMade(self) -> None:
        """It runs."""
        self.pid = self.transport.pid
        self._silence = self._reactor.callLater(_SILENCE, self._hangs)

    def send(self, data: bytes) -> None:
        """Write to its standard input."""
        self.transport.write(data)

    def end(self) -> Deferred[None]:
        """End it: it is given some time."""
        if self.ending is None:
            self.ending = Deferred()
            self.transport.closeStdin()
            self._kill = self._reactor.callLater(_PATIENCE, self._signal, "KILL")
        return self.ending

    def _hangs(self) -> None:
        self._silence = None
        _log.error("the observer, PID {pid}, has told nothing for {seconds:g} s", pid=self.pid, seconds=_SILENCE)
        self.transport.signalProcess("KILL")

    def _signal(self, name: str) -> None:
        self._kill = None
        self.transport.signalProcess(name)

    def outReceived(self, data: bytes) -> None:
        """Objects, one a line."""
        if self._silence is not None:
            self._silence.reset(_SILENCE)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            self._rest = b""
        for line in lines:
            self._heard(line)

    def _heard(self, line: bytes) -> None:
        try:
            told = json.loads(line)
            if not isinstance(told, dict):
                raise ValueError("no object")
        except ValueError:
            _log.warn("the observer has told what is no JSON: {line}", line=repr(line[:200]))
            return
        said = told.pop("log", None)
        if isinstance(said, dict):
            level = _LEVELS.get(str(said.get("level")), LogLevel.error)
            _log.emit(level, "observer: {text}", text=said.get("text"))
        if told:
            self._hear(told)

    def errReceived(self, data: bytes) -> None:
        """What it could not say otherwise."""
        _log.error("observer: {text}", text=data.decode("utf-8", "backslashreplace").rstrip())

    def processEnded(self, reason: Failure) -> None:
        """It has ended, and all that it has told was heard."""
        for call in (self._kill, self._silence):
            if call is not None:
                call.cancel()
        self._kill = self._silence = None
        self._died(self, reason.getErrorMessage())
