"""The categories: what an entry of a section can look for, one line each, and how an entry is written.

Law: an entry that could not match as its author meant it is refused when it is read, and ``parse(*format(entry))`` is
that entry again.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.extensions import Table, failed
from edgenode.rules import notations
from edgenode.rules.fields import FIELDS
from edgenode.rules.formulas import Sought
from edgenode.rules.language.nodes import Each, FieldValue, Index, Value
from edgenode.rules.networks import Range
from edgenode.rules.notations import REGEX, Notation
from edgenode.rules.regexes import ending_as_in_pcre
from edgenode.rules.sections import Entry
from edgenode.rules.views.escapes import escaped, unescaped


@frozen
class Category:
    """A kind of entry.

    :ivar name: the key; of ``header.NAME`` what stands before the dot.
    :ivar field: the name of the field it looks at: at all values of an array, and of a map at those of a name.
    :ivar notation: how a value is written and looked for.
    :ivar help: a phrase for the reference.
    :ivar named: whether a name stands behind a dot.
    :ivar decoded: whether it looks for a regular expression in what has been decoded, and so may have line feeds.
    """

    name: str
    field: str
    notation: Notation
    help: str
    named: bool = False
    decoded: bool = False

    @property
    def match(self) -> str:
        """How a value is looked for: see :class:`edgenode.rules.formulas.Predicate`."""
        return self.notation.match


_TABLE = (
    Category(
        "argument", "edge.arguments", REGEX, "An argument of the query or a field of the body, decoded.", True, True
    ),
    Category("asn", "ip.src.asnum", notations.ASN, "The number of the client's autonomous system."),
    Category(
        "authority",
        "edge.authority",
        REGEX,
        "The host and port asked for, in lower case; without the port if it is 443.",
    ),
    Category(
        "claim",
        "edge.jwt.claims",
        REGEX,
        "A claim of a valid token, by its token configuration: ``claim.NAME.scope``.",
        True,
    ),
    Category("cookie", "edge.cookies", REGEX, "A cookie, as sent, percent-decoded and without quotes.", True, True),
    Category("country", "ip.src.country", notations.COUNTRY, "The client's country; ``XX`` if it is unknown."),
    Category(
        "header",
        "http.request.headers",
        REGEX,
        "A header; letter case does not matter in its name, nor in its value without ``match-case = yes``.",
        True,
    ),
    Category("ip", "ip.src", notations.ADDRESS, "The client's address: an address or a CIDR network."),
    Category("jwt", "edge.jwt.valid", notations.YES, "Whether the token is valid, by token configuration.", True),
    Category("method", "http.request.method", REGEX, "The method as sent."),
    Category(
        "organization",
        "edge.organization",
        REGEX,
        "The organization that the client's network belongs to: ``Google LLC``.",
    ),
    Category(
        "path", "edge.paths", REGEX, "The path without the query: decoded, and as servers may read it (``edge.paths``)."
    ),
    Category("path-matching-name", "edge.path_map", notations.NAME, "The name of the path map."),
    Category("query", "edge.query", REGEX, "The query without its ``?``, as received and decoded.", decoded=True),
    Category("region", "edge.region", REGEX, "The client's region, by its name and its code."),
    Category("security-policy-name", "edge.security_policy", notations.NAME, "The name of the security policy."),
    Category("subregion", "edge.subregion", REGEX, "The client's subregion, by its name and its code."),
    Category("tag", "edge.tags", notations.TAG, "A tag in canonical form, whatever has set it."),
    Category("uri", "edge.uri", REGEX, "Path and query: as received, in normal form, and decoded.", decoded=True),
)


def _certificates(prefix: str, *rows: tuple[str, str, Notation, str]) -> tuple[Category, ...]:
    """Categories of client certificates: what stands behind ``certificate.``, the field, notation and help."""
    return tuple(
        Category(f"certificate.{name}", prefix + field, notation, help) for name, field, notation, help in rows
    )


_CERTIFICATE = (
    *_certificates(
        "cf.tls_client_auth.",
        ("presented", "cert_presented", notations.YES, "Whether the client has sent a certificate, valid or not."),
        ("verified", "cert_verified", notations.YES, "Whether the client's certificate is verified, and not revoked."),
        (
            "revoked",
            "cert_revoked",
            notations.YES,
            "Whether the client's certificate, or one of its issuers, is revoked.",
        ),
        ("subject", "cert_subject_dn", REGEX, "The subject of the client's certificate: ``CN=x,O=Example,C=US``."),
        ("issuer", "cert_issuer_dn", REGEX, "The issuer of the client's certificate: ``CN=x,O=Example,C=US``."),
        ("serial", "cert_serial", notations.SERIAL, "The serial number of the client's certificate."),
        (
            "issuer-serial",
            "cert_issuer_serial",
            notations.SERIAL,
            "The serial number of the direct issuer's certificate, if the client's is verified.",
        ),
        ("fingerprint", "cert_fingerprint_sha256", notations.SHA256, "The SHA-256 of the client's certificate."),
        ("fingerprint-sha1", "cert_fingerprint_sha1", notations.SHA1, "The SHA-1 of the client's certificate."),
        ("ski", "cert_ski", notations.IDENTIFIER, "The subject key identifier of the client's certificate."),
        (
            "issuer-ski",
            "cert_issuer_ski",
            notations.IDENTIFIER,
            "The subject key identifier of the direct issuer's certificate.",
        ),
    ),
    *_certificates(
        "edge.tls_client_auth.",
        ("san-dns", "san_dns", REGEX, "Any DNS name among the subject alternative names of the client's certificate."),
        ("san-uri", "san_uri", REGEX, "Any URI among the subject alternative names, such as a SPIFFE ID."),
        (
            "san-email",
            "san_email",
            REGEX,
            "Any mailbox among the subject alternative names of the client's certificate.",
        ),
        (
            "san-ip",
            "san_ip",
            notations.ADDRESS,
            "Any address among the subject alternative names of the client's certificate.",
        ),
        ("eku", "eku", notations.USAGE, "Any extended key usage of the client's certificate."),
        ("key-type", "key_type", notations.KEY_TYPE, "The key type of the client's certificate: ``RSA``, ``ECDSA``."),
        ("key-bits", "key_bits", notations.NUMBER, "The size of the key of the client's certificate in bits."),
        (
            "signature-algorithm",
            "signature_algorithm",
            REGEX,
            "The signature algorithm of the client's certificate: ``ecdsa-sha256``.",
        ),
        ("spki-sha256", "spki_sha256", notations.SHA256, "The SHA-256 of the public key of the client's certificate."),
        ("chain-length", "chain_length", notations.NUMBER, "The number of certificates in the client's chain."),
        ("verification", "verification", REGEX, "The verdict: ``SUCCESS``, ``NONE`` or ``FAILED:reason``."),
        ("reason", "reason", REGEX, "The last error of the client's certificate in OpenSSL's words."),
        ("first-error", "first_error", notations.NUMBER, "OpenSSL's number of the first error; 0 for none."),
        ("last-error", "last_error", notations.NUMBER, "OpenSSL's number of the last error; 0 for none."),
        (
            "depth",
            "depth",
            notations.NUMBER,
            "The depth in the chain of the last error; 0 is the client's certificate.",
        ),
        ("days-to-expiry", "days_to_expiry", notations.NUMBER, "Whole days until the client's certificate expires."),
        (
            "crl-age",
            "crl_age",
            notations.NUMBER,
            "The age in seconds of the revocation list that covers the certificate.",
        ),
        (
            "crl-stale",
            "crl_stale",
            notations.YES,
            "Whether the revocation list that covers the certificate is past its date.",
        ),
    ),
)

_MATCHES = {"regex": "Bytes", "equal": "Bytes", "network": "Ip", "range": "Int", "true": "Bool"}
"""The type of value that each match is for."""

_KEY = re.compile(r"[a-z][a-z0-9-]*", re.ASCII)


def _of_extension(name: str, found: object) -> Category:
    """A category of an extension, if it can be used: else a rule of it would never match, and nobody would know."""
    if not isinstance(found, Category):
        raise InvalidValue(f"the extension {name} is no Category, but of type {type(found).__name__}", 0)
    if found.name != name or not _KEY.fullmatch(name):
        raise InvalidValue(f"the category of the extension {name} has another name, or not one of a-z, 0-9 and -", 0)
    if found.field not in FIELDS:
        raise InvalidValue(f"the category {name} looks at a field that there is not: {found.field}", 0)
    of = FIELDS[found.field].type
    if found.named != (of.name == "Map"):
        raise InvalidValue(f"the category {name} has a name behind a dot if its field is a map, and only then", 0)
    while of.of is not None:
        of = of.of
    if _MATCHES.get(found.match) != of.name:
        raise InvalidValue(f"the category {name} looks for {found.match}, and its field has values of type {of}", 0)
    return evolve(found, notation=evolve(found.notation, read=_checking(name, found.notation)))


_SEEKS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "regex": ("a regular expression, str", lambda sought: isinstance(sought, str)),
    "equal": ("bytes", lambda sought: isinstance(sought, bytes)),
    "network": ("a range of addresses", lambda sought: isinstance(sought, Range)),
    "range": (
        "a pair of int",
        lambda sought: isinstance(sought, tuple) and len(sought) == 2 and all(isinstance(end, int) for end in sought),
    ),
    "true": ("None", lambda sought: sought is None),
}
"""What the reader of a notation comes to, by its match."""


def _checking(name: str, notation: Notation) -> Callable[[str], Sought]:
    """The reader of an extension's notation, with what it comes to checked: text in the place of bytes would equal
    nothing, and every rule on it would be passed."""
    expected, fits = _SEEKS[notation.match]

    def read(text: str) -> Sought:
        try:
            sought = notation.read(text)
        except InvalidValue:
            raise
        except Exception as error:
            raise InvalidValue(failed(f"the category {name} cannot read this", error), 0) from error
        if not fits(sought):
            came = type(sought).__name__
            raise InvalidValue(f"the category {name} has to make {expected}, of this, and makes {came}", 0)
        if isinstance(sought, str) and notation.read is not REGEX.read:
            return REGEX.read(sought)
        return sought

    return read


_BUILT_IN = {each.name: each for each in (*_TABLE, *_CERTIFICATE)}

CATEGORIES: Table[Category] = Table("category", _BUILT_IN, _of_extension)
"""Every category by its name; those of certificates have a dot in theirs."""

WORDS = tuple(dict.fromkeys(name.partition(".")[0] for name in _BUILT_IN))
"""What keys of entries begin with, without those of extensions."""


def is_word(word: str) -> bool:
    """Whether keys of entries begin with a word."""
    return word in WORDS or word in CATEGORIES


def words() -> tuple[str, ...]:
    """What keys of entries begin with, extensions among them."""
    return tuple(dict.fromkeys(name.partition(".")[0] for name in CATEGORIES))


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+", re.ASCII)  # RFC 9110, section 5.6.2: a token
_NO_NAME = re.compile(r"[=\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]|^\s|\s$")
_ANNOTATION = re.compile(r"(?:^|\s)#")


def entry(key: str, value: str, annotation: str = "") -> Entry:
    """Read and check an entry.

    :param key: the category, with the name behind a dot if it has one: ``path``, ``header.user-agent``.
    :param value: the value; ``!`` in front negates it.
    :param annotation: the label to show when it has matched.
    :raises InvalidValue: if anything is wrong with it; the column points into ``value``.
    """
    of, name = category(key)
    word, _, part = of.name.partition(".")
    found = Entry(word, name or part, value.strip(), " ".join(annotation.split()))
    try:
        return evolve(found, sought=_checked_value(found))
    except InvalidValue as problem:
        indent = len(value) - len(value.lstrip())
        raise InvalidValue(problem.sentence, None if problem.column is None else indent + problem.column) from None


def parse(key: str, line: str, common: str = "") -> Entry:
    """Read an entry as it is written on a line: ``value # annotation``, with white space before the ``#``.

    :param common: the annotation of an entry that has none of its own.
    :raises InvalidValue: if anything is wrong with it; the column points into ``line``.
    """
    mark = _ANNOTATION.search(line)
    value, annotation = (line, "") if mark is None else (line[: mark.start()], line[mark.end() :])
    return entry(key, value, annotation if annotation.strip() else common)


def format(entry: Entry) -> tuple[str, str]:
    """The key of an entry and the line it is written as."""
    return entry.key, f"{entry.value} # {entry.annotation}" if entry.annotation else entry.value


def written_name(name: bytes) -> str:
    """The name of an argument or a cookie as it stands behind the dot: what a key cannot hold is percent-encoded."""
    return escaped(name, "!\"$&'()*+,/:;<>?@[\\]^`{|}")


def category(key: str) -> tuple[Category, str]:
    """The category that a key is of, and the name in it, empty if it has none: ``header`` and ``user-agent``.

    :raises InvalidValue: if there is no such category, or no such name in it.
    """
    word, dot, name = key.partition(".")
    found = CATEGORIES.get(key) or CATEGORIES.get(word)
    if found is None:
        raise InvalidValue(_unknown(word, name))
    if not found.named:
        if dot and found.name == word:
            raise InvalidValue(f"{word} takes no name: write {word}")
        return found, ""
    if not name:
        raise InvalidValue(f"{word} needs a name: {word}.NAME")
    if word == "header":
        name = name.lower()
        if not _HEADER_NAME.fullmatch(name):
            raise InvalidValue(f"{name} is no name of a header (RFC 9110, section 5.6.2)")
    elif _NO_NAME.search(name):
        raise InvalidValue(f"a name behind {word}. has no = and no white space at its ends: write them %3D and %20")
    return found, name


def category_of(entry: Entry) -> Category:
    """The category of an entry that has been checked."""
    return CATEGORIES.get(entry.key) or CATEGORIES[entry.category]


def value_of(entry: Entry) -> Value:
    """What an entry that has been checked looks at, as an expression would say it."""
    category = category_of(entry)
    field = FIELDS[category.field]
    value: Value = FieldValue(field.name, field.type)
    if category.named:
        assert field.type.of is not None
        value = Index(value, unescaped(entry.name.encode("utf-8")), field.type.of)
    return Each(value, value.type) if value.type.name == "Array" else value


def sought_of(entry: Entry) -> Sought:
    """What an entry looks for, in the form that its predicate compares with; read once, when it is checked.

    In a text that was decoded ``$`` is what it is to PCRE; a negated entry, which would let more through, is exact.
    """
    if entry.sought is not None:
        sought: Sought = entry.sought
        return sought
    category = category_of(entry)
    found = category.notation.read(entry.pattern)
    return ending_as_in_pcre(found) if category.decoded and not entry.negated and isinstance(found, str) else found


def _unknown(word: str, name: str) -> str:
    prefix = f"{word}." if word in WORDS else ""
    known = [each.removeprefix(prefix) for each in (CATEGORIES if prefix else words()) if each.startswith(prefix)]
    wrong = name if prefix else word
    near = difflib.get_close_matches(wrong, known, 1)
    guess = f"did you mean {prefix}{near[0]}?" if near else f"there are {', '.join(known)}"
    return f"there is no category {prefix}{wrong}; {guess}" if wrong else f"{word} needs a name: {guess}"


def _checked_value(found: Entry) -> Sought:
    value, pattern = found.value, found.pattern
    if not pattern:
        raise InvalidValue("a value is missing", 0)
    if found.negated and pattern.startswith("!"):
        raise InvalidValue(r"a value is negated once; for a text that begins with ! write \!", value.index("!", 1))
    # What a line of the file could not hold is refused, however the entry came here.
    if "\n" in value or "\r" in value:
        raise InvalidValue("a value is a single line", min(value.index(end) for end in "\r\n" if end in value))
    mark = _ANNOTATION.search(value)
    if mark is not None:
        raise InvalidValue(r"a # here would begin an annotation: write \#", mark.end() - 1)
    try:
        return sought_of(found)
    except InvalidValue as problem:
        before = len(value) - len(pattern)
        raise InvalidValue(problem.sentence, None if problem.column is None else before + problem.column) from None
