"""What an origin can do wrong, chosen by the path of the request: a table, and the behaviour that follows it."""

from __future__ import annotations

import time
from collections.abc import Mapping

from attrs import frozen

from tests.origins import OK, Behaviour, Served

MOMENT = 0.03
"""Seconds between two pieces of an answer, so that they arrive one by one."""

KEEP, NOTIFY, CUT, RESET, STALL = "keep", "notify", "cut", "reset", "stall"


@frozen
class Misbehaviour:
    """One way to answer, and what has to become of it.

    :ivar pieces: the bytes sent, each in a record of its own with a moment between.
    :ivar then: what follows: the next request (``keep``), the end of the connection with close_notify (``notify``) or
        without (``cut``), a TCP reset, or silence.
    :ivar status: what a client gets: 502 or 504, or the origin's own status if the head of its response was good.
    :ivar reason: what the error says, in part; empty if the response is whole. With an own status of the origin the
        response has begun, and is cut.
    :ivar body: the body of a whole response.
    :ivar endless: sent again and again after the pieces, until the other side has had enough.
    :ivar moment: the seconds between two pieces.
    """

    pieces: tuple[bytes, ...]
    then: str
    status: int
    reason: str = ""
    body: bytes = b"ok"
    endless: bytes = b""
    moment: float = MOMENT

    def behave(self, served: Served) -> bool:
        """Answer; whether the connection goes on."""
        for number, piece in enumerate(self.pieces):
            if number:
                time.sleep(self.moment)
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

MISBEHAVIOURS: Mapping[str, Misbehaviour] = {
    # the end, at every point
    "reset-before-the-answer": Misbehaviour((), RESET, 502, "before the response"),
    "notify-before-the-answer": Misbehaviour((), NOTIFY, 502, "before the response: closed"),
    "cut-before-the-answer": Misbehaviour((), CUT, 502, "before the response"),
    "stall-before-the-answer": Misbehaviour((), STALL, 504, "too slow"),
    "reset-in-the-status-line": Misbehaviour((b"HTTP/1.",), RESET, 502, "before the response"),
    "reset-in-the-head": Misbehaviour((b"HTTP/1.1 200 OK\r\nContent-Le",), RESET, 502, "before the response"),
    "notify-in-the-head": Misbehaviour((b"HTTP/1.1 200 OK\r\nContent-Le",), NOTIFY, 502, "before the response"),
    "stall-in-the-head": Misbehaviour((b"HTTP/1.1 200 OK\r\nContent-Le",), STALL, 504, "too slow"),
    "reset-in-the-body": Misbehaviour((_TEN + b"12345",), RESET, 200, "in the middle of the response"),
    "notify-in-the-body": Misbehaviour((_TEN + b"12345",), NOTIFY, 200, "in the middle of the response"),
    "cut-in-the-body": Misbehaviour((_TEN + b"12345",), CUT, 200, "in the middle of the response"),
    "stall-in-the-body": Misbehaviour((_TEN + b"12345",), STALL, 200, "too slow"),
    "stall-in-a-slow-body": Misbehaviour((_TEN + b"1", b"2", b"3"), STALL, 200, "too slow"),
    "reset-before-the-body": Misbehaviour((_TEN,), RESET, 200, "in the middle of the response"),
    "notify-in-a-chunk": Misbehaviour((_chunked() + b"5\r\n123",), NOTIFY, 200, "in the middle of the response"),
    "notify-before-the-last-chunk": Misbehaviour((_chunked() + b"2\r\nok\r\n",), NOTIFY, 200, "in the middle"),
    "notify-in-the-trailers": Misbehaviour((_chunked() + b"2\r\nok\r\n0\r\nA: b",), NOTIFY, 200, "in the middle"),
    "cut-in-an-endless-body": Misbehaviour((_head() + b"ok",), CUT, 200, "in the middle of the response"),
    "reset-in-an-endless-body": Misbehaviour((_head() + b"ok",), RESET, 200, "in the middle of the response"),
    # what is no HTTP/1
    "garbage": Misbehaviour((b"\x00\xff\x13garbage",), KEEP, 502, "not HTTP/1"),
    "http-0.9": Misbehaviour((b"<html>hello</html>",), NOTIFY, 502, "not HTTP/1"),
    "http-2": Misbehaviour((_head(start=b"HTTP/2.0 200 OK"),), KEEP, 502, "status line"),
    "http-1.2": Misbehaviour((_head(start=b"HTTP/1.2 200 OK"),), KEEP, 502, "status line"),
    "status-99": Misbehaviour((_head(b"Content-Length: 0", start=b"HTTP/1.1 99 Low"),), KEEP, 502, "status line"),
    "status-600": Misbehaviour((_head(b"Content-Length: 0", start=b"HTTP/1.1 600 High"),), KEEP, 502, "status line"),
    "status-1000": Misbehaviour((_head(b"Content-Length: 0", start=b"HTTP/1.1 1000 X"),), KEEP, 502, "status line"),
    "status-abc": Misbehaviour((_head(b"Content-Length: 0", start=b"HTTP/1.1 abc X"),), KEEP, 502, "status line"),
    "control-in-the-phrase": Misbehaviour((_head(start=b"HTTP/1.1 200 O\x01K"),), KEEP, 502, "status line"),
    # heads that can be read in two ways
    "bare-lf": Misbehaviour((b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",), NOTIFY, 502, ""),
    "bare-lf-in-a-line": Misbehaviour((_head(b"A: b\nContent-Length: 2") + b"ok",), KEEP, 502, "bare LF"),
    "bare-cr-in-a-line": Misbehaviour((_head(b"A: b\rC: d", b"Content-Length: 0"),), KEEP, 502, "bare CR"),
    "nul-in-a-value": Misbehaviour((_head(b"A: b\0c", b"Content-Length: 0"),), KEEP, 502, "control character"),
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
    "endless-interim-responses": Misbehaviour((), STALL, 502, "interim", endless=_head(start=b"HTTP/1.1 103 Hints")),
    # answers to another question
    "unrequested-101": Misbehaviour(
        (_head(b"Connection: upgrade", b"Upgrade: websocket", start=b"HTTP/1.1 101 Switching Protocols"),),
        STALL,
        502,
        "unrequested 101",
    ),
    "two-answers": Misbehaviour((OK + _head(b"Content-Length: 6") + b"forged",), STALL, 200),
    "a-second-answer-later": Misbehaviour((OK, _head(b"Content-Length: 6") + b"forged"), STALL, 200, moment=MOMENT / 3),
    "body-longer-than-its-length": Misbehaviour((OK + b" and more",), STALL, 200),
    "more-behind-the-last-chunk": Misbehaviour((_chunked() + b"2\r\nok\r\n" + _LAST + b"more",), STALL, 200),
    "body-of-a-204": Misbehaviour((_head(start=b"HTTP/1.1 204 No Content") + b"forged",), STALL, 204, body=b""),
    # odd, but good
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
