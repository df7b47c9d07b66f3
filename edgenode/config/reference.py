"""The reference of the configuration, written from its schema: nothing of it is kept anywhere else.

The module owns the form of the page, reStructuredText with the directives ``key``, ``category``, ``field`` and
``function``, of which Sphinx makes anchors and entries of the index (docs/conf.py). Its law: every key of every section
is there, with its type, its default and its help.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from edgenode.config import notation, schema
from edgenode.config.data import SECTIONS, UNNAMED
from edgenode.config.extensions import of_kind, usable
from edgenode.config.schema import Setting
from edgenode.model.definitions import described
from edgenode.observe.recorded_fields import RECORDED
from edgenode.rules.categories import CATEGORIES
from edgenode.rules.fields import FIELDS
from edgenode.rules.language import signatures
from edgenode.rules.language.functions import FUNCTIONS, Function, Parameter
from edgenode.rules.language.types import Type

_INTRODUCTION = """\
Configuration
=============

A configuration is one file of sections ``[kind name]``. Sections do not nest; they name one another. Every key is
listed here with its type, its default and its meaning; a *required* key has to be written, and one that is *not set*
has no value unless it is. Relative paths start at the file's own folder.

``#`` begins a comment only as the first character of a line. A line that is indented deeper than its key continues the
value. Lists of words are separated by white space or commas, lists of files and servers by commas or lines.
``${NAME}`` stands for an environment variable in values of the type *secret*, and in no other.
"""

_ENTRIES = """\
Its further keys are the :ref:`categories of rules <categories>`.
"""

_CATEGORIES = """\
.. _categories:

Categories
----------

The entries of ``[section]``, ``[global-filter]`` and ``[path-map]``. A value is one line, or several that are
indented; each is an entry of its own. Text behind white space and ``#`` is its annotation, which the event shows when
the entry has matched::

    relation = or
    path =
        ^/admin/    # the back office
        ^/metrics$

An annotation on the line of the key itself is that of all entries below it that have none of their own; items of lists
may have one likewise::

    ip = # branch offices
        198.51.100.0/24
        203.0.113.0/24    # Lyon

A ``#`` at the beginning of a regular expression, or behind white space in it, is written ``\\#``. A value with ``!`` in
front matches if the category has a value and none is the one looked for; a missing value never matches.

The names of arguments and cookies are decoded, and letter case matters in them; characters that a key cannot contain
are percent-encoded: ``argument.a%3Db`` is the argument ``a=b``, and ``%`` itself is ``%25``. Letter case does not
matter in names of headers. Where a value can be read in several ways, as an argument or a cookie can, all readings
are compared; so a negated value matches only if none of the readings is the one looked for.

A country is written as its ISO 3166-1 code or its English name, in any case; ``XX`` is the unknown country, and 0 the
unknown autonomous system. Hexadecimal values may have colons, and either case. A number is a single one or a range:
``1..9``, ``3072..`` or ``..30``.

Categories that begin with ``certificate.`` look at the client's certificate, verified or not: add
``certificate.verified = yes`` where its content must be trusted.
"""

_FIELDS = """\
.. _fields:

Fields
------

The fields of expressions, see :ref:`the language <rules-language>`. Those of Cloudflare have Cloudflare's names; names
that begin with ``edge.`` are the node's own. *Needs* says what a rule looks at besides the head of a request: the
``body``, whose beginning is then read before the rules are evaluated; the ``clock``; the ``tags`` set so far; the
``geography`` of ``[geo]``; the client's ``certificate``; ``arguments``, of which rules see at most 4,096. The type
``Bytes`` is Cloudflare's ``String``.
"""

_EVENT_FIELDS = """\
.. _event-fields:

Fields of events
----------------

What expressions of ``[exporter]``, ``[alert]`` and ``edgenode events`` look at. Fields that rules have too mean the
same as above, and are missing where an event does not hold them; *Header* is the one that ``[edge] event-headers`` has
to name. Bodies, arguments in them, and the values of ``[geo]`` are not in events; where a client is stands in
``edge.tags``. Lists cannot be named.
"""

_FUNCTIONS = """\
.. _functions:

Functions
---------

The functions of expressions, see :ref:`the language <rules-language>`. If an argument is missing, so is the result,
unless the function says otherwise. A ``literal`` argument is a constant; arguments in brackets can be left out.
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
    parts = [
        _INTRODUCTION,
        _contents(),
        *map(_section, SECTIONS),
        _CATEGORIES,
        *_categories(),
        _FIELDS,
        *_fields(),
        _EVENT_FIELDS,
        *_event_fields(),
        _FUNCTIONS,
        *_functions(),
        _titled("Types"),
        *_types(),
    ]
    return "\n".join(parts)


def _categories() -> Iterator[str]:
    for each in usable(CATEGORIES):
        name = f"{each.name}.NAME" if each.named else each.name
        yield described("category", name, each.help, Match=each.notation.title)


def _fields() -> Iterator[str]:
    for each in usable(FIELDS):
        needs = ", ".join(sorted(each.needs))
        yield described("field", each.name, each.help, Type=f"``{each.type}``", Needs=needs)


def _event_fields() -> Iterator[str]:
    """Those that rules have too are named; the others have a definition each."""
    shared = [each for each in RECORDED.values() if each.name in FIELDS.built_in]
    yield "Of the fields of rules events hold:\n"
    yield from (f"- ``{e.name}``{f', if events have the header ``{e.header}``' if e.header else ''}" for e in shared)
    yield ""
    for each in RECORDED.values():
        if each.name not in FIELDS.built_in:
            yield described("recorded-field", each.name, each.help, Type=f"``{each.type}``")


def _functions() -> Iterator[str]:
    for each in FUNCTIONS.values():
        yield described("function", f"{each.name}({_arguments(each)})", each.help, Gives=_returned(each))


def _types() -> Iterator[str]:
    for each in notation.NOTATIONS.values():
        yield f"_`{each.title}`\n    {_first_paragraph(each.read)}\n"


def _titled(title: str) -> str:
    return f"{title}\n{'-' * len(title)}\n"


def _title(cls: type[Any]) -> str:
    return f"[{cls.kind}]" if cls in UNNAMED.values() else f"[{cls.kind} NAME]"


def _contents() -> str:
    """Links to all sections: the page is long."""
    titles = [*map(_title, SECTIONS), "Categories", "Fields", "Functions", "Types"]
    return "On this page: " + ",\n".join(f"`{title}`_" for title in titles) + ".\n"


def _section(cls: type[Any]) -> str:
    title = _titled(_title(cls))
    entries = [_ENTRIES] if schema.has_entries(cls) else []
    keys = [_key(f"[{cls.kind}] {each.key}", each) for each in schema.settings(cls).values()]
    for name, each in schema.words_of(cls).items():
        keys.append(f"``{name}``: {_first_paragraph(each)}\n")
    keys += (_key(f"[{cls.kind}] {each.key} ({', '.join(words)})", each) for each, words in schema.keys_of_words(cls))
    for name, help, own in of_kind(cls.kind):
        keys.append(f"The extension ``{name}``: {help}\n")
        keys += (_key(f"[{cls.kind}] {each.key} ({name})", each) for each in own.values())
    return "\n".join([title, inspect.cleandoc(cls.__doc__ or ""), "", *entries, *keys])


def table_of_words(cls: type[Any]) -> str:
    """The keys that only some words of a section have, as a table of reStructuredText."""
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - Key",
        "     - Types",
        "     - Value",
        "     - Default",
    ]
    for each, words in schema.keys_of_words(cls):
        named = ", ".join(f"``{word}``" for word in words)
        lines += [
            f"   * - ``{each.key}``",
            *(f"     - {cell}" for cell in (named, each.notation.title, _default(each))),
        ]
    return "\n".join(lines) + "\n"


def _key(name: str, each: Setting) -> str:
    return described("key", name, each.help, Type=_linked(each.notation.title), Default=_default(each))


def _linked(title: str) -> str:
    """The name of a type, or of a list of them, with a link to where it is described."""
    start, colon, item = title.rpartition(": ")
    known = any(item == each.title for each in notation.NOTATIONS.values())
    return f"{start}{colon}`{item}`_" if known else title


def _default(setting: Setting) -> str:
    if setting.required:
        return "*required*"
    written = "" if setting.default in (None, ()) else setting.notation.write(setting.default)
    return f"``{written}``" if written else "*not set*"


def _first_paragraph(read: object) -> str:
    return " ".join((inspect.getdoc(read) or "").partition("\n\n")[0].split())


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
