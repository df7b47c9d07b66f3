"""What tests/conftest.py promises: tests that leave something behind, or wait forever, fail."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import textwrap

HERE = pathlib.Path(__file__).parent

TESTS = """
from hypothesis import given, strategies
import pytest
from twisted.internet import defer, protocol, reactor
from twisted.logger import Logger
from twisted.python.failure import Failure


def log():
    try:
        1 / 0
    except ZeroDivisionError:
        Logger().failure("asked for")


def test_bad_logged_failure():
    log()


def test_bad_lost_error():
    defer.fail(ValueError("lost"))


def test_bad_delayed_call():
    reactor.callLater(3600, print)


def test_bad_port():
    reactor.listenTCP(0, protocol.Factory(), interface="127.0.0.1")


def test_bad_flush_of_another_type(flush_logged_errors):
    log()
    assert flush_logged_errors(KeyError) == []


@pytest.mark.deadline(0.05)
def test_bad_deferred_waits_forever():
    return defer.Deferred()


@pytest.mark.deadline(0.05)
async def test_bad_coroutine_waits_forever():
    await defer.Deferred()


@pytest.mark.deadline(0.05)
@given(strategies.booleans())
def test_bad_property_waits_forever(value):
    return defer.Deferred()


async def test_bad_assertion_in_a_coroutine():
    await defer.succeed(None)
    assert False


def test_good_after_the_bad_ones():
    pass


def test_good_flushed_error(flush_logged_errors):
    log()
    defer.fail(ValueError("lost"))
    assert len(flush_logged_errors(ZeroDivisionError)) == 1
    assert len(flush_logged_errors()) == 1


async def test_good_closed_port():
    port = reactor.listenTCP(0, protocol.Factory(), interface="127.0.0.1")
    await port.stopListening()
"""

LASTING = """
import pytest
from twisted.internet import reactor

pytestmark = pytest.mark.lasting


@pytest.fixture(scope="module")
def timer():
    call = reactor.callLater(3600, print)
    yield
    call.cancel()


def test_good_starts_something(timer):
    reactor.callLater(3600, print).cancel()


def test_good_uses_it(timer):
    pass


def test_bad_end_of_the_module(timer):
    reactor.callLater(3600, print)
"""


def test_defects_of_tests_are_found(tmp_path: pathlib.Path) -> None:
    """A test fails for a logged failure, a lost error, a busy reactor and a missed deadline, and for nothing else."""
    (tmp_path / "conftest.py").write_text((HERE / "conftest.py").read_text())
    (tmp_path / "pyproject.toml").write_text((HERE.parent / "pyproject.toml").read_text())
    (tmp_path / "test_one.py").write_text(textwrap.dedent(TESTS))
    (tmp_path / "test_two.py").write_text(textwrap.dedent(LASTING))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-v",
        "--tb=line",
        str(tmp_path),
    ]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    results: dict[str, set[str]] = {}
    for line in run.stdout.splitlines():
        name, _, rest = line.rpartition("::")[2].partition(" ")
        if name.startswith("test_") and "[" in rest:
            results.setdefault(name, set()).add(rest.split()[0])
    assert len(results) == 15, run.stdout
    for name, outcomes in results.items():
        assert outcomes == {"PASSED"} or name.startswith("test_bad"), run.stdout
        assert outcomes & {"FAILED", "ERROR"} or name.startswith("test_good"), run.stdout
