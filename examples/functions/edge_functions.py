"""Edge functions: requests that partners sign, tokens that become tags, a canary, and what no answer may let out.

Each is named by functions.ini as edge_functions:NAME, so this folder is in PYTHONPATH.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import re

from attrs import frozen
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from edgenode import Exchange, File, FunctionResult, OriginResponse, Response, Seconds, Secret, setting

# -- signed requests


@frozen
class Signing:
    """What is agreed on with those who sign."""

    secret: Secret = setting("What they sign with.")
    tolerance: Seconds = setting("How old a signature may be.", Seconds(300.0))


_SIGNATURE = re.compile(rb"t=([0-9]{1,12}),v1=([0-9a-f]{64})")


def signature(secret: str, time: bytes, method: bytes, target: bytes, body: bytes) -> bytes:
    """What stands in ``X-Signature`` behind ``v1=``: HMAC-SHA256 of time, method, target and the body's digest."""
    digest = hashlib.sha256(body).hexdigest().encode()
    return hmac.new(secret.encode(), b"\n".join((time, method, target, digest)), "sha256").hexdigest().encode()


def signed(exchange: Exchange, keys: Signing) -> FunctionResult:
    """Only requests that are signed pass: ``X-Signature: t=SECONDS,v1=HEX``. The section has ``body = yes``."""
    request = exchange.request
    assert request is not None
    values = request.fields.get(b"x-signature", ())
    match = _SIGNATURE.fullmatch(values[0]) if len(values) == 1 else None
    if match is None or request.body is None or request.body.truncated:
        return _unsigned("no signature")
    if abs(exchange.time - int(match[1])) > keys.tolerance:
        return _unsigned("the signature is too old")
    expected = signature(keys.secret, match[1], request.method, request.target, request.body.data)
    if not hmac.compare_digest(expected, match[2]):
        return _unsigned("a wrong signature")
    return FunctionResult(tags={"signed"}, remove=(b"x-signature",))


def _unsigned(reason: str) -> FunctionResult:
    return FunctionResult(answer=Response(401, ((b"cache-control", b"no-store"),), b"Not signed.\n"), reason=reason)


# -- tokens


@frozen
class Tokens:
    """Whose tokens are believed."""

    keys: File = setting("The public keys of the issuer, a JWK set (RFC 7517, section 5).")
    issuer: str = setting("Who has to have issued a token.")
    audience: str = setting("For whom it has to be.")


@functools.lru_cache(8)
def _key_set(file: File) -> KeySet:
    return KeySet.import_key_set(json.loads(file.read_bytes()))


def bearer(exchange: Exchange, keys: Tokens) -> FunctionResult | None:
    """The scopes of a token become tags: ``orders.read`` is ``scope:orders-read``. A wrong token is refused."""
    request = exchange.request
    assert request is not None
    values = request.fields.get(b"authorization", ())
    if not any(each[:7].lower() == b"bearer " for each in values):
        return None
    try:
        (value,) = values
        token = jwt.decode(value[7:].decode("ascii"), _key_set(keys.keys), algorithms=["ES256"])
        claims = jwt.JWTClaimsRegistry(
            now=int(exchange.time),
            exp={"essential": True},
            iss={"essential": True, "value": keys.issuer},
            aud={"essential": True, "value": keys.audience},
        )
        claims.validate(token.claims)
        scopes = str(token.claims.get("scope", "")).split()
        subject = str(token.claims.get("sub", "")).encode("ascii")
    except (JoseError, ValueError) as error:
        challenge = ((b"www-authenticate", b'Bearer error="invalid_token"'), (b"cache-control", b"no-store"))
        return FunctionResult(answer=Response(401, challenge, b"No valid token.\n"), reason=type(error).__name__)
    tags = {f"scope:{re.sub('[^a-z0-9:]', '-', scope.lower())}" for scope in scopes[:32]}
    return FunctionResult(tags={"token", *tags}, headers=((b"x-subject", subject),))


# -- a canary


@frozen
class Share:
    """How many see what is new."""

    percent: int = setting("Of a hundred clients.")


def canary(exchange: Exchange, keys: Share) -> FunctionResult | None:
    """A share of the clients is sent to the origin ``canary``, a client always to the same one; so is who asks for it.

    It stands behind the filters, so that these can put the tag ``beta`` on those who may ask.
    """
    request = exchange.request
    assert request is not None
    asked = "beta" in exchange.tags and request.fields.get(b"x-canary") == (b"yes",)
    place = int.from_bytes(hashlib.sha256(exchange.client.encode()).digest()[:4], "big") % 100
    if not asked and place >= keys.percent:
        return None
    return FunctionResult(origin="canary", tags={"canary"}, headers=((b"x-canary", b"yes"),))


# -- what no answer may let out

_TRACE = re.compile(rb"Traceback \(most recent call last\):|^\s+at [\w.$]+\([\w.]+:\d+\)", re.MULTILINE)


async def no_traces(exchange: Exchange, response: OriginResponse) -> FunctionResult | None:
    """An answer with a stack trace of Python or Java in it is replaced; none says what has written it."""
    if response.body is not None and _TRACE.search(response.body.data):
        return FunctionResult(
            answer=Response(500, (), b"Something went wrong.\n"), tags={"leak"}, reason="a stack trace"
        )
    return FunctionResult(remove=(b"server", b"x-powered-by"))
