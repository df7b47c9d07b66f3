"""The rules of a phase, one behind the other: what is skipped, what is told, and when it ends.

Law: the order is that of the rules, whichever of them are asked. A rule that is not asked is one that cannot match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from attrs import frozen

from edgenode.model.errors import Problem
from edgenode.policy.contentfilter.dependencies import of_link
from edgenode.policy.contentfilter.directives import Marker, Rule
from edgenode.policy.contentfilter.evaluation import SLICE, Link, Removal, Run, controlling
from edgenode.policy.contentfilter.findings import SCORE, Finding
from edgenode.policy.contentfilter.macros import Text

PHASES = (1, 2, 3, 4)
_LONGEST_MATCHED = 4096
_TARGET_REMOVAL = "ruleRemoveTarget"
_WITHOUT_EFFECT = ("forceRequestBodyVariable", "requestBodyAccess", "responseBodyAccess")


def phase_of(rule: Rule) -> int:
    """The phase in which a rule is judged: the fifth is judged with the fourth."""
    return min(rule.phase, PHASES[-1])


@frozen(eq=False)
class Step:
    """A rule with its chain, compiled.

    :ivar rule: as it is written.
    :ivar place: where it stands among all rules of its phase.
    :ivar goes_on: the place at which it goes on if it matches.
    :ivar links: what has to match.
    :ivar leaves_out: whether all that it does is to leave out targets of other rules.
    :ivar only_sets: whether all that it does is to set variables to what does not depend on the request.
    """

    rule: Rule
    place: int
    goes_on: int
    links: tuple[Link, ...]
    controls: tuple[Callable[[Run], None], ...]
    message: Text
    data: Text
    tags: tuple[Text, ...]
    leaves_out: bool
    only_sets: bool

    @classmethod
    def of(cls, rule: Rule, place: int, goes_on: int) -> Step:
        """Compile a rule.

        :raises InvalidValue: if something in it cannot be done here.
        """
        rules = (rule, *rule.chained)
        return cls(
            rule,
            place,
            goes_on,
            tuple(Link.of(each, phase_of(rule), alone=not rule.chained) for each in rules),
            tuple(controlling(control) for each in rules for control in each.controls),
            Text.of(rule.message),
            Text.of(rule.log_data),
            tuple(Text.of(tag) for tag in rule.tags),
            _does_only(rule, (_TARGET_REMOVAL,))
            and not (rule.skip or rule.skip_after)
            and not any(each.set_vars or each.capture for each in rules),
            _does_only(rule, ()) and not any(each.sets_of_request for each in map(of_link, rules)),
        )

    def matches(self, run: Run) -> bool:
        """Whether all of its links match, each of which may set variables."""
        rule = self.rule
        run.rule, run.score, run.matched = rule, 0, []
        return all(link.matches(run, rule) for link in self.links)

    def act(self, run: Run) -> None:
        """Do what it does if it matches."""
        rule = self.rule
        for control in self.controls:
            control(run)
        if rule.severity is not None:
            run.severity = min(run.severity, rule.severity)
        if rule.logged:
            run.findings.append(self._finding(run))
        if rule.disruptive == "allow":
            run.allowed = rule.allows or "all"
        elif rule.disruptive != "pass" and not run.detecting and not run.off:
            run.refused, run.refused_by = True, rule.id

    def _finding(self, run: Run) -> Finding:
        name, matched = run.matched[-1] if run.matched else (b"", b"")
        return Finding(
            self.rule.id,
            _told(self.message.expanded(run)),
            _told(self.data.expanded(run)),
            _told(name),
            matched[:_LONGEST_MATCHED],
            self.rule.severity,
            run.score,
            tuple(_told(tag.expanded(run)) for tag in self.tags),
            not any(text.macros for text in (self.message, *self.tags)),
        )


def _does_only(rule: Rule, controls: tuple[str, ...]) -> bool:
    """Whether a rule does nothing but set variables, skip others, and what controls of some kinds do."""
    return (
        not rule.logged
        and rule.disruptive == "pass"
        and (rule.severity is None)
        and all(control.name.startswith(controls) for each in (rule, *rule.chained) for control in each.controls)
    )


def without_effect(rules: Sequence[Rule]) -> set[int]:
    """The places of those rules of which it makes no difference whether they match: what they set is neither looked at
    by another, nor a score."""
    several = [[of_link(link) for link in (rule, *rule.chained)] for rule in rules]
    looks = [
        (place, names) for place, links in enumerate(several) for each in links for names in (each.reads, each.told)
    ]
    found = set()
    for place, rule in enumerate(rules):
        if not _does_only(rule, _WITHOUT_EFFECT) or rule.skip or rule.skip_after:
            continue
        writes = [each.writes for each in several[place] if each.changes]
        if any(name.endswith(SCORE) for each in writes for name in each.exact):
            continue
        if not any(each.meets(names) for there, names in looks if there != place for each in writes):
            found.add(place)
    return found


def _told(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def problem_of(rule: Rule, sentence: str) -> Problem:
    """What is wrong with a rule."""
    return Problem("", "", f"rule {rule.id}: {sentence}", file=rule.place.file, line=rule.place.line)


def goes_on(several: Sequence[Rule | Marker], place: int, rule: Rule) -> int:
    """Where a phase goes on behind a rule that matches; at its end if there is no such marker.

    :param several: what the phase consists of.
    :param place: where the rule stands.
    """
    if rule.skip_after:
        ends = (
            there
            for there in range(place + 1, len(several))
            if isinstance(marker := several[there], Marker) and marker.name == rule.skip_after
        )
        return next(ends, len(several))
    left = rule.skip
    for there in range(place + 1, len(several) if left else 0):
        if isinstance(several[there], Rule):
            if not left:
                return there
            left -= 1
    return len(several) if rule.skip else place + 1


def judging(steps: Iterable[Step], run: Run, place: int = 0) -> Iterator[None]:
    """Judge by rules of one phase, in their order; it yields whenever others should have their turn.

    :param steps: those that may match.
    :param place: where it begins.
    """
    for step in steps:
        if step.place < place or (run.removals and any(is_out(removal, step.rule) for removal in run.removals)):
            continue
        if step.matches(run):
            step.act(run)
            place = step.goes_on
            if run.refused or run.allowed:
                return
        if run.work > SLICE:
            run.work = 0
            yield


def is_out(removal: Removal, rule: Rule) -> bool:
    """Whether a removal takes a rule out, and not only what it looks at."""
    return removal.leaves_out is None and removal.applies(rule)
