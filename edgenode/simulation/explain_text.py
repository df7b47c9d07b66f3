"""An explanation for people, line by line.

Law: what a client sent is shown so that it can do nothing to a terminal: what is not printable is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from edgenode.model.errors import printable

_LONGEST = 120
"""Characters of a value that are shown to people."""

_NEARLY = 10
"""Filters that nearly matched, as many as are shown to people."""

_MOST_VALUES = 50
"""Values that are shown to people of each part of the filter that they ask about."""

_RULE_SETS = "content-filter"
"""The stage whose reasons are rules of a content filter."""

_LEFT, _RIGHT = "«", "»"


def lines(told: Mapping[str, Any]) -> Iterator[str]:
    """An explanation, line by line."""
    if not told.get("agrees", True):
        yield from ("*** The engine and the explanation disagree: believe neither, and report this. ***", "")
    if "request" in told:
        request = told["request"]
        yield printable(f"{request['method']} {request['target']} at {request['authority']}, from {told['client']}")
    elif "stream" in told:
        yield f"a stream from {told['peer']}"
    else:
        yield f"a request from {told['peer']}"
    yield from _route_lines(told)
    if "refusal" in told:
        refusal = told["refusal"]
        yield from ("", "refused", f"  {refusal['status']}: {printable(refusal['reason'])}")
    if "tags" in told:
        yield from ("", "tags")
        yield from _table((each["tag"], f"{each['from']} {each['name']}".rstrip()) for each in told["tags"])
        if "tokens" in told:
            yield from ("", "tokens")
            yield from _table((f"jwt {name}", verdict) for name, verdict in told["tokens"].items())
        yield from _stage_lines(told)
        yield from _rule_set_lines(told)
        yield from _filter_lines(told) if "filter" not in told else ()
        yield from _counted_lines(told)
        yield from _acl_lines(told)
        yield from _action_lines(told)
    if "filter" in told:
        yield from _asked_about(told["filter"])
    yield from _outcome_lines(told)
    if "timings" in told:
        took = ", ".join(f"{stage} {microseconds} µs" for stage, microseconds in told["timings"].items())
        yield from ("", f"took: {took}")


def _route_lines(told: Mapping[str, Any]) -> Iterator[str]:
    route, certificate = told.get("route", {}), told.get("certificate")
    yield from ("", "route")
    passed = ", ".join(route.get("passed_over", ()))
    origin = f"{route['origin']}: {', '.join(route['servers'])}" if route.get("origin") else ""
    rows = (
        ("listener", told["listener"]),
        ("server name", told["sni"] or "none"),
        ("server group", route.get("server_group") or ""),
        ("certificate", "" if certificate is None else _certificate_line(certificate)),
        ("security policy", route.get("security_policy") or ""),
        ("path map", f"{route['path_map']}{f' (not {passed})' if passed else ''}" if route.get("path_map") else ""),
        ("origin", origin),
    )
    yield from _table(row for row in rows if row[1])


def _certificate_line(told: Mapping[str, Any]) -> str:
    if not told["asked"]:
        return "not asked for: mtls = off"
    who = f" {printable(told['subject'])}" if "subject" in told else ""
    return f"{printable(told['verify'])}{who} (mtls = {told['mtls']})"


def _stage_lines(told: Mapping[str, Any]) -> Iterator[str]:
    """The stages in order, if one of them says something that no filter has said, or is of one's own."""
    if any(each["reasons"] or "tags" in each for each in told["stages"]):
        yield from ("", "stages")
        yield from _table((each["stage"], _said(each)) for each in told["stages"])


def _rule_set_lines(told: Mapping[str, Any]) -> Iterator[str]:
    """What does not look as the profile of a content filter says; and its rules that matched, each with its score,
    where it matched, and what."""
    for stage in told["stages"]:
        if stage["stage"] == _RULE_SETS and stage["reasons"]:
            name, (rules, deviations) = stage["reasons"][0]["filter"], _apart(stage["reasons"])
            for title, found in (
                (f"what the content filter {name} lets nobody send", deviations),
                (f"rules of the content filter {name} that matched", rules),
            ):
                if found:
                    yield from ("", title)
                    yield from _table((printable(each["entry"]), printable(each["annotation"])) for each in found)


def _apart(reasons: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """The reasons of a content filter that are rules, by their number, and the others."""
    rules = [each for each in reasons if each["entry"][:1].isdigit()]
    return rules, [each for each in reasons if each not in rules]


def _said(told: Mapping[str, Any]) -> str:
    reasons, action = told["reasons"], told.get("action")
    if told["stage"] == _RULE_SETS and reasons:  # each of them has a line of its own
        rules, deviations = _apart(reasons)
        number = f"{len(rules)} rule{'' if len(rules) == 1 else 's'} matched" if rules or not deviations else ""
        number = ", ".join(filter(None, (f"{len(deviations)} not as it should be" if deviations else "", number)))
        taken = next((each["action"] for each in reasons if each["action"]), "")
        return f"{told['became']}  {reasons[0]['filter']}: {number}{_behind(' -> ', taken)}"
    why = [
        printable(
            f"{each['filter']}{': ' if each['filter'] else ''}{each['entry']}"
            f"{_behind(' -> ', each['action'])}{_behind(': ', each['annotation'])}"
        )
        for each in reasons
    ]
    proposed = "" if any(each["action"] == action for each in reasons) else _behind("-> ", action)
    tags = f"[{' '.join(told['tags'])}]" if told.get("tags") else ""
    return "  ".join(filter(None, (told["became"], proposed, tags, *why)))


def _behind(mark: str, text: str | None) -> str:
    return f"{mark}{text}" if text else ""


def _filter_lines(told: Mapping[str, Any]) -> Iterator[str]:
    filters = told["filters"]
    yield from ("", f"filters that matched: {len(filters['matched'])} of {filters['judged']}")
    for each in filters["matched"]:
        yield from _one_filter(each)
    nearly: Sequence[Mapping[str, Any]] = filters["nearly"]
    if nearly:
        more = f", the nearest {_NEARLY} of {len(nearly)}" if len(nearly) > _NEARLY else ""
        yield from ("", f"filters that nearly matched{more}")
        for each in nearly[:_NEARLY]:
            yield from _one_filter(each)


def _asked_about(each: Mapping[str, Any]) -> Iterator[str]:
    """The filter that was asked about, with all that its parts looked at."""
    if each["judged"]:
        yield from ("", f"the filter {'matched' if each['rule']['holds'] else 'did not match'}")
        yield from _one_filter(each, _MOST_VALUES)
    else:
        yield from ("", f"the filter {each['name']} was not judged: {each['why']}")


def _one_filter(each: Mapping[str, Any], most: int = 3) -> Iterator[str]:
    proposed = f" -> {each['action']}" if each["action"] else ""
    tags = f"  [{' '.join(each['tags'])}]" if each["tags"] else ""
    called = f' "{printable(each["display_name"])}"' if each["display_name"] else ""
    yield f"  {each['name']}{called}{proposed}{tags}"
    rule = each["rule"]
    if "text" in rule:
        yield from _rule_lines(rule, 2, most)
    elif not rule["parts"]:
        yield f"    {_holds(rule)}  no conditions"
    else:
        if len(rule["parts"]) > 1:
            yield f"    {_RELATIONS[rule['relation']]}"
        for part in rule["parts"]:
            yield from _rule_lines(part, 2 if len(rule["parts"]) == 1 else 3, most)


_RELATIONS = {"and": "all of", "or": "any of", "xor": "an odd number of", "not": "none of"}


def _holds(rule: Mapping[str, Any]) -> str:
    return "yes" if rule["holds"] else "no "


def _rule_lines(rule: Mapping[str, Any], depth: int, most: int) -> Iterator[str]:
    words = [f"[section {rule['section']}]"] if "section" in rule else []
    if "text" in rule:
        words.append(printable(rule["text"]))
    elif "relation" in rule and len(rule["parts"]) != 1:
        words.append(_RELATIONS[rule["relation"]])
    if rule.get("annotation"):
        words.append(f"# {printable(rule['annotation'])}")
    yield f"{'  ' * depth}{_holds(rule)}  {' '.join(words)}{_because(rule, most)}"
    for part in rule.get("parts", ()):
        yield from _rule_lines(part, depth + 2, most)


def _because(rule: Mapping[str, Any], most: int) -> str:
    """The values that decided it, if they are no more than some."""
    if "looked_at" not in rule:
        return ""
    if not rule["looked_at"]:
        return "   there is none"
    if rule["found"]:
        return f"   {', '.join(_marked(found) for found in rule['found'][:most])}"
    if len(rule["looked_at"]) > most:
        return f"   none of {len(rule['looked_at'])} values"
    return f"   {', '.join(map(_quoted, rule['looked_at']))}"


def _marked(found: Mapping[str, Any]) -> str:
    line = f" ({found['line']}{' # ' + found['annotation'] if found['annotation'] else ''})" if "line" in found else ""
    if "match" not in found:
        return _quoted(found["value"]) + line
    match, room = _shortened(found["match"], _LONGEST), _LONGEST // 3
    before, behind = found["before"], found["behind"]
    before = before if len(before) <= room else f"…{before[-room:]}"
    return f'"{before}{_LEFT}{match}{_RIGHT}{_shortened(behind, room)}"{line}'


def _quoted(text: str) -> str:
    return f'"{_shortened(text, _LONGEST)}"'


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


def _counted_lines(told: Mapping[str, Any]) -> Iterator[str]:
    """What was counted, and what was not."""
    sections = told["counted"]
    if sections:
        yield from ("", "counted")
        yield from _table((each["section"], line) for each in sections for line in _counts(each))


def _counts(each: Mapping[str, Any]) -> Iterator[str]:
    if not each["counted"]:
        yield f"not counted: {printable(each['why'])}"
    for key in each.get("keys", ()):
        if "steps" in key:
            last = ": the last" if key["last"] else ""
            steps = ", ".join(key["matched"])
            yield f"{key['taken']} of {key['steps']} steps taken{last}, matches {steps} ({key['key']})"
        for line in key.get("thresholds", ()):
            what = "" if key["what"] == "requests" else f" {key['what']}"
            what += " with one more, if the answer is one," if key["known_later"] else ""
            over = f", over -> {line['action']}" if line["over"] else ""
            yield f"{line['count']}{what} of {line['limit']}{over} ({key['key']})"


def _acl_lines(told: Mapping[str, Any]) -> Iterator[str]:
    """What the lists of the ACL profile have found."""
    acl = told.get("acl")
    if acl is None:
        return
    yield from ("", f"ACL profile {acl['profile']}")
    rows = [(name, " ".join(tags) or "none of its tags") for name, tags in acl["lists"].items()]
    decided = f"{acl['decides']}{_behind(' -> ', acl['action'])}" if acl["decides"] else "nothing: the request passes"
    yield from _table([*rows, ("decides", decided if acl["asked"] else "nothing: it was not asked")])


def _action_lines(told: Mapping[str, Any]) -> Iterator[str]:
    actions = told["actions"]
    if actions:
        yield from ("", "actions, strongest first")
        rows = (
            (each["action"], f"{each['strength']:>5}  {'taken' if each['taken'] else 'not taken'}: {each['why']}, "
             f"for {each['filter']}")
            for each in actions
        )  # fmt: skip
        yield from _table(rows)


def _outcome_lines(told: Mapping[str, Any]) -> Iterator[str]:
    outcome = told["outcome"]
    if "repeated" in told:
        yield from ("", "repeated")
        yield from _table((_times(run), run["outcome"]) for run in told["repeated"]["outcomes"])
    yield from ("", "outcome")
    if outcome.get("mode", "block") != "block":
        yield f"  mode = {outcome['mode']}: nothing is refused"
    if outcome.get("left_out"):
        yield f"  left out: {', '.join(outcome['left_out'])}"
    if told.get("without"):
        yield f"  unless a stage of the program decides otherwise: {', '.join(told['without'])}"
    match outcome["kind"]:
        case "alert":
            yield f"  the handshake ends with the alert: {outcome['alert']}"
        case "close":
            yield "  the connection is closed without a byte"
        case "forward":
            yield f"  forwarded; under block it would be: {outcome['would']}" if "would" in outcome else "  forwarded"
        case "respond":
            grpc = f", in gRPC {outcome['grpc_status']}" if "grpc_status" in outcome else ""
            yield f"  status {outcome['status']}{grpc}"
    if told.get("answers") and outcome["kind"] == "forward":
        yield f"  its answer would be judged by: {', '.join(told['answers'])}"
    if "origin" in outcome:
        yield f"  origin {outcome['origin']}, in place of the path map's"
    for name in outcome.get("removed", ()):
        yield f"  without {name}"
    for name, value in outcome.get("headers", ()):
        yield f"  {name}: {printable(value)}"
    if outcome.get("body"):
        yield f"  {_quoted(printable(outcome['body']))}"


def _times(run: Mapping[str, Any]) -> str:
    return f"{run['first']}" if run["first"] == run["last"] else f"{run['first']} to {run['last']}"


def _table(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    kept = list(rows)
    width = max((len(name) for name, _ in kept), default=0)
    yield from (f"  {name:<{width}}  {text}" for name, text in kept)
