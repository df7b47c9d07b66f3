"""What counting costs in memory: CPU ns of a call by the number of keys, bytes of memory for a key, and what becomes of
both under a stream of keys that never ends.

Each figure is from a process of its own, with the bounds that a node has by default. ``new`` are calls with a key that
comes for the first time, ``known`` those with one of all the keys, in no order, ``hot`` those with the same one.
``longest`` is the longest of all calls in ms of CPU. The stream brings 200,000 keys a minute for ten minutes of a clock
that is set. The exit status is 1 if a limit is not kept.
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from time import process_time, thread_time_ns
from typing import TypeVar

from attrs import frozen

from bench.rules import Limit
from bench.tables import table
from edgenode.state.interface import Call, Counter, Entry
from edgenode.state.memory import MemoryState
from edgenode.state.quarantine import HeldValues

T = TypeVar("T")

_AT_ONCE = 50_000
"""Calls that are made ready at a time, so that making them is not measured."""


@frozen
class Cost:
    """What was measured.

    :ivar kind: the kind of counter.
    :ivar keys: how many keys.
    :ivar kept: how many of them are counted at the end.
    :ivar new: CPU ns of a call; likewise ``known`` and ``hot``.
    :ivar longest: CPU ms of the longest call.
    :ivar memory: by how many MB the process has grown.
    """

    kind: str
    keys: int
    kept: int
    new: float
    known: float
    hot: float
    longest: float
    memory: float


def _calls(counter: Counter, numbers: Sequence[int]) -> list[tuple[Call]]:
    return [(Call(counter, f"198.{each >> 16}.{each >> 8 & 255}.{each & 255}", 1, "v", (0,)),) for each in numbers]


def _resident() -> float:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def _each(state: MemoryState, calls: Sequence[tuple[Call]]) -> float:
    """CPU ns of a call, of many."""
    count = state.count
    gc.collect()
    began = process_time()
    for each in calls:
        count(each)
    return (process_time() - began) / len(calls) * 1e9


def _mean(figures: Iterator[float]) -> float:
    found = [*figures]
    return sum(found) / len(found)


def measured(kind: str, keys: int) -> Cost:
    """Measure, in this process."""
    gc.set_threshold(50_000, 20, 50)  # as a node does
    state, counter = MemoryState(lambda: 1e6), Counter("rate-limit x", kind, 1000, 3600.0)
    _each(state, _calls(counter, [0]))
    before = _resident()
    parts = range(0, keys, _AT_ONCE)
    new = _mean(_each(state, _calls(counter, range(part, min(part + _AT_ONCE, keys)))) for part in parts)
    memory = _resident() - before
    random.seed(1)
    known = _mean(_each(state, _calls(counter, random.choices(range(keys), k=_AT_ONCE))) for _ in range(4))
    hot = min(_each(state, _calls(counter, [0]) * _AT_ONCE) for _ in range(4))
    kept = state._used.keys
    return Cost(kind, keys, kept, new, known, hot, _longest(counter, keys), memory)


def _longest(counter: Counter, keys: int) -> float:
    state, longest = MemoryState(lambda: 1e6), 0
    for part in range(0, keys, _AT_ONCE):
        for call in _calls(counter, range(part, min(part + _AT_ONCE, keys))):
            began = thread_time_ns()
            state.count(call)
            longest = max(longest, thread_time_ns() - began)
    return longest / 1e6


def streamed(kind: str, minutes: int, each: int) -> list[float]:
    """MB by which the process has grown after each minute of a stream of new keys."""
    now, found = [1e6], []
    state, counter = MemoryState(lambda: now[0]), Counter("rate-limit x", kind, 1000, 60.0)
    before = _resident()
    for minute in range(minutes):
        for part in range(0, each, 1000):
            now[0] += 60.0 * 1000 / each
            _each_of(state, _calls(counter, range(minute * each + part, minute * each + part + 1000)))
        found.append(_resident() - before)
    return found


def _each_of(state: MemoryState, calls: Sequence[tuple[Call]]) -> None:
    for each in calls:
        state.count(each)


def held(entries: int) -> tuple[float, float, float]:
    """Of so many addresses and networks in quarantine: MB, and CPU ns to find that an address is in one, or in none."""
    before, values = _resident(), HeldValues(most=entries)
    for each in range(entries):
        value = f"198.{each >> 16}.{each >> 8 & 255}.{each & 255}{'' if each % 4 else '/32'}"
        values.hold(Entry("ip", value, values.now() + 3600 + each, values.now(), "dynamic-rule x", "too often"))
    for prefix in range(8, 32):
        values.hold(Entry("ip", f"203.0.113.0/{prefix}", values.now() + 3600, values.now(), "root", "by hand"))
    memory = _resident() - before

    def find(address: str) -> float:
        began = process_time()
        for _ in range(20_000):
            values.find("ip", address)
        return (process_time() - began) / 20_000 * 1e9

    return memory, find("198.0.0.77"), find("192.0.2.1")


def _apart(measure: Callable[..., T], *arguments: object) -> T:
    """What is measured in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def main(arguments: Sequence[str]) -> int:
    """Measure, and print; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=int, default=10)
    options = parser.parse_args(arguments)
    few, many = options.keys // 100, options.keys
    costs = [_apart(measured, kind, keys) for kind in ("fixed", "sliding", "distinct") for keys in (few, many)]
    print(
        table(
            ["kind", "keys", "kept", "new ns", "known ns", "hot ns", "longest ms", "MB", "bytes/key"],
            [
                [each.kind, f"{each.keys:,}", f"{each.kept:,}"]
                + [f"{figure:.0f}" for figure in (each.new, each.known, each.hot)]
                + [f"{each.longest:.1f}", f"{each.memory:.0f}", f"{each.memory * 1e6 / each.kept:.0f}"]
                for each in costs
            ],
        )
    )
    stream = _apart(streamed, "fixed", options.minutes, many // 5)
    print(f"MB after each minute of {many // 5:,} new keys: {' '.join(f'{each:.0f}' for each in stream)}")
    entries = many // 10
    memory, found, not_found = _apart(held, entries)
    print(f"{entries:,} entries in quarantine: {memory:.0f} MB; {found:.0f} ns to find one, {not_found:.0f} ns to miss")
    limits = [Limit(f"{each.kind}: MB of memory for {each.keys:,} keys", each.memory, 300.0) for each in costs[1::2]]
    for one, other in zip(costs[::2], costs[1::2], strict=True):
        # A key that is out of the processor's caches takes longer, whatever keeps it.
        what = f"{one.kind}: ns of a known one of {many:,} keys, over that of {few:,}"
        limits.append(Limit(what, other.known / one.known, 5.0 if one.kind == "distinct" else 3.0))
        limits.append(Limit(f"{one.kind}: ms of the longest call", other.longest, 10.0))
    settled = stream[: len(stream) // 2][-1]
    limits.append(Limit("MB at the end of the stream, over its middle", stream[-1] / max(settled, 1.0), 1.1))
    for limit in limits:
        print(limit)
    return 0 if all(each.value <= each.most for each in limits) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
