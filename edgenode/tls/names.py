"""Distinguished names (X.501) as text, as nginx and OpenSSL write them.

The law: a name breaks no line and no field of a log, a header or a rule, whatever it contains.
"""

from __future__ import annotations

from cryptography import x509
from OpenSSL._util import ffi, lib

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
    return ",".join("+".join(map(_attribute, reversed(list(rdn)))) for rdn in reversed(name.rdns))


def _attribute(attribute: x509.NameAttribute[str | bytes]) -> str:
    dotted, value = attribute.oid.dotted_string, attribute.value
    text = f"#{_bit_string(value).hex().upper()}" if isinstance(value, bytes) else escaped(value)
    return f"{NAMES.get(dotted, dotted)}={text}"


def _bit_string(content: bytes) -> bytes:
    """The DER of a BIT STRING, the only type of a name that has no text: RFC 4514, section 2.4."""
    length = len(content)
    if length < 128:
        return bytes((3, length)) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((3, 0x80 | len(size))) + size + content


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
