"""What a content filter costs: the node with the OWASP Core Rule Set beside itself without, and beside nginx with
ModSecurity and the same rules.

The peers are asked in turn, several rounds, for pages (``realvary`` of ``proxy.py``), and sent forms of 2 KiB and JSON
of 10 KiB, of which no two are the same. Answers are not judged by any of them. The exit status is 1 if a limit is not
kept. What hostile requests cost is measured by ``bench/hostile.py``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import random
import re
import sys
from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

if not __package__:  # run as a file
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench.comparing import Compared, arguments, comparison, further, times
from bench.interpreters import Interpreter
from bench.peers import HERE, Bench, Peer, bench
from bench.proxy import SCENARIOS, Row, run

RULES = pathlib.Path("/usr/share/modsecurity-crs/rules")
SETUP = pathlib.Path("/etc/modsecurity/crs/crs-setup.conf")

BARE, FILTERED, MODSECURITY = "no-filter", "content-filter", "nginx-modsecurity"

COMPARED = {
    "realvary": (Compared(FILTERED, MODSECURITY, times, 0.1, "x"), Compared(FILTERED, BARE, further, 60.0, "µs more")),
    "form2k": (Compared(FILTERED, MODSECURITY, times, 0.1, "x"),),
    "json10k": (Compared(FILTERED, MODSECURITY, times, 0.1, "x"),),
}

_MODSECURITY = """\
SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess Off
SecAuditEngine Off
SecRequestBodyLimit 13107200
SecRequestBodyNoFilesLimit 131072
SecPcreMatchLimit 1000
SecPcreMatchLimitRecursion 1000
SecRule REQUEST_HEADERS:Content-Type "^application/json" \
 "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
Include {setup}
Include {rules}/*.conf
"""

_WORDS = re.findall(
    r"\w+",
    """the quick brown fox jumps over lazy dog runs to river water is cold clear some people think winter comes early
    this year because birds left garden already we ordered three blue shirts two pairs of shoes one green hat
    please deliver before friday thank you very much your help with invoice number""",
)


def words(chosen: random.Random, size: int) -> str:
    """A text of about so many characters, of which no two are alike."""
    found = []
    while size > 0:
        found.append(chosen.choice(_WORDS) if chosen.random() < 0.9 else str(chosen.randrange(100_000)))
        size -= len(found[-1]) + 1
    return " ".join(found)


def form(chosen: random.Random) -> bytes:
    """A form of 2 KiB: a shop's order with a comment."""
    fields = {"name": words(chosen, 20), "street": words(chosen, 30), "city": words(chosen, 10)}
    fields |= {f"item{number}": str(chosen.randrange(10_000)) for number in range(10)}
    fields |= {"email": f"ann{chosen.randrange(10**6)}@example.com", "comment": ""}
    fields["comment"] = words(chosen, 2030 - len(urlencode(fields)))
    return urlencode(fields).encode()


def document(chosen: random.Random) -> bytes:
    """JSON of 10 KiB: a list of orders."""
    orders: list[object] = []
    while len(json.dumps(orders)) < 9_900:
        item = {"id": chosen.randrange(10**9), "name": words(chosen, 30), "price": chosen.randrange(10**5) / 100}
        orders.append({"order": item, "note": words(chosen, 300), "paid": True})
    return json.dumps({"orders": orders}).encode()


def write_bodies(file: pathlib.Path, made: Sequence[bytes]) -> None:
    """Write bodies as ``load.c`` reads them."""
    file.write_bytes(b"".join(b"%d\n%s" % (len(each), each) for each in made))


def scenarios(folder: pathlib.Path) -> dict[str, tuple[str, ...]]:
    """The words for the load generator; the bodies are written into a folder."""
    chosen = random.Random(7)
    write_bodies(folder / "forms", [form(chosen) for _ in range(1024)])
    write_bodies(folder / "documents", [document(chosen) for _ in range(1024)])
    headers = tuple(SCENARIOS["realvary"])[4:-2]
    common = ("-c", "4", "-p", "/upload", *headers, "-V", "1024", "-H")
    return {
        "realvary": tuple(SCENARIOS["realvary"]),
        "form2k": (*common, "Content-Type: application/x-www-form-urlencoded", "-F", str(folder / "forms")),
        "json10k": (*common, "Content-Type: application/json", "-F", str(folder / "documents")),
    }


@contextlib.contextmanager
def peers(place: Bench, options: argparse.Namespace) -> Iterator[list[Peer]]:
    """The node without and with the filter, and nginx with ModSecurity."""
    setup = f"setup = {options.setup}\n" if options.setup else ""
    more = place.folder / "content-filter.ini"
    more.write_text(f"[content-filter core]\nrules = crs:{options.rules}\n{setup}")
    rules = place.folder / "modsecurity.conf"
    rules.write_text(_MODSECURITY.format(rules=options.rules, setup=options.setup or SETUP))
    code = str(pathlib.Path(options.checkout).resolve())
    with contextlib.ExitStack() as stack:
        start = HERE / "start.sh"
        bare = stack.enter_context(place.script(BARE, start, options.python, CHECKOUT=code))
        keys = {"CHECKOUT": code, "MORE": str(more), "KEYS": "content-filter = core"}
        filtered = stack.enter_context(place.script(FILTERED, start, options.python, **keys))
        yield [bare, filtered, stack.enter_context(place.nginx(MODSECURITY, rules=rules))]


def measure(place: Bench, several: list[Peer], options: argparse.Namespace) -> list[Row]:
    """Run every peer in every scenario, in turn."""
    rows = []
    known = scenarios(place.folder)
    for number in range(options.rounds):
        turn = number % len(several)
        for scenario in options.scenarios:
            rows += [
                run(place, peer, scenario, number, options.seconds, options.warming, known[scenario])
                for peer in several[turn:] + several[:turn]
            ]
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the comparisons, and return the exit status."""
    parser = arguments("Measure what a content filter costs, beside nginx with ModSecurity.")
    parser.add_argument("--rules", type=pathlib.Path, default=RULES, help=f"a Core Rule Set's rules (default: {RULES})")
    parser.add_argument("--setup", type=pathlib.Path, help="its crs-setup.conf (default: what belongs to the rules)")
    parser.add_argument("--scenarios", nargs="+", choices=COMPARED, default=list(COMPARED), help="default: all")
    options = parser.parse_args(argv)
    print(Interpreter.of(options.python), flush=True)
    with bench() as place, peers(place, options) as several:
        rows = measure(place, several, options)
    kept = True
    for scenario in options.scenarios:
        mine = [row for row in rows if row.scenario == scenario]
        text, good = comparison(mine, COMPARED[scenario], scenario=scenario)
        print(f"\n{scenario}: medians of {options.rounds} rounds\n{text}")
        kept = kept and good
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
