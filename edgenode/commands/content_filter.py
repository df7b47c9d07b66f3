"""``edgenode content-filter``: what rules of a content filter say to a request, without a node or a configuration."""

from __future__ import annotations

import argparse
import json
import sys

from edgenode.model.errors import printable
from edgenode.simulation import curl
from edgenode.simulation.curl import InvalidRequest
from edgenode.simulation.rules_alone import exchange_of, lines, rule_set, section_of, told


def declare(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # An abbreviated option would be taken for one of curl's.
    test = commands.add_parser("test", help="tell which rules match a request, and what it scores", allow_abbrev=False)
    test.description = (
        "Tell which rules match a request, where, and what it scores. The exit status is 0 if they let it through, 4 "
        "if they refuse it, and 1 if the rules or the request cannot be used."
    )
    test.add_argument("rules", metavar="RULES", help="builtin, crs:DIR or a file in SecLang; several in one word")
    test.add_argument("--paranoia", type=int, choices=(1, 2, 3, 4), metavar="LEVEL", help="the paranoia level, 1 to 4")
    test.add_argument("--threshold", type=_threshold, metavar="SCORE", help="the score from which on it is refused")
    test.add_argument("--setup", metavar="FILE", help="the set-up of the Core Rule Set")
    test.add_argument("--exclude", action="append", default=[], metavar="LINE", help="as in [content-filter]; repeats")
    test.add_argument("--from", dest="peer", default="192.0.2.7", metavar="IP", help="the address that it comes from")
    test.add_argument("--at", metavar="TIME", help="when: 2026-11-21T12:00:00Z, or seconds since 1970")
    test.add_argument("--json", action="store_true", help="as JSON; curl's --json is -H and -d")
    curl.add_options(test)


def _threshold(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError("expected a number from 1 to 100,000")
    return int(text)


def main(options: argparse.Namespace) -> int:
    """Ask rules: 0 if they let the request through, 4 if they refuse it, 1 if something cannot be used."""
    rules = rule_set(section_of(options.rules, options.paranoia, options.threshold, options.setup), options.exclude)
    try:
        verdict = rules.judge(exchange_of(curl.request_of(options), curl.moment(options.at), options.peer))
    except InvalidRequest as error:
        print(printable(str(error)), file=sys.stderr)
        return 1
    found = told(verdict)
    print(json.dumps(found, indent=2) if options.json else "\n".join(lines(found)))
    return 4 if verdict.refused else 0
