"""Our engine with a Core Rule Set, asked as :mod:`tests.support.modsecurity` asks the reference engine."""

from __future__ import annotations

import pathlib
from functools import cached_property

from attrs import evolve, frozen

from edgenode.model.errors import ClientError
from edgenode.model.exchange import Address, Body, Connection, Exchange
from edgenode.policy import contentfilter
from edgenode.policy.contentfilter.collections import COLLECTIONS, Collection
from edgenode.policy.contentfilter.findings import Verdict
from edgenode.policy.contentfilter.parsing import parse
from edgenode.policy.contentfilter.ruleset import RuleSet
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.listener.speakers import read_request_head
from tests.support.modsecurity import DEBIAN_RULES, DEBIAN_SETUP, Answer, Asked

BUILTIN = pathlib.Path(contentfilter.__file__).parent / "builtin"

LIMITS = HeadLimits(target=256 * 1024, head=512 * 1024, headers=200)

_DETECTING = 'SecAction "id:1,phase:1,pass,nolog,ctl:ruleEngine=DetectionOnly"\n'
"""All that matches is told, and nothing is refused."""

_NOTHING = Collection("", lambda exchange: ()).further

WITHOUT_FURTHER = {name: evolve(each, further=_NOTHING, aliases=None) for name, each in COLLECTIONS.items()}
"""The variables as the reference engine reads them, without what other servers would read."""


def exchange(request: Asked) -> Exchange:
    """The exchange of a request, as a listener reads it.

    :raises ClientError: if a listener refuses it.
    """
    head = read_request_head(request.head, LIMITS, b"https")
    whole = head.with_body(Body(request.body, len(request.body)))
    connection = Connection(Address("203.0.113.9", 50000), Address("192.0.2.1", 443), tls_version="TLSv1.3")
    return Exchange(connection, whole, "203.0.113.9", time=1_800_000_000.0)


def has_further(asked: Exchange) -> bool:
    """Whether rules see more of a request than the reference engine does."""
    return any(each.further(asked) for each in COLLECTIONS.values())


def answer_of(verdict: Verdict) -> Answer:
    """What a verdict says, in the words of the reference."""
    rules = tuple(dict.fromkeys(finding.rule for finding in verdict.findings))
    return Answer(rules, {name: score for name, score in verdict.scores.items() if score and name != "outbound"})


@frozen(slots=False)
class Ours:
    """Our engine with some rules; the same as :class:`tests.support.modsecurity.Reference`.

    :ivar rules: a folder of a Core Rule Set's ``rules``.
    :ivar setup: its set-up.
    :ivar before: what stands behind the set-up, before the rules.
    :ivar builtin: whether edgenode's own rules stand behind them.
    :ivar further: whether rules see what other servers would read, besides what the reference engine reads.
    """

    rules: pathlib.Path = DEBIAN_RULES
    setup: pathlib.Path = DEBIAN_SETUP
    before: str = ""
    builtin: bool = False
    further: bool = True

    @cached_property
    def rule_set(self) -> RuleSet:
        """The rules, compiled."""
        sources = [("detecting", _DETECTING), (str(self.setup), self.setup.read_text()), ("before", self.before)]
        data: dict[str, str] = {}
        for folder in (self.rules, BUILTIN) if self.builtin else (self.rules,):
            sources += [(str(file), file.read_text()) for file in sorted(folder.glob("*.conf"))]
            data |= {str(file): file.read_text() for file in folder.glob("*.data")}
        return RuleSet.of(parse(sources, data), COLLECTIONS if self.further else WITHOUT_FURTHER)

    def answer(self, request: Asked) -> Answer | None:
        """Ask it of a request; ``None`` if a listener does not take it in."""
        try:
            asked = exchange(request)
        except ClientError:
            return None
        return answer_of(self.rule_set.judge(asked))
