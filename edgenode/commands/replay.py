"""``edgenode replay``: what a configuration would have decided for recorded requests, and what changes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError, InvalidValue, Problem, printable
from edgenode.observe.event_expressions import EventExpression
from edgenode.simulation import tuning_text
from edgenode.simulation.event_files import Unreadable, opened, with_progress
from edgenode.simulation.replay import Replayer, Tally, missed, read, replay
from edgenode.simulation.scoring import scorings
from edgenode.simulation.tuning import Tuning


def declare(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    parser.description = (
        "Tell what a configuration would have decided for recorded requests. The exit status is 0; 1 if a "
        "configuration or the events cannot be read; 4 if --expect-same is not met."
    )
    parser.add_argument("file", metavar="FILE", help="the configuration file")
    parser.add_argument("events", metavar="EVENTS", help="events as the node writes them, also .gz or .zst; - is stdin")
    parser.add_argument("--against", metavar="OTHER", help="another configuration: what changes from FILE to OTHER")
    parser.add_argument("--examples", type=int, default=3, metavar="N", help="examples of each kind")
    parser.add_argument("--expect-same", action="store_true", help="end with status 4 unless every verdict is the same")
    parser.add_argument(
        "--allow-uncertain", action="store_true", help="with --expect-same: but for what is not certain"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument(
        "--tune", action="store_true", help="the exclusions that would let through what content filters refused, as INI"
    )
    parser.add_argument("--where", metavar="EXPRESSION", help="with --tune: the events that are no attacks (all)")
    parser.add_argument(
        "--at-least",
        type=_count,
        default=2,
        metavar="N",
        help="with --tune: the events that it takes for an exclusion (2)",
    )
    parser.add_argument(
        "--clients",
        type=_count,
        default=2,
        metavar="N",
        help="with --tune: the clients of which they have to come (2)",
    )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError("expected a number from 1 to 1,000,000")
    return int(text)


def main(options: argparse.Namespace) -> int:
    """Replay events: 0; 1 if a configuration or the file cannot be used; 4 if it is not the same as expected."""
    if options.tune:
        return _tune(options)
    tally = Tally(max(0, options.examples))
    try:
        of = Replayer(Configuration.load(options.file))
        against = None if options.against is None else Replayer(Configuration.load(options.against))
        with opened(options.events) as (file, share):
            replay(with_progress(read(file), share), of, against, tally)
    except Unreadable as error:
        print(printable(str(error)), file=sys.stderr)
        return 1
    names = (options.file, options.against) if against is not None else ("recorded", options.file)
    told = {"before": names[0], "after": names[1], **tally.told()}
    print(json.dumps(told, indent=2) if options.json else "\n".join(map(printable, _lines(told))))
    why = missed(told, options.allow_uncertain) if options.expect_same else ""
    if why:
        print(f"expected the same: {why}", file=sys.stderr)
    return 4 if why else 0


def _tune(options: argparse.Namespace) -> int:
    configuration = Configuration.load(options.file)
    try:
        chosen = None if options.where is None else EventExpression.from_text(options.where)
    except InvalidValue as problem:
        problems = [Problem("", "--where", problem.sentence, options.where.replace("\n", " "), problem.column)]
        raise ConfigurationError(problems) from None
    tuning = Tuning(scorings(configuration), (lambda event: True) if chosen is None else chosen.matches)
    try:
        with opened(options.events) as (file, share):
            for _, line in with_progress(read(file), share):
                tuning.take_line(line)
    except Unreadable as error:
        print(printable(str(error)), file=sys.stderr)
        return 1
    found = tuning_text.told(tuning, options.at_least, options.clients)
    print(
        json.dumps(found, indent=2)
        if options.json
        else "\n".join(tuning_text.lines(found, configuration.content_filters))
    )
    return 0


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    counts = {kind: sum(each["count"] for each in told[kind]) for kind in ("changed", "not_certain", "passed_over")}
    total = told["same"] + sum(counts.values())
    yield f"from {told['before']} to {told['after']}: {total} events"
    yield f"  {told['same']} the same, {counts['changed']} changed, {counts['not_certain']} not certain"
    for kind, (title, what, by) in _KINDS.items():
        if told[kind]:
            yield from ("", title)
        for each in told[kind]:
            whose = by.format_map(each)
            yield f"  {each['count']:>7}  {what.format_map(each)}{'' if whose.endswith(' ') else whose}"
            yield from (f"           {_example(place)}" for place in each["examples"] if _example(place))


_KINDS = {
    "changed": ("changed", "{before} -> {after}", "   by {filters}"),
    "not_certain": ("not certain: the events do not hold", "{missing}", "   for {rules}"),
    "passed_over": ("passed over", "{why}", ""),
}
"""Each kind of result: its title, its line, and what stands behind that if a name is known for it."""


def _example(place: Any) -> str:
    if isinstance(place, str):  # of what was passed over: the line, and perhaps why
        return place if ": " in place else ""
    request = f"{place['method']} {place['authority']}{place['target']}"
    return f"{place['time']} {place['client']} {request[:100]}"
