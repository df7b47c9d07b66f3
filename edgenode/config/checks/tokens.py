"""Whether token configurations can be used, and whether those that rules name are there.

Law: a rule that names what there is not would let nobody in, or everybody: that is an error where it is written.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from edgenode.config import schema
from edgenode.config.compiled_rules import Formulas
from edgenode.config.data import Sections
from edgenode.config.notation import suggestion
from edgenode.model.errors import InvalidValue, Problem
from edgenode.policy.keys import Part
from edgenode.rules.categories import value_of
from edgenode.rules.language.nodes import FieldValue, Index, Node, walk

_FIELDS = ("http.request.jwt.", "edge.jwt.")
_CLAIMS = "edge.jwt.claims"
_CATEGORIES = ("claim", "jwt")


def token_configurations(configuration: Sections) -> Iterator[Problem]:
    """Token configurations that no rule could name, or that nothing can verify."""
    installed = not configuration.jwts or importlib.util.find_spec("joserfc") is not None
    for name, section in configuration.jwts.items():
        header = f"{section.kind} {name}"
        if "." in name:
            sentence = "its name has no dot: one stands between it and a claim"
            yield Problem(header, "", sentence)
        if not installed and section.secret is None and all(each.path is None for each in section.source):
            # Where it has keys of its own, reading them has told it.
            yield Problem(header, "", "tokens need the package joserfc: pip install joserfc")
        told = {each.field for each in section.token}.intersection(configuration.edge.told_headers)
        for each in sorted(told):
            sentence = (
                f"{each.decode()} has the tokens of [{header}], so events are secrets: who reads them can use these"
            )
            yield Problem("edge", "event-headers", sentence, warning=True)
        if "*" in section.audience:
            sentence = "takes a token for whatever audience, so one that was issued for another service too"
            yield Problem(header, "audience", sentence, warning=True)


def unknown_token_configurations(formulas: Formulas) -> Iterator[Problem]:
    """Rules that name a token configuration that there is not."""
    configuration = formulas.configuration
    known = configuration.jwts
    for header, section in configuration.with_rules():
        for entry in section.entries:
            for name, _ in _named(value_of(entry)):
                if name not in known:
                    yield Problem(header, entry.key, f"there is no [jwt {name}]{suggestion(name, known)}")
        if section.expression is not None:
            for name, column in _named(section.expression.root):
                if name not in known:
                    problem = InvalidValue(f"there is no [jwt {name}]{suggestion(name, known)}", column)
                    yield schema.located(header, "expression", section.expression.text, problem, whole=True)
    for header, section in configuration.written():
        for key, (_, value) in schema.values_of(section).items():
            for part in value if isinstance(value, tuple) else (value,):
                counted = _counted(part) if isinstance(part, Part) else None
                if counted is not None and counted not in known:
                    yield Problem(header, key, f"there is no [jwt {counted}]{suggestion(counted, known)}")


def _counted(part: Part) -> str | None:
    """The token configuration that a word of a key names, if it names one."""
    category, _, name = part.word.partition(".")
    return name.partition(".")[0] if category in _CATEGORIES else None


def _named(root: Node) -> Iterator[tuple[str, int]]:
    """The token configurations that a value or a condition names, each with its column."""
    for node in walk(root):
        if isinstance(node, Index) and isinstance(node.value, FieldValue) and node.value.name.startswith(_FIELDS):
            key = node.key.decode("utf-8", "replace") if isinstance(node.key, bytes) else str(node.key)
            yield key.partition(".")[0] if node.value.name == _CLAIMS else key, node.column
