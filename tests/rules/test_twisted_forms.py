"""Whatever Twisted puts into ``Request.args`` is among the arguments that rules see."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgenode.model.exchange import NO_BODY, Body, Request
from edgenode.rules.views.arguments import all_arguments
from edgenode.rules.views.bodies import truncated
from tests.support.form_readers import twisted_arguments

HEAD = b'Content-Disposition: form-data; name="q"'
MULTIPART = b"multipart/form-data; boundary=b"
FORM = b"application/x-www-form-urlencoded"
UUENCODED = b"begin 644 x\n#870T\n`\nend"


def asked(content_type: bytes, data: bytes, query: bytes | None = None, **fields: bytes) -> Request:
    """A request with a body."""
    headers = ((b"content-type", content_type), *((n.replace("_", "-").encode(), v) for n, v in fields.items()))
    body = Body(data, len(data)) if data else NO_BODY
    return Request(b"POST", b"https", b"a", b"/", b"/", query, b"/", headers, length=len(data), body=body)


def unseen(content_type: bytes, data: bytes, query: bytes | None = None) -> list[tuple[bytes, bytes]]:
    """What Twisted finds and rules do not."""
    seen = all_arguments(asked(content_type, data, query))
    found = twisted_arguments(content_type, data, query)
    return [(name, value) for name, values in found.items() for value in values if value not in seen.get(name, ())]


def of_part(head: bytes, value: bytes = b"attack") -> bytes:
    """A body of one part."""
    return b"--b\r\n" + head + b"\r\n\r\n" + value + b"\r\n--b--\r\n"


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        (MULTIPART, b"--b\r\n" + HEAD + b"\r\nattack\r\n--b--\r\n"),
        (MULTIPART, b"--b\r" + HEAD + b"\r\rattack\r--b--\r"),
        (MULTIPART, b"--b\r\n" + HEAD + b"\r\rattack\r\n--b--\r\n"),
        (MULTIPART, b"--b\r\nX: y\rContent-Disposition: form-data; name=q\r\n\r\nattack\r\n--b--\r\n"),
        (MULTIPART, of_part(HEAD + b"\r\nContent-Transfer-Encoding: x-uuencode", b"begin 644 x\n&871T86-K\n`\nend")),
        (MULTIPART, of_part(HEAD + b"\r\nContent-Transfer-Encoding: uue", b"begin 644 x\n&871T86-K\n`\nend")),
        (MULTIPART, of_part(HEAD + b"\r\nContent-Transfer-Encoding: base64", b"YXR0\nYWNr")),
        (MULTIPART, of_part(HEAD + b"\r\nContent-Transfer-Encoding: Quoted-Printable", b"=61tta=\r\nck")),
        (MULTIPART, of_part(b"Content-Disposition: form-data; name=<q>")),
        (MULTIPART, of_part(b"Content-Disposition: form-data; \x1cname=q")),
        (MULTIPART, of_part(b"Content-Disposition: form-data; NAME*7=q")),
        (MULTIPART, of_part(b" Content-Disposition: form-data; name=a\r\n" + HEAD + b"\r\n" + HEAD[:-2] + b'z"')),
        (MULTIPART, b"--b\r\n--b--\r\n" + HEAD + b"\r\n\r\nattack\r\n--b--\r\n"),
        (MULTIPART, of_part(HEAD + b"\r\nContent-Type: multipart/mixed; boundary=c", b"attack\r\n--c--\r\nx")),
        (MULTIPART, of_part(HEAD + b"\r\nFrom attack")),
        (b"multipart/form-data", b" ; boundary=b\r\n" + of_part(HEAD)),
        (b"multipart/form-data; boundary=", of_part(HEAD).replace(b"--b", b"--")),
        (b'multipart/form-data; boundary="<b>"', of_part(HEAD)),
        (b'multipart/form-data; boundary="b "', of_part(HEAD)),
        (b"=?utf-8?b?YXBwbGljYXRpb24veC13d3ctZm9ybS11cmxlbmNvZGVk?=", b"q=attack"),
        (b"application/x-www-form-=?utf-7?q?urlencode=64?=; x", b"q=attack"),
        (b"APPLICATION/X-WWW-FORM-URLENCODED\x1c", b"a=b;q=attack"),
    ],
)  # fmt: skip
def test_what_twisted_finds_in_an_odd_body_is_seen(content_type: bytes, data: bytes) -> None:
    """Bare CR, heads without an empty line, uuencode, odd names and boundaries, encoded words in the type: Twisted
    has ``q``, and so have rules."""
    (value,) = twisted_arguments(content_type, data)[b"q"]
    assert b"attack" in value
    assert value in all_arguments(asked(content_type, data))[b"q"]


LINE_ENDS = (b"\r\n", b"\r\n", b"\r\n", b"\r", b"\n")
FIELDS = (
    HEAD,
    b"Content-Disposition: form-data",
    b"Content-Disposition : form-data; name=q",
    b"Content-Type: text/plain; charset=utf-16",
    b"Content-Type: multipart/mixed; boundary=c",
    b"Content-Type: multipart/mixed",
    b"Content-Type: message/rfc822",
    b"Content-Type: message/delivery-status",
    b"Content-Transfer-Encoding: x-uuencode",
    b"Content-Transfer-Encoding: base64",
    b"content-transfer-encoding:quoted-printable ",
    b"From x", b"X: y", b":", b"Z", b"", b" z", b"\t; name=q",
)  # fmt: skip
PARAMETERS = (b"; name=q", b'; name="q', b'"', b"\\", b"; name*0=q", b"; NAME*01=x", b"; name*1*=%41", b"; name*=u''q",
              b";name = <q>", b"\x1c", b"\xc3\xa4", b"=?utf-8?q?q?=", b" ", b";", b",", b"\x00")  # fmt: skip
VALUES = (UUENCODED, b"YXR0YWNr", b"=41", b"attack", b"--c", b"--c--", b"--b", b"--b--", b"--bx", b"--", b"", b"\xff")
TYPES = (
    *[MULTIPART] * 8,
    b"multipart/form-data",
    b"multipart/form-data; boundary=",
    b'multipart/form-data; boundary="<b>"',
    b'Multipart/Form-Data;Boundary="b "',
    b"multipart/form-data; boundary*0=b",
    b"multipart/form-data; boundary*=us-ascii''b",
    b'multipart/form-data; x="; boundary=b',
    b"multipart/form-data (x); boundary=b; boundary=c",
    b"multipart/form-data; boundary=b:",
)
line_ends = st.sampled_from(LINE_ENDS)
fields = st.builds(lambda field, more: field + b"".join(more), st.sampled_from(FIELDS),
                   st.lists(st.sampled_from(PARAMETERS), max_size=3))  # fmt: skip
lines = st.builds(lambda text, end: text + end, fields | st.sampled_from(VALUES), line_ends)
parts = st.builds(
    lambda delimiter, end, first, rest: delimiter + end + first + b"".join(rest),
    st.sampled_from((b"--b", b"--b", b"--b", b"--b ", b"--b--", b"--", b"--b:")),
    line_ends,
    st.just(HEAD + b"\r\n") | lines,
    st.lists(lines, max_size=6),
)
multiparts = st.lists(parts | lines, max_size=4).map(b"".join)


TWICE = HEAD + b"\r\n%b" + UUENCODED + b"\r\n" + HEAD + b"\r\n"
"""A part that is read twice, the second time decoded: by its encoding alone one differs from the other."""


@settings(max_examples=1000)
@given(st.sampled_from(TYPES), multiparts)
@example(MULTIPART, b"".join(b"--b\r\n" + TWICE % each for each in (b"", b"Content-Transfer-Encoding: x-uuencode\r\n")))
def test_every_argument_of_twisted_is_seen_in_any_multipart_body(content_type: bytes, data: bytes) -> None:
    """Each value by its name, but for those of parts that are bodies of parts: Twisted has ``None`` for them."""
    assert [each for each in unseen(content_type, data) if each[1] is not None] == []


PAIRS = (b"q", b"=", b"&", b";", b"+", b"%", b"%71", b"%3d", b"%zz", b"\xff", b"a", b"\0", b"#", b"?")
texts = st.lists(st.sampled_from(PAIRS), max_size=12).map(b"".join)


@given(
    st.sampled_from((b"", b" ", b"(x)")),
    st.sampled_from(
        (FORM, FORM.upper(), b"=?us-ascii?q?%b?=" % FORM, b"=?%b?b?YXBwbGljYXRpb24veC13d3ctZm9ybS11cmxlbmNvZGVk?=")
    ),
    st.sampled_from((b"", b"; charset=utf-8", b";", b" x", b"(x)", b"=x", b'"', b", text/plain", b"\xff")),
    texts,
    texts,
)
def test_every_argument_of_twisted_is_seen_in_a_query_and_a_form(
    before: bytes, kind: bytes, behind: bytes, query: bytes, data: bytes
) -> None:
    """Whatever stands around the type, and with ``;``, ``+`` and escapes."""
    assert unseen(before + kind + behind, data, query) == []


@pytest.mark.parametrize(("content_type", "form"), [(FORM, b"&q=attack&"), (MULTIPART, b"\r\n" + of_part(HEAD))])
def test_a_form_in_the_head_of_a_gzip_stream_is_seen(content_type: bytes, form: bytes) -> None:
    """Its field EXTRA (RFC 1952, section 2.3.1.1) is nothing for who decompresses, and all for who does not."""
    deflated = zlib.compressobj(wbits=-15)
    stream = deflated.compress(b"a=b") + deflated.flush()
    sums = zlib.crc32(b"a=b").to_bytes(4, "little") + (3).to_bytes(4, "little")
    extra = b"xx" + len(form).to_bytes(2, "little") + form
    head = b"\x1f\x8b\x08\x04" + b"\0" * 6 + len(extra).to_bytes(2, "little") + extra
    data = head + stream + sums
    request = asked(content_type, data, content_encoding=b"gzip")
    assert twisted_arguments(content_type, data)[b"q"] == [b"attack"]
    assert b"attack" in all_arguments(request)[b"q"]
    assert content_type != FORM or all_arguments(request)[b"a"] == (b"b",)


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        (b"multipart/form-data", b" ;x" * 2000 + b"; boundary=b\r\n" + of_part(HEAD)),
        (MULTIPART, of_part(b"Content-Disposition: form-data; " + b"x;" * 2100 + b" name=q")),
    ],
)
def test_a_header_longer_than_is_read_counts_as_cut_off(content_type: bytes, data: bytes) -> None:
    """So whoever refuses what rules have not seen refuses it."""
    assert truncated(asked(content_type, data)) is True
