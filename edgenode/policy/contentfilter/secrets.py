"""The values of one request that are masked, to be looked for in texts about it: reasons, tags, explanations.

Law: what is told of a request has none of them, in any spelling, whoever wrote it. Where only a part of a value, or a
value that was transformed, may stand in a text, all of it is masked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Any

from attrs import evolve, field, frozen

from edgenode.model.decision import Decision, Reason
from edgenode.model.exchange import NO_BODY, Request
from edgenode.policy.contentfilter.findings import Finding
from edgenode.policy.contentfilter.masking import MASK, Masks, decoded
from edgenode.policy.tagging import FAMILIES
from edgenode.rules.tags import canonical
from edgenode.rules.views import arguments, cookies
from edgenode.rules.views.escapes import form_decoded
from edgenode.rules.views.names import folded
from edgenode.rules.views.structured import KINDS

_MOST = 200
"""Values that are looked for; if there are more, texts are masked as a whole."""

_LONGEST = 16 * 1024
"""Bytes of all of them, likewise."""

_BEGINNING = 1024
"""Bytes of what was found that are looked at; of that a hundred are told."""

_SHORT = 4
"""Characters: what has fewer is masked only where it stands alone, or every ``a`` would be."""

_WHOLE = f"{MASK.decode()}as-a-whole"
_AUTHORIZATION = (b"authorization", b"proxy-authorization")
_WITH_OTHERS = (b"cookie", b"referer", *_AUTHORIZATION)
"""Headers in which values stand that have names, or schemes, of their own."""

_FILTER = "content-filter"
_OWN_STAGES = frozenset(
    (
        "acl",
        "challenge",
        "counting",
        "dynamic-rules",
        "flows",
        "global-filters",
        "inspection",
        "quarantine",
        "rate-limits",
    )
)
"""The stages whose reasons have of a request but whole values, each behind a name."""

_OWN_TAGS = FAMILIES - {"host"}
"""What stands before the colon of tags that have no value of an argument, a cookie or a header."""

_KINDS = {
    "ARGS": "argument",
    "ARGS_GET": "argument",
    "ARGS_POST": "argument",
    "REQUEST_COOKIES": "cookie",
    "REQUEST_HEADERS": "header",
}
"""The variables of SecLang that are one value each."""

_EVERY_READING = arguments.with_further(frozenset((*KINDS, "any-case")))


@frozen(slots=False)
class Secrets:
    """The values of a request that are masked.

    :ivar masks: what masks them.
    :ivar values: the values.
    :ivar fields: kind and name, without case, of what they are of.
    """

    masks: Masks = field(repr=False)
    values: tuple[bytes, ...] = field(repr=False)
    fields: frozenset[tuple[str, bytes]]

    @classmethod
    def of(cls, masks: Masks, request: Request | None) -> Secrets:
        """Those of a request, and of as much of its body as it brings along."""
        found: dict[bytes, None] = {}
        fields = set[tuple[str, bytes]]()
        nothing = request is None or not masks or (request.body in (None, NO_BODY) and not masks.touch(request))
        length = 0
        named: dict[tuple[str, bytes], bool] = {}  # a name may stand in front of thousands of values
        for kind, name, value in () if nothing or request is None else _values(request):
            if len(found) > _MOST or length > _LONGEST:  # texts are masked as a whole
                break
            is_named = named.get((kind, name))
            if is_named is None:
                is_named = named[kind, name] = masks.names(kind, name)
            if is_named:
                found[value] = None
            elif masks.holds(value):
                found |= dict.fromkeys(islice(masks.patterns_in(decoded(value)), _MOST + 1))
                if kind != "header" or name not in _WITH_OTHERS:
                    found[value] = None
            else:
                continue
            length += len(value)
            fields.add((kind, folded(name)))
            if kind == "header" and name in _AUTHORIZATION:  # what follows the scheme (RFC 9110, section 11.4)
                found[value.partition(b" ")[2].strip() or value] = None
        return cls(masks, tuple(found), frozenset(fields))

    def text(self, text: str) -> str:
        """A text that was made of the request, without the values."""
        if not text:
            return text
        written = text.encode("utf-8", "surrogateescape")
        plain = self.masks.without_patterns(written)
        if plain != written:
            text = plain.decode("utf-8", "surrogateescape")
        if not self.values:
            return text
        if self._too_much:
            return _WHOLE
        hashes, pattern = self._sought
        return pattern.sub(lambda match: hashes.get(match[0].lower(), _WHOLE), text)

    def told(self, told: Any) -> Any:
        """What is to be told as JSON, likewise; where a value stands in several parts, they are told as one."""
        if isinstance(told, str):
            return self.text(told)
        if isinstance(told, list):
            return [self.told(each) for each in told]
        if not isinstance(told, dict):
            return told
        if "match" in told and self.text(told["value"]) != told["value"]:
            told = {name: each for name, each in told.items() if name not in ("before", "match", "behind")}
        return {name: self.told(each) for name, each in told.items()}

    def decision(self, decision: Decision) -> Decision:
        """A decision with reasons and tags as others may see them; itself if nothing in it is masked.

        What the node itself says in them, such as a score, is no client's to mask by sending it.
        """
        reasons = tuple([self._reason(each) for each in decision.reasons])
        tags = decision.tags
        if self.masks.tags_copied and self.values and not self._too_much:
            tags = frozenset([each if each.partition(":")[0] in _OWN_TAGS else self.text(each) for each in tags])
        if reasons == decision.reasons and tags == decision.tags:
            return decision
        return Decision(
            tags, reasons, decision.action, decision.timings, decision.exempt, decision.mode, decision.headers,
            decision.after,
        )  # fmt: skip

    def _reason(self, reason: Reason) -> Reason:
        if reason.stage == _FILTER:  # it has masked what it tells
            return reason
        if reason.stage in _OWN_STAGES:
            entry, annotation = self._entry(reason.entry), reason.annotation
        else:
            entry, annotation = self.text(reason.entry), self.text(reason.annotation)
        if (entry, annotation) == (reason.entry, reason.annotation):
            return reason
        return evolve(reason, entry=entry, annotation=annotation)

    def _entry(self, entry: str) -> str:
        """An entry of rules, or the parts of a key, ``argument.pin: 12, ip: 192.0.2.7``, without a value that stands
        there as a whole."""
        entry = self.masks.without_patterns(entry.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
        if not self.values:
            return entry
        if self._too_much:
            return _WHOLE
        hashes, pattern = self._wholes
        return pattern.sub(lambda match: hashes.get(match[0].lower(), _WHOLE), entry)

    def finding(self, finding: Finding) -> Finding:
        """What a rule of a content filter has found, as others may see it.

        What was found in a value that is masked, or in a text that may have one in it, such as ``REQUEST_URI``, is
        masked as a whole: it may be a part of the value, or the value transformed.
        """
        matched, (collection, colon, name) = finding.matched[:_BEGINNING], finding.variable.partition(":")
        hidden = self._hides(finding, matched)
        plain = self.masks.hash(finding.matched) if hidden else self.masks.plain(matched)
        data = "" if hidden or plain != matched else self.text(finding.data)
        told = evolve(finding, matched=plain, data=data, variable=f"{collection}{colon}{self.text(name)}")
        if finding.constant:
            return told
        return evolve(told, message=self.text(finding.message), tags=tuple(map(self.text, finding.tags)))

    def _hides(self, finding: Finding, matched: bytes) -> bool:
        if self._too_much or self.masks.holds(matched):
            return True
        if not self.values:
            return False
        collection, _, name = finding.variable.partition(":")
        kind, written = _KINDS.get(collection), folded(name.encode("utf-8", "surrogateescape"))
        if kind is None or not name or (kind == "header" and written in _WITH_OTHERS):
            return True
        return self.masks.names(kind, written) or (kind, written) in self.fields

    @cached_property
    def _too_much(self) -> bool:
        return len(self.values) > _MOST or sum(map(len, self.values)) > _LONGEST

    @cached_property
    def _hashes(self) -> Mapping[str, str]:
        """By each spelling in lower case its hash."""
        found = dict[str, str]()
        for value in self.values:
            hashed = self.masks.hash(value).decode("ascii")
            for each in _spellings(value):
                found.setdefault(each.lower(), hashed)
        return found

    @cached_property
    def _wholes(self) -> tuple[Mapping[str, str], re.Pattern[str]]:
        """The same, with what finds them behind the name of an argument, a cookie, a header or the like."""
        several = "|".join(re.escape(each) for each in sorted(self._hashes, key=len, reverse=True)) or "(?!)"
        return self._hashes, re.compile(rf"(?<=: )(?:{several})(?=, | and |\Z)", re.IGNORECASE)

    @cached_property
    def _sought(self) -> tuple[Mapping[str, str], re.Pattern[str]]:
        """The same, with what finds them anywhere: the longest first."""
        found = self._hashes
        patterns = [
            re.escape(each) if len(each) >= _SHORT else rf"(?<![^\W_]){re.escape(each)}(?![^\W_])"
            for each in sorted(found, key=len, reverse=True)
        ]
        return found, re.compile("|".join(patterns) or "(?!)", re.IGNORECASE)


def _values(request: Request) -> Iterator[tuple[str, bytes, bytes]]:
    """Every value of a request, with the kind and the name of what it is of; none that is empty."""
    for kind, several in (
        ("header", request.fields),
        ("cookie", cookies.cookie_readings(request) if b"cookie" in request.fields else {}),
        ("argument", _EVERY_READING(request)),
    ):
        for name, values in several.items():
            for value in values:
                if value:
                    yield kind, name, value


def _spellings(value: bytes) -> set[str]:
    """How a value may stand in a text: as sent, decoded, as a tag, and with what is not printable escaped."""
    found = set()
    for each in {value, form_decoded(value), decoded(value), decoded(value).strip()}:
        text = each.decode("utf-8", "backslashreplace")
        found |= {text, each.decode("latin-1"), text.encode("unicode_escape").decode("ascii"), canonical(text)}
    return {each for each in found if each.strip("-: ")}
