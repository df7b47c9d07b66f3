"""The rules of a content filter by themselves: what they say to a request, without any configuration.

Law: they are read and judged as those of a section are. What a client sent is escaped where it is not printable.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve

from edgenode.config import content_rules, value_readers
from edgenode.config.value_readers import Scope
from edgenode.model.errors import ClientError, ConfigurationError, InvalidValue, Problem, printable
from edgenode.model.exchange import Address, Body, Connection, Exchange
from edgenode.model.settings import File
from edgenode.policy.contentfilter.contentfilter import ContentFilter
from edgenode.policy.contentfilter.exclusions import Exclusion
from edgenode.policy.contentfilter.findings import Finding, Verdict
from edgenode.policy.contentfilter.ruleset import RuleSet
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.listener.speakers import read_request_head
from edgenode.simulation.curl import CurlRequest, InvalidRequest

SHOWN = 100
"""Bytes of what matched that are shown."""

_LIMITS = HeadLimits(target=1 << 20, head=1 << 21, headers=1000)


def section_of(
    rules: str, paranoia: int | None = None, threshold: int | None = None, setup: str | None = None
) -> ContentFilter:
    """A section with rules.

    :param rules: the words of the section's ``rules``; relative paths start here.
    :raises ConfigurationError: if they are none.
    """
    scope = Scope(pathlib.Path())
    try:
        sources = tuple(value_readers.rule_source(word, scope) for word in rules.split())
        file = None if setup is None else File(value_readers.file(setup, scope))
        if not sources:
            raise InvalidValue("no rules are named")
        return ContentFilter(rules=sources, setup=file, paranoia=paranoia, inbound_threshold=threshold)
    except InvalidValue as problem:
        raise ConfigurationError([Problem("", problem.which or "rules", problem.sentence)]) from None


def rule_set(section: ContentFilter, exclude: Sequence[str] = ()) -> RuleSet:
    """The rules of a section, compiled.

    :param exclude: lines of the section's ``exclude``.
    :raises ConfigurationError: with every problem.
    """
    try:
        lines = tuple(Exclusion.from_text(each) for each in exclude)
    except InvalidValue as problem:
        raise ConfigurationError([Problem("", "exclude", problem.sentence)]) from None
    loaded, problems = content_rules.load("", evolve(section, exclude=lines))
    if loaded is None:
        raise ConfigurationError([evolve(each, section="") for each in problems])
    return loaded.compiled


def exchange_of(asked: CurlRequest, at: float, peer: str = "192.0.2.7") -> Exchange:
    """The exchange of a request, as a listener reads it.

    :raises InvalidRequest: if a listener would not.
    """
    try:
        head = read_request_head(asked.head, _LIMITS, b"https" if asked.encrypted else b"http")
    except ClientError as error:
        raise InvalidRequest(f"a listener refuses it: {error}") from None
    if asked.http2:
        head.version = (2, 0)
    request = head.with_body(Body(asked.body, len(asked.body)) if asked.body else None)
    here = Address("192.0.2.1", 443 if asked.encrypted else 80)
    version = "TLSv1.3" if asked.encrypted else ""
    return Exchange(Connection(Address(peer, 50000), here, tls_version=version), request, peer, time=at)


def told(verdict: Verdict) -> dict[str, Any]:
    """What rules say, as JSON has it."""
    return {
        "refused": verdict.refused,
        "by": verdict.by,
        "scores": dict(verdict.scores),
        "findings": [_finding(each) for each in verdict.findings],
    }


def _finding(found: Finding) -> dict[str, Any]:
    return {
        "rule": found.rule,
        "message": printable(found.message),
        "score": found.score,
        "severity": found.severity,
        "target": printable(found.variable),
        "matched": shown(found.matched),
        "tags": list(found.tags),
    }


def shown(matched: bytes) -> str:
    """As much of what matched as is shown, printable."""
    text = printable(matched[:SHOWN].decode("utf-8", "backslashreplace"))
    return text if len(matched) <= SHOWN else f"{text}…"


def _is_score(found: Mapping[str, Any]) -> bool:
    """Whether a rule has looked at what others have added up: the first line tells that."""
    return str(found["target"]).startswith("TX:")


def lines(verdict: Mapping[str, Any]) -> Iterator[str]:
    """The same for people, line by line."""
    scores = ", ".join(f"{name} {score}" for name, score in verdict["scores"].items())
    became = f"refused by rule {verdict['by']}" if verdict["refused"] else "let through"
    yield f"{became}{f': {scores}' if scores else ''}"
    found = [each for each in verdict["findings"] if each["rule"] != verdict["by"] or not _is_score(each)]
    if not found:
        yield "no rule matched"
        return
    rows = [(str(each["rule"]), f"+{each['score']}" if each["score"] else "", each["target"]) for each in found]
    rule, score, target = (max(map(len, column)) for column in zip(*rows, strict=True))
    for each, row in zip(found, rows, strict=True):
        yield f"  {row[0]:<{rule}}  {row[1]:>{score}}  {row[2]:<{target}}  {each['message']}"
        yield f"  {'':{rule + score + target + 6}}{each['matched']}"
