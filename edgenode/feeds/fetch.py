"""A document fetched by the node itself, such as a datafeed.

Law: every connection is verified, also after a redirect; and no server can make the node hold more bytes, or wait
longer, than ``max-size`` and ``fetch-timeout`` allow.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from typing import Any, TypeVar

from attrs import field, frozen
from OpenSSL import SSL
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.threads import deferToThreadPool
from twisted.web.http_headers import Headers

from edgenode.model.settings import Seconds
from edgenode.model.urls import Address, read_address
from edgenode.net.deadlines import Deadlines
from edgenode.proxy.origin.bounded_body import Incomplete, NoAnswer, TooLarge
from edgenode.proxy.origin.client import Answer, Late, OriginClient
from edgenode.proxy.origin.opening import TLSOpening
from edgenode.proxy.origin.origin import Origin
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.origin.server import Server
from edgenode.tls.hostnames import verify_origin

T = TypeVar("T")

MOST_REDIRECTS = 5
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_LONGEST_VALIDATOR = 1024
"""Characters of an ETag that are worth keeping."""


class FetchError(Exception):
    """A document could not be had; the text says why."""


@frozen
class Validators:
    """By what a server knows which content we have (RFC 9110, section 8.8); empty if it has said nothing.

    :ivar etag: its ETag.
    :ivar last_modified: its Last-Modified.
    """

    etag: str = ""
    last_modified: str = ""

    @classmethod
    def of(cls, headers: Headers) -> Validators:
        """Those of a response."""
        return cls(_single(headers, b"etag"), _single(headers, b"last-modified"))


@frozen
class Document:
    """A document.

    :ivar data: its content, unpacked.
    :ivar validators: by what to ask for it the next time.
    """

    data: bytes = field(repr=False)
    validators: Validators


@frozen(eq=False)
class Fetcher:
    """Fetches documents.

    :ivar reactor: for connections, timers and threads.
    :ivar deadlines: for the connections.
    """

    reactor: Any
    deadlines: Deadlines

    def in_thread(self, function: Callable[..., T], *arguments: Any) -> Deferred[T]:
        """Have something done that takes a while."""
        return deferToThreadPool(self.reactor, self.reactor.getThreadPool(), function, *arguments)

    async def fetch(
        self,
        address: Address,
        context: SSL.Context,
        max_size: int,
        timeout: float,
        known: Validators,
        redirects: int = MOST_REDIRECTS,
    ) -> Document | None:
        """Fetch a document.

        :param context: for TLS; it verifies, and the name is verified here.
        :param max_size: of the document, packed and unpacked.
        :param timeout: for all of it, seconds.
        :param known: of the content that we have.
        :param redirects: how many are followed.
        :return: the document; ``None`` if it is the one that we have.
        :raises FetchError: if it cannot be had.
        """
        fetching = Deferred.fromCoroutine(self._follow(address, context, max_size, timeout, known, redirects))
        try:
            return await fetching.addTimeout(timeout, self.reactor)
        except (TimeoutError, Late):
            raise FetchError(f"not there within {timeout:g} s") from None
        except TooLarge as error:
            raise FetchError(f"{'unpacked ' if error.unpacked else ''}it is larger than max-size") from None
        except Incomplete:
            raise FetchError("the connection ended before the document") from None
        except NoAnswer as error:
            raise FetchError(str(error)) from None

    async def _follow(
        self, address: Address, context: SSL.Context, max_size: int, timeout: float, known: Validators, redirects: int
    ) -> Document | None:
        """Ask, and follow redirects."""
        for _ in range(redirects + 1):
            answer = await self._ask(address, context, max_size, timeout, known)
            if not isinstance(answer, Address):
                return answer
            address = answer
        raise FetchError(f"more than {redirects} redirects" if redirects else "it redirects, which is not followed")

    async def _ask(
        self, address: Address, context: SSL.Context, max_size: int, timeout: float, known: Validators
    ) -> Document | Address | None:
        """Ask one server: the document, ``None`` if it has not changed, or where else to ask."""
        origin = Origin(
            servers=(Server(True, address.host, address.port),),
            connect_timeout=Seconds(timeout),
            read_timeout=Seconds(timeout + 1),  # the time for all of it is over before
            max_fails=0,
            max_idle=0,
            next_upstream=("off",),
        )
        pool = OriginPool(address.host, origin, context, verify_origin, self.reactor, self.deadlines, TLSOpening)
        try:
            answer = await OriginClient(pool, timeout).ask("GET", address.url, _headers(known), most=max_size)
        finally:
            pool.abort()
        if answer.status in _REDIRECTS:
            return _redirected(address, answer)
        if answer.status == 304 and known != Validators():
            return None
        if answer.status != 200:
            raise FetchError(f"the server answers {answer.status}")
        return Document(answer.content, Validators.of(answer.headers))


def _headers(known: Validators) -> Headers:
    headers = Headers()
    if known.etag:
        headers.addRawHeader(b"if-none-match", known.etag.encode("latin-1"))
    if known.last_modified:
        headers.addRawHeader(b"if-modified-since", known.last_modified.encode("latin-1"))
    return headers


def _single(headers: Headers, name: bytes) -> str:
    """The value of a header, empty if there is none, or several, or one that cannot be sent back."""
    values = headers.getRawHeaders(name, [])
    text = values[0].decode("latin-1") if len(values) == 1 else ""
    return text if text.isprintable() and len(text) <= _LONGEST_VALIDATOR else ""


def _redirected(address: Address, answer: Answer) -> Address:
    values = answer.headers.getRawHeaders(b"location", [])
    location = values[0].decode("latin-1") if len(values) == 1 else ""
    if not location:
        raise FetchError(f"the server answers {answer.status}, without a place to look")
    try:
        url, _ = urllib.parse.urldefrag(urllib.parse.urljoin(address.url, location))
        return read_address(url)
    except ValueError:  # of urllib, and InvalidValue
        raise FetchError(f"redirected to {location[:200]!r}, which is no https address") from None
