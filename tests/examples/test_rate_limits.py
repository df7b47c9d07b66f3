"""The example of rate limits, run as it is written with curl; only its ports are some that are free."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.examples.test_examples import ENVIRONMENT, ROOT, TWISTD, running
from tests.examples.test_limits import folder
from tests.support.node import PKI, Origin, Served

__all__ = ["folder"]  # a fixture
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="tried out with curl")
EVENTS = "examples/limits/events.jsonl"


def shop(served: Served) -> None:
    """Refuses every login but one, and has a file of 40 KiB."""
    while (request := served.request()) is not None:
        target = request.split(b" ", 2)[1]
        status, body = b"200 OK", b"ok"
        if target.startswith(b"/login") and b"password=right" not in target:
            status = b"401 Unauthorized"
        if target.startswith(b"/downloads"):
            body = bytes(40 * 1024)
        served.send(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))


@contextlib.contextmanager
def node(folder: pathlib.Path, name: str, origin: Origin) -> Iterator[int]:
    """The port of a node that has one of these files, in front of an origin; it has nothing doubtful."""
    text = (ROOT / "examples" / "limits" / name).read_text()
    text = re.sub(r"endpoint( +)= tcp:\d+:", r"endpoint\1= tcp:0:", text)
    file = folder / "examples" / "limits" / name
    file.write_text(text.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{origin.port}"))
    command = [sys.executable, "-m", "edgenode", "check", str(file)]
    checked = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (checked.returncode, ", 0 warnings" in checked.stdout) == (0, True), checked.stdout
    with running(folder, *TWISTD, "-n", "edgenode", "--config", str(file)) as port:
        yield port


class Browser:
    """curl, which looks for a host on a port of this one."""

    def __init__(self, folder: pathlib.Path, port: int, host: str) -> None:
        self._folder, self._url = folder, f"https://{host}:{port}"
        self._options = ["--cacert", "examples/limits/pki/public/ca.pem", "--resolve", f"{host}:{port}:127.0.0.1"]

    def get(self, path: str, *options: str) -> tuple[int, dict[str, str]]:
        """The status, and the header fields of the answer."""
        line = ["curl", "-sS", "--max-time", "20", "-D", "-", "-o", "/dev/null", *self._options, *options]
        done = subprocess.run([*line, self._url + path], cwd=self._folder, capture_output=True, text=True, check=True)
        status, *lines = done.stdout.strip().splitlines()
        pairs = (each.partition(": ") for each in lines)
        return int(status.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}

    def many(self, paths: str) -> list[str]:
        """The status and Retry-After of each answer, on one connection."""
        told = ["-o", "/dev/null", "-w", "%{http_code} %header{retry-after}\\n"]
        line = ["curl", "-sS", "--max-time", "20", *told, *self._options, self._url + paths]
        return subprocess.run(line, cwd=self._folder, capture_output=True, text=True, check=True).stdout.splitlines()


def test_rate_limits(folder: pathlib.Path, pki: PKI) -> None:
    """Each of them refuses what it shall, and tells the client when to come again."""
    partner = ("--cert", "examples/limits/pki/partners/acme.pem", "--key", "examples/limits/pki/partners/acme.key")
    with Origin(pki, shop, tls=False) as origin, node(folder, "rate-limits.ini", origin) as port:
        browser = Browser(folder, port, "shop.example.com")
        assert [browser.get("/login?user=ann&password=x")[0] for _ in range(4)] == [401, 401, 401, 429]
        status, fields = browser.get("/login?user=ann&password=right")
        assert (status, 590 <= int(fields["retry-after"]) <= 600) == (429, True)
        assert browser.get("/login?user=bob&password=right")[0] == 200
        assert [browser.get(f"/login?user={name}&password=right")[0] for name in "cdef"] == [200, 200, 200, 429]
        assert [browser.get("/downloads/file")[0] for _ in range(3)] == [200, 200, 429]
        assert [browser.get("/api/", *partner)[0] for _ in range(11)] == [200] * 10 + [429]
        statuses = browser.many("/[1-60]")
        assert statuses.count("200 ") >= 50 - 24
        assert statuses.count("429 1") > 5
        _, fields = browser.get("/")
        assert fields["ratelimit-policy"] == '"requests";q=50;w=10'
    events = [json.loads(line) for line in (folder / EVENTS).read_text().splitlines()]
    tags = [{tag for tag in event.get("tags", ()) if tag.startswith("limit:")} for event in events]
    assert sum("limit:partners" in each for each in tags) == 3
    assert {"limit:guessed-passwords", "limit:many-users", "limit:downloads", "limit:requests"} <= set().union(*tags)
