"""Our engine with a Core Rule Set, asked as :mod:`tests.support.modsecurity` asks the reference engine."""

from __future__ import annotations

import pathlib

from attrs import field, frozen

from edgenode.model.errors import ClientError
from edgenode.model.exchange import Address, Body, Connection, Exchange
from edgenode.policy.contentfilter.collections import COLLECTIONS
from edgenode.policy.contentfilter.findings import Verdict
from edgenode.policy.contentfilter.parsing import parse
from edgenode.policy.contentfilter.ruleset import RuleSet
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.listener.speakers import read_request_head
from tests.support.modsecurity import DEBIAN_RULES, DEBIAN_SETUP, Answer, Asked

_LIMITS = HeadLimits(target=256 * 1024, head=512 * 1024, headers=200)

_DETECTING = 'SecAction "id:1,phase:1,pass,nolog,ctl:ruleEngine=DetectionOnly"\n'
"""All that matches is told, and nothing is refused."""


def rule_set(rules: pathlib.Path = DEBIAN_RULES, setup: pathlib.Path = DEBIAN_SETUP, before: str = "") -> RuleSet:
    """The rules of a Core Rule Set.

    :param before: what stands behind the set-up, before the rules.
    """
    sources = [("detecting", _DETECTING), (str(setup), setup.read_text()), ("before", before)]
    sources += [(str(file), file.read_text()) for file in sorted(rules.glob("*.conf"))]
    data = {str(file): file.read_text() for file in rules.glob("*.data")}
    return RuleSet.of(parse(sources, data), COLLECTIONS)


def exchange(request: Asked) -> Exchange:
    """The exchange of a request, as a listener reads it.

    :raises ClientError: if a listener refuses it.
    """
    head = read_request_head(request.head, _LIMITS, b"https")
    whole = head.with_body(Body(request.body, len(request.body)))
    connection = Connection(Address("203.0.113.9", 50000), Address("192.0.2.1", 443), tls_version="TLSv1.3")
    return Exchange(connection, whole, "203.0.113.9", time=1_800_000_000.0)


def answer_of(verdict: Verdict) -> Answer:
    """What a verdict says, in the words of the reference."""
    rules = tuple(dict.fromkeys(finding.rule for finding in verdict.findings))
    return Answer(rules, {name: score for name, score in verdict.scores.items() if score and name != "outbound"})


@frozen
class Ours:
    """Our engine with some rules; the same as :class:`tests.support.modsecurity.Reference`.

    :ivar rules: a folder of a Core Rule Set's ``rules``.
    :ivar setup: its set-up.
    :ivar before: what stands behind the set-up, before the rules.
    """

    rules: pathlib.Path = DEBIAN_RULES
    setup: pathlib.Path = DEBIAN_SETUP
    before: str = ""
    _set: RuleSet = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_set", rule_set(self.rules, self.setup, self.before))

    def answer(self, request: Asked) -> Answer | None:
        """Ask it of a request; ``None`` if a listener does not take it in."""
        try:
            asked = exchange(request)
        except ClientError:
            return None
        return answer_of(self._set.judge(asked))
