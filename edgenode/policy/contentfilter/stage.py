"""The stage of the content filter: what the rules have found, as a decision.

Law: every rule that matched is told, whatever becomes of the request; in the mode ``monitoring`` nothing more happens.
What takes long is judged in pieces, between which others have their turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from attrs import frozen
from twisted.internet.defer import Deferred

from edgenode.model.decision import NOTHING, Action, Decision, Reason
from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange, Response
from edgenode.model.timers import Later, call_later
from edgenode.policy.actions import taken_tags
from edgenode.policy.contentfilter.contentfilter import ContentFilter
from edgenode.policy.contentfilter.findings import CLEAN, Finding, Verdict
from edgenode.policy.contentfilter.ruleset import RuleSet
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


@frozen(eq=False)
class Filter:
    """The stage of one content filter, compiled.

    :ivar filter: the name of its section.
    :ivar section: what that says.
    :ivar rules: its rules, compiled.
    :ivar action: what is done with a request that they refuse; ``None`` if nothing is.
    :ivar call_later: the timers by which it goes on; those of the running reactor if absent.
    """

    name: ClassVar[str] = "content-filter"

    filter: str
    section: ContentFilter
    rules: RuleSet
    action: Action | None
    needs: frozenset[str]
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
        return cls(name, section, rules, action, NEEDS if action is None else NEEDS | action.needs)

    @property
    def needs_to_refuse(self) -> frozenset[str]:
        """What it has to have seen whole, or the request is refused."""
        return NEEDS if self.action is not None and not self.section.partial else frozenset()

    def decide(self, exchange: Exchange) -> Decision | Deferred[Decision]:
        """What the rules come to for a request."""
        if exchange.request is None or MESSAGE in exchange.tags:
            return NOTHING
        return self._judged(self.rules.judging(exchange))

    def judge_response(self, exchange: Exchange, response: Response) -> Decision | Deferred[Decision]:
        """What they come to for the answer to it.

        :param response: its head, and as much of its body as is looked at.
        """
        return self._judged(self.rules.judging_response(exchange, response))

    def _judged(self, judging: Iterator[Verdict | None]) -> Decision | Deferred[Decision]:
        verdict = next(judging)
        if verdict is CLEAN:
            return NOTHING
        if verdict is not None:
            return self.decision(verdict)
        decided: Deferred[Decision] = Deferred(lambda _: judging.close())  # type: ignore[attr-defined]
        self.call_later(0, self._go_on, judging, decided)
        return decided

    def _go_on(self, judging: Iterator[Verdict | None], decided: Deferred[Decision]) -> None:
        if decided.called:
            return
        try:
            verdict = next(judging)
        except BaseException as error:
            decided.errback(error)
            return
        if verdict is None:
            self.call_later(0, self._go_on, judging, decided)
        else:
            decided.callback(self.decision(verdict))

    def decision(self, verdict: Verdict) -> Decision:
        """A verdict as a decision."""
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
        return self.filters.get(selection.content_filter)
