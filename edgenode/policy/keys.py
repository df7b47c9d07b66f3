"""What a request is counted under, and held by: the words of a ``key``, and the values that they have in a request.

Law: one value has one text, in every spelling that a server may take for the same; so what is held is found, and what
is counted is counted together. What is missing or not known has no value. No text is longer than :data:`LONGEST`, and
none is a secret: of what is one, its hash is counted and held.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from typing import Any

from attrs import Factory, evolve, field, frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import UNKNOWN_CLIENT, Exchange
from edgenode.policy.contentfilter.masking import MASKED, NOTHING_MASKED, Masks
from edgenode.rules import categories
from edgenode.rules.fields import FIELDS
from edgenode.rules.formulas import Read, Subject
from edgenode.rules.language import expression_formulas
from edgenode.rules.language.nodes import Each, FieldValue, Value
from edgenode.rules.networks import NOWHERE, network
from edgenode.rules.notations import NUMBER, REGEX, TAG, Notation
from edgenode.rules.readings import subject_of
from edgenode.rules.sections import Entry
from edgenode.rules.tags import check_tag
from edgenode.rules.views.geo import UNKNOWN_COUNTRY

LONGEST = 256
"""Characters of a value; of a longer one its hash is counted and held."""

ADDRESS = "ip"
"""The word for the client's address, of which networks can be held."""

WIDEST = {4: 8, 6: 20}
"""The prefix lengths of the widest networks that are held without being asked whether that is meant."""

Texts = Callable[[Exchange], tuple[str, ...]]
"""Reads every value of a request, each once."""

CLIENT = "ip.src"
"""The field that is the client's address."""

_OF_CLIENTS = (CLIENT, "edge.peer_ip")
"""Who has one of these addresses of IPv6 has all of its /64 (RFC 6177), so they are counted by that."""

_PREFIXES = re.compile(r"(.*)/([0-9]{1,3})/([0-9]{1,3})", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_SENT = ("argument.", "cookie.", "header.")
"""What a client sends under a name: an empty value is one, and not a missing one."""

_SECRET = re.compile(
    r"cookie\.|header\.(?:cookie|x-csrf)|http\.cookie|(?:header|argument)\..*"
    r"(?:auth(?!or(?!iz))|passw|pwd|secret|token|api[-_]?key|session|jwt|credential)",
    re.IGNORECASE,
)
_HASH = re.compile(r"sha256:[0-9a-f]{32}", re.ASCII)
_CREDENTIALS = ("header.authorization", "header.proxy-authorization")

_PROVEN = ("cert_fingerprint_sha256", "cert_fingerprint_sha1", "spki_sha256")
"""What of a certificate nobody has who does not have its private key."""


@frozen
class Part:
    """One word of a key.

    :ivar word: the category, with the name behind a dot if it has one, or the field, if no category is for it.
    :ivar bits: of addresses the prefix lengths of the networks by which they are counted, for IPv4 and for IPv6.
    :ivar masks: what is masked: of such values the hash is counted and held that events have.
    :ivar of_field: the name of the field that it looks at.
    :ivar needs: what it takes to read it: see :attr:`edgenode.rules.fields.Field.needs`.
    :ivar secret: whether its values are secrets, and so hashes in their place.
    :ivar values: every value that it has in an exchange, each once; none where it is missing or not known.
    """

    word: str
    bits: tuple[int, int]
    masks: Masks = field(default=NOTHING_MASKED, kw_only=True, repr=False)
    of_field: str = field(eq=False, kw_only=True)
    needs: frozenset[str] = field(eq=False, kw_only=True)
    _type: str = field(eq=False, kw_only=True, repr=False)
    _read: Read = field(eq=False, kw_only=True, repr=False)
    _notation: Notation | None = field(eq=False, kw_only=True, repr=False)
    secret: bool = field(eq=False, init=False, default=Factory(lambda self: _is_secret(self.word), takes_self=True))
    values: Texts = field(
        eq=False, init=False, repr=False, default=Factory(lambda self: _values(self, self._read), takes_self=True)
    )

    @classmethod
    def from_text(cls, text: str) -> Part:
        """Read a word: ``header.user-agent``, ``ip``, ``ip/24/56``, ``tag.geo-country``, ``cf.tls_version``.

        :raises InvalidValue: if there is no such category and no such field, or it has no single values.
        """
        prefixes = _PREFIXES.fullmatch(text)
        if prefixes is not None:
            part = cls._of(prefixes[1])
            if part._type == "Ip":
                v4, v6 = int(prefixes[2]), int(prefixes[3])
                if v4 > 32 or v6 > 128:
                    raise InvalidValue("the prefix lengths are one up to 32 and one up to 128: ip/24/56", 0)
                return evolve(part, bits=(v4, v6))
        return cls._of(text)

    @classmethod
    def _of(cls, text: str) -> Part:
        if text in FIELDS:
            known = next((each for each in categories.CATEGORIES.values() if each.field == text), None)
            if known is None or known.named:
                return cls._of_field(text)
            text = known.name
        word, _, family = text.partition(".")
        if word == "tag" and family:
            check_tag(family)
            return evolve(cls._of(word), word=text, read=_tags_of(family))
        category, name = categories.category(text)
        word, _, part = category.name.partition(".")
        entry = Entry(word, name or part, "")
        return cls._made(entry.key, category.field, subject_of(entry, ()), category.notation)

    @classmethod
    def _of_field(cls, name: str) -> Part:
        of = FIELDS[name].type
        value: Value = FieldValue(name, of)
        if of.name == "Map":
            words = ", ".join(f"{each.name}.NAME" for each in categories.CATEGORIES.values() if each.field == name)
            hint = f": write {words}" if words else ""
            raise InvalidValue(f"{name} has values by names, and not one of its own{hint}", 0)
        if of.of is not None:
            if of.of.of is not None:
                raise InvalidValue(f"{name} has lists of values, and not values", 0)
            value = Each(value, of)
        return cls._made(name, name, expression_formulas.subject(value), None)

    @classmethod
    def _made(cls, word: str, of_field: str, subject: Subject, notation: Notation | None) -> Part:
        bits, needs, of = (32, 64) if of_field in _OF_CLIENTS else (32, 128), subject.needs, subject.type.name
        return cls(word, bits, of_field=of_field, needs=needs, type=of, read=subject.read, notation=notation)

    def hiding(self, masks: Masks) -> Part:
        """The same word with such values masked, and texts that hold one; itself if its values are no texts."""
        return evolve(self, masks=masks) if masks != self.masks and self._type == "Bytes" else self

    def __str__(self) -> str:
        usual = (32, 64 if self.of_field in _OF_CLIENTS else 128)
        return self.word if self.bits == usual else f"{self.word}/{self.bits[0]}/{self.bits[1]}"

    def written(self, text: str) -> str:
        """The same text for a value that a person writes, or has read where a hash stands in its place.

        :raises InvalidValue: if it is none that a request can have; the column points into ``text``.
        """
        if not text:
            raise InvalidValue("a value is missing", 0)
        if self.word == ADDRESS:
            return _in_short(network(text))
        if self._type == "Bytes" and self._notation is not TAG and _HASH.fullmatch(text):
            return text
        if self.masks and MASKED.fullmatch(text.encode("utf-8", "surrogateescape")):
            return text
        found = _text(self)(_READERS[self._type](self, text))
        if not found:
            raise InvalidValue("what is not known is neither held nor counted", 0)
        return found

    @property
    def is_masked(self) -> bool:
        """Whether its values are masked for its name."""
        kind, _, name = self.word.partition(".")
        named = bool(self.masks) and self.word.startswith(_SENT)
        return named and self.masks.names(kind, name.encode("utf-8", "surrogateescape"))

    @property
    def of_addresses(self) -> bool:
        """Whether its values are addresses and networks."""
        return self._type == "Ip"

    @property
    def proven(self) -> bool:
        """Whether nobody has its value by writing a certificate: it is of none, or of its key."""
        return "certificate" not in self.needs or self.of_field.endswith(_PROVEN)

    def forgeable(self, exchange: Exchange) -> bool:
        """Whether its value is of a certificate that is not verified, and that anybody may have made: who is held for
        it need not be who has sent it."""
        if self.proven:
            return False
        verdict = exchange.connection.verification
        return verdict.presented and not verdict.verified


def _is_secret(word: str) -> bool:
    return _SECRET.match(word) is not None


# -- what a request has ------------------------------------------------------------------------------------------------


def _values(part: Part, read: Read) -> Texts:
    text = _text(part)

    def values(exchange: Exchange) -> tuple[str, ...]:
        found = read(exchange)
        if not found:
            return ()
        if len(found) == 1:  # as nearly always
            (only,) = found
            told = text(only)
            return () if told is None else (told,)
        return tuple(each for each in dict.fromkeys(map(text, found)) if each is not None)

    return clients(part, values) if part.of_field == CLIENT else values


def clients(part: Part, others: Texts, unknown: tuple[str, ...] = ()) -> Texts:
    """The values of the client's address, which nearly always stands there as it is.

    :param others: reads those that do not.
    :param unknown: what stands for clients that nobody knows.
    """
    is_address = part.bits[0] == 32

    def values(exchange: Exchange) -> tuple[str, ...]:
        client = exchange.client
        if client == UNKNOWN_CLIENT:
            return unknown
        return (client,) if is_address and client and ":" not in client else others(exchange)

    return values


def _tags_of(family: str) -> Read:
    beginning = f"{family}:"
    return lambda exchange: sorted(tag for tag in exchange.tags if tag == family or tag.startswith(beginning))


def _text(part: Part) -> Callable[[Any], str | None]:
    """What makes a text of a value that a field has; it gives ``None`` for what is not known."""
    if part._type == "Ip":
        return lambda value: None if value == NOWHERE else _network(value, part.bits)
    if part._type == "Bool":
        return lambda value: "yes" if value else "no"
    if part._type == "Int":
        unknown = 0 if part.word == "asn" else None
        return lambda value: None if value == unknown else str(value)
    if part._notation is TAG:
        return str
    if part.word == "country":
        return lambda value: None if value == UNKNOWN_COUNTRY else value.decode("ascii")
    return _of_bytes(part)


def _of_bytes(part: Part) -> Callable[[bytes], str | None]:
    folds = part.word.startswith(_SENT) or FIELDS[part.of_field].of_request is not None
    credentials, secret = part.word in _CREDENTIALS, part.secret
    empty = "" if part.word.startswith(_SENT) else None
    masks, masked = part.masks, part.is_masked

    def text(value: bytes) -> str | None:
        if credentials:
            value = _credentials(value)
        found = value.decode("utf-8", "backslashreplace")
        if folds:
            found = found.strip().casefold()
        if not found:
            return empty
        if masks and (masked or masks.holds(value)):
            return masks.hash(found.encode("utf-8")).decode("ascii")
        return _hash(found) if secret or len(found) > LONGEST else found

    return text


def _hash(text: str) -> str:
    return f"sha256:{sha256(text.encode('utf-8')).hexdigest()[:32]}"


def _credentials(value: bytes) -> bytes:
    """Credentials (RFC 9110, section 11.4) in one spelling; those of Basic (RFC 7617) as what they say."""
    words = value.split()
    if len(words) == 2 and words[0].lower() == b"basic":
        try:
            words[1] = base64.b64decode(words[1] + b"==")
        except binascii.Error:
            pass
    return b" ".join(words)


@lru_cache(4096)
def _network(of: tuple[int, int], bits: tuple[int, int]) -> str:
    """The network of an address, by the prefix length for its family."""
    version, number = of
    if version == 4:
        return _in_short(ipaddress.IPv4Network((number, bits[0]), strict=False))
    return _in_short(ipaddress.IPv6Network((number, bits[1]), strict=False))


def _in_short(found: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    return str(found.network_address if found.prefixlen == found.max_prefixlen else found)


# -- what a person writes, as the field has it -------------------------------------------------------------------------


def _bytes(part: Part, text: str) -> object:
    notation = part._notation
    if notation is None or notation is REGEX:
        return text.encode("utf-8", "surrogateescape")
    return notation.read(text)


def _address(part: Part, text: str) -> object:
    found = network(text)
    if found.prefixlen not in (found.max_prefixlen, part.bits[found.version == 6]):
        raise InvalidValue(f"of {part.word} single addresses are held, and no networks", 0)
    return found.version, int(found.network_address)


def _number(part: Part, text: str) -> object:
    if part._notation is not None and part._notation is not NUMBER:
        found = part._notation.read(text)
        return found[0] if isinstance(found, tuple) else found
    if not _INTEGER.fullmatch(text):
        raise InvalidValue("expected a whole number", 0)
    return int(text)


def _yes(part: Part, text: str) -> object:
    if text not in ("yes", "no"):
        raise InvalidValue("expected yes or no", 0)
    return text == "yes"


_READERS: dict[str, Callable[[Part, str], object]] = {"Bytes": _bytes, "Ip": _address, "Int": _number, "Bool": _yes}
