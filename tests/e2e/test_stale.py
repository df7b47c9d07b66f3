"""Nothing stale is served: a client is judged anew on its open connection when time or a reload changed something."""

from __future__ import annotations

import datetime
import time
from types import SimpleNamespace
from typing import Any

import pytest

from edgenode.proxy.listener import client_session
from tests.support.certificates import DAY, Issued, key_identifier, make_authority, now, write_pem
from tests.support.node import PKI, Answer, Changes, Client, Origin, get, in_thread, started

VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])
HOUR = datetime.timedelta(hours=1)
REFUSED = b"400 The SSL certificate error\n"


@pytest.fixture
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """The certificates, and lists in which nobody is revoked."""
    pki = PKI.make(tmp_path_factory.mktemp("pki"))
    write_pem(pki.folder / "empty.crl", [pki.clients.crl()])
    return pki


class Clock:
    """The node's clock for open connections; handshakes go by the kernel's."""

    def __init__(self) -> None:
        self.ahead = datetime.timedelta()

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self.ahead.total_seconds()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Its hands can be turned."""
    clock = Clock()
    monkeypatch.setattr(client_session, "time", SimpleNamespace(time=clock.time))
    return clock


def with_crl(name: str, **keys: str) -> Changes:
    """The trust store with a file of lists."""
    return {"trust-store clients": {"crl": name, **keys}}


async def ask(client: Client) -> Answer:
    """Send a request on a kept connection, the same each time: what repeats itself is judged all the same."""
    answer: Answer = await in_thread(client.ask, get("/", "strict.test"))
    return answer


async def served(client: Client) -> None:
    """The connection is good, for a request and its repetition."""
    assert [(await ask(client)).status for _ in range(2)] == [200, 200]


async def refused(node: Any, client: Client, words: str, more: str = "") -> None:
    """The next request on the connection is refused, never reaches the origin, and the event says why."""
    await node.events.take(len(node.events.told))
    answer = await ask(client)
    assert (answer.status, answer.body) == (400, REFUSED)
    (event,) = await node.events.take()
    assert event["error"] == {"fault": "client", "status": 495, "reason": f"client certificate: {words}{more}"}
    assert event["certificate"]["verify"] == f"FAILED:{words}"
    assert event["certificate"]["revoked"] is (words == "certificate revoked")
    assert await in_thread(client.rest) == b""


def connection(node: Any, version: str, *chain: Issued) -> Any:
    """A connection to the group that demands a certificate, in a thread."""
    return in_thread(node.client, "strict.test", version=version, chain=chain)


@VERSIONS
async def test_a_client_certificate_that_expires(pki: PKI, origin: Origin, clock: Clock, version: str) -> None:
    """In the last second of its validity it is served, and no more after it."""
    alice = pki.clients.issue("CN=Alice", not_after=now() + HOUR)
    async with started(pki, origin) as node:
        with await connection(node, version, alice) as client:
            await served(client)
            clock.ahead = alice.certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC) - 0.1 * HOUR
            await served(client)
            clock.ahead = HOUR + datetime.timedelta(seconds=1)
            await refused(node, client, "certificate has expired")
    assert len(origin.take()) == 4


@VERSIONS
async def test_an_authority_that_expires(pki: PKI, origin: Origin, clock: Clock, version: str) -> None:
    """Nor does a certificate outlive its issuer."""
    authority = make_authority("Brief", not_after=now() + HOUR)
    write_pem(pki.folder / "clients.pem", [authority])
    async with started(pki, origin) as node:
        with await connection(node, version, authority.issue()) as client:
            await served(client)
            clock.ahead = 2 * HOUR
            await refused(node, client, "certificate has expired")


@VERSIONS
async def test_one_expires_after_another(pki: PKI, origin: Origin, clock: Clock, version: str) -> None:
    """To have looked at one client again does not stop the clock for the next."""
    early, late = (pki.clients.issue(not_after=now() + hours * HOUR) for hours in (1, 3))
    async with started(pki, origin) as node:
        with await connection(node, version, early) as one, await connection(node, version, late) as other:
            await served(one)
            await served(other)
            clock.ahead = 2 * HOUR
            await refused(node, one, "certificate has expired")
            await served(other)
            clock.ahead = 4 * HOUR
            await refused(node, other, "certificate has expired")


@VERSIONS
async def test_a_clock_that_goes_back(pki: PKI, origin: Origin, clock: Clock, version: str) -> None:
    """Before its first second a certificate is not valid, also if it was when the connection began."""
    async with started(pki, origin) as node:
        with await connection(node, version, pki.client) as client:
            await served(client)
            clock.ahead = -2 * DAY
            await refused(node, client, "certificate is not yet valid or the system clock is incorrect")


@VERSIONS
async def test_a_client_revoked_by_a_list_that_arrives(pki: PKI, origin: Origin, version: str) -> None:
    """A list that a reload brings counts for the next request; who is not in it stays."""
    other = pki.clients.issue("CN=Bob")
    write_pem(pki.folder / "new.crl", [pki.clients.crl([pki.client])])
    async with started(pki, origin, with_crl("empty.crl")) as node:
        with await connection(node, version, pki.client) as alice, await connection(node, version, other) as bob:
            await served(alice)
            await served(bob)
            await node.reload(origin, with_crl("new.crl"))
            await refused(node, alice, "certificate revoked")
            await served(bob)


@VERSIONS
async def test_a_trust_store_that_is_replaced(pki: PKI, origin: Origin, version: str) -> None:
    """A client whose authority is believed no more is refused; one that has a path to the new one is served."""
    fresh = make_authority("Clients")
    alice = pki.clients.issue("CN=Alice", extensions=[key_identifier(pki.clients)])
    write_pem(pki.folder / "other.pem", [fresh])
    write_pem(pki.folder / "both.pem", [fresh, pki.clients])
    async with started(pki, origin) as node:
        with await connection(node, version, alice) as client:
            await served(client)
            await node.reload(origin, {"trust-store clients": {"authorities": "both.pem"}})
            await served(client)
            await node.reload(origin, {"trust-store clients": {"authorities": "other.pem"}})
            await refused(node, client, "unable to get local issuer certificate")


@VERSIONS
@pytest.mark.parametrize("stale", ["refuse", "accept"])
async def test_a_list_that_goes_stale(pki: PKI, origin: Origin, clock: Clock, stale: str, version: str) -> None:
    """Past its date a list refuses everybody, or with ``crl-stale = accept`` those whom it revokes."""
    bob = pki.clients.issue("CN=Bob")
    write_pem(pki.folder / "brief.crl", [pki.clients.crl(next_update=now() + HOUR)])
    write_pem(pki.folder / "old.crl", [pki.clients.crl([bob], last_update=now() - 9 * DAY, next_update=now() - DAY)])
    async with started(pki, origin, with_crl("brief.crl", **{"crl-stale": stale})) as node:
        with await connection(node, version, pki.client) as client, await connection(node, version, bob) as other:
            await served(client)
            await served(other)
            clock.ahead = 2 * HOUR
            if stale == "refuse":
                await refused(node, client, "CRL has expired", ": the list of CN=Clients")
                return
            await served(client)
            await node.reload(origin, with_crl("old.crl", **{"crl-stale": stale}))
            await served(client)
            await refused(node, other, "certificate revoked")
            with await connection(node, version, pki.client) as fresh:
                await served(fresh)
            with await connection(node, version, bob) as fresh:
                await refused(node, fresh, "certificate revoked")


async def test_a_path_map_that_begins_later(pki: PKI, origin: Origin, clock: Clock) -> None:
    """Nor is a request judged as the one before it if the clock has meanwhile chosen another path map."""
    later = int(time.time()) + 3600
    changes: Changes = {
        "security-policy all": {"path-maps": "late, all"},
        "path-map late": {"origin": "origin", "expression": f"http.request.timestamp.sec ge {later}"},
        "global-filter late": {"action": "block", "path-matching-name": "late"},
    }
    async with started(pki, origin, changes) as node:
        with await connection(node, "1.3", pki.client) as client:
            await served(client)
            clock.ahead = HOUR
            assert (await ask(client)).status == 403
