"""A connection that speaks HTTP/2 to an origin by itself: what it tells, what it gives back, when it gives up."""

from __future__ import annotations

from typing import Any

import pytest
from h2.events import ConnectionTerminated, DataReceived, PingReceived, StreamEnded, TrailersReceived, WindowUpdated
from h2.settings import SettingCodes

from tests.proxy.http1.asking import Receiver
from tests.proxy.http2.asking import OK, asking

CANCEL, REFUSED = 8, 7


def test_head_body_and_end_are_told_as_one_if_they_came_as_one() -> None:
    """A short response costs its reader one call."""
    with asking() as each:
        calls: list[str] = []
        stream, receiver = each.ask(Receiver(on_call=calls.append))
        each.answer(stream, b"ok")
        assert (receiver.body, receiver.done, calls) == (b"ok", True, ["responded"])
        assert each.connection.active == 0


def test_streams_are_answered_in_any_order() -> None:
    """And each hears of its own alone."""
    with asking() as each:
        asked = [each.ask() for _ in range(3)]
        for number in (2, 0, 1):
            each.answer(asked[number][0], b"%d" % number)
        assert [receiver.body for _, receiver in asked] == [b"0", b"1", b"2"]


def test_a_paused_stream_is_told_nothing_and_its_window_is_not_given_back() -> None:
    """The window of 256 KiB bounds what waits here; another stream gets on all the while."""
    with asking() as each:
        stream, receiver = each.ask()
        each.answer(stream, done=False)
        each.pause(stream, receiver)
        sent = 0
        while each.h2.local_flow_control_window(stream.number):
            size = min(each.h2.local_flow_control_window(stream.number), 16384)
            each.h2.send_data(stream.number, bytes(size))
            each.say()
            sent += size
        assert (sent, receiver.body) == (256 * 1024, b"")
        assert not [told for told in each.hear(WindowUpdated) if told.stream_id == stream.number]  # type: ignore[attr-defined]
        other, heard = each.ask()
        each.answer(other, bytes(10_000))
        assert len(heard.body) == 10_000
        each.resume(stream, receiver)
        assert len(receiver.body) == sent
        assert each.h2.local_flow_control_window(stream.number) > 128 * 1024


def test_what_was_taken_by_who_then_paused_is_given_back_when_it_goes_on() -> None:
    """Until then it has not left towards the client."""
    with asking() as each:
        stream, receiver = each.ask()
        receiver.on_call = lambda name: each.pause(stream, receiver) if name == "response_body" else None
        each.answer(stream, done=False)
        for _ in range(10):
            each.h2.send_data(stream.number, bytes(16384))
        each.say()
        each.hear()
        assert 0 < len(receiver.body) < 10 * 16384
        before = each.h2.local_flow_control_window(stream.number)
        receiver.on_call = lambda name: None
        each.resume(stream, receiver)
        assert len(receiver.body) == 10 * 16384
        assert each.h2.local_flow_control_window(stream.number) > before


def test_what_waits_for_a_stream_that_is_given_up_is_given_back() -> None:
    """Or the connection's window would leak away, stream by stream."""
    with asking(max_streams=1) as each:
        for _ in range(8):
            stream, receiver = each.ask()
            each.answer(stream, done=False)
            each.pause(stream, receiver)
            for _ in range(4):
                each.h2.send_data(stream.number, bytes(16384))
            each.say()
            receiver.given_up = True
            stream.reset()
            each.hear()
        assert each.resets == [(number, CANCEL) for number in range(1, 17, 2)]
        assert each.h2.outbound_flow_control_window > 100_000


def test_the_end_is_told_to_who_has_paused_if_nothing_waits() -> None:
    """A response without a body has nothing that could be held back."""
    with asking() as each:
        stream, receiver = each.ask()
        each.answer(stream, done=False)
        each.pause(stream, receiver)
        each.h2.end_stream(stream.number)
        each.say()
        assert receiver.done


def test_a_response_that_is_complete_survives_its_connection() -> None:
    """All of it is here: that its reader is slow is no reason to cut it."""
    with asking() as each:
        stream, receiver = each.ask()
        each.answer(stream, done=False)
        each.pause(stream, receiver)
        each.h2.send_data(stream.number, b"all of it", end_stream=True)
        each.say()
        each.peer.close()
        assert each.ends == 1
        each.resume(stream, receiver)
        assert (receiver.body, receiver.done, receiver.error) == (b"all of it", True, None)


def test_trailers_come_with_the_end() -> None:
    """Both ways."""
    with asking() as each:
        stream, receiver = each.ask(method=b"POST", length=None, done=False)
        stream.send_body(b"x", True, ((b"x-sum", b"1"),))
        (trailers,) = each.hear(TrailersReceived)
        assert trailers.headers == [(b"x-sum", b"1")]  # type: ignore[attr-defined]
        each.answer(stream, b"y", done=False)
        each.h2.send_headers(stream.number, ((b"grpc-status", b"0"),), end_stream=True)
        each.say()
        assert (receiver.body, receiver.trailers, receiver.done) == (b"y", ((b"grpc-status", b"0"),), True)


def test_an_answer_before_the_end_of_the_request_ends_both() -> None:
    """The origin wants no more of it, and is not sent any: RFC 9113, section 8.1."""
    with asking() as each:
        stream, receiver = each.ask(method=b"POST", length=10, body=b"12345", done=False)
        each.answer(stream, b"no", ((b":status", b"413"),))
        each.reset(stream, 0)
        assert (receiver.body, receiver.done, receiver.error) == (b"no", True, None)
        stream.send_body(b"67890", True)
        assert each.hear(DataReceived) == []
        assert each.connection.active == 0


def test_an_expectation_is_sent_and_its_answer_told() -> None:
    """As in HTTP/1.1, without closing anything."""
    with asking() as each:
        stream, receiver = each.ask(method=b"POST", length=2, done=False, expects=True)
        assert (b"expect", b"100-continue") in each.heads[0].headers
        each.h2.send_headers(stream.number, ((b":status", b"100"),))
        each.say()
        stream.send_body(b"hi", True)
        each.hear()
        each.answer(stream, b"ok")
        assert (receiver.interims, receiver.body, each.body) == ([100], b"ok", b"hi")


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", b"200"), (b"GET", b"304"), (b"GET", b"204")])
def test_a_response_without_a_body_may_say_its_length(method: bytes, status: bytes) -> None:
    """Of what it would have been."""
    with asking() as each:
        stream, receiver = each.ask(method=method)
        length = () if status == b"204" else ((b"content-length", b"99"),)
        each.answer(stream, fields=((b":status", status), *length))
        assert (receiver.body, receiver.done, receiver.error) == (b"", True, None)
        assert receiver.head is not None
        assert receiver.head.length == (99 if length else None)


@pytest.mark.parametrize(
    ("code", "kind", "sent"), [(REFUSED, "reset", False), (2, "reset", True), (13, "invalid", False)]
)
def test_a_reset_is_an_error_with_its_code(code: int, kind: str, sent: bool) -> None:
    """REFUSED_STREAM and HTTP_1_1_REQUIRED say that nothing has looked at the request; the latter will say it again."""
    with asking() as each:
        stream, receiver = each.ask()
        other, heard = each.ask()
        each.reset(stream, code)
        assert receiver.error is not None
        error = receiver.error
        assert (error.status, error.kind, error.sent, error.code, error.begun) == (502, kind, sent, code, False)
        each.answer(other, b"ok")
        assert heard.body == b"ok"


def test_a_reset_in_the_middle_comes_behind_what_came_before() -> None:
    """It is told that the response is broken, and is not taken for complete."""
    with asking() as each:
        stream, receiver = each.ask()
        each.answer(stream, b"half", done=False)
        each.reset(stream, REFUSED)
        assert receiver.body == b"half"
        assert receiver.error is not None
        assert (receiver.error.sent, receiver.error.begun) == (True, True)


def test_after_goaway_what_was_begun_goes_on_and_nothing_begins() -> None:
    """Streams above the last one were not looked at; the connection is closed when the others are done."""
    with asking() as each:
        first, receiver = each.ask()
        _, refused = each.ask()
        frame = b"\0\0\x08\x07\0\0\0\0\0" + first.number.to_bytes(4, "big") + b"\0\0\0\0"
        each.peer.send(frame)
        assert refused.error is not None
        assert (refused.error.kind, refused.error.sent, refused.error.code) == ("reset", False, REFUSED)
        assert (each.connection.room, each.connection.active, receiver.error) == (0, 1, None)
        assert each.changes[-1] == 0
        each.answer(first, b"ok")
        assert receiver.body == b"ok"
        assert each.ends == 1


def test_an_idle_connection_closes_at_goaway() -> None:
    """Nobody waits for anything on it."""
    with asking() as each:
        each.h2.close_connection()
        each.say()
        assert each.ends == 1


def test_the_server_may_take_more_streams_later_or_none() -> None:
    """SETTINGS may say so at any time."""
    with asking(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 2}) as each:
        stream, receiver = each.ask()
        assert each.connection.room == 1
        each.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 0})
        each.say()
        assert each.connection.room == 0
        each.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 5})
        each.say()
        assert each.connection.room == 4
        assert each.changes[-2:] == [0, 4]
        each.answer(stream, b"ok")
        assert receiver.done


def test_a_stream_has_its_place_from_when_it_is_lent() -> None:
    """Before it has begun: nobody else is lent the last one."""
    with asking(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 2}) as each:
        streams = [each.connection.stream() for _ in range(2)]
        assert each.connection.room == 0
        for stream in streams:
            stream.reset()
        assert each.connection.room == 2


def test_a_connection_is_not_ready_before_its_settings() -> None:
    """Nor does PING or anything else make it so."""
    with asking(mute=True) as each:
        assert each.connection.room == 0
        each.peer.send(b"\0\0\0\x04\0\0\0\0\0")
        assert each.connection.room == 100


# -- time --------------------------------------------------------------------------------------------------------------


def test_a_silent_stream_ends_at_the_read_timeout_alone() -> None:
    """With RST_STREAM; and the origin is asked whether it lives, before anybody else is sent to it."""
    with asking(read_timeout=1) as each:
        stream, receiver = each.ask()
        each.loop.wait(1.5)
        assert receiver.error is not None
        assert (receiver.error.status, receiver.error.kind, receiver.error.sent) == (504, "timeout", True)
        assert each.connection.room == 0
        assert [type(event) for event in each.hear(PingReceived)] == [PingReceived]
        assert each.resets == [(stream.number, CANCEL)]
        each.hear()
        assert each.connection.room == 100


def test_a_dead_connection_is_given_up() -> None:
    """A PING that nobody answers ends it, and all that waits for it."""
    with asking(ping_interval=2, ping_timeout=1, read_timeout=60) as each:
        _, receiver = each.ask()
        each.loop.wait(2.5)
        assert receiver.error is None
        each.loop.wait(1)
        assert receiver.error is not None
        assert (receiver.error.status, receiver.error.kind) == (504, "timeout")
        assert each.ends == 1


def test_a_living_connection_is_pinged_twice_at_most() -> None:
    """Servers of gRPC end a connection at the third PING without a frame of a stream."""
    with asking(ping_interval=2, ping_timeout=1, read_timeout=60) as each:
        stream, receiver = each.ask()
        pings = 0
        for _ in range(100):
            each.loop.wait(0.2)
            pings += len(each.hear(PingReceived))
        assert (pings, receiver.error, each.ends) == (2, None, 0)
        each.answer(stream, b"1", done=False)
        for _ in range(20):
            each.loop.wait(0.2)
            pings += len(each.hear(PingReceived))
        assert pings in (3, 4)


def test_a_server_that_answers_nothing_is_pinged_every_five_minutes() -> None:
    """However many requests give up on it: as seldom as servers of gRPC allow."""
    with asking(ping_interval=2, ping_timeout=1, read_timeout=3, idle_timeout=1000) as each:
        pings = 0
        for _ in range(40):
            each.ask()
            for _ in range(20):
                each.loop.wait(0.2)
                pings += len(each.hear(PingReceived))
        assert (pings, each.ends) == (2, 0)
        each.loop.advance(300)
        each.ask()
        for _ in range(40):
            each.loop.wait(0.2)
            pings += len(each.hear(PingReceived))
        assert (pings, each.ends) == (3, 0)


def test_a_request_that_the_origin_does_not_take_ends_at_the_send_timeout() -> None:
    """Its window is shut: that stream fails, and others go on."""
    with asking(send_timeout=1, settings={SettingCodes.INITIAL_WINDOW_SIZE: 10}) as each:
        _, receiver = each.ask(method=b"POST", length=100, body=bytes(100))
        assert len(each.body) == 10
        each.loop.wait(0.8)
        assert receiver.error is None
        each.loop.wait(1.8)
        assert receiver.error is not None
        assert (receiver.error.status, receiver.error.kind) == (504, "timeout")
        stream, receiver = each.ask()
        each.answer(stream, b"ok")
        assert receiver.body == b"ok"


def test_a_writer_waits_while_much_is_unsent() -> None:
    """And is told when the origin has taken it."""
    with asking(settings={SettingCodes.INITIAL_WINDOW_SIZE: 10}) as each:
        stream, receiver = each.ask(method=b"POST", length=200_010, done=False)
        stream.send_body(bytes(10), False)
        each.hear()
        assert not stream.full
        stream.send_body(bytes(200_000), True)
        assert stream.full
        assert receiver.drained == 0
        while not each.hear(StreamEnded):
            each.h2.increment_flow_control_window(100_000)
            each.h2.increment_flow_control_window(100_000, stream.number)
            each.say()
        assert receiver.drained == 1
        assert len(each.body) == 200_010


# -- defects -----------------------------------------------------------------------------------------------------------


def test_a_defect_ends_its_own_stream_alone(flush_logged_errors: Any) -> None:
    """An exception of who is told ends that stream, and is logged."""

    def broken(name: str) -> None:
        if name == "responded":
            raise RuntimeError("for the test")

    with asking() as each:
        stream, receiver = each.ask(Receiver(on_call=broken))
        other, heard = each.ask()
        each.answer(stream, b"a", done=False)
        assert each.ends == 0
        each.answer(other, b"ok")
        assert heard.body == b"ok"
        each.hear()
        assert each.resets == [(stream.number, 2)]
        assert receiver.error is not None
        assert len(flush_logged_errors(RuntimeError)) == 1


def test_garbage_ends_the_connection_and_everybody_is_told() -> None:
    """GOAWAY says why."""
    with asking() as each:
        asked = [each.ask() for _ in range(3)]
        each.peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(100))
        assert {receiver.error and receiver.error.kind for _, receiver in asked} == {"invalid"}
        assert each.ends == 1
        (end,) = each.hear(ConnectionTerminated)
        assert end.error_code  # type: ignore[attr-defined]


def test_a_lost_connection_is_a_reset_of_each_stream() -> None:
    """What has not begun to be answered may have been looked at."""
    with asking() as each:
        first, receiver = each.ask()
        _, other = each.ask()
        each.answer(first, b"half", done=False)
        each.peer.close()
        assert receiver.error is not None
        assert other.error is not None
        assert (receiver.error.kind, receiver.error.begun) == ("reset", True)
        assert (other.error.kind, other.error.begun, other.error.sent) == ("reset", False, True)


@pytest.mark.parametrize(
    "fields",
    [
        ((b":status", b"101"),),
        ((b":status", b"600"),),
        ((b":status", b"2000"),),
        ((b"a", b"b"),),
        ((b":status", b"200"), (b"connection", b"close")),
        ((b":status", b"200"), (b"transfer-encoding", b"chunked")),
        ((b":status", b"200"), (b"x y", b"1")),
        ((b":status", b"200"), (b"X-A", b"1")),
        ((b":status", b"200"), (b"a", b"b\r\nc: d")),
        ((b":status", b"200"), (b"a", b"b\x00")),
        ((b":status", b"200"), (b"a", b"b\x7f")),
        ((b":status", b"200"), (b"a", b" b")),
        ((b":status", b"200"), (b":status", b"200")),
        ((b":status", b"200"), (b"a", b"b"), (b":status", b"200")),
        ((b":status", b"200"), (b":path", b"/")),
        ((b":status", b"200"), (b"content-length", b"+2")),
        ((b":status", b"200"), (b"content-length", b"2"), (b"content-length", b"2")),
        ((b":status", b"200"), (b"content-length", b"3")),
        ((b":status", b"200"), (b"content-length", b"1")),
        ((b":status", b"200"), (b"content-length", b"2, 2")),
        ((b":status", b"200"), (b"", b"1")),
    ],
    ids=repr,
)
def test_a_malformed_response_ends_its_stream_alone(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    """Nothing of it reaches a client that could read it in another way."""
    with asking() as each:
        stream, receiver = each.ask()
        other, heard = each.ask()
        each.h2.send_headers(stream.number, OK)
        each.h2.clear_outbound_data_buffer()
        encoded = each.h2.encoder.encode(fields)
        size = len(encoded)
        each.peer.send(size.to_bytes(3, "big") + b"\x01\x04" + stream.number.to_bytes(4, "big") + encoded)
        each.peer.send(b"\0\0\x02\0\x01" + stream.number.to_bytes(4, "big") + b"ok")
        assert receiver.error is not None
        assert (receiver.error.status, receiver.error.kind, receiver.error.sent) == (502, "invalid", True)
        assert b"\r" not in b"".join(line for line in (receiver.head.field_lines if receiver.head else []))
        if each.ends == 0:
            each.answer(other, b"ok")
            assert heard.body == b"ok"
        each.hear()


def test_a_flood_of_interim_responses_ends_the_stream() -> None:
    """Sixteen are enough for anybody."""
    with asking() as each:
        stream, receiver = each.ask()
        for _ in range(17):
            each.h2.send_headers(stream.number, ((b":status", b"102"),))
        each.say()
        assert receiver.error is not None
        assert receiver.error.kind == "invalid"
        assert len(receiver.interims) == 16


def test_a_head_that_is_too_large_is_refused() -> None:
    """By max-header-size, and however many fields it has."""
    for fields in ([(b"a" * 9, b"b" * 9000)], [(b"a%d" % number, b"b") for number in range(2000)]):
        with asking() as each:
            stream, receiver = each.ask()
            each.answer(stream, b"ok", (*OK, *fields))
            assert receiver.error is not None
            assert receiver.error.kind == "invalid"
