"""A written section becomes its frozen class: the class is the schema, and there is no other.

The module owns the way from keys to attributes. Its law: a section is read whole or not at all, every problem of it is
reported, and a key that is not understood is a problem rather than something to be passed over.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import attrs
from attrs import define, field, frozen

from edgenode.config import notation
from edgenode.config.ini import IniSection
from edgenode.config.notation import Notation
from edgenode.config.value_readers import Scope
from edgenode.model.errors import InvalidValue, Problem
from edgenode.model.extensions import Extension, Factory
from edgenode.rules import categories
from edgenode.rules.sections import Entry

T = TypeVar("T")

_LINE = re.compile(r"\S[^\n]*")
_KEY_LIKE = re.compile(r"([A-Za-z][A-Za-z0-9-]*)(?:\.[^\s=]+)?\s*=")
_KEY_IN_WHOLE = re.compile(_KEY_LIKE.pattern + "(?!=)")
"""In a value that is one text, ``ip.src ==`` is no key: it is how a comparison begins."""


@frozen
class Setting:
    """One key of a section.

    :ivar key: as it is written.
    :ivar attribute: the attribute of the class that it sets.
    :ivar notation: how its value is written.
    :ivar help: a sentence or two for the reference.
    :ivar default: the value without it, :data:`attrs.NOTHING` if it is required.
    """

    key: str
    attribute: str
    notation: Notation
    help: str
    default: Any

    @property
    def required(self) -> bool:
        """Whether a section without this key is wrong."""
        return self.default is attrs.NOTHING


_SETTINGS: dict[type, Mapping[str, Setting]] = {}
"""What :func:`settings` has found out already."""


def settings(cls: type) -> Mapping[str, Setting]:
    """The keys of a section's class in the order of its attributes, without those of its entries."""
    if cls not in _SETTINGS:
        annotations, found = typing.get_type_hints(cls, include_extras=True), {}
        for field in attrs.fields(cls):
            if "help" in field.metadata:
                key, written = field.name.rstrip("_").replace("_", "-"), notation.notation(annotations[field.name])
                found[key] = Setting(key, field.name, written, field.metadata["help"], field.default)
        _SETTINGS[cls] = types.MappingProxyType(found)
    return _SETTINGS[cls]


def has_entries(cls: type) -> bool:
    """Whether the keys that are no settings are rule categories."""
    return any(field.metadata.get("entries") for field in attrs.fields(cls))


def located(
    section: str, key: str, text: str, problem: InvalidValue, whole: bool = False, lines: Sequence[int] = ()
) -> Problem:
    """The problem of a value, with that line of it in which the trouble is.

    :param whole: whether the lines of the text are one value, so that the sentence says which line it is.
    :param lines: the numbers of the lines of the text in its file, if they are known.
    """
    if problem.column is None or not text:
        return Problem(section, key, problem.sentence)
    start = text.rfind("\n", 0, problem.column) + 1
    line, column = text[start:].partition("\n")[0].replace("\t", " "), problem.column - start
    number = text.count("\n", 0, start) + 1
    where = f" (line {number} of the value, column {column + 1})" if whole and "\n" in text else ""
    in_file = lines[number - 1] if number <= len(lines) else 0
    return Problem(section, key, problem.sentence + where, line, column, line=in_file)


def read(written: IniSection, cls: type[T], scope: Scope) -> tuple[T | None, list[Problem]]:
    """Read a section into its class.

    :returns: the value, ``None`` if it has problems, and every problem.
    """
    problems: list[Problem] = []
    arguments: dict[str, Any] = {}
    entries: list[Entry] = []
    extending = _extending(written, cls)
    known = {**extending.known, **extending.own}
    for key, text in written.values.items():
        whole = key in known and known[key].notation.items is None
        found = list(_indented_keys(cls, known, text, _KEY_IN_WHOLE if whole else _KEY_LIKE))
        if key in known:
            value, wrong = known[key].notation.parse(text, scope)
            (extending.arguments if key in extending.own else arguments)[known[key].attribute] = value
            found = found or wrong or ([extending.fault] if key == extending.key and extending.fault else [])
            if known[key].notation.secret:
                found = [InvalidValue(problem.sentence) for problem in found]
        elif has_entries(cls) and categories.is_word(key.partition(".")[0]):
            read_entries, wrong = _read_entries(key, text)
            entries += read_entries
            found = found or wrong
        elif extending.fault is None:  # else it may be one of the extension's
            found = _unknown(written, cls, known, key, scope)
        problems += [
            located(written.header, key, text, problem, whole, written.lines.get(key, ())) for problem in found
        ]
    for setting in known.values():
        if setting.required and setting.key not in written.values:
            problems.append(Problem(written.header, setting.key, "this key is required"))
    if problems:
        return None, problems
    if has_entries(cls):
        arguments["entries"] = tuple(entries)
    try:
        if extending.factory is not None:
            arguments["extension"] = Extension(extending.factory, extending.keys())
        return cls(**arguments), []
    except InvalidValue as problem:
        which = problem.which
        if which in known and known[which].notation.secret:
            return None, [Problem(written.header, which, problem.sentence)]
        return None, [of_whole(written, problem)]


def _unknown(
    written: IniSection, cls: type, known: Mapping[str, Setting], key: str, scope: Scope
) -> list[InvalidValue]:
    """What is said of a key that the section has not."""
    for deciding, setting in known.items():
        words = [word for word, each in setting.notation.variants.items() if key in settings(each)]
        if words and deciding not in written.values:
            return []  # it is one once the key that decides is there, and that this is missing is said
        if words:
            return [InvalidValue(f"this is a key of {deciding} = {' and of '.join(words)}")]
    homes = " and ".join(f"[{each}]" for each in scope.homes.get(key, ()) if each != written.kind)
    hint = f"; it is a key of {homes}" if homes else notation.suggestion(key, _keys(cls, known))
    return [InvalidValue(f"unknown key{hint}")]


def of_whole(written: IniSection, problem: InvalidValue) -> Problem:
    """The problem of a section as a whole, or of the key that it names."""
    key, text = problem.which, written.values.get(problem.which, "")
    if key:
        problem = attrs.evolve(problem, column=problem.column or len(text) - len(text.lstrip()))
    return located(written.header, key, text, problem, lines=written.lines.get(key, ()))


@define
class _Extending:
    """What an extension makes of a section.

    :ivar known: the keys that the section's class has of its own.
    :ivar key: the one that names the extension; empty if none can.
    :ivar factory: the extension; ``None`` for none.
    :ivar own: the extension's keys.
    :ivar arguments: their values, by their attributes.
    :ivar fault: why the extension cannot be used.
    """

    known: Mapping[str, Setting]
    key: str = ""
    factory: Factory | None = None
    own: Mapping[str, Setting] = field(factory=dict)
    arguments: dict[str, Any] = field(factory=dict)
    fault: InvalidValue | None = None

    def keys(self) -> Any:
        """The extension's keys as its own class has them.

        :raises InvalidValue: if they do not go together.
        """
        if self.factory is None or self.factory.keys is None:
            return None
        try:
            return self.factory.keys(**self.arguments)
        except InvalidValue:
            raise
        except Exception as error:
            raise InvalidValue(f"{type(error).__name__}: {error}", which=self.key) from error


def _extending(written: IniSection, cls: type) -> _Extending:
    """The extension that a section names, if its class can be extended."""
    known = settings(cls)
    for key, setting in known.items():
        if setting.notation.extends is None or not written.values.get(key):
            continue
        try:
            factory = setting.notation.extends(written.values[key])
            if factory is None:
                break
            common: Iterable[str] = getattr(cls, "common", known)
            return _Extending({each: known[each] for each in common}, key, factory, keys_of(factory, common))
        except InvalidValue as problem:
            return _Extending(known, key, fault=attrs.evolve(problem, column=problem.column or 0))
    return _Extending(known)


def keys_of(factory: Factory, taken: Iterable[str]) -> Mapping[str, Setting]:
    """The keys of an extension.

    :param taken: those that the section has already.
    :raises InvalidValue: if they cannot be read, or are among these.
    """
    if factory.keys is None:
        return {}
    try:
        own = settings(factory.keys)
    except (TypeError, NameError) as error:
        raise InvalidValue(f"the keys of the extension: {error}", 0) from None
    both = next((key for key in own if key in taken), None)
    if both is not None:
        raise InvalidValue(f"the extension has a key {both}, which is one of the section itself", 0)
    return own


def words_of(cls: type) -> Mapping[str, type]:
    """The words of a section that have keys of their own, each with the class of these."""
    return {word: each for setting in settings(cls).values() for word, each in setting.notation.variants.items()}


def keys_of_words(cls: type) -> Iterator[tuple[Setting, tuple[str, ...]]]:
    """The keys that only some words of a section have, each with these words; where they differ each stands alone."""
    found: dict[tuple[str, str, Any], list[str]] = {}
    first: dict[tuple[str, str, Any], Setting] = {}
    for word, each in words_of(cls).items():
        for key, setting in settings(each).items():
            same = key, setting.help, setting.default
            found.setdefault(same, []).append(word)
            first.setdefault(same, setting)
    for same, words in found.items():
        yield first[same], tuple(words)


def values_of(section: Any) -> Mapping[str, tuple[Setting, Any]]:
    """The keys of a section that was read, with those of its extension, and their values."""
    extension = getattr(section, "extension", None)
    parts = (section,) if extension is None or extension.keys is None else (section, extension.keys)
    return {key: (each, getattr(part, each.attribute)) for part in parts for key, each in settings(type(part)).items()}


def _keys(cls: type, known: Iterable[str]) -> list[str]:
    return [*known, *(categories.words() if has_entries(cls) else ())]


def _indented_keys(cls: type, known: Iterable[str], text: str, like: re.Pattern[str]) -> Iterator[InvalidValue]:
    """A key that is indented below another would silently be taken for a line of that one's value."""
    for line in list(_LINE.finditer(text))[1:]:
        match = like.match(line[0])
        if match is not None and match[1] in _keys(cls, known):
            yield InvalidValue(f"the key {match[1]} may not be indented deeper than the key above it", line.start())


def _read_entries(key: str, text: str) -> tuple[list[Entry], list[InvalidValue]]:
    entries: list[Entry] = []
    problems: list[InvalidValue] = []
    lines = list(_LINE.finditer(text))
    # On the line of the key itself, for on one of its own it would be a comment.
    common = lines.pop(0)[0][1:] if text.startswith("#") else ""
    for line in lines:
        try:
            entry = categories.parse(key, line[0], common)
            if any(entry.value == other.value for other in entries):
                raise InvalidValue("this is written twice")
            entries.append(entry)
        except InvalidValue as problem:
            problems.append(InvalidValue(problem.sentence, line.start() + (problem.column or 0)))
    if not entries and not problems:
        problems.append(InvalidValue("a value is missing", 0))
    return entries, problems
