"""Certificate headers: what an origin is told of the certificate of the client that a request came from.

Law: an origin believes these fields, so none of them ever comes from outside, and RFC 9440's and Envoy's speak of a
verified client or not at all. Each value is printable ASCII (RFC 9110, section 5.5), whatever a certificate says of
itself; one that is too long is left out whole, for half a name is another name, and the event says so.
"""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from urllib.parse import quote

from cryptography.hazmat.primitives.serialization import Encoding

from edgenode.model.exchange import ClientIdentity, Connection
from edgenode.proxy.headers import header_lines
from edgenode.tls.certificates import LoadedCertificate
from edgenode.tls.identity import describe

LARGEST = 10 * 1024
"""The most bytes of a value, a certificate's among them; Cloudflare's limit."""

LARGEST_CHAIN = 16 * 1024
"""The same of a chain's."""

_Pairs = Iterator[tuple[bytes, bytes | None]]
"""The fields of a style; instead of a value that is too long, ``None``."""
_UNPRINTABLE = re.compile(rb"[^ -~]")
# What RFC 3986 and RFC 1123 let these names consist of. Anything else in a certificate is no URI and no host name, and
# must not get near the quotes of X-Forwarded-Client-Cert.
_URI = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_DNS = re.compile(r"[A-Za-z0-9._*-]+")
# All that PEM has besides unreserved characters; urllib's own loop would take as long as a handshake.
_ESCAPES = tuple((character, quote(character, safe="")) for character in " \n+/=")


def certificate_lines(
    styles: Iterable[str], connection: Connection, ours: tuple[str, ...]
) -> tuple[bytes, tuple[str, ...]]:
    """The certificate headers of a request, each field line with its line end; and the names of those that are left
    out because they would be too long.

    :param styles: keys of :data:`STYLES`, or ``none``.
    :param connection: the facts with the verdict as of now.
    :param ours: the URIs in our own certificates: :func:`uris_of`.
    """
    pairs = [pair for style in styles if style != "none" for pair in STYLES[style](connection, ours)]
    lines = header_lines([(name, value) for name, value in pairs if value is not None])
    return lines, tuple([name.decode("ascii") for name, value in pairs if value is None])


def uris_of(certificates: Iterable[LoadedCertificate]) -> tuple[str, ...]:
    """The URIs in certificates of ours, each once."""
    ders = (certificate.leaf.public_bytes(Encoding.DER) for certificate in certificates)
    return tuple(dict.fromkeys(uri for der in ders for uri in describe(der).sans.uri if _URI.fullmatch(uri)))


# -- the styles: of a connection, and the URIs in our own certificates ------------------------------------------------


def _rfc9440(connection: Connection, ours: tuple[str, ...]) -> _Pairs:
    """RFC 9440: the certificate, and the chain that it was verified with, root included."""
    client = _verified(connection)
    if client is None:
        return
    leaf = _byte_sequence(client.leaf)
    chain = b", ".join(map(_byte_sequence, client.chain_verified))
    yield b"Client-Cert", leaf if len(leaf) <= LARGEST else None
    if chain:  # section 2.3: none without its leaf
        yield b"Client-Cert-Chain", chain if len(leaf) <= LARGEST and len(chain) <= LARGEST_CHAIN else None


def _xfcc(connection: Connection, ours: tuple[str, ...]) -> _Pairs:
    """Envoy's X-Forwarded-Client-Cert as its SANITIZE_SET writes it, one element with all of its keys."""
    client = _verified(connection)
    if client is None:
        return
    names = [
        f'Subject="{_subject(client)}"',
        *(f"URI={_quoted(uri)}" for uri in client.sans.uri if _URI.fullmatch(uri)),
        *(f"DNS={_quoted(name)}" for name in client.sans.dns if _DNS.fullmatch(name)),
    ]
    if len(";".join(names)) > LARGEST:
        yield b"X-Forwarded-Client-Cert", None
        return
    certificates = (
        ("Cert", _escaped_pem(client.leaf), LARGEST),
        ("Chain", _escaped_pem(client.leaf, *client.chain_verified), LARGEST_CHAIN),
    )
    pairs = [
        *(f"By={_quoted(uri)}" for uri in ours),
        f"Hash={client.fingerprint_sha256}",
        *(f'{key}="{pem}"' for key, pem, most in certificates if len(pem) <= most),
        *names,
    ]
    yield b"X-Forwarded-Client-Cert", ";".join(pairs).encode("ascii")
    for key, pem, most in certificates:
        if len(pem) > most:
            yield b"X-Forwarded-Client-Cert " + key.encode("ascii"), None


def _nginx(connection: Connection, ours: tuple[str, ...]) -> _Pairs:
    """The names that nginx recipes and Link11 give nginx's variables; the verdict stands beside what it is of."""
    yield b"SSL_CLIENT_VERIFY", _printable(str(connection.verification))
    client = connection.client
    if client is None:
        return
    values = (
        (b"SSL_CLIENT_CERT", _escaped_pem(client.leaf).encode("ascii")),
        (b"SSL_CLIENT_S_DN", _printable(client.subject)),
        (b"SSL_CLIENT_I_DN", _printable(client.issuer)),
        (b"SSL_CLIENT_SERIAL", client.serial.encode("ascii")),
        # SHA-1, as nginx has it: a name for a certificate, and no proof of one.
        (b"SSL_CLIENT_FINGERPRINT", hashlib.sha1(client.leaf, usedforsecurity=False).hexdigest().encode("ascii")),
    )
    yield from ((name, value if len(value) <= LARGEST else None) for name, value in values if value)


STYLES: Mapping[str, Callable[[Connection, tuple[str, ...]], _Pairs]] = MappingProxyType(
    {"rfc9440": _rfc9440, "xfcc": _xfcc, "nginx": _nginx}
)
"""The words of ``certificate-headers``, but for ``none``."""


# -- how values are written -------------------------------------------------------------------------------------------


def _verified(connection: Connection) -> ClientIdentity | None:
    verdict = connection.verification
    return connection.client if verdict.verified and not verdict.revoked else None


def _byte_sequence(der: bytes) -> bytes:
    """A certificate as RFC 9440, section 2.1, writes it: a Byte Sequence (RFC 8941, section 3.3.5)."""
    return b":%b:" % base64.b64encode(der)


def _escaped_pem(*certificates: bytes) -> str:
    """Certificates as nginx's ``$ssl_client_escaped_cert`` and Envoy's Cert and Chain: PEM, then URL-encoded."""
    pem = "".join(map(ssl.DER_cert_to_PEM_cert, certificates))
    for character, escape in _ESCAPES:
        pem = pem.replace(character, escape)
    return pem


def _printable(text: str) -> bytes:
    r"""Text of a certificate as nginx and Envoy print it: each byte of UTF-8 that is not printable ASCII as ``\C3``.

    A space at the end, which whoever reads the field would drop, is written ``\20``: RFC 4514 escapes it anyway.
    """
    printable = _UNPRINTABLE.sub(lambda match: b"\\%02X" % ord(match[0]), text.encode("utf-8"))
    return printable[:-1] + b"20" if printable.endswith(b"\\ ") else printable


def _quoted(value: str) -> str:
    """A value of Envoy's header: in quotes if one of its separators is in it."""
    return f'"{value}"' if any(separator in value for separator in ",;=") else value


def _subject(client: ClientIdentity) -> str:
    r"""The subject between Envoy's quotes, where RFC 4514's ``\"`` is Envoy's escape as well.

    A backslash is written ``\5C`` instead of ``\\``: readers that know no other escape than ``\"`` would take the quote
    behind it for a part of the name, and read on into what the next quote encloses.
    """
    return _printable(client.subject).decode("ascii").replace("\\\\", "\\5C")
