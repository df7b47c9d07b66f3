"""The readers of HTTP/1.1, without sockets: however bytes are cut the same messages are read, each to the byte."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.model.errors import ClientError
from edgenode.proxy.http1.fields import MalformedHead
from edgenode.proxy.http1.reader import RequestReader, ResponseReader
from edgenode.proxy.listener.limits import HeadLimits
from tests.proxy.http1.messages import (
    LIMITS,
    MAX_HEAD,
    Report,
    Written,
    cuts,
    read_requests,
    read_response,
    requests,
    responses,
)
from tests.support.hostile import Hostile
from tests.support.hostile_requests import FAMILIES
from tests.support.misbehaviours import MISBEHAVIOURS

REST = st.sampled_from((b"", b"G", b"GET / HTTP/1.1\r\nHo", b"\r", b"POST /a"))
"""The beginning of a request."""


def one_by_one(data: bytes) -> list[bytes]:
    """Bytes, each by itself."""
    return [data[at : at + 1] for at in range(len(data))]


# -- requests ----------------------------------------------------------------------------------------------------------


@given(st.lists(requests(), max_size=4), REST, st.data())
def test_pipelined_requests_are_the_same_however_they_are_cut(
    written: list[Written], rest: bytes, data: st.DataObject
) -> None:
    """Whole, byte by byte or cut anywhere: the requests that were sent, and what has come of the next one."""
    stream = b"".join(each.data for each in written) + rest
    expected = Report(tuple(each.message for each in written), rest)
    for pieces in ([stream], one_by_one(stream), data.draw(cuts(stream))):
        assert read_requests(pieces) == expected


@given(requests(), st.binary(max_size=40))
def test_a_request_takes_exactly_its_own_bytes(written: Written, behind: bytes) -> None:
    """Whatever stands behind a request is left to the next one, to the byte."""
    reader = RequestReader(LIMITS)
    reader.feed(written.data + behind)
    assert reader.read_head() is not None
    if reader.body is not None:
        assert reader.read_body() == (written.message.body, True)
    assert (reader.buffered, reader.body) == (behind, None)


SHORT = [case for cases in FAMILIES.values() for case in cases if len(case.data) < 600]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_hostile_request_is_no_better_in_pieces(family: str) -> None:
    """What is refused whole is refused byte by byte, after the same messages; and what is served is served alike."""
    for case in FAMILIES[family]:
        if len(case.data) < 2500:
            data = case.before + case.data
            whole, bytewise = read_requests([data]), read_requests(one_by_one(data))
            assert (whole.messages, whole.rest, bool(whole.refused)) == (
                bytewise.messages,
                bytewise.rest,
                bool(bytewise.refused),
            ), case.name


@settings(max_examples=300)
@given(st.sampled_from(SHORT), st.data())
def test_a_hostile_request_is_no_better_cut_anywhere(case: Hostile, data: st.DataObject) -> None:
    """Cut at any places, too, followed by another request."""
    stream = case.data + b"GET /next HTTP/1.1\r\nHost: open.test\r\n\r\n"
    whole, cut = read_requests([stream]), read_requests(data.draw(cuts(stream)))
    assert (whole.messages, bool(whole.refused)) == (cut.messages, bool(cut.refused))


def test_empty_lines_before_a_request_are_no_request() -> None:
    """They are ignored, but one of them is kept: so that a trickle of them has the deadline of a head."""
    reader = RequestReader(LIMITS)
    for _ in range(100):
        reader.feed(b"\r\n")
        assert reader.read_head() is None
        assert reader.buffered == b"\r\n"
    reader.feed(b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n")
    assert reader.read_head() is not None
    assert reader.buffered == b""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 1100, 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 8200, 431),
        (b"GET / HTTP/1.1\n", 400),
        (b"\n", 400),
        (b"GET /\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: \0", 400),
        (b"GET / HTTP/1.1\r\nX: a\rb", 400),
        (b"\rGET / HTTP/1.1\r\n", 400),
        (b"GET /\x01 HTTP/1.1\r\n", 400),
    ],
)
def test_a_head_that_cannot_become_good_is_refused_before_its_end(data: bytes, status: int) -> None:
    """Nobody has to wait for the empty line, least of all for one that never comes."""
    assert read_requests([data]).refused == read_requests(one_by_one(data)).refused == str(status)


def test_a_version_that_is_missing_is_told_from_other_faults() -> None:
    """By the request line alone, whatever has come behind it."""
    for rest in (b"", b"Host: open.test\r\n"):
        for start, reason in ((b"GET /", "HTTP/0.9 is not spoken"), (b"GET", "the request line is malformed")):
            reader = RequestReader(LIMITS)
            reader.feed(start + b"\r\n" + rest)
            with pytest.raises(ClientError) as caught:
                reader.read_head()
            assert (caught.value.status, caught.value.reason) == (400, reason)


@pytest.mark.parametrize("size", [100, 101])
def test_the_largest_head_is_as_large_as_the_limit(size: int) -> None:
    """To the byte, whether it comes at once or in pieces."""
    head = b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n"
    head %= b"a" * (size - len(head) + 2)
    assert len(head) == size
    for pieces in ([head], one_by_one(head), [head + head]):
        reader = RequestReader(HeadLimits(1024, 100, 64))
        for piece in pieces[:-1]:
            reader.feed(piece)
            assert reader.read_head() is None
        reader.feed(pieces[-1])
        if size == 100:
            assert reader.read_head() is not None
        else:
            with pytest.raises(ClientError) as caught:
                reader.read_head()
            assert caught.value.status == 431


def test_limits_can_change_between_requests() -> None:
    """A reload holds the next head to other limits."""
    reader = RequestReader(HeadLimits(1024, 8192, 1))
    reader.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n")
    assert reader.read_head() is not None
    reader.limits = HeadLimits(1024, 8192, 2)
    assert reader.read_head() is not None


REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ", b"\r\n\r\n"
TRAILER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"\r\n\r\n"


@pytest.mark.parametrize(
    ("reader", "around", "size"),
    [
        (lambda: RequestReader(HeadLimits(8192, 65536, 100)), REQUEST, 60_000),
        (lambda: ResponseReader(65536), RESPONSE, 60_000),
        (lambda: ResponseReader(65536), TRAILER, 8_000),
    ],
    ids=["request", "response", "trailer"],
)
def test_what_comes_byte_by_byte_costs_no_more_the_more_has_come(
    reader: Callable[[], RequestReader | ResponseReader], around: tuple[bytes, bytes], size: int
) -> None:
    """A byte behind thousands of bytes of a line costs as much as one behind a few: all are looked at once."""

    def bytewise(reading: RequestReader | ResponseReader, most: int) -> float:
        times = []
        for _ in range(most):
            began = time.perf_counter()
            reading.feed(b"a")
            read(reading)
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    def read(reading: RequestReader | ResponseReader) -> None:
        if isinstance(reading, ResponseReader) and reading.head is not None:
            assert not reading.read_body()[1]
        else:
            reading.read_head()

    reading = reader()
    reading.feed(around[0])
    read(reading)
    read(reading)
    few = bytewise(reading, 200)
    reading.feed(b"a" * (size - 600))
    read(reading)
    many = bytewise(reading, 200)
    reading.feed(around[1])
    assert many < 3 * few
    if around is TRAILER:
        assert reading.read_body() == (b"", True)
        assert len(reading.trailers[0][1]) == size - 200
    else:
        head = reading.read_head()
        assert head is not None
        assert len(head.fields[b"x"][0]) == size - 200


# -- responses ---------------------------------------------------------------------------------------------------------


@given(responses(), st.binary(max_size=20), st.data())
def test_a_response_is_the_same_however_it_is_cut(written: Written, behind: bytes, data: st.DataObject) -> None:
    """Interim responses before it are heads of their own, and what stands behind it is nobody's."""
    stream = written.data + behind
    expected = Report((written.message,), behind)
    for pieces in ([stream], one_by_one(stream), data.draw(cuts(stream))):
        assert read_response(pieces, written.method) == expected


@pytest.mark.parametrize(
    ("framing", "body", "endless"),
    [(b"Content-Length: 3", b"1", False), (b"Transfer-Encoding: chunked", b"3\r\n1", False), (b"X: y", b"1", True)],
)
def test_only_a_body_without_a_length_ends_with_its_connection(framing: bytes, body: bytes, endless: bool) -> None:
    """Any other is cut short by it."""
    reader = ResponseReader(MAX_HEAD)
    reader.expect(b"GET")
    reader.feed(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b" % (framing, body))
    assert reader.read_head() is not None
    assert reader.read_body() == (b"1", False)
    assert reader.ends_with_connection() is endless


def test_bytes_behind_a_response_are_noticed() -> None:
    """They are no response to anybody."""
    for behind in (b"", b"HTTP/1.1 200 OK\r\n\r\n"):
        reader = ResponseReader(MAX_HEAD)
        reader.expect(b"GET")
        reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + behind)
        assert reader.read_head() is not None
        assert reader.read_body() == (b"ok", True)
        assert reader.excess is bool(behind)


@given(responses(), responses())
def test_a_reader_reads_one_response_after_another(first: Written, second: Written) -> None:
    """Between two of them it is told what was asked; nothing is left of the first."""
    reader = ResponseReader(MAX_HEAD)
    for written in (first, second):
        reader.expect(written.method)
        reader.feed(written.data)
        while reader.head is None:
            assert reader.read_head() is not None
        assert reader.read_body() == (written.message.body, True)
        assert reader.trailers == written.message.trailers
        assert not reader.excess


@given(st.binary(max_size=60), st.data())
def test_an_endless_body_takes_everything(body: bytes, data: st.DataObject) -> None:
    """Without a length a response ends with its connection, and that is known."""
    reader = ResponseReader(MAX_HEAD)
    reader.expect(b"GET")
    reader.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    head = reader.read_head()
    assert head is not None
    assert (head.length, head.keep_alive, reader.ends_with_connection()) == (None, False, True)
    got = b""
    for piece in data.draw(cuts(body)):
        reader.feed(piece)
        part, done = reader.read_body()
        got += part
        assert not done
    assert got == body
    assert not reader.excess


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_a_misbehaving_origin_is_no_better_in_pieces(name: str) -> None:
    """What is refused whole is refused byte by byte; what is whole is whole."""
    data = b"".join(MISBEHAVIOURS[name].pieces)[:4000]
    whole, bytewise = read_response([data], b"GET"), read_response(one_by_one(data), b"GET")
    assert (whole.messages, bool(whole.refused)) == (bytewise.messages, bool(bytewise.refused))


def test_a_flood_of_interim_responses_is_malformed() -> None:
    """Sixteen are taken, for each request anew."""
    interim = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    reader = ResponseReader(MAX_HEAD)
    for _ in range(2):
        reader.expect(b"GET")
        reader.feed(interim * 16)
        for _ in range(16):
            assert reader.read_head() is not None
        assert reader.read_head() is None
    reader.feed(interim)
    with pytest.raises(MalformedHead):
        reader.read_head()


def test_a_switch_of_protocols_that_nobody_asked_for_is_malformed() -> None:
    """What would follow 101 is no HTTP."""
    reader = ResponseReader(MAX_HEAD)
    reader.expect(b"GET")
    reader.feed(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n")
    with pytest.raises(MalformedHead):
        reader.read_head()


@pytest.mark.parametrize("whole", [True, False])
def test_a_response_head_over_the_limit_is_malformed(whole: bool) -> None:
    """The limit holds to the byte, whether a head comes at once or in pieces."""
    for size, good in ((100, True), (101, False)):
        head = b"HTTP/1.1 200 OK\r\nX: \r\n\r\n"
        head = head.replace(b"X: ", b"X: " + b"a" * (size - len(head)))
        reader = ResponseReader(100)
        reader.expect(b"HEAD")
        assert len(head) == size
        if not whole:
            reader.feed(head[:-1])
            assert reader.read_head() is None
        reader.feed(head if whole else head[-1:])
        if good:
            assert reader.read_head() is not None
        else:
            with pytest.raises(MalformedHead):
                reader.read_head()


@pytest.mark.parametrize("data", [b"X", b"HTTP/2", b"HTTP/1.1 200 OK\n", b"\n", b"\r\n", b"\0", b"<html>"])
def test_what_is_no_http_is_refused_at_its_first_bytes(data: bytes) -> None:
    """Nobody has to wait for the empty line."""
    reader = ResponseReader(MAX_HEAD)
    reader.expect(b"GET")
    reader.feed(data)
    with pytest.raises(MalformedHead):
        reader.read_head()
