"""How long a reload of many filters holds the event loop up: a node of its own, and its watchdog.

The filters are those of :mod:`bench.rules`. Each reload adds one. The exit status is 1 if the loop was blocked for more
than 50 ms, by its own process, whatever others did on the machine: see :mod:`bench.watchdog`.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from bench.rules import a_filter
from bench.soak import LIMIT, ROOT, child
from edgenode.config import schema
from tests.support.node import PKI, ini


def written(number: int) -> str:
    """A filter as a section."""
    filter = a_filter(number)
    keys = [f"relation = {filter.relation}", f"tags = {' '.join(filter.tags)}"]
    if filter.expression is not None:
        known = schema.settings(type(filter))["expression"].notation
        keys.append(f"expression = {known.write(filter.expression)}".replace("ip.src.asnum", "cf.edge.server_port"))
    keys += [f"{entry.key} = {entry.value}" for entry in filter.entries]
    return "\n".join((f"\n[global-filter f{number}]", *keys, ""))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure how long a reload holds the event loop up.")
    parser.add_argument("--filters", type=int, default=10_000, help="how many (default: %(default)s)")
    parser.add_argument("--reloads", type=int, default=3, help="how many (default: %(default)s)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="edgenode-reload-") as name:
        folder = pathlib.Path(name)
        PKI.make(folder)
        file, report = folder / "edge.ini", folder / "report.json"
        text = ini(9, {"edge": {"events": "events.jsonl"}}) + "".join(map(written, range(options.filters)))
        file.write_text(text)
        with child("--node", str(file), "--report", str(report)) as node:
            for number in range(options.reloads):
                file.write_text(text + written(options.filters + number))
                began = time.monotonic()
                command = [sys.executable, "-m", "edgenode", "reload", "--pid", str(node.pid)]
                subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
                print(f"reloaded in {time.monotonic() - began:.1f} s", flush=True)
            time.sleep(1)
        worst = json.loads(report.read_text())["worst"]
    print(f"the loop was blocked for {worst * 1000:.0f} ms at the worst; at most {LIMIT * 1000:.0f}")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
