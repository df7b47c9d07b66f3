"""A content filter's rules, compiled: what judges requests, and answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from attrs import frozen

from edgenode.model.errors import ConfigurationError, InvalidValue, Problem
from edgenode.model.exchange import Exchange, Response
from edgenode.policy.contentfilter.collections import COLLECTIONS, RESPONSE_COLLECTIONS, Collection
from edgenode.policy.contentfilter.directives import RuleTree
from edgenode.policy.contentfilter.evaluation import Run
from edgenode.policy.contentfilter.findings import CLEAN, Verdict
from edgenode.policy.contentfilter.folding import Folding, Kept, all_kept
from edgenode.policy.contentfilter.interpreter import Step, judging, problem_of
from edgenode.policy.contentfilter.macros import encoded
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

_KIND = "_score"


@frozen(eq=False)
class RuleSet:
    """The rules of a content filter.

    :ivar steps: those that can match, by phase.
    """

    steps: Mapping[int, tuple[Step, ...]]
    _variables: Mapping[str, bytes]
    _sources: Mapping[str, Source]

    @classmethod
    def of(cls, tree: RuleTree, collections: Mapping[str, Collection] = COLLECTIONS) -> RuleSet:
        """Compile rules.

        :param collections: the variables of requests.
        :raises ConfigurationError: if something in rules that can run cannot be done here; it names them all.
        """
        folding = Folding.of(tree)
        return cls._of(folding.kept, folding.variables, folding.problems, collections)

    @classmethod
    def unfolded(cls, tree: RuleTree, collections: Mapping[str, Collection] = COLLECTIONS) -> RuleSet:
        """The same slowly and obviously: every rule is asked, in its order."""
        variables = {name: encoded(value) for name, value in tree.variables}
        return cls._of(all_kept(tree), variables, [], collections)

    @classmethod
    def _of(
        cls,
        kept: Mapping[int, Sequence[Kept]],
        variables: Mapping[str, bytes],
        problems: list[Problem],
        collections: Mapping[str, Collection],
    ) -> RuleSet:
        steps = {phase: tuple(_compiled(several, problems)) for phase, several in kept.items()}
        if problems:
            raise ConfigurationError(problems)
        return cls(steps, variables, sources(collections))

    def judge(self, exchange: Exchange) -> Verdict:
        """What the rules say to a request, phases 1 and 2, all at once."""
        return _drained(self.judging(exchange))

    def judging(self, exchange: Exchange) -> Iterator[Verdict | None]:
        """The same piece by piece: ``None`` where others should have their turn, and the verdict at the end."""
        run = Run(self._sources, exchange, dict(self._variables))
        yield from self._phases(run, INBOUND)
        yield verdict_of(run)

    def judge_response(self, exchange: Exchange, response: Response) -> Verdict:
        """What the rules say to an answer, phases 3 and 4.

        :param response: its head, and as much of its body as is looked at.
        """
        return _drained(self.judging_response(exchange, response))

    def judging_response(self, exchange: Exchange, response: Response) -> Iterator[Verdict | None]:
        """The same piece by piece."""
        run = Run({**self._sources, **_of_answer(response)}, exchange, dict(self._variables))
        yield from self._phases(run, OUTBOUND)
        yield verdict_of(run)

    def _phases(self, run: Run, phases: tuple[int, ...]) -> Iterator[None]:
        for phase in phases:
            run.allowed = "" if run.allowed == "phase" else run.allowed
            if run.refused or run.off or run.allowed:
                return
            yield from judging(self.steps[phase], run)


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
        if name.endswith(_KIND) and "anomaly" not in name and value.isdigit() and int(value):
            scores[name.removesuffix(_KIND)] = int(value)
    return Verdict(tuple(run.findings), run.refused, run.refused_by, scores)
