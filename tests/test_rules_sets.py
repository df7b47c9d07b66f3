"""Sets of patterns: the same verdicts as one pattern at a time, and a memory with bounds."""

from __future__ import annotations

import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.errors import InvalidValue
from edgenode.rules import regexes, sets
from edgenode.rules.networks import address, network
from edgenode.rules.sets import ExactSet, NetworkSet, RegexSet
from edgenode.rules.tags import canonical, check_tag

# Few bits vary, so that networks contain one another and addresses fall on their edges.
_numbers = {
    4: st.integers(0, 15).map(lambda n: (n & 12) << 28 | (n & 3)),
    6: st.integers(0, 15).map(lambda n: (n & 12) << 124 | (n & 3)),
}
_addresses: dict[int, st.SearchStrategy[ipaddress.IPv4Address | ipaddress.IPv6Address]] = {
    4: _numbers[4].map(ipaddress.IPv4Address),
    6: _numbers[6].map(ipaddress.IPv6Address),
}
addresses = st.one_of(*_addresses.values())
networks = st.one_of(
    st.tuples(_addresses[4], st.sampled_from((0, 1, 2, 4, 30, 31, 32))),
    st.tuples(_addresses[6], st.sampled_from((0, 1, 2, 4, 126, 127, 128))),
).map(lambda pair: str(ipaddress.ip_network(pair, strict=False)))


@given(st.lists(networks, max_size=12), st.lists(addresses, min_size=1, max_size=12))
def test_networks_match_as_ipaddress_says(several: list[str], judged: list[ipaddress.IPv4Address]) -> None:
    """One bisection finds exactly the networks that contain an address, both families, one inside the other."""
    found = NetworkSet.of([(text, number) for number, text in enumerate(several)])
    for each in judged:
        expected = {number for number, text in enumerate(several) if each in ipaddress.ip_network(text)}
        for _ in range(2):  # searched, then remembered
            assert set(found.find((str(each),))) == expected


@pytest.mark.parametrize("base", ["0.0.0.0/30", "192.0.2.0/30", "255.255.255.252/30", "2001:db8::/126"])
def test_every_way_in_which_networks_touch_or_contain_one_another(base: str) -> None:
    """Of the seven networks of four addresses, every subset gives these and their neighbours the right ones."""
    whole = ipaddress.ip_network(base)
    lengths = range(whole.prefixlen, whole.max_prefixlen + 1)
    every = [str(each) for length in lengths for each in whole.subnets(new_prefix=length)]
    judged = range(max(0, int(whole[0]) - 1), min(int(whole[3]) + 2, 1 << whole.max_prefixlen))
    for chosen in range(1 << len(every)):
        several = [(text, number) for number, text in enumerate(every) if chosen >> number & 1]
        found = NetworkSet.of(several)
        for each in map(type(whole[0]), judged):
            expected = {number for text, number in several if each in ipaddress.ip_network(text)}
            assert set(found.find((str(each),))) == expected


@pytest.mark.parametrize(
    ("pattern", "judged", "matches"),
    [
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "::ffff:0a01:0203", True),
        ("::ffff:10.0.0.0/104", "10.1.2.3", True),
        ("::/0", "::ffff:10.1.2.3", False),
        ("::/0", "10.1.2.3", False),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("255.255.255.255", "255.255.255.255", True),
        ("ffff::/16", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", True),
    ],
)
def test_a_mapped_address_is_the_address_it_maps(pattern: str, judged: str, matches: bool) -> None:
    """A client cannot pass a rule on its IPv4 address by coming as IPv6."""
    assert bool(NetworkSet.of([(pattern, 1)]).find((judged,))) is matches


def test_an_address_that_is_none_raises() -> None:
    """What cannot be compared is never taken for "matches nothing"."""
    with pytest.raises(ValueError, match="does not appear"):
        NetworkSet.of([("10.0.0.0/8", 1)]).find(("unix:/run/x",))


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


_PATTERNS = ("a", "^a", "b$", "a.b", "[^a]", "^$", "(?i)A", "a|b", "\\x00")


@given(
    st.lists(st.sampled_from(_PATTERNS), max_size=6),
    st.lists(st.text("abA\n\x00\xff", max_size=5).map(lambda text: text.encode("latin-1")), max_size=4),
)
def test_a_set_of_regexes_matches_as_each_one_by_itself(patterns: list[str], values: list[bytes]) -> None:
    """Every value is searched for every expression, byte by byte, with ``.`` matching any byte."""
    found = RegexSet.of([(pattern, 100 + index) for index, pattern in enumerate(patterns)])
    expected = {
        100 + index
        for index, pattern in enumerate(patterns)
        for value in values
        if re.search(pattern.replace("$", "\\Z").encode(), value, re.DOTALL)
    }
    for _ in range(2):
        assert set(found.find(values)) == expected


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("^/admin.*secret", b"/admin\xff\xfesecret"),
        ("^/admin.*secret", b"/admin\nsecret"),
        ("^/admin[^/]*$", b"/admin\x80"),
        (r"(?:\xC3\xA9)", "/café".encode()),
    ],
)
def test_no_byte_ends_a_match(pattern: str, value: bytes) -> None:
    """Invalid UTF-8 or a line feed in a value does not slip by a rule."""
    assert RegexSet.of([(pattern, 1)]).find((value,)) == (1,)


def test_a_dollar_does_not_stand_before_a_final_line_feed() -> None:
    """``$`` is the end of the value, not of its last line."""
    assert RegexSet.of([("b$", 1)]).find((b"ab\n",)) == ()


def test_a_set_that_cannot_be_searched_is_a_failure_and_no_mismatch() -> None:
    """RE2 says "nothing matches" when it is out of memory; that must not switch rules off."""

    class Exhausted:
        def Match(self, value: bytes) -> None:
            return None

    with pytest.raises(RuntimeError, match="not enough memory"):
        RegexSet(Exhausted(), (1,)).find((b"x",))


def test_regexes_that_are_too_large_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The set that RE2 does not compile is an error of the configuration."""
    monkeypatch.setattr(regexes, "_SET", 1 << 10)
    monkeypatch.setattr(regexes, "_SET_EACH", 0)
    with pytest.raises(InvalidValue, match="these 2 regular expressions are too large together"):
        RegexSet.of([("a{1000}", 1), ("b{1000}", 2)])


def test_ten_thousand_regexes_are_one_set() -> None:
    """The memory that a set is given grows with it."""
    found = RegexSet.of([(f"^/path-{number}/([0-9a-f]{{8}}-){{8}}(new|old)$", number) for number in range(10_000)])
    assert found.find((b"/path-4711/" + b"0123abcd-" * 8 + b"old",)) == (4711,)


def test_re2_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """A refused expression is one exception, not a line on standard error as well."""
    with pytest.raises(InvalidValue):
        regexes.check_regex("(((")
    assert capfd.readouterr() == ("", "")


@given(st.lists(st.sampled_from(("a", "b", "c")), max_size=4), st.frozensets(st.sampled_from(("a", "b", "d"))))
def test_words_match_if_equal(words: list[str], values: frozenset[str]) -> None:
    """A word is found by every pattern that is that word."""
    found = ExactSet.of([(word, number) for number, word in enumerate(words)])
    assert set(found.find(values)) == {number for number, word in enumerate(words) if word in values}


def test_the_memory_of_verdicts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that never repeats itself fills no more than the bounds, in number and in size."""
    monkeypatch.setattr(sets, "MOST_REMEMBERED", 10)
    monkeypatch.setattr(sets, "MOST_REMEMBERED_BYTES", 500)
    monkeypatch.setattr(sets, "LONGEST_REMEMBERED", 100)
    found = RegexSet.of([("x$", 1)])
    for number in range(200):
        value = b"%d" % number * (number % 60) + b"x"
        assert found.find((value,)) == (1,)
        remembered = found._verdicts
        assert len(remembered) <= 10
        assert sum(map(len, remembered)) <= 500
        assert all(len(key) <= 100 for key in remembered)
    assert found._verdicts


@given(st.text())
def test_the_canonical_form_is_canonical(text: str) -> None:
    """What comes out is a tag, and stays as it is."""
    form = canonical(text)
    check_tag(form)
    assert canonical(form) == form
    assert re.fullmatch("[a-z0-9:-]*", form)
