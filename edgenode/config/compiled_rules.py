"""The rules of a configuration: as formulas, while it is checked, and compiled, while it serves.

Law: a section becomes a formula once, for all checks and for the compiler; formulas are forgotten when the
configuration is loaded, for what has been compiled does not need them and they take memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from attrs import define, evolve, field, frozen

from edgenode.config.challenge_keys import OWN
from edgenode.config.content_rules import LoadedRules
from edgenode.config.data import Sections
from edgenode.config.feed_contents import Contents
from edgenode.model.decision import Action
from edgenode.model.interfaces import Stage
from edgenode.policy import stages
from edgenode.policy.actions import PREDEFINED
from edgenode.policy.challenge import Challenge, armed
from edgenode.policy.challenge_tokens import Keys, Tokens
from edgenode.policy.contentfilter.masking import NOTHING_MASKED, Masks
from edgenode.policy.globalfilters import GlobalFilter, GlobalFilters
from edgenode.policy.selection import Selectable
from edgenode.policy.stages import Rules
from edgenode.proxy.routing import PathMap
from edgenode.rules.definitions import Definitions
from edgenode.rules.formulas import All, AnyOf, Formula
from edgenode.rules.matching.contradictions import Conjunction, conjunctions
from edgenode.rules.matching.engines import Start
from edgenode.rules.section_formulas import SectionFormulas
from edgenode.rules.sections import Section


@define(eq=False, slots=False)
class Formulas:
    """The rules of a configuration as formulas, each made when it is first asked for.

    Every property but :attr:`definitions` and :attr:`section_formulas` needs sections without errors.

    :ivar configuration: the sections.
    :ivar contents: what their lists and datafeeds hold.
    :ivar challenge_keys: what challenges are signed with.
    :ivar content_rules: the rules of content filters, by the name of their section.
    :ivar masks: what is masked anywhere.
    """

    configuration: Sections
    contents: Contents
    challenge_keys: Keys = OWN
    content_rules: Mapping[str, LoadedRules] = field(factory=dict)
    masks: Masks = NOTHING_MASKED

    @cached_property
    def definitions(self) -> Definitions:
        """What the rules may name."""
        configuration = self.configuration
        return Definitions(configuration.sections, self.contents.lists, configuration.edge.missing_not_equal)

    @cached_property
    def section_formulas(self) -> SectionFormulas:
        """Makes formulas of sections."""
        return SectionFormulas(self.definitions)

    @cached_property
    def actions(self) -> Mapping[str, Action]:
        """Every action by its name, the predefined ones among them.

        :raises InvalidValue: if a section's keys do not go together.
        """
        written = {name: section.action(name) for name, section in self.configuration.actions.items()}
        return {name: armed(action, self._tokens) for name, action in {**PREDEFINED, **written}.items()}

    @cached_property
    def _tokens(self) -> Tokens:
        challenge = self.configuration.challenge
        return Tokens(self.challenge_keys, challenge.difficulty, challenge.lifetime)

    @cached_property
    def tokens(self) -> Tokens | None:
        """What judges solutions of challenges; ``None`` if no section can ask for one."""
        named = {name for _, section in self.configuration.written() for name in getattr(section, "proposes", ())}
        challenged = any(isinstance(self.actions.get(name), Challenge) for name in named)
        return self._tokens if challenged else None

    @cached_property
    def lists(self) -> Mapping[str, Section]:
        """Every rule list by its header."""
        return dict(self.configuration.with_rules())

    @property
    def filters(self) -> Iterator[tuple[str, GlobalFilter]]:
        """The active global filters by their header."""
        for header, each in self.lists.items():
            if isinstance(each, GlobalFilter) and each.active:
                yield header, each

    @cached_property
    def own(self) -> Mapping[str, tuple[Formula, ...]]:
        """What each rule list says itself, without the sections that it names."""
        own = {}
        for header, each in self.lists.items():
            whole = self.section_formulas.formula(each, header)
            assert isinstance(whole, All | AnyOf)
            own[header] = whole.parts[: len(each.entries) + (each.expression is not None)]
        return own

    @cached_property
    def judged(self) -> Mapping[str, Formula]:
        """The formula of each active global filter, of each path map and of each step of a flow, by its header."""
        steps = {f"section {step}" for flow in self.configuration.flows.values() if flow.active for step in flow.steps}
        judged = {}
        for header, each in self.lists.items():
            if isinstance(each, PathMap) or header in steps:
                judged[header] = self.section_formulas.formula(each, header)
            elif isinstance(each, GlobalFilter) and each.active:
                name = header.partition(" ")[2]
                judged[header] = each.formula(name, self.section_formulas, self.contents.feeds)
        return judged

    @cached_property
    def apart(self) -> Mapping[str, tuple[Conjunction, ...]]:
        """The same as conjunctions; without those that have too many."""
        found = ((header, conjunctions(formula)) for header, formula in self.judged.items())
        return {header: each for header, each in found if each is not None}

    def forget(self) -> None:
        """Free them, one after another: no other thread runs while many are freed in one go."""
        for several in (self.__dict__.pop(name, None) for name in ("apart", "judged", "own")):
            while several:
                several.popitem()
        self.section_formulas.forget()


@frozen(eq=False)
class CompiledRules:
    """The rules of a configuration, ready to judge.

    :ivar definitions: what they may name.
    :ivar actions: every action by its name, the predefined ones among them.
    :ivar stages: the stages of every pipeline, in the order in which they judge.
    :ivar compiled: what they were compiled from.
    """

    definitions: Definitions
    actions: Mapping[str, Action]
    stages: tuple[Stage | Selectable, ...]
    compiled: Rules

    @property
    def pieces(self) -> list[object]:
        """Most of what they are made of: see :attr:`edgenode.policy.globalfilters.GlobalFilters.pieces`."""
        return [piece for stage in self.stages if isinstance(stage, GlobalFilters) for piece in stage.pieces]

    @classmethod
    def of(cls, formulas: Formulas, before: CompiledRules | None = None) -> CompiledRules:
        """Compile the rules of sections.

        :param before: the rules that they succeed; what has not changed since is not compiled again.
        :raises InvalidValue: if they cannot be compiled together; ``which`` names the global filter, if it is one.
        """
        configuration, definitions, actions = formulas.configuration, formulas.definitions, formulas.actions
        tags = {name: policy.tags for name, policy in configuration.security_policies.items()}
        filters = configuration.global_filters
        rules = Rules(
            tags,
            filters,
            definitions,
            actions,
            formulas.contents.feeds,
            rate_limits=configuration.rate_limits,
            dynamic_rules=configuration.dynamic_rules,
            trusted_proxies=configuration.edge.trusted_proxies,
            flows=configuration.flows,
            acl_profiles=configuration.acl_profiles,
            content_filters={
                name: (configuration.content_filters[name], loaded.compiled)
                for name, loaded in formulas.content_rules.items()
                if name in configuration.content_filters
            },
            tokens=formulas.tokens,
            masks=formulas.masks,
        )
        if before is not None and before.compiled.same(rules):
            return before
        known = () if before is None else before.stages
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            beside = evolve(rules, formulas=formulas.section_formulas, before=known, start=_in(pool))
            made = stages.compiled(beside)
        return cls(definitions, actions, made, rules)


_SIDE_BY_SIDE = 2
"""Sets of regular expressions that are compiled at once."""


def _in(pool: ThreadPoolExecutor) -> Start:
    """Begins work in the threads of a pool."""
    return lambda work: pool.submit(work).result
