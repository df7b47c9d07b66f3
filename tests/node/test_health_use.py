"""Health checks and new client certificates of a running node, with servers that others wrote."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal

import pytest

from tests.support.certificates import make_authority, write_pem
from tests.support.node import PKI, Changes, get, started, until
from tests.support.real_origins import nginx, s_server

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")

CHECK: Changes = {"health-check page": {"interval": "50ms", "jitter": "0", "rise": "10", "body": "CN="}}
CHECKED: Changes = {**CHECK, "origin origin": {"health-check": "page"}}
ANOTHER: Changes = {"certificate edge-client": {"chain": "next.pem", "key": "next.key", "authorities": None}}


@pytest.fixture
def pki(tmp_path: pathlib.Path) -> PKI:
    """The certificates; the next one of ours is of an authority that the origin does not know yet."""
    pki = PKI.make(tmp_path)
    successor = make_authority("Successor")
    successor.issue("edge next").write(pki.folder, "next")
    write_pem(pki.folder / "both.pem", [pki.servers, successor])
    return pki


@needs_nginx
async def test_a_new_certificate_waits_until_the_origin_accepts_it(pki: PKI) -> None:
    """Refused by an nginx, which says so over HTTP, it takes no traffic down; once accepted it is used, and between
    the two no request fails."""
    clients = pki.folder / "clients.pem"
    write_pem(clients, [pki.servers])
    with nginx(pki.folder, master=True, clients=clients.name) as port:
        async with started(pki, port, CHECKED) as node:

            async def subject() -> str:
                answer = await node.exchange(get("/", "open.test", close=True))
                assert answer.startswith(b"HTTP/1.1 200 "), answer
                return answer.rpartition(b"\r\n\r\n")[2].decode().partition(" GET")[0]

            (pool,) = node.service.pools.values()
            assert await subject() == "CN=edge as a client"
            await node.reload(port, {**CHECKED, **ANOTHER})
            assert list(node.service.pools.values()) == [pool]
            while pool.standing.trial is None or not pool.standing.trial.refusals:
                assert await subject() == "CN=edge as a client"
            (why,) = pool.standing.trial.refusals.values()
            assert why == "it answers 400, which it does not to the certificate in use"
            shutil.copy(pki.folder / "both.pem", clients)
            os.kill(int((pki.folder / "nginx.pid").read_text()), signal.SIGHUP)
            while pool.standing.trial is not None:
                assert await subject() in ("CN=edge as a client", "CN=edge next")
            assert await subject() == "CN=edge next"
            assert pool.certificate is not None
            await node.reload(port, {**CHECKED, **ANOTHER})
            assert list(node.service.pools.values()) == [pool]


@needs_openssl
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("type", ["http", "tcp"])
async def test_an_alert_is_a_refusal(pki: PKI, version: str, type: str) -> None:
    """In either version of TLS, with either check, and it is told by name; so is whom the server would accept."""
    check = {"type": type, "interval": "50ms", "timeout": "5s"}
    changes: Changes = {"health-check page": check, "origin origin": {"health-check": "page"}}
    with s_server(pki.folder, version) as port:
        async with started(pki, port, changes) as node:
            (pool,) = node.service.pools.values()
            (server,) = pool.balancer.servers
            await until(lambda: server.text in pool.standing.checks)
            shaken = pool.standing.handshakes[server.text]
            assert (shaken.asked, shaken.accepted, shaken.presented) == (True, True, "CN=edge as a client")
            assert shaken.version == {"-tls1_2": "TLSv1.2", "-tls1_3": "TLSv1.3"}[version]
            assert shaken.not_after is not None
            assert shaken.authorities == ("CN=Servers",)
            await node.reload(port, {**changes, **ANOTHER})
            await until(lambda: pool.standing.trial is not None and pool.standing.trial.refusals)
            assert pool.standing.trial is not None
            (why,) = pool.standing.trial.refusals.values()
            assert why.startswith("the origin refused our certificate: ")
            assert server.healthy


@needs_openssl
async def test_a_server_that_is_gone_is_down(pki: PKI) -> None:
    """By the first check, for what is known of it stays over a reload; without checks it is up again."""
    with s_server(pki.folder) as port:
        pass
    async with started(pki, port, CHECKED) as node:
        (pool,) = node.service.pools.values()
        (server,) = pool.balancer.servers
        await until(lambda: not server.healthy)
        await node.reload(port, {**CHECKED, "health-check page": {"interval": "1h"}})
        assert list(node.service.pools.values()) == [pool]
        assert not server.healthy
        await node.reload(port)
        assert server.healthy
