"""``type = kafka``: records to a topic by the REST proxy of Kafka, Confluent's API v2, ``POST /topics/TOPIC``.

Law: an answer tells of every record what has become of it, in their order, or it is none. The key of a record is the
event's, so that a compacted topic keeps one of those that came twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from attrs import frozen

from edgenode.model.errors import InvalidValue, printable
from edgenode.model.settings import Word, setting
from edgenode.observe.exporters.http import Answer, HTTPReceiver, HTTPRequest
from edgenode.observe.exporters.receiver import Outcome, Outgoing, Unavailable
from edgenode.proxy.origin.client import MOST_ANSWER

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_LATER = frozenset((2, 50003, 40101, 40301))
"""The codes of records that may be taken later: a retriable error, of old proxies and new, or one of who we are."""

_OF_A_RECORD = 1024
"""Bytes of an answer about one record."""


@frozen
class Kafka(HTTPReceiver):
    """A topic of Kafka, by its REST proxy; ``path`` is the prefix of the proxy's API."""

    topic: Word = setting("The topic.")

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if its keys do not go together."""
        super().__attrs_post_init__()
        if not _TOPIC.fullmatch(self.topic) or self.topic in (".", ".."):
            raise InvalidValue("expected 1 to 249 letters, digits, dots, underscores and hyphens", which="topic")
        if "?" in self.path:
            raise InvalidValue("the prefix of an API has no query", which="path")

    def request(self, events: Sequence[Outgoing], now: float) -> HTTPRequest:
        """One record for each event."""
        records = b",".join(b'{"key":"%b","value":%b}' % (each.key.encode("ascii"), each.line) for each in events)
        headers = {
            "content-type": "application/vnd.kafka.json.v2+json",
            "accept": "application/vnd.kafka.v2+json, application/json",
        }
        return HTTPRequest(
            b'{"records":[%b]}' % records, headers, target=f"{self.path.rstrip('/')}/topics/{self.topic}"
        )

    def outcome(self, events: Sequence[Outgoing], answer: Answer) -> Outcome:
        """What has become of each record."""
        try:
            told = json.loads(answer.body)
            offsets = told["offsets"]
            if not isinstance(offsets, list) or len(offsets) != len(events):
                raise ValueError(f"it does not tell of {len(events)} records")
            codes = [_code(each) for each in offsets]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            reason = printable(str(error))[:200]
            raise Unavailable(f"the proxy's answer is none that it documents: {reason}") from None
        refused = {place: _said(offsets[place]) for place, code in enumerate(codes) if code and code not in _LATER}
        again = tuple(place for place, code in enumerate(codes) if code in _LATER)
        return Outcome(refused, again, _said(offsets[again[0]]) if again else "")

    def most_answer(self, count: int) -> int:
        """The bytes that are read of an answer."""
        return MOST_ANSWER + _OF_A_RECORD * count


def _code(offset: Any) -> int:
    """The error code of a record; 0 if it was taken.

    :raises ValueError: if it is said neither where it is nor why not.
    """
    code, where = offset.get("error_code"), offset.get("offset")
    if isinstance(code, int) and not isinstance(code, bool) and code:
        return code
    if code or not isinstance(where, int) or isinstance(where, bool) or where < 0:
        raise ValueError(f"a record has neither an offset nor an error: {str(offset)[:100]}")
    return 0


def _said(offset: Any) -> str:
    return f"Kafka says {offset['error_code']}: {printable(str(offset.get('error')))[:300]}"
