"""Documents that the node fetches itself: from the servers meant, and no more of them than was agreed."""

from __future__ import annotations

import gzip
import random
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from attrs import define
from twisted.internet.defer import CancelledError, Deferred

from edgenode.feeds.fetch import MOST_REDIRECTS, Document, Fetcher, FetchError, Validators
from edgenode.model.errors import InvalidValue
from edgenode.model.settings import File
from edgenode.model.urls import read_address
from edgenode.net.deadlines import Deadlines
from edgenode.net.poller import Poller
from edgenode.proxy.origin.bounded_body import Damaged, TooLarge, unpack
from edgenode.tls.policies import client_context
from edgenode.tls.truststores import TrustStore, load
from tests.support.certificates import SERVER, make_authority
from tests.support.node import PKI, Behaviour, Origin, Served, answering, fields, until


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """Certificates, one of them for a server of documents."""
    pki = PKI.make(tmp_path_factory.mktemp("pki"))
    server(pki, "feeds", sans=["IP:127.0.0.1", "DNS:localhost"])
    return pki


def server(pki: PKI, stem: str, **options: Any) -> None:
    """Write a server's certificate."""
    pki.servers.issue(stem, eku=[SERVER], **options).write(pki.folder, stem)


def origin(pki: PKI, behaviour: Behaviour, stem: str = "feeds") -> Origin:
    """A server of documents, which asks nobody for a certificate."""
    return Origin(pki, behaviour, stem=stem, demand=False)


def page(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An answer."""
    lines = "".join(f"{header}\r\n" for header in (*headers, f"Content-Length: {len(body)}"))
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def packed(data: bytes) -> bytes:
    """The same in gzip, without the time."""
    return gzip.compress(data, mtime=0)


@define
class Fetching:
    """A fetcher that trusts one authority."""

    fetcher: Fetcher
    context: Any

    async def __call__(
        self,
        origin: Origin,
        path: str = "/feed.txt",
        *,
        host: str = "127.0.0.1",
        max_size: int = 1000,
        timeout: float = 10.0,
        known: Validators | None = None,
    ) -> Document | None:
        """Fetch from a server of this host."""
        address = read_address(f"https://{host}:{origin.port}{path}")
        return await self.fetcher.fetch(address, self.context, max_size, timeout, known or Validators())

    async def refused(self, origin: Origin, **options: Any) -> str:
        """Why nothing was fetched."""
        with pytest.raises(FetchError) as caught:
            await self(origin, **options)
        return str(caught.value)


@pytest.fixture
def fetch(pki: PKI) -> Iterator[Fetching]:
    """A fetcher that trusts the servers' authority, with nothing left when the test is over."""
    from twisted.internet import reactor

    store, problems = load("servers", TrustStore(authorities=(File(pki.folder / "servers.pem"),)))
    assert store is not None, problems
    poller = Poller(reactor)
    deadlines = Deadlines(poller)
    yield Fetching(Fetcher(poller, deadlines), client_context(trust_store=store))
    deadlines.stop()


async def test_a_document_is_fetched(pki: PKI, fetch: Fetching) -> None:
    """With its validators, and a request that says who asks and what it can read."""
    answer = page(b"192.0.2.1\n", 'ETag: "a"', "Last-Modified: Fri, 20 Nov 2026 10:00:00 GMT")
    with origin(pki, answering(answer)) as server:
        document = await fetch(server, "/a/b?c=d")
    assert document == Document(b"192.0.2.1\n", Validators('"a"', "Fri, 20 Nov 2026 10:00:00 GMT"))
    (request,) = server.requests
    assert request.startswith(b"GET /a/b?c=d HTTP/1.1\r\n")
    assert fields(request, "host") == [f"127.0.0.1:{server.port}".encode()]
    assert fields(request, "user-agent") == [b"edgenode"]
    assert fields(request, "accept-encoding") == [b"gzip"]
    assert not fields(request, "if-none-match")


async def test_what_has_not_changed_is_not_sent(pki: PKI, fetch: Fetching) -> None:
    """The validators of the last time are sent, and 304 is no document."""
    with origin(pki, answering(page(b"", status="304 Not Modified"))) as server:
        assert await fetch(server, known=Validators('W/"a"', "Fri, 20 Nov 2026 10:00:00 GMT")) is None
    (request,) = server.requests
    assert fields(request, "if-none-match") == [b'W/"a"']
    assert fields(request, "if-modified-since") == [b"Fri, 20 Nov 2026 10:00:00 GMT"]


async def test_304_to_one_who_has_nothing_is_an_error(pki: PKI, fetch: Fetching) -> None:
    """Nobody who was told of no content can say that it is the same."""
    with origin(pki, answering(page(b"", status="304 Not Modified"))) as server:
        assert await fetch.refused(server) == "the server answers 304"


@pytest.mark.parametrize("status", ["204 No Content", "206 Partial Content", "403 Forbidden", "500 Oops", "300 Many"])
async def test_other_answers_are_errors(pki: PKI, fetch: Fetching, status: str) -> None:
    """Only 200 is a document; an error page is none."""
    with origin(pki, answering(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())) as server:
        assert await fetch.refused(server) == f"the server answers {status[:3]}"


async def test_gzip_is_unpacked(pki: PKI, fetch: Fetching) -> None:
    """Also of several members; the size that counts is that of what comes out."""
    packed = gzip.compress(b"a\n" * 300) + gzip.compress(b"b\n" * 200)
    with origin(pki, answering(page(packed, "Content-Encoding: gzip"))) as server:
        document = await fetch(server)
    assert document is not None
    assert document.data == b"a\n" * 300 + b"b\n" * 200


GZIP = "Content-Encoding: gzip"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


REFUSED: Mapping[str, tuple[bytes, str]] = {
    "too large": (page(bytes(1001)), "it is larger than max-size"),
    "too many chunks": (CHUNKED + b"1f4\r\n%b\r\n" % bytes(500) * 3, "it is larger than max-size"),
    "a bomb": (page(packed(bytes(1001)), GZIP), "unpacked it is larger than max-size"),
    "a bomb in parts": (page(packed(bytes(500)) * 3, GZIP), "unpacked it is larger than max-size"),
    "gzip cut off": (page(packed(bytes(500))[:-1], GZIP), "its gzip ends too early"),
    "more behind gzip": (page(packed(bytes(500)) + b"xx", GZIP), "its gzip is damaged"),
    "no gzip": (page(b"none", GZIP), "its gzip is damaged"),
    "another coding": (page(b"none", "Content-Encoding: br"), "packed as 'br', which was not asked for"),
    "two codings": (page(b"none", f"{GZIP}, gzip"), "packed as 'gzip, gzip', which was not asked for"),
    "cut off": (page(b"1234567890")[:-1], ".*"),
    "no length": (b"HTTP/1.1 200 OK\r\n\r\n192.0.2.1\n", "the connection ended before the document"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", ".*"),
}
"""What is no document, and what is said of it."""


@pytest.mark.parametrize("what", REFUSED)
async def test_half_documents_and_bombs_are_refused(pki: PKI, fetch: Fetching, what: str) -> None:
    """What is too large, packed or not, cut off, or damaged; also where only the connection's end would end it."""
    answer, reason = REFUSED[what]

    def behave(served: Served) -> None:
        served.request()
        served.send(answer)

    with origin(pki, behave) as server:
        assert re.fullmatch(reason, await fetch.refused(server))


def test_a_gzip_of_many_parts_is_refused() -> None:
    """Each takes some time, and millions of them fit into a small one; parts of any size make one document."""
    empty = packed(b"")
    with pytest.raises(Damaged, match="more than 1000 members"):
        unpack(empty * 200_000, 1 << 20)
    large = random.Random(1).randbytes(1 << 18)
    assert unpack(empty * 500 + packed(large) + packed(b"b"), 1 << 20) == large + b"b"


def test_a_bomb_is_not_unpacked() -> None:
    """Of a gigabyte no more comes out than was agreed."""
    bomb = gzip.compress(gzip.compress(bytes(1 << 27), 9), 9)
    inner = unpack(bomb, 1 << 20)
    with pytest.raises(TooLarge, match="unpacked"):
        unpack(inner, 1 << 20)
    assert unpack(gzip.compress(b"x" * 1000), 1000) == b"x" * 1000


def stalling(data: bytes) -> Behaviour:
    """Send this and then nothing."""

    def behave(served: Served) -> None:
        served.request()
        served.send(data)
        served.stall()

    return behave


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"])
async def test_a_slow_server_is_given_up(pki: PKI, fetch: Fetching, data: bytes) -> None:
    """Before its head and within its body; its connection is closed."""
    with origin(pki, stalling(data)) as server:
        assert await fetch.refused(server, timeout=0.2) == "not there within 0.2 s"


async def test_a_trickle_is_given_up_as_well(pki: PKI, fetch: Fetching) -> None:
    """A byte now and then resets no clock: the time is for all of it."""

    def trickle(served: Served) -> None:
        served.request()
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while served.send(b"x"):
            pass

    with origin(pki, trickle) as server:
        assert await fetch.refused(server, timeout=0.3, max_size=1 << 30) == "not there within 0.3 s"


async def test_fetching_can_be_cancelled(pki: PKI, fetch: Fetching) -> None:
    """Nothing of it is left."""
    with origin(pki, stalling(b"")) as server:
        fetching = Deferred.fromCoroutine(fetch(server))
        await until(lambda: server.requests)
        fetching.cancel()
        with pytest.raises(CancelledError):
            await fetching


# -- redirects -------------------------------------------------------------------------------------------------------


def redirect(location: str, status: int = 302) -> bytes:
    """An answer that names another place."""
    return page(b"", f"Location: {location}", status=f"{status} There")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed(pki: PKI, fetch: Fetching, status: int) -> None:
    """To another server, and to another path of the same."""
    with origin(pki, answering(page(b"found"))) as second:
        location = f"https://localhost:{second.port}/there#part"
        with origin(pki, in_turn([redirect("/elsewhere", status), redirect(location, status)])) as first:
            document = await fetch(first)
    assert document is not None
    assert document.data == b"found"
    assert [each.split()[1] for each in first.requests] == [b"/feed.txt", b"/elsewhere"]
    assert second.requests[0].startswith(b"GET /there HTTP/1.1\r\n")


def in_turn(answers: list[bytes]) -> Behaviour:
    """One of these answers on each connection, in this order; every request has its own."""

    def behave(served: Served) -> None:
        served.request()
        served.send(answers.pop(0))

    return behave


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1/feed", "file:///etc/passwd", "https://user:secret@host/", "//[", "ftp:x"]
)
async def test_a_redirect_leads_to_https_only(pki: PKI, fetch: Fetching, location: str) -> None:
    """Nothing else is asked."""
    with origin(pki, answering(redirect(location))) as server:
        assert await fetch.refused(server) == f"redirected to {location!r}, which is no https address"


async def test_a_redirect_without_a_place_is_an_error(pki: PKI, fetch: Fetching) -> None:
    """As is one with two."""
    with origin(pki, answering(page(b"", status="302 Found"))) as server:
        assert await fetch.refused(server) == "the server answers 302, without a place to look"


async def test_redirects_come_to_an_end(pki: PKI, fetch: Fetching) -> None:
    """A circle is left after some rounds."""
    with origin(pki, answering(redirect("/feed.txt"))) as server:
        assert await fetch.refused(server) == f"more than {MOST_REDIRECTS} redirects"
    assert len(server.requests) == MOST_REDIRECTS + 1


# -- certificates ----------------------------------------------------------------------------------------------------


async def test_a_server_of_another_authority_is_not_believed(pki: PKI, fetch: Fetching) -> None:
    """Not a byte is sent to it."""
    make_authority("Others").issue("feeds", eku=[SERVER], sans=["IP:127.0.0.1"]).write(pki.folder, "forged")
    with origin(pki, answering(page(b"bad")), "forged") as server:
        assert "certificate" in await fetch.refused(server)
    assert server.requests == []


async def test_a_server_of_another_name_is_not_believed(pki: PKI, fetch: Fetching) -> None:
    """Neither at first nor behind a redirect."""
    server_of_localhost = "localhost"
    server(pki, "local", sans=[f"DNS:{server_of_localhost}"])
    with origin(pki, answering(page(b"bad")), "local") as other:
        assert "; not 127.0.0.1" in await fetch.refused(other)
        with origin(pki, answering(redirect(f"https://127.0.0.1:{other.port}/"))) as first:
            assert "; not 127.0.0.1" in await fetch.refused(first)
        assert other.requests == []
        document = await fetch(other, host=server_of_localhost)
    assert document is not None


# -- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("https://example.com", "example.com", 443),
        ("https://Example.COM/a?b=%20", "example.com", 443),
        ("https://192.0.2.1:8443/", "192.0.2.1", 8443),
        ("https://[2001:db8::1]:8443/x", "2001:db8::1", 8443),
        ("HTTPS://a?b", "a", 443),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    """Host and port of an address."""
    assert (read_address(text).host, read_address(text).port) == (host, port)


@pytest.mark.parametrize(
    "text",
    ["", "example.com", "http://a/", "https:a", "https://", "https:///a", "https://a b/", "https://a/b c", "https://a/#b",
     "https://u@a/", "https://u:p@a/", "https://a:0/", "https://a:70000/", "https://a..b/", "https://-/", "https://a/\n",
     "https://a\\b/", "https://ä/", "https://a/ä"],
)  # fmt: skip
def test_no_addresses(text: str) -> None:
    """What could be read as another address than it looks is none."""
    with pytest.raises(InvalidValue):
        read_address(text)
