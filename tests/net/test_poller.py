"""The poller: everyone who is ready is served once in a round, in turns of a bounded time."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator

import pytest
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from tests.support.transports import Loop


class Descriptor:
    """One end of a socket pair, registered with a poller; the other end is ``peer``.

    :ivar log: the names of all descriptors that were called, shared by them.
    """

    def __init__(self, loop: Loop, name: str, log: list[str], cost: float = 0.0) -> None:
        self.loop = loop
        self.name = name
        self.log = log
        self.cost = cost
        self.sock, self.peer = socket.socketpair()
        self.sock.setblocking(False)
        self.then: Callable[[], object] = lambda: None
        self.lost: list[Failure] = []

    def fileno(self) -> int:
        return self.sock.fileno()

    def _called(self, what: str) -> None:
        self.log.append(what)
        self.loop.now += self.cost
        self.then()

    def doRead(self) -> None:
        self._called(self.name)

    def doWrite(self) -> None:
        self._called(f"{self.name} writes")

    def doAgain(self) -> None:
        self._called(f"{self.name} again")

    def connectionLost(self, reason: Failure) -> None:
        self.lost.append(reason)

    def fill(self) -> None:
        """Send until the socket takes no more."""
        self.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.sock.send(bytes(65536))

    def close(self) -> None:
        """Remove it, and close it; twice does no harm."""
        if self.fileno() < 0:
            return
        self.loop.poller.removeReader(self)
        self.loop.poller.removeWriter(self)
        self.sock.close()
        self.peer.close()


class Field:
    """A loop, and the descriptors in it."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.poller = self.loop.poller
        self.log: list[str] = []
        self.made: list[Descriptor] = []

    def descriptor(self, name: str, *, ready: bool = True, cost: float = 0.0) -> Descriptor:
        """A descriptor that is registered for reading, and stays readable if it is ready."""
        made = Descriptor(self.loop, name, self.log, cost)
        self.made.append(made)
        if ready:
            made.peer.send(b"a")
        self.poller.addReader(made)
        return made

    def turn(self) -> list[str]:
        """Who is called in a turn of the reactor."""
        before = len(self.log)
        self.loop.turn()
        return self.log[before:]

    def round(self) -> list[str]:
        """Who is called in a turn until somebody is called again, which also ends it."""
        before = len(self.log)

        def repeated() -> float:
            called = self.log[before:]
            return 1000.0 * (len(called) - len(set(called)))

        self.poller.clock = repeated
        self.loop.turn()
        self.poller.clock = self.loop.clock
        called = self.log[before:]
        return called[: next((at for at, name in enumerate(called) if name in called[:at]), None)]


@pytest.fixture
def field() -> Iterator[Field]:
    """An empty field; everything in it is closed at the end."""
    field = Field()
    yield field
    for each in field.made:
        each.close()
    assert not field.loop.readers


def test_the_rest_of_a_round_comes_first_in_the_next_turn(field: Field) -> None:
    """Ten that are always ready and take 4 ms each: everyone is called in his order, and nobody twice before all."""
    names = [f"{number}" for number in range(10)]
    for name in names:
        field.descriptor(name, cost=0.004)
    turns = []
    while len(field.log) < 30:
        turns.append(field.turn())
    assert [name for turn in turns for name in turn][:30] == names * 3
    assert {len(turn) for turn in turns} == {3}, "a turn takes 10 ms, and one descriptor more"


def test_a_turn_is_over_when_more_than_its_time_has_passed(field: Field) -> None:
    """With the time spent to the last bit one more is called."""
    for name in "abc":
        field.descriptor(name, cost=0.01)
    field.loop.now = 0.0
    field.poller.clock = lambda: field.loop.now
    assert field.turn() == ["a", "b"]
    assert field.turn() == ["c", "a"]


def test_more_than_a_round_holds_are_all_served(field: Field) -> None:
    """Three hundred that are always ready: in the first three rounds each of them has been called."""
    for number in range(300):
        field.descriptor(f"{number}")
    while len(field.log) < 3 * 128:
        field.loop.now += 1  # each turn is over at once
        field.poller.clock = iter(range(10**9)).__next__
        field.loop.turn()
    assert set(field.log) == {f"{number}" for number in range(300)}


def test_nobody_is_called_who_is_not_ready(field: Field) -> None:
    """Reading is asked for, and nothing is there; or something is there, and reading is no longer asked for."""
    field.descriptor("silent", ready=False)
    paused = field.descriptor("paused")
    field.poller.removeReader(paused)
    assert field.round() == []
    field.poller.addReader(paused)
    assert field.round() == ["paused"]


def test_writing_is_called_only_if_it_is_asked_for(field: Field) -> None:
    """A socket is nearly always writable; whoever does not ask is not called, and who asks no more is not called."""
    both = field.descriptor("both")
    assert field.round() == ["both"]
    field.poller.addWriter(both)
    assert field.round() == ["both", "both writes"]
    field.poller.removeReader(both)
    assert field.round() == ["both writes"]
    field.poller.addReader(both)
    field.poller.removeWriter(both)
    assert field.round() == ["both"]


def test_who_writes_is_not_called_for_what_is_readable(field: Field) -> None:
    """Only writing is asked for and impossible; that bytes have come is no reason to write."""
    full = field.descriptor("full", ready=False)
    field.poller.removeReader(full)
    full.fill()
    field.poller.addWriter(full)
    full.peer.send(b"a")
    assert field.round() == []


@pytest.mark.parametrize("event", ["readable", "writable"])
def test_who_asks_for_both_is_called_for_what_there_is(field: Field, event: str) -> None:
    """Readable and full, or silent and writable: one of both is called."""
    both = field.descriptor("both", ready=event == "readable")
    field.poller.addWriter(both)
    if event == "readable":
        both.fill()
    assert field.round() == ["both" if event == "readable" else "both writes"]


@pytest.mark.parametrize("asks", ["reading", "writing"])
def test_a_hang_up_is_told_to_whoever_waits(field: Field, asks: str) -> None:
    """Both directions are closed by the other side: who waits to read, or to write, is called and finds out."""
    waiting = field.descriptor("waiting", ready=False)
    if asks == "writing":
        field.poller.removeReader(waiting)
        waiting.fill()
        field.poller.addWriter(waiting)
    assert field.round() == []
    waiting.peer.close()
    assert field.round() == ["waiting" if asks == "reading" else "waiting writes"]


def test_who_is_closed_by_another_is_not_called(field: Field) -> None:
    """Both were ready when the epoll was asked; the first to be called closes the second."""
    first, second = field.descriptor("first"), field.descriptor("second")
    first.then = second.close
    assert field.round() == ["first"]


@pytest.mark.parametrize("event", ["reading", "writing"])
def test_a_number_that_is_used_again_brings_no_event_with_it(field: Field, event: str) -> None:
    """The second is ready and closed by the first, and its number goes to another that has nothing to read or write."""
    first, second = field.descriptor("first"), field.descriptor("second")
    field.poller.addWriter(second)
    third: list[Descriptor] = []

    def replace() -> None:
        if third:
            return
        number = second.fileno()
        second.close()
        silent = Descriptor(field.loop, "third", field.log)
        field.made.append(silent)
        if silent.fileno() != number:
            os.dup2(silent.fileno(), number)
            silent.sock.close()
            silent.sock = socket.socket(fileno=number)
        third.append(silent)
        if event == "reading":
            field.poller.addReader(silent)
        else:
            silent.fill()
            field.poller.addWriter(silent)

    first.then = replace
    assert field.round() == ["first"]
    first.then = lambda: None
    assert field.round() == ["first"]
    if event == "reading":
        third[0].peer.send(b"a")
        assert set(field.round()) == {"first", "third"}
    else:
        third[0].peer.recv(1 << 20)
        assert set(field.round()) == {"first", "third writes"}


def test_who_closes_while_it_reads_leaves_no_event_to_its_number(field: Field) -> None:
    """It was ready for both; while it reads it closes, and another, which cannot write, gets its number."""
    both = field.descriptor("both")
    field.poller.addWriter(both)
    other = Descriptor(field.loop, "other", field.log)
    other.fill()
    field.made.append(other)

    def replace() -> None:
        number = both.fileno()
        both.close()
        os.dup2(other.fileno(), number)
        other.sock.close()
        other.sock = socket.socket(fileno=number)
        field.poller.addWriter(other)

    both.then = replace
    assert field.round() == ["both"]


def test_who_is_registered_within_a_round_is_called_in_the_next(field: Field) -> None:
    """A descriptor that is paused and resumed while its event waits is not forgotten."""
    first, second = field.descriptor("first"), field.descriptor("second")

    def bounce() -> None:
        field.poller.removeReader(second)
        field.poller.addReader(second)
        first.then = lambda: None

    first.then = bounce
    assert field.round() == ["first"]
    assert set(field.round()) == {"first", "second"}


def test_a_reading_that_ends_the_writing_ends_it_at_once(field: Field) -> None:
    """A descriptor ready for both gives up writing while it reads, or closes: it is not called to write."""
    both = field.descriptor("both")
    field.poller.addWriter(both)
    both.then = lambda: field.poller.removeWriter(both)
    assert field.round() == ["both"]


def test_who_goes_on_is_behind_all_others(field: Field) -> None:
    """It is called without an event, once for each time that it asks, after everyone who is ready."""
    greedy = field.descriptor("greedy", ready=False, cost=0.003)
    for name in "abc":
        field.descriptor(name, cost=0.003)
    greedy.then = lambda: field.poller.again(greedy)
    field.poller.again(greedy)
    while len(field.log) < 12:
        field.turn()
    assert field.log[:12] == ["greedy again", "a", "b", "c"] * 3
    greedy.then = lambda: None


def test_who_goes_on_wakes_the_reactor(field: Field) -> None:
    """Nothing is readable, and the epoll would sleep: the reactor is told to come back, once for all who ask."""
    one, two = field.descriptor("one", ready=False), field.descriptor("two", ready=False)
    field.poller.again(one)
    field.poller.again(two)
    assert len(field.loop.later) == 1
    field.loop.readers.clear()  # nothing but the wake-up is left to call it
    field.loop.turn()
    field.loop.readers.append(field.poller)
    assert field.log == ["one again", "two again"]
    assert not field.loop.later


def test_who_goes_on_for_ever_leaves_the_reactor_its_turns(field: Field) -> None:
    """One that always goes on and takes 6 ms: two calls a turn, and the reactor comes back for the next two."""
    endless = field.descriptor("endless", ready=False, cost=0.006)
    endless.then = lambda: field.poller.again(endless)
    field.poller.again(endless)
    field.loop.readers.clear()
    for count in (2, 4, 6):
        field.loop.turn()
        assert len(field.log) == count
    field.loop.readers.append(field.poller)
    endless.then = lambda: None
    field.loop.turn()


def test_an_end_of_time_keeps_those_who_go_on(field: Field) -> None:
    """Three go on, and time is up after each: nobody is forgotten, and their order stays."""
    made = [field.descriptor(name, ready=False, cost=0.02) for name in "abc"]
    for each in made:
        field.poller.again(each)
    field.loop.readers.clear()
    for count in (1, 2, 3):
        field.loop.turn()
        assert len(field.log) == count
    field.loop.readers.append(field.poller)
    assert field.log == ["a again", "b again", "c again"]


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("how", ["read", "again"])
def test_who_fails_is_dropped(
    field: Field, how: str, error: type[BaseException], flush_logged_errors: Callable[..., list[Failure]]
) -> None:
    """A descriptor that raises is told so, logged once and never called again; the others are served."""
    bad = field.descriptor("bad", ready=how == "read")
    field.poller.addWriter(bad)
    field.descriptor("good")

    def fail() -> None:
        raise error

    bad.then = fail
    if how == "again":
        field.poller.removeWriter(bad)
        field.poller.again(bad)
    called = field.round() + field.round()
    assert called.count("bad") + called.count("bad again") == 1
    assert "good" in called
    assert [each.check(error) for each in bad.lost] == [error]
    assert len(flush_logged_errors(error)) == 1


def test_who_only_goes_on_fails_by_itself(field: Field, flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """An origin's pool is no descriptor: its failure is logged, and the others are served."""

    class Pool:
        def doAgain(self) -> None:
            raise ZeroDivisionError

    field.descriptor("good")
    field.poller.again(Pool())
    assert "good" in field.round() + field.round()
    assert len(flush_logged_errors(ZeroDivisionError)) == 1


def test_the_reactor_has_the_poller_as_long_as_it_has_somebody(field: Field) -> None:
    """Registered with the first, whether it reads or writes; gone with the last, and back with the next."""
    loop, poller = field.loop, field.poller
    first = field.descriptor("first", ready=False)
    second = field.descriptor("second", ready=False)
    assert loop.readers == [poller]
    poller.removeReader(first)
    poller.addWriter(second)
    poller.removeReader(second)
    assert loop.readers == [poller]
    poller.removeWriter(second)
    assert loop.readers == []
    poller.addWriter(first)
    assert loop.readers == [poller]
    poller.removeWriter(first)
    assert loop.readers == []


def test_only_its_own_registration_is_removed(field: Field) -> None:
    """Something else with the same number, and something that was never registered, remove nothing."""
    first = field.descriptor("first")
    other = Descriptor(field.loop, "other", field.log)
    other.sock.close()
    other.peer.close()
    other.sock = first.sock
    field.poller.removeReader(other)
    field.poller.removeWriter(first)
    assert field.round() == ["first"]


def test_registering_twice_is_registering_once(field: Field) -> None:
    """And one removal removes it."""
    twice = field.descriptor("twice")
    field.poller.addReader(twice)
    assert field.round() == ["twice"]
    field.poller.removeReader(twice)
    assert not field.loop.readers


def test_a_descriptor_whose_file_is_another_can_be_removed(field: Field) -> None:
    """The epoll has forgotten it already; the poller forgets it without a complaint."""
    replaced = field.descriptor("replaced")
    field.poller.addWriter(replaced)
    with open(os.devnull) as null:
        os.dup2(null.fileno(), replaced.fileno())
    field.poller.removeReader(replaced)
    field.poller.removeWriter(replaced)
    assert not field.loop.readers


def test_the_reactor_sees_a_descriptor(field: Field) -> None:
    """The epoll's own, readable whenever something in it is ready; and a name for its messages."""
    assert field.poller.fileno() > 2
    assert field.poller.logPrefix() == "poller"


def test_what_ends_the_poller_ends_everyone(field: Field) -> None:
    """A reactor that stops gives up all that is registered with it; whoever is registered here hears of it, once."""
    reads, writes = field.descriptor("reads"), field.descriptor("writes", ready=False)
    field.poller.addWriter(writes)
    reason = Failure(ConnectionLost())
    field.poller.connectionLost(reason)
    assert (reads.lost, writes.lost) == ([reason], [reason])


class Reading(Descriptor):
    """One that reads once, is handed on at the end of the round, does something then, and has something to send."""

    side = 0

    def doRead(self) -> None:
        """Take what is there, and hand it on later."""
        self.sock.recv(10)
        self.log.append(f"{self.name} read")
        batch = self.loop.poller.batch
        assert batch is not None
        batch.append(self)

    def deliver(self) -> None:
        """Hand it on."""
        self.log.append(f"{self.name} delivered")
        self.loop.now += self.cost
        steps = self.loop.poller.steps
        assert steps is not None
        steps.append((self, self.handle))

    def handle(self) -> None:
        """Do it, and something more after the others have done as much."""
        self.log.append(f"{self.name} handled")
        self.loop.now += self.cost
        poller = self.loop.poller
        assert poller.steps is not None
        assert poller.unsent is not None
        poller.steps.append((self, self.go_on))
        poller.unsent.append(self)

    def failed(self) -> None:
        """What was to be done has raised an exception."""
        self.log.append(f"{self.name} failed")

    def go_on(self) -> None:
        """Do the rest."""
        self.log.append(f"{self.name} done")

    def flush(self) -> None:
        """Send what was written in response."""
        self.log.append(f"{self.name} sent")


def reading(field: Field, *names: str, cost: float = 0.0) -> None:
    """Registers some that are ready to be read, once."""
    for name in names:
        made = Reading(field.loop, name, field.log, cost)
        field.made.append(made)
        made.peer.send(b"a")
        field.poller.addReader(made)


def test_all_read_before_any_is_handed_on_and_all_are_before_any_sends(field: Field) -> None:
    """The steps of a round: each for everybody, in order."""
    reading(field, "a", "b")
    steps = "read", "delivered", "handled", "done", "sent"
    assert field.turn() == [f"{name} {step}" for step in steps for name in "ab"]
    assert (field.poller.batch, field.poller.steps, field.poller.unsent) == (None, None, None)


def test_what_was_read_is_handed_on_first_in_the_next_turn(field: Field) -> None:
    """A turn is over in the middle of handing on: the rest comes next, though no socket has more to tell."""
    reading(field, "a", "b", cost=0.02)
    assert field.turn() == ["a read", "b read", "a delivered"]
    rest = field.turn() + field.turn() + field.turn()
    assert rest == ["b delivered", "a handled", "a sent", "b handled", "b sent", "a done", "b done"]


def test_a_step_that_fails_is_its_own_connections_end(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others' steps are done all the same; one whose connection is over is not."""
    reading(field, "a", "b", "c")
    monkeypatch.setattr(field.made[0], "handle", lambda: 1 // 0)
    field.made[2].lost.append(Failure(ConnectionLost()))
    assert field.turn()[6:] == ["a failed", "b handled", "b done", "b sent"]


def test_a_poll_has_been_heard_once_everybody_it_told_of_was_read(field: Field) -> None:
    """Not while a turn has ended before that."""
    poller = field.poller
    poller.doRead()
    assert poller.polls == poller.heard == 1
    field.descriptor("first", cost=0.02)
    field.descriptor("second", cost=0.02)
    for _ in range(3):
        assert poller.heard == 1
        poller.doRead()
    assert poller.heard == 2


def test_a_poll_that_could_not_tell_of_all_has_not_been_heard(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is missing from it may have something to read."""
    poller = field.poller
    monkeypatch.setattr("edgenode.net.poller._ROUND", 1)
    heard: list[int] = []
    for name in ("first", "second"):
        made = field.descriptor(name)

        def read(made: Descriptor = made) -> None:
            heard.append(poller.heard)
            made.sock.recv(10)

        monkeypatch.setattr(made, "doRead", read)
    poller.doRead()
    assert heard == [0, 0]
    assert poller.heard == poller.polls == 3
