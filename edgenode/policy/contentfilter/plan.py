"""In which order the rules of some phases are asked, and from where: the way from a request to a verdict that is short.

Law: until a rule matches that looks at the request, all requests are alike; so what the rules between do is known, and
nothing is asked but the rules that may match. From the first that matches on, all is as the interpreter has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from edgenode.policy.contentfilter.dependencies import CAPTURED, Dependencies, Names, of_link
from edgenode.policy.contentfilter.evaluation import SLICE, Run
from edgenode.policy.contentfilter.folding import NO_EXCHANGE
from edgenode.policy.contentfilter.interpreter import Step, is_out, judging
from edgenode.policy.contentfilter.prefilter import Prefilter
from edgenode.policy.contentfilter.quick import Quick, always, quick


@frozen
class _State:
    """What is so before a rule is asked, as long as none has matched that looks at the request.

    :ivar reached: whether it is asked at all.
    :ivar tx: the variables.
    """

    reached: bool
    tx: Mapping[str, bytes]


@frozen(eq=False)
class Plan:
    """The rules of some phases.

    :ivar phases: those phases.
    :ivar steps: all rules, in the order of phases.
    """

    phases: tuple[int, ...]
    steps: tuple[Step, ...]
    _bounds: Mapping[int, tuple[int, int]]
    _inner: frozenset[int]
    _states: tuple[_State, ...]
    _prefilter: Prefilter
    _numbers: tuple[int, ...]
    _quick: tuple[tuple[int, Quick], ...]
    _forced: frozenset[int]
    _leaking: frozenset[int]

    @classmethod
    def of(
        cls,
        phases: tuple[int, ...],
        steps: Mapping[int, Sequence[Step]],
        inner: set[int],
        variables: Mapping[str, bytes],
    ) -> Plan:
        """Of compiled rules.

        :param inner: the identities of those steps that look at nothing of a request.
        :param variables: with which every request begins.
        """
        several = [step for phase in phases for step in steps[phase]]
        bounds, start = {}, 0
        for phase in phases:
            bounds[phase] = (start, start + len(steps[phase]))
            start += len(steps[phase])
        within = frozenset(place for place, step in enumerate(several) if id(step) in inner)
        states, forced = _simulated(several, bounds, within, variables)
        outer = [place for place in range(len(several)) if place not in within]
        prefilter = Prefilter.of([several[place].rule for place in outer])
        tests = [
            (outer[number], quick(several[outer[number]].rule, min(several[outer[number]].rule.phase, 4)))
            for number in prefilter.left
        ]
        return cls(
            phases,
            tuple(several),
            bounds,
            within,
            tuple(states),
            prefilter,
            tuple(outer),
            tuple(each for each in tests if each[1] is not always),
            forced | {place for place, test in tests if test is always},
            _leaking(several),
        )

    def judging(self, run: Run) -> Iterator[None]:
        """Judge; it yields whenever others should have their turn."""
        numbers = self._numbers
        found: set[int] = set()
        yield from self._prefilter.find(run, found)
        candidates = {numbers[number] for number in found}
        for place, test in self._quick:
            if test(run):
                candidates.add(place)
        if self._forced:
            candidates |= self._forced
        if candidates:
            yield from self._from_first(run, candidates)

    def _from_first(self, run: Run, candidates: set[int]) -> Iterator[None]:
        """Look for the first rule that matches, and go on as the interpreter does from there."""
        if all(self.steps[place].leaves_out and place not in self._forced for place in candidates):
            return
        for place in sorted(candidates):
            step, state = self.steps[place], self._states[place]
            if run.work > SLICE:
                run.work = 0
                yield
            if not state.reached or any(is_out(removal, step.rule) for removal in run.removals):
                continue
            run.tx = dict(state.tx)
            if step.matches(run):
                if step.leaves_out and place not in self._forced:
                    step.act(run)
                    continue
            elif place not in self._leaking or run.tx == state.tx:
                continue
            run.tx, run.matched = dict(state.tx), []
            yield from self.interpreted(run, candidates, place)
            return

    def interpreted(self, run: Run, candidates: set[int], start: int = 0) -> Iterator[None]:
        """Judge by the candidates and the rules that look at nothing of a request, rule by rule."""
        for phase in self.phases:
            first, end = self._bounds[phase]
            if start >= end:
                continue
            run.allowed = "" if run.allowed == "phase" else run.allowed
            if run.refused or run.off or run.allowed:
                return
            several = [
                self.steps[place]
                for place in range(max(first, start), end)
                if place in candidates or place in self._inner
            ]
            yield from judging(several, run)


def _leaking(steps: Sequence[Step]) -> frozenset[int]:
    """The steps that, though they do not match, may set what others look at."""
    several = [[of_link(link) for link in (step.rule, *step.rule.chained)] for step in steps]
    looks = [[names for link in links for names in _looks(links, link)] for links in several]
    found = set()
    for place, links in enumerate(several):
        writes = [link.writes for link in links[:-1] if link.changes]
        others = [names for there, each in enumerate(looks) if there != place for names in each]
        if writes and any(each.meets(names) for names in others for each in writes):
            found.add(place)
    return frozenset(found)


def _looks(links: Sequence[Dependencies], link: Dependencies) -> tuple[Names, ...]:
    """What a link looks at that its own rule has not captured."""
    captured = any(not each.writes.exact.isdisjoint(CAPTURED) for each in links[: links.index(link) + 1])
    looks = (link.reads, link.told)
    return tuple(Names(each.exact - CAPTURED, each.prefixes, each.patterns) for each in looks) if captured else looks


def _simulated(
    steps: Sequence[Step], bounds: Mapping[int, tuple[int, int]], inner: frozenset[int], variables: Mapping[str, bytes]
) -> tuple[list[_State], frozenset[int]]:
    """The state before each step, and the steps from which on nothing is known beforehand."""
    run, states = Run({}, NO_EXCHANGE, dict(variables)), []
    tx: Mapping[str, bytes] = dict(variables)
    forced: frozenset[int] = frozenset()
    for first, end in bounds.values():
        goes_on = 0
        for place in range(first, end):
            step = steps[place]
            reached = step.place >= goes_on
            states.append(_State(reached, tx))
            if place not in inner or not reached or forced:
                continue
            if not step.matches(run):
                if run.tx != tx:
                    tx = dict(run.tx)
                continue
            if not step.only_sets:
                forced = frozenset((place,))
                continue
            tx, goes_on = dict(run.tx), step.goes_on
    return states, forced
