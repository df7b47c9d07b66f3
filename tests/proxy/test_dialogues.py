"""Random dialogues through the whole data path: however they are cut and interleaved, everything arrives, in order."""

from __future__ import annotations

from attrs import define, field
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgenode.proxy.http1.reader import RequestReader, ResponseReader
from edgenode.proxy.listener.limits import HeadLimits
from tests.proxy.http1.test_states import MOST, held, held_by_origin
from tests.support import memory
from tests.support.memory import MemoryNode, OriginEnd
from tests.support.node import PKI, get

CHANGES = {"path-map all": {"max-body-size": "1g"}}
SIZES = st.sampled_from((0, 1, 50, 3000, 20_000, 200_000))


@define
class Turn:
    """One request and its response.

    :ivar sends: how large the request's body is.
    :ivar gets: the same of the response.
    """

    sends: int
    gets: int
    chunked_request: bool
    chunked_response: bool

    def request(self, number: int) -> bytes:
        """The request as it is sent."""
        body = _body(number, self.sends)
        if self.chunked_request:
            pieces = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in _pieces(body))
            return get(f"/{number}", "open.test", "Transfer-Encoding: chunked", method="POST") + pieces + b"0\r\n\r\n"
        if not body:
            return get(f"/{number}")
        return get(f"/{number}", "open.test", f"Content-Length: {len(body)}", method="POST", body=body)

    def response(self, number: int) -> bytes:
        """The response as the origin sends it."""
        body = _body(number + 100, self.gets)
        head = b"HTTP/1.1 200 OK\r\nX-Number: %d\r\n" % number
        if self.chunked_response:
            pieces = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in _pieces(body))
            return head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _body(number: int, size: int) -> bytes:
    return (b"%08d " % number * (size // 9 + 1))[:size]


def _pieces(body: bytes) -> list[bytes]:
    return [body[at : at + 7000] for at in range(0, len(body), 7000)]


@define
class Origin:
    """An origin that reads with a reader of its own, and answers as much at a time as it is told.

    :ivar requests: the numbers and bodies of those that have come.
    :ivar answers: what is left to send, and to whom.
    """

    node: MemoryNode
    turns: list[Turn]
    ends: dict[int, tuple[OriginEnd, RequestReader]] = field(factory=dict)
    requests: list[tuple[int, bytes]] = field(factory=list)
    _body: bytes = b""
    _number: int = -1
    answers: list[tuple[OriginEnd, bytes]] = field(factory=list)

    def step(self, size: int) -> bool:
        """Read what there is, and send so many bytes of answers; whether anything happened."""
        moved = False
        for number, end in enumerate(self.node.opened):
            if number not in self.ends:
                self.ends[number] = (end, RequestReader(HeadLimits(8192, 65536, 100)))
            reader = self.ends[number][1]
            data = end.read()
            if data:
                moved = True
                reader.feed(data)
                self._read(end, reader)
        if self.answers:
            end, rest = self.answers[0]
            sent = end.send(rest[:size])
            moved = moved or sent > 0
            self.answers[0] = (end, rest[sent:])
            if sent == len(rest):
                self.answers.pop(0)
        return moved

    def _read(self, end: OriginEnd, reader: RequestReader) -> None:
        while True:
            if reader.body is None:
                head = reader.read_head()
                if head is None:
                    return
                self._number, self._body = int(head.target[1:]), b""
            if reader.body is not None:
                piece, done = reader.read_body()
                self._body += piece
                if not done:
                    return
            self.requests.append((self._number, self._body))
            self.answers.append((end, self.turns[self._number].response(self._number)))


def _responses(data: bytes, count: int) -> list[tuple[int, bytes]]:
    """Numbers and bodies of the responses that a client has got."""
    reader, found = ResponseReader(65536), list[tuple[int, bytes]]()
    reader.feed(data)
    for _ in range(count):
        reader.expect(b"GET")
        head = reader.read_head()
        assert head is not None
        body, done = reader.read_body()
        assert done
        found.append((int(head.fields[b"x-number"][0]), body))
    assert not reader.excess
    return found


TURNS = st.lists(st.builds(Turn, SIZES, SIZES, st.booleans(), st.booleans()), min_size=1, max_size=4)
STEPS = st.lists(
    st.tuples(st.sampled_from(("send", "read", "origin", "time")), st.sampled_from((1, 100, 5000, 100_000))),
    max_size=30,
)


@example(
    [Turn(0, 0, False, False), Turn(200_000, 0, False, False)],
    [("send", 100), *[("send", 1)] * 7, ("send", 100_000), ("send", 100_000), ("send", 1)],
    "",
)
@settings(max_examples=50)
@given(TURNS, STEPS, st.sampled_from(("", "close_notify", "FIN")))
def test_every_dialogue_comes_to_its_end(pki: PKI, turns: list[Turn], steps: list[tuple[str, int]], end: str) -> None:
    """Whoever is slow, every request arrives as it was sent, every response too, and little is held meanwhile."""
    with memory.node(pki, CHANGES) as node:
        client, origin = node.client(), Origin(node, turns)
        unsent = b"".join(turn.request(number) for number, turn in enumerate(turns))
        speaker = client.speaker
        for what, size in [*steps, *[("send", 50_000), ("origin", 70_000), ("read", 0)] * 100]:
            if what == "send" and unsent:
                unsent = unsent[client.send(unsent[:size]) :]
                if not unsent and end:
                    (client.notify if end == "close_notify" else client.fin)()
            elif what == "origin":
                origin.step(size)
            elif what == "read":
                client.read()
            elif what == "time":
                node.loop.wait(0.5, 0.5)
            if client.connection in node.port.connections:
                assert held(client) <= MOST
            assert held_by_origin(node) <= MOST
            if len(node.records) == len(turns) and not (origin.answers or client.read()):
                break
        expected = list(enumerate(turns))
        assert origin.requests == [(number, _body(number, turn.sends)) for number, turn in expected]
        assert _responses(bytes(client.received), len(turns)) == [
            (number, _body(number + 100, turn.gets)) for number, turn in expected
        ]
        assert [event["status"] for event in node.events] == [200] * len(turns)
        assert client.ended == ("close_notify" if end else "")
        assert speaker.requests == len(turns)
        assert len(node.opened) == 1
