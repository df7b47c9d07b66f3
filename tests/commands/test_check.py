"""``edgenode check``: where a problem stands, how it is told to programs, and what it says once."""

from __future__ import annotations

import io
import json
import pathlib
from typing import Any

import pytest

from edgenode.__main__ import main
from edgenode.commands.terminal import shown
from edgenode.config import ini
from edgenode.model.errors import Problem
from edgenode.node import privileges
from tests.support.configurations import MINIMAL, changed, write_server

WITH_EVENTS = changed({"": "[edge]\nevents = off"})


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Where the certificate is that the configuration names."""
    return write_server(tmp_path)


def check(folder: pathlib.Path, text: str, *options: str) -> tuple[int, pathlib.Path]:
    """Check a text: the status, and the file that it stood in."""
    file = folder / "edge.ini"
    file.write_text(text)
    return main(["check", str(file), *options]), file


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What was told as JSON."""
    out, err = capsys.readouterr()
    assert err == ""
    found: dict[str, Any] = json.loads(out)
    return found


BROKEN = """\
# a comment

[edge]
events = off
nam = x

[listener public]
endpoint = tcp:0
server-groups =
    shop
# between the lines of a value

    nowhere
"""


def test_a_problem_is_told_with_its_line(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a value of several lines it is the line, comments and blank lines counted; of a missing key the header."""
    status, file = check(folder, BROKEN + "\n[server-group shop]\nhosts = a.test\n")
    assert status == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(str(file))]
    assert lines[:3] == [
        f'{file}:5: [edge] nam: unknown key; did you mean "name"?',
        f"{file}:13: [listener public] server-groups: there is no [server-group nowhere]",
        f"{file}:15: [server-group shop] security-policy: this key is required",
    ]


def test_what_is_wrong_between_sections_has_its_line_too(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line of the entry that is meant, not of its key; and what is wrong with the notation is told alike."""
    rules = "[global-filter f]\ntags = t\nrelation = and\nheader.x =\n    ^a\n    tag\ntag = nobody-sets-this\n"
    status, file = check(folder, WITH_EVENTS + rules)
    number = (WITH_EVENTS + rules).splitlines().index("tag = nobody-sets-this") + 1
    assert status == 0
    assert f"{file}:{number}: warning: [global-filter f] tag: " in capsys.readouterr().err
    status, file = check(folder, "[edge]\nname = a\nname = b\nnonsense\n")
    err = capsys.readouterr().err
    assert f"{file}:3: [edge] name: the key is written twice\n" in err
    assert f"{file}:4: expected [kind name]" in err


def test_the_lines_of_every_value_are_counted_as_they_are_read() -> None:
    """For each line of each value of the example there is a number, and that line of the file holds it."""
    text = pathlib.Path("etc/edgenode.ini").read_text()
    sections, problems = ini.read(text, ())
    lines = text.split("\n")
    assert not problems
    assert len(sections) > 10
    for section in sections:
        assert lines[section.lines[""][0] - 1].strip() == f"[{section.header}]"
        for key, value in section.values.items():
            parts = value.split("\n")
            numbers = section.lines[key][: len(parts)]
            assert len(numbers) == len(parts), (section.header, key)
            for number, part in zip(numbers, parts, strict=True):
                assert part in lines[number - 1]
            assert lines[numbers[0] - 1].lstrip().startswith(key)


def test_strict_fails_for_warnings(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without it they are told and counted, and the status is 0."""
    doubtful = WITH_EVENTS + "[global-filter f]\npath = ^/x\n"
    assert check(folder, doubtful)[0] == 0
    assert capsys.readouterr().out.endswith(", 1 warning\n")
    status, file = check(folder, doubtful, "--strict")
    assert status == 1
    assert capsys.readouterr().err.endswith(f"{file}: 0 errors, 1 warning\n")
    assert check(folder, WITH_EVENTS, "--strict")[0] == 0


def test_json_has_every_problem_and_its_place(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All on standard output, for a file that can be used and for one that cannot."""
    status, file = check(folder, BROKEN, "--json")
    found = told(capsys)
    assert (status, found["ok"], found["file"]) == (1, False, str(file))
    assert found["problems"][0] == {
        "severity": "error", "file": str(file), "line": 5, "section": "edge", "key": "nam",
        "message": 'unknown key; did you mean "name"?', "text": "x", "column": 0,
    } | {key: found["problems"][0][key] for key in ("text", "column")}  # fmt: skip
    assert check(folder, WITH_EVENTS, "--json")[0] == 0
    found = told(capsys)
    assert (found["ok"], found["problems"], found["sections"]["listener"]) == (True, [], 1)
    assert check(folder, MINIMAL, "--json", "--strict")[0] == 1
    found = told(capsys)
    assert (found["ok"], [each["severity"] for each in found["problems"]]) == (False, ["warning"])


OTHERS = {
    "nginx": ("nginx", "events {}\nhttp {\n  server {\n    listen 443 ssl;\n    location / { return 200; }\n  }\n}\n"),
    "a snippet for nginx": ("nginx", "listen 443 ssl;\nserver_name shop.example;\n"),
    "HAProxy": ("HAProxy", "global\n    daemon\nfrontend web\n    bind :443 ssl\n    default_backend b\n"),
    "Apache": ("Apache httpd", "<VirtualHost *:443>\n  ServerName x\n</VirtualHost>\n"),
    "Envoy": ("YAML", "static_resources:\n  listeners:\n  - name: x\n"),
    "a list of rules": ("JSON", '[{"id": "x", "name": "y"}]'),
    "Caddy": ("Caddyfile", "shop.example {\n    reverse_proxy localhost:8080\n}\n"),
    "something compressed": ("binary file", "\x1f\x8b\x08\x00\x00\n\x00\n"),
    "text of Windows": ("UTF-8", "[edge]\n".encode("utf-16").decode("latin-1")),
    "a certificate": ("certificate", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_file_of_another_program_is_recognized_once(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    """One sentence instead of an error for each line."""
    name, text = OTHERS[what]
    status, file = check(folder, text)
    first, second = capsys.readouterr().err.splitlines()
    assert status == 1
    assert first.startswith(f"{file}: this looks like ")
    assert name in first
    assert second == f"{file}: 1 error"


@pytest.mark.parametrize("text", ["", "nonsense", "edge:\n[edge]\n", "[edge]\nserver {\n"])
def test_a_broken_file_of_ours_is_still_told_line_by_line(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """A section header makes it ours; and what nobody knows is not guessed at."""
    assert check(folder, text)[0] == 1
    assert "looks like" not in capsys.readouterr().err


def test_a_circle_is_told_once(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From its first section on, whatever else leads into it; another circle is told besides."""
    circles = "\n".join(f"[section {one}]\nsections = {two}" for one, two in ("ab", "bc", "ca", "dd"))
    leading = "".join(f"[global-filter f{number}]\ntags = t\nsections = {name}\n" for number, name in enumerate("abcd"))
    status, _ = check(folder, f"{WITH_EVENTS}{leading}{circles}\n")
    lines = [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines() if "in a circle" in line]
    assert status == 1
    assert lines == [
        "[section a] sections: sections stand inside one another in a circle: a → b → c → a",
        "[section d] sections: sections stand inside one another in a circle: d → d",
    ]


@pytest.mark.parametrize(("capabilities", "noted"), [("0", True), (f"{1 << 10:x}", False)])
def test_a_privileged_port_is_noted_with_the_ways_to_it(
    folder: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    capabilities: str,
    noted: bool,
) -> None:
    """Only to a user who lacks the privilege, and never a failure: who checks a file need not be who runs the node."""
    (tmp_path / "status").write_text(f"Name:\tx\nCapEff:\t{capabilities}\n")
    (tmp_path / "first").write_text("1024\n")
    monkeypatch.setattr(privileges, "_STATUS", tmp_path / "status")
    monkeypatch.setattr(privileges, "_FIRST_UNPRIVILEGED", tmp_path / "first")
    text = changed({"endpoint = tcp:0": "endpoint = tcp:443"}, WITH_EVENTS)
    status, file = check(folder, text, "--strict")
    note = f"note: {file}:2: [listener public] endpoint: port 443 needs a privilege that this user does not have: "
    assert (status, note in capsys.readouterr().err) == (0, noted)


def test_a_node_without_events_is_warned_of(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unless it says so itself, with ``events = off``, or has a journal."""
    assert check(folder, f"{MINIMAL}\n[journal]\nfolder = .\n", "--strict")[0] == 0
    assert check(folder, MINIMAL, "--strict")[0] == 1
    assert "warning: [edge] events: nothing of what the node decides is recorded" in capsys.readouterr().err
    assert check(folder, WITH_EVENTS, "--strict")[0] == 0


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_a_terminal_has_colours_unless_it_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the line that says what is wrong, and nowhere else."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    error, warning = Problem("edge", "name", "is wrong", "a b", 1), Problem("edge", "", "is odd", warning=True)
    assert shown(error, Terminal()) == "\033[31m[edge] name: is wrong\033[0m\n    a b\n     ^"
    assert shown(warning, Terminal()) == "\033[33mwarning: [edge]: is odd\033[0m"
    assert shown(error, io.StringIO()) == str(error)
    for name, value in ("NO_COLOR", "1"), ("TERM", "dumb"):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert shown(error, Terminal()) == str(error)


def test_a_file_for_the_endpoint_needs_nothing_for_requests(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No security policy, no path map and no origin: as the endpoint reads it, and no node could."""
    text = (
        "[edge]\nevents = off\n[listener public]\nendpoint = tcp:0\nserver-groups = shop\n"
        "[server-group shop]\nhosts = shop.example\ncertificate = shop\n[certificate shop]\n"
        "chain = server.pem\nkey = server.key\n"
    )
    assert check(folder, text, "--endpoint")[0] == 0
    assert check(folder, text)[0] == 1
    assert "security-policy" in capsys.readouterr().err
