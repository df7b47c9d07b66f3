"""The journal of a node: its lines, its files, and the observer, a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Collection
from typing import Any

import pytest
from twisted.logger import capturedLogs, formatEvent

from edgenode.config.load import Configuration
from edgenode.node.journal_use import JournalUse, _Observed
from edgenode.node.service import EdgeService
from edgenode.observe.journal.segments import parquet_files, segments
from tests.support.node import PATIENCE, PKI, Changes, Events, Node, Origin, get, in_thread, ini, started, until


def kept(folder: pathlib.Path) -> Changes:
    """A journal in a folder, without what needs time."""
    return {"journal": {"folder": str(folder), "compression": "off", "parquet": "no"}}


def journal_of(node: Node) -> JournalUse:
    """The part of a node that is its journal."""
    return next(each for each in node.service._observation._parts if isinstance(each, JournalUse))


def lines(folder: pathlib.Path) -> list[dict[str, Any]]:
    """All events in a journal."""
    return [json.loads(line) for each in segments(folder).values() for line in each.path.read_bytes().splitlines()]


def ask(node: Node, count: int = 1, statuses: Collection[int] = frozenset((200,))) -> None:
    """Send requests, one after another."""
    with node.client() as client:
        assert {client.ask(get()).status for _ in range(count)} == statuses


@contextlib.asynccontextmanager
async def observed(pki: PKI, origin: Origin, changes: Changes) -> AsyncIterator[tuple[Node, JournalUse]]:
    """A node with a journal whose observer has begun."""
    async with started(pki, origin, changes) as node:
        journal = journal_of(node)
        await until(lambda: journal.told)
        yield node, journal


async def test_every_exchange_is_a_line_of_the_journal(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """The event of each, in a file that only the node's user and group may read; nothing is lost at the end."""
    async with observed(pki, origin, kept(tmp_path)) as (node, _):
        await in_thread(ask, node, 3)
    assert [each["status"] for each in lines(tmp_path)] == [200, 200, 200]
    (segment,) = segments(tmp_path).values()
    assert segment.path.stat().st_mode & 0o777 == 0o640


async def test_the_observer_ends_with_the_node(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """There is no process any more once the node has stopped."""
    async with observed(pki, origin, kept(tmp_path)) as (_, journal):
        pid = journal.standing["observer"]["pid"]
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert journal.standing["observer"]["pid"] == 0


async def test_an_observer_that_is_killed_is_started_again(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """The log says that it has ended; requests, and their lines, do not notice."""
    async with observed(pki, origin, kept(tmp_path)) as (node, journal):
        first = journal.standing["observer"]["pid"]
        with capturedLogs() as logged:
            os.kill(first, signal.SIGKILL)
            await in_thread(ask, node, 2)
            await until(lambda: journal.told["observer"]["pid"] not in (0, first))
        assert journal.standing["observer"]["starts"] == 2
    assert any(f"the observer, PID {first}, has ended" in formatEvent(each) for each in logged)
    assert len(lines(tmp_path)) == 2


async def test_a_reload_that_changes_the_journal_is_followed(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """Another folder, other keys, or none: the observer is another one, and lines go where the configuration says."""
    for name in "ab":
        (tmp_path / name).mkdir()
    async with observed(pki, origin, kept(tmp_path / "a")) as (node, journal):
        await in_thread(ask, node)
        first = journal.standing["observer"]["pid"]
        await node.reload(origin, {**kept(tmp_path / "a"), "edge": {"drain-timeout": "2s"}})
        assert journal._observer._process is not None
        assert journal._observer._process.ending is None, "it is about nothing that the observer knows"
        await node.reload(origin, kept(tmp_path / "b"))
        await until(lambda: journal.told["observer"]["pid"] != first)
        await in_thread(ask, node, 2)
        await node.reload(origin)
        await in_thread(ask, node)
        await until(lambda: not journal._observer.pid)
        assert journal.standing == {}
        await node.reload(origin, kept(tmp_path / "b"))
        await until(lambda: journal.told)
        await in_thread(ask, node)
    assert len(lines(tmp_path / "a")) == 1
    assert len(lines(tmp_path / "b")) == 3


async def test_what_a_reload_takes_out_is_told_no_more(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """Neither in the status nor in the metrics: nobody shall be woken for an exporter that there is not."""
    siem = {"type": "webhook", "origin": "origin", "path": "/"}
    silence = {"expression": "http.response.code ge 500", "threshold": "100 per 5m"}
    with_both: Changes = {**kept(tmp_path), "exporter siem": siem, "alert silence": silence}
    async with observed(pki, origin, with_both) as (node, journal):
        await until(lambda: {"exporters", "alerts"} <= set(journal.told))
        assert (set(journal.standing["exporters"]), set(journal.standing["alerts"])) == ({"siem"}, {"silence"})
        await node.reload(origin, {**kept(tmp_path), "exporter siem": siem})
        assert (set(journal.standing["exporters"]), set(journal.standing["alerts"])) == ({"siem"}, set())
        await node.reload(origin, kept(tmp_path))
        assert (set(journal.standing["exporters"]), set(journal.standing["alerts"])) == (set(), set())


async def test_a_node_that_starts_again_goes_on(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """Its journal too, also if the first life has not quite ended."""
    async with observed(pki, origin, kept(tmp_path)) as (node, journal):
        await in_thread(ask, node)
        stopped = node.service.stopService()
        node.start()
        await in_thread(ask, node)
        await stopped
        await node.service.stopService()
        journal.told.clear()
        node.start()
        await until(lambda: journal.told)
        await in_thread(ask, node)
    assert len(lines(tmp_path)) == 3


async def test_closed_segments_are_parquet(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """The observer has them made of what the node has written, and tells the node how many."""
    kept: Changes = {"journal": {"folder": str(tmp_path), "rotate-time": "1s"}}
    async with observed(pki, origin, kept) as (node, journal):
        await in_thread(ask, node, 3)
        await until(lambda: journal.standing["journal"].get("rows") == 3)
        await until(lambda: journal.standing["journal"]["waiting"] == 0)
    assert [*parquet_files(tmp_path)] == [1]
    assert segments(tmp_path)[1].path.suffix == ".zst"


async def test_what_happens_to_the_state_is_a_line(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """Beside those of exchanges, in the order in which it happened."""
    limited: Changes = {**kept(tmp_path), "rate-limit few": {"limit": "1 per 1h", "ban": "1h"}}
    async with observed(pki, origin, limited) as (node, _):
        await in_thread(ask, node, 2, {200, 429})
    assert {"quarantine-held"} <= {each["event"]["action"] for each in lines(tmp_path) if "event" in each}


def test_an_observer_ends_with_a_node_that_is_killed(tmp_path: pathlib.Path) -> None:
    """Its standard input ends: whatever has become of the node, no process of it stays."""
    folder = tmp_path / "journal"
    folder.mkdir()
    written = {"text": f"[journal]\nfolder = {folder}\nparquet = no\ncompression = off\n", "folder": str(tmp_path)}
    command = [sys.executable, "-c", "from edgenode.node.observer import main; main()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as observer:
        assert observer.stdin is not None
        assert observer.stdout is not None
        observer.stdin.write(json.dumps(written) + "\n")
        observer.stdin.flush()
        assert json.loads(observer.stdout.readline()) == {"observer": {"pid": observer.pid}}
        second = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        with second:
            assert second.stdin is not None
            assert second.stdout is not None
            second.stdin.write(json.dumps(written) + "\n")
            second.stdin.flush()
            observer.stdin.close()
            assert observer.wait(2 * PATIENCE) == 0
            assert json.loads(second.stdout.readline()) == {"observer": {"pid": second.pid}}, "one after the other"
            second.send_signal(signal.SIGTERM)
            second.wait(2 * PATIENCE)


async def test_lines_of_a_log_of_events_are_not_made_again(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """The journal is given copies of them, each once, whatever reloads switch on and off."""
    from twisted.internet import reactor  # only now: pytest-twisted installs it

    logged, folder = tmp_path / "events.jsonl", tmp_path / "journal"
    folder.mkdir()
    with_log: Changes = {**kept(folder), "edge": {"events": str(logged)}}
    service = EdgeService(Configuration.from_text(ini(origin.port, with_log), pki.folder, {}), reactor)
    node = Node(service, Events(), pki)
    node.start()
    try:
        journal = journal_of(node)
        assert journal.sink is None
        await in_thread(ask, node, 2)
        await node.reload(origin, kept(folder))
        assert journal.sink is not None
        await in_thread(ask, node, 1)
        await node.reload(origin, with_log)
        await in_thread(ask, node, 3)
    finally:
        await node.stop()
    first = [json.loads(line) for line in logged.read_bytes().splitlines()]
    assert len(first) == 5
    assert len(lines(folder)) == 6
    assert [each for each in lines(folder) if each in first] == first


def test_the_observer_begins_anew_for_what_it_reads(tmp_path: pathlib.Path) -> None:
    """Its sections, and the files of the origins that these name; for nothing else, nor for the same read again."""
    PKI.make(tmp_path)
    (tmp_path / "journal").mkdir()
    expression = 'edge.action eq "block"'
    siem = {"type": "webhook", "origin": "origin", "path": "/", "expression": expression, "fields": "who: client"}
    with_exporter: Changes = {**kept(tmp_path / "journal"), "exporter siem": siem}

    def observed_of(changes: Changes) -> object:
        return _Observed.of(Configuration.from_text(ini(1, changes), tmp_path, {}))

    before = observed_of(with_exporter)
    assert observed_of({**with_exporter, "global-filter x": {"path": "^/x", "tags": "x"}}) == before
    assert observed_of({**with_exporter, "exporter siem": {**siem, "path": "/other"}}) != before
    assert observed_of({**with_exporter, "origin origin": {"read-timeout": "11s"}}) != before
    assert observed_of({**with_exporter, "journal": {"folder": "journal", "keep-time": "2d"}}) != before
    with_none = observed_of(kept(tmp_path / "journal"))
    PKI.make(tmp_path)  # other certificates, under the same names
    assert observed_of(with_exporter) != before
    assert observed_of(kept(tmp_path / "journal")) == with_none
