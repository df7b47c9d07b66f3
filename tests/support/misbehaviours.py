"""What an origin can do wrong, chosen by the path of the request: a table, and the behaviour that follows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from tests.support.origins import OK, Behaviour, Served

KEEP, NOTIFY, CUT, RESET, STALL = "keep", "notify", "cut", "reset", "stall"


@frozen
class Misbehaviour:
    """One way to answer, and what has to become of it.

    :ivar pieces: the bytes sent, each in a record of its own.
    :ivar then: what follows: the next request (``keep``), the end of the connection with close_notify (``notify``) or
        without (``cut``), a TCP reset, or silence.
    :ivar status: what a client gets: 502 or 504, or the origin's own status if the head of its response was good.
    :ivar reason: what the error says, in part; empty if the response is whole. With an own status of the origin the
        response has begun, and is cut.
    :ivar body: the body of a whole response.
    :ivar endless: sent again and again after the pieces, until the other side has had enough.
    :ivar moment: the seconds between two pieces, on a clock of the test; 0 if they make no difference.
    """

    pieces: tuple[bytes, ...]
    then: str
    status: int
    reason: str = ""
    body: bytes = b"ok"
    endless: bytes = b""
    moment: float = 0.0

    def behave(self, served: Served) -> bool:
        """Answer over a real socket; whether the connection goes on."""
        assert not self.moment, "it takes time, and is for tests.support.memory"
        for piece in self.pieces:
            if not served.send(piece):
                return False
        while self.endless and served.send(self.endless):
            pass
        match self.then:
            case "notify":
                served.notify()
            case "reset":
                served.reset()
            case "stall":
                served.stall()
        return self.then == KEEP


def _head(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join((start, *lines, b"", b""))


def _chunked(*lines: bytes) -> bytes:
    return _head(b"Transfer-Encoding: chunked", *lines)


_TEN = _head(b"Content-Length: 10")
_LAST = b"0\r\n\r\n"

_POINTS: Mapping[str, tuple[tuple[bytes, ...], int]] = {
    "at-the-beginning": ((), 0),
    "in-the-protocol": ((b"HT",), 0),
    "in-the-status-line": ((b"HTTP/1.1 20",), 0),
    "behind-the-status-line": ((b"HTTP/1.1 200 OK\r\n",), 0),
    "in-a-name": ((b"HTTP/1.1 200 OK\r\nContent-Le",), 0),
    "in-a-value": ((b"HTTP/1.1 200 OK\r\nContent-Length: 1",), 0),
    "before-the-empty-line": ((_TEN[:-2],), 0),
    "in-the-empty-line": ((_TEN[:-1],), 0),
    "behind-an-interim-response": ((_head(start=b"HTTP/1.1 103 Early Hints"),), 0),
    "in-an-interim-response": ((b"HTTP/1.1 103 Early Hints\r\nLink: <",), 0),
    "behind-the-head": ((_TEN,), 200),
    "behind-a-byte": ((_TEN + b"1",), 200),
    "in-the-body": ((_TEN + b"12345",), 200),
    "before-the-last-byte": ((_TEN, b"12345", b"6789"), 200),
    "before-the-first-chunk": ((_chunked(),), 200),
    "in-a-chunk-size": ((_chunked(), b"1"), 200),
    "behind-a-chunk-size": ((_chunked(), b"a\r\n"), 200),
    "in-a-chunk": ((_chunked(), b"a\r\n12345"), 200),
    "behind-a-chunk": ((_chunked(), b"2\r\nok"), 200),
    "before-the-last-chunk": ((_chunked(), b"2\r\nok\r\n"), 200),
    "in-the-last-chunk": ((_chunked(), b"2\r\nok\r\n0"), 200),
    "behind-the-last-chunk": ((_chunked(), b"2\r\nok\r\n0\r\n"), 200),
    "in-a-trailer": ((_chunked(), b"2\r\nok\r\n0\r\nA: "), 200),
    "behind-a-trailer": ((_chunked(), b"2\r\nok\r\n0\r\nA: b\r\n"), 200),
}
"""Every point at which an origin can go or fall silent: what it has sent by then, and its status if that has come."""


def _at_every_point() -> Iterator[tuple[str, Misbehaviour]]:
    for point, (pieces, status) in _POINTS.items():
        where = "in the middle of the response" if status else "before the response"
        for then in (RESET, NOTIFY, CUT):
            yield f"{then}-{point}", Misbehaviour(pieces, then, status or 502, where)
        yield f"{STALL}-{point}", Misbehaviour(pieces, STALL, status or 504, "too slow")


MISBEHAVIOURS: Mapping[str, Misbehaviour] = {
    **dict(_at_every_point()),
    # too slow, or gone
    "a-head-that-trickles-in": Misbehaviour(tuple(_TEN[i : i + 1] for i in range(30)), STALL, 504, "too slow"),
    "a-byte-too-late": Misbehaviour((_TEN + b"123456789", b"0"), STALL, 200, "too slow", moment=1.2),
    "a-head-too-late": Misbehaviour((b"HTTP/1.1 200 OK\r\n", b"\r\n"), STALL, 504, "too slow", moment=1.2),
    "stall-in-an-endless-body": Misbehaviour((_head() + b"ok",), STALL, 200, "too slow"),
    "cut-in-an-endless-body": Misbehaviour((_head() + b"ok",), CUT, 200, "in the middle of the response"),
    "reset-in-an-endless-body": Misbehaviour((_head() + b"ok",), RESET, 200, "in the middle of the response"),
    # what is no HTTP/1
    "garbage": Misbehaviour((b"\x00\xff\x13garbage",), KEEP, 502, "not HTTP/1"),
    "http-0.9": Misbehaviour((b"<html>hello</html>",), NOTIFY, 502, "not HTTP/1"),
    "http-2": Misbehaviour((_head(start=b"HTTP/2.0 200 OK"),), KEEP, 502, "status line"),
    "http-1.2": Misbehaviour((_head(start=b"HTTP/1.2 200 OK"),), KEEP, 502, "status line"),
    "status-99": Misbehaviour((_head(b"Content-Length: 0", start=b"HTTP/1.1 99 Low"),), KEEP, 502, "status line"),
    "status-099": Misbehaviour((_head(b"Content-Length: 0", start=b"HTTP/1.1 099 Low"),), KEEP, 502, "status 099"),
    "status-000": Misbehaviour((_head(b"Content-Length: 0", start=b"HTTP/1.1 000 X"),), KEEP, 502, "status 000"),
    "status-negative": Misbehaviour((_head(b"Content-Length: 0", start=b"HTTP/1.1 -20 X"),), KEEP, 502, "status line"),
    "no-status": Misbehaviour((_head(b"Content-Length: 0", start=b"HTTP/1.1 OK"),), KEEP, 502, "status line"),
    "two-spaces": Misbehaviour((_head(b"Content-Length: 0", start=b"HTTP/1.1  200 OK"),), KEEP, 502, "status line"),
    "http-1.1-in-lower-case": Misbehaviour((_head(start=b"http/1.1 200 OK"),), KEEP, 502, "status line"),
    "a-request": Misbehaviour((_head(b"Host: a", start=b"GET / HTTP/1.1"),), KEEP, 502, "status line"),
    "http-2-frames": Misbehaviour((b"\0\0\x12\x04\0\0\0\0\0",), STALL, 502, "not HTTP/1"),
    "empty-lines-first": Misbehaviour((b"\r\n" + OK,), KEEP, 502, ""),
    "nul-in-the-status-line": Misbehaviour((_head(start=b"HTTP/1.1 200\0OK"),), KEEP, 502, "status line"),
    "status-600": Misbehaviour((_head(b"Content-Length: 0", start=b"HTTP/1.1 600 High"),), KEEP, 502, "status 600"),
    "status-1000": Misbehaviour((_head(b"Content-Length: 0", start=b"HTTP/1.1 1000 X"),), KEEP, 502, "status line"),
    "status-abc": Misbehaviour((_head(b"Content-Length: 0", start=b"HTTP/1.1 abc X"),), KEEP, 502, "status line"),
    "control-in-the-phrase": Misbehaviour((_head(start=b"HTTP/1.1 200 O\x01K"),), KEEP, 502, "status line"),
    # heads that can be read in two ways
    "bare-lf": Misbehaviour((b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",), NOTIFY, 502, ""),
    "bare-lf-in-a-line": Misbehaviour((_head(b"A: b\nContent-Length: 2") + b"ok",), KEEP, 502, "bare LF"),
    "bare-cr-in-a-line": Misbehaviour((_head(b"A: b\rC: d", b"Content-Length: 0"),), KEEP, 502, "bare CR"),
    "nul-in-a-value": Misbehaviour((_head(b"A: b\0c", b"Content-Length: 0"),), KEEP, 502, "control character"),
    "nul-in-a-name": Misbehaviour((_head(b"A\0: b", b"Content-Length: 0"),), KEEP, 502, "control character"),
    "empty-name": Misbehaviour((_head(b": b", b"Content-Length: 0"),), KEEP, 502, "malformed"),
    "8-bit-name": Misbehaviour((_head(b"\xe4: b", b"Content-Length: 0"),), KEEP, 502, "malformed"),
    "fold-before-the-first-field": Misbehaviour((_head(b" A: b", b"Content-Length: 0"),), KEEP, 502, "malformed"),
    "folded-length": Misbehaviour((_head(b"Content-Length:", b" 2") + b"ok",), KEEP, 502, "malformed"),
    "bare-lfs-only": Misbehaviour((OK.replace(b"\r\n", b"\n"),), KEEP, 502, "bare LF"),
    "obs-fold": Misbehaviour((_head(b"A: b", b" c", b"Content-Length: 0"),), KEEP, 502, "malformed"),
    "space-before-the-colon": Misbehaviour((_head(b"Content-Length : 0"),), KEEP, 502, "malformed"),
    "line-without-a-colon": Misbehaviour((_head(b"Content-Length 0"),), KEEP, 502, "malformed"),
    # lengths
    "negative-length": Misbehaviour((_head(b"Content-Length: -2") + b"ok",), KEEP, 502, "malformed"),
    "length-with-a-sign": Misbehaviour((_head(b"Content-Length: +2") + b"ok",), KEEP, 502, "malformed"),
    "length-in-hexadecimal": Misbehaviour((_head(b"Content-Length: 0x2") + b"ok",), KEEP, 502, "malformed"),
    "empty-length": Misbehaviour((_head(b"Content-Length:") + b"ok",), KEEP, 502, "malformed"),
    "list-of-lengths": Misbehaviour((_head(b"Content-Length: 2, 2") + b"ok",), KEEP, 502, "malformed"),
    "length-beyond-measure": Misbehaviour((_head(b"Content-Length: " + b"9" * 5000),), STALL, 502, "malformed"),
    "two-lengths": Misbehaviour((_head(b"Content-Length: 2", b"Content-Length: 3") + b"ok",), KEEP, 502, "malformed"),
    "same-length-twice": Misbehaviour(
        (_head(b"Content-Length: 2", b"Content-Length: 2") + b"ok",), KEEP, 502, "malformed"
    ),
    "length-and-chunked": Misbehaviour(
        (_head(b"Content-Length: 2", b"Transfer-Encoding: chunked") + b"2\r\nok\r\n" + _LAST,), KEEP, 502, "malformed"
    ),
    # transfer codings
    "gzip-and-chunked": Misbehaviour((_head(b"Transfer-Encoding: gzip, chunked"),), KEEP, 502, "Transfer-Encoding"),
    "chunked-twice": Misbehaviour(
        (_chunked(b"Transfer-Encoding: chunked") + b"2\r\nok\r\n" + _LAST,), KEEP, 502, "Transfer-Encoding"
    ),
    "chunked-and-identity": Misbehaviour((_head(b"Transfer-Encoding: chunked, identity"),), KEEP, 502, "malformed"),
    "chunked-in-http-1.0": Misbehaviour(
        (_head(b"Transfer-Encoding: chunked", start=b"HTTP/1.0 200 OK") + b"2\r\nok\r\n" + _LAST,),
        KEEP,
        502,
        "Transfer-Encoding",
    ),
    # chunks
    "chunk-size-no-number": Misbehaviour((_chunked(), b"xyz\r\nok\r\n"), STALL, 200, "chunk size"),
    "chunk-size-with-the-head": Misbehaviour((_chunked() + b"xyz\r\nok\r\n",), STALL, 502, "chunk size"),
    "negative-chunk-size": Misbehaviour((_chunked(), b"-2\r\nok\r\n"), STALL, 200, "chunk size"),
    "chunk-size-with-0x": Misbehaviour((_chunked(), b"0x2\r\nok\r\n"), STALL, 200, "chunk size"),
    "chunk-size-beyond-measure": Misbehaviour((_chunked(), b"1" + b"0" * 16 + b"\r\n"), STALL, 200, "chunk size"),
    "chunk-longer-than-its-size": Misbehaviour((_chunked(), b"2\r\nokay\r\n" + _LAST), STALL, 200, "chunk longer"),
    "chunk-with-bare-lf": Misbehaviour((_chunked(), b"2\nok\n0\n\n"), STALL, 200, "bare"),
    "chunk-line-without-an-end": Misbehaviour((_chunked(),), STALL, 200, "line without an end", endless=b"0" * 4096),
    "endless-chunk-extensions": Misbehaviour(
        (_chunked(),), STALL, 200, "extensions", endless=b"1;" + b"a" * 200 + b"\r\nx\r\n"
    ),
    "endless-trailers": Misbehaviour(
        (_chunked(), b"2\r\nok\r\n0\r\n"), STALL, 200, "trailer", endless=b"A: " + b"b" * 500 + b"\r\n"
    ),
    "malformed-trailer": Misbehaviour((_chunked(), b"2\r\nok\r\n0\r\nA b\r\n\r\n"), STALL, 200, "trailer"),
    # without end
    "endless-status-line": Misbehaviour((b"HTTP/1.1 200 ",), STALL, 502, "too large", endless=b"O" * 4096),
    "endless-header": Misbehaviour((b"HTTP/1.1 200 OK\r\nA: ",), STALL, 502, "too large", endless=b"b" * 4096),
    "endless-headers": Misbehaviour((b"HTTP/1.1 200 OK\r\n",), STALL, 502, "too large", endless=b"A: b\r\n" * 512),
    "endless-100-continue": Misbehaviour((), STALL, 502, "interim", endless=_head(start=b"HTTP/1.1 100 Continue")),
    "endless-empty-lines": Misbehaviour((), STALL, 502, "malformed", endless=b"\r\n" * 512),
    "endless-garbage": Misbehaviour((), STALL, 502, "not HTTP/1", endless=bytes(range(256)) * 16),
    "endless-interim-head": Misbehaviour(
        (b"HTTP/1.1 103 Early Hints\r\nLink: ",), STALL, 502, "too large", endless=b"a" * 4096
    ),
    "large-phrase": Misbehaviour((_head(start=b"HTTP/1.1 200 " + b"O" * 200_000),), STALL, 502, "too large"),
    "large-head": Misbehaviour((_head(b"A: " + b"b" * 200_000),), STALL, 502, "too large"),
    "many-headers": Misbehaviour((_head(*[b"A: b"] * 40_000),), STALL, 502, "too large"),
    "endless-interim-responses": Misbehaviour((), STALL, 502, "interim", endless=_head(start=b"HTTP/1.1 103 Hints")),
    # answers to another question
    "unrequested-101": Misbehaviour(
        (_head(b"Connection: upgrade", b"Upgrade: websocket", start=b"HTTP/1.1 101 Switching Protocols"),),
        STALL,
        502,
        "unrequested 101",
    ),
    "two-answers": Misbehaviour((OK + _head(b"Content-Length: 6") + b"forged",), STALL, 200),
    "a-second-answer-later": Misbehaviour((OK, _head(b"Content-Length: 6") + b"forged"), STALL, 200),
    "body-longer-than-its-length": Misbehaviour((OK + b" and more",), STALL, 200),
    "more-behind-the-last-chunk": Misbehaviour((_chunked() + b"2\r\nok\r\n" + _LAST + b"more",), STALL, 200),
    "body-of-a-204": Misbehaviour((_head(start=b"HTTP/1.1 204 No Content") + b"forged",), STALL, 204, body=b""),
    "length-of-a-204": Misbehaviour(
        (_head(b"Content-Length: 6", start=b"HTTP/1.1 204 No Content"), b"forged"), STALL, 204, body=b""
    ),
    "chunks-of-a-204": Misbehaviour(
        (_head(b"Transfer-Encoding: chunked", start=b"HTTP/1.1 204 No Content"), b"6\r\nforged\r\n" + _LAST),
        STALL,
        204,
        body=b"",
    ),
    "body-of-a-304": Misbehaviour((_head(start=b"HTTP/1.1 304 Not Modified") + b"forged",), STALL, 304, body=b""),
    "body-of-a-304-later": Misbehaviour(
        (_head(b"Content-Length: 6", start=b"HTTP/1.1 304 Not Modified"), b"forged"), STALL, 304, body=b"", moment=0.01
    ),
    "goodbye-in-tls": Misbehaviour((OK,), NOTIFY, 200),
    # odd, but good
    "cut-behind-the-body": Misbehaviour((OK,), CUT, 200),
    "reset-behind-the-body": Misbehaviour((OK,), RESET, 200),
    "truncated-gzip": Misbehaviour(
        (_head(b"Content-Encoding: gzip", b"Content-Length: 6") + b"\x1f\x8b\x08\0\0\0",),
        KEEP,
        200,
        body=b"\x1f\x8b\x08\0\0\0",
    ),
    "a-slow-body": Misbehaviour((_TEN, *(b"%d" % n for n in range(10))), KEEP, 200, body=b"0123456789", moment=0.06),
    "chunks-byte-by-byte": Misbehaviour(
        tuple(bytes((c,)) for c in _chunked() + b"2;a=b\r\nok\r\n0\r\nA: b\r\n\r\n"), KEEP, 200, moment=0.002
    ),
    "status-599": Misbehaviour((_head(b"Content-Length: 2", start=b"HTTP/1.1 599 Odd") + b"ok",), KEEP, 599),
    "tabs-around-a-length": Misbehaviour((_head(b"Content-Length:\t2\t") + b"ok",), KEEP, 200),
    "8-bit-phrase": Misbehaviour((_head(b"Content-Length: 2", start=b"HTTP/1.1 200 \xc3\xb6") + b"ok",), KEEP, 200),
    "ended-by-the-connection": Misbehaviour((_head() + b"o", b"k"), NOTIFY, 200),
    "http-1.0": Misbehaviour((_head(b"Content-Length: 2", start=b"HTTP/1.0 200 OK") + b"ok",), NOTIFY, 200),
    "no-phrase": Misbehaviour((_head(b"Content-Length: 2", start=b"HTTP/1.1 200") + b"ok",), KEEP, 200),
    "close-without-closing": Misbehaviour((_head(b"Content-Length: 2", b"Connection: close") + b"ok",), STALL, 200),
    "byte-by-byte": Misbehaviour(tuple(OK[i : i + 1] for i in range(len(OK))), KEEP, 200, moment=0.002),
    "slow-chunks": Misbehaviour((_chunked(), b"1\r", b"\no", b"\r\n1\r\nk\r\n0", b"\r\n", b"\r\n"), KEEP, 200),
    "interim-responses": Misbehaviour(
        (_head(start=b"HTTP/1.1 100 Continue"), _head(b"Link: </a>", start=b"HTTP/1.1 103 Early Hints"), OK), KEEP, 200
    ),
    "with-trailers": Misbehaviour((_chunked() + b"2\r\nok\r\n0\r\nA: b\r\n\r\n",), KEEP, 200),
}
"""By path, without the slash."""


def misbehaving() -> Behaviour:
    """Answer each request as its path says; any other path is answered well."""

    def behave(served: Served) -> None:
        while (request := served.request()) is not None:
            path = request.split(b" ", 2)[1].decode("ascii").strip("/")
            misbehaviour = MISBEHAVIOURS.get(path)
            if not (served.send(OK) if misbehaviour is None else misbehaviour.behave(served)):
                return

    return behave
