"""Servers by DNS: each address is one, asked for again when its time is over, and kept when name servers fail."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any, cast

import pytest
from twisted.internet.task import Clock

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Seconds
from edgenode.net.deadlines import Deadlines
from edgenode.net.poller import Poller
from edgenode.proxy.origin import names as system
from edgenode.proxy.origin.client import Failed, OriginClient
from edgenode.proxy.origin.discovery import Resolved
from edgenode.proxy.origin.health import OriginHealth
from edgenode.proxy.origin.health_check import HealthCheck
from edgenode.proxy.origin.names import Names, NameServer, Place, Places, Unresolved
from edgenode.proxy.origin.server import Server
from tests.support.name_server import Zone, name_server, reactor
from tests.support.node import OK, PKI, Origin, answering, until
from tests.support.pools import pool_to


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """Certificates."""
    return PKI.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def zone() -> Iterator[Zone]:
    """A name server."""
    with name_server() as zone:
        yield zone


@pytest.fixture
def names(zone: Zone) -> Names:
    """What asks it."""
    return Names(Poller(reactor), [zone.server])


async def test_servers_come_and_go_while_requests_are_sent(pki: PKI, zone: Zone) -> None:
    """A service moves from one server to another when its answer is old; no request fails, also when DNS does."""
    ok = answering(OK)
    with Origin(pki, ok) as first, Origin(pki, ok) as second:
        zone.addresses("a.shop.test", "127.0.0.1", ttl=1)
        zone.service("_https._tcp.shop.test", (0, 1, first.port, "a.shop.test"), ttl=1)
        server = Server.from_text("https://shop.test service=https")
        with pool_to(pki, server=server, resolver=(zone.server,), server_name="origin.test") as pool:
            client = OriginClient(pool, 10.0)

            async def ask() -> None:
                assert (await client.ask("GET", "https://origin.test/")).status == 200

            await ask()
            assert [each.server.port for each in pool.balancer.servers] == [first.port]
            zone.service("_https._tcp.shop.test", (0, 1, second.port, "a.shop.test"), ttl=1)
            while not second.requests:
                await ask()
            assert [each.server.address for each in pool.balancer.servers] == [f"127.0.0.1:{second.port}"]
            zone.broken = True
            zone.asked.clear()
            await until(lambda: zone.asked)
            before = len(first.requests)
            for _ in range(3):
                await ask()
            assert len(first.requests) == before


async def test_a_name_that_has_no_address_yet_is_an_error_with_its_reason(pki: PKI, zone: Zone) -> None:
    """And the next request asks again."""
    with Origin(pki, answering(OK)) as origin:
        server = Server.from_text(f"https://shop.test:{origin.port} resolve")
        with pool_to(pki, server=server, resolver=(zone.server,), server_name="origin.test") as pool:
            client = OriginClient(pool, 10.0)
            with pytest.raises(Failed, match=r"no connection to shop\.test:\d+: shop\.test has no address"):
                await client.ask("GET", "https://origin.test/")
            zone.addresses("shop.test", "127.0.0.1")
            assert (await client.ask("GET", "https://origin.test/")).status == 200


async def test_addresses_of_both_families(zone: Zone, names: Names) -> None:
    """With the shortest of their times; of IPv6 without a way to them are none, unless there are no others."""
    zone.addresses("shop.test", "192.0.2.1", "192.0.2.2", "::1", ttl=7)
    found = await names.addresses("shop.test")
    assert [each.address for each in found.places] in (["192.0.2.1", "192.0.2.2", "::1"], ["192.0.2.1", "192.0.2.2"])
    assert (found.ttl, found.missing) == (7, "")
    zone.addresses("shop.test", "::1")
    assert (await names.addresses("shop.test")).places == (Place("::1"),)


async def test_services(zone: Zone, names: Names) -> None:
    """The ports and weights are those of DNS; who has not the first priority is a backup."""
    zone.addresses("a.test", "192.0.2.1", ttl=9)
    zone.addresses("b.test", "192.0.2.2")
    zone.service("_api._tcp.test", (1, 5, 8443, "a.test"), (2, 0, 9443, "b.test"), (1, 1, 1, "gone.test"))
    found = await names.service("api", "test")
    assert found.places == (Place("192.0.2.1", 8443, 5), Place("192.0.2.2", 9443, 1, backup=True))
    assert found.ttl == 9
    assert "gone.test" in found.missing


async def test_a_server_whose_name_no_host_has_is_left_out(zone: Zone, names: Names) -> None:
    """What DNS says is no reason to fail: a service goes on with its other servers."""
    zone.addresses("a.test", "192.0.2.1")
    zone.service("_api._tcp.test", (0, 1, 8443, "\xfc.test"), (0, 1, 8443, "a.test"))
    found = await names.service("api", "test")
    assert found.places == (Place("192.0.2.1", 8443),)
    assert found.missing == "a server of _api._tcp.test has a name that no host has"


def test_a_defect_does_not_end_the_questions(flush_logged_errors: Any) -> None:
    """Who waits is told, and the name is asked for again."""

    class Broken:
        asked = 0

        async def addresses(self, name: str) -> Places:
            self.asked += 1
            raise UnicodeError

    clock, broken, told = Clock(), Broken(), list[str]()
    deadlines = Deadlines(clock, clock.seconds)
    server = Server.from_text("https://shop.test resolve")
    resolved = Resolved("shop", server, cast(Any, broken), deadlines, lambda: None)
    resolved.find(lambda servers: None, told.append)
    assert told == ["the log says why"]
    clock.pump([1] * 8)
    assert broken.asked == 2
    resolved.stop()
    assert len(flush_logged_errors(UnicodeError)) == 2


async def test_a_large_answer_comes_over_tcp(zone: Zone, names: Names) -> None:
    """As many addresses as one pleases to list; no more of them are used than were agreed."""
    addresses = [f"192.0.2.{number}" for number in range(250)]
    zone.addresses("shop.test", *addresses)
    found = await names.addresses("shop.test")
    assert [each.address for each in found.places] == addresses[: system.MOST_RECORDS]


async def test_who_does_not_answer_rightly_is_no_answer(zone: Zone, names: Names) -> None:
    """A name that is unknown, a server that fails, a service that is said not to be there."""
    with pytest.raises(Unresolved, match=r"^shop.test has no address$"):
        await names.addresses("shop.test")
    zone.service("_https._tcp.shop.test", (0, 0, 0, "."))
    with pytest.raises(Unresolved, match="has no servers"):
        await names.service("https", "shop.test")
    zone.broken = True
    with pytest.raises(Unresolved, match="the name server says server"):
        await names.addresses("shop.test")


async def test_the_files_of_the_system(zone: Zone, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Hosts come first; a short name is looked for in the domains of ``search``."""
    (tmp_path / "hosts").write_text("192.0.2.9 shop.test\n")
    (tmp_path / "resolv.conf").write_text("search one.test two.test\noptions ndots:2\nnameserver 127.0.0.1\n")
    monkeypatch.setattr(system, "HOSTS", str(tmp_path / "hosts"))
    monkeypatch.setattr(system, "RESOLV_CONF", str(tmp_path / "resolv.conf"))
    monkeypatch.setattr(system, "NameServer", lambda host: zone.server)
    names = Names(Poller(reactor))
    assert (await names.addresses("shop.test")).places == (Place("192.0.2.9"),)
    zone.addresses("api.two.test", "192.0.2.1")
    assert (await names.addresses("api")).places == (Place("192.0.2.1"),)
    assert [name for name, type in zone.asked if type == 1] == ["api.one.test", "api.two.test"]


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("https://192.0.2.1 resolve", 8),
        ("unix:/run/a.sock resolve", 5),
        ("https://shop.test:443 service=https", 18),
        ("https://shop.test service=", 18),
        ("https://shop.test service=a..b", 18),
        ("https://shop.test resolve=1", 18),
    ],
)
def test_what_has_nothing_to_resolve(text: str, column: int) -> None:
    """An address, a socket, a port beside a service, a service that is none."""
    with pytest.raises(InvalidValue) as caught:
        Server.from_text(text)
    assert caught.value.column == column


def test_name_servers() -> None:
    """Addresses with or without a port; names are none, for who should resolve them?"""
    for text in "192.0.2.53", "[2001:db8::53]", "192.0.2.53:5353", "[2001:db8::53]:5353":
        assert str(NameServer.from_text(text)) == text
    for text in "dns.test", "192.0.2.53:0", "192.0.2.53:70000", "2001:db8::53", "", "192.0.2.1:x":
        with pytest.raises(InvalidValue):
            NameServer.from_text(text)


async def test_health_checks_find_the_servers(pki: PKI, zone: Zone) -> None:
    """Before any request: the servers that are checked are those of DNS, not the name of the service."""
    with Origin(pki, answering(OK)) as origin:
        zone.addresses("a.shop.test", "127.0.0.1")
        server = Server.from_text("https://shop.test service=https")
        with pool_to(pki, server=server, resolver=(zone.server,), server_name="origin.test") as pool:
            told: list[bool] = []
            check = HealthCheck(interval=Seconds(0.05))
            health = OriginHealth(pool, check, lambda pool, server, checked: told.append(checked.healthy))
            health.start()
            await until(lambda: told)
            assert told == [False]  # no name server knows the service yet
            zone.service("_https._tcp.shop.test", (0, 1, origin.port, "a.shop.test"))
            await until(lambda: origin.requests)
            assert [each.server.address for each in pool.balancer.servers] == [f"127.0.0.1:{origin.port}"]
            health.stop()
