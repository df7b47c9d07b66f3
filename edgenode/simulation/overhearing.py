"""Stages of one's own in a simulation: what each of them has said, and whether it looked at what nobody knows.

Law: a stage is asked as often as the node would ask it, for it may count. Where it looks at what is not known, what it
would have said is not known either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from attrs import asdict, define, evolve, field, frozen

from edgenode.config.load import Configuration
from edgenode.model.decision import NOTHING, Decision, check_said
from edgenode.model.exchange import Exchange
from edgenode.model.interfaces import Stage
from edgenode.policy.awaiting import settled
from edgenode.policy.challenge import Challenges
from edgenode.policy.counting import Counting
from edgenode.policy.flows import Flows
from edgenode.policy.globalfilters import GlobalFilters
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.quarantine import Held
from edgenode.policy.ratelimits import CompiledLimit
from edgenode.rules.matching.certainty import NotKnown, Unknown


@define(eq=False)
class Overheard:
    """A stage of one's own in a simulation.

    :ivar stage: the stage.
    :ivar probe: makes of an exchange one that raises where something is not known.
    :ivar said: what it has said of the last request; :data:`NOTHING` if it was not asked.
    :ivar missing: what it looked at that is not known.
    """

    stage: Stage
    probe: Callable[[Exchange], Exchange] = field(default=lambda exchange: exchange)
    said: Decision = NOTHING
    missing: Unknown = frozenset()

    @property
    def name(self) -> str:
        """The stage's name."""
        return self.stage.name

    @property
    def needs(self) -> frozenset[str]:
        """What the stage needs."""
        return self.stage.needs

    def decide(self, exchange: Exchange) -> Any:
        """Ask the stage."""
        try:
            said: Any = self.stage.decide(self.probe(exchange))
            said = settled(said)  # what is there already, as of an ``async def`` that waits for nothing
            if isinstance(said, Decision):
                check_said(said)
                self.said = said
        except NotKnown as unknown:
            self.missing = frozenset((unknown.what,))
            return NOTHING
        except Exception:
            self.missing = frozenset(("what it fails for",))
            raise
        return said


@frozen
class OfProgram:
    """A stage that the program gives in which the node is embedded: nobody here has it, nor knows what it would say."""

    needs: ClassVar[frozenset[str]] = frozenset()

    name: str

    def decide(self, exchange: Exchange) -> Decision:
        """:raises NotKnown: in any case."""
        raise NotKnown("a stage of the program")


def overheard(configuration: Configuration) -> Configuration:
    """The same configuration with its own stages overheard, those that a program gives among them."""
    own: dict[str, tuple[Any, Any]] = {
        name: (section, Overheard(configuration.own_stages.get(name, (section, OfProgram(name)))[1]))
        for name, section in configuration.stages.items()
    }
    functions = {name: (section, Overheard(stage)) for name, (section, stage) in configuration.own_functions.items()}
    return evolve(configuration, own_stages=own, own_functions=functions) if own or functions else configuration


def all_own(configuration: Configuration) -> Iterator[Overheard]:
    """Every stage of one's own of a configuration that is overheard."""
    for _, stage in (*configuration.own_stages.values(), *configuration.own_functions.values()):
        yield stage


def before_filters(pipeline: Pipeline) -> Iterable[Overheard]:
    """The stages of one's own of a pipeline that judge before the global filters."""
    for stage in pipeline.stages:
        if isinstance(stage, GlobalFilters):
            return
        if isinstance(stage, Overheard):
            yield stage


def automatic_tags(pipeline: Pipeline, exchange: Exchange) -> frozenset[str]:
    """The tags that the node itself puts on before anything else."""
    automatic = pipeline.tagging.decide(exchange)
    assert isinstance(automatic, Decision)
    return automatic.tags


def challenge_tags(pipeline: Pipeline, exchange: Exchange) -> frozenset[str]:
    """The tag that says whether a client has solved a challenge, where one may be sent."""
    challenges = (stage for stage in pipeline.stages if isinstance(stage, Challenges))
    return frozenset[str]().union(*(each.decide(exchange).tags for each in challenges))


def own_stages(pipeline: Pipeline) -> list[Overheard]:
    """Every stage of one's own of a pipeline, in order."""
    return [stage for stage in pipeline.stages if isinstance(stage, Overheard)]


def filters_judged(decision: Decision) -> bool:
    """Whether the global filters were asked, and have answered."""
    asked = any(stage == GlobalFilters.name for stage, _ in decision.timings)
    return asked and not any(why.stage == GlobalFilters.name and not why.filter for why in decision.reasons)


_WORDS = {Counting.name: (Counting.name, Flows.exemption, "dynamic-rules", CompiledLimit.exemption)}
"""What stands for the stage in its reasons, where that is not its name."""

KINDS_BEHIND = {
    "quarantine": "",
    "dynamic-rules": "dynamic-rule",
    "rate-limits": "rate-limit",
    "acl": "acl-profile",
}
"""The stages behind the filters that can refuse, as their reasons name them, and the kind of the sections that those
name; an entry of the quarantine has the header of its section itself."""

NOT_RUN = "not run: the program gives it"
"""What becomes of a stage of the program's where it would judge."""


def stages_told(pipeline: Pipeline, decision: Decision) -> Iterator[dict[str, Any]]:
    """Every stage in order, as JSON has it: what has become of it, and what it has said that no filter has."""
    timed = {name for name, _ in decision.timings}
    for stage in (pipeline.tagging, *pipeline.stages):
        became = "asked" if stage.name in timed else "left out" if stage.name in decision.exempt else "not asked"
        if isinstance(stage, Held) and became == "not asked":
            continue  # the pipeline leaves it out while nothing is held
        reasons = decision.reasons if became == "asked" else ()
        kind, _, section = stage.name.partition(" ")  # of an edge function, as reasons have it
        words = _WORDS.get(stage.name, (kind,))
        by_filters = stage.name == GlobalFilters.name  # these are told one by one
        own = [asdict(why) for why in reasons if why.stage in words and not (by_filters and why.filter)]
        own = [each for each in own if not section or each["filter"] == section]
        told: dict[str, Any] = {"stage": stage.name, "became": became, "reasons": own}
        if isinstance(stage, Overheard):
            action = stage.said.action
            told |= {"tags": sorted(stage.said.tags), "action": None if action is None else action.name}
            if isinstance(stage.stage, OfProgram) and became == "asked":
                told["became"] = NOT_RUN
        yield told
