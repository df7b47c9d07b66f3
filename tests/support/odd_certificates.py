"""Clients' certificates that OpenSSL accepts and that hardly anything else reads, and some that nothing reads.

Each is written byte by byte and signed by its authority, so nothing but its oddity is wrong with it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto

from tests.support.certificates import Issued, elements
from tests.support.handshakes import client

COMMON_NAME, ORGANIZATION = b"\x55\x04\x03", b"\x55\x04\x0a"


def tlv(tag: int, *parts: bytes) -> bytes:
    """An element in DER."""
    content = b"".join(parts)
    length = len(content).to_bytes(4, "big").lstrip(b"\0") or b"\0"
    return bytes([tag]) + (length if len(content) < 128 else bytes([0x80 | len(length)]) + length) + content


def attribute(tag: int, value: bytes, kind: bytes = COMMON_NAME) -> bytes:
    """An attribute of a name, its value of a type."""
    return tlv(0x30, tlv(0x06, kind), tlv(tag, value))


def named(*parts: list[bytes]) -> bytes:
    """A name of parts."""
    return tlv(0x30, *(tlv(0x31, *part) for part in parts))


@frozen
class Odd:
    """A certificate.

    :ivar what: what is odd.
    :ivar subject: as nginx writes it; ``None`` if it cannot be read.
    :ivar der: the certificate.
    """

    what: str
    subject: str | None
    der: bytes

    def __str__(self) -> str:
        return self.what

    def client(self, version: str = "1.3") -> SSL.Context:
        """A client that presents it, with :data:`KEY`."""
        context = client(version=version)
        # From a file, for it is nothing that could be handed over as an object of cryptography's.
        with tempfile.NamedTemporaryFile(suffix=".der") as file:
            file.write(self.der)
            file.flush()
            context.use_certificate_file(file.name, crypto.FILETYPE_ASN1)
        context.use_privatekey(KEY)
        return context


KEY = ec.generate_private_key(ec.SECP256R1())


def odd(authority: Issued) -> Iterator[Odd]:
    """All of them, issued by an authority."""
    plain = authority.issue("client", key=KEY, sans=["DNS:a.test"])
    signed, algorithm, _ = elements(plain.der)
    version, serial, _, issuer, validity, _, key, extensions = elements(signed)
    (inner,) = elements(extensions)
    each = list(elements(inner))
    later = list(elements(validity))[1]
    with_null = tlv(0x30, next(elements(algorithm)), b"\x05\0")
    client_ = named([attribute(0x0C, b"client")])

    def made(what: str, told: str | None, /, algorithm: bytes = algorithm, **changed: bytes) -> Odd:
        parts = {"version": version, "serial": serial, "algorithm": algorithm, "issuer": issuer, "validity": validity,
                 "subject": client_, "key": key, "extensions": extensions} | changed  # fmt: skip
        body = tlv(0x30, *parts.values())
        signature = authority.key.sign(body, ec.ECDSA(hashes.SHA256()))  # type: ignore[call-arg,arg-type]
        return Odd(what, told, tlv(0x30, body, algorithm, tlv(0x03, b"\0" + signature)))

    def written_out(extension: bytes) -> bytes:
        kind, *critical, value = elements(extension)
        return tlv(0x30, kind, *(critical or [b"\x01\x01\0"]), value)

    yield made("T61String in Latin-1", "CN=José", subject=named([attribute(0x14, b"Jos\xe9")]))
    yield made("T61String in UTF-8", "CN=JosÃ©", subject=named([attribute(0x14, "José".encode())]))
    yield made("IA5String in Latin-1", "CN=José", subject=named([attribute(0x16, b"Jos\xe9")]))
    yield made("PrintableString in Latin-1", "CN=José", subject=named([attribute(0x13, b"Jos\xe9")]))
    yield made("NUL in a PrintableString", "CN=cli\\00ent", subject=named([attribute(0x13, b"cli\0ent")]))
    yield made("at sign in a PrintableString", "CN=a@b*", subject=named([attribute(0x13, b"a@b*")]))
    yield made("BMPString", "CN=José", subject=named([attribute(0x1E, "José".encode("utf-16-be"))]))
    yield made("UniversalString", "CN=José", subject=named([attribute(0x1C, "José".encode("utf-32-be"))]))
    yield made("BIT STRING as a name", "CN=#030400616263", subject=named([attribute(0x03, b"\0abc")]))
    yield made("SEQUENCE as a name", "CN=#3003020105", subject=named([attribute(0x30, b"\x02\x01\x05")]))
    yield made("empty RDN", "CN=client", subject=named([], [attribute(0x0C, b"client")]))
    yield made("nothing but an empty RDN", "", subject=named([]))
    yield made("an attribute twice", "CN=a+CN=a", subject=named([attribute(0x0C, b"a"), attribute(0x0C, b"a")]))
    backwards = [attribute(0x0C, b"b", ORGANIZATION), attribute(0x0C, b"a")]
    yield made("an RDN out of order", "CN=a+O=b", subject=named(backwards))
    yield made("critical FALSE written out", "CN=client", extensions=tlv(0xA3, tlv(0x30, *map(written_out, each))))
    in_full = tlv(0x30, tlv(0x06, b"\x55\x1d\x13"), tlv(0x04, tlv(0x30, tlv(0x01, b"\0"))))
    others = [extension for extension in each if b"\x55\x1d\x13" not in extension]
    yield made("cA FALSE written out", "CN=client", extensions=tlv(0xA3, tlv(0x30, in_full, *others)))
    yield made("ECDSA with NULL parameters", "CN=client", algorithm=with_null)
    for number in (0, 1, 3, 99, 255):
        yield made(f"version {number}", "CN=client", version=tlv(0xA0, tlv(0x02, bytes([number]))))
    yield made("no version, and extensions", "CN=client", version=b"")
    yield made("year 0", "CN=client", validity=tlv(0x30, tlv(0x18, b"00000101000000Z"), later))
    yield made("serial number below 0", "CN=client", serial=tlv(0x02, b"\x85"))
    twice = [tlv(0x30, tlv(0x06, b"\x2a\x03\x04"), tlv(0x04, b"\x05\0"))] * 2
    yield made("an extension twice", "CN=client", extensions=tlv(0xA3, tlv(0x30, *each, *twice)))
    yield made("a subject in BER", None, subject=b"\x30\x80" + client_[2:] + b"\0\0")
    yield made("a set that is none", None, subject=client_[:2] + b"\x11" + client_[3:])


def loads(der: bytes) -> bool:
    """Whether ``cryptography`` reads a certificate, all of it that an identity has."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.subject, certificate.not_valid_before_utc, certificate.extensions, certificate.serial_number
    except Exception:
        return False
    return True
