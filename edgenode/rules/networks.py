"""Networks and addresses, as rules compare them.

Law: an IPv4-mapped IPv6 address is the IPv4 address it maps, in rules and in what is judged, so neither spelling
passes a rule on the other.
"""

from __future__ import annotations

import heapq
import ipaddress
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import UNKNOWN_CLIENT

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class Range(NamedTuple):
    """All addresses of a family from one to another: a network is one, an address too.

    :ivar version: 4 or 6.
    :ivar first: the number of the lowest address.
    :ivar last: the number of the highest, itself included.
    """

    version: int
    first: int
    last: int


class Networks:
    """Many ranges of addresses in little memory: for each family the sorted, disjoint, merged first and last numbers.
    But single addresses of IPv6 are a set, for so they are found in a quarter of the time.

    :param lines: an address, a network or a range each.
    :raises InvalidValue: if one is none of them; the sentence begins with the number of its line, from 1.
    """

    def __init__(self, lines: Iterable[str] = ()) -> None:
        v4, v6 = _read(lines)
        lows, highs = _merged(v4, 32)
        self._narrow = array("I", lows), array("I", highs)
        self._shift = 32 - max(0, len(lows).bit_length() - _FEW)
        beginnings = ((top << self._shift) for top in range((1 << 32 - self._shift) + 1))
        self._places = array("I", [bisect_left(lows, each) for each in beginnings])
        lows, highs = _merged(v6, 128)
        hosts = [low for low, high in zip(lows, highs, strict=True) if low == high]
        self._hosts = set[int]()
        for start in range(0, len(hosts), _PIECE):
            self._hosts.update(hosts[start : start + _PIECE])
        wide = [each for each in zip(lows, highs, strict=True) if each[0] != each[1]] if hosts else ()
        self._wide = _Wide([low for low, _ in wide], [high for _, high in wide]) if hosts else _Wide(lows, highs)

    def __contains__(self, address: tuple[int, int]) -> bool:
        """Whether an address, as its version and number, is in any of the ranges."""
        version, number = address
        if version == 4:
            (lows, highs), places, top = self._narrow, self._places, number >> self._shift
            at = bisect_right(lows, number, places[top], places[top + 1]) - 1
            return at >= 0 and number <= highs[at]
        return number in self._hosts or number in self._wide

    def __len__(self) -> int:
        """How many ranges are left once those that touch have been merged."""
        return len(self._narrow[0]) + len(self._hosts) + len(self._wide)

    def ranges(self) -> Iterator[Range]:
        """All of them, those of IPv4 first, in order."""
        yield from (Range(4, low, high) for low, high in zip(*self._narrow, strict=True))
        hosts = ((number, number) for number in _in_order([*self._hosts]))
        yield from (Range(6, low, high) for low, high in heapq.merge(self._wide, hosts))

    def overlaps(self, other: Range) -> bool:
        """Whether an address of a range is in any of these."""
        version, first, last = other
        return any(version == each.version and first <= each.last and each.first <= last for each in self.ranges())

    def whole(self, version: int) -> bool:
        """Whether every address of a family is in it."""
        bits = {4: 32, 6: 128}[version]
        ranges = zip(*self._narrow, strict=True) if version == 4 else iter(self._wide)
        return next(ranges, None) == (0, (1 << bits) - 1)


_FEW = 3
"""Of IPv4, where the addresses with the same first bits begin is known, for so many bits that two to the power of this
many ranges begin with the same, on the average."""

_STEP = 64
"""Of so many numbers one is kept as Python's own, for an array makes one anew whenever it is asked."""


class _Wide:
    """Sorted, disjoint ranges of numbers of 128 bits, in little more than 32 bytes each."""

    def __init__(self, lows: Sequence[int], highs: Sequence[int]) -> None:
        self._lows = _halves(lows)
        self._highs = _halves(highs)
        self._samples = lows[::_STEP]

    def __contains__(self, number: int) -> bool:
        block = bisect_right(self._samples, number) * _STEP
        if not block:
            return False
        (uppers, lowers), start, upper, lower = self._lows, block - _STEP, number >> 64, number & _LOWER
        at = bisect_right(uppers, upper, start, min(block, len(uppers))) - 1
        if uppers[at] == upper and lowers[at] > lower:  # several share their upper half
            at = bisect_right(lowers, lower, bisect_left(uppers, upper, start, at), at) - 1
        uppers, lowers = self._highs
        last = uppers[at]
        return last > upper or (last == upper and lowers[at] >= lower)

    def __len__(self) -> int:
        return len(self._lows[0])

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(_whole(self._lows), _whole(self._highs), strict=True)


_Halves = tuple["array[int]", "array[int]"]


def _halves(numbers: Sequence[int]) -> _Halves:
    return array("Q", [number >> 64 for number in numbers]), array("Q", [number & _LOWER for number in numbers])


def _whole(halves: _Halves) -> Iterator[int]:
    return (upper << 64 | lower for upper, lower in zip(*halves, strict=True))


_LOWER = (1 << 64) - 1
_OCTETS = {str(octet): octet for octet in range(256)}
_HOSTS_4 = {str(length): (1 << (32 - length)) - 1 for length in range(33)}
_HOSTS_6 = {str(length): (1 << (128 - length)) - 1 for length in range(129)}
_GROUPS = re.compile(r"(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4})*)?", re.ASCII)
_MAPPED_FROM, _MAPPED_TO = 0xFFFF << 32, (0xFFFF << 32) + (1 << 32) - 1


def _read(lines: Iterable[str]) -> tuple[list[int], list[int]]:
    """The ranges of each family, as the first address and behind it the last in one number, so that they sort fast.

    What is written as it usually is takes a short way; everything else is for :func:`network` to judge.
    """
    v4: list[int] = []
    v6: list[int] = []
    for place, line in enumerate(lines, 1):
        text, slash, length = line.partition("/")
        try:
            if ":" not in text:
                a, b, c, d = text.split(".")
                first = _OCTETS[a] << 24 | _OCTETS[b] << 16 | _OCTETS[c] << 8 | _OCTETS[d]
                hosts, family, bits = _HOSTS_4[length] if slash else 0, v4, 32
            else:
                first, hosts, family, bits = _wide(text), _HOSTS_6[length] if slash else 0, v6, 128
            if first & hosts or (bits == 128 and first <= _MAPPED_TO and first | hosts >= _MAPPED_FROM):
                raise ValueError
        except (KeyError, ValueError):
            try:
                version, first, last = network_range(line)
            except InvalidValue as problem:
                raise InvalidValue(f"line {place}: {problem.sentence}", problem.column) from None
            family, bits = (v4, 32) if version == 4 else (v6, 128)
            family.append(first << bits | last)
            continue
        family.append(first << bits | first | hosts)
    return v4, v6


def _wide(text: str) -> int:
    """The number of an IPv6 address in hexadecimal groups.

    :raises ValueError: if it is none, or has an IPv4 address in it.
    """
    head, gap, tail = text.partition("::")
    if not _GROUPS.fullmatch(head) or (tail and not _GROUPS.fullmatch(tail)):
        raise ValueError
    before, behind = head.split(":") if head else [], tail.split(":") if tail else []
    if len(before) + len(behind) > 7 if gap else len(before) != 8:
        raise ValueError
    return _number(before) << 16 * (8 - len(before)) | _number(behind)


def _number(groups: list[str]) -> int:
    return int(("%4s" * len(groups) % tuple(groups)).replace(" ", "0"), 16) if groups else 0


def _merged(ranges: list[int], bits: int) -> tuple[list[int], list[int]]:
    """The first and the last addresses of the union of ranges."""
    lows: list[int] = []
    highs: list[int] = []
    mask, end = (1 << bits) - 1, -2
    for each in _in_order(ranges):
        low, high = each >> bits, each & mask
        if low > end + 1:
            lows.append(low)
            highs.append(high)
            end = high
        elif high > end:
            highs[-1] = end = high
    return lows, highs


_PIECE = 50_000
"""Numbers that are sorted in one go. That keeps all other threads waiting, and the node serves in one of them."""


def _in_order(numbers: list[int]) -> Iterator[int]:
    pieces = [sorted(numbers[start : start + _PIECE]) for start in range(0, len(numbers), _PIECE)]
    return heapq.merge(*pieces)


_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_PREFIX = re.compile(r"[0-9]{1,3}", re.ASCII)


def network_range(text: str) -> Range:
    """Read an address or a CIDR network, as :func:`network` does, or two addresses with ``-`` between, as the range of
    its addresses.

    :raises InvalidValue: if it is none of them.
    """
    low, dash, high = text.partition("-")
    if not dash:
        found = network(text)
        return Range(found.version, int(found.network_address), int(found.broadcast_address))
    first, last = network(low.rstrip()), network(high.lstrip())
    version, lowest, highest = first.version, int(first.network_address), int(last.network_address)
    if "/" in text or version != last.version or lowest > highest:
        raise InvalidValue("a range is two addresses of one family, the lower one first", 0)
    if version == 6 and lowest <= _MAPPED_TO and highest >= _MAPPED_FROM:
        raise InvalidValue("the IPv4 addresses within IPv6 are written as IPv4", 0)
    return Range(version, lowest, highest)


def network(text: str) -> IPNetwork:
    """Read an address or a CIDR network; a bare address is its /32 or /128.

    :raises InvalidValue: if it is neither, or has host bits set; the sentence then names the network.
    """
    address, slash, prefix = text.partition("/")
    behind = len(address) + 1
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise InvalidValue("expected an address or a network, such as 10.0.0.0/8 or 2001:db8::/32", 0) from None
    if "%" in address:
        raise InvalidValue("an address in a rule has no zone", address.index("%"))
    if slash and (not _PREFIX.fullmatch(prefix) or int(prefix) > parsed.max_prefixlen):
        raise InvalidValue(f"the length of the prefix is a number from 0 to {parsed.max_prefixlen}", behind)
    found = ipaddress.ip_network(text, strict=False)
    if found.network_address != parsed:
        raise InvalidValue(f"host bits are set: the network is {found}", behind)
    if isinstance(found, ipaddress.IPv6Network) and found.subnet_of(_MAPPED):
        return ipaddress.IPv4Network((int(found.network_address) & 0xFFFFFFFF, found.prefixlen - 96))
    return found


NOWHERE = 6, -1
"""The version and the number of an address that is not known: an entry with ``!`` is true of it, and no other."""


@lru_cache(4096)
def address(text: str) -> tuple[int, int]:
    """The version of an address, 4 or 6, and its number; remembered, for every request of a client asks again.

    :returns: of :data:`~edgenode.model.exchange.UNKNOWN_CLIENT` a number that is in no network.
    :raises ValueError: if it is no address.
    """
    if text == UNKNOWN_CLIENT:
        return NOWHERE
    parsed = ipaddress.ip_address(text)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.version, int(parsed)


def cidr(of: tuple[int, int], v4_bits: int, v6_bits: int) -> tuple[int, int]:
    """The first address of the network that an address is in, by the prefix length for its family."""
    version, number = of
    host = 32 - v4_bits if version == 4 else 128 - v6_bits
    return version, number >> host << host
