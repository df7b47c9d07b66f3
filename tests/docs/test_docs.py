"""The pages and the Dockerfile say what is there: fields of events, words of the log, files of the tree."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from edgenode.commands.run import Options
from edgenode.observe.event_fields import ALL_ROWS, reference
from edgenode.tls.verify_errors import reason
from tests.support.node import PKI, Node, Origin, get, in_thread, started
from tests.test_packaging import SOURCES

ROOT = pathlib.Path(__file__).parent.parent.parent
OPERATING = (ROOT / "docs" / "operating.rst").read_text()
DOCKERFILE = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
CODE = "".join(path.read_text() for path in (ROOT / "edgenode").rglob("*.py"))
OPENSSL = "\n".join(map(reason, range(104)))


def table(heading: str) -> list[list[str]]:
    """The rows of the first list-table behind some words of the page on operating, each with its cells."""
    text = re.split(r"\n\n(?=\S)", OPERATING.partition(heading)[2].partition(".. list-table::")[2])[0]
    rows = re.split(r"^   \* - ", text, flags=re.MULTILINE)[2:]
    return [[" ".join(cell.split()) for cell in re.split(r"^     - ", row, flags=re.MULTILINE)] for row in rows]


def leaves(event: dict[str, Any], above: str = "") -> Iterator[str]:
    """The names of an event's fields, those within others with a dot."""
    for name, value in event.items():
        if isinstance(value, dict) and name not in ("stages", "error", "headers"):
            yield from leaves(value, f"{above}{name}.")
        else:
            yield above + name


async def test_every_field_of_an_event_is_documented(tmp_path: pathlib.Path) -> None:
    """The reference has the fields that an event has, and no other."""
    pki = PKI.make(tmp_path)
    with Origin(pki) as origin:
        async with started(pki, origin) as node:
            await in_thread(_visit, node, pki)
            (event,) = await node.events.take()
    documented: list[str] = re.findall(r"^\.\. event-field:: (\S+)$", reference(), re.MULTILINE)
    fields = [name for name in documented if not ALL_ROWS[name].inner or name == "reasons"]
    within = {name for name in fields if name.startswith(("error.", "reasons.")) or ALL_ROWS[name].omitted}
    within |= {name for name in fields if name.startswith(("websocket.", "trace.", "stream."))}
    assert set(fields) - within | {"error"} == set(leaves(event)), json.dumps(event, indent=1)
    assert "``Event``" in (ROOT / "docs" / "events.rst").read_text()


def _visit(node: Node, pki: PKI) -> None:
    with node.client("strict.test", chain=[pki.client]) as client:
        assert client.ask(get(host="strict.test")).status == 200


@pytest.mark.parametrize("row", table("Troubleshooting\n"), ids=lambda row: row[1])
def test_what_helps_in_trouble_is_what_is_said(row: list[str]) -> None:
    """Sentences that the table quotes from events and the log stand in the code, or are OpenSSL's."""
    for quoted in re.findall("``([^`]+ [^`]+)``", row[1]):
        for part in re.split(r"\.\.\.|\b[AB]\b", quoted):
            assert part.strip(" :,") in CODE + OPENSSL, part


def test_every_page_is_found() -> None:
    """The index leads to all pages."""
    listed = set(re.findall(r"^   ([a-z0-9-]+)$", (ROOT / "docs" / "index.rst").read_text(), re.MULTILINE))
    assert {path.stem for path in (ROOT / "docs").glob("*.[rm][sd]*")} - {"index"} == listed


def test_every_module_that_a_page_names_is_there() -> None:
    """``room.module`` and ``room/file.py`` of the pages are in the package, and files of the tree are in the tree."""
    rooms = "|".join(sorted(path.name for path in (ROOT / "edgenode").iterdir() if path.is_dir()))
    named = 0
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.[rm][sd]*")):
        text = page.read_text()
        for name in re.findall(rf"`((?:{rooms})(?:[./]\w+)+/?)`", text):
            path = ROOT / "edgenode" / name.removesuffix(".py").replace(".", "/")
            within = path.parent.with_suffix(".py")  # of "module.Name"
            found = path.is_dir() or path.with_suffix(".py").exists() or within.exists()
            # An event has "tls.version", too, a node under test "node.events", and `make run` a folder `state/demo`.
            other = name in ALL_ROWS or name == "node.events" or name.startswith("state/demo")
            assert found or other, (page.name, name)
            named += found
        for name in re.findall(r"`(?:python )?((?:bench|tests|examples)/[\w./-]+)`", text):
            assert (ROOT / name).exists() or name.startswith("examples/pki/"), (page.name, name)
            named += 1
    assert named > 50


def test_every_local_copy_of_the_dockerfile_is_there() -> None:
    """What is copied from the tree is in it, and is let through; it is what a wheel is made of, and nothing else."""
    copied = [
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for word in line.split()[:-1]
    ]  # fmt: skip
    assert sorted(copied) == sorted(SOURCES)
    allowed = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(allowed) == sorted(copied)
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_runs_what_there_is() -> None:
    """The entry point is a command line that twistd and the plugin understand, in the foreground and without root."""
    command = json.loads(re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)[0])
    assert command[:5] == ["twistd", "-n", "--pidfile=", "--logfile=-", "edgenode"]
    assert command[5] in {f"--{option[0]}" for option in Options.optParameters}
    assert command[6:] == ["/etc/edgenode/edgenode.ini"]
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert "\nUSER 10443:10443\n" in last  # a number, or Kubernetes cannot tell that it is not root
    assert "\nSTOPSIGNAL SIGTERM\n" in last
