"""Journals for tests: segments written by hand."""

from __future__ import annotations

import datetime
import gzip
import pathlib
from collections.abc import Callable

import zstandard

from edgenode.observe.journal.segments import Segment, segments

BEGAN = datetime.datetime(2026, 11, 30, 17, tzinfo=datetime.UTC)

HOWS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}
"""What compresses a segment, by the end of its name."""


class Writer:
    """The node's side of a journal, by hand.

    :param folder: where it is; its first segment begins at once, at :data:`BEGAN`.
    :param apart: seconds between the beginnings of two segments.
    """

    def __init__(self, folder: pathlib.Path, apart: float = 1.0) -> None:
        self.folder = folder
        self.last = 0
        self._apart = apart
        self.rotate()

    def rotate(self) -> None:
        """Begin a segment."""
        self.last += 1
        began = BEGAN + datetime.timedelta(seconds=self._apart * (self.last - 1))
        self.segment = Segment.new(self.folder, self.last, began)
        self.segment.path.touch()

    def write(self, data: bytes) -> None:
        """Append."""
        with self.segment.path.open("ab") as file:
            file.write(data)

    def compress(self, number: int, how: str = ".zst", *, keep: bool = False) -> None:
        """Compress a segment; the plain one may still be there."""
        path = segments(self.folder)[number].path
        path.with_name(path.name + how).write_bytes(HOWS[how](path.read_bytes()))
        if not keep:
            path.unlink()

    def delete(self, number: int) -> None:
        """Retention."""
        segments(self.folder)[number].path.unlink()
