"""Alerts of a live node: raised in its observer, a process of its own, and told to a webhook and by mail."""

from __future__ import annotations

import json
import os
import pathlib
import signal
from typing import Any

import pytest

from edgenode.node.journal_use import JournalUse
from tests.observe.alerts.mail_server import MailServer
from tests.support.node import PKI, Changes, Node, Origin, get, started, until
from tests.support.origins import answering

pytestmark = pytest.mark.lasting

TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
BROKEN = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """The certificates."""
    return PKI.make(tmp_path_factory.mktemp("pki"))


def alerting(folder: pathlib.Path, hooks: int, mail: int) -> Changes:
    """A node with an alert on errors, whose window is so long that it is not over in a test, and a short one."""
    there = {"server-name": "origin.test", "certificate": "edge-client", "trust-store": "servers"}
    counted = {"expression": "http.response.code ge 500", "pause": "0", "resolve-after": "0", "origin": "hooks"}
    by_mail = {"mail-origin": "mail", "mail-from": "edge@example.com", "mail-to": "ops@example.com"}
    return {
        "journal": {"folder": str(folder), "compression": "off", "parquet": "no"},
        "origin hooks": {"servers": f"https://127.0.0.1:{hooks}", **there},
        "origin mail": {"servers": f"starttls://127.0.0.1:{mail}", **there},
        "alert long": {**counted, "threshold": "more than 2 per 1h"},
        "alert short": {**counted, "threshold": "more than 2 per 2s", **by_mail},
    }


def journal_of(node: Node) -> JournalUse:
    """The part of a node that has the observer."""
    return next(each for each in node.service._observation._parts if isinstance(each, JournalUse))


def heard(hooks: Origin, name: str) -> list[str]:
    """What a webhook was told of an alert."""
    told = [json.loads(each.partition(b"\r\n\r\n")[2]) for each in hooks.requests]
    return [each["status"] for each in told if each["alert"] == name]


async def ask(node: Node, count: int) -> None:
    """Send requests."""
    for _ in range(count):
        assert b"500" in await node.exchange(get("/", close=True))


@pytest.mark.deadline(180)
async def test_an_alert_is_raised_and_resolved_and_outlasts_the_process_that_has_raised_it(
    pki: PKI, tmp_path: pathlib.Path
) -> None:
    """Both receivers are told with the node's certificate; the node knows, and an observer that is killed in between
    has neither forgotten what was raised nor raises it again."""
    with (
        Origin(pki, answering(BROKEN)) as origin,
        Origin(pki, answering(TAKEN)) as hooks,
        MailServer(pki, starttls=True) as mail,
    ):
        async with started(pki, origin, alerting(tmp_path, hooks.port, mail.port)) as node:
            journal = journal_of(node)
            await until(lambda: "alerts" in journal.told)
            await ask(node, 3)
            await until(lambda: heard(hooks, "short") == ["raised", "resolved"] and len(mail.taken) == 2)
            assert heard(hooks, "long") == ["raised"]
            await until(lambda: _state(journal, "long")["raised"] == 1)
            os.kill(journal.standing["observer"]["pid"], signal.SIGKILL)
            await ask(node, 3)
            await until(lambda: heard(hooks, "short") == ["raised", "resolved"] * 2)
            assert heard(hooks, "long") == ["raised"]
            await until(lambda: _state(journal, "long")["values"][0]["count"] == 6)
    assert all("edge as a client" in each for each in hooks.peers)
    assert all(each == {"commonName": "edge as a client"} for each in mail.peers)


def _state(journal: JournalUse, name: str) -> dict[str, Any]:
    found: dict[str, Any] = journal.told["alerts"][name]
    return found
