"""Which counts are not certain, of recorded requests of which not everything is known.

Law: what a section counts is certain only if it is certain of every request in its window that it may have counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import define, field

from edgenode.config.load import Configuration
from edgenode.model.decision import Action, Decision
from edgenode.model.exchange import Exchange
from edgenode.policy.acl import Profile
from edgenode.policy.actions import refuses
from edgenode.policy.counting import Counting
from edgenode.policy.dynamicrules import DynamicRule
from edgenode.policy.flows import Flow
from edgenode.policy.keys import Part
from edgenode.policy.ratelimits import RateLimit
from edgenode.policy.tagging import HUMAN
from edgenode.proxy.routing import ServedPathMap
from edgenode.rules.formulas import Formula
from edgenode.rules.matching.certainty import Certainty, NotKnown, Unknown
from edgenode.rules.section_formulas import formula_of
from edgenode.rules.tags import canonical
from edgenode.simulation.counted import CountingSection, counting_sections, exempted, holds_in, parts_of
from edgenode.simulation.heard_state import HeardState

_FAMILIES: Mapping[type[CountingSection], str] = {Flow: "flow", DynamicRule: "dynamic-rule", RateLimit: "limit"}


@define(eq=False)
class DoubtfulCounts:
    """Keeps for each section until when its counts are not certain, and for want of what.

    :ivar state: what counts.
    """

    _configuration: Configuration
    state: HeardState
    _sections: Mapping[str, CountingSection] = field(init=False)
    _steps: Mapping[str, Formula] = field(init=False)
    _unsure: dict[str, tuple[float, Unknown]] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        configuration = self._configuration
        self._sections = dict(counting_sections(configuration))
        definitions = configuration.rules.definitions
        names = {step for flow in configuration.flows.values() if flow.active for step in flow.steps}
        self._steps = {name: formula_of(configuration.sections[name], definitions, name) for name in names}

    def depending(
        self, path_map: ServedPathMap, decision: Decision, probe: Exchange, possible: Mapping[str, Unknown], time: float
    ) -> Mapping[str, Unknown]:
        """The sections behind the filters that are not certain, by their headers, each with what it depends on.

        :param probe: with the tags that the request certainly has before anything is counted; it raises
            :class:`~edgenode.rules.matching.certainty.NotKnown` where something is asked that is not known.
        :param possible: the tags that it may have besides, each with what that depends on.
        :param time: of the request, seconds since the epoch.
        """
        asked = {stage for stage, _ in decision.timings}
        found: dict[str, Unknown] = {}
        possible = dict(possible)
        section = self._configuration.path_maps[path_map.name]
        for header, each in self._sections.items() if Counting.name in asked else ():
            name = header.partition(" ")[2]
            if not holds_in(each, name, section) or exempted(each, decision.exempt):
                continue
            missing = self._missing(each, probe, possible)
            if missing:
                self._unsure[header] = time + _span(each), missing
            elif self._unsure.get(header, (0.0, missing))[0] > time and self._counted(header):
                missing = self._unsure[header][1]
            if missing:
                found[header] = missing
                for tag in (canonical(f"{_FAMILIES[type(each)]}:{name}"), *each.tags):
                    possible[tag] = possible.get(tag, missing) | missing
        profile = next((stage for stage in path_map.pipeline.stages if isinstance(stage, Profile)), None)
        if profile is not None and Profile.name in asked:
            lists = self._configuration.acl_profiles[profile.profile].lists()
            doubtful = [possible[tag] for tags in lists.values() for tag in tags if tag in possible]
            if HUMAN in possible and not decision.tags.isdisjoint(lists["deny-bot"]):
                doubtful.append(possible[HUMAN])
            if doubtful:
                found[f"acl-profile {profile.profile}"] = frozenset[str]().union(*doubtful)
        return found

    def doubt(self, time: float, missing: Unknown) -> None:
        """What was counted for the last request may not have been counted.

        :param time: of the request.
        :param missing: what that depends on.
        """
        for header, section in self._sections.items():
            if self._counted(header):
                self._unsure[header] = time + _span(section), missing

    def actions(self, header: str) -> Iterator[Action]:
        """What a section can refuse requests with."""
        actions = self._configuration.rules.actions
        section = self._sections.get(header)
        if isinstance(section, Flow):
            return
        proposing = section or self._configuration.acl_profiles[header.partition(" ")[2]]
        yield from (actions[name] for name in proposing.proposes if refuses(actions[name]))

    def _counted(self, header: str) -> bool:
        names = (call.counter.name for call in self.state.calls)
        return any(name == header or name.startswith(f"{header} ") for name in names)

    def _missing(self, section: CountingSection, probe: Exchange, possible: Mapping[str, Unknown]) -> Unknown:
        """What it depends on whether, and as what, a request is counted; nothing if that is certain."""
        found: set[str] = set()
        if section.include and probe.tags.isdisjoint(section.include):
            maybe = [possible[tag] for tag in section.include if tag in possible]
            if not maybe:
                return frozenset()
            found.update(*maybe)
        if not probe.tags.isdisjoint(section.exclude):
            return frozenset()
        found.update(*(possible[tag] for tag in section.exclude if tag in possible))
        if isinstance(section, Flow):
            certainty = Certainty(probe, possible)
            answers = [certainty.of(self._steps[step]) for step in dict.fromkeys(section.steps)]
            if not any(answers):
                return frozenset()
            found.update(*(answer for answer in answers if isinstance(answer, frozenset)))
        counts = None if isinstance(section, Flow) else section.count.part
        for part in (*parts_of(section), *([] if counts is None else [counts])):
            found |= _unread(part, probe)
        return frozenset(found)


def _unread(part: Part, probe: Exchange) -> Unknown:
    try:
        part.values(probe)
    except NotKnown as unknown:
        return frozenset((unknown.what,))
    return frozenset()


def _span(section: CountingSection) -> float:
    """For how long what it has counted matters, seconds."""
    if isinstance(section, Flow):
        return section.within
    longest = max(line.period for line in section.limit)
    return longest + (section.hold if isinstance(section, DynamicRule) else section.ban)
