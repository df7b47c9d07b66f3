"""Warnings about single comparisons of expressions: with a value that never occurs, or of one that may be missing.

Its law is that of :mod:`edgenode.config.checks.rule_warnings`.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.config import schema
from edgenode.config.compiled_rules import Formulas
from edgenode.model.errors import InvalidValue, Problem
from edgenode.rules.language.expressions import Expression
from edgenode.rules.language.nodes import (
    Call,
    Comparison,
    Each,
    FieldValue,
    Index,
    Literal,
    Node,
    OneOf,
    Pattern,
    Value,
    walk,
)
from edgenode.rules.matching.impossible import is_never_empty

_HEADERS = "http.request.headers"
_CASES = {"lower": bytes.lower, "upper": bytes.upper}
_ASKING = ("has_key", "len", "coalesce")


def impossible_comparisons(formulas: Formulas) -> Iterator[Problem]:
    """Comparisons with what the value can never be: names of headers in capitals, empty sets, the wrong case."""
    for header, expression in _expressions(formulas):
        for node in walk(expression.root):
            sentence = _never(node)
            if sentence:
                yield _located(header, expression, node, sentence)


_ALL = ("contains", "starts_with", "ends_with", "matches")
_FILLED_IN = 'looks like a value that was never filled in: write what is meant, or eq "" for what is empty or left out'


def _never(node: Node) -> str:
    match node:
        case Comparison(operator="in", value=value, constant=OneOf(items=items)) if b"" in items and _may_be_empty(
            value
        ):
            return f'"" {_FILLED_IN}'
        case Comparison(operator=operator, constant=Literal(value=b"") | Pattern(text=b"")) if operator in _ALL:
            return f'{operator} "" is true of every value: it {_FILLED_IN}'
        case Call(function=function, arguments=(_, Literal(value=b""))) if function in _ALL:
            return f'{function} "" is true of every value: it {_FILLED_IN}'
        case Index(value=FieldValue(name=name), key=bytes(key)) if name == _HEADERS and key != key.lower():
            return f'names of headers are in lower case here, so this is always missing: write "{_text(key.lower())}"'
        case Call(function="has_key", arguments=(FieldValue(name=name), Literal(value=bytes(key)))):
            if name == _HEADERS and key != key.lower():
                return f'names of headers are in lower case here, so this is never true: write "{_text(key.lower())}"'
        case Comparison(constant=OneOf(items=())):
            return "an empty set has no members: this is never true"
        case Comparison(operator="eq" | "ne" | "in" | "contains", constant=Literal() | OneOf() as constant):
            function = _function(node.value)
            for text in (constant.value,) if isinstance(constant, Literal) else constant.items:
                if function in _CASES and isinstance(text, bytes) and text != _CASES[function](text):
                    return f'{function}(...) never gives this: write "{_text(_CASES[function](text))}"'
    return ""


def _may_be_empty(value: Value) -> bool:
    return not any(is_never_empty(each.name) for each in walk(value) if isinstance(each, FieldValue))


def _function(value: Value) -> str:
    while isinstance(value, Each):
        value = value.value
    return value.function if isinstance(value, Call) else ""


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def ne_of_missing(formulas: Formulas) -> Iterator[Problem]:
    """``ne`` of a value that may be missing: a request without it is not matched."""
    if formulas.configuration.edge.missing_not_equal:
        return
    for header, expression in _expressions(formulas):
        for node in _possibly_missing(expression):
            sentence = "ne is false where this is missing: who leaves it out is not matched; write not ... eq ..."
            yield _located(header, expression, node, sentence)


def _possibly_missing(expression: Expression) -> Iterator[Comparison]:
    """The comparisons by ``ne`` of an element, unless something else asks whether it is there."""
    nodes = list(walk(expression.root))
    asked = [each for each in nodes if isinstance(each, Call) and each.function in _ASKING]
    present = {inner.name for each in asked for inner in walk(each) if isinstance(inner, FieldValue)}
    for node in nodes:
        if isinstance(node, Comparison) and node.operator == "ne":
            inside = list(walk(node.value))
            names = {each.name for each in inside if isinstance(each, FieldValue)}
            if any(isinstance(each, Index) for each in inside) and not names & present:
                yield node


def _expressions(formulas: Formulas) -> Iterator[tuple[str, Expression]]:
    for header, section in formulas.lists.items():
        if section.expression is not None:
            yield header, section.expression


def _located(header: str, expression: Expression, node: Node, sentence: str) -> Problem:
    return schema.located(header, "expression", expression.text, InvalidValue(sentence, node.column), whole=True)
