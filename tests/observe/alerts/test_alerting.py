"""Alerts that read a journal, over restarts, damage and clocks that are set."""

from __future__ import annotations

import json
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from edgenode.observe.alerts import alerting
from edgenode.observe.alerts.alert import Alert
from edgenode.observe.alerts.alerting import FILE
from edgenode.observe.alerts.counted_by import EventValue
from tests.observe.alerts.journals import Observed, alert, event

Observe = Callable[..., Observed]
BY_CLIENT = EventValue.from_text("ip.src")


@pytest.fixture
def observe(tmp_path: pathlib.Path) -> Iterator[Callable[..., Observed]]:
    """Has alerts observe a folder until the test ends."""
    made: list[Observed] = []

    def make(**alerts: Alert) -> Observed:
        made.append(Observed(tmp_path, **alerts))
        return made[-1]

    yield make
    for each in made:
        each.alerting.stop()


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    """The texts of what is logged."""
    found: list[LogEvent] = []
    observer = cast(ILogObserver, found.append)
    globalLogPublisher.addObserver(observer)
    yield found
    globalLogPublisher.removeObserver(observer)


def test_events_of_a_journal_raise_an_alert_and_their_end_resolves_it(observe: Observe) -> None:
    """Those that match; what is no event is passed over, and rotation is not noticed."""
    observed = observe(errors=alert())
    observed.happens(event(observed.now), event(observed.now, 200), b"{torn", b"[]", b'{"time":1}', event(observed.now))
    assert observed.post.heard == []
    observed.journal.rotate(observed.now)
    observed.happens(event(observed.now))
    assert observed.post.heard == [("raised", "")]
    observed.passes(70.0)
    assert observed.post.heard == [("raised", ""), ("resolved", "")]
    assert observed.alerting.state()["errors"]["receivers"]["origin hooks"]["sent"] == 2


def test_what_a_node_has_done_while_its_first_observer_started_counts(observe: Observe) -> None:
    """A process that no other was before begins with the file that is written."""
    observed = observe(errors=alert())
    observed.alerting.stop()
    (observed.folder / FILE).unlink()
    observed.journal.write(*[event(observed.now)] * 3)
    observed.start()
    assert observed.post.heard == [("raised", "")]


def test_each_value_is_raised_by_itself(observe: Observe) -> None:
    """And several that are raised at once stand in one message."""
    observed = observe(errors=alert(by=BY_CLIENT))
    clients = ["192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.2", "192.0.2.1"]
    observed.happens(*(event(observed.now, client=client) for client in clients))
    assert [[each.value for each in message.raised] for message in observed.post.told] == [["192.0.2.2", "192.0.2.1"]]


def test_a_share_is_one_of_all_exchanges_and_only_of_enough_of_them(observe: Observe) -> None:
    """Events of the state are no exchanges."""
    observed = observe(errors=alert("more than 50% per 1m", at_least=10))
    state = {"time": event(observed.now)["time"], "event": {"action": "state-absent"}}
    observed.happens(*[event(observed.now)] * 9, *[state] * 100)
    assert observed.post.heard == []
    observed.happens(event(observed.now))
    assert observed.post.heard == [("raised", "")]
    assert observed.post.told[0].raised[0].count == 100
    observed.happens(*[event(observed.now, 200)] * 10)
    observed.passes(10.0)
    assert observed.post.heard == [("raised", ""), ("resolved", "")]


def test_different_values_are_counted_where_that_is_asked_for(observe: Observe) -> None:
    """A certificate that comes from many addresses."""
    keys = {"by": EventValue.from_text("edge.server_group"), "distinct": BY_CLIENT}
    observed = observe(shared=alert("more than 2 per 1m", "ssl or not ssl", **keys))
    for group, clients in (("a", (1, 1, 1, 2, 2)), ("b", (1, 2, 3))):
        observed.happens(*(event(observed.now, client=f"192.0.2.{each}", server_group=group) for each in clients))
    assert observed.post.heard == [("raised", "b")]


def test_a_silence_is_raised_and_a_single_event_resolves_it(observe: Observe) -> None:
    """Once a whole window has passed since the start."""
    observed = observe(silence=alert("less than 1 per 1m", "http.response.code lt 500"))
    observed.passes(59.0)
    assert observed.post.heard == []
    observed.passes(2.0)
    assert observed.post.heard == [("raised", "")]
    observed.passes(10.0)
    observed.restart()
    observed.passes(30.0)
    assert observed.post.heard == [("raised", "")]
    for _ in range(8):
        observed.happens(event(observed.now, 200))
    assert observed.post.heard == [("raised", ""), ("resolved", "")]


@pytest.mark.parametrize("how", ["restart", "crash"])
def test_what_is_raised_is_not_raised_again_by_the_next_process(observe: Observe, how: str) -> None:
    """And it resolves what the one before has raised; the window is read again."""
    observed = observe(errors=alert(by=BY_CLIENT))
    other = "192.0.2.9"
    observed.happens(*[event(observed.now)] * 3, *[event(observed.now, client=other)] * 2)
    observed.passes(12.0)
    getattr(observed, how)()
    observed.passes(2.0)
    observed.happens(event(observed.now))
    assert observed.post.heard == [("raised", "192.0.2.1")]
    observed.happens(event(observed.now, client=other))  # its third
    assert observed.post.heard == [("raised", "192.0.2.1"), ("raised", other)]
    observed.passes(80.0)
    assert sorted(observed.post.heard[2:]) == [("resolved", "192.0.2.1"), ("resolved", other)]


def test_what_happens_while_no_process_looks_is_told_by_the_next(observe: Observe) -> None:
    """However long ago it was: it is judged by the times of the events."""
    observed = observe(errors=alert())
    observed.passes(20.0)
    observed.alerting.stop()
    observed.journal.write(*[event(observed.now)] * 3)
    observed.clock.advance(3600.0)
    observed.start()
    observed.passes(2.0)
    assert observed.post.heard == [("raised", ""), ("resolved", "")] or observed.post.heard == [("raised", "")]
    observed.passes(10.0)
    assert observed.post.heard == [("raised", ""), ("resolved", "")]
    assert observed.post.told[0].raised[0].since < observed.now - 3600


def test_a_message_that_was_not_taken_is_sent_by_the_next_process(observe: Observe) -> None:
    """And the end of it behind it."""
    observed = observe(errors=alert())
    observed.post.down = True
    observed.happens(*[event(observed.now)] * 3)
    observed.passes(80.0)
    observed.post.down = False
    observed.restart()
    observed.passes(2.0)
    assert observed.post.heard == [("raised", ""), ("resolved", "")]


def test_an_alert_that_says_something_else_now_resolves_what_it_has_raised(observe: Observe) -> None:
    """It would else stay raised for nothing."""
    observed = observe(errors=alert())
    observed.happens(*[event(observed.now)] * 3)
    observed.alerts = {"errors": alert("more than 100 per 1m")}
    observed.restart()
    observed.passes(2.0)
    assert observed.post.heard == [("raised", ""), ("resolved", "")]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"time": 1}', '{"alerts": {"errors": {}}}', "\ud800", "[" * 100_000]
)
def test_a_file_that_is_damaged_makes_alerts_begin_anew(observe: Observe, content: str, logged: list[LogEvent]) -> None:
    """With a line in the log; they go on from now."""
    observed = observe(errors=alert())
    observed.happens(*[event(observed.now)] * 3)
    observed.alerting.stop()
    (observed.folder / FILE).write_bytes(content.encode("utf-8", "surrogatepass"))
    observed.start()
    observed.happens(*[event(observed.now)] * 3)
    assert observed.post.heard == [("raised", ""), ("raised", "")]
    assert any("alerts begin anew" in str(each.get("log_format")) for each in logged)


def test_what_is_damaged_of_one_alert_is_no_matter_of_another(observe: Observe) -> None:
    """The other goes on."""
    observed = observe(errors=alert(), other=alert("more than 1 per 1m"))
    observed.happens(*[event(observed.now)] * 3)
    observed.alerting.stop()
    kept = json.loads((observed.folder / FILE).read_text())
    kept["alerts"]["errors"] = {"meaning": []}
    (observed.folder / FILE).write_text(json.dumps(kept))
    observed.start()
    observed.happens(event(observed.now))
    assert observed.watching[1].machine.raised[0].since < observed.now - 1.5


def test_a_journal_that_is_another_is_read_from_its_beginning(observe: Observe) -> None:
    """What is in it is judged, though its places are before those that were judged."""
    observed = observe(errors=alert())
    for _ in range(3):
        observed.happens(event(observed.now, 200))
        observed.journal.rotate(observed.now)
    observed.happens(event(observed.now, 200))
    observed.passes(12.0)
    observed.alerting.stop()
    for each in observed.folder.glob("*.jsonl"):
        each.unlink()
    observed.journal.number = 0
    observed.journal.rotate(observed.now)
    observed.start()
    observed.passes(2.0)
    observed.happens(*[event(observed.now)] * 3)
    assert observed.post.heard == [("raised", "")]


def test_a_folder_in_which_nothing_can_be_done_holds_up_nothing(observe: Observe, logged: list[LogEvent]) -> None:
    """It is logged once, and not at every attempt."""
    observed = observe(errors=alert())
    folder = observed.folder
    folder.rename(folder.with_suffix(".away"))
    observed.passes(60.0)
    assert sum("cannot be" in str(each.get("reason")) for each in logged) <= 3
    folder.with_suffix(".away").rename(folder)
    observed.journal.rotate(observed.now)
    observed.passes(2.0)
    observed.happens(*[event(observed.now)] * 3)
    assert observed.post.heard == [("raised", "")]


def test_an_event_that_cannot_be_looked_at_is_no_reason_to_look_at_no_other(
    observe: Observe, logged: list[LogEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for this alert nor for another; it is logged, and not for each event."""
    observed = observe(errors=alert(), others=alert())
    broken = observed.watching[0]
    take = broken.take
    monkeypatch.setattr(broken, "take", lambda event, time: take(event, time) if event["status"] == 500 else 1 // 0)
    observed.happens(*[event(observed.now, 501)] * 3, *[event(observed.now)] * 3)
    assert [len(each.machine.raised) for each in observed.watching] == [1, 1]
    assert sum("cannot look at an event" in str(each.get("reason")) for each in logged) == 1


def test_files_that_were_deleted_before_they_were_looked_at_are_told(observe: Observe, logged: list[LogEvent]) -> None:
    """In the log; what is there is looked at."""
    observed = observe(errors=alert())
    observed.happens(event(observed.now))
    observed.passes(12.0)
    observed.alerting.stop()
    first = observed.journal.path
    observed.journal.rotate(observed.now)
    observed.journal.write(*[event(observed.now)] * 3)
    first.unlink()
    observed.start()
    observed.passes(2.0)
    assert observed.post.heard == [("raised", "")]
    assert sum("were deleted, or unreadable" in str(each.get("log_format")) for each in logged) == 1


def test_a_clock_that_is_set_back_does_not_stop_alerts(observe: Observe) -> None:
    """What was counted is forgotten; what is raised is resolved in its time."""
    observed = observe(errors=alert())
    observed.happens(*[event(observed.now)] * 3)
    for each in observed.clock.getDelayedCalls():
        each.cancel()
    observed.clock.rightNow -= 86400.0
    observed.alerting._turn()
    observed.passes(10.0)
    assert observed.post.heard == [("raised", ""), ("resolved", "")]
    observed.happens(*[event(observed.now)] * 3)
    assert observed.post.heard[2:] == [("raised", "")]


def test_an_event_of_the_future_counts_as_one_of_now(observe: Observe) -> None:
    """It cannot put the time of alerts forward."""
    observed = observe(errors=alert())
    observed.happens(*[event(observed.now + 1e6)] * 3)
    assert observed.watching[0].machine.now <= observed.now
    assert observed.post.heard == [("raised", "")]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("event"), st.sampled_from(("192.0.2.1", "192.0.2.2"))),
        st.tuples(st.sampled_from(("pass", "rotate", "restart", "crash")), st.sampled_from((0.5, 3.0, 11.0, 40.0))),
    ),
    max_size=30,
)


@settings(max_examples=40)
@given(steps)
def test_processes_that_end_anywhere_say_together_what_one_would_have_said(steps: list[tuple[str, Any]]) -> None:
    """Whatever they are in the middle of, with a journal that goes on; a crash may have a message sent twice."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as several:
        both = [Observed(pathlib.Path(folder), errors=alert(by=BY_CLIENT)) for folder in (one, several)]
        try:
            crashed = False
            for kind, what in [*steps, ("pass", 90.0)]:
                crashed = crashed or kind == "crash"
                for observed in both:
                    if kind == "event":
                        observed.happens(event(observed.now, client=what))
                    elif kind == "pass":
                        observed.passes(what)
                    elif kind == "rotate":
                        observed.journal.rotate(observed.now)
                if kind in ("restart", "crash"):
                    getattr(both[1], kind)()
            heard = [observed.post.heard for observed in both]
            for client in ("192.0.2.1", "192.0.2.2"):
                expected, found = ([what for what, value in each if value == client] for each in heard)
                if crashed:
                    found = [what for place, what in enumerate(found) if place == 0 or found[place - 1] != what]
                assert found == expected
        finally:
            for observed in both:
                observed.alerting.stop()


def test_windows_are_read_again_in_pieces_that_end_where_the_judged_ends(
    observe: Observe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event is judged twice, and none is left out, wherever the pieces and the segments end."""
    monkeypatch.setattr(alerting, "_AT_ONCE", 700)
    observed = observe(errors=alert("more than 5 per 1h"))
    observed.happens(event(observed.now), event(observed.now))
    observed.passes(400.0)
    for _ in range(3):
        observed.journal.rotate(observed.now)
        observed.happens(event(observed.now), *[event(observed.now, 200)] * 20)
    observed.restart()
    observed.passes(5.0)
    assert observed.watching[0].machine.counted == 5
    observed.alerting.stop()
    observed.journal.write(*[event(observed.now, 200)] * 9, event(observed.now))  # in the segment that is half judged
    observed.start()
    observed.passes(5.0)
    assert observed.post.heard == [("raised", "")]
    assert observed.post.told[0].raised[0].count == 6
