"""Files of events as log rotation leaves them: plain, or compressed by gzip or Zstandard.

Law: the content says how it is compressed, not the name; and a file of which a part is missing is never read as whole.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from typing import IO, TypeVar

from edgenode.observe.compressed_files import uncompressed

_FIRST, _PAUSE = 1.0, 0.25
"""Seconds until something is shown of the progress, and between two times."""

_LINES = 256
"""Lines after which the clock is looked at."""


class Unreadable(Exception):
    """A file cannot be read; the text says why."""


@contextlib.contextmanager
def opened(path: str) -> Iterator[tuple[IO[bytes], Callable[[], float | None]]]:
    """A file of events, uncompressed, and what share of it has been read so far; ``None`` if that cannot be told.

    :param path: ``-`` is standard input.
    :raises Unreadable: if it is no such file, or a part of it is missing.
    """
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            size = os.fstat(file.fileno()).st_size
            yield uncompressed(file), lambda: file.tell() / size if size and file.seekable() else None
    except OSError as error:
        raise Unreadable(f"cannot read {path}: {error.strerror or error}") from None
    except (EOFError, zlib.error) as error:
        raise Unreadable(f"cannot read {path}: {error}") from None


T = TypeVar("T")


def with_progress(
    lines: Iterator[T], share: Callable[[], float | None], clock: Callable[[], float] = time.monotonic
) -> Iterator[T]:
    """The same lines; if that takes long, how far it has come is shown where standard error is a terminal."""
    if not sys.stderr.isatty():
        yield from lines
        return
    due, shown = clock() + _FIRST, False
    try:
        for count, line in enumerate(lines, 1):
            yield line
            if count % _LINES == 0 and clock() >= due:
                part = share()
                percent = "" if part is None else f"{part:4.0%}  "
                _show(f"{percent}{count:,} events")
                due, shown = clock() + _PAUSE, True
    finally:
        if shown:
            _show("")


def _show(text: str) -> None:
    sys.stderr.write(f"\r{text}\033[K")
    sys.stderr.flush()
