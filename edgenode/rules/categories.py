"""The categories: what an entry of a section can look for, one line each, and how an entry is written.

Law: an entry that could not match as its author meant it is refused when it is read, and ``parse(*format(entry))`` is
that entry again.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from attrs import frozen

from edgenode.errors import InvalidValue
from edgenode.rules.fields import FIELDS, Field
from edgenode.rules.networks import network
from edgenode.rules.regexes import check_regex
from edgenode.rules.sections import Entry
from edgenode.rules.tags import check_tag


@frozen
class Category:
    """A kind of entry.

    :ivar name: the key, or what stands before the dot in ``header.NAME``.
    :ivar field: the name of the field it looks at.
    :ivar match: how a value is looked for: ``regex``, ``network`` or ``exact``.
    :ivar help: a phrase for the reference.
    :ivar named: whether a name stands behind a dot; such names are in lower case.
    :ivar breadth: a guess at how many requests in a hundred one entry matches. An ``and`` is looked at only once its
        narrowest part has matched.
    """

    name: str
    field: str
    match: str
    help: str
    named: bool = False
    breadth: int = 5

    @property
    def reads(self) -> Field:
        """The field it looks at."""
        return FIELDS[self.field]


_TABLE = (
    Category("ip", "ip.src", "network", "The client's address: an address or a CIDR network.", breadth=1),
    Category("method", "http.request.method", "regex", "The method as sent.", breadth=30),
    Category("path", "http.request.uri.path", "regex", "The normalised path, without the query."),
    Category("authority", "http.request.authority", "regex", "Host and port, in lower case.", breadth=30),
    Category("header", "http.request.headers", "regex", "Any value of the header ``header.NAME``.", named=True),
    Category("tag", "edge.tags", "exact", "A tag in canonical form, whoever put it on.", breadth=20),
)

CATEGORIES: Mapping[str, Category] = MappingProxyType({category.name: category for category in _TABLE})
"""Every category by its name."""

_CHECKS: Mapping[str, Callable[[str], object]] = MappingProxyType(
    {"regex": check_regex, "network": network, "exact": check_tag}
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+", re.ASCII)  # RFC 9110, section 5.6.2: a token
_ANNOTATION = re.compile(r"(?:^|\s)#")


def entry(key: str, value: str, annotation: str = "") -> Entry:
    """Read and check an entry.

    :param key: the category, with the name behind a dot if it has one: ``path``, ``header.user-agent``.
    :param value: the value; ``!`` in front negates it.
    :param annotation: the label to show when it has matched.
    :raises InvalidValue: if anything is wrong with it; the column points into ``value``.
    """
    category, name = _category(key)
    found = Entry(category.name, name, value.strip(), " ".join(annotation.split()))
    try:
        _check_value(found, category.match)
    except InvalidValue as problem:
        indent = len(value) - len(value.lstrip())
        raise InvalidValue(problem.sentence, None if problem.column is None else indent + problem.column) from None
    return found


def parse(key: str, line: str) -> Entry:
    """Read an entry as it is written on a line: ``value # annotation``, with white space before the ``#``.

    :raises InvalidValue: if anything is wrong with it; the column points into ``line``.
    """
    mark = _ANNOTATION.search(line)
    value, annotation = (line, "") if mark is None else (line[: mark.start()], line[mark.end() :])
    return entry(key, value, annotation)


def format(entry: Entry) -> tuple[str, str]:
    """The key of an entry and the line it is written as."""
    return entry.key, f"{entry.value} # {entry.annotation}" if entry.annotation else entry.value


def _category(key: str) -> tuple[Category, str]:
    word, dot, name = key.partition(".")
    name = name.lower()
    category = CATEGORIES.get(word)
    if category is None:
        near = difflib.get_close_matches(word, CATEGORIES, 1)
        guess = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(CATEGORIES)}"
        raise InvalidValue(f"there is no category {word}{guess}")
    if dot and not category.named:
        raise InvalidValue(f"{word} takes no name: write {word}")
    if category.named and not name:
        raise InvalidValue(f"{word} needs a name: {word}.NAME")
    if category.named and not _HEADER_NAME.fullmatch(name):
        raise InvalidValue(f"{name} is no name of a header (RFC 9110, section 5.6.2)")
    return category, name


def _check_value(found: Entry, match: str) -> None:
    value, pattern = found.value, found.pattern
    if not pattern:
        raise InvalidValue("a value is missing", 0)
    if found.negated and pattern.startswith("!"):
        raise InvalidValue(r"a value is negated once; for a text that begins with ! write \!", value.index("!", 1))
    # What a line of the file could not hold is refused, however the entry came here.
    if "\n" in value or "\r" in value:
        raise InvalidValue("a value is a single line", min(value.index(end) for end in "\r\n" if end in value))
    mark = _ANNOTATION.search(value)
    if mark is not None:
        raise InvalidValue(r"a # here would begin an annotation: write \#", mark.end() - 1)
    try:
        _CHECKS[match](pattern)
    except InvalidValue as problem:
        before = len(value) - len(pattern)
        raise InvalidValue(problem.sentence, None if problem.column is None else before + problem.column) from None
