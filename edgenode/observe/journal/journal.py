"""``[journal]``: the folder in which events are kept, and for how long."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from edgenode.model.settings import Folder, setting


@frozen
class Journal:
    """The folder in which events are kept, and for how long; the section has no name, and without it there is none."""

    kind: ClassVar[str] = "journal"

    folder: Folder | None = setting(
        "Where the files are. Nobody but the node's user should be able to write there.", None
    )
