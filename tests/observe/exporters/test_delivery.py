"""Deliveries: at least once, in order, whatever the receiver does; and nobody else notices."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from edgenode.observe.exporters.receiver import TAKEN, Outcome, Outgoing, Refused, Unavailable
from tests.observe.exporters.support import NOW, Delivering, Journal, Sending, event_line


def lines(*numbers: int) -> list[bytes]:
    """Events of the journal."""
    return [event_line(each) for each in numbers]


def ids(*numbers: int) -> list[str]:
    """Their identifiers."""
    return [f"{each:08x}" for each in numbers]


def refusing(*numbers: int) -> Sending:
    """A receiver that refuses whatever has one of these events in it."""
    poison = {*ids(*numbers)}

    def answer(events: Sequence[Outgoing]) -> Outcome | Exception:
        return Refused("bad") if poison & {each.event["id"] for each in events} else TAKEN

    return Sending(answer)


def test_events_wait_for_others() -> None:
    """Those that come within ``batch-time`` are sent together, and those that are enough at once."""
    delivering = Delivering.of(Journal(lines(1, 2)), keys="batch-time = 5s\nbatch-size = 3")
    delivering.pass_time(4)
    assert delivering.sending.batches == []
    delivering.pass_time(2)
    assert delivering.sending.batches == [ids(1, 2)]
    delivering.journal.all += lines(3, 4, 5, 6)
    delivering.pass_time(1)
    assert delivering.sending.batches[1:] == [ids(3, 4, 5)]
    delivering.delivery.stop()


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=8),
    st.integers(1, 20),
    st.integers(0, 60),
    st.sets(st.integers(0, 99)),
)
def test_after_a_crash_batches_begin_where_they_have_begun(
    growing: list[int], size: int, until: int, unwanted: set[int]
) -> None:
    """So that a receiver which keeps a batch under the place of its first event has each event once."""
    keys = f'batch-time = 1s\nbatch-size = {size}\nexpression = http.request.uri.path ne "/no"'
    journal, kept = Journal([]), dict[str, list[str]]()
    saved = [0]

    def keep(events: Sequence[Outgoing]) -> Outcome:
        kept[events[0].place] = [each.event["id"] for each in events]
        return TAKEN

    def line(number: int) -> bytes:
        target = "/no" if number in unwanted else "/yes"
        return event_line(number, request={"method": "GET", "target": target, "headers": {}})

    taken, wanted = 0, [each for each in range(sum(growing)) if each not in unwanted]

    def once(events: Sequence[Outgoing]) -> Outcome | Deferred[Outcome]:
        nonlocal taken
        taken += len(events)
        keep(events)
        return Deferred() if taken > until else TAKEN  # what was taken, and nobody is told

    first = Delivering.of(journal, Sending(once), keys)
    for count in growing:
        journal.all += [line(len(journal.all) + each) for each in range(count)]
        first.pass_time(0.7)
    saved += first.saved
    first.delivery.stop()
    second = Delivering.of(Journal(journal.all, position=saved[-1]), Sending(keep), keys)
    second.pass_time(10)
    second.delivery.stop()
    assert [each for place in sorted(kept, key=int) for each in kept[place]] == ids(*wanted)


def test_a_position_is_remembered_once_everything_before_it_was_taken() -> None:
    """While an answer is awaited, the journal has been read further than what is remembered."""
    waiting: Deferred[Outcome] = Deferred()
    delivering = Delivering.of(Journal(lines(1, 2)), Sending(lambda events: waiting), "batch-time = 0")
    delivering.pass_time(1)
    assert delivering.journal.position == 2
    assert delivering.saved == [0]
    waiting.callback(TAKEN)
    delivering.pass_time(1)
    assert delivering.saved == [0, 2]
    assert delivering.delivery.state()["sent"] == 2
    delivering.delivery.stop()


def test_what_is_not_wanted_is_passed_over() -> None:
    """Torn lines and lines that are no events are counted, and the position goes on behind them."""
    delivering = Delivering.of(Journal([b'{"time":"2026', b"[]", b'{"time":"soon"}', b"{}"]))
    delivering.pass_time(1)
    assert delivering.saved == [0, 4]
    assert delivering.sending.batches == []
    assert delivering.delivery.told.set_aside == 4
    delivering.delivery.stop()


def test_a_receiver_that_is_down_is_asked_less_and_less_often() -> None:
    """The same batch is sent again after 1, 2, 4 ... seconds, at the most after ``max-backoff``."""
    delivering = Delivering.of(
        Journal(lines(1)), Sending(lambda events: Unavailable("down")), "batch-time = 0\nmax-backoff = 5s"
    )
    times = [0.0]
    for _ in range(200):
        before = len(delivering.sending.batches)
        delivering.pass_time(0.1)
        if len(delivering.sending.batches) > before:
            times.append(delivering.clock.seconds())
    waits = [round(later - earlier) for earlier, later in itertools.pairwise(times)]
    assert waits[:4] == [1, 2, 4, 5]
    state = delivering.delivery.state()
    assert state["last_error"] == "down"
    assert NOW <= state["since"] < NOW + 1
    assert state["failed"] == len(times) == len(delivering.sending.batches)
    delivering.delivery.stop()


def test_a_receiver_may_ask_to_be_left_alone() -> None:
    """The time of Retry-After is kept, though the back-off is shorter; an hour at the most."""
    answers = [Unavailable("busy", 60.0), Unavailable("busy", 1e9)]
    sending = Sending(lambda events: answers.pop(0) if answers else TAKEN)
    delivering = Delivering.of(Journal(lines(1)), sending, "batch-time = 0")
    delivering.pass_time(59)
    assert len(sending.batches) == 1
    delivering.pass_time(3)
    assert len(sending.batches) == 2
    delivering.clock.advance(3590.0)
    assert len(sending.batches) == 2
    delivering.pass_time(20)
    assert sending.taken == ids(1)
    assert delivering.delivery.state()["since"] is None
    delivering.delivery.stop()


def test_while_nothing_is_taken_nothing_more_is_read() -> None:
    """A receiver that is down costs no memory but that of a batch and of one read."""
    journal = Journal(lines(*range(5000)))
    delivering = Delivering.of(journal, Sending(lambda events: Unavailable("down")), "batch-time = 0")
    delivering.pass_time(100)
    assert sum(map(len, journal.all[: journal.position])) < 2 * 256 * 1024
    assert delivering.delivery.state()["behind_bytes"] > 0
    delivering.delivery.stop()


@pytest.mark.parametrize("poison", [0, 3, 7])
def test_a_poison_event_is_found_and_set_aside(poison: int) -> None:
    """A batch that is refused as a whole is halved until the event is alone; all others are taken, in order."""
    delivering = Delivering.of(Journal(lines(*range(8))), refusing(poison), "batch-time = 0")
    delivering.pass_time(1)
    assert delivering.aside == [(*ids(poison), "bad")]
    assert delivering.sending.taken == ids(*(each for each in range(8) if each != poison))
    assert delivering.saved[-1] == 8
    delivering.delivery.stop()


def test_refusals_of_single_events_are_believed() -> None:
    """What a receiver says of each event holds for that alone; what it would take later is sent again alone."""

    def answer(events: Sequence[Outgoing]) -> Outcome:
        return Outcome({1: "bad"}, (2,), "busy") if len(events) > 1 else TAKEN

    delivering = Delivering.of(Journal(lines(0, 1, 2, 3)), Sending(answer), "batch-time = 0")
    delivering.pass_time(5)
    assert delivering.sending.batches == [ids(0, 1, 2, 3), ids(2)]
    assert delivering.aside == [(*ids(1), "bad")]
    assert delivering.sending.taken == ids(0, 3, 2)
    delivering.delivery.stop()


def test_a_receiver_that_refuses_everything_gets_no_more_than_one_event_at_a_time() -> None:
    """Where nothing is taken at all, the fault may be the receiver's: few events are set aside, and none is skipped."""
    delivering = Delivering.of(
        Journal(lines(*range(100))), Sending(lambda events: Refused("no")), "batch-time = 0\nmax-backoff = 1m"
    )
    delivering.pass_time(300)
    assert 2 <= len(delivering.aside) <= 12
    assert [each for each, _ in delivering.aside] == ids(*range(len(delivering.aside)))
    delivering.sending.answer = lambda events: TAKEN
    delivering.pass_time(70)
    assert delivering.sending.taken == ids(*range(len(delivering.aside), 100))
    delivering.delivery.stop()


def test_the_same_goes_for_refusals_one_by_one() -> None:
    """A receiver that refuses each event of a batch, and takes none, is not believed at once."""

    def answer(events: Sequence[Outgoing]) -> Outcome:
        return Outcome(dict.fromkeys(range(len(events)), "no such index"))

    delivering = Delivering.of(Journal(lines(*range(100))), Sending(answer), "batch-time = 0\nmax-backoff = 1m")
    delivering.pass_time(300)
    assert 2 <= len(delivering.aside) <= 12
    delivering.delivery.stop()


def test_a_defect_of_a_sender_is_a_failure(flush_logged_errors: object) -> None:
    """What a type raises that it should not costs no event."""
    answers: list[Exception] = [ZeroDivisionError("of somebody's")]
    sending = Sending(lambda events: answers.pop() if answers else TAKEN)
    delivering = Delivering.of(Journal(lines(1)), sending, "batch-time = 0")
    delivering.pass_time(5)
    assert sending.taken == ids(1)
    assert len(flush_logged_errors(ZeroDivisionError)) == 1  # type: ignore[operator]
    delivering.delivery.stop()


def test_an_end_gives_up_what_is_under_way() -> None:
    """Its request is cancelled, nothing is remembered of it, and no timer is left."""
    cancelled: list[bool] = []
    waiting: Deferred[Outcome] = Deferred(lambda _: cancelled.append(True))
    delivering = Delivering.of(Journal(lines(1)), Sending(lambda events: waiting), "batch-time = 0")
    delivering.pass_time(1)
    delivering.delivery.stop()
    assert cancelled == [True]
    assert delivering.saved == [0]
    assert delivering.sending.closed
    assert delivering.journal.closed
    assert delivering.clock.getDelayedCalls() == []


@given(
    st.lists(st.sampled_from(["take", "down", "refuse", "part", "kill"]), max_size=30),
    st.integers(1, 7),
    st.sets(st.integers(0, 29), max_size=4),
)
def test_nothing_is_lost_and_what_is_remembered_is_a_prefix(did: list[str], size: int, poison: set[int]) -> None:
    """Whatever a receiver does, and whenever the process ends: each event is taken or set aside in the end, and
    everything in front of what is remembered has been, at any moment."""
    journal, position, taken, aside = lines(*range(30)), 0, list[str](), list[str]()
    wrong = {*ids(*poison)}
    for step in [*did, "end"]:
        answers = {"step": step}

        def answer(
            events: Sequence[Outgoing], answers: dict[str, str] = answers
        ) -> Outcome | Exception | Deferred[Outcome]:
            now = answers["step"]
            answers["step"] = "take" if now != "end" else "end"
            bad = [place for place, each in enumerate(events) if each.event["id"] in wrong]
            if now == "kill":
                return Deferred()
            if now == "down":
                return Unavailable("down")
            if now == "refuse" and bad:
                return Refused("bad")
            if now == "part" and len(events) > 1:
                return Outcome({place: "bad" for place in bad if place}, (0,), "busy")
            return Outcome(dict.fromkeys(bad, "bad"))

        sending = Sending(answer)
        delivering = Delivering.of(Journal(journal, position), sending, f"batch-time = 0\nbatch-size = {size}")
        delivering.pass_time(0.3)
        while step == "end" and delivering.saved[-1] < 30:
            delivering.clock.advance(10)
        delivering.delivery.stop()
        taken += sending.taken
        aside += [each for each, _ in delivering.aside]
        assert delivering.saved == sorted(delivering.saved)
        position = delivering.saved[-1]
        assert {*ids(*range(position))} <= {*taken, *aside}
    assert position == 30
    assert {*aside} == wrong
    assert {*taken} == {*ids(*range(30))} - wrong


def test_a_defect_of_its_own_is_told(flush_logged_errors: object) -> None:
    """Nobody has to find out by what is missing at the receiver."""
    delivering = Delivering.of(Journal([]), keys="batch-time = 0")

    def defective(position: object) -> None:
        raise ZeroDivisionError("division by zero")

    delivering.delivery._save = defective
    delivering.journal.all += lines(1)
    delivering.pass_time(1)
    assert delivering.delivery.state()["last_error"] == "it has ended: division by zero"
    assert len(flush_logged_errors(ZeroDivisionError)) == 1  # type: ignore[operator]
    delivering.delivery.stop()
