"""What RFC 9112 and RFC 9110 demand with MUST of a server, a gateway, or whoever receives a message: row by row.

Left out is what is demanded of clients and caches, of CONNECT and of Upgrade, which are not served, and what
``tests.support.hostile_requests`` has in hundreds of forms already; the rest of it is here once, under its section.
"""

from __future__ import annotations

import re

from attrs import frozen

from tests.support.origins import OK


@frozen
class Requirement:
    """A requirement, and a way to see whether it is met. Patterns are searched for, with ``$`` at each end of a line.

    :ivar section: the RFC and the section.
    :ivar sentence: what it demands, in short.
    :ivar request: what a client sends; ``ROW`` in it is a header field by which the origin knows the row.
    :ivar status: of the answer to it.
    :ivar answer: what the origin answers.
    :ivar arrives: patterns of the request at the origin.
    :ivar not_arrives: patterns that are not there.
    :ivar answered: patterns of all that the client gets.
    :ivar not_answered: patterns that are not there.
    :ivar ends: whether the connection ends with the answer.
    """

    section: str
    sentence: str
    request: bytes
    status: int = 200
    answer: bytes = OK
    arrives: tuple[bytes, ...] = ()
    not_arrives: tuple[bytes, ...] = ()
    answered: tuple[bytes, ...] = ()
    not_answered: tuple[bytes, ...] = ()
    ends: bool = False

    def unmet(self, arrived: bytes, answered: bytes) -> list[bytes]:
        """The patterns that say no."""
        places = (
            (self.arrives, arrived, True),
            (self.not_arrives, arrived, False),
            (self.answered, answered, True),
            (self.not_answered, answered, False),
        )
        return [
            pattern
            for patterns, place, there in places
            for pattern in patterns
            if bool(re.search(pattern.replace(b"$", b"\r\n"), place, re.IGNORECASE | re.DOTALL)) != there
        ]


def _ask(*lines: bytes, start: bytes = b"GET /a HTTP/1.1", body: bytes = b"") -> bytes:
    return b"\r\n".join((start, b"Host: open.test", b"ROW", *lines, b"", body))


def _said(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    return b"\r\n".join((start, *lines, b"", body))


_POST = b"POST /a HTTP/1.1"
_OLD = b"GET /a HTTP/1.0"
_CHUNKED = b"Transfer-Encoding: chunked"
_BODY = b"2;a=b\r\nhi\r\n0\r\nX-Late: a\r\n\r\n"
_SAID_CHUNKED = _said(_CHUNKED, body=b"2\r\nok\r\n0\r\n\r\n")
_HINTS = _said(b"Link: </a>", start=b"HTTP/1.1 103 Early Hints")
_NONE = b"GET /a HTTP/1.1\r\n\r\n"

R = Requirement
ROWS = (
    # messages
    R("9112 2.2", "is parsed as octets, not as characters", _ask(b"X: \xe4\xff"), arrives=(rb"X: \xe4\xff$",)),
    R("9112 2.2", "a bare CR is invalid", _ask(b"X: a\rb"), 400, ends=True),
    R("9112 2.2", "and in a response", _ask(), 502, _said(b"X: a\rb", b"Content-Length: 0")),
    R("9112 2.2", "white space before the first field is rejected",
      b"GET / HTTP/1.1\r\n Host: open.test\r\n\r\n", 400, ends=True),
    R("9112 2.2", "an empty line before the request is ignored", b"\r\n" + _ask(), arrives=(rb"^GET /a HTTP/1.1$",)),
    R("9112 2.3", "the version is case-sensitive", _ask(start=b"GET /a http/1.1"), 400, ends=True),
    R("9112 2.3", "an intermediary sends its own version, to the origin", _ask(b"Connection: keep-alive", start=_OLD),
      arrives=(rb"^GET /a HTTP/1\.1$",)),
    R("9112 2.3", "and to the client", _ask(), 200, _said(b"Content-Length: 2", start=b"HTTP/1.0 200 OK", body=b"ok"),
      answered=(rb"^HTTP/1\.1 200 OK$",)),
    R("9110 2.5", "a higher minor version is none that we know", _ask(start=b"GET /a HTTP/1.2"), 505, ends=True),
    # request lines
    R("9112 3", "a target that is too long is 414", _ask(start=b"GET /%b HTTP/1.1" % (b"a" * 17000)), 414, ends=True),
    R("9112 3.2", "no Host is 400", _NONE, 400, ends=True),
    R("9112 3.2", "two Hosts are 400", _ask(b"Host: open.test"), 400, ends=True),
    R("9112 3.2", "an invalid Host is 400", b"GET /a HTTP/1.1\r\nHost: a b\r\n\r\n", 400, ends=True),
    R("9112 3.2", "a fragment is no part of a target", _ask(start=b"GET /a#b HTTP/1.1"), 400, ends=True),
    R("9112 3.2.2", "the absolute form is accepted", _ask(start=b"GET https://open.test/a?b HTTP/1.1"),
      arrives=(rb"^GET /a\?b HTTP/1\.1$Host: open\.test$",)),
    R("9112 3.2.2", "Host beside it is ignored, and replaced", _ask(start=b"GET https://other.test/a HTTP/1.1"),
      arrives=(rb"^GET /a HTTP/1\.1$Host: other\.test$",), not_arrives=(rb"Host: open",)),
    R("9112 3.2.2", "an empty path is sent as /", _ask(start=b"GET https://open.test HTTP/1.1"),
      arrives=(rb"^GET / ",)),
    R("9112 3.2.4", "OPTIONS without a path is sent as *", _ask(start=b"OPTIONS https://open.test HTTP/1.1"),
      arrives=(rb"^OPTIONS \* ",)),
    R("9112 3.2.4", "the asterisk is for OPTIONS alone", _ask(start=b"GET * HTTP/1.1"), 400, ends=True),
    R("9110 7.7", "path and query are not changed", _ask(start=b"GET /%7ea//%2F;b=c?d=%41&&e+?/.. HTTP/1.1"),
      arrives=(rb"^GET /%7ea//%2F;b=c\?d=%41&&e\+\?/\.\. HTTP",)),
    R("9110 9.1", "an unknown method is for the origin to judge", _ask(start=b"FOO /a HTTP/1.1"),
      arrives=(rb"^FOO /a HTTP/1\.1$",)),
    R("9110 9.1", "methods are case-sensitive", _ask(start=b"get /a HTTP/1.1"), arrives=(rb"^get /a HTTP/1\.1$",)),
    R("9112 3", "a method longer than any is 501", _ask(start=b"A" * 65 + b" /a HTTP/1.1"), 501, ends=True),
    R("9110 9.3.8", "what the origin is told is shown to nobody", _ask(start=b"TRACE /a HTTP/1.1"), 405,
      not_arrives=(rb".",)),
    R("9112 4", "the space before the phrase is sent, even without one", _ask(), 299,
      _said(b"Content-Length: 0", start=b"HTTP/1.1 299"), answered=(rb"^HTTP/1\.1 299 $",)),
    # fields
    R("9112 5.1", "white space before a colon is 400", _ask(b"X : a"), 400, ends=True),
    R("9112 5.1", "and no proxy passes it on", _ask(), 502, _said(b"X : a", b"Content-Length: 0"),
      not_answered=(rb"X :",)),
    R("9112 5.2", "a folded line is rejected", _ask(b"X: a", b" b"), 400, ends=True),
    R("9112 5.2", "and in a response it is 502", _ask(), 502, _said(b"X: a", b" b", b"Content-Length: 0")),
    R("9110 5.1", "unknown fields are passed on", _ask(b"X-Unknown: a"), 200, _said(b"Content-Length: 0", b"X-Mine: b"),
      (rb"X-Unknown: a$",), answered=(rb"X-Mine: b$",)),
    R("9110 5.2", "the order of repeated fields stays", _ask(b"X: 1", b"Y: 2", b"X: 3"), arrives=(rb"X: 1$.*X: 3$",)),
    R("9110 5.3", "Set-Cookie lines are not joined", _ask(), 200, _said(b"Set-Cookie: a", b"Set-Cookie: b",
      b"Content-Length: 0"),
      answered=(rb"Set-Cookie: a$Set-Cookie: b$",)),
    R("9110 5.4", "fields larger than we take are 4xx", _ask(b"X: " + b"a" * 70000), 431, ends=True),
    R("9110 5.5", "NUL in a value is rejected", _ask(b"X: a\0b"), 400, ends=True),
    R("9110 5.5", "and in a response", _ask(), 502, _said(b"X: a\0b", b"Content-Length: 0")),
    R("9110 5.5", "white space around a value is no part of it", _ask(b"X: \t a \t"), arrives=(rb"X: a$",)),
    R("9110 5.6.1", "empty list elements are ignored", _ask(b"Connection: , ,close,"), ends=True),
    R("9110 7.6.1", "option names are case-insensitive", _ask(b"Connection: CLOSE"), ends=True),
    # bodies
    R("9112 6", "a body is by its framing, not by the method", _ask(b"Content-Length: 2", body=b"hi"),
      arrives=(rb"Content-Length: 2$\r\nhi",)),
    R("9112 6.1", "chunked is understood", _ask(_CHUNKED, start=_POST, body=_BODY),
      arrives=(rb"2\r\nhi\r\n0\r\n\r\n",)),
    R("9112 6.1", "codings are case-insensitive", _ask(b"Transfer-Encoding: CHUNKED", start=_POST, body=_BODY)),
    R("9112 6.1", "an unknown coding is 501", _ask(b"Transfer-Encoding: x, chunked", start=_POST), 501, ends=True),
    R("9112 6.1", "a coding in HTTP/1.0 is faulty, and ends the connection",
      _ask(_CHUNKED, b"Connection: keep-alive", start=b"POST /a HTTP/1.0", body=_BODY), 400, ends=True),
    R("9112 6.1", "and from an origin", _ask(), 502, _SAID_CHUNKED.replace(b"1.1", b"1.0")),
    R("9112 6.1", "none is sent to HTTP/1.0", _ask(start=_OLD), 200, _SAID_CHUNKED,
      answered=(rb"\r\n\r\nok",), not_answered=(rb"chunked",), ends=True),
    R("9112 6.1", "none is sent with 204", _ask(), 204, _said(_CHUNKED, start=b"HTTP/1.1 204 No Content"),
      not_answered=(rb"chunked",)),
    R("9112 6.2", "no length is sent with 204", _ask(), 204,
      _said(b"Content-Length: 0", start=b"HTTP/1.1 204 No Content"), not_answered=(rb"Content-Length",)),
    R("9112 6.2", "nor with 1xx", _ask(), 200, _HINTS[:-2] + b"Content-Length: 0\r\n\r\n" + OK,
      not_answered=(rb"103 .*Content-Length.*200 OK",)),
    R("9112 6.2", "no length beside a coding", _ask(_CHUNKED, b"Content-Length: 2", start=_POST, body=_BODY), 400,
      ends=True),
    R("9112 6.2", "numbers do not overflow", _ask(b"Content-Length: 18446744073709551618", start=_POST, body=b"hi"),
      400, ends=True),
    R("9112 6.3", "chunked that is not the last is 400", _ask(b"Transfer-Encoding: chunked, x", start=_POST), 400,
      ends=True),
    R("9112 6.3", "an invalid length is 400", _ask(b"Content-Length: 2, 3", start=_POST, body=b"hi!"), 400, ends=True),
    R("9112 6.3", "and from an origin 502", _ask(), 502, _said(b"Content-Length: a")),
    R("9112 6.3", "HEAD has no body", _ask(start=b"HEAD /a HTTP/1.1"), 200, _said(b"Content-Length: 10"),
      answered=(rb"Content-Length: 10$",)),
    R("9112 6.3", "304 has no body", _ask(), 304, _said(b"Content-Length: 10", start=b"HTTP/1.1 304 Not Modified"),
      answered=(rb"Content-Length: 10$",)),
    R("9112 6.3", "1xx has no body", _ask(), 200, _HINTS + OK, answered=(rb"^HTTP/1.1 103 .*HTTP/1.1 200 OK",)),
    R("9112 6.3", "without a length a request has none", _ask(start=_POST), not_arrives=(rb"Content-Length|chunked",)),
    R("9112 6.3", "what is behind a response is no other response", _ask(), 200, OK + b"HTTP/1.1 200 OK\r\n\r\nforged",
      not_answered=(rb"forged",)),
    R("9112 7.1.1", "unknown chunk extensions are ignored", _ask(_CHUNKED, start=_POST, body=_BODY),
      not_arrives=(rb"a=b",)),
    R("9112 7.1.1", "and of responses", _ask(), 200, _said(_CHUNKED, body=_BODY), answered=(rb"hi",),
      not_answered=(rb"a=b",)),
    R("9112 7.1.2", "trailers are not made headers", _ask(_CHUNKED, start=_POST, body=_BODY),
      not_arrives=(rb"X-Late.*\r\n\r\n2",)),
    R("9112 7.1.2", "nor those of responses", _ask(), 200, _said(_CHUNKED, body=_BODY), not_answered=(rb"X-Late",)),
    R("9112 7.1", "sizes do not overflow", _ask(_CHUNKED, start=_POST, body=b"10000000000000002\r\nhi\r\n0\r\n\r\n"),
      400, ends=True),
    R("9112 7.4", "who sends TE sends Connection: TE", _ask(b"TE: trailers", b"Connection: TE"),
      arrives=(rb"TE: trailers$", rb"Connection: TE$")),
    R("9112 8", "an incomplete response is not completed", _ask(), 200, _said(b"Content-Length: 10",
      b"Connection: close", body=b"12"),
      ends=True),
    # connections
    R("9112 9.3", "HTTP/1.1 stays", _ask(), answered=(rb"^HTTP/1.1 200",), not_answered=(rb"Connection: close",)),
    R("9112 9.3", "HTTP/1.0 does not", _ask(start=_OLD), answered=(rb"Connection: close$",), ends=True),
    R("9112 9.6", "close is heard, and said", _ask(b"Connection: close"), answered=(rb"Connection: close$",),
      ends=True),
    R("9112 9.6", "and concerns this hop only", _ask(b"Connection: close"), not_arrives=(rb"Connection",), ends=True),
    R("9112 9.6", "an origin's close concerns its hop only", _ask(), 200, _said(b"Content-Length: 0",
      b"Connection: close"),
      not_answered=(rb"Connection",)),
    R("9110 7.6.1", "what Connection names is removed", _ask(b"Connection: X-Hop", b"X-Hop: a"),
      not_arrives=(rb"X-Hop",)),
    R("9110 7.6.1", "of responses too", _ask(), 200, _said(b"Connection: X-Hop", b"X-Hop: a", b"Content-Length: 0"),
      not_answered=(rb"X-Hop",)),
    R("9110 7.6.1", "so are the fields of one hop", _ask(b"Keep-Alive: a", b"Proxy-Connection: a", b"TE: a",
      b"Upgrade: a"),
      not_arrives=(rb"Keep-Alive|Proxy-Connection|TE:|Upgrade",)),
    R("9110 7.6.2", "Max-Forwards: 0 goes no further", _ask(b"Max-Forwards: 0", start=b"OPTIONS /a HTTP/1.1"), 204,
      not_arrives=(rb".",), answered=(rb"Allow: ",)),
    R("9110 7.6.2", "for TRACE too", _ask(b"Max-Forwards: 0", start=b"TRACE /a HTTP/1.1"), 405, not_arrives=(rb".",)),
    R("9110 15.5.6", "405 says what is allowed", _ask(b"Max-Forwards: 0", start=b"TRACE /a HTTP/1.1"), 405,
      answered=(rb"Allow: ",)),
    R("9110 7.6.2", "otherwise it becomes less", _ask(b"Max-Forwards: 5", start=b"OPTIONS /a HTTP/1.1"),
      arrives=(rb"Max-Forwards: 4$",)),
    R("9110 7.6.2", "for other methods it may be ignored", _ask(b"Max-Forwards: 0"), arrives=(rb"^GET /a ",)),
    R("9110 7.6.3", "Via is sent to the origin", _ask(b"Connection: keep-alive", start=_OLD),
      arrives=(rb"Via: 1\.0 edge-test$",)),
    R("9110 7.6.3", "behind those before us", _ask(b"Via: 1.1 a, 1.0 b"),
      arrives=(rb"Via: 1\.1 a, 1\.0 b, 1\.1 edge-test$",)),
    R("9110 7.6.3", "and to the client", _ask(), answered=(rb"Via: 1\.1 edge-test$",)),
    R("9110 7.8", "Upgrade in HTTP/1.0 is ignored", _ask(b"Connection: Upgrade, keep-alive", b"Upgrade: websocket",
      start=_OLD),
      not_arrives=(rb"Upgrade",)),
    R("9110 7.8", "a protocol that was not asked for is not switched to", _ask(), 502,
      _said(b"Connection: Upgrade", b"Upgrade: a", start=b"HTTP/1.1 101 Switching Protocols"), not_answered=(rb"101",)),
    # semantics
    R("9110 6.6.1", "Date is added where it is missing", _ask(),
      answered=(rb"Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} GMT$",)),
    R("9110 6.6.1", "and left where it is not", _ask(), 200, _said(b"Date: yesterday", b"Content-Length: 0"),
      answered=(rb"Date: yesterday$",), not_answered=(rb"GMT",)),
    R("9110 6.6.1", "our own answers have one", _NONE, 400, answered=(rb"Date: ",), ends=True),
    R("9110 10.1.1", "100 is sent to who waits for it", _ask(b"Expect: 100-continue", b"Content-Length: 2",
      start=_POST),
      answered=(rb"^HTTP/1.1 100 Continue$$",)),
    R("9110 10.1.1", "but not to HTTP/1.0", _ask(b"Expect: 100-continue", b"Content-Length: 2",
      start=b"POST /a HTTP/1.0", body=b"hi"),
      not_answered=(rb"100 Continue",), ends=True),
    R("9110 10.1.1", "another expectation is 417",
      _ask(b"Expect: cookies", b"Content-Length: 2", start=_POST, body=b"hi"), 417, ends=True),
    R("9110 15.2", "1xx is passed on", _ask(), 200, _HINTS + OK,
      answered=(rb"^HTTP/1.1 103 Early Hints$.*Link: </a>$",)),
    R("9110 15.2", "but not to HTTP/1.0", _ask(start=_OLD), 200, _HINTS + OK, not_answered=(rb"103",), ends=True),
    R("9110 15", "a status that we do not know is one of its class", _ask(), 299, _said(b"Content-Length: 0",
      start=b"HTTP/1.1 299 A"),
      answered=(rb"^HTTP/1.1 299 A$",)),
    R("9110 11.6", "Authorization is not changed", _ask(b"Authorization: Basic  QTpC=="),
      arrives=(rb"Authorization: Basic  QTpC==$",)),
    R("9110 11.6", "nor WWW-Authenticate", _ask(), 401,
      _said(b"WWW-Authenticate: Basic", b"Content-Length: 0", start=b"HTTP/1.1 401 Who"),
      answered=(rb"WWW-Authenticate: Basic$",)),
    R("9110 7.7", "no content is transformed", _ask(b"Accept-Encoding: a;q=0.1"), 200,
      _said(b"Content-Encoding: gzip", b"ETag: W/\"a\"", b"Content-Length: 2", body=b"ok"),
      (rb"Accept-Encoding: a;q=0\.1$",), (), (rb"Content-Encoding: gzip$", rb"ETag: W/\"a\"$", rb"\r\n\r\nok")),
    R("9110 14.2", "ranges are the origin's", _ask(b"Range: bytes=0-0"), 206,
      _said(b"Content-Range: bytes 0-0/2", b"Content-Length: 1", start=b"HTTP/1.1 206 Part", body=b"o"),
      (rb"Range: bytes=0-0$",), answered=(rb"Content-Range: bytes 0-0/2$",)),
)  # fmt: skip
