"""Whether a token in compact form (RFC 7515, section 7.1) is valid, as RFC 8725 wants it verified.

Law: the token chooses nothing. Keys, and the algorithms that each may verify, are known before it is read; other keys
in its header are ignored, and extensions are the end of it. What two readers could read differently is not valid.
Nothing raises, and no reason holds anything of the token.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from attrs import frozen

from edgenode.model.tokens import TokenVerdict
from edgenode.policy.jwt.keys import Key, Twice, decoded, single

_MOST_UNNAMED = 4
"""Keys that are tried for a token that names none."""

_MOST_IN_HEADER = 32
_MOST_IN_PAYLOAD = 512
"""Objects and lists, or what looks like the beginning of one."""

_TEXTS = ("iss", "sub", "jti")
_TIMES = ("exp", "nbf", "iat")
_FORBIDDEN: Mapping[str, str] = {
    "crit": "its header has extensions (crit), and none is known here",
    "b64": "its payload is said to be unencoded (b64), which is not supported",
    "enc": "it is encrypted (JWE), which is not supported",
    "zip": "it is compressed (zip), which is not supported",
}


class UnknownKey(Exception):
    """A token names a key that is not there: it may have come to be used a moment ago."""


class _Invalid(Exception):
    """Why a token is not valid."""


@frozen
class Demands:
    """What is asked of a token besides its signature.

    :ivar algorithms: what it may be signed with; none for all that its key may verify.
    :ivar issuers: of which its ``iss`` is one; none for any, or no ``iss``.
    :ivar audiences: of which one of its ``aud`` is one; none: it has no ``aud``; ``*``: any.
    :ivar types: of which its ``typ`` is one, in lower case, without ``application/``; none for any.
    :ivar required: the claims that it has.
    :ivar leeway: how many seconds clocks may differ.
    :ivar most: bytes.
    """

    algorithms: frozenset[str]
    issuers: frozenset[str]
    audiences: frozenset[str]
    types: frozenset[str]
    required: tuple[str, ...]
    leeway: float
    most: int


def verdict(token: bytes, keys: Sequence[Key], demands: Demands, now: float) -> TokenVerdict:
    """Judge a token.

    :param now: seconds since 1970.
    :raises UnknownKey: if it is signed with a key that is not among them, by its ``kid``.
    """
    try:
        text = _signed(token, keys, demands)
        claims = _object(text, "its payload", _MOST_IN_PAYLOAD)
        _check(claims, demands, now)
    except _Invalid as problem:
        return TokenVerdict(True, reason=str(problem))
    return TokenVerdict(True, True, "", claims, text)


def _signed(token: bytes, keys: Sequence[Key], demands: Demands) -> bytes:
    """The payload of a token whose signature is right."""
    if len(token) > demands.most:
        raise _Invalid(f"it is larger than {demands.most} bytes")
    parts = token.split(b".", 5)
    if len(parts) == 5:
        raise _Invalid(_FORBIDDEN["enc"])
    if len(parts) != 3:
        raise _Invalid("it has not the three parts of a signed token")
    head, payload, signature = map(decoded, parts)
    if not signature and not parts[2]:
        raise _Invalid("it is not signed")
    if head is None or payload is None or signature is None:
        raise _Invalid("a part of it is not in Base64 for URLs, without padding")
    header = _object(head, "its header", _MOST_IN_HEADER)
    algorithm = _header(header, demands)
    signed = token[: len(parts[0]) + 1 + len(parts[1])]
    candidates = _candidates(keys, header.get("kid"), algorithm)
    if not any(key.verifies(algorithm, signed, signature) for key in candidates):
        raise _Invalid("its signature is wrong")
    return payload


def _header(header: Mapping[str, Any], demands: Demands) -> str:
    """The algorithm of a header in which nothing else is wrong; keys in it, or places of some, are not looked at."""
    for name, sentence in _FORBIDDEN.items():
        if name in header:
            raise _Invalid(sentence)
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise _Invalid("its header has no algorithm")
    if algorithm.lower() == "none":
        raise _Invalid("it is not signed: its algorithm is none")
    if demands.algorithms and algorithm not in demands.algorithms:
        raise _Invalid("its algorithm is not one of those that are allowed")
    if not isinstance(header.get("kid", ""), str):
        raise _Invalid("what names its key (kid) is no text")
    if not isinstance(header.get("typ", ""), str) or not isinstance(header.get("cty", ""), str):
        raise _Invalid("its type (typ) is no text")
    if _media(header.get("cty", "")) == "jwt":
        raise _Invalid("it is nested (cty), which is not supported")
    if demands.types and _media(header.get("typ", "")) not in demands.types:
        raise _Invalid("its type (typ) is not one of those that are allowed")
    return algorithm


def _media(type: str) -> str:
    return type.lower().removeprefix("application/")


def _candidates(keys: Sequence[Key], identifier: str | None, algorithm: str) -> Sequence[Key]:
    """The keys that may have signed it; a key without an identifier may be of any."""
    named = keys if identifier is None else [key for key in keys if key.identifier in (identifier, None)]
    if not named:
        raise UnknownKey
    found = [key for key in named if algorithm in key.algorithms]
    if not found:
        raise _Invalid("its algorithm is none of its key")
    if identifier is None and len(found) > _MOST_UNNAMED:
        raise _Invalid("it does not say which key it is signed with (kid), and there are many")
    return found


def _object(data: bytes, what: str, most: int) -> dict[str, Any]:
    """An object of JSON (RFC 8259), in which no name stands twice.

    :param most: how many objects and lists may be in it: whoever sends it has it nested until it takes long.
    """
    if data.count(b"[") + data.count(b"{") > most:
        raise _Invalid(f"there is too much in {what}")
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=single, parse_constant=_no_number)
    except Twice:
        raise _Invalid(f"a name stands twice in {what}") from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _Invalid(f"{what} is no object of JSON")
    return found


def _no_number(_: str) -> float:
    raise ValueError("NaN and Infinity are no JSON")


def _check(claims: Mapping[str, Any], demands: Demands, now: float) -> None:
    """Look at the claims (RFC 7519, section 4.1)."""
    for name in demands.required:
        if claims.get(name) is None:
            raise _Invalid(f"it has no {name}")
    for name in _TEXTS:
        if not isinstance(claims.get(name, ""), str):
            raise _Invalid(f"its {name} is no text")
    times = {name: _seconds(name, claims[name]) for name in _TIMES if name in claims}
    if not now:
        raise _Invalid("nobody knows the time")
    if now >= times.get("exp", math.inf) + demands.leeway:
        raise _Invalid("it has expired (exp)")
    for name, sentence in (("nbf", "it is not valid yet (nbf)"), ("iat", "it was issued in the future (iat)")):
        if now < times.get(name, -math.inf) - demands.leeway:
            raise _Invalid(sentence)
    if demands.issuers and claims.get("iss") not in demands.issuers:
        raise _Invalid("its issuer (iss) is another")
    _check_audience(claims, demands.audiences)


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Invalid(f"its {name} is no number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise _Invalid(f"its {name} is no time")
    return found


def _check_audience(claims: Mapping[str, Any], audiences: Collection[str]) -> None:
    audience = claims.get("aud", [])
    several = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(each, str) for each in several):
        raise _Invalid("its audience (aud) is no text")
    if "*" in audiences:
        return
    if not audiences and several:
        raise _Invalid("it is for an audience (aud), and the token configuration names none")
    if audiences and not any(each in audiences for each in several):
        raise _Invalid("it is for another audience (aud)")
