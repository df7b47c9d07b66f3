"""The observer as the node sees it: whatever that process does, the node only hears of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure

from edgenode.config.load import Written
from edgenode.node.observer_process import ObserverProcess

FIRST, SECOND = Written("[edge]\nname = é\n", "/a", "a.ini"), Written("", "/b", environment={"A": "\udcff"})


class Process:
    """A process that was started; the test says what it does.

    :ivar given: what the node has written to it.
    :ivar open: whether its standard input is open.
    :ivar signals: what it was sent.
    """

    def __init__(self, protocol: Any, pid: int) -> None:
        self.protocol = protocol
        self.pid = pid
        self.given = b""
        self.open = True
        self.signals: list[str] = []
        protocol.makeConnection(self)

    def write(self, data: bytes) -> None:
        """Its standard input."""
        self.given += data

    def closeStdin(self) -> None:
        """The end of that."""
        self.open = False

    def signalProcess(self, name: str) -> None:
        """A signal; KILL ends it."""
        self.signals.append(name)
        self.end(9)

    def end(self, status: int = 0) -> None:
        """It has ended."""
        self.protocol.processEnded(Failure(ProcessTerminated(status) if status else ProcessDone(0)))


class Reactor(Clock):
    """A clock that starts processes.

    :ivar started: all of them.
    :ivar refuses: whether it cannot.
    """

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Process] = []
        self.refuses = False

    def spawnProcess(self, protocol: Any, program: str, command: Any, **options: Any) -> Process:
        """Start one."""
        if self.refuses:
            raise OSError(11, "Resource temporarily unavailable")
        self.started.append(Process(protocol, 100 + len(self.started)))
        return self.started[-1]


class Observed:
    """A process, its reactor, and what was heard of it."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.heard: list[Any] = []
        self.process = ObserverProcess(self.reactor, self.heard.append)

    @property
    def last(self) -> Process:
        """The last that was started."""
        return self.reactor.started[-1]

    def times(self, seconds: int) -> list[float]:
        """When it is started in some time, if it ends at once each time."""
        found = []
        for _ in range(seconds * 2):
            before = len(self.reactor.started)
            self.reactor.advance(0.5)
            if len(self.reactor.started) > before:
                found.append(self.reactor.seconds())
                self.last.end(1)
        return found


@pytest.fixture
def observed() -> Iterator[Observed]:
    """One that has nothing to do yet; it leaves no timer behind."""
    found = Observed()
    yield found
    found.process.stop()
    for each in found.reactor.started:
        if each.protocol.ending is not None and not each.protocol.ending.called:
            each.end()
    assert found.reactor.getDelayedCalls() == []


def test_it_is_handed_the_configuration(observed: Observed) -> None:
    """As the node has read it, on one line; nothing of it is in the environment, or in the command."""
    observed.process.run(FIRST)
    line, end = observed.last.given.split(b"\n")
    assert end == b""
    assert Written(**json.loads(line)) == FIRST
    assert (observed.process.pid, observed.process.starts) == (100, 1)


def test_one_that_tells_nothing_for_a_minute_is_killed_and_started_again(observed: Observed) -> None:
    """It hangs: nothing of the journal would be kept, sent or counted, and nobody would know."""
    observed.process.run(FIRST)
    observed.reactor.advance(59.0)
    observed.last.protocol.outReceived(b'{"observer": {"pid": 100}}\n')
    observed.reactor.advance(59.0)
    assert observed.last.signals == []
    with capturedLogs() as logged:
        observed.reactor.advance(1.0)
    assert "the observer, PID 100, has told nothing for 60 s" in [*map(formatEvent, logged)]
    assert observed.last.signals == ["KILL"]
    observed.reactor.advance(1.0)
    assert observed.process.pid == 101


def test_another_configuration_is_another_process(observed: Observed) -> None:
    """It begins when the one before has ended: two would send everything twice."""
    observed.process.run(FIRST)
    observed.process.run(SECOND)
    assert not observed.last.open
    assert len(observed.reactor.started) == 1
    observed.last.end()
    assert Written(**json.loads(observed.last.given)) == SECOND
    assert observed.process.pid == 101


def test_what_it_tells_is_heard(observed: Observed) -> None:
    """Objects, one a line, in whatever pieces they come; what it logs, the node logs; anything else is a warning."""
    observed.process.run(FIRST)
    with capturedLogs() as logged:
        for data in (b'{"journal": {"a', b'": 1}}\n{"log": {"level": "warn", "text": "full"}}\n', b"nonsense\n[1]\n"):
            observed.last.protocol.outReceived(data)
        observed.last.protocol.outReceived(b'{"log": {"level": "?"}, "alerts": {}}\n' + b"x" * (3 << 20))
        observed.last.protocol.errReceived(b"Traceback\n\xff")
    assert observed.heard == [{"journal": {"a": 1}}, {"alerts": {}}]
    assert [(each["log_level"], formatEvent(each)) for each in logged] == [
        (LogLevel.warn, "observer: full"),
        (LogLevel.warn, "the observer has told what is no JSON: b'nonsense'"),
        (LogLevel.warn, "the observer has told what is no JSON: b'[1]'"),
        (LogLevel.error, "observer: None"),
        (LogLevel.error, "observer: Traceback\n\\xff"),
    ]


def test_it_is_started_again_ever_more_rarely(observed: Observed) -> None:
    """After a second at first, after a minute at the most; and after a second again once it has lived for a minute."""
    with capturedLogs():
        observed.process.run(FIRST)
        observed.last.end(1)
        assert observed.times(200) == [1.0, 3.0, 7.0, 15.0, 31.0, 63.0, 123.0, 183.0]
        observed.reactor.advance(60.0)
        observed.reactor.advance(61.0)
        observed.last.end(1)
        assert observed.times(2)[:1] == [observed.reactor.seconds() - 1.0]


def test_a_process_that_cannot_be_started_is_tried_again(observed: Observed) -> None:
    """There may be no room for it now."""
    observed.reactor.refuses = True
    with capturedLogs() as logged:
        observed.process.run(FIRST)
    assert "cannot be started" in formatEvent(logged[0])
    observed.reactor.refuses = False
    observed.reactor.advance(1.0)
    assert observed.process.pid == 100


def test_an_end_is_waited_for(observed: Observed) -> None:
    """Its standard input ends, and it may do what it has begun."""
    observed.process.run(FIRST)
    ended = observed.process.stop()
    assert not observed.last.open
    assert not ended.called
    observed.last.end()
    assert ended.called
    observed.reactor.advance(100.0)
    assert (observed.last.signals, len(observed.reactor.started)) == ([], 1)


def test_who_does_not_end_is_killed(observed: Observed) -> None:
    """After some seconds, and then the node has ended too."""
    observed.process.run(FIRST)
    ended: Deferred[Any] = observed.process.stop()
    observed.reactor.advance(11.0)
    assert observed.last.signals == []
    observed.reactor.advance(2.0)
    assert observed.last.signals == ["KILL"]
    assert ended.called


def test_a_stop_between_two_lives_ends_it(observed: Observed) -> None:
    """Nothing is started afterwards."""
    with capturedLogs():
        observed.process.run(FIRST)
        observed.last.end(1)
    assert observed.process.stop().called
    observed.reactor.advance(100.0)
    assert len(observed.reactor.started) == 1
