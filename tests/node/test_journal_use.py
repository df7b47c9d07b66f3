"""The journal of a node: its lines, its files, and the observer, a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import AsyncIterator

import pytest

from edgenode.node.journal_use import JournalUse
from edgenode.observe.journal.segments import segments
from tests.support.node import PKI, Changes, Node, Origin, get, in_thread, started, until


def kept(folder: pathlib.Path) -> Changes:
    """A journal in a folder, without what needs time."""
    return {"journal": {"folder": str(folder), "compression": "off", "parquet": "no"}}


def journal_of(node: Node) -> JournalUse:
    """The part of a node that is its journal."""
    return next(each for each in node.service._observation._parts if isinstance(each, JournalUse))


def lines(folder: pathlib.Path) -> list[dict[str, object]]:
    """All events in a journal."""
    return [json.loads(line) for each in segments(folder).values() for line in each.path.read_bytes().splitlines()]


def ask(node: Node, count: int = 1) -> None:
    """Send requests, one after another."""
    with node.client() as client:
        assert {client.ask(get()).status for _ in range(count)} == {200}


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
