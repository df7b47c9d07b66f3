"""What counting costs: the node with two limits, an ACL profile and a flow beside itself without them, in memory and
with Redis, and beside nginx with the same limits.

The peers are asked in turn for ``realvary`` of ``proxy.py``, several rounds; what is compared is the median over the
rounds of one's figures beside the other's. No request is over a limit. The exit status is 1 if a limit is not kept.
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from attrs import frozen

if not __package__:  # run as a file
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench.interpreters import Interpreter
from bench.peers import HERE, Bench, Peer, bench
from bench.processes import cores, free_port, running
from bench.proxy import Row, complaints, run
from bench.rounds import judged
from bench.tables import table, verdict

SCENARIO = "realvary"

TWO_LIMITS = """
[rate-limit address]
key   = ip
limit = 1000000000 per 1h

[rate-limit certificate]
key    = certificate.fingerprint
limit  = 1000000000 per 1h
window = sliding
"""

FLOW = """
[flow checkout]
key   = ip
steps = cart, payment

[section cart]
path = ^/cart$

[section payment]
path = ^/pay$
"""

ACL = """
[acl-profile known]
enforce-deny = mtls:revoked
allow        = mtls:verified
deny         = all
"""

FILTERS, LIMITS, ALL, REDIS = "filters", "filters-limits", "filters-limits-acl-flow", "filters-limits-acl-flow-redis"
NGINX = "nginx-limits"


def peers(place: Bench, python: str, checkout: str, redis: int) -> Iterator[contextlib.AbstractContextManager[Peer]]:
    """The peers, each to be entered.

    :param redis: the port of a Redis server; 0 for none.
    """

    def ours(name: str, further: str, keys: str = "") -> contextlib.AbstractContextManager[Peer]:
        more = place.folder / f"{name}.ini"
        more.write_text(further)
        environment = {"FILTERS": "10", "CHECKOUT": str(pathlib.Path(checkout).resolve()), "MORE": str(more)}
        return place.script(name, HERE / "start.sh", python, KEYS=keys, **environment)

    yield place.nginx(NGINX, limited=True)
    yield ours(FILTERS, "")
    yield ours(LIMITS, TWO_LIMITS)
    yield ours(ALL, TWO_LIMITS + FLOW + ACL, "acl-profile = known")
    if redis:
        state = f"[state]\nurl = redis://127.0.0.1:{redis}/0\n"
        yield ours(REDIS, state + TWO_LIMITS + FLOW + ACL, "acl-profile = known")


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


def _cpu(row: Row, base: Row) -> float:
    return row.cpu / base.cpu


def _further(row: Row, base: Row) -> float:
    return row.cpu - base.cpu


def _slower(row: Row, base: Row) -> float:
    """How many times fewer requests in the same time."""
    return (base.report.requests / base.report.seconds) / (row.report.requests / row.report.seconds)


COMPARED = (
    Compared(ALL, FILTERS, _cpu, 1.5, "x CPU"),
    Compared(REDIS, ALL, _further, 25.0, "µs more"),
    Compared(LIMITS, NGINX, _slower, 3.5, "x slower"),
    Compared(LIMITS, NGINX, _cpu, 3.5, "x CPU"),
)


def figure(rows: Sequence[Row], compared: Compared) -> float | None:
    """The median over the rounds; ``None`` if a peer was not measured."""
    base = {row.round: row for row in rows if row.peer == compared.beside and row.report.requests}
    found = [
        compared.measure(row, base[row.round])
        for row in rows
        if row.peer == compared.what and row.round in base and row.report.requests
    ]
    return median(found) if found else None


def comparison(rows: Sequence[Row]) -> tuple[str, bool]:
    """The table to print, and whether all limits are kept."""
    together = judged(rows)
    lines, kept = [], True
    for name in dict.fromkeys(row.peer for row in rows):
        mine = [row for row in together if row.peer == name]
        wrong = complaints(mine, SCENARIO)
        each = median(row.report.requests / row.report.seconds for row in mine)
        lines.append([name, f"{median(row.cpu for row in mine):.1f}", f"{each:.0f}", "; ".join(wrong)])
        kept = kept and not wrong
    judgements = []
    for pair in COMPARED:
        found = figure(together, pair)
        good = found is not None and found <= pair.most
        told = "not measured" if found is None else f"{found:.2f} {pair.unit}"
        judgements.append([f"{pair.what} beside {pair.beside}", told, f"{pair.most:g}", verdict(good)])
        kept = kept and (good or (found is None and pair.what == REDIS))
    own = table(["peer", "µs a request", "requests/s", ""], lines)
    return f"{own}\n\n{table(['compared', 'is', 'at most', ''], judgements)}", kept


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure what counting costs.")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs the node (default: this one)")
    parser.add_argument("--checkout", default=HERE.parent, help="the node's code (default: the checkout of this file)")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is run in turn (default: 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run (default: 3)")
    parser.add_argument("--warming", type=float, default=0.5, help="seconds before each run that do not count (0.5)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the comparison, and return the exit status."""
    options = arguments().parse_args(argv)
    print(Interpreter.of(options.python), flush=True)
    rows = []
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(bench())
        redis = 0
        if shutil.which("redis-server") is not None:
            redis = free_port()
            command = ["redis-server", "--port", str(redis), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
            stack.enter_context(running(command, cores()[1], redis, place.folder / "redis.log"))
        several = [stack.enter_context(peer) for peer in peers(place, options.python, options.checkout, redis)]
        for number in range(options.rounds):
            turn = number % len(several)
            rows += [
                run(place, peer, SCENARIO, number, options.seconds, options.warming)
                for peer in several[turn:] + several[:turn]
            ]
    text, kept = comparison(rows)
    print(f"\nMedians of {options.rounds} rounds\n{text}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
