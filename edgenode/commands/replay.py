"""``python -m edgenode replay``: what a configuration would have decided for recorded requests, and what changes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError, printable
from edgenode.simulation.replay import Replayer, Tally, read, replay


def main(argv: Sequence[str]) -> int:
    """Replay events: 0, or 1 if a configuration or the file cannot be used."""
    parser = argparse.ArgumentParser(
        "edgenode replay", description="What a configuration would have decided for recorded requests."
    )
    parser.add_argument("file", metavar="FILE", help="the configuration file")
    parser.add_argument("events", metavar="EVENTS", help="events, one a line, as the node writes them; - is stdin")
    parser.add_argument("--against", metavar="OTHER", help="another configuration: what changes from FILE to OTHER")
    parser.add_argument("--examples", type=int, default=3, metavar="N", help="examples of each kind")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(argv)
    tally = Tally(max(0, options.examples))
    try:
        of = Replayer(Configuration.load(options.file))
        against = None if options.against is None else Replayer(Configuration.load(options.against))
        with open(0 if options.events == "-" else options.events, "rb", closefd=options.events != "-") as file:
            replay(read(file), of, against, tally)
    except ConfigurationError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return 1
    except OSError as error:
        print(printable(f"cannot read {options.events}: {error.strerror}"), file=sys.stderr)
        return 1
    names = (options.file, options.against) if against is not None else ("recorded", options.file)
    told = {"before": names[0], "after": names[1], **tally.told()}
    print(json.dumps(told, indent=2) if options.json else "\n".join(map(printable, _lines(told))))
    return 0


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    counts = {kind: sum(each["count"] for each in told[kind]) for kind in ("changed", "not_certain", "passed_over")}
    total = told["same"] + sum(counts.values())
    yield f"from {told['before']} to {told['after']}: {total} events"
    yield f"  {told['same']} the same, {counts['changed']} changed, {counts['not_certain']} not certain"
    if told["changed"]:
        yield from ("", "changed")
    for each in told["changed"]:
        by = f"   by {each['filters']}" if each["filters"] else ""
        yield f"  {each['count']:>7}  {each['before']} -> {each['after']}{by}"
        yield from _examples(each)
    if told["not_certain"]:
        yield from ("", "not certain: the events do not hold")
    for each in told["not_certain"]:
        by = f"   for {each['rules']}" if each["rules"] else ""
        yield f"  {each['count']:>7}  {each['missing']}{by}"
        yield from _examples(each)
    if told["passed_over"]:
        yield from ("", "passed over")
    for each in told["passed_over"]:
        yield f"  {each['count']:>7}  {each['why']}"
        yield from (f"           {example}" for example in each["examples"] if ": " in example)


def _examples(each: Mapping[str, Any]) -> Iterator[str]:
    for place in each["examples"]:
        request = f"{place['method']} {place['authority']}{place['target']}"
        yield f"           {place['time']} {place['client']} {request[:100]}"
