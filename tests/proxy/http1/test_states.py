"""The table of states: each entry is taken, each state has a deadline or a reason, none holds more than its share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from edgenode.net.deadlines import NEVER
from edgenode.proxy.exchange import ProxyExchange
from edgenode.proxy.http1 import server
from edgenode.proxy.http1.states import AFTER, TRANSITIONS, Event, State
from tests.proxy.http1.serving import LIMITS, Serving, serving
from tests.support import memory
from tests.support.memory import ClientEnd, MemoryNode, OriginEnd
from tests.support.node import OK, PKI, get

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345"
BIG = b"a" * 5_000_000


def _begin(serving: Serving) -> None:
    serving.handler.begin(b"x", 10)


def _reset(serving: Serving) -> None:
    serving.handler.stream.reset("for the test")


REACH: Mapping[State, tuple[Callable[[Serving], object], ...]] = {
    State.IDLE: (),
    State.HEAD: (lambda each: each.send(GET[:20]),),
    State.BODY: (lambda each: each.send(POST),),
    State.WAIT: (lambda each: each.send(GET),),
    State.EARLY: (lambda each: each.send(POST), _begin),
    State.RESPONSE: (lambda each: each.send(GET), _begin),
    State.LINGER: (lambda each: each.send(b"\0\r\n\r\n"),),
    State.CLOSED: (lambda each: each.send(LAST), lambda each: each.handler.respond(200, BIG)),
}
"""How a connection comes into each state."""

TAKE: Mapping[tuple[State, Event], tuple[Callable[[Serving], object], ...]] = {
    (State.IDLE, Event.BYTES): (lambda each: each.send(b"G"),),
    (State.IDLE, Event.CLOSE): (Serving.finish,),
    (State.HEAD, Event.REQUEST): (lambda each: each.send(GET[20:]),),
    (State.HEAD, Event.REQUEST_WITH_BODY): (lambda each: each.send(b": a\r\nContent-Length: 1\r\n\r\n"),),
    (State.HEAD, Event.LINGER): (lambda each: each.send(b"\0"),),
    (State.HEAD, Event.CLOSE): (Serving.finish,),
    (State.BODY, Event.BODY_END): (lambda each: each.send(b"67890"),),
    (State.BODY, Event.RESPONSE_START): (_begin,),
    (State.BODY, Event.CLOSE): (Serving.finish,),
    (State.WAIT, Event.RESPONSE_START): (_begin,),
    (State.WAIT, Event.CLOSE): (lambda each: each.handler.stream.close_silently(),),
    (State.EARLY, Event.BODY_END): (lambda each: each.send(b"67890"),),
    (State.EARLY, Event.LINGER): (lambda each: each.handler.finish(b"x" * 9),),
    (State.EARLY, Event.CLOSE): (_reset,),
    (State.RESPONSE, Event.NEXT): (lambda each: each.handler.finish(b"x" * 9),),
    (State.RESPONSE, Event.MORE): (lambda each: each.send(GET), lambda each: each.handler.finish(b"x" * 9)),
    (State.RESPONSE, Event.LINGER): (
        lambda each: each.connection.last_request(),
        lambda each: each.handler.finish(b"x" * 9),
    ),
    (State.RESPONSE, Event.CLOSE): (_reset,),
    (State.LINGER, Event.CLOSE): (Serving.finish,),
    (State.CLOSED, Event.CLOSE): (Serving.read,),
}
"""What happens to a connection that is in the state."""

ENTRIES = [(state, event) for state, events in TRANSITIONS.items() for event in events]


class Row(dict[State, State]):
    """The states that follow if something happens, and a list of what was looked up."""

    def __init__(self, event: Event, taken: list[tuple[State, Event]]) -> None:
        super().__init__(AFTER[event])
        self._event, self._taken = event, taken

    def __getitem__(self, state: State) -> State:
        self._taken.append((state, self._event))
        return super().__getitem__(state)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[State, Event]]:
    """What connections look up in the table."""
    found: list[tuple[State, Event]] = []
    for event in Event:
        monkeypatch.setattr(server, f"_AFTER_{event.name}", Row(event, found))
    return found


@pytest.mark.parametrize(("state", "event"), ENTRIES, ids=lambda each: each.name)
def test_every_entry_of_the_table_is_taken(taken: list[tuple[State, Event]], state: State, event: Event) -> None:
    """And leads where it says; an entry that nothing takes does not belong into it."""
    with serving() as each:
        for step in REACH[state]:
            step(each)
        assert each.connection.state is state
        taken.clear()
        for step in TAKE[state, event]:
            step(each)
        assert taken[0] == (state, event)


# -- deadlines ---------------------------------------------------------------------------------------------------------

WAITS = {
    State.IDLE: LIMITS.timeouts.header,
    State.HEAD: LIMITS.timeouts.header,
    State.BODY: LIMITS.timeouts.body,
    State.EARLY: LIMITS.timeouts.body,
    State.LINGER: 2.0,
    State.CLOSED: LIMITS.timeouts.send,
}
"""How long each state lasts if the client does nothing. In the others the next move is the origin's, which has
deadlines of its own, or that of a stage that judges."""


@pytest.mark.parametrize("state", State, ids=lambda each: each.name)
def test_every_state_has_a_deadline_or_a_reason(state: State) -> None:
    """A client that does nothing is let go at its time, and not before."""
    with serving() as each:
        for step in REACH[state]:
            step(each)
        assert each.connection.state is state
        if state not in WAITS:
            assert each.connection.deadline == NEVER
            each.loop.wait(1000, 10)
            assert not each.ends
            return
        assert each.connection.deadline == WAITS[state]
        each.loop.wait(WAITS[state] - 0.5, 0.5)
        assert each.connection.state is state
        each.loop.wait(1.0, 0.5)
        assert each.connection.state >= State.LINGER
        each.loop.wait(3.0, 0.5)
        assert each.ends


@pytest.mark.parametrize("state", [State.RESPONSE, State.EARLY])
def test_what_is_being_sent_has_a_deadline_by_progress(state: State) -> None:
    """A client that takes a little in every send-timeout is waited for, one that takes nothing is cut."""
    with serving() as each:
        for step in REACH[state][:-1]:
            step(each)
        each.handler.begin(BIG, len(BIG))
        assert each.transport.queued
        for _ in range(10):
            each.loop.wait(50, 1)
            assert len(each.read(400_000)) > 0
            each.loop.settle()
        assert not each.ends
        each.loop.wait(121, 1)
        assert each.ends == ["the client takes nothing of the response"]


# -- what is held ------------------------------------------------------------------------------------------------------

MOST = 128 * 1024
"""Bytes that a connection holds at the most, beyond what the kernel does."""


def held(client: ClientEnd) -> int:
    """What a connection holds: of what has come, and of what is to be sent."""
    speaker = client.speaker
    handler = speaker._handler
    waiting = len(handler._pending) if isinstance(handler, ProxyExchange) else 0
    return len(speaker._reader.buffered) + waiting + speaker.transport.queued


def held_by_origin(node: MemoryNode) -> int:
    """What the connections to origins hold."""
    return max((each.transport.queued for each in node.pool._connections), default=0)


UPLOAD = get("/", "open.test", "Content-Length: 100000000", method="POST")
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 12000\r\n\r\n" + b"a" * 12000
ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"a" * 3_000_000
CHANGES = {"path-map all": {"max-body-size": "1g"}}


class Greedy:
    """A client that sends as much as is taken and reads nothing, and an origin that answers as it is told."""

    def __init__(self, node: MemoryNode) -> None:
        self.node = node
        self.client = node.client()
        self.most = self.most_of_origin = 0
        self.origins: list[OriginEnd] = []

    def send(self, data: bytes, repeated: int = 1) -> bool:
        """Send it, again and again; whether all of it was taken."""
        for _ in range(repeated):
            for at in range(0, len(data), 4096):
                piece = data[at : at + 4096]
                taken = self.client.send(piece)
                self.look()
                if taken < len(piece):
                    return False
        return True

    def stands_in(self, state: State) -> bool:
        """Whether the connection is in a state."""
        return self.client.speaker.state is state

    def look(self) -> None:
        """See how much is held."""
        if self.client.connection in self.node.port.connections:
            self.most = max(self.most, held(self.client))
        self.most_of_origin = max(self.most_of_origin, held_by_origin(self.node))

    def answer(self, data: bytes) -> None:
        """Have the origin send an answer, as much of it as the node takes."""
        origin = self.node.origin()
        origin.read()
        for at in range(0, len(data), 16384):
            if origin.send(data[at : at + 16384]) < len(data[at : at + 16384]):
                break
            self.look()
        self.look()


@pytest.fixture
def greedy(pki: PKI) -> Iterator[Greedy]:
    """A client, and the node that it tries."""
    with memory.node(pki, CHANGES) as node:
        yield Greedy(node)


@pytest.mark.parametrize("reads", [True, False])
def test_interim_responses_hold_little(greedy: Greedy, reads: bool) -> None:
    """The origin waits for a client that does not take them, and the client has the time of the send-timeout."""
    node, client = greedy.node, greedy.client
    client.send(get())
    origin = node.origin()
    origin.read()
    data = (b"HTTP/1.1 103 Early Hints\r\nLink: " + b"a" * 60_000 + b"\r\n\r\n") * 15 + OK
    sent = origin.send(data)
    assert sent < len(data)
    greedy.look()
    assert greedy.most <= MOST
    if reads:
        got = b""
        for _ in range(20):
            got += client.read()
            sent += origin.send(data[sent:])
            greedy.look()
        assert greedy.most <= MOST
        assert got.count(b" 103 ") == 15
        assert got.endswith(b"\r\n\r\nok")
    else:
        node.loop.wait(61, 1)
        assert client.connection not in node.port.connections


def test_idle_and_head_hold_little(greedy: Greedy) -> None:
    """Pipelined requests are taken as long as their answers are, and then no more is read."""
    node, client = greedy.node, greedy.client
    assert client.send(get()) > 0
    origin = node.origin()
    pages = 0
    for _ in range(2000):
        taken = greedy.send(get() * 200)
        if origin.read():
            origin.send(PAGE)
            pages += 1
        greedy.look()
        if not taken and client.speaker.transport.queued:
            break
    assert pages < 100
    assert greedy.stands_in(State.HEAD)
    assert client.speaker.transport not in node.loop.reading
    assert greedy.most <= MOST


def test_a_head_without_an_end_is_refused(greedy: Greedy) -> None:
    """At the largest size that a head may have."""
    greedy.send(b"GET / HTTP/1.1\r\nHost: open.test\r\n")
    assert greedy.stands_in(State.HEAD)
    greedy.send(b"X: " + b"a" * 4000 + b"\r\n", 20)
    assert greedy.stands_in(State.LINGER)
    assert greedy.most <= MOST


def test_a_body_waits_for_a_connection_to_the_origin(greedy: Greedy) -> None:
    """While one is being opened the client is held."""
    greedy.node.hanging = True
    greedy.send(UPLOAD)
    assert greedy.stands_in(State.BODY)
    assert not greedy.send(b"a" * 4_000_000)
    assert greedy.client.speaker.transport not in greedy.node.loop.reading
    assert 0 < greedy.most <= MOST


def test_a_body_waits_for_the_origin_to_take_it(greedy: Greedy) -> None:
    """What the origin's socket does not take is no more than was read at once."""
    greedy.send(UPLOAD)
    assert not greedy.send(b"a" * 4_000_000)
    assert greedy.stands_in(State.BODY)
    assert greedy.client.speaker.transport not in greedy.node.loop.reading
    assert greedy.most <= MOST
    assert 0 < greedy.most_of_origin <= MOST


def test_requests_wait_for_the_response_before_them(greedy: Greedy) -> None:
    """Nothing more is read than came along with the request, or at once behind it."""
    greedy.send(get())
    assert greedy.stands_in(State.WAIT)
    assert not greedy.send(get() * 100_000)
    assert greedy.client.speaker.transport not in greedy.node.loop.reading
    assert greedy.most <= MOST


def test_an_early_response_waits_and_so_does_the_body(greedy: Greedy) -> None:
    """Neither direction piles up because the other stands still."""
    greedy.send(UPLOAD + b"a")
    greedy.answer(ENDLESS)
    assert greedy.stands_in(State.EARLY)
    assert greedy.client.speaker.transport.queued
    assert not greedy.send(b"a" * 4_000_000)
    greedy.look()
    assert greedy.most <= MOST
    assert greedy.most_of_origin <= MOST


def test_a_response_waits_and_so_do_the_requests_behind_it(greedy: Greedy) -> None:
    """A client that reads nothing has one slice of a response queued, and one slice of requests."""
    greedy.send(get())
    greedy.answer(ENDLESS)
    assert greedy.stands_in(State.RESPONSE)
    assert greedy.client.speaker.transport.queued
    assert not greedy.send(get() * 100_000)
    assert greedy.client.speaker.transport not in greedy.node.loop.reading
    assert greedy.most <= MOST


def test_what_comes_behind_the_last_response_is_dropped(greedy: Greedy) -> None:
    """It is read, so that no reset destroys the response, and kept nowhere; and not for long."""
    greedy.client.send(b"\0\r\n\r\n" + b"a" * 10_000)
    assert greedy.stands_in(State.LINGER)
    assert greedy.send(b"a" * 4_000_000)
    assert greedy.most < 1000
    greedy.node.loop.wait(3)
    assert not greedy.node.port.connections


def test_a_connection_that_closes_holds_what_is_queued(greedy: Greedy) -> None:
    """And nothing of what still comes."""
    greedy.send(get(close=True))
    greedy.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"a" * 300_000)
    assert greedy.client.speaker.transport.queued
    if greedy.client.speaker.state is State.RESPONSE:  # the rest has to wait
        greedy.client.speaker.last_request()
    greedy.send(b"a" * 4_000_000)
    greedy.look()
    assert greedy.most <= MOST
