"""The quarantine of a node in a process of its own: its command, its clients, its events, and what a restart keeps."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType

import pytest

from tests.support.node import PKI, Client, Origin, get, ini
from tests.support.twistd import Twistd, twistd

ROOT = pathlib.Path(__file__).parent.parent.parent


def written(
    pki: PKI, origin: Origin, folder: pathlib.Path, changes: Mapping[str, Mapping[str, str]] = MappingProxyType({})
) -> pathlib.Path:
    """The file of a node that keeps what it holds, and trusts a proxy on this host."""
    state = folder / "state"
    state.mkdir(exist_ok=True)
    found = {"edge": {"state": str(state), "events": str(folder / "events.json"), "trusted-proxies": "127.0.0.1"}}
    file = pki.folder / f"{folder.name}.ini"
    file.write_text(ini(origin.port, {**found, **changes}))
    return file


def edgenode(*words: str) -> tuple[int, str]:
    """What a command says, with its status."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "edgenode", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, (done.stdout + done.stderr).rstrip("\n")


def quarantine(node: Twistd, *words: str) -> tuple[int, str]:
    """What the command says of a node."""
    return edgenode("quarantine", words[0], "--pid", str(node.process.pid), *words[1:])


def reload(node: Twistd) -> int:
    """The status of a reload."""
    return edgenode("reload", "--pid", str(node.process.pid))[0]


def status(node: Twistd, address: str = "192.0.2.1", *headers: str) -> int:
    """Of the answer to a client of an address, as the proxy reports it."""
    with Client(node.port, "open.test") as client:
        return client.ask(get("/", "open.test", f"X-Forwarded-For: {address}", *headers)).status


def told(folder: pathlib.Path) -> list[dict[str, object]]:
    """The events of the quarantine."""
    lines = [json.loads(line) for line in (folder / "events.json").read_text().splitlines()]
    return [line for line in lines if "entry" in line]


def test_what_is_held_is_refused_until_it_is_lifted(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """At once, on a running node; the list shows it, and every entry and lift is an event that says who."""
    with twistd(written(pki, origin, tmp_path)) as node:
        assert status(node, "203.0.113.7") == 200
        answer = quarantine(node, "add", "ip", "203.0.113.0/24", "--for", "1h", "--why", "scans")
        assert answer[0] == 0
        assert answer[1].startswith("ip 203.0.113.0/24 is held until 2")
        assert [status(node, f"203.0.113.{host}") for host in (0, 7, 255)] == [403, 403, 403]
        assert [status(node, address) for address in ("203.0.112.255", "203.0.114.0", "2001:db8::1")] == [200, 200, 200]
        code, listed = quarantine(node, "list")
        assert code == 0
        head, row = listed.splitlines()
        assert head.split() == ["key", "value", "action", "since", "until", "who", "why"]
        assert row.split()[:3] == ["ip", "203.0.113.0/24", "block"]
        assert f"(uid {os.getuid()})" in row
        assert row.endswith("scans")
        assert quarantine(node, "lift", "ip", "203.0.113.0/24") == (0, "ip 203.0.113.0/24 is lifted")
        assert status(node, "203.0.113.7") == 200
        assert quarantine(node, "list") == (0, "nothing is held")
    held, lifted = told(tmp_path)
    assert [each["event"]["action"] for each in (held, lifted)] == ["quarantine-held", "quarantine-lifted"]  # type: ignore[index]
    assert f"(uid {os.getuid()})" in held["entry"]["who"]  # type: ignore[index]
    assert f"(uid {os.getuid()})" in lifted["reason"]  # type: ignore[operator]


def test_who_adds_what_cannot_be_kept_is_told(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """It is held all the same, but a restart would undo it."""
    file = written(pki, origin, tmp_path)
    (tmp_path / "state" / "quarantine.sqlite").mkdir()
    with twistd(file) as node:
        code, said = quarantine(node, "add", "ip", "203.0.113.7")
        assert code == 1
        assert "it is not on the disk, and a restart undoes it" in said
        assert status(node, "203.0.113.7") == 403


def test_a_restart_lets_nobody_out(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """Nor does a reload: what was held is held, by the same who and why, to the same end; what was lifted is lifted."""
    file = written(pki, origin, tmp_path, {"action gone": {"type": "block", "status": "410"}})

    def statuses(node: Twistd) -> list[int]:
        return [status(node), status(node, "203.0.113.7"), status(node, "192.0.2.1", "User-Agent: evil bot")]

    with twistd(file) as node:
        for words in (
            ("ip", "203.0.113.7", "--why", "one"),
            ("header.user-agent", "Evil BOT", "--why", "two", "--action", "gone", "--for", "2h"),
            ("certificate.fingerprint", "AB" * 32),
        ):
            assert quarantine(node, "add", *words)[0] == 0
        before = quarantine(node, "list", "--json")
        assert reload(node) == 0
        assert quarantine(node, "list", "--json") == before
        assert statuses(node) == [200, 403, 410]
    with twistd(file) as node:
        assert quarantine(node, "list", "--json") == before
        assert statuses(node) == [200, 403, 410]
        assert quarantine(node, "lift", "ip", "203.0.113.7")[0] == 0
    with twistd(file) as node:
        assert statuses(node) == [200, 200, 410]


def test_a_node_that_is_killed_has_kept_what_it_holds(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """Even if it is killed as soon as it has answered."""
    file = written(pki, origin, tmp_path)
    for address in ("203.0.113.7", "203.0.113.8"):
        with pytest.raises(AssertionError), twistd(file) as node:  # noqa: PT012  # that it has not ended well
            assert quarantine(node, "add", "ip", address)[0] == 0
            node.process.kill()
    with twistd(file) as node:
        assert [status(node, f"203.0.113.{host}") for host in (6, 7, 8)] == [200, 403, 403]


def test_a_reload_that_takes_an_action_away_lets_nobody_out(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """Who was held with it is blocked from then on."""
    file = written(pki, origin, tmp_path, {"action gone": {"type": "block", "status": "410"}})
    with twistd(file) as node:
        assert quarantine(node, "add", "ip", "203.0.113.7", "--action", "gone")[0] == 0
        assert status(node, "203.0.113.7") == 410
        written(pki, origin, tmp_path)
        assert reload(node) == 0
        assert status(node, "203.0.113.7") == 403
        assert quarantine(node, "add", "ip", "203.0.113.8", "--action", "gone")[0] == 1


def test_the_command_says_why_it_cannot(pki: PKI, origin: Origin, tmp_path: pathlib.Path) -> None:
    """With status 1, on standard error; and nothing has changed."""
    with twistd(written(pki, origin, tmp_path)) as node:
        assert quarantine(node, "add", "ip", "203.0.113.7/24") == (
            1,
            "edgenode quarantine: ip 203.0.113.7/24: host bits are set: the network is 203.0.113.0/24",
        )
        assert quarantine(node, "add", "ip", "127.0.0.1")[1].endswith("if that is meant, say --yes")
        assert quarantine(node, "add", "ip", "0.0.0.0/0")[1].endswith("if that is meant, say --yes")
        assert quarantine(node, "lift", "ip", "203.0.113.7") == (1, "edgenode quarantine: ip 203.0.113.7 is not held")
        assert quarantine(node, "add", "header.x", "x" * 20_000)[1].endswith("more than a node is told at once")
        assert quarantine(node, "add", "header.x", "\x1b[2J")[0] == 1
        for words in (("add",), ("lift",), ("lift", "ip"), ("lift", "ip", "203.0.113.7", "--who", "me")):
            assert quarantine(node, *words)[0] == 2
        assert quarantine(node, "add", "header.x", "--", "-odd")[0] == 0
        assert quarantine(node, "lift", "--who", f"root (uid {os.getuid()})")[1].endswith("lifted")
        assert quarantine(node, "list") == (0, "nothing is held")
        gone = node.process.pid
    answer = edgenode("quarantine", "list", "--pid", str(gone))
    assert answer == (1, f"edgenode quarantine: process {gone} cannot be asked: no node runs there")
