"""Whether alerts can ever be raised, and have somebody to tell.

Law: what an alert needs and has not is an error; that it looks at what can never be is a warning, as with rules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from edgenode.config import schema
from edgenode.config.data import Sections
from edgenode.model.errors import InvalidValue, Problem
from edgenode.observe.alerts.alert import Alert
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


def alerts(configuration: Sections) -> Iterator[Problem]:
    """What is wrong with alerts, or doubtful."""
    for name, alert in configuration.alerts.items():
        header = f"{Alert.kind} {name}"
        if configuration.journal.folder is None:
            yield Problem(header, "", "it reads events from the journal: [journal] folder is missing")
        if alert.active and alert.origin is None and alert.mail_origin is None:
            sentence = "it tells nobody but the node's log: origin, or mail-origin, is missing"
            yield Problem(header, "", sentence, warning=True)
        if alert.threshold.period > configuration.journal.keep_time:
            sentence = "the window is longer than [journal] keep-time: after a restart some of it is not known"
            yield Problem(header, "threshold", sentence, warning=True)
        yield from _of_mail(configuration, header, alert)
        for key in ("expression", "of"):
            expression = getattr(alert, key)
            if expression is not None:
                yield from _of_expression(configuration, header, key, expression)


def _of_mail(configuration: Sections, header: str, alert: Alert) -> Iterator[Problem]:
    """A password that anybody could read on its way."""
    origin = configuration.origins.get(alert.mail_origin or "")
    if alert.mail_user is not None and origin is not None and not all(each.tls for each in origin.servers):
        yield Problem(header, "mail-user", f"a password goes over TLS alone: [origin {alert.mail_origin}] has tcp://")


def _of_expression(configuration: Sections, header: str, key: str, expression: EventExpression) -> Iterator[Problem]:
    """What an expression looks at and events never hold."""
    recorded = {each.lower() for each in configuration.edge.event_headers}
    for name, column in expression.headers():
        if name not in recorded:
            sentence = f"events do not hold this header: [edge] event-headers does not name {name}"
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


def _warning(header: str, key: str, expression: EventExpression, sentence: str, column: int) -> Problem:
    found = schema.located(header, key, expression.text, InvalidValue(sentence, column), whole=True)
    return Problem(found.section, found.key, found.sentence, found.text, found.column, warning=True)
