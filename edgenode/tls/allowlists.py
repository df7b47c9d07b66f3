"""Patterns of a server group's lists of clients: names by kind, subjects, certificates and keys.

The law: a list lets in what it names and nothing that looks like it. Names are compared whole, by kind, and as they
stand in the certificate; a name that two readers could read differently matches nothing.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Self

from attrs import Factory, field, frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import AlternativeNames, ClientIdentity
from edgenode.model.settings import LABEL, check_dns_name
from edgenode.tls.names import NAMES, escaped

_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:")
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()+,;=:@-]+")
_SHA256_HEX = re.compile(r"[0-9a-fA-F]{64}|[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){31}")

_SPIFFE = "spiffe://"

_LONGEST_URI = 2048

_TYPES = frozenset(NAMES.values())
_ATTRIBUTE = re.compile(r"([A-Za-z][A-Za-z0-9]*|[0-9]+(?:\.[0-9]+)+)=((?:[^\\,+]|\\[0-9A-F]{2}|\\.)*)")
_ESCAPE = re.compile(r"\\([0-9A-F]{2}|.)")
_BYTES = re.compile(r"((?:\\[89A-Fa-f][0-9A-Fa-f])+)|\\.", re.DOTALL)


@frozen
class Entry:
    """An entry of a list.

    :ivar text: as it stands in the INI; a SHA-256 in lower-case hexadecimal digits alone.
    """

    text: str

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read one.

        :param text: as it stands in the INI.
        :raises InvalidValue: with the column, if it is none, or would match nothing or everything.
        """
        return cls(cls._checked(text))

    @classmethod
    @abstractmethod
    def _checked(cls, text: str) -> str: ...

    def __str__(self) -> str:
        return self.text


@frozen
class NamePattern(Entry):
    """What names of one kind are let in."""

    def allows(self, names: AlternativeNames) -> bool:
        """Whether any of a certificate's names is meant."""
        return self.text in self.texts(names)

    @classmethod
    @abstractmethod
    def texts(cls, names: AlternativeNames) -> Iterator[str]:
        """The texts of all entries that mean any of a certificate's names: a few for each name."""


@frozen
class DNSPattern(NamePattern):
    """A DNS name, or with a leading ``*.`` all names of exactly one label more; in lower case.

    A name with a wildcard of its own is never meant.
    """

    @classmethod
    def _checked(cls, text: str) -> str:
        check_dns_name(text, "DNS name", "a DNS name, or *. and a DNS name")
        if text.rpartition(".")[2].isdigit():
            raise InvalidValue("an IP address belongs into allow-ip, and no DNS name ends in a number")
        return text

    @classmethod
    def texts(cls, names: AlternativeNames) -> Iterator[str]:
        """The names themselves, and each with a wildcard for its first label."""
        for name in map(str.lower, names.dns):
            label, _, rest = name.partition(".")
            if label != "*":
                yield name
            if LABEL.fullmatch(label):
                yield f"*.{rest}"


@frozen
class URIPattern(NamePattern):
    """A URI, or with a final ``/*`` all that have further path segments; compared byte by byte.

    A SPIFFE ID counts only as the one URI of its certificate, as X.509-SVID, section 2, demands.
    """

    @classmethod
    def _checked(cls, text: str) -> str:
        for column, character in enumerate(text):
            if not "!" <= character <= "~":
                raise InvalidValue("a URI has no white space, and only ASCII characters", column)
        if len(text) > _LONGEST_URI:
            raise InvalidValue(f"a URI here has at most {_LONGEST_URI} characters, as a SPIFFE ID", _LONGEST_URI)
        scheme = _SCHEME.match(text)
        if scheme is None:
            raise InvalidValue("expected a URI that begins with a scheme in lower case, as in spiffe://example.org/*")
        prefix = text.removesuffix("/*")
        if "*" in prefix:
            raise InvalidValue("a * stands only for the last segments of a path: /* at the end", prefix.index("*"))
        if prefix != text and not re.match(r"[^:]+://[^/?#]+(?:/[^?#]+)?\Z", prefix):
            raise InvalidValue("before /* stands a URI with an authority, and no query", scheme.end())
        if text.startswith(_SPIFFE):
            _check_spiffe(prefix)
        return text

    @classmethod
    def texts(cls, names: AlternativeNames) -> Iterator[str]:
        """The names themselves, and each with a wildcard for its last path segment, its last two, and so on."""
        for name in names.uri:
            if name.startswith(_SPIFFE) and len(names.uri) != 1:
                continue
            if not name.endswith("/*"):
                yield name
            end = len(name)
            while (slash := name.rfind("/", 0, end)) >= 0 and _are_segments(name[slash + 1 : end]):
                if slash < _LONGEST_URI:
                    yield f"{name[:slash]}/*"
                end = slash


def _are_segments(path: str) -> bool:
    """Whether a path has one reading: no empty or dot segment, nothing encoded, no query."""
    return all(_SEGMENT.fullmatch(segment) and segment not in (".", "..") for segment in path.split("/"))


def _check_spiffe(identifier: str) -> None:
    domain, slash, path = identifier[len(_SPIFFE) :].partition("/")
    if not _TRUST_DOMAIN.fullmatch(domain):
        raise InvalidValue("expected a trust domain: a-z, 0-9, dots, hyphens and underscores", len(_SPIFFE))
    if slash and not _are_segments(path):
        raise InvalidValue(
            "a SPIFFE ID has no empty, dot or encoded path segment, and no query", len(_SPIFFE) + len(domain)
        )


@frozen
class EmailPattern(NamePattern):
    """A mailbox, or ``@`` and a domain for all its mailboxes; the domain in lower case.

    Compared as RFC 5280, section 7.5, says; a quoted local part is never meant.
    """

    @classmethod
    def _checked(cls, text: str) -> str:
        local, at, domain = text.rpartition("@")
        if not at or "*" in local or (local and not _LOCAL.fullmatch(local)):
            raise InvalidValue("expected a mailbox, or @ and a domain for all of its mailboxes")
        if domain != domain.lower():
            raise InvalidValue(f'the domain is written in lower case: "{domain.lower()}"', len(local) + 1)
        if not all(map(LABEL.fullmatch, domain.split("."))):
            raise InvalidValue("expected a domain, without wildcards", len(local) + 1)
        return text

    @classmethod
    def texts(cls, names: AlternativeNames) -> Iterator[str]:
        """The names themselves, and their domains."""
        for name in names.email:
            local, _, domain = name.rpartition("@")
            if _LOCAL.fullmatch(local):
                yield from (f"@{domain.lower()}", f"{local}@{domain.lower()}")


@frozen
class SubjectPattern(Entry):
    """A subject's distinguished name as events write it: RFC 4514, one a line; multi-valued parts in any order.

    Characters beyond ASCII stand as they are, or as ``openssl`` prints them: each byte of their UTF-8 escaped.
    """

    lines: ClassVar[bool] = True

    name: tuple[tuple[str, ...], ...] = field(init=False, default=Factory(lambda self: _parsed(self.text), True))

    @classmethod
    def _checked(cls, text: str) -> str:
        text = _LAST_SPACE.sub(r"\1 ", _BYTES.sub(_characters, text))
        column = 0
        while True:
            match = _ATTRIBUTE.match(text, column)
            if match is None or (match[1] not in _TYPES and not match[1][0].isdigit()):
                raise InvalidValue(_LOST_SPACE if column == len(text) and text.endswith("\\") else _EXPECTED, column)
            _check_value(match[2], match.start(2))
            column = match.end()
            if column == len(text):
                return text
            column += 1  # the comma or plus sign

    def allows(self, subject: str) -> bool:
        """Whether a subject is this one.

        :param subject: as :func:`~edgenode.tls.names.distinguished_name` writes it.
        """
        return _parsed(subject) == self.name


@frozen
class AllowLists:
    """All lists of names of a server group, made so that a client's names are looked up and not compared one by one.

    :ivar entries: by kind the texts of the entries.
    """

    entries: Mapping[type[NamePattern], frozenset[str]]
    _subjects: frozenset[tuple[tuple[str, ...], ...]]
    _networks: Mapping[tuple[int, int], frozenset[int]]

    @classmethod
    def of(cls, patterns: Iterable[NamePattern], subjects: Iterable[SubjectPattern], networks: Iterable[str]) -> Self:
        """Those of these entries; networks as ``ipaddress`` reads them."""
        entries, addresses = defaultdict(set), defaultdict(set)
        for pattern in patterns:
            entries[type(pattern)].add(pattern.text)
        for network in map(ipaddress.ip_network, networks):
            host_bits = network.max_prefixlen - network.prefixlen
            addresses[network.version, host_bits].add(int(network.network_address) >> host_bits)
        return cls(
            {kind: frozenset(texts) for kind, texts in entries.items()},
            frozenset(subject.name for subject in subjects),
            {key: frozenset(found) for key, found in addresses.items()},
        )

    def __bool__(self) -> bool:
        return bool(self.entries or self._subjects or self._networks)

    def allow(self, leaf: ClientIdentity) -> bool:
        """Whether any of a client's names is on any of the lists."""
        return (
            any(not texts.isdisjoint(kind.texts(leaf.sans)) for kind, texts in self.entries.items())
            or (bool(self._subjects) and _parsed(leaf.subject) in self._subjects)
            or any(map(self._allow_address, leaf.sans.ip if self._networks else ()))
        )

    def _allow_address(self, text: str) -> bool:
        # A network, as in name constraints (RFC 5280, section 4.2.1.10), is the address of no host.
        if "/" in text:
            return False
        address = ipaddress.ip_address(text)
        # Of the same version: an IPv4-mapped IPv6 address is in no IPv4 network.
        return any(
            version == address.version and int(address) >> host_bits in found
            for (version, host_bits), found in self._networks.items()
        )


_EXPECTED = "expected TYPE=value as events write it, such as CN=Alice,O=Example"
_LOST_SPACE = "a space at the end is written \\20, for none stands at the end of a line"
_LAST_SPACE = re.compile(r"((?<!\\)(?:\\\\)*\\)20\Z")
"""An escaped space at the end, where none stands in a file."""


def _characters(escape: re.Match[str]) -> str:
    """Escaped bytes beyond ASCII as what they encode; any other escape as it is."""
    if escape[1] is None:
        return escape[0]
    try:
        return bytes.fromhex(escape[1].replace("\\", "")).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidValue(
            "the bytes behind these backslashes are no UTF-8, as \\C3\\A9 for é", escape.start()
        ) from None


def _check_value(value: str, column: int) -> None:
    if value.startswith("#"):
        if not re.fullmatch(r"#(?:[0-9A-F]{2})+", value):
            raise InvalidValue("after a # that is not escaped stand hexadecimal digits, upper-case", column)
        return
    plain = _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if len(match[1]) == 2 else match[1], value)
    if escaped(plain) != value:
        raise InvalidValue(f"events write this value as {escaped(plain)}", column)


def _parsed(text: str) -> tuple[tuple[str, ...], ...]:
    """A distinguished name as its parts, the attributes of each sorted: what stands between + has no order (X.501)."""
    return tuple(tuple(sorted(_split(part, "+"))) for part in _split(text, ","))


def _split(text: str, separator: str) -> list[str]:
    return re.findall(rf"(?:[^\\{separator}]|\\.)+", text, re.DOTALL)


@frozen
class CertificatePin(Entry):
    """A certificate by the SHA-256 of its DER, hexadecimal with or without colons."""

    @classmethod
    def _checked(cls, text: str) -> str:
        if not _SHA256_HEX.fullmatch(text):
            raise InvalidValue("expected a SHA-256: 64 hexadecimal digits, with or without colons")
        return text.replace(":", "").lower()


@frozen
class KeyPin(Entry):
    """A public key by the SHA-256 of its SubjectPublicKeyInfo, hexadecimal or base64."""

    @classmethod
    def _checked(cls, text: str) -> str:
        if _SHA256_HEX.fullmatch(text):
            return text.replace(":", "").lower()
        try:
            digest = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            digest = b""
        # The last digit has two spare bits: only one spelling of a pin is one.
        if len(digest) != 32 or base64.b64encode(digest).decode("ascii") != text:
            raise InvalidValue("expected a SHA-256: 64 hexadecimal digits, or 44 characters of base64")
        return digest.hex()
