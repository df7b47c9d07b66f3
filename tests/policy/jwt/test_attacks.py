"""Attacks on tokens: whatever is tried, a token that its issuer did not sign for this service is not valid."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from edgenode.model.settings import Seconds, Secret, Size, Source, Word
from edgenode.model.tokens import TokenVerdict
from edgenode.policy.jwt import keys
from edgenode.policy.jwt.section import JWT, Place
from edgenode.policy.jwt.tokens import KeysWanted, Tokens
from edgenode.testing.exchanges import exchange_of

NOW = 2_000_000_000
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
OTHER = RSAKey.generate_key(2048, {"kid": "rsa"})
SHARED = "a secret of more than thirty-two bytes, as it has to be"
JWKS = json.dumps({"keys": [key.as_dict(private=False) for key in (RSA, EC, ED)]}).encode()
ISSUER, AUDIENCE = "https://login.example.com", "https://api.example.com"
CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": NOW + 60}
SECTION = JWT(
    source=(Source(url="https://login.example.com/jwks"),), issuer=(Word(ISSUER),), audience=(Word(AUDIENCE),)
)
BY_SECRET = evolve(SECTION, source=(), secret=Secret(SHARED))


def packed(data: object) -> str:
    """A part of a token."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def made(claims: Mapping[str, Any] = CLAIMS, alg: str = "RS256", key: Key = RSA, **header: Any) -> str:
    """A token that is signed as it has to be."""
    kid = {} if key.kid is None or "kid" in header else {"kid": key.kid}
    return signed({"typ": "JWT", "alg": alg, **kid, **header}, claims, key, alg)


def signed(header: object, payload: object, key: Key = RSA, alg: str = "RS256") -> str:
    """A token of any header and payload, signed for one algorithm, whatever its header says."""
    text = f"{packed(header)}.{packed(payload)}"
    return f"{text}.{packed(JWSRegistry.algorithms[alg].sign(text.encode(), key))}"


def judged(
    *tokens: str,
    section: JWT = SECTION,
    data: bytes = JWKS,
    at: float = NOW,
    headers: list[tuple[str, str]] | None = None,
) -> TokenVerdict:
    """The verdict on a request with these tokens as ``Authorization: Bearer``, or with these headers."""
    fields = headers if headers is not None else [("authorization", f"Bearer {token}") for token in tokens]
    exchange = exchange_of("GET", "https://api.example.com/", fields)
    exchange.time = at
    read = {} if section.secret else {"api": keys.read(data, public=True).keys}
    return Tokens.of({"api": section}, read, KeysWanted()).judge("api", exchange)


def refused(*tokens: str, because: str, **options: Any) -> None:
    """The verdict is that there is a token, and that it is not valid, for this reason; and no claim is believed."""
    verdict = judged(*tokens, **options)
    assert (verdict.present, verdict.valid, dict(verdict.claims), verdict.text) == (True, False, {}, b"")
    assert because in verdict.reason


def test_a_token_that_is_right_is_valid() -> None:
    """What all attacks below are made of is valid, and its claims are told; with each kind of key."""
    assert judged(made()) == TokenVerdict(True, True, "", CLAIMS, json.dumps(CLAIMS).encode())
    for alg, key in (("PS256", RSA), ("RS512", RSA), ("PS384", RSA), ("ES256", EC), ("EdDSA", ED), ("Ed25519", ED)):
        assert judged(made(alg=alg, key=key)).valid, alg
    assert judged(made(alg="HS256", key=OctKey.import_key(SHARED)), section=BY_SECRET).valid


def test_no_token_is_no_valid_token() -> None:
    """A request without a token has none, and so no valid one."""
    assert judged() == TokenVerdict(False, False, "there is none")
    assert judged(headers=[("authorization", "Basic YTpi")]) == TokenVerdict(False, False, "there is none")


# -- the algorithm -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["none", "None", "nOnE", "NONE"])
def test_a_token_without_a_signature_is_not_valid(name: str) -> None:
    """The algorithm none is none, in whatever case, with a signature or without, and whatever key is named."""
    for header in ({"alg": name}, {"alg": name, "kid": "rsa"}):
        refused(f"{packed(header)}.{packed(CLAIMS)}.", because="not signed")
        refused(f"{packed(header)}.{packed(CLAIMS)}.AAAA", because="not signed")
    refused(f"{packed({'alg': 'RS256', 'kid': 'rsa'})}.{packed(CLAIMS)}.", because="not signed")
    refused(f"{packed({'alg': 'RS256', 'kid': 'rsa'})}.{packed(CLAIMS)}", because="three parts")


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_secret(alg: str) -> None:
    """Algorithm confusion: a token whose HMAC has the public key for its secret is not valid, in any form of that."""
    public = RSA.public_key
    forms = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
        public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(RSA.as_dict(private=False)).encode(),
        str(RSA.as_dict(private=False)["n"]).encode(),
        JWKS,
        b"",
    ]
    for secret in forms:
        for header in ({"alg": alg, "kid": "rsa"}, {"alg": alg}):
            text = f"{packed(header)}.{packed(CLAIMS)}"
            code = hmac.new(secret, text.encode(), getattr(hashlib, f"sha{alg[2:]}")).digest()
            refused(f"{text}.{packed(code)}", because="algorithm")


def test_a_key_is_for_its_own_algorithms() -> None:
    """No other algorithm than one of the key's, of the key's own alg, and of the allowed ones; and no unknown one."""
    refused(made(alg="ES256", key=EC, kid="rsa"), because="its algorithm is none of its key")
    refused(signed({"alg": "ES256", "kid": "rsa"}, CLAIMS), because="its algorithm is none of its key")
    refused(signed({"alg": "PS256", "kid": "rsa"}, CLAIMS), because="its signature is wrong")
    refused(signed({"alg": "rs256", "kid": "rsa"}, CLAIMS), because="its algorithm is none of its key")
    for alg in (["RS256"], None, 1, "", "RSA-OAEP", "dir", "RS257"):
        refused(signed({"alg": alg, "kid": "rsa"}, CLAIMS), because="algorithm")
    only = evolve(SECTION, algorithms=("ES256",))
    refused(made(), section=only, because="not one of those that are allowed")
    assert judged(made(alg="ES256", key=EC), section=only).valid
    own = json.dumps({"keys": [{**RSA.as_dict(private=False), "alg": "PS256"}]}).encode()
    refused(made(), data=own, because="none of its key")
    assert judged(made(alg="PS256"), data=own).valid


# -- the claims --------------------------------------------------------------------------------------------------------


def test_times_are_looked_at() -> None:
    """Expired, not valid yet, issued in the future; with leeway as much earlier or later, and never without an exp."""
    refused(made({**CLAIMS, "exp": NOW}), because="expired")
    refused(made({**CLAIMS, "exp": NOW - 30}), because="expired")
    refused(made({**CLAIMS, "nbf": NOW + 30}), because="not valid yet")
    refused(made({**CLAIMS, "iat": NOW + 30}), because="issued in the future")
    lenient = evolve(SECTION, leeway=Seconds(31.0))
    for claims in ({"exp": NOW - 30}, {"nbf": NOW + 30}, {"iat": NOW + 30}):
        assert judged(made({**CLAIMS, **claims}), section=lenient).valid
    refused(made({name: value for name, value in CLAIMS.items() if name != "exp"}), because="it has no exp")
    refused(made(), at=0, because="nobody knows the time")


@pytest.mark.parametrize("value", ["2000000060", True, None, [NOW + 60], {}, "never"])
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_a_time_is_a_number(name: str, value: object) -> None:
    """What is no number of seconds is not valid, whatever a lenient reader would make of it."""
    refused(signed({"alg": "RS256", "kid": "rsa"}, {**CLAIMS, name: value}), because=name)


@pytest.mark.parametrize("text", ["1e999", "NaN", "Infinity", "-Infinity", "9" * 5000, "9" * 400])
def test_a_time_is_finite(text: str) -> None:
    """Endless times, and numbers that some readers cannot hold, do not make a token of which nobody sees the end."""
    payload = json.dumps({**CLAIMS, "exp": 0}).replace('"exp": 0', f'"exp": {text}').encode()
    assert text.encode() in payload
    refused(signed({"alg": "RS256", "kid": "rsa"}, payload), because="")


def test_issuer_and_audience_are_looked_at() -> None:
    """A token of another issuer, or for another service, or for none, is not valid here."""
    for wrong in ("https://login.example.com/", "https://evil.example", "", "https://LOGIN.example.com"):
        refused(made({**CLAIMS, "iss": wrong}), because="issuer")
    refused(made({**CLAIMS, "aud": "https://other.example.com"}), because="another audience")
    refused(made({**CLAIMS, "aud": ["a", "b"]}), because="another audience")
    refused(made({**CLAIMS, "aud": []}), because="another audience")
    refused(made({name: value for name, value in CLAIMS.items() if name != "aud"}), because="another audience")
    refused(signed({"alg": "RS256", "kid": "rsa"}, {**CLAIMS, "aud": {AUDIENCE: 1}}), because="no text")
    refused(signed({"alg": "RS256", "kid": "rsa"}, {**CLAIMS, "aud": [AUDIENCE, 1]}), because="no text")
    refused(signed({"alg": "RS256", "kid": "rsa"}, {**CLAIMS, "iss": [ISSUER]}), because="iss")
    assert judged(made({**CLAIMS, "aud": ["other", AUDIENCE]})).valid


def test_a_token_for_somebody_is_not_for_a_service_without_an_audience() -> None:
    """RFC 7519, section 4.1.3: who names no audience refuses tokens that have one, unless it says that any will do."""
    nobody, anybody = evolve(SECTION, audience=()), evolve(SECTION, audience=(Word("*"),))
    refused(made(), section=nobody, because="names none")
    assert judged(made({name: value for name, value in CLAIMS.items() if name != "aud"}), section=nobody).valid
    assert judged(made(), section=anybody).valid


def test_types_and_claims_can_be_demanded() -> None:
    """An identity token is no access token where at+jwt is demanded (RFC 9068); demanded claims have to be there."""
    access = evolve(SECTION, types=(Word("at+jwt"),), required_claims=(Word("exp"), Word("jti")))
    refused(made({**CLAIMS, "jti": "1"}), section=access, because="type (typ)")
    refused(made(typ="at+jwt"), section=access, because="it has no jti")
    assert judged(made({**CLAIMS, "jti": "1"}, typ="application/AT+JWT"), section=access).valid


# -- the header --------------------------------------------------------------------------------------------------------


def test_keys_that_a_token_brings_along_are_ignored() -> None:
    """A key in the header (jwk, x5c), or a place of one (jku, x5u), verifies nothing, and does no harm."""
    brought: dict[str, Any] = {
        "jwk": OTHER.as_dict(private=False),
        "jku": "https://evil.example/jwks.json",
        "x5u": "https://evil.example/cert.pem",
        "x5c": ["MIIB"],
        "x5t": "AAAA",
    }
    for name, value in brought.items():
        for kid in ({"kid": "rsa"}, {}):
            refused(signed({"alg": "RS256", **kid, name: value}, CLAIMS, OTHER), because="its signature is wrong")
        assert judged(signed({"alg": "RS256", "kid": "rsa", name: value}, CLAIMS)).valid


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../../../dev/null", "/dev/null", "rsa' UNION SELECT 'x", "rsa\0", "rsa ", "RSA", "", "|sleep 5",
        "https://evil.example/k", "{{7*7}}", "\ud800",
    ],
)  # fmt: skip
def test_the_name_of_a_key_is_only_compared(kid: str) -> None:
    """A kid is a name among names: no path, no address and no query; an unknown one has no key."""
    refused(signed({"alg": "RS256", "kid": kid}, CLAIMS), because="a key (kid) that is not there")
    for secret in (b"", b"\0", kid.encode("utf-8", "surrogatepass")):  # what a file or a table might have held
        text = f"{packed({'alg': 'HS256', 'kid': kid})}.{packed(CLAIMS)}"
        refused(f"{text}.{packed(hmac.digest(secret, text.encode(), 'sha256'))}", because="(kid)")
    for value in (["rsa"], {"a": 1}, 1, None, True):
        refused(signed({"alg": "RS256", "kid": value}, CLAIMS), because="(kid) is no text")


def test_extensions_of_a_header_are_not_known() -> None:
    """crit with whatever is in it, b64 = false, compression, encryption and nested tokens are not valid."""
    for crit in (["exp"], ["b64"], ["unknown"], [], "alg", None, [1]):
        refused(signed({"alg": "RS256", "kid": "rsa", "crit": crit, "exp": 1}, CLAIMS), because="crit")
    for value in (False, True):
        refused(signed({"alg": "RS256", "kid": "rsa", "b64": value}, CLAIMS), because="b64")
    text = f"{packed({'alg': 'RS256', 'kid': 'rsa', 'b64': False, 'crit': ['b64']})}.{json.dumps(CLAIMS)}"
    refused(f"{text}.AAAA", because="three parts")
    refused(signed({"alg": "RS256", "kid": "rsa", "zip": "DEF"}, CLAIMS), because="zip")
    refused(signed({"alg": "RS256", "kid": "rsa", "cty": "JWT"}, made().encode()), because="nested")
    refused(signed({"alg": "RS256", "kid": "rsa"}, made().encode()), because="its payload is no object")


def test_encrypted_tokens_are_not_supported() -> None:
    """A JWE is not valid, and neither is one to the public key of the issuer, which anybody can make."""
    for alg in ("RSA-OAEP", "RSA-OAEP-256"):
        token = jwe.encrypt_compact(
            {"alg": alg, "enc": "A256GCM", "kid": "rsa"}, json.dumps(CLAIMS), RSA, [alg, "A256GCM"]
        )
        refused(token, because="JWE")


def test_a_name_that_stands_twice_is_the_end() -> None:
    """Of a claim or a part of the header that stands twice one reader takes the first, and another the last."""
    twice = json.dumps(CLAIMS)[:-1].encode() + b', "sub": "root"}'
    refused(signed({"alg": "RS256", "kid": "rsa"}, twice), because="stands twice in its payload")
    deep = json.dumps({**CLAIMS, "a": [{"b": 0}]}).replace('"b": 0', '"b": 0, "b": 1').encode()
    refused(signed({"alg": "RS256", "kid": "rsa"}, deep), because="stands twice")
    refused(signed({"alg": "RS256", "kid": "rsa", "x": [[]] * 40}, CLAIMS), because="too much in its header")
    refused(signed(b'{"alg": "none", "alg": "RS256", "kid": "rsa"}', CLAIMS), because="stands twice in its header")


@pytest.mark.parametrize(
    "payload", [b"[]", b'"x"', b"1", b"", b"{", b"\xff", b"null", b"[" * 20_000, b"{}x", b"\xef\xbb\xbf{}"]
)
def test_a_payload_is_an_object(payload: bytes) -> None:
    """Anything else is not valid, and nothing raises."""
    section = evolve(SECTION, max_token_size=Size(65536))
    if payload:
        refused(signed({"alg": "RS256", "kid": "rsa"}, payload), section=section, because="")
    else:
        refused(signed({"alg": "RS256", "kid": "rsa"}, payload), because="Base64")


# -- how it is written, and where it stands ----------------------------------------------------------------------------


def test_a_token_has_one_spelling() -> None:
    """Padding, white space, the standard alphabet, spare bits and further dots: another text is another token."""
    token = made()
    head, payload, signature = token.split(".")
    spare = (
        signature[:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[signature[-1]]
    )  # the last digit has two of six bits
    for wrong in (
        f"{token}=", f"{head}=.{payload}.{signature}", f"{token}==", f" {token}", f"{head} .{payload}.{signature}",
        f"{head}.{payload}\t.{signature}", f"{token}.", f".{token}", f"{head}..{signature}",
        f"{head}.{payload}.{spare}",
        f"{head}%2E{payload}.{signature}", f'"{token}"', f"{token},{token}", f"{token} x", f"Bearer {token}",
        token.replace(".", "\u2024"), f"{head}.{payload}.{signature}.{signature}.{signature}",
    ):  # fmt: skip
        refused(headers=[("authorization", f"Bearer {wrong}".encode().decode("latin-1"))], because="")
    assert judged(headers=[("authorization", f"bEaReR {token}")]).valid
    refused(headers=[("authorization", "Bearer")], because="three parts")


def test_two_tokens_are_none() -> None:
    """Of two fields nobody knows which one a server behind takes: not even with the same token are they valid."""
    good, other = made(), made({**CLAIMS, "sub": "mallory"})
    for several in ([good, other], [good, good], [good, "x"], ["x", good]):
        refused(*several, because="more than one")
    basic = ("authorization", "Basic YTpi")
    refused(headers=[basic, ("authorization", f"Bearer {good}")], because="more than one")
    refused(headers=[("authorization", f"Bearer {good}, Bearer {good}")], because="JWE")


def test_two_places_have_the_same_token() -> None:
    """A token may stand in each of its places, but no other one beside it."""
    section = evolve(SECTION, token=(Place("bearer"), Place("header", "x-token"), Place("cookie", "session")))
    good, other = made(), made({**CLAIMS, "sub": "mallory"})
    bearer, header, cookie = ("authorization", f"Bearer {good}"), ("x-token", good), ("cookie", f"a=b; session={good}")
    for headers in ([bearer], [header], [cookie], [bearer, header], [bearer, header, cookie]):
        assert judged(headers=headers, section=section).valid
    for wrong in (
        ("x-token", other),
        ("x-token", ""),
        ("cookie", f"session={other}"),
        ("cookie", f"session={good}; session="),
    ):
        refused(headers=[bearer, wrong], section=section, because="more than one")
    refused(headers=[("cookie", f"session={good}; session={other}")], section=section, because="more than one")


def test_a_token_is_bounded() -> None:
    """A token that is larger than max-token-size is not valid, and is not read."""
    long = made({**CLAIMS, "x": "y" * 9000})
    refused(long, because="larger than 8192 bytes")
    assert judged(long, section=evolve(SECTION, max_token_size=Size(16384))).valid


# -- signatures --------------------------------------------------------------------------------------------------------


def test_signatures_of_nothing_are_wrong() -> None:
    """Psychic signatures: r and s of 0, of the order of the curve, or in another form or length, are wrong."""
    head, payload, signature = made(alg="ES256", key=EC).split(".")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    raw = base64.urlsafe_b64decode(signature + "==")
    size = 32
    numbers = [0, 1, order, order - 1, order + 1, (1 << 256) - 1]
    wrong = [r.to_bytes(size, "big") + s.to_bytes(size, "big") for r in numbers for s in numbers]
    wrong += [
        raw[:32] + bytes(32),
        bytes(32) + raw[32:],
        raw[:-1],
        raw + b"\0",
        b"\0" + raw,
        bytes(128),
        raw[32:] + raw[:32],
    ]
    wrong += [EC.private_key.sign(f"{head}.{payload}".encode(), ECDSA(SHA256()))] if EC.private_key else []  # in DER
    for each in wrong:
        refused(f"{head}.{payload}.{packed(each)}", because="its signature is wrong")


def test_another_signature_of_the_same_claims_says_nothing_new() -> None:
    """ECDSA has two signatures for each (r, s and r, -s): both are the issuer's, of these very claims, and no token is
    known here by its text."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    token = made(alg="ES256", key=EC)
    head, payload, signature = token.split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    other = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    assert judged(f"{head}.{payload}.{packed(other)}") == judged(token)


@given(st.data())
def test_one_changed_bit_is_the_end(data: st.DataObject) -> None:
    """Whatever bit of a token is changed, it is not valid."""
    token = bytearray(TOKEN, "ascii")
    at = data.draw(st.integers(0, len(token) - 1))
    token[at] = data.draw(
        st.sampled_from(
            [each for each in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_." if each != token[at]]
        )
    )
    assert not judged(token.decode()).valid


TOKEN = made()


@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=60))
def test_no_text_is_valid_or_raises(text: str) -> None:
    """Whatever stands in the place of a token is judged, and is none."""
    assert not judged(headers=[("authorization", f"Bearer {text.strip()}")]).valid


@given(
    st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "cty", "crit", "b64", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda each: st.lists(each, max_size=3)
        ),
    ),
    st.dictionaries(
        st.sampled_from(["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda each: st.lists(each, max_size=3)
        ),
    ),
)
def test_no_claims_raise(header: dict[str, Any], claims: dict[str, Any]) -> None:
    """Whatever an issuer signs is judged; it is valid only if it says what it has to."""
    verdict = judged(signed({"alg": "RS256", **header}, claims))
    assert not verdict.valid or (claims["iss"], claims["aud"]) == (ISSUER, AUDIENCE)


def test_an_unknown_key_is_asked_for() -> None:
    """A token that names a key that is not there, or that comes before any key, has the node told; no other has."""
    asked: list[str] = []
    judge = Tokens.of({"api": SECTION}, {"api": keys.read(JWKS, public=True).keys}, KeysWanted(asked.append))
    for token, expected in ((made(kid="new"), ["jwt api"]), (made(), []), (made({}), []), ("x", [])):
        asked.clear()
        exchange = exchange_of("GET", "https://api.example.com/", [("authorization", f"Bearer {token}")])
        judge.judge("api", exchange)
        assert asked == expected
    none = Tokens.of({"api": SECTION}, {}, KeysWanted(asked.append)).judge("api", exchange)
    assert (none.valid, none.reason, asked) == (False, "there is no key yet to verify it with", ["jwt api"])
