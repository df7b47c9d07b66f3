"""The updates of a node's datafeeds: each source is asked when it is due, and new content is used without a reload.

Law: what cannot be fetched, or cannot be used, changes nothing, and the log says so once. A reload or a restart has no
source asked sooner: when it was asked last is known from the folder ``state``.
"""

from __future__ import annotations

import math
import pathlib
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial

from attrs import evolve, frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.logger import Logger
from twisted.python.failure import Failure

from edgenode.config.load import Configuration
from edgenode.feeds import contents, store
from edgenode.feeds.contents import Content, Fed, Refused
from edgenode.feeds.fetch import MOST_REDIRECTS, Fetcher, FetchError, Validators
from edgenode.feeds.store import Status, Stored
from edgenode.model.errors import ConfigurationError, InvalidValue
from edgenode.model.urls import read_address
from edgenode.node.watch import Change
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.policy.jwt.section import JWT
from edgenode.rules.feeds import without_query
from edgenode.tls.policies import client_context

_FIRST_RETRY = 60.0
"""Seconds after which a source that failed is asked again; twice as long after each further failure."""

_LONGEST_RETRY = 3600.0

_SPREAD = 0.05
"""The share of a pause by which it is shortened or lengthened at random, so that not all nodes ask at once."""

_AT_A_TIME = 4
"""Sources asked at the same time."""

_log = Logger()

Take = Callable[[str, Fed, Content], Awaitable[object]]
"""Puts a content of a section to use; raises :class:`InvalidValue` if it cannot be used with the rest."""


@frozen
class Outcome:
    """What came of asking a source.

    :ivar word: ``changed``, ``not changed``, ``kept old``, or ``nothing came`` where there is no old one.
    :ivar detail: how many values there are, or why nothing has changed.
    :ivar status: when it was asked, and how often it has failed.
    """

    word: str
    detail: str
    status: Status

    def __str__(self) -> str:
        return f"{self.word}: {self.detail}"


def remote(configuration: Configuration) -> dict[str, Fed]:
    """The sections with a source somewhere else, by their header."""
    return {header: section for header, section in configuration.fed() if section.remote}


def status_of(configuration: Configuration, header: str, section: Fed) -> Status:
    """What has come of asking a section's source so far."""
    assert configuration.edge.state is not None
    return store.read_status(configuration.edge.state, header, section.whence)


def pause(section: Fed, status: Status, has_content: bool, now: float) -> float | None:
    """How many seconds from now a source is to be asked, without chance; ``None`` if never.

    :param now: seconds since 1970.
    """
    if not section.refresh:
        return None
    if status.failures:
        wait = min(_FIRST_RETRY * 2.0 ** min(status.failures - 1, 16), _LONGEST_RETRY, section.refresh)
    elif has_content:
        wait = section.refresh
    else:
        return 0.0
    return max(0.0, min(status.asked, now) + wait - now)  # a clock that was set back shall not put it off


async def ask(configuration: Configuration, header: str, fetcher: Fetcher, take: Take, shrink: bool = False) -> Outcome:
    """Ask the source of a section now, and use and keep what is new.

    :param take: puts it to use.
    :param shrink: whether it may have shrunk by any share.
    """
    section = remote(configuration)[header]
    folder = configuration.edge.state
    assert folder is not None
    known = configuration.contents.read.get(header)
    in_thread = fetcher.in_thread
    status = await in_thread(status_of, configuration, header, section)
    asked = evolve(status, asked=time.time())
    try:
        fetched = await _fetched(configuration, header, section, fetcher, known)
        content = known
        if fetched:
            content = await in_thread(_read, header, section, [each.stored for each in fetched], known, shrink)
            if content is not known:
                new = [each for each in fetched if each.new]
                await _use(fetcher, folder, header, new, partial(take, header, section, content))
        assert content is not None  # a source that was not told of any cannot say that it is the same still
        word = "not changed" if content is known else "changed"
        outcome = Outcome(word, str(content), Status(section.whence, asked.asked, asked.asked))
    except (FetchError, Refused, InvalidValue, OSError) as error:
        reason = f"cannot be kept in {folder}: {error.strerror}" if isinstance(error, OSError) else str(error)
        failed = evolve(asked, failures=asked.failures + 1, problem=reason)
        outcome = Outcome("nothing came" if known is None else "kept old", reason, failed)
    try:
        await in_thread(store.write_status, folder, header, outcome.status)
    except OSError as error:
        _log.error("cannot write into {folder}: {reason}", folder=str(folder), reason=error.strerror)
    return outcome


@frozen
class _Fetched:
    """What a source holds.

    :ivar index: of the source.
    :ivar new: whether it has come over the network now.
    """

    index: int
    stored: Stored
    new: bool


async def _use(
    fetcher: Fetcher, folder: pathlib.Path, header: str, new: list[_Fetched], take: Callable[[], Awaitable[object]]
) -> None:
    """Put a content to use, and then keep what came."""
    staged: list[pathlib.Path] = []
    try:
        for each in new:
            staged += [await fetcher.in_thread(store.stage, folder, each.stored)]
        await take()
    except BaseException:
        for path in staged:
            store.discard(path)
        raise
    for path, each in zip(staged, new, strict=True):
        await fetcher.in_thread(store.publish, path, header, each.index)


async def _fetched(
    configuration: Configuration, header: str, section: Fed, fetcher: Fetcher, known: Content | None
) -> list[_Fetched]:
    """What all sources of a section hold; nothing if none of them has changed."""
    stores = configuration.credentials.trust_stores
    trust_store = None if section.trust_store is None else stores[section.trust_store]
    # Reading the system's authorities takes a while.
    context = await fetcher.in_thread(partial(client_context, trust_store=trust_store))
    keep = partial(contents.kept, configuration.edge.state, header, section)

    async def fetch(index: int, marks: tuple[str, str]) -> _Fetched | None:
        source = section.sources[index]
        if source.path is not None:
            stored = await fetcher.in_thread(keep, index)
            assert stored is not None
            return _Fetched(index, stored, new=False)
        address, validators = read_address(source.url), Validators(*marks)
        redirects, most, timeout = MOST_REDIRECTS if section.follows else 0, section.max_size, section.fetch_timeout
        try:
            document = await fetcher.fetch(address, context, most, timeout, validators, redirects)
        except FetchError as error:
            where = f"{without_query(source.url)}: " if len(section.sources) > 1 else ""
            raise FetchError(f"{where}{error}") from None
        if document is None:
            return None
        etag, last_modified = document.validators.etag, document.validators.last_modified
        return _Fetched(index, Stored(source.url, document.data, etag, last_modified), new=True)

    marks = known.marks if known is not None and contents.is_of(known, header, section) else ()
    found = [await fetch(index, mark) for index, mark in enumerate(marks or (("", ""),) * len(section.sources))]
    if not any(each is not None for each in found):
        return []
    for index, each in enumerate(found):
        if each is None:  # what has not changed is read from where it was kept, or comes anew
            assert known is not None
            found[index] = await fetcher.in_thread(_unchanged, keep, index, known) or await fetch(index, ("", ""))
    return [each for each in found if each is not None]


def _unchanged(keep: Callable[[int], Stored | None], index: int, known: Content) -> _Fetched | None:
    try:
        stored = keep(index)
    except InvalidValue:
        return None
    digests = known.identity[0]
    assert isinstance(digests, tuple)
    same = stored is not None and contents.digest(stored.data) == digests[index]
    return _Fetched(index, stored, new=False) if stored is not None and same else None


def _wake(woken: Deferred[None]) -> None:
    if not woken.called:
        woken.callback(None)


def _read(header: str, section: Fed, parts: list[Stored], known: Content | None, shrink: bool) -> Content:
    content = contents.read_download(header, section, parts, known)
    if not shrink:
        contents.check_share(header, section, content, known)
    return content


class FeedUpdates:
    """Asks the sources of a running configuration, each when it is due.

    :param fetcher: fetches documents.
    :param running: gives the running configuration.
    :param change: has it changed.
    """

    def __init__(self, fetcher: Fetcher, running: Callable[[], Configuration], change: Change) -> None:
        self._fetcher = fetcher
        self._running = running
        self._change = change
        self._tasks: dict[str, tuple[Fed, Deferred[None]]] = {}
        self._waiting: set[str] = set()
        self._asleep: dict[str, tuple[Deferred[None], float]] = {}
        self._slots = DeferredSemaphore(_AT_A_TIME)
        self._reported: dict[str, str] = {}
        self._started = False

    def start(self) -> None:
        """Begin to ask."""
        self._started = True
        self.renew()

    def stop(self) -> None:
        """Ask no more; what is under way has no effect."""
        self._started = False
        for _, task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    def renew(self) -> None:
        """Follow a change of the configuration; unchanged sources are asked when they would have been."""
        if not self._started:
            return
        self._running().wanted.ask = self._want
        sources = remote(self._running()).items()
        wanted = {name: each for name, each in sources if not isinstance(each, GlobalFilter) or each.active}
        present = self._running().contents.read
        for header, (section, task) in [*self._tasks.items()]:
            lost = header in self._waiting and header not in present  # with another folder, for one
            if wanted.get(header) != section or lost:
                del self._tasks[header]
                task.cancel()
        for header, section in wanted.items():
            if header not in self._tasks:
                task = Deferred.fromCoroutine(self._update_when_due(header, section))
                self._tasks[header] = section, task
                task.addErrback(self._ended, header)

    async def _update_when_due(self, header: str, section: Fed) -> None:
        """Keep the content of a section up to date, until it is cancelled."""
        status = await self._fetcher.in_thread(status_of, self._running(), header, section)
        while True:
            has_content = header in self._running().contents.read
            seconds = pause(section, status, has_content, time.time())
            if seconds is None:
                return
            if has_content:
                self._waiting.add(header)
            try:
                spread = random.uniform(1 - _SPREAD, 1 + _SPREAD)  # noqa: S311  # no secret
                await self._sleep(header, seconds * spread, status.asked)
            finally:
                self._waiting.discard(header)
            await self._slots.acquire()
            try:
                outcome = await ask(self._running(), header, self._fetcher, self._take)
            except CancelledError:
                raise
            except Exception:
                _log.failure("[{header}] could not be asked for", header=header)
                status = evolve(status, asked=time.time(), failures=status.failures + 1)
            else:
                status = outcome.status
                self._report(header, outcome)
            finally:
                self._slots.release()

    async def _sleep(self, header: str, seconds: float, asked: float) -> None:
        """Wait until a source is due, or is wanted sooner.

        :param asked: when it was asked last, seconds since 1970.
        """
        woken: Deferred[None] = Deferred()
        timer = self._fetcher.reactor.callLater(seconds, woken.callback, None)
        section = remote(self._running()).get(header)
        self._asleep[header] = woken, asked + section.refresh_unknown if isinstance(section, JWT) else math.inf
        try:
            await woken
        finally:
            self._asleep.pop(header, None)
            if timer.active():
                timer.cancel()

    def _want(self, header: str) -> None:
        """Ask a source soon, for a token names a key that is not there; who makes such tokens up has no say in how
        often that is."""
        woken, not_before = self._asleep.get(header, (None, 0.0))
        if woken is None or time.time() < not_before:
            return
        del self._asleep[header]
        self._fetcher.reactor.callLater(0, _wake, woken)

    def _ended(self, failure: Failure, header: str) -> None:
        if not failure.check(CancelledError):
            _log.failure("[{header}] is no longer asked for", failure=failure, header=header)

    async def _take(self, header: str, section: Fed, content: Content) -> None:
        def taken(configuration: Configuration) -> Configuration:
            if dict(configuration.fed()).get(header) != section:
                return configuration  # it has been reloaded meanwhile
            signature = configuration.contents.signatures[header]
            return configuration.holding(configuration.contents.renewed(header, content, signature))

        try:
            await self._change(taken)
        except ConfigurationError as error:
            raise InvalidValue(str(error)) from None

    def _report(self, header: str, outcome: Outcome) -> None:
        reported = self._reported.pop(header, "")
        if outcome.status.problem:
            self._reported[header] = outcome.status.problem
            if outcome.status.problem != reported:
                _log.error("[{header}] {outcome}", header=header, outcome=str(outcome))
        elif reported or outcome.word == "changed":
            _log.info("[{header}] {outcome}", header=header, outcome=str(outcome))
