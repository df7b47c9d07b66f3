"""``[response-rules]``: what is done to the answers that clients get: header fields, and pages in the place of errors.

Law: everything is worked out when the configuration is loaded, and of an answer it takes a look at its status. What an
answer of the node's has itself stays; what stands for one client's error no cache keeps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from typing import Annotated, ClassVar

from attrs import field, frozen
from twisted.logger import Logger

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange, Headers, Response
from edgenode.model.settings import Choice, File, Word, setting
from edgenode.policy import escaping
from edgenode.policy.escaping import HeaderField
from edgenode.policy.templates import Filled, Template

HSTS = "max-age=31536000"
"""Strict-Transport-Security where rules hold that do not say otherwise: a year, this host alone (RFC 6797)."""

_HSTS = re.compile(
    r"max-age=(?:\d{1,10}|\"\d{1,10}\")(?:\s*;\s*(?:includeSubDomains|preload))*", re.IGNORECASE | re.ASCII
)
_STATUSES = re.compile(r"([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?", re.ASCII)
_STRICT_TRANSPORT_SECURITY = b"strict-transport-security"

OF_THE_BODY = frozenset(
    b"""
    content-type content-encoding content-language content-location content-disposition content-md5 content-digest
    repr-digest digest etag last-modified accept-ranges cache-control expires pragma age surrogate-control
    cdn-cache-control content-security-policy content-security-policy-report-only x-content-type-options
    """.split()
)
"""The fields of an answer that are about its body, what may run in it or how long it may be kept, and go with it."""

_OF_CACHES = frozenset(b"cache-control expires pragma surrogate-control cdn-cache-control".split())
"""What an answer of the node's is not given: it is one client's, and has ``no-store``."""

_MOST_RANGES = 64
"""Media ranges of an Accept field that are looked at."""

_log = Logger()


@frozen
class Statuses:
    """Statuses of answers: ``404``, or ``500-599``.

    :ivar first: the first.
    :ivar last: the last, which is one of them.
    """

    words: ClassVar[bool] = True

    first: int
    last: int

    @classmethod
    def from_text(cls, text: str) -> Statuses:
        """Read them.

        :raises InvalidValue: if they are none.
        """
        found = _STATUSES.fullmatch(text)
        if found is None or int(found[2] or found[1]) < int(found[1]):
            raise InvalidValue("expected a status from 100 to 599, or a range such as 500-599")
        return cls(int(found[1]), int(found[2] or found[1]))

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.last + 1))

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


@frozen
class ErrorPage:
    """What clients get in the place of an error, ``STATUS ...: FILE`` or ``STATUS ...: "TEXT"``.

    :ivar statuses: those of the errors, from 400 to 599.
    :ivar file: what holds the page; ``None`` if it is a text.
    :ivar text: the text.
    :ivar written: all of it as it is written.
    """

    lines: ClassVar[bool] = True

    statuses: tuple[Statuses, ...]
    file: File | None
    text: str
    written: str = field(eq=False)

    def __str__(self) -> str:
        return self.written


@frozen
class ResponseRules:
    """What is done to the answers that clients get, the origin's and the node's own: ``response-rules`` of
    ``[path-map]`` or ``[server-group]`` names it."""

    kind: ClassVar[str] = "response-rules"

    status: tuple[Statuses, ...] = setting(
        "The statuses of the answers whose header fields are changed, such as ``200 404`` or ``400-599``; without the "
        "key all of them. Error pages have their own.",
        (),
    )
    set: tuple[HeaderField, ...] = setting(
        "Header fields of every answer, one ``name: value`` a line, in place of what the origin has sent under these "
        "names.",
        (),
    )
    add: tuple[HeaderField, ...] = setting(
        "Header fields of every answer, one ``name: value`` a line, besides those of the origin's of the same names.",
        (),
    )
    remove: tuple[Word, ...] = setting("The names of header fields of the origin's that clients do not get.", ())
    hsts: str | None = setting(
        "``Strict-Transport-Security`` of answers over TLS, such as ``max-age=31536000; includeSubDomains``, in place "
        f"of the origin's own; ``off`` sets none. Without the key it is ``{HSTS}`` where the origin has set none.",
        None,
    )
    error_page: tuple[ErrorPage, ...] = setting(
        'What clients get in place of errors, one ``STATUS ...: FILE`` a line, or ``STATUS ...: "TEXT"``; the ending '
        "of the file, ``.html``, ``.json``, ``.txt`` or ``.xml``, is its media type. If several are given for a status "
        "it is the one that the client's ``Accept`` likes best, the first if it likes several.",
        (),
    )
    origin_errors: Annotated[str, Choice(("replace", "keep"))] | None = setting(
        "Whether errors of origins get a page too: ``replace``, as without the key, or ``keep``: then pages are only "
        "for errors of the node's own, 502 and 504 among them.",
        None,
    )

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if a value is none, or two contradict each other."""
        if self.hsts is not None and self.hsts != "off" and not _HSTS.fullmatch(self.hsts):
            raise InvalidValue("expected off, or max-age=SECONDS; includeSubDomains; preload (RFC 6797)", which="hsts")
        names = [each.name for each in self.set]
        for name in names:
            if names.count(name) > 1:
                raise InvalidValue(f"{name} is set twice: what stands beside another is added", which="set")
        for name in self.remove:
            if name.lower() in names:
                raise InvalidValue(f"{name} is set, which replaces the origin's already", which="remove")
        if self.status and self.hsts is not None:
            raise InvalidValue("it holds for every answer: it stands in rules without a status", which="hsts")


@frozen(eq=False)
class Page:
    """A page, ready to be sent.

    :ivar media_type: its media type, without parameters.
    :ivar content_type: with them.
    :ivar body: its body.
    """

    media_type: str
    content_type: bytes
    body: Filled

    @classmethod
    def of(cls, text: str, content_type: str) -> Page:
        """A page of a text: ``${`` begins a value, unless a backslash stands before it; all else is as it is.

        :raises InvalidValue: if there is a value in it that cannot stand there.
        """
        template = Template.from_text(re.sub(r"\\(?!\$\{)", r"\\\\", text))
        body = escaping.body(template, content_type)
        if "body" in body.needs:
            raise InvalidValue("a page cannot show the body of the request: it may not have been read")
        return cls(content_type.partition(";")[0], content_type.encode("ascii"), body)


Pages = Mapping[int, tuple[Page, ...]]
"""The pages for each status, the preferred first."""


@frozen(eq=False)
class Changes:
    """What is done to the header fields of answers with one status.

    :ivar unwanted: the names of an origin's fields that do not cross, with those that never do.
    :ivar lines: the field lines for its answers, each with its line end; ``None`` if they have to be worked out.
    :ivar fields: the same fields, each with its line or with its value.
    """

    unwanted: frozenset[bytes]
    lines: bytes | None
    fields: tuple[tuple[bytes, bytes | Filled], ...]

    @classmethod
    def of(cls, sections: Sequence[ResponseRules], never: frozenset[bytes]) -> Changes:
        """Those of sections of which the later ones win."""
        removed, fields = never, list[tuple[bytes, bytes | Filled]]()
        for section in sections:
            gone = frozenset(
                name.lower().encode("ascii") for name in (*(each.name for each in section.set), *section.remove)
            )
            removed |= gone
            fields = [each for each in fields if each[0] not in gone]
            for each in (*section.set, *section.add):
                name, value = each.name.encode("ascii"), each.value
                filled = escaping.header_value(value, each.name)
                fields.append((name, filled if value.values else _line(name, "".join(map(str, value.pieces)))))
        lines = [value for _, value in fields if isinstance(value, bytes)]
        return cls(removed, b"".join(lines) if len(lines) == len(fields) else None, tuple(fields))

    def for_origins(self, exchange: Exchange) -> bytes:
        """The field lines for an origin's answer."""
        return self.lines if self.lines is not None else b"".join(_rendered(self.fields, exchange))

    def for_own(self, headers: Headers, exchange: Exchange) -> bytes:
        """Those for an answer of the node's own: without what it has itself, and what would have caches keep it."""
        taken = _OF_CACHES.union(name for name, _ in headers)
        return b"".join(_rendered([each for each in self.fields if each[0] not in taken], exchange))


def _line(name: bytes, value: str) -> bytes:
    return b"%b: %b\r\n" % (name.title(), value.encode("ascii"))


def _rendered(fields: Sequence[tuple[bytes, bytes | Filled]], exchange: Exchange) -> Iterator[bytes]:
    for name, value in fields:
        if isinstance(value, bytes):
            yield value
            continue
        try:
            yield b"%b: %b\r\n" % (name.title(), value.render(exchange).strip(b" \t"))
        except Exception:  # a field of an extension
            _log.failure("the value of a response header could not be computed: {name}", name=name.decode())


@frozen(eq=False)
class Responses:
    """What is done to the answers of a path map, or to those of a server group that no path map is responsible for.

    :ivar pages: the pages in the place of errors.
    :ivar replaces: whether errors of origins get them too.
    """

    pages: Pages
    replaces: bool
    _changes: Mapping[int, Changes]
    _otherwise: Changes
    _hsts: bytes
    _default_hsts: bool

    @classmethod
    def of(cls, rules: Sequence[tuple[ResponseRules, Pages]], never: frozenset[bytes]) -> Responses | None:
        """What sections come to, of which the later ones win; ``None`` without any.

        :param rules: each with what its files hold.
        :param never: the names of an origin's fields that never cross.
        """
        if not rules:
            return None
        sections = [section for section, _ in rules]
        hsts = next((each.hsts for each in reversed(sections) if each.hsts is not None), None)
        errors = next((each.origin_errors for each in reversed(sections) if each.origin_errors is not None), "replace")
        removes = any(_STRICT_TRANSPORT_SECURITY.decode() in map(str.lower, each.remove) for each in sections)
        if removes or hsts not in (None, "off"):
            never |= {_STRICT_TRANSPORT_SECURITY}
        statuses = [frozenset(one for each in section.status for one in each) for section in sections]
        made, changes = dict[tuple[bool, ...], Changes](), dict[int, Changes]()
        for status in frozenset[int]().union(*statuses):
            hold = tuple(not each or status in each for each in statuses)
            if hold not in made:
                made[hold] = Changes.of([*compress(sections, hold)], never)
            changes[status] = made[hold]
        pages = {status: found for _, each in rules for status, found in each.items()}
        line = b"" if hsts == "off" else _line(_STRICT_TRANSPORT_SECURITY, hsts or HSTS)
        otherwise = Changes.of([each for each in sections if not each.status], never)
        return cls(pages, errors == "replace", changes, otherwise, line, hsts is None and not removes)

    def changes(self, status: int) -> Changes:
        """What is done to the header fields of answers with a status."""
        return self._changes.get(status, self._otherwise)

    def hsts(self, exchange: Exchange, fields: Mapping[bytes, object]) -> bytes:
        """The line of Strict-Transport-Security for an answer; none over plain HTTP (RFC 6797, section 7.2).

        :param fields: those that it has from its origin, by name.
        """
        request = exchange.request
        assert request is not None
        if request.scheme != b"https" or (self._default_hsts and _STRICT_TRANSPORT_SECURITY in fields):
            return b""
        return self._hsts

    def page(self, statuses: Sequence[int], exchange: Exchange) -> Response | None:
        """The page in the place of an error, ``None`` if there is none, or it cannot be made.

        :param statuses: those of the error, the more telling first; the last is the one that the client gets.
        """
        pages = next((self.pages[status] for status in statuses if status in self.pages), ())
        if not pages:
            return None
        assert exchange.request is not None
        page = pages[0]
        if len(pages) > 1:
            accept = b",".join(exchange.request.fields.get(b"accept", ()))
            page = max(pages, key=lambda each: quality(accept, each.media_type))
        headers: Headers = (
            (b"content-type", page.content_type),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        )
        if len(pages) > 1:
            headers += ((b"vary", b"Accept"),)
        try:
            return Response(statuses[-1], headers, page.body.render(exchange))
        except Exception:  # a field of an extension
            _log.failure("an error page could not be made")
            return None


def quality(accept: bytes, media_type: str) -> float:
    """How much a client likes a media type, from 0.0 to 1.0 (RFC 9110, section 12.5.1).

    :param accept: its Accept field; empty if it has none, and likes everything.
    :param media_type: without parameters.
    """
    if not accept.strip():
        return 1.0
    found = (0, 0.0)
    ranges = {media_type: 3, media_type.partition("/")[0] + "/*": 2, "*/*": 1}
    for each in accept.decode("latin-1").lower().split(",", _MOST_RANGES)[:_MOST_RANGES]:
        named, *parameters = (part.strip() for part in each.split(";"))
        weights = [part[2:].strip() for part in parameters if part.startswith("q=")]
        precision = ranges.get(named, 0)
        if precision:
            found = max(found, (precision, _weight(weights[0]) if weights else 1.0))
    return found[1]


def _weight(text: str) -> float:
    return min(float(text), 1.0) if re.fullmatch(r"[01](?:\.[0-9]{0,3})?", text, re.ASCII) else 0.0
