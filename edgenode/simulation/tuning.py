"""Tuning of content filters: which exclusions would silence what they refused in recorded requests, as lines of INI.

Law: an exclusion is as narrow as it can be, a rule and what it looked at, and of each it is said what it would let
through besides. Nothing is judged anew: an event says which rules matched and where, the configuration what they count.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from attrs import define, field, frozen

from edgenode.policy.contentfilter.exclusions import EXCLUDABLE
from edgenode.simulation.recorded import LONGEST_LINE
from edgenode.simulation.scoring import Scoring

STAGE = "content-filter"
"""The stage whose reasons are looked at."""

_ENTRY = re.compile(r"(\d+)(?: (\S.*))?")
_WORDS = {variable: word for word, variables in EXCLUDABLE.items() for variable in variables}
_MANY = 3
"""Lines of a kind from which on one that is wider is told too."""

_CLIENTS = 1000
"""Clients of a kind of event that are told apart."""


@frozen(order=True)
class Line:
    """A line of ``exclude``.

    :ivar rules: the number of a rule, or ``tag:`` and a tag.
    :ivar what: what they do not look at, as the section writes it; empty if the rules are left out.
    """

    rules: str
    what: str = ""

    def __str__(self) -> str:
        return f"{self.rules} {self.what}".rstrip()

    def covers(self, fired: Fired, tags: Mapping[int, tuple[str, ...]]) -> bool:
        """Whether with it a rule would not have matched."""
        mine = self.rules == str(fired.rule) or self.rules.removeprefix("tag:") in tags.get(fired.rule, ())
        return mine and self.what in ("", fired.what)


@frozen(order=True)
class Fired:
    """A rule that matched.

    :ivar rule: its number.
    :ivar what: where, as ``exclude`` writes it; empty where that cannot be excluded.
    """

    rule: int
    what: str

    @classmethod
    def of(cls, entry: str) -> Fired | None:
        """From the entry of a reason, such as ``942100 ARGS:q``; ``None`` if it is none."""
        found = _ENTRY.fullmatch(entry)
        return None if found is None else cls(int(found[1]), excludable(found[2] or ""))

    @property
    def line(self) -> Line:
        """The narrowest line that silences it."""
        return Line(str(self.rule), self.what)


def excludable(variable: str) -> str:
    """How ``exclude`` writes a variable, such as ``argument.q`` for ``ARGS:q``; empty if it cannot."""
    collection, _, key = variable.partition(":")
    word = _WORDS.get(collection.upper(), "")
    if not word or not key or word in ("path", "uri", "query", "body", "method", "xml"):
        return word
    return f"{word}.{key}" if re.fullmatch(r"[!-.0-~]+", key) else f"{word}./^{_pattern(key)}$/"


def _pattern(text: str) -> str:
    data = text.encode("utf-8", "surrogateescape")  # expressions of SecLang match bytes
    return "".join(chr(each) if bytes((each,)).isalnum() else f"\\x{{{each:x}}}" for each in data)


@frozen
class Kind:
    """Events of a kind: on one path map the same rules matched in the same places.

    :ivar chosen: whether they are among those that are to be let through.
    """

    path_map: str
    fired: tuple[Fired, ...]
    chosen: bool


@define
class Count:
    """How many they are, of which clients, and one of them."""

    example: Mapping[str, str]
    events: int = 0
    clients: set[str] = field(factory=set)


@frozen
class Proposal:
    """A line, and what comes of it beside the lines that are proposed with it.

    :ivar silences: events that would no longer be refused, in which no other rule matched.
    :ivar clients: clients of these.
    :ivar besides: events that would no longer be refused though other rules matched, or though they were not chosen.
    :ivar path_maps: the path maps of all of them.
    :ivar example: one of the events that it silences.
    :ivar other: one of those besides.
    """

    line: Line
    silences: int
    clients: int
    besides: int
    path_maps: tuple[str, ...]
    example: Mapping[str, str]
    other: Mapping[str, str]


@frozen
class Summary:
    """What lines do together.

    :ivar refused: events that were refused.
    :ivar silences: those that would not be, in which no other rule matched.
    :ivar besides: those that would not be though other rules matched, or though they were not chosen.
    """

    refused: int
    silences: int
    besides: int


@define
class Tuning:
    """What content filters refused, counted event by event.

    :ivar scorings: what the rules of each filter count.
    :ivar chosen: which events are to be let through.
    :ivar refused: the kinds of events of each filter, with their numbers.
    """

    scorings: Mapping[str, Scoring]
    chosen: Callable[[Mapping[str, Any]], bool]
    refused: dict[str, dict[Kind, Count]] = field(factory=dict)

    def take(self, event: Mapping[str, Any]) -> None:
        """Count an event, as :mod:`json` reads it; those that no content filter refused are passed over."""
        for name, fired in _by_filter(event).items():
            scoring = self.scorings.get(name)
            counting = () if scoring is None else tuple(sorted(each for each in fired if scoring.scores.get(each.rule)))
            if scoring is None or _total(counting, scoring) < scoring.threshold:
                continue
            kind = Kind(str(event.get("path_map", "")), counting, self.chosen(event))
            count = self.refused.setdefault(name, {}).setdefault(kind, Count(_place(event)))
            count.events += 1
            if len(count.clients) < _CLIENTS:
                count.clients.add(str(event.get("client", "")))

    def take_line(self, line: str) -> None:
        """Count what a line says, if it is an event."""
        if len(line) > LONGEST_LINE:
            return
        with contextlib.suppress(ValueError, RecursionError):
            event = json.loads(line)
            if isinstance(event, dict):
                self.take(event)

    def proposals(self, name: str, at_least: int, clients: int = 1) -> list[Proposal]:
        """The lines for a filter, those that silence most first.

        :param at_least: in how many chosen events a rule has to have matched in a place for a line.
        :param clients: of how many clients: one alone may have tried an attack twice.
        """
        kinds, scoring = self.refused.get(name, {}), self.scorings[name]
        seen: Counter[Line] = Counter()
        senders = defaultdict[Line, set[str]](set)
        for kind, count in kinds.items():
            seen.update({each.line: count.events for each in kind.fired if kind.chosen})
            for each in kind.fired if kind.chosen else ():
                senders[each.line] |= count.clients
        lines: list[Line] = []
        passing: list[Kind] = []
        for kind in sorted(kinds, key=lambda each: (len(each.fired), -kinds[each].events, each.fired)):
            needed = list(_needed(kind, lines, scoring)) if kind.chosen else []
            if kind.chosen and all(seen[each] >= at_least and len(senders[each]) >= clients for each in needed):
                lines += needed
                passing.append(kind)
        for line in lines[::-1]:  # what later ones have made needless
            without = [each for each in lines if each != line]
            lines = without if all(_passes(each, without, scoring) for each in passing) else lines
        found = [_proposal(each, lines, kinds, scoring) for each in lines]
        return sorted(found, key=lambda each: (-each.silences, each.besides, each.line))

    def summary(self, name: str, lines: Collection[Line]) -> Summary:
        """What a filter refused, and what it would with further lines of ``exclude``."""
        scoring, total, silent, besides = self.scorings[name], 0, 0, 0
        for kind, count in self.refused.get(name, {}).items():
            total += count.events
            left = _left(kind, lines, scoring)
            if _passes(kind, lines, scoring):
                silent += count.events if _silent(kind, left) else 0
                besides += 0 if _silent(kind, left) else count.events
        return Summary(total, silent, besides)

    def wider(self, name: str, proposals: Collection[Proposal]) -> list[Proposal]:
        """Lines that stand for several of those: a rule as a whole, or all rules of a tag in one place."""
        kinds, scoring = self.refused.get(name, {}), self.scorings[name]
        lines = [each.line for each in proposals]
        found = []
        for line in sorted(_wider(lines, scoring)):
            kept = [each for each in lines if not _within(each, line, scoring)]
            if len(lines) - len(kept) >= _MANY:
                found.append(_proposal(line, [*kept, line], kinds, scoring))
        return found


def _by_filter(event: Mapping[str, Any]) -> dict[str, set[Fired]]:
    found: dict[str, set[Fired]] = {}
    reasons = event.get("reasons")
    for each in reasons if isinstance(reasons, list) else ():
        if isinstance(each, dict) and each.get("stage") == STAGE:
            fired = Fired.of(str(each.get("entry", "")))
            if fired is not None:
                found.setdefault(str(each.get("filter", "")), set()).add(fired)
    return found


def _place(event: Mapping[str, Any]) -> dict[str, str]:
    request = event.get("request")
    known = request if isinstance(request, dict) else {}
    told = {name: str(event.get(name, "")) for name in ("time", "id", "client")}
    return told | {name: str(known.get(name, "")) for name in ("method", "authority", "target")}


def _total(fired: Iterable[Fired], scoring: Scoring) -> int:
    return sum(scoring.scores.get(each.rule, 0) for each in fired)


def _left(kind: Kind, lines: Collection[Line], scoring: Scoring) -> list[Fired]:
    """What still matches."""
    return [each for each in kind.fired if not any(line.covers(each, scoring.tags) for line in lines)]


def _passes(kind: Kind, lines: Collection[Line], scoring: Scoring) -> bool:
    """Whether it would not be refused."""
    return _total(_left(kind, lines, scoring), scoring) < scoring.threshold


def _silent(kind: Kind, left: Collection[Fired]) -> bool:
    """Whether nothing speaks for an attack."""
    return kind.chosen and not left


def _needed(kind: Kind, lines: Collection[Line], scoring: Scoring) -> Iterator[Line]:
    """The fewest further lines with which events of a kind are let through; none if they are, or if that needs more
    than that rules do not look somewhere."""
    left = _left(kind, lines, scoring)
    for each in sorted(left, key=lambda each: (-scoring.scores[each.rule], each)):
        if _total(left, scoring) < scoring.threshold:
            return
        left.remove(each)
        yield each.line


def _proposal(line: Line, lines: Collection[Line], kinds: Mapping[Kind, Count], scoring: Scoring) -> Proposal:
    without = [each for each in lines if each != line]
    silences = besides = 0
    clients: set[str] = set()
    path_maps: dict[str, None] = {}
    example: Mapping[str, str] = {}
    other: Mapping[str, str] = {}
    for kind, count in kinds.items():
        if not _passes(kind, lines, scoring) or _passes(kind, without, scoring):
            continue
        path_maps[kind.path_map] = None
        if _silent(kind, _left(kind, lines, scoring)):
            silences += count.events
            clients |= count.clients
            example = example or count.example
        else:
            besides += count.events
            other = other or count.example
    return Proposal(line, silences, len(clients), besides, tuple(path_maps), example, other)


def _wider(lines: Collection[Line], scoring: Scoring) -> Iterator[Line]:
    yield from {Line(each.rules) for each in lines}
    tags = {(tag, each.what) for each in lines for tag in scoring.tags.get(int(each.rules), ()) if each.what}
    yield from {Line(f"tag:{tag}", what) for tag, what in tags if tag.startswith("attack-")}


def _within(line: Line, wider: Line, scoring: Scoring) -> bool:
    return wider.covers(Fired(int(line.rules), line.what), scoring.tags)
