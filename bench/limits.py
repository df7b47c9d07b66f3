"""What counting costs: the node with two limits, an ACL profile and a flow beside itself without them, in memory and
with Redis, and beside nginx with the same limits.

The peers are asked in turn for ``realvary`` of ``proxy.py``, several rounds; what is compared is the median over the
rounds of one's figures beside the other's. No request is over a limit. The exit status is 1 if a limit is not kept.
"""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import sys
from collections.abc import Iterator, Sequence

if not __package__:  # run as a file
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench.comparing import Compared, arguments, comparison, further, measure
from bench.interpreters import Interpreter
from bench.peers import HERE, Bench, Peer, bench
from bench.processes import cores, free_port, running
from bench.proxy import Row

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


def _cpu(row: Row, base: Row) -> float:
    return row.cpu / base.cpu


def _slower(row: Row, base: Row) -> float:
    """How many times fewer requests in the same time."""
    return (base.report.requests / base.report.seconds) / (row.report.requests / row.report.seconds)


COMPARED = (
    Compared(ALL, FILTERS, _cpu, 1.5, "x CPU"),
    Compared(REDIS, ALL, further, 25.0, "µs more"),
    Compared(LIMITS, NGINX, _slower, 3.5, "x slower"),
    Compared(LIMITS, NGINX, _cpu, 3.5, "x CPU"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the comparison, and return the exit status."""
    options = arguments("Measure what counting costs.").parse_args(argv)
    print(Interpreter.of(options.python), flush=True)
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(bench())
        redis = 0
        if shutil.which("redis-server") is not None:
            redis = free_port()
            command = ["redis-server", "--port", str(redis), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
            stack.enter_context(running(command, cores()[1], redis, place.folder / "redis.log"))
        several = [stack.enter_context(peer) for peer in peers(place, options.python, options.checkout, redis)]
        rows = measure(place, several, options)
    text, kept = comparison(rows, COMPARED, (REDIS,))
    print(f"\nMedians of {options.rounds} rounds\n{text}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
