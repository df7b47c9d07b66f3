"""``[masking]``: what of a request is never told in clear, and the key of the hashes that are told instead."""

from __future__ import annotations

from typing import ClassVar, Final

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import File, setting
from edgenode.policy.contentfilter.fieldnames import ANY, FieldName

CARDS, CREDENTIALS = "cards", "credentials"

PATTERNS: Final = {
    CARDS: rb"(?<![0-9])[2-6](?:[ .-]?[0-9]){12,18}(?![0-9])",
    CREDENTIALS: rb"\b(?:bearer|basic)[ +]+[a-z0-9._~+/=-]{6,}"
    rb"|(?<![a-z0-9_-])eyj[a-z0-9_-]{4,}\.[a-z0-9_-]{4,}\.[a-z0-9_-]*",
}
"""What is masked wherever it stands: numbers of payment cards (ISO/IEC 7812) whose check digit is right; credentials of
Bearer (RFC 6750) and Basic (RFC 7617), and JSON Web Tokens (RFC 7515)."""


@frozen
class Masked:
    """One word of ``mask``: what is masked by its name, or what matches a pattern, wherever it stands.

    :ivar field: the name; ``None`` for a pattern.
    :ivar pattern: of :data:`PATTERNS`; empty for a name.
    """

    field: FieldName | None = None
    pattern: str = ""

    @classmethod
    def from_text(cls, text: str) -> Masked:
        """Read ``argument.NAME``, ``cookie.NAME``, ``header.NAME``, ``cards`` or ``credentials``.

        :raises InvalidValue: if it is none of them, with its column.
        """
        if text in PATTERNS:
            return cls(pattern=text)
        try:
            found = FieldName.from_text(text)
        except InvalidValue as problem:
            raise InvalidValue(f"{problem.sentence}, or one of {', '.join(PATTERNS)}", problem.column) from None
        if found.name == ANY:
            raise InvalidValue("what is masked has a name", len(found.kind) + 1)
        return cls(found)

    def __str__(self) -> str:
        return self.pattern if self.field is None else str(self.field)


@frozen
class Masking:
    """What is never told in clear of any request: in events, the access log, the journal, traces and ``explain`` a hash
    stands in its place. The section has no name and may be left out."""

    kind: ClassVar[str] = "masking"

    mask: tuple[Masked, ...] = setting(
        "The values that are masked on every path map: ``argument.NAME``, ``cookie.NAME`` and ``header.NAME``, and "
        "wherever they stand ``cards``, the numbers of payment cards, and ``credentials``, those of ``Bearer`` and "
        "``Basic`` and JSON Web Tokens. Names are compared without case; ``user[password]`` and the ``password`` of a "
        "JSON object are ``argument.password`` too.",
        (),
    )
    key: File | None = setting(
        "A file with a secret of at least 32 bytes, which keys the hashes: nodes that share it have the same hash for "
        "the same value. Without the key the node makes one up when it starts, and after that hashes are others. The "
        "permissions should be those of a private key.",
        None,
    )
