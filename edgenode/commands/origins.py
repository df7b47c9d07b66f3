"""``edgenode origins``: how the servers of a running node's origins are; drains one, and takes that back."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from edgenode.commands import running
from edgenode.commands.terminal import harmless, table
from edgenode.node.control import ORIGINS, order

_COLUMNS = ("address", "state", "weight", "active", "open", "idle")


def declare(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    parser.add_argument("--json", action="store_true", help="as JSON, one origin a line")
    running.declare(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", help="without one all servers are listed")
    parser.set_defaults(command="list", origin="")
    listed = commands.add_parser("list", help="list the servers of each origin, and how they are")
    listed.add_argument("origin", metavar="ORIGIN", nargs="?", default="", help="of this origin alone")
    listed.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="as JSON, one origin a line")
    drained = commands.add_parser("drain", help="send a server no new requests; those under way end")
    undrained = commands.add_parser("undrain", help="give a server its share again")
    for each in (drained, undrained):
        each.add_argument("origin", metavar="ORIGIN", help="the origin's name")
        each.add_argument("server", metavar="SERVER", help="the server, as the list shows it: 10.0.0.11:8443")
    for each in (listed, drained, undrained):
        running.declare(each, below=True)


def main(options: argparse.Namespace) -> int:
    """Have a node do it.

    :return: 0; 1 if nothing has changed, or no node can be asked.
    """
    arguments = {"do": options.command, "origin": options.origin, "server": getattr(options, "server", "")}
    report = running.asked(options, "origins", order(arguments, ORIGINS))
    if report is None:
        return 1
    if not report.done:
        print(f"edgenode origins: {report.text}", file=sys.stderr)
        return 1
    if options.command != "list":
        print(report.text)
        return 0
    for origin in json.loads(report.text):
        print(json.dumps(origin)) if options.json else _show(origin)
    return 0


def _show(origin: Mapping[str, Any]) -> None:
    queued = f", {origin['queued']} requests wait" if origin["queued"] else ""
    print(f"{origin['name']}: {origin['balance']}{queued}")
    rows = [[*_COLUMNS], *([_cell(each, name) for name in _COLUMNS] for each in origin["servers"])]
    print("\n".join(f"  {line}" for line in table(rows)))
    print("".join(f"  {harmless(line)}\n" for line in (*_identity(origin), *_found(origin))), end="")


def _identity(origin: Mapping[str, Any]) -> Iterator[str]:
    """Which certificate of ours is in use, and which one waits for a verdict."""
    if origin["certificate"]:
        yield f"certificate in use: {origin['certificate']}"
    if (trial := origin["trial"]) is not None:
        yield f"certificate on trial: {trial['certificate']} ({trial['serial']}), {trial['tries']} tries"
        yield from (f"  {server}: {why}" for server, why in trial["refusals"].items())
        if trial["problem"]:
            yield f"  not known: {trial['problem']}"


def _found(origin: Mapping[str, Any]) -> Iterator[str]:
    """What health checks and the last handshake have shown of each server."""
    for server in origin["servers"]:
        check, shaken = server["check"], server["handshake"]
        if check:
            said = check["reason"] or f"good, {check['seconds'] * 1000:.0f} ms"
            yield f"{server['address']}: checked {_time(check['at'])}: {said}"
        if shaken:
            yield f"{server['address']}: TLS {_time(shaken['at'])}: {', '.join(_handshake(shaken))}"


def _handshake(shaken: Mapping[str, Any]) -> Iterator[str]:
    if shaken["problem"]:
        yield shaken["problem"]
    if shaken["version"]:
        yield f"{shaken['version']} {shaken['cipher']}"
    if shaken["not_after"] is not None:
        yield f"its certificate {shaken['certificate']} expires {_time(shaken['not_after'])}"
    if not shaken["asked"]:
        yield "it asks for no certificate"
        return
    names = "; ".join(shaken["authorities"]) or "any authority"
    yield f"it asks for a certificate of {names}"
    verdict = {True: "accepted", False: f"refused: {shaken['alert']}", None: "no verdict yet"}[shaken["accepted"]]
    yield f"{shaken['presented'] or 'none sent'}: {verdict}"


def _time(seconds: float) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M:%S}Z"


def _cell(server: Mapping[str, Any], name: str) -> str:
    text = f"{server[name]:g}" if name == "weight" else str(server[name])
    return f"{text} (backup)" if name == "state" and server["backup"] else text
