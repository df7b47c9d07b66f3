"""What a peer's chain may cost: the bytes of its certificates, how many elements they have, and how often its names are
compared with constraints.

The law: whoever has proved nothing yet costs next to nothing. OpenSSL compares every name with every name constraint
(RFC 5280, section 4.2.1.10) above it, up to a million times for each pair of certificates, which takes a quarter of a
second; and it does so after an error too, if a callback lets it go on. So the products are counted before it does. And
what rules, lists and events want to know of a certificate takes up to four microseconds for each element, of which one
byte in two can be: so those are counted before it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from edgenode.tls import der_offsets
from edgenode.tls.der import OCTET_STRING, count, elements, extension_values, fields, only

LARGEST_CHAIN = 32 * 1024
"""Bytes of the certificates that a client sends, unless its server group says otherwise."""

LARGEST_OF_OPENSSL = 100 * 1024
"""Bytes of them that OpenSSL reads; pyOpenSSL has no word for its ``SSL_CTX_set_max_cert_list``."""

MOST_COMPARISONS = 1 << 14
"""Of names with constraints in one chain: two milliseconds."""

MOST_IN_VAIN = 1 << 10
"""The same if the chain is refused anyway."""

MOST_ELEMENTS = 1 << 11
"""Of DER in one certificate: five milliseconds. 500 alternative names are 500 of them, and 100 parts of a name too."""

COSTLY = "its names and the name constraints of its issuers are too many to compare"


CROWDED = f"a certificate of its chain has more than {MOST_ELEMENTS} elements"


def too_large(size: int, largest: int) -> str:
    """The sentence on a chain with too many bytes."""
    return f"its chain has {size} bytes, and may have {largest}"


def is_crowded(certificate: bytes) -> bool:
    """Whether a certificate, DER, has more elements than anybody needs; those within its extensions count too."""
    if len(certificate) <= 2 * MOST_ELEMENTS:  # the shortest element has two bytes
        return False
    left, inside = MOST_ELEMENTS, [(0, len(certificate), False)]
    while inside:
        start, end, extension = inside.pop()
        with suppress(ValueError):  # what is malformed is read by nobody else either
            for at, content, following in der_offsets.elements(certificate, start, end):
                left -= 1
                if left < 0:
                    return True
                opaque = certificate[at] == OCTET_STRING
                if certificate[at] & _CONSTRUCTED or (opaque and not extension):
                    inside.append((content, following, extension or opaque))
    return False


_CONSTRUCTED = 0x20

_NAME_CONSTRAINTS = b"\x55\x1d\x1e"
_ALTERNATIVE_NAMES = b"\x55\x1d\x11"


def is_costly(chain: Sequence[bytes], most: int = MOST_COMPARISONS) -> bool:
    """Whether a chain's names take more comparisons with the constraints above them than a number of them.

    :param chain: DER, the leaf first. If it has constraints and cannot be counted, the answer is yes.
    """
    # The identifier may stand in another encoding than DER, or as something else: only without its bytes is there none.
    if not any(_NAME_CONSTRAINTS in issuer for issuer in chain[1:]):
        return False
    try:
        return _comparisons(chain, most) > most
    except (ValueError, IndexError):
        return True


def _comparisons(chain: Sequence[bytes], most: int) -> int:
    """How many comparisons a chain takes, counted no further than to more than a number of them."""
    total = names = 0
    for der in chain:
        certificate = fields(der)
        constraints = 0
        for value in extension_values(certificate, _NAME_CONSTRAINTS):
            constraints += sum(count(subtrees.content, most) for subtrees in elements(only(value)))
        total += names * constraints
        if total > most:
            break
        names += sum(count(part.content, most) for part in elements(only(certificate.subject)))
        names += sum(count(only(value), most) for value in extension_values(certificate, _ALTERNATIVE_NAMES))
    return total
