"""A connection that speaks HTTP/1.1 to an origin, on a real transport, and one who asks on it and knows the law."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from attrs import Factory, define

from edgenode.model.errors import OriginError
from edgenode.model.exchange import Headers
from edgenode.model.settings import Seconds, Size
from edgenode.net.deadlines import Deadlines
from edgenode.net.transport import Transport
from edgenode.proxy.http1.client import OriginConnection
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.origin import Origin
from edgenode.proxy.origin.server import Server
from edgenode.proxy.streams import NO_CONTENT, ResponseHead
from tests.support.loop import Loop
from tests.support.wires import Peer, wire


@define(eq=False)
class Receiver:
    """Who is told of one response; any call that the law forbids fails the test.

    :ivar interims: the statuses of interim responses.
    :ivar body: its bytes so far.
    :ivar ends: how often the end, or a failure, was told.
    :ivar on_call: called within each call, with its name.
    """

    interims: list[int] = Factory(list)
    head: ResponseHead | None = None
    body: bytes = b""
    trailers: Headers = ()
    done: bool = False
    error: OriginError | None = None
    drained: int = 0
    paused: bool = False
    given_up: bool = False
    on_call: Callable[[str], object] = lambda name: None

    def _check(self, body: bytes) -> None:
        assert not self.given_up, "something is delivered after the reset"
        assert not self.done, "something is delivered after the end"
        assert self.error is None, "something is delivered after a failure"
        assert not (self.paused and body), "bytes are delivered to who has paused"

    def interim(self, head: ResponseHead) -> None:
        """1xx."""
        self._check(b"x")
        assert self.head is None, "an interim response comes behind the final one"
        self.interims.append(head.status)
        self.on_call("interim")

    def responded(self, head: ResponseHead, body: bytes, done: bool) -> None:
        """The head."""
        self._check(b"x")
        assert self.head is None, "a second head"
        self.head, self.body, self.done = head, body, done
        self.on_call("responded")

    def response_body(self, body: bytes, done: bool, trailers: Headers) -> None:
        """More of the body."""
        self._check(body)
        assert self.head is not None, "a body without a head"
        assert done or not trailers, "trailers before the end"
        self.body += body
        self.done, self.trailers = done, trailers
        self.on_call("response_body")

    def origin_drained(self) -> None:
        """All is sent."""
        self.drained += 1
        self.on_call("origin_drained")

    def failed(self, error: OriginError) -> None:
        """No more."""
        self._check(b"")
        self.error = error
        self.on_call("failed")


@define(eq=False)
class Asking:
    """The connection and all around it.

    :ivar peer: the origin.
    :ivar free: how often it was given back.
    :ivar ends: how often it was over.
    """

    loop: Loop
    peer: Peer
    free: int = 0
    ends: int = 0
    connection: OriginConnection = None  # type: ignore[assignment]

    def release(self, connection: OriginConnection) -> None:
        """It is free."""
        self.free += 1

    def gone(self, connection: OriginConnection) -> None:
        """It is over."""
        self.ends += 1

    @property
    def transport(self) -> Transport:
        """The transport."""
        return self.connection.transport

    def ask(self, receiver: Receiver | None = None, method: bytes = b"GET") -> Receiver:
        """Send a request without a body."""
        receiver = receiver or Receiver()
        self.connection.begin(receiver, method, b"/", b"a", b"", NO_CONTENT, b"", True)
        return receiver

    def pause(self, receiver: Receiver) -> None:
        """Have nothing delivered."""
        receiver.paused = True
        self.connection.pause()

    def resume(self, receiver: Receiver) -> None:
        """Have more delivered."""
        receiver.paused = False
        self.connection.resume()
        self.loop.settle()

    def reset(self, receiver: Receiver) -> None:
        """Give it up."""
        receiver.given_up = True
        self.connection.reset()


@contextlib.contextmanager
def asking(*, tls: bool = False, **settings: Any) -> Iterator[Asking]:
    """A connection on which nothing has been asked; it is over at the end."""
    loop = Loop()
    sock, connection, peer = wire(loop, tls=tls, accepting=False)
    made = Asking(loop, peer)
    server = Server(tls, "a", 443)
    values = {"read_timeout": Seconds(10), "send_timeout": Seconds(5), "max_header_size": Size(8192), **settings}
    deadlines = Deadlines(loop, loop.clock)
    transport = Transport(loop, sock, connection, made)  # type: ignore[arg-type]
    made.connection = OriginConnection(
        made, Balanced(server), Origin(servers=(server,), **values), transport, deadlines
    )
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
        assert made.ends == 1
        peer.close()
