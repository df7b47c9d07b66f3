"""What is refused of an origin, and the reason that the event has: docs/http.rst has the table."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping

import pytest

from edgenode.proxy.http1.bodies import MalformedBody
from edgenode.proxy.http1.fields import MalformedHead
from edgenode.proxy.http1.reader import ResponseReader

DOCS = pathlib.Path(__file__).parents[3] / "docs" / "http.rst"
LENGTH = b"Content-Length: 2\r\n"


def head(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """A head of these lines."""
    return b"\r\n".join((start, *lines, b"", b""))


def chunked(body: bytes) -> bytes:
    """These bytes behind a head that announces chunks."""
    return head(b"Transfer-Encoding: chunked") + body


OTHERS_PASS_ON: Mapping[str, tuple[bytes, ...]] = {
    "a bare LF": (
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok",
        head(b"A: b\nContent-Length: 2"),
        chunked(b"2\nok\n0\n\n"),
        chunked(b"2\r\nok\n0\r\n\r\n"),
        chunked(b"0\r\nA: b\n\r\n"),
    ),
    "a control character": (head(b"A: b\x01c"), head(b"A: b\0c"), head(b"A: b\x7f")),
    "a repeated Content-Length": (
        head(b"Content-Length: 2", b"Content-Length: 2"),
        head(b"Content-Length: 2", b"Content-Length: 3"),
    ),
    "a malformed Content-Length": tuple(head(b"Content-Length: " + value) for value in (b"2, 2", b"+2", b"", b"0x2")),
    "both Content-Length and Transfer-Encoding": tuple(
        head(b"Content-Length: 2", b"Transfer-Encoding: " + value) for value in (b"chunked", b"identity")
    ),
    "a Transfer-Encoding other than chunked": (
        head(b"Transfer-Encoding: identity"),
        head(b"Transfer-Encoding: gzip, chunked"),
        head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    ),
    "a Transfer-Encoding in HTTP/1.0": (head(b"Transfer-Encoding: chunked", start=b"HTTP/1.0 200 OK"),),
    "white space around a chunk size": tuple(chunked(size + b"\r\nok\r\n") for size in (b"2 ", b"2\t", b" 2", b" 2;a")),
    "a malformed chunk extension": (chunked(b"2;a b\r\nok\r\n"), chunked(b"2;\r\n"), chunked(b"2 ;a=\r\n")),
    "a malformed trailer": (chunked(b"0\r\nA b\r\n\r\n"),),
    "the status 999 is none of HTTP's": (head(start=b"HTTP/1.1 999 Denied"), head(start=b"HTTP/1.0 999")),
    "the status line is malformed": (
        head(start=b"HTTP/1.2 200 OK"),
        head(start=b"HTTP/1.1  200 OK"),
        head(start=b"HTTP/1.1 OK"),
        head(start=b"HTTP/1.1 2000 OK"),
    ),
    "not HTTP/1": (b"hello", b"\nHTTP/1.1 200 OK\r\n"),
    "a line without a colon": (head(b"Ab"),),
    "a name that is no token": (head(b"A(b: c"), head(b": c")),
    "an unrequested 101": (head(start=b"HTTP/1.1 101 Switching Protocols"),),
    "a flood of interim responses": (head(start=b"HTTP/1.1 103 Early Hints") * 17,),
}
OTHERS_REFUSE: Mapping[str, tuple[bytes, ...]] = {
    "a bare CR": (head(b"A: b\rc"), chunked(b"2\rok")),
    "a folded line": (head(b"A: b", b" c"), head(b"A: b", b"\tc")),
    "white space before a colon": (head(b"A : b"), head(b"A\t: b")),
    "a chunk longer than its size": (chunked(b"2\r\nokay\r\n"), chunked(b"2\r\nok0\r\n")),
    "a chunk size that is no hexadecimal number": tuple(
        chunked(size + b"\r\n") for size in (b"xyz", b"", b"-2", b"0x2")
    ),
    "a chunk size that is too large": (chunked(b"0" * 16 + b"\r\n"),),
    "too large trailers": (chunked(b"0\r\n" + b"A: bbbbbbbbbbbbbb\r\n" * 500),),
    "the status 099 is none of HTTP's": (head(start=b"HTTP/1.1 099 Low"),),
    "the status 600 is none of HTTP's": (head(start=b"HTTP/1.1 600 High"),),
}


def _reason(data: bytes, size: int) -> str:
    reader = ResponseReader(65536)
    reader.expect(b"GET")
    try:
        for at in range(0, len(data), size):
            reader.feed(data[at : at + size])
            while reader.head is None and reader.read_head() is not None:
                pass
            if reader.head is not None:
                reader.read_body()
    except (MalformedHead, MalformedBody) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("reason", [*OTHERS_PASS_ON, *OTHERS_REFUSE])
def test_the_reason_is_true_however_it_comes(reason: str) -> None:
    """It names the one thing that is wrong, whether the response comes whole or byte by byte."""
    for data in {**OTHERS_PASS_ON, **OTHERS_REFUSE}[reason]:
        assert (data, _reason(data, len(data))) == (data, reason)
        assert (data, _reason(data, 1)) == (data, reason)


def test_the_table_of_what_others_pass_on_is_whole() -> None:
    """Each reason has its row in the documentation, and each row its reason."""
    table = DOCS.read_text().partition("Refused responses\n")[2]
    assert re.findall(r"^   \* - .*\n     - ``(.*)``$", table, re.MULTILINE) == list(OTHERS_PASS_ON)
