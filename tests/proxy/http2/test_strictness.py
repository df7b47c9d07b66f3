"""What is malformed is never told, and costs its sender the stream (RFC 9113, section 8.1.1): nothing of it reaches
HTTP/1.1."""

from __future__ import annotations

import pytest

from edgenode.proxy.http2.engine import PROTOCOL_ERROR, Fields
from edgenode.proxy.http2.hyper import HyperEngine
from edgenode.proxy.http2.limits import EngineLimits
from tests.proxy.http2.pair import ENGINES, OK, POST, REQUEST, Pair
from tests.proxy.http2.wire import Wire, body

METHOD, SCHEME, AUTHORITY, PATH = REQUEST


def having(*fields: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """A request with these fields."""
    return [*REQUEST, *fields]


def without(name: bytes, *instead: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """A request without a pseudo-header field, or with others in its place."""
    return [*instead, *[field for field in REQUEST if field[0] != name]]


CONNECT = [(b":method", b"CONNECT"), AUTHORITY]
WEBSOCKET = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), SCHEME, AUTHORITY, PATH]

BAD_REQUESTS: dict[str, Fields] = {
    "no method": without(b":method"),
    "no scheme": without(b":scheme"),
    "no path": without(b":path"),
    "no authority and no host": without(b":authority"),
    "an empty method": without(b":method", (b":method", b"")),
    "a method with a space": without(b":method", (b":method", b"GET /admin")),
    "two methods": [METHOD, *having()],
    "two schemes": [SCHEME, *having()],
    "two paths": [PATH, *having()],
    "two authorities": [AUTHORITY, *having()],
    "an unknown pseudo-header": [*REQUEST, (b":foo", b"x")],
    "a status": [*REQUEST, (b":status", b"200")],
    "a protocol that was not offered": WEBSOCKET,
    "a protocol with GET": [*REQUEST, (b":protocol", b"websocket")],
    "CONNECT with a path": [*CONNECT, PATH],
    "CONNECT with a scheme": [*CONNECT, SCHEME],
    "CONNECT without an authority": CONNECT[:1],
    "a pseudo-header behind a field": [METHOD, SCHEME, AUTHORITY, (b"a", b"b"), PATH],
    "an empty path": without(b":path", (b":path", b"")),
    "a path that is none": without(b":path", (b":path", b"x")),
    "an absolute path": without(b":path", (b":path", b"https://edge.test/")),
    "a star with GET": without(b":path", (b":path", b"*")),
    "a path with CR and LF": without(b":path", (b":path", b"/ HTTP/1.1\r\nHost: a\r\n\r\n")),
    "a method with CR and LF": without(b":method", (b":method", b"GET / HTTP/1.1\r\nA: b\r\n\r\nGET")),
    "an authority with CR and LF": without(b":authority", (b":authority", b"a\r\nb: c")),
    "a scheme with CR and LF": without(b":scheme", (b":scheme", b"https\r\na: b")),
    "an empty authority": without(b":authority", (b":authority", b"")),
    "an authority with a user": without(b":authority", (b":authority", b"edge.test@evil.test")),
    "another host": having((b"host", b"evil.test")),
    "two hosts": having((b"host", b"edge.test"), (b"host", b"edge.test")),
    "two hosts without authority": [*without(b":authority"), (b"host", b"a.test"), (b"host", b"b.test")],
    "CR and LF in a value": having((b"a", b"b\r\nx: y")),
    "LF in a value": having((b"a", b"b\nx: y")),
    "CR in a value": having((b"a", b"b\rc")),
    "NUL in a value": having((b"a", b"b\0c")),
    "a control character in a value": having((b"a", b"b\x01c")),
    "DEL in a value": having((b"a", b"b\x7fc")),
    "a space before a value": having((b"a", b" b")),
    "a space behind a value": having((b"a", b"b ")),
    "a tab before a value": having((b"a", b"\tb")),
    "a tab behind a value": having((b"a", b"b\t")),
    "an empty name": having((b"", b"b")),
    "an upper-case name": having((b"A", b"b")),
    "a name with a space": having((b"a b", b"c")),
    "a name with a colon": having((b"a:b", b"c")),
    "a name with CR and LF": having((b"a\r\nb", b"c")),
    "a name with NUL": having((b"a\0", b"c")),
    "a name beyond ASCII": having((b"a\xe9", b"c")),
    "a name with CR and LF and a whole field": having((b"transfer-encoding: chunked\r\nx", b"y")),
    "connection": having((b"connection", b"close")),
    "keep-alive": having((b"keep-alive", b"1")),
    "proxy-connection": having((b"proxy-connection", b"close")),
    "upgrade": having((b"upgrade", b"h2c")),
    "transfer-encoding": having((b"transfer-encoding", b"chunked")),
    "transfer_encoding": having((b"transfer_encoding", b"chunked")),
    "transfer-encoding with another hyphen": having((b"transfer.encoding", b"chunked")),
    "content_length": having((b"content_length", b"5")),
    "a name with an underscore": having((b"x_y", b"1")),
    "a name with an underscore in a call of gRPC-Web": having(
        (b"content-type", b"application/grpc-web"), (b"x_y", b"1")
    ),
    "te with gzip": having((b"te", b"gzip")),
    "te with more": having((b"te", b"trailers, gzip")),
    "a length with a sign": having((b"content-length", b"+5")),
    "a negative length": having((b"content-length", b"-0")),
    "a length in words": having((b"content-length", b"five")),
    "an empty length": having((b"content-length", b"")),
    "a length with an underscore": having((b"content-length", b"1_0")),
    "a length in hexadecimal": having((b"content-length", b"0x10")),
    "a huge length": having((b"content-length", b"9" * 40)),
    "a list of lengths": having((b"content-length", b"5, 5")),
    "two lengths": having((b"content-length", b"0"), (b"content-length", b"5")),
    "the same length twice": having((b"content-length", b"0"), (b"content-length", b"0")),
    "a length without a body": having((b"content-length", b"5")),
}

GOOD_REQUESTS: dict[str, Fields] = {
    "every kind of byte": having((b"a", bytes(c for c in range(0x21, 256) if c != 0x7F) + b"\t x")),
    "an empty value": having((b"a", b"")),
    "an unusual name": having((b"!#$%&'*+-.^`|~09az", b"")),
    "a name with an underscore in a call of gRPC": having((b"content-type", b"application/grpc+proto"), (b"x_y", b"1")),
    "te": having((b"te", b"trailers")),
    "the same host": having((b"host", b"EDGE.test")),
    "host alone": [*without(b":authority"), (b"host", b"edge.test")],
    "no length": having((b"content-length", b"0")),
    "a star": [(b":method", b"OPTIONS"), SCHEME, AUTHORITY, (b":path", b"*")],
    "CONNECT": CONNECT,
    "crumbs": having((b"cookie", b"a=b"), (b"cookie", b"c=d")),
    "another order": [PATH, AUTHORITY, SCHEME, METHOD],
}


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("what", BAD_REQUESTS)
def test_a_malformed_request_is_reset(kind: type, what: str) -> None:
    """It is never told, and the next request is served. ``h2`` has it that a bad length ends the connection."""
    wire = Wire(kind, limits=EngineLimits(connect_protocol=False))
    wire.say(wire.head(1, BAD_REQUESTS[what]))
    assert wire.told.take() == []
    if kind is HyperEngine and "length" in what and wire.engine.error:
        return
    assert wire.resets == [(1, PROTOCOL_ERROR)]
    assert wire.engine.open_streams == 0
    wire.say(wire.head(3))
    assert wire.told.take() == [("head", 3, [*REQUEST], True)]


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("what", GOOD_REQUESTS)
def test_a_good_request_is_told_as_it_came(kind: type, what: str) -> None:
    """Both engines tell the same."""
    wire = Wire(kind)
    done = what != "CONNECT"
    wire.say(wire.head(1, GOOD_REQUESTS[what], done))
    assert wire.told.take() == [("head", 1, [*GOOD_REQUESTS[what]], done)]


@pytest.mark.parametrize("kind", ENGINES)
def test_websocket_is_taken_where_it_is_offered(kind: type) -> None:
    """RFC 8441: extended CONNECT has all pseudo-header fields of a request, and its protocol."""
    wire = Wire(kind, limits=EngineLimits(connect_protocol=True))
    wire.say(wire.head(1, WEBSOCKET, False))
    assert wire.told.take() == [("head", 1, WEBSOCKET, False)]
    wire.say(body(1, b"x"))
    assert wire.told.take() == [("data", 1, b"x", False)]
    for number, missing in enumerate((b":path", b":scheme", b":authority")):
        wire.say(wire.head(2 * number + 3, [field for field in WEBSOCKET if field[0] != missing], False))
    assert wire.told.take() == []


BODIES = {
    "less than its length": (b"5", [b"abcd"]),
    "more than its length": (b"5", [b"abc", b"def"]),
    "nothing": (b"5", [b""]),
    "a byte too much at the end": (b"0", [b"x"]),
}


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("how", BODIES)
def test_a_body_that_differs_from_its_length_is_reset(kind: type, how: str) -> None:
    """The end of such a body is never told."""
    length, pieces = BODIES[how]
    wire = Wire(kind)
    wire.say(wire.head(1, [*POST, (b"content-length", length)], False))
    for number, piece in enumerate(pieces, 1):
        wire.say(body(1, piece, number == len(pieces)))
    calls = wire.told.take()
    assert calls[0][0] == "head"
    assert not any(call[0] == "data" and call[3] for call in calls)
    if wire.resets:
        assert wire.resets == [(1, PROTOCOL_ERROR)]
        assert calls[-1] == ("reset", 1, PROTOCOL_ERROR, True)
    else:
        assert kind is HyperEngine
        assert wire.engine.error


BAD_TRAILERS: dict[str, Fields] = {
    "a pseudo-header": [(b":path", b"/admin")],
    "a status": [(b":status", b"200")],
    "CR and LF": [(b"a", b"b\r\nc: d")],
    "upper case": [(b"A", b"b")],
    "transfer-encoding": [(b"transfer-encoding", b"chunked")],
    "connection": [(b"connection", b"close")],
    "a name with a space": [(b"a b", b"c")],
}


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("what", BAD_TRAILERS)
def test_malformed_trailers_reset_the_stream(kind: type, what: str) -> None:
    """Of a request, and of a response."""
    wire = Wire(kind)
    wire.say(wire.head(1, POST, False))
    wire.say(wire.head(1, BAD_TRAILERS[what]))
    assert wire.told.take()[1:] == [("reset", 1, PROTOCOL_ERROR, True)]
    assert wire.resets == [(1, PROTOCOL_ERROR)]
    wire = asked(kind)
    wire.say(wire.head(1, OK, False))
    wire.say(wire.head(1, BAD_TRAILERS[what]))
    if what == "a status" and wire.told.calls[-1][0] == "head":
        pytest.fail("a second head was told")
    assert wire.told.take()[1:] == [("reset", 1, PROTOCOL_ERROR, True)]


def asked(kind: type) -> Wire:
    """A client's engine that has sent a request."""
    wire = Wire(kind, server=False)
    assert wire.engine.request(REQUEST, True) == 1
    wire.say(b"")
    wire.sent.clear()
    return wire


BAD_RESPONSES: dict[str, Fields] = {
    "no status": [(b"a", b"b")],
    "an empty status": [(b":status", b"")],
    "a short status": [(b":status", b"20")],
    "a long status": [(b":status", b"2000")],
    "a status that is none": [(b":status", b"600")],
    "a status of zeros": [(b":status", b"000")],
    "a status with a sign": [(b":status", b"+20")],
    "a status with a phrase": [(b":status", b"200 OK")],
    "two statuses": [*OK, *OK],
    "switching protocols": [(b":status", b"101")],
    "a path": [*OK, PATH],
    "a status behind a field": [(b"a", b"b"), *OK],
    "transfer-encoding": [*OK, (b"transfer-encoding", b"chunked")],
    "connection": [*OK, (b"connection", b"close")],
    "CR and LF": [*OK, (b"a", b"b\r\nset-cookie: c")],
    "upper case": [*OK, (b"Set-Cookie", b"c")],
    "a name with a space": [*OK, (b"set cookie", b"c")],
    "a length with a sign": [*OK, (b"content-length", b"+5")],
    "two lengths": [*OK, (b"content-length", b"5"), (b"content-length", b"6")],
}


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("what", BAD_RESPONSES)
def test_a_malformed_response_is_reset(kind: type, what: str) -> None:
    """The request fails, and others on the connection go on."""
    wire = asked(kind)
    wire.say(wire.head(1, BAD_RESPONSES[what], False))
    if kind is HyperEngine and wire.engine.error:
        assert wire.told.take() == []
        return
    assert wire.told.take() == [("reset", 1, PROTOCOL_ERROR, True)]
    assert wire.resets == [(1, PROTOCOL_ERROR)]


@pytest.mark.parametrize("kind", ENGINES)
def test_a_response_whose_body_differs_from_its_length_fails(kind: type) -> None:
    """Its end is never told; to HEAD it is not looked for."""
    wire = asked(kind)
    wire.say(wire.head(1, [*OK, (b"content-length", b"5")], False))
    wire.say(body(1, b"abc", True))
    assert not any(call[0] == "data" and call[3] for call in wire.told.take())
    wire = Wire(kind, server=False)
    wire.engine.request([(b":method", b"HEAD"), *REQUEST[1:]], True)
    wire.say(b"")
    wire.say(wire.head(1, [*OK, (b"content-length", b"5")]))
    assert wire.told.take() == [("head", 1, [*OK, (b"content-length", b"5")], True)]


@pytest.mark.parametrize("kind", ENGINES)
def test_an_interim_response_does_not_end_a_stream(kind: type) -> None:
    """RFC 9113, section 8.1.1."""
    wire = asked(kind)
    wire.say(wire.head(1, [(b":status", b"103")]))
    assert not [call for call in wire.told.take() if call[0] != "reset"]


@pytest.mark.parametrize("kind", ENGINES)
def test_what_is_sent_is_checked(kind: type) -> None:
    """Trailers that would be malformed reset the stream, rather than be sent."""
    pair = Pair(kind)
    pair.ask()
    pair.server.respond(1, OK, False)
    pair.server.trailers(1, [(b"a", b"b\r\nc: d")])
    pair.talk()
    assert pair.to_client.take("head", "trailers", "reset") in (
        [("head", 1, [*OK], False), ("reset", 1, 2, False)],
        [("reset", 1, 2, False)],
    )
