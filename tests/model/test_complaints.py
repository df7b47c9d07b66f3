"""How often the log says what goes on."""

from __future__ import annotations

from twisted.internet.task import Clock

from edgenode.model.complaints import Complaints


def test_the_first_is_said_at_once_and_the_next_after_a_minute() -> None:
    """However many there are meanwhile; and the pause begins with what was said."""
    clock = Clock()
    complaints = Complaints(clock.seconds)
    said = []
    for _ in range(240):
        if complaints.due():
            said.append(clock.seconds())
        clock.advance(0.75)
    assert said == [0.0, 60.0, 120.0]
