"""A connection that speaks HTTP/2 to a client, on a real transport, with handlers that do as the test says; the client
is an engine, or writes frames of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from attrs import Factory, define

from edgenode.model.errors import ClientError
from edgenode.net.deadlines import Deadlines
from edgenode.net.transport import Transport
from edgenode.proxy.http2.engine import Fields
from edgenode.proxy.http2.limits import EngineLimits
from edgenode.proxy.http2.nghttp2 import Nghttp2Engine
from edgenode.proxy.http2.server import ServerConnection
from edgenode.proxy.http2.server_stream import ServerStream
from edgenode.proxy.listener.limits import ClientLimits
from edgenode.proxy.streams import RequestHead
from tests.proxy.http1.serving import LIMITS, Handler
from tests.proxy.http2.pair import Told
from tests.support.loop import Loop
from tests.support.wires import Peer, wire

GET = ((b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/"))
POST = ((b":method", b"POST"), *GET[1:])


def get(path: bytes = b"/", *fields: tuple[bytes, bytes]) -> Fields:
    """A request without a body."""
    return (*GET[:3], (b":path", path), *fields)


@define(eq=False)
class Serving:
    """The connection and all around it.

    :ivar loop: its reactor and its clock.
    :ivar peer: the client's socket.
    :ivar client: the client's engine, and ``told`` what it has told; nothing is sent before :meth:`talk`.
    :ivar handlers: of the requests so far.
    :ivar refused_with: what was refused without being a request.
    :ivar ends: why the connection is over, once it is.
    :ivar ended: how the connection has ended for the client: ``EOF`` or ``CUT``.
    :ivar answering: called with each new handler.
    """

    loop: Loop
    peer: Peer
    told: Told
    client: Nghttp2Engine
    handlers: list[Handler] = Factory(list)
    refused_with: list[ClientError] = Factory(list)
    ends: list[str] = Factory(list)
    ended: str = ""
    answering: Callable[[Handler], object] = lambda handler: None
    connection: ServerConnection = None  # type: ignore[assignment]

    # -- as the client connection ------------------------------------------------------------------------------------

    def handle(self, stream: ServerStream, head: RequestHead) -> Handler | None:
        """A request."""
        handler = Handler(stream, head)  # type: ignore[arg-type]
        self.handlers.append(handler)
        self.answering(handler)
        return None if handler.over else handler

    def refused(self, error: ClientError) -> None:
        """No request."""
        self.refused_with.append(error)

    def gone(self, reason: str) -> None:
        """Over."""
        self.ends.append(reason)

    # -- as the test -------------------------------------------------------------------------------------------------

    @property
    def transport(self) -> Transport:
        """The transport."""
        return self.connection.transport

    @property
    def handler(self) -> Handler:
        """Of the last request."""
        return self.handlers[-1]

    def say(self) -> None:
        """Send what the client has to say, and hear nothing."""
        while data := self.client.output():
            self.peer.send(data)

    def talk(self) -> None:
        """Carry what both have to say until neither has."""
        while True:
            self.say()
            data = self.peer.read()
            for end in (b"EOF", b"CUT"):
                if data.endswith(end):
                    self.ended, data = end.decode(), data.removesuffix(end)
            if not data:
                return
            self.client.feed(data)

    def ask(self, fields: Fields = GET, body: bytes | None = None, done: bool = True) -> int:
        """Send a request, with a body if there is one."""
        stream = self.client.request(fields, body is None)
        if body is not None:
            self.client.data(stream, body, done)
        self.talk()
        return stream

    def heard(self, *names: str) -> list[tuple[Any, ...]]:
        """What the client has been told since; only these calls if any are named."""
        return self.told.take(*names)

    def answer(self, stream: int) -> tuple[dict[bytes, bytes], bytes]:
        """The fields and the body that have come on a stream, which must be complete."""
        calls = [call for call in self.told.calls if call[1] == stream]
        head = next(call for call in calls if call[0] == "head")
        body = b"".join(call[2] for call in calls if call[0] == "data")
        assert calls[-1][0] == "trailers" or calls[-1][-1] is True or any(call[-1] is True for call in calls), calls
        return dict(head[2]), body


@contextlib.contextmanager
def serving(
    limits: ClientLimits = LIMITS,
    answering: Callable[[Handler], object] | None = None,
    client: EngineLimits | None = None,
    *,
    tls: bool = False,
    greeting: bool = True,
) -> Iterator[Serving]:
    """A connection on which both have said who they are; it is over at the end.

    :param client: what the client lets the node do: the windows that it offers.
    :param greeting: whether it says who it is.
    """
    loop = Loop()
    sock, connection, peer = wire(loop, tls=tls)
    told = Told()
    windows = client or EngineLimits(stream_window=1 << 24, connection_window=1 << 30)
    made = Serving(loop, peer, told, Nghttp2Engine(False, told, windows))
    if answering is not None:
        made.answering = answering
    deadlines = Deadlines(loop, loop.clock)
    transport = Transport(loop, sock, connection, made)  # type: ignore[arg-type]
    made.connection = ServerConnection(made, transport, deadlines, limits)
    transport.receiver = made.connection
    deadlines.watch(made.connection)
    transport.start()
    for _ in range(3 if tls else 0):  # shake hands
        made.client.feed(peer.read())
    if greeting:
        made.talk()
    assert transport.established
    try:
        yield made
    finally:
        transport.abort("the test is over")
        assert len(made.ends) == 1
        peer.close()
