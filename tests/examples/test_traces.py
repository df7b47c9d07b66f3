"""The example of traces: a node, an origin, and the collector that prints its spans, as they are started by hand."""

from __future__ import annotations

import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from edgenode.__main__ import main
from tests.examples.test_examples import ENVIRONMENT, ROOT, curl, running
from tests.support.node import PKI, Origin

INI = "examples/observe/traces.ini"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with the example and the certificates that its commands make."""
    folder = tmp_path_factory.mktemp("traces")
    shutil.copytree(
        ROOT / "examples" / "observe", folder / "examples" / "observe", ignore=shutil.ignore_patterns("pki")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in re.findall(r"^#   \$ python -m edgenode pki (.*)$", (folder / INI).read_text(), re.MULTILINE):
            assert main(["pki", *shlex.split(line)]) == 0
    return folder


def test_the_example_is_right(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has neither errors nor warnings."""
    assert main(["check", str(folder / INI)]) == 0
    assert ", 0 warnings" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("curl") is None, reason="tried out with curl")
def test_the_collector_prints_what_the_page_says(folder: pathlib.Path, pki: PKI) -> None:
    """In the client's trace: the spans of a request that was answered, and of one that was refused."""
    command = [sys.executable, "-u", "examples/observe/collector.py", "0"]
    with (
        Origin(pki, tls=False) as origin,
        subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as collector,
    ):
        assert collector.stdout is not None
        port = collector.stdout.readline().split()[-1]
        text = (folder / INI).read_text().replace("localhost:4318", f"localhost:{port}")
        text = text.replace("tcp:8454:", "tcp:0:")
        text = text.replace("http://127.0.0.1:8080, http://127.0.0.1:8081", f"http://127.0.0.1:{origin.port}")
        (folder / "examples" / "observe" / "changed.ini").write_text(text)
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        with running(folder, sys.executable, "-m", "edgenode", "run", "examples/observe/changed.ini") as at:
            for path, said in (("/a?b=1", "ok200"), ("/checkout", "Forbidden.\n403")):
                options = [
                    "--cacert",
                    "examples/observe/pki/public/ca.pem",
                    "--resolve",
                    f"shop.example.com:{at}:127.0.0.1",
                ]
                parent = ["-H", f"traceparent: 00-{trace}-00f067aa0ba902b7-01"]
                assert curl(folder, *options, *parent, f"https://shop.example.com:{at}{path}") == said
        printed = [
            collector.stdout.readline() for _ in range(5)
        ]  # the node has sent them when it stopped, at the latest
        collector.terminate()
    lines = [re.sub(r"[\d.]+ ms", "MS", line.rstrip()) for line in printed]
    first = f"{trace} GET everything MS url.path=/a http.response.status_code=200 server.address=shop.example.com"
    assert lines[0].startswith(first)
    assert lines[1:3] == [
        "  decision MS",
        "  GET MS url.path=/a http.response.status_code=200 server.address=127.0.0.1",
    ]
    assert lines[3].startswith(f"{trace} GET everything MS url.path=/checkout http.response.status_code=403")
    assert lines[3].endswith("edgenode.action=refuse")
    assert lines[4] == "  decision MS edgenode.action=refuse"
