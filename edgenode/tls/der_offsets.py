"""DER (X.690) by offsets into what holds it: nothing is copied of a revocation list that is as large as a file may be.

The law: what is not DER is a :class:`ValueError`, whatever it is; nothing is read past the end of what holds it.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.tls.der import INTEGER, SEQUENCE

BIT_STRING, OBJECT_IDENTIFIER, ENUMERATED, GENERALIZED_TIME = 0x03, 0x06, 0x0A, 0x18

_NO_DER = "it is no valid DER"


def extent(der: bytes, at: int, end: int) -> tuple[int, int]:
    """Where the content of the element at an offset begins and ends.

    :param end: of what holds the element.
    :raises ValueError: if its length is not DER, or more than there is.
    """
    if at + 2 > end or der[at] & 0x1F == 0x1F:
        raise ValueError(_NO_DER)
    length, content = der[at + 1], at + 2
    if length > 0x7F:
        content += length & 0x7F
        length = int.from_bytes(der[at + 2 : content], "big")
        if not 2 < content - at <= 6 or content > end or length < 0x80 or der[at + 2] == 0:
            raise ValueError(_NO_DER)
    if content + length > end:
        raise ValueError(_NO_DER)
    return content, content + length


def elements(der: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The elements between two offsets: where each begins, where its content does, and where it ends.

    :raises ValueError: as :func:`extent`.
    """
    while start < end:
        content, following = extent(der, start, end)
        yield start, content, following
        start = following


def within(der: bytes, at: int, end: int, tag: int = SEQUENCE) -> list[tuple[int, int, int]]:
    """The elements of the one at an offset, as :func:`elements`.

    :raises ValueError: if it has another tag, or is not DER.
    """
    content, following = extent(der, at, end)
    if der[at] != tag:
        raise ValueError(_NO_DER)
    return list(elements(der, content, following))


def integer(number: int) -> bytes:
    """An INTEGER, with its tag and length, of fewer than 128 bytes."""
    size = (number + (number < 0)).bit_length() // 8 + 1
    return bytes((INTEGER, size)) + number.to_bytes(size, "big", signed=True)


def oid(content: bytes) -> str:
    """The dotted number of an OBJECT IDENTIFIER.

    :raises ValueError: if it is cut short.
    """
    arcs, arc = list[int](), 0
    for byte in content:
        arc = arc << 7 | byte & 0x7F
        if byte < 0x80:
            arcs.append(arc)
            arc = 0
    if not content or content[-1] > 0x7F:
        raise ValueError("an object identifier is cut short")
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))
