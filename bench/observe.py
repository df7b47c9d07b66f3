"""What it costs to be seen: the node with a journal, and metrics that are scraped, beside one with a log of events.

The journal is written in place of the log, which other benches have. What the node's own process takes is judged; what
its observer takes besides, and what the node takes without any record, is printed. The exit status is 1 if a limit is
not kept.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence

from attrs import evolve

if not __package__:  # run as a file
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench.comparing import Compared, arguments, comparison, further, measure
from bench.interpreters import Interpreter
from bench.peers import HERE, Bench, Peer, bench
from bench.processes import cores, free_port, tree

NOTHING, EVENTS, SEEN, OBSERVER = "no-events", "events", "journal-metrics", "with-observer"

COMPARED = (Compared(SEEN, EVENTS, further, 3.0, "µs more"),)

_SCRAPES = 5.0
"""Seconds between two scrapes of Prometheus."""


@contextlib.contextmanager
def scraped(port: int) -> Iterator[None]:
    """Has metrics fetched until the end."""
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(_SCRAPES):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                answer.read()

    thread = threading.Thread(target=scrape, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def put_apart(peer: Peer) -> None:
    """Have what a peer has started run on the core of the load generator, where it takes nothing from any peer."""
    deadline = time.monotonic() + 30.0
    while not (started := tree(peer.pid)[1:]) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in started:
        os.sched_setaffinity(pid, {cores()[1]})


@contextlib.contextmanager
def peers(place: Bench, python: str, checkout: str) -> Iterator[list[Peer]]:
    """The node three times, and the last once more with its observer."""
    code, admin = str(pathlib.Path(checkout).resolve()), free_port()
    more = place.folder / "seen.ini"
    more.write_text(f"[journal]\nfolder = journal\n\n[admin]\nendpoint = tcp:{admin}:interface=127.0.0.1\n")
    with contextlib.ExitStack() as stack:
        start = HERE / "start.sh"
        nothing = stack.enter_context(place.script(NOTHING, start, python, CHECKOUT=code, EVENTS="off"))
        events = stack.enter_context(place.script(EVENTS, start, python, CHECKOUT=code))
        keys = {"CHECKOUT": code, "EVENTS": "off", "MORE": str(more)}
        seen = stack.enter_context(place.script(SEEN, start, python, **keys))
        put_apart(seen)
        stack.enter_context(scraped(admin))
        yield [nothing, events, evolve(seen, alone=True), evolve(seen, name=OBSERVER)]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the comparison, and return the exit status."""
    options = arguments("Measure what a journal and metrics cost.").parse_args(argv)
    print(Interpreter.of(options.python), flush=True)
    with bench() as place, peers(place, options.python, options.checkout) as several:
        rows = measure(place, several, options)
    text, kept = comparison(rows, COMPARED)
    print(f"\nMedians of {options.rounds} rounds\n{text}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
