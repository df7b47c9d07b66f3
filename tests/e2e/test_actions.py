"""Actions and modes in a node: what goes to the origin, what to the client, and nothing at all under monitoring."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Sequence

import pytest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from edgenode.config.load import Configuration
from edgenode.embedding.filtered_resource import FilteredResource
from tests.embedding.test_filtered_resource import ask, serving
from tests.support.node import PKI, Changes, Node, Origin, get, in_thread, ini, started

ACTIONS: Changes = {
    "action away": {
        "type": "redirect",
        "location": "https://new.test${http.request.uri}",
        "headers": "x-from: ${http.host}",
        "tags": "moved",
    },
    "action page": {
        "type": "block",
        "status": "451",
        "content-type": "text/html",
        "body": "<p>${http.user_agent}, ${edge.path}</p>",
        "headers": "x-agent: ${http.user_agent}\n    set-cookie: a=1\n    set-cookie: b=2",
    },
    "action noting": {
        "type": "monitor",
        "headers": 'x-tags: ${join(edge.tags, " ")}\n    x-client: ${ip.src}\n    x-client: again',
    },
    "global-filter moved": {"action": "away", "path": "^/old"},
    "global-filter pages": {"action": "page", "path": "^/page"},
    "global-filter noted": {"action": "noting", "tags": "seen", "path": "^/noted"},
    "global-filter closed": {"action": "close", "path": "^/close"},
}


@pytest.fixture
def pki(tmp_path: pathlib.Path) -> PKI:
    """The certificates."""
    return PKI.make(tmp_path)


def several(node: Node, *requests: bytes, name: str = "open.test") -> list[tuple[int, bytes, bytes]]:
    """The status, head and body for each of these requests, each on a connection of its own."""
    found = []
    for request in requests:
        with node.client(name) as client:
            answer = client.ask(request)
            found.append((answer.status, answer.head, answer.body))
    return found


async def test_the_client_gets_what_the_templates_say(pki: PKI, origin: Origin) -> None:
    """Escaped for its place; headers may repeat; and no cache keeps what is one client's."""
    async with started(pki, origin, ACTIONS) as node:
        page, away = await in_thread(
            several, node, get("/page/%3Cb%3E", "open.test", "User-Agent: <i>&"), get("/old?x=1", "open.test")
        )
        events = await node.events.take(2)
    assert (page[0], page[2]) == (451, b"<p>&lt;i&gt;&amp;, /page/&lt;b&gt;</p>\n")
    head = page[1].lower()
    for line in (b"content-type: text/html; charset=utf-8", b"cache-control: no-store", b"x-agent: <i>&"):
        assert b"\r\n%b\r\n" % line in head
    assert b"\r\nx-content-type-options: nosniff\r\n" in head
    assert (b"set-cookie: a=1" in head, b"set-cookie: b=2" in head) == (True, True)
    assert away[0] == 302
    assert b"\r\nlocation: https://new.test/old?x=1\r\n" in away[1].lower()
    assert b"\r\nx-from: open.test\r\n" in away[1].lower()
    assert {"moved", "action:away"} <= set(events[1]["tags"])
    assert origin.requests == []


async def test_the_origin_gets_the_headers_of_a_monitor_in_place_of_the_clients(pki: PKI, origin: Origin) -> None:
    """Whatever the client sent under these names, in any case, does not arrive; where no filter matches it does."""
    forged = ("X-Tags: forged", "x-TAGS: again", "X-Client: forged", "X-Other: kept")
    async with started(pki, origin, ACTIONS) as node:
        await in_thread(several, node, get("/noted", "open.test", *forged), get("/else", "open.test", *forged))
    noted, other = origin.requests
    (tags,) = values(noted, b"x-tags")
    assert {"seen", "all", "action:noting"} <= set(tags.decode().split())
    assert values(noted, b"x-client") == [b"127.0.0.1", b"again"]
    assert values(noted, b"x-other") == [b"kept"]
    assert values(other, b"x-tags") == [b"forged", b"again"]


def values(head: bytes, name: bytes) -> list[bytes]:
    """Every value of a header in the head of a request."""
    lines = (line.partition(b": ") for line in head.split(b"\r\n"))
    return [value for key, _, value in lines if key.lower() == name]


REQUESTS = [get(f"/{path}", "open.test", "User-Agent: x") for path in ("old", "page", "close", "noted", "")]


@pytest.mark.parametrize(
    "changes",
    [
        {"edge": {"mode": "monitoring"}},
        {"server-group open": {"mode": "monitoring"}},
        {"path-map all": {"mode": "monitoring"}},
        {"edge": {"mode": "monitoring", "strict": "yes"}, "path-map all": {"mode": "off"}},
    ],
    ids=["edge", "server group", "path map", "strict"],
)
async def test_under_monitoring_no_response_changes(pki: PKI, origin: Origin, changes: Changes) -> None:
    """Every answer is the origin's, and every event has the decision, its reasons and its tags."""
    merged = {**ACTIONS, **changes}
    async with started(pki, origin, merged) as node:
        answers = await in_thread(several, node, *REQUESTS)
        events = await node.events.take(len(REQUESTS))
    async with started(pki, origin) as node:
        without = await in_thread(several, node, *REQUESTS)
    assert list(map(lasting, answers)) == list(map(lasting, without))
    assert [event["action"] for event in events] == ["away", "page", "close", "noting", None]
    assert {event["mode"] for event in events} == {"monitoring"}
    assert {"moved", "action:away"} <= set(events[0]["tags"])
    assert "moved" in [reason["filter"] for reason in events[0]["reasons"]]


def lasting(answer: tuple[int, bytes, bytes]) -> tuple[int, bytes, bytes]:
    """An answer without its date."""
    status, head, body = answer
    return status, re.sub(rb"(?i)\r\ndate: [^\r]*", b"", head), body


async def test_with_filtration_off_nothing_is_judged(pki: PKI, origin: Origin) -> None:
    """Only the automatic tags are there; client certificates are asked for all the same."""
    changes = {**ACTIONS, "server-group open": {"mode": "off"}, "server-group strict": {"mode": "off"}}
    async with started(pki, origin, changes) as node:
        answers = await in_thread(several, node, *REQUESTS)
        refused = await in_thread(several, node, get("/", "strict.test"), name="strict.test")
        events = await node.events.take(len(REQUESTS) + 1)
    assert [status for status, _, _ in answers] == [200] * len(REQUESTS)
    assert [(event["action"], event["reasons"], event["mode"]) for event in events[:-1]] == [(None, [], "off")] * 5
    assert "all" in events[0]["tags"]
    assert refused[0][0] == 400
    assert events[-1]["error"]["status"] == 496


class Seeing(Resource):
    """A resource that keeps the headers it saw."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Sequence[bytes]] = []

    def render(self, request: Request) -> int:
        """Keep them."""
        self.seen.append(list(request.requestHeaders.getRawHeaders(b"x-client", [])))
        request.finish()
        return NOT_DONE_YET


async def test_a_resource_is_filtered_alike(pki: PKI) -> None:
    """Repeated headers of an action arrive, in either direction."""
    text = ini(1, ACTIONS)
    inner = Seeing()
    async with serving(FilteredResource(Configuration.from_text(text, pki.folder, {}).pipeline("all"), inner)) as port:
        page = await ask(port, get("/page", "open.test", close=True))
        await ask(port, get("/noted", "open.test", "X-Client: forged", close=True))
    assert (b"a=1" in page, b"b=2" in page) == (True, True)
    assert inner.seen == [[b"127.0.0.1", b"again"]]
