"""How the values of entries are written, by what they are looked for with.

Law: a value has one meaning, in the form in which the field has it; one that could never match is an error.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.rules.countries import country_code
from edgenode.rules.formulas import Sought
from edgenode.rules.language.dialect import checked
from edgenode.rules.lists import autonomous_system
from edgenode.rules.networks import network_range
from edgenode.rules.tags import check_tag
from edgenode.rules.views.certificates import USAGES

_LOWEST, _HIGHEST = -(1 << 63), (1 << 63) - 1
_INTEGER = r"-?[0-9]{1,18}"
_RANGE = re.compile(rf"({_INTEGER})?(\.\.)?({_INTEGER})?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_SERIAL = re.compile(r"(?:0[xX])?((?:[0-9A-Fa-f]:?){1,128})", re.ASCII)
_DOTTED = re.compile(r"[0-2](?:\.[0-9]{1,39}){1,63}", re.ASCII)
_KEY_TYPES = ("RSA", "ECDSA", "Ed25519", "Ed448", "DSA")


@frozen
class Notation:
    """How a value is written, and how it is looked for.

    :ivar match: the match of its predicate: see :class:`edgenode.rules.formulas.Predicate`.
    :ivar title: for the reference.
    :ivar read: from the text to what the predicate seeks.
        Raises :class:`~edgenode.model.errors.InvalidValue`, with a column where that is known.
    """

    match: str
    title: str
    read: Callable[[str], Sought]


def _tag(text: str) -> str:
    check_tag(text)
    return text


def _asn(text: str) -> tuple[int, int]:
    number = autonomous_system(text)
    return number, number


def _name(text: str) -> bytes:
    if not _NAME.fullmatch(text):
        raise InvalidValue("expected the name of a section: ASCII letters, digits, '.', '_' and '-'", 0)
    return text.encode("ascii")


def _number(text: str) -> tuple[int, int]:
    match = _RANGE.fullmatch(text)
    if match is None or not (match[1] or match[3]) or not (match[2] or not match[3]):
        raise InvalidValue("expected a whole number, or a range such as 1..9, 3072.. or ..30", 0)
    low = int(match[1]) if match[1] else _LOWEST
    high = int(match[3]) if match[3] else low if not match[2] else _HIGHEST
    if low > high:
        raise InvalidValue("a range goes from the lower number to the higher", 0)
    return low, high


def _yes(text: str) -> None:
    if text != "yes":
        raise InvalidValue("expected yes, or !yes where it shall not be", 0)


def _named(names: Iterable[str], expected: str) -> Callable[[str], bytes]:
    by_name = {name.lower(): name for name in names}

    def read(text: str) -> bytes:
        found = text if _DOTTED.fullmatch(text) else by_name.get(text.lower())
        if found is None:
            near = difflib.get_close_matches(text.lower(), by_name, 1)
            guess = f"; did you mean {by_name[near[0]]}?" if near else ""
            raise InvalidValue(f"expected {expected}{guess}", 0)
        return found.encode("ascii")

    return read


def _hexadecimal(bits: int | None, write: Callable[[str], str]) -> Callable[[str], bytes]:
    size = "whole bytes" if bits is None else f"{bits // 4} digits"

    def read(text: str) -> bytes:
        digits = text.replace(":", "")
        wrong = len(digits) % 2 if bits is None else len(digits) != bits // 4
        if not re.fullmatch(r"[0-9A-Fa-f]+", digits) or wrong:
            raise InvalidValue(f"expected {size} in hexadecimal, with colons or without", 0)
        return write(digits).encode("ascii")

    return read


def _serial(text: str) -> bytes:
    match = _SERIAL.fullmatch(text)
    if match is None:
        raise InvalidValue("expected a serial number in hexadecimal, with colons or without", 0)
    digits = match[1].replace(":", "").lstrip("0").upper() or "0"
    return digits.zfill(len(digits) + len(digits) % 2).encode("ascii")


REGEX = Notation("regex", "regex", checked)
ADDRESS = Notation("network", "address or network", network_range)
TAG = Notation("equal", "exact", _tag)
NAME = Notation("equal", "exact", _name)
ASN = Notation("range", "exact: ``64500`` or ``AS64500``", _asn)
COUNTRY = Notation("equal", "exact: ISO code or name", lambda text: country_code(text).encode("ascii"))
NUMBER = Notation("range", "number or range: ``1..9``", _number)
YES = Notation("true", "``yes``", _yes)
USAGE = Notation(
    "equal",
    "exact: name or dotted number",
    _named(USAGES.values(), "a dotted number or a well-known name, such as clientAuth"),
)
KEY_TYPE = Notation("equal", "exact", _named(_KEY_TYPES, f"{', '.join(_KEY_TYPES)}, or a dotted number"))
SERIAL = Notation("equal", "exact, hexadecimal", _serial)
SHA1 = Notation("equal", "exact, hexadecimal", _hexadecimal(160, str.lower))
SHA256 = Notation("equal", "exact, hexadecimal", _hexadecimal(256, str.lower))
IDENTIFIER = Notation("equal", "exact, hexadecimal", _hexadecimal(None, str.upper))
