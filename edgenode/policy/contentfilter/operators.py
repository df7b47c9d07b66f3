"""The operators of rules: what a value is compared with, byte for byte as ModSecurity 3 does.

Law: an operator takes time in proportion to the value, and never fails for what a client has sent. What cannot be
compared here is an error of the configuration. Source: ModSecurity's reference manual, "Operators".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from edgenode.model.errors import InvalidValue
from edgenode.policy.contentfilter import pcre
from edgenode.policy.contentfilter.directives import Operator
from edgenode.policy.contentfilter.pcre import Groups

try:
    import libinjection
except ImportError:  # it is an extra
    libinjection = None

Compare = Callable[[bytes], Groups | None]
"""``None`` if a value does not match; else what it captures as ``TX:0`` and so on, which may be nothing."""

MOST_CAPTURED = 10
"""``TX:0`` to ``TX:9``."""

_MATCHED: Groups = ()
_NUMBER = re.compile(rb"[ \t-\r]*([+-]?[0-9]{1,18})")


def number(text: bytes) -> int:
    """The number that a text begins with, as C's ``atoll`` reads it; 0 for none."""
    found = _NUMBER.match(text)
    return 0 if found is None else int(found[1])


def _says(matches: Callable[[bytes], object]) -> Compare:
    """What captures nothing."""
    return lambda value: _MATCHED if matches(value) else None


def _rx(argument: bytes, *, negated: bool = False) -> Compare:
    if not argument:
        return lambda value: _MATCHED
    return pcre.search(argument.decode("utf-8", "surrogateescape"), negated=negated)


def phrases(argument: bytes) -> tuple[bytes, ...]:
    """The phrases of ``pm``, in which ``|41 42|`` are bytes in hexadecimal."""
    text = argument.strip()
    if len(text) > 1 and text.startswith(b'"') and text.endswith(b'"'):
        text = text[1:-1]
    return tuple(_BYTES.sub(_unhexed, text).split())


def _rx_global(argument: bytes) -> Compare:
    """The groups of all matches, one behind the other; as many as are kept."""
    search = pcre.linear(argument.decode("utf-8", "surrogateescape")) if argument else None
    if search is None:
        return _rx(argument)

    def searched(value: bytes) -> Groups | None:
        groups: list[bytes | None] = []
        for match in search.finditer(value):
            groups += (match[0], *match.groups())
            if len(groups) >= MOST_CAPTURED:
                break
        return tuple(groups) or None

    return searched


_BYTES = re.compile(rb"\|((?:[0-9A-Fa-f]{2}[ ]*)+)\|")


def _unhexed(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex(found[1].decode("ascii"))


def lines(argument: bytes) -> tuple[bytes, ...]:
    """The lines of a file of phrases without empty ones and comments."""
    return tuple(line for line in argument.split(b"\n") if line.strip() and not line.lstrip().startswith(b"#"))


def _any_of(several: tuple[bytes, ...]) -> Compare:
    if not several:
        return lambda value: None
    return pcre.search("(?i)" + "|".join("".join(f"\\x{byte:02x}" for byte in each) for each in several))


def _contains_word(argument: bytes) -> Compare:
    if not argument:
        return lambda value: _MATCHED
    return _says(re.compile(rb"(?<![A-Za-z])" + re.escape(argument) + rb"(?![A-Za-z])").search)


def _numbers(compare: Callable[[int, int], bool]) -> Callable[[bytes], Compare]:
    def made(argument: bytes) -> Compare:
        with_this = number(argument)
        return lambda value: _MATCHED if compare(number(value), with_this) else None

    return made


def _ip_match(argument: bytes) -> Compare:
    found = []
    for each in re.split(r"[,\s]+", argument.decode("ascii", "backslashreplace")):
        try:
            found += [ipaddress.ip_network(each, strict=False)] if each else []
        except ValueError:
            raise InvalidValue(f"no address and no network: {each}") from None

    def matches(value: bytes) -> bool:
        try:
            address = ipaddress.ip_address(value.decode("ascii"))
        except ValueError:
            return False
        return any(address in network for network in found)

    return _says(matches)


def byte_set(argument: bytes) -> bytes:
    """The bytes that ``validateByteRange`` lets pass.

    :raises InvalidValue: if there is no such range.
    """
    allowed = bytearray()
    for each in argument.split(b","):
        first, hyphen, last = (part.strip() for part in each.partition(b"-"))
        if not first.isdigit() or (hyphen and not last.isdigit()):
            raise InvalidValue(f"no range of bytes: {each.decode('latin-1')}")
        start, end = int(first), int(last or first)
        if not start <= end <= 255:
            raise InvalidValue(f"no range of bytes: {each.decode('latin-1')}")
        allowed += bytes(range(start, end + 1))
    return bytes(allowed)


def _validate_byte_range(argument: bytes) -> Compare:
    allowed = byte_set(argument)
    return _says(lambda value: value.translate(None, allowed))


def _valid_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _luhn(digits: bytes) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = (digit - 48) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return bool(digits) and total % 10 == 0


def _cpf(digits: bytes) -> bool:
    """Whether eleven digits are a Brazilian taxpayer's: two of them check the others."""
    if len(digits) != 11 or len(set(digits)) == 1:
        return False
    return all(
        sum((digit - 48) * (length + 1 - place) for place, digit in enumerate(digits[:length])) * 10 % 11 % 10
        == digits[length] - 48
        for length in (9, 10)
    )


def _ssn(digits: bytes) -> bool:
    """Whether nine digits can be a number of the Social Security of the United States."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if len(digits) != 9 or area in (b"000", b"666") or area >= b"740" or b"0" * len(group) == group:
        return False
    return serial != b"0000" and len(set(digits)) > 1 and digits not in b"0123456789"


def _svnr(digits: bytes) -> bool:
    """Whether ten digits are a number of the Austrian social insurance: the fourth checks the others."""
    weights = (3, 7, 9, 0, 5, 8, 4, 2, 1, 6)
    if len(digits) != len(weights):
        return False
    return sum((digit - 48) * weight for digit, weight in zip(digits, weights, strict=True)) % 11 == digits[3] - 48


_MOST_NUMBERS = 256
"""Numbers that are looked at in one value."""


def _verifying(is_one: Callable[[bytes], bool]) -> Callable[[bytes], Compare]:
    """What looks for a text that matches an expression, and whose digits are a number of some kind."""

    def made(argument: bytes) -> Compare:
        find = pcre.linear(argument.decode("utf-8", "surrogateescape"))
        if find is None:
            raise InvalidValue("it needs a regular expression that RE2 reads")

        def verified(value: bytes) -> Groups | None:
            at = 0
            for _ in range(_MOST_NUMBERS):
                found = find.search(value, at)
                if found is None:
                    return None
                if is_one(re.sub(rb"[^0-9]", b"", found[0])):
                    return (found[0],)
                at = found.start() + 1
            return _MATCHED

        return verified

    return made


_without_empty_exponents = partial(re.compile(r"(?i)(?<![0-9a-z_.])[0-9]+\.e(?=[\s(),.])").sub, "")
"""MySQL passes over ``1.e`` before a parenthesis; the libinjection of Python's package takes it for a word."""


def _asking(ask: str, found: str) -> Callable[[bytes], Compare]:
    """What libinjection says.

    :param ask: its function.
    :param found: by which name that says whether it has found anything.
    """

    def made(argument: bytes) -> Compare:
        if libinjection is None:
            raise InvalidValue("libinjection is not installed: pip install libinjection-python")
        asked = getattr(libinjection, ask)

        def compare(value: bytes) -> Groups | None:
            text = value.decode("utf-8") if value.isascii() or _valid_utf8(value) else value.decode("latin-1")
            said = asked(text)
            if not said[found] and (".e" in text or ".E" in text):
                other = _without_empty_exponents(text)
                said = asked(other) if other != text else said
            if not said[found]:
                return None
            return (said["fingerprint"].encode("ascii", "replace"),) if found == "is_sqli" else (value,)

        return compare

    return made


def _always(argument: bytes) -> Compare:
    return lambda value: _MATCHED


def _never(argument: bytes) -> Compare:
    return lambda value: None


_NOT_ENCODED = re.compile(rb"%(?![0-9A-Fa-f]{2})").search

OPERATORS: Mapping[str, Callable[[bytes], Compare]] = MappingProxyType(
    {
        "rx": _rx,
        "rxglobal": _rx_global,
        "pm": lambda argument: _any_of(phrases(argument)),
        "pmfromfile": lambda argument: _any_of(lines(argument)),
        "pmf": lambda argument: _any_of(lines(argument)),
        "streq": lambda argument: _says(lambda value: value == argument),
        "strmatch": lambda argument: _says(lambda value: argument in value),
        "contains": lambda argument: _says(lambda value: argument in value),
        "containsword": _contains_word,
        "beginswith": lambda argument: _says(lambda value: value.startswith(argument)),
        "endswith": lambda argument: _says(lambda value: value.endswith(argument)),
        "within": lambda argument: _says(lambda value: value in argument),
        "eq": _numbers(lambda value, other: value == other),
        "ge": _numbers(lambda value, other: value >= other),
        "gt": _numbers(lambda value, other: value > other),
        "le": _numbers(lambda value, other: value <= other),
        "lt": _numbers(lambda value, other: value < other),
        "ipmatch": _ip_match,
        "ipmatchfromfile": lambda argument: _ip_match(b" ".join(lines(argument))),
        "ipmatchf": lambda argument: _ip_match(b" ".join(lines(argument))),
        "detectsqli": _asking("is_sql_injection", "is_sqli"),
        "detectxss": _asking("is_xss", "is_xss"),
        "validatebyterange": _validate_byte_range,
        "validateurlencoding": lambda argument: _says(_NOT_ENCODED),
        "validateutf8encoding": lambda argument: _says(lambda value: not (value.isascii() or _valid_utf8(value))),
        "verifycc": _verifying(_luhn),
        "verifycpf": _verifying(_cpf),
        "verifyssn": _verifying(_ssn),
        "verifysvnr": _verifying(_svnr),
        "unconditionalmatch": _always,
        "nomatch": _never,
    }
)
"""What makes each operator of its argument, by its name in lower case; each raises
:class:`~edgenode.model.errors.InvalidValue` if it cannot use that."""

_NEGATED = MappingProxyType({"rx": partial(_rx, negated=True), "rxglobal": partial(_rx, negated=True)})
"""Those that are made otherwise for ``!``."""


def operator_of(operator: Operator) -> Callable[[bytes], Compare] | None:
    """What makes an operator of its argument, as it is negated or not; ``None`` if there is none of that name."""
    return (operator.negated and _NEGATED.get(operator.name)) or OPERATORS.get(operator.name)
