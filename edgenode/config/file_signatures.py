"""What tells that a file has changed, without reading it."""

from __future__ import annotations

import pathlib

Signature = tuple[object, ...]
"""What changes when a file of a section does."""


def file_state(path: pathlib.Path) -> tuple[int, ...]:
    """The state of a file: another one if the file is replaced, written or touched.

    Symbolic links are followed: that is how Kubernetes replaces files.
    """
    try:
        stat = path.stat()
    except OSError as error:
        return (error.errno or 0,)
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
