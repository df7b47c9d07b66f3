"""Rules and targets that are left out: what ``SecRuleRemove...`` and ``SecRuleUpdateTarget...`` say, on the tree.

Law: a change holds for all rules that it fits, wherever they are written, as in the reference engine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from attrs import evolve, frozen

from edgenode.model.errors import InvalidValue
from edgenode.policy.contentfilter.directives import Marker, Rule, Target
from edgenode.policy.contentfilter.numbers import Range, numbers
from edgenode.policy.contentfilter.syntax import Word
from edgenode.policy.contentfilter.targets import targets


@frozen
class Change:
    """What becomes of some rules.

    :ivar ranges: their numbers.
    :ivar tag: a tag that they have; empty if it is not asked for.
    :ivar message: their message; likewise.
    :ivar targets: what is added to their targets, or left out of them; with none the rules are left out.
    """

    ranges: tuple[Range, ...] = ()
    tag: str = ""
    message: str = ""
    targets: tuple[Target, ...] = ()

    def fits(self, rule: Rule) -> bool:
        """Whether it is about a rule."""
        if self.ranges:
            return any(first <= rule.id <= last for first, last in self.ranges)
        return self.tag in rule.tags if self.tag else bool(self.message) and self.message == rule.message


def change(name: str, words: Sequence[Word]) -> Change:
    """What a directive says.

    :param name: of the directive, ``SecRuleUpdateActionById`` not among them.
    :raises InvalidValue: if its words do not fit.
    """
    removes = name.startswith("SecRuleRemove")
    ranges = name.endswith("ById")
    if not words or (len(words) != 2 if not removes else len(words) > 1 and not ranges):
        which = "numbers of rules" if ranges else "a tag" if name.endswith("Tag") else "a message"
        raise InvalidValue(f"{name} needs {which}" + ("" if removes else ", and targets"), 0)
    chosen, aimed = (words, ()) if removes else (words[:1], words[1:])
    found = tuple(each for word in aimed for each in targets(word.text, word.at))
    if ranges:
        return Change(tuple(_ranges(chosen)), targets=found)
    (text,) = chosen
    return Change(tag=text.text, targets=found) if name.endswith("Tag") else Change(message=text.text, targets=found)


def _ranges(words: Iterable[Word]) -> Iterator[Range]:
    for word in words:
        for part in re.finditer(r"[^,\s]+", word.text):
            yield numbers(Word(part[0], word.at + part.start()))


def changed(directives: Sequence[Rule | Marker], changes: Sequence[Change]) -> Iterator[Rule | Marker]:
    """The directives with some changes."""
    for each in directives:
        made = each if isinstance(each, Marker) else _changed(each, changes)
        if made is not None:
            yield made


def _changed(rule: Rule, changes: Sequence[Change]) -> Rule | None:
    added: list[Target] = []
    for each in changes:
        if each.fits(rule):
            if not each.targets:
                return None
            added += each.targets
    return rule if not added else evolve(rule, targets=(*rule.targets, *added))
