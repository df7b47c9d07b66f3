"""What a configuration would have decided for recorded requests, and what changes from one to another.

Law: a verdict is told only if it is certain. Where a rule reads what the events do not hold, and it matters, that is
counted apart and named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import IO, Any

from attrs import define, field, frozen

from edgenode.config.load import Configuration
from edgenode.model.decision import Action, Close, Decision, Forward, Outcome, Respond
from edgenode.model.exchange import Body, Exchange
from edgenode.policy.actions import TYPES
from edgenode.policy.challenge import Challenge
from edgenode.policy.explaining import Filters
from edgenode.policy.globalfilters import GlobalFilters
from edgenode.policy.tagging import BOT, HUMAN
from edgenode.policy.uncertainty import UncertainFilters
from edgenode.proxy.routing import ServedGroup, ServedPathMap
from edgenode.rules.formulas import Formula
from edgenode.rules.matching.certainty import Certainty, NotKnown, Unknown
from edgenode.rules.section_formulas import formula_of
from edgenode.simulation.doubtful_counts import DoubtfulCounts
from edgenode.simulation.overhearing import (
    KINDS_BEHIND,
    all_own,
    automatic_tags,
    before_filters,
    challenge_tags,
    filters_judged,
    own_stages,
)
from edgenode.simulation.recorded import LONGEST_LINE, NoEvent, NotJudged, Recorded, Verdict
from edgenode.simulation.simulator import Judged, NetworkNeeded, Simulator


@frozen
class Certain:
    """A verdict that is certain.

    :ivar verdict: the verdict.
    :ivar filter: the filter whose action is taken, empty for none.
    """

    verdict: Verdict
    filter: str = ""


@frozen
class NotCertain:
    """A verdict that depends on what is not known.

    :ivar missing: what that is.
    :ivar filters: the filters, and other rules, that look at it.
    """

    missing: Unknown
    filters: tuple[str, ...] = ()


Answer = Certain | NotCertain

_SOLVED = frozenset(("the solution of a challenge",))


class Replayer:
    """A configuration that judges recorded requests."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._simulator = Simulator.of(configuration)
        definitions = configuration.rules.definitions
        self._filters = Filters.of(configuration.global_filters, definitions, configuration.contents.feeds)
        self._doubts = UncertainFilters(self._filters)
        self._counts = DoubtfulCounts(configuration, self._simulator.state)
        self._masks = configuration.masks()
        self._path_maps: Mapping[str, Formula] = {
            name: formula_of(section, definitions, name) for name, section in configuration.path_maps.items()
        }

    def group(self, recorded: Recorded) -> ServedGroup | None:
        """The server group under whose policy the connection would have been judged."""
        return self._simulator.group(self._listener(recorded), recorded.connection)

    def _listener(self, recorded: Recorded) -> str:
        """Its listener; if there is none of that name, the first that would serve the connection."""
        known = recorded.listener in self._configuration.listeners
        return recorded.listener if known else self._simulator.listener_for(recorded.connection)

    def place(self, recorded: Recorded) -> Mapping[str, str]:
        """What to find it by, without what is masked now."""
        if not self._masks:
            return recorded.place
        target = self._masks.masked(recorded.head).target.decode("latin-1")
        return {**recorded.place, "target": target}

    def judge(self, recorded: Recorded) -> Answer:
        """The verdict on a recorded request."""
        group = self.group(recorded)
        if recorded.unsure:
            return NotCertain(frozenset((recorded.unsure,)))
        if group is None:
            return Certain(Verdict("refused", 421))
        try:
            judged = self.judged(recorded, group)
        except NetworkNeeded:
            return NotCertain(frozenset(("the network",)))
        if judged.refusal is not None:
            return self._refused(judged, judged.refusal.status, recorded)
        return self._route(judged, recorded.probe(judged.exchange)) or self._decided(judged, recorded)

    def judged(self, recorded: Recorded, group: ServedGroup) -> Judged:
        """What the simulator makes of it, with something in the place of what is not known.

        :raises NetworkNeeded: if a stage waits for the network.
        """
        listener = self._listener(recorded)
        client = self._simulator.client(listener, recorded.connection, group, recorded.time, settled=True)
        body = Body(b"", recorded.head.length or 0)
        for stage in all_own(self._simulator.configuration):
            stage.probe = recorded.probe
        return self._simulator.judge(client, recorded.head, body, recorded.client)

    def _refused(self, judged: Judged, status: int, recorded: Recorded) -> Answer:
        verdict = Verdict("refused", status)
        if status in (495, 496) and not verdict.same(recorded.verdict):
            return NotCertain(frozenset(("certificate",)))  # who was let in was judged by others, or not asked
        if status in (404, 503):  # no path map matches, or one cannot be judged
            return self._route(judged, recorded.probe(judged.exchange)) or Certain(verdict)
        return Certain(verdict)

    def _route(self, judged: Judged, probe: Exchange) -> NotCertain | None:
        """What the choice of the path map depends on, if that is not known."""
        if judged.group is None:
            return None
        for path_map in judged.group.path_maps:
            answer = Certainty(probe).of(self._path_maps[path_map.name])
            if isinstance(answer, frozenset):
                return NotCertain(answer, (f"path map {path_map.name}",))
            if answer:
                break
        return None

    def _decided(self, judged: Judged, recorded: Recorded) -> Answer:
        decision, path_map = judged.decision, judged.path_map
        assert path_map is not None
        own = own_stages(path_map.pipeline)
        for stage in own:
            if stage.missing:
                return NotCertain(stage.missing, (f"stage {stage.name}",))
        matched = [why.filter for why in decision.reasons if why.stage == GlobalFilters.name and why.filter]
        depending: Mapping[str, Unknown] = {}
        if any(why.stage == GlobalFilters.name and not why.filter for why in decision.reasons):
            return NotCertain(frozenset(("what a field fails for",)), (GlobalFilters.name,))
        sure, possible = frozenset[str](), dict[str, Unknown]()
        if filters_judged(decision):
            automatic = automatic_tags(path_map.pipeline, judged.exchange)
            sure = automatic.union(*(stage.said.tags for stage in before_filters(path_map.pipeline)))
            solved = challenge_tags(path_map.pipeline, judged.exchange)
            if HUMAN in solved or recorded.human is False:  # who was a bot then is one now
                sure |= solved
            elif solved:  # without its cookie nobody knows
                possible |= {HUMAN: _SOLVED, BOT: _SOLVED}
            depending = self._doubts.depending(recorded.probe(judged.exchange.tagged(sure)), matched, possible)
            sections = self._filters.filters
            sure = sure.union(*(sections[name].tags for name in matched if name not in depending))
            for tag, missing in ((tag, depending[name]) for name in depending for tag in sections[name].tags):
                if tag not in sure:
                    possible[tag] = possible.get(tag, missing) | missing
        probe = recorded.probe(judged.exchange.tagged(sure))
        behind = self._counts.depending(path_map, decision, probe, possible, recorded.time)
        self._tell(decision, recorded)
        certain = ((self._proposal(name), name) for name in matched if name not in depending)
        # Where another stage proposes an action, what is not certain of a filter matters if it could win.
        proposed = [(action, name) for action, name in certain if action is not None and not action.exempts]
        proposed += [(stage.said.action, f"stage {stage.name}") for stage in own if stage.said.action is not None]
        proposed += [each for each in self._proposed_behind(decision) if each[1] not in behind]
        winner, by = max(proposed, key=lambda each: each[0].strength, default=(None, ""))  # the first of the strongest
        mattering = {name: depending[name] for name in depending if self._matters(name, winner, by)}
        if any(self._skips(name) for name in mattering):
            self._counts.doubt(recorded.time, frozenset[str]().union(*mattering.values()))
        mattering |= {header: behind[header] for header in behind if self._may_win(header, winner)}
        if mattering:
            return NotCertain(frozenset[str]().union(*mattering.values()), tuple(mattering))
        if not depending and not behind:
            winner = decision.action
        if isinstance(winner, Challenge) and HUMAN in possible:
            return NotCertain(_SOLVED, (by,))
        return self._verdict(judged, recorded, winner, by)

    def _tell(self, decision: Decision, recorded: Recorded) -> None:
        """Have counted what the origin answered, if it was asked then and is here."""
        if not decision.after or (decision.mode == "block" and decision.action is not None and decision.action.skips):
            return
        if recorded.answer is None:
            self._counts.doubt(recorded.time, frozenset(("the answer of the origin",)))
            return
        for each in decision.after:
            each.responded(*recorded.answer)

    def _proposed_behind(self, decision: Decision) -> Iterator[tuple[Action, str]]:
        """The actions that stages behind the filters propose, each with the header of its section."""
        for why in decision.reasons:
            if why.stage in KINDS_BEHIND and why.action:
                known = self._configuration.rules.actions.get(why.action, decision.action)
                if known is not None:
                    yield known, f"{KINDS_BEHIND[why.stage]} {why.filter}".strip()

    def _skips(self, name: str) -> bool:
        """Whether a filter keeps what counts from being asked."""
        action = self._proposal(name)
        return action is not None and (action.skips or bool(action.exempts))

    def _may_win(self, header: str, winner: Action | None) -> bool:
        """Whether it makes a difference what a section behind the filters has counted."""
        actions = list(self._counts.actions(header))
        return any(winner is None or each.strength > winner.strength or each.name == winner.name for each in actions)

    def _proposal(self, name: str) -> Action | None:
        proposed = self._filters.filters[name].action
        return None if proposed is None else self._configuration.rules.actions[proposed]

    def _matters(self, name: str, winner: Action | None, by: str) -> bool:
        """Whether it makes a difference to what becomes of the request that a filter matches."""
        action = self._proposal(name)
        if action is None:
            return False
        if action.exempts or winner is None:
            return True
        names = list(self._filters.filters)
        earlier = action.strength == winner.strength and (by not in names or names.index(name) < names.index(by))
        return action.name != winner.name and (action.strength > winner.strength or earlier)

    def _outcome(self, winner: Action, exchange: Exchange, recorded: Recorded) -> Outcome:
        """What comes of an action: that of a type that is built in depends on nothing that may not be known."""
        built_in = type(winner) in TYPES.values()
        return Decision(action=winner).outcome(exchange if built_in else recorded.probe(exchange))

    def _verdict(self, judged: Judged, recorded: Recorded, winner: Action | None, by: str) -> Answer:
        exchange, decision, path_map = judged.exchange, judged.decision, judged.path_map
        assert path_map is not None and exchange.request is not None
        try:
            outcome = Forward() if winner is None else self._outcome(winner, exchange.tagged(decision.tags), recorded)
        except NotKnown as unknown:
            return NotCertain(frozenset((unknown.what,)), (by,))
        unmeasured, most = _unmeasured(recorded, path_map), path_map.max_body_size
        if isinstance(outcome, Respond | Close) and winner is not None and decision.mode == "block":
            if unmeasured and path_map.pipeline.inspects >= most:
                return NotCertain(frozenset(("body",)))  # it may be cut off before it is judged
            return Certain(Verdict(winner.name, outcome.response.status if isinstance(outcome, Respond) else 444), by)
        length = exchange.request.length
        if length is not None and length > most:
            return Certain(Verdict("refused", 413))
        if unmeasured:
            return NotCertain(frozenset(("body",)))
        if winner is None:
            return Certain(Verdict("forward"))
        return Certain(Verdict(winner.name, 0, "" if decision.mode == "block" else decision.mode), by)


def _unmeasured(recorded: Recorded, path_map: ServedPathMap) -> bool:
    """Whether a body whose length nobody told may have been too large: as much of it was read as was then allowed."""
    refused = recorded.verdict == Verdict("refused", 413)
    return recorded.head.length is None and (refused or recorded.received > path_map.max_body_size)


_NAMES = {"changed": ("before", "after", "filters"), "not_certain": ("missing", "rules"), "passed_over": ("why",)}
"""The kinds of results that are counted, and the names of what each count is for."""


@define
class Tally:
    """Counts of the results of many events.

    :ivar examples: how many to keep with each count.
    :ivar same: events with the same verdict.
    """

    examples: int
    same: int = 0
    _counts: dict[str, dict[tuple[str, ...], list[Any]]] = field(factory=lambda: {kind: {} for kind in _NAMES})

    def count(self, kind: str, key: tuple[str, ...], example: object) -> None:
        """Count one more.

        :param kind: ``changed``, ``not_certain`` or ``passed_over``.
        """
        entry = self._counts[kind].setdefault(key, [0])
        entry[0] += 1
        if len(entry) <= self.examples:
            entry.append(example)

    def compare(self, before: Answer, after: Answer, place: Mapping[str, str]) -> None:
        """Count a request that was judged twice."""
        for answer in (before, after):
            if isinstance(answer, NotCertain):
                self.count("not_certain", (", ".join(sorted(answer.missing)), ", ".join(answer.filters)), place)
                return
        assert isinstance(before, Certain) and isinstance(after, Certain)
        if before.verdict.same(after.verdict):
            self.same += 1
            return
        by = " -> ".join(dict.fromkeys(name for name in (before.filter, after.filter) if name))
        self.count("changed", (str(before.verdict), str(after.verdict), by), place)

    def told(self) -> dict[str, Any]:
        """All of it, as JSON has it; what came most often first."""
        told: dict[str, Any] = {"same": self.same}
        for kind, names in _NAMES.items():
            entries = sorted(self._counts[kind].items(), key=lambda each: -each[1][0])
            told[kind] = [
                dict(zip(names, key, strict=True)) | {"count": number, "examples": examples}
                for key, (number, *examples) in entries
            ]
        return told


def replay(lines: Iterator[tuple[int, str]], of: Replayer, against: Replayer | None, tally: Tally) -> None:
    """Judge every event of a file.

    :param against: the configuration that it is compared with; without one it is compared with what was recorded.
    """
    for number, line in lines:
        try:
            if len(line) > LONGEST_LINE:
                raise NoEvent("longer than any event")
            recorded = Recorded.of(line)
        except NotJudged as why:
            tally.count("passed_over", (str(why),), f"line {number}")
        except NoEvent as why:
            tally.count("passed_over", ("not read",), f"line {number}: {why}")
        else:
            first, place = of.judge(recorded), of.place(recorded)
            if against is None:
                tally.compare(Certain(recorded.verdict, recorded.filter), first, place)
            elif _other_terms(of, against, recorded):
                tally.compare(NotCertain(frozenset(("certificate",))), first, place)
            else:
                tally.compare(first, against.judge(recorded), place)


def _other_terms(of: Replayer, against: Replayer, recorded: Recorded) -> bool:
    """Whether a client that two configurations judge differently was recorded as only one of them would see it."""
    one, other = of.group(recorded), against.group(recorded)
    if one is None or other is None or one.policy == other.policy:
        return False
    return recorded.connection.client is not None or (one.group.mtls == "off") != (other.group.mtls == "off")


def missed(told: Mapping[str, Any], uncertain: bool) -> str:
    """What speaks against every verdict being the same, or nothing. Of what cannot be told nobody knows that it is.

    :param told: the results.
    :param uncertain: whether verdicts that are not certain are let pass.
    """
    found = [f"{sum(each['count'] for each in told['changed'])} changed"] if told["changed"] else []
    if told["not_certain"] and not uncertain:
        found.append(f"{sum(each['count'] for each in told['not_certain'])} not certain")
    unread = sum(each["count"] for each in told["passed_over"] if each["why"] == "not read")
    found += [f"{unread} not read"] if unread else []
    found += ["no event was compared"] if not told["same"] and not found else []
    return ", ".join(found)


def read(file: IO[bytes]) -> Iterator[tuple[int, str]]:
    """The lines of a file with their numbers; of a line that is too long only its beginning is kept in memory."""
    number = 0
    while line := file.readline(LONGEST_LINE + 2):
        number += 1
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(LONGEST_LINE)):
            pass
        if line.strip():
            yield number, line.decode("utf-8", "replace")
