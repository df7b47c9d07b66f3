"""``edgenode alerts``: what alerts would have said of the journal, and whether who is told hears it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred

from edgenode.commands.terminal import harmless
from edgenode.config.load import Configuration
from edgenode.config.notation import suggestion
from edgenode.model import durations
from edgenode.model.errors import InvalidValue
from edgenode.net.deadlines import Deadlines
from edgenode.net.poller import Poller
from edgenode.node.assembly import Assembly
from edgenode.observe.alerts.alert import Alert
from edgenode.observe.alerts.forms import Subject, moment_text
from edgenode.observe.alerts.incidents import Incident
from edgenode.observe.alerts.messages import Message
from edgenode.observe.alerts.part import senders_of
from edgenode.observe.alerts.replaying import replayed
from edgenode.observe.alerts.watching import events_of
from edgenode.observe.journal.reader import JournalReader, Position

_MARK = "(a test)"
"""Stands behind the name of the alert in a test message."""


def declare(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    replay = commands.add_parser("replay", help="tell what alerts would have said of the events in the journal")
    replay.add_argument("file", metavar="FILE", help="the configuration file")
    replay.add_argument("names", metavar="NAME", nargs="*", help="of the alerts; without any all of them")
    replay.add_argument("--last", type=_seconds, metavar="TIME", help="only events since so long: 30m, 24h, 7d")
    test = commands.add_parser("test", help="tell who an alert tells that it is raised, and that it is resolved")
    test.add_argument("file", metavar="FILE", help="the configuration file")
    test.add_argument("names", metavar="NAME", nargs=1, help="of the alert")


def main(options: argparse.Namespace) -> int:
    """Replay alerts, or test one.

    :return: 0; 1 if the configuration cannot be used, or a message was not taken.
    """
    configuration = Configuration.load(options.file)
    unknown = [name for name in options.names if name not in configuration.alerts]
    for name in unknown:
        print(f"there is no [alert {name}]{suggestion(name, configuration.alerts)}", file=sys.stderr)
    if unknown:
        return 1
    chosen = {name: configuration.alerts[name] for name in options.names} or configuration.alerts
    if options.command == "replay":
        return _replay(configuration, chosen, options.last)
    try:
        task.react(_test, (configuration, chosen))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _seconds(text: str) -> float:
    try:
        return durations.seconds(text)
    except InvalidValue as problem:
        raise argparse.ArgumentTypeError(problem.sentence) from None


# -- replay ------------------------------------------------------------------------------------------------------------


def _replay(configuration: Configuration, alerts: Mapping[str, Alert], last: float | None) -> int:
    if configuration.journal.folder is None:
        print("there is no journal: [journal] folder is missing", file=sys.stderr)
        return 1
    now = time.time()
    found = 0
    try:
        lines = _lines(JournalReader(configuration.journal.folder, Position()))
        events = ((event, at) for event, at in events_of(lines, now) if last is None or at >= now - last)
        for name, change in replayed(alerts, events):
            found += 1
            state, at = ("raised", change.since) if change.until is None else ("resolved", change.until)
            value = f"  {harmless(change.value)}" if change.value else ""
            print(f"{moment_text(at)}  {name}  {state}  {change.count}{value}")
    except OSError as error:
        print(f"the journal cannot be read: {error}", file=sys.stderr)
        return 1
    if not found:
        print("nothing would have been raised")
    return 0


def _lines(reader: JournalReader) -> Iterator[bytes]:
    """All lines that there are."""
    try:
        while lines := reader.read():
            yield from lines
    finally:
        reader.close()


# -- test --------------------------------------------------------------------------------------------------------------


async def _test(reactor: Any, configuration: Configuration, alerts: Mapping[str, Alert]) -> None:
    """Tell who is told by the alert; end with 1 if somebody could not be, or there is nobody."""
    ((name, alert),) = alerts.items()
    polled = Poller(reactor)
    deadlines = Deadlines(polled)
    origins = [each for each in (alert.origin, alert.mail_origin) if each is not None]
    assembly = Assembly.for_origins(configuration, origins, polled, deadlines)
    now = time.time()
    value = "test" if alert.by is not None else ""
    raised = Incident(value, now, alert.threshold.number)
    resolved = Incident(value, now, alert.threshold.number, until=now)
    failed = not origins
    if failed:
        print(f"[alert {name}] tells nobody but the node's log", file=sys.stderr)
    for sender, _ in senders_of(Subject(f"{name} {_MARK}", alert, configuration.edge.name), assembly.pools, time.time):
        try:
            for message in (Message(now, raised=(raised,)), Message(now, resolved=(resolved,))):
                await Deferred.fromCoroutine(sender.send(message))
            print(f"{sender.name}: has taken both messages")
        except Exception as error:
            failed = True
            print(f"{sender.name}: {harmless(str(error)) or type(error).__name__}", file=sys.stderr)
    for pool in assembly.pools.values():
        pool.abort()
    deadlines.stop()
    raise SystemExit(int(failed))
