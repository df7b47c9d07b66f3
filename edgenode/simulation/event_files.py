"""Files of events as log rotation leaves them: plain, or compressed by gzip or Zstandard.

Law: the content says how it is compressed, not the name; and a file of which a part is missing is never read as whole.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, TypeVar, cast

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"

_FIRST, _PAUSE = 1.0, 0.25
"""Seconds until something is shown of the progress, and between two times."""

_CHUNK = 1024
"""Bytes that are decompressed at a time: these may come to 32 MiB."""

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
            yield _uncompressed(file), lambda: file.tell() / size if size and file.seekable() else None
    except OSError as error:
        raise Unreadable(f"cannot read {path}: {error.strerror or error}") from None
    except (EOFError, zlib.error) as error:
        raise Unreadable(f"cannot read {path}: {error}") from None


def _uncompressed(file: io.BufferedReader) -> IO[bytes]:
    start = file.peek(4)[:4]
    if start.startswith(_GZIP):
        return cast(IO[bytes], gzip.open(file))
    if start != _ZSTD:
        return file
    with contextlib.suppress(ImportError):  # in Python 3.14 and later
        return cast(IO[bytes], importlib.import_module("compression.zstd").open(file))
    with contextlib.suppress(ImportError):
        zstandard: Any = importlib.import_module("zstandard")
        return io.BufferedReader(_Frames(file, zstandard.ZstdDecompressor().decompressobj))
    raise OSError(0, "Zstandard needs Python 3.14, or the package zstandard (pip install zstandard)")


class _Frames(io.RawIOBase):
    """The frames of Zstandard that a file has, one behind another, by the package ``zstandard``."""

    def __init__(self, file: IO[bytes], begin: Callable[[], Any]) -> None:
        self._file, self._begin = file, begin
        self._frame: Any = None
        self._rest = self._made = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._made and (data := self._rest or self._file.read(_CHUNK)):
            self._frame, self._rest = self._frame or self._begin(), b""
            try:
                self._made = self._frame.decompress(data)
            except Exception as error:  # the package's own
                raise OSError(0, str(error)) from None
            if self._frame.eof:
                self._rest, self._frame = self._frame.unused_data, None
        if not self._made and self._frame is not None:
            raise EOFError("the end of it is missing")
        count = min(len(buffer), len(self._made))
        buffer[:count], self._made = self._made[:count], self._made[count:]
        return count


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
