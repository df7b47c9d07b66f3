"""A short soak; ``make soak`` is the long one."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from bench import soak

ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.mark.deadline(300)
def test_a_short_soak_finds_nothing_wrong() -> None:
    """All that clients do, good and bad, with reloads in between: nothing fails, and nothing builds up."""
    command = [sys.executable, "-m", "bench.soak", "--seconds", "20", "--any-loop"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing is wrong" in done.stdout


def test_growth_is_found() -> None:
    """Memory and descriptors that rise from round to round are told, and what rises once, or comes and goes, is not."""
    rising = [(2.0**23 * number, 30 * number) for number in range(9)]
    assert soak.judge(rising) == ["33554432 more bytes of memory", "120 more descriptors"]
    assert soak.judge([(2.0**23 * min(number, 2), 30 * min(number, 2)) for number in range(9)]) == []
    assert soak.judge([(2.0**26 * (number % 2), 100 * (number % 2)) for number in range(9)]) == []


@pytest.mark.parametrize("how", ["works", "sleeps"])
def test_a_blocked_loop_is_found(how: str) -> None:
    """A loop that is busy, or blocked, for 120 ms is told of, with the line; one that waits in its poll is not.

    The time is real: the watchdog measures how long a real loop is blocked.
    """
    code = """
import json, sys, time
from twisted.internet import reactor
from bench.watchdog import Watchdog

def works():
    end = time.thread_time() + 0.12
    while time.thread_time() < end:
        pass

def sleeps():
    time.sleep(0.12)

watchdog = Watchdog(reactor)
reactor.callWhenRunning(watchdog.start)
reactor.callLater(0.3, globals()[sys.argv[1]])
reactor.callLater(0.8, reactor.stop)
reactor.run()
print(json.dumps(watchdog.report()))
"""
    done = subprocess.run([sys.executable, "-c", code, how], cwd=ROOT, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    violation = max(report["violations"], key=lambda each: each["blocked"])
    assert violation["blocked"] > 0.1
    assert violation["where"][-1].endswith(f" {how}")
    assert soak.judge_loop(report) != []
