"""The connection to an origin by itself, on a transport and a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import define, field
from twisted.internet.task import Clock

from edgenode.model.errors import OriginError
from edgenode.model.exchange import Headers
from edgenode.model.presentation import Presentation
from edgenode.model.settings import Seconds, Size
from edgenode.net.deadlines import NEVER, Deadlines
from edgenode.proxy.http1.client import OriginConnection
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.origin import Origin
from edgenode.proxy.origin.server import Server
from edgenode.proxy.streams import NO_CONTENT, ResponseHead
from tests.proxy.http1.asking import Asking, Receiver, asking

PART = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"


@define
class Wire:
    """In place of a transport.

    :ivar queued: what the test says is unsent.
    """

    receiver: Any = None
    sent: int = 0
    queued: int = 0
    full: bool = False
    lost: bool = False
    reading: bool = True
    ended: str = ""
    unread: bytes = b""
    written: bytearray = field(factory=bytearray)

    def write(self, data: bytes) -> None:
        """Take bytes."""
        self.written += data

    def pause(self) -> None:
        """Stand still."""
        self.reading = False

    def resume(self) -> None:
        """Go on."""
        self.reading = True

    def catch_up(self, look: bool) -> None:
        """Hand on what has come."""
        data, self.unread = self.unread, b""
        if data:
            self.receiver.received(data)

    def close(self) -> None:
        """End."""
        self._end("closed", True)

    def abort(self, reason: str = "") -> None:
        """Cut."""
        self._end("aborted", False)

    def _end(self, how: str, clean: bool) -> None:
        if not self.ended:
            self.ended, self.lost = how, True
            self.receiver.lost("", clean)


@define(eq=False)
class Both:
    """Keeper and receiver, with a note of everything told.

    :ivar told: what was told, in order.
    :ivar hearing: called when it hears of the head.
    """

    told: list[Any] = field(factory=list)
    free: list[OriginConnection] = field(factory=list)
    hearing: Callable[[], None] = lambda: None

    def release(self, connection: OriginConnection) -> None:
        """The connection is free."""
        self.free.append(connection)
        self.told.append("released")

    def gone(self, connection: OriginConnection) -> None:
        """The connection is over."""
        self.told.append("gone")

    def interim(self, head: ResponseHead) -> None:
        """1xx."""
        self.told.append(head.status)

    def responded(self, head: ResponseHead, body: bytes, done: bool) -> None:
        """The head."""
        self.hearing()
        self.told.append((head.status, body, done))

    def response_body(self, body: bytes, done: bool, trailers: Headers) -> None:
        """More of the body."""
        self.told.append((body, done, trailers))

    def origin_drained(self) -> None:
        """Drained."""

    def failed(self, error: OriginError) -> None:
        """Over."""
        self.told.append(error.kind)


@define
class Setting:
    """A connection and everything around it.

    :ivar both: its keeper and receiver.
    """

    clock: Clock
    wire: Wire
    both: Both
    connection: OriginConnection


@pytest.fixture
def setting() -> Setting:
    """A connection on which nothing has been asked yet."""
    clock, wire, both = Clock(), Wire(), Both()
    deadlines = Deadlines(clock, clock.seconds)
    server = Server(False, "a", 80)
    origin = Origin(servers=(server,), read_timeout=Seconds(10), send_timeout=Seconds(5), max_header_size=Size(1024))
    connection = OriginConnection(both, Balanced(server), origin, wire, deadlines)  # type: ignore[arg-type]
    wire.receiver = connection
    deadlines.watch(connection)
    return Setting(clock, wire, both, connection)


def get(setting: Setting) -> None:
    """Send a whole request."""
    setting.connection.begin(setting.both, b"GET", b"/", b"a", b"", NO_CONTENT, b"", True)


def post(setting: Setting) -> None:
    """Send the head of a request whose body is still to come."""
    setting.connection.begin(setting.both, b"POST", b"/", b"a", b"", 8, b"", False)


def test_a_connection_is_free_before_its_last_response_is_told(setting: Setting) -> None:
    """Whoever hears of the end may ask again on the same connection."""
    get(setting)
    setting.connection.received(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert setting.both.told == ["released", (200, b"ok", True)]


def test_an_answer_that_came_before_its_question_ends_the_connection(setting: Setting) -> None:
    """Bytes that nobody asked for, and nobody was told of yet, are not the next response."""
    get(setting)
    setting.connection.received(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert setting.connection.usable(True)
    setting.wire.unread = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    assert not setting.connection.usable(True)
    assert setting.wire.ended == "aborted"


def test_silence_ends_at_the_read_timeout(setting: Setting) -> None:
    """Not before, and at most two sweeps later."""
    get(setting)
    setting.clock.pump([0.1] * 99)
    assert setting.both.told == []
    setting.clock.pump([0.1] * 6)
    assert setting.both.told == ["gone", "timeout"]


@pytest.mark.parametrize(
    ("status", "kind", "fail"),
    [
        (504, "timeout", lambda each: each.loop.wait(12, 0.5)),
        (502, "reset", lambda each: each.peer.close()),
        (502, "reset", lambda each: each.peer.finish()),
        (502, "invalid", lambda each: each.peer.send(b"garbage")),
        (502, "invalid", lambda each: each.peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n")),
    ],
)
def test_whatever_fails_may_have_had_its_effect(status: int, kind: str, fail: Callable[[Asking], object]) -> None:
    """Some of the request was sent, and each failure says so: nothing else keeps a POST from being repeated."""
    with asking() as each:
        receiver = each.ask(method=b"POST")
        fail(each)
        assert receiver.error is not None
        assert (receiver.error.status, receiver.error.kind, receiver.error.sent) == (status, kind, True)


def test_a_head_that_trickles_in_does_not_win_time(setting: Setting) -> None:
    """The whole head has to be there within one read-timeout."""
    get(setting)
    for byte in b"HTTP/1.1 200 OK\r\nA: b":
        setting.connection.received(bytes((byte,)))
        setting.clock.pump([0.1] * 6)
    assert setting.both.told == ["gone", "timeout"]


def test_nothing_is_expected_before_the_request_is_sent(setting: Setting) -> None:
    """While the rest of the request is the client's to send, the origin may be silent."""
    post(setting)
    assert setting.connection.deadline == NEVER
    setting.connection.send_body(b"the rest", True)
    assert setting.connection.deadline == 10


def test_an_origin_that_takes_nothing_is_given_up(setting: Setting) -> None:
    """The send-timeout counts from the last byte taken."""
    setting.wire.queued = 100
    post(setting)
    setting.clock.pump([0.1] * 45)
    setting.wire.sent += 1
    setting.clock.pump([0.1] * 45)
    assert setting.both.told == []
    setting.clock.pump([0.1] * 20)
    assert setting.both.told == ["gone", "timeout"]


def test_while_we_pause_no_time_is_counted(setting: Setting) -> None:
    """An origin is not to blame for what we do not read."""
    get(setting)
    setting.connection.received(PART)
    setting.connection.pause()
    setting.clock.pump([1] * 100)
    assert setting.both.told == [(200, b"12345", False)]
    setting.connection.resume()
    setting.clock.pump([1] * 12)
    assert setting.both.told[-1] == "timeout"


@pytest.mark.parametrize("what", ["write", "drained"])
def test_sending_while_we_pause_does_not_start_the_clock(setting: Setting, what: str) -> None:
    """A response that comes early, and is held back for its client, outlives the end of the upload."""
    post(setting)
    setting.connection.received(PART)
    setting.connection.pause()
    if what == "write":
        setting.connection.send_body(b"the rest", True)
    else:
        setting.connection.drained()
    setting.clock.pump([1] * 100)
    assert setting.both.told == [(200, b"12345", False)]


def test_pausing_at_the_head_leaves_no_pooled_connection_paused(setting: Setting) -> None:
    """A receiver that pauses at a head whose trailers are there already pauses nobody else's connection."""
    setting.both.hearing = setting.connection.pause
    get(setting)
    setting.connection.received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n")
    assert setting.both.free == [setting.connection]
    assert setting.wire.reading


def test_an_upload_that_is_not_over_closes_the_connection(setting: Setting) -> None:
    """An early response is whole, but what is left of the request must not be read as the next one."""
    post(setting)
    setting.connection.received(b"HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n")
    assert setting.both.told == ["gone", (413, b"", True)]
    assert setting.wire.ended == "closed"


@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_a_204_that_announces_a_body_closes_the_connection(setting: Setting, framing: bytes) -> None:
    """It has none (RFC 9112, section 6.3); if one comes all the same, it is not read as the next response."""
    get(setting)
    setting.connection.received(b"HTTP/1.1 204 No Content\r\n%b\r\n\r\n" % framing)
    assert setting.both.told == ["gone", (204, b"", True)]
    assert setting.wire.ended == "closed"


@pytest.mark.parametrize("status", [100, 103, 199])
def test_a_status_below_200_is_interim(setting: Setting, status: int) -> None:
    """Whatever it means: another response follows it (RFC 9110, section 15.2)."""
    get(setting)
    setting.connection.received(b"HTTP/1.1 %d A\r\n\r\nHTTP/1.1 204 B\r\n\r\n" % status)
    assert setting.both.told == [status, "released", (204, b"", True)]


def test_a_single_byte_that_is_unsent_makes_a_writer_wait(setting: Setting) -> None:
    """Until the socket has taken everything there is nothing to be added."""
    assert not setting.connection.full
    setting.wire.queued = 1
    assert setting.connection.full


@pytest.mark.parametrize(("tls", "done", "wary"), [(True, False, True), (True, True, False), (False, False, False)])
def test_an_upload_over_tls_is_written_warily(tls: bool, done: bool, wary: bool) -> None:
    """It may be answered before it is sent, and OpenSSL reads no answer once a write has failed."""
    with asking(tls=tls) as made:
        made.connection.presented = Presentation(asked=False) if tls else None
        made.connection.begin(Receiver(), b"POST", b"/", b"a", b"", 5, b"12345" if done else b"", done)
        assert made.transport.wary is wary
