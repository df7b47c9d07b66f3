"""``edgenode alerts``: what alerts would have said of the journal, and whether who is told hears it."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from edgenode.__main__ import main
from tests.observe.alerts.journals import EPOCH, Journal, event
from tests.observe.alerts.mail_server import MailServer
from tests.support.node import PKI
from tests.support.origins import Origin, answering

TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

TEXT = """
[edge]
name = edge-1
events = off
[journal]
folder = journal
parquet = no
compression = gzip
[listener public]
endpoint = tcp:0:interface=127.0.0.1
server-groups = one
[certificate edge]
chain = edge.pem
key = edge.key
[certificate edge-client]
chain = edge-client.pem
key = edge-client.key
authorities = servers.pem
[trust-store servers]
authorities = servers.pem
[server-group one]
hosts = one.test
certificate = edge
security-policy = one
[security-policy one]
path-maps = rest
[path-map rest]
origin = shop
[origin shop]
servers = http://127.0.0.1:1
[origin hooks]
servers = https://127.0.0.1:{hooks}
server-name = origin.test
certificate = edge-client
trust-store = servers
[origin mail]
servers = tls://127.0.0.1:{mail}
server-name = origin.test
certificate = edge-client
trust-store = servers
[alert errors]
expression = http.response.code ge 500
threshold = more than 2 per 1m
by = ip.src
origin = hooks
mail-origin = mail
mail-from = edge@example.com
mail-to = ops@example.com
[alert silence]
expression = http.response.code ge 100
threshold = less than 1 per 10m
"""


@pytest.fixture
def pki(tmp_path: pathlib.Path) -> PKI:
    """The certificates of the node and of who is told; a folder for the journal beside them."""
    (tmp_path / "journal").mkdir()
    return PKI.make(tmp_path)


def _written(pki: PKI, hooks: int = 1, mail: int = 1) -> str:
    """The configuration, with the ports of who is told."""
    path = pki.folder / "edgenode.ini"
    path.write_text(TEXT.format(hooks=hooks, mail=mail))
    return str(path)


def _ran(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgenode", "alerts", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_replay_says_what_alerts_would_have_said(pki: PKI, capsys: pytest.CaptureFixture[str]) -> None:
    """Of all of them or of one; what clients have sent steers no terminal."""
    path = _written(pki)
    assert main(["alerts", "replay", path]) == 0
    assert "nothing would have been raised" in capsys.readouterr().out
    journal = Journal(pki.folder / "journal")
    journal.rotate(EPOCH)
    journal.write(*[event(EPOCH + each) for each in (0, 1, 2)], b"{torn", event(EPOCH + 1000, 200))
    assert main(["alerts", "replay", path]) == 0
    lines = [line.split("  ")[1:] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["errors", "raised", "3", "192.0.2.1"],
        ["errors", "resolved", "3", "192.0.2.1"],
        ["silence", "raised", "0"],
    ]
    assert main(["alerts", "replay", path, "silence"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert main(["alerts", "replay", path, "--last", "1s"]) == 0
    assert "nothing" in capsys.readouterr().out
    assert main(["alerts", "replay", path, "erors"]) == 1
    assert capsys.readouterr().err == 'there is no [alert erors]; did you mean "errors"?\n'


def test_a_test_message_goes_to_everybody_who_is_told(pki: PKI) -> None:
    """Raised and resolved, so that nothing stays open; it says that it is a test."""
    with Origin(pki, answering(TAKEN)) as hooks, MailServer(pki) as mail:
        path = _written(pki, hooks.port, mail.port)
        ran = _ran("test", path, "errors")
        assert (ran.returncode, ran.stderr) == (0, "")
        told = [json.loads(each.partition(b"\r\n\r\n")[2]) for each in hooks.requests]
        assert [each["status"] for each in told] == ["raised", "resolved"]
        assert {each["alert"] for each in told} == {"errors (a test)"}
        assert len(mail.taken) == 2
    assert ran.stdout.splitlines() == [
        "origin hooks: has taken both messages",
        "mail-origin mail: has taken both messages",
    ]


def test_who_does_not_hear_a_test_is_named(pki: PKI) -> None:
    """The others are told all the same; the status is 1."""
    with MailServer(pki) as mail:
        path = _written(pki, 1, mail.port)
        ran = _ran("test", path, "errors")
        assert ran.returncode == 1
        assert ran.stderr.startswith("origin hooks: no connection to 127.0.0.1:1")
        assert ran.stdout == "mail-origin mail: has taken both messages\n"
        ran = _ran("test", path, "silence")
    assert (ran.returncode, ran.stderr) == (1, "[alert silence] tells nobody but the node's log\n")
