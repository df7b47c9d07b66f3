"""What is told of an alert, and when."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.observe.alerts import messages
from edgenode.observe.alerts.condition import Condition
from edgenode.observe.alerts.incidents import Incident, Machine
from edgenode.observe.alerts.messages import Gathering, Message

ONE = Incident("one", 10.0, 3)
TWO = Incident("two", 11.0, 4)


def _over(incident: Incident, until: float) -> Incident:
    return Incident(incident.value, incident.since, incident.count, until)


def test_what_happens_in_a_pause_stands_in_the_next_message() -> None:
    """The first is told at once; what was raised and resolved in the pause is told as one."""
    gathering = Gathering(pause=60.0)
    assert gathering.due(10.0, ()) is None
    gathering.note([ONE])
    assert gathering.due(10.0, [ONE]) == Message(10.0, raised=(ONE,))
    gathering.note([TWO])
    gathering.note([_over(TWO, 20.0), _over(ONE, 21.0)])
    assert gathering.due(69.9, ()) is None
    assert gathering.due(70.0, ()) == Message(70.0, raised=(_over(TWO, 20.0),), resolved=(_over(ONE, 21.0),))
    assert gathering.due(1000.0, ()) is None


def test_what_was_seen_meanwhile_stands_in_the_message() -> None:
    """A raised one is told with the highest count so far."""
    gathering = Gathering(pause=60.0)
    gathering.note([ONE])
    gathering.due(10.0, [ONE])
    gathering.note([TWO])
    later = Incident("two", 11.0, 400)
    assert gathering.due(70.0, [ONE, later]) == Message(70.0, raised=(later,))


def test_one_is_reminded_of_what_is_still_raised() -> None:
    """As often as it was asked for, and not at all without that."""
    gathering, never = Gathering(pause=1.0, repeat=100.0), Gathering(pause=1.0)
    for each in (gathering, never):
        each.note([ONE])
        assert each.due(10.0, [ONE]) is not None
    assert [gathering.due(float(now), [ONE]) for now in (50, 109)] == [None, None]
    reminder = gathering.due(110.0, [ONE])
    assert reminder == Message(110.0, still=(ONE,))
    assert reminder.status == "reminder"
    assert gathering.due(111.0, [ONE]) is None
    assert gathering.due(1000.0, []) is None
    assert never.due(1e9, [ONE]) is None


def test_a_receiver_is_not_told_of_the_end_of_what_it_never_knew() -> None:
    """What is still raised it is told for the first time."""
    message = Message(70.0, raised=(ONE,), resolved=(_over(TWO, 20.0),), still=(TWO,))
    assert message.known_to([TWO.identity]) == message
    assert message.known_to([]) == Message(70.0, raised=(ONE, TWO))
    assert Message(70.0, resolved=(_over(TWO, 20.0),)).known_to([ONE.identity]) is None


def test_incidents_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that are over already the oldest are only counted."""
    monkeypatch.setattr(messages, "MOST_RAISED", 2)
    gathering = Gathering(pause=60.0)
    raised = [Incident(str(number), float(number), 1) for number in range(10)]
    for each in raised:
        gathering.note([each])
        gathering.note([_over(each, each.since + 0.5)] if each.since < 8 else ())
    message = gathering.due(100.0, raised[8:])
    assert message is not None
    assert [each.value for each in message.raised] == ["6", "7", "8", "9"]
    assert message.untold == 6


@given(
    st.lists(
        st.tuples(st.sampled_from((0.0, 1.0, 5.0, 30.0, 100.0)), st.sampled_from(("a", "b", "c", None))), max_size=80
    ),
    st.sampled_from((0.0, 10.0)),
    st.sampled_from((0.0, 20.0)),
    st.integers(0, 80),
)
def test_every_incident_is_told_once_and_its_end_once_and_not_before(
    steps: list[tuple[float, str | None]], pause: float, repeat: float, restarted: int
) -> None:
    """With whatever pauses and reminders, and over a restart."""
    machine, gathering, now = Machine(Condition(1, 20.0), 5.0), Gathering(pause, repeat), 1000.0
    told: list[Message] = []
    changes: list[Incident] = []
    for number, (later, value) in enumerate([*steps, *[(7.0, None)] * 10]):
        now += later
        changed = machine.advance(now) if value is None else machine.take(now, value)
        changes += changed
        gathering.note(changed)
        if number == restarted:
            kept = json.loads(json.dumps(gathering.as_json()))
            gathering = Gathering(pause, repeat)
            gathering.restore(kept)
        message = gathering.due(now, machine.raised)
        if message is not None:
            assert message.incidents
            assert not told or message.time - told[-1].time >= pause
            told.append(message)
            assert Message.from_json(json.loads(json.dumps(message.as_json()))) == message
    raised = [each.identity for message in told for each in message.raised]
    assert raised == [each.identity for each in changes if each.until is None]
    known: set[str] = set()
    for message in told:
        assert known >= {each.identity for each in (*message.resolved, *message.still)}
        known.update(each.identity for each in message.raised)
        known.difference_update(each.identity for each in message.resolved)
    ended = [each for message in told for each in message.incidents if each.until is not None]
    assert [each.identity for each in ended] == [each.identity for each in changes if each.until is not None] or pause


@pytest.mark.parametrize("value", [None, 1, {}, {"time": "x"}, {"time": 1, "raised": [1], "resolved": [], "still": []}])
def test_what_is_no_message_is_a_value_error(value: object) -> None:
    """Of a file that somebody has damaged."""
    with pytest.raises(ValueError):
        Message.from_json(value)
    with pytest.raises(ValueError):
        Gathering(1.0).restore(value if value is None else {"last": None, "rest": value})
