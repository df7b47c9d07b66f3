"""DER (X.690), as far as certificates are read here byte by byte: the elements of a structure, and structures of them.

The law: nothing is guessed. What has no definite length within the structure around it is a :class:`ValueError`, for
OpenSSL reads BER too, and whoever counts or compares must not see less than it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

BOOLEAN, INTEGER, OCTET_STRING, UTC_TIME, SEQUENCE, SET = 0x01, 0x02, 0x04, 0x17, 0x30, 0x31


class Element(NamedTuple):
    """An element.

    :ivar tag: its identifier, one byte.
    :ivar content: what it holds.
    :ivar der: all of it, with tag and length.
    """

    tag: int
    content: bytes
    der: bytes


def _extents(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Where each element begins, where its content does, and where both end."""
    at, end = 0, len(content)
    while at < end:
        length, start = (content[at + 1] if at + 1 < end else _INDEFINITE), at + 2
        if length & 0x80:
            size = length & 0x7F
            if not 0 < size <= 4:
                raise ValueError("an element has no definite length")
            length, start = int.from_bytes(content[start : start + size], "big"), start + size
        if start + length > end or content[at] & 0x1F == 0x1F:
            raise ValueError("an element does not end in the structure that holds it")
        yield at, start, start + length
        at = start + length


_INDEFINITE = 0x80


def elements(content: bytes) -> list[Element]:
    """The elements that stand one behind the other in the content of a structure, or in a file.

    :raises ValueError: if one has no definite length, ends elsewhere, or has a tag of several bytes.
    """
    return [Element(content[at], content[start:end], content[at:end]) for at, start, end in _extents(content)]


def count(content: bytes, most: int) -> int:
    """How many elements there are; one more than ``most`` if there are still more.

    :raises ValueError: as :func:`elements`.
    """
    return sum(1 for _ in islice(_extents(content), most + 1))


def only(der: bytes, tag: int = SEQUENCE) -> bytes:
    """The content of the one element that some bytes are.

    :raises ValueError: if they are something else.
    """
    found = elements(der)
    if len(found) != 1 or found[0].tag != tag:
        raise ValueError(f"expected one element with the tag {tag}")
    return found[0].content


def element(tag: int, *parts: bytes) -> bytes:
    """An element of parts, with its tag and its length."""
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + content


class Fields(NamedTuple):
    """The parts of a certificate (RFC 5280, section 4.1), each with its own tag and length.

    :ivar serial: the serial number.
    :ivar signature: the algorithm of the signature, as it stands among what is signed.
    :ivar issuer: the issuer's name.
    :ivar validity: both dates.
    :ivar subject: the subject's name.
    :ivar key: the SubjectPublicKeyInfo.
    :ivar extensions: each extension; none if there are none.
    :ivar algorithm: the algorithm of the signature once more, outside of what is signed.
    :ivar value: the signature.
    """

    serial: bytes
    signature: bytes
    issuer: bytes
    validity: bytes
    subject: bytes
    key: bytes
    extensions: tuple[bytes, ...]
    algorithm: bytes
    value: bytes


def fields(certificate: bytes) -> Fields:
    """The parts of a certificate, DER.

    :raises ValueError: if it is none.
    """
    signed, algorithm, value = elements(only(certificate))
    parts = elements(only(signed.der))
    if parts and parts[0].tag == _VERSION:
        del parts[0]
    serial, signature, issuer, validity, subject, key = (part.der for part in parts[:6])
    found = [each.der for part in parts[6:] if part.tag == _EXTENSIONS for each in elements(only(part.content))]
    return Fields(serial, signature, issuer, validity, subject, key, tuple(found), algorithm.der, value.der)


_VERSION, _EXTENSIONS = 0xA0, 0xA3


def extension_values(certificate: Fields, identifier: bytes) -> list[bytes]:
    """The values of the extensions of one kind: one, none, or in an odd certificate several.

    :param identifier: the content of the OBJECT IDENTIFIER.
    :raises ValueError: if an extension is none.
    """
    parts = (elements(only(each)) for each in certificate.extensions)
    return [only(each[-1].der, OCTET_STRING) for each in parts if each and each[0].content == identifier]
