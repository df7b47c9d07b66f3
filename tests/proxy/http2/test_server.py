"""A connection that speaks HTTP/2 to a client: each request on a stream of its own, none in the way of another."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from attrs import evolve
from OpenSSL import SSL

from edgenode.proxy.http2 import server
from edgenode.proxy.http2.engine import CANCEL, INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR
from edgenode.proxy.http2.limits import EngineLimits
from edgenode.proxy.listener.limits import HeadLimits
from tests.proxy.http1.serving import LIMITS, Handler
from tests.proxy.http2.pair import ENGINES
from tests.proxy.http2.serving import GET, POST, get, serving

WINDOW = 65535
BIG = b"a" * 1_000_000


@pytest.fixture(autouse=True, params=ENGINES)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Everything holds with both engines."""
    monkeypatch.setattr(server, "engine", request.param)
    return request.param


def answer(handler: Handler) -> None:
    """Answer at once, with the target."""
    handler.respond(body=handler.head.target)


# -- responses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "status", "length", "fields", "body"),
    [
        (b"GET", 200, 2, {b"content-length": b"2"}, b"ok"),
        (b"GET", 200, None, {}, b"ok"),
        (b"GET", 204, 0, {}, b""),
        (b"GET", 304, 9, {b"content-length": b"9"}, b""),
        (b"GET", 304, None, {}, b""),
        (b"HEAD", 200, 2, {b"content-length": b"2"}, b""),
        (b"HEAD", 200, None, {}, b""),
    ],
)
def test_each_response_says_its_length_or_nothing(
    method: bytes, status: int, length: int | None, fields: dict[bytes, bytes], body: bytes
) -> None:
    """Names are in lower case; a response without a body has none, whatever the origin sends."""

    def respond(handler: Handler) -> None:
        handler.over = True
        handler.stream.start_response(status, b"Fine", b"X-Y: z\r\n", length, b"ok", True)

    with serving(answering=respond) as each:
        stream = each.ask(((b":method", method), *GET[1:]))
        assert each.answer(stream) == ({b":status": b"%d" % status, b"x-y": b"z"} | fields, body)
        assert each.client.open_streams == 0


def test_a_response_in_pieces_is_their_sum_with_trailers() -> None:
    """Pieces without a byte are nothing, and trailers come behind the last."""
    with serving() as each:
        stream = each.ask()
        each.handler.begin()
        for piece in (b"a", b"", b"b" * 70_000):
            each.handler.stream.send_body(piece, False)
            each.talk()
        each.handler.stream.send_body(b"c", True, ((b"x-sum", b"1"),))
        each.talk()
        assert each.answer(stream) == ({b":status": b"200"}, b"a" + b"b" * 70_000 + b"c")
        assert each.told.calls[-1] == ("trailers", stream, [(b"x-sum", b"1")])


def test_requests_are_answered_in_any_order() -> None:
    """Of several streams the last first; nobody waits for another."""
    with serving() as each:
        streams = [each.ask(get(b"/%d" % number)) for number in range(5)]
        for handler in reversed(each.handlers):
            answer(handler)
            each.talk()
        assert [call[1] for call in each.told.calls if call[0] == "head"] == streams[::-1]
        assert [each.answer(stream)[1] for stream in streams] == [b"/0", b"/1", b"/2", b"/3", b"/4"]


def test_what_is_written_in_a_round_is_sent_at_once() -> None:
    """The responses of ten streams are one record of TLS."""
    with serving(answering=answer, tls=True) as each:
        for number in range(10):
            each.client.request(get(b"/%d" % number), True)
        each.say()
        records = []
        with contextlib.suppress(SSL.WantReadError):
            while True:
                records.append(each.peer._connection.recv(1 << 20))
        assert len(each.handlers) == 10
        assert len(records) == 1


def test_interim_responses_come_before_the_response() -> None:
    """103 when there is one, and 100 to who waits for it, once."""
    with serving() as each:
        stream = each.ask((*POST, (b"expect", b"100-continue"), (b"content-length", b"2")), b"", done=False)
        assert each.handler.stream.waits
        each.handler.stream.interim(103, b"Early", b"Link: </a>\r\n")
        each.handler.stream.accept_body()
        each.handler.stream.accept_body()
        each.talk()
        assert each.heard("interim") == [
            ("interim", stream, [(b":status", b"103"), (b"link", b"</a>")]),
            ("interim", stream, [(b":status", b"100")]),
        ]
        each.client.data(stream, b"ok", True)
        each.talk()
        assert (each.handler.body, each.handler.done) == (b"ok", 1)
        each.handler.respond()
        each.talk()
        assert each.answer(stream)[1] == b"ok"


def test_who_sends_a_body_at_once_waits_for_nothing() -> None:
    """100 is only for who waits (RFC 9110, section 10.1.1)."""
    with serving() as each:
        each.ask((*POST, (b"expect", b"100-continue")), b"ok")
        assert not each.handler.stream.waits
        each.handler.stream.accept_body()
        each.talk()
        assert each.heard("interim") == []


# -- request bodies ----------------------------------------------------------------------------------------------------


def test_a_body_comes_in_order_and_its_end_once() -> None:
    """With trailers; and a request with END_STREAM on its head has none."""
    with serving() as each:
        stream = each.ask(POST, b"a", done=False)
        each.client.data(stream, b"b", False)
        each.talk()
        assert (each.handler.body, each.handler.done) == (b"ab", 0)
        each.client.trailers(stream, [(b"x", b"y")])
        each.talk()
        assert (each.handler.body, each.handler.done, each.handler.head.length) == (b"ab", 1, None)
        each.ask()
        assert (each.handler.done, each.handler.head.length) == (0, 0)


def test_a_body_that_nobody_takes_stops_at_its_window_and_stops_nobody_else() -> None:
    """What has come waits in the stream and is delivered once its handler goes on; others go on meanwhile."""
    with serving(answering=lambda handler: setattr(handler, "taking", handler.head.target == b"/")) as each:
        slow = each.ask((*POST[:3], (b":path", b"/slow")), BIG)
        handler = each.handler
        each.client.data(each.client.request(POST, False), BIG, True)
        each.talk()
        assert (len(each.handlers), each.handler.body, each.handler.done) == (2, BIG, 1)
        assert len(handler.body) < 65536
        assert each.client.queued(slow) == len(BIG) - 65536
        handler.taking = True
        handler.stream.resume_body()
        each.talk()
        assert (handler.body, handler.done) == (BIG, 1)


def test_a_body_that_comes_while_its_handler_has_no_room_is_delivered_once() -> None:
    """In order, and with its end, however often the handler stops."""
    with serving() as each:
        stream = each.ask(POST, b"", done=False)
        each.handler.taking = False
        for piece in (b"a", b"b", b"c"):
            each.client.data(stream, piece, False)
            each.talk()
        each.client.trailers(stream, [(b"x", b"y")])
        each.talk()
        assert (each.handler.body, each.handler.done) == (b"a", 0)
        each.handler.stream.resume_body()
        each.talk()
        assert (each.handler.body, each.handler.done) == (b"abc", 1)


def test_a_window_that_came_at_once_is_given_back_when_the_handler_goes_on() -> None:
    """Though nothing waits any more that could be delivered."""
    with serving(
        evolve(LIMITS, http2=EngineLimits(stream_window=8192)), lambda each: setattr(each, "taking", False)
    ) as each:
        each.ask(POST, b"x" * 16384)
        assert (len(each.handler.body), each.handler.done) == (8192, 0)
        each.handler.stream.resume_body()
        each.talk()
        assert (len(each.handler.body), each.handler.done) == (16384, 1)


def test_a_body_of_no_bytes_is_none_however_its_end_comes() -> None:
    """With Content-Length: 0, and END_STREAM on a frame of its own: the handler began with a request that was whole."""
    with serving() as each:
        stream = each.ask((*POST, (b"content-length", b"0")), b"", done=False)
        assert each.handler.head.length == 0
        each.client.data(stream, b"", True)
        each.talk()
        assert (each.handler.body, each.handler.done) == (b"", 0)


def test_the_connection_s_window_does_not_leak() -> None:
    """Whatever becomes of bodies: answered before their end, cut, or given up by the client."""
    limits = evolve(LIMITS, http2=EngineLimits(connection_window=WINDOW + 1))
    with serving(limits) as each:
        for number in range(80):
            stream = each.ask(POST, b"x" * 30_000, done=False)
            if number % 4 == 0:
                each.handler.respond()
            elif number % 4 == 1:
                each.handler.stream.reset("broken")
            elif number % 4 == 2:
                each.handler.taking = False
                for _ in range(2):  # the second waits
                    each.client.data(stream, b"x" * 10_000, False)
                    each.talk()
                each.handler.respond()
            else:
                each.handler.taking = False
                each.client.data(stream, b"x", False)
                each.client.reset(stream, CANCEL)
            each.talk()
        each.loop.wait(2.0)
        each.talk()
        assert each.client.open_streams == 0
        each.ask(POST, b"x" * 60_000)
        assert (len(each.handler.body), each.handler.done) == (60_000, 1)


def test_who_still_sends_what_is_not_wanted_is_told_so() -> None:
    """A response before the end of the body is whole, and then the rest is declined (RFC 9113, section 8.1)."""
    with serving(answering=answer) as each:
        stream = each.ask(POST, BIG)
        assert each.answer(stream)[1] == b"/"
        assert ("reset", stream, NO_ERROR, False) in each.told.calls
        assert each.client.open_streams == 0


def test_who_ends_a_small_body_behind_the_response_is_not_reset() -> None:
    """curl takes a reset for a failure of the request that has been answered; so it has a second to end it."""
    with serving(answering=answer) as each:
        stream = each.ask(POST, b"a", done=False)
        assert each.answer(stream)[1] == b"/"
        each.client.data(stream, b"b", True)
        each.talk()
        assert each.client.open_streams == 0
        idle = each.ask(POST, b"a", done=False)
        each.loop.wait(0.9)
        each.talk()
        assert each.client.open_streams == 1
        each.loop.wait(0.6)
        each.talk()
        assert each.client.open_streams == 0
        assert [call[1:] for call in each.told.calls if call[0] == "reset"] == [(idle, NO_ERROR, False)]


def test_a_body_that_is_not_as_long_as_it_says_fails(engine: type) -> None:
    """The client hears PROTOCOL_ERROR; what has been forwarded never ends as though it were whole."""
    for body in (b"a", b"abc"):
        with serving() as each:
            stream = each.ask((*POST, (b"content-length", b"2")), b"", done=False)
            each.client.data(stream, body, True)
            each.talk()
            assert each.handler.done == 0
            if engine is not ENGINES[0]:  # to h2 it is an error of the connection
                assert each.handler.told == ["lost"]
                continue
            assert each.handler.told[0] == "failed 400"
            assert [call for call in each.told.calls if call[0] == "reset"] == [
                ("reset", stream, PROTOCOL_ERROR, False)
            ]
            assert each.ask() > stream


# -- the client takes nothing ------------------------------------------------------------------------------------------


def test_a_response_that_the_client_does_not_take_holds_up_no_other() -> None:
    """Its stream is full, and drained once the client has taken it; the connection serves the others."""
    with serving(client=EngineLimits(stream_window=WINDOW, connection_window=1 << 24)) as each:
        slow = each.ask()
        handler = each.handler
        handler.begin(BIG[: WINDOW + 40_000])
        each.talk()
        assert handler.stream.full
        quick = each.ask(get(b"/quick"))
        each.handler.begin()
        assert not each.handler.stream.full
        each.handler.finish(b"ok")
        each.talk()
        assert each.answer(quick)[1] == b"ok"
        assert handler.told == []
        each.client.consumed(slow, WINDOW)
        each.talk()
        assert handler.told == ["drained"]
        assert not handler.stream.full


def test_a_response_stalls_for_so_long_and_is_cut_alone() -> None:
    """A client that gives a stream no window loses that stream after send-timeout, whether all of it was written or
    not; what moves in time stays."""
    with serving(client=EngineLimits(stream_window=1000, connection_window=1 << 24)) as each:
        whole, part, moving = each.ask(), each.ask(), each.ask()
        for handler in each.handlers:
            handler.begin(BIG[:50_000])
            assert handler.stream.full
        each.handlers[0].finish(b"end")
        each.talk()
        for _ in range(5):
            each.loop.wait(13.0, 1.0)
            each.client.consumed(moving, 1000)
            each.talk()
        assert {call[1]: call[2] for call in each.told.calls if call[0] == "reset"} == {whole: CANCEL, part: CANCEL}
        assert [handler.told for handler in each.handlers] == [[], ["lost"], []]
        assert each.client.open_streams == 1


def test_who_takes_nothing_at_all_is_cut() -> None:
    """The socket is full for send-timeout: the connection is over."""
    with serving() as each:
        each.client.request(GET, True)
        each.say()
        each.handler.begin(BIG * 4)
        each.loop.wait(59.0, 1.0)
        assert not each.ends
        each.loop.wait(2.0, 1.0)
        assert each.ends == ["the client takes nothing of the responses"]
        assert each.handler.told == ["lost"]


@pytest.mark.parametrize("updated", [False, True])
def test_the_urgent_stream_comes_first(engine: type, updated: bool) -> None:
    """The priority of a request (RFC 9218), or what PRIORITY_UPDATE has made of it, decides which of two responses is
    sent first; h2 knows none."""
    if engine is not ENGINES[0]:
        pytest.skip("h2 has no priorities")
    with serving() as each:
        one = each.ask(get(b"/", (b"priority", b"u=6" if not updated else b"u=1")))
        other = each.ask(get(b"/", (b"priority", b"u=3")))
        if updated:
            update = other.to_bytes(4, "big") + b"u=0"
            each.peer.send(len(update).to_bytes(3, "big") + bytes((16, 0, 0, 0, 0, 0)) + update)
        for handler in each.handlers:
            handler.respond(body=BIG)
        each.talk()
        ends = [call[1] for call in each.told.calls if call[0] == "data" and call[3]]
        assert ends == [other, one]


def test_incremental_streams_take_turns(engine: type) -> None:
    """With ``i`` of equally urgent ones none waits for the end of another; without it the first is sent first."""
    if engine is not ENGINES[0]:
        pytest.skip("h2 has no priorities")
    for priority, turns in ((b"u=3, i", True), (b"u=3", False)):
        with serving() as each:
            streams = [each.ask(get(b"/", (b"priority", priority))) for _ in range(2)]
            for handler in each.handlers:
                handler.respond(body=BIG)
            each.talk()
            order = [call[1] for call in each.told.calls if call[0] == "data"]
            first_half = set(order[20 : len(order) // 2])
            assert (first_half == set(streams)) is turns


# -- ends --------------------------------------------------------------------------------------------------------------


def test_a_response_that_cannot_be_completed_is_reset() -> None:
    """And never looks complete; the other streams go on."""
    with serving() as each:
        stream = each.ask()
        each.handler.begin(b"some")
        each.handler.stream.reset("the origin is gone")
        each.handler.stream.send_body(b"more", True)
        each.talk()
        assert each.told.calls[-1] == ("reset", stream, INTERNAL_ERROR, False)
        each.ask()
        each.handler.respond()
        each.talk()
        assert not each.ended


def test_a_request_is_closed_without_a_word() -> None:
    """Of a response, that is: the stream ends, and the connection goes on."""
    with serving() as each:
        stream = each.ask()
        each.heard()
        each.handler.stream.close_silently()
        each.talk()
        assert each.heard() == [("reset", stream, CANCEL, False)]
        each.ask(get(b"/next"))
        assert each.handler.head.target == b"/next"


def test_a_client_that_gives_a_request_up_is_gone_for_its_handler_alone() -> None:
    """Nothing is told of the stream afterwards."""
    with serving() as each:
        stream = each.ask(POST, b"x", done=False)
        each.client.reset(stream, CANCEL)
        each.talk()
        assert each.handler.told == ["lost"]
        each.handler.stream.send_body(b"x", True)
        each.ask()
        assert len(each.handlers) == 2


def test_what_is_given_up_before_it_was_looked_at_is_no_request() -> None:
    """Rapid reset (CVE-2023-44487): nobody works for it."""
    with serving() as each:
        for _ in range(50):
            each.client.reset(each.client.request(GET, True), CANCEL)
        each.talk()
        assert each.handlers == []


def test_all_requests_are_lost_with_the_connection() -> None:
    """Each handler hears of it once."""
    with serving() as each:
        for _ in range(3):
            each.ask()
        each.transport.abort("gone")
        assert [handler.told for handler in each.handlers] == [["lost"]] * 3


def test_the_end_comes_in_two_steps() -> None:
    """A request that crosses the notice is served; one after the client has heard the second is not begun; then the
    connection ends properly (RFC 9113, section 6.8)."""
    with serving() as each:
        first = each.ask()
        each.connection.last_request()
        crossing = each.client.request(get(b"/crossing"), True)
        each.talk()
        assert [call[1:] for call in each.told.calls if call[0] == "goaway"] == [
            (2**31 - 1, NO_ERROR), (crossing, NO_ERROR),
        ]  # fmt: skip
        assert each.client.request(GET, True) == 0
        for handler in each.handlers:
            answer(handler)
        each.talk()
        assert (each.answer(first)[1], each.answer(crossing)[1]) == (b"/", b"/crossing")
        assert each.ended == "EOF"


def test_a_client_that_answers_no_ping_is_waited_for_a_second() -> None:
    """Then its requests are the last."""
    with serving() as each:
        each.connection.last_request()
        each.loop.settle()
        each.loop.wait(2.0)
        assert each.peer.read().endswith(b"EOF")
        each.loop.wait(3.0)
        assert each.ends == [""]


def test_keepalive_requests() -> None:
    """After so many the connection ends in the same way."""
    with serving(evolve(LIMITS, keepalive_requests=3), answer) as each:
        streams = [each.ask(get(b"/%d" % number)) for number in range(3)]
        assert [each.answer(stream)[1] for stream in streams] == [b"/0", b"/1", b"/2"]
        assert each.ended == "EOF"


def test_an_idle_connection_ends_and_a_busy_one_does_not() -> None:
    """keepalive-timeout counts from the last response; header-timeout until the first request."""
    with serving() as each:
        each.loop.wait(14.0, 1.0)
        assert not each.heard("goaway")
        stream = each.ask()
        each.loop.wait(200.0, 5.0)
        each.handler.respond()
        each.talk()
        assert each.answer(stream)[1] == b"ok"
        each.loop.wait(74.0, 1.0)
        each.talk()
        assert len(each.ended) == 0
        each.loop.wait(2.0, 1.0)
        each.talk()
        assert each.ended == "EOF"
    with serving() as each:
        each.loop.wait(16.0, 1.0)
        each.talk()
        assert each.ended == "EOF"


def test_a_request_head_has_a_time() -> None:
    """header-timeout, from its first byte, whatever else is under way; a body may take longer."""
    head = bytes((0, 0, 20, 1, 5, 0, 0, 0, 3)) + b"\x82\x84\x87"
    for piece, ends in ((head, True), (head[:12], True), (bytes((0, 0, 200, 0, 0, 0, 0, 0, 1, 0)), False)):
        with serving() as each:
            each.ask(POST, b"x", done=False)
            each.peer.send(piece)
            each.loop.wait(14.0, 1.0)
            assert each.refused_with == []
            each.loop.wait(2.0, 1.0)
            assert [error.status for error in each.refused_with] == [408] * ends
            assert each.handler.told == ["lost"] * ends


def test_a_request_body_has_a_time() -> None:
    """body-timeout, in which the time that its handler takes does not count; then 408, and the rest is not wanted."""
    with serving() as each:
        stream = each.ask(POST, b"x", done=False)
        each.handler.stream.pause_body()
        each.loop.wait(1000.0, 10.0)
        each.handler.stream.resume_body()
        each.loop.wait(290.0, 10.0)
        assert each.handler.told == []
        each.loop.wait(20.0, 1.0)
        assert each.handler.told == ["failed 408"]
        each.talk()
        assert each.answer(stream)[0][b":status"] == b"408"
        assert each.client.open_streams == 0
        each.ask()
        assert len(each.handlers) == 2


def test_a_client_that_has_closed_its_side_is_answered() -> None:
    """And nothing more; a body that is not whole fails."""
    with serving() as each:
        stream = each.ask(get(b"/a"))
        each.ask(POST, b"x", done=False)
        each.peer.finish()
        assert each.handlers[1].told == ["lost"]
        answer(each.handlers[0])
        each.talk()
        assert each.answer(stream)[1] == b"/a"
        assert each.ended == "EOF"


# -- what is no request ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (get(b"/" + b"a" * 9000), 414),
        (get(b"/", *[(b"x-%d" % number, b"y") for number in range(101)]), 431),
        (get(b"/", (b"x", b"y" * 33_000)), 431),
        (get(b"/", (b"content-type", b"a/b"), (b"content-type", b"a/c")), 400),
        ((*POST, (b"expect", b"the impossible")), 417),
        (get(b"/../a"), 400),
        (get(b"/%00"), 400),
        ((GET[0], (b":scheme", b"ftp"), *GET[2:]), 400),
        (((b":method", b"A" * 65), *GET[1:]), 501),
    ],
)
def test_a_request_that_is_not_served_is_answered_alone(fields: Any, status: int) -> None:
    """As in HTTP/1.1, but that the connection goes on; each is told of."""
    limits = evolve(LIMITS, http2=EngineLimits(max_headers=200, max_header_list_size=65536))
    with serving(limits) as each:
        stream = each.ask(fields, b"x" if fields[0][1] == b"POST" else None)
        head, body = each.answer(stream)
        assert (head[b":status"], int(body.split()[0])) == (b"%d" % status, status)
        assert [error.status for error in each.refused_with] == [status]
        assert each.handlers == []
        each.ask()
        assert len(each.handlers) == 1


def test_a_head_that_is_not_served_is_answered_without_a_body() -> None:
    """As every answer to HEAD."""
    with serving() as each:
        head, body = each.answer(each.ask(((b":method", b"HEAD"), *get(b"/" + b"a" * 9000)[1:])))
        assert (head[b":status"], body) == (b"414", b"")


def test_what_is_no_http2_is_refused_once() -> None:
    """A request of HTTP/1.1, or noise: the connection ends, and there is one event."""
    for noise in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\xff" * 100):
        with serving(greeting=False) as each:
            each.peer.send(noise)
            each.loop.settle()
            each.loop.wait(3.0)
            assert each.ends == [""]
            assert [error.status for error in each.refused_with] == [400]
            assert each.refused_with[0].reason.startswith("HTTP/2: ")


def test_one_client_has_so_many_requests_in_a_turn() -> None:
    """Sixteen of a hundred are handled before everybody else gets a turn; all of them in the end."""
    with serving(answering=answer) as each:
        for _ in range(100):
            each.client.request(GET, True)
        each.peer._connection.send(each.client.output())
        turns: list[int] = []
        again = each.loop.again

        def counted(continued: object) -> None:
            turns.append(len(each.handlers))
            again(continued)

        each.loop.again = counted  # type: ignore[method-assign]
        each.loop.settle()
        assert turns == [16, 32, 48, 64, 80, 96]
        assert len(each.handlers) == 100


def test_limits_are_another_from_a_reload_on() -> None:
    """Whatever comes next is held to them, on open connections too."""
    with serving() as each:
        each.connection.renew(evolve(LIMITS, head=HeadLimits(10, 1000, 5)))
        stream = each.ask(get(b"/" + b"a" * 10))
        assert each.answer(stream)[0][b":status"] == b"414"
