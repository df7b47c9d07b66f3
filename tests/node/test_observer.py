"""The observer of a node: its parts, which begin once it is the only one, and end with the node."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.testing import StringTransport

from edgenode.config.load import Written, load_observer
from edgenode.node.observer import Observer
from edgenode.observe.observing import Observing
from tests.support.node import until


class Part:
    """A part that writes down what becomes of it.

    :param observing: what it is given.
    """

    made: list[Part]

    def __init__(self, observing: Observing) -> None:
        self.observing = observing
        self.done: list[str] = []
        self.ending: Deferred[None] = Deferred()
        self.made.append(self)

    def start(self) -> None:
        """Begin."""
        self.done.append("start")
        self.observing.tell({"part": self.observing.node})

    def stop(self) -> Deferred[None]:
        """End, once the test says so."""
        self.done.append("stop")
        return self.ending


class Broken(Part):
    """A part that can neither be started nor stopped."""

    def start(self) -> None:
        """Fail."""
        raise RuntimeError("broken")


class Stuck(Part):
    """A part that cannot be stopped."""

    def stop(self) -> Deferred[Any]:
        """Fail."""
        return fail(RuntimeError("stuck"))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Part]:
    """Every part that was made."""
    found: list[Part] = []
    monkeypatch.setattr(Part, "made", found, raising=False)
    return found


def observer(folder: pathlib.Path, *parts: type[Part]) -> Observer:
    """One with these parts, for a journal without anything to do."""
    from twisted.internet import reactor  # only now: pytest-twisted installs it

    text = "[edge]\nname = edge-7\n[journal]\nfolder = .\nparquet = no\ncompression = off\n"
    return Observer(load_observer(Written(text, str(folder), environment={})), reactor, parts)


def told(transport: StringTransport) -> list[dict[str, Any]]:
    """What the node is told."""
    return [json.loads(line) for line in transport.value().splitlines()]


async def test_parts_are_given_what_they_work_with(tmp_path: pathlib.Path, made: list[Part]) -> None:
    """And tell the node how they stand; the end is waited for."""
    process, transport = observer(tmp_path, Part, Part), StringTransport()
    process.makeConnection(transport)
    assert [each.done for each in made] == [["start"], ["start"]]
    assert made[0].observing.folder == tmp_path
    assert told(transport)[1:] == [{"part": "edge-7"}, {"part": "edge-7"}]
    ended = process.stop()
    assert [each.done for each in made] == [["start", "stop"]] * 2
    made[0].ending.callback(None)
    assert not ended.called
    made[1].ending.callback(None)
    assert ended.called


async def test_a_part_that_fails_takes_nothing_from_another(
    tmp_path: pathlib.Path, made: list[Part], flush_logged_errors: Any
) -> None:
    """Whether it cannot be started or cannot be stopped: the log says so."""
    process = observer(tmp_path, Broken, Stuck, Part)
    process.makeConnection(StringTransport())
    assert made[-1].done == ["start"]
    made[-1].ending.callback(None)
    await process.stop()
    assert made[-1].done == ["start", "stop"]
    assert {str(each.value) for each in flush_logged_errors(RuntimeError)} == {"broken", "stuck"}


async def test_there_is_one_at_a_time(tmp_path: pathlib.Path, made: list[Part]) -> None:
    """Two would send everything twice: the next begins once the one before has ended, and not if its node has gone."""
    first, second, third = (observer(tmp_path, Part) for _ in range(3))
    for each in (first, second, third):
        each.makeConnection(StringTransport())
    assert len(made) == 1
    third.connectionLost()
    made[0].ending.callback(None)
    await first.stop()
    await until(lambda: len(made) == 2)
    made[1].ending.callback(None)
    await second.stop()
    assert len(made) == 2
