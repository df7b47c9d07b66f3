"""The stage of the content filter: what the rules have found, as a decision.

Law: every rule that matched is told, whatever becomes of the request; in the mode ``monitoring`` nothing more happens.
What does not look as the profile says is refused before any rule is asked. No value is told that is masked.
What takes long is judged in pieces, between which others have their turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

from attrs import evolve, frozen
from twisted.internet.defer import Deferred

from edgenode.model.decision import NOTHING, Action, Decision, Reason
from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange, Response
from edgenode.model.timers import Later, call_later
from edgenode.policy.actions import taken_tags
from edgenode.policy.contentfilter import messages
from edgenode.policy.contentfilter.bodies import BodyLimits
from edgenode.policy.contentfilter.contentfilter import ContentFilter
from edgenode.policy.contentfilter.findings import CLEAN, Finding, Verdict
from edgenode.policy.contentfilter.masking import NOTHING_MASKED, Masks
from edgenode.policy.contentfilter.profile import Deviation, Profile
from edgenode.policy.contentfilter.ruleset import RuleSet
from edgenode.policy.contentfilter.secrets import Secrets
from edgenode.policy.selection import Selection
from edgenode.policy.tagging import MESSAGE
from edgenode.rules.tags import canonical

NEEDS = frozenset(("arguments", "body", "geography", "structures"))
"""What rules may look at besides the head of a request."""

LONGEST_SHOWN = 100
"""Characters of a text that matched which are told."""

_ATTACK = "attack-"
"""What the tags of a rule begin with that say what kind of attack it is about."""

_RISKS = (5, 5, 5, 4, 3, 2, 1, 1)
"""The risk of a rule that matched, 1 to 5, by its severity: emergency, alert, critical, error, warning, and so on."""


def shown(text: bytes) -> str:
    """A client's text for people: printable, and not too long."""
    printable = "".join(chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in text[: LONGEST_SHOWN + 1])
    return printable if len(printable) <= LONGEST_SHOWN else f"{printable[: LONGEST_SHOWN - 3]}..."


def tags_of(findings: Iterable[Finding]) -> frozenset[str]:
    """The tags of a request for what was found: the rules, the kinds of attacks, and the highest risk."""
    tags, risk = set(), 0
    for each in findings:
        tags.add(f"cf-rule:{each.rule}")
        tags.update(f"cf-category:{tag.removeprefix(_ATTACK)}" for tag in each.tags if tag.startswith(_ATTACK))
        if each.severity is not None and 0 <= each.severity < len(_RISKS):
            risk = max(risk, _RISKS[each.severity])
    if risk:
        tags.add(f"cf-risk:{risk}")
    return frozenset(map(canonical, tags))


_UNREAD = (Deviation("body", "body", "it cannot be read"),)


@frozen(eq=False)
class Filter:
    """The stage of one content filter, compiled.

    :ivar filter: the name of its section.
    :ivar section: what that says.
    :ivar rules: its rules, compiled.
    :ivar action: what is done with a request that they refuse; ``None`` if nothing is.
    :ivar profile: what requests look like; ``None`` if that is not said.
    :ivar limits: what bodies may be, likewise.
    :ivar masks: what is never told in clear.
    :ivar call_later: the timers by which it goes on; those of the running reactor if absent.
    """

    name: ClassVar[str] = "content-filter"

    filter: str
    section: ContentFilter
    rules: RuleSet
    action: Action | None
    needs: frozenset[str]
    profile: Profile | None = None
    limits: BodyLimits | None = None
    masks: Masks = NOTHING_MASKED
    call_later: Later = call_later

    @classmethod
    def of(cls, name: str, section: ContentFilter, rules: RuleSet, actions: Mapping[str, Action]) -> Filter:
        """Of a section.

        :param rules: its rules, compiled.
        :param actions: every action by its name.
        :raises InvalidValue: if it names an action that does not exist.
        """
        if section.action not in actions:
            raise InvalidValue(f"the content filter {name} names an action that does not exist: {section.action}")
        action = actions[section.action] if section.refuses else None
        needs = NEEDS if action is None else NEEDS | action.needs
        return cls(name, section, rules, action, needs, section.profile, section.limits)

    @property
    def needs_to_refuse(self) -> frozenset[str]:
        """What it has to have seen whole, or the request is refused."""
        return NEEDS if self.action is not None and not self.section.partial else frozenset()

    def decide(self, exchange: Exchange) -> Decision | Deferred[Decision]:
        """What profile, limits and rules come to for a request."""
        if exchange.request is None or MESSAGE in exchange.tags:
            return NOTHING
        before = NOTHING
        if self.needs_to_refuse and messages.unreadable(exchange.request):
            return self._deviating(exchange, _UNREAD)
        for each in (self.profile, self.limits):
            if each is not None and (deviations := each.deviations(exchange)):
                before = before | self._deviating(exchange, deviations)
                if self.action is not None:
                    return before
        return self._judged(exchange, self.rules.judging(exchange, carry=self.section.responses), before)

    def judge_response(self, exchange: Exchange, response: Response) -> Decision | Deferred[Decision]:
        """What they come to for the answer to it.

        :param response: its head, and as much of its body as is looked at.
        """
        return self._judged(exchange, self.rules.judging_response(exchange, response), NOTHING)

    def _deviating(self, exchange: Exchange, deviations: Sequence[Deviation]) -> Decision:
        """What becomes of a request that does not look as the profile says."""
        action = self.action
        named = "" if action is None else action.name
        told = [each.where for each in deviations]
        if any(each.where != each.section for each in deviations):  # a client's name stands in it
            told = [*map(Secrets.of(self.masks, exchange.request).text, told)]
        tags = frozenset((*self.section.tags, *(f"cf-restrict:{each.section}" for each in deviations)))
        reasons = tuple(
            Reason(self.name, self.filter, where, each.what, named)
            for where, each in zip(told, deviations, strict=True)
        )
        return Decision(tags if action is None else tags | taken_tags(action), reasons, action)

    def _judged(
        self, exchange: Exchange, judging: Iterator[Verdict | None], before: Decision
    ) -> Decision | Deferred[Decision]:
        """What the rules come to.

        :param before: what has come of the profile.
        """
        verdict = next(judging)
        if verdict is CLEAN:
            return before
        if verdict is not None:
            return self._joined(exchange, verdict, before)
        decided: Deferred[Decision] = Deferred(lambda _: judging.close())  # type: ignore[attr-defined]
        self.call_later(0, self._go_on, exchange, judging, before, decided)
        return decided

    def _joined(self, exchange: Exchange, verdict: Verdict, before: Decision) -> Decision:
        if self.masks and verdict.findings:
            hidden = Secrets.of(self.masks, exchange.request)
            verdict = evolve(verdict, findings=tuple(map(hidden.finding, verdict.findings)))
        decision = self.decision(verdict)
        return decision if before is NOTHING else before | decision

    def _go_on(
        self,
        exchange: Exchange,
        judging: Iterator[Verdict | None],
        before: Decision,
        decided: Deferred[Decision],
    ) -> None:
        if decided.called:
            return
        try:
            verdict = next(judging)
        except BaseException as error:
            decided.errback(error)
            return
        if verdict is None:
            self.call_later(0, self._go_on, exchange, judging, before, decided)
        else:
            decided.callback(self._joined(exchange, verdict, before))

    def decision(self, verdict: Verdict) -> Decision:
        """A verdict as a decision; what is masked in it has to be masked already."""
        if not verdict.findings and not verdict.refused:
            return NOTHING
        action = self.action if verdict.refused else None
        tags = tags_of(verdict.findings)
        if verdict.refused:
            tags |= frozenset(self.section.tags)
        if action is not None:
            tags |= taken_tags(action)
        named = "" if action is None else action.name
        reasons = tuple(self._reason(each, named if each.rule == verdict.by else "") for each in verdict.findings)
        if action is not None and not any(each.action for each in reasons):  # the rule that refuses does not tell
            reasons += (Reason(self.name, self.filter, str(verdict.by), "", named),)
        return Decision(tags, reasons, action)

    def _reason(self, finding: Finding, action: str) -> Reason:
        told = [each for each in (finding.message, shown(finding.matched)) if each]
        score = f" (score {finding.score})" if finding.score else ""
        return Reason(
            self.name, self.filter, f"{finding.rule} {finding.variable}".rstrip(), f"{': '.join(told)}{score}", action
        )


@frozen(eq=False)
class ContentFilters:
    """The content filters of a configuration, compiled; the stage of a path map is that of the filter that it names.

    :ivar filters: the active ones, by name.
    """

    name: ClassVar[str] = Filter.name

    filters: Mapping[str, Filter]

    @classmethod
    def of(cls, filters: Mapping[str, tuple[ContentFilter, RuleSet]], actions: Mapping[str, Action]) -> ContentFilters:
        """Of active sections with their rules, by name.

        :raises InvalidValue: as :meth:`Filter.of` does.
        """
        return cls({name: Filter.of(name, section, rules, actions) for name, (section, rules) in filters.items()})

    def selected(self, selection: Selection) -> Filter | None:
        """The stage of the filter that a path map names; ``None`` if it names none, or one that is not active."""
        found = self.filters.get(selection.content_filter)
        return evolve(found, masks=selection.masks) if found is not None and selection.masks else found
