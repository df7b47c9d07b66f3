"""``edgenode feeds``: has sources asked now, and says what is known of them.

What is fetched here goes where a running node looks for it: it takes the new content over as it does with certificates,
within two of its looks.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import Any

from twisted.internet import task

from edgenode.config.load import Configuration
from edgenode.config.notation import suggestion
from edgenode.feeds.contents import Content, Fed
from edgenode.feeds.fetch import Fetcher
from edgenode.net.deadlines import Deadlines
from edgenode.net.poller import Poller
from edgenode.node import control
from edgenode.node.feed_listing import listing
from edgenode.node.feed_updates import ask, remote

_PID_FILE = pathlib.Path("twistd.pid")


def declare(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    update = commands.add_parser("update", help="ask the sources now")
    update.add_argument("file", metavar="FILE", help="the configuration file")
    names = "of lists, filters and token configurations, also switched off; without any all that are in use"
    update.add_argument("names", metavar="NAME", nargs="*", help=names)
    update.add_argument("--shrink", action="store_true", help="accept a content however much of it is gone")
    shown = commands.add_parser("list", help="list what a running node uses, from where, and how old it is")
    shown.add_argument("file", metavar="FILE", nargs="?", help="the configuration file, for when no node runs")
    which = shown.add_mutually_exclusive_group()
    which.add_argument("--pid", type=int, help="the node's process")
    which.add_argument(
        "--pid-file", type=pathlib.Path, metavar="FILE", help="the file in which twistd has written it (twistd.pid)"
    )
    shown.add_argument("--all", action="store_true", help="of a file: also the filters that are switched off")


def main(options: argparse.Namespace) -> int:
    """Ask sources, or list them.

    :return: 0; 1 if the configuration cannot be used, or a source could not be had or not be believed.
    """
    if options.command == "list":
        return _list(options)
    configuration = Configuration.load(options.file)
    headers = {header: header.partition(" ")[2] for header in remote(configuration)}
    unknown = [name for name in options.names if name not in headers.values()]
    for name in unknown:
        sentence = f"no section of this name has an https source{suggestion(name, headers.values())}"
        print(f"{name}: {sentence}", file=sys.stderr)
    if unknown:
        return 1
    fed = remote(configuration)
    chosen = [
        header
        for header, name in headers.items()
        if name in options.names or (not options.names and getattr(fed[header], "active", True))
    ]
    try:
        task.react(_update, (configuration, chosen, options.shrink))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


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


def _list(options: argparse.Namespace) -> int:
    """What a running node holds; without one what the file and the folder ``state`` say."""
    given = options.pid is not None or options.pid_file is not None
    try:
        pid = int((options.pid_file or _PID_FILE).read_text()) if options.pid is None else options.pid
        report = control.ask(pid, request=control.FEEDS)
    except (OSError, ValueError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "there is no process number in it"
        if given or options.file is None:
            print(f"edgenode feeds: no node can be asked: {reason}", file=sys.stderr)
            return 1
        print(f"no node can be asked ({reason}): this is what one would use", file=sys.stderr)
        print(listing(Configuration.load(options.file), everything=options.all))
        return 0
    print(report.text, file=sys.stdout if report.done else sys.stderr)
    return 0 if report.done else 1
