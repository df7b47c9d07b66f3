"""``python -m edgenode explain``: what a configuration would make of a request, and why.

Law: the decision shown is the node's own. What is told besides, filter by filter, is worked out without the engine, and
compared with it: where the two disagree that is said first, and the status is 3.
"""

from __future__ import annotations

import argparse
import datetime
import json
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from edgenode.config.load import Configuration
from edgenode.model.decision import Decision, Forward, Outcome, Respond
from edgenode.model.errors import ClientError, ConfigurationError
from edgenode.model.exchange import Address, Body, ClientIdentity, Connection, Exchange, Response
from edgenode.policy.explaining import Filters
from edgenode.policy.globalfilters import GlobalFilter, GlobalFilters
from edgenode.policy.tagging import AUTOMATIC
from edgenode.proxy.judging import TOO_LARGE, Judgement, refuse
from edgenode.proxy.origin.origin import Server
from edgenode.proxy.routing import ServedGroup
from edgenode.rules.matching.explaining import Trace, closeness
from edgenode.simulation import curl, explanation
from edgenode.simulation.curl import Asked, Unclear
from edgenode.simulation.explanation import printable, traced
from edgenode.simulation.simulator import Guest, Rehearsal, Waiting, client_of

_PLAIN = {"kind": "respond", "status": 400, "headers": [], "body": "400 The plain HTTP request was sent to HTTPS port"}
_ALERTS = {495: "bad certificate", 496: "certificate required"}


@frozen
class Question:
    """A request, and who sends it where and when.

    :ivar asked: the request.
    :ivar peer: the address that it comes from.
    :ivar listener: where it comes in.
    :ivar server_name: the name in the handshake, ``None`` for none.
    :ivar at: when, seconds since the epoch.
    :ivar certificate: the client's, PEM, with the chain that it sends; empty for none.
    :ivar tls_version: as the handshake agrees on it.
    :ivar fingerprint: JA4.
    """

    asked: Asked
    peer: str
    listener: str
    server_name: str | None
    at: float
    certificate: bytes = b""
    tls_version: str = "TLSv1.3"
    fingerprint: str = ""


def explain(rehearsal: Rehearsal, question: Question) -> dict[str, Any]:
    """What becomes of a request, as JSON has it.

    :raises Waiting: if a stage of the pipeline waits for the network.
    """
    told: dict[str, Any] = {"listener": question.listener, "peer": question.peer, "sni": question.server_name}
    router = rehearsal.router(question.listener)
    group = router.named(question.server_name)
    if not question.asked.encrypted:
        return told | _refused(ClientError(497, "a plain request on a TLS port"), "400") | {"outcome": _PLAIN}
    if group is None:
        error = ClientError(421, f"no server group for the server name: {question.server_name or 'none'}")
        return told | _refused(error, "handshake", "unrecognized name")
    connection = _connection(rehearsal, question, group)
    told["certificate"] = explanation.certificate(connection.client, group.group.mtls, bool(question.certificate))
    try:
        head = rehearsal.read(question.listener, question.asked.head)
    except ClientError as error:
        return told | _refused(error, "400")
    body = Body(question.asked.body, len(question.asked.body))
    for _ in range(2):  # the first time all is new, and takes as long as no other request
        guest = Guest(connection, group, router, question.at)
        judgement = rehearsal.judge(guest, router, head, body)
    return told | _judged(rehearsal.configuration, judgement, group, body.size, rehearsal.answered_here(guest, head))


def _connection(rehearsal: Rehearsal, question: Question, group: ServedGroup) -> Connection:
    client: ClientIdentity | None = None
    if question.certificate and group.group.mtls != "off":
        now = datetime.datetime.fromtimestamp(int(question.at), datetime.UTC)
        try:
            client = client_of(question.certificate, group, now)
        except ValueError:
            raise Unclear("--cert: there is a certificate in it that cannot be read") from None
    cipher = "TLS_AES_256_GCM_SHA384" if question.tls_version == "TLSv1.3" else "ECDHE-ECDSA-AES128-GCM-SHA256"
    return Connection(
        Address.of(question.peer, 50000),
        Address("192.0.2.1", 443),
        question.server_name,
        "http/1.1",
        question.tls_version,
        cipher,
        question.fingerprint,
        client,
    )


def _judged(
    configuration: Configuration, judgement: Judgement, shaken: ServedGroup, size: int, here: Response | None
) -> dict[str, Any]:
    """The route, the tags, the filters, the actions and the outcome.

    :param size: of the body that comes.
    :param here: what the node answers itself instead of forwarding the request, if it does.
    """
    exchange, decision = judgement.exchange, judgement.decision
    told: dict[str, Any] = {"client": exchange.client, "request": explanation.request(exchange)}
    told["route"] = _route(configuration, judgement)
    if judgement.refusal is not None:
        status, style = judgement.refusal.status, (judgement.group or shaken).group.mtls_refusal
        alert = _ALERTS.get(status, "") if style == "handshake" else ""
        return told | _refused(judgement.refusal, style, alert)
    path_map = judgement.path_map
    assert path_map is not None and exchange.request is not None
    automatic = path_map.pipeline.tagging.decide(exchange)
    assert isinstance(automatic, Decision)
    asked = decision.mode != "off"
    filters = Filters.of(configuration.global_filters, configuration.rules.definitions, configuration.contents.feeds)
    traces = filters.traces(exchange.tagged(automatic.tags)) if asked else {}
    told["tags"] = list(_tags(configuration, exchange, automatic.tags, filters, traces, decision))
    told["filters"] = _filters(filters.filters, traces)
    told["actions"] = list(_actions(configuration, filters.filters, traces, decision))
    told["agrees"] = _agrees(traces, decision)
    told["timings"] = {stage: round(microseconds) for stage, microseconds in decision.timings}
    outcome, length = judgement.outcome(), exchange.request.length
    if isinstance(outcome, Forward):
        if here is not None:
            return told | {"outcome": _outcome(Respond(here), decision)}
        if (size if length is None else length) > path_map.max_body_size:
            return told | _refused(ClientError(413, TOO_LARGE), "400")
    return told | {"outcome": _outcome(outcome, decision)}


def _route(configuration: Configuration, judgement: Judgement) -> dict[str, Any]:
    group, path_map = judgement.group, judgement.path_map
    route: dict[str, Any] = {"server_group": None, "security_policy": None, "path_map": None, "origin": None}
    if group is not None:
        route |= {"server_group": group.name, "security_policy": group.security_policy}
        names = [each.name for each in group.path_maps]
        route["passed_over"] = names if path_map is None else names[: names.index(path_map.name)]
    if path_map is not None:
        section = configuration.path_maps[path_map.name]
        servers = [_written(server) for server in configuration.origins[section.origin].servers]
        route |= {"path_map": path_map.name, "origin": section.origin, "servers": servers}
    return route


def _written(server: Server) -> str:
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{'https' if server.tls else 'http'}://{host}:{server.port}"


def _tags(
    configuration: Configuration,
    exchange: Exchange,
    automatic: frozenset[str],
    filters: Filters,
    traces: Mapping[str, Trace],
    decision: Decision,
) -> Iterator[dict[str, str]]:
    """Every tag in the order in which it came, and from whom."""
    client, policy = exchange.connection.client, exchange.security_policy
    own, vouched = configuration.security_policies[policy].tags, () if client is None else client.tags
    sources: list[tuple[str, str, Iterable[str]]] = [
        ("the node", "", sorted(automatic.difference(own, vouched), key=_place)),
        ("security policy", policy, own),
        ("trust store", "", (tag for tag in vouched if tag in automatic)),
    ]
    sources += [("global filter", name, filters.filters[name].tags) for name, trace in traces.items() if trace.holds]
    matched = [filters.filters[name] for name, trace in traces.items() if trace.holds]
    actions = [configuration.rules.actions[each.action] for each in matched if each.action is not None]
    sources += [("action", action.name, sorted(action.tags)) for action in actions if action.exempts]
    if decision.action is not None:
        of_action = (tag for tag in sorted(decision.tags) if _of_action(decision, tag))
        sources.append(("action", decision.action.name, of_action))
    sources.append(("a stage", "", sorted(decision.tags)))
    seen: set[str] = set()
    for kind, name, tags in sources:
        for tag in tags:
            if tag not in seen:
                seen.add(tag)
                yield {"tag": tag, "from": kind, "name": name}


def _of_action(decision: Decision, tag: str) -> bool:
    return tag.startswith("action:") or (decision.action is not None and tag in decision.action.tags)


def _place(tag: str) -> tuple[int, str]:
    families = list(AUTOMATIC)
    family = tag.partition(":")[0]
    return families.index(family) if family in families else len(families), tag


def _filters(filters: Mapping[str, GlobalFilter], traces: Mapping[str, Trace]) -> dict[str, Any]:
    def told(name: str) -> dict[str, Any]:
        section = filters[name]
        return {
            "name": name,
            "description": section.description,
            "tags": list(section.tags),
            "action": section.action,
            "rule": traced(traces[name]),
        }

    nearly = [name for name, trace in traces.items() if trace.nearly]
    nearly.sort(key=lambda name: -closeness(traces[name]))
    return {
        "matched": [told(name) for name, trace in traces.items() if trace.holds],
        "nearly": [told(name) for name in nearly],
        "judged": len(traces),
    }


def _actions(
    configuration: Configuration,
    filters: Mapping[str, GlobalFilter],
    traces: Mapping[str, Trace],
    decision: Decision,
) -> Iterator[dict[str, Any]]:
    """Every action that was proposed, strongest first and then in the order of the file; and why it was not taken."""
    actions, winner = configuration.rules.actions, decision.action
    names = [name for name in filters if name in traces and traces[name].holds]
    proposed = [(actions[proposal], name) for name in names if (proposal := filters[name].action) is not None]
    taken = False
    for action, name in sorted(proposed, key=lambda each: -each[0].strength):
        won = not taken and winner is not None and action.name == winner.name and not action.exempts
        taken = taken or won
        if action.exempts:
            why = f"leaves out {', '.join(sorted(action.exempts))}; competes with no other"
        elif won:
            why = "the strongest"
        elif winner is not None and action.name == winner.name:
            why = "the same action"
        elif winner is not None and action.strength == winner.strength:
            why = f"as strong as {winner.name}, but later in the file"
        else:
            why = f"weaker than {winner.name}" if winner is not None else ""
        yield {"action": action.name, "filter": name, "strength": action.strength, "taken": won, "why": why}


def _agrees(traces: Mapping[str, Trace], decision: Decision) -> bool:
    """Whether the engine found the same filters for the same reasons."""
    engine = {why.filter: why.entry for why in decision.reasons if why.stage == GlobalFilters.name and why.filter}
    slow = {name: " and ".join(map(str, trace.evidence or ())) for name, trace in traces.items() if trace.holds}
    return engine == slow


def _outcome(outcome: Outcome, decision: Decision) -> dict[str, Any]:
    told: dict[str, Any] = {"mode": decision.mode, "left_out": sorted(decision.exempt)}
    if isinstance(outcome, Respond):
        response = outcome.response
        told |= {"kind": "respond", "status": response.status, "headers": explanation.fields(response.headers)}
        told["body"] = response.body.decode("utf-8", "backslashreplace")
    elif isinstance(outcome, Forward):
        told |= {"kind": "forward", "headers": explanation.fields(outcome.headers)}
        if decision.action is not None and decision.mode != "block":
            told["would"] = decision.action.name
    else:
        told["kind"] = "close"
    return told


def _refused(error: ClientError, style: str, alert: str = "") -> dict[str, Any]:
    """A request that is refused before any rule."""
    outcome: dict[str, Any] = {"kind": "close"}
    if alert:
        outcome = {"kind": "alert", "alert": alert}
    elif (answer := refuse(error, style)) is not None:
        outcome = {"kind": "respond", "status": answer.response.status, "headers": []}
        outcome["body"] = answer.response.body.decode("ascii")
    return {"refusal": {"status": error.status, "reason": error.reason}, "outcome": outcome}


# -- the command -------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str]) -> int:
    """Explain a request: 0; 1 if the configuration or the request cannot be used; 3 if there is a disagreement."""
    options = _parser().parse_intermixed_args(argv)
    try:
        question = _question(options)
        rehearsal = Rehearsal.of(Configuration.load(options.file))
        listener = _listener(rehearsal, options.listener, question.server_name)
        told = explain(rehearsal, evolve(question, listener=listener))
    except ConfigurationError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return 1
    except Unclear as error:
        print(printable(str(error)), file=sys.stderr)
        return 1
    except Waiting:
        print("a stage of the pipeline asks the network; it cannot be explained without it", file=sys.stderr)
        return 1
    print(json.dumps(told, indent=2) if options.json else "\n".join(map(printable, explanation.lines(told))))
    return 0 if told.get("agrees", True) else 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "edgenode explain", description="What becomes of a request, and why.", allow_abbrev=False
    )
    parser.add_argument("file", metavar="FILE", help="the configuration file")
    parser.add_argument("--from", dest="peer", default="192.0.2.7", metavar="IP", help="the address that it comes from")
    parser.add_argument("-E", "--cert", metavar="FILE", help="the client's certificate and its chain, PEM")
    parser.add_argument("--sni", metavar="NAME", help="the server name in the handshake; without it the URL's host")
    parser.add_argument("--no-sni", action="store_true", help="no server name in the handshake")
    parser.add_argument("--at", metavar="TIME", help="when: 2026-11-21T12:00:00Z, or seconds since 1970")
    parser.add_argument("--listener", metavar="NAME", help="where; without it the first that serves the host")
    parser.add_argument("--tls", default="1.3", choices=("1.2", "1.3"), help="the version of TLS")
    parser.add_argument("--ja4", default="", metavar="FINGERPRINT", help="the fingerprint of the ClientHello")
    parser.add_argument("--json", action="store_true", help="as JSON; curl's --json is -H and -d")
    curl.add_options(parser)
    return parser


def _question(options: argparse.Namespace) -> Question:
    asked = curl.request_of(options)
    try:
        peer = Address.of(options.peer, 0).host
    except ValueError:
        raise Unclear(f"--from: expected an IP address, not {options.peer}") from None
    certificate = b""
    if options.cert is not None:
        try:
            certificate = pathlib.Path(options.cert).read_bytes()
        except OSError as error:
            raise Unclear(f"cannot read {options.cert}: {error.strerror}") from None
        if b"-----BEGIN CERTIFICATE-----" not in certificate:
            raise Unclear(f"{options.cert}: there is no certificate in PEM in it")
    name = None if options.no_sni else options.sni or curl.server_name(asked.host)
    return Question(asked, peer, "", name, curl.moment(options.at), certificate, f"TLSv{options.tls}", options.ja4)


def _listener(rehearsal: Rehearsal, named: str | None, server_name: str | None) -> str:
    """The listener that is named, or else the first that has a server group for the name in the handshake."""
    listeners = list(rehearsal.configuration.listeners)
    if named is None:
        served = (each for each in listeners if rehearsal.router(each).named(server_name) is not None)
        return next(served, listeners[0])
    if named not in listeners:
        raise Unclear(f"there is no [listener {named}]; there is {', '.join(listeners)}")
    return named
