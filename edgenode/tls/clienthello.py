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

MAX_SIZE = 16 * 1024
"""The most bytes looked at: a ClientHello with post-quantum key shares has about 1,700."""

_MOST_CIPHERS, _MOST_EXTENSIONS, _MOST_SCHEMES = 512, 64, 128
"""No client offers as many. Bounds what the memory of :func:`_hash_of_ciphers` and its like can hold."""

_REMEMBERED = 256
"""Lists of cipher suites, and sets of extensions, whose hash is remembered: more than clients in use have."""

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_SERVER_NAME, _SIGNATURE_ALGORITHMS, _ALPN, _SUPPORTED_VERSIONS = 0, 13, 16, 43
_VERSIONS = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3"}
_GREASE = frozenset(0x0A0A + 0x1010 * index for index in range(16))
"""The values of RFC 8701, sent only to keep servers tolerant; JA4 leaves them out."""

_HOST_NAME = re.compile(rb"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")

_extension_header = struct.Struct(">HH").unpack_from
"""A type and a length; or the length of an extension and that of the list that it begins with."""

_uint16 = struct.Struct(">H").unpack_from


class NotTLS(Exception):
    """The first bytes are not those of a TLS handshake."""


class MalformedClientHello(Exception):
    """A TLS handshake that does not begin with a well-formed ClientHello."""


@frozen
class ClientHello:
    """What a client says of itself in its first message.

    :ivar server_name: the host name it wants (SNI), lower case without a trailing dot, or ``None``.
    :ivar alpn: the application protocols it offers, the one it prefers first.
    :ivar version: the highest protocol version it offers, as on the wire: 0x0304 is TLS 1.3.
    :ivar fingerprint: its JA4, 36 ASCII characters.
    """

    server_name: str | None
    alpn: tuple[bytes, ...]
    version: int
    fingerprint: str


def read_client_hello(data: bytes) -> ClientHello | int:
    """Read a ClientHello from the first bytes of a connection.

    :param data: all bytes received so far, from the very first.
    :return: the ClientHello, or, if it is not all there yet, how many bytes there must be at the least.
    :raises NotTLS: if these are not the first bytes of a TLS handshake.
    :raises MalformedClientHello: if they are, but not of a well-formed ClientHello within :data:`MAX_SIZE`.
    """
    message = b""
    offset = 0
    while True:
        header = data[offset : offset + 5]
        # Handshake records have type 22 and major version 3. Anything else is another protocol, plain HTTP most likely.
        if (header[:1] and header[0] != _HANDSHAKE) or (len(header) > 1 and header[1] != 3):
            if offset:
                raise MalformedClientHello("another record inside the ClientHello")
            raise NotTLS
        if len(header) < 5:
            return offset + 5
        end = offset + 5 + int.from_bytes(header[3:], "big")
        if end == offset + 5 or end > MAX_SIZE:
            raise MalformedClientHello("a record of no or of too many bytes")
        if len(data) < end:
            return end
        message += data[offset + 5 : end]
        if message[0] != _CLIENT_HELLO:
            raise MalformedClientHello("the first message is not a ClientHello")
        if len(message) >= 4:
            size = 4 + int.from_bytes(message[1:4], "big")
            if size > MAX_SIZE:
                raise MalformedClientHello("a ClientHello of too many bytes")
            if len(message) >= size:
                try:
                    return _read_fields(message[4:size])
                except (IndexError, struct.error):
                    raise MalformedClientHello("a length points outside its field") from None
        offset = end


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
    if len(ciphers) > 2 * _MOST_CIPHERS or count > _MOST_EXTENSIONS or len(schemes) > 2 * _MOST_SCHEMES:
        raise MalformedClientHello("more ciphers, extensions or signature schemes than there are")
    name = _server_name(_list(body, extensions[_SERVER_NAME])) if _SERVER_NAME in extensions else None
    alpn = _protocols(_list(body, extensions[_ALPN])) if _ALPN in extensions else ()
    return ClientHello(name, alpn, version, _ja4(version, name, alpn, ciphers, extensions.keys(), schemes))


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
    suites, suites_hash = _hash_of_ciphers(ciphers)
    return (
        f"t{_VERSIONS.get(version, '00')}{'i' if name is None else 'd'}{suites}{min(len(kinds), 99):02}"
        f"{_mark(alpn[0]) if alpn else '00'}_{suites_hash}_{_hash_of_extensions(kinds, schemes)}"
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
    suites = sorted(_hexadecimal(ciphers))
    return f"{min(len(suites), 99):02}", _short(",".join(suites))


@functools.lru_cache(_REMEMBERED)
def _hash_of_extensions(kinds: tuple[int, ...], schemes: bytes) -> str:
    """The hash of the sorted types of extensions, without server_name and ALPN, and the signature schemes in order."""
    hashed = ",".join(f"{kind:04x}" for kind in kinds if kind not in (_SERVER_NAME, _ALPN))
    offered = ",".join(_hexadecimal(schemes))
    return _short(hashed + (f"_{offered}" if offered else ""))


def _hexadecimal(numbers: bytes) -> list[str]:
    """The 16-bit numbers of a list, without GREASE."""
    return [f"{number:04x}" for number in _numbers(numbers, len(numbers)) if number not in _GREASE]


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:12] if text else "0" * 12
