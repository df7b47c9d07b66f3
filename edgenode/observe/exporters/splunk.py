"""``type = splunk``: Splunk's HTTP Event Collector.

See "Format events for HTTP Event Collector" and "Troubleshoot HTTP Event Collector" in Splunk's documentation.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import ClassVar

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Word, setting
from edgenode.observe.exporters.http import Answer, HTTPReceiver, HTTPRequest
from edgenode.observe.exporters.json_answers import said
from edgenode.observe.exporters.receiver import TAKEN, Outcome, Outgoing, Unavailable

_OF_EVENTS = frozenset((6, 12, 13, 15))
"""Codes of an answer 400 that are the fault of an event: invalid data format, no event field, an empty one, indexed
fields. Others are that of the configuration: a wrong index, a missing channel."""


@frozen
class Splunk(HTTPReceiver):
    """Splunk, by its HTTP Event Collector; a token is required. The event's key is the indexed field ``event_id``."""

    scheme: ClassVar[str] = "Splunk"

    path: str = setting("The path of the collector.", "/services/collector/event")
    index: Word | None = setting("The index; without the key the token's.", None)
    source: Word = setting("The ``source`` of events.", Word("edgenode"))
    sourcetype: Word = setting("The ``sourcetype`` of events.", Word("edgenode:event"))
    host: Word | None = setting("The ``host`` of events; without the key the node's name.", None)

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if its keys do not go together."""
        super().__attrs_post_init__()
        if self.token is None and self.token_file is None:
            raise InvalidValue("the collector knows nobody without a token: token or token-file is missing", which="")

    def request(self, events: Sequence[Outgoing], now: float) -> HTTPRequest:
        """Objects one behind the other, each with an event."""
        around = {"host": self.host or self.node, "source": self.source, "sourcetype": self.sourcetype}
        if self.index is not None:
            around["index"] = self.index
        front = json.dumps(around)[:-1].encode("ascii")
        body = b"\n".join(
            b'%b,"time":%.6f,"fields":{"event_id":"%b"},"event":%b}' % (front, each.time, each.key.encode(), each.line)
            for each in events
        )
        return HTTPRequest(body, {"content-type": "application/json"})

    def outcome(self, events: Sequence[Outgoing], answer: Answer) -> Outcome:
        """Code 0 is success.

        :raises Unavailable: if it says anything else.
        """
        if said(answer).get("code") != 0:
            raise Unavailable(answer.said)
        return TAKEN

    def refuses(self, answer: Answer) -> bool:
        """Whether an event is at fault, or there are too many."""
        if answer.status != 400:
            return answer.status == 413
        try:
            return said(answer).get("code") in _OF_EVENTS
        except Unavailable:
            return False
