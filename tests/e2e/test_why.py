"""A real node, and what explain and replay say of the same requests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgenode import __main__ as command
from tests.support.node import PKI, Changes, Origin, get, in_thread, ini, started

CHANGES: Changes = {
    "trust-store clients": {"authorities": "clients.pem", "tags": "partner"},
    "edge": {"name": "edge-test", "event-headers": "x-one content-type"},
    "action teapot": {"type": "block", "status": "418"},
    "global-filter named": {"tags": "named", "header.x-one": "^1", "certificate.subject": "^CN=Alice,"},
    "global-filter refused": {"action": "teapot", "tag": "named", "argument.x": "^refuse$"},
    "global-filter watched": {"action": "monitor", "tag": "partner", "certificate.key-type": "ECDSA", "path": "^/w"},
    "global-filter closed": {"action": "close", "path": "^/close", "tag": "headers:3"},
}
ASKED: tuple[tuple[str, str, bool, tuple[str, ...]], ...] = (
    ("/", "strict.test", True, ()),
    ("/w", "strict.test", True, ("X-One: 1",)),
    ("/?x=refuse", "optional.test", True, ("X-One: 12",)),
    ("/?x=refuse", "optional.test", False, ("X-One: 12",)),
    ("/w%77/../w", "open.test", False, ("X-Two: 1",)),
    ("/close", "open.test", False, ("X-Two: 1",)),
)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """The certificates."""
    pki = PKI.make(tmp_path_factory.mktemp("why"))
    pki.client.write(pki.folder, "alice")
    return pki


async def test_a_node_decides_what_explain_and_replay_say(pki: PKI, capsys: pytest.CaptureFixture[str]) -> None:
    """Tags, filters, action and status of every event are those of explain; replayed, every one is the same."""
    file, events = pki.folder / "why.ini", pki.folder / "events.jsonl"
    with Origin(pki) as origin:
        file.write_text(ini(origin.port, CHANGES))
        async with started(pki, origin, CHANGES) as node:
            for target, host, known, fields in ASKED:
                data = get(target, host, *fields, close=True)
                await node.exchange(data, host, chain=[pki.client] if known else [])
            told = await node.events.take(len(ASKED))
    events.write_text("".join(json.dumps(event) + "\n" for event in told))
    assert await in_thread(command.main, ["replay", str(file), str(events), "--json"]) == 0
    replayed = json.loads(capsys.readouterr().out)
    assert (replayed["same"], replayed["changed"], replayed["not_certain"]) == (len(ASKED), [], []), json.dumps(
        replayed
    )
    for (target, host, known, fields), event in zip(ASKED, told, strict=True):
        words = [f"https://{host}{target}", "--from", "127.0.0.1", "-A", "", "-H", "Accept:", "-H", "Connection: close"]
        words += [word for each in fields for word in ("-H", each)]
        words += ["--cert", str(pki.folder / "alice.pem")] if known else []
        assert await in_thread(command.main, ["explain", str(file), "--json", *words]) == 0
        explained = json.loads(capsys.readouterr().out)
        _compare(event, explained)


def _compare(event: dict[str, Any], explained: dict[str, Any]) -> None:
    assert sorted(each["tag"] for each in explained["tags"]) == event["tags"]
    matched = {each["name"] for each in explained["filters"]["matched"]}
    assert matched == {why["filter"] for why in event["reasons"]}
    taken = [each["action"] for each in explained["actions"] if each["taken"]]
    assert taken == ([] if event["action"] is None else [event["action"]])
    outcome = explained["outcome"]
    status = {"forward": 200, "close": 444}.get(outcome["kind"]) or outcome["status"]
    assert status == event["status"]
    assert explained["certificate"]["verify"] == event["certificate"]["verify"]
    assert explained["agrees"]
