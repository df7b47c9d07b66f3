"""What requests are counted under: equal if and only if every part is, and never many."""

from __future__ import annotations

from urllib.parse import quote_from_bytes

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.exchange import UNKNOWN_CLIENT, Verification
from edgenode.policy.compound_keys import MANY, MOST, joined, shown
from edgenode.policy.keys import Part
from edgenode.testing.certificates import make_authority
from edgenode.testing.exchanges import exchange_of, identity

CLIENT = identity(make_authority().issue("client.test"))


def parts(*words: str) -> tuple[Part, ...]:
    """The words of a key."""
    return tuple(map(Part.from_text, words))


def keys(words: tuple[str, ...], headers: tuple[tuple[str, str], ...] = (), url: str = "https://www.test/") -> object:
    """The keys of a request."""
    return joined(parts(*words))(exchange_of("GET", url, headers, b"", address="192.0.2.7"))


def test_without_a_key_everything_is_counted_together() -> None:
    """Also what has no request."""
    assert keys(()) == ("",)


def test_a_request_without_a_part_is_not_counted() -> None:
    """Whichever it is."""
    assert keys(("ip", "header.x-user")) == keys(("header.x-user", "ip")) == ()


def test_each_value_is_counted_and_no_more_than_a_few() -> None:
    """Of too many all together, but still apart by the other parts: nobody uses up what is for others."""
    several = tuple(("X-User", f"u{number}") for number in range(MOST))
    assert keys(("ip", "header.x-user"), several) == tuple(f"192.0.2.7|u{number}" for number in range(MOST))
    assert keys(("ip", "header.x-user"), (*several, ("X-User", "one"))) == (f"192.0.2.7|{MANY}",)
    assert keys(("header.x-user",), (*several, ("X-User", "one"))) == (MANY,)
    assert keys(("header.x-user",), (("X-User", " many"),)) == ("many",)


VALUES = st.text(st.sampled_from("a|%257c "), min_size=1, max_size=5).filter(lambda value: value.strip() == value)


@given(st.lists(VALUES, min_size=2, max_size=3), st.lists(VALUES, min_size=2, max_size=3))
def test_no_two_requests_with_other_values_have_the_same_key(one: list[str], other: list[str]) -> None:
    """``a|b`` and ``c`` are not ``a`` and ``b|c``; and people are shown what was there."""

    def key(values: list[str]) -> str:
        names = "abc"[: len(values)]
        query = "&".join(
            f"{name}={quote_from_bytes(value.encode())}" for name, value in zip(names, values, strict=True)
        )
        words = parts(*(f"argument.{name}" for name in names))
        (found,) = joined(words)(exchange_of("GET", f"https://www.test/?{query}", (), b""))
        told = (f"argument.{name}: {value}" for name, value in zip(names, values, strict=True))
        assert shown(words, found) == " and ".join(told)
        return found

    assert (key(one) == key(other)) == (one == other)


def test_clients_that_nobody_knows_are_counted_as_one() -> None:
    """Else whoever has a proxy say nothing of them would not be counted at all."""
    exchange = evolve(exchange_of("GET", "https://www.test/", (), b""), client=UNKNOWN_CLIENT)
    assert joined(parts("ip"))(exchange) == (UNKNOWN_CLIENT,)
    assert joined(parts("ip/24/56", "method"))(exchange) == ("unknown|get",)


def test_who_makes_a_certificate_in_the_name_of_another_is_not_counted_as_the_other() -> None:
    """Only who has the private key has the fingerprint."""
    forged = evolve(CLIENT, verification=Verification(presented=True))
    for word in ("certificate.subject", "certificate.issuer", "certificate.fingerprint"):
        one, other = (
            joined(parts(word))(exchange_of("GET", "https://www.test/", (), b"", client=each))
            for each in (CLIENT, forged)
        )
        assert (one == other) == (word == "certificate.fingerprint")
