"""Compares the node with nginx: CPU microseconds per request, beside the limits that it has to keep.

The peers are asked in turn, several rounds, and what is compared is the median over the rounds of ours divided by
nginx's: of those rounds in which nothing outside of the bench took their core, if there are any. A scenario whose name
has ``vary`` in it asks 4,096 different requests in turn of an origin whose response heads differ too, as real ones do;
``keep1k`` and ``real1k`` repeat one request for ever and stand beside them without a limit. The exit status is 1 if a
limit is not kept, or if any request failed: a fast wrong answer is none.
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from attrs import frozen

if not __package__:  # run as a file
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench.interpreters import Interpreter
from bench.load import Report
from bench.peers import HERE, Bench, Peer, bench
from bench.rounds import Core, judged
from bench.tables import table, verdict

OURS = "edgenode-"
"""What our peers' names begin with; the number of filters follows."""

BASE = "nginx"

_VARY = ("-V", "4096")
_BROWSER = (
    "Cookie: sid=s%3AxYz012345678901234567890123456789.AbCdEfGhIjKlMnOpQrStUvWxYz; theme=dark; consent=all; "
    "_ga=GA1.2.1234567890.1712345678; basket=%7B%22items%22%3A%5B1%2C2%2C3%5D%7D",
    "Accept-Language: en-GB,en;q=0.9,fr;q=0.7",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Dest: document",
    "Upgrade-Insecure-Requests: 1",
    "Cache-Control: max-age=0",
)
_REFERER = ("-H", "Referer: https://www.example.com/catalogue/products/electronics?page=3&sort=date_desc")
_HEADERS = tuple(word for line in _BROWSER for word in ("-H", line))
_QUERY = "?page=4&sort=date_desc&lang=en-GB&filter=rating%3A4&session=9f8e7d6c5b4a39281706f5e4d3c2b1a0"

SCENARIOS: Mapping[str, Sequence[str]] = {
    "vary1k": ("-c", "32", "-p", "/varied", *_VARY),
    "realvary": ("-c", "32", "-p", "/varied" + _QUERY, *_HEADERS, *_VARY),
    "keep1k": ("-c", "32", "-p", "/1k"),
    "real1k": ("-c", "32", "-p", "/1k" + _QUERY, *_HEADERS, *_REFERER),
    "keep1m": ("-c", "8", "-p", "/1m"),
    "conn": ("-c", "16", "-p", "/1k", "-m", "close"),
    "h2vary1k": ("-M", "http2", "-c", "10", "-s", "10", "-p", "/varied", *_VARY),
    "h2toh2": ("-M", "http2", "-c", "10", "-s", "10", "-p", "/h2/varied", *_VARY),
    "grpcvary": ("-M", "grpc", "-c", "10", "-s", "10", "-p", "/bench.Echo/Unary", *_VARY),
    "wsecho": ("-M", "websocket", "-c", "32", "-p", "/ws"),
    "h2keep1m": ("-M", "http2", "-c", "2", "-s", "4", "-p", "/1m"),
}
"""Each scenario's words for the load generator."""


@frozen
class Limit:
    """How many times nginx's CPU time per request ours may take.

    :ivar most: what has to be kept.
    :ivar goal: what is aimed at.
    """

    most: float
    goal: float


LIMITS: Mapping[tuple[str, int], Limit] = {
    ("vary1k", 10): Limit(3.0, 2.0),
    ("realvary", 10): Limit(3.0, 2.0),
    ("vary1k", 1000): Limit(3.5, 2.2),
    ("realvary", 1000): Limit(3.5, 2.2),
    ("keep1m", 10): Limit(1.2, 1.0),
    ("conn", 10): Limit(0.9, 0.75),
    ("h2vary1k", 10): Limit(3.0, 1.5),
    ("wsecho", 10): Limit(2.0, 1.3),
    ("h2keep1m", 10): Limit(1.3, 1.1),
}
"""By scenario and number of filters."""


@frozen
class Row:
    """One run of one peer in one scenario.

    :ivar cpu: microseconds of CPU time for each request.
    :ivar lost: as of :class:`bench.rounds.Core`.
    """

    peer: str
    scenario: str
    round: int
    cpu: float
    report: Report
    lost: float = 0.0


def run(
    place: Bench,
    peer: Peer,
    scenario: str,
    number: int,
    seconds: float,
    warming: float,
    words: Sequence[str] = (),
) -> Row:
    """Run one peer in one scenario.

    :param words: those for the load generator, if the scenario is none of :data:`SCENARIOS`.
    """
    before, core = [0.0], Core(peer)
    report = place.load(peer, words or SCENARIOS[scenario], seconds, warming).report(lambda: before.append(peer.cpu()))
    cpu = (peer.cpu() - before[-1]) * 1e6 / max(report.requests, 1)
    place.forget_events()
    row = Row(peer.name, scenario, number, cpu, report, core.lost())
    print(
        f"round {number + 1}  {scenario:8} {peer.name:16} {cpu:8.1f} µs  {report.requests / report.seconds:8.0f}/s"
        f"  p50 {report.p50:.2f} ms  p99 {report.p99:.2f} ms  core taken by others {row.lost:.0%}",
        flush=True,
    )
    return row


def measure(options: argparse.Namespace) -> list[Row]:
    """Start everything, and run every peer in every scenario, in turn."""
    rows = []
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(bench())
        peers = [stack.enter_context(place.nginx())]
        peers += [
            stack.enter_context(place.edgenode(options.python, options.checkout, count)) for count in options.filters
        ]
        for pair in options.peer:
            name, _, script = pair.partition("=")
            peers.append(stack.enter_context(place.script(name, pathlib.Path(script).resolve(), options.python)))
        for number in range(options.rounds):
            for scenario in options.scenarios:
                turn = number % len(peers)
                rows += [
                    run(place, peer, scenario, number, options.seconds, options.warming)
                    for peer in peers[turn:] + peers[:turn]
                    if measured(peer.name, scenario, options.filters)
                ]
    return rows


def measured(peer: str, scenario: str, filters: Sequence[int]) -> bool:
    """Whether a peer takes part: ours with the least filters everywhere, ours with more where there is a limit."""
    if not peer.startswith(OURS):
        return True
    count = int(peer.removeprefix(OURS))
    return count == min(filters) or (scenario, count) in LIMITS


def ratio(rows: Sequence[Row], peer: str) -> float | None:
    """The median over a scenario's rounds of a peer's CPU time divided by nginx's; ``None`` if one was not measured."""
    base = {row.round: row.cpu for row in rows if row.peer == BASE and row.cpu}
    theirs = [row for row in rows if row.peer == peer and row.round in base]
    return median(row.cpu / base[row.round] for row in theirs) if theirs else None


def complaints(rows: Iterable[Row], scenario: str) -> list[str]:
    """What is wrong with the requests of a peer in a scenario, so that its figures mean nothing."""
    reports = [row.report for row in rows]
    wrong = {
        "were refused": sum(each.refused for each in reports),
        "failed": sum(each.errors for each in reports),
        "had the response head of the one before": sum(each.repeated for each in reports) if "vary" in scenario else 0,
    }
    found = [f"{count} requests {what}: the figures mean nothing" for what, count in wrong.items() if count]
    return found + ["nothing was answered" for each in reports if not each.requests]


def comparison(rows: Sequence[Row]) -> tuple[str, bool]:
    """The table to print, and whether all limits are kept."""
    header = ["scenario", "peer", "µs a request", "x nginx", "at most", "goal", "rounds", "core taken", ""]
    lines, kept = [], True
    for scenario, peer in sorted({(row.scenario, row.peer) for row in rows}, key=_order):
        together = judged([row for row in rows if row.scenario == scenario])
        mine = [row for row in together if row.peer == peer]
        share = ratio(together, peer)
        line = [scenario, peer, f"{median(row.cpu for row in mine):.1f}", "" if share is None else f"{share:.2f}"]
        limit = LIMITS.get((scenario, int(peer.removeprefix(OURS)))) if peer.startswith(OURS) else None
        good = limit is None or (share is not None and share <= limit.most)
        line += ["", ""] if limit is None else [f"{limit.most:.2f}", f"{limit.goal:.2f}"]
        line += [f"{len(mine)}", f"{median(row.lost for row in mine):.0%}"]
        wrong = complaints(mine, scenario)
        line.append("; ".join([*([] if limit is None else [verdict(good)]), *wrong]))
        lines.append(line)
        kept = kept and good and not wrong
    return table(header, lines), kept


def _order(pair: tuple[str, str]) -> tuple[int, bool, int, str]:
    """Scenarios as they are listed; in each nginx first, then ours by number of filters."""
    scenario, peer = pair
    return list(SCENARIOS).index(scenario), peer != BASE, len(peer) if peer.startswith(OURS) else 99, peer


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Compare the CPU time of a request with nginx's.")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs the node (default: this one)")
    parser.add_argument("--checkout", default=HERE.parent, help="the node's code (default: the checkout of this file)")
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), help="default: all")
    parser.add_argument("--filters", nargs="+", type=int, default=[10, 1000], help="numbers of filters (10 1000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is run in turn (default: 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run (default: 3)")
    parser.add_argument("--warming", type=float, default=0.5, help="seconds before each run that do not count (0.5)")
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=SCRIPT", help="another peer, started like start.sh"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the comparison, and return the exit status."""
    options = arguments().parse_args(argv)
    print(Interpreter.of(options.python), flush=True)
    rows = measure(options)
    print(
        f"\nCPU time of a request; medians of {options.rounds} rounds, and of their ratios to nginx; events are written"
    )
    text, kept = comparison(rows)
    print(text)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
