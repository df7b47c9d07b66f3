"""A trace on its way through the node: what an origin gets, whatever is spoken on both sides."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.proxy.websocket.carriers import CONNECT, OverHTTP2, carried
from tests.proxy.websocket.dialogue import asking
from tests.proxy.websocket.frames import closing
from tests.support import memory
from tests.support.memory import MemoryNode, OriginEnd
from tests.support.node import PKI, Changes, get

PROTOCOLS = ("HTTP/1.1", "HTTP/2")
TRACE, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"
PARENT = b"00-%b-%b-01" % (TRACE, SPAN)
TRACED: Changes = {
    "origin collector": {"servers": "http://192.0.2.9:4318"},
    "traces": {"origin": "collector", "sample": "0", "parent": "respect"},
}
H2: Changes = {"origin origin": {"protocol": "h2"}}
ASKED = ((b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/a"), (b":authority", b"open.test"))


@pytest.fixture(params=PROTOCOLS)
def client(request: pytest.FixtureRequest) -> str:
    """What the client speaks."""
    return str(request.param)


@pytest.fixture(params=PROTOCOLS)
def origin(request: pytest.FixtureRequest) -> str:
    """What the origin speaks."""
    return str(request.param)


@pytest.fixture
def node(pki: PKI, origin: str) -> Iterator[MemoryNode]:
    """A node that traces."""
    with memory.node(pki, memory.merged(TRACED, H2 if origin == "HTTP/2" else {})) as node:
        yield node


Fields = list[tuple[bytes, bytes]]


def asks(node: MemoryNode, client: str, *lines: tuple[bytes, bytes]) -> None:
    """Ask the node."""
    if client == "HTTP/2":
        end = OverHTTP2(node.client(alpn=[b"h2"]), client=True)
        end.connection.send_headers(1, [*ASKED, *((name.lower(), value) for name, value in lines)], end_stream=True)
        end.talk()
    else:
        node.client().send(get("/a", "open.test", *(f"{name.decode()}: {value.decode()}" for name, value in lines)))


def heard(node: MemoryNode, origin: str) -> Fields:
    """The fields that the origin gets, names in lower case."""
    end = node.origin()
    if origin == "HTTP/2":
        seen: Fields = []
        over = _Listening(end, seen)
        over.talk()
        return seen
    return _lines(end)


class _Listening(OverHTTP2):
    """An origin that keeps fields of one name apart."""

    def __init__(self, end: OriginEnd, seen: Fields) -> None:
        self._seen = seen
        super().__init__(end, client=False)

    def _happened(self, event: object) -> None:
        super()._happened(event)
        self._seen += getattr(event, "headers", None) or []


def _lines(end: OriginEnd) -> Fields:
    head = end.read().partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    pairs = [line.partition(b": ") for line in head]
    return [(name.lower(), value) for name, _, value in pairs]


def traces(fields: Fields) -> list[tuple[bytes, bytes]]:
    """The fields of Trace Context among some."""
    return [each for each in fields if each[0].startswith(b"trace")]


def test_the_trace_of_a_client_goes_on(node: MemoryNode, client: str, origin: str) -> None:
    """In its own trace the origin's parent is our span, once; the state is as it came, and the rest of the request."""
    asks(node, client, (b"TraceParent", PARENT), (b"X-Mine", b"1"), (b"tracestate", b"rojo=1 , congo=2"))
    fields = heard(node, origin)
    (parent, state) = traces(fields)
    match = re.fullmatch(rb"00-%b-([0-9a-f]{16})-01" % TRACE, parent[1])
    assert parent[0] == b"traceparent"
    assert match is not None
    assert match[1] != SPAN
    assert state == (b"tracestate", b"rojo=1 , congo=2")
    assert (b"x-mine", b"1") in fields


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [(b"tracestate", b"rojo=1")],
        [(b"traceparent", PARENT), (b"traceparent", PARENT), (b"tracestate", b"rojo=1")],
        [(b"traceparent", PARENT.upper())],
    ],
)
def test_a_trace_begins_here(node: MemoryNode, client: str, origin: str, lines: Fields) -> None:
    """Without a traceparent, or with what is none: what the client has sent does not go on beside it."""
    asks(node, client, *lines)
    (parent,) = traces(heard(node, origin))
    assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-00", parent[1])
    assert TRACE not in parent[1]


def test_a_websocket_goes_on_in_its_trace(node: MemoryNode, client: str, origin: str) -> None:
    """Its handshake does; the events of handshake and end have the same span."""
    seen: Fields = []
    if client == "HTTP/2":
        left = OverHTTP2(node.client(alpn=[b"h2"]), client=True)
        left.connection.send_headers(1, [*CONNECT, (b"traceparent", PARENT)])
        left.talk()
        seen = heard(node, origin)
    else:
        node.client().send(asking(b"traceparent: " + PARENT))
        seen = heard(node, origin)
    (parent,) = traces(seen)
    assert re.fullmatch(rb"00-%b-[0-9a-f]{16}-01" % TRACE, parent[1])
    assert SPAN not in parent[1]


def test_the_events_of_a_websocket_have_its_trace(node: MemoryNode, client: str, origin: str) -> None:
    """The one of its handshake and the one of its end, the same."""
    left, right = carried(node, client, origin, (b"traceparent", PARENT))
    left.send(closing(1000))
    right.send(closing(1000, masked=False))
    right.finish()
    left.read()
    left.close()
    node.loop.settle()
    assert [event["trace"]["trace_id"] for event in node.events] == [TRACE.decode()] * len(node.events)
    assert len({event["trace"]["span_id"] for event in node.events}) == 1
    assert len(node.events) == 2


def test_the_event_has_what_the_origin_got(pki: PKI) -> None:
    """Trace and span of a request that is not sampled; of one that is the origin's parent is a span of its own."""
    with memory.node(pki, TRACED) as node:
        for sampled in (False, True):
            asks(node, "HTTP/1.1", (b"traceparent", PARENT[:-1] + (b"1" if sampled else b"0")))
            origin = node.origin()
            fields = _lines(origin)
            origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            origin.close()
            node.loop.settle()
            (_, parent), trace = traces(fields)[0], node.events[-1]["trace"]
            assert (trace["trace_id"], trace["sampled"]) == (TRACE.decode(), sampled)
            assert (trace["span_id"].encode() in parent) == (not sampled)


def test_without_the_section_the_fields_cross_as_any_other(pki: PKI) -> None:
    """As they came, twice as well, and the event knows nothing of a trace."""
    with memory.node(pki) as node:
        asks(node, "HTTP/1.1", (b"TraceParent", b"anything"), (b"TraceParent", b"at all"), (b"tracestate", b""))
        origin = node.origin()
        found = origin.read()
        assert b"TraceParent: anything\r\nTraceParent: at all\r\ntracestate: \r\n" in found
        origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        node.loop.settle()
        assert "trace" not in node.events[0]


@pytest.mark.parametrize("place", ["first", "last", "between", "alone"])
def test_nothing_else_goes_with_them(pki: PKI, place: str) -> None:
    """Wherever they stand among the lines, and whatever stands in others, the others are as they came."""
    more = [f"X-{number}: traceparent: {PARENT.decode()}" for number in range(3)]
    ours = [f"TRACEPARENT: {PARENT.decode()}", "Tracestate: a=1"]
    lines = {"first": ours + more, "last": more + ours, "between": [more[0], ours[0], more[1], ours[1], more[2]]}
    written = lines.get(place, ours)
    with memory.node(pki, TRACED) as node:
        end = node.client()
        head = "\r\n".join(["GET / HTTP/1.1", *written, "Host: open.test", "", ""])
        end.send(head.encode())
        fields = _lines(node.origin())
        assert [value for name, value in fields if name.startswith(b"x-") and name[2:].isdigit()] == (
            [] if place == "alone" else [f"traceparent: {PARENT.decode()}".encode()] * 3
        )
        assert [name for name, _ in traces(fields)] == [b"traceparent", b"tracestate"]
        assert TRACE in traces(fields)[0][1]
        assert SPAN not in traces(fields)[0][1]


def test_what_an_action_sets_does_not_stand_beside_ours(pki: PKI) -> None:
    """A header of an action under one of these names, or in the place of the client's: there is one, and it is ours."""
    rules: Changes = {
        "global-filter all": {"action": "sign", "path": "^/"},
        "action sign": {"type": "monitor", "headers": "traceparent: forged\n    tracestate: forged"},
    }
    with memory.node(pki, memory.merged(TRACED, rules)) as node:
        asks(node, "HTTP/1.1", (b"traceparent", PARENT))
        found = traces(_lines(node.origin()))
        assert [name for name, _ in found] == [b"traceparent"]
        assert TRACE in found[0][1]
        asks(node, "HTTP/1.1")
        (parent,) = traces(_lines(node.origin()))
        assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-00", parent[1])


def test_nominated_fields_are_of_one_hop(pki: PKI) -> None:
    """What Connection names does not cross; ours does."""
    with memory.node(pki, TRACED) as node:
        asks(node, "HTTP/1.1", (b"Connection", b"traceparent, tracestate"), (b"traceparent", PARENT), (b"x-a", b"1"))
        fields = _lines(node.origin())
        assert len(traces(fields)) == 1
        assert (b"x-a", b"1") in fields


@pytest.mark.parametrize("trusted", [True, False])
def test_a_trusted_proxy_is_believed(pki: PKI, trusted: bool) -> None:
    """And nobody else, unless the section says so."""
    changes: Changes = {
        "traces": {"parent": "trusted-proxies"},
        "edge": {"trusted-proxies": "127.0.0.0/8" if trusted else "192.0.2.0/24"},
    }
    with memory.node(pki, memory.merged(TRACED, changes)) as node:
        asks(node, "HTTP/1.1", (b"traceparent", PARENT), (b"tracestate", b"a=1"))
        found = traces(_lines(node.origin()))
        assert [name for name, _ in found] == ([b"traceparent", b"tracestate"] if trusted else [b"traceparent"])
        assert (TRACE in found[0][1]) == trusted


def test_a_request_that_is_refused_stands_in_its_trace(pki: PKI) -> None:
    """Its event says where, though no origin hears of it."""
    rules: Changes = {
        "global-filter all": {"action": "no", "path": "^/"},
        "action no": {"type": "block", "status": "403"},
    }
    with memory.node(pki, memory.merged(TRACED, rules)) as node:
        asks(node, "HTTP/1.1", (b"traceparent", PARENT))
        node.loop.settle()
        assert node.events[0]["status"] == 403
        assert node.events[0]["trace"]["trace_id"] == TRACE.decode()
