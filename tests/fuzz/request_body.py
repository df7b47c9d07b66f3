"""A chunked body that is accepted is read the same by the reader written from the grammar, in whatever pieces."""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.model.exchange import Headers
from edgenode.proxy.http1.bodies import ChunkedBody, MalformedBody
from tests.support import rfc9112
from tests.support.hostile_requests import FAMILIES

_HEAD = rfc9112.Parsed((b"POST", b"/", b"HTTP/1.1"), (), None)
_Told = tuple[bytes, bytes, Headers] | str


def check(data: bytes) -> None:
    """The first byte says how large the pieces are."""
    size, data = data[0] + 1 if data else 1, data[1:]
    whole = _read([data])
    pieces = _read([data[at : at + size] for at in range(0, len(data), size)])
    if isinstance(whole, tuple) or isinstance(pieces, tuple):
        assert whole == pieces
    try:
        parsed, rest = rfc9112.read_body(_HEAD, data)
    except rfc9112.Malformed:
        assert not isinstance(whole, tuple)
    except rfc9112.Unfinished:
        assert not isinstance(whole, tuple)
    else:
        # Accepted by the grammar, it is accepted, or refused for its size: of a line, of a number, of the trailers.
        assert whole == (parsed.body, rest, parsed.trailers) or (whole == "malformed" and len(data) > 15)


def _read(pieces: list[bytes]) -> _Told:
    """The body, what is behind it, and its trailers; or what became of it."""
    reader, body, behind = ChunkedBody(), b"", b""
    for piece in pieces:
        if reader.done:
            behind += piece
            continue
        rest = piece
        try:
            while rest and not reader.done:
                part, rest = reader.feed(rest)
                body += part
        except MalformedBody:
            return "malformed"
        behind += rest
    return (body, behind, reader.trailers) if reader.done else "unfinished"


def seeds() -> Iterator[bytes]:
    """The bodies of the corpus of hostile requests."""
    names = "chunk sizes", "chunk extensions", "trailers"
    return (b"\x04" + case.data.partition(b"\r\n\r\n")[2] for name in names for case in FAMILIES[name])
