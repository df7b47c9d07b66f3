"""What becomes of a request, and why, as JSON has it.

Law: the decision is the node's own. What is told besides, filter by filter, is worked out without the engine, and
compared with it: ``agrees`` is false where the two disagree. What a client sent is escaped where it is not printable.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from edgenode.config.load import Configuration
from edgenode.config.notation import suggestion
from edgenode.model.decision import Action, Decision, Forward, Outcome, Reason, Respond
from edgenode.model.errors import ClientError, printable
from edgenode.model.exchange import Body, ClientIdentity, Connection, Exchange, Headers, Response
from edgenode.policy.acl import Profile
from edgenode.policy.challenge import Challenges, for_humans
from edgenode.policy.explaining import Filters
from edgenode.policy.globalfilters import GlobalFilter, GlobalFilters
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.responses import Responses
from edgenode.policy.tagging import AUTOMATIC, HUMAN
from edgenode.proxy.answers import own_lines, paged
from edgenode.proxy.grpc import status_of, trailers_only
from edgenode.proxy.headers import answered_here
from edgenode.proxy.judging import TOO_LARGE, refuse
from edgenode.proxy.routing import ServedGroup
from edgenode.rules.language.texts import to_string
from edgenode.rules.matching.explaining import Found, Trace, closeness, simplified
from edgenode.rules.tags import canonical
from edgenode.rules.views.grpc import is_call
from edgenode.simulation.counted import acl_told, counted
from edgenode.simulation.curl import CurlRequest, InvalidRequest
from edgenode.simulation.overhearing import (
    NOT_RUN,
    Overheard,
    automatic_tags,
    before_filters,
    challenge_tags,
    filters_judged,
    own_stages,
    stages_told,
)
from edgenode.simulation.simulator import Judged, Simulator, client_of

_PLAIN = {"kind": "respond", "status": 400, "headers": [], "body": "400 The plain HTTP request was sent to HTTPS port"}
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
    told["outcome"].pop("plain", None)
    if wanted and "filter" not in told:
        why = "the request is refused before any filter is judged"
        told["filter"] = _asked_about(wanted, known[wanted]) | {"judged": False, "why": why}
    return told


def _explained(simulator: Simulator, question: Question) -> dict[str, Any]:
    name = question.connection.server_name
    told: dict[str, Any] = {"listener": question.listener, "peer": question.connection.peer.host, "sni": name}
    group = simulator.group(question.listener, question.connection)
    if not question.asked.encrypted:
        return told | _refused(ClientError(497, "a plain request on a TLS port"), "400") | {"outcome": _PLAIN}
    if group is None:
        error = ClientError(421, f"no server group for the server name: {name or 'none'}")
        return told | _refused(error, "handshake", "unrecognized name")
    connection = evolve(question.connection, client=_client(question, group))
    told["certificate"] = _certificate(connection.client, group.group.mtls, bool(question.certificate))
    client = simulator.client(question.listener, connection, group, question.at)
    try:
        head = simulator.read(question.listener, question.asked.head, client)
    except ClientError as error:
        return told | _refused(error, "400")
    if question.asked.http2:
        head.version = (2, 0)
    body = Body(question.asked.body, len(question.asked.body))
    if not simulator.configuration.own_stages:  # one of these may count
        # The first time all is new, and takes as long as no other request.
        simulator.judge(simulator.client(question.listener, connection, group, question.at), head, body)
    simulator.state.forget()
    became: list[str] = []
    for number in range(question.repeat):
        client = simulator.client(question.listener, connection, group, question.at + number * question.every)
        judged = simulator.judge(client, head, body)
        became.append(_became(judged))
    answer = None if judged.path_map is None else answered_here(head, judged.path_map.allow)
    told |= _judged(simulator, judged, group, body.size, answer, question.filter)
    if question.repeat > 1:
        told["repeated"] = {"every": question.every, "outcomes": list(_runs(became))}
    rules = (judged.path_map or judged.group or group).responses
    if is_call(head) and told["outcome"]["kind"] == "respond":
        told["outcome"]["grpc_status"] = _grpc_status(told)
    elif rules is not None and told["outcome"]["kind"] == "respond":
        told["outcome"] |= _ruled(told, rules, judged.exchange)
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


def _judged(
    simulator: Simulator,
    judged: Judged,
    handshake_group: ServedGroup,
    size: int,
    here: Response | None,
    wanted: str,
) -> dict[str, Any]:
    """The route, the tags, the filters, the actions and the outcome.

    :param size: of the body that comes.
    :param here: what the node answers itself instead of forwarding the request, if it does.
    :param wanted: the filter that is asked about, if there is one.
    """
    configuration, exchange, decision = simulator.configuration, judged.exchange, judged.decision
    told: dict[str, Any] = {"client": exchange.client, "request": _request(exchange)}
    told["route"] = _route(configuration, judged)
    if judged.refusal is not None:
        status, style = judged.refusal.status, (judged.group or handshake_group).group.mtls_refusal
        alert = _ALERTS.get(status, "") if style == "handshake" else ""
        return told | _refused(judged.refusal, style, alert)
    path_map = judged.path_map
    assert path_map is not None and exchange.request is not None
    automatic, solved = automatic_tags(path_map.pipeline, exchange), challenge_tags(path_map.pipeline, exchange)
    asked = filters_judged(decision)
    own = own_stages(path_map.pipeline)
    earlier = frozenset[str]().union(*(stage.said.tags for stage in before_filters(path_map.pipeline)))
    filters = Filters.of(configuration.global_filters, configuration.rules.definitions, configuration.contents.feeds)
    traces = filters.traces(exchange.tagged(automatic | solved | earlier)) if asked else {}
    told["tags"] = list(_tags(configuration, exchange, automatic, solved, filters, traces, decision, own))
    told["filters"] = _filters(filters.filters, traces)
    if wanted:
        why = "" if asked else "mode = off" if decision.mode == "off" else "a stage has failed, or decided before"
        told["filter"] = _one(configuration, wanted, traces.get(wanted), why)
    told["stages"] = list(stages_told(path_map.pipeline, decision))
    before = frozenset(each["tag"] for each in told["tags"] if each["from"] not in (*_BEHIND.values(), "action"))
    told["counted"] = list(counted(configuration, path_map.name, exchange, decision, simulator.state, before))
    profile = next((stage for stage in path_map.pipeline.stages if isinstance(stage, Profile)), None)
    if profile is not None:
        section = configuration.acl_profiles[profile.profile]
        told["acl"] = acl_told(profile, decision, section, decision.tags)
    told["without"] = [each["stage"] for each in told["stages"] if each["became"] == NOT_RUN]
    told["actions"] = list(_actions(configuration, filters.filters, traces, decision, path_map.pipeline))
    told["agrees"] = _agrees(traces, decision)
    told["timings"] = {stage: round(microseconds) for stage, microseconds in decision.timings}
    outcome, length = decision.outcome(exchange), exchange.request.length
    if isinstance(outcome, Forward):
        if here is not None:
            return told | {"outcome": _outcome(Respond(here), decision)}
        if (size if length is None else length) > path_map.max_body_size:
            return told | _refused(ClientError(413, TOO_LARGE), "400")
    return told | {"outcome": _outcome(outcome, decision)}


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


def _tags(
    configuration: Configuration,
    exchange: Exchange,
    automatic: frozenset[str],
    solved: frozenset[str],
    filters: Filters,
    traces: Mapping[str, Trace],
    decision: Decision,
    own_stages: Sequence[Overheard],
) -> Iterator[dict[str, str]]:
    """Every tag in the order in which it came, and from whom."""
    client, policy = exchange.connection.client, exchange.security_policy
    own, vouched = configuration.security_policies[policy].tags, () if client is None else client.tags
    sources: list[tuple[str, str, Iterable[str]]] = [
        ("the node", "", sorted(automatic.difference(own, vouched), key=_place)),
        ("security policy", policy, own),
        ("trust store", "", (tag for tag in vouched if tag in automatic)),
    ]
    sources.append(("stage", Challenges.name, solved))
    sources += [("stage", stage.name, sorted(stage.said.tags)) for stage in own_stages]
    sources += [("global filter", name, filters.filters[name].tags) for name, trace in traces.items() if trace.holds]
    matched = [filters.filters[name] for name, trace in traces.items() if trace.holds]
    actions = [configuration.rules.actions[each.action] for each in matched if each.action is not None]
    sources += [("action", action.name, sorted(action.tags)) for action in actions if action.exempts]
    for why in decision.reasons:
        if why.stage in _BEHIND and why.filter:
            sources.append((_BEHIND[why.stage], why.filter, _tags_behind(configuration, why)))
    if (winner := decision.action) is not None:
        of_action = (tag for tag in sorted(decision.tags) if tag.startswith("action:") or tag in winner.tags)
        sources.append(("action", winner.name, of_action))
    sources.append(("a stage", "", sorted(decision.tags)))
    seen: set[str] = set()
    for kind, name, tags in sources:
        for tag in tags:
            if tag not in seen:
                seen.add(tag)
                yield {"tag": tag, "from": kind, "name": name}


def _met(action: Action | None, decision: Decision) -> Action | None:
    """An action as a request meets it: of a human, who has solved a challenge, it asks for none."""
    return for_humans(action) if action is not None and HUMAN in decision.tags else action


_BEHIND: Mapping[str, str] = {
    "quarantine": "quarantine",
    "flows": "flow",
    "dynamic-rules": "dynamic rule",
    "rate-limits": "rate limit",
    "acl": "ACL profile",
}
"""The stages behind the filters, as their reasons name them: what their tags are from."""


def _tags_behind(configuration: Configuration, why: Reason) -> list[str]:
    """The tags of a section whose stage judges behind the filters."""
    found: Mapping[str, tuple[str, Mapping[str, Any]]] = {
        "flows": ("flow", configuration.flows),
        "dynamic-rules": ("dynamic-rule", configuration.dynamic_rules),
        "rate-limits": ("limit", configuration.rate_limits),
        "acl": ("acl", configuration.acl_profiles),
    }
    if why.stage not in found:
        rule = why.filter.removeprefix("dynamic-rule ")
        return ["quarantine", *([canonical(f"dynamic-rule:{rule}")] if rule != why.filter else [])]
    family, sections = found[why.stage]
    own = sections[why.filter].tags if why.filter in sections else ()
    return [canonical(f"{family}:{why.filter}"), *own]


def _place(tag: str) -> tuple[int, str]:
    families = list(AUTOMATIC)
    family = tag.partition(":")[0]
    return families.index(family) if family in families else len(families), tag


def _asked_about(name: str, section: GlobalFilter) -> dict[str, Any]:
    told = {"name": name, "display_name": section.name, "description": section.description}
    return told | {"tags": list(section.tags), "action": section.action}


def _one(configuration: Configuration, name: str, trace: Trace | None, why: str) -> dict[str, Any]:
    """A filter that is asked about: what each of its parts found, or why it was not judged.

    :param why: why no filter was; empty if others were.
    """
    section = configuration.global_filters[name]
    told = _asked_about(name, section) | {"judged": trace is not None}
    if trace is not None:
        return told | {"rule": _traced(simplified(trace))}
    inactive = (
        "active = no" if configuration.edge.system_filters else "it is not active, or [edge] system-filters is no"
    )
    return told | {"why": why if why and section.active else inactive}


def _filters(filters: Mapping[str, GlobalFilter], traces: Mapping[str, Trace]) -> dict[str, Any]:
    def told(name: str) -> dict[str, Any]:
        return _asked_about(name, filters[name]) | {"rule": _traced(simplified(traces[name]))}

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
    pipeline: Pipeline,
) -> Iterator[dict[str, Any]]:
    """Every action that was proposed, strongest first and then in the order of the file; and why it was not taken."""
    actions, winner = configuration.rules.actions, decision.action
    names = [name for name in filters if name in traces and traces[name].holds]
    own = {f"stage {each.name}": each.said.action for each in own_stages(pipeline)}
    first = [f"stage {each.name}" for each in before_filters(pipeline)]
    by_filters = [
        (action, name)
        for name in names
        if (proposal := filters[name].action) is not None and (action := _met(actions[proposal], decision)) is not None
    ]
    by_stages = [(action, name) for name, action in own.items() if action is not None]
    behind = [
        (_met(actions.get(why.action, winner), decision), f"{_BEHIND[why.stage]} {why.filter}")
        for why in decision.reasons
        if why.stage in _BEHIND and why.action
    ]
    proposed = [each for each in by_stages if each[1] in first] + by_filters
    proposed += [each for each in by_stages if each[1] not in first]
    proposed += [(action, name) for action, name in behind if action is not None]
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
            why = f"as strong as {winner.name}, but later{'' if name in own else ' in the file'}"
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
        told |= {"kind": "respond", "status": response.status}
        told |= {"headers": _fields(response.headers + decision.headers)}
        told |= {"body": response.body.decode("utf-8", "backslashreplace"), "plain": response.plain}
    elif isinstance(outcome, Forward):
        told |= {"kind": "forward", "headers": _fields(outcome.headers)}
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
        outcome |= {"body": answer.response.body.decode("ascii"), "plain": True}
    return {"refusal": {"status": error.status, "reason": error.reason}, "outcome": outcome}


def _ruled(told: Mapping[str, Any], rules: Responses, exchange: Exchange) -> dict[str, Any]:
    """What response rules make of an answer of the node's."""
    outcome = told["outcome"]
    headers = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in outcome["headers"])
    response = Response(outcome["status"], headers, outcome["body"].encode(), outcome["plain"])
    if response.plain:
        error = ClientError(told["refusal"]["status"], "") if "refusal" in told else None
        response = paged(rules, response, error, exchange)
    added = [line.split(": ", 1) for line in own_lines(rules, response, exchange).decode("latin-1").splitlines()]
    fields = [*_fields(response.headers), *([name.lower(), value] for name, value in added)]
    return {"headers": fields, "body": response.body.decode("utf-8", "backslashreplace")}


def _grpc_status(told: Mapping[str, Any]) -> int:
    """What a client of gRPC reads in place of the status."""
    outcome = told["outcome"]
    headers = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in outcome["headers"])
    refused = status_of(told["refusal"]["status"]) if "refusal" in told else 0
    return trailers_only(Response(outcome["status"], headers), refused)[1]


def _request(exchange: Exchange) -> dict[str, str]:
    request = exchange.request
    assert request is not None
    parts = {"method": request.method, "authority": request.authority, "target": request.target}
    return {name: part.decode("utf-8", "backslashreplace") for name, part in parts.items()}


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


def _fields(headers: Headers) -> list[list[str]]:
    return [[part.decode("latin-1") for part in pair] for pair in headers]


def _traced(trace: Trace) -> dict[str, Any]:
    told: dict[str, Any] = {"holds": trace.holds}
    if trace.section:
        told["section"] = trace.section
    if trace.shown:
        told["text"] = " and ".join(map(str, trace.shown))
        told["annotation"] = ", ".join(each.annotation for each in trace.shown if each.annotation)
    if trace.subject:
        told["looked_at"] = [_shown(value) for value in trace.values]
        told["found"] = [_found(found) for found in trace.found]
    if trace.parts or not trace.shown:
        told["relation"] = trace.relation
        told["parts"] = [_traced(part) for part in trace.parts]
    return told


def _found(found: Found) -> dict[str, Any]:
    told: dict[str, Any] = {"value": _shown(found.value)}
    if found.span is not None:
        start, end = found.span
        told |= {"before": _shown(found.value[:start]), "match": _shown(found.value[start:end])}
        told["behind"] = _shown(found.value[end:])
    if found.line:
        told |= {"line": found.line, "annotation": found.annotation}
    return told


def _shown(value: Any) -> str:
    """A value of a field, printable."""
    if isinstance(value, bool | int | tuple):
        return to_string(value).decode("ascii")
    return printable(value if isinstance(value, str) else value.decode("utf-8", "backslashreplace"))
