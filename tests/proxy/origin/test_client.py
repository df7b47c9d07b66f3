"""The one client of the node's own requests: treq over an origin's agent."""

from __future__ import annotations

import gzip

import pytest

from edgenode.proxy.origin.bounded_body import NoAnswer, TooLarge
from edgenode.proxy.origin.client import Failed, Late, OriginClient
from tests.support.node import PKI, Origin, Served, answering, fields
from tests.support.pools import pool_to
from tests.test_architecture import MODULES


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """Certificates."""
    return PKI.make(tmp_path_factory.mktemp("pki"))


def page(body: bytes, *headers: str) -> bytes:
    """An answer."""
    lines = "".join(f"{each}\r\n" for each in (*headers, f"Content-Length: {len(body)}"))
    return f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode() + body


async def test_it_asks_as_traffic_does(pki: PKI) -> None:
    """With the origin's client certificate, a URL as it was written, and no cookie of the answer before."""
    answer = page(gzip.compress(b"keys"), "Content-Encoding: gzip", "Set-Cookie: a=b; Path=/")
    with Origin(pki, answering(answer)) as origin, pool_to(pki, origin.port) as pool:
        client = OriginClient(pool, 10.0)
        for _ in range(2):
            url = f"https://origin.test:{origin.port}/keys?a=[1|2]&b=%7e&c="
            found = await client.ask("POST", url, {"x-a": ["1", "2"]}, b"body", most=100)
            assert (found.status, found.content) == (200, b"keys")
            assert not found.headers.hasHeader("set-cookie")
    for request in origin.requests:
        assert request.startswith(b"POST /keys?a=[1|2]&b=%7e&c= HTTP/1.1\r\n")
        assert request.endswith(b"\r\n\r\nbody")
        assert fields(request, "x-a") == [b"1", b"2"]
        assert fields(request, "cookie") == []
        assert fields(request, "accept-encoding") == [b"gzip"]


async def test_no_answer_is_held_that_is_larger_than_agreed(pki: PKI) -> None:
    """Its status is known all the same; and a packed one is not unpacked further than that."""
    bomb = page(gzip.compress(bytes(1 << 22)), "Content-Encoding: gzip")
    with Origin(pki, answering(bomb)) as origin, pool_to(pki, origin.port) as pool:
        found = await OriginClient(pool, 10.0).ask("GET", f"https://origin.test:{origin.port}/", most=1 << 16)
    assert (found.status, found.body) == (200, b"")
    with pytest.raises(TooLarge, match="unpacked"):
        _ = found.content


async def test_what_does_not_answer_is_given_up(pki: PKI) -> None:
    """With the reason; as is what cannot be reached."""

    def stall(served: Served) -> None:
        served.request()
        served.stall()

    late = pytest.raises(Late, match=r"no answer within 0\.2 s")
    with Origin(pki, stall) as origin, pool_to(pki, origin.port) as pool, late:
        await OriginClient(pool, 0.2).ask("GET", f"https://origin.test:{origin.port}/")
    with pool_to(pki, origin.port) as pool, pytest.raises(Failed) as caught:
        await OriginClient(pool, 10.0).ask("GET", f"https://origin.test:{origin.port}/")
    assert isinstance(caught.value, NoAnswer)
    assert caught.value.error.kind == "connect"


def test_there_is_no_other_client() -> None:
    """No module but this one makes requests by treq, or by an agent or client of another library."""
    others = [
        name
        for name, text in MODULES.items()
        if any(word in text for word in ("import treq", "from treq", "urllib.request", "import Agent", "http.client"))
    ]
    assert set(others) <= {"edgenode.proxy.origin.client", "edgenode.testing.node"}, others
