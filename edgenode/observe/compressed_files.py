"""Files that may be compressed by gzip or Zstandard, as they are read.

Law: the content says how it is compressed, not the name; and a file of which a part is missing is never read as whole.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
from collections.abc import Callable
from typing import IO, Any, cast

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"

_CHUNK = 1024
"""Bytes that are decompressed at a time: these may come to 32 MiB."""


def uncompressed(file: io.BufferedReader) -> IO[bytes]:
    """The content of a file; reading raises ``OSError``, ``EOFError`` or ``zlib.error`` if a part of it is missing.

    :raises OSError: if it is compressed by Zstandard, and that cannot be read here.
    """
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
