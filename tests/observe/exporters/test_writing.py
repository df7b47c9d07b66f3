"""What is sent of many events is made in a thread, and of few at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred

from edgenode.observe.exporters.writing import AT_ONCE, written
from tests.observe.exporters.support import events


async def test_many_events_hold_nobody_up() -> None:
    """Nor do large ones; for few a thread would cost more than it saves."""
    from twisted.internet import reactor  # only now: pytest-twisted installs it

    here = threading.current_thread()
    few, large = events(3), [evolve(events(1)[0], line=b"x" * (AT_ONCE + 1))]
    at_once = written(reactor, few, threading.current_thread)
    assert at_once.called
    assert await at_once is here
    assert await written(reactor, large, threading.current_thread) is not here
    assert await written(reactor, few * 1000, threading.current_thread) is not here


@pytest.mark.parametrize("count", [1, 2000])
async def test_what_cannot_be_written_fails_in_either(count: int) -> None:
    """With the same exception."""
    from twisted.internet import reactor

    def fails() -> None:
        raise ValueError("no")

    write: Callable[[], None] = fails
    waiting: Deferred[None] = written(reactor, events(count), write)
    with pytest.raises(ValueError, match="no"):
        await waiting
