"""``edgenode quarantine``: what a running node holds and has banned; adds to it, and lifts.

The node reads every value and checks it, for it alone knows its configuration; here is only said what it answers.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from edgenode.commands import running
from edgenode.commands.terminal import table
from edgenode.node.control import order

_COLUMNS = ("key", "value", "action", "since", "until", "who", "why")


def declare(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    listed = commands.add_parser("list", help="list what is held and banned, by whom, why and until when")
    listed.add_argument("--key", default="", metavar="KEY", help="of this category, or of this ban alone")
    listed.add_argument("--json", action="store_true", help="as JSON, one object a line")
    added = commands.add_parser("add", help="hold a value: requests that have it are refused from now on")
    _of_entry(added, "what kind of value: ip, country, header.user-agent or any field")
    added.add_argument("--for", dest="time", default="", metavar="TIME", help="30s, 10m, 12h, 7d; else until lifted")
    added.add_argument("--why", default="", metavar="TEXT", help="the reason, for people")
    added.add_argument("--action", default="block", metavar="NAME", help="the action for such requests (block)")
    added.add_argument("--yes", action="store_true", help="also what many clients have")
    lifted = commands.add_parser("lift", help="end an entry before its time")
    _of_entry(lifted, "as the list shows it; of a ban the limit, as in 'rate-limit login'", "?")
    lifted.add_argument("--who", default="", metavar="WHO", help="all that somebody has added: 'dynamic-rule scanners'")
    for each in (listed, added, lifted):
        running.declare(each)


def _of_entry(parser: argparse.ArgumentParser, key: str, count: str | None = None) -> None:
    parser.add_argument("key", metavar="KEY", nargs=count, help=key)
    parser.add_argument("value", metavar="VALUE", nargs=count, help="the value; of ip an address or a network")


def main(options: argparse.Namespace) -> int:
    """Have a node do it.

    :return: 0; 1 if nothing has changed, or no node can be asked.
    """
    if options.command == "lift" and (options.value is None) is not bool(options.who):
        print("edgenode quarantine: lift takes a key and a value, or --who", file=sys.stderr)
        return 2
    try:
        request = order(_arguments(options))
    except ValueError as error:
        print(f"edgenode quarantine: {error}", file=sys.stderr)
        return 1
    report = running.asked(options, "quarantine", request)
    if report is None:
        return 1
    if not report.done:
        print(f"edgenode quarantine: {report.text}", file=sys.stderr)
        return 1
    print(report.text) if options.command != "list" else _show(json.loads(report.text), options.json)
    return 0


def _arguments(options: argparse.Namespace) -> Mapping[str, str]:
    found = {"do": options.command, "key": options.key or ""}
    if options.command != "list":
        found["value"] = options.value or ""
    if options.command == "lift" and options.who:
        found["who"] = options.who
    if options.command == "add":
        found |= {"for": options.time, "why": options.why, "action": options.action}
        found |= {"yes": "yes"} if options.yes else {}
    return found


def _show(report: Mapping[str, Any], as_json: bool) -> None:
    entries = report["entries"]
    if as_json:
        for entry in entries:
            print(json.dumps(entry))
    elif entries:
        rows = [_COLUMNS, *([entry[name] or "-" for name in _COLUMNS] for entry in entries)]
        print("\n".join(table(rows)))
    else:
        print("nothing is held")
    if len(entries) < report["all"]:
        print(f"the newest {len(entries)} of {report['all']} entries", file=sys.stderr)
