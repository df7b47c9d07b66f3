"""The lines of a journal from a place on, as they come: for exporters, alerts, and whoever follows.

Law: a line is returned once, whole, and in order, whatever is rotated or compressed meanwhile. What retention has taken
before it was read is counted, and holds nobody up.
"""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import zlib
from collections.abc import Mapping
from typing import IO, Any, Self, cast

from attrs import asdict, frozen
from twisted.logger import Logger

from edgenode.observe.compressed_files import uncompressed
from edgenode.observe.journal.segments import Segment, segments

_LONGEST = 16 * 1024 * 1024
"""Bytes of the longest line that is looked for; events have hundreds of kilobytes at the most."""

_AT_ONCE = 1 << 20

_LINE_END = b"\n"

_RECENT = 60.0
"""Seconds; so long a node may take until its observer works."""

_log = Logger()


@frozen(order=True)
class Position:
    """A place in a journal; of two, the earlier is the lesser.

    :ivar segment: the number of the segment; 0 is before all of them.
    :ivar offset: bytes of it, uncompressed, in front of the place.
    """

    segment: int = 0
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.segment:06}-{self.offset:012}"

    def as_json(self) -> dict[str, int]:
        """As an object for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read such an object.

        :raises ValueError: if it is none.
        """
        match value:
            case {"segment": int(segment), "offset": int(offset)} if segment >= 0 and offset >= 0:
                return cls(segment, offset)
        raise ValueError("this is no position in a journal")


def beginning(folder: pathlib.Path, now: float) -> Position:
    """Where a reader begins that has never been here: with the file that is being written, or the first of the last
    minute, so that it has what the node has done since its start, but not what is old.

    :param now: seconds since the epoch.
    """
    found = segments(folder)
    recent = [number for number, each in found.items() if each.began.timestamp() > now - _RECENT]
    last = max(found, default=0)
    behind = last + 1 if last and found[last].compressed else last
    return Position(min(recent, default=behind))


class JournalReader:
    """Reads a journal from a place on.

    :param folder: the journal's folder.
    :param position: where to begin; ``None`` is behind what there is now, ``Position()`` in front of all of it.
    :raises OSError: if the folder cannot be read.
    :ivar position: behind the last line that was returned.
    :ivar lost: bytes, uncompressed, that were deleted before they were read, as far as their number is known.
    :ivar skipped: segments that were deleted, or could not be read, before all of them had been.
    """

    def __init__(self, folder: str | os.PathLike[str], position: Position | None) -> None:
        self._folder = pathlib.Path(folder)
        self._file: IO[bytes] | None = None
        self._content: IO[bytes] | None = None
        self._path = self._folder
        self._rest = b""
        self._before, self._split = Position(), list[bytes]()
        self._sizes: dict[int, int] = {}
        self.lost = self.skipped = 0
        self.position = self._end() if position is None else position
        self._look()

    @property
    def places(self) -> list[Position]:
        """In front of each of the lines that were returned last."""
        segment, offset, found = self._before.segment, self._before.offset, []
        for line in self._split:
            if line:
                found.append(Position(segment, offset))
            offset += len(line) + len(_LINE_END)
        return found

    @property
    def behind(self) -> int:
        """Bytes that are still to be read; of compressed segments, which nobody has waited for, as they are.

        Of a folder that cannot be read it is what was known last."""
        with contextlib.suppress(OSError):
            self._look()
        here = self.position.segment
        later = sum(size for number, size in self._sizes.items() if number > here)
        return later + max(0, self._sizes.get(here, 0) - self.position.offset)

    def read(self, most_bytes: int = _AT_ONCE) -> list[bytes]:
        """The next lines, without their ends; none if there is nothing new. It may be asked again at any time.

        A line may be no JSON: what was written only in part, for the disk was full, is ended where the next begins.

        :param most_bytes: how much is read at the most, unless a single line is longer.
        """
        while self._content is not None or self._open():
            assert self._content is not None
            try:
                data = self._content.read(most_bytes)
                if not data and self._closed():
                    data = self._content.read(most_bytes)  # what was written before the next one began
                    if not data:
                        self._next()
                        continue
            except (OSError, EOFError, zlib.error) as error:
                self._unreadable(error)
                continue
            if not data:
                return []
            lines = self._lines(data)
            if lines:
                return lines
        return []

    def close(self) -> None:
        """Let go of its file; it may be read further."""
        if self._file is not None:
            self._file.close()
        self._file = self._content = None
        self._rest = b""

    # -- inside ------------------------------------------------------------------------------------------------------

    def _lines(self, data: bytes) -> list[bytes]:
        """What of the data are whole lines; the rest waits for its end, and is read again after :meth:`close`."""
        whole, end, rest = (self._rest + data).rpartition(_LINE_END)
        self._before, self._split = self.position, whole.split(_LINE_END) if end else []
        if len(rest) > _LONGEST:  # it is none; the place behind it is not known, but nothing of it is kept
            self.position = Position(self.position.segment, self.position.offset + len(whole) + len(end) + len(rest))
            rest = b""
        else:
            self.position = Position(self.position.segment, self.position.offset + len(whole) + len(end))
        self._rest = rest
        return [line for line in self._split if line]

    def _open(self) -> bool:
        """Open the segment of the position, or the first behind it; whether there is one."""
        found = self._look()
        here = self.position.segment
        if found and here > max(found) + 1:  # the folder is another one
            _log.warn("{folder} does not go as far as segment {number} any more", folder=self._folder, number=here)
            self.position, here = Position(), 0
        if here not in found:
            later = min((number for number in found if number > here), default=0)
            if not later:
                return False
            self._missed(here, later)
            self.position = Position(later)
        segment = found[self.position.segment]
        self._path = segment.path
        try:
            self._file = segment.path.open("rb", buffering=-1 if segment.compressed else 0)
            self._content = self._from_position(self._file, segment)
            return True
        except FileNotFoundError:  # it was compressed, or deleted, meanwhile
            return self._open()
        except (OSError, EOFError, zlib.error) as error:
            self._unreadable(error)
            return self.position.segment <= max(found) and self._open()

    def _from_position(self, file: IO[bytes], segment: Segment) -> IO[bytes]:
        """The content of a segment from the position on; from its beginning if it does not go as far."""
        if segment.compressed:
            content, count = uncompressed(cast(io.BufferedReader, file)), self.position.offset
            while count and (data := content.read(min(count, _AT_ONCE))):
                count -= len(data)
            return content
        if file.seek(0, os.SEEK_END) < self.position.offset:
            self.position = Position(segment.number)
        file.seek(self.position.offset)
        return file

    def _unreadable(self, error: Exception) -> None:
        """Pass over what cannot be read."""
        _log.warn("{path} cannot be read to its end: {error}", path=self._path, error=error)
        self.skipped += 1
        self._next()

    def _closed(self) -> bool:
        """Whether nothing more comes in the open segment."""
        return max(self._look(), default=0) > self.position.segment

    def _next(self) -> None:
        """Go on with the next segment; what is left of a line is none."""
        self.close()
        self._sizes.pop(self.position.segment, None)
        self.position = Position(self.position.segment + 1)

    def _missed(self, here: int, later: int) -> None:
        """Count what was deleted: the segment of the position, and those up to another."""
        gone = [number for number in range(max(here, 1), later) if here or number in self._sizes]
        if gone:
            self.skipped += len(gone)
            lost = sum(self._sizes.pop(number, 0) for number in gone) - (self.position.offset if here else 0)
            self.lost += max(0, lost)

    def _look(self) -> Mapping[int, Segment]:
        """The segments there are; it remembers how large those are that are to be read."""
        found = segments(self._folder)
        for number, segment in found.items():
            if number >= self.position.segment and not (segment.compressed and number in self._sizes):
                try:
                    self._sizes[number] = segment.path.stat().st_size
                except FileNotFoundError:
                    continue
        return found

    def _end(self) -> Position:
        """Behind the last whole line that there is."""
        found = segments(self._folder)
        if not found:
            return Position()
        number = max(found)
        if found[number].compressed:
            return Position(number + 1)
        with found[number].path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            while end:
                start = max(0, end - _AT_ONCE)
                file.seek(start)
                behind = file.read(end - start).rfind(_LINE_END) + 1
                if behind:
                    return Position(number, start + behind)
                end = start
        return Position(number)
