"""Distinguished names (X.501) as text, as nginx and OpenSSL write them.

The law: a name breaks no line and no field of a log, a header or a rule, whatever it contains.
"""

from __future__ import annotations

from cryptography import x509
from OpenSSL._util import ffi, lib

from edgenode.tls.der import SET, Element, elements, only

NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "street",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.13": "description",
    "2.5.4.15": "businessCategory",
    "2.5.4.16": "postalAddress",
    "2.5.4.17": "postalCode",
    "2.5.4.20": "telephoneNumber",
    "2.5.4.41": "name",
    "2.5.4.42": "GN",
    "2.5.4.43": "initials",
    "2.5.4.44": "generationQualifier",
    "2.5.4.45": "x500UniqueIdentifier",
    "2.5.4.46": "dnQualifier",
    "2.5.4.65": "pseudonym",
    "2.5.4.97": "organizationIdentifier",
    "1.2.840.113549.1.9.1": "emailAddress",
    "1.2.840.113549.1.9.2": "unstructuredName",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.3.6.1.4.1.311.60.2.1.1": "jurisdictionL",
    "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionST",
    "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionC",
}
"""OpenSSL's short names of attributes; any other type is written as its dotted number."""


_ESCAPES = {ord(each): f"\\{each}" for each in ',+"\\<>;'} | {each: f"\\{each:02X}" for each in (*range(32), 127)}


def distinguished_name(name: x509.Name) -> str:
    r"""A distinguished name as nginx writes it: RFC 4514's order and escapes (``CN=x,O=Acc\, ess``), UTF-8 left alone.

    Control characters are escaped as well (``\0A``): a name cannot break a line of a log.
    """
    return name_text(name.public_bytes())


def name_text(name: bytes) -> str:
    """The same from a Name (RFC 5280, section 4.1.2.4), DER, also if it is one that only OpenSSL reads.

    Such are: text with characters that its type does not have, parts without an attribute, in another order than DER's
    or with an attribute twice.

    :raises ValueError: if it is none.
    """
    parts = [list(map(_pair, elements(only(part.der, SET)))) for part in elements(only(name))]
    return ",".join("+".join(map(_read_attribute, reversed(part))) for part in reversed(parts) if part)


def _pair(attribute: Element) -> tuple[Element, Element]:
    kind, value = elements(only(attribute.der))
    return kind, value


def _read_attribute(attribute: tuple[Element, Element]) -> str:
    kind, value = attribute
    dotted = _dotted(kind.content)
    encoding = _ENCODINGS.get(value.tag)
    text = f"#{value.der.hex().upper()}" if encoding is None else escaped(value.content.decode(encoding))
    return f"{NAMES.get(dotted, dotted)}={text}"


def _dotted(identifier: bytes) -> str:
    """An OBJECT IDENTIFIER from its content (X.690, section 8.19)."""
    if not 0 < len(identifier) <= _LONGEST_IDENTIFIER or identifier[-1] & 0x80:
        raise ValueError("an identifier is empty, too long or without an end")
    numbers, number = [], 0
    for each in identifier:
        number = number << 7 | each & 0x7F
        if each < 0x80:
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


_LONGEST_IDENTIFIER = 63


_ENCODINGS = {
    0x0C: "utf-8",  # UTF8String
    0x12: "latin-1",  # NumericString
    0x13: "latin-1",  # PrintableString
    0x14: "latin-1",  # T61String
    0x16: "latin-1",  # IA5String
    0x1A: "latin-1",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}
"""How OpenSSL reads the text of an attribute, by its tag. What is not here, it writes in hexadecimal."""


def escaped(value: str) -> str:
    """The text of one attribute as it stands in a distinguished name."""
    text = value.translate(_ESCAPES)
    if value.startswith((" ", "#")):
        text = f"\\{text}"
    return f"{text[:-1]}\\ " if len(value) > 1 and value.endswith(" ") else text


def legacy_name(name: bytes) -> str:
    r"""A name as ``X509_NAME_oneline`` writes it, which is nginx's legacy form: ``/C=US/O=Example/CN=x``.

    A byte that is not printable ASCII is written ``\xC3``, and a slash within a value ``\/``.

    :param name: the Name (RFC 5280, section 4.1.2.4), DER.
    :raises ValueError: if OpenSSL cannot read it.
    """
    buffer = ffi.from_buffer("unsigned char[]", name)
    parsed = lib.d2i_X509_NAME(ffi.NULL, ffi.new("unsigned char **", buffer), len(name))
    if parsed == ffi.NULL:
        raise ValueError("OpenSSL cannot read a name")
    try:
        line = lib.X509_NAME_oneline(parsed, ffi.NULL, 0)
    finally:
        lib.X509_NAME_free(parsed)
    if line == ffi.NULL:
        raise MemoryError
    try:
        text: bytes = ffi.string(line)
    finally:
        lib.OPENSSL_free(line)
    return text.decode("ascii", "backslashreplace")
