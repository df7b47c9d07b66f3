"""``[security-policy]`` and ``[path-map]``: authority and SNI to server group, then policy, then path map."""

from __future__ import annotations

from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.rules.sections import Section
from edgenode.settings import Reference, Size, Word, setting


@frozen
class SecurityPolicy:
    """The path maps of a server group, tried in the order written, and tags for all its requests."""

    kind: ClassVar[str] = "security-policy"

    tags: tuple[Word, ...] = setting("Tags put on every request, before any filter looks at it.", ())
    path_maps: tuple[Annotated[str, Reference("path-map")], ...] = setting(
        "The path maps; the first whose entries match is taken. A request that none matches gets 404."
    )


@frozen
class PathMap(Section):
    """A part of a site: the section of entries that selects it by the normalised path, and its origin."""

    kind: ClassVar[str] = "path-map"

    origin: Annotated[str, Reference("origin")] = setting("The origin that serves it.")
    max_body_size: Size = setting("The largest request body; a larger one is refused with 413.", Size(1024 * 1024))
