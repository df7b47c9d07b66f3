"""The lines of a filter's datafeed: each is an entry of one category, and all of them together are one predicate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import evolve, frozen

from edgenode.model.errors import InvalidValue
from edgenode.rules import categories, notations, regexes
from edgenode.rules.categories import category_of, sought_of
from edgenode.rules.feeds import without_query
from edgenode.rules.formulas import All, AnyOf, Formula, Leaf, Predicate, Sought
from edgenode.rules.lists import Members
from edgenode.rules.networks import Networks
from edgenode.rules.readings import subject_of
from edgenode.rules.section_formulas import in_either_case, minds_case
from edgenode.rules.sections import Entry

_OF_THE_CONFIGURATION = ("tag", "path-matching-name", "security-policy-name")
"""Categories whose values are names in the configuration, and so no matter of others."""

_MOST_OF_ONE = 500
"""Instructions of RE2 that one expression of a feed may have."""

_MOST_OF_ALL = 3_000
"""Those of all expressions of a feed that are more than one text. A hostile value makes each of its bytes be tried
against all of them, which takes RE2 some 20 ms for 7 kB."""

_NOT_LISTED = (notations.YES, notations.NUMBER)
"""What is not written as one of many values."""


@frozen
class FeedCategory:
    """What category the lines of a feed are of: ``ip``, ``header.user-agent``.

    :ivar entry: an entry of it, without a value.
    """

    entry: Entry

    @classmethod
    def from_text(cls, text: str) -> FeedCategory:
        """Read the key of entries.

        :raises InvalidValue: if there is no such category, or no feed can be of it.
        """
        category, name = categories.category(text)
        if category.name in _OF_THE_CONFIGURATION or category.notation in _NOT_LISTED:
            raise InvalidValue(f"a feed cannot be of the category {category.name}", 0)
        word, _, part = category.name.partition(".")
        return cls(Entry(word, name or part, ""))

    def __str__(self) -> str:
        return self.entry.key

    @property
    def words(self) -> bool:
        """Whether no value of it has white space in it."""
        return category_of(self.entry).notation in (notations.ADDRESS, notations.ASN)

    def needs(self, readings: Iterable[str]) -> frozenset[str]:
        """What it takes to read what its lines are compared with: see :class:`edgenode.rules.fields.Field`.

        :param readings: as of the filter.
        """
        return subject_of(self.entry, readings).needs

    def check(self, value: str) -> None:
        """Check a line.

        :raises InvalidValue: if it is no value of the category.
        """
        if value.startswith("!"):
            raise InvalidValue("a feed says what matches; it cannot negate", 0)
        categories.entry(self.entry.key, value)
        _size(sought_of(evolve(self.entry, value=value)))


def members(name: str, of: FeedCategory, values: Sequence[str], match_case: bool | None) -> Members:
    """Make members of the lines of a feed.

    :param name: the header of the filter.
    :param match_case: as of the filter.
    :raises InvalidValue: if one is no value of the category.
    """
    empty, match = Members(name), category_of(of.entry).match
    if match == "network":
        return evolve(empty, networks=Networks(values))  # it checks as it goes, and faster
    minds, found = minds_case(of.entry, match_case), dict[object, None]()
    size = 0
    for value in values:
        of.check(value)
        sought = sought_of(evolve(of.entry, value=value))
        size += _size(sought)
        if size > _MOST_OF_ALL:
            raise InvalidValue(f"its regular expressions have more than {_MOST_OF_ALL} instructions in all")
        if not minds:
            match, sought = in_either_case(category_of(of.entry).match, sought)
        found[sought] = None
    match match:
        case "regex":
            return evolve(empty, regexes=tuple(each for each in found if isinstance(each, str)))
        case "range":
            return evolve(empty, numbers=frozenset(each[0] for each in found if isinstance(each, tuple)))
        case _:
            return evolve(empty, words=frozenset(each for each in found if isinstance(each, bytes)))


def _size(sought: Sought) -> int:
    """What a line adds to the cost of a request: the instructions of its expression."""
    if not isinstance(sought, str) or regexes.is_plain(sought):
        return 0
    size = regexes.program_size(sought)
    if size > _MOST_OF_ONE:
        raise InvalidValue(f"it has {size} instructions, and {_MOST_OF_ONE} is the most for an expression of a feed")
    return size


def formula(of: FeedCategory, found: Members, source: str, readings: Iterable[str] = ()) -> Formula:
    """What a source of a filter comes down to: any line of it.

    :param readings: as of the filter.
    :param source: what to show if one is true; without its query, which may hold a key.
    """
    shown = evolve(of.entry, value=without_query(source))
    match = "regex" if found.regexes else category_of(of.entry).match
    return Leaf(Predicate(subject_of(of.entry, readings), match, found), (shown,))


def joined(own: Formula, fed: Formula) -> Formula:
    """The own rules of a filter and its feed.

    :param own: of a section, whose relation joins the feed too.
    """
    assert isinstance(own, All | AnyOf)
    return type(own)((*own.parts, fed)) if own.parts else fed
