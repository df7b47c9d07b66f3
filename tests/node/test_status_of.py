"""What a running node says of itself: of its listeners, certificates, lists, origins, counters and state."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.defer import Deferred

from edgenode.model.exchange import Response
from edgenode.node import status_of
from edgenode.observe.status import Status
from edgenode.state.interface import Entry, Quarantine
from edgenode.state.node_state import NodeState
from edgenode.testing import FakeOrigin, MemoryNode, Sandbox, make_authority, result_of
from tests.support.certificates import write_pem
from tests.support.databases import write_databases
from tests.support.http2_frames import Connection, get, headers
from tests.support.node import PKI, Changes, Origin, in_thread, started, until
from tests.support.origins import Served

TWO = """
[origin app]
servers = http://192.0.2.80:80, http://192.0.2.81:80
fail-timeout = 10s
max-fails = 1
"""


@pytest.fixture
def sandbox(tmp_path: pathlib.Path) -> Sandbox:
    """Certificates, and a configuration that they fit."""
    return Sandbox.make(tmp_path)


def status(node: MemoryNode) -> Status:
    """What a node says now."""
    asked = node.service.status()
    node.settle()
    found: Status = result_of(asked)
    return found


def test_a_node_says_what_it_serves_and_for_whom(sandbox: Sandbox) -> None:
    """Its listeners with their addresses, its certificates and trust stores with their ends and who names them."""
    (sandbox.folder / "clients.crl").write_bytes(sandbox.clients.crl().public_bytes(Encoding.PEM))
    crl = "[trust-store clients]\nauthorities = clients.pem\ncrl = clients.crl\ncrl-max-age = 1h\n"
    with MemoryNode(sandbox.configuration(crl + "[trust-store idle]\nauthorities = clients.pem\n")) as node:
        found = status(node)
    (listener,) = found.listeners
    assert (listener.name, listener.address, listener.server_groups) == ("public", "127.0.0.1:443", ("www", "partners"))
    (certificate,) = found.certificates
    loaded = node.service.configuration.credentials.certificates["edge"]
    assert (certificate.name, certificate.subject) == ("edge", "CN=edge")
    assert certificate.not_after == loaded.leaf.not_valid_after_utc.timestamp()
    assert certificate.used_by == ("server-group www", "server-group partners")
    clients, idle = found.trust_stores
    assert [each.subject for each in clients.authorities] == ["CN=Clients"]
    assert (clients.used_by, idle.used_by) == (("server-group www", "server-group partners"), ())
    (list_,) = clients.crls
    assert (list_.issuer, list_.entries) == ("CN=Clients", 0)
    assert list_.next_update == list_.this_update + 3600
    assert (found.name, found.path, found.reload, found.unused) == ("edgenode", "", None, ())
    assert 0 < found.started <= found.at
    assert found.memory > 1 << 20


@pytest.mark.parametrize("servers", ["http://192.0.2.80:80", "http://192.0.2.80:80, http://192.0.2.81:80"])
def test_a_server_is_down_from_its_failures_to_its_next_answer(sandbox: Sandbox, servers: str) -> None:
    """A single one too, which is asked all the same."""
    app = FakeOrigin()
    more = f"[origin app]\nservers = {servers}\nfail-timeout = 10s\nmax-fails = 1\n"
    with MemoryNode(sandbox.configuration(more), {"app": app}) as node:
        client = node.client("www.test")

        def up() -> set[bool]:
            (origin,) = status(node).origins
            return {each.up for each in origin.servers}

        assert up() == {True}
        app.down = True
        for _ in range(2):
            client.get("/")
        assert up() == {False}
        app.down = False
        node.pass_time(11)
        assert up() == {False}  # nobody has asked it yet
        for _ in range(2):
            assert client.get("/").status == 200
        assert up() == {True}


def test_an_origin_has_connections_an_identity_and_a_name(sandbox: Sandbox) -> None:
    """What is idle and what is busy of each server; the subject that we present, and the name that we demand."""
    sandbox.servers.issue("edge as a client").write(sandbox.folder, "client")
    waiting = Deferred[Any]()
    app = FakeOrigin(lambda request: waiting if request.target == b"/slow" else Response(200))
    more = f"""{TWO}
[certificate client]
chain = client.pem
key = client.key
[origin tls]
servers = https://192.0.2.90:443
server-name = origin.test
certificate = client
[origin unverified]
servers = https://192.0.2.91:443
verify = no
"""
    with MemoryNode(sandbox.configuration(more), {"app": app}) as node:
        node.client("www.test").get("/")
        slow = node.client("www.test").request(b"GET", b"https://www.test/slow")
        plain, tls, unverified = status(node).origins
        assert sum(each.open for each in plain.servers) == 2
        assert sum(each.idle for each in plain.servers) == 1
        assert [each.protocols for each in plain.servers] == [{"http/1.1": 1}] * 2
        assert (plain.tls, plain.identity, plain.verified_name) == (False, "", None)
        assert (tls.tls, tls.identity, tls.verified_name) == (True, "CN=edge as a client", "origin.test")
        assert (unverified.identity, unverified.verified_name) == ("", None)
        assert (plain.path_maps, tls.path_maps) == (("all",), ())
        slow.addErrback(lambda _: None)
        slow.cancel()


def test_lists_have_an_age_and_say_what_was_wrong(sandbox: Sandbox) -> None:
    """Of files when they were written, of sources when they last confirmed it; a query, which may hold a key, is left
    out."""
    (sandbox.folder / "office.txt").write_text("10.0.0.0/8\n192.0.2.0/24\n")
    (sandbox.folder / "state").mkdir()
    more = """
[edge]
access-log = off
events = off
state = state
[list office]
type = ip
source = file:office.txt
[list own]
type = ip
items = 10.0.0.1
[list remote]
type = ip
source = https://192.0.2.99/list?key=secret
"""
    with MemoryNode(sandbox.configuration(more)) as node:
        node.settle()
        office, remote = status(node).feeds
    assert (office.header, office.entries, office.refresh, office.problem) == ("list office", 2, 0, "")
    assert office.confirmed == pytest.approx((sandbox.folder / "office.txt").stat().st_mtime)
    assert (remote.header, remote.source) == ("list remote", "https://192.0.2.99/list")
    assert (remote.entries, remote.confirmed, remote.refresh) == (None, None, 86400)
    assert "192.0.2.99" in remote.problem


def test_databases_of_addresses_have_an_age(sandbox: Sandbox) -> None:
    """When they were built, which their files say."""
    write_databases(sandbox.folder, {"192.0.2.0/24": {"country": "DE"}}, {"192.0.2.0/24": (64500, "Owner")})
    more = "[geo]\ncity = city.mmdb\nasn = asn.mmdb\n"
    with MemoryNode(sandbox.configuration(more)) as node:
        city, asn = status(node).feeds
        found = status(node)
    assert (city.header, city.source) == ("geo city", f"file:{sandbox.folder / 'city.mmdb'}")
    assert (asn.header, asn.problem) == ("geo asn", "")
    assert city.confirmed == pytest.approx(found.at, abs=600)
    assert city.entries


def test_limits_have_keys_and_room(sandbox: Sandbox) -> None:
    """How many keys each section counts; and whether some had to make room."""
    more = "[rate-limit few]\nkey = ip\nlimit = 5 per 1m\n[rate-limit all]\nlimit = 9 per 1m\n"
    with MemoryNode(sandbox.configuration(more), {"app": FakeOrigin()}) as node:
        counters = status(node).counters
        assert counters is not None
        assert (counters.keys, counters.full) == ({}, False)
        state = node.service.configuration.state
        assert isinstance(state, NodeState)
        state.local.bounds(3, 1 << 20)
        for number in range(1, 5):
            node.client("www.test", address=f"127.0.0.{number}").get("/")
        counters = status(node).counters
        assert counters is not None
        assert (counters.total, counters.most, counters.full) == (3, 3, True)
        assert counters.keys.keys() == {"rate-limit few", "rate-limit all"}
        assert counters.forgotten == 2
        assert not evolve(counters, most=100).full


def test_what_is_held_is_counted_by_its_key(sandbox: Sandbox) -> None:
    """Values, not entries: one that two actions hold is one."""
    with MemoryNode(sandbox.configuration()) as node:
        quarantine: Quarantine = node.service.configuration.state.quarantine
        now = quarantine.now()
        for value, action in (("10.0.0.1", "block"), ("10.0.0.1", "close"), ("10.0.0.2", "block")):
            quarantine.hold(Entry("ip", value, now + 60, now, "me", "why", action))
        quarantine.hold(Entry("rate-limit few", "x", now + 60, now, "me", "why"))
        assert status(node).quarantined == {"ip": 2, "rate-limit few": 1}
        for number in range(300):
            quarantine.hold(Entry(f"header.x-{number}", "x", now + 60, now, "another node", "why"))
        held = status(node).quarantined
        assert len(held) == 101
        assert (held["ip"], held["other"]) == (2, 202)


def test_files_that_cannot_be_used_are_named(sandbox: Sandbox) -> None:
    """From when that was tried until they can be."""
    with MemoryNode(sandbox.configuration()) as node:
        good = (sandbox.folder / "clients.pem").read_bytes()

        def unused(content: bytes) -> tuple[str, ...]:
            (sandbox.folder / "clients.pem").write_bytes(content)
            for _ in range(4):
                node.pass_time(0.3)
            return status(node).unused

        assert unused(b"no certificate") == ("trust-store clients",)
        assert unused(good) == ()
        write_pem(sandbox.folder / "clients.pem", [sandbox.clients, make_authority("Others")])
        for _ in range(12):
            node.pass_time(0.1)
            assert status(node).unused == ()  # not for a moment, while they are read
        (store,) = status(node).trust_stores
        assert [each.subject for each in store.authorities] == ["CN=Clients", "CN=Others"]


def test_a_reload_is_told_with_its_time(sandbox: Sandbox) -> None:
    """What the file says is in use since the reload; new files of certificates change that not."""
    with MemoryNode(sandbox.configuration()) as node:
        before = status(node).loaded
        issued = sandbox.servers.issue("edge", sans=["DNS:www.test", "DNS:partners.test"])
        issued.write(sandbox.folder, "edge")
        for _ in range(4):
            node.pass_time(0.3)
        assert status(node).loaded == before
        reloaded = node.service.reload(sandbox.configuration("[origin other]\nservers = http://192.0.2.1:80\n"))
        node.settle()
        result_of(reloaded)
        found = status(node)
        assert found.loaded > before
        assert {each.name for each in found.origins} == {"app", "other"}


class Slow:
    """A disk whose reads end when they are told to.

    :ivar reads: those under way.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads: list[Callable[[], None]] = []

        def defer_to(reactor: Any, pool: Any, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
            read: Deferred[Any] = Deferred()
            self.reads.append(lambda: read.callback(function(*arguments)))
            return read

        monkeypatch.setattr(status_of, "deferToThreadPool", defer_to)


def test_a_slow_disk_is_not_waited_for(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was known before is told within a second; there is one look at a time, and its end serves all."""
    with MemoryNode(sandbox.configuration()) as node:
        slow = Slow(monkeypatch)
        first, second = node.service.status(), node.service.status()
        assert len(slow.reads) == 1
        node.pass_time(status_of.PATIENCE)
        assert result_of(first).certificates == result_of(second).certificates == ()
        assert result_of(first).listeners
        third = node.service.status()
        assert len(slow.reads) == 1
        slow.reads.pop()()
        assert [each.name for each in result_of(third).certificates] == ["edge"]
        fourth = node.service.status()
        node.pass_time(status_of.PATIENCE)
        assert [each.name for each in result_of(fourth).certificates] == ["edge"]
        slow.reads.pop()()


def test_a_disk_that_fails_fails_nothing(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, flush_logged_errors: Callable[..., list[Any]]
) -> None:
    """The log says so, and all else is told."""
    with MemoryNode(sandbox.configuration()) as node:
        monkeypatch.setattr(status_of, "look", lambda *arguments: 1 // 0)
        assert status(node).listeners
        assert status(node).certificates == ()
        assert len(flush_logged_errors(ZeroDivisionError)) == 2


HUNG: Changes = {"origin origin": {"read-timeout": "60s"}}


async def test_connections_are_told_by_protocol_with_their_streams(pki: PKI) -> None:
    """Of HTTP/2 also how many streams are open; what has not said anything yet is in its handshake."""

    def stall(served: Served) -> None:
        served.stall()

    with Origin(pki, stall) as origin:
        async with started(pki, origin, HUNG) as node:
            connection = await in_thread(Connection.to, node.port)
            idle = await in_thread(node.client)
            with connection, idle:
                for _ in range(3):
                    connection.send(headers(connection.stream(), get()))
                pool = node.service.pools["origin"]
                await until(lambda: len(pool.connections) == 3 and not pool.opening)
                found = await node.service.status()
                (listener,), (of_origin,) = found.listeners, found.origins
                assert (listener.connections, listener.streams) == (2, 3)
                assert listener.protocols == {"h2": 1, "http/1.1": 1}
                (server,) = of_origin.servers
                assert (server.open, server.idle, server.protocols) == (3, 0, {"http/1.1": 3})
                assert of_origin.identity == "CN=edge as a client"


def test_days_are_counted_to_an_end() -> None:
    """Negative ones since it."""
    from edgenode.observe.status import days_left

    end = datetime.datetime(2026, 12, 31, tzinfo=datetime.UTC).timestamp()
    assert days_left(end, end - 86400 * 2.5) == 2.5
    assert days_left(end, end + 86400) == -1
