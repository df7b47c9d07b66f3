"""What rules look at, as it is written: targets, and macros in texts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgenode.model.errors import InvalidValue
from edgenode.policy.contentfilter.directives import Target
from edgenode.policy.contentfilter.names import WITH_MEMBERS, WITHOUT_MEMBERS
from edgenode.policy.contentfilter.syntax import Word, read_targets

_TARGET = re.compile(r"(!)?\s*(&)?\s*([\w-]+)(?::(.*))?", re.DOTALL)
_MACRO = re.compile(r"%\{([\w-]+)(?:[.:]([^}]*))?\}")


def target(word: Word) -> Target:
    """``ARGS``, ``!ARGS:name``, ``&ARGS``, ``ARGS:/^utm_/``.

    :raises InvalidValue: if there is no such variable, or it has no members.
    """
    found = _TARGET.fullmatch(word.text)
    if found is None:
        raise InvalidValue("this is no variable", word.at)
    excluded, counted, name, member = found.groups()
    collection, at = name.upper(), word.at + found.start(3)
    if collection not in WITH_MEMBERS and collection not in WITHOUT_MEMBERS:
        raise InvalidValue(f"there is no variable {name}", at)
    if member is not None and collection not in WITH_MEMBERS:
        raise InvalidValue(f"{collection} has no members", at)
    key, pattern = (member or "").lower(), ""
    if member and len(member) > 2 and member.startswith("/") and member.endswith("/") and collection != "XML":
        key, pattern = "", member[1:-1]
    if collection == "XML":
        key = member or ""
    return Target(collection, key, pattern, bool(excluded), bool(counted))


def targets(text: str, at: int = 0) -> Iterator[Target]:
    """Targets with ``|`` or ``,`` between them.

    :param at: where the text begins, for columns.
    :raises InvalidValue: as for :func:`target`, and if it is no list of targets.
    """
    try:
        words = read_targets(text)
    except InvalidValue as problem:
        raise InvalidValue(problem.sentence, (problem.column or 0) + at) from None
    for word in words:
        yield target(Word(word.text, word.at + at))


def macros(text: str) -> set[str]:
    """The variables that the macros of a text name, in upper case."""
    return {found[1].upper() for found in _MACRO.finditer(text)}


def members(text: str, collection: str) -> set[str]:
    """The members of a collection that the macros of a text name, in lower case."""
    return {(found[2] or "").lower() for found in _MACRO.finditer(text) if found[1].upper() == collection}


def check_macros(text: str, at: int, *, strict: bool = True) -> None:
    """:raises InvalidValue: if a text names a variable that there is not, as in ``%{nothing}``.

    :param strict: whether ``%{`` begins a macro always: in a regular expression it may be meant as it stands.
    """
    for found in _MACRO.finditer(text):
        name = found[1].upper()
        if name not in WITH_MEMBERS and name not in WITHOUT_MEMBERS:
            raise InvalidValue(f"there is no variable {found[1]}", at + found.start(1))
    if strict and "%{" in _MACRO.sub("", text):
        raise InvalidValue("this macro does not end: %{VARIABLE} or %{COLLECTION.NAME}", at + text.index("%{"))
