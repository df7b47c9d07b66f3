"""What a client sends under a name: ``argument.q``, ``cookie.session``, ``header.x-token``, as rate limits write it.

Law: a name is compared without case, and as PHP, Rack and qs read it.
"""

from __future__ import annotations

from attrs import frozen

from edgenode.model.errors import InvalidValue

KINDS = ("header", "cookie", "argument")
"""In the order in which they are judged."""

ANY = "*"
"""The name of all that no other line names."""


@frozen
class FieldName:
    """A name: one word of ``mask``, ``ignore`` or ``restrict``.

    :ivar kind: of :data:`KINDS`.
    :ivar name: in lower case.
    """

    kind: str
    name: str

    @classmethod
    def from_text(cls, text: str) -> FieldName:
        """Read ``argument.NAME``, ``cookie.NAME`` or ``header.NAME``.

        :raises InvalidValue: if it is none, with its column.
        """
        kind, dot, name = text.partition(".")
        if kind not in KINDS or not dot:
            hint = f"; did you mean {kind.removesuffix('s')}.NAME?" if kind.removesuffix("s") in KINDS else ""
            raise InvalidValue(f"expected argument.NAME, cookie.NAME or header.NAME{hint}", 0)
        if not name or not name.isprintable():
            raise InvalidValue("a name is missing", len(kind) + 1)
        return cls(kind, name.lower())

    def __str__(self) -> str:
        return f"{self.kind}.{self.name}"
