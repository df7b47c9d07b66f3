"""How a setting's value is written, by the type that its class declares: single values, choices, references and lists.

The module owns the table from type to notation. Its law: a text is read as exactly one value or refused with a
sentence and a column, and :attr:`Notation.write` gives a text that is read as the same value.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from attrs import evolve, field, frozen

from edgenode.config import error_pages
from edgenode.config import value_readers as values
from edgenode.config.value_readers import Scope
from edgenode.model import durations, settings
from edgenode.model.errors import InvalidValue
from edgenode.model.extensions import Factory, installed
from edgenode.model.settings import Between, Choice, Extends, File, Reference, Tag, Variants
from edgenode.observe.event_expressions import EventExpression
from edgenode.policy.contentfilter.contentfilter import RuleSource
from edgenode.policy.responses import ErrorPage
from edgenode.policy.tagging import check_own_tag
from edgenode.policy.templates import Template
from edgenode.rules.language.expressions import Expression
from edgenode.rules.language.nodes import listed
from edgenode.rules.tags import check_tag

_WORDS = re.compile(r"[^\s,]+")
_PHRASES = re.compile(r"[^\s,](?:[^,\n]*[^\s,])?")
_LINES = re.compile(r"\S(?:[^\n]*\S)?")
_WITHIN_NAMES = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_COMMENT = re.compile(r"(?:(?<=\s)|^)#")


@frozen
class Notation:
    """How the values of one type are written.

    :ivar title: what the reference calls it: ``duration``, ``list of words``.
    :ivar read: reads one item. Raises :class:`InvalidValue`.
    :ivar items: what an item of a list looks like, ``None`` if this is no list.
    :ivar write: the inverse of ``read``.
    :ivar free: whether ``#`` has no meaning in it, and it may be empty.
    :ivar secret: whether it must not be printed.
    :ivar refers_to: the kind of section that it names, or an empty string.
    :ivar seeks: whether it is a tag that is looked for.
    :ivar repeats: whether a list may have the same item several times.
    :ivar extends: finds the extension of a text, whose keys stand beside this one; ``None`` for one that is built in.
        Raises :class:`InvalidValue`.
    :ivar variants: the class of the keys that stand beside each of its words.
    """

    title: str
    read: Callable[[str, Scope], Any]
    items: re.Pattern[str] | None = None
    write: Callable[[Any], str] = str
    free: bool = False
    secret: bool = False
    refers_to: str = ""
    seeks: bool = False
    repeats: bool = False
    extends: Callable[[str], Factory | None] | None = None
    variants: Mapping[str, type[Any]] = field(factory=dict, hash=False)

    def parse(self, text: str, scope: Scope) -> tuple[Any, list[InvalidValue]]:
        """Read a whole text.

        :returns: the value, of no use if there are problems, and every problem with its offset in the text.
        """
        comment = None if self.free else _COMMENT.search(text)
        if comment is not None:
            return None, [InvalidValue("a comment needs a line of its own", comment.start())]
        if not text and not self.free:
            return None, [InvalidValue("a value is missing", 0)]
        if self.items is None:
            return self._parse_item(text, scope)
        read: list[Any] = []
        problems: list[InvalidValue] = []
        for item in self.items.finditer(text):
            value, found = self._parse_item(item[0], scope)
            if not found and value in read and not self.repeats:
                found = [InvalidValue("this is written twice", 0)]
            read.append(value)
            problems += [evolve(problem, column=item.start() + (problem.column or 0)) for problem in found]
        if not read:
            problems.append(InvalidValue("a value is missing", 0))
        return tuple(read), problems

    def _parse_item(self, text: str, scope: Scope) -> tuple[Any, list[InvalidValue]]:
        try:
            return self.read(text, scope), []
        except InvalidValue as problem:
            return None, [evolve(problem, column=min(max(problem.column or 0, 0), len(text)))]


def suggestion(word: str, known: Iterable[str]) -> str:
    """The words to append to a sentence about an unknown word: what may have been meant, or nothing."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f'; did you mean "{close[0]}"?' if close else ""


def _expression(text: str, scope: Scope) -> Expression:
    """A condition in :ref:`Cloudflare's Rules language <rules-language>`, on one line or several."""
    found, names = Expression.from_text(text), scope.names.get("list", ())
    for each, _ in listed(found.root):
        _known(each.name, names, f"there is no [list {each.name}]", each.column)
    return found


def _event_expression(text: str, scope: Scope) -> EventExpression:
    """A condition in :ref:`the Rules language <rules-language>` on what an event holds."""
    return EventExpression.from_text(text)


def _template(text: str, scope: Scope) -> Template:
    """A text; ``${VALUE}`` in it is replaced by that value of the exchange."""
    return Template.from_text(text)


NOTATIONS: Mapping[Any, Notation] = {
    settings.Seconds: Notation("duration", values.seconds, write=durations.write_seconds),
    settings.Size: Notation("size", values.size, write=values.write_size),
    settings.Network: Notation("network", values.network),
    File: Notation("file", values.file),
    settings.Output: Notation("file to write", values.output, write=lambda path: "off" if path is None else str(path)),
    settings.Awaited: Notation("file that may come", values.awaited),
    settings.Folder: Notation("folder", values.folder),
    settings.Source: Notation("source", values.source),
    ErrorPage: Notation("error page", error_pages.error_page),
    RuleSource: Notation("rules", values.rule_source),
    Template: Notation("template", _template, free=True),
    settings.Secret: Notation("secret", values.secret, free=True, secret=True),
    settings.Word: Notation("word", values.word),
    settings.HostName: Notation("host name", values.host_name),
    Expression: Notation("expression", _expression, free=True),
    EventExpression: Notation("expression on events", _event_expression, free=True),
    bool: Notation("yes or no", values.boolean, write=lambda value: "yes" if value else "no"),
    int: Notation("number", values.integer),
    str: Notation("text", values.text, free=True),
}
"""The notation of each type that a setting may have; the docstring of what reads it is printed in the reference."""


def _marked(mark: object) -> Notation | None:
    """The notation of what is marked, if it is a mark of :mod:`edgenode.model.settings`."""
    match mark:
        case Choice(words=words, kind=kind):
            return Notation(
                " | ".join((_alternatives(words), *([f"``[{kind}]``"] if kind else ()))),
                lambda text, scope: _one_of((*words, *scope.names.get(kind, ())), text),
                refers_to=kind,
            )
        case Extends(kind=kind, words=words):
            title = f"{_alternatives(words)} | extension" if words else "extension"
            return Notation(title, lambda text, _: text, extends=partial(_factory, kind, words))
        case Variants(classes=classes):
            read = partial(_variant, classes)
            title = _alternatives(tuple(classes))
            return Notation(title, lambda text, _: _one_of(tuple(classes), text), extends=read, variants=classes)
        case Reference(kind=kind, repeats=repeats):
            return Notation(f"``[{kind}]``", partial(_name, kind), refers_to=kind, repeats=repeats)
        case Between(least=least, most=most):
            return Notation(f"number, {least} to {most}", partial(_between, least, most))
        case Tag(own=own):
            return Notation("tag", partial(_tag, check_own_tag if own else check_tag), seeks=not own)
    return None


def _alternatives(words: Sequence[str]) -> str:
    """The words for the reference; of more than three numbers in a row the first and the last."""
    runs: list[list[str]] = []
    for word in words:
        follows = bool(runs) and word.isdecimal() and runs[-1][-1].isdecimal() and int(word) == int(runs[-1][-1]) + 1
        runs = [*runs[:-1], [*runs[-1], word]] if follows else [*runs, [word]]
    shown = [[f"{run[0]}`` to ``{run[-1]}"] if len(run) > 3 else run for run in runs]
    return " | ".join(f"``{each}``" for run in shown for each in run)


def _known(text: str, names: Collection[str], sentence: str, column: int | None = None) -> str:
    if text not in names:
        raise InvalidValue(sentence + suggestion(text, names), column)
    return text


def _one_of(words: Sequence[str], text: str) -> str:
    return _known(text, words, f"expected one of {', '.join(words)}")


def _factory(kind: str, words: Sequence[str], text: str) -> Factory | None:
    if text in words:
        return None
    if words and ":" not in text:
        _one_of((*words, *installed(kind)), text)
    return Factory.named(kind, text)


def _variant(classes: Mapping[str, type[Any]], text: str) -> Factory:
    _one_of(tuple(classes), text)
    return Factory(lambda name, keys: keys, classes[text])


def _name(kind: str, text: str, scope: Scope) -> str:
    return _known(text, scope.names.get(kind, ()), f"there is no [{kind} {text}]")


def _between(least: int, most: int, text: str, scope: Scope) -> int:
    number = values.integer(text, scope)
    if not least <= number <= most:
        raise InvalidValue(f"expected a number from {least} to {most}")
    return number


def _tag(check: Callable[[str], None], text: str, scope: Scope) -> str:
    check(text)
    return values.word(text, scope)


def notation(annotation: Any) -> Notation:
    """The notation of a type, as a section's class declares it.

    :raises TypeError: if the type is none that can be written.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union) and len(arguments) == 2 and arguments[1] is types.NoneType:
        return notation(arguments[0])
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _listed(arguments[0])
    if origin is Annotated and (marked := _marked(arguments[1])) is not None:
        return marked
    if annotation in NOTATIONS:
        return NOTATIONS[annotation]
    if hasattr(annotation, "from_text"):
        title = _WITHIN_NAMES.sub(" ", annotation.__name__).lower()
        return Notation(title, lambda text, scope: annotation.from_text(text))
    raise TypeError(f"no notation for {annotation!r}")


def _listed(annotation: Any) -> Notation:
    """Words are separated by white space or commas, files and values of several words by commas, texts by lines."""
    item = notation(annotation)
    by_lines = annotation is str or getattr(annotation, "lines", False)
    by_words = annotation is not File and (getattr(annotation, "words", False) or not hasattr(annotation, "from_text"))
    items = _LINES if by_lines else _WORDS if by_words else _PHRASES
    separator = {_LINES: "\n", _PHRASES: ", ", _WORDS: " "}[items]
    return evolve(
        item,
        title=f"list: {item.title}",
        items=items,
        write=lambda several: separator.join(map(item.write, several)),
        free=False,
    )
