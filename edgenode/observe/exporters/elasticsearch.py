"""``type = elasticsearch``: the bulk API of Elasticsearch and OpenSearch.

Each event is created under its key as ``_id``, so that one that comes twice is there once: the second is refused with
409. See "Bulk API" in the reference of either.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from attrs import frozen

from edgenode.model.errors import InvalidValue, printable
from edgenode.model.settings import Word, setting
from edgenode.observe.exporters.http import Answer, HTTPReceiver, HTTPRequest
from edgenode.observe.exporters.json_answers import said
from edgenode.observe.exporters.receiver import Outcome, Outgoing, Unavailable
from edgenode.observe.exporters.webhook import with_member
from edgenode.proxy.origin.client import MOST_ANSWER

_INDEX = re.compile(r"(?![-_+.])(?:[a-z0-9._-]|%[Ymd])+")
_PIPELINE = re.compile(r"[A-Za-z0-9._-]+")
_LONGEST_INDEX = 255

_FILTER = "filter_path=errors,items.*.status,items.*.error.type"
"""What of an answer is wanted; so it is small."""

_PER_ITEM = 256
"""Bytes of it for each event, at the most."""

_EXISTS = 409
_NOT_AT_FAULT = frozenset((401, 403, 404, 408, 429))
"""Statuses of an event that are not its own fault: an index that is blocked, for the disk is full, answers 403."""


@frozen
class Elasticsearch(HTTPReceiver):
    """Elasticsearch or OpenSearch, by the bulk API. ``@timestamp`` is added to events that have none."""

    scheme: ClassVar[str] = "ApiKey"

    path: str = setting("The path in front of ``/_bulk``.", "/")
    index: Word = setting(
        "The index or data stream; ``%Y``, ``%m`` and ``%d`` in it are the year, month and day of an event, UTC."
    )
    pipeline: Word | None = setting("The ingest pipeline that events pass.", None)

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if its keys do not go together."""
        super().__attrs_post_init__()
        if not _INDEX.fullmatch(self.index) or len(self.index) > _LONGEST_INDEX:
            sentence = "expected lower case letters, digits, dots, - and _, and none of -, _ and . in front"
            raise InvalidValue(sentence, which="index")
        if self.pipeline is not None and not _PIPELINE.fullmatch(self.pipeline):
            raise InvalidValue("expected letters, digits, dots, - and _", which="pipeline")
        if "?" in self.path:
            raise InvalidValue("expected a path without a query", which="path")

    def request(self, events: Sequence[Outgoing], now: float) -> HTTPRequest:
        """Two lines an event: what is to be done, and the event."""
        body = b"".join(b"%b\n%b\n" % (self._action(each), _document(each)) for each in events)
        pipeline = "" if self.pipeline is None else f"&pipeline={self.pipeline}"
        target = f"{self.path.rstrip('/')}/_bulk?{_FILTER}{pipeline}"
        return HTTPRequest(body, {"content-type": "application/x-ndjson"}, target=target)

    def _action(self, event: Outgoing) -> bytes:
        moment = datetime.datetime.fromtimestamp(event.time, datetime.UTC)
        index = moment.strftime(self.index) if "%" in self.index else self.index
        return f'{{"create":{{"_index":"{index}","_id":"{event.key}"}}}}'.encode()

    def outcome(self, events: Sequence[Outgoing], answer: Answer) -> Outcome:
        """What is said of each event.

        :raises Unavailable: if it is not said of each.
        """
        items = said(answer).get("items")
        if not isinstance(items, list) or len(items) != len(events):
            raise Unavailable(f"{answer.said}, and that does not say what has become of {len(events)} events")
        refused: dict[int, str] = {}
        again: list[int] = []
        why = ""
        for place, item in enumerate(items):
            status, reason = _read(item, answer)
            if 200 <= status < 300 or status == _EXISTS:
                continue
            if status in _NOT_AT_FAULT or status >= 500:
                again.append(place)
                why = why or f"{status} {reason}"
            else:
                refused[place] = f"{status} {reason}"
        return Outcome(refused, again, why)

    def most_answer(self, count: int) -> int:
        """Each event has a part of it."""
        return MOST_ANSWER + _PER_ITEM * count


def _document(event: Outgoing) -> bytes:
    if "@timestamp" in event.sent:
        return event.line
    moment = datetime.datetime.fromtimestamp(event.time, datetime.UTC).isoformat(timespec="microseconds")
    return with_member(event.line, "@timestamp", f"{moment.removesuffix('+00:00')}Z")


def _read(item: Any, answer: Answer) -> tuple[int, str]:
    """The status of one event, and the type of its error."""
    result = item.get("create") if isinstance(item, Mapping) else None
    if not isinstance(result, Mapping) or type(status := result.get("status")) is not int:
        raise Unavailable(f"{answer.said}, and an event has no status")
    error = result.get("error")
    reason = error.get("type") if isinstance(error, Mapping) else error
    return status, printable(str(reason or ""))[:200]
