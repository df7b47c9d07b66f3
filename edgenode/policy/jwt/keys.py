"""The public keys and secrets that tokens are verified with, from a JWK set (RFC 7517), PEM or a text.

Law: an algorithm belongs to a key before any token is seen, so no token can have a key used for another one. What is
fetched from elsewhere is public, and so never a secret; and no message holds anything of a key.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from edgenode.model.errors import InvalidValue

ALGORITHMS: tuple[str, ...] = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519", "Ed448", "HS256", "HS384", "HS512"),
)
"""The algorithms of RFC 7518, section 3.1, and RFC 9864 that tokens may be signed with; ``none`` is none of them."""

_OF_KEY: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("RSA", ""): ALGORITHMS[:6],
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA", "Ed25519"),
    ("OKP", "Ed448"): ("EdDSA", "Ed448"),
}
"""What a key is for, by its type and curve; a secret by its length."""

_OF_SECRET = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The least bytes of a secret (RFC 7518, section 3.2)."""

LEAST_SECRET = min(_OF_SECRET.values())
LEAST_RSA = 2048
"""Bits (RFC 7518, section 3.3)."""

MOST_RSA = 16384
"""Bits: to verify with a longer one takes many times as long."""

MOST_KEYS = 100
"""Keys of one source."""

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_NEEDED = "tokens need the package joserfc: pip install joserfc"


@frozen(eq=False)
class Key:
    """One key.

    :ivar identifier: by which tokens name it (``kid``); ``None`` without one.
    :ivar algorithms: what it may verify.
    :ivar key: as joserfc has it.
    """

    identifier: str | None
    algorithms: tuple[str, ...]
    key: Any = field(repr=False)

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Whether a signature is right; false whatever goes wrong."""
        from joserfc.jws import JWSRegistry

        if algorithm not in self.algorithms:
            return False
        try:
            model = JWSRegistry.algorithms[algorithm]
            model.check_key(self.key)
            return model.verify(signed, signature, self.key) is True
        except Exception:  # whatever the library makes of what a client has sent
            return False


@frozen
class Read:
    """What a source holds.

    :ivar keys: those that can be used.
    :ivar left_out: why others cannot, a sentence each.
    """

    keys: tuple[Key, ...]
    left_out: tuple[str, ...] = ()


def read(data: bytes, *, public: bool) -> Read:
    """Read a JWK set, a single JWK, or public keys and certificates in PEM.

    :param public: whether it comes from elsewhere: then a secret, or a private key, is left out, as is what is too
        weak, for others may go on. In a file of our own that is an error.
    :raises InvalidValue: if it is none of these, or no key of it can be used.
    """
    try:
        import joserfc.jwk  # noqa: F401  # an extra
    except ImportError:
        raise InvalidValue(_NEEDED) from None
    found, left_out = list[Key](), list[str]()
    for place, written in _pem(data) if data.lstrip().startswith(b"-----BEGIN") else _jwks(data):
        try:
            if isinstance(written, dict) and written.get("use", "sig") != "sig":
                raise _Unused("it is for encryption")
            found.append(_key(written, public=public))
        except _Unused as problem:
            left_out.append(f"{place}: {problem}")
        except InvalidValue as problem:
            if not public:
                raise InvalidValue(f"{place}: {problem.sentence}") from None
            left_out.append(f"{place}: {problem.sentence}")
    if not found:
        more = f": {'; '.join(left_out)}" if left_out else ""
        raise InvalidValue(f"there is no key in it that can verify a token{more}")
    return Read(tuple(found), tuple(left_out))


def secret(text: str) -> Key:
    """The key of a secret.

    :raises InvalidValue: if it is too short.
    """
    return _secret(text.encode("utf-8", "surrogateescape"), None, None)


class _Unused(Exception):
    """A key that is not meant for tokens, or of a kind that is not known here: RFC 7517, section 5, leaves it out."""


def _jwks(data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """The keys of a JWK set, each with what it is called; a member twice is an error, for nobody knows which counts."""
    try:
        written = json.loads(data.decode("utf-8-sig"), object_pairs_hook=single)
    except json.JSONDecodeError as error:
        raise InvalidValue(f"line {error.lineno}: neither PEM nor JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        sentence = str(error) if isinstance(error, Twice) else "neither PEM nor JSON"
        raise InvalidValue(sentence) from None
    if isinstance(written, dict) and "keys" not in written and "kty" in written:
        written = {"keys": [written]}
    keys = written.get("keys") if isinstance(written, dict) else None
    if not isinstance(keys, list) or not all(isinstance(each, dict) for each in keys):
        raise InvalidValue('a JWK set is an object with a list of objects, "keys" (RFC 7517, section 5)')
    if len(keys) > MOST_KEYS:
        raise InvalidValue(f"there are more than {MOST_KEYS} keys in it")
    for number, each in enumerate(keys, 1):
        yield f"key {number}", each


def _pem(data: bytes) -> Iterator[tuple[str, bytes]]:
    blocks = [*_PEM.finditer(data)]
    if not blocks:
        raise InvalidValue("its PEM has no end")
    if len(blocks) > MOST_KEYS:
        raise InvalidValue(f"there are more than {MOST_KEYS} keys in it")
    for block in blocks:
        line = data.count(b"\n", 0, block.start()) + 1
        yield f"line {line}", block[0]


class Twice(ValueError):
    """A name stands twice in an object of JSON."""


def single(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The object of pairs, for :func:`json.loads`.

    :raises Twice: if a name stands in it twice: readers differ in which they take.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Twice("a name stands twice in one object")
    return found


def _key(written: dict[str, Any] | bytes, *, public: bool) -> Key:
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    if isinstance(written, dict):
        identifier, alone = _text(written, "kid"), _text(written, "alg")
        type = _text(written, "kty")
        if type == "oct":
            if public:
                raise InvalidValue("a secret that everybody can fetch is none")
            return _secret(_octets(written.get("k")), identifier, alone)
        if any(name in written for name in ("d", "p", "q", "dp", "dq", "qi", "oth")):
            raise InvalidValue("it is a private key: only its public key belongs here")
        classes: Mapping[str | None, Any] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
        if type not in classes:
            raise _Unused("its type is not known here")
        of, material = classes[type], {name: value for name, value in written.items() if name not in ("use", "key_ops")}
        operations = written.get("key_ops", ["verify"])
        if not isinstance(operations, list) or "verify" not in operations:
            raise _Unused("it is not for verifying")
    else:
        raw = _public_key(written)
        identifier = alone = None
        of, material = _class_of(raw), raw
    if of is RSAKey:
        _check_size(written, material)
    try:
        key = of.import_key(material)
        key.get_op_key("verify")
    except Exception:
        raise InvalidValue("it cannot be read") from None
    curve = "" if of is RSAKey else str(getattr(key, "curve_name", ""))
    algorithms = _OF_KEY.get((key.key_type, curve))
    if algorithms is None:
        raise _Unused(f"its curve is not known here: {curve}" if curve.isalnum() else "its curve is not known here")
    return Key(identifier, _only(alone, algorithms), key)


def _check_size(written: dict[str, Any] | bytes, material: Any) -> None:
    bits = int.from_bytes(_octets(written.get("n"))).bit_length() if isinstance(written, dict) else material.key_size
    if bits < LEAST_RSA:
        raise InvalidValue(f"an RSA key has at least {LEAST_RSA} bits, and it has {bits}")
    if bits > MOST_RSA:
        raise InvalidValue(f"an RSA key has at most {MOST_RSA} bits, and it has {bits}")


def _public_key(block: bytes) -> Any:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    kind = block.partition(b"-----BEGIN ")[2].partition(b"-----")[0]
    if b"PRIVATE" in kind:
        raise InvalidValue("it is a private key: only its public key belongs here (openssl pkey -pubout)")
    try:
        if kind == b"CERTIFICATE":
            return x509.load_pem_x509_certificate(block).public_key()
        return load_pem_public_key(block)
    except Exception:
        raise InvalidValue("it is no public key and no certificate that can be read") from None


def _class_of(raw: Any) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    if isinstance(raw, rsa.RSAPublicKey):
        return RSAKey
    if isinstance(raw, ec.EllipticCurvePublicKey):
        return ECKey
    if isinstance(raw, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return OKPKey
    raise InvalidValue("its type is none that tokens are signed with")


def _secret(data: bytes, identifier: str | None, alone: str | None) -> Key:
    try:
        from joserfc.jwk import OctKey
    except ImportError:
        raise InvalidValue(_NEEDED) from None
    if len(data) < LEAST_SECRET:
        raise InvalidValue(f"a secret has at least {LEAST_SECRET} bytes (RFC 7518, section 3.2)")
    if data.lstrip().startswith((b"-----BEGIN", b"ssh-", b"ecdsa-")):
        raise InvalidValue("it is a public key, and everybody may have it: it is no secret")
    long_enough = tuple(name for name, least in _OF_SECRET.items() if len(data) >= least)
    return Key(identifier, _only(alone, long_enough), OctKey.import_key(data))


def _only(alone: str | None, algorithms: tuple[str, ...]) -> tuple[str, ...]:
    """The algorithms of a key, of which it may name one."""
    if alone is None:
        return algorithms
    if alone not in algorithms:
        raise InvalidValue("its alg is none that a key of its type verifies")
    return (alone,)


def _text(written: dict[str, Any], name: str) -> str | None:
    found = written.get(name)
    if found is not None and not isinstance(found, str):
        raise InvalidValue(f"its {name} is no text")
    return found


_BASE64URL = re.compile(rb"[A-Za-z0-9_-]+")


def decoded(text: bytes) -> bytes | None:
    """What a text in Base64 for URLs without padding stands for (RFC 7515, section 2); ``None`` if it is none, or
    another text would stand for the same."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        return None
    found = binascii.a2b_base64(text.translate(_TO_STANDARD) + b"=" * (-len(text) % 4))
    again = binascii.b2a_base64(found, newline=False).rstrip(b"=").translate(_TO_URL)
    return found if again == text else None


_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_TO_URL = bytes.maketrans(b"+/", b"-_")


def _octets(value: object) -> bytes:
    found = decoded(value.encode("ascii", "replace").rstrip(b"=")) if isinstance(value, str) else None
    if not found:
        raise InvalidValue("it cannot be read")
    return found
