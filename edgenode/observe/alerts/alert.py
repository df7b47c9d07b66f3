"""``[alert]``: a condition on events over time, and who is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Between, Choice, Reference, Seconds, Secret, setting
from edgenode.observe.alerts.condition import Condition
from edgenode.observe.alerts.counted_by import EventValue
from edgenode.observe.alerts.descriptions import Description
from edgenode.observe.alerts.mailboxes import Mailbox
from edgenode.observe.event_expressions import EventExpression
from edgenode.observe.exporters.http import SentHeader

FORMATS = ("json", "slack", "alertmanager")
SEVERITIES = ("info", "warning", "error", "critical")
MOST_DISTINCT = 1000
"""The largest number of a threshold on different values: all of them have to be remembered."""

_PATH = re.compile(r"/[!-\"$-~]*")
_PATHS = {"json": "/", "slack": "/", "alertmanager": "/api/v2/alerts"}


@frozen
class Alert:
    """A condition on events over time, and who is told that it has become true, and that it no longer is."""

    kind: ClassVar[str] = "alert"
    stream_keys: ClassVar[tuple[str, ...]] = ("mail-origin",)

    active: bool = setting("Whether it looks at events.", True)
    description: Description = setting(
        "What it means, for who is told. ``${count}``, ``${value}``, ``${threshold}``, ``${since}``, ``${alert}``, "
        "``${node}`` and ``${severity}`` in it are replaced.",
        Description(""),
    )
    severity: Annotated[str, Choice(SEVERITIES)] = setting("How bad it is, for who is told.", "warning")
    expression: EventExpression = setting("The events that are counted.")
    threshold: Condition = setting(
        "How many in how long: ``more than 100 per 5m``, ``less than 1 per 10m`` for a silence, or ``more than 5% per "
        "5m`` of the events of ``of``. The window slides by sixtieths of its length."
    )
    by: EventValue | None = setting(
        "The field whose values are counted by themselves, each with its own raising and resolving: ``ip.src``. Events "
        "that do not hold it are not counted. Of more than 10,000 values the coldest are forgotten; at most 1000 are "
        "raised at a time.",
        None,
    )
    distinct: EventValue | None = setting("The field whose different values are counted, in place of events.", None)
    of: EventExpression | None = setting(
        "The events of which those that are counted are a share, if the threshold is one; without the key all "
        "exchanges.",
        None,
    )
    at_least: Annotated[int, Between(1, 1_000_000)] = setting(
        "The number of these below which there is no share: one failure of two requests is not yet half of them.", 20
    )
    resolve_after: Seconds = setting(
        "How long the condition has to be false before the alert is resolved.", Seconds(60.0)
    )
    pause: Seconds = setting(
        "The time between two messages, at least; what is raised and resolved meanwhile stands in the next. An "
        "Alertmanager is told at once.",
        Seconds(60.0),
    )
    repeat: Seconds = setting(
        "The time after which one is reminded of what is still raised; 0: never. An Alertmanager, which expects it, is "
        "told every minute.",
        Seconds(0.0),
    )
    origin: Annotated[str, Reference("origin")] | None = setting(
        "The origin that is sent messages by POST; its servers, certificate and trust store are used.", None
    )
    path: str | None = setting(
        "The path of these requests, with a query if need be; without the key ``/``, of an Alertmanager "
        "``/api/v2/alerts``.",
        None,
    )
    format: Annotated[str, Choice(FORMATS)] = setting(
        "What is sent: ``json``, all there is; ``slack``, a text, as Slack, Mattermost and others take it; or "
        "``alertmanager``, for the interface of Prometheus' Alertmanager.",
        "json",
    )
    headers: tuple[SentHeader, ...] = setting("Further header fields of the requests, one ``name: value`` a line.", ())
    token: Secret | None = setting("The token by which the receiver knows the node: ``Authorization: Bearer``.", None)
    secret: Secret | None = setting(
        "The secret of the signature: then ``X-Edgenode-Signature`` is ``t=SECONDS,v1=HEX``, and HEX the HMAC-SHA256 "
        "of ``SECONDS.`` and the body.",
        None,
    )
    mail_origin: Annotated[str, Reference("origin")] | None = setting(
        "The origin that takes mail: ``tls://host:465``, ``starttls://host:587`` or ``tcp://localhost:25``.", None
    )
    mail_to: tuple[Mailbox, ...] = setting("Who is sent mail, divided by commas.", ())
    mail_from: Mailbox | None = setting("Whose mail it is.", None)
    mail_user: str | None = setting("The name to log in with at the mail server; only over TLS.", None)
    mail_password: Secret | None = setting("The password.", None)

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if keys contradict one another."""
        for problem in _faults(self):
            raise problem

    @property
    def target(self) -> str:
        """The path that messages are sent to."""
        return _PATHS[self.format] if self.path is None else self.path


def _faults(alert: Alert) -> Iterator[InvalidValue]:
    condition = alert.threshold
    if alert.by is not None and condition.less:
        sentence = "that there are few of a value can be said only of values that are known: leave out by"
        yield InvalidValue(sentence, which="by")
    if alert.distinct is not None and condition.share:
        yield InvalidValue("different values are no share of others", which="distinct")
    if alert.distinct is not None and condition.number > MOST_DISTINCT:
        yield InvalidValue(f"of different values the largest number is {MOST_DISTINCT}", which="threshold")
    if alert.of is not None and not condition.share:
        yield InvalidValue("the threshold is no share: more than 5% per 5m", which="of")
    if alert.path is not None and not _PATH.fullmatch(alert.path):
        yield InvalidValue("expected a path that begins with /, without blanks and #", which="path")
    ways = (("path", alert.path), ("secret", alert.secret), ("token", alert.token), ("headers", alert.headers or None))
    for key, value in ways:
        if value is not None and alert.origin is None:
            yield InvalidValue("is of no use without origin", which=key)
    yield from _mail_faults(alert)


def _mail_faults(alert: Alert) -> Iterator[InvalidValue]:
    given = {"mail-origin": alert.mail_origin, "mail-to": alert.mail_to or None, "mail-from": alert.mail_from}
    missing = [key for key, value in given.items() if value is None]
    if missing and len(missing) < len(given):
        there = next(key for key, value in given.items() if value is not None)
        yield InvalidValue(f"mail needs {' and '.join(missing)} too", which=there)
    if (alert.mail_user is None) != (alert.mail_password is None):
        which = "mail-user" if alert.mail_password is None else "mail-password"
        yield InvalidValue("mail-user and mail-password go together", which=which)
    if alert.mail_user is not None and alert.mail_origin is None:
        yield InvalidValue("is of no use without mail-origin", which="mail-user")
