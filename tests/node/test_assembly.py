"""What serves a configuration: what is the same in two of them stays, and what is not is made anew."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from twisted.internet.task import Clock

from edgenode.config.load import Configuration
from edgenode.net.deadlines import Deadlines
from edgenode.node.assembly import Assembly
from edgenode.proxy.routing import ServedGroup
from tests.support.certificates import SERVER, make_authority, write_pem
from tests.support.configurations import changed, write_server

MTLS = "certificate = server\nmtls = on\ntrust-store = clients"
BASE = {"certificate = server": MTLS, "": "[trust-store clients]\nauthorities = ca.pem\n"}
CLOCK: Any = Clock()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Certificates."""
    folder = tmp_path_factory.mktemp("pki")
    authority = make_authority("Clients")
    write_pem(folder / "ca.pem", [authority])
    authority.issue("shop", eku=[SERVER], sans=["DNS:shop.example"]).write(folder, "other")
    return write_server(folder)


def configuration(folder: pathlib.Path, *changes: tuple[str, str]) -> Configuration:
    """The base with lines replaced."""
    return Configuration.from_text(changed(dict(changes), changed(BASE)), folder, {})


def assembled(of: Configuration, before: Assembly | None = None) -> Assembly:
    """What serves a configuration."""
    return Assembly.of(of, CLOCK, Deadlines(CLOCK), before)


def group_of(assembly: Assembly) -> ServedGroup:
    """Its server group."""
    group = assembly.routers["public"].named("shop.example")
    assert group is not None
    return group


CIPHERS = ("certificate = server", "certificate = server\nciphers = ECDHE-ECDSA-AES128-GCM-SHA256")


@pytest.mark.parametrize(
    ("change", "settled"),
    [
        (CIPHERS, True),
        (("mtls = on", "mtls = on\nminimum-version = 1.3"), True),
        (("mtls = on", "mtls = optional"), False),
        (("mtls = on", "mtls = on\nverify-depth = 2"), False),
        (("certificate = server", "certificate = server\nmode = monitoring"), False),
        (("chain = server.pem\nkey = server.key", "chain = other.pem\nkey = other.key"), False),
    ],
)
def test_a_group_that_has_changed_has_another_context(
    folder: pathlib.Path, change: tuple[str, str], settled: bool
) -> None:
    """And open connections go on under it, unless the handshake has settled for good what is different now."""
    before = assembled(configuration(folder))
    after = assembled(configuration(folder, change), before)
    old, new = group_of(before), group_of(after)
    assert new.context is not old.context
    assert after.routers["public"].successor(old) is (None if settled else new)


@pytest.mark.parametrize(
    "change", [("", "[edge]\nname = other\n"), ("", "[global-filter f]\naction = block\npath = ^/x\n")]
)
def test_a_group_that_has_not_changed_keeps_its_context(folder: pathlib.Path, change: tuple[str, str]) -> None:
    """Sessions of it can be resumed, and who it believes is not worked out anew; but the group is another object."""
    before = assembled(configuration(folder))
    after = assembled(configuration(folder, change), before)
    old, new = group_of(before), group_of(after)
    assert (new.context, new.trust) == (old.context, old.trust)
    assert new is not old


def test_groups_with_the_same_policy_have_one_trust(folder: pathlib.Path) -> None:
    """What is known of a client under one of them holds under the other."""
    twin = "[server-group twin]\nhosts = twin.example\n" + MTLS + "\nsecurity-policy = shop\n"
    found = configuration(folder, ("server-groups = shop", "server-groups = shop, twin"), ("", twin))
    router = assembled(found).routers["public"]
    one, other = router.named("shop.example"), router.named("twin.example")
    assert one is not None
    assert other is not None
    assert one is not other
    assert one.trust is other.trust


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (("", "[edge]\nname = other\n"), True),
        (("servers = http://127.0.0.1:8080", "servers = http://127.0.0.1:8081"), False),
        (("servers = http://127.0.0.1:8080", "servers = http://127.0.0.1:8080\nread-timeout = 5s"), False),
    ],
)
def test_an_origin_that_has_not_changed_keeps_its_connections(
    folder: pathlib.Path, change: tuple[str, str], same: bool
) -> None:
    """Its pool is the same, in the path maps too."""
    before = assembled(configuration(folder))
    after = assembled(configuration(folder, change), before)
    assert (after.pools["shop"] is before.pools["shop"]) == same
    assert group_of(after).path_maps[0].pool is after.pools["shop"]


def test_an_origin_that_the_systems_authorities_verify_is_opened_anew(folder: pathlib.Path) -> None:
    """They may have changed, and nothing here would say so; with a trust store, or without verification, it stays."""
    servers = ("servers = http://127.0.0.1:8080", "servers = https://127.0.0.1:8080")
    for more, same in (("", False), ("\ntrust-store = clients", True), ("\nverify = no", True)):
        found = configuration(folder, (servers[0], servers[1] + more))
        before = assembled(found)
        assert (assembled(found, before).pools["shop"] is before.pools["shop"]) == same


def test_a_protocol_of_its_own_has_no_requests(folder: pathlib.Path) -> None:
    """Its listener alone is served, without pools and path maps; and what has not changed is kept likewise."""
    second = "[listener second]\nendpoint = tcp:1\nserver-groups = shop\n"
    found = configuration(folder, ("", second))
    before = Assembly.for_protocol(found, "public", (b"mqtt",))
    assert (list(before.routers), before.pools) == (["public"], {})
    assert group_of(before).path_maps == ()
    after = Assembly.for_protocol(found, "public", (b"mqtt",), before)
    assert group_of(after).context is group_of(before).context


def test_what_the_exchanges_of_a_listener_share_is_the_configurations(folder: pathlib.Path) -> None:
    """Its name and the node's, its server groups, the proxies that are believed, and what events tell."""
    edge = "[edge]\nname = east\ntrusted-proxies = 192.0.2.0/24\nclient-address = forwarded\nevent-headers = X-A, x-a\n"
    assembly = assembled(configuration(folder, ("", edge)))
    events: Any = object()
    context = assembly.context("public", events)
    assert (context.listener, context.via, context.event_headers) == ("public", b"east", (b"x-a",))
    assert context.router is assembly.routers["public"]
    assert context.events is events
    assert context.trusted_proxies.contains("192.0.2.1")
    assert context.trusted_proxies.header == "forwarded"
