"""A connection that speaks HTTP/1.1 to a client: what is answered, in which framing and order, and until when."""

from __future__ import annotations

import itertools
import re

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from edgenode.net.deadlines import NEVER
from edgenode.proxy.http1.server import ServerConnection
from edgenode.proxy.http1.states import State
from edgenode.proxy.listener.limits import HeadLimits
from tests.proxy.http1.serving import LIMITS, Handler, serving
from tests.support import memory
from tests.support.node import OK, PKI, get

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
ASKING = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
UPLOAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
BIG = b"a" * 3_000_000
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answer(handler: Handler) -> None:
    """Answer at once."""
    handler.respond()


def echo(handler: Handler) -> None:
    """Answer at once, with the target."""
    handler.respond(body=handler.head.target)


def post(length: int) -> bytes:
    """The head of a request with a body."""
    return b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length


# -- framing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_head", "status", "length", "lines", "body"),
    [
        (GET, 200, 2, b"Content-Length: 2\r\n", b"ok"),
        (GET, 200, None, b"Transfer-Encoding: chunked\r\n", b"2\r\nok\r\n0\r\n\r\n"),
        (GET, 204, 0, b"", b""),
        (GET, 204, None, b"", b""),
        (GET, 304, 9, b"Content-Length: 9\r\n", b""),
        (GET, 304, None, b"", b""),
        (GET.replace(b"GET", b"HEAD"), 200, 2, b"Content-Length: 2\r\n", b""),
        (GET.replace(b"GET", b"HEAD"), 200, None, b"", b""),
        (LAST, 200, 2, b"Content-Length: 2\r\nConnection: close\r\n", b"ok"),
        (LAST, 200, None, b"Transfer-Encoding: chunked\r\nConnection: close\r\n", b"2\r\nok\r\n0\r\n\r\n"),
        (OLD, 200, 2, b"Content-Length: 2\r\nConnection: close\r\n", b"ok"),
        (OLD, 200, None, b"Connection: close\r\n", b"ok"),
        (
            OLD[:-2] + b"Connection: keep-alive\r\n\r\n",
            200,
            2,
            b"Content-Length: 2\r\nConnection: keep-alive\r\n",
            b"ok",
        ),
        (OLD[:-2] + b"Connection: keep-alive\r\n\r\n", 200, None, b"Connection: close\r\n", b"ok"),
        (post(5), 200, 2, b"Content-Length: 2\r\nConnection: close\r\n", b"ok"),
    ],
)
def test_each_response_has_one_framing(
    request_head: bytes, status: int, length: int | None, lines: bytes, body: bytes
) -> None:
    """By version, method, status and length; who cannot see the end otherwise sees it by the connection's."""

    def respond(handler: Handler) -> None:
        handler.over = True
        handler.stream.start_response(status, b"Fine", b"X: y\r\n", length, b"ok", True)

    with serving(answering=respond) as each:
        each.send(request_head)
        received = each.read()
        assert received.removesuffix(b"EOF") == b"HTTP/1.1 %d Fine\r\nX: y\r\n%b\r\n%b" % (status, lines, body)
        assert received.endswith(b"EOF") == (b"close" in lines)


@given(st.lists(st.binary(max_size=20_000), min_size=1, max_size=6), st.booleans(), st.booleans())
def test_a_response_in_pieces_is_their_sum(pieces: list[bytes], known: bool, trailers: bool) -> None:
    """Whether its length is known or not, and however large its pieces are; nothing but trailers follows them."""
    with serving() as each:
        each.send(GET)
        size = sum(map(len, pieces))
        each.handler.stream.start_response(200, b"", b"", size if known else None, pieces[0], False)
        for piece in pieces[1:]:
            each.handler.stream.send_body(piece, False)
        each.handler.stream.send_body(b"", True, ((b"x-sum", b"1"),) if trailers else ())
        body = each.read().partition(b"\r\n\r\n")[2]
        if known:
            assert body == b"".join(pieces)
            return
        found = b""
        while True:
            line, _, body = body.partition(b"\r\n")
            count = int(line, 16)
            if not count:
                break
            found += body[:count]
            assert body[count : count + 2] == b"\r\n"
            body = body[count + 2 :]
        assert found == b"".join(pieces)
        assert body == (b"x-sum: 1\r\n\r\n" if trailers else b"\r\n")


def test_a_reason_phrase_is_passed_on_or_the_status_s_own() -> None:
    """An unknown status has at least its space (RFC 9112, section 4)."""
    for status, reason, line in (
        (200, b"", b"200 OK"),
        (200, b"OK", b"200 OK"),
        (404, b"Gone Fishing", b"404 Gone Fishing"),
        (599, b"", b"599 "),
    ):
        with serving() as each:
            each.send(GET)
            each.handler.stream.start_response(status, reason, b"", 0, b"", True)
            assert each.read().startswith(b"HTTP/1.1 %b\r\n" % line)


# -- one after another -------------------------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order() -> None:
    """All of them sent at once; each is handled when the response before it is complete."""
    with serving() as each:
        each.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(4)))
        for number in range(4):
            assert len(each.handlers) == number + 1
            each.handler.respond(body=each.handler.head.target)
        assert re.findall(rb"\n(/\d)", each.read()) == [b"/0", b"/1", b"/2", b"/3"]
        assert each.connection.state is State.IDLE


def test_bodies_go_to_their_own_requests() -> None:
    """A pipelined request does not begin within the body before it."""
    with serving(answering=lambda handler: None) as each:
        each.send(
            post(4)
            + b"GET "
            + b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nPOST\r\n0\r\n\r\n"
            + GET
        )
        for body in (b"GET ", b"POST", b""):
            assert (each.handler.body, each.handler.done) == (body, bool(body))
            each.handler.respond()
        assert len(each.handlers) == 3
        assert each.read() == ANSWER * 3


def test_a_second_request_that_repeats_the_first_is_read_with_its_own_body() -> None:
    """Nothing of a request is remembered for the next: the same head again has a body again."""
    with serving() as each:
        for body in (b"first", b"GET /"):
            each.send(post(5) + body)
            assert (each.handler.body, each.handler.done) == (body, 1)
            each.handler.respond()
        assert len(each.handlers) == 2
        assert each.read() == ANSWER * 2


def test_pipelined_requests_wait_while_responses_are_not_taken() -> None:
    """No further request is handled before the client has taken what was sent."""
    with serving(answering=lambda handler: handler.respond(body=BIG)) as each:
        each.send(GET * 3)
        assert len(each.handlers) == 1
        each.read()
        assert len(each.handlers) == 3
        assert each.connection.state is State.IDLE


def test_a_turn_of_pipelined_requests_is_bounded_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others have their turn after a millisecond; the rest follows by itself, in order."""
    turns: list[int] = []
    received = ServerConnection.received

    def counted(connection: ServerConnection, data: bytes) -> None:
        received(connection, data)
        turns.append(len(each.handlers))

    monkeypatch.setattr(ServerConnection, "received", counted)
    with serving(answering=echo) as each:
        each.loop.tick = 0.0003
        each.peer.sock.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(30)))
        each.loop.settle()
        assert max(after - before for before, after in itertools.pairwise([0, *turns])) < 8
        assert len(re.findall(rb"\n(/\d+)", each.read())) == 30


def test_being_called_again_for_nothing_is_no_request() -> None:
    """What was to be gone on with may have been done before: then the connection is idle, and has its time as such."""
    with serving(answering=answer) as each:
        each.send(GET)
        each.connection.received(b"")
        assert each.connection.state is State.IDLE
        assert each.connection.deadline == each.loop.seconds() + LIMITS.timeouts.keepalive


def test_the_last_request_of_a_connection_says_so() -> None:
    """keepalive-requests bounds them; what was pipelined behind is not served."""
    with serving(evolve(LIMITS, keepalive_requests=3), answer) as each:
        each.send(GET * 5)
        received = each.read()
        assert received.count(b"HTTP/1.1 200") == 3
        assert received.count(b"Connection: close") == 1
        assert received.endswith(b"okEOF")


# -- 100 Continue ------------------------------------------------------------------------------------------------------


def test_a_client_that_waits_to_be_asked_is_asked_once() -> None:
    """When the handler wants the body, and not again."""
    with serving() as each:
        each.send(ASKING)
        assert each.read() == b""
        each.handler.stream.accept_body()
        each.handler.stream.accept_body()
        assert each.read() == CONTINUE


def test_a_client_that_did_not_wait_is_not_asked() -> None:
    """100 would come behind the body, when it says nothing any more (RFC 9110, section 10.1.1)."""
    for body in (b"b", b"body"):
        with serving() as each:
            each.send(ASKING + body)
            each.handler.stream.accept_body()
            assert each.read() == b""
        with serving() as each:
            each.send(ASKING)
            each.send(body)
            each.handler.stream.accept_body()
            assert each.read() == b""


@pytest.mark.parametrize("head", [post(4), ASKING.replace(b"1.1\r", b"1.0\r"), GET])
def test_nobody_else_is_asked(head: bytes) -> None:
    """Without an expectation, in HTTP/1.0, without a body."""
    with serving() as each:
        each.send(head)
        each.handler.stream.accept_body()
        assert each.read() == b""


def test_a_response_instead_of_100_is_the_last() -> None:
    """The body may come all the same, and must not be read as a request (RFC 9112, section 9.3)."""
    with serving(answering=lambda handler: handler.respond(403)) as each:
        each.send(ASKING)
        assert b"Connection: close\r\n" in each.read()
        each.send(b"GET / HTTP/1.1\r\n\r\n")
        assert len(each.handlers) == 1
        assert not each.refused_with


def test_interim_responses_are_for_those_who_know_them() -> None:
    """HTTP/1.0 does not."""
    for head, expected in ((GET, b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n"), (OLD, b"")):
        with serving() as each:
            each.send(head)
            each.handler.stream.interim(103, b"", b"X: y\r\n")
            assert each.read() == expected


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\0", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"A" * 65 + b" / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (ASKING.replace(b"100-continue", b"200-ok"), 417),
        (b"GET /%b HTTP/1.1\r\n\r\n" % (b"a" * 9000), 414),
    ],
)
def test_what_is_no_request_is_answered_and_told_and_the_last(data: bytes, status: int) -> None:
    """The response is whole, the connection lingers for a moment, and nothing that follows is read."""
    with serving() as each:
        each.send(data + GET)
        received = each.read()
        assert received.startswith(b"HTTP/1.1 %d " % status)
        assert b"\r\nConnection: close\r\n" in received
        assert received.endswith(b"EOF")
        assert [error.status for error in each.refused_with] == [status]
        each.send(GET)
        assert each.handlers == [] or status == 501
        each.loop.wait(3)
        assert each.ends


def test_a_malformed_body_is_told_to_its_handler() -> None:
    """Not its end; what follows is no request."""
    with serving() as each:
        each.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        each.send(b"zz\r\n" + GET)
        assert (each.handler.body, each.handler.done, each.handler.told) == (b"ok", 0, ["failed 400"])
        assert each.read().startswith(b"HTTP/1.1 400 ")
        assert len(each.handlers) == 1


# -- deadlines ---------------------------------------------------------------------------------------------------------


def test_the_first_request_is_expected_at_once() -> None:
    """header-timeout counts from the handshake, though nothing has come; without a word there is no answer."""
    with serving() as each:
        each.loop.wait(14.5, 0.5)
        assert not each.ends
        each.loop.wait(1)
        assert each.read() == b"EOF"


def test_a_head_has_its_time_from_its_first_byte() -> None:
    """A byte now and then does not extend it; then comes 408."""
    with serving() as each:
        each.loop.wait(10, 1)
        for _ in range(14):
            each.send(b"G")
            each.loop.wait(1, 1)
        assert each.read() == b""
        each.loop.wait(1.5, 0.5)
        assert each.read().startswith(b"HTTP/1.1 408 ")
        assert [error.status for error in each.refused_with] == [408]


def test_between_requests_there_is_more_time_than_within_one() -> None:
    """keepalive-timeout until the first byte, then header-timeout."""
    with serving(answering=answer) as each:
        each.send(GET)
        each.loop.wait(74, 1)
        each.send(b"G")
        assert each.connection.deadline == each.loop.seconds() + LIMITS.timeouts.header
        each.send(GET[1:])
        assert each.connection.deadline == each.loop.seconds() + LIMITS.timeouts.keepalive
        each.loop.wait(76, 1)
        assert each.read() == ANSWER * 2 + b"EOF"


def test_the_rest_of_a_pipelined_request_has_its_time_from_the_response() -> None:
    """It could not go on before."""
    with serving() as each:
        each.send(GET + b"GET /")
        each.loop.wait(100, 1)
        each.handler.respond()
        assert each.connection.state is State.HEAD
        assert each.connection.deadline == each.loop.seconds() + LIMITS.timeouts.header


def test_a_client_has_its_time_once_it_has_taken_everything() -> None:
    """While a response is being sent, nobody expects the next request; then there is as much time as ever."""
    with serving(answering=lambda handler: handler.respond(body=BIG)) as each:
        each.send(GET)
        assert each.connection.deadline == each.loop.seconds() + LIMITS.timeouts.send
        each.loop.wait(50, 1)
        each.read()
        assert each.connection.state is State.IDLE
        assert each.connection.deadline == each.loop.seconds() + LIMITS.timeouts.keepalive


def test_a_body_has_an_absolute_time() -> None:
    """However steadily it trickles in; then its handler is told, and answers."""
    with serving() as each:
        each.send(UPLOAD)
        for _ in range(30):
            each.send(b"a")
            each.loop.wait(10, 1)
        assert each.handler.told == ["failed 408"]
        assert each.read().startswith(b"HTTP/1.1 408 ")


def test_a_body_s_time_stands_still_while_its_handler_takes_nothing() -> None:
    """Who is kept waiting is not blamed; afterwards the rest of the time is left."""
    with serving() as each:
        each.send(UPLOAD)
        each.loop.wait(200, 1)
        each.handler.stream.pause_body()
        each.handler.stream.pause_body()
        each.send(b"a" * 1000)
        assert each.handler.body == b""
        assert each.connection.deadline == NEVER
        each.loop.wait(1000, 10)
        each.handler.stream.resume_body()
        each.handler.stream.resume_body()
        assert each.connection.deadline == each.loop.seconds() + 100
        each.loop.settle()
        assert each.handler.body == b"a" * 1000


@pytest.mark.parametrize("body", [b"ab", b"abcd"])
def test_a_handler_that_takes_nothing_yet_is_given_nothing(body: bytes) -> None:
    """Not even of what has come along with the head; it gets that when it takes more."""
    with serving(answering=lambda handler: handler.stream.pause_body()) as each:
        each.send(post(4) + body)
        assert (each.handler.body, each.handler.done) == (b"", 0)
        each.send(b"cd"[: 4 - len(body)])
        assert (each.handler.body, each.handler.done) == (b"", 0)
        each.handler.stream.resume_body()
        each.loop.settle()
        assert (each.handler.body, each.handler.done) == (b"abcd", 1)
        assert each.connection.deadline == NEVER


def test_a_body_that_is_over_has_no_deadline() -> None:
    """Its time is not the response's: neither without a response, nor with one that began before its end."""
    for early in (False, True):
        with serving() as each:
            each.send(UPLOAD)
            if early:
                each.handler.begin(b"x", 10)
            each.send(b"a" * 1_000_000)
            assert each.handler.done == 1
            assert each.connection.deadline == NEVER
            each.loop.wait(1000, 10)
            assert not each.ends


def test_a_body_that_ends_while_its_handler_takes_nothing_has_no_deadline_later() -> None:
    """Going on does not start it again."""
    with serving() as each:
        each.send(post(4))
        each.handler.taking = False
        each.send(b"body")
        each.handler.stream.resume_body()
        assert each.connection.state is State.WAIT
        assert each.connection.deadline == NEVER


def test_an_early_response_does_not_change_the_body_s_time() -> None:
    """While it is not taken its own deadline holds; once it is, the body's again."""
    with serving() as each:
        each.send(UPLOAD)
        due = each.connection.deadline
        each.handler.begin(BIG, 2 * len(BIG))
        assert each.transport.queued
        assert each.connection.deadline == each.loop.seconds() + LIMITS.timeouts.send
        each.loop.wait(30, 1)
        each.read()
        assert each.handler.told == ["drained"]
        assert each.connection.deadline == due


def test_who_was_refused_has_little_time_to_read_it() -> None:
    """Two seconds from when all is sent, whatever it sends meanwhile."""
    with serving(answering=lambda handler: handler.respond(403, BIG)) as each:
        each.send(UPLOAD)
        assert each.connection.state is State.LINGER
        each.loop.wait(30, 1)
        assert b"EOF" not in each.read(100_000)
        received = each.read()
        assert received.endswith(b"EOF")
        each.loop.wait(1.5)
        each.send(b"a" * 1000)
        assert not each.ends
        each.loop.wait(1)
        assert each.ends


# -- ends --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("requests", [1, 3])
def test_who_sends_no_more_gets_its_answers(requests: int) -> None:
    """All that were asked for, then the connection is closed at once."""
    with serving() as each:
        each.send(GET * requests)
        each.finish()
        assert not each.ends
        for _ in range(requests):
            each.handler.respond()
        assert each.read() == ANSWER * requests + b"EOF"
        assert each.ends == [""]


def test_who_sends_no_more_waits_for_its_answers_as_others_do() -> None:
    """Each takes as long as its origin does, in the first byte and after it; the end may come along with a request."""
    large = GET[:-2] + b"X: %b\r\n\r\n" % (b"a" * 2000)
    with serving() as each:
        each.peer.sock.send(large * 2)
        each.finish()
        for number in (1, 2):
            each.loop.wait(1000, 10)
            assert len(each.handlers) == number
            each.handler.begin(b"x", 2)
            each.loop.wait(1000, 10)
            assert not each.ends
            each.handler.finish(b"y")
        assert each.read().endswith(b"xyEOF")
        assert each.ends == [""]


def test_who_sends_no_more_gets_large_answers_too() -> None:
    """Those that are not taken at once, with requests behind them."""
    with serving(answering=lambda handler: handler.respond(body=BIG)) as each:
        each.send(GET * 3)
        each.finish()
        received = each.read()
        assert received.count(b"HTTP/1.1 200 OK") == 3
        assert len(received) > 3 * len(BIG)
        assert received.endswith(b"aEOF")
        assert each.ends == [""]


def test_who_sends_no_more_within_a_head_is_let_go() -> None:
    """Behind its answers, without a word of what never became a request."""
    with serving() as each:
        each.send(GET + GET[:10])
        each.finish()
        each.handler.respond()
        assert each.read() == ANSWER + b"EOF"
        assert not each.refused_with
    with serving() as each:
        each.send(GET[:10])
        each.finish()
        assert each.read() == b"EOF"


@pytest.mark.parametrize("early", [False, True])
def test_who_sends_no_more_within_a_body_is_cut(early: bool) -> None:
    """The request can never be whole; its handler is told, once."""
    with serving() as each:
        each.send(UPLOAD)
        if early:
            each.handler.begin(b"x", 10)
        each.finish()
        assert each.ends == ["closed within the request body"]
        assert (each.handler.told, each.handler.done) == (["lost"], 0)


def test_who_is_gone_is_told_to_the_handler_once() -> None:
    """The connection is lost, and nothing follows."""
    with serving() as each:
        each.send(GET)
        each.transport.abort("for the test")
        assert each.handler.told == ["lost"]
        assert each.ends == ["for the test"]
        assert each.connection.state is State.CLOSED


def test_a_response_that_cannot_be_completed_is_cut() -> None:
    """Without a last chunk; the handler did that itself, and hears nothing of it."""
    with serving() as each:
        each.send(GET)
        each.handler.begin(b"half")
        each.handler.stream.reset("for the test")
        assert each.read().endswith(b"4\r\nhalf\r\nEOF")
        assert each.handler.told == []


def test_a_request_can_be_closed_without_a_word() -> None:
    """nginx's 444."""
    with serving(answering=lambda handler: handler.stream.close_silently()) as each:
        each.send(GET * 2)
        assert each.read() == b"EOF"
        assert len(each.handlers) == 1
        assert each.handler.told == []


def test_a_connection_ends_after_its_request_if_it_has_to() -> None:
    """An idle one at once, and one that has begun to ask; the others with the response."""
    for before in (b"", GET[:10]):
        with serving() as each:
            each.send(before)
            each.connection.last_request()
            assert each.read() == b"EOF"
    with serving() as each:
        each.send(GET * 2)
        each.connection.last_request()
        each.handler.respond()
        assert each.read().endswith(b"Connection: close\r\n\r\nokEOF")
        assert len(each.handlers) == 1


def test_a_connection_that_has_to_end_sends_what_is_queued_first() -> None:
    """And serves nothing that comes meanwhile."""
    with serving(answering=lambda handler: handler.respond(body=BIG)) as each:
        each.send(GET)
        each.connection.last_request()
        assert each.connection.state is State.CLOSED
        each.send(GET)
        received = each.read()
        assert len(received) > len(BIG)
        assert received.endswith(b"aEOF")
        assert len(each.handlers) == 1
        assert each.ends


def test_a_client_that_closes_is_not_kept_lingering() -> None:
    """It has read what there was."""
    with serving() as each:
        each.send(b"\0")
        each.finish()
        assert each.ends == [""]


def test_limits_are_those_of_now() -> None:
    """After a reload the next head is held to others, and so are its deadlines."""
    with serving(answering=answer) as each:
        each.send(GET)
        timeouts = evolve(LIMITS.timeouts, header=3.0, keepalive=7.0)
        each.connection.renew(evolve(LIMITS, head=HeadLimits(1024, 8192, 1), timeouts=timeouts))
        each.send(GET)
        assert each.connection.deadline == each.loop.seconds() + 7.0
        each.send(b"G")
        assert each.connection.deadline == each.loop.seconds() + 3.0
        each.send(GET[1:-2] + b"X: y\r\n\r\n")
        assert [error.status for error in each.refused_with] == [431]


# -- the same over TLS -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [memory.ClientEnd.notify, memory.ClientEnd.fin], ids=["close_notify", "FIN"])
def test_a_client_that_ends_its_side_over_tls_gets_its_answers(pki: PKI, end: object) -> None:
    """By close_notify or by FIN alone, as from nginx; then the node closes properly."""
    with memory.node(pki) as node:
        client = node.client()
        client.send(get("/1") + get("/2"))
        end(client)  # type: ignore[operator]
        origin = node.origin()
        for target in (b"/1", b"/2"):
            assert origin.read().startswith(b"GET %b " % target)
            origin.send(OK)
        assert client.read().count(b"HTTP/1.1 200 OK") == 2
        assert client.ended == "close_notify"
        assert [event["status"] for event in node.events] == [200, 200]
        assert not node.port.connections


@pytest.mark.parametrize("end", [memory.ClientEnd.notify, memory.ClientEnd.fin], ids=["close_notify", "FIN"])
def test_a_client_that_ends_its_side_within_a_body_over_tls_is_ended(pki: PKI, end: object) -> None:
    """The origin never gets the end of the body, and the event says whose fault that was."""
    with memory.node(pki) as node:
        client = node.client()
        client.send(get("/", "open.test", "Content-Length: 10", method="POST", body=b"12345"))
        origin = node.origin()
        assert origin.read().endswith(b"12345")
        end(client)  # type: ignore[operator]
        assert origin.read() == b""
        assert origin.ended
        assert client.read() == b""
        assert [event["status"] for event in node.events] == [499]
