"""Message bodies of HTTP/1.1 (RFC 9112, sections 6 and 7), read strictly, for requests and responses alike.

Law: a reader takes exactly the bytes of its body and says where the next message begins; what the grammar does not
know is an error, never a guess. Chunk extensions are dropped, as section 7.1.1 wants of who does not know them.
"""

from __future__ import annotations

import re
from typing import Protocol

from edgenode.model.exchange import Headers

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
_EXTENSION = rb"[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (_TOKEN, _TOKEN, _QUOTED)
_MOST_DIGITS = 15
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,%d})(?:%b)*" % (_MOST_DIGITS, _EXTENSION))
_TOKEN_VALUE = re.compile(rb"(%b):[ \t]*([\t\x20-\x7e\x80-\xff]*)" % _TOKEN)
_MAX_LINE = 512
_MAX_TRAILERS = 8192
_LONGER = "a chunk longer than its size"
MOST_LINES = 512
"""Lines that are read at once; chunks of a byte have two each, and others wait while they are read."""
# A chunk-size line costs more than it brings if extensions or one-byte chunks are used to burn time.
_MAX_EXTENSIONS = 16 * 1024


class MalformedBody(Exception):
    """The bytes are not a body in its framing."""


class BodyReader(Protocol):
    """Reads one body.

    :ivar done: whether all of it has been read.
    """

    done: bool

    @property
    def trailers(self) -> Headers:
        """The trailer fields behind a chunked body, names in lower case."""
        ...

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take bytes; return those of the body, and those behind its end.

        If the body has not ended and some are returned all the same, they would take too long now: they are for the
        next call.

        :raises MalformedBody: if they do not fit the framing.
        """
        ...


class LengthBody:
    """A body of a length known in advance."""

    __slots__ = ("_left", "done", "trailers")

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0
        self.trailers: Headers = ()

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take bytes; return those of the body, and those behind its end."""
        left = self._left - len(data)
        if left > 0:
            self._left = left
            return data, b""
        end = self._left
        self._left = 0
        self.done = True
        return (data, b"") if left == 0 else (data[:end], data[end:])


class EndlessBody:
    """A body that ends with its connection, of a response only (RFC 9112, section 6.3, item 8)."""

    __slots__ = ("done", "trailers")

    def __init__(self) -> None:
        self.done = False
        self.trailers: Headers = ()

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take bytes: all of them belong to the body."""
        return data, b""


class ChunkedBody:
    """A body in chunks."""

    __slots__ = ("_buffer", "_extensions", "_left", "_state", "_trailer_size", "_trailers", "done")

    _SIZE, _DATA, _DATA_END, _TRAILER = range(4)

    def __init__(self) -> None:
        self._buffer = b""
        self._state = self._SIZE
        self._left = 0
        self._extensions = 0
        self._trailer_size = 0
        self._trailers: list[tuple[bytes, bytes]] = []
        self.done = False

    @property
    def trailers(self) -> Headers:
        """The trailer fields, names in lower case."""
        return tuple(self._trailers)

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take bytes; return those of the body, and those behind its end, or behind :data:`MOST_LINES` lines.

        :raises MalformedBody: if a chunk, a trailer or an end of line is not as the grammar has it.
        """
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        pieces: list[bytes] = []
        at, size, lines = 0, len(data), 0
        while at < size and lines < MOST_LINES:
            if self._state == self._DATA:
                end = min(at + self._left, size)
                pieces.append(data[at:end])
                self._left -= end - at
                at = end
                if not self._left:
                    self._state = self._DATA_END
                continue
            end = data.find(b"\n", at)  # one byte is found ten times as fast as two
            if end < 0:
                self._keep(data[at:])
                break
            if data[end - 1] != 13 or end == at:
                raise MalformedBody(_LONGER if self._state == self._DATA_END and end > at else "a bare LF")
            line = data[at : end - 1]
            at = end + 1
            lines += 1
            self._line(line)
            if self.done:
                return b"".join(pieces), data[at:]
        else:
            return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), data[at:]
        return b"".join(pieces), b""

    def _keep(self, rest: bytes) -> None:
        # An unfinished line: refuse at once what can no longer become one.
        if len(rest) > (_MAX_TRAILERS if self._state == self._TRAILER else _MAX_LINE):
            raise MalformedBody("a line without an end")
        if self._state == self._DATA_END and rest != b"\r":
            raise MalformedBody(_LONGER)
        if rest.find(b"\r", 0, -1) >= 0:
            raise MalformedBody("a bare CR")
        self._buffer = rest

    def _line(self, line: bytes) -> None:
        if self._state == self._DATA_END:
            if line:
                raise MalformedBody(_LONGER)
            self._state = self._SIZE
        elif self._state == self._SIZE:
            match = _CHUNK_LINE.fullmatch(line) if len(line) <= _MAX_LINE else None
            if match is None:
                raise MalformedBody(_chunk_line_fault(line))
            self._extensions += len(line) - len(match[1])
            if self._extensions > _MAX_EXTENSIONS:
                raise MalformedBody("too many chunk extensions")
            self._left = int(match[1], 16)
            self._state = self._DATA if self._left else self._TRAILER
        elif line:
            match = _TOKEN_VALUE.fullmatch(line)
            self._trailer_size += len(line)
            if match is None:
                raise MalformedBody("a malformed trailer")
            if self._trailer_size > _MAX_TRAILERS:
                raise MalformedBody("too large trailers")
            self._trailers.append((match[1].lower(), match[2].rstrip(b" \t")))
        else:
            self.done = True


def _chunk_line_fault(line: bytes) -> str:
    size, extensions, _ = line.partition(b";")
    bare = size.strip(b" \t")
    if not bare or bare.translate(None, b"0123456789abcdefABCDEF"):
        return "a chunk size that is no hexadecimal number"
    if len(line) > _MAX_LINE:
        return "a chunk line that is too long"
    if len(bare) > _MOST_DIGITS:
        return "a chunk size that is too large"
    if not extensions or size[:1] != bare[:1]:
        return "white space around a chunk size"
    return "a malformed chunk extension"
