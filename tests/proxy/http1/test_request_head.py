"""Heads of requests: each rule by itself, what it says of framing and of the connection, and the one authority."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.errors import ClientError
from edgenode.proxy.headers import request_lines
from edgenode.proxy.http1.request_head import read_request_head
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.streams import RequestHead
from tests.proxy.http1.messages import LIMITS

HOST = b"Host: open.test"


def head(*lines: bytes, start: bytes = b"POST / HTTP/1.1") -> bytes:
    """A head with these lines behind Host."""
    return b"\r\n".join((start, HOST, *lines, b"", b""))


def read(*lines: bytes, start: bytes = b"POST / HTTP/1.1") -> RequestHead:
    """It, read."""
    return read_request_head(head(*lines, start=start), LIMITS)


def refused(data: bytes, limits: HeadLimits = LIMITS) -> tuple[int, str]:
    """Why a head is none."""
    with pytest.raises(ClientError) as caught:
        read_request_head(data, limits)
    return caught.value.status, caught.value.reason


# -- framing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ((), 0),
        ((b"Content-Length: 0",), 0),
        ((b"Content-Length: 12",), 12),
        ((b"Content-Length: 0012",), 12),
        ((b"Content-Length:\t12 ",), 12),
        ((b"Content-Length: " + b"9" * 18,), 10**18 - 1),
        ((b"Transfer-Encoding: chunked",), None),
        ((b"Transfer-Encoding: CHUNKED",), None),
        ((b"transfer-encoding:chunked\t",), None),
    ],
)
def test_a_body_is_as_long_as_its_framing_says(lines: tuple[bytes, ...], length: int | None) -> None:
    """Without framing there is none."""
    assert read(*lines).length == length


CHUNKED = b"Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("lines", "status", "reason"),
    [
        ((b"Content-Length: 5", CHUNKED), 400, "both Content-Length and Transfer-Encoding"),
        ((CHUNKED, b"Content-Length: 0"), 400, "both Content-Length and Transfer-Encoding"),
        ((b"Transfer-Encoding: gzip", b"Content-Length: 5"), 400, "both Content-Length and Transfer-Encoding"),
        ((b"Transfer-Encoding: gzip, chunked", b"Content-Length: 5"), 400, "both Content-Length and Transfer-Encoding"),
        ((CHUNKED, CHUNKED), 400, "a Transfer-Encoding other than chunked"),
        ((b"Transfer-Encoding: chunked, chunked",), 400, "a Transfer-Encoding other than chunked"),
        ((b"Transfer-Encoding: identity",), 400, "a Transfer-Encoding other than chunked"),
        ((b"Transfer-Encoding: xchunked",), 400, "a Transfer-Encoding other than chunked"),
        ((b"Transfer-Encoding: gzip, chunked", CHUNKED), 400,
         "a Transfer-Encoding other than chunked"),
        ((b"Transfer-Encoding: gzip, chunked",), 501, "a transfer coding besides chunked"),
        ((b"Content-Length: 5", b"Content-Length: 5"), 400, "a repeated Content-Length"),
        ((b"Content-Length: 5, 5",), 400, "a malformed Content-Length"),
        ((b"Content-Length: +5",), 400, "a malformed Content-Length"),
        ((b"Content-Length: -5",), 400, "a malformed Content-Length"),
        ((b"Content-Length: 5_0",), 400, "a malformed Content-Length"),
        ((b"Content-Length: \xb2",), 400, "a malformed Content-Length"),
        ((b"Content-Length: " + b"9" * 19,), 400, "a malformed Content-Length"),
        ((b"Content-Length:",), 400, "a malformed Content-Length"),
        ((b"Content-Type: a", b"content-type: a"), 400, "the Content-Type field is repeated"),
        ((b"Content-Length: 5", b"Expect: 100-continue", b"Expect: 100-continue"), 417,
         "an expectation other than 100-continue"),
        ((b"Content-Length: 5", b"Expect: 100-continued"), 417, "an expectation other than 100-continue"),
    ],
)  # fmt: skip
def test_framing_that_can_be_read_in_two_ways_is_refused(lines: tuple[bytes, ...], status: int, reason: str) -> None:
    """Each contradiction by its own rule, whatever other rules would say."""
    assert refused(head(*lines)) == (status, reason)


def test_http_1_0_knows_no_chunks() -> None:
    """A coding in it is faulty framing (RFC 9112, section 6.1)."""
    for coding in (b"chunked", b"gzip, chunked"):
        data = head(b"Transfer-Encoding: " + coding, start=b"POST / HTTP/1.0")
        assert refused(data)[0] == 400


@pytest.mark.parametrize(
    "lines",
    [
        (b"X: a", b" b"),
        (b"X: a", b"\tb"),
        (b" X: a",),
        (b"X: a", b" Transfer-Encoding: chunked"),
        (b"Transfer-Encoding:", b" chunked"),
        (b"X : a",),
        (b"X\t: a",),
        (b"X",),
        (b": a",),
        (b"",),
        (b"X(: a",),
        (b"\xe4: a",),
        (b"X@y: a",),
        (b"X y: a",),
    ],
)
def test_a_line_that_is_no_field_is_refused(lines: tuple[bytes, ...]) -> None:
    """A folded line among them: no second reader may see another field."""
    data = head(*lines) if lines != (b"",) else head()[:-2] + b"\r\n\r\n"
    status, reason = refused(data)
    assert status == 400
    assert reason.startswith("malformed head: ")


@pytest.mark.parametrize("byte", [*range(9), *range(10, 32), 127])
def test_no_control_character_stands_in_a_head(byte: int) -> None:
    """In a value, in a name, behind one, at the end of a line: least of all a bare CR or LF."""
    for line in (b"X: a%cb", b"X%c: a", b"X: a%c", b"%cX: a", b"X:%ca"):
        assert refused(head(line % byte, b"Y: b"))[0] == 400
    assert refused(head(start=b"GET /%c HTTP/1.1" % byte))[0] == 400


@given(st.binary(min_size=1, max_size=12))
def test_a_value_is_printable_or_it_is_refused(value: bytes) -> None:
    """Tabs, spaces and bytes above ASCII may stand in it; the white space around it is not part of it."""
    good = not any((byte < 32 and byte != 9) or byte == 127 for byte in value)
    if good:
        assert read(b"X: " + value).fields[b"x"] == (value.strip(b" \t"),)
    else:
        assert refused(head(b"X: " + value))[0] == 400


def test_repeated_fields_keep_every_value_in_order() -> None:
    """Also those whose names are written differently; lines, names and values stay together."""
    request = read(b"x-a: 1", b"X-B: 2", b"X-A: 3")
    assert request.fields[b"x-a"] == (b"1", b"3")
    assert request.field_names == [b"host", b"x-a", b"x-b", b"x-a"]
    assert request.field_lines == [HOST, b"x-a: 1", b"X-B: 2", b"X-A: 3"]
    assert request.headers == ((b"host", b"open.test"), (b"x-a", b"1"), (b"x-b", b"2"), (b"x-a", b"3"))
    assert request.names == (b"Host", b"x-a", b"X-B", b"X-A")


def test_there_are_as_many_fields_as_the_limit_allows() -> None:
    """And no more; repeated ones count."""
    for count, good in ((63, True), (64, False)):
        lines = [b"X: y"] * count
        if good:
            assert len(read(*lines).field_names) == 64
        else:
            assert refused(head(*lines))[0] == 431
    assert refused(head(*[b"no field"] * 64))[0] == 431  # before they are looked at


# -- the connection ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "value", "kept", "options"),
    [
        (b"1.1", None, True, set()),
        (b"1.0", None, False, set()),
        (b"1.1", b"close", False, {b"close"}),
        (b"1.1", b"Close", False, {b"close"}),
        (b"1.1", b"keep-alive", True, {b"keep-alive"}),
        (b"1.0", b"keep-alive", True, {b"keep-alive"}),
        (b"1.0", b"Keep-Alive", True, {b"keep-alive"}),
        (b"1.0", b"keep-alive, close", False, {b"keep-alive", b"close"}),
        (b"1.0", b"close, keep-alive", False, {b"keep-alive", b"close"}),
        (b"1.1", b"keep-alive, close", False, {b"keep-alive", b"close"}),
        (b"1.1", b"x-hop,\tclose ,", False, {b"x-hop", b"close", b""}),
        (b"1.1", b"closed", True, {b"closed"}),
        (b"1.1", b"X-Hop", True, {b"x-hop"}),
        (b"1.1", b"authorization, Cookie, host, x-hop", True, {b"x-hop"}),
    ],
)
def test_a_connection_stays_if_both_want_it(
    version: bytes, value: bytes | None, kept: bool, options: set[bytes]
) -> None:
    """By version and options (RFC 9112, section 9.3); what rules have judged cannot be nominated as hop-by-hop."""
    lines = () if value is None else (b"Connection: " + value,)
    request = read(*lines, start=b"GET / HTTP/" + version)
    assert (request.keep_alive, set(request.options)) == (kept, options)


def test_several_connection_fields_are_one() -> None:
    """An option in any of them counts."""
    request = read(b"Connection: X-A", b"Connection: close", b"Connection: X-B")
    assert not request.keep_alive
    assert request.options == {b"x-a", b"close", b"x-b"}


@pytest.mark.parametrize(
    ("lines", "start", "upgrade"),
    [
        ((b"Connection: upgrade", b"Upgrade: websocket"), b"GET / HTTP/1.1", True),
        ((b"Connection: Upgrade", b"Upgrade: h2c, WebSocket"), b"GET / HTTP/1.1", True),
        ((b"Connection: upgrade", b"Upgrade: h2c"), b"GET / HTTP/1.1", False),
        ((b"Upgrade: websocket",), b"GET / HTTP/1.1", False),
        ((b"Connection: upgrade",), b"GET / HTTP/1.1", False),
        ((b"Connection: upgrade", b"Upgrade: websocket"), b"GET / HTTP/1.0", False),
    ],
)
def test_an_upgrade_is_asked_for_by_two_fields(lines: tuple[bytes, ...], start: bytes, upgrade: bool) -> None:
    """And in HTTP/1.1 (RFC 9110, section 7.8)."""
    assert read(*lines, start=start).upgrade is upgrade


@pytest.mark.parametrize(
    ("lines", "start", "waits"),
    [
        ((b"Content-Length: 5", b"Expect: 100-Continue"), b"POST / HTTP/1.1", True),
        ((CHUNKED, b"Expect: 100-continue"), b"POST / HTTP/1.1", True),
        ((b"Expect: 100-continue",), b"POST / HTTP/1.1", False),
        ((b"Content-Length: 0", b"Expect: 100-continue"), b"POST / HTTP/1.1", False),
        ((b"Expect: anything",), b"POST / HTTP/1.1", False),
        ((b"Content-Length: 5", b"Expect: 100-continue"), b"POST / HTTP/1.0", False),
        ((b"Content-Length: 5",), b"POST / HTTP/1.1", False),
    ],
)
def test_a_client_waits_for_100_if_it_says_so(lines: tuple[bytes, ...], start: bytes, waits: bool) -> None:
    """With a body, and in HTTP/1.1."""
    assert read(*lines, start=start).expects_continue is waits


# -- request lines and authorities -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"CONNECT a:443 HTTP/1.1", 400),
        (b"GET / HTTP/1.2", 505),
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/0.9", 400),
        (b"GET / HTTP/1.10", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET /  HTTP/1.1", 400),
        (b"GET\t/\tHTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b"GET /", 400),
        (b"/ HTTP/1.1", 400),
        (b"G@T / HTTP/1.1", 400),
        (b"A" * 65 + b" / HTTP/1.1", 501),
        (b"GET /" + b"a" * 1023 + b" HTTP/1.1", 200),
        (b"GET /" + b"a" * 1024 + b" HTTP/1.1", 414),
    ],
)
def test_request_lines(start: bytes, status: int) -> None:
    """One method, one target of the allowed size, one of two versions, and one space between them."""
    if status == 200:
        assert read(start=start).method == b"GET"
    else:
        assert refused(head(start=start))[0] == status


@pytest.mark.parametrize(
    "method",
    [
        b"GET",
        b"get",
        b"FOO",
        b"VERSION-CONTROL",
        b"BASELINE-CONTROL",
        b"TRACE",
        b"M-SEARCH",
        b"A" * 64,
        b"!#$%&'*+-.^_`|~",
    ],
)
def test_every_token_is_a_method(method: bytes) -> None:
    """As it was written (RFC 9110, section 9.1): which of them are served is the path map's matter."""
    assert read(start=method + b" / HTTP/1.1").method == method


@pytest.mark.parametrize(
    ("data", "authority"),
    [
        (b"GET /a HTTP/1.0\r\n\r\n", b"presumed.test"),
        (b"GET /a HTTP/1.0\r\nX: 1\r\n\r\n", b"presumed.test"),
        (b"GET https://a.test:8443/a HTTP/1.0\r\n\r\n", b"a.test:8443"),
        (b"GET /a HTTP/1.0\r\nHost: b\r\n\r\n", b"b"),
    ],
)
def test_a_request_of_http_1_0_may_say_no_authority(data: bytes, authority: bytes) -> None:
    """It is read as though it had said the one that is presumed, in a Host field that rules see and origins get."""
    request = read_request_head(data, LIMITS, presumed=lambda: b"Presumed.test:443")
    assert (request.authority, request.fields[b"host"], request.origin_target) == (authority, (authority,), b"/a")
    assert request.headers[0] == (b"host", authority)
    assert request.names[0] == b"Host"
    assert request_lines(request) == (b"X: 1\r\n" if b"X" in data else b"")
    assert len(request.field_names) == len(request.field_lines)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET https://a.test/ HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost:\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
    ],
)
def test_nothing_is_presumed_where_something_has_to_be_said(data: bytes) -> None:
    """RFC 9112, section 3.2: 400 to a request of HTTP/1.1 without Host, and to all with two, or a bad one."""
    with pytest.raises(ClientError) as caught:
        read_request_head(data, LIMITS, presumed=lambda: b"presumed.test")
    assert caught.value.status == 400


def test_there_is_one_host() -> None:
    """And it is a host."""
    assert refused(b"GET / HTTP/1.1\r\n\r\n") == (400, "the Host field is missing")
    assert refused(head(HOST)) == (400, "the Host field is repeated")
    assert refused(b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n")[0] == 400
    assert refused(b"GET https://a.test/ HTTP/1.1\r\n\r\n") == (400, "the Host field is missing")
    assert refused(head(HOST, start=b"GET https://a.test/ HTTP/1.1")) == (400, "the Host field is repeated")
    assert refused(b"GET https://a.test/ HTTP/1.1\r\nHost: a b\r\n\r\n")[0] == 400


def test_the_authority_of_an_absolute_target_replaces_host() -> None:
    """In every view that rules or origins have (RFC 9112, section 3.2.2): of the other host nothing is left but a line
    that is not sent on."""
    request = read(b"X: y", start=b"GET https://Other.Test:443/a?b HTTP/1.1")
    assert request.authority == b"other.test"
    assert request.fields[b"host"] == (b"other.test",)
    assert dict(request.headers)[b"host"] == b"other.test"
    assert request.with_body(None).fields[b"host"] == (b"other.test",)
    assert (request.target, request.origin_target) == (b"https://Other.Test:443/a?b", b"/a?b")
    assert (request.path, request.query) == (b"/a", b"b")


@pytest.mark.parametrize(
    ("target", "forwarded"),
    [
        (b"/", b"/"),
        (b"/a?b", b"/a?b"),
        (b"/a?", b"/a?"),
        (b"/a/../b?c", b"/b?c"),
        (b"/a/./b", b"/a/b"),
        (b"/%61", b"/%61"),
        (b"https://a.test", b"/"),
        (b"https://a.test?b", b"/?b"),
        (b"http://a.test/x/..?b", b"/?b"),
    ],
)
def test_a_target_is_forwarded_in_origin_form(target: bytes, forwarded: bytes) -> None:
    """Escapes and query as they came, dot segments resolved."""
    assert read(start=b"GET " + target + b" HTTP/1.1").origin_target == forwarded


def test_options_of_a_whole_server() -> None:
    """The asterisk, and an absolute target without a path, which stands for it (RFC 9112, section 3.2.4)."""
    for target in (b"*", b"https://a.test"):
        assert read(start=b"OPTIONS " + target + b" HTTP/1.1").origin_target == b"*"
    assert refused(head(start=b"GET * HTTP/1.1"))[0] == 400
