"""Hostile heads: lines, characters, and the parts of the request line."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.hostile import (
    CHUNKED,
    HOST,
    SERVED,
    Arrival,
    Hostile,
    declined,
    head,
    malformed,
    post,
    served,
    shown,
    starts,
)

ENDS = (
    b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\r", b"\n\n", b"\r\r", b"\r\0\n", b"\0\r\n", b"\0", b"\x0b\r\n", b"\x0b",
    b"\x0c", b"\x1e", b"\r\x0b\n", b"\x1c",
)  # fmt: skip
"""In place of CRLF."""
NO_ENDS = (b"\x85", b"\xe2\x80\xa8", b"%0d%0a", b"\\r\\n", b"\x8d\x8a", b"\xe5\x98\x8a\xe5\x98\x8d")
"""In place of CRLF too; within a value they are characters like any other."""

FOLDS = (
    b"\r\n ", b"\r\n\t", b"\r\n  ", b"\r\n \t ", b" \r\n ", b"\n ", b"\n\t", b"\r ", b"\r\t", b"\r\n\x0b",
    b"\r\n\xa0", b"\r\n\0 ",
)  # fmt: skip
CONTROLS = tuple(bytes((c,)) for c in (*range(9), 11, 12, *range(14, 32), 127))
BARE = (b"\r", b"\n")
EIGHT_BIT = tuple(bytes((c,)) for c in (0x80, 0x85, 0x8A, 0x8D, 0xA0, 0xAD, 0xC0, 0xE4, 0xFE, 0xFF))
DELIMITERS = tuple(bytes((c,)) for c in b'"(),/;<=>?@[\\]{}')


def ends_of_lines() -> Iterator[Hostile]:
    """The end of each line of a head, ended otherwise."""
    lines = (b"POST / HTTP/1.1", HOST, b"X: a", b"Content-Length: 0", b"")
    for number in range(4):
        for end in (*ENDS, *(NO_ENDS if number != 2 else ())):
            data = b"".join(each + (end if n == number else b"\r\n") for n, each in enumerate(lines))
            yield malformed(f"line {number} ends with {shown(end)}", data)
    for end in NO_ENDS:
        data = head(b"X: a" + end + b"Y: b")
        yield served(b"what is no end of a line: " + end, data, Arrival(fields=((b"x", b"a" + end + b"Y: b"),)))
    for end in (b"\n", b"\r", b"\n\r", b"\r\r\n", b"\n\n", b"\0\r\n", b" \r\n", b"\t\r\n"):
        yield malformed(b"the empty line is " + end, head()[:-2] + end)
    yield malformed("bare LFs only", head().replace(b"\r\n", b"\n"))
    yield malformed("bare CRs only", head().replace(b"\r\n", b"\r"))
    yield malformed("the other way round", head().replace(b"\r\n", b"\n\r"))
    for before in (
        b"\n", b"\r", b"\r\r\n", b"\r\n\n", b"\n\r\n", b" ", b"\t", b"\0", b"\x0b", b"\xef\xbb\xbf", b"\x85",
        b" \r\n", b"\r\n ", b"\r\n\t", b"\0\r\n", b"x\r\n",
    ):  # fmt: skip
        yield malformed(b"before the request line: " + before, before + head())
    for before in (b"\r\n", b"\r\n\r\n", b"\r\n" * 20):
        yield served(b"before the request line: " + before, before + head())


def folds() -> Iterator[Hostile]:
    """Lines that go on in the next, wherever."""
    for fold in FOLDS:
        at = shown(fold)
        yield malformed(f"before the first field: {at}", b"GET / HTTP/1.1" + fold + b"X: a\r\n" + HOST + b"\r\n\r\n")
        yield malformed(f"in the request line: {at}", b"GET" + fold + b"/ HTTP/1.1\r\n" + HOST + b"\r\n\r\n")
        yield malformed(f"in a value: {at}", head(b"X: a" + fold + b"b"))
        yield malformed(f"behind a colon: {at}", head(b"X:" + fold + b"b"))
        yield malformed(f"before a colon: {at}", head(b"X" + fold + b": b"))
        yield malformed(f"of nothing: {at}", head(b"X: a" + fold))
        yield malformed(f"in Host: {at}", head(host=b"Host:" + fold + b"open.test"))
        yield malformed(f"behind Host: {at}", head(host=HOST + fold + b"x"))
        yield malformed(f"in a length: {at}", post(b"Content-Length:" + fold + b"5", body=b"hello"))
        yield malformed(f"that hides a length: {at}", post(b"X: a" + fold + b"Content-Length: 5", body=b"hello"))
        yield malformed(f"twice: {at}", head(b"X: a" + fold + b"b" + fold + b"c"))


def characters() -> Iterator[Hostile]:
    """Every character in every place that has no room for it."""
    for c in (*CONTROLS, *BARE):
        at = shown(c)
        yield malformed(f"{at} in the method", head(start=b"GE" + c + b"T / HTTP/1.1"))
        yield malformed(f"{at} in the path", head(start=b"GET /a" + c + b"b HTTP/1.1"))
        yield malformed(f"{at} in the query", head(start=b"GET /?a" + c + b"b HTTP/1.1"))
        yield malformed(f"{at} in the version", head(start=b"GET / HTTP/1" + c + b".1"))
        yield malformed(f"{at} behind the version", head(start=b"GET / HTTP/1.1" + c))
        yield malformed(f"{at} in a name", head(b"X" + c + b"Y: a"))
        yield malformed(f"{at} before a name", head(c + b"X: a"))
        yield malformed(f"{at} before a colon", head(b"X" + c + b": a"))
        yield malformed(f"{at} behind a colon", head(b"X:" + c + b"a"))
        yield malformed(f"{at} in a value", head(b"X: a" + c + b"b"))
        yield malformed(f"{at} at the end of a value", head(b"X: a" + c))
        yield malformed(f"{at} in Host", head(host=b"Host: open" + c + b".test"))
        yield malformed(f"{at} behind Host", head(host=HOST + c))
    for c in (*EIGHT_BIT, *DELIMITERS):
        at = shown(c)
        if c != b"/":
            yield malformed(f"{at} in the method", head(start=b"GE" + c + b"T / HTTP/1.1"))
        yield malformed(f"{at} in a name", head(b"X" + c + b"Y: a"))
        yield malformed(f"{at} before a name", head(c + b"X: a"))
        yield malformed(f"{at} in Host", head(host=b"Host: op" + c + b"en.test"))
        yield served(f"{at} in a value", head(b"X: a" + c + b"b"), Arrival(fields=((b"x", b"a" + c + b"b"),)))
    for c in EIGHT_BIT:
        yield malformed(f"{shown(c)} in the path", head(start=b"GET /a" + c + b"b HTTP/1.1"))
        yield malformed(f"{shown(c)} in the query", head(start=b"GET /?a" + c + b"b HTTP/1.1"))
    every = bytes(c for c in range(0x21, 256) if c != 0x7F)
    yield served("every character that a value may have", head(b"X: " + every), Arrival(fields=((b"x", every),)))


def spaces() -> Iterator[Hostile]:
    """Where a space is missing, or too many, or another one."""
    for gap in (
        b"\t", b"  ", b" \t", b"\x0b", b"\x0c", b"\xa0", b"\r", b"\n", b"\0", b"", b"+", b"%20", b"   ", b"\r ",
        b"\xe2\x80\x83",
    ):  # fmt: skip
        yield malformed(b"before the target: " + gap + b".", head(start=b"GET" + gap + b"/ HTTP/1.1"))
        yield malformed(b"behind the target: " + gap + b".", head(start=b"GET /" + gap + b"HTTP/1.1"))
        if gap not in (b"", b"+", b"%20"):
            yield malformed(b"before the method: " + gap, head(start=gap + b"GET / HTTP/1.1"))
            yield malformed(b"behind the version: " + gap, head(start=b"GET / HTTP/1.1" + gap))
            yield malformed(b"within the target: " + gap, head(start=b"GET /a" + gap + b"b HTTP/1.1"))
    for gap in (b" ", b"\t", b"  ", b" \t", b"\x0b", b"\x0c", b"\xa0", b"\0", b"\r", b"\n", b"\x85"):
        yield malformed(b"before a colon: " + gap, head(b"X" + gap + b": a"))
        yield malformed(b"before the colon of Host: " + gap, head(host=b"Host" + gap + b": open.test"))
        yield malformed(b"before the name of Host: " + gap, head(host=gap + b"Host: open.test"))
        yield malformed(b"within a name: " + gap, head(b"X" + gap + b"Y: a"))
    for value, read in (
        (b"a", b"a"), (b" a", b"a"), (b"\ta", b"a"), (b" \t a \t ", b"a"), (b"", b""), (b" ", b""), (b"\t", b""),
        (b"a b", b"a b"), (b"a\tb", b"a\tb"), (b"a  b", b"a  b"),
    ):  # fmt: skip
        yield served(b"around a value: " + value + b".", head(b"X:" + value), Arrival(fields=((b"x", read),)))
    for line in (b"", b":", b": a", b"X", b"X a", b" ", b"\t", b"X;a", b"=", b"GET / HTTP/1.1", b"HTTP/1.1 200 OK"):
        if line:
            yield malformed(b"no field: " + line, head(line))


def methods() -> Iterator[Hostile]:
    """Methods that are unknown, or are nothing for an edge."""
    unknown = (
        b"get", b"Get", b"GETT", b"GETS", b"G", b"XGET", b"POSTT", b"post", b"FROBNICATE", b"GET-", b"-GET", b"_GET",
        b"GET_", b"!", b"$GET", b"A" * 64, b"HELO", b"EHLO", b"SSH-2.0-x", b"TEST", b"CHECK", b"DESCRIBE", b"SETUP",
        b"PLAY", b"RECORD", b"ANNOUNCE", b"HTTP", b"OPTION", b"OPTIONSS", b"%47ET", b"G%45T", b"GET'", b"GET|", b"0",
        b"NULL", b"VERSION-CONTROL", b"BASELINE-CONTROL",
    )  # fmt: skip
    for method in unknown:
        yield served(method, head(start=method + b" / HTTP/1.1"), Arrival(method, b"/"))
        data = head(b"Content-Length: 5", start=method + b" / HTTP/1.1") + b"hello"
        yield served(method + b" with a body", data, Arrival(method, b"/", b"hello"))
    for method in (b"TRACE", b"trace", b"Trace", b"connect", b"Connect"):
        yield declined(method, head(b"Connection: close", start=method + b" / HTTP/1.1"), 405)
    yield declined("longer than any", head(start=b"A" * 65 + b" / HTTP/1.1"), 501)
    yield declined("much longer", head(start=b"A" * 900 + b" / HTTP/1.1"), 501)
    for target in (b"open.test:443", b"other.test:443", b"127.0.0.1:22", b"open.test:80"):
        yield declined(b"CONNECT " + target, head(start=b"CONNECT " + target + b" HTTP/1.1"))
    for target in (
        b"/", b"*", b"https://open.test/", b"open.test", b":443", b"[::1]", b"http://127.0.0.1:22", b"open.test:443/",
    ):  # fmt: skip
        yield malformed(b"CONNECT " + target, head(start=b"CONNECT " + target + b" HTTP/1.1"))
    yield malformed("PRI", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)
    yield malformed("PRI in our version", head(start=b"PRI * HTTP/1.1"))
    for method in b"GET HEAD POST PUT PATCH DELETE OPTIONS PROPFIND REPORT MKCOL LOCK SEARCH PURGE LINK".split():
        yield served(method, head(start=method + b" /a HTTP/1.1"), Arrival(method, b"/a"))
        data = head(b"Content-Length: 5", start=method + b" /a HTTP/1.1") + b"hello"
        yield served(method + b" with a body", data, Arrival(method, b"/a", b"hello"))
    for name in (b"X-HTTP-Method-Override", b"X-HTTP-Method", b"X-Method-Override"):
        yield served(name, head(name + b": DELETE"), Arrival(fields=((name.lower(), b"DELETE"),)))


def versions() -> Iterator[Hostile]:
    """Versions that we do not speak."""
    yield from starts(
        b"GET / " + each
        for each in (
            b"HTTP/1",
            b"HTTP/1.",
            b"HTTP/.1",
            b"HTTP/",
            b"HTTP",
            b"HTTP/11",
            b"HTTP/1.10",
            b"HTTP/1.11",
            b"HTTP/01.1",
            b"HTTP/1.01",
            b"HTTP/10.1",
            b"HTTP/-1.1",
            b"HTTP/+1.1",
            b"HTTP/1,1",
            b"HTTP/1.1.1",
            b"HTTP/a.b",
            b"HTTP/1.x",
            b"http/1.1",
            b"Http/1.1",
            b"HTTPS/1.1",
            b"HTTP 1.1",
            b"HTTP/ 1.1",
            b"HTTP/1 .1",
            b"HTTP/1. 1",
            b"HTTP\\1.1",
            b"XHTTP/1.1",
            b"HTTP/1.1x",
            b"HTTP/1.1;",
            b"HTTP/\xd9\xa1.1",
            b"HTTP/\xb9.1",
            b"HTCPCP/1.0",
            b"ICAP/1.0",
            b"RTSP/1.0",
            b"SIP/2.0",
            b"ICE/1.0",
            b"HTTP/0.9",
            b"HTTP/0.0",
            b"HTTP/0.1",
            b"HTTP/1.1 HTTP/1.1",
            b"HTTP/4294967297.1",
            b"HTTP/1.18446744073709551617",
            b'"HTTP/1.1"',
        )
    )
    for version in (b"1.2", b"1.9", b"2.0", b"2.1", b"3.0", b"9.9"):
        yield from starts((b"GET / HTTP/" + version, b"POST /a HTTP/" + version), 505)
    for data in (
        b"GET /\r\n\r\n", b"GET /\r\n", b"GET / \r\n\r\n", b"GET\r\n\r\n", b"GET \r\n\r\n", b"/\r\n\r\n",
        b"GET /a b\r\n\r\n", b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n\r\n", b"QUIT\r\n",
        b"\x80\x2e\x01\x00\x02\r\n\r\n", b"<policy-file-request/>\0\r\n\r\n",
    ):  # fmt: skip
        yield malformed(b"older: " + data, data)
    yield Hostile("HTTP/1.0", head(start=b"GET / HTTP/1.0"), SERVED, 200, Arrival(), closes=True)
    yield served("HTTP/1.0 that stays", head(b"Connection: keep-alive", start=b"GET / HTTP/1.0"))
    body = Arrival(b"POST", body=b"hello")
    lines = b"Connection: keep-alive", b"Content-Length: 5"
    yield served("HTTP/1.0 with a body", head(*lines, start=b"POST / HTTP/1.0") + b"hello", body)
    yield malformed("HTTP/1.0 with chunks", head(CHUNKED, start=b"POST / HTTP/1.0") + b"0\r\n\r\n")
    hostless = head(start=b"GET / HTTP/1.0", host=b"")
    yield Hostile("HTTP/1.0 without a Host", hostless, SERVED, 200, Arrival(), closes=True)
    yield malformed("HTTP/1.0 with a Host that is none", head(start=b"GET / HTTP/1.0", host=b"Host:"))
    yield malformed("HTTP/1.1 without a Host", head(host=b""))
