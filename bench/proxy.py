"""Compares the node with its peers: CPU microseconds per request, beside the limits that it has to keep.

The driver (``bench.py``, its load generator and the peers' start scripts) is a folder of its own that this file only
calls: ``--peers-dir``, the environment's ``EDGENODE_PEERS``, or ``shared/peers`` beside the checkout. It runs every
peer and scenario in turn, several rounds; here the medians are put in relation. The exit status is 1 if a limit is not
kept, or if any request failed: a fast wrong answer is none.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent

OURS = "edgenode"

LIMITS: Mapping[str, Mapping[str, float]] = {
    "keep1k": {"nginx": 3.0, "twisted-treq": 0.25},
    "real1k": {"nginx": 3.5},
    "keep1m": {"nginx": 1.2},
    "conn": {"nginx": 1.0},
}
"""For each scenario and peer: how many times the peer's CPU time per request ours may take."""

Row = Mapping[str, Any]
"""One run of one peer in one scenario, as the driver writes it: ``peer``, ``scen``, ``cpu_us``, ``err``, ``non2xx``"""


def peers_dir(given: str | None) -> pathlib.Path:
    """The folder of the driver.

    :raises SystemExit: if there is none.
    """
    named = given or os.environ.get("EDGENODE_PEERS")
    folder = pathlib.Path(named) if named else HERE.parent.parent / "shared" / "peers"
    if not (folder / "bench.py").is_file():
        raise SystemExit(f"no bench.py in {folder}: name the folder of the peers with --peers-dir or EDGENODE_PEERS")
    return folder.resolve()


def measure(folder: pathlib.Path, run: pathlib.Path, options: argparse.Namespace) -> list[Row]:
    """Run the driver, which prints as it goes, and return what it measured.

    :raises subprocess.CalledProcessError: if the driver failed.
    """
    rows = run / "rows.jsonl"
    peers = sorted({peer for limits in LIMITS.values() for peer in limits})
    command = [sys.executable, str(folder / "bench.py"), "--base", "nginx", "--out", str(rows)]
    command += ["--peers", ",".join([*peers, f"{OURS}={HERE / 'start.sh'}"]), "--scen", ",".join(options.scenarios)]
    command += ["--rounds", str(options.rounds), "--secs", str(options.seconds)]
    surroundings = {
        **os.environ,
        "RUN": str(run),
        "PKI": str(run / "pki"),
        "PY": sys.executable,
        "FILTERS": str(options.filters),
        "PATH": os.environ.get("PATH", "") + os.pathsep + "/usr/sbin",
    }
    subprocess.run(command, env=surroundings, check=True)
    return [json.loads(line) for line in rows.read_text().splitlines()] if rows.exists() else []


def cost(rows: Iterable[Row], peer: str, scenario: str) -> float | None:
    """The median CPU time per request in microseconds, ``None`` if the peer was not measured."""
    values = [row["cpu_us"] for row in rows if row["peer"] == peer and row["scen"] == scenario]
    return median(values) if values else None


def comparison(rows: Sequence[Row], scenario: str) -> tuple[list[str], bool]:
    """The lines to print for a scenario, and whether all its limits are kept."""
    ours = cost(rows, OURS, scenario)
    lines = [f"{scenario:8} {OURS:14} {_written(ours)}"]
    kept = True
    for peer, limit in LIMITS[scenario].items():
        theirs = cost(rows, peer, scenario)
        line = f"{'':8} {peer:14} {_written(theirs)}"
        ratio = ours / theirs if ours and theirs else None
        if ratio is not None:
            verdict = "kept" if ratio <= limit else "NOT KEPT"
            line += f"   ours is {ratio:5.2f} x   at most {limit:4.2f} x   {verdict}"
        lines.append(line)
        kept = kept and ratio is not None and ratio <= limit
    failed = sum(
        abs(row.get("err", 0)) + row.get("non2xx", 0) for row in rows if (row["peer"], row["scen"]) == (OURS, scenario)
    )
    if failed:
        lines.append(f"{'':8} {failed} requests failed: the figures mean nothing")
    return lines, kept and not failed


def _written(microseconds: float | None) -> str:
    return "not measured" if microseconds is None else f"{microseconds:9.1f} µs"


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Compare CPU time per request with nginx and twisted.web with treq.")
    parser.add_argument("--peers-dir", help="the folder with bench.py (default: EDGENODE_PEERS, or ../shared/peers)")
    parser.add_argument("--scenarios", nargs="+", choices=LIMITS, default=list(LIMITS), help="default: all")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is run in turn (default: 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run (default: 3)")
    parser.add_argument("--filters", type=int, default=10, help="active global filters (default: 10)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the comparison, and return the exit status."""
    options = arguments().parse_args(argv)
    folder = peers_dir(options.peers_dir)
    with tempfile.TemporaryDirectory(prefix="edgenode-bench-") as run:
        rows = measure(folder, pathlib.Path(run), options)
        log = pathlib.Path(run, f"{OURS}.log")
        if not any(row["peer"] == OURS for row in rows) and log.exists():
            print(f"\nedgenode did not start:\n{log.read_text()}")
    print(f"\nCPU time per request, median of {options.rounds} rounds, {options.filters} active filters, events on")
    results = [comparison(rows, scenario) for scenario in options.scenarios]
    for lines, _ in results:
        print("\n".join(lines))
    return 0 if all(kept for _, kept in results) else 1


if __name__ == "__main__":
    sys.exit(main())
