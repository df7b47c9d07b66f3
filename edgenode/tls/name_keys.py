"""Distinguished names for comparing, as RFC 5280, section 7.1, says.

The law: two names that OpenSSL takes for the same are the same here; of others only those that differ in nothing but
the case of letters.
"""

from __future__ import annotations

from edgenode.tls.der import elements, only

NameKey = tuple[tuple[tuple[bytes, object], ...], ...]
"""A distinguished name: see :func:`name_key`."""

_TEXT = {
    0x0C: "utf-8",
    0x12: "ascii",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1A: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
"""The encodings of the string types in names; ``TeletexString`` is Latin-1 to whoever writes it, OpenSSL among them."""


def name_key(der: bytes) -> NameKey:
    """A Name (RFC 5280, section 4.1.2.4), DER, as a key that is equal for names that are (section 7.1).

    Of text neither the type counts, nor case, nor white space at the ends, nor how much of it within.

    :raises ValueError: if it is none.
    """
    return tuple(_attributes(part.content) for part in elements(only(der)))


def relative_key(der: bytes) -> tuple[tuple[bytes, object], ...]:
    """A RelativeDistinguishedName, DER, likewise."""
    (part,) = elements(der)
    return _attributes(part.content)


def _attributes(content: bytes) -> tuple[tuple[bytes, object], ...]:
    found = []
    for attribute in elements(content):
        kind, value = elements(only(attribute.der))
        found.append((kind.content, _comparable(value.tag, value.content)))
    return tuple(sorted(found, key=repr))


def _comparable(tag: int, content: bytes) -> object:
    try:
        return " ".join(content.decode(_TEXT[tag]).split()).casefold()
    except (KeyError, UnicodeDecodeError):
        return tag, content
