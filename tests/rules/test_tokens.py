"""Tokens as rules see them: their claims, each verdict once, and nothing of a token that is not valid."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import Factory, define, evolve
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.exchange import Exchange
from edgenode.model.tokens import TokenVerdict
from edgenode.rules.definitions import Definitions
from edgenode.rules.fields import FIELDS, OF_KEY
from edgenode.rules.language.computing import condition, reader
from edgenode.rules.language.formatting import format
from edgenode.rules.language.parsing import parse, parse_value
from edgenode.rules.views import tokens
from edgenode.testing.exchanges import exchange_of

CLAIMS: dict[str, Any] = {
    "iss": "https://login.example.com",
    "sub": "alice",
    "aud": ["shop", "api"],
    "exp": 2_000_000_000.9,
    "jti": "1",
    "roles": ["user", ["admin"]],
    "realm_access": {"roles": ["auditor"], "deep.name": {"x": 1}},
    "https://example.com/plan": "gold",
    "level": 3,
    "ratio": 0.5,
    "staff": True,
    "nothing": None,
    "empty": [],
}
FIELD_NAMES = [name for name in FIELDS.built_in if "jwt" in name]


@define(eq=False)
class Judge:
    """A judge whose verdicts are given; it notes who was asked for.

    :ivar asked: the names, in order.
    """

    verdicts: Mapping[str, TokenVerdict]
    asked: list[str] = Factory(list)

    @property
    def names(self) -> tuple[str, ...]:
        """All names."""
        return tuple(self.verdicts)

    def judge(self, name: str, exchange: Exchange) -> TokenVerdict:
        """The verdict."""
        self.asked.append(name)
        return self.verdicts.get(name, TokenVerdict(False, reason="there is no such token configuration"))


def valid(claims: Mapping[str, Any]) -> TokenVerdict:
    """The verdict on a valid token."""
    return TokenVerdict(True, True, "", claims, json.dumps(claims).encode())


def judged(**verdicts: TokenVerdict) -> tuple[Exchange, Judge]:
    """An exchange with these verdicts."""
    exchange, judge = exchange_of("GET", "https://shop.example.com/"), Judge(verdicts)
    exchange.tokens = judge
    return exchange, judge


def value(text: str, exchange: Exchange) -> Any:
    """What an expression's value is of an exchange."""
    return reader(parse_value(text), Definitions())(exchange)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('http.request.jwt.claims.sub["a"]', (b"alice",)),
        ('http.request.jwt.claims.aud["a"]', (b"shop", b"api")),
        ('http.request.jwt.claims.exp.sec["a"][0]', 2_000_000_000),
        ('http.request.jwt.claims.nbf.sec["a"]', None),
        ('http.request.jwt.claims.sub["b"]', None),
        ('http.request.jwt.claims.sub["c"]', None),
        ("http.request.jwt.claims.iss.names", (b"a",)),
        ("http.request.jwt.claims.aud.values", (b"shop", b"api")),
        ('lookup_json_string(http.request.jwt.claims["a"][0], "https://example.com/plan")', b"gold"),
        ('edge.jwt.claims["a.roles"]', (b"user", b"admin")),
        ('edge.jwt.claims["a.realm_access.roles"]', (b"auditor",)),
        ('edge.jwt.claims["a.realm_access.deep.name.x"]', (b"1",)),
        ('edge.jwt.claims["a.realm_access"]', None),
        ('edge.jwt.claims["a.https://example.com/plan"]', (b"gold",)),
        ('edge.jwt.claims["a.level"]', (b"3",)),
        ('edge.jwt.claims["a.ratio"]', (b"0.5",)),
        ('edge.jwt.claims["a.staff"]', (b"true",)),
        ('edge.jwt.claims["a.nothing"]', None),
        ('edge.jwt.claims["a.empty"]', None),
        ('edge.jwt.claims["a."]', None),
        ('edge.jwt.claims["a"]', None),
        ('edge.jwt.claims["b.sub"]', None),
        ('edge.jwt.reason["b"]', b"it has expired (exp)"),
        ('edge.jwt.reason["a"]', None),
        ('edge.jwt.reason["d"]', None),
        ('is_jwt_valid("a")', True),
        ('is_jwt_valid("b")', False),
        ('is_jwt_valid("unknown")', False),
        ('is_jwt_present("b")', True),
        ('is_jwt_present("d")', False),
    ],
)
def test_values(text: str, expected: object) -> None:
    """Claims of a valid token are there by the name of its token configuration, and of any other token are missing."""
    gone = TokenVerdict(True, False, "it has expired (exp)")
    exchange, _ = judged(a=valid(CLAIMS), b=gone, d=TokenVerdict(False, reason="there is none"))
    assert value(text, exchange) == expected


def test_a_verdict_is_made_once_and_only_if_somebody_asks() -> None:
    """Not twice for one exchange, not for another token configuration, and anew at another time, as for a message."""
    exchange, judge = judged(a=valid(CLAIMS), b=valid({}))
    for _ in range(3):
        assert value('is_jwt_valid("a")', exchange)
        assert value('edge.jwt.claims["a.sub"]', exchange.tagged(["x"])) == (b"alice",)
    assert judge.asked == ["a"]
    later = evolve(exchange, time=exchange.time + 1)
    assert value('is_jwt_valid("a")', later)
    assert judge.asked == ["a", "a"]


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_without_a_request_or_a_token_configuration_nothing_is_there(name: str) -> None:
    """Streams have no tokens: all is missing; and where nothing verifies tokens, none is valid."""
    exchange = exchange_of("GET", "https://shop.example.com/")
    assert not FIELDS[name].read(exchange)
    stream = evolve(exchange, request=None)
    assert FIELDS[name].read(stream) is None
    if name in OF_KEY:
        assert OF_KEY[name](b"a.sub")(stream) is None
        assert OF_KEY[name](b"a.sub")(exchange) is None
    assert "tokens" in FIELDS[name].needs


def test_who_has_no_valid_token_does_not_pass() -> None:
    """``not is_jwt_valid`` is true of every token that is not valid, of none, and where nothing verifies tokens."""
    refuses = condition(parse('not is_jwt_valid("a")'), Definitions())
    for verdict in TokenVerdict(True, False, "x"), TokenVerdict(False, False, "x"):
        assert refuses(judged(a=verdict)[0])
    assert refuses(judged()[0])
    assert refuses(exchange_of("GET", "https://shop.example.com/"))
    assert not refuses(judged(a=valid({}))[0])


@pytest.mark.parametrize("text", ['is_jwt_valid("a")', 'is_jwt_present("")', 'not is_jwt_valid("\\x00")'])
def test_calls_are_written_as_they_were_read(text: str) -> None:
    """They are another spelling of a map's value, which is written as the call."""
    assert format(parse(text)) == text
    assert parse('edge.jwt.valid["a"]') == parse('is_jwt_valid("a")')


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(max_size=4), each, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["sub", "aud", "iss", "jti", "x", "x.y", ""]), _JSON), st.text(max_size=8))
def test_no_claims_raise(claims: dict[str, Any], key: str) -> None:
    """Whatever an issuer has signed, every reader gives values of its type, and the map has what a key has."""
    exchange, _ = judged(a=valid(claims))
    for name in ("http.request.jwt.claims.aud", "http.request.jwt.claims.sub", "edge.jwt.claims", "edge.jwt.valid"):
        found = FIELDS[name].read(exchange)
        assert all(OF_KEY[name](each)(exchange) == value for each, value in found.items() if b"." not in each[2:])
    tokens.of_claim(f"a.{key}".encode("utf-8", "surrogatepass"))(exchange)


@given(st.integers(1, 300))
def test_a_deep_claim_is_bounded(depth: int) -> None:
    """Lists in lists are looked at to a depth; a path of many dots is followed as far as it leads."""
    deep: Any = "x"
    for _ in range(depth):
        deep = [deep]
    inner: dict[str, Any] = {"b": 1}
    for _ in range(depth):
        inner = {"a": inner, "a.a": 2}
    exchange, _ = judged(a=valid({"x": deep, **inner}))
    assert tokens.of_claim(b"a.x")(exchange) == ((b"x",) if depth <= 8 else None)
    assert tokens.of_claim(b"a." + b"a." * depth + b"b")(exchange) == (b"1",)
