"""A content filter's rules, compiled: what judges requests, and answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType

from attrs import frozen

from edgenode.model.errors import ConfigurationError, Problem
from edgenode.model.exchange import Exchange, Response
from edgenode.policy.contentfilter.answers import ANSWERS
from edgenode.policy.contentfilter.directives import RuleTree
from edgenode.policy.contentfilter.evaluation import Collections, Run
from edgenode.policy.contentfilter.findings import CLEAN, Verdict
from edgenode.policy.contentfilter.interpreter import Step, judging, steps_of
from edgenode.policy.contentfilter.macros import encoded
from edgenode.policy.contentfilter.variables import Pairs

INBOUND, OUTBOUND = (1, 2), (3, 4)
"""The phases of a request, and those of an answer."""

_TOTALS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "inbound": ("blocking_inbound_anomaly_score", "inbound_anomaly_score", "anomaly_score"),
        "outbound": ("blocking_outbound_anomaly_score", "outbound_anomaly_score"),
    }
)
"""The variables of the Core Rule Set's scores, of version 4 and of those before; the first that is not 0 holds."""

_KIND = "_score"


@frozen(eq=False)
class RuleSet:
    """The rules of a content filter.

    :ivar steps: all of them, by phase.
    """

    steps: Mapping[int, tuple[Step, ...]]
    _variables: Mapping[str, bytes]
    _collections: Collections

    @classmethod
    def of(cls, tree: RuleTree, collections: Collections) -> RuleSet:
        """Compile rules.

        :param collections: what reads each variable of an exchange.
        :raises ConfigurationError: if something in rules that can run cannot be done here; it names them all.
        """
        problems: list[Problem] = []
        steps = steps_of(tree, problems)
        if problems:
            raise ConfigurationError(problems)
        return cls(steps, {name: encoded(value) for name, value in tree.variables}, collections)

    def judge(self, exchange: Exchange) -> Verdict:
        """What the rules say to a request, phases 1 and 2, all at once."""
        return _drained(self.judging(exchange))

    def judging(self, exchange: Exchange) -> Iterator[Verdict | None]:
        """The same piece by piece: ``None`` where others should have their turn, and the verdict at the end."""
        run = Run(self._collections, exchange, dict(self._variables))
        yield from self._phases(run, INBOUND)
        yield verdict_of(run)

    def judge_response(self, exchange: Exchange, response: Response, body: bytes) -> Verdict:
        """What the rules say to an answer, phases 3 and 4."""
        return _drained(self.judging_response(exchange, response, body))

    def judging_response(self, exchange: Exchange, response: Response, body: bytes) -> Iterator[Verdict | None]:
        """The same piece by piece.

        :param response: its head.
        :param body: as much of its body as is looked at.
        """
        answers = {name: partial(_of_answer, read, response, body) for name, read in ANSWERS.items()}
        collections = {**self._collections, **answers}
        run = Run(collections, exchange, dict(self._variables))
        yield from self._phases(run, OUTBOUND)
        yield verdict_of(run)

    def _phases(self, run: Run, phases: tuple[int, ...]) -> Iterator[None]:
        for phase in phases:
            run.allowed = "" if run.allowed == "phase" else run.allowed
            if run.refused or run.off or run.allowed:
                return
            yield from judging(self.steps[phase], run)


def _of_answer(read: Callable[[Response, bytes], Pairs], response: Response, body: bytes, _: Exchange) -> Pairs:
    return read(response, body)


def _drained(steps: Iterator[Verdict | None]) -> Verdict:
    return next((verdict for verdict in steps if verdict is not None), CLEAN)


def verdict_of(run: Run) -> Verdict:
    """What a run of the rules has come to."""
    if not run.findings and not run.refused:
        return CLEAN
    scores = {}
    for total, names in _TOTALS.items():
        values = [run.tx.get(name, b"") for name in names]
        if (score := next((int(value) for value in values if value.isdigit() and int(value)), 0)) != 0:
            scores[total] = score
    for name, value in run.tx.items():
        if name.endswith(_KIND) and "anomaly" not in name and value.isdigit() and int(value):
            scores[name.removesuffix(_KIND)] = int(value)
    return Verdict(tuple(run.findings), run.refused, run.refused_by, scores)
