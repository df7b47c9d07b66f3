"""The server of ``[admin]``: what it answers, and who is turned away."""

from __future__ import annotations

import email.utils
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from edgenode.net.deadlines import Deadlines
from edgenode.net.poller import Poller
from edgenode.observe.admin_server import LONGEST_ANSWER, LONGEST_HEAD, MOST_CONNECTIONS, PATIENCE, AdminServer, Answer
from edgenode.testing import MemoryReactor

PLACE = ("127.0.0.1", 9100)


class Served:
    """A server in memory.

    :ivar asked: what was accepted in each request.
    :ivar waiting: those who wait for ``/later``.
    """

    def __init__(self) -> None:
        self.reactor = MemoryReactor()
        self.asked: list[str] = []
        self.waiting: list[Deferred[Answer]] = []
        poller = Poller(self.reactor)
        listening: Any = self.reactor.sockets.listening(*PLACE)
        self.deadlines = Deadlines(poller)
        routes = {"/now": self.now, "/later": self.wait, "/fails": lambda accept: 1 / 0}
        self.server = AdminServer(listening, routes, poller, self.deadlines)  # type: ignore[arg-type]

    def now(self, accept: str) -> Answer:
        """Answer at once."""
        self.asked.append(accept)
        return Answer(200, b"a" * 10, "text/x-test")

    def wait(self, accept: str) -> Deferred[Answer]:
        """Answer later."""
        self.waiting.append(Deferred(lambda deferred: self.waiting.remove(deferred)))
        return self.waiting[-1]

    def connect(self, data: bytes = b"") -> Any:
        """A client that has sent something."""
        client: Any = self.reactor.sockets.connect(PLACE, ("127.0.0.1", 5000))
        if data:
            client.send(data)
        self.reactor.settle()
        return client

    def exchange(self, data: bytes) -> bytes:
        """What comes back until the server closes."""
        client = self.connect(data)
        received: bytes = client.recv(1 << 20)
        assert client.recv(1) == b""
        client.close()
        self.reactor.settle()
        assert not self.server.connections
        return received


@pytest.fixture
def served() -> Iterator[Served]:
    """A server, stopped in the end with nothing left."""
    served = Served()
    yield served
    served.server.stop()
    served.deadlines.stop()
    served.reactor.settle()
    assert not served.server.connections


def request(target: str = "/now", method: str = "GET", more: str = "") -> bytes:
    """A request."""
    return f"{method} {target} HTTP/1.1\r\nHost: node\r\n{more}\r\n".encode("latin-1")


def test_a_request_is_answered(served: Served) -> None:
    """With its length, type and date, and not to be kept; the query is nobody's, and the connection ends."""
    head, _, body = served.exchange(request("/now?x=1", more="Accept: a/b;q=1\r\naccept: c/d\r\n")).partition(
        b"\r\n\r\n"
    )
    first, *lines = head.decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    assert (first, body) == ("HTTP/1.1 200 OK", b"a" * 10)
    assert email.utils.parsedate_to_datetime(fields.pop("Date")).year > 2000
    assert fields == {
        "Content-Type": "text/x-test",
        "Content-Length": "10",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
    }
    assert served.asked == ["a/b;q=1, c/d"]


def test_head_has_no_body(served: Served) -> None:
    """But all fields that a GET has."""
    got, only_head = served.exchange(request()), served.exchange(request(method="HEAD"))
    assert only_head == got.removesuffix(b"a" * 10)
    assert served.exchange(request("/none", "HEAD")).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("/none"), 404),
        (request("//now"), 404),
        (request(method="POST", more="Content-Length: 3\r\n") + b"abc", 405),
        (request(method="PATCH"), 405),
        (request("/none", "POST"), 404),
        (request("/fails"), 500),
        (b"GET /now HTTP/1.0\r\n\r\n", 200),
        (b"GET /now HTTP/1.1\r\n\r\n", 400),
        (request(more="Host: other\r\n"), 400),
        (b"GET http://node/now HTTP/1.1\r\nHost: node\r\n\r\n", 400),
        (b"GET /now HTTP/2.0\r\nHost: node\r\n\r\n", 400),
        (b"GET /now HTTP/1.1\r\nHost : node\r\n\r\n", 400),
        (b"GET /now HTTP/1.1\r\nHost: node\r\n folded: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * LONGEST_HEAD, 431),
        (request(more=f"X: {'a' * LONGEST_HEAD}\r\n"), 431),
    ],
)
def test_what_is_answered_by_status(served: Served, data: bytes, status: int, flush_logged_errors: Any) -> None:
    """Other paths, other methods, and what is no request of HTTP/1.1."""
    answer = served.exchange(data)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert (b"\r\nAllow: GET, HEAD\r\n" in answer) == (status == 405)
    assert len(flush_logged_errors(ZeroDivisionError)) == (status == 500)


@given(st.binary(max_size=200) | st.binary(max_size=50).map(lambda data: b"GET /now HTTP/1.1\r\n" + data))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_garbage_harms_nobody(served: Served, data: bytes) -> None:
    """Whatever comes, the next one is answered, and a head that does not end is one that is too slow."""
    client = served.connect(data)
    served.reactor.pass_time(2 * PATIENCE + 1)
    assert not served.server.connections
    client.close()
    assert served.exchange(request()).startswith(b"HTTP/1.1 200")


def test_a_head_may_come_in_pieces(served: Served) -> None:
    """Byte by byte, as long as it is there in time."""
    client = served.connect()
    for byte in request():
        client.send(bytes((byte,)))
        served.reactor.settle()
    assert client.recv(1 << 20).startswith(b"HTTP/1.1 200")
    client.close()
    served.reactor.settle()


def test_who_is_slow_is_cut(served: Served) -> None:
    """With the request as with the answer; nobody waits for it."""
    slow = served.connect(b"GET /now HTTP/1.1\r\n")
    taker = served.connect(request("/later"))
    served.waiting.pop().callback(Answer(200, b"a" * (1 << 22)))
    served.reactor.settle()
    assert len(served.server.connections) == 2
    served.reactor.pass_time(PATIENCE - 1)
    assert len(served.server.connections) == 2
    served.reactor.pass_time(2)
    assert not served.server.connections
    for each in (slow, taker):
        each.close()


def test_there_are_only_so_many(served: Served) -> None:
    """The oldest that waits for nothing makes room; who waits for an answer does not, and then the newest has none."""
    waiting = [served.connect(request("/later")) for _ in range(MOST_CONNECTIONS - 1)]
    idle = served.connect()
    answered = served.connect(request())
    assert answered.recv(1 << 20).startswith(b"HTTP/1.1 200")
    with pytest.raises(ConnectionError):
        idle.send(b"x")
    waiting.append(served.connect(request("/later")))
    served.reactor.pass_time(PATIENCE + 1)
    assert len(served.server.connections) == MOST_CONNECTIONS
    with pytest.raises(ConnectionError):
        served.connect(request()).recv(1)
    served.waiting.pop().callback(Answer(200, b"at last"))
    served.reactor.settle()
    assert waiting.pop().recv(1 << 20).endswith(b"at last")
    served.reactor.pass_time(LONGEST_ANSWER)
    assert not served.server.connections


def test_who_leaves_is_not_answered(served: Served) -> None:
    """What it has asked for is cancelled."""
    client = served.connect(request("/later"))
    client.send(b"x" * 100_000)  # what follows is not kept
    served.reactor.settle()
    assert not served.waiting
    assert not served.server.connections
