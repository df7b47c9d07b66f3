"""What is sent of many events is made in a thread, so that the other parts of the observer go on meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, execute
from twisted.internet.threads import deferToThreadPool

from edgenode.observe.exporters.receiver import Outgoing

T = TypeVar("T")

AT_ONCE = 128 * 1024
"""Bytes of events that are compressed, or written as messages, in some milliseconds."""


def written(reactor: Any, events: Sequence[Outgoing], write: Callable[[], T]) -> Deferred[T]:
    """What a function makes of events: now, or in a thread if they are many.

    :param reactor: with threads.
    :param write: touches nothing but the events and what cannot change.
    """
    if sum(len(each.line) for each in events) <= AT_ONCE:
        return execute(write)
    return deferToThreadPool(reactor, reactor.getThreadPool(), write)
