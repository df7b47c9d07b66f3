"""``type = kafka``: a strict stand-in for the REST proxy, and what is made of its answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.settings import Secret, Word
from edgenode.observe.exporters.http import Answer, HTTPSender
from edgenode.observe.exporters.kafka import Kafka
from edgenode.observe.exporters.receiver import Outcome, Refused, Unavailable
from tests.observe.exporters.support import Received, configured, events, receiving
from tests.support.node import PKI
from tests.support.origins import Served

TAKEN: dict[str, Any] = {"error_code": None, "error": None}


@define
class Proxy:
    """The proxy's API v2 as its documentation has it: what it does not know it refuses, as it does.

    :ivar topics: the records of each topic: key and value.
    :ivar codes: the error codes of records, by the number in the identifier of their events.
    """

    topics: dict[str, list[tuple[Any, Any]]] = field(factory=lambda: {"events": []})
    codes: dict[int, int] = field(factory=dict)

    def serve(self, served: Served) -> None:
        """Answer requests."""
        while (request := served.request()) is not None:
            status, answer = self._answered(Received.of(request))
            body = json.dumps(answer).encode()
            head = b"HTTP/1.1 %d X\r\nContent-Type: application/vnd.kafka.v2+json\r\nContent-Length: %d\r\n\r\n"
            served.send(head % (status, len(body)) + body)

    def _answered(self, request: Received) -> tuple[int, Any]:
        method, target, _ = request.line.split(" ")
        if method != "POST" or not target.startswith("/topics/"):
            return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}
        if request.headers.get("content-type") != "application/vnd.kafka.json.v2+json":
            return 415, {"error_code": 415, "message": "HTTP 415 Unsupported Media Type"}
        if "application/vnd.kafka.v2+json" not in request.headers.get("accept", "").split(", "):
            return 406, {"error_code": 406, "message": "HTTP 406 Not Acceptable"}
        body = json.loads(request.body)
        if body.keys() != {"records"} or not body["records"]:
            return 422, {"error_code": 422, "message": "records may not be empty"}
        if any(each.keys() != {"key", "value"} for each in body["records"]):
            return 422, {"error_code": 422, "message": "Unrecognized field"}
        topic = self.topics.get(target.removeprefix("/topics/"))
        if topic is None:
            return 404, {"error_code": 40401, "message": "Topic not found."}
        offsets = []
        for each in body["records"]:
            code = self.codes.pop(int(each["value"]["id"], 16), None)
            if code is None:
                topic.append((each["key"], each["value"]))
                offsets.append({"partition": 0, "offset": len(topic) - 1, **TAKEN})
            else:
                offsets.append({"partition": None, "offset": None, "error_code": code, "error": "it was \x1b so"})
        return 200, {"key_schema_id": None, "value_schema_id": None, "offsets": offsets}


@pytest.fixture
def proxy() -> Proxy:
    """One that takes everything."""
    return Proxy()


@pytest.fixture
def sender(pki: PKI, proxy: Proxy) -> Iterator[HTTPSender]:
    """What sends to it."""
    with receiving(pki, proxy.serve, Kafka(topic=Word("events"))) as (_, made):
        yield made


async def test_records_have_the_keys_of_their_events(proxy: Proxy, sender: HTTPSender) -> None:
    """And their values are the events."""
    outcome = await sender.send(events(1000))
    assert outcome == Outcome()
    assert proxy.topics["events"] == [(each.key, each.event) for each in events(1000)]


async def test_each_record_has_an_answer_of_its_own(proxy: Proxy, sender: HTTPSender) -> None:
    """What Kafka will never take is refused; what it may take later, or without a right of ours, comes again."""
    proxy.codes = {1: 1, 2: 2, 4: 50002, 5: 50003, 6: 40301, 7: 40101, 8: 50101}
    outcome = await sender.send(events(10))
    assert outcome == Outcome(
        {place: f"Kafka says {code}: it was \\x1b so" for place, code in ((1, 1), (4, 50002), (8, 50101))},
        (2, 5, 6, 7),
        "Kafka says 2: it was \\x1b so",
    )
    assert len(proxy.topics["events"]) == 3
    again = [events(10)[place] for place in outcome.again]
    assert await sender.send(again) == Outcome()


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"topic": "other"}, "the receiver answers 404: "),
        ({"topic": "events", "path": "/v2"}, "the receiver answers 404: "),
    ],
)
async def test_a_topic_that_is_not_there_is_waited_for(
    pki: PKI, proxy: Proxy, keys: dict[str, Any], sentence: str
) -> None:
    """Nothing of it is an event's fault."""
    with receiving(pki, proxy.serve, Kafka(**keys)) as (_, sender):
        with pytest.raises(Unavailable) as caught:
            await sender.send(events(1))
        assert str(caught.value).startswith(sentence)
        proxy.topics["other"] = []


async def test_what_is_too_large_together_is_refused_together(pki: PKI) -> None:
    """So that it is halved."""

    def refuse(served: Served) -> None:
        served.request()
        served.send(b"HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n")

    kafka = Kafka(topic=Word("events"), token=Secret("a"))
    with receiving(pki, refuse, kafka) as (_, sender), pytest.raises(Refused):
        await sender.send(events(2))


def answer(body: bytes) -> Answer:
    """An answer with a status of success."""
    return Answer(200, None, body)  # type: ignore[arg-type]


wrong = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["offset", "error_code"]), inner),
    max_leaves=5,
)


@given(st.lists(wrong, max_size=3), st.integers(1, 3))
def test_a_proxy_that_lies_is_not_believed(offsets: list[Any], count: int) -> None:
    """It has taken nothing of which it does not say where it is; and no answer is an error of ours."""
    kafka = Kafka(topic=Word("events"))
    try:
        outcome = kafka.outcome(events(count), answer(json.dumps({"offsets": offsets}).encode()))
    except Unavailable:
        return
    assert len(offsets) == count
    for place, each in enumerate(offsets):
        if place not in outcome.refused and place not in outcome.again:
            assert isinstance(each["offset"], int)
            assert not each.get("error_code")


@pytest.mark.parametrize(
    "body", [b"", b"ok", b"[]", b"{}", b'{"offsets":{}}', b'{"offsets":[]}', b"[" * 100_000, b"\xff"]
)
def test_what_is_no_answer_is_none(body: bytes) -> None:
    """Then nothing is known, and all of it is sent again."""
    with pytest.raises(Unavailable, match="the proxy's answer is none that it documents"):
        Kafka(topic=Word("events")).outcome(events(1), answer(body))


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("topic = a/b", "topic: expected 1 to 249"),
        ("topic = ..", "topic: expected 1 to 249"),
        ("", "topic: this key is required"),
        ("topic = a\npath = /?a", "path: the prefix of an API has no query"),
    ],
)
def test_what_cannot_work_is_an_error(keys: str, problem: str) -> None:
    """With its key."""
    found = configured(f"type = kafka\n{keys}")
    assert any(each.startswith(f"[exporter x] {problem}") for each in found), found
