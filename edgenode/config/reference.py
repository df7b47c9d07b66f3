"""The reference of the configuration, written from its schema: nothing of it is kept anywhere else.

The module owns the form of the page, reStructuredText. Its law: every key of every section is there, with its type, its
default and its help.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from edgenode.config import schema, values
from edgenode.config.configuration import SECTIONS
from edgenode.config.schema import Setting
from edgenode.rules import categories

_TYPES = "Types"

_INTRODUCTION = """\
Configuration
=============

A configuration is one file of sections ``[kind name]``. Sections never nest; they name one another. Every key is listed
here with its type and its default; a key without a default is required. Relative paths start at the file's own folder.

``#`` begins a comment only as the first character of a line. A line that is indented deeper than its key continues the
value. Lists of words are separated by white space or commas, lists of files and servers by commas or lines.
``${NAME}`` stands for an environment variable in a secret, and nowhere else.
"""

_ENTRIES = """\
Its further keys are the :ref:`categories of rules <categories>`.
"""

_CATEGORIES = """\
.. _categories:

Categories
----------

The entries of ``[section]``, ``[global-filter]`` and ``[path-map]``. A value is one line, or several that are
indented; each is an entry of its own. Behind white space and ``#`` stands its annotation, which the event shows when
the entry has matched::

    path =
        ^/admin/    # the back office
        ^/metrics$

A ``#`` at the beginning of an expression, or behind white space in it, is written ``\\#``. A value with ``!`` in front
matches where the category has a value and none is the one looked for; what is absent never matches.
"""


def reference() -> str:
    """The whole reference, one page of reStructuredText."""
    parts = [
        _INTRODUCTION,
        *map(_section, SECTIONS),
        _CATEGORIES,
        _table(("key", "match", "meaning"), _category_rows()),
        _types(),
    ]
    return "\n".join(parts)


def _section(cls: type) -> str:
    kind = schema.kind(cls)
    title = "[edge]" if kind == "edge" else f"[{kind} NAME]"
    parts = [title, "-" * len(title), "", inspect.cleandoc(cls.__doc__ or ""), ""]
    if schema.has_entries(cls):
        parts.append(_ENTRIES)
    parts.append(_table(("key", "type", "default", "meaning"), map(_row, schema.settings(cls).values())))
    return "\n".join(parts)


def _row(setting: Setting) -> tuple[str, ...]:
    return f"``{setting.key}``", setting.notation.title, _default(setting), setting.help


def _default(setting: Setting) -> str:
    if setting.required:
        return "*required*"
    written = "" if setting.default in (None, ()) else setting.notation.write(setting.default)
    return f"``{written}``" if written else ""


def _category_rows() -> Iterator[tuple[str, ...]]:
    for category in categories.CATEGORIES.values():
        yield f"``{category.name}{'.NAME' if category.named else ''}``", category.match, category.help


def _table(titles: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (titles, *rows):
        for mark, cell in zip(("*", *" " * len(row)), row, strict=False):
            lines.append(f"   {mark} - {cell}".rstrip())
    return "\n".join([*lines, ""])


def _types() -> str:
    rows = ((notation.title, notation.help) for notation in values.NOTATIONS.values())
    return "\n".join([_TYPES, "-" * len(_TYPES), "", _table(("type", "notation"), rows)])
