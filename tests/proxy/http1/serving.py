"""A connection that speaks HTTP/1.1 to a client, on a real transport, with handlers that do as the test says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from attrs import Factory, define

from edgenode.model.errors import ClientError
from edgenode.model.exchange import Headers
from edgenode.net.deadlines import Deadlines
from edgenode.net.transport import Transport
from edgenode.proxy.http1.server import ServerConnection
from edgenode.proxy.listener.limits import ClientLimits, HeadLimits, Timeouts
from edgenode.proxy.streams import RequestHead
from tests.support.loop import Loop
from tests.support.wires import Peer, wire

LIMITS = ClientLimits(HeadLimits(8192, 32768, 100), Timeouts(15, 300, 60, 75, 10), 10_000)
"""Those of a listener that says nothing."""


@define(eq=False)
class Handler:
    """What handles one request, and what it was told.

    :ivar body: the bytes of the body so far.
    :ivar done: how often their end was told.
    :ivar told: every other call.
    :ivar over: whether the response is complete.
    :ivar taking: whether it takes more of the body after each piece.
    """

    stream: ServerConnection
    head: RequestHead
    body: bytes = b""
    done: int = 0
    told: list[str] = Factory(list)
    over: bool = False
    taking: bool = True

    def request_body(self, data: bytes, done: bool, trailers: Headers = ()) -> None:
        """More of the body."""
        assert not self.done, "something comes after the end"
        self.body += data
        self.done += done
        if not self.taking:
            self.stream.pause_body()

    def body_failed(self, error: ClientError) -> None:
        """The rest cannot be had: answer that."""
        self.told.append(f"failed {error.status}")
        self.respond(error.status)

    def client_drained(self) -> None:
        """All was sent."""
        self.told.append("drained")

    def client_lost(self, reason: str) -> None:
        """The client is gone."""
        self.told.append("lost")

    def respond(self, status: int = 200, body: bytes = b"ok") -> None:
        """Answer at once and whole."""
        self.over = True
        self.stream.start_response(status, b"", b"", len(body), body, True)

    def begin(self, body: bytes = b"", length: int | None = None) -> None:
        """Begin a response."""
        self.stream.start_response(200, b"", b"", length, body, False)

    def finish(self, body: bytes = b"") -> None:
        """End it."""
        self.over = True
        self.stream.send_body(body, True)


@define(eq=False)
class Serving:
    """The connection and all around it.

    :ivar loop: its reactor and its clock.
    :ivar peer: the client.
    :ivar handlers: of the requests so far.
    :ivar refused: what was refused without being a request.
    :ivar gone: why the connection is over, once it is.
    :ivar answering: called with each new handler.
    """

    loop: Loop
    peer: Peer
    handlers: list[Handler] = Factory(list)
    refused_with: list[ClientError] = Factory(list)
    ends: list[str] = Factory(list)
    answering: Callable[[Handler], object] = lambda handler: None
    connection: ServerConnection = None  # type: ignore[assignment]

    # -- as the client connection ------------------------------------------------------------------------------------

    def handle(self, stream: ServerConnection, head: RequestHead) -> Handler | None:
        """A request."""
        handler = Handler(stream, head)
        self.handlers.append(handler)
        self.answering(handler)
        return None if handler.over else handler

    def authority(self) -> bytes:
        """Of a request that says none."""
        return b"presumed.test"

    def refused(self, error: ClientError) -> None:
        """No request."""
        self.refused_with.append(error)

    def gone(self, reason: str) -> None:
        """Over."""
        self.ends.append(reason)

    def becomes(self, tunnel: object) -> None:
        """A tunnel."""

    # -- as the test -------------------------------------------------------------------------------------------------

    @property
    def transport(self) -> Transport:
        """The transport."""
        return self.connection.transport

    @property
    def handler(self) -> Handler:
        """Of the last request."""
        return self.handlers[-1]

    def send(self, data: bytes) -> int:
        """Send what is taken; how much that was."""
        return self.peer.send(data)

    def read(self, most: int = 0) -> bytes:
        """All that has come, or so much."""
        return self.peer.read(most)

    def finish(self) -> None:
        """Send no more."""
        self.peer.finish()


@contextlib.contextmanager
def serving(
    limits: ClientLimits = LIMITS, answering: Callable[[Handler], object] | None = None, *, tls: bool = False
) -> Iterator[Serving]:
    """A connection on which nothing has come yet; it is over at the end."""
    loop = Loop()
    sock, connection, peer = wire(loop, tls=tls)
    made = Serving(loop, peer)
    if answering is not None:
        made.answering = answering
    deadlines = Deadlines(loop, loop.clock)
    transport = Transport(loop, sock, connection, made)  # type: ignore[arg-type]
    made.connection = ServerConnection(made, transport, deadlines, limits)
    transport.receiver = made.connection
    deadlines.watch(made.connection)
    transport.start()
    for _ in range(3):  # in TLS: shake hands
        peer.read()
    assert transport.established
    try:
        yield made
    finally:
        transport.abort("the test is over")
        assert len(made.ends) == 1
        peer.close()
