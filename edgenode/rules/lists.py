"""``[list]``: values that rules name as ``$name``; and what lists and datafeeds become once they are read.

Law: a list is read whole or not at all. One line that cannot be read refuses all of it, for nobody knows what the line
was to say, and a list without it would be another list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from attrs import evolve, field, frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Choice, check_dns_name, setting
from edgenode.rules.feeds import Feed
from edgenode.rules.language.types import BYTES, INT, IP, Type
from edgenode.rules.networks import Networks, network_range


@frozen(eq=False)
class Members:
    """What stands in a list; equal only to itself, for it may have a million lines.

    :ivar name: how it is called in reasons: ``$name`` for a list, the section's header for a datafeed.
    :ivar type: what it is a list of: ``ip``, ``string``, ``hostname`` or ``asn``; empty for a datafeed of a filter.
    :ivar networks: for ``network``: all address ranges.
    :ivar words: for ``equal``: all values, exactly.
    :ivar suffixes: for ``equal``: the hostnames written ``*.example.com`` or ``.example.com``, as ``.example.com``;
        each is true of every name that ends in it, at any depth; ``words`` have ``example.com`` for the second.
    :ivar numbers: for ``range``: all numbers.
    :ivar regexes: for ``regex``: all patterns.
    :ivar annotations: the annotation or description of a line, by the line; only those that have one.
    """

    name: str
    type: str = ""
    networks: Networks = field(factory=Networks)
    words: frozenset[bytes] = frozenset()
    suffixes: frozenset[bytes] = frozenset()
    numbers: frozenset[int] = frozenset()
    regexes: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(factory=dict)


@frozen
class ListType:
    """What a list is a list of.

    :ivar of: the type of the values that can be compared with it.
    :ivar check: raises :class:`~edgenode.model.errors.InvalidValue` for what is no value of it.
    :ivar gather: makes of checked values what :class:`Members` have of them.
    :ivar words: whether a value has no white space in it, so that a comment can stand behind it.
    """

    of: Type
    check: Callable[[str], object]
    gather: Callable[[Sequence[str]], Mapping[str, Any]]
    words: bool = True


_ASN = re.compile(r"(?:AS)?([0-9]{1,10})", re.ASCII | re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def autonomous_system(text: str) -> int:
    """Read the number of an autonomous system, with ``AS`` in front or without.

    :raises InvalidValue: if it is none (RFC 6793: 32 bits).
    """
    match = _ASN.fullmatch(text)
    if match is None or int(match[1]) >> 32:
        raise InvalidValue("expected the number of an autonomous system, such as 64496 or AS64496", 0)
    return int(match[1])


def _check_hostname(text: str) -> None:
    dotted = text.startswith(".")
    try:
        check_dns_name(text[dotted:].lower(), "host name", "a host name, or *. or . and a host name")
    except InvalidValue as problem:
        raise evolve(problem, column=None if problem.column is None else problem.column + dotted) from None
    if text.startswith(".*"):
        raise InvalidValue("expected a host name, or *. or . and a host name", 1)


def _check_string(text: str) -> None:
    control = _CONTROL.search(text)
    if control is not None:
        raise InvalidValue("a string has no control characters", control.start())


def _hostnames(values: Sequence[str]) -> Mapping[str, frozenset[bytes]]:
    names = [value.lower().encode("ascii") for value in values]
    suffixes = frozenset(name.removeprefix(b"*") for name in names if name[:1] in b"*.")
    return {"words": frozenset(name.removeprefix(b".") for name in names if name[:1] != b"*"), "suffixes": suffixes}


TYPES: Mapping[str, ListType] = {
    "ip": ListType(IP, network_range, lambda values: {"networks": Networks(values)}),
    "string": ListType(
        BYTES, _check_string, lambda values: {"words": frozenset(value.encode() for value in values)}, words=False
    ),
    "hostname": ListType(BYTES, _check_hostname, _hostnames),
    "asn": ListType(INT, autonomous_system, lambda values: {"numbers": frozenset(map(autonomous_system, values))}),
}
"""Everything that there are lists of, by the word for it."""


def members(name: str, type: str, values: Sequence[str]) -> Members:
    """Make members of the values of a list that have all been found right.

    :raises InvalidValue: if one is not; :func:`faults` says which.
    """
    kind = TYPES[type]
    if type != "ip":  # its own reader checks as it goes, and faster
        for value in values:
            kind.check(value)
    return Members(name, type, **kind.gather(values))


def faults(check: Callable[[str], object], values: Sequence[str]) -> Iterator[tuple[int, InvalidValue]]:
    """What is wrong with values, each with the index of its value."""
    for index, value in enumerate(values):
        try:
            check(value)
        except InvalidValue as problem:
            yield index, problem


_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.]*[a-z0-9_])?")


def check_name(name: str) -> None:
    """Check the name of a list, by which expressions call it.

    :raises InvalidValue: if no expression could.
    """
    if not _NAME.fullmatch(name):
        raise InvalidValue("the name of a list consists of a-z, 0-9, _ and dots, with no dot at its ends", 0)


@frozen
class List(Feed):
    """A list that expressions name as ``$NAME``; its items stand here, or come from a source."""

    kind: ClassVar[str] = "list"

    type: Annotated[str, Choice(tuple(TYPES))] = setting(
        "The type of its items. ``ip``: addresses and networks; ``string``: exact texts; ``hostname``: host "
        "names, ``*.example.com`` for all names below one, ``.example.com`` for the name and all below; "
        "``asn``: numbers of autonomous systems."
    )
    items: str = setting("The items of the list, one a line: ``value # annotation``.", "")
