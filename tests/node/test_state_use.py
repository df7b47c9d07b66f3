"""The state of a node: started and stopped with it, kept by reloads, and told of."""

from __future__ import annotations

import json
import pathlib
import sqlite3
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from edgenode.__main__ import main
from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from edgenode.model.settings import Folder
from edgenode.node.service import EdgeService
from edgenode.node.state_use import StateUse
from edgenode.observe.state_events import STATE_ROWS, state_line
from edgenode.simulation.recorded import NotJudged, Recorded
from edgenode.state.interface import HAPPENINGS, Entry, Happened
from edgenode.state.quarantine_file import NAME
from tests.support.node import PKI, Changes, Events, Node, Origin, get, in_thread, ini, started

LIMITED: Changes = {"rate-limit few": {"limit": "3 per 1h"}}
HELD = Entry("header.user-agent", "bad\n\x1b\ud800", 1.8e9 + 60, 1.8e9, "dynamic-rule x", "too often")


class Kept:
    """A state that writes down what becomes of it."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.tell: Any = None
        self.stopping: Deferred[None] | None = None

    def start(self, reactor: Any, folder: pathlib.Path | None, tell: Any) -> None:
        """Begin."""
        self.done.append(folder)
        self.tell = tell

    def stop(self) -> Deferred[None]:
        """End."""
        self.done.append("stopped")
        return succeed(None) if self.stopping is None else self.stopping


def configuration(pki: PKI, state: Any, folder: pathlib.Path | None = None) -> Configuration:
    """One with a state."""
    found = Configuration.from_text(ini(1), pki.folder, {})
    return evolve(found, state=state, edge=evolve(found.edge, state=None if folder is None else Folder(folder)))


def statuses(node: Node, count: int) -> list[int]:
    """Of so many requests."""
    with node.client() as client:
        return [client.ask(get()).status for _ in range(count)]


# -- a node ------------------------------------------------------------------------------------------------------------


async def test_a_reload_forgets_nothing(pki: PKI, origin: Origin) -> None:
    """Whether it was made from the one before or not, also if it fails, and if there are two at once."""
    async with started(pki, origin, LIMITED) as node:
        assert await in_thread(statuses, node, 2) == [200, 200]
        await node.reload(origin, LIMITED)
        with pytest.raises(ConfigurationError):
            await node.service.change(lambda _: Configuration.from_text("[edge]\nname = ü\n"))
        both = [node.service.reload(Configuration.from_text(ini(origin.port, LIMITED), pki.folder, {})) for _ in "xx"]
        for each in both:
            await each
        assert await in_thread(statuses, node, 2) == [200, 429]
        await node.reload(origin)
        assert await in_thread(statuses, node, 2) == [200, 200]
        await node.reload(origin, LIMITED)
        assert await in_thread(statuses, node, 1) == [429], "not even while no section asked for it"


async def test_counts_are_exact_while_it_is_reloaded(pki: PKI, origin: Origin) -> None:
    """Again and again, under load: as many get through as may, not one more or less."""
    limited: Changes = {"rate-limit few": {"limit": "100 per 1h"}}
    async with started(pki, origin, limited) as node:
        clients = [in_thread(statuses, node, 70) for _ in range(3)]
        for number in range(6):
            await node.reload(origin, {**limited, "global-filter x": {"path": f"/{number}", "tags": "xyz"}})
        answers = [status for each in clients for status in await each]
    assert (answers.count(200), answers.count(429)) == (100, 110)


async def test_a_node_that_starts_again_goes_on(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """What it counts and holds is there in its next life; a folder that a reload names gets all that is held."""
    async with started(pki, origin, LIMITED) as node:
        assert await in_thread(statuses, node, 2) == [200, 200]
        await node.service.stopService()
        node.start()
        assert await in_thread(statuses, node, 2) == [200, 429]
        quarantine = node.service.configuration.state.quarantine
        quarantine.hold(evolve(HELD, until=quarantine.now() + 60, since=quarantine.now()))
        await node.reload(origin, {**LIMITED, "edge": {"state": str(tmp_path)}})
    with sqlite3.connect(tmp_path / NAME) as file:
        assert [*file.execute("SELECT key, who FROM held")] == [(HELD.key, HELD.who)]
    file.close()


async def test_what_happens_is_in_the_events(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """A line of its own for each, printable ASCII, whatever a client has made the value of; not in the access log."""
    events, access = tmp_path / "events", tmp_path / "access"
    from twisted.internet import reactor

    changes = {"edge": {"events": str(events), "access-log": str(access)}}
    service = EdgeService(Configuration.from_text(ini(origin.port, changes), pki.folder, {}), reactor)
    service.privilegedStartService()
    service.startService()
    quarantine = service.configuration.state.quarantine
    quarantine.hold(evolve(HELD, until=quarantine.now() + 60, since=quarantine.now()))
    quarantine.lift(HELD.key, HELD.value, "root (uid 0)")
    await service.stopService()
    held, lifted = map(json.loads, events.read_text("ascii").splitlines())
    assert held["event"] == {
        "kind": "event",
        "category": "intrusion_detection",
        "type": "creation",
        "action": "quarantine-held",
    }
    assert (held["entry"]["value"], held["entry"]["who"], held["reason"]) == (HELD.value, HELD.who, HELD.why)
    assert (lifted["event"]["type"], lifted["reason"]) == ("deletion", "root (uid 0)")
    assert access.read_text() == ""


async def test_a_sink_of_ones_own_may_want_to_know(pki: PKI, origin: Origin, flush_logged_errors: Any) -> None:
    """If it has a method for it; what that raises is its own matter."""
    from twisted.internet import reactor

    told: list[Happened] = []

    class Sink(Events):
        def tell(self, happened: Happened) -> None:
            """Take it."""
            told.append(happened)
            raise ValueError("of its own")

    for sink in (Sink(), Events()):
        service = EdgeService(Configuration.from_text(ini(origin.port), pki.folder, {}), reactor, sink)
        service.privilegedStartService()
        service.startService()
        quarantine = service.configuration.state.quarantine
        quarantine.hold(evolve(HELD, until=quarantine.now() + 60, since=quarantine.now()))
        await service.stopService()
    assert [each.action for each in told] == ["quarantine-held"]
    assert len(flush_logged_errors(ValueError)) == 1


def test_commands_that_only_look_touch_nothing(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """Neither ``check`` nor ``explain`` opens the file of the quarantine, or makes one."""
    folder, file = tmp_path / "state", tmp_path / "node.ini"
    folder.mkdir()
    for name in pki.folder.iterdir():
        (tmp_path / name.name).write_bytes(name.read_bytes())
    file.write_text(ini(origin.port, {**LIMITED, "edge": {"state": str(folder)}}))
    for words in (["check", str(file)], ["explain", str(file), "https://open.test/"]):
        assert main(words) == 0
    assert [*folder.iterdir()] == []


# -- who uses it -------------------------------------------------------------------------------------------------------


async def test_a_state_has_as_many_users_as_there_are(pki: PKI, tmp_path: pathlib.Path) -> None:
    """It starts with the first and stops with the last, and each hears what happens."""
    kept, told = Kept(), list[tuple[str, str]]()
    users = [StateUse(None, lambda happened, name=name: told.append((name, happened.action))) for name in "ab"]  # type: ignore[misc]
    for user in users:
        user.start(configuration(pki, kept))
        user.start(configuration(pki, kept))
    assert kept.done == [None]
    kept.tell(Happened("state-back"))
    assert told == [("a", "state-back"), ("b", "state-back")]
    users[0].start(configuration(pki, kept, tmp_path))
    await users[0].stop()
    assert kept.done == [None, tmp_path]
    await users[1].stop()
    await users[1].stop()
    assert kept.done == [None, tmp_path, "stopped"]


async def test_who_comes_while_it_stops_has_it_started_again(pki: PKI) -> None:
    """And hears all that happens; so does its last user until it has stopped."""
    kept, told = Kept(), list[str]()
    kept.stopping = Deferred()
    use = StateUse(None, lambda happened: told.append(happened.action))
    use.start(configuration(pki, kept))
    stopped = use.stop()
    kept.tell(Happened("quarantine-unsaved"))
    use.start(configuration(pki, kept))
    kept.tell(Happened("quarantine-saved"))
    kept.stopping.callback(None)
    await stopped
    kept.tell(Happened("state-back"))
    assert kept.done == [None, "stopped", None]
    assert told == ["quarantine-unsaved", "quarantine-saved", "state-back"]
    kept.stopping = None
    await use.stop()


async def test_another_state_starts_before_the_one_before_stops(pki: PKI) -> None:
    """As when a reload has another server."""
    one, other = Kept(), Kept()
    use = StateUse(None, lambda _: None)
    use.start(configuration(pki, one))
    use.start(configuration(pki, other))
    assert (one.done, other.done) == ([None, "stopped"], [None])
    await use.stop()
    assert other.done == [None, "stopped"]


@pytest.mark.parametrize("method", ["start", "stop"])
async def test_a_state_that_fails_keeps_no_node_from_it(
    pki: PKI, method: str, monkeypatch: pytest.MonkeyPatch, flush_logged_errors: Any
) -> None:
    """It is logged."""

    def fail(*_: object) -> None:
        raise RuntimeError("no")

    kept = Kept()
    monkeypatch.setattr(kept, method, fail)
    use = StateUse(None, lambda _: None)
    use.start(configuration(pki, kept))
    await use.stop()
    failures: list[Failure] = flush_logged_errors(RuntimeError)
    assert len(failures) == 1


# -- the events --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", HAPPENINGS)
@pytest.mark.parametrize("until", [1.8e9, float("inf"), 1e300, 253402300800.0, -1e300])
def test_every_happening_has_a_line(action: str, until: float) -> None:
    """With the fields of the schema in its order; what ends later than any date never ends."""
    line = state_line(Happened(action, "why\n", evolve(HELD, until=until)), 1.8e9)
    assert line.isascii()
    assert line.isprintable()
    event: Mapping[str, Any] = json.loads(line)
    assert [*event] == [row.name for row in STATE_ROWS]
    assert event["time"] == "2027-01-15T08:00:00.000000Z"
    assert event["entry"]["until"] == ("2027-01-15T08:00:00.000000Z" if until == 1.8e9 else None)
    assert json.loads(state_line(Happened(action)))["entry"] is None
    with pytest.raises(NotJudged):
        Recorded.of(line)
