"""Content codings of bodies: undone for rules, within bounds, and never past them."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.exchange import Body, Exchange, Request
from edgenode.policy.tagging import Tagging
from edgenode.rules.fields import FIELDS
from edgenode.rules.views.codings import MOST_DECODED, NotDecoded, codings, decoded
from tests.support.strategies import CONNECTION


def raw(data: bytes) -> bytes:
    """Without the frame of RFC 1950, as some write ``deflate``."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


WRITERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"X-GZIP": gzip.compress,
    b"deflate": zlib.compress,
    b"Deflate": raw,
}


def request(data: bytes, coding: bytes) -> Request:
    """A form in these codings."""
    headers = ((b"content-type", b"application/x-www-form-urlencoded"), (b"content-encoding", coding))
    body = Body(data, len(data), False)
    return Request(b"POST", b"https", b"a", b"/", b"/", None, b"/", headers, length=len(data), body=body)


@given(st.binary(max_size=500), st.lists(st.sampled_from(sorted(WRITERS)), max_size=4))
def test_codings_are_undone_in_turn(data: bytes, names: list[bytes]) -> None:
    """The last applied first."""
    written = data
    for name in names:
        written = WRITERS[name](written)
    assert decoded(written, codings((b", ".join(names),))) == (data, False)


@given(st.binary(max_size=300), st.integers(0, 300), st.binary(max_size=5))
def test_members_of_gzip_are_read_on_and_nothing_else_behind_it(data: bytes, at: int, rest: bytes) -> None:
    """RFC 1952, section 2.2; zlib of servers reads on as well."""
    written = gzip.compress(data[:at]) + gzip.compress(data[at:]) + rest
    assert decoded(written, [b"gzip"]) == (data, False)


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, br", "nonsense", ",".join(["gzip"] * 5)])
def test_what_is_not_known_has_a_tag(coding: str) -> None:
    """Nobody here can say what is in it."""
    asked = request(gzip.compress(b"a=1"), coding.encode())
    assert "body:unknown-coding" in Tagging.of({}).decide(Exchange(CONNECTION, asked)).tags


def test_content_that_is_not_in_its_coding_is_not_known_either() -> None:
    """A server that takes it as it stands reads what no rule has seen decoded."""
    with pytest.raises(NotDecoded):
        decoded(b"a=1", [b"gzip"])
    assert "body:unknown-coding" in Tagging.of({}).decide(Exchange(CONNECTION, request(b"a=1", b"gzip"))).tags


@pytest.mark.parametrize("write", [gzip.compress, zlib.compress])
def test_what_comes_out_is_bounded(write: object) -> None:
    """A few bytes that become megabytes count as a body that was cut off."""
    assert callable(write)
    coding = b"gzip" if write is gzip.compress else b"deflate"
    bomb = write(bytes(20 * MOST_DECODED))
    data, more = decoded(bomb, [coding])
    assert (len(data), more) == (MOST_DECODED, True)
    assert "body:truncated" in Tagging.of({}).decide(Exchange(CONNECTION, request(bomb, coding))).tags
    assert decoded(write(bytes(MOST_DECODED)), [coding]) == (bytes(MOST_DECODED), False)


def test_members_behind_zeros_are_read() -> None:
    """Python's gzip and gzip(1) do so."""
    written = gzip.compress(b"a=1") + bytes(3) + gzip.compress(b"&q=attack")
    assert decoded(written, [b"gzip"]) == (gzip.decompress(written), False)


def test_a_broken_member_is_not_passed_over() -> None:
    """A reader that minds no checksum has its content."""
    broken = bytearray(gzip.compress(b"&q=attack"))
    broken[-5] ^= 1
    with pytest.raises(NotDecoded):
        decoded(gzip.compress(b"a=1") + bytes(broken), [b"gzip"])


def test_what_is_two_things_as_deflate_is_not_known() -> None:
    """A harmless text in the frame of RFC 1950, and another one without it."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_FIXED)
    attack = compressor.compress(b"&q=attack") + compressor.flush()
    inner = struct.pack("<H", 0xFFFF ^ 0xFE63) + b"a=1&b=" + b"x" * (0x019C - 8)
    both = b"\x78\x9c\x01" + struct.pack("<H", 0xFE63) + inner + attack
    assert b"&q=attack" in zlib.decompressobj(-15).decompress(both)
    assert b"attack" not in zlib.decompressobj(15).decompress(both)
    with pytest.raises(NotDecoded):
        decoded(both, [b"deflate"])


def test_many_members_count_as_more() -> None:
    """Each costs a state of its own."""
    assert decoded(gzip.compress(b"") * 65, [b"gzip"])[1]


def test_a_form_in_the_head_of_a_gzip_stream_is_found() -> None:
    """Most servers undo no coding, and take the name of a file in it for a field."""
    named = b"\x1f\x8b\x08\x08" + bytes(6) + b"&q=attack&\0" + gzip.compress(b"a=1")[10:]
    assert gzip.decompress(named) == b"a=1"
    found = FIELDS["edge.arguments"].read(Exchange(CONNECTION, request(named, b"gzip")))
    assert found[b"q"] == (b"attack",)
    assert found[b"a"] == (b"1",)


def test_arguments_are_found_in_a_compressed_form() -> None:
    """As a server that undoes codings finds them; a rule on the bytes that were sent sees those as well."""
    asked = request(gzip.compress(b"q=attack"), b"gzip")
    assert asked.body is not None
    assert FIELDS["edge.arguments"].read(Exchange(CONNECTION, asked))[b"q"] == (b"attack",)
    assert FIELDS["http.request.body.raw"].read(Exchange(CONNECTION, asked)) == asked.body.data + b"\nq=attack"
