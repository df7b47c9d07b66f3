"""What a configuration would say of a recorded event, for people.

Law: a verdict is told only if it is certain; what it depends on is named.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.config.load import Configuration
from edgenode.policy.contentfilter.secrets import Secrets
from edgenode.simulation.recorded import NoEvent, NotJudged, Recorded
from edgenode.simulation.replay import Certain, Replayer
from edgenode.simulation.simulator import NetworkNeeded


def present_verdict(configuration: Configuration, line: str) -> Iterator[str]:
    """What the configuration would decide, and what had been decided."""
    try:
        recorded = Recorded.of(line)
    except (NoEvent, NotJudged) as error:
        yield f"nothing was judged: {error}"
        return
    answer = Replayer(configuration).judge(recorded)
    yield f"then: {recorded.verdict}{_by(recorded.filter)}"
    if isinstance(answer, Certain):
        same = ": the same" if answer.verdict.same(recorded.verdict) else ""
        yield f"now:  {answer.verdict}{_by(answer.filter)}{same}"
    else:
        yield f"now:  not certain: the event does not hold {', '.join(sorted(answer.missing))}"
        yield from (f"      {name} looks at it" for name in answer.filters)
    hidden = Secrets.of(configuration.masks(), recorded.head)
    yield from map(hidden.text, _reasons(configuration, recorded))


def _by(name: str) -> str:
    return f" by {name}" if name else ""


def _reasons(configuration: Configuration, recorded: Recorded) -> Iterator[str]:
    """The way that it would go, and the filters that match, as far as they look at what is recorded."""
    replayer = Replayer(configuration)
    group = replayer.group(recorded)
    if group is None:
        return
    try:
        judged = replayer.judged(recorded, group)
    except NetworkNeeded:
        return
    way = (judged.exchange.server_group, judged.exchange.security_policy, judged.exchange.path_map)
    yield f"      {' / '.join(filter(None, way)) or 'no server group'}"
    for why in judged.decision.reasons:
        action = f" -> {why.action}" if why.action else ""
        note = f" # {why.annotation}" if why.annotation else ""
        yield f"      {why.stage}: {why.filter}: {why.entry}{note}{action}"
