"""Whether alerts can ever be raised, and have somebody to tell.

Law: what an alert needs and has not is an error; that it looks at what can never be is a warning, as with rules.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.config.checks.event_expressions import of_expression
from edgenode.config.data import Sections
from edgenode.model.errors import Problem
from edgenode.observe.alerts.alert import Alert


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
                yield from of_expression(configuration, header, key, expression)


def _of_mail(configuration: Sections, header: str, alert: Alert) -> Iterator[Problem]:
    """A password that anybody could read on its way."""
    origin = configuration.origins.get(alert.mail_origin or "")
    if alert.mail_user is not None and origin is not None and not all(each.tls for each in origin.servers):
        yield Problem(header, "mail-user", f"a password goes over TLS alone: [origin {alert.mail_origin}] has tcp://")
