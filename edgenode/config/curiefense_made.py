"""A section that is made of a document of curiefense, or of Link11 WAAP: its lines, and what is lost of it.

Law: what is lost is told, and what would judge others without it is written inactive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from attrs import define, field

from edgenode.config.curiefense_rules import own_tags, plain, slug
from edgenode.rules.tags import canonical

SENTENCE = 1000
"""Characters of a sentence about a loss, which may quote what was read."""

_BLOCKED = {"type": "custom", "params": {"status": 503, "content": "blocked"}}
"""What the engine does where an action is not known."""


class Naming(Protocol):
    """Gives names to sections, and writes actions."""

    actions: Mapping[str, Any]

    def name(self, kind: str, text: str) -> str: ...

    def action(self, given: Any) -> tuple[str | None, list[str]]: ...


@define
class Made:
    """A section that is being made of a document.

    :ivar kind: of the section.
    :ivar name: of the section.
    :ivar document: what it is made of.
    :ivar active: whether the product judges by it.
    :ivar keys: its lines.
    :ivar inner: the sections that belong to it, each as its lines.
    :ivar losses: what could not be expressed.
    :ivar remarks: what is to be looked at.
    :ivar readable: whether the node can read it; else it is written as comments.
    :ivar kept: whether it may be active: nothing is lost that would make it judge others.
    """

    kind: str
    name: str
    document: Mapping[str, Any]
    active: bool = True
    keys: list[str] = field(factory=list)
    inner: list[list[str]] = field(factory=list)
    losses: list[str] = field(factory=list)
    remarks: list[str] = field(factory=list)
    readable: bool = True
    kept: bool = True

    @property
    def title(self) -> str:
        """What people call it."""
        return plain(self.document.get("name") or self.document.get("id") or f"a {self.kind} without a name")

    def lose(self, what: str) -> None:
        """Something without which it would judge others."""
        self.losses.append(plain(what, SENTENCE))
        self.kept = False

    def look(self, what: str) -> None:
        """Something that a person should look at."""
        remark = plain(what, SENTENCE)
        if remark not in self.remarks:
            self.remarks.append(remark)

    def write(self, key: str, value: str) -> None:
        """A key; not if there is nothing to be said by it."""
        self.keys += [f"{key} = {value}"] if value else []

    def seconds(self, key: str, default: int) -> int:
        """A time of the document."""
        try:
            return int(self.document.get(key) or default)
        except (TypeError, ValueError):
            self.lose(f"{key}: it is no number of seconds")
            return default

    def tags(self, several: Iterable[Any]) -> list[str]:
        """Tags that are looked for, in canonical form."""
        found = []
        for tag in map(str, several):
            form = canonical(tag.strip())
            if form != tag:
                self.look(f"tag {tag} is written {form}")
            if form and form not in found:
                found.append(form)
        return found

    def write_tags(self, names: Sequence[str]) -> None:
        """The tags that it sets, and those by which the product knows it: the names."""
        tags = [canonical(name) for name in names if not name.endswith(":")]
        tags += own_tags(self.document.get("tags"), self.losses)
        self.write("tags", " ".join(dict.fromkeys(tags)))

    def write_whom(self) -> None:
        """The tags of ``include`` and ``exclude``."""
        for key in ("include", "exclude"):
            self.write(key, " ".join(self._whom(key)))

    def _whom(self, key: str) -> list[str]:
        given = self.document.get(key)
        several, all_of = given, False
        if isinstance(given, dict):
            several, all_of = given.get("tags"), str(given.get("relation") or "OR").upper() == "AND"
            if set(given) - {"tags", "relation"}:
                self.lose(f"{key}: it has other keys than tags and relation")
        found = self.tags(listed(several))
        if not all_of or len(found) < 2:
            return found
        joined, header = canonical(f"{self.name}-{key}"), f"[global-filter {self.kind}-{self.name}-{key}]"
        self.inner.append([header, f"tags = {joined}", "tag =", *(f"    {each}" for each in found)])
        self.look(
            f"{key} asks for all of its tags: a filter puts {joined} on requests that have all, if filters set them"
        )
        return [joined]

    def action(self, naming: Naming, given: Any) -> str | None:
        """The name of an action; ``None`` if it cannot be expressed."""
        if isinstance(given, str) and given not in naming.actions and not given.startswith("action-"):
            self.look(f"action {given} is not known: it is what the engine does then, a 503; give the actions, too")
            given = _BLOCKED
        name, losses = naming.action(given)
        self.losses += [plain(loss.partition(";")[0] if name is None else loss, SENTENCE) for loss in losses]
        return name

    def written(self) -> list[list[str]]:
        """The section, and those that belong to it."""
        note = plain(self.document.get("description") or "")
        lines = noted(self.losses, self.remarks)
        lines += [f"# {self.title}{f': {note}' if note and note != self.title else ''}"]
        lines.append(f"[{self.kind} {self.name}]")
        lines += [] if self.active and self.kept else ["active = no"]
        found = [[*lines, *self.keys], *self.inner]
        if self.readable:
            return found
        return [[line if line.startswith("#") else f"# {line}" for line in section] for section in found]


def noted(losses: Sequence[str], remarks: Sequence[str]) -> list[str]:
    """The comments above a section."""
    return [*(f"# not expressed: {loss}" for loss in losses), *(f"# look at this: {remark}" for remark in remarks)]


def made_of(naming: Naming, kind: str, several: Sequence[Any]) -> Iterator[Made]:
    """A section for each document."""
    objects = [each if isinstance(each, dict) else {} for each in several]
    for name, each in zip(_names(naming, kind, objects), objects, strict=True):
        made = Made(kind, name, each)
        if not each:
            made.lose("it is no object with keys")
        yield made


def _names(naming: Naming, kind: str, several: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each: what people call it, or its id where several are called the same."""
    titles = [slug(str(each.get("name") or each.get("id") or kind)) for each in several]
    return [
        naming.name(kind, title if titles.count(title) == 1 else str(each.get("id") or title))
        for title, each in zip(titles, several, strict=True)
    ]


def listed(given: Any) -> list[Any]:
    """What stands in a list, or in a text between spaces."""
    if isinstance(given, str):
        return given.split()
    return list(given) if isinstance(given, list | tuple | set) else []
