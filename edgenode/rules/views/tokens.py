"""Tokens as rules look at them, by the names of token configurations.

Law: the claims of a token that is not valid are missing; and it is verified once for an exchange, if a rule asks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from edgenode.model.exchange import Exchange
from edgenode.model.tokens import TokenVerdict
from edgenode.rules.language.types import BOOL, BYTES, INT, STRING_LISTS, STRINGS, Type, array, map_of

Step = Callable[[TokenVerdict], Any]

_DEEPEST = 8
"""How far lists and objects of a claim may stand in one another to be looked at."""

_VIEW = "edgenode.rules.views.tokens"


def _verdict(exchange: Exchange, name: str) -> TokenVerdict | None:
    """The verdict by a token configuration; ``None`` without a request, or if there are none."""
    judge, request = exchange.tokens, exchange.request
    if judge is None or request is None:
        return None
    # A request is judged by one configuration; what else it depends on is the time.
    kept = request.__dict__.setdefault(_VIEW, {})
    key = name, exchange.time
    found: TokenVerdict | None = kept.get(key)
    if found is None:
        found = kept[key] = judge.judge(name, exchange)
    return found


def by_name(step: Step) -> Callable[[Exchange], Mapping[bytes, Any] | None]:
    """A reader of what a step makes of each verdict, by the name of the token configuration."""

    def read(exchange: Exchange) -> Mapping[bytes, Any] | None:
        if exchange.request is None:
            return None
        names = () if exchange.tokens is None else exchange.tokens.names
        found = {name.encode("ascii"): step(verdict) for name in names if (verdict := _verdict(exchange, name))}
        return {name: value for name, value in found.items() if value is not None}

    return read


def of_name(step: Step) -> Callable[[bytes], Callable[[Exchange], Any]]:
    """What makes readers of the same by one token configuration, which verify nothing for the others."""

    def reader(key: bytes) -> Callable[[Exchange], Any]:
        name = key.decode("ascii", "replace")

        def read(exchange: Exchange) -> Any:
            verdict = _verdict(exchange, name)
            return None if verdict is None else step(verdict)

        return read

    return reader


def names(step: Step) -> Callable[[Exchange], tuple[bytes, ...] | None]:
    """A reader of the names of the token configurations by whose verdict a step makes something."""
    read = by_name(step)
    return lambda exchange: None if (found := read(exchange)) is None else tuple(found)


def values(step: Step) -> Callable[[Exchange], tuple[Any, ...] | None]:
    """A reader of all that a step, which makes arrays, makes of the verdicts."""
    read = by_name(step)
    return lambda exchange: (
        None if (found := read(exchange)) is None else tuple(value for several in found.values() for value in several)
    )


def text(claim: str) -> Step:
    """A step to the texts of a claim: of one, or of several in a list."""

    def step(verdict: TokenVerdict) -> tuple[bytes, ...] | None:
        value = verdict.claims.get(claim)
        found = value if isinstance(value, list) else [value]
        return tuple(_bytes(each) for each in found if isinstance(each, str)) or None

    return step


def seconds(claim: str) -> Step:
    """A step to the time of a claim, in whole seconds since 1970."""

    def step(verdict: TokenVerdict) -> tuple[int, ...] | None:
        value = verdict.claims.get(claim)
        return None if value is None else (int(value),)

    return step


def whole(verdict: TokenVerdict) -> tuple[bytes, ...] | None:
    """All claims in JSON, as they were signed."""
    return (verdict.text,) if verdict.valid else None


def reason(verdict: TokenVerdict) -> bytes | None:
    """Why a token that is there is not valid."""
    return verdict.reason.encode() if verdict.present and not verdict.valid else None


def claims(exchange: Exchange) -> Mapping[bytes, tuple[bytes, ...]] | None:
    """Every value of every claim of valid tokens, by the token configuration, a dot, and the claim."""
    if exchange.request is None:
        return None
    names = () if exchange.tokens is None else exchange.tokens.names
    found: dict[bytes, tuple[bytes, ...]] = {}
    for name in names:
        verdict = _verdict(exchange, name)
        for claim, value in {} if verdict is None else verdict.claims.items():
            texts = tuple(dict.fromkeys(_texts(value)))
            if texts:
                found[_bytes(f"{name}.{claim}")] = texts
    return found


def of_claim(key: bytes) -> Callable[[Exchange], tuple[bytes, ...] | None]:
    """A reader of every value of one claim, also of one in an object: ``NAME.realm_access.roles``."""
    name, _, claim = key.decode("utf-8", "surrogateescape").partition(".")

    def read(exchange: Exchange) -> tuple[bytes, ...] | None:
        verdict = _verdict(exchange, name)
        if verdict is None or not verdict.claims:
            return None
        found = _within(verdict.claims, claim)
        return tuple(dict.fromkeys(text for value in found for text in _texts(value))) or None

    return read


def _within(value: Any, path: str) -> Iterator[Any]:
    """What stands at a path of names with dots between; a name may have dots itself, as those of URLs have."""
    if isinstance(value, dict):
        if path in value:
            yield value[path]
        at = path.find(".")
        while at >= 0:
            if path[:at] in value:
                yield from _within(value[path[:at]], path[at + 1 :])
            at = path.find(".", at + 1)


def _texts(value: Any, depth: int = 0) -> Iterator[bytes]:
    """A value as texts: of a list each of its own, of an object none."""
    match value:
        case str():
            yield _bytes(value)
        case bool():
            yield b"true" if value else b"false"
        case int() | float():
            yield json.dumps(value).encode()
        case list() if depth < _DEEPEST:
            for each in value:
                yield from _texts(each, depth + 1)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# -- their fields ------------------------------------------------------------------------------------------------------

Row = tuple[str, Type, Callable[[Exchange], Any], str]
"""A field: the end of its name, its type, its reader, and a phrase for the reference."""

_CLAIMS: Mapping[str, tuple[Type, Step, str]] = {
    "aud": (BYTES, text("aud"), "whom it is for"),
    "exp.sec": (INT, seconds("exp"), "when it expires, seconds since 1970"),
    "iat.sec": (INT, seconds("iat"), "when it was issued, seconds since 1970"),
    "iss": (BYTES, text("iss"), "who has issued it"),
    "jti": (BYTES, text("jti"), "its own identifier"),
    "nbf.sec": (INT, seconds("nbf"), "from when on it is valid, seconds since 1970"),
    "sub": (BYTES, text("sub"), "whose it is"),
}
"""The claims of RFC 7519, section 4.1, as Cloudflare names their fields."""


def _claims() -> Iterator[Row]:
    """The fields of each claim of valid tokens: by token configuration, their names, and all values."""
    for name, (of, step, phrase) in _CLAIMS.items():
        yield (
            f"claims.{name}",
            map_of(array(of)),
            by_name(step),
            f"Of a valid token {phrase}, by token configuration.",
        )
        yield (f"claims.{name}.names", STRINGS, names(step), f"The token configurations by which ``{name}`` is there.")
        yield (f"claims.{name}.values", array(of), values(step), f"All values of ``{name}``.")


_BY_TOKEN: Mapping[str, tuple[Type, Step, str]] = {
    "present": (BOOL, lambda verdict: verdict.present,
        "Whether there is a token, valid or not, by token configuration: ``is_jwt_present``."),
    "valid": (BOOL, lambda verdict: verdict.valid,
        "Whether the token is valid, by token configuration: ``is_jwt_valid``."),
    "reason": (BYTES, reason, "Why a token that is there is not valid, by token configuration."),
}  # fmt: skip

CLAIMS: tuple[Row, ...] = (
    ("claims", STRING_LISTS, by_name(whole),
     "Of a valid token all claims as JSON, by token configuration: for ``lookup_json_string``."),
    *_claims(),
)  # fmt: skip
"""The fields below ``http.request.jwt``."""

VERDICTS: tuple[Row, ...] = (
    *((name, map_of(of), by_name(step), phrase) for name, (of, step, phrase) in _BY_TOKEN.items()),
    ("claims", STRING_LISTS, claims,
     "Every value of every claim of a valid token, by token configuration, a dot, and the claim: ``NAME.scope``."),
)  # fmt: skip
"""The fields below ``edge.jwt``."""

OF_KEY: Mapping[str, Callable[[bytes], Callable[[Exchange], Any]]] = {
    "http.request.jwt.claims": of_name(whole),
    **{f"http.request.jwt.claims.{name}": of_name(step) for name, (_, step, _) in _CLAIMS.items()},
    **{f"edge.jwt.{name}": of_name(step) for name, (_, step, _) in _BY_TOKEN.items()},
    "edge.jwt.claims": of_claim,
}
"""Of those that are maps, what makes a reader of the value of one key that does without the map."""
