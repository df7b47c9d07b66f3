"""A connection that speaks HTTP/2 to an origin, on a real transport; the origin is ``h2``, or raw frames."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from attrs import Factory, define
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamReset
from h2.settings import SettingCodes, Settings

from edgenode.model.settings import Seconds, Size
from edgenode.net.deadlines import Deadlines
from edgenode.net.transport import Transport
from edgenode.proxy.http2.client import MultiplexedConnection
from edgenode.proxy.http2.origin_stream import RequestStream
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.opening import client_engine
from edgenode.proxy.origin.origin import Origin
from edgenode.proxy.origin.server import Server
from edgenode.proxy.streams import NO_CONTENT
from tests.proxy.http1.asking import Receiver
from tests.support.loop import Loop
from tests.support.wires import Peer, wire

OK = ((b":status", b"200"),)


@define(eq=False)
class Asking:
    """The connection and all around it.

    :ivar peer: the origin's end.
    :ivar h2: what the origin makes of it.
    :ivar events: what it has heard.
    :ivar changes: the room of the connection, whenever it has changed.
    :ivar ends: how often it was over.
    """

    loop: Loop
    peer: Peer
    h2: H2Connection
    events: list[Event] = Factory(list)
    changes: list[int] = Factory(list)
    ends: int = 0
    connection: MultiplexedConnection = None  # type: ignore[assignment]

    def changed(self, connection: MultiplexedConnection) -> None:
        """Its room is another; without a request it is idle, as in a pool."""
        self.changes.append(connection.room)
        if not connection.active:
            connection.deadline = self.loop.clock() + connection.origin.idle_timeout

    def gone(self, connection: MultiplexedConnection) -> None:
        """It is over."""
        self.ends += 1

    @property
    def transport(self) -> Transport:
        """The transport."""
        return self.connection.transport

    def ask(
        self,
        receiver: Receiver | None = None,
        method: bytes = b"GET",
        length: int | None = NO_CONTENT,
        body: bytes = b"",
        done: bool = True,
        **options: Any,
    ) -> tuple[RequestStream, Receiver]:
        """Send a request."""
        stream, receiver = self.connection.stream(), receiver or Receiver()
        stream.begin(receiver, method, b"/", b"a.test", b"", length, body, done, **options)
        self.hear()
        return stream, receiver

    def hear(self, *kinds: type[Event]) -> list[Event]:
        """What the origin has heard since; only these kinds, if there are any."""
        data = self.peer.read()
        events = self.h2.receive_data(data.removesuffix(b"EOF").removesuffix(b"CUT")) if data else []
        self.events += events
        self.say()
        return [event for event in events if not kinds or isinstance(event, kinds)]

    def say(self) -> None:
        """Have the origin send what it has to send."""
        self.peer.send(self.h2.data_to_send())

    def answer(self, stream: RequestStream, body: bytes = b"", fields: Any = OK, *, done: bool = True) -> None:
        """Send a response, or the beginning of it."""
        self.h2.send_headers(stream.number, fields, end_stream=done and not body)
        if body:
            self.h2.send_data(stream.number, body, end_stream=done)
        self.say()

    def reset(self, stream: RequestStream, code: int) -> None:
        """Reset a stream, as the origin."""
        self.h2.reset_stream(stream.number, code)
        self.say()

    @property
    def heads(self) -> list[RequestReceived]:
        """The requests that came."""
        return [event for event in self.events if isinstance(event, RequestReceived)]

    @property
    def resets(self) -> list[tuple[int, int]]:
        """The streams that we have reset, with their codes."""
        found = [event for event in self.events if isinstance(event, StreamReset)]
        return [(event.stream_id, int(event.error_code)) for event in found]

    @property
    def body(self) -> bytes:
        """All data that came."""
        return b"".join(event.data for event in self.events if isinstance(event, DataReceived))

    def pause(self, stream: RequestStream, receiver: Receiver) -> None:
        """Have nothing delivered."""
        receiver.paused = True
        stream.pause()

    def resume(self, stream: RequestStream, receiver: Receiver) -> None:
        """Have more delivered."""
        receiver.paused = False
        stream.resume()
        self.loop.settle()
        self.hear()


@contextlib.contextmanager
def asking(
    *, tls: bool = False, settings: dict[SettingCodes, int] | None = None, mute: bool = False, **keys: Any
) -> Iterator[Asking]:
    """A connection on which nothing has been asked; it is over at the end.

    :param settings: the origin's.
    :param mute: whether the origin says nothing by itself.
    :param keys: of ``[origin]``.
    """
    loop = Loop()
    sock, connection, peer = wire(loop, tls=tls, accepting=False)
    lenient = H2Configuration(client_side=False, header_encoding=None, validate_outbound_headers=False)
    made = Asking(loop, peer, H2Connection(lenient))
    made.h2.local_settings = Settings(client=False, initial_values=settings or {})
    server = Server(tls, "a", 443)
    values = {"read_timeout": Seconds(10), "send_timeout": Seconds(5), "max_header_size": Size(8192), **keys}
    origin = Origin(servers=(server,), **values)
    deadlines = Deadlines(loop, loop.clock)
    transport = Transport(loop, sock, connection, made)  # type: ignore[arg-type]
    made.connection = MultiplexedConnection(
        made, Balanced(server), origin, transport, deadlines, None, client_engine(origin)
    )
    transport.receiver = made.connection
    deadlines.watch(made.connection)
    transport.start()
    for _ in range(3):  # in TLS: shake hands
        loop.settle()
    assert transport.established
    made.h2.initiate_connection()
    if not mute:
        made.hear()
        made.hear()
        assert made.connection.room > 0
    try:
        yield made
    finally:
        transport.abort("the test is over")
        assert made.ends == 1
        peer.close()
