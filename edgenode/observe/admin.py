"""``[admin]``: where a node tells of itself over HTTP: metrics, readiness and liveness."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from edgenode.model.settings import Word, setting


@frozen
class Admin:
    """Where a node tells of itself over HTTP; the section has no name, and without it there is no such port."""

    kind: ClassVar[str] = "admin"

    endpoint: Word | None = setting("Where it listens: ``unix:/run/edgenode/admin.sock``, or an address.", None)
