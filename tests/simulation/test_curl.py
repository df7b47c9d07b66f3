"""A request as one writes it for curl, and the bytes that curl would send."""

from __future__ import annotations

import argparse
import pathlib

import pytest

from edgenode.simulation.curl import InvalidRequest, add_options, request_of


def head(*words: str) -> tuple[list[bytes], bytes]:
    """The lines of the head that options make, and the body."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    asked = request_of(parser.parse_intermixed_args(words))
    return asked.head.split(b"\r\n"), asked.body


@pytest.mark.parametrize(
    ("words", "lines", "body"),
    [
        (["a.test"], [b"GET / HTTP/1.1", b"Host: a.test", b"User-Agent: curl/8.14.1", b"Accept: */*"], b""),
        (["https://a.test?x=1", "-A", "", "-H", "Accept:"], [b"GET /?x=1 HTTP/1.1", b"Host: a.test"], b""),
        (["-d", "a=1", "-d", "b=2", "a.test/p"], [b"POST /p HTTP/1.1", b"Content-Length: 7"], b"a=1&b=2"),
        (["-G", "-d", "a=1", "--data-urlencode", "b=c d", "a.test/p?z"], [b"GET /p?z&a=1&b=c%20d HTTP/1.1"], b""),
        (["-b", "a=1", "-b", "b=2", "-e", "r", "a.test"], [b"Cookie: a=1; b=2", b"Referer: r"], b""),
        (["-I", "-u", "a:b", "a.test"], [b"HEAD / HTTP/1.1", b"Authorization: Basic YTpi"], b""),
        (["-H", "Host: other", "-H", "X;", "a.test:8443"], [b"Host: other", b"X:"], b""),
        (["-k", "-sS", "-0", "a.test/%2e/../x"], [b"GET /%2e/../x HTTP/1.0"], b""),
        (["https://B\u00fccher.test:8443/"], [b"Host: xn--bcher-kva.test:8443"], b""),
        (["https://b%C3%BCcher.test/"], [b"Host: xn--bcher-kva.test"], b""),
        (["https://fa\u00df.test/"], [b"Host: xn--fa-hia.test"], b""),
        (["https://\u4f8b\u3048\u3002\u30c6\u30b9\u30c8/"], [b"Host: xn--r8jz45g.xn--zckzah"], b""),
        (["https://\u2603.test/"], [b"Host: xn--n3h.test"], b""),
        (["https://Shop.test/"], [b"Host: Shop.test"], b""),
        (["-X", "PUT", "--data-raw", "@x", "a.test"], [b"PUT / HTTP/1.1"], b"@x"),
    ],
)
def test_requests_are_those_of_curl(words: list[str], lines: list[bytes], body: bytes) -> None:
    """The same options make the same lines and the same body."""
    made, sent = head(*words)
    assert set(lines) <= set(made)
    assert sent == body


@pytest.mark.parametrize("url", ["https://a%2fb.test/", "https://%ff.test/", "https://a%00.test/", "https://a\u00a0b/"])
def test_what_is_no_host_name_is_refused(url: str) -> None:
    """As curl does: nothing of it becomes a part of the path or a further line of the head."""
    with pytest.raises(InvalidRequest, match="no host name"):
        head(url)


def test_a_form_has_parts(tmp_path: pathlib.Path) -> None:
    """-F makes a multipart body, files and all."""
    (tmp_path / "f").write_bytes(b"content")
    lines, body = head("-F", "a=1", "-F", f"b=@{tmp_path}/f", "a.test")
    assert any(line.startswith(b"Content-Type: multipart/form-data; boundary=") for line in lines)
    assert b'name="a"\r\n\r\n1\r\n' in body
    assert b'name="b"; filename="f"\r\nContent-Type: application/octet-stream\r\n\r\ncontent\r\n' in body


def test_an_option_that_is_not_understood_is_refused() -> None:
    """None is passed over that might change the request."""
    with pytest.raises(SystemExit):
        head("a.test", "--proxy-header", "x")
    with pytest.raises(InvalidRequest):
        head("")
