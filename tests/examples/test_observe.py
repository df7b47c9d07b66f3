"""The example of a node that is watched: its alerts, its dashboard and the metrics that both are made of."""

from __future__ import annotations

import json
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from edgenode.__main__ import main
from edgenode.observe.metrics.families import FAMILIES
from tests.examples.test_examples import ROOT, curl, running

FOLDER = ROOT / "examples" / "observe"
RULES = (FOLDER / "alerts.rules.yml").read_text()
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana-dashboard.json").read_text())
PROMTOOL = shutil.which("promtool") or ""

needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="promtool missing: Debian's package prometheus has it")

SERIES = {
    f"{family.series}{end}": {*family.labels, *(("le",) if end == "_bucket" else ())}
    for family in FAMILIES
    for end in (("_bucket", "_count", "_sum") if family.type == "histogram" else ("",))
}
"""Every series that a node tells, with its labels."""

ADDED = {"instance", "job"}
"""The labels that Prometheus adds."""

OTHERS = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}
"""Series that are not ours alone."""


def queries() -> Iterator[str]:
    """Every query of the dashboard, with its variables replaced as Grafana does."""
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (each["expr"] for each in DASHBOARD["annotations"]["list"])


def expressions() -> list[str]:
    """Those of the alerts, too."""
    found = re.findall(r"^        expr: (?:\|\n((?:          .*\n)+)|(.*)\n)", RULES, re.MULTILINE)
    several = [*queries(), *(long or short for long, short in found)]
    return [each.replace("$__rate_interval", "5m").replace("$instance", ".*") for each in several]


def promtool(*arguments: str, stdin: str = "") -> None:
    """Have promtool check something."""
    done = subprocess.run([PROMTOOL, *arguments], cwd=FOLDER, input=stdin, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


@needs_promtool
def test_prometheus_takes_its_configuration_and_the_alerts() -> None:
    """Syntax and references; and each alert is raised by what it is about, and by nothing that is well."""
    promtool("check", "config", "prometheus.yml")
    promtool("test", "rules", "alerts.test.yml")
    alerts = set(re.findall(r"^      - alert: (\w+)$", RULES, re.MULTILINE))
    tested = set(re.findall(r"^      - alertname: (\w+)$", (FOLDER / "alerts.test.yml").read_text(), re.MULTILINE))
    assert tested == alerts
    assert len(alerts) > 20


def test_alerts_and_dashboard_name_what_there_is() -> None:
    """Every metric is one of a node's, and has the labels by which it is chosen and summed up."""
    several = expressions()
    assert len(several) > 60
    for each in several:
        names = re.findall(r"\b(?:edgenode|process|up)(?:_\w+)?\b(?=[{\[\s)]|$)", re.sub(r'"[^"]*"', '""', each))
        assert names, each
        labels = set(ADDED)
        for name in names:
            assert name in SERIES or name in OTHERS, (name, each)
            labels |= SERIES.get(name, set())
        used = re.findall(r"(\w+)\s*(?:=~|!=|!~|=(?!=))", each)
        for by in re.findall(r"\b(?:by|ignoring|on) \(([^)]*)\)", each):
            used += [word.strip() for word in by.split(",")]
        assert set(used) <= labels, each


@needs_promtool
def test_every_query_of_the_dashboard_can_be_asked(tmp_path: pathlib.Path) -> None:
    """Prometheus reads each of them."""
    rules = [{"record": f"query:{place}", "expr": each} for place, each in enumerate(expressions())]
    (tmp_path / "queries.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", "--lint=none", str(tmp_path / "queries.yml"))


def test_the_dashboard_has_a_place_for_each_panel() -> None:
    """Nothing lies on top of another, numbers are not repeated, and every panel has a title."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells
        assert panel["title"]
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The example with its certificates, and free ports."""
    folder = tmp_path_factory.mktemp("observe")
    shutil.copytree(FOLDER, folder / "examples" / "observe", ignore=shutil.ignore_patterns("pki", "*.jsonl"))
    ini = folder / "examples" / "observe" / "edgenode.ini"
    text = ini.read_text()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in re.findall(r"^#   \$ python -m edgenode pki (.*)$", text, re.MULTILINE):
            assert main(["pki", *shlex.split(line)]) == 0
    text = text.replace("tcp:8453:", "tcp:0:").replace("tcp:9100:interface=127.0.0.1", f"unix:{folder}/admin.sock")
    with socket.socket() as one, socket.socket() as other:  # two ports that nobody has in the end
        for sock, written in ((one, "8080"), (other, "8081")):
            sock.bind(("127.0.0.1", 0))
            text = text.replace(f"127.0.0.1:{written}", f"127.0.0.1:{sock.getsockname()[1]}")
    ini.write_text(text)
    return folder


def test_the_example_is_right(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has neither errors nor warnings."""
    assert main(["check", str(folder / "examples" / "observe" / "edgenode.ini")]) == 0
    assert ", 0 warnings" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("curl") is None, reason="tried out with curl")
def test_a_running_node_tells_what_the_page_says(folder: pathlib.Path) -> None:
    """Requests, filters, handshakes and origins as they were, in a text that promtool finds nothing wrong with."""
    with running(folder, sys.executable, "-m", "edgenode", "run", "examples/observe/edgenode.ini") as port:
        pki = folder / "examples" / "observe" / "pki"
        base = ["--resolve", f"shop.example.com:{port}:127.0.0.1", "--cacert", str(pki / "public" / "ca.pem")]
        acme = ["--cert", str(pki / "partners" / "acme.pem"), "--key", str(pki / "partners" / "acme.key")]
        place = f"https://shop.example.com:{port}"
        assert curl(folder, *base, f"{place}/checkout").endswith("403")
        assert curl(folder, *base, *acme, f"{place}/").endswith("502")

        def metrics(*options: str) -> str:
            return curl(folder, "--unix-socket", "admin.sock", *options, "http://node/metrics").removesuffix("200")

        text = metrics()
        lines = set(text.splitlines())
        of_checkout = 'action="refuse",listener="public",mode="block",path_map="everything"'
        of_scripts = 'action="refuse",filter="scripts",mode="block",stage="global-filters",taken="yes"'
        of_acme = 'authority="CN=Example partners CA",listener="public",reason="",result="verified"'
        assert f'edgenode_requests_total{{{of_checkout},server_group="shop",status_class="4xx"}} 1.0' in lines
        assert f"edgenode_filter_matches_total{{{of_scripts}}} 1.0" in lines
        assert f'edgenode_handshakes_total{{{of_acme},server_group="shop"}} 1.0' in lines
        assert 'edgenode_origin_retries_total{origin="shop"} 1.0' in lines
        assert "edgenode_ready 1.0" in lines
        assert re.search(
            r'^edgenode_origin_errors_total{kind="connect",origin="shop",server="\S+"} 1.0$', text, re.MULTILINE
        )
        rich = metrics("-H", "Accept: application/openmetrics-text; version=1.0.0")
        assert rich.endswith("# EOF\n")
        assert ' # {request_id="' in rich
        if PROMTOOL:
            promtool("check", "metrics", stdin=text)
        assert curl(folder, "--unix-socket", "admin.sock", "http://node/ready") == "ready\n200"
    assert not (folder / "admin.sock").exists()
