"""The messages for one receiver, on their way."""

from __future__ import annotations

import json

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from edgenode.model.errors import OriginError
from edgenode.observe.alerts import outbox
from edgenode.observe.alerts.incidents import Incident
from edgenode.observe.alerts.messages import Message
from edgenode.observe.alerts.outbox import Outbox
from edgenode.observe.exporters.receiver import Refused, Unavailable


class Receiver:
    """Is asked to take messages, and does what a test says."""

    name = "origin hooks"

    def __init__(self) -> None:
        self.asked: list[tuple[Message, Deferred[None]]] = []

    async def send(self, message: Message) -> None:
        """One more."""
        answer: Deferred[None] = Deferred()
        self.asked.append((message, answer))
        await answer

    @property
    def last(self) -> Message:
        """The one that was asked for last."""
        return self.asked[-1][0]

    def takes(self) -> None:
        """It takes the last one."""
        self.asked[-1][1].callback(None)

    def fails(self, error: Exception) -> None:
        """It does not."""
        self.asked[-1][1].errback(error)


class Made:
    """An outbox with all that is around it."""

    def __init__(self, kept: object = None) -> None:
        self.clock, self.receiver, self.changes = Clock(), Receiver(), 0
        self.outbox = Outbox("errors", self.receiver, self.clock, self._changed, self.clock.seconds, lambda: 1.0)
        if kept is not None:
            self.outbox.restore(json.loads(json.dumps(kept)))
        self.outbox.start()

    def _changed(self) -> None:
        self.changes += 1


def _raised(value: str, time: float = 0.0) -> Message:
    return Message(time, raised=(Incident(value, time, 3),))


def _resolved(value: str, since: float = 0.0, time: float = 100.0) -> Message:
    return Message(time, resolved=(Incident(value, since, 3, until=time),))


def test_one_message_is_sent_after_the_other() -> None:
    """The next when the one before was taken."""
    made = Made()
    for value in "ab":
        made.outbox.put(_raised(value))
    assert [message for message, _ in made.receiver.asked] == [_raised("a")]
    made.receiver.takes()
    assert made.receiver.last == _raised("b")
    made.receiver.takes()
    assert (made.outbox.sent, made.outbox.waiting, made.changes) == (2, 0, 2)


def test_a_receiver_that_is_down_is_asked_again_later_and_later_and_the_end_waits_for_the_beginning() -> None:
    """After 1 s, 2 s, 4 s and so on, but never after more than five minutes."""
    made = Made()
    made.outbox.put(_raised("a"))
    made.outbox.put(_resolved("a"))
    for wait in (1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300):
        made.receiver.fails(OriginError(502, "connect", "no connection"))
        asked = len(made.receiver.asked)
        made.clock.advance(wait - 0.01)
        assert len(made.receiver.asked) == asked
        made.clock.advance(0.02)
        assert len(made.receiver.asked) == asked + 1
        assert made.receiver.last == _raised("a")
    assert "no connection" in made.outbox.error
    made.receiver.takes()
    assert made.receiver.last == _resolved("a")
    made.receiver.takes()
    assert (made.outbox.sent, made.outbox.failed, made.outbox.error) == (2, 0, "")


def test_a_receiver_that_says_for_how_long_it_is_not_to_be_asked_is_left_alone() -> None:
    """Retry-After."""
    made = Made()
    made.outbox.put(_raised("a"))
    made.receiver.fails(Unavailable("busy", 100.0))
    made.clock.advance(99)
    assert len(made.receiver.asked) == 1
    made.clock.advance(1.1)
    assert len(made.receiver.asked) == 2


def test_a_receiver_that_never_answers_is_given_up_after_a_minute_and_asked_again() -> None:
    """Whatever the time limits of its origin are."""
    made = Made()
    made.outbox.put(_raised("a"))
    made.clock.advance(outbox.PATIENCE)
    assert made.outbox.error
    made.clock.advance(1.0)
    assert len(made.receiver.asked) == 2


def test_of_what_a_receiver_has_refused_it_is_not_told_that_it_is_over() -> None:
    """The raise is given up at once, with a line in the log; the next is sent."""
    made = Made()
    for message in (_raised("a"), _resolved("a"), _raised("b")):
        made.outbox.put(message)
    made.receiver.fails(Refused("400: no"))
    assert made.receiver.last == _raised("b")
    made.receiver.takes()
    assert [message for message, _ in made.receiver.asked] == [_raised("a"), _raised("b")]
    assert (made.outbox.sent, made.outbox.failed, made.outbox.waiting) == (1, 1, 0)


def test_of_what_was_never_taken_a_reminder_is_the_first_message() -> None:
    """So that what goes on is not passed over because its beginning was."""
    made = Made()
    made.outbox.put(_raised("a"))
    made.receiver.fails(Refused("413"))
    made.outbox.put(Message(500.0, still=(Incident("a", 0.0, 9),)))
    assert made.receiver.last == Message(500.0, raised=(Incident("a", 0.0, 9),))


def test_a_message_that_is_a_day_old_is_given_up() -> None:
    """It is told by an error in the log, and counted."""
    made = Made()
    made.outbox.put(_raised("a"))
    while not made.outbox.failed:
        made.receiver.fails(Unavailable("down"))
        made.clock.advance(300.0)
        assert made.clock.seconds() <= outbox.OLDEST + 600
    assert made.clock.seconds() > outbox.OLDEST
    assert made.outbox.waiting == 0


def test_what_waits_is_bounded_and_the_oldest_goes_but_not_the_one_under_way() -> None:
    """The one under way may have been taken already."""
    made = Made()
    for number in range(outbox.MOST_WAITING + 10):
        made.outbox.put(_raised(str(number)))
    assert (made.outbox.waiting, made.outbox.failed) == (outbox.MOST_WAITING, 10)
    kept = [each["raised"][0]["value"] for each in made.outbox.as_json()["queue"]]
    assert kept[:2] == ["0", "11"]
    made.receiver.takes()
    assert made.receiver.last == _raised("11")


def test_another_process_goes_on_where_it_was_stopped() -> None:
    """What was under way is sent again, and it is known what the receiver was told."""
    made = Made()
    for message in (_raised("a"), _raised("b"), _resolved("a")):
        made.outbox.put(message)
    made.receiver.takes()
    made.outbox.stop()
    assert made.clock.getDelayedCalls() == []
    other = Made(made.outbox.as_json())
    assert other.receiver.last == _raised("b")
    other.receiver.takes()
    assert other.receiver.last == _resolved("a")


def test_nothing_is_sent_after_the_end() -> None:
    """Neither what waits for another attempt nor what comes."""
    made = Made()
    made.outbox.put(_raised("a"))
    made.receiver.fails(Unavailable("down"))
    made.outbox.stop()
    made.outbox.put(_raised("b"))
    made.clock.advance(1000.0)
    assert len(made.receiver.asked) == 1
    assert made.outbox.waiting == 2


def test_an_error_of_ours_is_logged_and_the_message_is_tried_again(flush_logged_errors: object) -> None:
    """It is not lost, and nothing else is held up."""
    made = Made()
    made.outbox.put(_raised("a"))
    made.receiver.fails(ZeroDivisionError("ours"))
    made.clock.advance(1.0)
    assert len(made.receiver.asked) == 2
    assert len(flush_logged_errors(ZeroDivisionError)) == 1  # type: ignore[operator]


@pytest.mark.parametrize("value", [None, [], {}, {"told": 1, "queue": []}, {"told": [], "queue": [{}]}])
def test_what_is_no_outbox_is_a_value_error(value: object) -> None:
    """Of a file that somebody has damaged; nothing of it is used."""
    made = Made()
    with pytest.raises(ValueError, match="this is no"):
        made.outbox.restore(value)
    assert made.outbox.waiting == 0
