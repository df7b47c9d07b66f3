"""Requests that must not be served, one row for each rule of the HTTP/1.1 front, with the status that each gets."""

from __future__ import annotations

from typing import NamedTuple


def lines(*fields: bytes, start: bytes = b"GET / HTTP/1.1") -> bytes:
    """A request head of a request line and fields."""
    return b"\r\n".join((start, *fields, b"", b""))


HOST = b"Host: open.test"
CHUNKED = b"Transfer-Encoding: chunked"


class Bad(NamedTuple):
    """A request that must not be served."""

    name: str
    data: bytes
    status: int = 400


def start(name: str, line: bytes, status: int = 400) -> Bad:
    """A bad request line."""
    return Bad(name, lines(HOST, start=line), status)


def field(name: str, *fields: bytes, body: bytes = b"", status: int = 400) -> Bad:
    """A bad field or two."""
    return Bad(name, lines(HOST, *fields, start=b"POST / HTTP/1.1") + body, status)


def host(name: str, *hosts: bytes, status: int = 400) -> Bad:
    """A bad Host, or several."""
    return Bad(name, lines(*(b"Host: " + each for each in hosts)), status)


HOSTS = (
    host("no Host"),
    host("two Hosts", b"open.test", b"other.test"),
    host("the same Host twice", b"open.test", b"open.test"),
    host("two Hosts in one", b"open.test, other.test"),
    host("an empty Host", b""),
    host("a Host with a path", b"open.test/"),
    host("a Host with a user", b"user@open.test"),
    host("a Host with a space", b"open test"),
    host("a Host with a scheme", b"https://open.test"),
    host("a Host with a percent-encoding", b"open%2Etest"),
    host("a Host with 8-bit characters", b"\xf6pen.test"),
    host("a Host with an empty label", b"open..test"),
    host("a Host with a word for a port", b"open.test:https"),
    host("a Host with a port too high", b"open.test:65536"),
    host("a Host with two ports", b"open.test:1:2"),
    host("a Host with an unclosed bracket", b"[::1"),
)

LENGTHS = (
    field("length and chunked", b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n"),
    field("chunked and length", CHUNKED, b"Content-Length: 5", body=b"0\r\n\r\n"),
    field("two lengths", b"Content-Length: 2", b"Content-Length: 3", body=b"hi!"),
    field("the same length twice", b"Content-Length: 2", b"Content-Length: 2", body=b"hi"),
    field("two types", b"Content-Type: text/plain", b"Content-Length: 2", b"Content-Type: text/plain", body=b"hi"),
    field("a list of lengths", b"Content-Length: 2, 2", body=b"hi"),
    field("a positive length", b"Content-Length: +2", body=b"hi"),
    field("a negative length", b"Content-Length: -2", body=b"hi"),
    field("a hexadecimal length", b"Content-Length: 0x2", body=b"hi"),
    field("a length with a space", b"Content-Length: 2 2", body=b"hi"),
    field("a length with an underscore", b"Content-Length: 1_0", body=b"0123456789"),
    field("a length with a point", b"Content-Length: 2.0", body=b"hi"),
    field("a length in other digits", "Content-Length: ٢".encode(), body=b"hi"),
    field("an empty length", b"Content-Length:", body=b"hi"),
    field("a length of 5,000 digits", b"Content-Length: " + b"9" * 5000, body=b"hi"),
    field("a length beyond 64 bits", b"Content-Length: 18446744073709551618", body=b"hi"),
    field("identity", b"Transfer-Encoding: identity", body=b"hi"),
    field("identity beside a length", b"Transfer-Encoding: identity", b"Content-Length: 2", body=b"hi"),
    field("gzip", b"Transfer-Encoding: gzip", body=b"hi"),
    field("chunked that is not the last", b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"),
    field("chunked twice", b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
    field("chunked in two fields", CHUNKED, CHUNKED, body=b"0\r\n\r\n"),
    field("chunked with a parameter", b"Transfer-Encoding: chunked;q=1", body=b"0\r\n\r\n"),
    field("xchunked", b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    field("quoted", b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"),
    field("chunked with a vertical tab", b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
    field("an empty coding", b"Transfer-Encoding:", body=b"0\r\n\r\n"),
    field("a folded coding", b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n"),
    field("a coding whose name ends in a space", b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"),
    Bad("chunked in HTTP/1.0", lines(HOST, CHUNKED, start=b"POST / HTTP/1.0") + b"0\r\n\r\n"),
)

FIELDS = (
    field("a folded value", b"X: a\r\n b"),
    field("a value folded with a tab", b"X: a\r\n\tb"),
    Bad("a fold before the first field", b"GET / HTTP/1.1\r\n X: a\r\nHost: open.test\r\n\r\n"),
    field("a fold at the end", b"X: a\r\n "),
    field("a bare CR in a value", b"X: a\rb"),
    field("a bare CR at the end of a value", b"X: a\r"),
    field("a bare LF in a value", b"X: a\nY: b"),
    Bad("bare LFs only", b"GET / HTTP/1.1\nHost: open.test\n\n"),
    Bad("a bare LF behind the request line", b"GET / HTTP/1.1\nHost: open.test\r\n\r\n"),
    Bad("a bare LF at the end", b"GET / HTTP/1.1\r\nHost: open.test\r\n\n"),
    Bad("a bare CR behind the request line", b"GET / HTTP/1.1\rHost: open.test\r\n\r\n"),
    *(field(f"the control character {c:#04x} in a value", b"X: a%cb" % c) for c in (0, 1, 7, 8, 11, 12, 27, 31, 127)),
    field("a control character in a name", b"X\x01: a"),
    field("a space before the colon", b"X : a"),
    field("a tab before the colon", b"X\t: a"),
    field("a space in a name", b"X Y: a"),
    field("an empty name", b": a"),
    field("a field without a colon", b"X"),
    field("a name with a parenthesis", b"X(Y): a"),
    field("an 8-bit name", b"\xe4: a"),
)

STARTS = (
    Bad("a space before the request line", b" GET / HTTP/1.1\r\nHost: open.test\r\n\r\n"),
    Bad("a tab before the request line", b"\tGET / HTTP/1.1\r\nHost: open.test\r\n\r\n"),
    Bad("a NUL before the request line", b"\0GET / HTTP/1.1\r\nHost: open.test\r\n\r\n"),
    Bad("a bare LF before the request line", b"\nGET / HTTP/1.1\r\nHost: open.test\r\n\r\n"),
    start("two spaces before the target", b"GET  / HTTP/1.1"),
    start("two spaces behind the target", b"GET /  HTTP/1.1"),
    start("a space behind the version", b"GET / HTTP/1.1 "),
    start("tabs", b"GET\t/\tHTTP/1.1"),
    start("no target", b"GET HTTP/1.1"),
    start("no method", b"/ HTTP/1.1"),
    start("a fourth word", b"GET / HTTP/1.1 x"),
    start("HTTP/0.9", b"GET /"),
    start("HTTP/0.9 by name", b"GET / HTTP/0.9"),
    start("HTTP/1.2", b"GET / HTTP/1.2", 505),
    start("HTTP/2.0", b"GET / HTTP/2.0", 505),
    Bad("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    start("a version of two digits", b"GET / HTTP/1.10"),
    start("a version with a leading zero", b"GET / HTTP/01.1"),
    start("a version in lower case", b"GET / http/1.1"),
    start("a version of another protocol", b"GET / HTCPCP/1.0"),
    start("a method longer than any", b"F" * 65 + b" / HTTP/1.1", 501),
    start("a method with a character that no method has", b"G@T / HTTP/1.1"),
    start("CONNECT with an authority", b"CONNECT open.test:443 HTTP/1.1"),
    start("CONNECT with a path", b"CONNECT / HTTP/1.1"),
    start("a target without a slash", b"GET a HTTP/1.1"),
    start("an asterisk for GET", b"GET * HTTP/1.1"),
    start("a fragment", b"GET /#a HTTP/1.1"),
    start("a control character in the target", b"GET /\x01 HTTP/1.1"),
    start("DEL in the target", b"GET /\x7f HTTP/1.1"),
    start("8-bit characters in the target", b"GET /\xe4 HTTP/1.1"),
    start("8-bit characters in the query", b"GET /?\xe4 HTTP/1.1"),
    start("a quotation mark in the target", b'GET /" HTTP/1.1'),
    start("an angle bracket in the query", b"GET /?<script> HTTP/1.1"),
    start("a backslash in the path", b"GET /a\\b HTTP/1.1"),
    start("half an escape in the path", b"GET /%2 HTTP/1.1"),
    start("a broken escape in the path", b"GET /%zz HTTP/1.1"),
    start("an encoded NUL", b"GET /%00 HTTP/1.1"),
    start("an encoded LF at the end of the path", b"GET /x.php%0a HTTP/1.1"),
    start("an encoded CR within the path", b"GET /x%0D/y?z HTTP/1.1"),
    start("above the root", b"GET /../a HTTP/1.1"),
    start("above the root, encoded", b"GET /%2e%2e/a HTTP/1.1"),
    start("an encoded slash that hides dots", b"GET /a/..%2f..%2fb HTTP/1.1"),
    start("dots twice encoded", b"GET /a/%252e%252e/b HTTP/1.1"),
    start("dots with a parameter", b"GET /a/..;x/b HTTP/1.1"),
    start("dots behind an encoded backslash", b"GET /a%5c..%5cb HTTP/1.1"),
    start("dots beside empty segments", b"GET /a//../b HTTP/1.1"),
    start("an absolute target with a host that is not ours", b"GET https://none.test/ HTTP/1.1", 421),
    start("an absolute target with a user", b"GET https://open.test@other.test/ HTTP/1.1"),
    start("an absolute target without a host", b"GET https:/// HTTP/1.1"),
    start("an absolute target of another scheme", b"GET ftp://open.test/ HTTP/1.1"),
    start("a scheme-relative target is a path, a target with a colon is not", b"GET open.test:443 HTTP/1.1"),
)

LIMITS = (
    Bad("a long target", lines(HOST, start=b"GET /%b HTTP/1.1" % (b"a" * 2000)), 414),
    Bad("a long head", lines(HOST, *(b"X-%d: %b" % (n, b"a" * 400) for n in range(24))), 431),
    Bad("many fields", lines(HOST, *(b"X: a" for _ in range(30))), 431),
    field("a long body", b"Content-Length: 2001", body=b"a" * 2001, status=413),
    field("a long body that is waiting to be asked for", b"Content-Length: 2001", b"Expect: 100-continue", status=413),
    field("another expectation", b"Content-Length: 2", b"Expect: 200-ok", body=b"hi", status=417),
    field("WebSocket by another method", b"Upgrade: websocket", b"Connection: Upgrade", status=400),
    field("gzip in chunks", b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n", status=501),
)

UNFINISHED = (
    Bad("a long target", b"GET /" + b"a" * 5000, 414),
    Bad("a long head", b"GET / HTTP/1.1\r\nX: " + b"a" * 9000, 431),
    Bad("HTTP/0.9", b"GET /\r\n"),
    Bad("a request line that is none", b"HELO open.test\r\n"),
    Bad("a bare LF", b"GET / HTTP/1.1\n"),
    Bad("a bare LF in a later line", b"GET / HTTP/1.1\r\nHost: open.test\nX: a"),
    Bad("a bare CR", b"GET / HTTP/1.1\r\nHost: open.test\rX: a"),
    Bad("a control character", b"GET / HTTP/1.1\r\nHost: open.test\r\nX: \0"),
)
"""Heads that can no longer become good ones, without their ends."""

CHUNKS = (
    Bad("a chunk size that is no number", b"g\r\nhi\r\n0\r\n\r\n"),
    Bad("a negative chunk size", b"-1\r\nhi\r\n0\r\n\r\n"),
    Bad("a chunk size with a sign", b"+2\r\nhi\r\n0\r\n\r\n"),
    Bad("a chunk size with 0x", b"0x2\r\nhi\r\n0\r\n\r\n"),
    Bad("a chunk size behind a space", b" 2\r\nhi\r\n0\r\n\r\n"),
    Bad("a chunk size before a space", b"2 \r\nhi\r\n0\r\n\r\n"),
    Bad("an empty chunk size", b"\r\nhi\r\n0\r\n\r\n"),
    Bad("a chunk size of 17 digits", b"00000000000000002\r\nhi\r\n0\r\n\r\n"),
    Bad("a chunk size beyond 64 bits", b"10000000000000002\r\nhi\r\n0\r\n\r\n"),
    Bad("a bare LF behind a chunk size", b"2\nhi\r\n0\r\n\r\n"),
    Bad("a bare CR behind a chunk size", b"2\rhi\r\n0\r\n\r\n"),
    Bad("a bare LF in a chunk extension", b"2;a\nb\r\nhi\r\n0\r\n\r\n"),
    Bad("a NUL in a chunk extension", b"2;a\0b\r\nhi\r\n0\r\n\r\n"),
    Bad("an extension without a semicolon", b"2 a\r\nhi\r\n0\r\n\r\n"),
    Bad("a chunk longer than its size", b"2\r\nhi!\r\n0\r\n\r\n"),
    Bad("a chunk shorter than its size", b"4\r\nhi\r\n0\r\n\r\n"),
    Bad("a bare LF behind a chunk", b"2\r\nhi\n0\r\n\r\n"),
    Bad("a folded trailer", b"2\r\nhi\r\n0\r\nX: a\r\n b\r\n\r\n"),
    Bad("a trailer without a colon", b"2\r\nhi\r\n0\r\nX\r\n\r\n"),
    Bad("a trailer with a bare LF", b"2\r\nhi\r\n0\r\nX: a\nY: b\r\n\r\n"),
    Bad("too many trailers", b"2\r\nhi\r\n0\r\n" + b"X: %b\r\n" % (b"a" * 1000) * 10 + b"\r\n"),
    Bad("an endless chunk extension", b"2;" + b"a" * 5000),
    Bad("a long body in chunks", b"3e8\r\n%b\r\n" % (b"a" * 1000) * 3 + b"fff\r\n", 413),
    Bad("a long body in one chunk", b"fff\r\n%b" % (b"a" * 2047), 413),
)
"""Bodies, each behind a head with which nothing is wrong."""
