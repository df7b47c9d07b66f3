"""In which order the rules of some phases are asked, and from where: the way from a request to a verdict that is short.

Law: until a rule matches that looks at the request, all requests are alike; so what the rules between do is known, and
nothing is asked but the rules that may match. From the first that matches on, all is as the interpreter has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from edgenode.model.exchange import NO_BODY
from edgenode.policy.contentfilter.dependencies import CAPTURED, Dependencies, Names, of_link
from edgenode.policy.contentfilter.evaluation import SLICE, Run
from edgenode.policy.contentfilter.findings import SCORE
from edgenode.policy.contentfilter.folding import NO_EXCHANGE
from edgenode.policy.contentfilter.interpreter import Step, is_out, judging
from edgenode.policy.contentfilter.prefilter import Prefilter
from edgenode.policy.contentfilter.quick import Quick, always, quick
from edgenode.policy.contentfilter.variables import OF_THE_RUN_NAMES

_Tests = tuple[tuple[int, Quick], ...]
"""Rules by their places, each with what is asked whether it may match."""


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
    _quick: _Tests
    _of_fields: Mapping[bytes, _Tests]
    _of_bodies: _Tests
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
        changing = _changing(several)
        left = [(outer[number], several[outer[number]].rule) for number in prefilter.left]
        tests = [(place, quick(rule, min(rule.phase, 4), changing)) for place, rule in left]
        asked = [(place, each) for place, each in tests if each.test is not always]
        of_fields: dict[bytes, list[tuple[int, Quick]]] = {}
        for place, each in asked:
            if each.field:
                of_fields.setdefault(each.field, []).append((place, each.test))
        return cls(
            phases,
            tuple(several),
            bounds,
            within,
            tuple(states),
            prefilter,
            tuple(outer),
            tuple((place, each.test) for place, each in asked if not each.field and not each.of_body),
            {name: tuple(those) for name, those in of_fields.items()},
            tuple((place, each.test) for place, each in asked if not each.field and each.of_body),
            forced | {place for place, each in tests if each.test is always},
            _leaking(several),
        )

    def judging(self, run: Run) -> Iterator[None]:
        """Judge; it yields whenever others should have their turn."""
        numbers = self._numbers
        found: set[int] = set()
        yield from self._prefilter.find(run, found)
        candidates = {numbers[number] for number in found}
        for place, test in self._tests(run):
            if test(run):
                candidates.add(place)
        if self._forced:
            candidates |= self._forced
        if run.begun:
            yield from self.interpreted(run, candidates)
        elif candidates:
            yield from self._from_first(run, candidates)

    def _tests(self, run: Run) -> list[tuple[int, Quick]]:
        """What is asked of a request."""
        request, tests = run.exchange.request, [*self._quick]
        if request is None or request.body is not NO_BODY:
            tests += self._of_bodies
        of_fields = self._of_fields
        for name in () if request is None else request.fields:
            if name in of_fields:
                tests += of_fields[name]
        return tests

    @property
    def end(self) -> Mapping[str, bytes]:
        """The variables behind the last rule, as long as none has matched that looks at the request."""
        return self._states[-1].tx

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
        run.begun = True
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


def _changing(steps: Sequence[Step]) -> frozenset[str]:
    """The variables that some of the steps may change."""
    controls = {each.name for step in steps for link in (step.rule, *step.rule.chained) for each in link.controls}
    return OF_THE_RUN_NAMES if "requestBodyProcessor" in controls else OF_THE_RUN_NAMES - {"REQBODY_PROCESSOR"}


def _leaking(steps: Sequence[Step]) -> frozenset[int]:
    """The steps that, though they do not match, may set what others look at, or a score."""
    several = [[of_link(link) for link in (step.rule, *step.rule.chained)] for step in steps]
    looks = [[names for link in links for names in _looks(links, link)] for links in several]
    found = set()
    for place, links in enumerate(several):
        writes = [link.writes for link in links[:-1] if link.changes]
        others = [names for there, each in enumerate(looks) if there != place for names in each]
        scores = any(name.endswith(SCORE) for each in writes for name in each.exact)
        if scores or (writes and any(each.meets(names) for names in others for each in writes)):
            found.add(place)
    return frozenset(found)


def _looks(links: Sequence[Dependencies], link: Dependencies) -> tuple[Names, ...]:
    """What a link looks at that its own rule has not captured."""
    captures = (place for place, each in enumerate(links) if not each.writes.exact.isdisjoint(CAPTURED))
    before = next(captures, len(links))
    place = links.index(link)
    return (_without_captured(link.reads, before < place), _without_captured(link.told, before <= place))


def _without_captured(names: Names, captured: bool) -> Names:
    return Names(names.exact - CAPTURED, names.prefixes, names.patterns) if captured else names


def _simulated(
    steps: Sequence[Step], bounds: Mapping[int, tuple[int, int]], inner: frozenset[int], variables: Mapping[str, bytes]
) -> tuple[list[_State], frozenset[int]]:
    """The state before each step and at the end, and the steps from which on nothing is known beforehand."""
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
    return [*states, _State(True, tx)], forced
