"""A configuration of curiefense, or of Link11 WAAP, which is made of it, as sections of edgenode.

Law: nothing is dropped in silence. What cannot be expressed is listed, and stands in a comment of the section it is of.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from edgenode.config.curiefense_actions import check_lines, described, of_today, read_back, unreadable
from edgenode.config.curiefense_documents import Documents, documents
from edgenode.config.curiefense_flows import flows
from edgenode.config.curiefense_limits import dynamic_rules, limits
from edgenode.config.curiefense_made import SENTENCE, Made, noted
from edgenode.config.curiefense_policies import Policies, profiles, session_word
from edgenode.config.curiefense_rules import PLACED, Reading, is_automatic, plain, rule_of, slug, uniform
from edgenode.model.errors import InvalidValue
from edgenode.model.urls import read_address
from edgenode.policy.actions import PREDEFINED

_OF_NOBODY = ("self-managed", "self", "reblaze-managed")
"""What stands for a source where there is none."""

_NEEDS = {
    "|".join(PLACED): "Some filters look at where a client is: that takes the databases of [geo].",
    "source": "Some filters have a source: that takes a folder, state in [edge].",
}
"""What the rest of the configuration must have, by the keys of a filter or section that need it."""


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
        return [lines for part in reversed(parts) for lines in part]

    def written_actions(self) -> list[list[str]]:
        """The sections of the actions that have been named so far, each as its lines."""
        return [lines for _, lines, _ in self._written.values() if lines]

    def noted(self, made: Made) -> list[list[str]]:
        """The sections of something, with what is lost of it told; as comments if the node could not read them."""
        names: dict[str, list[str]] = {}
        for kind, name in self._names:
            names.setdefault(kind, []).append(name)
        for problem in unreadable(made.written(), names):
            made.lose(problem)
            made.readable = False
        self.losses += [f"{made.title}: {loss}" for loss in made.losses]
        self.remarks += [f"{made.title}: {remark}" for remark in made.remarks]
        return made.written()

    def _lines(self, reading: Reading) -> list[list[str]]:
        """The section of a filter and those that stand in it."""
        document = reading.document
        title = plain(document.get("name") or document.get("id") or "a filter without a name")
        note = plain(document.get("description") or document.get("notes") or "")
        action, lost_action = self.action(document.get("action"))
        source, lost_source = self._source(reading)
        losses = [plain(loss, SENTENCE) for loss in (*reading.losses, *lost_source, *lost_action)]
        remarks = [plain(remark, SENTENCE) for remark in reading.remarks]
        self.losses += [f"{title}: {loss}" for loss in losses]
        self.remarks += [f"{title}: {remark}" for remark in remarks]
        lines = [*noted(losses, remarks), f"[global-filter {reading.name}]", f"name = {title}"]
        lines += [f"description = {note}"] if note and note != title else []
        kept = not reading.losses and (not lost_source or reading.root.lines or reading.root.sections)
        lines += [] if reading.active and kept else ["active = no"]
        lines += [f"tags = {' '.join(reading.own)}"] if reading.own else []
        lines += [f"action = {action}"] if action else []
        lines += source
        inner = [[f"[section {name}]", *section.written()] for name, section in reading.sections.items()]
        return [[*lines, *reading.root.written()], *inner]

    def _source(self, reading: Reading) -> tuple[list[str], list[str]]:
        """The keys of a datafeed, and what is lost of it; its entries, those of the last refresh, stand beside it."""
        source = str(reading.document.get("source") or _OF_NOBODY[0])
        if source in _OF_NOBODY:
            return [], []
        try:
            if not source.startswith("https://"):
                raise InvalidValue("only https")
            category = uniform(rule_of(reading.document))
            if not category:
                raise InvalidValue("its entries do not say of which category its lines are")
            if reading.root.relation != "or":
                raise InvalidValue("its entries are joined by and")
            read_address(source)
        except InvalidValue as problem:
            return [], [f"source {plain(source)}: {problem.sentence}; the entries are those of the last refresh"]
        reading.remarks.append(
            f"source {plain(source)}: one value a line, or say with format how it is written; "
            "the entries are those of the last refresh"
        )
        return [f"source = {source}", f"feed = {category}", "bad-lines = skip"], []

    def action(self, given: Any) -> tuple[str | None, list[str]]:
        """The name of the section of an action, if it can be expressed, and what is lost of it.

        :param given: its id; or all of it, as it stood in filters once.
        """
        losses: list[str] = []
        inline = isinstance(given, dict)
        key = json.dumps(given, sort_keys=True) if inline else str(given or "action-monitor")
        if key not in self._written:
            shown = str(given.get("type") or "default") if inline else key
            called = shown.removeprefix("action-")
            try:
                document = of_today(given, losses) if inline else self.actions.get(key)
                kind, keys = described(key, document, losses)
                if called == kind and not keys and kind in PREDEFINED:
                    name, lines = kind, list[str]()
                else:
                    name = self.name("action", called)
                    lines = read_back([f"[action {name}]", f"type = {kind}", *keys])
                self._written[key] = name, lines, [f"action {plain(shown)}: {loss}" for loss in losses]
            except InvalidValue as why:
                self._written[key] = None, [], [f"action {plain(shown)}: {why}; the filter only sets its tags"]
        written, _, lost = self._written[key]
        return written, lost


def _look_for_tags(read: Sequence[Reading]) -> None:
    """Tell of tags that edgenode finds elsewhere: curiefense shows a filter only those that earlier ones have set."""
    set_by = [set(reading.own if reading.active else ()) for reading in read]
    before, gone, later = set[str](), set[str](), Counter(tag for tags in set_by for tag in tags)
    everywhere = {tag for reading in read for tag in reading.own}
    for tags, reading in zip(set_by, read, strict=True):
        for tag in dict.fromkeys(reading.tags):
            if is_automatic(tag):
                continue
            if tag in gone:
                reading.losses.append(f"tag {tag}: a filter that sets it is not active here")
            elif tag in before and later[tag]:
                reading.losses.append(f"tag {tag}: it is also set by this or a later filter, which counts here")
            elif tag not in before:
                never = "no earlier active filter sets it, and so it never matches there"
                reading.losses.append(f"tag {tag}: {never if tag in everywhere else 'nothing sets it here'}")
        (gone if reading.losses else before).update(tags)
        later -= Counter(tags)


def convert(data: Any, actions: Any, source: str) -> Imported:
    """Whatever there is of a configuration.

    :param data: documents of any kind.
    :param actions: the actions that they name, besides those among them.
    :param source: where they come from, for the first comment.
    :raises InvalidValue: if a line could not be written as one line.
    """
    found = documents(data)
    given = [*found["actions"], *_of_file(actions)]
    importer = Importer({str(each["id"]): each for each in given if isinstance(each, dict) and "id" in each})
    filters = importer.filters(found["filters"])
    stages = _stages(importer, found)
    sections = [*importer.written_actions(), *filters, *stages]
    losses = [f"#   {loss}" for loss in importer.losses]
    head = [f"# {_counted(found)} of {plain(source)}, by edgenode import curiefense."]
    if found["filters"] or found["limits"]:
        last = (
            "The last is first, for there of two equally strong actions the later one is taken, and here the earlier."
        )
        head.append(f"# {last}")
    lines = [line for section in sections for line in section]
    needs = [need for keys, need in _NEEDS.items() if any(re.match(rf"(?:{keys}) =", line) for line in lines)]
    head += ["#", *(f"# {need}" for need in needs)] if needs else []
    head += ["#", "# Not expressed:", *losses] if losses else []
    for section in (head, *sections):
        check_lines(section)
    text = "\n\n".join("\n".join(section) for section in (head, *sections)) + "\n"
    return Imported(text, tuple(importer.losses), (*importer.remarks, *needs))


def _of_file(actions: Any) -> list[Any]:
    """The documents of a file of actions, which may be those of a whole configuration."""
    found = documents(actions)
    return found["actions"] or [each for several in found.values() for each in several]


_TITLES = {
    "filters": "global filters",
    "limits": "rate limits",
    "profiles": "ACL profiles",
    "flows": "flows",
    "rules": "dynamic rules",
    "policies": "security policies",
}


def _counted(found: Documents) -> str:
    """How many documents there are of each kind."""
    counts = [f"{len(found[kind])} {title}" for kind, title in _TITLES.items() if found[kind]]
    return ", ".join(counts) or "0 global filters"


def _stages(importer: Importer, found: Documents) -> list[list[str]]:
    """The sections of all that stands behind the filters."""
    session, remark = session_word(found["policies"])
    importer.remarks += [remark] if remark else []
    named = bool(found["policies"])
    of_limits = limits(importer, found["limits"], session, named=named)
    of_profiles = profiles(importer, found["profiles"], named=named)
    made = [*flows(importer, found["flows"], session), *dynamic_rules(importer, found["rules"])]
    written = [lines for each in (*made, *of_limits, *of_profiles) for lines in importer.noted(each)]
    policies = Policies(importer, _by_id(of_limits), _by_id(of_profiles))
    written += policies.written(found["policies"])
    importer.losses += policies.losses
    importer.remarks += policies.remarks
    return written


def _by_id(several: Sequence[Made]) -> Mapping[str, Made]:
    return {str(each.document.get("id") or each.document.get("name")): each for each in several}
