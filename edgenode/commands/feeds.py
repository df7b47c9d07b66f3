"""``python -m edgenode feeds``: has sources asked now, and says what is known of them.

What is fetched here goes where a running node looks for it: it takes the new content over as it does with certificates,
within two of its looks.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Sequence
from typing import Any

from twisted.internet import task

from edgenode.config.load import Configuration
from edgenode.config.notation import suggestion
from edgenode.feeds.contents import Content, Fed
from edgenode.feeds.fetch import Fetcher
from edgenode.net.deadlines import Deadlines
from edgenode.net.poller import Poller
from edgenode.node.feed_updates import ask, pause, remote, status_of
from edgenode.rules.feeds import without_query


def main(arguments: Sequence[str]) -> int:
    """Ask sources, or list them.

    :return: 0; 1 if the configuration cannot be used, or a source could not be had or not be believed.
    """
    parser = argparse.ArgumentParser("edgenode feeds", description="The datafeeds of a configuration.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    update = commands.add_parser("update", help="ask the sources now")
    update.add_argument("file", metavar="FILE", help="the configuration file")
    update.add_argument("names", metavar="NAME", nargs="*", help="of the lists and filters; all of them without any")
    update.add_argument("--shrink", action="store_true", help="accept a content however much of it is gone")
    listing = commands.add_parser("list", help="list what is fed, and from where")
    listing.add_argument("file", metavar="FILE", help="the configuration file")
    options = parser.parse_args(arguments)
    configuration = Configuration.load(options.file)
    if options.command == "list":
        _list(configuration)
        return 0
    headers = {header: header.partition(" ")[2] for header in remote(configuration)}
    unknown = [name for name in options.names if name not in headers.values()]
    for name in unknown:
        sentence = f"no list or filter of this name has an https source{suggestion(name, headers.values())}"
        print(f"{name}: {sentence}", file=sys.stderr)
    if unknown:
        return 1
    chosen = [header for header, name in headers.items() if not options.names or name in options.names]
    try:
        task.react(_update, (configuration, chosen, options.shrink))
    except SystemExit as end:
        return int(end.code or 0)


async def _update(reactor: Any, configuration: Configuration, headers: list[str], shrink: bool) -> None:
    """Ask sources, and end with 1 if one of them could not be had or not be believed."""
    reactor = Poller(reactor)
    deadlines = Deadlines(reactor)
    fetcher = Fetcher(reactor, deadlines)
    failed = False

    async def try_out(header: str, section: Fed, content: Content) -> None:
        contents = configuration.contents
        await fetcher.in_thread(configuration.holding, contents.renewed(header, content, contents.signatures[header]))

    for header in headers:
        outcome = await ask(configuration, header, fetcher, try_out, shrink)
        failed = failed or bool(outcome.status.problem)
        print(f"{header}: {outcome}", file=sys.stderr if outcome.status.problem else sys.stdout)
    deadlines.stop()
    raise SystemExit(int(failed))


def _list(configuration: Configuration) -> None:
    """One line for each: header, source, values, age, next."""
    now = time.time()
    rows = [("section", "source", "values", "age", "next")]
    for header, section in configuration.fed():
        if section.source is None:
            continue
        content = configuration.contents.read.get(header)
        size = "none" if content is None else f"{content.size}"
        age = after = "-"
        if section.remote:
            status = status_of(configuration, header, section)
            age = _span(now - status.confirmed) if status.confirmed else "never"
            seconds = pause(section, status, content is not None, now)
            after = "by hand" if seconds is None else f"in {_span(seconds)}"
            after += f" ({status.problem.splitlines()[0]})" if status.problem else ""
        rows.append((header, without_query(str(section.source)), size, age, after))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


def _span(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(max(0.0, seconds))))
