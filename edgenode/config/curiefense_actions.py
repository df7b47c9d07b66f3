"""Actions of curiefense, of this day and of older versions, as sections of edgenode.

Law: an action is written as the node can read it, or not at all, and what is lost of it is told. Those that answer are
equally strong there, and so they are here.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgenode.config import ini, schema
from edgenode.config.curiefense_rules import own_tags, plain
from edgenode.config.data import KINDS, SECTIONS
from edgenode.config.value_readers import Scope
from edgenode.model.errors import InvalidValue, Problem
from edgenode.policy.actions import REDIRECTS, ActionSection, Block
from edgenode.proxy.header_names import request_header_fault, response_header_fault

_BLOCKS: Mapping[str, int] = {
    "action-global-filter-block": 470,
    "action-rate-limit-block": 471,
    "action-acl-block": 472,
    "action-contentfilter-block": 473,
    "action-dynamic-rule-block": 474,
}
"""The predefined actions that block, and the status that each answers."""

_SAME: Mapping[str, str] = {
    "action-challenge": "challenge",
    "action-ichallenge": "challenge",
    "action-monitor": "monitor",
    "action-skip": "skip",
}
"""The predefined actions that there are here, too."""

_WITHOUT_PEOPLE = "the puzzle: a challenge here is solved by the browser, without the person"

_MISSING: Mapping[str, str] = {
    "action-https-redirect": "every listener here speaks TLS",
    "action-waap-feed-block": "its status is not documented",
}

_ANSWERS: Mapping[str, str] = {
    "default": "curiefense - request denied",
    "response": "default content",
    "redirect": "You are being redirected",
}
"""The older types that answer, and the body of each if it says nothing else."""

_VALUES: Mapping[str, str] = {
    "ip": "ip.src",
    "method": "http.request.method",
    "uri": "raw.http.request.uri",
    "path": "raw.http.request.uri.path",
    "query": "http.request.uri.query",
    "authority": "edge.authority",
    "asn": "ip.src.asnum",
    "country": "ip.src.country",
    "tags": 'join(edge.tags, ",")',
}
"""What a template can name: the value here."""

_OF_A_NAME = {"args": "edge.arguments", "headers": "http.request.headers", "cookies": "edge.cookies"}
_NAMED = re.compile(r"(args|headers|cookies)\.([!#$%&'*+.^_`|~0-9A-Za-z \[\]-]+)")
_TEMPLATE = re.compile(r"\$\{([^}]*)\}?")


def described(key: str, document: Any, losses: list[str]) -> tuple[str, list[str]]:
    """The type and the keys of an action.

    :param document: what is said of it; ``None`` if nothing is.
    :param losses: what is lost of it is added.
    :raises InvalidValue: if it cannot be expressed.
    """
    if document is None:
        if key in _SAME:
            losses += [_WITHOUT_PEOPLE] if key == "action-ichallenge" else []
            return _SAME[key], []
        if key in _BLOCKS:
            return "block", [f"status = {_BLOCKS[key]}", "body = access denied"]
        raise InvalidValue(_MISSING.get(key, "it is not known; give the file of actions with --actions"))
    try:
        return _custom(key, document, losses)
    except InvalidValue:
        raise
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InvalidValue(f"it cannot be read: {error}") from None


def of_today(action: Mapping[str, Any], losses: list[str]) -> Mapping[str, Any]:
    """An action that stands in its filter, as it did before the third version of the API, as one of today.

    :param losses: what is lost of it is added.
    """
    given = action.get("params")
    params = given if isinstance(given, dict) else {}
    kind = str(action.get("type") or "default")
    if kind == "ban":
        losses.append("the ban: the filter does to a request what it did without one")
        inner = params.get("action")
        return of_today(inner if isinstance(inner, dict) else {}, losses)
    if kind == "request_header":
        losses.append("type request_header: there it skips what follows, too")
        return {"type": "monitor", "params": {"headers": params.get("headers")}}
    if kind not in _ANSWERS:
        return {"type": kind, "params": params}
    names = {"location": "location", "content_type": "content-type"}
    headers = {name: params[key] for key, name in names.items() if key in params}
    content = params.get("content") if kind == "response" else None
    content = content or ("" if headers.get("location") else _ANSWERS[kind])
    return {"type": "custom", "params": {"status": params.get("status"), "headers": headers, "content": content}}


def _custom(key: str, document: Any, losses: list[str]) -> tuple[str, list[str]]:
    kind, given, own_tag = (
        str(document.get("type")),
        document.get("params") or {},
        f"action:{key.removeprefix('action-')}",
    )
    tags = own_tags([tag for tag in document.get("tags") or [] if tag != own_tag], losses)
    keys = [f"tags = {' '.join(tags)}"] if tags else []
    headers = {str(name): str(value) for name, value in (given.get("headers") or {}).items()}
    written = list(_headers(kind, headers, losses))
    if kind == "skip":
        return "skip", keys
    if kind == "monitor":
        return "monitor", keys + (["headers =", *written] if written else [])
    if kind in ("challenge", "ichallenge"):
        losses += [_WITHOUT_PEOPLE] if kind == "ichallenge" else []
        return "challenge", keys
    if kind != "custom":
        raise InvalidValue(f"there is no type {plain(kind)} here yet")
    status, own = int(given.get("status") or 503), {name.lower(): value for name, value in headers.items()}
    keys += [f"status = {status}", *(["headers =", *written] if written else [])]
    keys += [f"location = {_template(own['location'])}"] if "location" in own else []
    if "location" in own and status in REDIRECTS and not given.get("content"):
        return "redirect", [f"priority = {Block.default_priority}", *keys]
    keys += [f"content-type = {own['content-type']}"] if "content-type" in own else []
    return "block", [*keys, *_body(str(given.get("content") or "blocked"), losses)]


def _body(text: str, losses: list[str]) -> Iterator[str]:
    """The lines of a body; those of a configuration have neither white space at their ends nor tabs."""
    lines = [" ".join(line.strip().split("\t")) for line in text.splitlines()]
    kept = [line for line in lines if line]
    if kept != text.rstrip().splitlines():
        losses.append("content: white space at the ends of lines, tabs and empty lines")
    first, *more = map(_template, kept or [""])
    yield f"body = {first}"
    yield from (f"    {line}" for line in more)


def _headers(kind: str, headers: Mapping[str, str], losses: list[str]) -> Iterator[str]:
    """The lines of an action's header fields, but for those that have a key of their own."""
    fault = request_header_fault if kind == "monitor" else response_header_fault
    for name, value in headers.items():
        if kind != "monitor" and name.lower() in ("location", "content-type"):
            continue
        sentence = fault(name.lower().encode("ascii", "replace"))
        if name.lower() == "content-type":
            sentence = "an origin would take the client's body for something else"
        if sentence:
            losses.append(f"header {plain(name)}: {sentence}")
        else:
            yield f"    {name}: {_template(value)}"


def read_back(lines: list[str]) -> list[str]:
    """The lines of an action, if the node can read them.

    :raises InvalidValue: if it cannot.
    """
    check_lines(lines)
    sections, problems = ini.read("\n".join(lines), KINDS)
    for written in sections:
        section, wrong = schema.read(written, ActionSection, Scope(pathlib.Path()))
        problems += wrong
        if section is not None:
            problems += [Problem("", key, fault.sentence) for key, fault in section.faults()]
    for problem in problems:
        raise InvalidValue(f"{problem.key}: {problem.sentence}".removeprefix(": "))
    return lines


def unreadable(several: Sequence[Sequence[str]], names: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Why the node could not read sections; nothing if it can.

    :param several: each as its lines.
    :param names: what they may name, by the kind of section.
    """
    lines = [line for section in several for line in section]
    check_lines(lines)
    sections, problems = ini.read("\n".join(lines), KINDS)
    for written in sections:
        problems += schema.read(written, _CLASSES[written.kind], Scope(pathlib.Path(), {}, names))[1]
    yield from (f"{problem.key}: {problem.sentence}".removeprefix(": ") for problem in problems)


_CLASSES: Mapping[str, type[Any]] = {cls.kind: cls for cls in SECTIONS}


def check_lines(lines: Sequence[str]) -> None:
    """Check that each is one line, whatever has been put into it: another one could be another section.

    :raises InvalidValue: if one is not.
    """
    for line in lines:
        if not line.isprintable():
            raise InvalidValue(f"there is a control character in it: {plain(line)}")


def _template(text: str) -> str:
    return _TEMPLATE.sub(_value, text.replace("\\", "\\\\").replace("#", "\\#"))


def _value(template: re.Match[str]) -> str:
    written = template[1]
    named = _NAMED.fullmatch(written)
    if named is not None:
        name = named[2].lower() if named[1] == "headers" else named[2]
        return f'${{{_OF_A_NAME[named[1]]}["{name}"][0]}}'
    if written not in _VALUES:
        raise InvalidValue(f"the template ${{{plain(written)}}} is not known")
    return f"${{{_VALUES[written]}}}"
