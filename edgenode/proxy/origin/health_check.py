"""``[health-check]``: how the servers of an origin are asked whether they can serve."""

from __future__ import annotations

from typing import Annotated, ClassVar

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Between, Choice, Seconds, Word, setting
from edgenode.policy.responses import Statuses
from edgenode.rules.regexes import check_regex

TYPES = ("http", "tcp", "grpc")


@frozen
class HealthCheck:
    """How the servers of an origin are asked, again and again, whether they can serve; over the origin's own TLS, with
    its client certificate, and on a connection of its own each time."""

    kind: ClassVar[str] = "health-check"

    type: Annotated[str, Choice(TYPES)] = setting(
        "What is asked: ``http`` sends a GET; ``tcp`` opens a connection, with TLS if the server speaks it, and ends "
        "it; ``grpc`` asks by gRPC's health checking protocol, for which ``protocol`` of the origin is ``h2`` or "
        "``auto``.",
        "http",
    )
    path: Word = setting("What a GET asks for: a path, and a query if wanted.", Word("/"))
    host: Word | None = setting("The Host field of a GET; without the key the origin's ``host``.", None)
    status: tuple[Statuses, ...] = setting(
        "The statuses of a good answer to a GET: statuses and ranges of them, such as ``200 204 300-399``.",
        (Statuses(200, 399),),
    )
    body: str | None = setting(
        "A regular expression of RE2 that is found in the body of a good answer, which then has 64 KiB at the most; "
        "without the key no body is looked at.",
        None,
    )
    service: Word | None = setting(
        "The name of the service that gRPC is asked about; without the key the server as a whole.", None
    )
    interval: Seconds = setting("The time from one check of a server to the next.", Seconds(5.0))
    jitter: Seconds = setting(
        "The most that is added to the interval at random, so that not all nodes ask at once.", Seconds(0.5)
    )
    timeout: Seconds = setting("The time for a check, the connection included.", Seconds(2.0))
    rise: Annotated[int, Between(1, 1000)] = setting(
        "The number of good checks in a row after which a server that was down is up.", 2
    )
    fall: Annotated[int, Between(1, 1000)] = setting(
        "The number of bad checks in a row after which a server that was up is down. The first check of all counts "
        "at once.",
        3,
    )

    def __attrs_post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise InvalidValue("a path begins with /", which="path")
        if self.body is not None:
            try:
                check_regex(self.body)
            except InvalidValue as error:
                raise InvalidValue(error.sentence, error.column, which="body") from None
        for which in ("interval", "timeout"):
            if not getattr(self, which):
                raise InvalidValue("expected more than 0", which=which)
