"""Texts with macros, such as ``%{tx.score}`` and ``%{MATCHED_VAR}``, and what they come to in a run of the rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from attrs import frozen

from edgenode.policy.contentfilter.names import WITH_MEMBERS, WITHOUT_MEMBERS

_MACRO = re.compile(r"%\{([\w-]+)(?:[.:]([^}]*))?\}")
LONGEST = 4096
"""Bytes of a text once its macros are worked out; what is behind them is left out. It bounds what rules can build."""


class Known(Protocol):
    """What knows the values of variables."""

    def value_of(self, collection: str, key: str) -> bytes:
        """The first value of a member, or of a variable without members; empty for none."""


@frozen
class Macro:
    """One macro.

    :ivar collection: the variable, in upper case.
    :ivar key: the member, in lower case; empty for none.
    """

    collection: str
    key: str = ""


@frozen
class Text:
    """A text with macros.

    :ivar parts: what it consists of.
    """

    parts: tuple[bytes | Macro, ...] = ()

    @classmethod
    def of(cls, text: str) -> Text:
        """Of what is written; a macro that names nothing is a text like another."""
        return cls(tuple(_parts(text)))

    @property
    def macros(self) -> tuple[Macro, ...]:
        """Those that are in it."""
        return tuple(each for each in self.parts if isinstance(each, Macro))

    @property
    def constant(self) -> bytes:
        """What it is if it has no macros; else without them."""
        return b"".join(each for each in self.parts if isinstance(each, bytes))

    def expanded(self, known: Known) -> bytes:
        """The text with the values of its macros."""
        parts = self.parts
        if len(parts) == 1 and isinstance(parts[0], bytes):
            return parts[0]
        values = (each if isinstance(each, bytes) else known.value_of(each.collection, each.key) for each in parts)
        return b"".join(values)[:LONGEST]

    def folded(self, values: Known, macros: frozenset[Macro]) -> Text:
        """The text in which some macros have their values for good."""
        parts: list[bytes | Macro] = []
        for each in self.parts:
            known = isinstance(each, Macro) and each in macros
            part = values.value_of(each.collection, each.key) if known and isinstance(each, Macro) else each
            if parts and isinstance(part, bytes) and isinstance(parts[-1], bytes):
                parts[-1] += part
            else:
                parts.append(part)
        return Text(tuple(parts))


def _parts(text: str) -> Iterator[bytes | Macro]:
    at = 0
    for found in _MACRO.finditer(text):
        name, key = found[1].upper(), (found[2] or "").lower()
        if name not in WITH_MEMBERS and name not in WITHOUT_MEMBERS:
            continue
        if found.start() > at:
            yield encoded(text[at : found.start()])
        yield Macro(name, key)
        at = found.end()
    if at < len(text):
        yield encoded(text[at:])


def encoded(text: str) -> bytes:
    """The bytes of a text of a file of rules."""
    return text.encode("utf-8", "surrogateescape")
