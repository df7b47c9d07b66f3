"""``edgenode status``: a screenful for an ordinary node, the worst first for a large one, and safe for the terminal."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import sys
import textwrap
from typing import Any

import pytest
from attrs import asdict, evolve, fields
from hypothesis import given
from hypothesis import strategies as st

from edgenode.__main__ import main
from edgenode.commands import running, status_screen
from edgenode.commands.tree import parse
from edgenode.node.control import STATUS, Report
from edgenode.observe.status import (
    DAY,
    AuthorityStatus,
    CertificateStatus,
    CountersStatus,
    CRLStatus,
    FeedStatus,
    ListenerStatus,
    OriginStatus,
    Rates,
    Reload,
    ServerStatus,
    StateServerStatus,
    Status,
    TrustStoreStatus,
)
from edgenode.observe.status_reference import reference

ROOT = pathlib.Path(__file__).parent.parent.parent
NOW = 1_796_000_000.0

ORDINARY = Status(
    at=NOW,
    version="1.2.3",
    pid=4711,
    name="edge-1",
    path="/etc/edgenode/edgenode.ini",
    started=NOW - 3 * DAY - 4 * 3600,
    loaded=NOW - 7200,
    reload=Reload(NOW - 7200, True, "reloaded"),
    unused=(),
    memory=85 << 20,
    listeners=(
        ListenerStatus("public", "0.0.0.0:443", ("shop", "partners"), 12, 4096, {"h2": 10, "http/1.1": 2}, 14, 1),
    ),
    certificates=(
        CertificateStatus("public", "CN=shop.example.com", NOW + 60 * DAY, ("server-group shop",)),
        CertificateStatus("edge-client", "CN=edge", NOW + 20 * DAY, ("origin shop", "state")),
    ),
    trust_stores=(
        TrustStoreStatus(
            "partners",
            (AuthorityStatus("CN=Partners CA", NOW + 900 * DAY),),
            (CRLStatus("CN=Partners CA", NOW - 3600, NOW + 5 * 3600, 17),),
            ("server-group partners",),
        ),
    ),
    feeds=(
        FeedStatus("list office", "file:/etc/edgenode/office.txt", 12, NOW - 30 * DAY, 0, ""),
        FeedStatus("global-filter tor", "https://feeds.example.net/tor", 1234, NOW - 3600, DAY, ""),
    ),
    origins=(
        OriginStatus(
            "shop",
            (
                ServerStatus("10.0.0.11:8443", True, 4, 1, {"http/1.1": 4}, 0),
                ServerStatus("10.0.0.12:8443", True, 1, 0, {"h2": 1}, 9),
            ),
            0,
            1,
            "auto",
            True,
            "CN=edge",
            "shop.internal",
            ("all",),
        ),
        OriginStatus("siem", (ServerStatus("siem.test:6514", True, 0, 0, {}, 0),), 0, 0, "auto", True, "", ""),
    ),
    counters=CountersStatus({"rate-limit login": 31}, 31, 1_000_000, 4096, 256 << 20, 0),
    state_server=StateServerStatus("rediss://redis.example:6379/0", False, NOW - 7200),
    quarantined={"ip": 2},
    events_lost=0,
    rates=Rates(60, 123.4, {"2xx": 120.0, "4xx": 3.4}, 2.1, {"bots": 1.5, "scripts": 0.6}),
    observer={
        "journal": {
            "segment": 12,
            "written": 1000,
            "dropped": 0,
            "fault": "",
            "segments": 11,
            "bytes": 120 << 20,
            "oldest": NOW - 30 * DAY,
        },
        "exporters": {"siem": {"sent": 900, "set_aside": 0, "lost": 0, "behind_bytes": 4096, "last_error": ""}},
        "alerts": {"attack": {"raised": 0, "values": [], "receivers": {"mail": {"sent": 2, "waiting": 0}}}},
        "observer": {"pid": 4712, "starts": 2},
    },
)


def screen(told: Status, **options: Any) -> str:
    """What is shown of it, after its way over the socket."""
    return status_screen.screen(json.loads(json.dumps(asdict(told))), **options)


def row(text: str, begins: str) -> str:
    """The line that begins so."""
    (line,) = [line for line in text.splitlines() if line.startswith(begins)]
    return re.sub("  +", "  ", line)


def test_an_ordinary_node_is_a_screenful() -> None:
    """80 columns, and with the prompt 24 lines; a few more with exporters and alerts."""
    assert len(screen(evolve(ORDINARY, observer={})).splitlines()) < 24
    lines = screen(ORDINARY).splitlines()
    assert len(lines) < 30
    assert max(map(len, lines)) <= 80


def test_everything_is_there() -> None:
    """The node, its configuration, rates, listeners, certificates, lists, origins, limits, state and its observers."""
    text = screen(ORDINARY)
    assert row(text, "edge-1") == "edge-1: edgenode 1.2.3, PID 4711, serving for 3d 4h, 85 MiB"
    assert row(text, "/etc") == "/etc/edgenode/edgenode.ini, in use since 2026-11-29 22:53 UTC, 2h"
    assert "last reload" not in text
    assert row(text, "last 60s") == "last 60s: 123 requests/s (2xx 120, 4xx 3.4), 2.1 blocked"
    assert row(text, "filters") == "filters that match most often: bots 1.5/s, scripts 0.60/s"
    assert row(text, "public") == "public  0.0.0.0:443  12 of 4096  10 h2, 2 http/1.1, 14 str...  shop, partners"
    assert row(text, "certificate public").endswith("60d  CN=shop.example.com  shop")
    assert row(text, "certificate edge").endswith("20d !  CN=edge  shop, state")
    assert row(text, "CRL of partners").endswith("5h  CN=Partners CA  17 revoked, 1h old")
    assert row(text, "list office").startswith("list office  12  30d")
    first, second = (line for line in text.splitlines() if line.startswith("shop "))
    assert first.split() == ["shop", "10.0.0.11:8443", "up", "4,", "1", "idle", "CN=edge", "shop.internal"]
    assert second.split()[3:6] == ["1,", "9", "streams"]
    assert row(text, "siem    siem") == "siem  siem.test:6514  -  0  none  siem.test"
    assert row(text, "limits") == "limits: 31 of 1000000 keys, 4 KiB: rate-limit login 31"
    assert row(text, "quarantine") == "quarantine: ip 2"
    assert row(text, "state") == "state: rediss://redis.example:6379/0 up for 2h"
    assert row(text, "journal") == "journal: segment 12, 11 kept, 120 MiB since 2026-10-31 00:53 UTC"
    assert row(text, "siem      900") == "siem  900  0  4 KiB  -"
    assert row(text, "attack") == "attack  no  -  2  -"
    assert "observer" not in text


def test_the_page_shows_this_screen() -> None:
    """As it is printed."""
    assert textwrap.indent(screen(ORDINARY), "    ") in (ROOT / "docs" / "status.rst").read_text()


def test_the_page_has_every_field() -> None:
    """Each with its type and what it means."""
    text = reference()
    for cls in (Status, Reload, Rates, ServerStatus, CRLStatus):
        for each in fields(cls):
            assert f"   * - ``{each.name}``\n" in text


TROUBLED = evolve(
    ORDINARY,
    reload=Reload(
        NOW - 60, False, "cannot be used, and nothing has changed", tuple(f"wrong {n}\n  x\n  ^" for n in "abcde")
    ),
    unused=("certificate public",),
    certificates=(
        CertificateStatus("old", "CN=old", NOW - DAY),
        CertificateStatus("soon", "CN=soon", NOW + 3.5 * DAY),
        CertificateStatus("today", "CN=today", NOW + 3661),
    ),
    trust_stores=(
        TrustStoreStatus(
            "partners", (), (CRLStatus("CN=CA", NOW - 9 * DAY, NOW - DAY, 0), CRLStatus("CN=B", NOW, None, 0))
        ),
    ),
    feeds=(
        FeedStatus("list late", "https://a", 1, NOW - 3 * DAY, DAY, ""),
        FeedStatus("list failed", "https://a", 1, NOW - 3600, DAY, "no connection"),
        FeedStatus("list none", "https://a", None, None, DAY, ""),
    ),
    origins=(
        OriginStatus("plain", (ServerStatus("unix:/run/app", False, 0, 0, {}, 0),), 7, 0, "http/1.1", False, "", None),
        OriginStatus("bold", (ServerStatus("[::1]:443", True, 0, 0, {}, 0),), 0, 0, "auto", True, "", None),
        OriginStatus("own", (ServerStatus("app.test:443", True, 0, 0, {}, 0),), 0, 0, "auto", True, "", ""),
    ),
    counters=CountersStatus({"rate-limit login": 31}, 31, 31, 4096, 256 << 20, 9),
    state_server=StateServerStatus("redis://r", True, NOW - 120, "connection refused; absent = local"),
    events_lost=5,
    observer={
        "journal": {"segment": 3, "written": 9, "dropped": 7, "fault": "No space left on device"},
        "exporters": {
            "siem": {"sent": 9, "lost": 4, "set_aside": 1, "last_error": "connection refused", "since": NOW - 60},
            "bucket": {"sent": 9, "lost": 0, "set_aside": 1, "last_error": "status 400", "since": None},
        },
        "alerts": {
            "attack": {
                "raised": 2,
                "severity": "critical",
                "values": [{"value": "203.0.113.7", "since": NOW}, {"value": "evil\x1b[2J"}],
                "receivers": {"mail": {"sent": 2, "waiting": 3, "last_error": "no such host"}},
            }
        },
        "observer": {"pid": 0, "starts": 3},
    },
)


def test_trouble_is_told() -> None:
    """What is late, expired, down, full, away or lost; and why the last reload has failed."""
    text = screen(TROUBLED)
    assert row(text, "last reload") == "last reload 1m ago: cannot be used, and nothing has changed"
    assert [line for line in text.splitlines() if line.startswith("  ")] == [
        "  wrong a", "  wrong b", "  wrong c", "  ... and 2 more problems",
    ]  # fmt: skip
    assert row(text, "old files") == "old files stay in use: [certificate public]"
    assert "EXPIRED  CN=old  nobody" in row(text, "certificate old")
    assert "3d !!" in row(text, "certificate soon")
    assert "1h 1m !!" in row(text, "certificate today")
    late, endless = (line for line in text.splitlines() if line.startswith("CRL of partners"))
    assert "LATE" in late
    assert "CN=B" in endless
    assert row(text, "list late").endswith("3d  https://a  late")
    assert row(text, "list failed").endswith("no connection")
    assert row(text, "list none") == "list none  none  -  https://a  -"
    assert row(text, "plain") == "plain  unix:/run/app  down  0, 7 queued  no TLS  -"
    assert " - " in row(text, "bold")  # no path map leads to it
    assert row(text, "bold").endswith("none  not verified")
    assert row(text, "own").endswith("none  app.test")
    assert row(text, "limits") == "limits: FULL: 31 of 31 keys, 4 KiB, 9 forgotten: rate-limit login 31"
    assert row(text, "state") == "state: redis://r away for 2m: connection refused; absent = local"
    assert row(text, "journal") == "journal: segment 3, 7 events lost: No space left on device"
    assert row(text, "siem") == "siem  9  5  0 KiB  for 1m: connection refused"
    assert row(text, "bucket") == "bucket  9  1  0 KiB  status 400"
    assert row(text, "attack") == "attack  2, critical  203.0.113.7, evil\\x1b[2J  2, 3 waiting  no such host"
    assert row(text, "observer") == "observer: none, started 3 times"
    assert row(text, "events") == "events: 5 lost since the start"


def test_of_many_certificates_the_worst_are_shown() -> None:
    """Of a thousand, those that end first; ``--all`` shows every one of them."""
    many = tuple(CertificateStatus(f"c{n}", f"CN=c{n}", NOW + (n - 500) * DAY) for n in range(1000, 0, -1))
    text = screen(evolve(ORDINARY, certificates=many))
    assert re.findall(r"^certificate c(\d+) ", text, re.MULTILINE) == [*map(str, range(1, 9))]
    assert "... and 994 more: --all" in text
    assert (
        len(
            re.findall(r"^certificate c\d+ ", screen(evolve(ORDINARY, certificates=many), every_row=True), re.MULTILINE)
        )
        == 1000
    )


def test_of_many_servers_those_that_are_down_are_shown() -> None:
    """Wherever they stand."""
    servers = tuple(ServerStatus(f"10.0.0.{n}:80", n != 200, 0, 0, {}, 0) for n in range(1, 250))
    text = screen(evolve(ORDINARY, origins=(evolve(ORDINARY.origins[0], servers=servers),)))
    assert "10.0.0.200:80  down" in text


HOSTILE = st.text(max_size=30) | st.sampled_from(["\x1b[2J", "a\nb", "\u202eabc", "\x9b31m", "x" * 500, "\ud800", "א"])


@given(HOSTILE, st.integers(20, 200))
def test_no_text_of_others_steers_a_terminal(text: str, width: int) -> None:
    """Subjects, issuers, sources, problems, keys of the quarantine and what an observer tells: all is printable, on the
    line where it belongs, and no wider than the terminal."""
    told = evolve(
        ORDINARY,
        reload=Reload(NOW, False, text, (text,)),
        unused=(text,),
        certificates=(CertificateStatus(text, text, NOW, (text,)),),
        trust_stores=(TrustStoreStatus(text, (AuthorityStatus(text, NOW),), (CRLStatus(text, NOW, NOW, 1),)),),
        feeds=(FeedStatus(text, text, 1, NOW, 0, text),),
        origins=(evolve(ORDINARY.origins[0], identity=text, verified_name=text),),
        quarantined={text: 1},
        state_server=StateServerStatus(text, True, NOW, text),
        observer={text: {text: {text: text}}, "x": text},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        shown = screen(told)
    assert all(each.isprintable() or each == "\n" for each in shown)
    lines = shown.split("\n")
    assert len(lines) == len(screen(evolve(told, reload=Reload(NOW, False, "", ("",)))).split("\n"))
    assert max(map(len, lines)) <= max(width, 80)


class Told:
    """A node that answers commands.

    :ivar report: what it answers; ``None`` if it cannot be asked.
    :ivar requests: what it was asked.
    """

    def __init__(self) -> None:
        self.report: Report | None = Report(True, json.dumps(asdict(ORDINARY)))
        self.requests: list[bytes] = []

    def asked(self, options: argparse.Namespace, command: str, request: bytes) -> Report | None:
        """Answer."""
        self.requests.append(request)
        return self.report


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """A node that runs well."""
    found = Told()
    monkeypatch.setattr(running, "asked", found.asked)
    return found


def test_the_command_shows_what_the_node_answers(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    """A screen, or every value."""
    assert main(["status", "--pid", "1"]) == 0
    assert capsys.readouterr().out == screen(ORDINARY) + "\n"
    assert main(["status", "--pid", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(asdict(ORDINARY)))
    assert told.requests == [STATUS, STATUS]


@pytest.mark.parametrize("text", ["{}", '{"at": 1}', "[]", '{"at": "x", "version": 1}', "3"])
def test_a_node_of_another_version_is_no_crash(told: Told, capsys: pytest.CaptureFixture[str], text: str) -> None:
    """What the command cannot read it prints as it is, if that is wanted."""
    told.report = Report(True, text)
    assert main(["status", "--pid", "1"]) == 1
    assert "another version" in capsys.readouterr().err
    assert main(["status", "--pid", "1", "--json"]) == 0


def test_a_node_that_cannot_say_is_a_failure(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    """With its own words."""
    told.report = Report(False, "the status failed; the node's log says why")
    assert main(["status", "--pid", "1"]) == 1
    assert capsys.readouterr() == ("", "edgenode status: the status failed; the node's log says why\n")


def test_without_a_node_the_command_fails(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With one sentence."""
    assert main(["status", "--pid-file", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("edgenode status: no node is known here: ")
    assert main(["status", "--pid", str(os.getpid())]) == 1
    assert capsys.readouterr().err == f"edgenode status: process {os.getpid()} cannot be asked: no node runs there\n"


def test_watching_shows_it_again(
    told: Told, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it is interrupted, or the node has gone; the screen of a terminal is cleared before."""
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            told.report = None

    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert parse(["status", "--watch"]).watch
    assert main(["status", "--pid", "1", "--watch"]) == 1
    assert len(pauses) == 2
    assert capsys.readouterr().out.count("\033[H\033[J") == 2


def test_a_terminal_has_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red is what is broken, yellow what will be."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    lines = screen(TROUBLED).splitlines()
    red = [line for line in lines if line.startswith("\033[31m")]
    assert any("certificate old" in line for line in red)
    assert any("events: 5" in line for line in red)
    assert any(line.startswith("\033[33m") and "list late" in line for line in lines)
    assert "\033[3" not in "".join(line for line in screen(ORDINARY).splitlines() if "public" in line)
