"""Multipart that two servers may read differently is known, and what clients write is not taken for it."""

from __future__ import annotations

import pytest

from edgenode.rules.views.bodies import ambiguous
from edgenode.rules.views.strict_multipart import ambiguity
from tests.rules.test_twisted_forms import HEAD, MULTIPART, asked, of_part

REAL = b"----WebKitFormBoundary7MA4YWxkTrZu0gW"


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        (MULTIPART, of_part(HEAD)),
        (MULTIPART, b"\r\n" + of_part(HEAD)),
        (MULTIPART, b"--b--\r\n"),
        (MULTIPART, of_part(HEAD)[:-2]),
        (b"multipart/form-data; boundary=" + REAL, of_part(HEAD).replace(b"--b", b"--" + REAL)),
        (b'multipart/form-data; boundary="b"', of_part(b"Content-Disposition: form-data; name=q")),
        (MULTIPART, of_part(b"Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=q")),
        (MULTIPART, of_part(HEAD + b"\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: 6")),
        (MULTIPART, of_part(HEAD + b'; filename="a%22b.eml"\r\nContent-Type: message/rfc822')),
        (MULTIPART, of_part(HEAD + b"; filename=a.txt; filename*=utf-8''a.txt")),
        (MULTIPART, of_part(HEAD + b'; filename="\xc3\xa4.mht"\r\nContent-Type: multipart/related')),
        (MULTIPART, of_part(b'content-disposition: form-data; name="a[b][]"\r\nContent-Transfer-Encoding: binary')),
        (MULTIPART, of_part(HEAD, b"\r\n--a\r\n\r\n\r\nx: y\n\r--")),
        (b"multipart/related; boundary=b", of_part(b"Content-ID: <a>\r\nContent-Transfer-Encoding: base64")),
        (b"multipart/mixed; boundary=b", b"preamble\n" + of_part(b"Content-Type: application/json")),
        (b"text/plain; boundary=b", b"--b\n"),
    ],
)
def test_what_clients_write_is_not_ambiguous(content_type: bytes, data: bytes) -> None:
    """Browsers, curl, .NET (unquoted names), Java (charset, lengths, ``binary``), uploaded messages, and other
    multiparts than forms."""
    assert ambiguous(asked(content_type, data)) is None


@pytest.mark.parametrize(
    ("reason", "content_type", "data"),
    [
        ("its type", b"multipart/form-data", of_part(HEAD)),
        ("its type", MULTIPART + b"; boundary=c", of_part(HEAD)),
        ("its type", b"multipart/form-data; x-boundary=c; boundary=b", of_part(HEAD)),
        ("its type", b"multipart/form-data; boundary*=us-ascii''b", of_part(HEAD)),
        ("its type", b'multipart/form-data; boundary="b ', of_part(HEAD)),
        ("its type", b"multipart/form-data, boundary=b", of_part(HEAD)),
        ("its type", b"multipart/form-data; boundary=<b>", of_part(HEAD)),
        ("its type", b"multipart/form-data; boundary=b:", of_part(HEAD)),
        ("not begin", MULTIPART, b"preamble\r\n" + of_part(HEAD)),
        ("not begin", MULTIPART, b"x"),
        ("not begin", MULTIPART, b" ; boundary=c\r\n" + of_part(HEAD)),
        ("not end", MULTIPART, of_part(HEAD) + b"epilogue"),
        ("not end", MULTIPART, of_part(HEAD).removesuffix(b"--\r\n")),
        ("not end", MULTIPART, b"--b--\r\n" + of_part(HEAD) + b"\r\n--b--\r\nx"),
        ("no delimiter", MULTIPART, b"--b--\r\n" + of_part(HEAD)),
        ("not end", MULTIPART, of_part(HEAD).replace(b"\r\n", b"\n")),
        ("no delimiter", MULTIPART, b"--b \r\n" + HEAD + b"\r\n\r\n\r\n--b--"),
        ("no delimiter", MULTIPART, of_part(HEAD, b"1\n--b\n" + HEAD + b"\n\nattack")),
        ("no delimiter", MULTIPART, of_part(HEAD, b"1\r--b\r" + HEAD + b"\r\rattack")),
        ("no delimiter", MULTIPART, of_part(HEAD, b"1--b\r\n" + HEAD + b"\r\n\r\nattack")),
        ("no delimiter", MULTIPART, of_part(HEAD, b"1\r\n--bx\r\nattack")),
        ("empty line", MULTIPART, b"--b\r\n" + HEAD + b"\r\nattack\r\n--b--\r\n"),
        ("empty line", MULTIPART, b"--b\r\n" + HEAD + b"\n\nattack\r\n--b--\r\n"),
        ("no field", MULTIPART, of_part(HEAD + b"\r\nattack")),
        ("no field", MULTIPART, of_part(HEAD + b"\r\n x")),
        ("no field", MULTIPART, of_part(b"X: y\r" + HEAD)),
        ("no field", MULTIPART, of_part(b"X: y\n" + HEAD)),
        ("no field", MULTIPART, of_part(HEAD.replace(b":", b" :"))),
        ("two content-disposition", MULTIPART, of_part(HEAD + b"\r\n" + HEAD.replace(b"q", b"r"))),
        ("two content-transfer-encoding", MULTIPART, of_part(HEAD + b"\r\nContent-Transfer-Encoding: binary" * 2)),
        ("not named", MULTIPART, of_part(b"X: y")),
        ("not named", MULTIPART, of_part(HEAD + b"; name=r")),
        ("not named", MULTIPART, of_part(b"Content-Disposition: form-data; name=<q>")),
        ("not named", MULTIPART, of_part(b"Content-Disposition: form-data; name='q'")),
        ("not named", MULTIPART, of_part(b"Content-Disposition: form-data; name*=utf-8''q")),
        ("not named", MULTIPART, of_part(b"Content-Disposition: form-data; name*0=q")),
        ("not named", MULTIPART, of_part(b'Content-Disposition: form-data; name="%71"')),
        ("not named", MULTIPART, of_part(b'Content-Disposition: form-data; name="=?utf-8?q?q?="')),
        ("not named", MULTIPART, of_part(rb'Content-Disposition: form-data; name="a\"; name=q"')),
        ("not named", MULTIPART, of_part(b'Content-Disposition: attachment; name="q"')),
        ("not named", MULTIPART, of_part(HEAD + rb'; filename="a\b"')),
        ("no field", MULTIPART, of_part(HEAD + b"\x1c; filename=a")),
        ("transfer encoding", MULTIPART, of_part(HEAD + b"\r\nContent-Transfer-Encoding: x-uuencode")),
        ("transfer encoding", MULTIPART, of_part(HEAD + b"\r\nContent-Transfer-Encoding: base64")),
        ("multipart body itself", MULTIPART, of_part(HEAD + b"\r\nContent-Type: multipart/mixed; boundary=c")),
        ("have names", b"multipart/mixed; boundary=b", of_part(HEAD)),
    ],
)  # fmt: skip
def test_what_two_servers_may_read_differently_is_ambiguous(reason: str, content_type: bytes, data: bytes) -> None:
    """And the reason says in what: the type, the delimiters, the head of a part, its name, its encoding."""
    assert reason in (ambiguous(asked(content_type, data)) or "")


def test_the_end_of_a_body_of_which_rules_see_the_beginning_is_not_missed() -> None:
    """It is cut off for rules alone."""
    data = of_part(HEAD).removesuffix(b"--b--\r\n") + of_part(HEAD)
    assert all(ambiguity(MULTIPART, data[:size], truncated=True) is None for size in range(5, len(data)))
    assert all(ambiguity(MULTIPART, data[:size]) is not None for size in range(len(data) - 2))
