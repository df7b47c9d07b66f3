"""The states of an HTTP/1.1 connection to a client, and how they follow one another.

Each state says whether what arrives has a place: the request head that is being read, the handler of the body, or the
buffer of pipelined bytes, all of them bounded; a connection whose place is full is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType


class State(IntEnum):
    """Where a connection stands between two bytes; those below another come before it in the life of a request."""

    IDLE = 0
    """Nothing of a request has come."""
    HEAD = 1
    """A part of a request head has come, or requests wait for the client to take the responses before them."""
    BODY = 2
    """The request is being handled, its body is still coming, nothing of the response was sent."""
    WAIT = 3
    """The request is there as a whole, nothing of the response was sent."""
    EARLY = 4
    """The response has begun before the request has ended."""
    RESPONSE = 5
    """The request is there as a whole, the response has begun."""
    LINGER = 6
    """The last response is sent; what still comes is read and dropped, so that no reset destroys the response."""
    CLOSED = 7
    """Closed, or closing as soon as everything is sent; or a tunnel, which is no longer HTTP."""


class Event(IntEnum):
    """What takes a connection from one state to another."""

    BYTES = 0
    """The first bytes of a request."""
    REQUEST = 1
    """The head of a request without a body."""
    REQUEST_WITH_BODY = 2
    """The same of one with a body."""
    BODY_END = 3
    """The last byte of the request."""
    RESPONSE_START = 4
    """The head of the response is written."""
    NEXT = 5
    """The response is complete, and the connection serves another request."""
    MORE = 6
    """The same, and some of that request is there already."""
    LINGER = 7
    """The response is complete, and it was the last; or what came was refused without being a request."""
    CLOSE = 8
    """Either side ends the connection, or it becomes a tunnel."""


TRANSITIONS: Mapping[State, Mapping[Event, State]] = MappingProxyType(
    {
        State.IDLE: {Event.BYTES: State.HEAD, Event.CLOSE: State.CLOSED},
        State.HEAD: {
            Event.REQUEST: State.WAIT,
            Event.REQUEST_WITH_BODY: State.BODY,
            Event.LINGER: State.LINGER,
            Event.CLOSE: State.CLOSED,
        },
        State.BODY: {
            Event.BODY_END: State.WAIT,
            Event.RESPONSE_START: State.EARLY,
            Event.CLOSE: State.CLOSED,
        },
        State.WAIT: {Event.RESPONSE_START: State.RESPONSE, Event.CLOSE: State.CLOSED},
        State.EARLY: {Event.BODY_END: State.RESPONSE, Event.LINGER: State.LINGER, Event.CLOSE: State.CLOSED},
        State.RESPONSE: {
            Event.NEXT: State.IDLE,
            Event.MORE: State.HEAD,
            Event.LINGER: State.LINGER,
            Event.CLOSE: State.CLOSED,
        },
        State.LINGER: {Event.CLOSE: State.CLOSED},
        State.CLOSED: {Event.CLOSE: State.CLOSED},
    }
)
"""For each state what may happen in it, and which state follows."""

AFTER: Mapping[Event, dict[State, State]] = MappingProxyType(
    {event: {state: row[event] for state, row in TRANSITIONS.items() if event in row} for event in Event}
)
"""The same by what happens: the state that follows each."""
