"""The stages that exist, and the pipelines that are made of them.

Law: a stage is compiled once for a whole configuration, and all pipelines of that configuration share it. The stage of
the automatic tags comes first, and is asked in every mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from attrs import evolve, field, frozen

from edgenode.model.decision import Action
from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Geography, TokenJudge
from edgenode.model.interfaces import ResponseStage, Stage
from edgenode.model.timers import Later, call_later
from edgenode.policy.acl import ACL, ACLProfile
from edgenode.policy.actions import EXEMPTIBLE
from edgenode.policy.challenge import Challenges
from edgenode.policy.challenge_tokens import Tokens
from edgenode.policy.contentfilter.answers import AnswerFilter
from edgenode.policy.contentfilter.contentfilter import ContentFilter
from edgenode.policy.contentfilter.masking import NOTHING_MASKED, Masks
from edgenode.policy.contentfilter.ruleset import RuleSet
from edgenode.policy.contentfilter.stage import ContentFilters, Filter
from edgenode.policy.counting import Counting
from edgenode.policy.dynamicrules import CompiledRule, DynamicRule, tags_of
from edgenode.policy.flows import Flow, Flows
from edgenode.policy.globalfilters import GlobalFilter, GlobalFilters
from edgenode.policy.inspection import AMBIGUOUS, UNSEEN, Inspection
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.quarantine import Held, Quarantined
from edgenode.policy.ratelimits import CompiledLimit, RateLimit
from edgenode.policy.selection import NO_SELECTION, Selectable, Selection
from edgenode.policy.tagging import Tagging
from edgenode.rules.definitions import Definitions
from edgenode.rules.fields import NEEDS
from edgenode.rules.lists import Members
from edgenode.rules.matching.engines import Start, at_once
from edgenode.rules.section_formulas import SectionFormulas
from edgenode.rules.views.arguments import READ_ANEW


@frozen(eq=False)
class Rules:
    """What a configuration says to its stages.

    :ivar policy_tags: the tags of every security policy, by its name.
    :ivar global_filters: every global filter by its name, in the order of the file.
    :ivar definitions: the sections and lists that rules name.
    :ivar actions: every action by its name, the predefined ones among them.
    :ivar feeds: what the filters with a source hold, by the filter's name.
    :ivar flows: every flow by its name.
    :ivar acl_profiles: every ACL profile by its name.
    :ivar content_filters: every active content filter with its rules, compiled, by its name.
    :ivar rate_limits: every rate limit by its name, in the order of the file.
    :ivar tokens: what judges solutions of challenges; ``None`` if nothing can ask for one.
    :ivar masks: what is masked anywhere.
    :ivar dynamic_rules: every dynamic rule by its name, in the order of the file.
    :ivar trusted_proxies: the networks of trusted proxies, which no rule may hold.
    :ivar formulas: those of sections with these definitions, as far as they have been made; ``None`` for none.
    :ivar before: the stages that these succeed.
    :ivar start: how the compiling of large sets of regular expressions is begun.
    """

    policy_tags: Mapping[str, Sequence[str]] = field(factory=dict)
    global_filters: Mapping[str, GlobalFilter] = field(factory=dict)
    definitions: Definitions = field(factory=Definitions)
    actions: Mapping[str, Action] = field(factory=dict)
    feeds: Mapping[str, Members] = field(factory=dict)
    flows: Mapping[str, Flow] = field(factory=dict)
    acl_profiles: Mapping[str, ACLProfile] = field(factory=dict)
    content_filters: Mapping[str, tuple[ContentFilter, RuleSet]] = field(factory=dict)
    rate_limits: Mapping[str, RateLimit] = field(factory=dict)
    tokens: Tokens | None = None
    masks: Masks = NOTHING_MASKED
    dynamic_rules: Mapping[str, DynamicRule] = field(factory=dict)
    trusted_proxies: Sequence[str] = ()
    formulas: SectionFormulas | None = None
    before: Sequence[Stage | Selectable] = ()
    start: Start = at_once

    def same(self, other: Rules) -> bool:
        """Whether others say the same, in the same order, of the same contents of lists and feeds."""
        return (
            all(
                [*mine.items()] == [*others.items()]
                for mine, others in (
                    (self.global_filters, other.global_filters),
                    (self.rate_limits, other.rate_limits),
                    (self.dynamic_rules, other.dynamic_rules),
                )
            )
            and self.definitions == other.definitions
            and (self.policy_tags, self.actions, self.feeds) == (other.policy_tags, other.actions, other.feeds)
            and (self.flows, self.acl_profiles, self.tokens) == (other.flows, other.acl_profiles, other.tokens)
            and self.content_filters == other.content_filters
            and (self.trusted_proxies, self.masks) == (other.trusted_proxies, other.masks)
        )


def _tagging(rules: Rules) -> Stage:
    active = (each for each in rules.global_filters.values() if each.active)
    lists = (*active, *rules.definitions.sections.values())
    further = frozenset(each for found in lists for each in found.readings if each in READ_ANEW)
    return Tagging.of(rules.policy_tags, further)


def _challenge(rules: Rules) -> Stage:
    return Challenges(rules.tokens)


def _global_filters(rules: Rules) -> Stage:
    before = next((stage for stage in rules.before if isinstance(stage, GlobalFilters)), None)
    return GlobalFilters.of(
        rules.global_filters, rules.definitions, rules.actions, rules.feeds, rules.formulas, before, rules.start
    )


def _inspection(rules: Rules) -> Stage:
    formulas = rules.formulas or SectionFormulas(rules.definitions)
    return Inspection.of(rules.global_filters, formulas, rules.actions)


def _quarantine(rules: Rules) -> Selectable:
    known = rules.dynamic_rules
    tags = {name: tags_of(name, each) for name, each in known.items()}
    needs = frozenset[str]().union(*(each.key.needs for each in known.values() if each.active))
    return Quarantined(rules.actions, tags, needs, rules.masks)


def _counting(rules: Rules) -> Stage:
    formulas = rules.formulas or SectionFormulas(rules.definitions)
    flows = Flows.of(rules.flows, rules.definitions.sections, formulas)
    dynamic = (
        CompiledRule.of(name, each, rules.actions, rules.trusted_proxies)
        for name, each in rules.dynamic_rules.items()
        if each.active
    )
    limits = (CompiledLimit.of(name, each, rules.actions) for name, each in rules.rate_limits.items() if each.active)
    return Counting((*([] if flows is None else [flows]), *dynamic, *limits))


def _acl(rules: Rules) -> Stage | Selectable:
    return ACL.of(rules.acl_profiles, rules.actions)


def _content_filter(rules: Rules) -> Stage | Selectable:
    return ContentFilters.of(rules.content_filters, rules.actions)


STAGES: tuple[Callable[[Rules], Stage | Selectable], ...] = (
    _tagging,
    _challenge,
    _global_filters,
    _inspection,
    _quarantine,
    _counting,
    _acl,
    _content_filter,
)
"""What makes each stage, in the order in which they judge; the automatic tags come first."""


def compiled(rules: Rules) -> tuple[Stage | Selectable, ...]:
    """Every stage for some rules, in the order in which they judge.

    :raises InvalidValue: as the methods ``of`` of their classes do.
    """
    return tuple(make(rules) for make in STAGES)


NAMES = (
    Tagging.name,
    Challenges.name,
    GlobalFilters.name,
    Inspection.name,
    Quarantined.name,
    Counting.name,
    ACL.name,
    ContentFilters.name,
)
"""The names of the stages that are built in, in the order in which they judge."""


@frozen
class Placed:
    """A stage of one's own, and where it judges; without a place behind all that are built in.

    Those with the same place judge in the order in which they are given.

    :ivar stage: the stage.
    :ivar before: the name of the built-in stage that it stands before, or an empty string.
    :ivar after: likewise behind.
    :ivar of_requests: whether it has nothing to say of messages of WebSockets.
    :raises InvalidValue: if there is no such place, or one of a built-in stage has its name.
    """

    stage: Stage
    before: str = ""
    after: str = ""
    of_requests: bool = False

    def __attrs_post_init__(self) -> None:
        name, needs = getattr(self.stage, "name", None), getattr(self.stage, "needs", None)
        if not name or not isinstance(name, str) or not isinstance(needs, frozenset | set):
            raise InvalidValue("a stage has a name, and a set of what it needs")
        if not needs <= NEEDS:
            raise InvalidValue(
                f"the stage {name} needs what there is not: {', '.join(sorted(map(str, needs - NEEDS)))}"
            )
        if not callable(getattr(self.stage, "decide", None)):
            raise InvalidValue(f"the stage {name} has no method decide")
        if name in (*NAMES, *EXEMPTIBLE):
            raise InvalidValue(f"{name} is the name of a built-in stage")
        check_place(self.before, self.after)


def check_place(before: str, after: str) -> None:
    """:raises InvalidValue: if a stage of one's own cannot stand there; ``which`` is the word that is wrong."""
    if before and after:
        raise InvalidValue("a stage stands before another or after one, and not both", which="after")
    for which, name in (("before", before), ("after", after)):
        if name and name not in NAMES:
            raise InvalidValue(f"there is no built-in stage {name}: there are {', '.join(NAMES)}", which=which)
    if before == Tagging.name:
        raise InvalidValue("the automatic tags come first", which="before")


def _in_order(
    stages: Sequence[Stage | Selectable], ready: Sequence[Stage | None], own: Sequence[Placed]
) -> Iterator[Stage]:
    """The stages of a pipeline, and at the place of one that has nothing to do there only those of one's own."""
    for stage, made in zip(stages, ready, strict=True):
        yield from (each.stage for each in own if each.before == stage.name)
        if made is not None:
            yield made
        yield from (each.stage for each in own if each.after == stage.name)
    yield from (each.stage for each in own if not each.before and not each.after)


def pipeline_of(
    stages: Sequence[Stage | Selectable],
    own: Sequence[Placed] = (),
    *,
    failure: str = "closed",
    clock: Callable[[], float] | None = None,
    locate: Callable[[str], Geography] | None = None,
    inspect_body_size: int = 128 * 1024,
    mode: str = "block",
    uninspected: str = "refuse",
    ambiguous_multipart: str = "refuse",
    timeout: float = 10.0,
    call_later: Later = call_later,
    selection: Selection = NO_SELECTION,
    response_stages: tuple[tuple[ResponseStage, ...], tuple[ResponseStage, ...]] = ((), ()),
    tokens: TokenJudge | None = None,
) -> Pipeline:
    """The pipeline of stages that have been :func:`compiled`, and of those of one's own; the parameters are attributes
    of :class:`~edgenode.policy.pipeline.Pipeline`, and ``uninspected`` and ``ambiguous_multipart``, of
    :data:`edgenode.policy.inspection.UNINSPECTED`, say what becomes of requests of which rules have not seen all, and
    of multipart that an origin may read otherwise."""
    passed = UNSEEN if uninspected == "pass" else frozenset[str]()
    passed |= {AMBIGUOUS} if ambiguous_multipart == "pass" else frozenset()
    chosen = [each.selected(selection) if isinstance(each, Selectable) else each for each in stages]
    chosen = [evolve(each, call_later=call_later) if isinstance(each, Filter) else each for each in chosen]
    own_needs = frozenset[str]().union(*(each.stage.needs for each in own))
    counting = next((each for each in chosen if isinstance(each, Counting)), Counting(()))
    held = frozenset[str]().union(*(each.needs for each in chosen if isinstance(each, Held)))
    filtered = frozenset[str]().union(*(each.needs_to_refuse for each in chosen if isinstance(each, Filter)))
    needs = own_needs | held | filtered | counting.needs_to_refuse(False)
    of_messages = frozenset[str]().union(*(each.stage.needs for each in own if not each.of_requests))
    of_messages |= counting.needs_to_refuse(True)
    ready = [
        each.looking(needs, of_messages).without(passed) if isinstance(each, Inspection) else each for each in chosen
    ]
    tagging, *others = _in_order(stages, ready, own)
    others = [each for each in others if not isinstance(each, Inspection) or each.all_unseen]
    before, after = response_stages
    before += tuple(AnswerFilter(each) for each in chosen if isinstance(each, Filter) and each.section.responses)
    return Pipeline(
        tagging,
        tuple(others),
        failure,
        clock,
        locate,
        inspect_body_size,
        mode,
        timeout,
        call_later,
        selection.masks,
        (before, after),
        tokens,
    )
