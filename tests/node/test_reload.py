"""Reload: a new configuration takes over as a whole, on kept connections too, or nothing has changed."""

from __future__ import annotations

import gc
import pathlib
import socket
import threading
import time
import weakref
from collections.abc import Sequence
from statistics import median
from typing import Any

import pytest

from bench.processes import free_port
from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from edgenode.node.service import EdgeService
from edgenode.policy.pipeline import Pipeline
from tests.support.certificates import SERVER, make_authority, write_pem
from tests.support.node import (
    GROUPS,
    OK,
    PKI,
    Answer,
    Changes,
    Client,
    Node,
    Origin,
    Served,
    connect,
    get,
    in_thread,
    ini,
    started,
    until,
)

BLOCKED: Changes = {"global-filter all": {"action": "block", "path": "^/"}}


async def ask(client: Client, *arguments: Any, **options: Any) -> Answer:
    """Send a request on a kept connection."""
    answer: Answer = await in_thread(client.ask, get(*arguments, **options))
    return answer


class Gate:
    """An origin's behaviour that answers each request only when it is let."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.let = threading.Event()

    def __call__(self, served: Served) -> None:
        """Behave."""
        while served.request() is not None:
            self.asked.set()
            assert self.let.wait(10)
            if not served.send(OK):
                return


# -- what changes ----------------------------------------------------------------------------------------------------


async def test_a_kept_connection_follows_at_once(pki: PKI, origin: Origin) -> None:
    """The first request after a reload is judged by the new configuration, and the connection stays."""
    async with started(pki, origin) as node:
        with await in_thread(node.client) as client:
            assert (await ask(client)).status == 200
            await node.reload(origin, BLOCKED)
            assert (await ask(client)).status == 403
            await node.reload(origin)
            assert (await ask(client)).status == 200
    assert len(origin.connections) == 1


async def test_a_request_under_way_ends_as_it_began(pki: PKI, origin: Origin) -> None:
    """Its origin may be gone from the configuration: it is answered by it all the same, and then lets go of it."""
    origin.behaviour = gate = Gate()
    with Origin(pki) as other:
        async with started(pki, origin) as node:
            with await in_thread(node.client) as client:
                answer = in_thread(client.ask, get())
                await in_thread(gate.asked.wait, 10)
                (old,) = node.service.pools.values()
                await node.reload(other)
                assert old.open == 1
                gate.let.set()
                assert (await answer).status == 200
                await until(lambda: old.open == 0)
                assert (await ask(client)).status == 200
    assert len(origin.requests) == len(other.requests) == 1


async def test_an_origin_that_stays_keeps_its_connections(pki: PKI, origin: Origin) -> None:
    """Nothing of it has changed, so nothing is opened anew; once it has accepted a new certificate, everything is."""
    async with started(pki, origin) as node:
        with await in_thread(node.client) as client:
            await ask(client)
            for _ in range(3):
                await node.reload(origin, BLOCKED)
                await node.reload(origin)
                assert (await ask(client)).status == 200
            assert len(origin.connections) == 1
            (old,) = node.service.pools.values()
            pki.servers.issue("edge, renewed").write(pki.folder, "edge-client-2")
            certificate: dict[str, str | None] = {"chain": "edge-client-2.pem", "key": "edge-client-2.key"}
            await node.reload(origin, {"certificate edge-client": certificate})
            await until(lambda: old.open == 0)
            assert (await ask(client)).status == 200
            assert origin.peers == ["edge as a client", *["edge, renewed"] * 3]  # it was tried twice first
            (pool,) = node.service.pools.values()
            assert pool.open == 1


async def test_new_handshakes_get_the_new_certificate(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """And a connection from before goes on."""
    names = [f"DNS:{name}.test" for name in GROUPS]
    renewed = pki.servers.issue("renewed", eku=[SERVER], sans=names)
    chain, key = renewed.write(tmp_path, "renewed")
    async with started(pki, origin) as node:
        with await in_thread(node.client) as old:
            await node.reload(origin, {"certificate edge": {"chain": str(chain), "key": str(key)}})
            with await in_thread(node.client) as new:
                shown = new.tls.get_peer_certificate(as_cryptography=True)
                assert shown == renewed.certificate
                assert (await ask(new)).status == (await ask(old)).status == 200


async def test_trust_that_stays_is_the_same_object(pki: PKI, origin: Origin) -> None:
    """So nobody's certificate is verified again; with another authority it is another, and the client is refused."""
    other = make_authority("Others")
    write_pem(pki.folder / "others.pem", [other])
    async with started(pki, origin) as node:
        with await in_thread(node.client, "strict.test", chain=[pki.client]) as client:
            assert (await ask(client, host="strict.test")).status == 200
            before = node.service.ports["public"].context.router.named("strict.test")
            await node.reload(origin, BLOCKED)
            after = node.service.ports["public"].context.router.named("strict.test")
            assert before is not None
            assert after is not None
            assert after is not before
            assert after.trust is before.trust
            assert after.context is before.context
            await node.reload(origin, {"trust-store clients": {"authorities": "others.pem"}})
            assert (await ask(client, host="strict.test")).status == 400
            assert client.rest() == b""


@pytest.mark.parametrize(
    "change",
    [
        {"server-group open": {"mtls": "on", "trust-store": "clients"}},
        {"server-group open": {"minimum-version": "1.3"}},
        {"listener public": {"server-groups": "other strict"}},
    ],
    ids=["mtls", "version", "gone"],
)
async def test_a_connection_that_could_not_be_made_now_is_closed(pki: PKI, origin: Origin, change: Any) -> None:
    """What only a handshake can settle is settled by a new one: 421, the end, and nothing reaches the origin."""
    async with started(pki, origin) as node:
        with await in_thread(node.client, version="1.2") as client:
            assert (await ask(client)).status == 200
            await node.reload(origin, change)
            assert (await ask(client)).status == 421
            assert client.rest() == b""
    assert len(origin.requests) == 1


async def test_names_and_proxies_are_the_new_ones(pki: PKI, origin: Origin) -> None:
    """On a kept connection, and over a kept connection to the origin, to whom and from whom whatever is said."""
    header = "X-Forwarded-For: 192.0.2.7"
    async with started(pki, origin) as node:
        with await in_thread(node.client) as client:
            first = await ask(client, "/", "open.test", header)
            await ask(client, "/", "open.test", header)
            await node.reload(origin, {"edge": {"name": "renamed", "trusted-proxies": "127.0.0.1"}})
            second = await ask(client, "/", "open.test", header)
    assert first.fields("via") == [b"1.1 edge-test"]
    assert second.fields("via") == [b"1.1 renamed"]
    assert b"\r\nX-Forwarded-For: 127.0.0.1\r\n" in origin.requests[0]
    assert b"\r\nVia: 1.1 renamed\r\n" in origin.requests[2]
    assert b"192.0.2.7" in origin.requests[2]
    assert len(origin.connections) == 1


async def test_a_kept_connection_is_held_to_the_new_limits(pki: PKI, origin: Origin) -> None:
    """Sizes at the next request, and the number of requests with them."""
    async with started(pki, origin) as node:
        with await in_thread(node.client) as long, await in_thread(node.client) as many:
            assert (await ask(long, "/" + "a" * 100)).status == (await ask(many)).status == 200
            await node.reload(origin, {"listener public": {"max-target-size": "64", "keepalive-requests": "2"}})
            assert (await ask(long, "/" + "a" * 100)).status == 414
            assert (await ask(many)).fields("connection") == [b"close"]


async def test_more_and_fewer_connections(pki: PKI, origin: Origin) -> None:
    """The new limit counts for who comes next; whoever is served already goes on."""
    few: Changes = {"listener public": {"max-connections": "1"}}
    async with started(pki, origin, few) as node:
        with await in_thread(node.client) as first:
            assert (await ask(first)).status == 200
            for changes, status in ((few, 503), (None, 200), (few, 503)):
                await node.reload(origin, changes)
                with await in_thread(node.client) as next:
                    assert (await ask(next)).status == status
            assert (await ask(first)).status == 200


# -- listeners -------------------------------------------------------------------------------------------------------


async def test_a_listener_is_known_by_its_endpoint(pki: PKI, origin: Origin) -> None:
    """Renamed it keeps its socket and its connections."""
    endpoint = f"tcp:{free_port()}:interface=127.0.0.1"
    async with started(pki, origin, {"listener public": {"endpoint": endpoint}}) as node:
        number = node.service.ports["public"].fileno()
        with await in_thread(node.client) as client:
            text = ini(origin.port, {"listener public": {"endpoint": endpoint}})
            text = text.replace("[listener public]", "[listener renamed]")
            await node.service.reload(Configuration.from_text(text, pki.folder, {}))
            assert list(node.service.ports) == ["renamed"]
            assert node.service.ports["renamed"].fileno() == number
            node.events.told.clear()
            assert (await ask(client)).status == 200
            (event,) = await node.events.take()
            assert event["listener"] == "renamed"


async def test_listeners_come_and_go(pki: PKI, origin: Origin) -> None:
    """A new one accepts as soon as the reload is over; one that is gone ends what is under way, and is closed."""
    origin.behaviour = gate = Gate()
    second = {"endpoint": "tcp:0:interface=127.0.0.1", "server-groups": "open"}
    async with started(pki, origin) as node:
        await node.reload(origin, {"listener second": second})
        port = node.service.ports["second"]
        number = port.getHost().port
        with await in_thread(Client, number) as busy, await in_thread(Client, number) as idle:
            answer = in_thread(busy.ask, get())
            await in_thread(gate.asked.wait, 10)
            await node.reload(origin)
            assert list(node.service.ports) == ["public"]
            with pytest.raises(ConnectionRefusedError):
                connect(number)
            assert await in_thread(idle.rest) == b""
            gate.let.set()
            assert (await answer).fields("connection") == [b"close"]
            await until(lambda: not port.connections)
        with await in_thread(node.client) as client:
            assert (await ask(client)).status == 200


async def test_a_node_that_stops_waits_for_the_listeners_that_went(pki: PKI, origin: Origin) -> None:
    """A request on a listener that a reload took away is still answered."""
    origin.behaviour = gate = Gate()
    second = {"endpoint": "tcp:0:interface=127.0.0.1", "server-groups": "open"}
    async with started(pki, origin, {"listener second": second, "edge": {"drain-timeout": "10s"}}) as node:
        with await in_thread(Client, node.service.ports["second"].getHost().port) as client:
            answer = in_thread(client.ask, get())
            await in_thread(gate.asked.wait, 10)
            await node.reload(origin, {"edge": {"drain-timeout": "10s"}})
            stopped = node.service.stopService()
            gate.let.set()
            assert (await answer).status == 200
            await stopped


# -- what fails ------------------------------------------------------------------------------------------------------


async def test_a_port_that_cannot_be_had_changes_nothing(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """All of them are named with section and key, and what could be had is given back."""
    with socket.create_server(("127.0.0.1", 0)) as taken, Origin(pki) as other:
        endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        free = free_port()
        changes: Changes = {
            **BLOCKED,
            "listener a": {"endpoint": f"tcp:{free}:interface=127.0.0.1", "server-groups": "open"},
            "listener b": {"endpoint": endpoint, "server-groups": "open"},
            "listener c": {"endpoint": "systemd:name=web", "server-groups": "open"},
        }
        async with started(pki, origin) as node:
            before = node.service.configuration
            with await in_thread(node.client) as client:
                with pytest.raises(ConfigurationError) as caught:
                    await node.reload(other, changes)
                assert [(each.section, each.key) for each in caught.value.problems] == [
                    ("listener b", "endpoint"),
                    ("listener c", "endpoint"),
                ]
                assert "Address already in use" in str(caught.value)
                assert "systemd:name=web: systemd has passed no such socket" in str(caught.value)
                assert (await ask(client)).status == 200
            assert node.service.configuration is before
            socket.create_server(("127.0.0.1", free)).close()
    assert not other.connections


async def test_a_file_of_events_that_cannot_be_opened_changes_nothing(
    pki: PKI, origin: Origin, tmp_path: pathlib.Path
) -> None:
    """The reload fails, the events go on where they went, and nothing is left open."""
    from twisted.internet import reactor

    def configuration(path: pathlib.Path, **further: Any) -> Configuration:
        return Configuration.from_text(ini(origin.port, {"edge": {"events": str(path)}, **further}), pki.folder, {})

    first, second, never = tmp_path / "first", tmp_path / "second", tmp_path / "never"
    service = EdgeService(configuration(first), reactor)
    service.privilegedStartService()
    service.startService()
    number = service.ports["public"].getHost().port
    with await in_thread(Client, number) as client:
        await ask(client, "/1")
        broken = configuration(never, **{"listener more": {"endpoint": "tcp:0", "server-groups": "open"}})
        never.mkdir()
        with pytest.raises(ConfigurationError, match=r"\[edge\] events: cannot write .*never"):
            await service.reload(broken)
        await ask(client, "/2")
        first.rename(tmp_path / "rotated")
        await service.reload(configuration(first))
        await ask(client, "/3")
        await service.reload(configuration(second))
        await ask(client, "/4")
    await service.stopService()
    lines = [(tmp_path / name).read_text().splitlines() for name in ("rotated", "first", "second")]
    assert [len(each) for each in lines] == [2, 1, 1]
    assert ['"/1"' in lines[0][0], '"/3"' in lines[1][0], '"/4"' in lines[2][0]] == [True] * 3


async def test_ports_are_bound_while_the_process_may_be_root(pki: PKI, origin: Origin) -> None:
    """And nobody is accepted before it serves."""
    node = Node.of(pki, origin.port)
    node.service.privilegedStartService()
    try:
        assert node.port
        (port,) = node.service.ports.values()
        assert not port._accepting
    finally:
        node.service.startService()
        await node.stop()


async def test_a_node_that_does_not_run_reloads_nothing(pki: PKI, origin: Origin) -> None:
    """Neither before its start nor after its end, even if it ends while a reload is being prepared."""
    node = Node.of(pki, origin.port)
    with pytest.raises(ConfigurationError, match="not running"):
        await node.reload(origin)
    node.start()
    reload = node.service.reload(Configuration.from_text(ini(origin.port), pki.folder, {}))
    await node.stop()
    with pytest.raises(ConfigurationError, match="not running"):
        await reload


async def test_reloads_take_their_turns(pki: PKI, origin: Origin) -> None:
    """The last one asked for is the one in force, and each is told of its own."""
    configurations = [Configuration.from_text(ini(origin.port), pki.folder, {}) for _ in range(3)]
    async with started(pki, origin) as node:
        reloads = [node.service.reload(each) for each in configurations]
        assert [await each for each in reloads] == configurations
        assert node.service.configuration.rules is configurations[-1].rules


# -- nothing is left -------------------------------------------------------------------------------------------------


async def test_what_was_replaced_is_freed_without_the_collector(pki: PKI, origin: Origin) -> None:
    """An old configuration goes with the last request under it: ``twistd`` has the collector look at it no more."""
    async with started(pki, origin) as node:
        with await in_thread(node.client) as client:
            await ask(client)
            gc.collect()
            gc.disable()
            try:
                for changes in (BLOCKED, None, BLOCKED):
                    old = _references(node)
                    await node.reload(origin, changes)
                    await ask(client)
                    assert await _left(old) == []
            finally:
                gc.enable()


async def test_fifty_reloads_leave_nothing_behind(pki: PKI, origin: Origin) -> None:
    """However often everything changes, and whatever connections there are, there are no more objects than before."""
    changes: tuple[Changes, ...] = (BLOCKED, {"certificate edge": {"key": "again.key"}}, {"edge": {"name": "renamed"}})
    (pki.folder / "again.key").write_bytes((pki.folder / "edge.key").read_bytes())
    async with started(pki, origin) as node:
        with await in_thread(node.client) as client:
            counts = []
            for turn in range(53):
                await node.reload(origin, changes[turn % 3])
                await ask(client)
                node.events.told.clear()
                gc.collect()
                counts.append(len(gc.get_objects()))
            # The reactor's pool may start a thread, whose objects stay: now and then, not at every round of changes.
            assert median(after - before for before, after in zip(counts[2:], counts[5:], strict=False)) <= 0


async def _left(references: Sequence[weakref.ref[Any]]) -> list[str]:
    """The types of what is not freed; the thread of the watch may look at it for some milliseconds still."""
    deadline = time.monotonic() + 5
    await until(lambda: all(each() is None for each in references) or time.monotonic() > deadline)
    return [type(found).__name__ for found in (each() for each in references) if found is not None]


def _references(node: Node) -> list[weakref.ref[Any]]:
    """What a reload replaces."""
    router = node.service.ports["public"].context.router
    group = router.named("open.test")
    assert group is not None
    pipeline = group.path_maps[0].pipeline
    assert isinstance(pipeline, Pipeline)
    parts = (router, group, group.path_maps[0], pipeline, *pipeline.stages, pipeline.tagging)
    return [weakref.ref(each) for each in (*parts, node.service.configuration)]
