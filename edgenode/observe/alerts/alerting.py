"""All alerts at work: they read the journal, and go on after a restart where they have stopped.

Law: nothing is raised twice because the process was another, and no message is lost with it. What is read again at the
start are the events of the windows: they are counted, and judged no second time.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from edgenode.observe.alerts.watching import Watching, events_of
from edgenode.observe.journal.reader import JournalReader, Position, beginning

FILE = "alerts.json"
"""Where it is kept how alerts stand, in the folder of the journal."""

_AT_ONCE = 256 * 1024
"""Bytes of the journal that are read in one go: they hold up the rest of the process for some ten milliseconds."""

_POLL = 0.5
"""Seconds between two looks into a journal in which there was nothing new."""

_SAVED = 10.0
"""Seconds after which it is saved how far the journal is read, if nothing else has changed."""

_SET_BACK = 60.0
"""Seconds by which a clock that goes back is one that was set: then windows begin anew."""

_PLACES = 12
"""How many places to begin at are known within the longest window."""

_log = Logger()


class Alerting:
    """The alerts of a node.

    :param watching: the alerts.
    :param folder: of the journal.
    :param period: of the longest window, seconds.
    :param reactor: a clock with ``callLater``.
    :param now: seconds since the epoch.
    :param reader: opens the journal at a place.
    """

    def __init__(
        self,
        watching: Sequence[Watching],
        folder: pathlib.Path,
        period: float,
        reactor: Any,
        now: Callable[[], float],
        reader: Callable[[pathlib.Path, Position | None], JournalReader] = JournalReader,
    ) -> None:
        self._watching = watching
        self._folder = folder
        self._period = period
        self._reactor = reactor
        self._now = now
        self._open = reader
        self._reader: JournalReader | None = None
        self._call: IDelayedCall | None = None
        self._places: deque[tuple[float, Position]] = deque()
        self._judged_to = Position()  # what is before was judged already, by another process
        self._saved_at = self._latest = float("-inf")
        self._changed = False
        self._skipped = 0
        self._troubles: dict[str, str] = {}

    def start(self) -> None:
        """Begin: go on where it was stopped, if it ever was."""
        self._restore()
        for each in self._receivers():
            each.start()
        self._turn()

    def stop(self) -> None:
        """End; what was not sent is sent the next time."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        for each in self._receivers():
            each.stop()
        self._save()
        if self._reader is not None:
            self._reader.close()

    def change(self) -> None:
        """What has to outlast the process is another: it is saved at the end of the turn."""
        self._changed = True

    def state(self) -> dict[str, Any]:
        """How alerts stand by name, as an object for JSON."""
        return {each.name: each.state() for each in self._watching}

    # -- reading -----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Read on; and once there is nothing new, look at the clock."""
        self._call = None
        now = self._now()
        if now < self._latest - _SET_BACK:
            for each in self._watching:
                each.machine.set_back(now)
            self._places.clear()
        self._latest = now
        lines = self._read()
        if not lines:
            for each in self._watching:
                self._changed |= each.advance(now)
        for each in self._watching:
            self._changed |= each.tell(now)
        self._remember(now)
        if self._changed or not 0 <= now - self._saved_at < _SAVED:
            self._save()
        self._call = self._reactor.callLater(0 if lines else _POLL, self._turn)

    def _read(self) -> bool:
        """Take what is new; whether there was anything."""
        try:
            lines, judged = self._lines()
        except OSError as error:
            self._complain("read", f"the journal cannot be read: {error}")
            return False
        self._troubles.pop("read", None)
        for event, time in events_of(lines, self._now()):
            for each in self._watching:
                try:
                    if judged:
                        each.recall(event, time)
                    else:
                        self._changed |= each.take(event, time)
                except Exception as error:  # one event, whatever it holds, is no reason to look at no other
                    self._complain("take", f"[alert {each.name}] cannot look at an event: {error!r}")
        self._look_for_gaps()
        return bool(lines)

    def _look_for_gaps(self) -> None:
        """Say that events were deleted before they were looked at, if any were."""
        skipped = 0 if self._reader is None else self._reader.skipped
        if skipped > self._skipped:
            _log.warn("alerts: files of the journal were deleted, or unreadable, before they were looked at")
        self._skipped = skipped

    def _lines(self) -> tuple[list[bytes], bool]:
        """The next lines, and whether they were judged before: either all of them were, or none.

        :raises OSError: if the journal cannot be read.
        """
        if self._reader is None:
            place = self._places[0][1] if self._places else beginning(self._folder, self._now())
            self._reader = self._open(self._folder, place)
        before, end = self._reader.position, self._judged_to
        if before >= end:
            return self._reader.read(_AT_ONCE), False
        rest = end.offset - before.offset if before.segment == end.segment else _AT_ONCE
        lines = self._reader.read(min(_AT_ONCE, rest))
        after = self._reader.position
        if not lines:
            self._judged_to = min(after, end)  # the journal is another, and does not go as far
        if after <= end:
            return lines, True
        if after.segment > end.segment or not end.offset:
            return lines, False
        self._reader.close()  # it has gone over into that segment: once more, but only so far
        self._reader = self._open(self._folder, Position(end.segment))
        return self._reader.read(min(_AT_ONCE, end.offset)), True

    def _remember(self, now: float) -> None:
        """Know places to begin at: the first is before the longest window."""
        if self._reader is None:
            return
        position = self._reader.position
        if position < self._judged_to:
            return
        if not self._places or not 0 <= now - self._places[-1][0] < self._period / _PLACES:
            self._places.append((now, position))
        while len(self._places) > 1 and self._places[1][0] < now - self._period:
            self._places.popleft()

    # -- what outlasts the process -----------------------------------------------------------------------------------

    def _save(self) -> None:
        if self._reader is None or self._reader.position < self._judged_to:
            return
        self._saved_at, self._changed = self._now(), False
        value = {
            "version": 1,
            "time": self._saved_at,
            "position": self._reader.position.as_json(),
            "places": [[time, place.as_json()] for time, place in self._places],
            "alerts": {each.name: each.as_json() for each in self._watching},
        }
        path = self._folder / FILE
        new = path.with_suffix(".new")
        try:
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
                json.dump(value, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except OSError as error:
            self._complain("write", f"{path} cannot be written: {error}")
        else:
            self._troubles.pop("write", None)

    def _restore(self) -> None:
        path = self._folder / FILE
        try:
            value = json.loads(path.read_text(encoding="ascii"))
            time, position = float(value["time"]), Position.from_json(value["position"])
            places = [(float(at), Position.from_json(place)) for at, place in value["places"]]
            kept: Mapping[str, Any] = dict(value["alerts"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            _log.warn("alerts begin anew: {path} cannot be read: {error}", path=path, error=error)
            return
        self._judged_to, self._latest = position, time
        self._places.extend(places or [(time, position)])
        for each in self._watching:
            try:
                if each.name in kept:
                    each.restore(kept[each.name], time)
            except (ValueError, OverflowError) as error:
                _log.warn("[alert {name}] begins anew: {error}", name=each.name, error=error)

    def _receivers(self) -> Iterator[Any]:
        return (receiver.outbox for each in self._watching for receiver in each.receivers)

    def _complain(self, what: str, reason: str) -> None:
        if self._troubles.get(what) != reason:
            self._troubles[what] = reason
            _log.error("alerts: {reason}", reason=reason)
