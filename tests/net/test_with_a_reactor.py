"""The poller and its transports in Twisted's reactor, as they run in a node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool

from edgenode.net.poller import Poller
from tests.support.transports import Ends, certificate


async def until(condition: Callable[[], object]) -> None:
    """Turn the reactor until something holds; the test's deadline is the limit."""
    from twisted.internet import reactor  # only now: pytest-twisted installs it

    while not condition():
        await deferLater(reactor, 0)


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Two ends in a poller of their own in the reactor, started."""
    from twisted.internet import reactor

    ends = Ends(certificate())
    poller = Poller(reactor)
    for transport in (ends.left, ends.right):
        transport._reactor = poller
        transport.start()
    yield ends
    ends.left.abort()
    ends.right.abort()


async def test_a_question_is_answered(ends: Ends) -> None:
    """Handshake, question, answer and the end of both."""
    left, right = ends.told

    def answer() -> None:
        ends.right.write(right.data * 1000)
        ends.right.close()

    right.then["ended"] = answer
    ends.left.write(b"question")
    ends.left.half_close()
    await until(lambda: left.ends)
    assert left.data == b"question" * 1000
    assert (left.ends, right.ends) == ([("", True)], [("", True)])


async def test_a_busy_poller_leaves_the_reactor_its_turns(ends: Ends) -> None:
    """A connection that always has something to say, and a receiver that always goes on: timers come all the same."""
    left, right = ends.told
    right.then["received"] = lambda: ends.left.write(b"a")
    left.then["received"] = ends.left.call_again
    ends.left.write(b"a")
    ends.right.write(b"a")
    await until(lambda: len(right.pieces) > 100 and len(left.pieces) > 100)
    assert (left.ends, right.ends) == ([], [])
    right.then.clear()
    left.then.clear()


async def test_what_goes_on_wakes_the_reactor(ends: Ends) -> None:
    """Nothing comes from the socket, and no timer of ours is due: the receiver has its turn all the same."""
    right = ends.told[1]
    await until(lambda: ends.left.established and ends.right.established)
    ends.right.call_again()
    await until(lambda: right.pieces)
    assert right.pieces == [b""]


async def test_a_poller_has_the_timers_and_the_threads_of_its_reactor() -> None:
    """It stands for its reactor wherever one needs timers or threads, as Twisted's functions for them do."""
    from twisted.internet import reactor

    poller: Any = Poller(reactor)
    await deferLater(poller, 0)
    assert await deferToThreadPool(poller, poller.getThreadPool(), lambda: "from a thread") == "from a thread"
    assert poller.getThreadPool() is reactor.getThreadPool()  # type: ignore[attr-defined]
    assert poller.seconds() <= reactor.seconds()
