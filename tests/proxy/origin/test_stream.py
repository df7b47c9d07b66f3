"""Streams to servers that take no HTTP: opened and verified like any connection to an origin, written, read, ended."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from edgenode.model.errors import OriginError
from edgenode.model.settings import Seconds, Word
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.origin.stream import MOST_UNREAD, Stream, open_stream
from tests.support.certificates import make_authority
from tests.support.handshakes import trusted
from tests.support.node import PKI, Origin, Served
from tests.support.pools import pool_to

Behave = Callable[[Served], None]
BOTH = pytest.mark.parametrize("tls", [True, False], ids=["tls", "tcp"])


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """The certificates."""
    return PKI.make(tmp_path_factory.mktemp("pki"))


def take_all(served: Served) -> None:
    """Read to the end, and end."""
    served.stall()
    served.notify()


def talk(served: Served) -> None:
    """Greet, and say back what was said."""
    served.send(b"220 mail.test\r\n")
    while data := served.receive():
        served.send(b"250 " + data)
    served.notify()


@pytest.fixture
def serve(pki: PKI) -> Iterator[Callable[..., Origin]]:
    """Make servers; they are over at the end."""
    made: list[Origin] = []

    def make(behave: Behave, tls: bool = True) -> Origin:
        made.append(Origin(pki, behave, tls=tls))
        return made[-1]

    yield make
    for each in made:
        each.close()


async def fails(waiting: Deferred[object] | Deferred[None] | Deferred[bytes]) -> OriginError:
    """With which error it does."""
    with pytest.raises(OriginError) as caught:
        await waiting
    return caught.value


async def refused(pool: OriginPool) -> OriginError:
    """Why no stream can be had; nothing is left of it."""
    with pytest.raises(OriginError) as caught:
        await open_stream(pool)
    assert pool.open == 0
    return caught.value


@BOTH
async def test_all_that_was_written_has_been_read_when_the_end_is_answered(
    pki: PKI, serve: Callable[..., Origin], tls: bool
) -> None:
    """Small writes and large ones; with our certificate; and nothing is left of the connection."""
    server = serve(take_all, tls)
    parts = [b"<134>1 a", b"x" * 3_000_000, b"\n"]
    with pool_to(pki, server.port, tls=tls, stream=True) as pool:
        stream = await open_stream(pool)
        for each in parts:
            await stream.write(each)
        await stream.end()
        assert pool.open == 0
    assert server.received == b"".join(parts)
    assert server.peers == (["edge as a client"] if tls else [""])


@BOTH
async def test_lines_are_read_one_by_one(pki: PKI, serve: Callable[..., Origin], tls: bool) -> None:
    """With LF or CR and LF at their ends, however they come."""
    server = serve(talk, tls)
    with pool_to(pki, server.port, tls=tls, stream=True) as pool:
        stream = await open_stream(pool)
        assert await stream.read_line() == b"220 mail.test"
        await stream.write(b"EHLO a\nQUIT\r\n")
        assert [await stream.read_line(), await stream.read_line()] == [b"250 EHLO a", b"QUIT"]
        await stream.end()


@BOTH
async def test_who_ends_first_has_not_read_everything(pki: PKI, serve: Callable[..., Origin], tls: bool) -> None:
    """The server's proper end is none if it comes before ours."""
    server = serve(lambda served: served.notify(), tls)
    with pool_to(pki, server.port, tls=tls, stream=True) as pool:
        stream = await open_stream(pool)
        error = await fails(stream.read_line())
        assert (error.kind, error.sent) == ("reset", True)
        again = await fails(stream.write(b"a"))
        assert again is error
        assert pool.open == 0


@BOTH
@pytest.mark.parametrize("bare", [False, True])
async def test_a_server_that_closes_with_bytes_unread_has_not_taken_them(
    pki: PKI, serve: Callable[..., Origin], tls: bool, bare: bool
) -> None:
    """Even if it says close_notify before: the reset of TCP tells."""

    def deaf(served: Served) -> None:
        served.receive()
        time.sleep(0.2)  # the rest of it, and the end, lie in its kernel by then
        if isinstance(served._sock, ssl.SSLSocket) and not bare:
            served._sock.setblocking(False)
            served.notify()

    server = serve(deaf, tls)
    with pool_to(pki, server.port, tls=tls, stream=True) as pool:
        stream = await open_stream(pool)
        await stream.write(b"first")
        await stream.write(b"x" * 100_000)
        assert (await fails(stream.end(bare=bare))).kind == "reset"


async def test_a_server_that_had_closed_before_the_bytes_came_has_not_taken_them(
    pki: PKI, serve: Callable[..., Origin]
) -> None:
    """Its end was on the way when they were written; the kernel at its side never acknowledges them."""
    server = serve(lambda served: None, tls=False)
    with pool_to(pki, server.port, tls=False, stream=True) as pool:
        stream = await open_stream(pool)
        for thread in server._threads:
            thread.join()  # and the reactor has heard nothing of it
        await stream.write(b"x" * 100)
        assert (await fails(stream.end())).kind == "reset"


async def test_a_bare_fin_is_an_answer_in_tls_only_if_that_will_do(pki: PKI, serve: Callable[..., Origin]) -> None:
    """For anybody on the way could have sent it."""
    server = serve(Served.stall)
    with pool_to(pki, server.port, stream=True) as pool:
        stream = await open_stream(pool)
        await stream.write(b"a")
        error = await fails(stream.end())
        assert error.kind == "reset"
        stream = await open_stream(pool)
        await stream.write(b"b")
        await stream.end(bare=True)
    assert server.received == b"ab"


async def test_the_name_is_verified_before_a_byte_is_written(pki: PKI, serve: Callable[..., Origin]) -> None:
    """A server of another name, or of an authority that is not trusted, gets nothing."""
    server = serve(take_all)
    with pool_to(pki, server.port, stream=True, server_name=Word("other.test")) as pool:
        assert (await refused(pool)).kind == "certificate"
    with pool_to(pki, server.port, stream=True, trust_store=trusted(make_authority("Strangers"))) as pool:
        assert (await refused(pool)).kind == "certificate"
    assert server.received == b""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_refused_certificate_is_told_as_such(
    pki: PKI, serve: Callable[..., Origin], version: ssl.TLSVersion
) -> None:
    """In TLS 1.3 too, where the handshake is done by then."""
    server = serve(take_all)
    server.context.maximum_version = version
    stranger = make_authority("Strangers").issue("a stranger")
    with pool_to(pki, server.port, stream=True, certificate=stranger) as pool:

        async def send() -> None:
            stream = await open_stream(pool)
            await stream.write(b"a")
            await stream.end()

        error = await fails(Deferred.fromCoroutine(send()))
        assert (error.kind, error.reason) == ("handshake", "the origin refused our certificate: unknown ca")


async def test_the_next_server_is_tried(pki: PKI, serve: Callable[..., Origin]) -> None:
    """As next-upstream has it; and what fails is passed over for a while."""
    server, dead = serve(take_all), serve(take_all)
    dead.close()
    dead.close = lambda: None  # type: ignore[method-assign]
    with pool_to(pki, dead.port, server.port, stream=True, max_fails=1) as pool:
        for _ in range(3):
            stream = await open_stream(pool)
            assert stream.server.server.port == server.port
            await stream.end()
    with pool_to(pki, dead.port, server.port, stream=True, next_upstream=("off",)) as pool:
        assert (await refused(pool)).kind == "connect"


@pytest.mark.parametrize("what", ["read", "end", "write"])
async def test_nobody_waits_for_ever(pki: PKI, serve: Callable[..., Origin], what: str) -> None:
    """For a line, for the end, or for room to write."""
    going: list[bool] = []

    def idle(served: Served) -> None:
        while not going:
            time.sleep(0.01)

    server = serve(idle)
    with pool_to(pki, server.port, stream=True, read_timeout=Seconds(0.1), send_timeout=Seconds(0.1)) as pool:
        stream = await open_stream(pool)
        try:
            waiting: Deferred[object] = {
                "read": stream.read_line, "end": stream.end, "write": lambda: stream.write(b"x" * 20_000_000),
            }[what]()  # type: ignore[operator]  # fmt: skip
            assert (await fails(waiting)).kind == "timeout"
            assert pool.open == 0
        finally:
            going.append(True)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_an_end_of_tls_alone_is_none(pki: PKI, serve: Callable[..., Origin], cancelled: bool) -> None:
    """Whoever waits for the end of the connection as well does so for ``read-timeout``, or until he gives up."""
    going: list[bool] = []

    def linger(served: Served) -> None:
        take_all(served)
        while not going:
            time.sleep(0.01)

    server = serve(linger)
    with pool_to(pki, server.port, stream=True, read_timeout=Seconds(0.5)) as pool:
        try:
            stream = await open_stream(pool)
            ending = stream.end()
            if cancelled:
                while stream._last is None:
                    await deferLater(pool.reactor, 0.01)
                ending.cancel()
                with pytest.raises(CancelledError):
                    await ending
            else:
                assert "no end of the connection" in (await fails(ending)).reason
            assert not pool.deadlines._watched
        finally:
            going.append(True)


async def test_what_a_server_sends_has_bounds(pki: PKI, serve: Callable[..., Origin]) -> None:
    """A line that is too long, and a flood that nobody reads, end the stream."""

    def flood(served: Served) -> None:
        served.send(b"x" * MOST_UNREAD * 4)
        served.stall()

    server = serve(flood)
    with pool_to(pki, server.port, stream=True) as pool:
        stream = await open_stream(pool)
        assert (await fails(stream.read_line(100))).kind == "invalid"
        stream = await open_stream(pool)
        assert (await fails(stream.read_line(10**9))).kind == "invalid"


async def test_who_no_longer_wants_it_leaves_nothing(pki: PKI, serve: Callable[..., Origin]) -> None:
    """Cancelled while it is opened, or while a line is waited for."""
    server = serve(Served.stall)
    with pool_to(pki, server.port, stream=True) as pool:
        opening = Deferred.fromCoroutine(open_stream(pool))
        opening.cancel()
        with pytest.raises(CancelledError):
            await opening
        assert pool.open == 0
        stream: Stream = await open_stream(pool)
        line = stream.read_line()
        line.cancel()
        with pytest.raises(CancelledError):
            await line
        assert pool.open == 0
