"""Whether expressions on events look at what events can hold.

Law: what can never be is a warning, as with rules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from edgenode.config import schema
from edgenode.config.data import Sections
from edgenode.model.errors import InvalidValue, Problem
from edgenode.observe.event_expressions import EventExpression
from edgenode.rules.language.nodes import Comparison, FieldValue, Literal, OneOf, walk

_NAMES = {
    "edge.listener": "listeners",
    "edge.server_group": "server_groups",
    "edge.security_policy": "security_policies",
    "edge.path_map": "path_maps",
    "edge.origin": "origins",
}
"""The fields whose values are names of sections, with the attribute that holds these."""


def of_expression(configuration: Sections, header: str, key: str, expression: EventExpression) -> Iterator[Problem]:
    """What an expression looks at and events never hold."""
    for name, column in expression.headers():
        sentence = header_fault(configuration, name)
        if sentence:
            yield _warning(header, key, expression, sentence, column)
    names: Mapping[str, Collection[str]] = {field: getattr(configuration, at) for field, at in _NAMES.items()}
    for node in walk(expression.root):
        match node:
            case Comparison(
                operator="eq" | "in", value=FieldValue(name=field), constant=Literal() | OneOf() as constant
            ) if field in names:
                texts = (constant.value,) if isinstance(constant, Literal) else constant.items
                for text in texts:
                    written = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
                    if written not in names[field]:
                        kind = field.rpartition(".")[2].replace("_", "-")
                        yield _warning(header, key, expression, f"there is no [{kind} {written}]", node.column)


def header_fault(configuration: Sections, name: str) -> str:
    """Why events do not hold a header field; empty if they do.

    :param name: in lower case.
    """
    if name in {each.lower() for each in configuration.edge.event_headers}:
        return ""
    return f"events do not hold this header: [edge] event-headers does not name {name}"


def _warning(header: str, key: str, expression: EventExpression, sentence: str, column: int) -> Problem:
    found = schema.located(header, key, expression.text, InvalidValue(sentence, column), whole=True)
    return Problem(found.section, found.key, found.sentence, found.text, found.column, warning=True)
