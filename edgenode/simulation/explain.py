"""What becomes of a request, and why, as JSON has it.

Law: the decision is the node's own. What is told besides, filter by filter, is worked out without the engine, and
compared with it: ``agrees`` is false where the two disagree. What a client sent is escaped where it is not printable.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Any

from attrs import evolve, frozen

from edgenode.config.load import Configuration
from edgenode.config.notation import suggestion
from edgenode.model.decision import Forward, Respond
from edgenode.model.errors import ClientError
from edgenode.model.exchange import Body, ClientIdentity, Connection, Exchange, Request
from edgenode.model.tokens import TokenVerdict
from edgenode.policy.acl import Profile
from edgenode.policy.contentfilter.secrets import Secrets
from edgenode.policy.explaining import Filters
from edgenode.proxy.headers import answered_here
from edgenode.proxy.judging import TOO_LARGE
from edgenode.proxy.routing import ServedGroup
from edgenode.proxy.streams import RequestHead
from edgenode.simulation.counted import acl_told, counted
from edgenode.simulation.curl import CurlRequest, InvalidRequest
from edgenode.simulation.explain_answers import PLAIN, outcome_told, redirect_told, refusal_told
from edgenode.simulation.explain_consequences import BEHIND, actions_told, tags_told
from edgenode.simulation.explain_filters import agrees, asked_about, filter_told, filters_told
from edgenode.simulation.explain_stream import judge_stream
from edgenode.simulation.overhearing import (
    NOT_RUN,
    all_own,
    automatic_tags,
    before_filters,
    challenge_tags,
    filters_judged,
    stages_told,
)
from edgenode.simulation.simulator import Judged, Simulator, client_of

_ALERTS = {495: "bad certificate", 496: "certificate required"}


@frozen
class Question:
    """A request, and who sends it where and when.

    :ivar asked: the request.
    :ivar listener: where it comes in.
    :ivar connection: on what, without the client's certificate.
    :ivar at: when, seconds since the epoch.
    :ivar certificate: the client's, PEM, with the chain that it sends; empty for none.
    :ivar filter: the global filter that is asked about, whether it matches or not; empty for none.
    :ivar repeat: how often it comes; what is told is of the last time.
    :ivar every: seconds from one time to the next.
    """

    asked: CurlRequest
    listener: str
    connection: Connection
    at: float
    certificate: bytes = b""
    filter: str = ""
    repeat: int = 1
    every: float = 0.0


def explain(simulator: Simulator, question: Question) -> dict[str, Any]:
    """What becomes of a request, as JSON has it.

    :raises NetworkNeeded: if a stage of the pipeline waits for the network.
    :raises InvalidRequest: if there is no filter of the name that is asked about.
    """
    wanted, known = question.filter, simulator.configuration.global_filters
    if wanted and wanted not in known:
        raise InvalidRequest(f"there is no [global-filter {wanted}]{suggestion(wanted, known)}")
    told = _explained(simulator, question)
    if wanted and "filter" not in told:
        why = "the request is refused before any filter is judged"
        told["filter"] = asked_about(wanted, known[wanted]) | {"judged": False, "why": why}
    return told


def _masked(configuration: Configuration, judged: Judged, body: Body, told: dict[str, Any]) -> dict[str, Any]:
    """What is told without the values that are never told in clear."""
    masks, request = configuration.masks(judged.exchange.path_map), judged.exchange.request
    if not masks or request is None:
        return told
    told["request"] |= _target(masks.masked(request))
    whole = request.with_body(body) if isinstance(request, RequestHead) else request
    found: dict[str, Any] = Secrets.of(masks, whole).told(told)
    return found


def _explained(simulator: Simulator, question: Question) -> dict[str, Any]:
    name = question.connection.server_name
    told: dict[str, Any] = {"listener": question.listener, "peer": question.connection.peer.host, "sni": name}
    group = simulator.group(question.listener, question.connection)
    if simulator.configuration.listeners[question.listener].protocol == "stream" and group is not None:
        return told | _stream(simulator, question, group)
    plain = simulator.plain(question.listener)
    if plain and question.asked.encrypted:
        return told | refusal_told(ClientError(400, "TLS on a port without it"), "400")
    if not plain and not question.asked.encrypted:
        return told | refusal_told(ClientError(497, "a plain request on a TLS port"), "400") | {"outcome": PLAIN}
    if group is None:
        error = ClientError(421, f"no server group for the server name: {name or 'none'}")
        return told | refusal_told(error, "handshake", "unrecognized name")
    connection = evolve(question.connection, client=_client(question, group))
    told["certificate"] = _certificate(connection.client, group.group.mtls, bool(question.certificate))
    client = simulator.client(question.listener, connection, group, question.at)
    try:
        head = simulator.read(question.listener, question.asked.head, client)
        redirect = simulator.redirect(question.listener, head)
    except ClientError as error:
        return told | refusal_told(error, "400")
    if redirect is not None:
        return told | {"outcome": redirect_told(redirect)}
    if question.asked.http2:
        head.version = (2, 0)
    body = Body(question.asked.body, len(question.asked.body))
    if not any(all_own(simulator.configuration)):  # one of these may count
        # The first time all is new, and takes as long as no other request.
        simulator.judge(simulator.client(question.listener, connection, group, question.at), head, body)
    simulator.state.forget()
    became: list[str] = []
    for number in range(question.repeat):
        client = simulator.client(question.listener, connection, group, question.at + number * question.every)
        judged = simulator.judge(client, head, body)
        became.append(_became(judged))
    told |= {"client": judged.exchange.client, "request": _request(judged.exchange)}
    told["route"] = _route(simulator.configuration, judged)
    if judged.refusal is None:
        told |= _judged(simulator, judged, question.filter)
    told |= _ended(judged, group, body.size)
    if question.repeat > 1:
        told["repeated"] = {"every": question.every, "outcomes": list(_runs(became))}
    return _masked(simulator.configuration, judged, body, told)


def _stream(simulator: Simulator, question: Question, group: ServedGroup) -> dict[str, Any]:
    """What becomes of a stream: of what was asked only the client and the names count."""
    listener = simulator.configuration.listeners[question.listener]
    facts, terminated = question.connection, listener.tls == "yes"
    if terminated:
        facts = evolve(facts, client=_client(question, group))
    simulator.state.forget()
    became: list[str] = []
    for number in range(question.repeat):
        client = simulator.client(question.listener, facts, group, question.at + number * question.every)
        judged = judge_stream(simulator, client)
        became.append(_became(judged))
    told: dict[str, Any] = {"client": judged.exchange.client, "stream": {"tls": listener.tls, "alpn": facts.alpn}}
    mtls = group.group.mtls if terminated else "off"
    told["certificate"] = _certificate(facts.client, mtls, bool(question.certificate))
    told["route"] = _route(simulator.configuration, judged)
    if judged.refusal is not None:
        refusal = {"status": judged.refusal.status, "reason": judged.refusal.reason}
        told |= {"refusal": refusal, "outcome": {"kind": "close"}}
    else:
        told |= _judged(simulator, judged, question.filter)
        outcome, decision = judged.decision.outcome(judged.exchange), judged.decision
        told["outcome"] = {"mode": decision.mode, "left_out": sorted(decision.exempt), "kind": "close"}
        if isinstance(outcome, Forward):
            told["outcome"] = outcome_told(outcome, decision, None, judged.exchange)
    if question.repeat > 1:
        told["repeated"] = {"every": question.every, "outcomes": list(_runs(became))}
    return told


def _became(judged: Judged) -> str:
    """What became of a request, in a word."""
    if judged.refusal is not None:
        return f"refused {judged.refusal.status}"
    outcome = judged.decision.outcome(judged.exchange)
    if isinstance(outcome, Respond):
        return str(outcome.response.status)
    return "forwarded" if isinstance(outcome, Forward) else "closed"


def _runs(became: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The same outcomes, as often as they came one after another."""
    first = 0
    for number, outcome in enumerate(became, 1):
        if number == len(became) or became[number] != outcome:
            yield {"first": first + 1, "last": number, "outcome": outcome}
            first = number


def _client(question: Question, group: ServedGroup) -> ClientIdentity | None:
    if not question.certificate or group.group.mtls == "off":
        return None
    try:
        return client_of(question.certificate, group, datetime.datetime.fromtimestamp(int(question.at), datetime.UTC))
    except ValueError:
        raise InvalidRequest("--cert: there is a certificate in it that cannot be read") from None


def _judged(simulator: Simulator, judged: Judged, wanted: str) -> dict[str, Any]:
    """The tags, the filters, what was counted, and the actions of a request that was not refused before.

    :param wanted: the filter that is asked about, if there is one.
    """
    configuration, exchange, decision = simulator.configuration, judged.exchange, judged.decision
    path_map = judged.path_map
    assert path_map is not None
    pipeline, asked, told = path_map.pipeline, filters_judged(decision), dict[str, Any]()
    earlier = frozenset[str]().union(*(stage.said.tags for stage in before_filters(pipeline)))
    earlier |= automatic_tags(pipeline, exchange) | challenge_tags(pipeline, exchange)
    filters = Filters.of(configuration.global_filters, configuration.rules.definitions, configuration.contents.feeds)
    traces = filters.traces(exchange.tagged(earlier)) if asked else {}
    matched = {name: filters.filters[name] for name, trace in traces.items() if trace.holds}
    told["tags"] = list(tags_told(configuration, judged, pipeline, matched))
    told["filters"] = filters_told(filters.filters, traces)
    if wanted:
        why = "" if asked else "mode = off" if decision.mode == "off" else "a stage has failed, or decided before"
        told["filter"] = filter_told(configuration, wanted, traces.get(wanted), why)
    tokens = _tokens(exchange)
    if tokens:
        told["tokens"] = tokens
    told["stages"] = list(stages_told(pipeline, decision))
    before = frozenset(each["tag"] for each in told["tags"] if each["from"] not in (*BEHIND.values(), "action"))
    told["counted"] = list(counted(configuration, path_map.name, exchange, decision, simulator.state, before))
    profile = next((stage for stage in pipeline.stages if isinstance(stage, Profile)), None)
    if profile is not None:
        told["acl"] = acl_told(profile, decision, configuration.acl_profiles[profile.profile], decision.tags)
    told["without"] = [each["stage"] for each in told["stages"] if each["became"] == NOT_RUN]
    if pipeline.answers is not None:
        told["answers"] = [each.name for each in (*pipeline.answers.before, *pipeline.answers.after)]
    told["actions"] = list(actions_told(configuration, judged, pipeline, matched))
    told["agrees"] = agrees(traces, decision)
    told["timings"] = {stage: round(microseconds) for stage, microseconds in decision.timings}
    return told


def _tokens(exchange: Exchange) -> dict[str, str]:
    """What was found out about the token of a request, by token configuration: never more than whether it is valid."""
    judge = exchange.tokens
    verdicts = {} if judge is None else {name: judge.judge(name, exchange) for name in judge.names}
    return {name: _verdict(each) for name, each in verdicts.items()}


def _verdict(found: TokenVerdict) -> str:
    if not found.present:
        return "no token"
    return "valid" if found.valid else f"not valid: {found.reason}"


def _ended(judged: Judged, handshake_group: ServedGroup, size: int) -> dict[str, Any]:
    """What the request comes to, and why it was refused if it was not by a rule.

    :param size: of the body that comes.
    """
    exchange, decision, path_map, group = judged.exchange, judged.decision, judged.path_map, judged.group
    rules = (path_map or group or handshake_group).responses
    if judged.refusal is not None:
        style = (group or handshake_group).group.mtls_refusal
        alert = _ALERTS.get(judged.refusal.status, "") if style == "handshake" else ""
        return refusal_told(judged.refusal, style, alert, rules, exchange)
    assert path_map is not None and exchange.request is not None
    outcome, length = decision.outcome(exchange), exchange.request.length
    if isinstance(outcome, Forward):
        here = answered_here(exchange.request, path_map.allow)
        if here is not None:
            outcome = Respond(here)
        elif (size if length is None else length) > path_map.max_body_size:
            return refusal_told(ClientError(413, TOO_LARGE), "400", "", rules, exchange)
    return {"outcome": outcome_told(outcome, decision, rules, exchange)}


def _route(configuration: Configuration, judged: Judged) -> dict[str, Any]:
    group, path_map = judged.group, judged.path_map
    route: dict[str, Any] = {"server_group": None, "security_policy": None, "path_map": None, "origin": None}
    if group is not None:
        route |= {"server_group": group.name, "security_policy": group.security_policy}
        names = [each.name for each in group.path_maps]
        route["passed_over"] = names if path_map is None else names[: names.index(path_map.name)]
    if path_map is not None:
        section = configuration.path_maps[path_map.name]
        servers = [str(server) for server in configuration.origins[section.origin].servers]
        route |= {"path_map": path_map.name, "origin": section.origin, "servers": servers}
    return route


def _request(exchange: Exchange) -> dict[str, str]:
    request = exchange.request
    assert request is not None
    parts = {"method": request.method, "authority": request.authority}
    return {name: part.decode("utf-8", "backslashreplace") for name, part in parts.items()} | _target(request)


def _target(request: Request) -> dict[str, str]:
    return {"target": request.target.decode("utf-8", "backslashreplace")}


def _certificate(client: ClientIdentity | None, mtls: str, given: bool) -> dict[str, Any]:
    if client is None:
        return {"mtls": mtls, "verify": "NONE", "asked": mtls != "off", "given": given}
    verdict = client.verification
    return {
        "mtls": mtls,
        "verify": str(verdict),
        "asked": True,
        "given": True,
        "subject": client.subject,
        "issuer": client.issuer,
        "serial": client.serial,
        "revoked": verdict.revoked,
        "errors": list(verdict.errors),
    }
