"""A hostile request, and what has to become of it: the words that ``tests.support.hostile_requests`` is written in.

Whatever stands in the corpus has one right end, for this node is to be predictable: nothing is left to either side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen

MALFORMED, DECLINED, CUT, STOPPED, SERVED = "malformed", "declined", "cut", "stopped", "served"
"""What becomes of a request: four kinds of no, and yes.

``malformed``: it is no HTTP, or can be read in two ways; no byte of it reaches the origin. ``declined``: it is
well-formed, and not served here; no byte of it reaches the origin. ``cut``: its head is well-formed, its body is not;
the origin may get a beginning of it, and never the end. ``stopped``: so is its body, but there is too much of
something; the origin gets no more of it. ``served``: it arrives, and exactly so.
"""

HOST = b"Host: open.test"
CHUNKED = b"Transfer-Encoding: chunked"


@frozen
class Arrival:
    """What an origin gets of a request that is served.

    :ivar fields: its fields in lower case and in order, without Host, framing, and what the node writes of its own.
    """

    method: bytes = b"GET"
    target: bytes = b"/"
    body: bytes = b""
    fields: tuple[tuple[bytes, bytes], ...] = ()
    host: bytes = b"open.test"


@frozen
class Hostile:
    """A request.

    :ivar name: unique within its family.
    :ivar data: all that is sent of it; a well-formed request follows in the same breath.
    :ivar end: one of the five.
    :ivar status: what the client gets.
    :ivar arrival: what the origin gets, if it is served.
    :ivar before: good requests that are sent before it in the same breath, and served.
    :ivar closes: whether the connection ends with its answer though it is served.
    """

    name: str
    data: bytes
    end: str
    status: int
    arrival: Arrival | None = None
    before: bytes = b""
    closes: bool = False


def head(*fields: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes = HOST) -> bytes:
    """A request head of lines."""
    return b"\r\n".join((start, *((host,) if host else ()), *fields, b"", b""))


def post(*fields: bytes, body: bytes = b"") -> bytes:
    """A POST with these fields and bytes behind it."""
    return head(*fields, start=b"POST / HTTP/1.1") + body


def shown(data: bytes) -> str:
    """Bytes as a name."""
    return repr(data)[2:-1] if len(data) <= 60 else f"{repr(data[:40])[2:-1]}... of {len(data)}"


def malformed(name: str | bytes, data: bytes, status: int = 400) -> Hostile:
    """What is no request."""
    return Hostile(name if isinstance(name, str) else shown(name), data, MALFORMED, status)


def declined(name: str | bytes, data: bytes, status: int = 400) -> Hostile:
    """A request that is not served here."""
    return Hostile(name if isinstance(name, str) else shown(name), data, DECLINED, status)


def served(name: str | bytes, data: bytes, arrival: Arrival | None = None) -> Hostile:
    """A request with which nothing is wrong."""
    return Hostile(name if isinstance(name, str) else shown(name), data, SERVED, 200, arrival or Arrival())


def chunks(name: str | bytes, body: bytes, status: int = 400) -> Hostile:
    """A body that is not in chunks, behind a head with which nothing is wrong."""
    return Hostile(name if isinstance(name, str) else shown(name), post(CHUNKED, body=body), CUT, status)


def stopped(name: str | bytes, body: bytes) -> Hostile:
    """A body in chunks, with more of something than there may be."""
    return Hostile(name if isinstance(name, str) else shown(name), post(CHUNKED, body=body), STOPPED, 400)


def starts(lines: Iterable[bytes], status: int = 400) -> Iterator[Hostile]:
    """Bad request lines."""
    return (malformed(line, head(start=line), status) for line in lines)
