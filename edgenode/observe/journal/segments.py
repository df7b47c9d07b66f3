"""The files of a journal: segments of lines, numbered for ever, of which the node appends to the last.

Law: a segment is named when it begins and never renamed; it is closed once there is one with a higher number. So a
place in the journal is a number and an offset, whatever is compressed or deleted meanwhile. Only a file is a segment:
no pipe, folder or link that has the name of one.
"""

from __future__ import annotations

import datetime
import os
import pathlib
import re
from collections.abc import Mapping

from attrs import frozen

ENDINGS = ("", ".zst", ".gz")
"""What the name of a segment ends in behind ``.jsonl``: as it was written, or how it is compressed."""

PARQUET = "parquet"
"""The folder of the Parquet files, within the journal's: ``parquet/events-20261130T170000Z-000001.parquet``."""

_NAME = re.compile(r"events-(?P<began>\d{8}T\d{6}Z)-(?P<number>\d{6,18})(?:\.jsonl(?P<ending>\.zst|\.gz)?|\.parquet)")
_PARTIAL = re.compile(r"\.(?P<whole>.+)\.part")
_MOMENT = "%Y%m%dT%H%M%SZ"


@frozen
class Segment:
    """A file of events, one JSON object a line, each with a line end.

    An event stands in the segment of the time at which it was written, when its exchange was over: its ``time``, when
    the exchange began, may be earlier than :attr:`began`. So no event in it is later than the beginning of the next.

    :ivar number: counts segments from 1, over restarts too.
    :ivar began: when it was opened, UTC.
    :ivar path: its file, compressed or not.
    """

    number: int
    began: datetime.datetime
    path: pathlib.Path

    @classmethod
    def named(cls, path: pathlib.Path) -> Segment | None:
        """The segment, or the Parquet file of one, that has a name; ``None`` if that is of something else."""
        match = _NAME.fullmatch(path.name)
        if match is None:
            return None
        try:
            began = datetime.datetime.strptime(match["began"], _MOMENT).replace(tzinfo=datetime.UTC)
        except ValueError:
            return None
        return cls(int(match["number"]), began, path)

    @classmethod
    def new(cls, folder: pathlib.Path, number: int, began: datetime.datetime) -> Segment:
        """The one that begins at a time, not compressed."""
        return cls(number, began, folder / f"events-{began.strftime(_MOMENT)}-{number:06}.jsonl")

    @property
    def compressed(self) -> bool:
        """Whether its file is compressed."""
        return self.path.suffix != ".jsonl"

    @property
    def parquet(self) -> pathlib.Path:
        """Where the same is as Parquet, if it is there."""
        return self.path.parent / PARQUET / f"{self.path.name.partition('.')[0]}.parquet"


def segments(folder: pathlib.Path) -> Mapping[int, Segment]:
    """The segments of a journal by number, in order; one that is there twice, as it is while it is compressed, is the
    one that is not. All but the last are closed; only the last line of one can be without its end, and is no event.

    :raises OSError: if the folder cannot be read.
    """
    return _numbered(folder)


def parquet_files(folder: pathlib.Path) -> Mapping[int, Segment]:
    """The Parquet files of a journal by the numbers of their segments, in order."""
    try:
        return _numbered(folder / PARQUET, ".parquet")
    except FileNotFoundError:
        return {}


def _numbered(folder: pathlib.Path, suffix: str = "") -> dict[int, Segment]:
    found: dict[int, Segment] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            segment = Segment.named(folder / entry.name)
            if segment is None or (segment.path.suffix == ".parquet") != (suffix == ".parquet"):
                continue
            if not entry.is_file(follow_symlinks=False):  # to open a pipe could wait for ever
                continue
            known = found.get(segment.number)
            if known is None or known.compressed:
                found[segment.number] = segment
    return dict(sorted(found.items()))


def partial(path: pathlib.Path) -> pathlib.Path:
    """Where a file is while only a part of it is written: other engines pass over names that begin with a dot."""
    return path.with_name(f".{path.name}.part")


def whole(path: pathlib.Path) -> pathlib.Path | None:
    """The file of which such a path has a part; ``None`` for any other path."""
    match = _PARTIAL.fullmatch(path.name)
    return None if match is None else path.with_name(match["whole"])
