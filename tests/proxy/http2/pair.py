"""Two engines that talk to each other in memory, and what they have told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgenode.proxy.http2.engine import Engine, Fields, Receiver
from edgenode.proxy.http2.hyper import HyperEngine
from edgenode.proxy.http2.limits import DEFAULT_LIMITS, EngineLimits
from edgenode.proxy.http2.nghttp2 import Nghttp2Engine

ENGINES = (Nghttp2Engine, HyperEngine)
"""Both, for ``pytest.mark.parametrize``."""

REQUEST = ((b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"edge.test"), (b":path", b"/"))
POST = ((b":method", b"POST"), *REQUEST[1:])
OK = ((b":status", b"200"),)


class Told(Receiver):
    """A receiver that writes down what it is told.

    :ivar calls: the name of each call, and its arguments; fields as a list.
    :ivar refusals: why requests were refused that were never told.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.refusals: list[str] = []

    def head(self, stream: int, fields: Fields, done: bool) -> None:
        """Write it down."""
        self.calls.append(("head", stream, [*map(tuple, fields)], done))

    def interim(self, stream: int, fields: Fields) -> None:
        """Write it down."""
        self.calls.append(("interim", stream, [*map(tuple, fields)]))

    def data(self, stream: int, data: bytes, done: bool) -> None:
        """Write it down."""
        self.calls.append(("data", stream, data, done))

    def trailers(self, stream: int, fields: Fields) -> None:
        """Write it down."""
        self.calls.append(("trailers", stream, [*map(tuple, fields)]))

    def reset(self, stream: int, code: int, ours: bool) -> None:
        """Write it down."""
        self.calls.append(("reset", stream, code, ours))

    def refused(self, reason: str) -> None:
        """Write it down."""
        self.refusals.append(reason)

    def writable(self, stream: int) -> None:
        """Write it down."""
        self.calls.append(("writable", stream))

    def goaway(self, last: int, code: int) -> None:
        """Write it down."""
        self.calls.append(("goaway", last, code))

    def pong(self, data: bytes) -> None:
        """Write it down."""
        self.calls.append(("pong", data))

    def settings(self) -> None:
        """Nothing to write down."""

    def take(self, *names: str) -> list[tuple[Any, ...]]:
        """What has been told since, only the calls of these names if there are any; and forget all."""
        calls, self.calls = self.calls, []
        return [call for call in calls if not names or call[0] in names]


class Pair:
    """A client's engine and a server's.

    :ivar client: the client's.
    :ivar server: the server's.
    :ivar to_client: what the client's has told.
    :ivar to_server: what the server's has told.
    """

    def __init__(
        self,
        server: type[Nghttp2Engine] | type[HyperEngine],
        client: type[Nghttp2Engine] | type[HyperEngine] | None = None,
        limits: EngineLimits = DEFAULT_LIMITS,
        towards: EngineLimits = DEFAULT_LIMITS,
    ) -> None:
        self.to_client, self.to_server = Told(), Told()
        self.client: Engine = (client or server)(False, self.to_client, towards)
        self.server: Engine = server(True, self.to_server, limits)
        self.talk()

    def talk(self) -> None:
        """Carry what both have to say until neither has."""
        said = True
        while said:
            asked, answered = self.client.output(), self.server.output()
            self.server.feed(asked)
            self.client.feed(answered)
            said = bool(asked or answered)

    def ask(self, fields: Sequence[tuple[bytes, bytes]] = REQUEST, body: bytes | None = None) -> int:
        """Send a request, with a whole body if there is one."""
        stream = self.client.request(fields, body is None)
        if body is not None:
            self.client.data(stream, body, True)
        self.talk()
        return stream
