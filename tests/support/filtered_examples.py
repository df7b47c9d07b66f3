"""The requests of ``examples/content-filter``, judged; and the events that a node writes of them.

``python -m tests.support.filtered_examples`` writes ``events.jsonl`` anew.
"""

from __future__ import annotations

import json
import pathlib
import re
import shlex
import sys
from collections.abc import Iterator
from typing import Any

from attrs import frozen

from edgenode.commands import explain
from edgenode.commands.tree import tree
from edgenode.config.load import Configuration
from edgenode.model.decision import Respond
from edgenode.model.exchange import Body
from edgenode.observe.event_record import event_line
from edgenode.proxy.event_record import EventRecord
from edgenode.simulation.simulator import Judged, Simulator

ROOT = pathlib.Path(__file__).parent.parent.parent
FOLDER = ROOT / "examples" / "content-filter"
PAGES = ("shop.requests", "blog.requests")

_BEGAN = 1_763_712_000.0
_LINE = re.compile(r"(pass|block|false|lost) +(\S.*)")
_TIME = re.compile(r'("stages":)\{[^}]*\}|("timings":)\{[^}]*\}')


@frozen
class Example:
    """A request.

    :ivar place: file and line.
    :ivar word: ``pass``, ``block``, or of what is blocked until it is tuned ``false``, and ``lost`` for attacks.
    :ivar words: options of ``edgenode explain``, behind the file.
    """

    place: str
    word: str
    words: tuple[str, ...]


def examples(page: str) -> Iterator[Example]:
    """The requests of a file."""
    for number, line in enumerate((FOLDER / page).read_text().splitlines(), 1):
        found = _LINE.fullmatch(line)
        assert found or not line or line.startswith("#"), line
        if found is not None:
            yield Example(f"{page}:{number}", found[1], tuple(shlex.split(found[2])))


def judged(simulator: Simulator, example: Example, at: float = _BEGAN) -> Judged:
    """What becomes of it."""
    words = ["explain", "FILE", "--at", str(at), *example.words]
    question = explain._question(tree(["explain"]).parse_args(words), simulator)
    group = simulator.group(question.listener, question.connection)
    assert group is not None, example
    client = simulator.client(question.listener, question.connection, group, at)
    head = simulator.read(question.listener, question.asked.head, client)
    return simulator.judge(client, head, Body(question.asked.body, len(question.asked.body)))


def events(configuration: Configuration) -> Iterator[str]:
    """The events of all of them, a minute apart."""
    simulator = Simulator.of(configuration)
    all_of_them = [each for page in PAGES for each in examples(page)]
    for number, each in enumerate(all_of_them):
        at = _BEGAN + 60.0 * number
        yield _event(configuration, judged(simulator, each, at), at, number)


def _event(configuration: Configuration, judged: Judged, at: float, number: int) -> str:
    record = EventRecord("public", judged.exchange, at)
    record.identifier = b"%032x" % (number + 1)
    record.event_headers = configuration.edge.told_headers
    record.decision = judged.decision
    record.error = judged.refusal
    outcome = judged.decision.outcome(judged.exchange)
    if isinstance(outcome, Respond):
        record.status, record.sent = outcome.response.status, len(outcome.response.body)
    else:
        assert judged.path_map is not None
        record.status = record.origin_status = 200
        record.origin, record.tries, record.sent = judged.path_map.name, 1, 512
    return _TIME.sub(lambda each: f"{each[1] or each[2]}{{}}", event_line(record))


def reasons(event: str) -> Any:
    """What an event says of why: each rule with its place, without what matched."""
    found = json.loads(event)
    return found["request"], [each["entry"] for each in found["reasons"]], found["action"], found["path_map"]


if __name__ == "__main__":
    lines = list(events(Configuration.load(FOLDER / "edgenode.ini")))
    (FOLDER / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))
    sys.exit(0)
