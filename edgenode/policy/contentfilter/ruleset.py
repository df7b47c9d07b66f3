"""A content filter's rules, compiled: what judges requests, and answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, count
from types import MappingProxyType

from attrs import frozen

from edgenode.model.errors import ConfigurationError, InvalidValue, Problem
from edgenode.model.exchange import Exchange, Response
from edgenode.policy.contentfilter.collections import COLLECTIONS, RESPONSE_COLLECTIONS, Collection
from edgenode.policy.contentfilter.directives import Rule, RuleTree
from edgenode.policy.contentfilter.evaluation import Carried, Run
from edgenode.policy.contentfilter.findings import CLEAN, SCORE, Verdict
from edgenode.policy.contentfilter.folding import Folding, Kept, all_kept
from edgenode.policy.contentfilter.interpreter import Step, judging, problem_of, without_effect
from edgenode.policy.contentfilter.macros import encoded
from edgenode.policy.contentfilter.plan import Plan
from edgenode.policy.contentfilter.variables import COUNTED, Source, sources
from edgenode.rules.views.pairs import Pairs

INBOUND, OUTBOUND = (1, 2), (3, 4)
"""The phases of a request, and those of an answer."""

_TOTALS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "inbound": ("blocking_inbound_anomaly_score", "inbound_anomaly_score", "anomaly_score"),
        "outbound": ("blocking_outbound_anomaly_score", "outbound_anomaly_score"),
    }
)
"""The variables of the scores: of the Core Rule Set 4, of ``builtin``, and of versions before; the highest holds, for
whichever rules are read last have added those of the others."""


@frozen(eq=False)
class RuleSet:
    """The rules of a content filter.

    :ivar inbound: those on requests, phases 1 and 2.
    :ivar outbound: those on answers, phases 3 and 4.
    """

    inbound: Plan | Slow
    outbound: Plan | Slow
    _variables: Mapping[str, bytes]
    _sources: Mapping[str, Source]

    @classmethod
    def of(cls, tree: RuleTree, collections: Mapping[str, Collection] = COLLECTIONS) -> RuleSet:
        """Compile rules.

        :param collections: the variables of requests.
        :raises ConfigurationError: if something in rules that can run cannot be done here; it names them all.
        """
        folding = Folding.of(tree)
        idle = without_effect([each.rule for several in folding.kept.values() for each in several])
        places = count()
        kept = {
            phase: [each for each in several if next(places) not in idle] for phase, several in folding.kept.items()
        }
        steps = _steps(kept, folding.problems)
        inner = {
            id(step)
            for phase, several in kept.items()
            for step, each in zip(steps[phase], several, strict=True)
            if not each.of_request
        }
        inbound = Plan.of(INBOUND, steps, inner, folding.variables)
        outbound = Plan.of(OUTBOUND, steps, inner, inbound.end)
        return cls(inbound, outbound, folding.variables, sources(collections))

    @classmethod
    def unfolded(cls, tree: RuleTree, collections: Mapping[str, Collection] = COLLECTIONS) -> RuleSet:
        """The same slowly and obviously: every rule is asked, in its order."""
        steps = _steps(all_kept(tree), [])
        variables = {name: encoded(value) for name, value in tree.variables}
        return cls(Slow(INBOUND, steps, variables), Slow(OUTBOUND, steps, variables), variables, sources(collections))

    @property
    def rules(self) -> Iterator[Rule]:
        """Those that can run."""
        for plan in (self.inbound, self.outbound):
            steps = plan.steps if isinstance(plan, Plan) else chain.from_iterable(plan.steps.values())
            yield from (step.rule for step in steps)

    def judge(self, exchange: Exchange) -> Verdict:
        """What the rules say to a request, phases 1 and 2, all at once."""
        return _drained(self.judging(exchange))

    def judging(self, exchange: Exchange, *, carry: bool = False) -> Iterator[Verdict | None]:
        """The same piece by piece: ``None`` where others should have their turn, and the verdict at the end.

        :param carry: whether its answer is judged too, which begins where this ends.
        """
        run = Run(self._sources, exchange, self._variables)  # type: ignore[arg-type]
        yield from self.inbound.judging(run)
        if carry and (run.begun or run.removals):
            exchange.carried = (self, run.carried(self.inbound.end))
        yield verdict_of(run)

    def judge_response(self, exchange: Exchange, response: Response) -> Verdict:
        """What the rules say to an answer, phases 3 and 4.

        :param response: its head, and as much of its body as is looked at.
        """
        return _drained(self.judging_response(exchange, response))

    def judging_response(self, exchange: Exchange, response: Response) -> Iterator[Verdict | None]:
        """The same piece by piece; it begins with what rules have left behind on the request, if that was carried."""
        sources = {**self._sources, **_of_answer(response)}
        match exchange.carried:
            case (rules, Carried() as carried) if rules is self:
                run = carried.run(sources, exchange)
            case _:
                run = Run(sources, exchange, self.inbound.end)  # type: ignore[arg-type]
        if not run.off and not run.allowed:
            yield from self.outbound.judging(run)
        yield verdict_of(run)


@frozen(eq=False)
class Slow:
    """All rules of some phases, each asked in its turn."""

    phases: tuple[int, ...]
    steps: Mapping[int, tuple[Step, ...]]
    end: Mapping[str, bytes]

    def judging(self, run: Run) -> Iterator[None]:
        """Judge; it yields whenever others should have their turn."""
        run.tx, run.begun = dict(run.tx), True
        for phase in self.phases:
            run.allowed = "" if run.allowed == "phase" else run.allowed
            if run.refused or run.off or run.allowed:
                return
            yield from judging(self.steps[phase], run)


def _steps(kept: Mapping[int, Sequence[Kept]], problems: list[Problem]) -> dict[int, tuple[Step, ...]]:
    steps = {phase: tuple(_compiled(several, problems)) for phase, several in kept.items()}
    if problems:
        raise ConfigurationError(problems)
    return steps


def _compiled(several: Sequence[Kept], problems: list[Problem]) -> Iterator[Step]:
    for kept in several:
        try:
            yield Step.of(kept.rule, kept.place, kept.goes_on)
        except InvalidValue as problem:
            problems.append(problem_of(kept.rule, problem.sentence))


def _of_answer(response: Response) -> dict[str, Source]:
    """What reads the variables of an answer."""
    found: dict[str, Source] = {}
    for name, each in RESPONSE_COLLECTIONS.items():
        members = each.read(response)
        found[name] = found[COUNTED + name] = partial(_held, members)
    return found


def _held(members: Pairs, _: Exchange) -> Pairs:
    return members


def _drained(steps: Iterator[Verdict | None]) -> Verdict:
    return next((verdict for verdict in steps if verdict is not None), CLEAN)


def verdict_of(run: Run) -> Verdict:
    """What a run of the rules has come to."""
    if not run.findings and not run.refused:
        return CLEAN
    scores = {}
    for total, names in _TOTALS.items():
        values = [run.tx.get(name, b"") for name in names]
        if (score := max((int(value) for value in values if value.isdigit()), default=0)) != 0:
            scores[total] = score
    for name, value in run.tx.items():
        if name.endswith(SCORE) and "anomaly" not in name and value.isdigit() and int(value):
            scores[name.removesuffix(SCORE)] = int(value)
    return Verdict(tuple(run.findings), run.refused, run.refused_by, scores)
