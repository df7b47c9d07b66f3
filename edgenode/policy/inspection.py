"""The stage that refuses requests of which rules have not seen all: more arguments, fields, parts or bytes than are
looked at, a character set or a content coding that nobody knows here, or JSON, XML or GraphQL that is none; and
multipart that an origin may read otherwise than rules do.

Law: what is padded until rules see it no longer has not passed them. Where no rule looks, or none refuses, nothing is
refused for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from attrs import Factory, field, frozen

from edgenode.model.decision import NOTHING, Action, Decision, Reason
from edgenode.model.exchange import Exchange
from edgenode.policy import escaping
from edgenode.policy.actions import TEXT, Block, refuses, taken_tags
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.policy.tagging import MESSAGE
from edgenode.policy.templates import Template
from edgenode.rules.section_formulas import SectionFormulas
from edgenode.rules.views import bodies

UNINSPECTED = ("refuse", "pass")
"""What becomes of such a request."""

AMBIGUOUS = "body:ambiguous"


def _refusal(status: int, page: str) -> Action:
    return Block("uninspected", status=status, body=escaping.body(Template.from_text(page), TEXT))


_UNSEEN: Mapping[str, tuple[str, str, Action]] = MappingProxyType(
    {
        "args:truncated": (
            "arguments",
            "more arguments than rules look at",
            _refusal(400, "There are too many arguments.\n"),
        ),
        "body:truncated": ("body", "more of the body than rules look at", _refusal(413, "The body is too large.\n")),
        "body:unknown-charset": (
            "body",
            "a character set that rules cannot read",
            _refusal(415, "The character set is not known.\n"),
        ),
        "body:unknown-coding": (
            "body",
            "a content coding that rules cannot undo",
            _refusal(415, "The content coding is not known.\n"),
        ),
        "body:malformed": (
            "structures",
            "a body of JSON, XML or GraphQL that rules cannot read",
            _refusal(400, "The body cannot be read.\n"),
        ),
        AMBIGUOUS: (
            "body",
            "a multipart body that two servers may read differently",
            _refusal(400, "The body can be read in more than one way.\n"),
        ),
    }
)
"""By the tag of what rules have not seen: what a rule needs to have missed it, the reason, and the refusal."""


UNSEEN = frozenset(_UNSEEN) - {AMBIGUOUS}
"""The tags of what rules have not seen."""


def _missed(needs: frozenset[str]) -> frozenset[str]:
    """The tags of what rules with these needs can have missed."""
    return frozenset(tag for tag, (need, *_) in _UNSEEN.items() if need in needs)


def _unseen(
    filters: Mapping[str, GlobalFilter], formulas: SectionFormulas, actions: Mapping[str, Action]
) -> frozenset[str]:
    """The tags of what filters can have missed; none if none of them refuses."""
    if not any(refuses(actions[each.action]) for each in filters.values() if each.action is not None):
        return frozenset()
    return _missed(frozenset[str]().union(*(each.looks_at(name, formulas) for name, each in filters.items())))


@frozen(eq=False)
class Inspection:
    """Refuses what rules should have seen and could not.

    :ivar unseen: the tags that it looks for; none if there is nothing to refuse.
    :ivar of_messages: the same on messages of WebSockets.
    """

    name: ClassVar[str] = "inspection"
    needs: ClassVar[frozenset[str]] = frozenset()

    unseen: frozenset[str]
    of_messages: frozenset[str] = field(default=Factory(lambda self: self.unseen, takes_self=True))

    @classmethod
    def of(
        cls, filters: Mapping[str, GlobalFilter], formulas: SectionFormulas, actions: Mapping[str, Action]
    ) -> Inspection:
        """The stage for global filters.

        :param filters: every filter by its name.
        :param formulas: makes their formulas.
        :param actions: the actions that they name.
        """
        active = {name: each for name, each in filters.items() if each.active}
        of_requests = {name: each for name, each in active.items() if not each.of_messages(name, formulas)}
        return cls(_unseen(of_requests, formulas, actions), _unseen(active, formulas, actions))

    @property
    def all_unseen(self) -> frozenset[str]:
        """What it looks for on requests or on messages."""
        return self.unseen | self.of_messages

    def looking(self, needs: frozenset[str], of_messages: frozenset[str]) -> Inspection:
        """The stage where others judge as well, which may refuse whatever they look at.

        :param needs: what those need.
        :param of_messages: what those of them need that judge messages.
        """
        return Inspection(self.unseen | _missed(needs), self.of_messages | _missed(of_messages))

    def without(self, tags: frozenset[str]) -> Inspection:
        """The same stage, for which some tags are nothing to refuse."""
        return Inspection(self.unseen - tags, self.of_messages - tags)

    def decide(self, exchange: Exchange) -> Decision:
        """The refusal of a request that has such a tag, by the first of them."""
        unseen = self.of_messages if MESSAGE in exchange.tags else self.unseen
        if unseen.isdisjoint(exchange.tags):
            return NOTHING
        tag = next(tag for tag in _UNSEEN if tag in unseen and tag in exchange.tags)
        _, sentence, action = _UNSEEN[tag]
        if tag == AMBIGUOUS and exchange.request is not None:
            sentence += f": {bodies.ambiguous(exchange.request)}"
        reason = Reason(self.name, "", f"tag: {tag}", sentence, action.name)
        return Decision(taken_tags(action), (reason,), action)
