"""One connection, one policy: judged under one it is served under no other, neither by Host nor by a TLS session."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import frozen

from edgenode.proxy.listener import client_session
from tests.support.certificates import make_authority, now
from tests.support.handshakes import client as client_context
from tests.support.handshakes import resumed
from tests.support.node import PKI, Answer, Node, Origin, get, in_thread, running

pytestmark = pytest.mark.lasting

FORGED = (
    "Client-Cert", "client-cert", "CLIENT-CERT", "Client_Cert", "client_cert", "Client.Cert", "Client--Cert",
    "Client*Cert", "_Client_Cert", "Client-Cert-", "Client-Cert-Chain", "CLIENT_CERT_CHAIN",
    "X-Client-Cert", "X_Client_Cert", "X-Client-Certificate", "X-ClientCert", "X-Client-DN", "X-Client-Verify",
    "X-Forwarded-Client-Cert", "x_forwarded_client_cert", "X.Forwarded.Client.Cert", "X-Forwarded-Client-Cert-Chain",
    "X-Forwarded-Tls-Client-Cert", "X-Forwarded-Tls-Client-Cert-Info", "X-Forwarded-Ssl-Client-Cert",
    "SSL-Client-Cert", "SSL_CLIENT_CERT", "SSL_CLIENT_S_DN", "SSL-Client-S-DN", "Ssl.Client.S.Dn", "SSL_CLIENT_VERIFY",
    "SSL-Client-Subject-DN", "SSL_CLIENT_I_DN", "SSL_CLIENT_M_SERIAL", "SSL_CLIENT_CERT_CHAIN_0", "SSL_CERT",
    "X-SSL-Client-Verify", "X-SSL-Client-Cert", "x_ssl_client_s_dn", "X-SSL-Client-CN", "X-SSL-Cert", "X-SSL-Subject",
    "X-TLS-Client-Cert", "X-Mtls-Subject", "X-Amzn-Mtls-Clientcert", "X-Amzn-Mtls-Clientcert-Leaf", "X-ARR-ClientCert",
    "X-Goog-Client-Cert-Present", "Cf-Client-Cert-Sha256", "Cf-Cert-Verified", "Cf_Cert_Revoked",
    "WL-Proxy-Client-Cert", "WL-Proxy-SSL",
)  # fmt: skip
"""Names under which this or that server takes a client certificate's facts from a header, and spellings of them."""


@frozen(eq=False)
class Front:
    """A node and its origin."""

    node: Node
    origin: Origin
    pki: PKI


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A node with every mode of mTLS."""
    pki = PKI.make(tmp_path_factory.mktemp("pki"))
    with Origin(pki) as origin, running(pki, origin) as node:
        yield Front(node, origin, pki)


async def visit(front: Front, name: str, *hosts: str, **options: Any) -> list[Answer]:
    """The answers to one request for each host, on one connection whose SNI is ``name``."""

    def ask() -> list[Answer]:
        with front.node.client(name, **options) as client:
            return [client.ask(get("/", host)) for host in hosts]

    answers: list[Answer] = await in_thread(ask)
    return answers


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(
    "host", ["optional.test", "lenient.test", "strict.test", "STRICT.TEST", "strict.test.", "strict.test:443"]
)
async def test_sni_open_and_host_protected_is_misdirected(front: Front, host: str, version: str) -> None:
    """Who was let in without a certificate is not served under a name that asks for one, however it is spelled."""
    (answer,) = await visit(front, "open.test", host, version=version)
    (event,) = await front.node.events.take()
    assert answer.status == 421
    assert b"Connection: close" in answer.head
    assert (event["status"], event["error"]["status"]) == (421, 421)
    assert front.origin.take() == []


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("host", ["open.test", "optional.test", "lenient.test"])
async def test_sni_strict_and_host_another_is_misdirected(front: Front, host: str, version: str) -> None:
    """A good certificate shown to one name opens no other that judges clients differently."""
    (answer,) = await visit(front, "strict.test", host, version=version, chain=[front.pki.client])
    await front.node.events.take()
    assert answer.status == 421
    assert front.origin.take() == []


@pytest.mark.parametrize(("name", "host"), [("open.test", "other.test"), ("strict.test", "twin.test")])
async def test_another_host_with_the_same_policy_is_served(front: Front, name: str, host: str) -> None:
    """A connection serves every name whose clients are judged alike; the event names the group that served."""
    first, second = await visit(front, name, name, host, chain=[front.pki.client])
    events = await front.node.events.take(2)
    assert (first.status, second.status) == (200, 200)
    assert [f"{event['server_group']}.test" for event in events] == [name, host]
    assert [request.split(b"\r\n")[1] for request in front.origin.take()] == [
        f"Host: {h}".encode() for h in (name, host)
    ]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_keep_alive_switching_host_is_misdirected(front: Front, version: str) -> None:
    """A second request on a kept connection is judged by its own Host: 421, and the connection is closed."""
    first, second = await visit(front, "open.test", "open.test", "strict.test", version=version)
    await front.node.events.take(2)
    assert (first.status, second.status) == (200, 421)
    assert len(front.origin.take()) == 1


@pytest.mark.parametrize("host", ["unknown.test", "open.test.evil.test", "127.0.0.1", "[::1]", "a.open.test"])
async def test_an_unknown_host_is_misdirected(front: Front, host: str) -> None:
    """A Host that no server group has is not served."""
    (answer,) = await visit(front, "open.test", host)
    await front.node.events.take()
    assert answer.status == 421
    assert front.origin.take() == []


@pytest.mark.parametrize("target", ["https://strict.test/", "HTTPS://STRICT.test:443/"])
async def test_an_absolute_target_is_no_way_around(front: Front, target: str) -> None:
    """A protected name in an absolute target is refused, with the Host of the connection and with its own."""
    for host in ("open.test", target.split("/")[2]):
        assert (await front.node.exchange(get(target, host))).startswith(b"HTTP/1.1 421 ")
    await front.node.events.take(2)
    assert front.origin.take() == []


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("target", ["optional", "lenient", "strict", "other"])
async def test_a_session_of_one_group_does_not_resume_in_another(front: Front, target: str, version: str) -> None:
    """A session of the open group resumes there and nowhere else; the strict group still asks for a certificate."""

    def attempt() -> tuple[bool, bool, int]:
        context = client_context(version=version)
        with front.node.client("open.test", context=context) as client:
            client.ask(get("/"))
            session = client.tls.get_session()
        with front.node.client("open.test", context=context, session=session) as client:
            at_home = resumed(client.tls)
            client.ask(get("/"))
            session = client.tls.get_session()
        with front.node.client(f"{target}.test", context=context, session=session) as client:
            return at_home, resumed(client.tls), client.ask(get("/", f"{target}.test")).status

    at_home, elsewhere, status = await in_thread(attempt)
    *_, event = await front.node.events.take(3)
    assert at_home, "the session can be resumed at all"
    assert not elsewhere
    assert status == (400 if target == "strict" else 200)
    assert event["certificate"]["verify"] == "NONE"
    front.origin.take()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("group", ["optional", "lenient", "strict"])
async def test_no_ticket_is_honoured_where_a_certificate_is_asked_for(front: Front, group: str, version: str) -> None:
    """A client that showed its certificate must show it again: its session resumes nowhere, not even at home."""

    def attempt() -> list[tuple[bool, int]]:
        context, session, found = client_context(version=version, chain=[front.pki.client]), None, []
        for _ in range(2):
            with front.node.client(f"{group}.test", context=context, session=session) as client:
                status = client.ask(get("/", f"{group}.test")).status
                found.append((resumed(client.tls), status))
                session = client.tls.get_session()
        return found

    assert await in_thread(attempt) == [(False, 200), (False, 200)]
    events = await front.node.events.take(2)
    assert [event["certificate"]["verify"] for event in events] == ["SUCCESS", "SUCCESS"]
    front.origin.take()


@pytest.mark.parametrize("group", ["strict", "lenient"])
async def test_a_client_that_expires_does_not_live_on_in_a_kept_connection(
    front: Front, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its certificate expires after the handshake, a client's next request is refused; with ``optional-no-ca`` it
    is known to be expired."""
    ahead = 0.0
    monkeypatch.setattr(client_session, "time", SimpleNamespace(time=lambda: time.time() + ahead))
    issuer = front.pki.clients if group == "strict" else make_authority("Unknown")
    brief = issuer.issue("brief", not_after=now() + datetime.timedelta(hours=1))
    with await in_thread(front.node.client, f"{group}.test", chain=[brief]) as client:
        assert (await in_thread(client.ask, get("/", f"{group}.test"))).status == 200
        ahead = 3601.0
        status = (await in_thread(client.ask, get("/", f"{group}.test"))).status
    _, event = await front.node.events.take(2)
    assert event["certificate"]["verify"] == "FAILED:certificate has expired"
    served = front.origin.take()
    if group == "strict":
        assert (status, event["error"]["status"], len(served)) == (400, 495, 1)
    else:
        assert (status, event["error"], len(served)) == (200, None, 2)


@pytest.mark.parametrize("group", ["open", "strict"])
@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_certificate_header_does_not_arrive(front: Front, name: str, group: str) -> None:
    """What claims to be about the client's certificate is not passed on, whoever sends it; the request is served."""
    data = get("/", f"{group}.test", "X-Before: before", f"{name}: forged", "X-After: after", close=True)
    received = await front.node.exchange(data, f"{group}.test", chain=[front.pki.client])
    await front.node.events.take()
    (request,) = front.origin.take()
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"forged" not in request
    assert name.lower().encode() not in request.lower()
    assert b"X-Before: before\r\nX-After: after\r\n" in request


async def test_a_forged_certificate_header_does_not_arrive_as_a_trailer(front: Front) -> None:
    """Trailers of a request do not become fields, nor trailers, of what the origin receives."""
    data = get("/", "open.test", "Transfer-Encoding: chunked", "Trailer: Client-Cert", method="POST", close=True)
    await front.node.exchange(data + b"2\r\nhi\r\n0\r\nClient-Cert: forged\r\nX-Other: forged\r\n\r\n")
    await front.node.events.take()
    (request,) = front.origin.take()
    assert request.endswith(b"\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
    assert b"forged" not in request


async def test_a_certificate_header_cannot_be_nominated_away(front: Front) -> None:
    """``Connection: X-Forwarded-For`` does not take our own fields out of the request."""
    data = get("/", "open.test", "Connection: close, X-Forwarded-For, X-Request-Id, Via, Forwarded, Host")
    assert (await front.node.exchange(data)).startswith(b"HTTP/1.1 200 ")
    await front.node.events.take()
    (request,) = front.origin.take()
    for name in (
        b"Host: open.test",
        b"X-Forwarded-For: 127.0.0.1",
        b"X-Request-Id: ",
        b"Via: 1.1 edge-test",
        b"Forwarded: for=127.0.0.1;",
    ):
        assert b"\r\n" + name in request
