"""Whether the keys of lists and datafeeds go together, before anything is read."""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.config import schema
from edgenode.config.compiled_rules import Formulas
from edgenode.config.data import Sections
from edgenode.feeds import store
from edgenode.model.errors import InvalidValue, Problem
from edgenode.rules import lists
from edgenode.rules.feeds import Sourced
from edgenode.rules.language import comparing
from edgenode.rules.language.expressions import Expression
from edgenode.rules.language.nodes import Listed, listed
from edgenode.rules.language.types import Type

_OF_REMOTE = ("refresh", "trust-store", "fetch-timeout")
_OF_SOURCES = ("format", *_OF_REMOTE, "max-size", "most-shrink", "bad-lines")


def faults(configuration: Sections) -> Iterator[Problem]:
    """What is wrong, or of no use, in the keys of each section that has a content, or could have."""
    for name, each in configuration.lists.items():
        header = f"list {name}"
        try:
            lists.check_name(name)
        except InvalidValue as problem:
            yield Problem(header, "", problem.sentence)
        if not each.items.strip() and not each.sources:
            yield Problem(header, "", "has neither items nor a source, and so no members", warning=True)
    for header, section in configuration.written():
        if isinstance(section, Sourced):
            yield from _faults_of_source(configuration, header, section)
    if configuration.edge.state is not None:
        try:
            store.check_folder(configuration.edge.state)
        except InvalidValue as problem:
            yield Problem("edge", "state", problem.sentence)


def _faults_of_source(configuration: Sections, header: str, section: Sourced) -> Iterator[Problem]:
    for key in () if section.remote else _OF_REMOTE if section.sources else _OF_SOURCES:
        setting = schema.settings(type(section)).get(key)
        if setting is not None and getattr(section, setting.attribute) != setting.default:
            what = "an https source" if section.sources else "a source"
            yield Problem(header, key, f"has no effect without {what}", warning=True)
    if section.remote and configuration.edge.state is None and getattr(section, "active", True):
        sentence = "needs [edge] state: the folder where its last content is kept, for the time after a restart"
        yield Problem(header, "source", sentence)
    if section.sources and not section.max_size:
        yield Problem(header, "max-size", "no content is so small: a size is 1 byte or more")
    if section.remote and 0 < section.refresh < 1:
        yield Problem(header, "refresh", "a source is asked at most once a second")
    store = configuration.trust_stores.get(section.trust_store or "")
    if store is not None and store.verification == "strict":
        sentence = f'"{section.trust_store}" says verification = strict, which is asked of clients and not of servers'
        yield Problem(header, "trust-store", sentence)


def _listed(configuration: Sections) -> Iterator[tuple[str, Expression, Listed, Type]]:
    """Every list that an expression names, and the type of what is looked for in it."""
    for header, section in configuration.with_rules():
        if section.expression is not None:
            for name, type in listed(section.expression.root):
                yield header, section.expression, name, type


def lists_of_other_values(formulas: Formulas) -> Iterator[Problem]:
    """Lists of other values than those that expressions look for in them."""
    for header, expression, name, type in _listed(formulas.configuration):
        if name.name not in formulas.configuration.lists:
            continue  # it could not be read, which has been reported
        try:
            comparing.members(name, type, formulas.definitions)
        except InvalidValue as problem:
            yield schema.located(header, "expression", expression.text, problem, whole=True)


def named_lists(configuration: Sections) -> frozenset[str]:
    """The names of all lists that expressions name."""
    return frozenset(listed.name for _, _, listed, _ in _listed(configuration))
