"""The state of a configuration in a program that has only its pipelines."""

from __future__ import annotations

import pathlib
import sqlite3

from twisted.internet import reactor

from edgenode import Configuration, StateService
from edgenode.state.interface import Entry, Happened
from edgenode.state.quarantine_file import NAME
from tests.support.node import PKI, Events, Origin, ini


async def test_what_is_held_is_kept_while_it_runs(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """And told; a configuration that succeeds another has the same state, a program that starts again what was held."""
    file, folder = tmp_path / "edge.ini", tmp_path / "state"
    folder.mkdir()
    for each in pki.folder.iterdir():
        (tmp_path / each.name).write_bytes(each.read_bytes())
    file.write_text(ini(origin.port, {"edge": {"state": str(folder)}}))
    configuration = Configuration.load(file)
    told: list[Happened] = []

    class Sink(Events):
        def tell(self, happened: Happened) -> None:
            """Take it."""
            told.append(happened)

    service = StateService(configuration, events=Sink())
    quarantine = configuration.state.quarantine
    assert [*folder.iterdir()] == []
    service.startService()
    quarantine.hold(Entry("ip", "192.0.2.1", quarantine.now() + 60, quarantine.now(), "me", "because"))
    await quarantine.saved()
    with sqlite3.connect(folder / NAME) as kept:
        assert [*kept.execute("SELECT value FROM held")] == [("192.0.2.1",)]
    kept.close()
    successor = Configuration.load(file, configuration)
    assert successor.state is configuration.state
    service.reload(successor)
    assert [each.action for each in told] == ["quarantine-held"]
    await service.stopService()
    again = Configuration.load(file)
    service = StateService(again, reactor)
    service.startService()
    assert again.state.quarantine.find("ip", "192.0.2.1") is not None
    await service.stopService()
