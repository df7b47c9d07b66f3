"""``type = elasticsearch``: the bulk API, against a strict stand-in that keeps documents as the documentation says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import define, field

from edgenode.model.settings import Secret, Word
from edgenode.observe.exporters.elasticsearch import Elasticsearch
from edgenode.observe.exporters.outgoing import outgoing
from edgenode.observe.exporters.receiver import TAKEN, Outcome, Unavailable
from tests.observe.exporters.support import Received, answer, configured, event_line, events, page, receiving
from tests.support.node import PKI
from tests.support.origins import Served

INDEX = Elasticsearch(index=Word("edge-%Y.%m.%d"), token=Secret("id:key"), pipeline=Word("geo"))


@define
class Cluster:
    """A cluster, as far as ``_bulk`` goes.

    :ivar documents: by index and ``_id``.
    :ivar failing: the status and the type of error of documents whose ``id`` is a key.
    """

    documents: dict[tuple[str, str], Mapping[str, Any]] = field(factory=dict)
    failing: dict[str, tuple[int, str]] = field(factory=dict)

    def behave(self, served: Served) -> None:
        """Answer each request."""
        while (request := served.request()) is not None:
            served.send(page("200 OK", json.dumps(self.bulk(Received.of(request))).encode()))

    def bulk(self, request: Received) -> Mapping[str, Any]:
        """Take one apart, strictly."""
        assert request.line == "POST /_bulk?filter_path=errors,items.*.status,items.*.error.type&pipeline=geo HTTP/1.1"
        assert request.headers["content-type"] == "application/x-ndjson"
        assert request.headers["authorization"] == "ApiKey id:key"
        assert request.body.endswith(b"\n"), "the last line ends with a line feed"
        lines = request.body.decode("ascii").split("\n")[:-1]
        items = [
            self._create(json.loads(do), json.loads(what)) for do, what in zip(lines[::2], lines[1::2], strict=True)
        ]
        return {"errors": any("error" in each["create"] for each in items), "items": items}

    def _create(self, action: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
        ((operation, meta),) = action.items()
        assert operation == "create"
        assert document["@timestamp"]
        place = meta["_index"], meta["_id"]
        if place in self.documents:
            return {"create": {"status": 409, "error": {"type": "version_conflict_engine_exception"}}}
        if document["id"] in self.failing:
            status, kind = self.failing[document["id"]]
            return {"create": {"status": status, "error": {"type": kind}}}
        self.documents[place] = document
        return {"create": {"status": 201}}


async def test_events_are_documents_under_their_keys(pki: PKI) -> None:
    """In the index of their day; those that come twice are there once, and taken."""
    cluster = Cluster()
    with receiving(pki, cluster.behave, INDEX) as (_, sender):
        assert await sender.send(events(3)) == TAKEN
        assert await sender.send(events(4)) == TAKEN
    assert list(cluster.documents) == [("edge-2026.11.30", each.key) for each in events(4)]
    document = cluster.documents["edge-2026.11.30", events(1)[0].key]
    assert document == {"@timestamp": "2026-11-30T17:00:00.000000Z", **events(1)[0].event}


async def test_each_event_has_an_outcome_of_its_own(pki: PKI) -> None:
    """What is malformed is refused; what meets a full queue, a full disk or a missing index is sent again."""
    cluster = Cluster(
        failing={
            "00000001": (400, "mapper_parsing_exception"),
            "00000002": (429, "es_rejected_execution_exception"),
            "00000003": (403, "cluster_block_exception"),
            "00000004": (404, "index_not_found_exception"),
            "00000005": (503, "unavailable_shards_exception"),
        }
    )
    with receiving(pki, cluster.behave, INDEX) as (_, sender):
        outcome = await sender.send(events(7))
    assert outcome == Outcome({1: "400 mapper_parsing_exception"}, [2, 3, 4, 5], "429 es_rejected_execution_exception")


def test_a_timestamp_of_ones_own_is_kept() -> None:
    """As ``fields`` name it."""
    event = outgoing(event_line(1, **{"@timestamp": "then"}), None, ())
    assert event is not None
    body = INDEX.request([event], 0).body
    assert json.loads(body.splitlines()[1])["@timestamp"] == "then"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"ok",
        b"[]",
        b"{}",
        b'{"errors":false}',
        b'{"errors":false,"items":{}}',
        b'{"errors":false,"items":[{"create":{"status":201}}]}',
        b'{"items":[{"create":{"status":201}},{"create":{"status":201}},{"create":{"status":201}}]}',
        b'{"items":[{"create":{"status":201}},{"create":{"status":"201"}}]}',
        b'{"items":[{"create":{"status":201}},{"delete":{"status":201}}]}',
        b'{"items":[{"create":{"status":201}},{"create":{}}]}',
        b'{"items":[{"create":{"status":201}},7]}',
        b'{"items":[{"create":{"status":201}},{"create":null}]}',
        b"[" * 50_000,
    ],
)
def test_a_liar_has_taken_nothing(body: bytes) -> None:
    """An answer that does not say of each event what has become of it acknowledges none."""
    with pytest.raises(Unavailable):
        INDEX.outcome(events(2), answer(body))


def test_an_error_that_is_odd_is_an_error() -> None:
    """Its status counts."""
    outcome = INDEX.outcome(events(1), answer(b'{"items":[{"create":{"status":400,"error":["\\u001b[2J"]}}]}'))
    assert outcome.refused == {0: r"400 ['\x1b[2J']"}


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("", "index: this key is required"),
        ("index = Edge", "index: expected lower case letters"),
        ("index = _edge", "index: expected lower case letters"),
        ("index = edge-%H", "index: expected lower case letters"),
        ("index = a\npipeline = a/b", "pipeline: expected letters"),
        ("index = a\npath = /a?b", "path: expected a path without a query"),
        ("index = a\nformat = lines", "format: this is a key of type = webhook"),
    ],
)
def test_what_cannot_be_is_an_error(keys: str, problem: str) -> None:
    """With the key."""
    (found,) = configured(f"type = elasticsearch\n{keys}")
    assert found.startswith(f"[exporter x] {problem}")
