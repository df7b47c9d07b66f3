"""What hostile requests cost a content filter: values made to be looked at for long, beside ordinary ones like them.

Everything happens in this process, without a network. Each hostile request stands beside one of the same kind and size
whose text is ordinary: it may take 20 times as long at most, and no piece of the work may hold the event loop up for
longer than 50 ms. What a request holds is read anew each time. The exit status is 1 if a limit is not kept.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median
from urllib.parse import quote_plus

from attrs import frozen

if not __package__:  # run as a file
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench.tables import table, verdict
from tests.support.attack_requests import asked
from tests.support.modsecurity import DEBIAN_RULES, DEBIAN_SETUP, Asked
from tests.support.rulesets import Ours, exchange

MOST_TIMES = 20.0
"""How many times what is ordinary a hostile request may cost."""

LONGEST_TURN = 0.05
"""Seconds for which the event loop may be held up at a time."""

_ORDINARY = "the quick brown fox jumps over the lazy dog and then we ordered three blue shirts, please deliver friday "

_FORM = b"application/x-www-form-urlencoded"

NEAR_MISSES: Mapping[str, str] = {
    "nearly UNION SELECT": "union  all  selec ",
    "comments of SQL": "/*!/**/",
    "quotes": "'\"`",
    "nearly a tag": "<scrip <img sr <a hre ",
    "angle brackets": "<",
    "nearly events": " onx onloa onerro=",
    "dots and slashes": "../.. /./",
    "nearly commands": ";ca /et/c |i $( {",
    "blanks": " \t",
    "one letter": "a",
    "escapes of JavaScript": "\\u00\\x4",
    "entities": "&#x26;#x26;",
    "percent signs": "%25%",
    "plus and equals": "+=",
    "words of PHP": "base64_decod phpinf $_GE",
    "parentheses": "((((",
    "Cyrillic": "\u0430\u0435",
}
"""What a value is filled with."""


def _filled(text: str, size: int) -> str:
    return (text * (size // len(text) + 1))[:size]


def _nested(text: str, size: int) -> str:
    """A text of which every letter is percent-encoded, again and again, as often as there is room for."""
    while 3 * len(text) <= size:
        text = "".join(f"%{ord(letter):02x}" for letter in text)
    return text


def _form(value: str) -> Asked:
    return asked("POST", b"/", body=b"comment=" + quote_plus(value).encode(), kind=_FORM)


def _json(value: object) -> Asked:
    return asked("POST", b"/", body=json.dumps(value).encode(), kind=b"application/json")


def _cookies(text: str) -> Asked:
    return asked("GET", b"/", (b"Cookie", "; ".join(f"c{n}={text}" for n in range(100)).encode()))


def _many(text: str, count: int) -> Asked:
    return asked("POST", b"/", body="&".join(f"a{n}={quote_plus(text)}" for n in range(count)).encode(), kind=_FORM)


@frozen
class Case:
    """A hostile request, and what it stands beside.

    :ivar name: what it is.
    :ivar hostile: the request.
    :ivar ordinary: one of the same kind and size.
    """

    name: str
    hostile: Asked
    ordinary: Asked


def cases(size: int) -> Iterator[Case]:
    """All of them, each about so many bytes."""
    for name, text in NEAR_MISSES.items():
        yield Case(f"{name}, one value", _form(_filled(text, size)), _form(_filled(_ORDINARY, size)))
    yield Case("nested encodings", _form(_nested("<script>", size)), _form(_filled(_ORDINARY, size)))
    for name in ("nearly UNION SELECT", "nearly a tag", "quotes"):
        text = _filled(NEAR_MISSES[name], 30)
        yield Case(f"{name}, many values", _many(text, size // 40), _many(_ORDINARY[:30], size // 40))
        yield Case(f"{name}, in JSON", _json([text] * (size // 40)), _json([_ORDINARY[:30]] * (size // 40)))
        yield Case(f"{name}, in cookies", _cookies(text), _cookies(_ORDINARY[:30].replace(",", "")))
    deep: object = "x"
    for _ in range(60):
        deep = [deep]
    yield Case("deep JSON", _json([deep] * (size // 130)), _json([_ORDINARY[:120]] * (size // 130)))


@frozen
class Cost:
    """Seconds.

    :ivar whole: for all that rules say.
    :ivar longest: the longest piece at a time.
    """

    whole: float
    longest: float


def cost(ours: Ours, request: Asked, times: int) -> Cost:
    """The median of several times."""
    found = []
    for _ in range(times):
        moments = [time.perf_counter()]
        moments += [time.perf_counter() for _ in ours.rule_set.judging(exchange(request))]
        pieces = [after - before for before, after in pairwise(moments)]
        found.append(Cost(sum(pieces), max(pieces)))
    return Cost(median(each.whole for each in found), median(each.longest for each in found))


def compared(several: Sequence[Case], of: Callable[[Asked], Cost]) -> tuple[str, bool]:
    """The table to print, and whether all limits are kept."""
    lines, kept = [], True
    for case in several:
        hostile, ordinary = of(case.hostile), of(case.ordinary)
        ratio = hostile.whole / ordinary.whole
        good = ratio <= MOST_TIMES and hostile.longest <= LONGEST_TURN
        kept = kept and good
        figures = [f"{each * 1e3:.2f}" for each in (ordinary.whole, hostile.whole, hostile.longest)]
        lines.append([case.name, *figures, f"{ratio:.1f}", verdict(good)])
    return table(["request", "ordinary ms", "hostile ms", "longest piece ms", "times", ""], lines), kept


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print what was found, and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure what hostile requests cost a content filter.")
    parser.add_argument("--rules", type=pathlib.Path, default=DEBIAN_RULES, help=f"default: {DEBIAN_RULES}")
    parser.add_argument("--setup", type=pathlib.Path, default=DEBIAN_SETUP, help=f"default: {DEBIAN_SETUP}")
    parser.add_argument("--size", type=int, default=1024 * 1024, help="bytes of a body (default: 1 MiB)")
    parser.add_argument("--times", type=int, default=3, help="how often each is judged (default: 3)")
    options = parser.parse_args(argv)
    ours = Ours(options.rules, options.setup)
    text, kept = compared(list(cases(options.size)), lambda request: cost(ours, request, options.times))
    print(f"{options.size} bytes; at most {MOST_TIMES:g} times, and {LONGEST_TURN * 1e3:g} ms a piece\n{text}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
