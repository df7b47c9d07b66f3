"""The ClientHello, read from the first bytes of a connection before an SSL object exists.

The law: bytes are only looked at, never consumed; what is not a ClientHello is told apart from one that is not all
there yet; every length is checked against what holds it. Sources: RFC 8446 sections 4.1.2 and 5.1, RFC 6066 section 3,
RFC 7301 section 3.1; the fingerprint is JA4 (FoxIO, "JA4 TLS client fingerprinting").
"""

from __future__ import annotations

import functools
import hashlib
import re
import struct
from collections.abc import Set

from attrs import frozen

MAX_SIZE = 4 + 2 + 32 + 33 + 2 + 0xFFFE + 1 + 0xFF + 2 + 0xFFFF
"""The longest ClientHello that its own lengths can express, 128 KiB and 328 bytes: OpenSSL takes no longer one either.
One with post-quantum key shares has about 1,700 bytes."""

MOST_RECORDS = 2048
"""Records that it may come in. OpenSSL needs 1.7 microseconds for each, however short it is."""

MOST_BYTES = MAX_SIZE + 5 * MOST_RECORDS
"""The most bytes looked at, with the headers of records."""

_RECORD = 2**14
"""The most bytes that a record holds (RFC 8446, section 5.1)."""

_MOST_CIPHERS, _MOST_EXTENSIONS, _MOST_SCHEMES = 512, 64, 128
"""What clients in use offer at the most. Bounds what the memory of :func:`_hash_of_ciphers` and its like can hold."""

_REMEMBERED = 256
"""Lists of cipher suites, and sets of extensions, whose hash is remembered: more than clients in use have."""

UNEXPECTED_MESSAGE, RECORD_OVERFLOW, DECODE_ERROR = 10, 22, 50
"""Alerts (RFC 8446, section 6)."""

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_CONTENT_TYPES = range(20, 25)
"""The types of records: change_cipher_spec, alert, handshake, application_data, heartbeat (RFC 6520)."""

_SERVER_NAME, _SUPPORTED_GROUPS, _SIGNATURE_ALGORITHMS, _ALPN, _SUPPORTED_VERSIONS, _KEY_SHARE = 0, 10, 13, 16, 43, 51
_TLS13 = 0x0304
_VERSIONS = {_TLS13: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3"}
_GREASE = frozenset(0x0A0A + 0x1010 * index for index in range(16))
"""The values of RFC 8701, sent only to keep servers tolerant; JA4 leaves them out."""

_HOST_NAME = re.compile(rb"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")

_extension_header = struct.Struct(">HH").unpack_from
"""A type and a length; or the length of an extension and that of the list that it begins with."""

_uint16 = struct.Struct(">H").unpack_from


class NotTLS(Exception):
    """The first bytes are not those of TLS."""


class MalformedClientHello(Exception):
    """TLS that does not begin with a well-formed ClientHello.

    :param reason: a few words.
    :ivar alert: the number of the alert that says so.
    """

    def __init__(self, reason: str, alert: int = DECODE_ERROR) -> None:
        super().__init__(reason)
        self.alert = alert


@frozen
class ClientHello:
    """What a client says of itself in its first message.

    :ivar server_name: the host name it wants (SNI), lower case without a trailing dot, or ``None``.
    :ivar alpn: the application protocols it offers, the one it prefers first.
    :ivar version: the highest protocol version it offers, as on the wire: 0x0304 is TLS 1.3.
    :ivar fingerprint: its JA4, 36 ASCII characters.
    :ivar groups: the key exchanges that it knows, and the curves of keys, if it offers TLS 1.2 at the most (RFC 8422,
        section 5.1.1): by TLS 1.3 they say nothing of keys.
    :ivar shares: the key exchanges that it begins at once (RFC 8446, section 4.2.8).
    """

    server_name: str | None
    alpn: tuple[bytes, ...]
    version: int
    fingerprint: str
    groups: tuple[int, ...] = ()
    shares: tuple[int, ...] = ()


class ClientHelloReader:
    """Reads a ClientHello from the first bytes of a connection while they come.

    What has been read is not read again: a client that sends its bytes one by one costs no more than that.
    """

    __slots__ = ("_message", "_offset", "_records")

    def __init__(self) -> None:
        self._message = b""
        self._offset = self._records = 0

    def read(self, data: bytes) -> ClientHello | int:
        """Read on.

        :param data: all bytes received so far, from the very first.
        :return: the ClientHello, or, if it is not all there yet, how many bytes there must be at the least.
        :raises NotTLS: if these are not the first bytes of TLS.
        :raises MalformedClientHello: if they are, but not of a well-formed ClientHello within :data:`MAX_SIZE` and
            :data:`MOST_RECORDS`.
        """
        message, offset = bytearray(self._message), self._offset
        while self._records < MOST_RECORDS:
            header = data[offset : offset + 5]
            _check_header(header, offset)
            end = offset + 5 + int.from_bytes(header[3:], "big") if len(header) == 5 else offset + 5
            if offset == 0 and len(data) > 5 and data[5] != _CLIENT_HELLO:
                raise MalformedClientHello("the first message is not a ClientHello", UNEXPECTED_MESSAGE)
            if len(data) < end or len(header) < 5:
                self._message, self._offset = bytes(message), offset
                return end
            message += data[offset + 5 : end]
            if len(message) >= 4:
                size = 4 + int.from_bytes(message[1:4], "big")
                if size > MAX_SIZE:
                    raise MalformedClientHello("a ClientHello of too many bytes")
                if len(message) >= size:
                    return _read_message(bytes(message[4:size]))
            offset = end
            self._records += 1
        raise MalformedClientHello("a ClientHello in too many records")


def _read_message(body: bytes) -> ClientHello:
    try:
        return _read_fields(body)
    except (IndexError, struct.error):
        raise MalformedClientHello("a length points outside its field") from None


def _check_header(header: bytes, offset: int) -> None:
    """Check the header of a record, as far as it is there.

    :param offset: where it is: what begins otherwise is another protocol, plain HTTP most likely.
    """
    if offset == 0 and ((header[:1] and header[0] not in _CONTENT_TYPES) or (len(header) > 1 and header[1] != 3)):
        raise NotTLS
    if len(header) < 2:
        return
    if header[0] != _HANDSHAKE or header[1] != 3:
        within = "before" if offset == 0 else "inside"
        raise MalformedClientHello(f"another record {within} the ClientHello", UNEXPECTED_MESSAGE)
    if len(header) == 5:
        length = int.from_bytes(header[3:], "big")
        if length == 0:
            raise MalformedClientHello("a record of no bytes", UNEXPECTED_MESSAGE)
        if length > _RECORD:
            raise MalformedClientHello("a record of too many bytes", RECORD_OVERFLOW)


def _read_fields(body: bytes) -> ClientHello:
    """Read the fields in one pass; ``IndexError`` or ``struct.error`` if a length points outside.

    A slice that ends too early raises nothing: so wherever one is taken, the position behind it is checked.
    """
    (version,) = _uint16(body)
    at = 35 + body[34]  # the version, the random and the legacy session id
    ciphers_end = at + 2 + _uint16(body, at)[0]
    ciphers = body[at + 2 : ciphers_end]
    at = ciphers_end + 1 + body[ciphers_end]  # the compression methods
    extensions: dict[int, int] = {}  # where the content of each begins, behind its length
    count = 0
    end = len(body)
    if at != end:
        if at + 2 + _uint16(body, at)[0] != end:
            raise MalformedClientHello("the extensions do not end where the ClientHello ends")
        at += 2
        while at < end:
            kind, size = _extension_header(body, at)
            at += 4
            extensions[kind] = at
            at += size
            count += 1
        if at != end:
            raise MalformedClientHello("a length points outside its field")
    if len(extensions) != count:
        raise MalformedClientHello("an extension that appears twice")
    if _SUPPORTED_VERSIONS in extensions:
        version = _highest_version(body, extensions[_SUPPORTED_VERSIONS], version)
    schemes = b""
    if _SIGNATURE_ALGORITHMS in extensions:
        schemes = _list(body, extensions[_SIGNATURE_ALGORITHMS])
    name = _server_name(_list(body, extensions[_SERVER_NAME])) if _SERVER_NAME in extensions else None
    alpn = _protocols(_list(body, extensions[_ALPN])) if _ALPN in extensions else ()
    groups: tuple[int, ...] = ()
    if version < _TLS13 and _SUPPORTED_GROUPS in extensions:
        listed = _list(body, extensions[_SUPPORTED_GROUPS])
        groups = _numbers(listed, len(listed))
    shares = _shares(body, extensions[_KEY_SHARE]) if _KEY_SHARE in extensions else ()
    fingerprint = _ja4(version, name, alpn, ciphers, extensions.keys(), schemes)
    return ClientHello(name, alpn, version, fingerprint, groups, shares)


def _list(body: bytes, start: int) -> bytes:
    """The list that an extension begins with: 16 bits of length, and as many bytes."""
    size, length = _extension_header(body, start - 2)
    stop = start + 2 + length
    if length + 2 > size:
        raise MalformedClientHello("a length points outside its field")
    return body[start + 2 : stop]


def _highest_version(body: bytes, start: int, otherwise: int) -> int:
    """The highest of ``supported_versions`` (RFC 8446, section 4.2.1)."""
    (size,) = _uint16(body, start - 2)
    content = body[start : start + size]
    offered = _numbers(content[1 : 1 + content[0]], content[0])
    return max((version for version in offered if version not in _GREASE), default=otherwise)


def _numbers(data: bytes, size: int) -> tuple[int, ...]:
    """The 16-bit numbers of a list that should have so many bytes; ``struct.error`` if it has less."""
    if size % 2:
        raise MalformedClientHello("a list of 16-bit numbers of odd length")
    return struct.unpack(f">{size // 2}H", data)


def _shares(body: bytes, start: int) -> tuple[int, ...]:
    """The groups of key shares, as far as they can be read: OpenSSL refuses the rest."""
    found = []
    end = start + _uint16(body, start - 2)[0]
    at = start + 2
    while at + 4 <= end:
        group, size = _extension_header(body, at)
        found.append(group)
        at += 4 + size
    return tuple(found)


def _server_name(names: bytes) -> str:
    # One name of type host_name: OpenSSL reads only the first as well, so nobody can see another one than we do.
    name = names[3:]
    if names[0] != 0 or len(name) != _uint16(names, 1)[0] or not _HOST_NAME.fullmatch(name):
        raise MalformedClientHello("a server name that is no host name")
    return name.decode("ascii").lower().removesuffix(".")


def _protocols(protocols: bytes) -> tuple[bytes, ...]:
    found = []
    at = 0
    while at < len(protocols):
        end = at + 1 + protocols[at]
        if end == at + 1 or end > len(protocols):
            raise MalformedClientHello("an application protocol that is empty or cut off")
        found.append(protocols[at + 1 : end])
        at = end
    return tuple(found)


# -- JA4 ---------------------------------------------------------------------------------------------------------------


def _ja4(
    version: int, name: str | None, alpn: tuple[bytes, ...], ciphers: bytes, extensions: Set[int], schemes: bytes
) -> str:
    # Clients that send GREASE choose it anew for each connection, and some shuffle their extensions.
    kinds = tuple(sorted(extensions - _GREASE))
    of_ciphers = _hash_of_ciphers if len(ciphers) <= 2 * _MOST_CIPHERS else _hash_of_ciphers.__wrapped__
    usual = len(kinds) <= _MOST_EXTENSIONS and len(schemes) <= 2 * _MOST_SCHEMES
    of_extensions = _hash_of_extensions if usual else _hash_of_extensions.__wrapped__
    suites, suites_hash = of_ciphers(ciphers)
    return (
        f"t{_VERSIONS.get(version, '00')}{'i' if name is None else 'd'}{suites}{min(len(kinds), 99):02}"
        f"{_mark(alpn[0]) if alpn else '00'}_{suites_hash}_{of_extensions(kinds, schemes)}"
    )


def _mark(protocol: bytes) -> str:
    """The first and last character of a protocol's name, or of its hexadecimal form if one is not alphanumeric."""
    first, last = protocol[:1], protocol[-1:]
    if first.isalnum() and last.isalnum():
        return (first + last).decode("ascii")
    return first.hex()[0] + last.hex()[1]


@functools.lru_cache(_REMEMBERED)
def _hash_of_ciphers(ciphers: bytes) -> tuple[str, str]:
    """How many cipher suites there are, two digits, and the hash of their sorted numbers."""
    suites = sorted(_without_grease(ciphers))
    return f"{min(len(suites), 99):02}", _short(_hexadecimal(suites))


@functools.lru_cache(_REMEMBERED)
def _hash_of_extensions(kinds: tuple[int, ...], schemes: bytes) -> str:
    """The hash of the sorted types of extensions, without server_name and ALPN, and the signature schemes in order."""
    hashed = _hexadecimal([kind for kind in kinds if kind not in (_SERVER_NAME, _ALPN)])
    offered = _hexadecimal(_without_grease(schemes))
    return _short(hashed + (f"_{offered}" if offered else ""))


def _without_grease(numbers: bytes) -> list[int]:
    """The 16-bit numbers of a list, without GREASE."""
    return [number for number in _numbers(numbers, len(numbers)) if number not in _GREASE]


def _hexadecimal(numbers: list[int]) -> str:
    """Numbers of 16 bits in four digits each, with commas."""
    return struct.pack(f">{len(numbers)}H", *numbers).hex(",", 2) if numbers else ""


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:12] if text else "0" * 12
