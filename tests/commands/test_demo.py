"""``edgenode demo``, as a user meets it: started, its lines pasted into a shell, and interrupted."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator

import pytest
from attrs import define, field

from edgenode.commands import demo
from edgenode.config.load import Configuration
from edgenode.model.decision import Decision
from edgenode.model.exchange import Address, Connection, Exchange, Request
from edgenode.policy.actions import PREDEFINED
from edgenode.tls.authority import LEAF_DAYS, PkiError

ROOT = pathlib.Path(__file__).parent.parent.parent
LOAD = "from twisted.application.service import loadApplication"
PATIENCE = 20.0
"""Seconds that a line of the demo may take to appear."""

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the demo is tried out with curl")


@define(eq=False)
class Running:
    """A demo that runs; what it prints is collected line by line."""

    process: subprocess.Popen[str]
    state: pathlib.Path
    lines: list[str] = field(factory=list)
    _more: threading.Condition = field(factory=threading.Condition)
    _ended: bool = False

    def read(self) -> None:
        """Collect what is printed until there is no more; runs in a thread."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line.rstrip("\n"))
                self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    def line(self, found: Callable[[str], object]) -> str:
        """The first line that is the one looked for, once it is printed."""
        with self._more:
            self._more.wait_for(lambda: self._ended or any(map(found, self.lines)), PATIENCE)
            assert any(map(found, self.lines)), "\n".join(self.lines)
            return next(filter(found, self.lines))

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal; the exit status, and what was written to standard error."""
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        assert self.process.stderr is not None
        return status, self.process.stderr.read()

    @property
    def visits(self) -> list[tuple[str, int, str]]:
        """Every line to paste with its word and the status that it promises."""
        pairs = zip(self.lines, self.lines[1:], strict=False)
        promises = ((re.match(r"\d+\. (\w+): .* -> (\d{3}), ", title), line) for title, line in pairs)
        return [(match[1], int(match[2]), line) for match, line in promises if match is not None]


def _interruptible() -> None:
    # A shell starts what runs in the background with SIGINT ignored, and that would be inherited.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def running(state: pathlib.Path) -> Iterator[Running]:
    """The demo on a free port, once it serves."""
    command = [sys.executable, "-m", "edgenode", "demo", "--port", "0", "--state", str(state)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_interruptible
    ) as process:
        node = Running(process, state)
        reader = threading.Thread(target=node.read)
        reader.start()
        try:
            node.line(lambda line: line == "Requests, as they come:")
            yield node
        finally:
            process.kill()
            reader.join()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A demo for all tests that only look; its folder has a name that a shell would take apart."""
    with running(tmp_path_factory.mktemp("demo") / 'it\'s a "state" $folder') as node:
        yield node


def paste(line: str, folder: pathlib.Path) -> str:
    """Run a line in a shell, in some other folder, as a user does; what it prints."""
    done = subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_every_line_does_what_it_promises(node: Running, tmp_path: pathlib.Path) -> None:
    """Each printed curl line works as printed from any folder, and the client sees the status that was promised."""
    assert [word for word, _, _ in node.visits] == [visit.title.partition(":")[0] for visit in demo.VISITS]
    seen = {word: re.findall(r"^HTTP/2 (\d{3})", paste(line, tmp_path))[0] for word, _, line in node.visits}
    assert seen == {word: str(status) for word, status, _ in node.visits}


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("allowed", r"  200  \S+  GET strict.*CN=acme \| forwarded to echo$"),
        ("refused", r"  400  \S+  GET strict.*no certificate \| 496: "),
        (
            "tagged",
            r"  200  .*scripts: header.user-agent: \^python-requests/ # a script in Python; tag script; forwarded",
        ),
        ("revoked", r"  400  \S+  GET strict.*CN=former \| 495: .*certificate revoked$"),
        ("blocked", r"  403  \S+  GET optional.*no certificate \| partners-area: .*action partners-only$"),
        ("passed", r"  200  \S+  GET optional.*CN=acme \| forwarded to echo$"),
        ("misdirected", r"  421  \S+  GET strict.*\| 421: .*for open, not for strict$"),
    ],
)
def test_every_request_is_shown(node: Running, tmp_path: pathlib.Path, word: str, shown: str) -> None:
    """The terminal says in a line of each request what became of it, whose it was, and why."""
    (line,) = (line for each, _, line in node.visits if each == word)
    paste(line, tmp_path)
    assert node.line(lambda printed: re.search(shown, printed))


@pytest.mark.parametrize(
    ("word", "has"),
    [("allowed", {"method": "GET", "target": "/orders"}), ("passed", {"target": "/partners/"}), ("stripped", {})],
)
def test_the_origin_says_what_it_received(
    node: Running, tmp_path: pathlib.Path, word: str, has: dict[str, str]
) -> None:
    """The echo shows the request, the node's own certificate, and no header that claims one."""
    (line,) = (line for each, _, line in node.visits if each == word)
    echo = json.loads(paste(line, tmp_path).partition("\n\n")[2])
    assert {**echo, **has} == echo
    assert echo["client-certificate"] == {"subject": "CN=edge-client", "issuer": "CN=Demo internal CA"}
    assert not any("ssl" in name.lower() or "cert" in name.lower() for name in echo["headers"])


def test_the_configuration_has_no_problem(node: Running) -> None:
    """What the demo writes is a configuration without errors and warnings."""
    configuration = Configuration.load(node.state / "edgenode.ini")
    assert configuration.warnings == ()
    assert [group.mtls for group in configuration.server_groups.values()] == ["off", "optional", "on"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_quietly_and_starts_again(tmp_path: pathlib.Path, number: signal.Signals) -> None:
    """Interrupted or terminated the demo exits with 0, without a complaint or a lost event, and can start again."""
    seen = []
    for run, made in enumerate(("new", "from last time")):
        with running(tmp_path / "state") as node:
            assert node.line(lambda line: line.startswith("  certificates ")).endswith(f"({made})")
            (line,) = (line for word, _, line in node.visits if word == "allowed")
            assert paste(line, tmp_path).startswith("HTTP/2 200 ")
            assert node.stop(number) == (0, "")
        events = (tmp_path / "state" / "events.jsonl").read_text().splitlines()
        assert [json.loads(event)["status"] for event in events] == [200] * (run + 1)
        paths = [path for path in (tmp_path / "state" / "pki").rglob("*.*") if path.name != "ca.crl.pem"]
        seen.append({path: path.read_bytes() for path in paths if path.is_file()})
    assert len(seen[0]) == len(demo.PLAN.splitlines()) * 2 + 6 + 1
    assert seen[0] == seen[1]


def complaint(port: int, state: pathlib.Path) -> str:
    """What a demo that cannot start writes; it must exit with 1 and print nothing else."""
    command = [sys.executable, "-m", "edgenode", "demo", "--port", str(port), "--state", str(state)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


def test_a_port_in_use_is_one_sentence(tmp_path: pathlib.Path) -> None:
    """If somebody else listens on the port, the demo says so in one sentence, and exits with 1."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        said = complaint(port, tmp_path)
    where = f"edgenode demo: cannot listen on 127.0.0.1:{port}: Address already in use"
    assert said == f"{where}; choose another port: --port N, or make run PORT=N\n"


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: pathlib.Path) -> None:
    """If the state folder cannot be written, the demo says so in one sentence, and exits with 1."""
    (tmp_path / "file").touch()
    said = complaint(0, tmp_path / "file")
    assert re.fullmatch(r"edgenode demo: .*Not a directory.*\n", said)


@pytest.mark.parametrize(
    "damage", ["public/ca.pem", "partners/issued.json", "internal/edge-client.key", "public/edge.pem"]
)
def test_broken_certificates_are_made_anew(tmp_path: pathlib.Path, damage: str) -> None:
    """Certificates of which something is missing or broken are replaced; good ones are kept."""
    assert demo.make_certificates(tmp_path / "pki")
    assert not demo.make_certificates(tmp_path / "pki")
    (tmp_path / "pki" / damage).unlink()
    assert demo.make_certificates(tmp_path / "pki")
    assert not demo.make_certificates(tmp_path / "pki")


def test_certificates_about_to_expire_are_made_anew(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that is not good for as long as a demo may run is not used again."""
    demo.make_certificates(tmp_path / "pki")
    monkeypatch.setattr(demo, "REMAINDER", datetime.timedelta(days=LEAF_DAYS - 1))
    assert not demo.make_certificates(tmp_path / "pki")
    monkeypatch.setattr(demo, "REMAINDER", datetime.timedelta(days=LEAF_DAYS + 1))
    assert demo.make_certificates(tmp_path / "pki")


def test_what_the_demo_has_not_made_is_left_alone(tmp_path: pathlib.Path) -> None:
    """A folder of that name that somebody else has made is neither used nor deleted."""
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "ca.key").write_text("precious")
    with pytest.raises(PkiError, match="was not made by the demo"):
        demo.make_certificates(tmp_path / "pki")
    assert (tmp_path / "pki" / "ca.key").read_text() == "precious"


@pytest.mark.parametrize(("page", "shown"), [("README.md", 3), ("docs/tutorial.rst", len(demo.VISITS))])
def test_the_documentation_shows_the_lines_that_are_printed(page: str, shown: int) -> None:
    """The curl lines of the README and of the tutorial are the demo's own, for a clone in /home/you/edgenode."""
    text = (ROOT / page).read_text()
    pasted = set(re.findall(r"^ *\$ (curl -K /.*)$", text, re.MULTILINE))
    printed = {visit.line(pathlib.Path("/home/you/edgenode/state/demo"), 8443) for visit in demo.VISITS}
    assert len(pasted) == shown
    assert pasted <= printed


def test_the_filter_of_the_tutorial_fits_the_demo(tmp_path: pathlib.Path) -> None:
    """The tutorial's filter can be added to the demo's configuration as it stands, and does what the tutorial says."""
    demo.make_certificates(tmp_path / "pki")
    page = (ROOT / "docs/tutorial.rst").read_text()
    (block,) = re.findall(r"^    \[global-filter unattended-writes\]$.*?(?=^\S)", page, re.DOTALL | re.MULTILINE)
    text = demo.INI.read_text().format(port=8444, origin=1) + textwrap.dedent(block)
    configuration = Configuration.from_text(text, tmp_path, {})
    assert configuration.warnings == ()
    request = Request(
        b"POST",
        b"https",
        b"localhost:8444",
        b"/api/orders",
        b"/api/orders",
        None,
        b"/api/orders",
        ((b"user-agent", b"python-requests/2.32"),),
    )
    here = Address("127.0.0.1", 8444)
    decision = configuration.pipeline("everything").decide(Exchange(Connection(here, here), request, "127.0.0.1"))
    assert isinstance(decision, Decision)
    assert [reason.filter for reason in decision.reasons] == ["scripts", "unattended-writes"]
    assert decision.action == PREDEFINED["block"]
    assert {"script", "bot"} <= decision.tags


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("examples/judge.py", "{ini}", "everything", "/partners/"), "filter='partners-area'"),
        (("-c", f"{LOAD}; print(loadApplication('examples/node.tac', 'python'))"), "Componentized"),
    ],
)
def test_the_examples_work(node: Running, command: tuple[str, ...], said: str) -> None:
    """The examples of embedding run with the demo's configuration."""
    ini = str(node.state / "edgenode.ini")
    arguments = [sys.executable, *(word.replace("{ini}", ini) for word in command)]
    environment = {**os.environ, "EDGENODE_INI": ini, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout
