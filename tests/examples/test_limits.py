"""The examples of limits, and of what is said to those who meet them: each is right as it stands, and does what it
says."""

from __future__ import annotations

import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from edgenode.__main__ import main
from edgenode.config.load import Configuration
from edgenode.testing import FakeOrigin, MemoryNode
from tests.examples.test_examples import ENVIRONMENT, ROOT, curl, running, started
from tests.support.challenges import solved

EXAMPLES = sorted((ROOT / "examples" / "limits").glob("*.ini"))
MADE = re.compile(r"^#   \$ python -m edgenode pki (.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with the examples and the certificates that the commands in them make; their ports are free ones."""
    folder = tmp_path_factory.mktemp("limits")
    shutil.copytree(ROOT / "examples" / "limits", folder / "examples" / "limits", ignore=shutil.ignore_patterns("pki"))
    lines = dict.fromkeys(line for each in EXAMPLES for line in MADE.findall(each.read_text()))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in lines:
            assert main(["pki", *shlex.split(line)]) == 0
    for each in EXAMPLES:
        changed = re.sub(r"tcp:\d+:", "tcp:0:", each.read_text())
        (folder / "examples" / "limits" / each.name).write_text(changed)
    return folder


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.stem)
def test_an_example_is_right(folder: pathlib.Path, example: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has neither errors nor warnings."""
    assert main(["check", str(folder / "examples" / "limits" / example.name)]) == 0
    assert ", 0 warnings" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("curl") is None, reason="tried out with curl")
def test_response_rules_do_what_their_example_says(folder: pathlib.Path) -> None:
    """Fields, pages by what the client likes, and errors that an API tells itself."""
    ini = "examples/limits/response-rules.ini"
    with running(folder, sys.executable, "-m", "edgenode", "run", ini) as port:

        def ask(path: str, *options: str) -> str:
            return curl(
                folder, "-i", *options, "--cacert", "examples/limits/pki/ca.pem", f"https://localhost:{port}{path}"
            )

        for version, options in (("1.1", ("--http1.1",)), ("2", ("--http2",))):
            answer = ask("/", *options)
            assert answer.startswith(f"HTTP/{version} 502")
            for line in ("strict-transport-security: max-age=31536000", "cache-control: no-store", "vary: accept",
                         "x-content-type-options: nosniff", "content-type: text/html; charset=utf-8"):  # fmt: skip
                assert f"\n{line}\n" in answer.lower().replace("\r", "")
            assert "<title>502</title>" in answer
            answer = ask("/api/", "-H", "Accept: application/json", *options)
            told = json.loads(answer[answer.index("{") : answer.rindex("}") + 1])
            assert told["status"] == 502
            assert f"\nx-reference: {told['instance']}\n" in answer.lower().replace("\r", "")
            assert "This is not for everybody. (" in ask("/private", *options)
            assert "502" in ask("/", "-I", *options)


@pytest.mark.skipif(shutil.which("curl") is None, reason="tried out with curl")
def test_challenges_do_what_their_example_says(folder: pathlib.Path) -> None:
    """A program is told what is missing, a browser gets a page, and who has done the work reaches the origin."""
    with running(folder, sys.executable, "-m", "edgenode", "run", "examples/limits/challenge.ini") as port:

        def ask(path: str, *options: str) -> str:
            return curl(folder, *options, "--cacert", "examples/limits/pki/ca.pem", f"https://localhost:{port}{path}")

        said = ask("/sign-in", "-i")
        assert "\nx-mitigated: challenge\n" in said.lower()
        assert '"type": "urn:edgenode:problem:challenge"' in said
        page = ask("/sign-in", "-H", "Accept: text/html")
        assert page.endswith("403")
        cookie = solved(page.encode())
        assert ask("/feedback", "-d", "name=ann") == "Forbidden.\n403"
        for path, options in (("/sign-in", ()), ("/feedback", ("-d", "name=ann"))):
            assert ask(path, *options, "-b", cookie).endswith("502"), "nobody is at the origin's port"


class Asking:
    """Asks a node, and gives it orders."""

    def __init__(self, folder: pathlib.Path, port: int, pid: int) -> None:
        self._folder, self._port, self._pid = folder, port, pid

    def status(self, path: str, *options: str) -> str:
        """Of an answer."""
        url = f"https://localhost:{self._port}{path}"
        return curl(self._folder, *options, "--cacert", "examples/limits/pki/ca.pem", url)[-3:]

    def quarantine(self, *words: str) -> str:
        """What the command says."""
        command = [sys.executable, "-m", "edgenode", "quarantine", *words, "--pid", str(self._pid)]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="tried out with curl")
def test_dynamic_rules_hold_whom_their_example_says(folder: pathlib.Path) -> None:
    """Who gets errors, and who tries passwords; each can be let out."""
    with started(folder, sys.executable, "-m", "edgenode", "run", "examples/limits/dynamic-rules.ini") as (port, pid):
        asking = Asking(folder, port, pid)
        assert {asking.status("/health") for _ in range(25)} == {"502"}
        answers = [asking.status(f"/?{number}") for number in range(22)]
        assert answers == ["502"] * 20 + ["403"] * 2
        listed = asking.quarantine("list")
        assert "127.0.0.1" in listed
        assert "dynamic-rule scanners" in listed
        assert "20 of 20 per 1m" in listed
        asking.quarantine("lift", "ip", "127.0.0.1")
        assert asking.status("/") == "403"  # it has failed too often within this minute still


@pytest.mark.skipif(shutil.which("curl") is None, reason="tried out with curl")
def test_who_tries_passwords_is_turned_away_with_his_network(folder: pathlib.Path) -> None:
    """By the example, from the sixth on."""
    with started(folder, sys.executable, "-m", "edgenode", "run", "examples/limits/dynamic-rules.ini") as (port, pid):
        asking = Asking(folder, port, pid)
        words = [asking.status(f"/login?password={number}") for number in range(7)]
        assert words == ["502"] * 5 + ["429"] * 2
        assert "127.0.0.0/24" in asking.quarantine("list")
        assert asking.status("/") == "429"


@pytest.mark.skipif(shutil.which("curl") is None, reason="tried out with curl")
def test_the_quarantine_does_what_its_example_says(folder: pathlib.Path) -> None:
    """Who is held is refused, but for what is never held; and is let out again."""
    with started(folder, sys.executable, "-m", "edgenode", "run", "examples/limits/quarantine.ini") as (port, pid):
        asking = Asking(folder, port, pid)
        assert asking.status("/") == "502"
        assert "is held until" in asking.quarantine("add", "ip", "127.0.0.0/8", "--for", "10m")
        assert [asking.status("/"), asking.status("/health")] == ["403", "502"]
        asking.quarantine("add", "ip", "127.0.0.0/8", "--action", "turned-away")
        assert asking.status("/") == "410"
        asking.quarantine("lift", "ip", "127.0.0.0/8")
        assert asking.status("/") == "502"


def test_tokens_do_what_their_example_says(folder: pathlib.Path) -> None:
    """Orders want a token, deleting wants a role, and the origin is told whose it is, whatever the client says."""
    pytest.importorskip("joserfc")
    make, key = "examples/limits/make_token.py", "examples/limits/pki/issuer/ca.key"
    origin = FakeOrigin()
    with MemoryNode(Configuration.load(folder / "examples" / "limits" / "jwt.ini"), {"shop": origin}) as node:
        client = node.client("shop.example.com")

        def asked(method: str, *roles: str, path: str = "/orders/7") -> int:
            command = [sys.executable, make, key, "alice", *roles]
            token = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60).stdout
            headers = [("x-user", "root"), *([("authorization", f"Bearer {token.strip()}")] if roles else [])]
            return client.ask(method, path, headers).status

        assert [asked("GET"), asked("GET", path="/"), asked("GET", "user")] == [401, 200, 200]
        assert origin.requests[-1].header(b"x-user") == b"alice"
        assert [asked("DELETE", "user"), asked("DELETE", "admin")] == [403, 200]
