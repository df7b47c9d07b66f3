"""``[journal]``: the folder in which events are kept, and for how long."""

from __future__ import annotations

import os
import stat
import sys
from importlib.util import find_spec
from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Choice, Folder, Seconds, Size, setting

_INSTALL = "pip install duckdb zstandard"


@frozen
class Journal:
    """The folder in which events are kept, and for how long; the section has no name, and without it there is none."""

    kind: ClassVar[str] = "journal"

    folder: Folder | None = setting(
        "Where the files are. Nobody but the node's user should be able to write there. Each node needs its own.", None
    )
    rotate_size: Size = setting("The size at which a file is closed and the next one begun.", Size(64 * 1024**2))
    rotate_time: Seconds = setting("The age at which a file that is not empty is closed.", Seconds(3600.0))
    keep_size: Size = setting(
        "How large all files together may become; then the oldest are deleted, even those that an ``[exporter]`` has "
        "not sent yet, which is counted.",
        Size(10 * 1024**3),
    )
    keep_time: Seconds = setting("How old events become; older ones are deleted.", Seconds(30 * 86400.0))
    compression: Annotated[str, Choice(("zstd", "gzip", "off"))] = setting(
        "How closed files are compressed. ``zstd`` needs the package ``zstandard`` before Python 3.14.", "zstd"
    )
    parquet: bool = setting(
        "Whether closed files are written as Parquet as well, by which ``edgenode events`` and other engines answer "
        "questions quickly. It needs the package ``duckdb``.",
        True,
    )

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if its keys do not go together."""
        for faulty, key, sentence in (
            (self.rotate_size < 64 * 1024, "rotate-size", "at least 64k"),
            (self.rotate_time < 1, "rotate-time", "at least 1s"),
            (self.keep_size < 2 * self.rotate_size, "keep-size", "at least twice rotate-size"),
            (self.keep_time < self.rotate_time, "keep-time", "at least rotate-time"),
        ):
            if faulty:
                raise InvalidValue(sentence, which=key)

    def faults(self) -> tuple[tuple[str, str, bool], ...]:
        """What is wrong with it, or doubtful: the key, a sentence, and whether it is a warning."""
        if self.folder is None:
            return tuple(
                (name.replace("_", "-"), "has no effect without folder", True)
                for name in _OTHERS
                if getattr(self, name) != getattr(_DEFAULT, name)
            )
        found: list[tuple[str, str, bool]] = []
        if not os.access(self.folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            found.append(("folder", f"cannot write in {self.folder}", False))
        elif self.folder.stat().st_mode & stat.S_IWOTH:
            found.append(("folder", f"everybody may write in {self.folder}; chmod 750 it", True))
        if self.parquet and find_spec("duckdb") is None:
            found.append(("parquet", f"Parquet needs the package duckdb: {_INSTALL}; or parquet = no", False))
        if self.compression == "zstd" and sys.version_info < (3, 14) and find_spec("zstandard") is None:
            sentence = f"Zstandard needs Python 3.14, or the package zstandard: {_INSTALL}; or compression = gzip"
            found.append(("compression", sentence, False))
        return tuple(found)


_DEFAULT = Journal()

_OTHERS = ("rotate_size", "rotate_time", "keep_size", "keep_time", "compression", "parquet")
