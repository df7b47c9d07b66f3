"""Peers beside one another: the median over the rounds of one's figures beside the other's, and what has to be kept."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Sequence
from statistics import median

from attrs import frozen

from bench.peers import HERE, Bench, Peer
from bench.proxy import Row, complaints, run
from bench.rounds import judged
from bench.tables import table, verdict

SCENARIO = "realvary"


@frozen
class Compared:
    """What is compared.

    :ivar what: one peer.
    :ivar beside: the other.
    :ivar measure: what of both.
    :ivar most: what has to be kept.
    :ivar unit: behind the figure.
    """

    what: str
    beside: str
    measure: Callable[[Row, Row], float]
    most: float
    unit: str


def times(row: Row, base: Row) -> float:
    """How often the other's CPU time for each request goes into it."""
    return row.cpu / base.cpu


def further(row: Row, base: Row) -> float:
    """Microseconds more for each request."""
    return row.cpu - base.cpu


def figure(rows: Sequence[Row], compared: Compared) -> float | None:
    """The median over the rounds; ``None`` if a peer was not measured."""
    base = {row.round: row for row in rows if row.peer == compared.beside and row.report.requests}
    found = [
        compared.measure(row, base[row.round])
        for row in rows
        if row.peer == compared.what and row.round in base and row.report.requests
    ]
    return median(found) if found else None


def comparison(
    rows: Sequence[Row], pairs: Sequence[Compared], optional: Collection[str] = (), scenario: str = SCENARIO
) -> tuple[str, bool]:
    """The table to print, and whether all limits are kept.

    :param optional: the peers that need not have been measured.
    """
    together = judged(rows)
    lines, kept = [], True
    for name in dict.fromkeys(row.peer for row in rows):
        mine = [row for row in together if row.peer == name]
        wrong = complaints(mine, scenario)
        each = median(row.report.requests / row.report.seconds for row in mine)
        lines.append([name, f"{median(row.cpu for row in mine):.1f}", f"{each:.0f}", "; ".join(wrong)])
        kept = kept and not wrong
    judgements = []
    for pair in pairs:
        found = figure(together, pair)
        good = found is not None and found <= pair.most
        told = "not measured" if found is None else f"{found:.2f} {pair.unit}"
        judgements.append([f"{pair.what} beside {pair.beside}", told, f"{pair.most:g}", verdict(good)])
        kept = kept and (good or (found is None and pair.what in optional))
    own = table(["peer", "µs a request", "requests/s", ""], lines)
    return f"{own}\n\n{table(['compared', 'is', 'at most', ''], judgements)}", kept


def measure(place: Bench, peers: list[Peer], options: argparse.Namespace) -> list[Row]:
    """Run every peer in every round, in turn."""
    rows = []
    for number in range(options.rounds):
        turn = number % len(peers)
        rows += [
            run(place, peer, SCENARIO, number, options.seconds, options.warming) for peer in peers[turn:] + peers[:turn]
        ]
    return rows


def arguments(description: str) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--python", default=sys.executable, help="the Python that runs the node (default: this one)")
    parser.add_argument("--checkout", default=HERE.parent, help="the node's code (default: the checkout of this file)")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is run in turn (default: 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run (default: 3)")
    parser.add_argument("--warming", type=float, default=0.5, help="seconds before each run that do not count (0.5)")
    return parser
