"""What every test is held to: nothing logged as a failure, no error lost in a Deferred, a reactor as it was found.

pytest-twisted looks at none of these. Everything here applies by itself; a test says only where it differs:

- ``flush_logged_errors(type, ...)``, a fixture, takes out and returns the failures that a test meant to be logged;
- ``@pytest.mark.deadline(seconds)`` gives a test's Deferred another time than 30 seconds;
- ``pytestmark = pytest.mark.lasting`` lets fixtures of a module's scope keep connections and timers between its tests;
  the reactor is then looked at when the module ends. What is logged is looked at after every test all the same.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from attrs import define, field
from hypothesis import settings
from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from tests.support.node import PKI, Origin

DEADLINE = 30.0
"""Seconds that the Deferred of a test may take."""

SETTLING = 0.5
"""Seconds at most in which a closed connection may still leave the reactor."""

# A shell that starts the tests in the background has them ignore Ctrl-C, and every program that they start inherits it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A slow machine is no defect; and in CI the examples are the same in every run, as Hypothesis' own profile has it.
settings.register_profile("edgenode", settings.get_profile("ci" if "CI" in os.environ else "default"), deadline=None)
settings.load_profile("edgenode")


@implementer(ILogObserver)
@define
class LoggedFailures:
    """An observer that keeps the failures logged during one test."""

    failures: list[Failure] = field(factory=list)

    def __call__(self, event: LogEvent) -> None:
        if "log_failure" in event:
            self.failures.append(event["log_failure"])

    def flush(self, *types: type[BaseException]) -> list[Failure]:
        """Take out and return the failures of these types, or all if none is named."""
        gc.collect()  # an error without a handler is logged when its Deferred goes
        flushed = [failure for failure in self.failures if not types or failure.check(*types)]
        self.failures = [failure for failure in self.failures if failure not in flushed]
        return flushed


@pytest.fixture(autouse=True)
def logged_failures() -> Iterator[LoggedFailures]:
    """Fails a test during which a failure was logged, or lost in a Deferred, and not flushed."""
    observer = LoggedFailures()
    globalLogPublisher.addObserver(observer)
    try:
        yield observer
        gc.collect()
        gc.freeze()  # so that the next test looks only at what is its own
    finally:
        globalLogPublisher.removeObserver(observer)
    if observer.failures:
        pytest.fail("logged: " + "\n".join(failure.getTraceback() for failure in observer.failures), pytrace=False)


@pytest.fixture
def flush_logged_errors(logged_failures: LoggedFailures) -> Callable[..., list[Failure]]:
    """The function that takes out the failures a test expects, as trial's ``flushLoggedErrors`` does."""
    return logged_failures.flush


def _busy() -> set[Any]:
    """What keeps the reactor busy, besides its own wakers."""
    from twisted.internet import reactor  # only now: pytest-twisted installs it

    descriptors: Iterable[Any] = {*reactor.getReaders(), *reactor.getWriters()}
    return {
        *(each for each in descriptors if not type(each).__name__.endswith("Waker")),
        *reactor.getDelayedCalls(),
    }


async def _settle(before: set[Any]) -> None:
    """Turn the reactor until nothing is left over, or the time is up."""
    from twisted.internet import reactor

    deadline = reactor.seconds() + SETTLING
    while _busy() - before and reactor.seconds() < deadline:
        await deferLater(reactor, 0.001)


def _release(left: set[Any]) -> None:
    """Make the reactor forget what a test has left in it."""
    from twisted.internet import reactor

    for each in left:
        if isinstance(each, DelayedCall):
            each.cancel()
        else:
            reactor.removeReader(each)
            reactor.removeWriter(each)
            each.connectionLost(Failure(ConnectionAborted()))  # closed now, not when it is garbage, in another test


@contextmanager
def _left_as_found() -> Iterator[None]:
    """Fails if the reactor has more to do at the end than at the beginning."""
    before = _busy()
    yield
    if _busy() - before:
        pytest_twisted.blockon(Deferred.fromCoroutine(_settle(before)))
    left = _busy() - before
    if left:
        names = ", ".join(sorted(map(str, left)))
        _release(left)  # so that the next test is not blamed
        pytest.fail(f"left in the reactor: {names}", pytrace=False)


@pytest.fixture(autouse=True, scope="module")
def tidy_module() -> Iterator[None]:
    """Fails the last test of a module that leaves something in the reactor."""
    with _left_as_found():
        yield
    gc.unfreeze()  # what tests had in common has gone
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def tidy_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves something in the reactor, unless its module is marked ``lasting``."""
    if request.node.get_closest_marker("lasting"):
        yield
        return
    with _left_as_found():
        yield


def _with_deadline(function: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    """The same test; what it returns, if it is a Deferred or a coroutine, must arrive in time."""

    @wraps(function)
    def test(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if hasattr(result, "__await__"):
            from twisted.internet import reactor

            result = Deferred.fromCoroutine(result) if not isinstance(result, Deferred) else result
            result.addTimeout(seconds, reactor)
        return result

    vars(test).pop("_pytest_twisted_mark", None)  # a Deferred needs no more of pytest-twisted's decorators
    return test


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A test that waits forever fails after its deadline, and the reactor lives on for the next."""
    mark = pyfuncitem.get_closest_marker("deadline")
    seconds = mark.args[0] if mark else DEADLINE
    given = getattr(pyfuncitem.obj, "hypothesis", None)
    if given is None:
        pyfuncitem.obj = _with_deadline(pyfuncitem.obj, seconds)
    else:
        given.inner_test = _with_deadline(given.inner_test, seconds)
    return (yield)


def pytest_collection_finish() -> None:
    """Set aside what was imported, so that looking for lost Deferreds after every test takes no time."""
    gc.collect()
    gc.freeze()


# -- what most tests of a node begin with ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """The certificates of a node, in a folder that its configuration may stand in."""
    from tests.support.node import PKI

    return PKI.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def origin(pki: PKI) -> Iterator[Origin]:
    """An origin that says OK."""
    from tests.support.node import Origin

    with Origin(pki) as origin:
        yield origin
