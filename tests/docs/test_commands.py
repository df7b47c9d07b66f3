"""Every command that README and the pages print runs as it is printed, in a clone, and says what stands below it."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from edgenode.config.load import Configuration
from tests.support.certificates import SERVER, make_authority, write_pem

ROOT = pathlib.Path(__file__).parent.parent.parent
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.rst"))
PAGES = ["README.md", "CONTRIBUTING.md", *PAGES]

ELSEWHERE = {
    r"make (test|check|fuzz|soak|docs|scan)\b": "is what runs these tests, or takes longer than they may",
    r"python -m sslyze|testssl\.sh": "make scan does the same, on a node of its own",
    r"python bench/": "tests/bench",
    r"docker ": "test_docs.py looks at the image, test_the_container_line_fits_the_example at the line",
    r"(/opt/edgenode/bin/)?pip install |make wheel|python3 -m venv|/opt/edgenode/": "test_packaging.py",
    r"useradd |install -m |systemctl ": "needs systemd; tests/node/test_systemd.py",
    r"edgenode feeds update ": "asks other machines; tests/node/test_feed_updates.py",
    r"edgenode (feeds list|reload) --pid(-file)? (4711|/run/)": "tests/node/test_feed_updates.py and test_reload.py",
    r"edgenode status --pid 4711": "tests/commands/test_status.py",
    r"edgenode origins (drain|undrain|list) shop": "needs a running node; tests/node/test_origin_orders.py",
    r"edgenode quarantine ": "needs a running node; tests/e2e/test_quarantine.py",
    r"edgenode explain edgenode\.ini ": "a test of the reader's own configuration; tests/commands/test_explain.py",
    r"edgenode (check|explain) examples/extending/|edgenode reference quota": "needs pip; tests/extending",
    r"export PYTHONPATH=examples/|edgenode (check|explain) examples/functions/": "tests/examples/test_functions.py",
    r"edgenode check /etc/edgenode/": "the reader's own configuration",
    r"edgenode events edgenode\.ini ": "the reader's own journal; tests/commands/test_events.py",
    r"edgenode alerts replay edgenode\.ini ": "the reader's own journal; tests/commands/test_alerts.py",
    r"edgenode import curiefense": "tests/commands/test_import.py",
}
"""What is not run here, and who looks at it, or why nobody can."""

PROGRAMS = ("curl", "openssl", "jq", "nginx", "promtool", "haproxy")
"""What pages run besides our own."""

VOLATILE = (
    (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "DATE"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z", "TIME"),
    (r"\b[0-9a-f]{32}\b", "ID"),
    (r"(curl|TwistedWeb)/[\d.]+", r"\1"),
    (r"Content-Length: \d+", "Content-Length"),
    (r"\.ini:\d+:", ".ini:LINE:"),
    (r"\d+ µs", "µs"),
    (r"/home/you/edgenode", "CLONE"),
)


RUN = {
    "docs/behind-a-balancer.rst", "docs/edge-functions.rst", "docs/embedding-node.rst", "docs/embedding-pipeline.rst",
    "docs/embedding-protocols.rst", "docs/embedding-sites.rst", "docs/embedding.rst", "docs/explain.rst",
    "docs/exporters.rst", "docs/extending.rst", "docs/how-do-i.rst", "docs/journal.rst", "docs/jwt.rst",
    "docs/migrating-from-nginx.rst", "docs/mtls.rst", "docs/observing.rst", "docs/origins.rst", "docs/replay.rst",
    "docs/streams.rst", "docs/tuning.rst", "docs/tutorial.rst",
}  # fmt: skip
"""The pages with commands that are run, besides README."""

WRITE = "sed -n '/^    .global-filter {}/,/^[^ ]/p' docs/tutorial.rst | sed '$d; s/^    //' >>state/demo/own.ini"
EXPLAIN = ".venv/bin/edgenode explain state/demo/own.ini https://optional.localhost:8444/orders -d item=7"
ADDED = {
    ("docs/tutorial.rst", ".venv/bin/edgenode check state/demo/own.ini"): [WRITE.format("unattended-writes")],
    ("docs/tutorial.rst", EXPLAIN): [WRITE.format("writes-without-certificate")],
}
"""What a reader does with an editor before a command."""


class Command(NamedTuple):
    """A command of a page, what the page says that it prints, and what was added to a file before it."""

    line: str
    shown: list[str]


def commands(page: str) -> Iterator[Command]:
    """The commands of a page, in their order: those with a prompt, and in other blocks those of our programs."""
    text = (ROOT / page).read_text()
    block = (
        r"^```console\n([\s\S]*?)^```" if page.endswith(".md") else r"^\.\. code-block:: console\n((?:[ ]+.*\n|\n)+)"
    )
    ours = r"^    ((?:make|cp|sed|\.venv/bin/\S+|twistd|python|pip) .*)$"
    for match in re.finditer(f"{block}|{ours}", text, re.MULTILINE):
        if match[1] is None:
            yield Command(re.sub(r"\s+# .*", "", match[2].strip()), [])
        else:
            for each in re.split(r"^(?:\$|#(?= [a-z])) ", textwrap.dedent(match[1]), flags=re.MULTILINE)[1:]:
                line, _, shown = each.partition("\n")
                yield Command(line, shown.strip("\n").splitlines())


def elsewhere(line: str) -> bool:
    """Whether a command is not run here."""
    return any(re.match(pattern, line) for pattern in ELSEWHERE)


def uses(command: Command, program: str) -> bool:
    """Whether a command runs a program, by itself or behind others."""
    used = r"klein|:8081/" if program == "klein" else rf"(^|\| ){program} "
    return re.search(used, command.line) is not None


_ALONE = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
"""Root's other users are to be there as well: nginx gives them its folders."""
_CAN_BE_ALONE = shutil.which("unshare") is not None and (
    subprocess.run([*_ALONE, "true"], capture_output=True, check=False).returncode == 0
)


@pytest.fixture
def clone(tmp_path: pathlib.Path) -> pathlib.Path:
    """A clone in which the virtual environment is there: its programs are those that run the tests."""
    folder = tmp_path / "edgenode"
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("pki", "certs", "*.log"))
    shutil.copytree(ROOT / "etc", folder / "etc", ignore=shutil.ignore_patterns("pki"))
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("_build"))
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, words in (
        ("python", '"$@"'),
        ("edgenode", '-m edgenode "$@"'),
        ("twistd", '-c "from twisted.scripts.twistd import run; run()" "$@"'),
    ):
        (programs / name).write_text(f"#!/bin/sh\nPYTHONPATH='{ROOT}' exec '{sys.executable}' {words}\n")
        (programs / name).chmod(0o755)
    (programs / "activate").write_text(f"PATH='{programs}':$PATH\n")
    for name in (".installed", ".installed-test", ".installed-man"):
        (folder / ".venv" / name).touch()
    return folder


def run(folder: pathlib.Path, lines: list[str]) -> list[dict[str, str | int]]:
    """What comes of command lines, in a network of their own."""
    if not _CAN_BE_ALONE:
        pytest.skip(f"no network of one's own can be had here ({' '.join(_ALONE)}): {len(lines)} commands were not run")
    path = f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}:/usr/sbin"  # as where it is activated
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, "LC_ALL": "C.UTF-8"}
    terminal = [sys.executable, "-m", "tests.docs.terminal", str(folder)]
    done = subprocess.run(
        [*_ALONE, *terminal],
        input=json.dumps(lines), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=480, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcomes: list[dict[str, str | int]] = json.loads(done.stdout)
    return outcomes


def settled(text: str, folder: pathlib.Path) -> list[str]:
    """Lines without what is another each time."""
    text = text.replace(str(folder), "/home/you/edgenode")
    for pattern, name in VOLATILE:
        text = re.sub(pattern, name, text)
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def stands_in(shown: list[str], printed: list[str]) -> bool:
    """Whether all that is shown was printed, in this order; ``...`` stands for any lines."""
    rest = iter(printed)
    return all(line.strip() == "..." or any(_same(line, each) for each in rest) for line in shown)


def _same(shown: str, printed: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, shown.strip().split("..."))), printed.strip()) is not None


def test_every_page_with_commands_is_run() -> None:
    """None of them is forgotten below."""
    found = {page for page in PAGES if any(not elsewhere(each.line) for each in commands(page))}
    assert found == {"README.md", "CONTRIBUTING.md", *RUN}
    assert sum(len(list(commands(page))) for page in PAGES) > 80


def test_nothing_is_asked_of_an_index_that_does_not_have_it() -> None:
    """No index has edgenode: it is installed from a clone, or as the wheel that ``make wheel`` builds."""
    told = [ROOT / "Dockerfile", *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.*"), *(ROOT / "etc").glob("*.*")]
    told += [*(ROOT / "edgenode").rglob("*.py"), *(ROOT / "edgenode").rglob("*.ini"), *(ROOT / "examples").rglob("*.*")]
    for path in told:
        assert not re.search(r"\b(pip|pipx|uv)3? install (-\S+ )*['\"]?edgenode\b(?!-)", path.read_text()), path


@pytest.mark.parametrize("page", ["README.md", *sorted(RUN)])
def test_a_page_runs_as_it_is_printed(page: str, clone: pathlib.Path) -> None:
    """In the order of the page; what it shows of the output is printed, but for dates and the like."""
    todo = [each for each in commands(page) if not elsewhere(each.line)]
    found: dict[str, object] = {name: shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in PROGRAMS}
    found["klein"] = importlib.util.find_spec("klein")
    missing = {name for name in found if not found[name] and any(uses(each, name) for each in todo)}
    todo = [each for each in todo if not any(uses(each, name) for name in missing)]
    lines = []
    for each in todo:
        lines += ADDED.get((page, each.line), [])
        lines.append(each.line.replace("/home/you/edgenode", str(clone)))
    outcomes = dict(zip(range(len(lines)), run(clone, lines), strict=True))
    at = 0
    for each in todo:
        at += len(ADDED.get((page, each.line), []))
        outcome = outcomes[at]
        at += 1
        said = f"{outcome['out']}\n{outcome['err']}"
        assert outcome["status"] == (1 if "broken.ini" in each.line and " check " in each.line else 0), (
            each.line,
            said,
        )
        shown = settled("\n".join(each.shown), pathlib.Path("/home/you/edgenode"))
        assert stands_in(shown, settled(said, clone)), (each.line, shown, said)
    if missing:
        pytest.skip(f"without {', '.join(sorted(missing))} some commands of the page were not run")


def test_the_container_line_fits_the_example(clone: pathlib.Path) -> None:
    """What the container runs serves the example, from a folder that cannot be written, on the port of the host."""
    (line,) = (each.line for each in commands("docs/how-do-i.rst") if each.line.startswith("docker run"))
    options = shlex.split(line)
    assert options[options.index("-v") + 1] == "./etc:/etc/edgenode:ro"
    assert options[options.index("--network") + 1] == "host"
    assert options[options.index("--user") + 1] == "$(id -u):$(id -g)"
    entry = json.loads(re.findall(r"^ENTRYPOINT (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[0])
    *_, node, answer = run(
        clone,
        [
            "make etc/pki",
            "chmod -R a-w etc",
            shlex.join(entry).replace("/etc/edgenode", f"{clone}/etc"),
            "curl -sS --cacert etc/pki/public/ca.pem https://localhost:8445/",
        ],
    )
    assert node["status"] == 0, node
    assert answer["out"] == "502 Bad Gateway\n", answer


def test_the_minimal_node_of_readme_is_whole(tmp_path: pathlib.Path) -> None:
    """With certificates under the names that it gives them it loads, and nothing is to be said of it."""
    (text,) = re.findall(r"A minimal\nnode:\n\n```ini\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    certs = tmp_path / "certs"
    certs.mkdir()
    public, partners, internal = (make_authority(name) for name in ("Public", "Partners", "Internal"))
    public.issue("edge", eku=[SERVER], sans=["DNS:api.example.com"]).write(certs, "example")
    (certs / "example.pem").rename(certs / "example.chain.pem")
    (certs / "example.key").rename(certs / "example.key.pem")
    write_pem(certs / "partner-ca.pem", [partners])
    write_pem(certs / "partner-ca.crl.pem", [partners.crl([])])
    write_pem(certs / "internal-ca.pem", [internal])
    assert Configuration.from_text(text, tmp_path, {}).warnings == ()
