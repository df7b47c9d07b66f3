"""What becomes of a segment once it is closed: it is written as Parquet, and compressed; in a process of its own, whose
memory is free again once it has ended.

Law: at every moment all lines of the segment are there, as a whole; what was interrupted can be done again.
"""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import shutil
import sys
from typing import IO, Any

from attrs import asdict

from edgenode.observe.journal.parquet import convert
from edgenode.observe.journal.segments import partial, segments

ENDINGS = {"zstd": ".zst", "gzip": ".gz"}

_AT_ONCE = 1 << 20


def close(folder: pathlib.Path, number: int, *, parquet: bool, compression: str) -> dict[str, int]:
    """Have a closed segment as Parquet, if that is wanted and not there, and then compress it.

    :param compression: ``zstd``, ``gzip`` or ``off``.
    :returns: what was made of its lines: ``rows``, and ``broken``.
    :raises OSError: if something cannot be written.
    """
    segment, found = segments(folder).get(number), dict[str, int]()
    if segment is None:  # it is too old by now
        return found
    if parquet and not segment.parquet.exists():
        found = asdict(convert(segment.path, segment.parquet))
    if compression != "off" and not segment.compressed:
        _compress(segment.path, compression)
    return found


def _compress(path: pathlib.Path, compression: str) -> None:
    """Compress a file; the plain one goes once the other is on the disk."""
    target = path.with_name(path.name + ENDINGS[compression])
    part = partial(target)
    try:
        with path.open("rb") as plain, part.open("wb") as file:
            with _writer(compression, file, path.stat().st_size) as compressed:
                shutil.copyfileobj(plain, compressed, _AT_ONCE)
            file.flush()
            os.fsync(file.fileno())
            stat = os.fstat(plain.fileno())
        os.utime(part, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        os.replace(part, target)
        path.unlink()
    finally:
        part.unlink(missing_ok=True)


def _writer(compression: str, file: IO[bytes], size: int) -> Any:
    """What compresses into a file, and leaves it open."""
    if compression == "gzip":
        return importlib.import_module("gzip").GzipFile(fileobj=file, mode="wb", compresslevel=6, filename="")
    if sys.version_info >= (3, 14):
        return importlib.import_module("compression.zstd").ZstdFile(file, "wb")
    zstandard = importlib.import_module("zstandard")
    return zstandard.ZstdCompressor(write_checksum=True).stream_writer(file, size=size, closefd=False)


def main(folder: str, number: str, parquet: str, compression: str) -> None:
    """Do so, print what was made as JSON, and end; with a sentence and the status 1 if it could not be done."""
    os.umask(os.umask(0o027) | 0o027)
    try:
        found = close(pathlib.Path(folder), int(number), parquet=parquet == "yes", compression=compression)
    except (OSError, ImportError) as error:
        sys.stderr.write(f"{error.strerror or error}" if isinstance(error, OSError) else str(error))
        raise SystemExit(1) from None
    sys.stdout.write(json.dumps(found))
