"""``edgenode replay``: what would have been decided, what changes, and what nobody can know."""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import crypto

from edgenode import __main__ as command
from edgenode.config.load import Configuration
from edgenode.model.decision import Close, Respond
from edgenode.model.exchange import Address, Body, ClientIdentity, Connection, Exchange, Verification
from edgenode.observe.event_record import event_line
from edgenode.proxy.event_record import EventRecord
from edgenode.rules.fields import FIELDS
from edgenode.rules.matching.certainty import NotKnown
from edgenode.simulation.event_files import with_progress
from edgenode.simulation.recorded import NoEvent, NotJudged, Recorded, Verdict
from edgenode.simulation.replay import Certain, NotCertain, Replayer
from edgenode.simulation.simulator import Judged, Simulator
from edgenode.tls.identity import identity_of
from tests.support.certificates import CLIENT, make_authority, write_pem
from tests.support.configurations import changed, write_server
from tests.support.requests import request_of

ROOT = pathlib.Path(__file__).parent.parent.parent

MTLS = "certificate = server\nmtls = optional\ntrust-store = clients"
INI = changed(
    {
        "hosts = shop.example": "hosts = www.test",
        "certificate = server": MTLS,
        "": """
[trust-store clients]
authorities = clients.pem
tags        = vouched

[action teapot]
type   = block
status = 418

[action noted]
type     = monitor
priority = 50
""",
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Certificates, for INI and for the example."""
    folder = tmp_path_factory.mktemp("replay")
    authority = make_authority("Clients")
    write_pem(folder / "clients.pem", [authority])
    write_server(folder, "www.test")
    shutil.copytree(ROOT / "examples" / "seeing-why", folder / "examples" / "seeing-why")
    pki = folder / "examples" / "pki"
    pki.mkdir()
    write_pem(pki / "ca.pem", [authority])
    shutil.copy(folder / "server.pem", pki / "site.pem")
    shutil.copy(folder / "server.key", pki / "site.key")
    return folder


@pytest.fixture(scope="module")
def acme() -> ClientIdentity:
    """A verified client, with all that a certificate can say."""
    issued = make_authority("Clients").issue("CN=acme,O=Acme", eku=[CLIENT], sans=["DNS:acme.test", "URI:spiffe://a/b"])
    certificate = crypto.X509.from_cryptography(issued.certificate)
    verified = identity_of(certificate, Verification(presented=True, verified=True))
    return evolve(verified, chain_sent=(b"issuer",), chain_verified=(b"authority",), tags=("vouched",))


def event(
    configuration: Configuration,
    target: str = "/",
    client: ClientIdentity | None = None,
    body: bytes = b"",
    **fields: str,
) -> str:
    """The event that a node with a configuration writes of a request."""
    simulator = Simulator.of(configuration)
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    lines += [f"Content-Length: {len(body)}"] if body else []
    head = request_of(f"{'POST' if body else 'GET'} {target} HTTP/1.1", *lines)
    peer = Address("192.0.2.7", 40000)
    connection = Connection(peer, Address("192.0.2.1", 443), "www.test", "", "TLSv1.3", "x", "y", client)
    group = simulator.group("public", connection)
    assert group is not None
    guest = simulator.client("public", connection, group, 1e9, settled=True)
    judged = simulator.judge(guest, head, Body(body, len(body)), "192.0.2.7")
    return _told(judged, configuration)


def _told(judged: Judged, configuration: Configuration) -> str:
    record = EventRecord("public", judged.exchange, 1e9)
    record.event_headers = configuration.edge.told_headers
    record.decision = judged.decision
    record.error = judged.refusal
    outcome = judged.decision.outcome(judged.exchange)
    if judged.refusal is not None:
        record.status = judged.refusal.status
    elif isinstance(outcome, Respond):
        record.status = outcome.response.status
    elif isinstance(outcome, Close):
        record.status = 444
    else:
        record.status, record.tries, record.origin = 200, 1, "shop"
    return event_line(record)


def configured(folder: pathlib.Path, rules: str, edge: str = "") -> Configuration:
    """A configuration with some rules."""
    return Configuration.from_text(f"[edge]\nsystem-filters = no\n{edge}\n{INI}{rules}", folder)


# -- one event ---------------------------------------------------------------------------------------------------------

READERS = tuple(name for name in FIELDS if name not in ("edge.tags",))
UNTOLD = re.compile(
    r"http\.request\.headers(\.names|\.values)?|http\.cookie|http\.request\.cookies|edge\.cookies|http\.x_forwarded_for|"
    r"http\.request\.accepted_languages|cf\.tls_client_auth\.cert_(chain_)?rfc9440(_too_large)?"
)


@pytest.fixture(scope="module")
def exchange(folder: pathlib.Path, acme: ClientIdentity) -> tuple[Exchange, Exchange]:
    """An exchange, and the same as its event tells it."""
    line = event(
        configured(folder, ""), "/a%20b/c.php?x=1&x=2", acme, user_agent="curl/8", cookie="a=1; b=2", referer="r"
    )
    recorded = Recorded.of(line)
    fields = ("user-agent: curl/8", "cookie: a=1; b=2", "referer: r")
    connection = evolve(recorded.connection, client=acme)
    whole = Exchange(connection, request_of("GET /a%20b/c.php?x=1&x=2 HTTP/1.1", *fields), "192.0.2.7", time=1e9)
    return whole, recorded.probe(whole)


@pytest.mark.parametrize("name", READERS)
def test_a_field_read_from_an_event_is_the_field_that_was_recorded_or_not_known(
    exchange: tuple[Exchange, Exchange], name: str
) -> None:
    """Every field: of a recorded exchange it has the value that it had, or says that it is not known."""
    whole, probe = exchange
    try:
        read = FIELDS[name].read(probe)
        if name == "http.request.headers":
            read = list(read)
    except NotKnown:
        assert UNTOLD.fullmatch(name), f"{name} should be known"
    else:
        assert not UNTOLD.fullmatch(name)
        assert read == FIELDS[name].read(whole)


def test_what_was_recorded_is_decided_again(folder: pathlib.Path, acme: ClientIdentity) -> None:
    """With the same configuration nothing changes: not the action, not the status, not the filter."""
    rules = """
        [global-filter tea]
        action = teapot
        header.user-agent = ^curl/
        [global-filter known]
        action = noted
        certificate.subject = ^CN=acme
        tag = vouched
        [global-filter counted]
        tags = many
        action = close
        tag = headers:7
    """.replace("\n        ", "\n")
    configuration = configured(folder, rules)
    of = Replayer(configuration)
    for line, verdict, by in (
        (event(configuration, user_agent="curl/8"), Verdict("teapot", 418), "tea"),
        (event(configuration, client=acme), Verdict("noted"), "known"),
        (event(configuration), Verdict("forward"), ""),
        (event(configuration, a="1", b="2", c="3", d="4", e="5", f="6"), Verdict("close", 444), "counted"),
    ):
        recorded = Recorded.of(line)
        assert of.judge(recorded) == Certain(verdict, by)
        assert (recorded.verdict, recorded.filter) == (verdict, by)


@pytest.mark.parametrize(
    ("rule", "missing"),
    [
        ("header.x-secret = ^1$", "header x-secret"),
        ("header.x-secret = !^1$", "header x-secret"),
        ("cookie.session = .", "header cookie"),
        ("argument.x = ^2$", "body"),
        ('expression = any(http.request.headers.names[*] eq "X-Secret")', "all headers"),
        ('expression = http.request.body.raw contains "x"', "body"),
        ('expression = cf.tls_client_auth.cert_rfc9440 contains "x"', "certificate leaf"),
        ('tag = hidden\n[global-filter other]\ntags = hidden\nheader.x-secret = .', "header x-secret"),
        ('expression = any(starts_with(edge.tags[*], "hid"))\n[global-filter o]\ntags = hidden\nheader.x-secret = .',
         "header x-secret"),
    ],
)  # fmt: skip
def test_what_an_event_does_not_hold_is_not_guessed(
    folder: pathlib.Path, acme: ClientIdentity, rule: str, missing: str
) -> None:
    """A verdict that depends on it is not certain, and it is named, with the filter."""
    configuration = configured(folder, f"[global-filter asks]\naction = teapot\n{rule}\n")
    line = event(configuration, "/?y=1", acme, b"x=1", content_type="application/x-www-form-urlencoded")
    assert Replayer(configuration).judge(Recorded.of(line)) == NotCertain(frozenset((missing,)), ("asks",))


ASKS = "[global-filter asks]\naction = teapot\nheader.x-secret = .\n"


@pytest.mark.parametrize(
    ("rules", "verdict"),
    [
        (f"{ASKS}header.user-agent = .", None),
        (f"{ASKS}header.user-agent = ^wget", Verdict("forward")),
        (f"{ASKS}header.user-agent = ^curl\nrelation = or", Verdict("teapot", 418)),
        (f"{ASKS}expression = ssl and not ssl", Verdict("forward")),
        (ASKS.replace("action = teapot", "tags = t"), Verdict("forward")),
        (f"{ASKS}[action first]\ntype = close\npriority = 900\n[global-filter b]\naction = first\npath = .",
         Verdict("first", 444)),
        ("[global-filter a]\naction = teapot\nargument.x = .", Verdict("forward")),
    ],
)  # fmt: skip
def test_what_makes_no_difference_need_not_be_known(folder: pathlib.Path, rules: str, verdict: Verdict | None) -> None:
    """A rule that comes out the same either way is certain, and so is a verdict that no doubtful filter can change."""
    configuration = configured(folder, rules)
    answer = Replayer(configuration).judge(Recorded.of(event(configuration, user_agent="curl/8")))
    assert (answer.verdict if isinstance(answer, Certain) else None) == verdict


def test_a_path_map_that_depends_on_the_unknown_is_not_certain(folder: pathlib.Path) -> None:
    """Nor is anything behind it."""
    text = INI.replace("path-maps = all", "path-maps = beta, all")
    text += "[path-map beta]\nheader.x-beta = .\norigin = shop\n"
    configuration = Configuration.from_text(text, folder)
    answer = Replayer(configuration).judge(Recorded.of(event(configuration)))
    assert answer == NotCertain(frozenset(("header x-beta",)), ("path map beta",))


def test_named_headers_are_recorded(folder: pathlib.Path) -> None:
    """What ``event-headers`` names can be replayed, and nothing else is told: no cookie, no credentials."""
    rules = "[global-filter asks]\naction = teapot\nheader.x-secret = ^1$\n"
    configuration = configured(folder, rules, "event-headers = X-Secret")
    line = event(
        configuration, x_secret="1", cookie="session=hidden", authorization="Basic hidden", user_agent="hidden"
    )
    assert "hidden" not in line
    assert Replayer(configuration).judge(Recorded.of(line)) == Certain(Verdict("teapot", 418), "asks")


def test_a_client_refused_on_other_terms_is_not_certain(folder: pathlib.Path, acme: ClientIdentity) -> None:
    """Whoever was not asked for a certificate then might have shown one."""
    configuration = configured(folder, "")
    asking = Configuration.from_text(INI.replace("mtls = optional", "mtls = on"), folder)
    assert Replayer(asking).judge(Recorded.of(event(configuration))) == NotCertain(frozenset(("certificate",)))
    assert Replayer(asking).judge(Recorded.of(event(configuration, client=acme))) == Certain(Verdict("forward"))


# -- broken events -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["junk", "[]", "{}", "null", '{"request": {}}', "[" * 100_000, '{"a": 1e999}', "\ufffd"]
)
def test_a_line_that_is_no_event_is_said_to_be_none(line: str) -> None:
    """And nothing else happens."""
    with pytest.raises(NoEvent):
        Recorded.of(line)


@pytest.mark.parametrize("length", [4e10, 1001, -1])
@pytest.mark.parametrize("chain", ["chain_sent", "chain_verified"])
def test_a_chain_that_no_client_has_is_refused(
    folder: pathlib.Path, acme: ClientIdentity, chain: str, length: float
) -> None:
    """It would take all memory there is."""
    told = json.loads(event(configured(folder, ""), client=acme))
    told["certificate"][chain] = length
    with pytest.raises(NoEvent, match=f"a chain of {length}|{chain} is no number"):
        Recorded.of(json.dumps(told))


def test_a_body_that_was_too_large_once_is_not_certain(folder: pathlib.Path) -> None:
    """If nobody told its length: how much was read of it depends on what was allowed; monitored or not. But what is
    answered without it is certain."""
    monitored = configured(folder, "[global-filter f]\naction = noted\npath = .\n")
    smaller = Configuration.from_text(INI.replace("origin = shop", "origin = shop\nmax-body-size = 5", 1), folder)
    told = json.loads(event(configured(folder, ""), body=b"0123456789"))
    told["request"]["length"], told["bytes"]["received"] = None, 10
    assert Replayer(monitored).judge(Recorded.of(json.dumps(told))) == Certain(Verdict("noted"), "f")
    assert Replayer(smaller).judge(Recorded.of(json.dumps(told))) == NotCertain(frozenset(("body",)))
    told["error"] = {"fault": "client", "status": 413, "reason": "the request body is too large"}
    told["status"] = 413
    recorded = Recorded.of(json.dumps(told))
    for configuration in (configured(folder, ""), monitored):
        assert Replayer(configuration).judge(recorded) == NotCertain(frozenset(("body",)))
    blocking = configured(folder, "[global-filter f]\naction = teapot\npath = .\n")
    assert Replayer(blocking).judge(recorded) == Certain(Verdict("teapot", 418), "f")
    rules = "[global-filter f]\naction = teapot\npath = .\n[global-filter g]\nargument.x = .\n"
    waiting = Configuration.from_text(
        INI.replace("origin = shop", "origin = shop\nmax-body-size = 5", 1) + rules, folder
    )
    assert Replayer(waiting).judge(recorded) == NotCertain(frozenset(("body",)))


def test_what_an_event_says_steers_no_terminal(
    folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], events: list[Any]
) -> None:
    """Whoever wrote the file: not by the names of actions and filters, not by anything else."""
    evil = "x\x1b[2J\n\u202e"
    told = next(each for each in json.loads(json.dumps(events)) if each["request"] and each["action"] is None)
    told["action"] = evil
    told["reasons"] = [{"stage": "global-filters", "filter": evil, "entry": evil, "annotation": evil, "action": evil}]
    told["request"]["target"], told["request"]["headers"] = "/", {}
    (tmp_path / "events.jsonl").write_text(json.dumps(told) + "\n")
    file = str(folder / "examples" / "seeing-why" / "explain.ini")
    assert command.main(["replay", file, str(tmp_path / "events.jsonl")]) == 0
    said = capsys.readouterr().out
    assert "1b[2J" in said
    assert all(each.isprintable() or each == "\n" for each in said)


@given(st.data())
def test_a_damaged_event_is_read_or_refused(events: list[Any], data: st.DataObject) -> None:
    """Whatever is wrong with any part of it."""
    told = json.loads(json.dumps(data.draw(st.sampled_from(events))))
    places = list(_places(told))
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(places))
        value: Any = data.draw(
            st.sampled_from((None, "", 0, -1, 1e400, [], {}, "x\r\ny", [None], {"a": []}, True, "\u20ac"))
        )
        if data.draw(st.booleans()) and isinstance(holder, dict):
            holder.pop(key, None)
        else:
            holder[key] = value
    try:
        recorded = Recorded.of(json.dumps(told))
    except (NoEvent, NotJudged):
        return
    assert isinstance(recorded.verdict, Verdict)


def _places(part: Any) -> Iterator[tuple[Any, Any]]:
    items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in list(items):
        yield part, key
        yield from _places(value)


@pytest.fixture(scope="module")
def events() -> list[Any]:
    """The events of the example."""
    text = (ROOT / "examples" / "seeing-why" / "events.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_commands_as_the_documentation_has_them(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command of docs/replay.rst prints what stands below it there."""
    text = (ROOT / "docs" / "replay.rst").read_text()
    blocks = re.findall(r"^   \$ edgenode (.*)\n((?:   .*\n|\n)*)", text, re.MULTILINE)
    assert len(blocks) == 2
    monkeypatch.chdir(folder)
    for line, expected in blocks:
        assert command.main(shlex.split(line)) == 0
        assert capsys.readouterr().out.split() == expected.split()


def test_json_has_counts_and_examples(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of each change: both verdicts, the filter, how often, and as many examples as asked for."""
    why = folder / "examples" / "seeing-why"
    against = ["--against", str(why / "stricter.ini"), "--json", "--examples", "1"]
    assert command.main(["replay", str(why / "explain.ini"), str(why / "events.jsonl"), *against]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["same"] == 6
    first = told["changed"][0]
    assert (first["before"], first["after"], first["filters"], first["count"]) == (
        "forward", "forbid 403", "scripts-that-write", 2,
    )  # fmt: skip
    assert [example["target"] for example in first["examples"]] == ["/cart"]
    assert [each["missing"] for each in told["not_certain"]] == ["header accept"]
    assert told["passed_over"] == [{"why": "without a request", "count": 1, "examples": ["line 5"]}]


def test_a_change_against_what_was_recorded(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without another configuration the events themselves are what it is compared with."""
    why = folder / "examples" / "seeing-why"
    assert command.main(["replay", str(why / "stricter.ini"), str(why / "events.jsonl"), "--json"]) == 0
    changed = json.loads(capsys.readouterr().out)["changed"]
    assert [(each["before"], each["after"]) for each in changed] == [("forward", "forbid 403")] * 2


def test_a_huge_file_is_read_line_by_line(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str], events: list[Any]
) -> None:
    """Memory does not grow with the file, not even with a line that never ends."""
    why, huge = folder / "examples" / "seeing-why", folder / "huge.jsonl"
    line = json.dumps(events[0]) + "\n"
    with huge.open("w") as file:
        file.write(line * 300 + "x" * (20 << 20) + "\n" + line * 300)
    tracemalloc.start()
    try:
        assert command.main(["replay", str(why / "explain.ini"), str(huge)]) == 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "600 the same" in capsys.readouterr().out
    assert peak < 10 << 20


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        ((), 0, ""),
        (("--against", "stricter.ini"), 4, "expected the same: 3 changed, 4 not certain\n"),
        (("--against", "stricter.ini", "--allow-uncertain"), 4, "expected the same: 3 changed\n"),
    ],
)
def test_the_same_can_be_expected(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...], status: int, told: str,
) -> None:  # fmt: skip
    """The status says whether it is; what is not certain is not the same, unless that is allowed."""
    monkeypatch.chdir(folder / "examples" / "seeing-why")
    assert command.main(["replay", "explain.ini", "events.jsonl", "--expect-same", *options]) == status
    assert capsys.readouterr().err == told
    assert command.main(["replay", "explain.ini", "events.jsonl", *options[:2]]) == 0


@pytest.mark.parametrize(("content", "why"), [("", "no event was compared"), ("{}\n", "1 not read")])
def test_nothing_compared_is_not_the_same(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path, content: str, why: str
) -> None:
    """An empty file, or one of something else, meets no expectation."""
    (tmp_path / "events").write_text(content)
    ini = str(folder / "examples" / "seeing-why" / "explain.ini")
    assert command.main(["replay", ini, str(tmp_path / "events"), "--expect-same"]) == 4
    assert capsys.readouterr().err == f"expected the same: {why}\n"


def test_rotated_files_are_read_as_they_are(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    """By gzip, in several members and whatever they are called; of a file without its end nothing is told."""
    why = folder / "examples" / "seeing-why"
    lines = (why / "events.jsonl").read_bytes().splitlines(keepends=True)
    rotated = tmp_path / "events.1"
    rotated.write_bytes(gzip.compress(b"".join(lines[:5])) + gzip.compress(b"".join(lines[5:])))
    assert command.main(["replay", str(why / "explain.ini"), str(rotated)]) == 0
    assert "14 events\n  13 the same" in capsys.readouterr().out
    rotated.write_bytes(gzip.compress(b"".join(lines))[:-100])
    assert command.main(["replay", str(why / "explain.ini"), str(rotated)]) == 1
    out, err = capsys.readouterr()
    assert (out, err.startswith(f"cannot read {rotated}: ")) == ("", True)


def zstd(data: bytes) -> bytes:
    """Data, compressed by the command of that name."""
    return subprocess.run(["zstd", "-q"], input=data, capture_output=True, check=True).stdout


@pytest.mark.skipif(shutil.which("zstd") is None, reason="there is no zstd here")
def test_zstandard_is_read_or_says_what_it_needs(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    """With Python 3.14 or the package, several frames and all; else a sentence."""
    why, rotated = folder / "examples" / "seeing-why", tmp_path / "events.zst"
    lines = (why / "events.jsonl").read_bytes().splitlines(keepends=True)
    rotated.write_bytes(zstd(b"".join(lines[:5])) + zstd(b"".join(lines[5:])))
    can = any(importlib.util.find_spec(name) for name in ("zstandard", "compression"))
    assert command.main(["replay", str(why / "explain.ini"), str(rotated)]) == (0 if can else 1)
    out, err = capsys.readouterr()
    assert (
        "14 events\n  13 the same" in out if can else err.endswith("or the package zstandard (pip install zstandard)\n")
    )
    rotated.write_bytes(zstd(b"".join(lines))[:-100])
    assert command.main(["replay", str(why / "explain.ini"), str(rotated)]) == 1


class Terminal(io.StringIO):
    """Standard error, as a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_long_files_show_their_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a second, how much of the file has been read; at the end the line is empty. Elsewhere there is none."""
    lines, times = [(number, "") for number in range(1024)], iter([0.0, 0.5, 1.5, 1.6, 1.7, 3.0, 3.0])
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert list(with_progress(iter(lines), lambda: 0.5, lambda: next(times))) == lines
    assert terminal.getvalue() == "\r 50%  512 events\033[K\r 50%  1,024 events\033[K\r\033[K"
    monkeypatch.setattr(sys, "stderr", quiet := io.StringIO())
    assert list(with_progress(iter(lines), lambda: 0.5)) == lines
    assert quiet.getvalue() == ""


def test_what_cannot_be_read_is_said(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The status is 1."""
    file = str(folder / "examples" / "seeing-why" / "explain.ini")
    assert command.main(["replay", file, "/nonexistent"]) == 1
    assert command.main(["replay", "/nonexistent", file]) == 1
    assert capsys.readouterr().err.count("cannot read /nonexistent") == 2
