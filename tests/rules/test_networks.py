"""Networks and addresses: what :mod:`ipaddress` says, in little memory."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgenode.rules.networks
from edgenode.model.errors import InvalidValue
from edgenode.rules.networks import IPNetwork, Networks, Range, address, network

# Few bits vary, so that networks contain one another and addresses fall on their edges.
_numbers = {
    4: st.integers(0, 15).map(lambda n: (n & 12) << 28 | (n & 3)),
    6: st.integers(0, 15).map(lambda n: (n & 8) << 124 | (n & 4) << 61 | (n & 3)),
}
_addresses: dict[int, st.SearchStrategy[ipaddress.IPv4Address | ipaddress.IPv6Address]] = {
    4: _numbers[4].map(ipaddress.IPv4Address),
    6: _numbers[6].map(ipaddress.IPv6Address),
}
addresses = st.one_of(*_addresses.values())
networks = st.one_of(
    st.tuples(_addresses[4], st.sampled_from((0, 1, 2, 4, 30, 31, 32))),
    st.tuples(_addresses[6], st.sampled_from((0, 1, 2, 4, 62, 63, 64, 65, 126, 127, 128))),
).map(lambda pair: ipaddress.ip_network(pair, strict=False))


@given(
    st.lists(st.tuples(networks, st.sampled_from((str, lambda each: each.exploded, lambda each: str(each).upper())))),
    st.lists(addresses, min_size=1, max_size=12),
)
def test_networks_contain_what_ipaddress_says(
    several: list[tuple[ipaddress.IPv4Network, object]],
    judged: list[ipaddress.IPv4Address | ipaddress.IPv6Address],
) -> None:
    """Both families, one inside the other, side by side and repeated, in every spelling."""
    found = Networks(write(each) for each, write in several)  # type: ignore[operator]
    for each in judged:
        assert (address(str(each)) in found) is any(each in other for other, _ in several)


@given(st.lists(networks), st.sampled_from((1, 2, 100)))
def test_ranges_are_sorted_disjoint_and_do_not_touch(several: list[ipaddress.IPv4Network], piece: int) -> None:
    """What can be one range is one, in however many pieces they are sorted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edgenode.rules.networks, "_PIECE", piece)
        found = list(Networks(map(str, several)).ranges())
    for one, other in itertools.pairwise(found):
        assert one.version < other.version or one.last + 1 < other.first
    assert len(found) == len(Networks(map(str, several)))


_texts = st.one_of(
    st.ip_addresses().map(str),
    st.ip_addresses(v=6).map(lambda each: each.exploded),
    st.text("0123456789abcdefABCDEF:./% -", max_size=20),
    st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{0,2})?", fullmatch=True),
    st.from_regex(r"[0-9a-f]{0,4}(:[0-9a-f]{0,4}){1,8}(/[0-9]{0,3})?", fullmatch=True),
    st.from_regex(r"(::ffff:|0:0:0:0:0:ffff::?|::)[0-9a-f]{0,4}(:[0-9a-f]{1,4})?(/(9|1[012])[0-9])?", fullmatch=True),
)


@given(_texts)
def test_the_short_way_reads_what_the_long_one_does(text: str) -> None:
    """A line becomes the range of its network, or it is refused with the same words."""
    short, long = _outcome(lambda: list(Networks([text]).ranges())), _outcome(lambda: [_range(network(text))])
    assert short == long if isinstance(long, list) else short == (f"line 1: {long[0]}", long[1])


def _range(found: IPNetwork) -> Range:
    return Range(found.version, int(found[0]), int(found[-1]))


def _outcome(read: Callable[[], list[Range]]) -> list[Range] | tuple[str, int | None]:
    try:
        return read()
    except InvalidValue as problem:
        return problem.sentence, problem.column


def test_a_line_that_is_no_network_is_named_by_its_number() -> None:
    """Lines are counted from 1."""
    with pytest.raises(InvalidValue, match=r"^line 3: host bits are set: the network is 10\.0\.0\.0/8"):
        Networks(["10.0.0.0/8", "2001:db8::/32", "10.0.0.1/8"])


_SIX = 0x2001 << 112
"""Where the numbers of these addresses begin; they are near one another, and share their halves."""
_near = st.builds(lambda upper, lower: _SIX | upper << 64 | lower, st.integers(0, 2), st.integers(0, 300))


@given(st.lists(_near, max_size=300), st.lists(_near, max_size=20), st.lists(_near, min_size=1, max_size=20))
def test_an_address_is_in_a_list_if_it_is_in_one_of_its_ranges(
    hosts: list[int], ends: list[int], asked: list[int]
) -> None:
    """Single addresses and ranges, more than a block of them, with equal upper halves or others."""
    ends.sort()
    pairs = [*zip(ends[::2], ends[1::2], strict=False), *((host, host) for host in hosts)]
    lines = [f"{ipaddress.IPv6Address(low)}-{ipaddress.IPv6Address(high)}" for low, high in pairs]
    networks = Networks(lines)
    numbers = {each + step for each in (*asked, *ends, *hosts[:20]) for step in (-1, 0, 1, 1 << 64)}
    for number in numbers:
        assert ((6, number) in networks) is any(low <= number <= high for low, high in pairs)
    ranges = list(networks.ranges())
    assert ranges == sorted(ranges)
    assert len(ranges) == len(networks)
    assert all(one.last + 1 < other.first for one, other in itertools.pairwise(ranges))


def test_a_list_of_every_address_is_known() -> None:
    """Of either family, in one line or in two."""
    assert Networks(["0.0.0.0/0"]).whole(4)
    assert Networks(["::/0", "::1"]).whole(6)
    assert Networks(["::/1", "c000::/2", "8000::/2"]).whole(6)
    assert not Networks(["0.0.0.0/1", "::1"]).whole(4)
    assert not Networks(["::1"]).whole(6)
    assert not Networks().whole(6)


@pytest.mark.parametrize(
    ("pattern", "judged", "matches"),
    [
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "::ffff:0a01:0203", True),
        ("::ffff:10.0.0.0/104", "10.1.2.3", True),
        ("0:0:0:0:0:ffff::/96", "10.1.2.3", True),
        ("::/0", "::ffff:10.1.2.3", False),
        ("::/0", "10.1.2.3", False),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("255.255.255.255", "255.255.255.255", True),
        ("ffff::/16", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", True),
    ],
)
def test_a_mapped_address_is_the_address_it_maps(pattern: str, judged: str, matches: bool) -> None:
    """A client cannot pass a rule on its IPv4 address by coming as IPv6."""
    assert (address(judged) in Networks([pattern])) is matches


def test_an_address_that_is_none_raises() -> None:
    """What cannot be compared is never taken for "matches nothing"."""
    with pytest.raises(ValueError, match="does not appear"):
        address("unix:/run/x")


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_a_network_with_host_bits_is_refused_with_the_right_one(number: int, length: int) -> None:
    """The sentence names a network that is then accepted."""
    text = f"{ipaddress.IPv4Address(number)}/{length}"
    try:
        assert str(network(text)) == text
    except InvalidValue as refused:
        right = refused.sentence.rpartition(" ")[2]
        assert ipaddress.ip_address(number) in network(right)


@given(st.ip_addresses())
def test_an_address_is_its_version_and_number(each: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Addresses are equal if and only if they are the same, mapped ones excepted."""
    mapped = getattr(each, "ipv4_mapped", None) or each
    assert address(str(each)) == (mapped.version, int(mapped))


def test_an_address_that_is_not_known_is_in_no_network() -> None:
    """Not in those of everything either; its version is one that every set has."""
    assert address("unknown") not in Networks(("0.0.0.0/0", "::/0"))
    assert address("unknown") not in Networks(f"2001:db8:{number:x}::/48" for number in range(0, 300, 2))
