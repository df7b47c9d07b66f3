"""``type = splunk``: the HTTP Event Collector, against a strict stand-in that answers with its documented codes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgenode.model.settings import Secret, Word
from edgenode.observe.exporters.receiver import TAKEN, Refused, Unavailable
from edgenode.observe.exporters.splunk import Splunk
from tests.observe.exporters.support import Received, answer, configured, events, page, receiving
from tests.support.node import PKI
from tests.support.origins import Served, answering

SPLUNK = Splunk(token=Secret("0000-token"), index=Word("edge"))
GOOD = page("200 OK", b'{"text":"Success","code":0}')


def collected(request: Received) -> list[dict[str, Any]]:
    """What the collector takes of a request: objects one behind the other."""
    assert request.line == "POST /services/collector/event HTTP/1.1"
    assert request.headers["authorization"] == "Splunk 0000-token"
    text, found, at = request.body.decode("ascii"), [], 0
    while at < len(text):
        value, at = json.JSONDecoder().raw_decode(text, at)
        found.append(value)
        assert value.keys() <= {"time", "host", "source", "sourcetype", "index", "fields", "event"}
        assert value["event"] not in (None, "", {})
        at += text[at : at + 1] == "\n"
    return found


async def test_events_are_collected(pki: PKI) -> None:
    """Each with its time, its key as an indexed field, and what is said of where it comes from."""
    with receiving(pki, answering(GOOD), SPLUNK) as (origin, sender):
        assert await sender.send(events(2)) == TAKEN
        first, _ = collected(Received.of(origin.requests[0]))
    assert first == {
        "time": 1796058000.0,
        "host": "edge-1",
        "source": "edgenode",
        "sourcetype": "edgenode:event",
        "index": "edge",
        "fields": {"event_id": events(1)[0].key},
        "event": events(1)[0].event,
    }


ANSWERS = {
    "403 Forbidden": (1, "Token disabled", Unavailable),
    "401 Unauthorized": (3, "Invalid authorization", Unavailable),
    "400 Bad Request": (6, "Invalid data format", Refused),
    "400 Bad  Request": (7, "Incorrect index", Unavailable),
    "500 Internal Server Error": (8, "Internal server error", Unavailable),
    "503 Service Unavailable": (9, "Server is busy", Unavailable),
    "400  Bad Request": (10, "Data channel is missing", Unavailable),
    "400 Bad Request ": (15, "Error in handling indexed fields", Refused),
    "413 Content Too Large": (27, "Request entity too large", Refused),
    "429 Too Many Requests": (26, "Queue at capacity", Unavailable),
    "200 OK": (9, "Server is busy", Unavailable),
}
"""The answers that Splunk documents, and one that says two things."""


@pytest.mark.parametrize("status", ANSWERS)
async def test_what_an_answer_says_is_told_by_its_code(pki: PKI, status: str) -> None:
    """A wrong index or token is no event's fault, and loses none."""
    code, text, error = ANSWERS[status]
    body = json.dumps({"text": text, "code": code, "invalid-event-number": 0}).encode()

    def behave(served: Served) -> None:
        while served.request() is not None:
            served.send(page(" ".join(status.split()), body))

    with receiving(pki, behave, SPLUNK) as (_, sender), pytest.raises(error, match=text):
        await sender.send(events(2))


@pytest.mark.parametrize("body", [b"", b"{}", b"ok", b"[0]", b'{"code":"0"}', b'{"code":null}'])
def test_a_liar_has_taken_nothing(body: bytes) -> None:
    """Only code 0 is success."""
    with pytest.raises(Unavailable):
        SPLUNK.outcome(events(1), answer(body))
    assert not SPLUNK.refuses(answer(body, 400))


def test_a_token_is_required() -> None:
    """In one of two places."""
    (found,) = configured("type = splunk")
    assert found.startswith("[exporter x]: the collector knows nobody without a token")
    assert configured("type = splunk\ntoken = t\nhost = edge") == []
