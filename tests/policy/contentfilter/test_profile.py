"""What requests of a site look like, and which do not look so."""

from __future__ import annotations

import json
from urllib.parse import quote_plus

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import NO_BODY
from edgenode.policy.contentfilter.profile import (
    SECTIONS,
    MaximalCount,
    MaximalName,
    MaximalValue,
    Profile,
    Restriction,
)
from edgenode.policy.contentfilter.profile_values import at_most, pairs_of, readings_of
from edgenode.testing.exchanges import exchange_of

FORM = [("content-type", "application/x-www-form-urlencoded")]
JSON = [("content-type", "application/json")]


def profile(counts: str = "", names: str = "", values: str = "", restrict: str = "") -> Profile:
    """The profile of some keys, as they are written."""
    made = Profile.of(
        map(MaximalCount.from_text, filter(None, counts.split(", "))),
        map(MaximalName.from_text, filter(None, names.split(", "))),
        map(MaximalValue.from_text, filter(None, values.split(", "))),
        map(Restriction.from_text, restrict.splitlines()),
    )
    assert made is not None
    return made


def told(
    made: Profile, target: str, headers: list[tuple[str, str]] | None = None, body: bytes | None = None
) -> list[str]:
    """What deviates in a request, in words."""
    exchange = exchange_of("GET" if body is None else "POST", f"https://a.example{target}", headers or [], body)
    return [f"{each.where}: {each.what}" for each in made.deviations(exchange)]


@given(st.dictionaries(st.text("abc", min_size=1), st.text("xyz0 ", max_size=30), max_size=6), st.integers(0, 6))
def test_an_argument_is_counted_and_measured_wherever_it_stands(values: dict[str, str], most: int) -> None:
    """In a query and in a form alike, decoded."""
    made = profile(f"arguments {most}", "", "arguments 10")
    expected = [f"arguments: more than {most}"] if len(values) > most else []
    expected += [f"argument.{name}: longer than 10 bytes" for name, value in values.items() if len(value) > 10]
    text = "&".join(f"{name}={quote_plus(value)}" for name, value in values.items())
    assert told(made, f"/?{text}") == expected
    assert told(made, "/", FORM, text.encode()) == expected


def test_members_of_json_are_arguments() -> None:
    """Their names and values are measured."""
    made = profile("arguments 2", "arguments 4", "arguments 3", "argument.a [0-9]+")
    body = json.dumps({"a": "x", "b": "long", "longer": "1"}).encode()
    assert told(made, "/", JSON, body) == [
        "arguments: more than 2",
        "argument.longer: a name longer than 4 bytes",
        "argument.b: longer than 3 bytes",
        "argument.a: does not match what it is restricted to",
    ]


def test_sections_are_judged_in_their_order() -> None:
    """Headers, cookies, arguments, path, body."""
    each = ", ".join(f"{section} 1" for section in SECTIONS)
    found = told(profile(values=each), "/ab?a=bc", [("x", "yy"), ("cookie", "c=dd")], b"body")
    order = [where.partition(".")[0].partition(":")[0] for where in found]
    assert list(dict.fromkeys(order)) == ["header", "cookie", "argument", "path", "body"]


def test_the_cookie_field_is_counted_as_cookies_and_not_as_a_header() -> None:
    """As the vendor counts."""
    made = profile("headers 2, cookies 2")
    assert told(made, "/", [("cookie", "a=1; b=2"), ("x", "1")]) == []
    assert told(made, "/", [("cookie", "a=1; b=2; c=3"), ("x", "1"), ("x", "2")]) == [
        "headers: more than 2",
        "cookies: more than 2",
    ]


@given(st.text("abc 1;'<", max_size=12))
def test_a_restricted_value_has_to_match_as_a_whole(value: str) -> None:
    """Not only a part of it."""
    made = profile(restrict="argument.q [a-c ]{1,5}")
    fits = 1 <= len(value) <= 5 and not set(value) - set("abc ")
    assert (told(made, f"/?q={quote_plus(value)}") == []) == fits
    assert told(made, f"/?r={quote_plus(value)}") == []


@pytest.mark.parametrize("target", ["/?Q=1", "/?q[]=1", "/?q=a&q=1", "/?x=a;q=1", "/?%71=1", "/?q[x]=1"])
def test_no_spelling_of_a_name_gets_past_its_restriction(target: str) -> None:
    """Every reading of every value has to match."""
    assert told(profile(restrict="argument.q [a-c]+"), target) == [
        "argument.q: does not match what it is restricted to"
    ]


def test_cookies_and_headers_are_restricted_likewise() -> None:
    """A cookie in each of its readings."""
    made = profile(restrict="cookie.session [0-9a-f]{4}\nheader.x-id [0-9]+")
    assert told(made, "/", [("cookie", "session=00ff"), ("x-id", "7")]) == []
    assert len(told(made, "/", [("cookie", "session=00ff; session=zz"), ("x-id", "7a")])) == 2


def test_what_no_line_names_may_be_forbidden() -> None:
    """``argument.*`` alone lets no other argument in; with an expression those that match. Headers of every request
    are none of them."""
    made = profile(restrict="argument.q .*\nargument.*\nheader.*\nheader.user-agent .*")
    assert told(made, "/?q=1", [("user-agent", "x")]) == []
    assert told(made, "/?q=1&r=2", [("x-other", "x")]) == [
        "header.x-other: is none that may come",
        "argument.r: is none that may come",
    ]
    assert told(made, "/?q=1;r=2") == ["argument.r: is none that may come"]
    assert told(made, "/?q[a]=1&Q=2") == []
    assert told(profile(restrict="argument.* [0-9]+"), "/?a=1&b=2") == []
    assert told(profile(restrict="argument.* [0-9]+"), "/?a=1&b=x") == ["argument.b: is none that may come"]


def test_of_very_much_only_the_beginning_is_told() -> None:
    """A request with thousands of arguments has an event as long as another; and a name is cut."""
    made = profile(values="arguments 1")
    assert len(told(made, "/?" + "&".join(f"a{number}=long" for number in range(300)))) == 16
    assert len(told(made, f"/?{'n' * 500}=long")[0]) < 120


def test_it_needs_bodies_only_for_what_stands_in_them() -> None:
    """A profile of headers holds no body back."""
    assert profile("headers 1, cookies 1, path 1").needs == frozenset()
    assert "body" in profile("arguments 1").needs
    assert profile(values="body 1").needs == {"body"}
    assert Profile.of() is None


@pytest.mark.parametrize(
    ("read", "text", "column"),
    [
        (MaximalCount.from_text, "headers", 0),
        (MaximalCount.from_text, "body 4", 0),
        (MaximalName.from_text, "path 4", 0),
        (MaximalValue.from_text, "headers four", 8),
        (Restriction.from_text, "arguments.q a", 0),
        (Restriction.from_text, "argument.q (", 11),
    ],
)
def test_a_line_that_is_none_is_refused_with_its_place(read: object, text: str, column: int) -> None:
    """The sentence says what is right."""
    with pytest.raises(InvalidValue) as caught:
        read(text)  # type: ignore[operator]
    assert (caught.value.column or 0) >= column


@pytest.mark.parametrize("text", ["headers 4k", "arguments 512", "path 2"])
def test_a_bound_is_written_as_it_is_read(text: str) -> None:
    """Reading and writing are inverse."""
    assert str(MaximalValue.from_text(text)) == text


@given(st.text("aAq=&1;.[%+_ ", max_size=20))
def test_a_plain_query_is_read_as_any_other(text: str) -> None:
    """What is read at once of an ordinary request is what reading it in full gives."""
    query = text.replace(" ", "")
    plain = exchange_of("GET", f"https://a.example/?{query}").request
    assert plain is not None
    plain = evolve(plain, body=NO_BODY)
    full = evolve(plain, headers=((b"content-type", b"x/y"),), fields={b"content-type": (b"x/y",)})
    assert [*pairs_of(plain, "argument")] == [*pairs_of(full, "argument")]
    quick, slow = readings_of(plain, "argument"), readings_of(full, "argument")
    assert {name: [*values] for name, values in quick.items()} == {name: [*values] for name, values in slow.items()}
    known = at_most(plain, "argument")
    if known is not None:
        assert known[0] >= len(pairs_of(full, "argument"))


@pytest.mark.parametrize("name", ["argument.user.page", "argument.json.user.page", "argument.user_page"])
def test_a_member_of_json_is_restricted_by_each_of_its_names(name: str) -> None:
    """As reasons and ``exclude`` have it, and as rules do; with ``argument.*`` behind it no other may come."""
    profile = Profile.of(restrictions=[Restriction.from_text(f"{name} [0-9]+"), Restriction.from_text("argument.*")])
    assert profile is not None
    found = []
    for body in (b'{"user": {"page": 1}}', b'{"user": {"page": "x"}}', b'{"user": {"other": 1}}'):
        headers = [("content-type", "application/json")]
        found.append(bool(profile.deviations(exchange_of("POST", "https://a.example/", headers, body=body))))
    assert found == [False, True, True]
