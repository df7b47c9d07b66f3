"""What of the rules is known before there is a request: which can run at all, and what they have set by then.

Law: what is left behaves for every request as the whole does. A rule goes only if it cannot match, or if it always
matches and nobody sees when: what it sets is then set from the beginning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from attrs import define, evolve, field, frozen

from edgenode.model.errors import InvalidValue, Problem
from edgenode.model.exchange import UNKNOWN_CLIENT, Address, Connection, Exchange
from edgenode.policy.contentfilter.dependencies import Dependencies, Names, of_link
from edgenode.policy.contentfilter.directives import Marker, Rule, RuleTree
from edgenode.policy.contentfilter.evaluation import Link, Run
from edgenode.policy.contentfilter.findings import SCORE
from edgenode.policy.contentfilter.interpreter import PHASES, goes_on, phase_of, problem_of
from edgenode.policy.contentfilter.macros import encoded
from edgenode.policy.contentfilter.names import PERSISTENT

NO_EXCHANGE = Exchange(Connection(Address(UNKNOWN_CLIENT, 0), Address(UNKNOWN_CLIENT, 0)))
"""What rules look at that look at nothing."""


@frozen
class Kept:
    """A rule that is left.

    :ivar place: where it stands in its phase.
    :ivar goes_on: where its phase goes on if it matches.
    :ivar of_request: whether it depends on the request whether it matches.
    """

    rule: Rule
    place: int
    goes_on: int
    of_request: bool


@define
class Folding:
    """Rules that are left, and what is set.

    :ivar kept: by phase.
    :ivar variables: the members of ``TX`` with which every request begins.
    :ivar problems: what cannot be done here of what can run.
    """

    kept: dict[int, list[Kept]]
    variables: dict[str, bytes]
    problems: list[Problem]
    _state: Run
    _unknown: Names = field(factory=Names)
    _touched: Names = field(factory=Names)
    _doubt: int = 0
    _removals: list[Rule] = field(factory=list)
    _allowed_until: int = 0
    _doubted: list[Rule] = field(factory=list)

    @classmethod
    def of(cls, tree: RuleTree) -> Folding:
        """Fold the rules of a content filter."""
        variables = {name: encoded(value) for name, value in tree.variables}
        made = cls({phase: [] for phase in PHASES}, variables, [], Run({}, NO_EXCHANGE, dict(variables)))
        for phase in PHASES:
            several = [each for each in tree.directives if isinstance(each, Marker) or phase_of(each) == phase]
            made._phase(phase, several)
        made._settle()
        made._write_out()
        return made

    def _phase(self, phase: int, several: Sequence[Rule | Marker]) -> None:
        place, self._doubt = 0, 0
        while place < len(several):
            rule = several[place]
            next_place = goes_on(several, place, rule) if isinstance(rule, Rule) else place + 1
            skipped = [each for each in several[place + 1 : next_place] if isinstance(each, Rule)]
            certain = isinstance(rule, Rule) and self._rule(rule, phase, place, next_place, skipped)
            place = next_place if certain else place + 1

    def _rule(self, rule: Rule, phase: int, place: int, next_place: int, skipped: Sequence[Rule]) -> bool:
        """Fold one rule; whether those that it skips are always skipped."""
        links = [rule, *rule.chained]
        found = [of_link(each) for each in links]
        maybe_removed = [each for each in self._removals if _may_remove(each, rule)]
        in_doubt = self._is_skipped(phase, place) or bool(maybe_removed)
        matching = [self._matches(*pair) for pair in zip(links, found, strict=True)]
        if False in matching and not any(each.changes for each in found[: matching.index(False)]):
            return False
        always = matching == [True] * len(links) and not any(each.changes for each in found[:-1])
        if any(each.unsupported for each in links):
            self._doubted.append(rule)
            return False
        quiet = always and self._is_quiet(rule, found)
        only_skips = quiet and not any(each.set_vars for each in links) and not self._is_skipped(phase, place)
        # What removes such a rule has to remove all that it skips, too.
        if only_skips and all(_may_remove(each, other) for each in maybe_removed for other in skipped):
            return True
        if quiet and not in_doubt:
            self._set(rule)
            if not any(self._touched.meets(each.writes) for each in found):
                self.variables |= {
                    name: self._state.tx[name] for each in found for name in each.writes.exact if name in self._state.tx
                }
                return True
        elif always and not in_doubt:
            self._doubtful(rule, found)
        else:
            self._doubtful(rule, found)
            self._doubt = max(self._doubt, next_place if next_place > place + 1 else 0)
            self._removals += [each for each in links if each.controls]
            if rule.disruptive == "allow" and rule.allows:  # where nothing at all runs any more, nothing is in doubt
                self._allowed_until = max(self._allowed_until, phase if rule.allows == "phase" else 2)
        for each in found:
            for names in (each.reads, each.told, each.writes):
                self._touched.add(names)
        if rule.disruptive != "pass" or any(each.controls for each in links):
            self._touched.patterns.add(f"{SCORE}$")  # where it ends, the scores are those of the rules before it
        of_request = any(each.of_request for each in found)
        self.kept[phase].append(Kept(rule, place, next_place, of_request))
        return always and not in_doubt

    def _write_out(self) -> None:
        """Put what is the same for all requests into the operators of the rules that are left."""
        written = Names()
        for several in self.kept.values():
            for kept in several:
                for link in (kept.rule, *kept.rule.chained):
                    written.add(of_link(link).writes)
        values = {name: value for name, value in self.variables.items() if not written.has(name)}
        for phase, several in self.kept.items():
            self.kept[phase] = [evolve(kept, rule=_written_out(kept.rule, values)) for kept in several]

    def _settle(self) -> None:
        """What cannot be done is a problem, unless all that it asks is something that nothing sets that is left."""
        rules = [kept.rule for several in self.kept.values() for kept in several]
        changes = [change for rule in rules for link in (rule, *rule.chained) for change in link.set_vars]
        persistent = {change.collection for change in changes}
        for rule in self._doubted:
            for link in (rule, *rule.chained):
                if link.unsupported and not _asks_nothing(link, persistent):
                    self.problems.append(problem_of(rule, link.unsupported))

    def _is_skipped(self, phase: int, place: int) -> bool:
        """Whether a rule that is asked for some requests may skip those that stand there."""
        return place < self._doubt or phase <= self._allowed_until

    def _is_known(self, link: Rule, found: Dependencies) -> bool:
        """Whether it is known by now whether a link matches."""
        return (
            not found.of_request
            and not link.unsupported
            and not self._unknown.meets(found.reads)
            and all(each.collection == "TX" for each in link.targets)
            and _is_compilable(link)
        )

    def _matches(self, link: Rule, found: Dependencies) -> bool | None:
        """Whether a link matches; ``None`` if that is not known."""
        if not self._is_known(link, found):
            return None
        before, self._state.matched = dict(self._state.tx), []
        matching = Link.of(link, PHASES[-1]).matches(self._state, link)
        self._state.tx = before
        return matching

    def _is_quiet(self, rule: Rule, found: Sequence[Dependencies]) -> bool:
        """Whether a rule does nothing but set variables to what is known."""
        links = (rule, *rule.chained)
        return (
            rule.disruptive == "pass"
            and not rule.logged
            and not any(each.controls or each.capture for each in links)
            and not any(each.sets_of_request or each.writes.prefixes for each in found)
            and not any(self._unknown.meets(each.told) for each in found if each.writes.exact)
            and not any(change.change == "!" for each in links for change in each.set_vars)
        )

    def _set(self, rule: Rule) -> None:
        """Set what a rule sets that always matches."""
        for each in (rule, *rule.chained):
            Link.of(each, PHASES[-1]).matches(self._state, each)

    def _doubtful(self, rule: Rule, found: Sequence[Dependencies]) -> None:
        """Whatever a rule may set is not known from here on."""
        for each in found:
            self._unknown.add(each.writes)


_MACRO = re.compile(r"%\{tx\.([^}]*)\}", re.IGNORECASE)


def _written_out(rule: Rule, values: Mapping[str, bytes]) -> Rule:
    """A rule in whose operators some variables are written out."""

    def value(found: re.Match[str]) -> str:
        known = values.get(found[1].lower())
        return found[0] if known is None else known.decode("utf-8", "surrogateescape")

    operator = rule.operator
    if operator is not None and "%{" in operator.argument:
        operator = evolve(operator, argument=_MACRO.sub(value, operator.argument))
    return evolve(rule, operator=operator, chained=tuple(_written_out(each, values) for each in rule.chained))


def _is_compilable(link: Rule) -> bool:
    try:
        Link.of(link, PHASES[-1])
    except InvalidValue:
        return False
    return True


def _asks_nothing(link: Rule, persistent: set[str]) -> bool:
    """Whether a link looks only at collections that outlive requests, and that nothing sets."""
    return bool(link.targets) and all(
        each.collection in PERSISTENT - persistent and not each.counted for each in link.targets
    )


def _may_remove(controlling: Rule, rule: Rule) -> bool:
    return any(_removes(control.name, control.value, rule) for control in controlling.controls)


def _removes(name: str, value: str, rule: Rule) -> bool:
    if not name.startswith("ruleRemove"):
        return False
    if name.endswith("Id"):
        ranges = (each.partition("-") for each in value.replace(",", " ").split())
        return any(int(first) <= rule.id <= int(last or first) for first, _, last in ranges)
    return value in rule.tags if name.endswith("Tag") else value == rule.message


def all_kept(tree: RuleTree) -> dict[int, list[Kept]]:
    """Every rule of a tree by its phase, as if nothing were known."""
    found: dict[int, list[Kept]] = {phase: [] for phase in PHASES}
    for phase, kept in found.items():
        several = [each for each in tree.directives if isinstance(each, Marker) or phase_of(each) == phase]
        for place, each in enumerate(several):
            if isinstance(each, Rule):
                of_request = any(of_link(link).of_request for link in (each, *each.chained))
                kept.append(Kept(each, place, goes_on(several, place, each), of_request))
    return found
