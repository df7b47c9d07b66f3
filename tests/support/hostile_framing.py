"""Hostile framing: where a request ends, said twice, badly, or in a way that only some readers understand."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.hostile import (
    CHUNKED,
    CUT,
    MALFORMED,
    Arrival,
    Hostile,
    chunks,
    declined,
    head,
    malformed,
    post,
    served,
    shown,
    stopped,
)

BODY = b"5\r\nhello\r\n0\r\n\r\n"
POSTED = Arrival(b"POST", body=b"hello")
SMUGGLED = b"0\r\n\r\nGET /inner HTTP/1.1\r\nHost: open.test\r\n\r\n"
"""Where the chunks end early for who reads them, and the length does not for who reads that."""

BAD_LENGTHS = (
    b"", b"+5", b"-5", b"-0", b"5 ", b"0x5", b"0X5", b"5h", b"5,", b",5", b"5,5", b"5, 5", b"5,6", b"5 5", b"5;5",
    b"5.0", b"5e0", b"5_0", b"1_0", b'"5"', b"'5'", b"[5]", b"(5)", b"%35", b"\\5", b"5\\", b"/5", b"five", b"None",
    b"NaN", b"inf", b"0b101", b"0o5", b"5L", b"5u", b"\xb2", b"\xd9\xa5", b"\xef\xbc\x95", b"5\xa0", b"\xa05",
    b"5\x85", b"\xef\xbb\xbf5", b"5\0", b"\0005", b"5\x0b", b"\x0b5", b"5\x0c", b"\x0c5", b"5\x7f", b"5\x1f", b"5\r",
    b"5\n", b"5\r6", b"5\n6", b"18446744073709551616", b"18446744073709551621", b"9223372036854775813", b"9" * 19,
    b"9" * 400, b"1e1000", b"0" * 400 + b"5", b"5#", b"5?", b"*", b"5%20", b"5&", b"=5", b"5=5", b": 5", b":5", b"5:",
    b"5 bytes", b"bytes 5",
)  # fmt: skip
GOOD_LENGTHS = (b"5", b"05", b"0005", b"\t5", b"5\t", b"  5  ", b" \t 5 \t ")

BAD_CODINGS = (
    b"", b" ", b",", b", ,", b"identity", b"gzip", b"deflate", b"compress", b"br", b"trailers", b"x", b"chunked,",
    b",chunked", b", chunked", b"chunked, ", b"chunked,chunked", b"chunked, chunked", b"chunked,identity",
     b"chunked, gzip",
    b"chunked\t,\tgzip",  b"chunked, cow", b"chunked;", b"chunked;q=1", b"chunked; q=0", b";chunked",
    b"chunked=1", b'"chunked"', b"'chunked'", b"xchunked", b"x-chunked", b"chunkedx", b"chunke", b"hunked",
    b"chunked chunked", b"chunked gzip", b"chunked/1", b"\x0bchunked", b"chunked\x0b", b"\x0cchunked", b"chunked\x0c",
    b"\0chunked", b"chunked\0", b"chun\0ked", b"\x1fchunked", b"\x7fchunked", b"\xa0chunked", b"chunked\xa0",
    b"chunked\x85", b"\xef\xbb\xbfchunked", b"\xe2\x80\x8bchunked", b"chun\xe2\x84\xaaed", b"ch\xc3\xbcnked",
    b"%63hunked", b"chunked%0d", b"\\chunked", b"chunked\\", b"[chunked]", b"(chunked)", b"chunked#", b"chunked:",
    b": chunked", b":chunked", b"=chunked", b"chunked\r", b"\rchunked", b"chunked\rx", b"chunked\nx", b"\nchunked",
    b"chunked\n", b"chun ked", b"chun\tked", b"chunked" * 40, b"*", b"0", b"true",
)  # fmt: skip
FURTHER_CODINGS = (
    b"identity,chunked", b"identity, chunked", b"gzip, chunked", b"gzip,chunked", b"cow, chunked", b"Gzip\t,\tChunked",
    b"deflate, gzip, chunked",
)  # fmt: skip
GOOD_CODINGS = (
    b"chunked", b"Chunked", b"CHUNKED", b"cHuNkEd", b"\tchunked", b"chunked\t", b"  chunked  ", b" \t chunked \t ",
)  # fmt: skip

BAD_SEPARATORS = (
    b" ", b"\t", b"  ", b"\x0b", b"\x0c", b"\0", b"\x1f", b"\x7f", b"\xa0", b"\r", b"\n", b"/", b";", b"=", b'"',
)  # fmt: skip
"""What stands between the name of a field and its colon and does not belong there."""

LOOK_ALIKES = (b"%b_%b", b"%b.%b", b"%b~%b", b"%b'%b", b"%b|%b", b"%b+%b", b"%b--%b", b"x-%b-%b", b"%b-%b-x")
"""Names that some readers of CGI's kind take for another."""


def lengths() -> Iterator[Hostile]:
    """Content-Length by itself."""
    for value in BAD_LENGTHS:
        if not value.endswith(b" "):
            yield malformed(value, post(b"Content-Length: " + value, body=b"hello"))
        yield malformed(b"beside a good one: " + value, post(b"Content-Length: 5", b"Content-Length: " + value))
    for value in GOOD_LENGTHS:
        yield served(value, post(b"Content-Length:" + value, body=b"hello"), POSTED)
    for first, second in (
        (b"5", b"5"), (b"5", b"6"), (b"6", b"5"), (b"0", b"5"), (b"5", b"0"), (b"5", b"05"), (b"0", b"0"),
    ):  # fmt: skip
        fields = b"Content-Length: " + first, b"content-length: " + second
        yield malformed(b"%b and %b" % (first, second), post(*fields, body=b"hello"))
    for separator in BAD_SEPARATORS:
        yield malformed(b"name and %b" % separator, post(b"Content-Length%b: 5" % separator, body=b"hello"))
        yield malformed(b"%b and name" % separator, post(b"%bContent-Length: 5" % separator, body=b"hello"))
    yield served("in other case", post(b"cOnTeNt-LeNgTh: 5", body=b"hello"), POSTED)
    yield served("of a GET", head(b"Content-Length: 5") + b"hello", Arrival(body=b"hello"))
    yield served("of nothing", post(b"Content-Length: 0"), Arrival(b"POST"))
    yield served(
        "of a request inside",
        post(b"Content-Length: 40", body=b"GET /inner HTTP/1.1\r\nHost: open.test\r\n\r\n"[:40]),
        Arrival(b"POST", body=b"GET /inner HTTP/1.1\r\nHost: open.test\r\n\r\n"[:40]),
    )
    yield from _look_alikes(b"Content", b"Length", b"50", post(b"Content-Length: 5"), b"hello")


def codings() -> Iterator[Hostile]:
    """Transfer-Encoding by itself, and beside Content-Length in either order."""
    for value in BAD_CODINGS:
        coding = b"Transfer-Encoding: " + value
        yield malformed(value, post(coding, body=BODY))
        yield malformed(b"before a length: " + value, post(coding, b"Content-Length: 15", body=BODY))
        yield malformed(b"behind a length: " + value, post(b"Content-Length: 4", coding, body=BODY))
        yield malformed(b"behind a good one: " + value, post(CHUNKED, coding, body=BODY))
    for value in FURTHER_CODINGS:
        coding = b"Transfer-Encoding: " + value
        yield malformed(value, post(coding, body=BODY), 501)
        yield malformed(b"before a length: " + value, post(coding, b"Content-Length: 15", body=BODY))
        yield malformed(b"behind a length: " + value, post(b"Content-Length: 4", coding, body=BODY))
        yield malformed(b"behind a good one: " + value, post(CHUNKED, coding, body=BODY))
    for value in GOOD_CODINGS:
        coding = b"Transfer-Encoding:" + value
        yield served(value, post(coding, body=BODY), POSTED)
        for length in (b"0", b"4", b"15", b"%d" % len(SMUGGLED)):
            field = b"Content-Length: " + length
            yield malformed(b"%b, and length %b" % (value, length), post(coding, field, body=SMUGGLED))
            yield malformed(b"length %b, and %b" % (length, value), post(field, coding, body=SMUGGLED))
        yield malformed(b"in HTTP/1.0: " + value, head(coding, start=b"POST / HTTP/1.0") + BODY)
        yield malformed(b"twice: " + value, post(coding, coding, body=BODY))
    for separator in BAD_SEPARATORS:
        for name in (b"Transfer-Encoding" + separator, separator + b"Transfer-Encoding"):
            yield malformed(name, post(name + b": chunked", body=BODY))
            yield malformed(b"beside a length: " + name, post(b"Content-Length: 5", name + b": chunked", body=BODY))
    for fold in (b"\r\n ", b"\r\n\t", b"\r\n  ", b"\r\n \t", b" \r\n ", b"\n ", b"\r "):
        yield malformed(b"folded: " + fold, post(b"Transfer-Encoding:" + fold + b"chunked", body=BODY))
        yield malformed(b"folded behind: " + fold, post(b"Transfer-Encoding: chunked" + fold + b"x", body=BODY))
        yield malformed(b"folded, and nothing: " + fold, post(b"Transfer-Encoding: chunked" + fold, body=BODY))
        yield malformed(
            b"folded out of another: " + fold, post(b"X: a" + fold + b"Transfer-Encoding: chunked", body=BODY)
        )
    yield served("of a GET", head(CHUNKED) + BODY, Arrival(body=b"hello"))
    yield served("of OPTIONS", head(CHUNKED, start=b"OPTIONS / HTTP/1.1") + BODY, Arrival(b"OPTIONS", body=b"hello"))
    yield served("of DELETE", head(CHUNKED, start=b"DELETE / HTTP/1.1") + BODY, Arrival(b"DELETE", body=b"hello"))
    yield from _look_alikes(b"Transfer", b"Encoding", b"chunked", post(b"Content-Length: 5"), b"hello")


def _look_alikes(first: bytes, second: bytes, value: bytes, start: bytes, body: bytes) -> Iterator[Hostile]:
    for spelling in LOOK_ALIKES:
        name = spelling % (first, second)
        fields = (
            ((name.lower(), value),) if name in (b"x-%b-%b" % (first, second), b"%b-%b-x" % (first, second)) else ()
        )
        data = start[:-2] + name + b": " + value + b"\r\n\r\n" + body
        yield served(b"no length and no coding: " + name, data, Arrival(b"POST", body=body, fields=fields))


BAD_SIZES = (
    b"", b" ", b"\t", b"g", b"x", b"-5", b"+5", b"-0", b"0x5", b"0X5", b"5h", b"x5", b" 5", b"\t5", b"5 ", b"5\t",
    b"5 5", b"5,5", b"5.0", b"5_0", b'"5"', b"%35", b"\\5", b"\xb2", b"\xd9\xa5", b"\xef\xbc\x95", b"5\xa0", b"\xa05",
    b"\xef\xbb\xbf5", b"5\0", b"\0005", b"5\x0b", b"\x0b5", b"5\x0c", b"5\x7f", b"5\x85", b"5\r", b"\r5", b"5\n",
    b"\n5", b"5:", b"5=", b"5=a", b"5,a=b", b"5 a", b"5 a=b", b"five",
)  # fmt: skip
LONG_SIZES = (
    b"10000000000000005", b"100000005" + b"0" * 12, b"f" * 17, b"f" * 600, b"0" * 16 + b"5", b"0" * 600 + b"5",
)  # fmt: skip
GOOD_SIZES = (b"5", b"05", b"005", b"00000005")
BAD_EXTENSIONS = (
    b";", b";;", b"; ", b";a;", b";;a", b";=", b";=a", b";a=", b";a=;b", b';a="', b';a="b', b';a=b"', b';a="b"c',
    b';a="\\"', b';"a"', b";a=b=c", b";a b", b";a=b c", b";a\0", b";a=\0", b';a="\0"', b";a=\x0b", b";\x7f",
    b";a=\x7f", b";a\rb", b";a\nb", b";\n", b";\r", b";a=\r", b";a\n", b';a="\n"', b';a="\r"', b";\xa0", b";a=\xa0",
    b";a=b,c", b";a=(b)", b";a[b", b" ;a ", b";a=b ", b";a=b\t", b"; a = b ",
)  # fmt: skip
LONG_EXTENSIONS = (b";" + b"a" * 600, b";a=" + b"b" * 600, b';a="' + b"b" * 600 + b'"', b";a" * 300)
GOOD_EXTENSIONS = (
    b";a", b";a=b", b";a=b;c=d", b" ;a", b"; a", b"\t;\ta", b"; a = b", b' ; a = "b"', b';a=""', b';a="b;c"',
    b';a="b\\"c"', b';a="\\\\"', b';a="\xe4"', b";!#$%&'*+-.^_`|~=a", b";a=1", b';a="\t"', b";a;b;c",
    b";" + b"a" * 400,
)  # fmt: skip
BAD_CHUNK_ENDS = (
    b"", b"\n", b"\r", b"\n\r", b"\r\r\n", b"\n\n", b"\r\n\r\n", b"\0\r\n", b" \r\n", b"!\r\n", b"\r\0\n", b"\x85",
    b"\x0b", b"  ", b"XX", b"0\r",
)  # fmt: skip
BAD_TRAILERS = (
    b"X", b"X :a", b"X\t: a", b" X: a", b"\tX: a", b": a", b":", b"X Y: a", b"X: a\0", b"X: \x01", b"X: \x7f",
    b"X: a\rb", b"X: a\nY: b", b"X\0: a", b"X\xe4: a", b"X(: a", b"X: a\r\n b", b"X: a\r\n\tb", b"X: a\r\r",
    b"X: a\n", b"\nX: a", b"\r", b"GET / HTTP/1.1", b"X@: a", b"X: a\x1b[2J",
)  # fmt: skip
LONG_TRAILERS = (b"X" * 9000 + b": a", b"X: " + b"a" * 9000, b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 300 + b"Y: b")
GOOD_TRAILERS = (
    b"X: a", b"X:a", b"X:", b"X: \t a \t", b"X: a\r\nX: b", b"Content-Length: 50", b"Transfer-Encoding: chunked",
    b"Host: other.test", b"Authorization: Basic QTpB", b"Cookie: a=b", b"X-Forwarded-For: 127.0.0.1",
    b"Connection: close", b"Expect: 100-continue", b"Content-Encoding: gzip", b"X: \xe4",
    b"SSL-Client-Verify: SUCCESS", b"Trailer: X", b"Upgrade: h2c", b"TE: chunked",
)  # fmt: skip


def sizes() -> Iterator[Hostile]:
    """The sizes of chunks, and where chunks end."""
    for size in BAD_SIZES:
        yield chunks(size, size + b"\r\nhello\r\n0\r\n\r\n")
        yield chunks(b"the second is " + size, b"5\r\nhello\r\n" + size + b"\r\nhello\r\n0\r\n\r\n")
    for size in LONG_SIZES:
        yield stopped(size, size + b"\r\nhello\r\n0\r\n\r\n")
    for size in GOOD_SIZES:
        yield served(size, post(CHUNKED, body=size + b"\r\nhello\r\n0\r\n\r\n"), POSTED)
    for last in (b"-0", b"+0", b"0x0", b"0 ", b" 0", b"O", b"0\0", b"0,"):
        yield chunks(b"the last is " + last, b"5\r\nhello\r\n" + last + b"\r\n\r\n")
    for last in (b"00", b"0;a=b", b"000000", b'0 ; a="b"'):
        yield served(b"the last is " + last, post(CHUNKED, body=b"5\r\nhello\r\n" + last + b"\r\n\r\n"), POSTED)
    for end in BAD_CHUNK_ENDS:
        if end:
            yield chunks(b"ends with " + end, b"5\r\nhello" + end + b"0\r\n\r\n")
        yield chunks(b"size ends with " + end + b".", b"5" + end + b"hello\r\n0\r\n\r\n")
    for end in (b"\n", b"\r", b"\n\n", b"\r\r", b"\r\n\n", b"\r\n\r\r", b"\n\r\n", b"\0\r\n"):
        yield chunks(b"the last ends with " + end, b"5\r\nhello\r\n0" + end + b"GET /inner HTTP/1.1\r\n\r\n")
    for size in (b"4", b"6", b"3", b"7", b"9", b"1", b"a"):
        yield chunks(b"five bytes in " + size, size + b"\r\nhello\r\n0\r\n\r\n")
    yield served("nothing", post(CHUNKED, body=b"0\r\n\r\n"), Arrival(b"POST"))
    yield served(
        "five of one byte", post(CHUNKED, body=b"".join(b"1\r\n%c\r\n" % c for c in b"hello") + b"0\r\n\r\n"), POSTED
    )
    yield served(
        "in upper and lower case",
        post(CHUNKED, body=b"A\r\n0123456789\r\nb\r\nhello world\r\n0\r\n\r\n"),
        Arrival(b"POST", body=b"0123456789hello world"),
    )
    yield served(
        "chunks within", post(CHUNKED, body=b"f\r\n5\r\nhello\r\n0\r\n\r\n\r\n0\r\n\r\n"), Arrival(b"POST", body=BODY)
    )


def extensions() -> Iterator[Hostile]:
    """Behind the sizes of chunks."""
    for extension in BAD_EXTENSIONS:
        yield chunks(extension, b"5" + extension + b"\r\nhello\r\n0\r\n\r\n")
        yield chunks(b"of the last: " + extension, b"5\r\nhello\r\n0" + extension + b"\r\n\r\n")
    for extension in GOOD_EXTENSIONS:
        yield served(
            extension, post(CHUNKED, body=b"5" + extension + b"\r\nhello\r\n0" + extension + b"\r\n\r\n"), POSTED
        )
    for extension in LONG_EXTENSIONS:
        yield stopped(extension, b"5" + extension + b"\r\nhello\r\n0\r\n\r\n")
        yield stopped(b"of the last: " + extension, b"5\r\nhello\r\n0" + extension + b"\r\n\r\n")
    yield stopped("more of them than body", b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n" * 600 + b"0\r\n\r\n")


def trailers() -> Iterator[Hostile]:
    """Behind the last chunk."""
    for trailer in BAD_TRAILERS:
        yield chunks(trailer, b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n\r\n")
    for trailer in LONG_TRAILERS:
        yield stopped(trailer, b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n\r\n")
    for trailer in GOOD_TRAILERS:
        yield served(trailer, post(CHUNKED, body=b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n\r\n"), POSTED)


def pipelines() -> Iterator[Hostile]:
    """A bad request behind good ones: they are served, it is not, nor is what follows."""
    bad = (
        b"GET /inner HTTP/1.1\r\n\r\n",
        b"GET /inner\r\n\r\n",
        b" GET /inner HTTP/1.1\r\nHost: open.test\r\n\r\n",
        b"GET /inner HTTP/1.1\nHost: open.test\n\n",
        b"POST /inner HTTP/1.1\r\nHost: open.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        + SMUGGLED,
        b"POST /inner HTTP/1.1\r\nHost: open.test\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /inner HTTP/1.1\r\nHost: open.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"\0GET /inner HTTP/1.1\r\nHost: open.test\r\n\r\n",
        b"\rGET /inner HTTP/1.1\r\nHost: open.test\r\n\r\n",
        b"\nGET /inner HTTP/1.1\r\nHost: open.test\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nHost: open.test\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    )
    good = (
        head(),
        head() + head(b"X: a"),
        post(b"Content-Length: 5", body=b"hello"),
        post(CHUNKED, body=BODY),
        head(start=b"HEAD / HTTP/1.1"),
    )
    for request in bad:
        for number, before in enumerate(good):
            end, status = CUT if b"zz" in request else MALFORMED, 505 if b"PRI" in request else 400
            name = f"{shown(request)} behind {number}"
            yield Hostile(name, request, end, status, None, before)


def expectations() -> Iterator[Hostile]:
    """Expect, and bodies that come unasked."""
    length = b"Content-Length: 5"
    for value in (b"100-continue", b"100-Continue", b"100-CONTINUE", b" 100-continue\t"):
        yield served(value, post(length, b"Expect:" + value, body=b"hello"), POSTED)
        yield served(b"in chunks: " + value, post(CHUNKED, b"Expect:" + value, body=BODY), POSTED)
        yield served(b"without a body: " + value, head(b"Expect:" + value))
    for value in (
        b"", b"100", b"200-ok", b"100-continue, 100-continue", b"100-continue,", b"100 continue", b"100-continue;a=b",
        b"x", b"continue", b'"100-continue"', b"y 100-continue",
    ):  # fmt: skip
        yield declined(value, post(length, b"Expect: " + value, body=b"hello"), 417)
    yield declined("twice", post(length, b"Expect: 100-continue", b"Expect: 100-continue", body=b"hello"), 417)
    for value in (b"100-continue\0", b"\x0b100-continue", b"100-continue\r", b"100-\ncontinue", b"100-continue\r\n x"):
        yield malformed(value, post(length, b"Expect: " + value, body=b"hello"))
    for fields in ((length, CHUNKED), (length, length), (b"Transfer-Encoding: gzip",)):  # not asked for, but refused
        yield malformed(b"beside " + b", ".join(fields), post(b"Expect: 100-continue", *fields, body=BODY))
