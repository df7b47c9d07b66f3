"""What it costs to share counters: CPU microseconds of a request with two limits, counted in memory and by Redis.

The same node with ten filters is run without limits, with two of them in its memory, and with the same two on a server
of Redis on a Unix socket, in turn; what is compared is the median over the rounds of the differences. The server has
the core of the origin and the load generator. The exit status is 1 if a limit is not kept, or any request failed.
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from statistics import median

if not __package__:  # run as a file
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench.interpreters import Interpreter
from bench.peers import HERE, Bench, Peer, bench
from bench.processes import cores, start, stop
from bench.proxy import Row, complaints, run
from bench.rounds import judged
from bench.tables import table, verdict

MOST = 25.0
"""Microseconds of CPU time that a request with limits may take more by Redis than in memory."""

SCENARIO = "realvary"

LIMITS = """
[rate-limit addresses]
key   = ip
limit = 100000000 per 1m

[rate-limit certificates]
key    = certificate.fingerprint
limit  = 100000000 per 1h
window = sliding
"""


@contextlib.contextmanager
def redis(folder: pathlib.Path) -> Iterator[str]:
    """A server of Redis on a Unix socket; its address, as ``[state]`` has it."""
    executable = shutil.which("redis-server") or shutil.which("valkey-server")
    if executable is None:
        sys.exit("there is no redis-server")
    path = folder / "redis.sock"
    words = [executable, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    process = start(words, cores()[1], output=subprocess.DEVNULL)
    try:
        while not path.exists():
            time.sleep(0.01)
        yield f"unix:{path}"
    finally:
        stop(process)


def peers(place: Bench, stack: contextlib.ExitStack, options: argparse.Namespace, url: str) -> Iterator[Peer]:
    """The node in each way."""
    for name, more in (
        ("none", ""),
        ("memory", LIMITS),
        ("redis", f"{LIMITS}\n[state]\nurl = {url}\ntimeout = 1s\n"),
    ):
        file = place.folder / f"{name}.ini"
        file.write_text(more)
        environment = {"FILTERS": "10", "CHECKOUT": str(HERE.parent), "MORE": str(file)}
        yield stack.enter_context(place.script(name, HERE / "start.sh", options.python, **environment))


def measure(options: argparse.Namespace) -> list[Row]:
    """Run each of them, in turn."""
    rows = []
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(bench())
        url = stack.enter_context(redis(place.folder))
        all_peers = [*peers(place, stack, options, url)]
        for number in range(options.rounds):
            turn = number % len(all_peers)
            order = all_peers[turn:] + all_peers[:turn]
            rows += [run(place, peer, SCENARIO, number, options.seconds, options.warming) for peer in order]
    return rows


def comparison(rows: Sequence[Row]) -> tuple[str, bool]:
    """The table to print, and whether the limit is kept."""
    together = judged(rows)
    cpu = {(row.peer, row.round): row.cpu for row in together}
    numbers = sorted({row.round for row in together})
    lines, kept = [], True
    for name in ("none", "memory", "redis"):
        mine = [row for row in together if row.peer == name]
        more = median(cpu[name, number] - cpu["memory", number] for number in numbers)
        good = name != "redis" or more <= MOST
        wrong = complaints(mine, SCENARIO)
        told = [verdict(good)] if name == "redis" else []
        line = [name, f"{median(row.cpu for row in mine):.1f}", f"{more:.1f}", f"{MOST:.1f}" if told else ""]
        lines.append([*line, f"{len(mine)}", "; ".join(told + wrong)])
        kept = kept and good and not wrong
    return table(["counted", "µs a request", "more than in memory", "at most", "rounds", ""], lines), kept


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the comparison, and return the exit status."""
    parser = argparse.ArgumentParser(description="Compare limits in memory with limits on a server of Redis.")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs the node (default: this one)")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is run in turn (default: 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run (default: 3)")
    parser.add_argument("--warming", type=float, default=0.5, help="seconds before each run that do not count (0.5)")
    options = parser.parse_args(argv)
    print(Interpreter.of(options.python), flush=True)
    text, kept = comparison(measure(options))
    print(f"\nCPU time of a request with ten filters and two limits, {SCENARIO}")
    print(text)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
