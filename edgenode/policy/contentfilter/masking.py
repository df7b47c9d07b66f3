"""Values of clients that nobody may read: in events, logs, traces and explanations their hash stands in their place.

Law: a value has one hash, in every spelling and wherever it was sent, so that it can be followed without being known;
the hash is keyed (BLAKE2, RFC 7693), so that nobody finds it by trying card numbers. Where it is doubtful how far a
value goes, too much is masked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, Final

import attrs
from attrs import frozen

from edgenode.model.exchange import NO_BODY, Headers, Request, by_name
from edgenode.policy.contentfilter.fieldnames import KINDS
from edgenode.policy.contentfilter.masked import CARDS, CREDENTIALS, PATTERNS, Masked
from edgenode.rules.regexes import compile_regex
from edgenode.rules.views.escapes import form_decoded
from edgenode.rules.views.names import folded, readings

_SUSPECT = {CARDS: "[2-6](?:[ .+-]?[0-9]){12}", CREDENTIALS: "bearer|basic|eyj"}
"""What is in every value that matches a pattern, and in few others."""

MASK: Final = b"masked-"
"""What a hash begins with. It has no character that would have to be escaped in a target, a cookie or a tag."""

_ENCODINGS = 3
"""How often a value may be percent-encoded on top of itself."""

_UNICODE = re.compile(rb"%u([0-9a-f]{4})", re.IGNORECASE)
"""As browsers' ``escape`` writes, and ASP reads."""

_UNDERSCORE = r"[_. \[+]"
"""What PHP reads as an underscore in a name."""

_PAIR = re.compile(rb"(?:\A|[;?#])([^;?#=]*)=")
_NO_DIGIT = re.compile(rb"[^0-9]")
_NEVER = re.compile(rb"(?!)")
MASKED: Final = re.compile(rb"masked-[0-9a-f]{16}")
"""A hash in the place of a value."""

_CARD = re.compile(PATTERNS[CARDS])


@frozen
class MaskKey:
    """The key of the hashes.

    :ivar key: 64 bytes at most.
    """

    key: bytes = attrs.field(repr=False)

    @classmethod
    def of(cls, secret: bytes) -> MaskKey:
        """The key that a secret of any length stands for."""
        return cls(blake2b(secret, person=b"edgenode masking").digest())


@frozen
class Masks:
    """What is masked, and with which key.

    :ivar arguments: names of arguments, in lower case.
    :ivar cookies: likewise.
    :ivar headers: likewise.
    :ivar patterns: of :data:`PATTERNS`.
    :ivar key: that of the hash, up to 64 bytes.
    :ivar tags_copied: whether something puts on tags that may have a value of the request.
    """

    arguments: frozenset[str] = frozenset()
    cookies: frozenset[str] = frozenset()
    headers: frozenset[str] = frozenset()
    patterns: frozenset[str] = frozenset()
    key: bytes = attrs.field(default=b"", repr=False, kw_only=True)
    tags_copied: bool = attrs.field(default=True, kw_only=True)
    _named: dict[str, re.Pattern[bytes]] = attrs.field(init=False, eq=False, repr=False)
    _within: re.Pattern[bytes] = attrs.field(init=False, eq=False, repr=False)
    _pattern: re.Pattern[bytes] = attrs.field(init=False, eq=False, repr=False)
    _suspect: Any = attrs.field(init=False, eq=False, repr=False)

    @_named.default
    def _by_kind(self) -> dict[str, re.Pattern[bytes]]:
        return {"argument": _names(self.arguments), "cookie": _names(self.cookies)}

    @_within.default
    def _before_values(self) -> re.Pattern[bytes]:
        names = self.arguments | self.cookies
        if not names:
            return _NEVER
        return re.compile(rb"(?:\A|[^a-z0-9])(?:%b)[\"'\]\s]*[=:]" % _any(names), re.IGNORECASE)

    @_pattern.default
    def _all_patterns(self) -> re.Pattern[bytes]:
        several = [PATTERNS[each] for each in sorted(self.patterns)]
        return re.compile(b"|".join(several), re.IGNORECASE) if several else _NEVER

    @_suspect.default
    def _whatever_may_be(self) -> Any:
        names = sorted(re.escape(name).replace("_", _UNDERSCORE) for name in self.arguments | self.cookies)
        patterns = (_SUSPECT[each] for each in sorted(self.patterns))
        several = [*(each for each in names if each.isascii()), *patterns, "%[0-9A-Fa-fuU]", "[\\x80-\\xff]"]
        return compile_regex(f"(?i){'|'.join(several)}")

    @classmethod
    def of(cls, masked: Iterable[Masked], key: MaskKey, *, tags_copied: bool = True) -> Masks:
        """Those that are written as words of ``mask``."""
        names: dict[str, set[str]] = {kind: set() for kind in KINDS}
        patterns = set[str]()
        for each in masked:
            if each.field is None:
                patterns.add(each.pattern)
            else:
                names[each.field.kind].add(each.field.name)
        arguments, cookies, headers = (frozenset(names[kind]) for kind in ("argument", "cookie", "header"))
        return cls(arguments, cookies, headers, frozenset(patterns), key=key.key, tags_copied=tags_copied)

    def __bool__(self) -> bool:
        return bool(self.arguments or self.cookies or self.headers or self.patterns)

    def __or__(self, other: Masks) -> Masks:
        """What either masks; all masks of a node have one key."""
        return Masks(
            self.arguments | other.arguments,
            self.cookies | other.cookies,
            self.headers | other.headers,
            self.patterns | other.patterns,
            key=self.key or other.key,
            tags_copied=self.tags_copied or other.tags_copied,
        )

    # -- one value ----------------------------------------------------------------------------------------------------

    def hash(self, value: bytes) -> bytes:
        """What stands in the place of a value, in whatever spelling and case that comes: it is held by it, too."""
        if not value:
            return b""
        text = decoded(value).decode("utf-8", "backslashreplace").strip().casefold().encode("utf-8")
        if _CARD.fullmatch(text):
            text = _NO_DIGIT.sub(b"", text)
        return MASK + blake2b(text, digest_size=8, key=self.key).hexdigest().encode("ascii")

    def names(self, kind: str, name: bytes) -> bool:
        """Whether the values of an argument, a cookie or a header are masked; ``user[password]``,
        ``user.password`` and ``password.value`` are ``password`` too.

        :param kind: ``argument``, ``cookie`` or ``header``.
        """
        if kind == "header":
            return name.lower().decode("latin-1") in self.headers
        regex = self._named[kind]
        return any(regex.search(folded(each)) is not None for each in readings(decoded(name)))

    def text(self, value: bytes) -> bytes:
        """A text in which pairs of names and values may stand, as in targets, URLs and cookies, without those that are
        masked."""
        if self._suspect.search(value) is None:
            return value
        path, mark, query = value.partition(b"?")
        parts = b"/".join([self._piece("argument", each) for each in path.split(b"/")])
        return parts + mark + b"&".join([self._piece("argument", each) for each in query.split(b"&")])

    def cookie(self, value: bytes) -> bytes:
        """The same of a Cookie field."""
        parts = value.split(b";")
        for at, each in enumerate(parts):
            name, _, quoted = each.partition(b"=")
            if self.names("cookie", name.strip()) and quoted.startswith(b'"') and not quoted.rstrip().endswith(b'"'):
                parts[at:] = [b";".join(parts[at:])]  # a semicolon within quotes
                break
        return b";".join([self._piece("cookie", each) for each in parts])

    def header(self, name: bytes, value: bytes) -> bytes:
        """The value of a header field, without what is masked."""
        if self.names("header", name):
            return self.hash(value)
        return self.cookie(value) if name == b"cookie" else self.text(value)

    def holds(self, text: bytes) -> bool:
        """Whether something that is masked seems to stand in a text."""
        text = MASKED.sub(b"", decoded(text))
        return self._within.search(text) is not None or any(self.patterns_in(text))

    def patterns_in(self, text: bytes) -> Iterator[bytes]:
        """What in a text matches a pattern."""
        return filter(_is_one, (each[0] for each in self._pattern.finditer(text)))

    def without_patterns(self, text: bytes) -> bytes:
        """A text in which what matches a pattern is masked; the name of a scheme stays."""
        return self._pattern.sub(lambda match: self._one(match[0]), text)

    def plain(self, value: bytes) -> bytes:
        """A value that has no name that is masked: what matches a pattern in it is, or all where that is encoded."""
        if self._suspect.search(value) is None:
            return value
        found = self.without_patterns(value)
        return self.hash(value) if self.holds(found) else found

    def _piece(self, kind: str, piece: bytes) -> bytes:
        """What stands between two separators: ``name=value``, or anything."""
        if self._suspect.search(piece) is None:
            return piece
        pairs = list(_PAIR.finditer(piece))
        for pair in pairs:
            if self.names(kind, pair[1].strip()):
                return self.plain(piece[: pair.start(1)]) + self.plain(pair[1]) + b"=" + self.hash(piece[pair.end() :])
        if not pairs:
            return self.plain(piece)
        end = pairs[0].end()
        return self.plain(piece[: end - 1]) + b"=" + self.plain(piece[end:])

    def _one(self, found: bytes) -> bytes:
        if not _is_one(found):
            return found
        scheme, space, rest = found.partition(b" ")
        if not scheme.isalpha():
            return self.hash(found)
        return found if MASKED.fullmatch(rest) else scheme + space + self.hash(rest)

    # -- all of a request ---------------------------------------------------------------------------------------------

    def touch(self, request: Request) -> bool:
        """Whether anything in the head of a request may have to be masked; nearly always it is seen at once."""
        fields = request.fields
        if any(name.encode("utf-8") in fields for name in self.headers):
            return True
        sent = [each for values in fields.values() for each in values]
        return self._suspect.search(b"\n".join((request.target, *sent))) is not None

    def masked(self, request: Request) -> Request:
        """The head of a request as others may see it; its body is left out."""
        if not self.touch(request):
            if request.body in (None, NO_BODY):
                return request
            return self._head(request, request.target, request.path, request.query, request.headers)
        path, mark, query = self.text(request.target).partition(b"?")
        headers = tuple([(name, self.header(name, value)) for name, value in request.headers])
        return self._head(request, path + mark + query, path, query if mark else None, headers)

    def _head(self, request: Request, target: bytes, path: bytes, query: bytes | None, headers: Headers) -> Request:
        normalised = request.normalised_path if path == request.path else self.text(request.normalised_path)
        return Request(
            request.method, request.scheme, request.authority, target, path, query, normalised, headers,
            request.names, request.version, request.length, NO_BODY if request.length == 0 else None, by_name(headers),
        )  # fmt: skip


def _unicode(found: re.Match[bytes]) -> bytes:
    return chr(int(found[1], 16)).encode("utf-8", "replace")


def decoded(text: bytes) -> bytes:
    """A text with all its percent-encoding undone, ``%u0041`` as well."""
    for _ in range(_ENCODINGS):
        before, text = text, form_decoded(_UNICODE.sub(_unicode, text) if b"%" in text else text)
        if text == before:
            break
    return text


def _is_one(found: bytes) -> bool:
    """Whether what has matched a pattern is meant by it: of a number, whether its check digit is right (Luhn)."""
    if not found[:1].isdigit():
        return True
    digits = [byte - 48 for byte in _NO_DIGIT.sub(b"", found)][::-1]
    return sum(digits[::2]) % 10 == -sum(sum(divmod(2 * each, 10)) for each in digits[1::2]) % 10


def _any(names: Iterable[str]) -> bytes:
    several = (re.escape(folded(name.encode("utf-8"))) for name in sorted(names))
    return b"|".join(each.replace(b"_", _UNDERSCORE.encode()) for each in several)


def _names(names: frozenset[str]) -> re.Pattern[bytes]:
    """What finds out whether a name is, or ends in, one of these, or is that of a member of such a value."""
    if not names:
        return _NEVER
    return re.compile(rb"(?s)(?:\A|[^a-z0-9])(?:%b)(?:[\[\].:].*)?\Z" % _any(names))


NOTHING_MASKED: Final = Masks()
