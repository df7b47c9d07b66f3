"""The ClientHello, read from the first bytes of a connection before an SSL object exists.

Law: bytes are only looked at, never consumed; what is not a ClientHello is told apart from one that is not all there
yet; every length is checked against what holds it. Sources: RFC 8446 sections 4.1.2 and 5.1, RFC 6066 section 3,
RFC 7301 section 3.1; the fingerprint is JA4 (FoxIO, "JA4 TLS client fingerprinting").
"""

from __future__ import annotations

import functools
import hashlib
import re

from attrs import frozen

MAX_SIZE = 16 * 1024
"""The most bytes looked at: a ClientHello with post-quantum key shares has about 1,700."""

_MOST_CIPHERS, _MOST_EXTENSIONS, _MOST_SCHEMES = 512, 64, 128
"""No client offers as many; who does wants to see how much memory a fingerprint takes."""

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_SERVER_NAME, _SIGNATURE_ALGORITHMS, _ALPN, _SUPPORTED_VERSIONS = 0, 13, 16, 43
_VERSIONS = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3"}
_HOST_NAME = re.compile(rb"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")


class NotTLS(Exception):
    """The first bytes are not those of a TLS handshake."""


class MalformedClientHello(Exception):
    """A TLS handshake that does not begin with a well-formed ClientHello."""


@frozen
class ClientHello:
    """What a client says of itself in its first message.

    :ivar server_name: the host name it wants (SNI), lower case without a trailing dot, or ``None``.
    :ivar alpn: the application protocols it offers, its favourite first.
    :ivar version: the highest protocol version it offers, as on the wire: 0x0304 is TLS 1.3.
    :ivar ciphers: the cipher suites it offers, in its order.
    :ivar extensions: the types of its extensions, in its order.
    :ivar signature_algorithms: the signature schemes it offers, in its order.
    """

    server_name: str | None
    alpn: tuple[bytes, ...]
    version: int
    ciphers: tuple[int, ...]
    extensions: tuple[int, ...]
    signature_algorithms: tuple[int, ...]

    @property
    def fingerprint(self) -> str:
        """The JA4 of this ClientHello."""
        return _ja4(
            self.version,
            self.server_name is not None,
            self.alpn[0] if self.alpn else b"",
            self.ciphers,
            tuple(sorted(self.extensions)),
            self.signature_algorithms,
        )


def read_client_hello(data: bytes) -> ClientHello | int:
    """Read a ClientHello from the first bytes of a connection.

    :param data: all bytes received so far, from the very first.
    :returns: the ClientHello, or, if it is not all there yet, how many bytes there must be at the least.
    :raises NotTLS: if these are not the first bytes of a TLS handshake.
    :raises MalformedClientHello: if they are, but not of a well-formed ClientHello within :data:`MAX_SIZE`.
    """
    message = b""
    offset = 0
    while True:
        header = data[offset : offset + 5]
        # SSL 3 framing: type 22, major version 3. Anything else is another protocol, plain HTTP most likely.
        if (header[:1] and header[0] != _HANDSHAKE) or (len(header) > 1 and header[1] != 3):
            if offset:
                raise MalformedClientHello("another record inside the ClientHello")
            raise NotTLS
        if len(header) < 5:
            return offset + 5
        length = int.from_bytes(header[3:5], "big")
        end = offset + 5 + length
        if length == 0 or end > MAX_SIZE:
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
                return _read_body(message[4:size])
        offset = end


class _Cursor:
    """Reads length-prefixed fields; a length that points outside is an error."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise MalformedClientHello("a length points outside its field")
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def vector(self, length_size: int) -> bytes:
        return self.take(int.from_bytes(self.take(length_size), "big"))

    def __bool__(self) -> bool:
        return self._at < len(self._data)


def _pairs(data: bytes) -> tuple[int, ...]:
    if len(data) % 2:
        raise MalformedClientHello("a list of 16-bit numbers of odd length")
    return tuple(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))


def _read_body(body: bytes) -> ClientHello:
    cursor = _Cursor(body)
    version = int.from_bytes(cursor.take(2), "big")
    cursor.take(32)  # random
    cursor.vector(1)  # legacy session id
    ciphers = _pairs(cursor.vector(2))
    cursor.vector(1)  # compression methods
    found: dict[int, bytes] = {}
    order: list[int] = []
    if cursor:
        extensions = _Cursor(cursor.vector(2))
        while extensions:
            kind = int.from_bytes(extensions.take(2), "big")
            if kind in found:
                raise MalformedClientHello(f"extension {kind} appears twice")
            found[kind] = extensions.vector(2)
            order.append(kind)
    if cursor:
        raise MalformedClientHello("bytes behind the extensions")
    if _SUPPORTED_VERSIONS in found:
        offered = [v for v in _pairs(_Cursor(found[_SUPPORTED_VERSIONS]).vector(1)) if not _grease(v)]
        version = max(offered, default=version)
    schemes = _Cursor(found[_SIGNATURE_ALGORITHMS]).vector(2) if _SIGNATURE_ALGORITHMS in found else b""
    if len(ciphers) > _MOST_CIPHERS or len(order) > _MOST_EXTENSIONS or len(schemes) > 2 * _MOST_SCHEMES:
        raise MalformedClientHello("more ciphers, extensions or signature schemes than there are")
    return ClientHello(
        server_name=_server_name(found[_SERVER_NAME]) if _SERVER_NAME in found else None,
        alpn=_protocols(found[_ALPN]) if _ALPN in found else (),
        version=version,
        ciphers=ciphers,
        extensions=tuple(order),
        signature_algorithms=_pairs(schemes),
    )


def _server_name(extension: bytes) -> str:
    names = _Cursor(_Cursor(extension).vector(2))
    kind, name = names.take(1), names.vector(2)
    # One name of type host_name: OpenSSL reads only the first as well, so nobody can see another one than we do.
    if kind != b"\0" or names or not _HOST_NAME.fullmatch(name):
        raise MalformedClientHello("a server name that is no host name")
    return name.decode("ascii").lower().removesuffix(".")


def _protocols(extension: bytes) -> tuple[bytes, ...]:
    protocols = _Cursor(_Cursor(extension).vector(2))
    found = []
    while protocols:
        found.append(protocols.vector(1))
        if not found[-1]:
            raise MalformedClientHello("an application protocol without a name")
    return tuple(found)


def _grease(value: int) -> bool:
    """Whether a value is one of RFC 8701's, sent only to keep servers tolerant."""
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


@functools.lru_cache(256)
def _ja4(
    version: int,
    named: bool,
    alpn: bytes,
    ciphers: tuple[int, ...],
    extensions: tuple[int, ...],
    schemes: tuple[int, ...],
) -> str:
    suites = sorted(f"{cipher:04x}" for cipher in ciphers if not _grease(cipher))
    kinds = [kind for kind in extensions if not _grease(kind)]
    hashed = [f"{kind:04x}" for kind in kinds if kind not in (_SERVER_NAME, _ALPN)]
    first, last = alpn[:1], alpn[-1:]
    if not alpn:
        protocol = "00"
    elif first.isalnum() and last.isalnum():
        protocol = (first + last).decode("ascii")
    else:
        protocol = first.hex()[0] + last.hex()[1]
    counts = f"{min(len(suites), 99):02}{min(len(kinds), 99):02}"
    offered = ",".join(f"{scheme:04x}" for scheme in schemes if not _grease(scheme))
    return (
        f"t{_VERSIONS.get(version, '00')}{'d' if named else 'i'}{counts}{protocol}"
        f"_{_short(','.join(suites))}_{_short(','.join(hashed) + (f'_{offered}' if offered else ''))}"
    )


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:12] if text else "0" * 12
