"""A document fetched by the node itself, such as a datafeed.

Law: every connection is verified, also after a redirect; and no server can make the node hold more bytes, or wait
longer, than ``max-size`` and ``fetch-timeout`` allow.
"""

from __future__ import annotations

import urllib.parse
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

from attrs import field, frozen
from OpenSSL import SSL
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.threads import deferToThreadPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from edgenode.model.errors import OriginError
from edgenode.model.settings import Seconds
from edgenode.model.urls import Address, read_address
from edgenode.net.deadlines import Deadlines
from edgenode.proxy.origin.agent import OriginAgent
from edgenode.proxy.origin.bounded_body import BoundedBody, Incomplete, TooLarge
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

_MOST_MEMBERS = 1000
"""Parts of a gzip; each costs some time, however small it is."""

_PIECE = 1 << 16
"""Bytes that are unpacked in one go: of what stands behind a member a copy is made."""


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
        try:
            fetching = Deferred.fromCoroutine(self._follow(address, context, max_size, timeout, known, redirects))
            return await fetching.addTimeout(timeout, self.reactor)
        except TimeoutError:
            raise FetchError(f"not there within {timeout:g} s") from None
        except Exception as error:
            origin_error = OriginError.of(error)
            if origin_error is None:
                raise
            raise FetchError(origin_error.reason) from None

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
            response = await OriginAgent(pool).request(b"GET", address.url.encode("ascii"), _headers(known))
            if response.code in _REDIRECTS:
                return _redirected(address, response)
            if response.code == 304 and known != Validators():
                return None
            if response.code != 200:
                raise FetchError(f"the server answers {response.code}")
            body = BoundedBody(max_size)
            response.deliverBody(body)
            data = await body.done
        except TooLarge:
            raise FetchError("it is larger than max-size") from None
        except Incomplete:
            raise FetchError("the connection ended before the document") from None
        finally:
            pool.abort()
        coding = _single(response.headers, b"content-encoding").lower()
        if coding in ("gzip", "x-gzip"):
            data = await self.in_thread(unpack, data, max_size)
        elif coding not in ("", "identity"):
            raise FetchError(f"packed as {coding!r}, which was not asked for")
        return Document(data, Validators.of(response.headers))


def _headers(known: Validators) -> Headers:
    headers = Headers({b"accept": [b"*/*"], b"accept-encoding": [b"gzip"], b"user-agent": [b"edgenode"]})
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


def _redirected(address: Address, response: IResponse) -> Address:
    values = response.headers.getRawHeaders(b"location", [])
    location = values[0].decode("latin-1") if len(values) == 1 else ""
    if not location:
        raise FetchError(f"the server answers {response.code}, without a place to look")
    try:
        url, _ = urllib.parse.urldefrag(urllib.parse.urljoin(address.url, location))
        return read_address(url)
    except ValueError:  # of urllib, and InvalidValue
        raise FetchError(f"redirected to {location[:200]!r}, which is no https address") from None


def unpack(data: bytes, most: int) -> bytes:
    """Unpack gzip (RFC 1952), of several members too.

    :param most: bytes that may come out.
    :raises FetchError: if there are more, or it is damaged.
    """
    unpacked = bytearray()
    at = members = 0
    try:
        while at < len(data):
            members += 1
            if members > _MOST_MEMBERS:
                raise FetchError(f"its gzip has more than {_MOST_MEMBERS} members")
            member = zlib.decompressobj(31)
            while not member.eof:
                piece = data[at : at + _PIECE]
                if not piece:
                    raise FetchError("its gzip ends too early")
                unpacked += member.decompress(piece, most + 1 - len(unpacked))
                if len(unpacked) > most:
                    raise FetchError("unpacked it is larger than max-size")
                at += len(piece) - len(member.unused_data)
    except zlib.error:
        raise FetchError("its gzip is damaged") from None
    return bytes(unpacked)
