"""The entries of a revocation list (RFC 5280, section 5.1.2.6), asked by issuer and serial number in microseconds.

The law: an entry is either understood or the whole list is not used. A list of a million entries takes little more
memory than its file: the entries stay what they are in it, and a hash table of offsets finds them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Self

from attrs import frozen

from edgenode.tls.der import BOOLEAN, INTEGER, OCTET_STRING, SEQUENCE, UTC_TIME
from edgenode.tls.der_offsets import ENUMERATED, GENERALIZED_TIME, OBJECT_IDENTIFIER, extent, integer, oid, within
from edgenode.tls.name_keys import NameKey, name_key

_REASON, _CERTIFICATE_ISSUER = "2.5.29.21", "2.5.29.29"
_DIRECTORY_NAME = 0xA4
_REMOVE_FROM_CRL = 8
_REMEMBERED = 1024
"""Extensions of entries that are remembered while a list is read: most entries have one of a few reasons."""


@frozen
class _Extensions:
    """What the extensions of an entry say.

    :ivar released: whether it takes a revocation back, as delta lists may.
    :ivar issuers: whose certificate it is; ``None`` if that is not said.
    :ivar strange: a critical extension that nobody here understands; empty if there is none.
    """

    released: bool
    issuers: frozenset[NameKey] | None
    strange: str


@frozen(eq=False)
class RevokedSerials:
    """What one list revokes.

    :ivar owners: by issuer the numbers of those, one or several, that entries name together; 0 is the list's own.
    :ivar strange: the dotted number of a critical extension that is not understood; empty if there is none.
    """

    strange: str
    owners: Mapping[NameKey, Sequence[int]]
    _der: bytes
    _slots: array[int]
    _numbers: array[int]
    _released: Set[int]
    _count: int

    def __len__(self) -> int:
        return self._count

    @property
    def names_issuers(self) -> bool:
        """Whether any entry says whose certificate it is, as in indirect lists (RFC 5280, section 5.3.3)."""
        return bool(self._numbers)

    @classmethod
    def read(cls, der: bytes, start: int, end: int, issuer: NameKey, *, extensible: bool) -> Self:
        """Those between two offsets of a list, DER.

        :param issuer: of the list.
        :param extensible: whether entries may have extensions, as those of version 2.
        :raises ValueError: if any entry is malformed.
        """
        together: dict[frozenset[NameKey], int] = {frozenset((issuer,)): 0}
        serials, changes, released, strange = array("I"), list[tuple[int, int]](), set[int](), ""
        try:
            for at, extensions in _entries(der, start, end):
                if extensions is not None:
                    if not extensible:
                        raise ValueError("a list of version 1 has extensions")
                    # An entry that names no issuer has that of the entry before (RFC 5280, section 5.3.3).
                    if extensions.issuers is not None:
                        changes.append((len(serials), together.setdefault(extensions.issuers, len(together))))
                    if extensions.released:
                        released.add(at)
                    strange = strange or extensions.strange
                serials.append(at)
        except IndexError as error:
            raise ValueError("an entry is cut short") from error
        owners: dict[NameKey, list[int]] = {}
        for names, number in together.items():
            for name in names:
                owners.setdefault(name, []).append(number)
        return cls(strange, owners, der, *_table(der, serials, changes, released), released, len(serials))

    def find(self, issuer: NameKey, serial: int, *, foreign: bool = False) -> bool | None:
        """Whether a certificate is revoked, or released (``False``); ``None`` if nothing is said of it.

        :param issuer: of the certificate.
        :param foreign: leave aside what the list says of its own issuer's certificates.
        """
        key, found = integer(serial), None
        for number in self.owners.get(issuer, ()):
            if not (foreign and number == 0):
                at = self._slots[_slot(self._der, self._slots, self._numbers, key, number)]
                if at:
                    found = found or at not in self._released
        return found


def _table(
    der: bytes, serials: array[int], changes: Sequence[tuple[int, int]], released: Set[int]
) -> tuple[array[int], array[int]]:
    """The hash table: the offsets of serial numbers; and if there is more than one, the numbers of their owners."""
    size = 1 << (len(serials) * 3 // 2).bit_length()
    slots = array("I", [0]) * size
    numbers = array("I", [0]) * (size if changes else 0)
    number, following = 0, 0
    for index, at in enumerate(serials):
        while following < len(changes) and changes[following][0] <= index:
            number = changes[following][1]
            following += 1
        slot = _slot(der, slots, numbers, der[at : at + 2 + der[at + 1]], number)
        # Of two entries for one certificate the one that revokes it counts.
        if not slots[slot] or slots[slot] in released:
            slots[slot] = at
            if changes:
                numbers[slot] = number
    return slots, numbers


def _slot(der: bytes, slots: array[int], numbers: array[int], key: bytes, number: int) -> int:
    """Where a serial number of an owner stands, or would: a slot with 0."""
    mask, size = len(slots) - 1, len(key)
    # Salted by the interpreter: nobody who asks for certificates can choose serial numbers that collide.
    slot = hash((key, number) if number else key) & mask
    while (at := slots[slot]) and not (der[at : at + size] == key and (not numbers or numbers[slot] == number)):
        slot = (slot + 1) & mask
    return slot


def _entries(der: bytes, start: int, end: int) -> Iterator[tuple[int, _Extensions | None]]:
    """Where the serial number of each entry begins, and what its extensions say; ``None`` without any."""
    remembered: dict[bytes, _Extensions] = {}
    at = start
    while at < end:
        serial, following = at + 2, at + 2 + der[at + 1]
        if der[at + 1] > 0x7F or following > end:
            serial, following = extent(der, at, end)
        size = der[serial + 1]
        date = serial + 2 + size
        after = date + 2 + der[date + 1]
        if (
            der[at] != SEQUENCE
            or der[serial] != INTEGER
            or not 0 < size < 0x80
            or after > following
            or not _is_time(der[date:after])
            # The shortest form alone is DER, and alone is found.
            or (size > 1 and der[serial + 2] in _FILLING and der[serial + 2] ^ der[serial + 3] < 0x80)
        ):
            raise ValueError("an entry is malformed")
        extensions = None
        if after < following:
            text = der[after:following]
            extensions = remembered.get(text)
            if extensions is None:
                extensions = _read_extensions(text)
                if len(remembered) < _REMEMBERED:
                    remembered[text] = extensions
        yield serial, extensions
        at = following


_FILLING = b"\0\xff"


def _is_time(der: bytes) -> bool:
    tag = (UTC_TIME, 13) if len(der) == 15 else (GENERALIZED_TIME, 15)
    return (der[0], der[1]) == tag and der[2:-1].isdigit() and der[-1] == 0x5A


def _read_extensions(der: bytes) -> _Extensions:
    released, issuers, strange, seen = False, None, "", set[str]()
    extensions = within(der, 0, len(der))
    if extent(der, 0, len(der))[1] != len(der):
        raise ValueError("something follows the extensions of an entry")
    for at, _, end in extensions:
        kind, *critical, value = within(der, at, end)
        name = oid(der[kind[1] : kind[2]])
        tags = [der[each[0]] for each in (kind, *critical, value)]
        if tags not in ([OBJECT_IDENTIFIER, OCTET_STRING], [OBJECT_IDENTIFIER, BOOLEAN, OCTET_STRING]) or name in seen:
            raise ValueError("the extensions of an entry are malformed")
        seen.add(name)
        if name == _REASON:
            reason, end = extent(der, value[1], value[2])
            if der[value[1]] != ENUMERATED or end - reason != 1:
                raise ValueError("the reason of an entry is malformed")
            released = der[reason] == _REMOVE_FROM_CRL
        if name == _CERTIFICATE_ISSUER:
            names = (each for each in within(der, value[1], value[2]) if der[each[0]] == _DIRECTORY_NAME)
            issuers = frozenset(name_key(der[each[1] : each[2]]) for each in names)
        elif critical and any(der[critical[0][1] : critical[0][2]]):
            strange = name
    return _Extensions(released, issuers, strange)
