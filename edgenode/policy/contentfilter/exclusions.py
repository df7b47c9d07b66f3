"""Rules and targets that are left out: what ``SecRuleRemove...``, ``SecRuleUpdateTarget...`` and ``exclude`` of
``[content-filter]`` say, on the tree.

Law: a change holds for all rules that it fits, wherever they are written, as in the reference engine; an exclusion that
fits none is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

from attrs import evolve, field, frozen

from edgenode.model.errors import InvalidValue
from edgenode.policy.contentfilter.directives import Marker, Rule, RuleTree, Target
from edgenode.policy.contentfilter.fieldnames import FieldName
from edgenode.policy.contentfilter.numbers import Range, numbers
from edgenode.policy.contentfilter.pcre import search
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


EXCLUDABLE: Mapping[str, tuple[str, ...]] = {
    "argument": ("ARGS", "ARGS_GET", "ARGS_POST"),
    "argument-name": ("ARGS_NAMES", "ARGS_GET_NAMES", "ARGS_POST_NAMES"),
    "body": ("REQUEST_BODY",),
    "cookie": ("REQUEST_COOKIES",),
    "cookie-name": ("REQUEST_COOKIES_NAMES",),
    "file": ("FILES", "FILES_NAMES"),
    "header": ("REQUEST_HEADERS",),
    "header-name": ("REQUEST_HEADERS_NAMES",),
    "method": ("REQUEST_METHOD",),
    "path": ("REQUEST_FILENAME", "REQUEST_BASENAME", "PATH_INFO"),
    "query": ("QUERY_STRING",),
    "response-body": ("RESPONSE_BODY",),
    "response-header": ("RESPONSE_HEADERS",),
    "uri": ("REQUEST_URI", "REQUEST_URI_RAW", "REQUEST_LINE"),
    "xml": ("XML",),
}
"""What can be excluded of what rules look at: each word with its variables."""

_NAMED = frozenset(
    ("argument", "argument-name", "cookie", "cookie-name", "file", "header", "header-name", "response-header")
)
"""The words that stand before the name of a member."""

_EXCLUSION = re.compile(r"(\S+)(?:\s+(\S+))?(?:\s+(\S.*))?", re.DOTALL)


@frozen
class Exclusion:
    """What a line of ``exclude`` leaves out: ``RULES`` or ``RULES WHAT``.

    RULES is the number of a rule, a range such as ``942000-942999``, or ``tag:TAG``; WHAT is what they do not look at:
    ``argument.NAME``, ``cookie.NAME``, ``header.NAME``, ``path`` and others. NAME may be a regular expression between
    slashes. Without WHAT the rules are left out.

    :ivar rules: which rules it is about.
    :ivar collections: the variables that they do not look at; none if the rules are left out.
    :ivar key: the name of the member, in lower case; empty for all, or if there is a pattern.
    :ivar pattern: what the names of members match.
    :ivar written: as it is written.
    """

    lines: ClassVar[bool] = True

    rules: Change
    collections: tuple[str, ...] = ()
    key: str = ""
    pattern: str = ""
    written: str = field(default="", eq=False)

    @classmethod
    def from_text(cls, text: str) -> Exclusion:
        """Read a line.

        :raises InvalidValue: if it is none.
        """
        found = _EXCLUSION.fullmatch(text)
        if found is None:
            raise InvalidValue("a value is missing", 0)
        if found[3]:
            raise InvalidValue("an exclusion has two words: which rules, and what they do not look at", found.start(3))
        rules, what = found[1], found[2] or ""
        if rules.startswith("tag:"):
            if not rules.removeprefix("tag:"):
                raise InvalidValue("a tag is missing: tag:attack-sqli", len(rules))
            change = Change(tag=rules.removeprefix("tag:"))
        else:
            change = Change((numbers(Word(rules, 0)),))
        if not what:
            return cls(change, written=text)
        word, dot, name = what.partition(".")
        at = found.start(2)
        if word not in EXCLUDABLE:
            raise InvalidValue(f"there is no {word} to exclude: there are {', '.join(EXCLUDABLE)}", at)
        if dot and word not in _NAMED:
            raise InvalidValue(f"{word} has no names", at + len(word))
        if dot and not name:
            raise InvalidValue("a name is missing", at + len(what))
        if len(name) > 2 and name.startswith("/") and name.endswith("/"):
            return cls(change, EXCLUDABLE[word], pattern=_pattern(name[1:-1], at + len(word) + 2), written=text)
        return cls(change, EXCLUDABLE[word], name.lower(), written=text)

    def __str__(self) -> str:
        return self.written

    def applied(self, tree: RuleTree) -> RuleTree:
        """The tree without what it excludes.

        :raises InvalidValue: if it fits no rule, or none of those that it fits looks at that.
        """
        fitting = [each for each in tree.directives if isinstance(each, Rule) and self.rules.fits(each)]
        if not fitting:
            raise InvalidValue("no rule is left out: there is none like this", 0)
        if not self.collections:
            gone = {id(each) for each in fitting}
            return evolve(tree, directives=tuple(each for each in tree.directives if id(each) not in gone))
        changed = {id(each): self.of(each) for each in fitting}
        if all(changed[id(each)] is each for each in fitting):
            raise InvalidValue("nothing is left out: no rule like this looks at it", len(self.written.split()[0]) + 1)
        return evolve(tree, directives=tuple(changed.get(id(each), each) for each in tree.directives))

    def of(self, rule: Rule) -> Rule:
        """A rule that does not look at it, in no link."""
        links = tuple(map(self.of, rule.chained))
        looked = {each.collection for each in rule.targets if not each.excluded}
        added = tuple(
            Target(each, self.key, self.pattern, excluded=True) for each in self.collections if each in looked
        )
        same = not added and all(mine is other for mine, other in zip(links, rule.chained, strict=True))
        return rule if same else evolve(rule, targets=(*rule.targets, *added), chained=links)


def _pattern(text: str, at: int) -> str:
    """:raises InvalidValue: if it cannot be read; here, for a rule that has it names its own place."""
    try:
        search(text)
    except InvalidValue as error:
        raise InvalidValue(error.sentence, at) from None
    return text


def unseen(tree: RuleTree, name: FieldName) -> RuleTree:
    """The tree in which no rule looks at the values of a name."""
    whole = Exclusion(Change(), EXCLUDABLE[name.kind], name.name)
    return evolve(
        tree, directives=tuple(whole.of(each) if isinstance(each, Rule) else each for each in tree.directives)
    )
