"""How long one client waits while others ask for as much as they can, beside nginx.

A control client makes small requests, one after another, on one kept mTLS connection; other clients, with another
certificate and other addresses, meanwhile do what :data:`SITUATIONS` says. Its worst wait may be twice the worst that
it has at nginx in the same situation, or 100 ms. Both peers take turns in every round, with the same origin behind
them; those rounds are judged in which nothing outside of the bench took their core, if there are any. The exit status
is 1 if a limit is not kept, if the control client was refused or lost its connection, or if the others got nothing
done.
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from attrs import frozen

if not __package__:  # run as a file
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench.interpreters import Interpreter
from bench.load import Report
from bench.peers import HERE, Bench, Peer, bench
from bench.rounds import Core, judged
from bench.tables import table, verdict

TIMES = 2.0
"""How many times the wait at nginx the wait at our node may be."""

ALWAYS = 100.0
"""Milliseconds that are never too much."""

CONTROL = ("-c", "1", "-p", "/varied", "-V", "4096")
"""The control client's words for the load generator."""

BEFORE = 0.3
"""Seconds that the control client has to itself."""


@frozen
class Situation:
    """What the other clients do.

    :ivar words: for the load generator.
    :ivar processes: how many generators do it.
    :ivar done: how much of it they did in a second, in words.
    """

    words: Sequence[str]
    done: Callable[[Report], float]
    unit: str
    processes: int = 1


def _megabytes(report: Report) -> float:
    return report.bytes / report.seconds / 1e6


def _chunks(report: Report) -> float:
    return report.sent / report.seconds / len("1\r\nx\r\n")


def _requests(report: Report) -> float:
    return report.requests / report.seconds


def _refused(report: Report) -> float:
    return report.refused / report.seconds


_PIPELINE = ("-D", "64", "-x")

SITUATIONS: Mapping[str, Situation] = {
    "quiet": Situation((), _requests, ""),
    "downloads": Situation(("-c", "40", "-p", "/large"), _megabytes, "MB/s"),
    "uploads": Situation(("-c", "8", "-p", "/upload", "-B", str(2**16)), _chunks, "chunks/s"),
    "refused": Situation(("-c", "8", "-p", "/admin/area0/index.php", *_PIPELINE), _refused, "refused/s"),
    "malformed": Situation(("-c", "8", "-H", "Host: second", *_PIPELINE), _refused, "refused/s"),
    "handshakes": Situation(("-c", "8", "-m", "handshake"), _requests, "handshakes/s", processes=4),
}
"""Forty large downloads; eight clients whose bodies come in chunks of one byte; eight that pipeline requests which a
filter refuses, and eight that pipeline what is no request; and a crowd that connects, shakes hands and goes away."""


@frozen
class Row:
    """One situation at one peer, once.

    :ivar control: what the control client saw.
    :ivar others: what each generator of the others saw.
    :ivar round: the number of the round.
    :ivar lost: as of :class:`bench.rounds.Core`.
    """

    peer: str
    situation: str
    control: Report
    others: Sequence[Report] = ()
    round: int = 0
    lost: float = 0.0

    def done(self) -> float:
        """How much the others did in a second."""
        return sum(SITUATIONS[self.situation].done(each) for each in self.others)


def run(place: Bench, peer: Peer, name: str, seconds: float, warming: float, number: int = 0) -> Row:
    """Put one peer into one situation."""
    situation = SITUATIONS[name]
    core = Core(peer)
    with contextlib.ExitStack() as stack:
        control = place.load(peer, CONTROL, seconds, BEFORE + warming)
        stack.callback(control.stop)
        time.sleep(BEFORE)
        others = []
        for number in range(situation.processes if situation.words else 0):
            words = (*situation.words, "-b", f"127.0.{number + 1}.1")
            others.append(place.load(peer, words, seconds, warming, client="other", niceness=10))
            stack.callback(others[-1].stop)
        seen, theirs = control.report(), [each.report() for each in others]
    lost = core.lost()
    time.sleep(0.3)  # for the connections that were left
    return Row(peer.name, name, seen, theirs, number, lost)


def measure(options: argparse.Namespace) -> list[Row]:
    """Start everything, and put every peer into every situation, in turn."""
    rows = []
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(bench())
        peers = [stack.enter_context(place.nginx())]
        peers.append(stack.enter_context(place.edgenode(options.python, options.checkout)))
        for number in range(options.rounds):
            for name in options.situations:
                for peer in peers if number % 2 else peers[::-1]:
                    row = run(place, peer, name, options.seconds, options.warming, number)
                    rows.append(row)
                    print(
                        f"round {number + 1}  {name:10} {peer.name:12} worst {row.control.worst:8.1f} ms"
                        f"  half within {row.control.p50:6.2f} ms  others: {row.done():,.0f} {SITUATIONS[name].unit}"
                        f"  core taken by others {row.lost:.0%}",
                        flush=True,
                    )
    return rows


def complaints(rows: Sequence[Row]) -> list[str]:
    """What makes the figures of a peer in a situation mean nothing."""
    wrong = {
        "the control client lost its connection": any(row.control.errors for row in rows),
        "the control client was refused": any(row.control.refused for row in rows),
        "the control client got no answer": any(not row.control.requests for row in rows),
        "the others got nothing done": any(not row.done() for row in rows if row.others),
    }
    return [what for what, found in wrong.items() if found]


def spread(rows: Sequence[Row]) -> str:
    """The bytes of the connections that got least and most, in the median round."""
    others = [each for row in rows for each in row.others]
    return f"{median(each.least for each in others) / 1e6:.1f} to {median(each.most for each in others) / 1e6:.1f} MB"


def comparison(rows: Sequence[Row]) -> tuple[str, bool]:
    """The table to print, and whether all limits are kept."""
    header = ["situation", "peer", "worst ms", "median of worst", "half within", "x nginx", "at most ms", ""]
    header += ["rounds", "core taken", "the others"]
    lines, kept = [], True
    for name in dict.fromkeys(row.situation for row in rows):
        base, together = 0.0, judged([row for row in rows if row.situation == name])
        for peer in sorted({row.peer for row in rows}, reverse=True):  # nginx first
            mine = [row for row in together if row.peer == peer]
            worst = max(row.control.worst for row in mine)
            line = [name, peer, f"{worst:.1f}", f"{median(row.control.worst for row in mine):.1f}"]
            line.append(f"{median(row.control.p50 for row in mine):.2f}")
            wrong = complaints(mine)
            if peer == "nginx":
                base = worst
                line += ["", "", ""]
            else:
                limit = max(TIMES * base, ALWAYS)
                good = worst <= limit and not wrong
                kept = kept and good
                line += [f"{worst / base:.2f}", f"{limit:.0f}", verdict(good)]
            line.append(f"{len(mine)}")
            line.append(f"{median(row.lost for row in mine):.0%}")
            done = f"{median(row.done() for row in mine):,.0f} {SITUATIONS[name].unit}" if mine[0].others else ""
            line.append("; ".join([done, *([f"each {spread(mine)}"] if name == "downloads" else []), *wrong]))
            lines.append(line)
    return table(header, lines), kept


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="A client's worst wait while others take what they can get.")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs the node (default: this one)")
    parser.add_argument("--checkout", default=HERE.parent, help="the node's code (default: the checkout of this file)")
    parser.add_argument("--situations", nargs="+", choices=SITUATIONS, default=list(SITUATIONS), help="default: all")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is run in turn (default: 3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run (default: 3)")
    parser.add_argument("--warming", type=float, default=0.7, help="seconds that all are there before it (0.7)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the comparison, and return the exit status."""
    options = arguments().parse_args(argv)
    print(Interpreter.of(options.python), flush=True)
    text, kept = comparison(measure(options))
    print(f"\n{text}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
