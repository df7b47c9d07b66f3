"""Origins on Unix sockets, in the clear and with TLS: a real nginx listens."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.web.client import readBody

from edgenode.model.errors import ConfigurationError
from edgenode.proxy.origin.server import Server
from tests.support.node import PKI, Node, get, started
from tests.support.pools import agent_to, pool_to
from tests.support.real_origins import nginx

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")

PLAIN: dict[str, str | None] = {"certificate": None, "trust-store": None, "server-name": None}


@pytest.fixture(scope="module", autouse=True)
def port(pki: PKI) -> Iterator[int]:
    """Of the nginx; beside the certificates are its ``plain.sock``, and ``tls.sock``, which asks for ours as well."""
    with nginx(pki.folder, extra=f"listen unix:{pki.folder}/tls.sock ssl;") as port:
        yield port


def origin(servers: str, **keys: str | None) -> dict[str, dict[str, str | None]]:
    """A node's changes."""
    return {"origin origin": {"servers": servers, **{name.replace("_", "-"): each for name, each in keys.items()}}}


async def ask(node: Node) -> tuple[int, bytes, dict[str, Any]]:
    """Status and body of an answer, and the event."""
    answer = await node.exchange(get("/", "open.test", close=True))
    (event,) = await node.events.take()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body, event


@pytest.mark.parametrize("scheme", ["", "http://"])
async def test_a_socket_in_the_clear_is_asked(pki: PKI, scheme: str) -> None:
    """It gets the client's Host, and the event names it; its second request goes over the kept connection."""
    path = pki.folder / "plain.sock"
    async with started(pki, 0, origin(f"{scheme}unix:{path}", **PLAIN)) as node:
        for reused in (False, True):
            status, body, event = await ask(node)
            assert (status, body) == (200, b"GET open.test")
            assert event["origin"] == {
                "name": "origin", "server": f"unix:{path}", "status": 200, "tries": 1, "reused": reused,
                "certificate": None,
            }  # fmt: skip


async def test_the_host_of_a_socket_is_localhost(pki: PKI) -> None:
    """As nginx has it for ``$proxy_host``."""
    changes = origin(f"unix:{pki.folder / 'plain.sock'}", **{**PLAIN, "host": "server"})
    async with started(pki, 0, changes) as node:
        assert (await ask(node))[:2] == (200, b"GET localhost")


async def test_a_socket_speaks_tls_too(pki: PKI) -> None:
    """Name and certificates are verified as over TCP."""
    async with started(pki, 0, origin(f"https://unix:{pki.folder / 'tls.sock'}")) as node:
        status, body, event = await ask(node)
    assert (status, body) == (200, b"CN=edge as a client GET open.test")
    assert (event["origin"]["certificate"]["subject"], event["origin"]["certificate"]["accepted"]) == (
        "CN=edge as a client", True,
    )  # fmt: skip


async def test_without_a_server_name_a_socket_has_to_be_localhost(pki: PKI) -> None:
    """The path is no name that a certificate could have."""
    async with started(pki, 0, origin(f"https://unix:{pki.folder / 'tls.sock'}", server_name=None)) as node:
        status, _, event = await ask(node)
    assert (status, event["error"]["kind"]) == (502, "certificate")
    assert event["error"]["reason"].endswith("it names origin.test; not localhost")


async def test_a_socket_that_is_not_there_leads_to_the_next_server(pki: PKI) -> None:
    """Its failures are counted like any other's: the second request passes it over."""
    gone, there = pki.folder / "gone.sock", pki.folder / "plain.sock"
    changes = origin(f"unix:{gone} weight=9, unix:{there}", **PLAIN, max_fails="1")
    async with started(pki, 0, changes) as node:
        tried = [(status, event["origin"]["tries"]) for status, _, event in [await ask(node), await ask(node)]]
    assert tried == [(200, 2), (200, 1)]
    async with started(pki, 0, origin(f"unix:{gone}", **PLAIN)) as node:
        status, _, event = await ask(node)
    assert (status, event["error"]["kind"]) == (502, "connect")
    assert event["error"]["reason"] == f"no connection to unix:{gone}: No such file or directory"


async def test_a_socket_and_a_port_are_one_origin(pki: PKI, port: int) -> None:
    """Requests are spread over both."""
    changes = origin(f"https://unix:{pki.folder / 'tls.sock'}, https://127.0.0.1:{port}")
    async with started(pki, 0, changes) as node:
        servers = [(await ask(node))[2]["origin"]["server"] for _ in range(4)]
    assert sorted(servers) == [f"127.0.0.1:{port}"] * 2 + [f"unix:{pki.folder / 'tls.sock'}"] * 2


async def test_an_agent_asks_a_socket(pki: PKI) -> None:
    """Host comes from the URI, whatever the server is."""
    with pool_to(pki, server=Server(True, str(pki.folder / "tls.sock"), 0)) as pool:
        response = await agent_to(pool).request(b"POST", b"https://shop.example/")
        assert response.code == 200
        assert await readBody(response) == b"CN=edge as a client POST shop.example"


def test_servers_in_the_clear_and_with_tls_are_not_mixed(pki: PKI) -> None:
    """Sockets neither; and what has no meaning without TLS is an error."""
    with pytest.raises(ConfigurationError, match="http and https servers cannot be mixed"):
        Node.of(pki, 0, origin("unix:/run/a.sock, https://unix:/run/b.sock"))
    with pytest.raises(ConfigurationError, match="certificate: has no meaning over http"):
        Node.of(pki, 0, origin("unix:/run/a.sock"))
