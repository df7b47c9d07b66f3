"""Whether rate limits can do what they say: tags that come, actions that are there, thresholds that are reached.

Law: a limit that could never refuse whom its author meant is an error; one that is only of no use is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.config.compiled_rules import Formulas
from edgenode.config.data import Sections
from edgenode.config.notation import suggestion
from edgenode.model.errors import Problem
from edgenode.policy.actions import PREDEFINED, refuses
from edgenode.policy.counting import strength
from edgenode.policy.keys import Part
from edgenode.policy.ratelimits import USUAL, RateLimit

_WRITTEN_BY_ANYBODY = frozenset(
    f"header.{name}"
    for name in (
        "x-forwarded-for",
        "forwarded",
        "x-real-ip",
        "x-client-ip",
        "client-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "x-cluster-client-ip",
    )
)
"""Headers that proxies write addresses into, and clients too."""


def rate_limits(configuration: Sections) -> Iterator[Problem]:
    """Actions that there are not, and places that nobody knows."""
    for name, limit in configuration.rate_limits.items():
        header, known = f"rate-limit {name}", (*PREDEFINED, *configuration.actions)
        for line in limit.limit:
            if line.action and line.action not in known:
                sentence = f"there is no [action {line.action}]{suggestion(line.action, known)}"
                yield Problem(header, "limit", sentence, str(line), len(line.rate) + 1)
        yield from geography(configuration, header, limit.key, (*limit.include, *limit.exclude), limit.active)


def geography(
    configuration: Sections, header: str, parts: tuple[Part, ...], tags: tuple[str, ...], active: bool
) -> Iterator[Problem]:
    """A section that counts by where clients are, without a database that would say so.

    :param parts: its key.
    :param tags: those that it looks for.
    """
    located = any("geography" in part.needs for part in parts) or any(tag.startswith("geo-") for tag in tags)
    if active and located and not configuration.geo:
        yield Problem(header, "", "looks at where a client is, which nobody knows: no database is named in [geo]")


def doubtful(formulas: Formulas) -> Iterator[Problem]:
    """Warnings: thresholds that are never reached, and what is counted by what clients choose."""
    configuration = formulas.configuration
    for name, limit in configuration.rate_limits.items():
        if limit.active:
            header = f"rate-limit {name}"
            yield from _thresholds(header, limit, formulas)
            yield from of_clients_choice(header, limit.key)


def _thresholds(header: str, limit: RateLimit, formulas: Formulas) -> Iterator[Problem]:
    actions = [formulas.actions[line.action or USUAL] for line in limit.limit]
    for line, action in zip(limit.limit, actions, strict=True):
        if not refuses(action) and line.action and action.skips:
            sentence = f"lets through who is over, for {line.action} forwards at once"
            yield Problem(header, "limit", sentence, str(line), len(line.rate) + 1, warning=True)
    if limit.ban and not any(map(refuses, actions)):
        yield Problem(header, "ban", "has no effect: no threshold refuses anything", warning=True)
    judged = [*enumerate(zip(limit.limit, actions, strict=True))]
    for place, (line, action) in judged:
        for other, (before, stronger) in judged:
            if other == place or before.period != line.period or before.most > line.most:
                continue
            banned = bool(limit.ban) and refuses(stronger) and before.most < line.most
            if banned or (strength(stronger), place) > (strength(action), other):
                sentence = f"is never reached: {before.rate} is over before it, and that is as strong"
                yield Problem(header, "limit", sentence, str(line), 0, warning=True)
                break


def of_clients_choice(header: str, parts: tuple[Part, ...]) -> Iterator[Problem]:
    """Words of a key by which every client chooses under which name it is counted."""
    for part in parts:
        if part.word in _WRITTEN_BY_ANYBODY:
            sentence = "any client can write what it likes into it; ip is the address that trusted-proxies report"
            yield Problem(header, "key", sentence, part.word, 0, warning=True)
