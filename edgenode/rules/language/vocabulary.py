"""What expressions may look at: fields by their names, and what is said of a name that none of them has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from attrs import frozen

from edgenode.rules.fields import FIELDS, OF_KEY
from edgenode.rules.language.foreign_fields import ALIASES, why_not
from edgenode.rules.language.types import Type


class Readable(Protocol):
    """A field, as far as the language knows it."""

    @property
    def type(self) -> Type:
        """The type of its value."""

    @property
    def read(self) -> Callable[[Any], Any]:
        """Reads its value, of that type; ``None`` where it is missing."""


@frozen(eq=False)
class Vocabulary:
    """The fields of one kind of thing that expressions look at; equal only to itself.

    :ivar fields: every field by its name.
    :ivar of_key: of maps, by the name of the field, what makes a reader of the value of one key that does without the
        map.
    :ivar aliases: other names of fields.
    :ivar why_not: why there is no field of a name, if there is more to say than that; else empty.
    """

    fields: Mapping[str, Readable]
    of_key: Mapping[str, Callable[[bytes], Callable[[Any], Any]]]
    aliases: Mapping[str, str]
    why_not: Callable[[str], str]


EXCHANGES = Vocabulary(FIELDS, OF_KEY, ALIASES, why_not)
"""What rules look at, before anything is answered."""
