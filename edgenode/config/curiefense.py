"""Global filters and actions of curiefense, and of Link11 WAAP, which is made of it, as sections of edgenode.

Law: nothing is dropped in silence. What cannot be expressed is listed, and stands in a comment of the section it is of.
"""

from __future__ import annotations

import pathlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from edgenode.config import ini, schema
from edgenode.config.curiefense_rules import (
    PLACED,
    Reading,
    is_automatic,
    own_tags,
    plain,
    several,
    slug,
    uniform,
)
from edgenode.config.data import KINDS
from edgenode.config.value_readers import Scope
from edgenode.model.errors import InvalidValue, Problem
from edgenode.model.urls import read_address
from edgenode.policy.actions import PREDEFINED, ActionSection
from edgenode.proxy.headers import request_header_fault, response_header_fault

_BLOCKS: Mapping[str, int] = {
    "action-global-filter-block": 470,
    "action-rate-limit-block": 471,
    "action-acl-block": 472,
    "action-contentfilter-block": 473,
    "action-dynamic-rule-block": 474,
}
"""The predefined actions that block, and the status that each answers."""

_SAME: Mapping[str, str] = {"action-monitor": "monitor", "action-skip": "skip"}
_MISSING: Mapping[str, str] = {
    "action-challenge": "there are no challenges here yet",
    "action-ichallenge": "there are no challenges here yet",
    "action-https-redirect": "every listener here speaks TLS",
    "action-waap-feed-block": "its status is not documented",
}
_SENTENCE = 1000
"""Characters of a sentence about a loss, which may quote what was read."""

_REDIRECTS = (301, 302, 303, 307, 308)
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


@frozen
class Imported:
    """The result of an import.

    :ivar text: the sections, INI.
    :ivar losses: what could not be expressed, each with the filter it is of.
    :ivar remarks: what is expressed, but should be checked by a person.
    """

    text: str
    losses: tuple[str, ...]
    remarks: tuple[str, ...]


@define
class Importer:
    """Makes sections of documents.

    :ivar actions: the documents of actions, by id.
    """

    actions: Mapping[str, Any]
    losses: list[str] = field(factory=list)
    remarks: list[str] = field(factory=list)
    _names: set[tuple[str, str]] = field(factory=lambda: {("action", name) for name in PREDEFINED})
    _written: dict[str, tuple[str | None, list[str], list[str]]] = field(factory=dict)

    def name(self, kind: str, text: str) -> str:
        """A name that no other section of this kind has."""
        name = slug(text)
        name = f"link11-{name}" if name.lower().startswith("system.") else name
        unique, number = name, 1
        while (kind, unique) in self._names:
            number += 1
            unique = f"{name}-{number}"
        self._names.add((kind, unique))
        return unique

    def filters(self, documents: Sequence[Any]) -> list[list[str]]:
        """The sections of global filters, each as its lines; the last first: in curiefense it wins over its equals."""
        objects = [document if isinstance(document, dict) else {} for document in documents]
        names = [str(document.get("name") or document.get("id") or "filter") for document in objects]
        read = [Reading(self.name("global-filter", name), each) for name, each in zip(names, objects, strict=True)]
        _look_for_tags(read)
        parts = [self._lines(reading) for reading in read]
        actions = [lines for name, lines, _ in self._written.values() if name]
        return [*actions, *(lines for part in reversed(parts) for lines in part)]

    def _lines(self, reading: Reading) -> list[list[str]]:
        """The section of a filter and those that stand in it."""
        document = reading.document
        title = plain(document.get("name") or document.get("id") or "a filter without a name")
        about = ": ".join(dict.fromkeys(each for each in (title, plain(document.get("description") or "")) if each))
        action, lost_action = self._action(document.get("action"))
        source, lost_source = self._source(reading)
        losses = [plain(loss, _SENTENCE) for loss in (*reading.losses, *lost_source, *lost_action)]
        remarks = [plain(remark, _SENTENCE) for remark in reading.remarks]
        self.losses += [f"{title}: {loss}" for loss in losses]
        self.remarks += [f"{title}: {remark}" for remark in remarks]
        lines = [f"# not expressed: {loss}" for loss in losses]
        lines += [f"# look at this: {remark}" for remark in remarks]
        lines += [f"[global-filter {reading.name}]", f"description = {about}"]
        lines += [] if reading.active and not reading.losses and not lost_source else ["active = no"]
        lines += [f"tags = {' '.join(reading.own)}"] if reading.own else []
        lines += [f"action = {action}"] if action else []
        lines += source
        inner = [[f"[section {name}]", *section.written()] for name, section in reading.sections.items()]
        return [[*lines, *reading.root.written()], *inner]

    def _source(self, reading: Reading) -> tuple[list[str], list[str]]:
        """The keys of a datafeed, and what is lost of it; its entries, those of the last refresh, stand beside it."""
        document = reading.document
        source = str(document.get("source") or "self-managed")
        if source == "self-managed":
            return [], []
        category = uniform(document.get("rule"))
        try:
            if not source.startswith("https://"):
                raise InvalidValue("only https")
            if not category:
                raise InvalidValue("its entries do not say of which category its lines are")
            if reading.root.relation != "or":
                raise InvalidValue("its entries are joined by and")
            read_address(source)
        except InvalidValue as problem:
            return [], [f"source {plain(source)}: {problem.sentence}; the entries are those of the last refresh"]
        return [f"source = {source}", f"feed = {category}"], []

    def _action(self, identifier: Any) -> tuple[str | None, list[str]]:
        """The name of the section of an action, if it can be expressed, and what is lost of it."""
        key = str(identifier or "action-monitor")
        if key in _SAME:
            return _SAME[key], []
        if key not in self._written:
            try:
                losses: list[str] = []
                kind, keys = self._described(key, losses)
                name = self.name("action", key.removeprefix("action-"))
                lines = _read_back([f"[action {name}]", f"type = {kind}", *keys])
                self._written[key] = name, lines, [f"action {plain(key)}: {loss}" for loss in losses]
            except InvalidValue as why:
                self._written[key] = None, [], [f"action {plain(key)}: {why}; the filter only sets its tags"]
        written, _, lost = self._written[key]
        return written, lost

    def _described(self, key: str, losses: list[str]) -> tuple[str, list[str]]:
        if key in self.actions:
            try:
                return _custom(self.actions[key], losses)
            except InvalidValue:
                raise
            except (TypeError, ValueError, AttributeError, OverflowError) as error:
                raise InvalidValue(f"it cannot be read: {error}") from None
        if key in _BLOCKS:
            return "block", [f"status = {_BLOCKS[key]}", "body = access denied"]
        if key in _MISSING:
            raise InvalidValue(_MISSING[key])
        raise InvalidValue("it is not known; give the file of actions with --actions")


def _look_for_tags(read: Sequence[Reading]) -> None:
    """Tell of tags that edgenode finds elsewhere: curiefense shows a filter only those that earlier ones have set."""
    set_by = [set(reading.own if reading.active else ()) for reading in read]
    before, later = set[str](), Counter(tag for tags in set_by for tag in tags)
    everywhere = {tag for reading in read for tag in reading.own}
    for tags, reading in zip(set_by, read, strict=True):
        for tag in dict.fromkeys(reading.tags):
            if is_automatic(tag):
                continue
            if tag in before and later[tag]:
                reading.losses.append(f"tag {tag}: it is also set by this or a later filter, which counts here")
            elif tag not in before:
                never = "no earlier active filter sets it, and so it never matches there"
                reading.losses.append(f"tag {tag}: {never if tag in everywhere else 'nothing sets it here'}")
        before |= tags
        later -= Counter(tags)


def _custom(document: Any, losses: list[str]) -> tuple[str, list[str]]:
    kind, given = str(document.get("type")), document.get("params") or {}
    tags = own_tags(document.get("tags") or [], losses)
    tags = [tag for tag in tags if not tag.startswith("action:")]
    keys = [f"tags = {' '.join(tags)}"] if tags else []
    headers = {str(name): str(value) for name, value in (given.get("headers") or {}).items()}
    written = list(_headers(kind, headers, losses))
    if kind == "skip":
        return "skip", keys
    if kind == "monitor":
        return "monitor", keys + (["headers =", *written] if written else [])
    if kind != "custom":
        raise InvalidValue(f"there is no type {plain(kind)} here yet")
    status = int(given.get("status") or 503)
    if status in _REDIRECTS:
        location = {name.lower(): value for name, value in headers.items()}.get("location")
        if location is None:
            raise InvalidValue("it redirects to nowhere")
        keys += ["headers =", *written] if written else []
        return "redirect", [*keys, f"status = {status}", f"location = {_template(location)}"]
    types = [value for name, value in headers.items() if name.lower() == "content-type"]
    if any(name.lower() == "location" for name in headers):
        losses.append(f"header location: an answer with {status} leads nowhere")
    keys += [f"status = {status}", *(f"content-type = {value}" for value in types[:1])]
    keys += ["headers =", *written] if written else []
    body = [" ".join(_template(line).split()) for line in str(given.get("content") or "blocked").splitlines()]
    first, *more = [line for line in body if line] or [""]
    return "block", [*keys, f"body = {first}", *(f"    {line}" for line in more)]


def _headers(kind: str, headers: Mapping[str, str], losses: list[str]) -> Iterator[str]:
    """The lines of an action's header fields, but for those that have a key of their own."""
    fault = request_header_fault if kind == "monitor" else response_header_fault
    for name, value in headers.items():
        if kind != "monitor" and name.lower() in ("location", "content-type"):
            continue
        sentence = fault(name.lower().encode("ascii", "replace"))
        if sentence:
            losses.append(f"header {plain(name)}: {sentence}")
        else:
            yield f"    {name}: {_template(value)}"


def _read_back(lines: list[str]) -> list[str]:
    """The lines of an action, if the node can read them.

    :raises InvalidValue: if it cannot.
    """
    _check_lines(lines)
    sections, problems = ini.read("\n".join(lines), KINDS)
    for written in sections:
        section, wrong = schema.read(written, ActionSection, Scope(pathlib.Path()))
        problems += wrong
        if section is not None:
            problems += [Problem("", key, fault.sentence) for key, fault in section.faults()]
    for problem in problems:
        raise InvalidValue(f"{problem.key}: {problem.sentence}".removeprefix(": "))
    return lines


def _check_lines(lines: Sequence[str]) -> None:
    """Check that each is one line, whatever has been put into it: another one could be another section."""
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


def convert(filters: Any, actions: Any, source: str) -> Imported:
    """Global filters, and the actions that they name.

    :param source: where they come from, for the first comment.
    :raises InvalidValue: if a line could not be written as one line.
    """
    by_id = {str(each["id"]): each for each in several(actions) if isinstance(each, dict) and "id" in each}
    importer = Importer(by_id)
    documents = several(filters)
    written = importer.filters(documents)
    losses = [f"#   {loss}" for loss in importer.losses]
    head = [
        f"# {len(documents)} global filters of {plain(source)}, by python -m edgenode import curiefense.",
        "# The last is first, for there of two equally strong actions the later one is taken, and here the earlier.",
    ]
    if any(re.match(rf"(?:{'|'.join(PLACED)}) =", line) for lines in written for line in lines):
        head += ["#", "# Some look at where a client is: that takes the databases of [geo]."]
    head += ["#", "# Not expressed:", *losses] if losses else []
    for lines in (head, *written):
        _check_lines(lines)
    text = "\n\n".join("\n".join(lines) for lines in (head, *written)) + "\n"
    return Imported(text, tuple(importer.losses), tuple(importer.remarks))
