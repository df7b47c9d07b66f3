"""The example of treq over an origin's agent, run as its text says."""

from __future__ import annotations

import pathlib
import subprocess
import sys

from tests.support.node import PKI, Origin, ini

ROOT = pathlib.Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "treq_over_an_origin.py"


def run(pki: PKI, port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the example with a configuration whose origin is on a port of this host."""
    configuration = pki.folder / "edgenode.ini"
    configuration.write_text(ini(port))
    return subprocess.run(
        [sys.executable, str(EXAMPLE), str(configuration), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        timeout=30,
    )


def test_the_example_asks_the_origin(pki: PKI) -> None:
    """It prints status and body, and has presented the origin's client certificate."""
    with Origin(pki) as origin:
        done = run(pki, origin.port, "origin", "/health?full")
    assert (done.returncode, done.stdout, done.stderr) == (0, "200\nok\n", "")
    assert origin.requests[0].startswith(b"GET /health?full HTTP/1.1\r\nHost: origin.test\r\n")
    assert origin.peers == ["edge as a client"]


def test_the_example_says_what_is_wrong(pki: PKI) -> None:
    """An origin that is down, or that there is not, is one line, not a traceback."""
    with Origin(pki) as origin:
        port = origin.port
    down, unknown = run(pki, port, "origin"), run(pki, port, "other")
    assert (down.returncode, down.stdout) == (1, "")
    assert down.stderr.startswith("connect: 502: no connection to 127.0.0.1:")
    assert down.stderr.count("\n") == 1
    assert (unknown.returncode, unknown.stderr.count("\n")) == (1, 1)
