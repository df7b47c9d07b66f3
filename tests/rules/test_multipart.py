"""Multipart bodies: whatever some server would read is read, and nothing is an error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.rules.views.multipart import read_parts
from edgenode.rules.views.parameters import first_word, parameter
from tests.support.growth import TIMES, grows_with_its_size

TYPE = b"multipart/form-data; boundary=b"
HEAD = b'Content-Disposition: form-data; name="a"'


def found(data: bytes, content_type: bytes = TYPE) -> dict[bytes, list[bytes]]:
    """The contents of the parts by every reading of their names."""
    values: dict[bytes, list[bytes]] = {}
    for part in read_parts(content_type, data)[0]:
        for name in part.names:
            values.setdefault(name, []).append(part.value)
    return values


def body(*parts: bytes, boundary: bytes = b"b", end: bytes = b"\r\n") -> bytes:
    """A body of parts, each with its head, whose lines end as usual or otherwise."""
    return b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts).replace(b"\r\n", end) + b"--%b--" % boundary


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (body(HEAD + b"\r\n\r\n1", HEAD + b"\r\n\r\n2"), [b"1", b"2"]),
        (body(HEAD + b"\r\n\r\n1", end=b"\n"), [b"1"]),
        (b"preamble\r\n" + body(HEAD + b"\r\n\r\n1") + b"\r\nepilogue", [b"1"]),
        (b"--b\r\n" + HEAD + b"\r\n\r\n1", [b"1"]),
        (b"--b\r\n" + HEAD + b"\r\n\r\n1\r\n--b", [b"1"]),
        (b"--b\r\n" + HEAD, [b""]),
        (b"--b \t\r\n" + HEAD + b"\r\n\r\n1\r\n--b--  \r\n", [b"1"]),
        (body(HEAD + b"\r\n\r\n--bx\r\nx--b\r\n"), [b"--bx\r\nx--b\r\n", b""]),
        (body(HEAD + b"\r\n\r\n"), [b""]),
        (body(HEAD + b"\r\n\r\n1\r\n\r\n2"), [b"1\r\n\r\n2"]),
        (body(HEAD + b"\r\n\r\n\r"), [b"\r"]),
        (body(b"CONTENT-disposition:form-data ;NAME = a\r\n\r\n1"), [b"1"]),
        (body(b"Content-Disposition: form-data;\r\n  name=a\r\n\r\n1"), [b"1"]),
        (body(b"X: y\r\n" + HEAD + b"\r\nZ\r\n\r\n1"), [b"1", b"1", b"Z\r\n\r\n1"]),
        (body(b'Content-Disposition: form-data; name="\r\na"\r\n\r\n1'), [b"1"]),
        (b"--b\r\n" + HEAD + b"\r\n1", [b"", b"1"]),
        (b"--b\r\nZ\r\n\r\n--b\r\n" + HEAD + b"\r\n1", [b"", b"1"]),
        (b"--b\r\n" + HEAD + b"\r\n\r\n1\r\n--", [b"1\r\n--", b"1"]),
        (body(b"Content-Disposition: attachment; name=a\r\n\r\n1"), [b"1"]),
        (b"--b--\r\n--b\r\n" + HEAD + b"\r\n\r\n1", [b"1"]),
        (body(HEAD + b"\r\n\r\n1\r\n--bjunk\r\n2"), [b"1\r\n--bjunk\r\n2", b"1"]),
        (body(b'Content-Disposition: name="a"\r\n\r\n1'), [b"1"]),
        (body(HEAD, b"\r\n1"), [b"", b"1"]),
        (body(HEAD + b"\r\n--bjunk\r\n\r\n1\r\n--bjunk"), [b"1\r\n--bjunk", b"1", b"--bjunk\r\n\r\n1\r\n--bjunk"]),
        (b"", []),
        (b"--b", []),
    ],
)
def test_a_part_is_found(data: bytes, values: list[bytes]) -> None:
    """In whatever way it is written: line ends, white space, missing ends, folded and unusual fields."""
    assert found(data).get(b"a", []) == values


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b'multipart/form-data; boundary="b"', b"b"),
        (b"Multipart/Form-Data;BOUNDARY=b", b"b"),
        (b"multipart/form-data; charset=utf-8; boundary=b", b"b"),
        (b"multipart/form-data; boundary=b; charset=utf-8", b"b"),
        (b"multipart/form-data, boundary=b", b"b"),
        (b"multipart/form-data; charset=x, boundary=b", b"b"),
        (b"multipart/form-data; boundary=b,c", b"b"),
        (b"multipart/form-data; boundary=b,c", b"b,c"),
        (b"multipart/form-data; boundary=b c", b"b"),
        (b"multipart/form-data; boundary=b c", b"b c"),
        (b'multipart/form-data; boundary="b c"', b"b c"),
        (rb'multipart/form-data; boundary="b\"c"', b'b"c'),
        (rb'multipart/form-data; boundary="b\"c"', b"b\\"),
        (b"multipart/form-data; boundary=x; boundary=b", b"b"),
        (b"multipart/form-data; boundary=b; boundary=x", b"b"),
        (b"multipart/form-data; boundary*=us-ascii''%62", b"b"),
        (b"multipart/form-data; boundary*1=c; boundary*0=b", b"bc"),
        (b'multipart/form-data; x="; boundary=no"; boundary=b', b"b"),
        (b"multipart/form-data; boundary='b'", b"b"),
        (b"multipart/form-data; boundary='b'", b"'b'"),
        (b"multipart/form-data; xboundary=b; boundary=c", b"b"),
        (b"multipart/form-data; boundaryX=b", b"b"),
        (b'multipart/form-data; a="boundary=b"; boundary=c', b'b"'),
        (b"multipart/form-data boundary=b", b"b"),
        (b"multipart/form-data; boundary= b", b" b"),
        (b'multipart/form-data; BOUNDARY=c; boundary="b"', b"b"),
        (b"multipart/form-data; Boundary-is=b", b"b"),
    ],
)
def test_every_boundary_that_a_type_may_name_is_tried(content_type: bytes, boundary: bytes) -> None:
    """Quotes, escapes, repeats, commas and RFC 2231: a reader that takes it in this way hides nothing."""
    assert found(body(HEAD + b"\r\n\r\n1", boundary=boundary), content_type) == {b"a": [b"1"]}


@pytest.mark.parametrize(
    ("disposition", "names"),
    [
        (b'form-data; name="a"; name="b"', (b"a", b"b")),
        (rb'form-data; name="a\"b"', (b'a"b', b'a\\"b', b"a\\")),
        (b"form-data; name='a'", (b"'a'", b"a")),
        (b"form-data; name*=utf-8''%61", (b"a",)),
        (b'form-data; filename="; name=x"; name=a', (b"a",)),
        (b"form-data; name=a b", (b"a b", b"a")),
        (b'form-data; name="a%22%0d%0Ab"', (b"a%22%0d%0Ab", b'a"\r\nb')),
        (b'form-data; name="a%22%63"', (b"a%22%63", b'a"%63', b'a"c')),
        (b'form-data; name="=?utf-8?Q?=61?= =?x?b?Yg==?="', (b"=?utf-8?Q?=61?= =?x?b?Yg==?=", b"ab")),
        (b"form-data; name=<a>", (b"<a>", b"a")),
        (b'form-data; name="a\xe9"', (b"a\xe9", b"a\xef\xbf\xbd")),
        (b"form-data", ()),
    ],
)
def test_every_reading_of_a_name_counts(disposition: bytes, names: tuple[bytes, ...]) -> None:
    """What two servers call differently has both names."""
    ((part,), _) = read_parts(TYPE, body(b"Content-Disposition: " + disposition + b"\r\n\r\n1"))
    assert part.names == names


def test_line_ends_that_two_servers_read_differently_are_read_both_ways() -> None:
    """For one server a LF ends the line of a delimiter, for the next it is a part of the value."""
    data = body(HEAD + b"\r\n\r\n1\n--b\n" + HEAD.replace(b'"a"', b'"c"') + b"\n\nevil")
    values = found(data)
    assert b"1" in values[b"a"]
    assert values[b"c"] == [b"evil"]
    assert any(b"evil" in value for value in values[b"a"])


@pytest.mark.parametrize(
    ("value", "word"),
    [(b" Text/Plain ; x", b"text/plain"), (b"a/b,c/d", b"a/b"), (b"a/b c", b"a/b"), (b"", b""), (b";", b"")],
)
def test_a_type_ends_where_its_parameters_begin(value: bytes, word: bytes) -> None:
    """It has no case."""
    assert first_word(value) == word


BYTES = st.sampled_from([b"\r", b"\n", b"\r\n", b"--", b"-", b"x", b"\xff"])
PIECES = st.sampled_from([b"\r\n", b"\n", b"--b", b"--", b"b", HEAD, b"\r\n\r\n", b"\n\n", b" ", b"x", b":", b"\r"])


@given(st.lists(PIECES, max_size=20).map(b"".join), st.lists(PIECES, max_size=20).map(b"".join))
def test_anything_can_be_read(before: bytes, behind: bytes) -> None:
    """Of any body there are parts or none, what is in them was in it, and a part that begins in it is found."""
    for part in read_parts(TYPE, before)[0]:
        assert part.value in before
    data = b"%b\r\n--b\r\n%b\r\n\r\n%b" % (before, HEAD, behind)
    parts, _ = read_parts(TYPE, data)
    assert all(part.value in data for part in parts)
    first = (b"\r\n" + behind).partition(b"\r\n--b")[0].removeprefix(b"\r\n")
    assert [part for part in parts if part.names == (b"a",) and (part.value.startswith(first) or first in part.value)]


@given(st.binary(max_size=40), st.sampled_from([b"name", b"boundary"]))
def test_the_parameters_of_anything_can_be_read(value: bytes, name: bytes) -> None:
    """And each reading is there once."""
    readings = parameter(value, name)
    assert len(readings) == len(set(readings))


@settings(max_examples=200)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.lists(BYTES, max_size=4).map(b"".join), max_size=4))
def test_what_a_browser_writes_is_read(fields: dict[str, bytes]) -> None:
    """Names and values come back as they were, whatever bytes they have."""
    boundary = b"----WebKitFormBoundary7MA4YWxkTrZu0gW"
    parts = [b'Content-Disposition: form-data; name="%b"\r\n\r\n%b' % (n.encode(), v) for n, v in fields.items()]
    read = found(body(*parts, boundary=boundary), b"multipart/form-data; boundary=" + boundary)
    assert read == {name.encode(): [value] for name, value in fields.items()}


def test_so_many_parts_are_read_and_no_more() -> None:
    """And that there are more is said, whichever reading has them."""
    part = HEAD + b"\r\n\r\n1"
    parts, more = read_parts(TYPE, body(*[part] * 1000))
    assert (len(parts), more) == (1000, False)
    for data in (body(*[part] * 1001), b"--b\r\n" * 2000, body(part, b"\r\n--bjunk" * 2000)):
        parts, more = read_parts(TYPE, data)
        assert len(parts) <= 1000
        assert more


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        (TYPE, b"\n--b" * 60_000),
        (TYPE, b"\n--bx" * 40_000),
        (TYPE, b"--b\r\n" + HEAD + b",;a=" * 50_000),
        (TYPE, b"--b\r\n" + HEAD + b"".join(b";name*%d=a" % i for i in range(15_000))),
        (TYPE, b"--b\r\n" + (HEAD + b"\r\n") * 5_000),
        (b"multipart/form-data" + b"; boundary" * 800, b"\n--b\n" * 40_000),
        (TYPE, b"\r\n--b\r\n" * 30_000),
        (TYPE, b"--b\r\n" + HEAD + b";" * 200_000),
        (TYPE, b"--b\r\n" + HEAD + b"\r\n " * 60_000),
        (TYPE, b"--b\r\n" + b"a" * 200_000),
        (b"multipart/form-data; boundary=" + b"-" * 8000, b"-" * 200_000),
        (b"multipart/form-data" + b"; boundary=b" * 600, b"\n--b\n" * 40_000),
        (b'multipart/form-data; boundary="' + b"\\" * 8000, b"x" * 200_000),
        (b"multipart/form-data; boundary=", b"--\r" * 50_000),
        (b"multipart/form-data", b" ; boundary=b\r\n" * 10_000),
        (TYPE, b"--b\r" + HEAD + b"\r\r1\r" * 30_000),
        (TYPE, b"--b\r" + HEAD.replace(b";", b";;;;;" * 800) + b"\r:\r" * 60_000),
        (TYPE, (b"--b\r" + HEAD.replace(b";", b';";' * 650) + b"\r1\r") * 60),
        (TYPE, b"--b\r" + HEAD + b"\rContent-Type: multipart/x;boundary=b2\r\r" + b"\r--b2" * 30_000),
        (TYPE, b"--b\r" + HEAD + b"\rFrom " * 20_000),
    ],
)
def test_hostile_bodies_take_time_in_proportion(content_type: bytes, data: bytes) -> None:
    """None of these takes more than about what its size explains."""
    part = len(data) // TIMES
    assert grows_with_its_size(lambda parts: lambda: read_parts(content_type, data[: part * parts]), 1)
