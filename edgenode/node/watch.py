"""The watch over the files of certificates, trust stores, ``[geo]``, lists, datafeeds and error pages: changed files
are used without a reload.

Law: a file is read only once it has stayed the same from one look to the next, and used only if the configuration is
valid with it; until then the old content stays in use, and the log says so once. No file holds back another section's,
whatever it holds. The configuration file itself is not read: an operator may be writing it.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from edgenode.config import credentials
from edgenode.config.credentials import Credentials
from edgenode.config.file_signatures import Signature
from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError, Problem

_RETRY = 60.0
"""Seconds after which files that could not be used are tried again: a certificate may have become valid."""

_DATES = 1.0
"""Seconds after which it is looked again at what is getting old: that takes as long as to look at the files."""

_IDLE = 5.0
"""Seconds after which a watch that ``watch-interval = 0`` has switched off looks whether it still is."""

_log = Logger()

Change = Callable[[Callable[[Configuration], Configuration]], Deferred[Configuration]]
"""``EdgeService.change``."""


class Watch:
    """Looks at the files of a running configuration, and has it changed when they have.

    :param reactor: for timers and threads.
    :param running: gives the running configuration.
    :param change: has it changed.
    :ivar unused: the headers of the sections whose files have changed, and cannot be used.
    """

    def __init__(self, reactor: Any, running: Callable[[], Configuration], change: Change) -> None:
        self._reactor = reactor
        self._running = running
        self._change = change
        self._seen: Mapping[str, Signature] = {}
        self._tried: dict[str, Signature] = {}
        self.unused: frozenset[str] = frozenset()
        self._try_again_at = 0.0
        self._reported: frozenset[Problem] = frozenset()
        self._old: frozenset[Problem] = frozenset()
        self._dated: tuple[Credentials | None, float] = (None, 0.0)  # of what, and until when, dates were looked at
        self._next: Any = None
        self._watching = False

    def start(self) -> None:
        """Look every ``watch-interval``."""
        self._watching = True
        self._schedule()

    def stop(self) -> None:
        """Look no more; what is under way has no effect."""
        self._watching = False
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _schedule(self) -> None:
        if self._watching and self._next is None:  # a look from before a stop may end after the next start
            self._next = self._reactor.callLater(self._running().edge.watch_interval or _IDLE, self._look)

    def _look(self) -> None:
        self._next = None
        if not self._running().edge.watch_interval:
            self._schedule()
            return
        running, (dated, until), now = self._running(), self._dated, self._reactor.seconds()
        dates = running.credentials is not dated or now >= until
        if dates:
            self._dated = running.credentials, now + _DATES
        looking = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), _look_at, running, dates)
        looking.addCallback(self._looked).addErrback(self._failed).addBoth(lambda _: self._schedule())

    def _failed(self, failure: Failure) -> None:
        if self._watching:
            _log.failure("the files could not be looked at", failure=failure)

    def _looked(self, found: tuple[Mapping[str, Signature], frozenset[Problem] | None]) -> Deferred[None] | None:
        """Whether there is something to be read: what was the same at the last look."""
        changed, old = found
        if old is not None:
            for problem in sorted(old - self._old, key=str):
                _log.warn("{problem}", problem=str(problem))
            self._old = old
        stable = {header: signature for header, signature in changed.items() if self._seen.get(header) == signature}
        self._seen = changed
        self._tried = {header: signature for header, signature in self._tried.items() if header in changed}
        self.unused &= changed.keys()
        fresh = any(self._tried.get(header) != signature for header, signature in stable.items())
        now = self._reactor.seconds()
        if not self._watching or not stable or not (fresh or now >= self._try_again_at):
            return None
        self._tried |= stable
        self._try_again_at = now + _RETRY
        return self._take(stable, fresh)

    def _take(self, stable: Mapping[str, Signature], fresh: bool) -> Deferred[None]:
        problems: list[Problem] = []

        def refreshed(configuration: Configuration) -> Configuration:
            configuration, found = configuration.refreshed(stable)
            problems.extend(found)
            return configuration

        report = partial(self._report, stable, problems, fresh)
        return self._change(refreshed).addCallbacks(report, partial(self._one_by_one, stable, fresh))

    def _one_by_one(self, stable: Mapping[str, Signature], fresh: bool, failure: Failure) -> Deferred[None] | None:
        """What cannot be used, for a reason that nobody has foreseen, holds back no other section."""
        if len(stable) > 1:
            taken: Deferred[None] = succeed(None)
            for header, signature in stable.items():
                taken.addCallback(lambda _, one: self._take(one, fresh), {header: signature})
            return taken
        (header,) = stable
        self.unused |= {header}
        if self._watching and fresh:
            if failure.check(ConfigurationError):
                _log.error("changed files: {problem}", problem=str(failure.value))
            else:
                _log.failure("changed files: [{header}]", failure=failure, header=header)
            _log.error("the old files stay in use: {sections}", sections=f"[{header}]")
        return None

    def _report(
        self, stable: Mapping[str, Signature], problems: list[Problem], fresh: bool, configuration: Configuration
    ) -> None:
        signatures = configuration.signatures
        taken = [header for header, signature in stable.items() if signatures.get(header) == signature]
        if taken:
            _log.info("read anew: {sections}", sections=", ".join(f"[{header}]" for header in taken))
        for problem in problems:
            if fresh or problem not in self._reported:
                level = _log.warn if problem.warning else _log.error
                level("changed files: {problem}", problem=str(problem))
        left = [header for header in stable if header not in taken]
        self.unused = self.unused.difference(taken).union(left)
        if left and fresh:
            _log.error("the old files stay in use: {sections}", sections=", ".join(f"[{header}]" for header in left))
        self._reported = frozenset(problems)


def _look_at(configuration: Configuration, dates: bool) -> tuple[Mapping[str, Signature], frozenset[Problem] | None]:
    """What has changed, and if dates are to be looked at what is getting old."""
    if not dates:
        return configuration.changed(), None
    now = datetime.datetime.now(datetime.UTC)
    return configuration.changed(), frozenset(credentials.getting_old(configuration.credentials, now))
