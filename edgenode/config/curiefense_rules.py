"""Rule lists of curiefense, and of Link11 WAAP, which is made of it, as rule lists of edgenode.

Law: what is written means to edgenode what it means to curiefense, or it is not written as if it did: a filter of which
a part cannot be expressed is written inactive, with every reason. In curiefense a value is an equal text, or a regular
expression in either case; of two equally strong actions the later filter's is taken; a filter sees the tags of those
before it. What cannot be expressed is an ``InvalidValue``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import define, field

from edgenode.model.errors import InvalidValue
from edgenode.policy.tagging import BOT, FAMILIES, HUMAN, check_own_tag
from edgenode.rules import categories
from edgenode.rules.categories import written_name
from edgenode.rules.countries import country_code
from edgenode.rules.language.patterns import quote
from edgenode.rules.lists import autonomous_system
from edgenode.rules.regexes import check_regex, compile_regex
from edgenode.rules.sections import Entry
from edgenode.rules.tags import canonical

LINE = 100
"""Characters of a name or an annotation that are taken over."""


def slug(text: str) -> str:
    """A text as a name of a section."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._") or "unnamed"


def plain(text: object, longest: int = LINE) -> str:
    """A text of the product on one line of a comment or a value."""
    line = " ".join(str(text).split())
    return "".join(each if each.isprintable() else "?" for each in line)[:longest].strip()


# -- values ------------------------------------------------------------------------------------------------------------


def _regex(value: str) -> str:
    """A regular expression, or an equal text: curiefense tries both."""
    text = _ascii(value)
    try:
        check_regex(text)
    except InvalidValue:
        if not _compiles_elsewhere(value):  # then curiefense falls back to equality
            return exactly(value)
        raise
    if not re.search(r"[\^$\\]", value) and compile_regex(f"(?i:{text})").search(value.encode()) is None:
        return f"(?:{_guarded(text)})|{exactly(value)}"  # a text, which curiefense finds as one
    return _guarded(text)


def _compiles_elsewhere(value: str) -> bool:
    """Whether it may be an expression of another dialect, rather than none at all."""
    try:
        re.compile(value)
    except (re.error, OverflowError):
        return False
    return True


def _ascii(value: str) -> str:
    """An expression on bytes: each character beyond ASCII as its bytes in UTF-8."""
    if not value.isascii() and "[" in value:
        raise InvalidValue("characters beyond ASCII beside a character class")
    return "".join(each if each.isascii() else f"(?:{quote(each.encode())})" for each in value)


def exactly(value: str) -> str:
    """An expression that finds a text that is equal, in the same case."""
    return f"(?-i:^{quote(value.encode())}$)"


def _guarded(text: str) -> str:
    """An expression that survives being written on a line: no annotation begins in it, and its ends stay."""
    text = re.sub(r"(\\[ -~])|\\?([\x00-\x1f\x7f])", lambda each: each[1] or f"\\x{ord(each[2]):02X}", text)
    text = re.sub(r"(^|\s)#", r"\1\\#", text)
    text = re.sub(r"^\s", lambda space: f"\\x{ord(space[0]):02X}", text)
    text = re.sub(r"(?<!\\)\s$", lambda space: f"\\x{ord(space[0]):02X}", text)
    if text.startswith("[") and text.endswith("]"):
        return f"(?:{text})"  # below its key it would look like a section's header
    return f"\\{text}" if text.startswith("!") else text


def _query(value: str) -> str:
    """Curiefense's query begins with its question mark, edgenode's behind it."""
    if value.startswith("?"):  # no expression, and so an equal text
        return exactly(value[1:])
    anchored, mark, rest = re.findall(r"\A(\^?)(\\\?|\[\?\])?(.*)", value, re.DOTALL)[0]
    if mark:
        return _regex(f"^{rest}" if anchored else rf"(?:^|\?){rest}")
    if anchored:
        raise InvalidValue("it can match nothing there, for the query begins with its question mark")
    return _regex(value)


def _authority(value: str) -> str:
    if ":443" in value:
        raise InvalidValue("the authority has no port 443 here, for it is the scheme's own")
    return _regex(value)


def _address(value: str) -> str:
    try:
        found = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise InvalidValue("it is no address, and no network") from None
    return str(found.network_address if found.prefixlen == found.max_prefixlen else found)


def _country(value: str) -> str:
    try:
        return country_code(value.strip("^$()"))
    except InvalidValue:
        raise InvalidValue("it is no country, by its code or by its name; several are several entries") from None


_VALUES: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "path": ("path", _regex),
    "query": ("query", _query),
    "uri": ("uri", _regex),
    "method": ("method", _regex),
    "authority": ("authority", _authority),
    "ip": ("ip", _address),
    "asn": ("asn", lambda value: str(autonomous_system(value))),
    "country": ("country", _country),
    "region": ("region", _regex),
    "subregion": ("subregion", _regex),
    "company": ("organization", _regex),
    "organization": ("organization", _regex),
    "tag": ("tag", canonical),
    "securitypolicyname": ("security-policy-name", slug),
    "securitypolicyentryname": ("path-matching-name", slug),
}
"""Curiefense's types of entries with one value: the category here, and how its value is written."""

PLACED = ("asn", "country", "region", "subregion", "organization")
"""The categories that take databases of addresses."""

PAIRS: Mapping[str, str] = {"args": "argument", "cookies": "cookie", "headers": "header"}
"""Curiefense's types of entries with a name and a value: the category here."""


def named_key(kind: str, name: str) -> str:
    """The key of a header, a cookie or an argument."""
    return f"{PAIRS[kind]}.{name.lower() if kind == 'headers' else written_name(name.encode())}"


def pair(kind: str, name: str, value: str) -> tuple[str, str]:
    """The key and the value of a condition on a header, a cookie or an argument: a regular expression, in either case.

    :raises InvalidValue: if it is none.
    """
    return named_key(kind, name), pattern(value)


def pattern(value: str) -> str:
    """A regular expression.

    :raises InvalidValue: if it is none.
    """
    text = _ascii(value)
    check_regex(text)
    return _guarded(text)


# -- rules -------------------------------------------------------------------------------------------------------------


@define
class Rule:
    """A section that is being made.

    :ivar relation: ``and`` or ``or``.
    :ivar lines: the lines of each key.
    :ivar sections: the names of the sections in it.
    """

    relation: str
    lines: dict[str, list[str]] = field(factory=dict)
    sections: list[str] = field(factory=list)

    def add(self, key: str, value: str) -> None:
        """One more condition.

        :raises InvalidValue: if it cannot be one.
        """
        key, line = categories.format(categories.entry(key, value))
        self.lines.setdefault(key, []).append(line)

    def written(self) -> Iterator[str]:
        """Its keys."""
        yield "match-case = no"
        if any(key.startswith("argument.") for key in self.lines):
            yield "readings = json xml graphql base64"
        yield f"relation = {self.relation}"
        if self.sections:
            yield f"sections = {', '.join(self.sections)}"
        for key, lines in self.lines.items():
            if len(lines) == 1:
                yield f"{key} = {lines[0]}"
            else:
                yield f"{key} ="
                yield from (f"    {line}" for line in lines)


@define
class Reading:
    """One filter that is being read.

    :ivar name: of its section.
    :ivar document: what is read.
    :ivar losses: what could not be expressed of it.
    :ivar remarks: what is to be looked at.
    :ivar tags: the tags that it looks for.
    :ivar sections: the sections that it needs, by name.
    :ivar own: the tags that it sets.
    :ivar root: its rule list.
    """

    name: str
    document: Mapping[str, Any]
    losses: list[str] = field(factory=list)
    remarks: list[str] = field(factory=list)
    tags: list[str] = field(factory=list)
    sections: dict[str, Rule] = field(factory=dict)
    own: list[str] = field(init=False)
    root: Rule = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.own = own_tags(self.document.get("tags"), self.losses)
        self.root = self.rule(rule_of(self.document), "")

    @property
    def active(self) -> bool:
        """Whether curiefense judges it."""
        return self.document.get("active") is True

    def rule(self, rule: Any, path: str) -> Rule:
        """Read a rule list; a single entry is one as well."""
        if isinstance(rule, list):
            rule = {"relation": "AND", "entries": [rule]}
        if not isinstance(rule, dict) or str(rule.get("relation", "")).upper() not in ("AND", "OR"):
            self.losses.append(f"{path or 'the rule list'}: not a rule with a relation AND or OR")
            return Rule("or")
        if not {"entries", "sections"} & set(rule):
            self.losses.append(f"{path or 'the rule list'}: it has no entries")
        read, seen = Rule(rule["relation"].lower()), set[tuple[str, str]]()
        for number, each in enumerate(_parts(rule), 1):
            place = f"{path}entry {number}"
            if isinstance(each, dict):
                name = f"{self.name}-{len(self.sections) + 1}"
                self.sections[name] = Rule("and")  # it keeps its place before those within it
                self.sections[name] = self.rule(each, f"{place}, ")
                read.sections.append(name)
                continue
            try:
                entry = self.entry(each)
            except InvalidValue as why:
                self.losses.append(f"{place} {plain(each)}: {why}")
                continue
            key, line = categories.format(entry)
            if (key, entry.value) not in seen:
                seen.add((key, entry.value))
                read.lines.setdefault(key, []).append(line)
        return read

    def entry(self, entry: Any) -> Entry:
        """Read one entry.

        :raises InvalidValue: if edgenode cannot express it.
        """
        if not isinstance(entry, list) or not 2 <= len(entry) <= 3 or not isinstance(entry[0], str):
            raise InvalidValue("not an entry of type, value and comment")
        kind, value, *comment = entry
        name, (key, write) = "", _VALUES.get(kind, (PAIRS.get(kind), _regex))
        if key is None:
            raise InvalidValue(f"there is no category for {plain(kind)}")
        if kind in PAIRS:
            if not isinstance(value, list) or len(value) != 2:
                raise InvalidValue("not a name and a value")
            name, value = value
        if not isinstance(value, str | int) or not isinstance(name, str):
            raise InvalidValue("the value is no text")
        if any("\ud800" <= each <= "\udfff" for each in f"{name}{value}"):
            raise InvalidValue("a character is only half there")
        negation, text = ("!", str(value)[1:]) if str(value).startswith("!") else ("", str(value))
        written = write(text)
        if kind == "tag":
            self.tags.append(written)
        if written != text and kind in ("tag", "securitypolicyname", "securitypolicyentryname"):
            self.remarks.append(f"{kind} {plain(text)} is written {written}")
        annotation = plain(comment[0]) if comment and comment[0] else ""
        return categories.entry(named_key(kind, name) if name else key, negation + written, annotation)


def own_tags(tags: Any, losses: list[str]) -> list[str]:
    """The tags that a filter or an action sets, in canonical form."""
    found = []
    for tag in tags if isinstance(tags, list) else str(tags or "").split():
        form = canonical(str(tag).strip())
        try:
            check_own_tag(form)
        except InvalidValue as problem:
            losses.append(f"tag {plain(tag)}: {problem.sentence}")
            continue
        if form and form not in found:
            found.append(form)
    return found


def is_automatic(tag: str) -> bool:
    """Whether the node itself may set a tag."""
    family, colon, _ = tag.partition(":")
    return tag in ("all", HUMAN, BOT) or (bool(colon) and family in FAMILIES)


def rule_of(document: Mapping[str, Any]) -> Any:
    """The rule list of a filter; in the first version of the API the filter is one itself."""
    if "rule" in document or "entries" not in document:
        return document.get("rule")
    return {"relation": document.get("entries_relation"), "entries": document["entries"]}


def _parts(rule: Mapping[str, Any]) -> list[Any]:
    """What stands in a rule list; in the second version of the API that was called sections."""
    found = [rule.get("entries", []), rule.get("sections", [])]
    return [part for parts in found for part in (parts if isinstance(parts, list) else [parts])]


def uniform(rule: Any) -> str:
    """The category of all entries of a rule, if they have but one, no names, and any of them will do; else empty."""
    kinds = set(_kinds(rule))
    kind = kinds.pop() if len(kinds) == 1 else ""
    return _VALUES[kind][0] if kind in _VALUES and kind != "tag" else ""


def _kinds(rule: Any) -> Iterator[str]:
    if isinstance(rule, dict) and (str(rule.get("relation")).upper() == "OR" or len(_parts(rule)) == 1):
        for part in _parts(rule):
            yield from _kinds(part)
    else:
        yield str(rule[0]) if isinstance(rule, list) and rule else ""
