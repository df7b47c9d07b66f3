"""``edgenode reference``: the reference of the configuration as reStructuredText, or one name of it for a terminal."""

from __future__ import annotations

import argparse
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from edgenode.config import schema
from edgenode.config.data import SECTIONS
from edgenode.config.extensions import of_kind
from edgenode.config.notation import suggestion
from edgenode.config.reference import reference
from edgenode.model.errors import InvalidValue
from edgenode.rules.categories import CATEGORIES
from edgenode.rules.fields import FIELDS
from edgenode.rules.language.functions import FUNCTIONS

_TABLES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("category of rules", CATEGORIES),
    ("field", FIELDS),
    ("function", FUNCTIONS),
)


def declare(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    parser.add_argument(
        "name", nargs="?", metavar="KEY", help="of this key, kind of section, category, field or function"
    )


def main(options: argparse.Namespace) -> int:
    """Print the reference: 0, or 1 if there is nothing of the name that is asked for."""
    name = options.name
    if name is None:
        print(reference(), end="")
        return 0
    found = list(_of(name))
    if not found:
        print(f"there is no {name}{suggestion(name, names())}", file=sys.stderr)
        return 1
    print("\n\n".join(found))
    return 0


def names() -> list[str]:
    """Everything that the reference can be asked for."""
    keys = [key for cls in SECTIONS for key in schema.settings(cls)]
    own = [each for cls in SECTIONS for name, _, found in of_kind(cls.kind) for each in (name, *found)]
    own += [each.key for cls in SECTIONS for each, _ in schema.keys_of_words(cls)]
    own += [word for cls in SECTIONS for word in schema.words_of(cls)]
    return [*keys, *own, *(cls.kind for cls in SECTIONS), *(name for _, table in _TABLES for name in table)]


def _of(name: str) -> Iterator[str]:
    """What there is of this name; a kind of section with all of its keys."""
    for cls in SECTIONS:
        for key, each in schema.settings(cls).items():
            if name in (key, cls.kind):
                yield _key(f"[{cls.kind}] {key}", each)
        for word, keys in schema.words_of(cls).items():
            if name == word:
                yield _paragraph(f"{word}: [{cls.kind}]", " ".join((inspect.getdoc(keys) or "").split()))
        for each, words in schema.keys_of_words(cls):
            if name in (each.key, cls.kind, *words):
                yield _key(f"[{cls.kind}] {each.key}", each, f" of {', '.join(words)}")
        for extension, help, own in of_kind(cls.kind):
            if name == extension:
                yield _paragraph(f"{extension}: extension, [{cls.kind}]", help)
            for key, each in own.items():
                if name in (key, extension):
                    yield _key(f"[{cls.kind}] {key}", each, f" of the extension {extension}")
    for what, table in _TABLES:
        if name in table:
            try:
                yield _paragraph(f"{name}: {what}", table[name].help)
            except InvalidValue as problem:  # of an extension
                yield _paragraph(f"{name}: {what}", problem.sentence)


def _key(name: str, each: schema.Setting, whose: str = "") -> str:
    default = "required" if each.required else f"default: {_default(each)}"
    return _paragraph(f"{name} = {each.notation.title} ({default}){whose}", each.help)


def _default(setting: schema.Setting) -> str:
    empty = setting.default is None or setting.default == () or setting.default == ""
    return "not set" if empty else " ".join(setting.notation.write(setting.default).split())


def _paragraph(title: str, help: str) -> str:
    return "\n".join((title.replace("``", ""), textwrap.indent(textwrap.fill(help.replace("``", ""), 96), "    ")))
