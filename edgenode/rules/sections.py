"""``[section]``: a rule list, that is a relation, entries by category, and further sections by name."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from attrs import field, frozen

from edgenode.model.settings import Choice, Reference, setting
from edgenode.rules.language.expressions import Expression
from edgenode.rules.views.arguments import FURTHER

READINGS = (*FURTHER, "method-override")
"""What entries can look at besides."""


@frozen(cache_hash=True)
class Entry:
    """One condition: a value looked for in a category.

    :ivar category: the category's name, such as ``path`` or ``header``.
    :ivar name: what stands behind the dot in ``header.NAME``; empty for categories without names.
    :ivar value: the text to look for as it is written, in the category's own kind of match; ``!`` in front negates it.
    :ivar annotation: the label that is shown when the entry has matched.
    :ivar sought: what its value was read as when it was checked; ``None`` if it was not.
    """

    category: str
    name: str
    value: str
    annotation: str = ""
    sought: Any = field(default=None, eq=False, repr=False)

    @property
    def key(self) -> str:
        """The key it is written under: ``path``, ``header.user-agent``."""
        return f"{self.category}.{self.name}" if self.name else self.category

    @property
    def negated(self) -> bool:
        """Whether it matches where a value is present and none of the values is the one looked for."""
        return self.value.startswith("!")

    @property
    def pattern(self) -> str:
        """The value without the ``!`` of a negation."""
        return self.value[1:].lstrip() if self.negated else self.value

    def __str__(self) -> str:
        return f"{self.key}: {self.value}"


@frozen
class Section:
    """A rule list: entries and further sections, joined by and, or by or."""

    kind: ClassVar[str] = "section"

    relation: Annotated[str, Choice(("and", "or"))] = setting(
        "Whether all entries and sections must match, or any. An empty ``and`` matches, an empty ``or`` does not.",
        "and",
    )
    sections: tuple[Annotated[str, Reference("section")], ...] = setting(
        "Further sections, joined by the same relation.", ()
    )
    expression: Expression | None = setting(
        "One more entry: an expression in Cloudflare's Rules language, joined by the same relation.", None
    )
    match_case: bool | None = setting(
        "Whether letter case matters in the values of its entries: with ``yes`` in all, as a secret in a header needs "
        "it, with ``no`` in none. Without the key it matters in all but those of headers. It "
        "always matters in names of arguments and cookies, unless ``readings`` has ``any-case``, and never "
        "in names of headers. The key has no effect on the expression or on the sections named.",
        None,
    )
    readings: tuple[Annotated[str, Choice(READINGS)], ...] = setting(
        "Where its entries look as well: ``argument`` in bodies of ``json``, ``xml`` and ``graphql``, in "
        "values decoded from ``base64``, and at names in ``any-case``, as ``cookie`` does; ``method``, with "
        "``method-override``, at ``X-HTTP-Method-Override``, ``X-HTTP-Method``, ``X-Method-Override`` and "
        "the arguments ``_method`` and ``X-HTTP-Method-Override``, in any case. The key has no effect on "
        "the expression or on the sections named.",
        (),
    )
    entries: tuple[Entry, ...] = field(default=(), kw_only=True, metadata={"entries": True})

    @property
    def empty(self) -> bool:
        """Whether it has no condition at all."""
        return not self.entries and not self.sections and self.expression is None
