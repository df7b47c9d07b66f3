"""``edgenode explain``: what a configuration would make of a request, and why; and whether that is what is expected."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from edgenode.config.load import Configuration
from edgenode.model.durations import seconds
from edgenode.model.errors import InvalidValue, printable
from edgenode.model.exchange import Address, Connection
from edgenode.simulation import curl
from edgenode.simulation.curl import InvalidRequest
from edgenode.simulation.explain import Question, explain
from edgenode.simulation.explain_origin import explain_origin, origin_lines
from edgenode.simulation.explain_stream import facts_of
from edgenode.simulation.explain_text import lines
from edgenode.simulation.simulator import NetworkNeeded, Simulator

_STATUS = re.compile(r"[1-9][0-9]{2}")

_MOST = 100_000
"""How often a request may come."""

_CIPHERS = {"1.2": "ECDHE-ECDSA-AES128-GCM-SHA256", "1.3": "TLS_AES_128_GCM_SHA256"}
"""What each version of TLS agrees on here."""


def declare(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    parser.description = (
        "Tell what would become of a request, and why. The exit status is 0; 1 if the configuration or the request "
        "cannot be used; 3 if what judges all filters at once and what explains each of them disagree; 4 if --expect "
        "is not met."
    )
    parser.add_argument("file", metavar="FILE", help="the configuration file")
    parser.add_argument("--from", dest="peer", default="192.0.2.7", metavar="IP", help="the address that it comes from")
    parser.add_argument("-E", "--cert", metavar="FILE", help="the client's certificate and its chain, PEM")
    parser.add_argument("--sni", metavar="NAME", help="the server name in the handshake; without it the URL's host")
    parser.add_argument("--no-sni", action="store_true", help="no server name in the handshake")
    parser.add_argument("--at", metavar="TIME", help="when: 2026-11-21T12:00:00Z, or seconds since 1970")
    parser.add_argument("--listener", metavar="NAME", help="where; without it the first that serves the host")
    parser.add_argument("--tls", default="1.3", choices=tuple(_CIPHERS), help="the version of TLS")
    parser.add_argument("--ja4", default="", metavar="FINGERPRINT", help="the fingerprint of the ClientHello")
    parser.add_argument("--alpn", metavar="NAME", help="of a stream: the protocol that the client offers")
    parser.add_argument("--filter", default="", metavar="NAME", help="this filter alone, also if it did not match: why")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="it comes N times: what becomes of the last")
    parser.add_argument("--every", default="0", metavar="TIME", help="from one time to the next: 500ms, 2s, 1m")
    parser.add_argument(
        "--expect", action="append", default=[], metavar="forward|block|STATUS|TAG",
        help="end with status 4 if it is not so; may be repeated",
    )  # fmt: skip
    parser.add_argument("--origin", metavar="NAME", help="instead of a request: what this origin is sent and presented")
    parser.add_argument("--json", action="store_true", help="as JSON; curl's --json is -H and -d")
    curl.add_options(parser)


def main(options: argparse.Namespace) -> int:
    """Explain a request.

    :returns: 0; 1 if the configuration or the request cannot be used; 3 if there is a disagreement; 4 if something else
        was expected.
    """
    if options.origin is not None:
        return _origin(options)
    try:
        simulator = Simulator.of(Configuration.load(options.file))
        told = explain(simulator, _question(options, simulator))
    except (InvalidRequest, NetworkNeeded) as error:
        print(printable(str(error)), file=sys.stderr)
        return 1
    print(json.dumps(told, indent=2) if options.json else "\n".join(map(printable, lines(told))))
    for name in told.get("without", ()):
        print(f"note: [stage {name}] was not run: the program gives it, in which the node is embedded", file=sys.stderr)
    if not told.get("agrees", True):
        return 3
    missed = [each for each in options.expect if not _met(each, told)]
    for each in missed:
        print(printable(f"expected {each}, and it is {_summary(told)}"), file=sys.stderr)
    return 4 if missed else 0


def _origin(options: argparse.Namespace) -> int:
    try:
        told = explain_origin(Configuration.load(options.file), options.origin)
    except InvalidValue as problem:
        print(printable(problem.sentence), file=sys.stderr)
        return 1
    print(json.dumps(told, indent=2) if options.json else "\n".join(map(printable, origin_lines(told))))
    return 0


def _met(expected: str, told: Mapping[str, Any]) -> bool:
    """Whether an expectation is met; what is neither ``forward``, ``block`` nor a status is a tag."""
    forwarded: bool = told["outcome"]["kind"] == "forward"
    if expected in ("forward", "block"):
        return forwarded == (expected == "forward")
    if _STATUS.fullmatch(expected):
        return expected in _statuses(told)
    return expected in (each["tag"] for each in told.get("tags", ()))


def _statuses(told: Mapping[str, Any]) -> Sequence[str]:
    """What the client reads, and what the event says if that is another: nginx's 444 and 495 to 497 are never sent."""
    outcome, refusal = told["outcome"], told.get("refusal")
    read = outcome.get("status", 444 if outcome["kind"] == "close" and refusal is None else None)
    return [str(each) for each in (read, None if refusal is None else refusal["status"]) if each is not None]


def _summary(told: Mapping[str, Any]) -> str:
    what = " and ".join((told["outcome"]["kind"], *_statuses(told)))
    tags = " ".join(each["tag"] for each in told.get("tags", ()))
    return f"{what}, {f'with the tags {tags}' if tags else 'without tags'}"


def _question(options: argparse.Namespace, simulator: Simulator) -> Question:
    asked = curl.request_of(options)
    try:
        peer = Address.of(options.peer, 50000)
    except ValueError:
        raise InvalidRequest(f"--from: expected an IP address, not {options.peer}") from None
    certificate = b"" if options.cert is None else curl.read_file(options.cert)
    if options.cert is not None and b"-----BEGIN CERTIFICATE-----" not in certificate:
        raise InvalidRequest(f"{options.cert}: there is no certificate in PEM in it")
    name = None if options.no_sni else options.sni or curl.server_name(asked.host)
    here = Address("192.0.2.1" if curl.server_name(asked.host) is not None else asked.host, 443)
    protocol, version = "h2" if asked.http2 else "http/1.1", f"TLSv{options.tls}"
    connection = Connection(peer, here, name, protocol, version, _CIPHERS[options.tls], options.ja4)
    if not asked.encrypted:
        connection = Connection(peer, Address(here.host, 80))
    listener, listeners = options.listener or simulator.listener_for(connection), simulator.configuration.listeners
    if listener not in listeners:
        raise InvalidRequest(f"there is no [listener {listener}]; there is {', '.join(listeners)}")
    if listeners[listener].protocol == "stream":
        connection = facts_of(listeners[listener], connection, options.alpn)
    if not 1 <= options.repeat <= _MOST:
        raise InvalidRequest(f"--repeat: expected a number from 1 to {_MOST}")
    try:
        every = seconds(options.every)
    except InvalidValue as problem:
        raise InvalidRequest(f"--every: {problem.sentence}") from None
    at = curl.moment(options.at)
    return Question(asked, listener, connection, at, certificate, options.filter, options.repeat, every)
