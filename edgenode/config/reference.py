"""The reference of the configuration, written from its schema: nothing of it is kept anywhere else.

The module owns the form of the page, reStructuredText. Its law: every key of every section is there, with its type, its
default and its help.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from edgenode.config import notation, schema
from edgenode.config.data import SECTIONS, UNNAMED
from edgenode.config.schema import Setting
from edgenode.rules.categories import CATEGORIES
from edgenode.rules.fields import FIELDS
from edgenode.rules.language import signatures
from edgenode.rules.language.functions import FUNCTIONS, Function, Parameter
from edgenode.rules.language.types import Type

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

    relation = or
    path =
        ^/admin/    # the back office
        ^/metrics$

A ``#`` at the beginning of a regular expression, or behind white space in it, is written ``\\#``. A value with ``!`` in
front matches where the category has a value and none is the one looked for; what is absent never matches.

The names of arguments and cookies are exact, in their own case, and decoded; what a key cannot hold is percent-encoded:
``argument.a%3Db`` is the argument ``a=b``, and ``%`` itself is ``%25``. The names of headers have no case. Where one
thing can be read in several ways, as an argument or a cookie can, each reading is looked at; so a negated value matches
only if no reading is the one looked for.

A country is written by its ISO 3166-1 code or its English name, in any case; ``XX`` is the unknown, and an autonomous
system that is unknown is 0. Hexadecimal may have colons and either case. A number is one, ``1..9``, ``3072..`` or
``..30``.

``certificate.`` looks at what a client certificate says, verified or not: add ``certificate.verified = yes`` where it
is to be believed.
"""

_FIELDS = """\
.. _fields:

Fields
------

What expressions look at, see :ref:`the language <rules-language>`. Those of Cloudflare have its names; ``edge.`` is
ours. The last column says what a rule needs besides the head of a request: the ``body``, whose beginning is then read
before the request is judged; the ``clock``; the ``tags`` put on so far; the ``geography`` of ``[geo]``; a client
``certificate``; and whether it looks at ``arguments``, of which not more than 4,096 are looked at. ``Bytes`` is
Cloudflare's ``String``.
"""

_FUNCTIONS = """\
.. _functions:

Functions
---------

The functions of expressions, see :ref:`the language <rules-language>`. What is missing goes in and comes out as
missing, unless it says otherwise. A ``literal`` is written out; in brackets stands what can be left out.
"""

_RETURNS: Mapping[object, str] = {
    signatures.alike: "as given",
    signatures.joinable: "as given",
    signatures.keyed: "Bool",
    signatures.measurable: "Int",
    signatures.member: "Bool",
}
"""What functions give whose type depends on their arguments."""


def reference() -> str:
    """The whole reference, one page of reStructuredText."""
    categories = (
        (f"``{each.name}{'.NAME' if each.named else ''}``", each.notation.title, each.help)
        for each in CATEGORIES.values()
    )
    fields = (
        (f"``{each.name}``", f"``{each.type}``", each.help, ", ".join(sorted(each.needs))) for each in FIELDS.values()
    )
    functions = ((f"``{each.name}({_arguments(each)})``", _returned(each), each.help) for each in FUNCTIONS.values())
    types = ((each.title, _first_paragraph(each.read)) for each in notation.NOTATIONS.values())
    parts = [
        _INTRODUCTION,
        *map(_section, SECTIONS),
        _CATEGORIES,
        _table(("key", "match", "meaning"), categories),
        _FIELDS,
        _table(("field", "type", "meaning", "needs"), fields),
        _FUNCTIONS,
        _table(("function", "gives", "meaning"), functions),
        _titled("Types"),
        _table(("type", "notation"), types),
    ]
    return "\n".join(parts)


def _titled(title: str) -> str:
    return f"{title}\n{'-' * len(title)}\n"


def _section(cls: type[Any]) -> str:
    title = _titled(f"[{cls.kind}]" if cls in UNNAMED.values() else f"[{cls.kind} NAME]")
    entries = [_ENTRIES] if schema.has_entries(cls) else []
    rows = (
        (f"``{each.key}``", each.notation.title, _default(each), each.help) for each in schema.settings(cls).values()
    )
    table = _table(("key", "type", "default", "meaning"), rows)
    return "\n".join([title, inspect.cleandoc(cls.__doc__ or ""), "", *entries, table])


def _default(setting: Setting) -> str:
    if setting.required:
        return "*required*"
    written = "" if setting.default in (None, ()) else setting.notation.write(setting.default)
    return f"``{written}``" if written else ""


def _first_paragraph(read: object) -> str:
    return (inspect.getdoc(read) or "").partition("\n\n")[0]


def _returned(function: Function) -> str:
    return str(function.returns if isinstance(function.returns, Type) else _RETURNS[function.returns])


def _arguments(function: Function) -> str:
    """What a function takes; in brackets what can be left out."""
    taken = [_argument(parameter) for parameter in function.parameters]
    if function.repeated:
        taken[-1] += ", ..."
    needed, further = ", ".join(taken[: function.required]), taken[function.required :]
    return needed + "".join(f"[, {each}" for each in further) + "]" * len(further)


def _argument(parameter: Parameter) -> str:
    word = "|".join(str(each) for each in parameter.types) or "value"
    return f"literal {word}" if parameter.kind == "literal" else word


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (titles, *rows):
        for mark, cell in zip(("*", *" " * len(row)), row, strict=False):
            lines.append(f"   {mark} - {cell}".rstrip())
    return "\n".join([*lines, ""])
