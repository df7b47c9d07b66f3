"""``[traces]``: which requests are traced, and where their spans go."""

from __future__ import annotations

from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.model.settings import Reference, setting


@frozen
class Traces:
    """Which requests are traced, and where their spans go; the section has no name, and without it none is."""

    kind: ClassVar[str] = "traces"

    origin: Annotated[str, Reference("origin")] | None = setting(
        "The origin that takes spans by OTLP over HTTP; its servers, certificate and trust store are used.", None
    )
