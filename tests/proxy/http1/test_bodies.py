"""Bodies and their framing: a reader takes exactly its own bytes, in whatever pieces they come."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, strategies

from edgenode.proxy.http1.bodies import BodyReader, ChunkedBody, EndlessBody, LengthBody, MalformedBody

SIZES = strategies.lists(strategies.integers(1, 50), max_size=20)


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    """The data cut into pieces of these sizes, the rest being the last."""
    found = []
    for size in sizes:
        found.append(data[:size])
        data = data[size:]
    return [*(piece for piece in found if piece), data]


def read(reader: BodyReader, parts: list[bytes]) -> tuple[bytes, bytes]:
    """The body, and what is behind it."""
    body = behind = b""
    for part in parts:
        if reader.done:
            behind += part
        else:
            piece, rest = reader.feed(part)
            body += piece
            while rest and not reader.done:
                piece, rest = reader.feed(rest)
                body += piece
            behind += rest
    return body, behind


@given(strategies.binary(min_size=1, max_size=100), strategies.binary(max_size=20), SIZES)
def test_a_length(data: bytes, behind: bytes, sizes: list[int]) -> None:
    """A body of a given length ends there, and what follows is left for the next message."""
    reader = LengthBody(len(data))
    assert read(reader, pieces(data + behind, sizes)) == (data, behind)
    assert reader.done


@given(strategies.lists(strategies.binary(min_size=1, max_size=40), max_size=5), strategies.binary(max_size=20), SIZES)
def test_chunks(chunks: list[bytes], behind: bytes, sizes: list[int]) -> None:
    """A body in chunks is their content, wherever the bytes are cut, and its end is found to the byte."""
    data = b"".join(b"%x;a=b\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    data += b"0\r\nX-Sum: 1 \r\nX-sum:\t2\r\n\r\n"
    reader = ChunkedBody()
    assert read(reader, pieces(data + behind, sizes)) == (b"".join(chunks), behind)
    assert reader.done
    assert reader.trailers == ((b"x-sum", b"1"), (b"x-sum", b"2"))


@given(strategies.binary(max_size=60) | strategies.text("0123fF;\r\n aX:", max_size=40).map(str.encode), SIZES)
def test_cuts_make_no_difference(data: bytes, sizes: list[int]) -> None:
    """Malformed or not, bytes are judged alike however they are cut; only an unfinished line may be judged later."""
    assert _judged(pieces(data, sizes)) == _judged([data[at : at + 1] for at in range(len(data))])


def _judged(parts: list[bytes]) -> tuple[bool, bool]:
    reader = ChunkedBody()
    with contextlib.suppress(MalformedBody):
        read(reader, parts)
        return True, reader.done
    return False, False


@pytest.mark.parametrize(
    "data",
    [
        b"g\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\n", b"\r\n", b" 1\r\n", b"1 \r\n", b"1\n", b"1\ra", b"1;\n",
        b"1;\r\n", b"1;a=\r\n", b'1;a="\r\n', b"1;a b\r\n",
        b"1;a\0\r\n", b"1 a\r\n", b"1234567890abcdef\r\n", b"1\r\nab", b"1\r\na\n", b"1\r\na\rb", b"1\r\na\r\n\r\n",
        b"0\r\nX\r\n",
        b"0\r\nX : a\r\n", b"0\r\n X: a\r\n", b"0\r\n: a\r\n", b"0\r\nX: a\0\r\n", b"0\r\nX: a\n", b"0\r\n\n",
        b"1;" + b"a" * 600, b"0\r\nX: " + b"a" * 9000, b"0\r\n" + b"X: aaaaaaaaaa\r\n" * 900,
        b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\na\r\n" * 500,
    ],
)  # fmt: skip
def test_malformed_chunks(data: bytes) -> None:
    """What the grammar does not know is an error as soon as it is seen; extensions and trailers have a bound."""
    with pytest.raises(MalformedBody):
        read(ChunkedBody(), [data])


def test_no_more_lines_are_read_at_once_than_the_bound() -> None:
    """Chunks of a byte take two each; the rest is returned, and read by the next call."""
    reader, chunks = ChunkedBody(), b"1\r\nx\r\n" * 300
    body, rest = reader.feed(chunks + b"0\r\n\r\n")
    assert (body, rest) == (b"x" * 256, b"1\r\nx\r\n" * 44 + b"0\r\n\r\n")
    assert not reader.done
    assert reader.feed(rest) == (b"x" * 44, b"")
    assert reader.done


@pytest.mark.parametrize("pieces", [1, 2])
def test_the_longest_chunk_line_is_as_long_as_the_limit(pieces: int) -> None:
    """512 bytes with its extensions, whether it comes at once or in pieces; one more is refused."""
    for size, good in ((512, True), (513, False)):
        line = b"1;" + b"a" * (size - 2) + b"\r\n"
        reader = ChunkedBody()
        if pieces == 2:
            assert reader.feed(line[:300]) == (b"", b"")
            line = line[300:]
        if good:
            assert reader.feed(line + b"x") == (b"x", b"")
        else:
            with pytest.raises(MalformedBody):
                reader.feed(line + b"x")


def test_the_largest_chunk_size_is_no_overflow() -> None:
    """A chunk size of fifteen digits is a size like any other."""
    reader = ChunkedBody()
    assert reader.feed(b"fffffffffffffff\r\nabc") == (b"abc", b"")
    assert not reader.done


def test_an_endless_body() -> None:
    """A body that ends with its connection takes everything, and never ends by itself."""
    reader = EndlessBody()
    assert read(reader, [b"a", b"b"]) == (b"ab", b"")
    assert not reader.done
