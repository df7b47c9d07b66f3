"""An expression of the Rules language: the tree of its nodes, and the text that it was read from."""

from __future__ import annotations

from attrs import field, frozen

from edgenode.model.errors import InvalidValue
from edgenode.rules.language.formatting import format
from edgenode.rules.language.nodes import Node
from edgenode.rules.language.parsing import parse
from edgenode.rules.language.vocabulary import EXCHANGES, Vocabulary

MAX_LENGTH = 4096
"""Characters that an expression may have, as at Cloudflare."""


@frozen(cache_hash=True)
class Expression:
    """A whole expression.

    :ivar root: its tree, whose type is ``Bool``.
    :ivar text: the text it was read from.
    """

    root: Node
    text: str = field(eq=False)

    @classmethod
    def from_text(cls, text: str, vocabulary: Vocabulary = EXCHANGES) -> Expression:
        """Read an expression.

        :param vocabulary: what it may look at.
        :raises InvalidValue: if it is none, or too long, with its column.
        """
        if len(text) > MAX_LENGTH:
            raise InvalidValue(f"an expression has at most {MAX_LENGTH} characters; this has {len(text)}", MAX_LENGTH)
        return cls(parse(text, vocabulary), text)

    def __str__(self) -> str:
        return format(self.root)
