"""What rules cost: CPU µs of a decision by the number of filters, and of a look-up by the number of prefixes.

Filters are mixed, five fields each, two in five of them entries and the others expressions. Requests are ordinary ones,
of which each is new or all are the same, or hostile: made of pieces of the filters' own texts, so that much matches in
part and nothing is known from before. ``loop`` is the obvious way: each filter by itself. Figures are medians of rounds
in which everything takes its turn; the exit status is 1 if a limit is not kept. ``load s`` is what passes until filters
are read and compiled, ``again`` the CPU time of a reload that changes one.
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from statistics import median

from attrs import evolve, frozen

from edgenode.model.exchange import Address, Connection, Exchange, Request
from edgenode.model.settings import Word
from edgenode.policy.actions import PREDEFINED
from edgenode.policy.globalfilters import GlobalFilter, GlobalFilters
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.tagging import Tagging
from edgenode.rules.categories import entry
from edgenode.rules.definitions import Definitions
from edgenode.rules.language.expressions import Expression
from edgenode.rules.matching import engines
from edgenode.rules.matching.compiling import compile_formula
from edgenode.rules.networks import Networks, address
from edgenode.rules.section_formulas import formula_of

WORDS = """
    account admin alpha archive backup basket billing blog bravo cache catalog checkout cloud config console
    customer debug deploy device download export feature feed forum gallery gateway health import index internal
    invoice item join kernel label ledger legacy login media member metrics mirror mobile module monitor network
    notice object order panel partner payment photo plugin portal preview private product profile proxy public query
    queue record refund region release report request review router sample schema search secret section server
    service session setup shop signup source staging static status stock storage stream submit summary support
    survey system tenant theme ticket token topic track transfer trial update upload user vendor verify video visit
    wallet widget worker zone
""".split()  # noqa: SIM905

LONGEST_LOOP = 1000
"""Filters up to which the obvious loop is run."""


@frozen
class Limit:
    """What has to hold.

    :ivar what: in words.
    :ivar value: what was measured.
    :ivar most: what is allowed.
    """

    what: str
    value: float
    most: float

    def __str__(self) -> str:
        verdict = "kept" if self.value <= self.most else "NOT KEPT"
        return f"{self.what:66} {self.value:8.2f}   at most {self.most:6.2f}   {verdict}"


# -- filters -----------------------------------------------------------------------------------------------------------


def a_filter(number: int) -> GlobalFilter:
    """One of many filters, each a little different."""
    word, other = WORDS[number % len(WORDS)], WORDS[number * 7 % len(WORDS)]
    tags = (Word(f"seen:{number}"),)
    match number % 5:
        case 0:
            entries = (
                entry("ip", f"10.{number // 256 % 256}.{number % 256}.0/24"),
                entry("path", f"^/{word}/v{number}/"),
                entry("method", "^(POST|PUT)$"),
                entry("header.user-agent", "(?i)curl|python|go-http"),
                entry("query", f"(^|&){other}{number}="),
            )
            return GlobalFilter(tags=tags, entries=entries)
        case 1:
            entries = (
                entry("path", f"/{word}{number}\\.(php|aspx?)$"),
                entry("header.user-agent", f"(?i){word}bot/{number}"),
                entry("header.referer", f"//{other}{number}\\."),
                entry("cookie.session", f"^{number}-[0-9a-f]+$"),
                entry("query", f"{other}{number}=.*(select|union|sleep)"),
            )
            return GlobalFilter(relation="or", tags=tags, entries=entries)
        case 2:
            text = (
                f'http.host eq "{word}{number}.example.com" and starts_with(http.request.uri.path, "/{other}") '
                f'and http.request.method in {{"GET" "HEAD"}} and not ip.src in {{10.0.0.0/8 192.0.2.{number % 256}}} '
                f'and any(http.request.headers["x-tenant"][*] eq "{other}-{number}")'
            )
        case 3:
            text = (
                f'http.user_agent contains "{word}-{number}" and http.request.uri.query matches "(?i){other}{number}" '
                f'and http.referer contains "{other}" and ip.src.asnum in {{{number} {number + 1}}} and ssl'
            )
        case _:
            text = (
                f'(http.request.uri.path wildcard "/{word}/*/{number}.*" or http.cookie contains "{other}={number};") '
                f'and http.request.version eq "HTTP/1.1" and cf.edge.server_port in {{443 8443}} '
                f'and not any(http.request.headers["x-{word}"][*] eq "{number}")'
            )
    return GlobalFilter(tags=tags, expression=Expression.from_text(text))


def filters(count: int) -> dict[str, GlobalFilter]:
    """So many filters, by name."""
    return {f"f{number}": a_filter(number) for number in range(count)}


# -- requests ----------------------------------------------------------------------------------------------------------

_CONNECTION = Connection(
    Address("198.51.100.7", 50000), Address("203.0.113.1", 443), "www.example.com", "http/1.1", "TLSv1.3", "AES"
)


def an_exchange(path: str, query: str, agent: str, referer: str, cookie: str) -> Exchange:
    """A browser's request with these values."""
    headers = (
        (b"host", b"www.example.com"),
        (b"user-agent", agent.encode()),
        (b"accept", b"text/html,application/xhtml+xml"),
        (b"accept-language", b"en-US,en;q=0.5"),
        (b"accept-encoding", b"gzip, deflate, br"),
        (b"referer", referer.encode()),
        (b"cookie", f"session={cookie}; theme=dark".encode()),
    )
    target = f"{path}?{query}".encode()
    request = Request(
        b"GET", b"https", b"www.example.com", target, path.encode(), query.encode(), path.encode(), headers,
        tuple(name for name, _ in headers),
    )  # fmt: skip
    return Exchange(_CONNECTION, request, "198.51.100.7")


def _filled(draw: Callable[[], str], size: int) -> str:
    text = ""
    while len(text) < size:
        text += draw()
    return text[:size]


def ordinary(source: random.Random, size: int) -> Exchange:
    """A request with new values of about this size each, of words and numbers that no filter has together."""

    def draw() -> str:
        return (
            source.choice(("/", "-", "=", "&", "."))
            + source.choice(("lorem", "ipsum", "dolor", "sit", "amet"))
            + (f"{source.getrandbits(24):x}")
        )

    texts = [_filled(draw, size) for _ in range(5)]
    return an_exchange(f"/{texts[0]}", *texts[1:])


def hostile(source: random.Random, size: int, count: int) -> Exchange:
    """A request with new values of this size, put together from the beginnings of what filters look for."""

    def draw() -> str:
        number = source.randrange(count)
        word, other = WORDS[number % len(WORDS)], WORDS[number * 7 % len(WORDS)]
        piece = source.choice(
            (f"{word}bot/{number}", f"/{word}/v{number}", f"{other}{number}=", f"{word}-{number}", f"//{other}{number}",
             f"/{word}{number}.ph", f"{other}={number}", f"&{other}{number}", f"{number}-a", f"/{word}/")
        )  # fmt: skip
        return piece if source.getrandbits(1) else piece[: source.randrange(2, len(piece) + 1)]

    texts = [_filled(draw, size) for _ in range(5)]
    return an_exchange(f"/{texts[0]}", *texts[1:])


def matching(source: random.Random, count: int) -> Exchange:
    """A new request that some filters match."""
    number = source.randrange(0, max(1, count // 5)) * 5 + 1
    word, other = WORDS[number % len(WORDS)], WORDS[number * 7 % len(WORDS)]
    noise = f"{source.getrandbits(32):x}"
    return an_exchange(
        f"/{noise}/{word}{number}.php", f"q={noise}", f"{word}bot/{number}", f"//{other}{number}.x", noise
    )


def again(exchange: Exchange) -> Exchange:
    """The same once more, with nothing known of it."""
    assert exchange.request is not None
    return evolve(exchange, request=evolve(exchange.request))


# -- measuring ---------------------------------------------------------------------------------------------------------


def microseconds(judge: Callable[[Exchange], object], make: Callable[[], Exchange], count: int) -> float:
    """CPU time of judging an exchange that has just been made, the median of so many."""
    taken = []
    for _ in range(count):
        exchange = make()
        before = time.thread_time_ns()
        judge(exchange)
        taken.append(time.thread_time_ns() - before)
    return median(taken) / 1000


def memory() -> float:
    """What the process holds at the moment, MiB."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / (1 << 20)


@frozen
class Built:
    """Filters, ready to judge.

    :ivar count: how many.
    :ivar seconds: it took to read and compile them, and the CPU time of that.
    :ivar again: the CPU time of compiling them again beside those that are there, one of them being another now.
    :ivar mebibytes: they take.
    """

    count: int
    seconds: tuple[float, float]
    again: float
    mebibytes: float
    pipeline: Pipeline
    loop: Callable[[Exchange], object] | None


def built(count: int, with_loop: bool) -> Built:
    """Read and compile so many filters, without the garbage collector, as a node does."""
    before, started, began = memory(), time.process_time(), time.perf_counter()
    gc.disable()
    several = filters(count)
    with ThreadPoolExecutor(2) as pool:
        stage = GlobalFilters.of(several, Definitions(), PREDEFINED, start=lambda work: pool.submit(work).result)
    seconds, held = (time.perf_counter() - began, time.process_time() - started), memory() - before
    changed = {"new": a_filter(count), **several}
    started = time.process_time()
    GlobalFilters.of(changed, Definitions(), PREDEFINED, before=stage)
    again = time.process_time() - started
    gc.enable()
    loop = None
    if with_loop and count <= LONGEST_LOOP:
        tests = [compile_formula(formula_of(each, Definitions())) for each in several.values()]

        def loop(exchange: Exchange) -> object:
            return [found for found in (test(exchange) for test in tests) if found is not None]

    return Built(count, seconds, again, held, Pipeline(Tagging.of({}), (stage,)), loop)


COLUMNS = ("none repeated", "none new", "some new", "ordinary", "hostile", "loop")
"""What is measured of each number of filters; the first of all is the empty pipeline."""


def rounds_of(each: Built, options: argparse.Namespace, source: random.Random) -> Iterator[tuple[str, float]]:
    """One round of everything."""
    decide, number = each.pipeline.decide, options.requests
    one = ordinary(source, options.small)
    yield "none repeated", microseconds(decide, lambda: again(one), number)
    yield "none new", microseconds(decide, lambda: ordinary(source, options.small), number)
    yield "some new", microseconds(decide, lambda: matching(source, each.count), number)
    yield "ordinary", microseconds(decide, lambda: ordinary(source, options.large), number)
    yield "hostile", microseconds(decide, lambda: hostile(source, options.large, each.count), number)
    if each.loop is not None:
        few = max(5, number * 10 // each.count)
        yield "loop", microseconds(each.loop, lambda: ordinary(source, options.small), min(few, number))


def measure_filters(options: argparse.Namespace) -> list[Limit]:
    """Measure, print the table, and return the limits."""
    source = random.Random(options.seed)
    several = [built(count, not options.no_loop) for count in options.filters]
    empty = Pipeline(Tagging.of({}), ())
    found: dict[tuple[int, str], list[float]] = {}
    for _ in range(options.rounds):
        nothing = microseconds(empty.decide, lambda: ordinary(source, options.small), options.requests)
        found.setdefault((0, "none new"), []).append(nothing)
        for each in several:
            for column, value in rounds_of(each, options, source):
                found.setdefault((each.count, column), []).append(value)
    cost = {key: median(values) for key, values in found.items()}
    engine = "Hyperscan and RE2" if len(engines.ENGINES) > 1 else "RE2"
    print(f"µs per decision, with {engine}; new values of {options.small} bytes in five fields, "
          f"ordinary and hostile ones of {options.large}")  # fmt: skip
    print(
        f"{'filters':>8} {'load s':>7} {'CPU s':>6} {'again':>6} {'MiB':>6} "
        + " ".join(f"{column:>13}" for column in COLUMNS)
    )
    print(f"{0:>8} {'':>7} {'':>6} {'':>6} {'':>6} {'':>13} {cost[0, 'none new']:13.1f}")
    for each in several:
        cells = (cost.get((each.count, column)) for column in COLUMNS)
        written = " ".join(f"{'' if cell is None else format(cell, '.1f'):>13}" for cell in cells)
        taken, worked = each.seconds
        print(f"{each.count:>8} {taken:7.2f} {worked:6.2f} {each.again:6.2f} {each.mebibytes:6.1f} {written}")
    loads = {1000: 0.5, 10_000: 5.0}
    limits = [
        Limit(f"seconds to load {each.count} filters", each.seconds[0], loads[each.count])
        for each in several
        if each.count in loads
    ]
    return [*limits, *_limits(cost, options)]


def _limits(cost: dict[tuple[int, str], float], options: argparse.Namespace) -> Iterator[Limit]:
    for column in ("none repeated", "none new"):
        few = cost.get((10, column))
        for count, most in ((1000, 2.0), (10_000, 5.0)):
            if few is not None and (count, column) in cost:
                yield Limit(f"a decision over {count} filters, in times of one over 10 ({column})",
                            cost[count, column] / few, most)  # fmt: skip
        if (1000, column) in cost:
            over = cost[1000, column] - cost[0, "none new"]
            yield Limit(f"µs over the empty pipeline at 1000 filters ({column})", over, 15.0)
    for count in options.filters:
        ratio = cost[count, "hostile"] / cost[count, "ordinary"]
        yield Limit(f"a hostile request over {count} filters, in times of an ordinary one", ratio, 10.0)


# -- addresses ---------------------------------------------------------------------------------------------------------


def prefixes(count: int, source: random.Random) -> list[str]:
    """So many networks in text, four in five of them IPv4."""
    found = []
    for number in range(count):
        if number % 5:
            length = source.choice((16, 20, 24, 24, 24, 28, 32))
            first = source.getrandbits(length) << (32 - length)
            found.append(f"{first >> 24}.{first >> 16 & 255}.{first >> 8 & 255}.{first & 255}/{length}")
        else:
            found.append(f"2001:{source.getrandbits(16):x}:{source.getrandbits(16):x}::/48")
    return found


def full(count: int, source: random.Random) -> list[str]:
    """So many full addresses of IPv6."""
    numbers = (0x2001 << 112 | source.getrandbits(112) for _ in range(count))
    return [":".join(f"{number >> shift & 0xFFFF:x}" for shift in range(112, -16, -16)) for number in numbers]


def measure_addresses(options: argparse.Namespace) -> list[Limit]:
    """Measure, print the table, and return the limits."""
    source = random.Random(options.seed)
    limits = []
    print(f"\n{'prefixes':>9} {'load s':>7} {'MiB':>6} {'µs per look-up':>15}")
    kinds = {"prefixes": prefixes, "addresses of IPv6": full}
    for count, (what, make) in product(options.prefixes, kinds.items()):
        lines = make(count, source)
        before, started = memory(), time.thread_time()
        networks = Networks(lines)
        seconds, held = time.thread_time() - started, memory() - before
        judged = [(4, source.getrandbits(32)) for _ in range(2000)]
        judged += [(6, 0x2001 << 112 | source.getrandbits(112)) for _ in range(1000)]
        judged += [(6, address(line)[1]) for line in source.sample(lines, min(1000, count)) if "/" not in line]
        taken = []
        for _ in range(options.rounds):
            started = time.thread_time()
            for each in judged:
                networks.__contains__(each)
            taken.append((time.thread_time() - started) / len(judged) * 1e6)
        cost = median(taken)
        print(f"{count:>9} {seconds:7.2f} {held:6.1f} {cost:15.2f}")
        limits.append(Limit(f"µs per look-up in {count} {what}", cost, 1.0))
        limits.append(Limit(f"seconds to load {count} {what}", seconds, 5.0))
    return limits


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure what rules cost.")
    parser.add_argument(
        "--filters", type=int, nargs="*", default=[10, 100, 1000, 10_000], help="how many (default: %(default)s)"
    )
    parser.add_argument(
        "--prefixes", type=int, nargs="*", default=[1000, 100_000, 1_000_000], help="how many (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is run in turn (default: 5)")
    parser.add_argument("--requests", type=int, default=300, help="of each kind in a round (default: 300)")
    parser.add_argument("--small", type=int, default=60, help="bytes of each value (default: 60)")
    parser.add_argument(
        "--large", type=int, default=1000, help="bytes of each ordinary or hostile value (default: 1000)"
    )
    parser.add_argument("--re2", action="store_true", help="RE2 alone, even if Hyperscan is installed")
    parser.add_argument("--no-loop", action="store_true", help="without the obvious loop")
    parser.add_argument("--seed", type=int, default=4, help="of the random requests (default: 4)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and return the exit status."""
    options = arguments().parse_args(argv)
    if options.re2:
        engines.ENGINES = engines.ENGINES[-1:]
    limits = measure_filters(options) if options.filters else []
    limits += measure_addresses(options) if options.prefixes else []
    print()
    print("\n".join(map(str, limits)))
    return 0 if all(limit.value <= limit.most for limit in limits) else 1


if __name__ == "__main__":
    sys.exit(main())
