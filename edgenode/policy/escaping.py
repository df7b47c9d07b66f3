"""Where templates are put, and how their values are escaped there: headers, bodies, locations.

Law: whatever a client sends, it stays a value: it ends no header, opens no tag and no string, and leads to no other
host. Where no escaping would be safe there is no value.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import ClassVar

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange
from edgenode.policy.templates import Escape, Filled, Template, Value
from edgenode.rules.language.nodes import FieldValue, walk
from edgenode.rules.language.types import BYTES, IP

LONGEST = 16 * 1024
"""Bytes of a value that are put in; the rest is cut off."""

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110, section 5.6.2
_NOT_IN_HEADER = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NOT_IN_PART = re.compile(rb"[^A-Za-z0-9._~:/?#\[\]@!$&()*+=%-]")
_OF_PARTS = frozenset(
    (
        "accept-ch", "access-control-allow-headers", "access-control-allow-methods", "alt-svc", "cache-control",
        "clear-site-data", "content-disposition", "content-security-policy", "content-security-policy-report-only",
        "cookie", "link", "nel", "permissions-policy", "refresh", "report-to", "reporting-endpoints", "set-cookie",
        "set-cookie2", "strict-transport-security", "vary", "www-authenticate",
    )
)  # fmt: skip
"""Headers in whose values a semicolon, a comma, a quote or a space begins something else, as ``; Domain=`` would."""


def _clean(value: bytes | None) -> str:
    """A value as text for people: what is no UTF-8, and control characters, show as U+FFFD."""
    return _CONTROL.sub("\ufffd", (value or b"")[:LONGEST].decode("utf-8", "replace"))


def _plain(value: bytes | None) -> bytes:
    return _clean(value).encode("utf-8")


def _markup(value: bytes | None) -> bytes:
    return html.escape(_clean(value)).encode("ascii", "xmlcharrefreplace")


def _json_string(value: bytes | None) -> bytes:
    # The characters of HTML too: a JSON document may be read as something else.
    text = json.dumps(_clean(value))[1:-1]
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").encode("ascii")


def _json_number(value: bytes | None) -> bytes:
    return b"null" if value is None else value


def _header(value: bytes | None) -> bytes:
    return _NOT_IN_HEADER.sub(b" ", (value or b"")[:LONGEST])


def header_value(template: Template, name: str) -> Filled:
    """The value of a header: control characters become spaces, or what divides such a value is percent-encoded.

    :param name: of the header, in lower case.
    :raises InvalidValue: if there is one in the template itself.
    """
    for piece in template.pieces:
        if isinstance(piece, str) and not (piece.isascii() and piece.isprintable()):
            raise InvalidValue("the value of a header is a line of printable ASCII", 0)
    if name in _OF_PARTS:
        return Filled.of(template, "header part", lambda value: lambda found: _encoded(_NOT_IN_PART, found))
    return Filled.of(template, "header", lambda value: _header)


@frozen
class HeaderField:
    """A header field, ``name: value``; the value is a template.

    :ivar name: in lower case.
    :ivar value: its value.
    """

    lines: ClassVar[bool] = True

    name: str
    value: Template

    @classmethod
    def from_text(cls, text: str) -> HeaderField:
        """Read a line.

        :raises InvalidValue: if it is none, with its column.
        """
        name, colon, value = text.partition(":")
        if not colon or not _TOKEN.fullmatch(name):
            raise InvalidValue("expected the name of a header, a colon and its value", 0)
        start = len(text) - len(value.lstrip())
        try:
            template = Template.from_text(value.strip())
            header_value(template, name.lower())
        except InvalidValue as problem:
            raise InvalidValue(problem.sentence, start + (problem.column or 0)) from None
        return cls(name.lower(), template)

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"


# -- bodies ------------------------------------------------------------------------------------------------------------

_TAG = re.compile(r"""<!--.*?-->|<(?!!--)(?:[^<>"']|"[^"]*"|'[^']*')*>""", re.DOTALL)
"""A whole tag, in whose quotes a > may stand, or a whole comment."""

_RAW_TEXT = re.compile(
    r"<(?P<name>script|style|textarea|title|iframe|noscript|noembed|noframes|xmp|plaintext|template)\b"
    r"(?!.*</(?P=name)\b)",
    re.IGNORECASE | re.DOTALL,
)
_QUOTE = re.compile(r'\\.|(?P<quote>")', re.DOTALL)
_JSON = re.compile(r"(?:[a-z]+/.+\+|application/|text/)json")
_MARKUP = re.compile(r"text/html|(?:[a-z]+/.+\+|application/|text/)xml")
_ENCODING = re.compile(r"<\?xml\b[^>]*?\bencoding\s*=\s*[\"']?([^\s\"'?>]*)")


def body(template: Template, content_type: str) -> Filled:
    """A body: its values are escaped as its media type demands.

    :param content_type: the media type, with its parameters.
    :raises InvalidValue: if there are values in it and the media type is none that values can be put into, or one
        stands where no escaping would be safe; with its column.
    """
    essence = content_type.partition(";")[0].strip().lower()
    if not template.values or essence == "text/plain":
        return Filled.of(template, "text", lambda value: _plain)
    if _MARKUP.fullmatch(essence):
        encoding = _ENCODING.search(template.text)
        if encoding is not None and encoding[1].lower() != "utf-8":  # in another one < may be written otherwise
            raise InvalidValue('a body with values in it is UTF-8: encoding="utf-8"', encoding.start(1))
        return Filled.of(template, "markup", lambda value: _in_markup(template, value))
    if not _JSON.fullmatch(essence):
        sentence = "values can be put into text/plain, text/html, XML and JSON, and not into this media type"
        raise InvalidValue(sentence, template.values[0].column - 2)
    filled = Filled.of(template, "json", lambda value: _in_json(template, value))
    try:
        json.loads("".join(piece if isinstance(piece, str) else "0" for piece in template.pieces))
    except ValueError as error:
        raise InvalidValue(f"this is no JSON, whatever is put into it: {error}") from None
    return filled


def _in_markup(template: Template, value: Value) -> Escape:
    before = template.before(value)
    if "<" in _TAG.sub("", before) or _RAW_TEXT.search(before):
        sentence = "a value stands between tags: within a tag, a script or a style no escaping would be safe"
        raise InvalidValue(sentence, value.column - 2)
    return _markup


def _in_json(template: Template, value: Value) -> Escape:
    if sum(found["quote"] is not None for found in _QUOTE.finditer(template.before(value))) % 2:
        return _json_string
    if value.node.type in (BYTES, IP):
        raise InvalidValue("in JSON a text or an address stands within quotes", value.column - 2)
    return _json_number


# -- locations ---------------------------------------------------------------------------------------------------------

_AUTHORITY = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+(?=[/?#]|\Z)", re.ASCII)
_CHARACTERS = re.compile(r"[!-\[\]-~]*", re.ASCII)
_NOT_UNRESERVED = re.compile(rb"[^A-Za-z0-9._~-]")
_NOT_IN_PATH = re.compile(rb"[^A-Za-z0-9._~/-]")
_NOT_IN_URI = re.compile(rb"[^A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]|%(?![0-9A-Fa-f]{2})")

_URIS = frozenset(
    f"{prefix}http.request.uri{part}" for prefix in ("", "raw.") for part in ("", ".path", ".query", ".path.extension")
)
"""The fields that are parts of a URI already, percent-encoded."""


@frozen
class Location:
    """Where a redirection leads.

    :ivar authority: scheme and host, empty for a path on the host that was asked.
    :ivar rest: what follows.
    """

    authority: bytes
    rest: Filled

    def render(self, exchange: Exchange) -> bytes:
        """The URI for an exchange, or the path. No value changes the host: behind it stands a slash, and two at the
        beginning of a path would begin another host."""
        rest = self.rest.render(exchange)
        if not self.authority:
            return b"/" + rest.lstrip(b"/")
        return self.authority + (rest if rest[:1] in (b"", b"/", b"?", b"#") else b"/" + rest)


def location(template: Template) -> Location:
    """Read where a redirection leads.

    :raises InvalidValue: if that is another place than it seems.
    """
    first = template.pieces[0] if template.pieces else ""
    start = first if isinstance(first, str) else ""
    authority = _AUTHORITY.match(start)
    texts = [piece for piece in template.pieces if isinstance(piece, str)]
    # A control character would end the header field; // or a backslash would lead to another host than it seems.
    begins = authority or (start.startswith("/") and not start.startswith("//")) or isinstance(first, Value)
    if not begins or not all(map(_CHARACTERS.fullmatch, texts)):
        if template.values and re.match(r"https?://", start):
            raise InvalidValue("the host is fixed: no value may stand in it", template.values[0].column - 2)
        raise InvalidValue("expected http://, https:// or a single / at the beginning, and ASCII without spaces", 0)
    host = "" if authority is None else authority[0]
    rest = Template(template.text, tuple(_without(template.pieces, len(host))))
    return Location(host.encode("ascii"), Filled.of(rest, "location", lambda value: _in_location(rest, value)))


def _without(pieces: tuple[str | Value, ...], beginning: int) -> Iterator[str | Value]:
    for index, piece in enumerate(pieces):
        if index or not isinstance(piece, str):
            yield piece
        elif piece[beginning:]:
            yield piece[beginning:]


def _in_location(template: Template, value: Value) -> Escape:
    """Parts of a URI stay as they are where such a part stands; all else, and what stands behind a name and =, is
    percent-encoded, slashes in the path excepted."""
    before = template.before(value)
    names = {each.name for each in walk(value.node) if isinstance(each, FieldValue)}
    behind_path = "?" in before or "#" in before
    if names and names <= _URIS and (not behind_path or before.endswith(("?", "&"))):
        return lambda found: _encoded(_NOT_IN_URI, found)
    kept = _NOT_UNRESERVED if behind_path else _NOT_IN_PATH
    return lambda found: _encoded(kept, found)


def _encoded(others: re.Pattern[bytes], value: bytes | None) -> bytes:
    return others.sub(lambda found: b"%%%02X" % found[0][0], (value or b"")[:LONGEST])
