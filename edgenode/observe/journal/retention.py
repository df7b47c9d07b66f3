"""What a journal holds on the disk, and what of it is to go.

Law: the oldest goes first, and the segment that the node writes to never does.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from attrs import field, frozen

from edgenode.observe.journal.segments import PARQUET, Segment, whole


@frozen
class Holding:
    """A segment with all its files.

    :ivar number: its number.
    :ivar began: when it began, seconds since the epoch.
    :ivar files: its files, Parquet too.
    :ivar size: bytes of all of them.
    """

    number: int
    began: float
    files: tuple[pathlib.Path, ...] = field(repr=False)
    size: int


def holdings(folder: pathlib.Path) -> list[Holding]:
    """What there is, the oldest first.

    :raises OSError: if the folder cannot be read.
    """
    found: dict[int, list[tuple[Segment, int]]] = {}
    for path, size in _files(folder):
        segment = Segment.named(path)
        if segment is not None:
            found.setdefault(segment.number, []).append((segment, size))
    return [_holding(number, files) for number, files in sorted(found.items())]


def outdated(held: Sequence[Holding], now: float, keep_size: int, keep_time: float) -> list[Holding]:
    """What is to go, the oldest first.

    :param held: what there is, likewise; of the last the node may be writing.
    :param now: seconds since the epoch.
    :param keep_size: bytes that all may have.
    :param keep_time: seconds after which all events of a segment are too old: those since the beginning of the next.
    """
    size = sum(each.size for each in held)
    gone = []
    for each, following in itertools.pairwise(held):
        if size <= keep_size and now - following.began <= keep_time:
            break
        size -= each.size
        gone.append(each)
    return gone


def delete(holding: Holding) -> None:
    """Delete the files of a segment.

    :raises OSError: if one cannot be deleted.
    """
    for path in holding.files:
        path.unlink(missing_ok=True)


def left_over(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """The files of which only a part was written, by who has ended meanwhile."""
    for path, _ in _files(folder):
        other = whole(path)
        if other is not None and Segment.named(other) is not None:
            yield path


def _holding(number: int, files: Sequence[tuple[Segment, int]]) -> Holding:
    began = min(segment.began for segment, _ in files).timestamp()
    return Holding(number, began, tuple(segment.path for segment, _ in files), sum(size for _, size in files))


def _files(folder: pathlib.Path) -> Iterator[tuple[pathlib.Path, int]]:
    for place in (folder, folder / PARQUET):
        with contextlib.suppress(FileNotFoundError), os.scandir(place) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.is_file(follow_symlinks=False):
                        yield pathlib.Path(entry.path), entry.stat(follow_symlinks=False).st_size


def unsent(gone: Holding, positions: Mapping[str, int]) -> list[str]:
    """Who has not read all of a segment.

    :param positions: the segment that each reads, by its name.
    """
    return sorted(name for name, segment in positions.items() if segment <= gone.number)
