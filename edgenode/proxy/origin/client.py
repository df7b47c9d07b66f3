"""What the node asks for itself: feeds, lists, keys, health checks, what receives its events.

Law: there is no other client. It is treq over the agent of an origin: what is asked for is verified, presents the
origin's certificate and shares its connections and limits as traffic does. No server can make the node hold more bytes,
or wait longer, than was agreed; no redirect is followed, and no cookie kept or shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import field, frozen
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, TimeoutError, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from edgenode.model.errors import OriginError
from edgenode.proxy.origin.agent import OriginAgent
from edgenode.proxy.origin.bounded_body import BoundedBody, Damaged, NoAnswer, unpack
from edgenode.proxy.origin.pool import OriginPool

MOST_ANSWER = 64 * 1024
"""Bytes that are read of an answer, if nothing else is said."""

_AT_ONCE = 256 * 1024
"""Bytes up to which a body is unpacked outside of a thread: less than a millisecond."""


class Late(NoAnswer):
    """There was no answer in time."""


class Failed(NoAnswer):
    """The origin could not be asked, or broke off.

    :ivar error: what its pool says of it.
    """

    def __init__(self, error: OriginError) -> None:
        super().__init__(error.reason)
        self.error = error


@frozen
class Answer:
    """An answer, read to its end.

    :ivar body: unpacked, if it came as gzip; empty if there is not all of it.
    :ivar problem: why there is not all of the body; ``None`` if it is whole.
    """

    status: int
    headers: Headers
    body: bytes = field(repr=False)
    problem: NoAnswer | None = field(default=None, kw_only=True)

    @property
    def content(self) -> bytes:
        """The body.

        :raises NoAnswer: if there is not all of it: see :mod:`edgenode.proxy.origin.bounded_body`.
        """
        if self.problem is not None:
            raise self.problem
        return self.body


class OriginClient:
    """Asks one origin.

    :param pool: the connections to it; or what gives those of now.
    :param timeout: the time for a request and the whole of its answer; seconds.
    """

    def __init__(self, pool: OriginPool | Callable[[], OriginPool], timeout: float) -> None:
        self._agent = OriginAgent(pool)
        self._timeout = timeout

    async def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str | Sequence[str]] | Headers | None = None,
        data: bytes = b"",
        *,
        most: int = MOST_ANSWER,
    ) -> Answer:
        """Send a request, and read its answer.

        :param url: absolute, ASCII, sent as it is written; of the origin: see
            :class:`~edgenode.proxy.origin.agent.OriginAgent`.
        :param headers: header fields; ``User-Agent``, ``Accept`` and ``Accept-Encoding`` have their usual values.
        :param data: the body.
        :param most: bytes of the answer's body, packed and unpacked.
        :raises NoAnswer: :class:`Failed` or :class:`Late`.
        :raises ValueError: if the request cannot be sent as it is.
        """
        asking = Deferred.fromCoroutine(self._ask(method, url, _fields(headers), data, most))
        try:
            return await asking.addTimeout(self._timeout, self._agent.pool.reactor)
        except TimeoutError:
            raise Late(f"no answer within {self._timeout:g} s") from None
        except Exception as error:
            told = OriginError.of(error)
            if told is None:
                raise
            raise Failed(told) from error

    async def _ask(self, method: str, url: str, headers: Headers, data: bytes, most: int) -> Answer:
        agent, reactor = _AsWritten(self._agent, url.encode("ascii")), self._agent.pool.reactor
        client = HTTPClient(agent, data_to_body_producer=Body)
        response = await client.request(
            method, url, headers=headers, data=data, allow_redirects=False, unbuffered=True, reactor=reactor
        )
        body = BoundedBody(most)
        response.deliverBody(body)
        try:
            content = await self._unpacked(await body.done, agent.coding, most)
        except NoAnswer as problem:
            return Answer(response.code, response.headers, b"", problem=problem)
        return Answer(response.code, response.headers, content)

    async def _unpacked(self, data: bytes, coding: str, most: int) -> bytes:
        if coding in ("", "identity") or not data:
            return data
        if coding not in ("gzip", "x-gzip"):
            raise Damaged(f"packed as {coding!r}, which was not asked for")
        if most <= _AT_ONCE:
            return unpack(data, most)
        reactor = self._agent.pool.reactor
        return await deferToThreadPool(reactor, reactor.getThreadPool(), unpack, data, most)


def _fields(headers: Mapping[str, str | Sequence[str]] | Headers | None) -> Headers:
    given = headers if isinstance(headers, Headers) else Headers()
    if not isinstance(headers, Headers):
        for name, value in (headers or {}).items():
            given.setRawHeaders(name, [value] if isinstance(value, str) else value)
    for name, value in ("user-agent", "edgenode"), ("accept", "*/*"):
        if not given.hasHeader(name):
            given.setRawHeaders(name, [value])
    given.removeHeader("accept-encoding")  # treq says gzip
    return given


@implementer(IAgent)
class _AsWritten:
    """The agent of one request, beneath treq.

    treq writes a URL anew, whose target may have been signed; unpacks each piece of a body whole, however large that
    becomes; and reads cookies. Here the URL is sent as it was written, and what is packed or a cookie is hidden.

    :ivar coding: the Content-Encoding of the response.
    """

    def __init__(self, agent: OriginAgent, url: bytes) -> None:
        self._agent = agent
        self._url = url
        self.coding = ""

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """Send it."""
        return self._agent.request(method, self._url, headers, bodyProducer).addCallback(self._responded)

    def _responded(self, response: IResponse) -> IResponse:
        self.coding = b", ".join(response.headers.getRawHeaders(b"content-encoding", ())).decode("latin-1").lower()
        response.headers.removeHeader(b"content-encoding")
        response.headers.removeHeader(b"set-cookie")
        return response


@implementer(IBodyProducer)
@frozen
class Body:
    """A body that is there as a whole."""

    data: bytes = field(repr=False)

    @property
    def length(self) -> int:
        """Its size in bytes."""
        return len(self.data)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Hand it over."""
        consumer.write(self.data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It is produced already."""

    resumeProducing = stopProducing = pauseProducing
