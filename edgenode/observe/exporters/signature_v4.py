"""AWS Signature Version 4 in the Authorization header, as S3 and those that are compatible with it take it.

Law: every header field that is given is signed, and so is the body by its digest. Source: "Authenticating Requests:
Using the Authorization Header", Amazon S3 API Reference.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote

from attrs import field, frozen

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNRESERVED = "-._~"


@frozen
class Credentials:
    """Who signs.

    :ivar access_key: the identifier of the key.
    :ivar secret_key: the key.
    :ivar session_token: of temporary credentials; empty for others.
    """

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


@frozen
class Scope:
    """What a signature is good for."""

    region: str
    service: str = "s3"


def signed(
    method: str,
    path: str,
    headers: Mapping[str, str],
    payload_digest: str,
    moment: datetime.datetime,
    credentials: Credentials,
    scope: Scope,
    query: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The header fields of a request that says who has sent it.

    :param path: as it is sent: see :func:`encoded`.
    :param headers: those to be signed, with ``host``; names in lower case.
    :param payload_digest: the SHA-256 of the body, hexadecimal.
    :param moment: UTC.
    :param query: its parameters, decoded.
    :returns: ``headers``, ``x-amz-date``, ``x-amz-content-sha256``, if need be ``x-amz-security-token``, and
        ``authorization``.
    """
    found = {
        **headers, "x-amz-date": moment.strftime("%Y%m%dT%H%M%SZ"), "x-amz-content-sha256": payload_digest,
    }  # fmt: skip
    if credentials.session_token:
        found["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(found))
    text = canonical(method, path, query or {}, found, payload_digest)
    day = moment.strftime("%Y%m%d")
    place = f"{day}/{scope.region}/{scope.service}/aws4_request"
    to_sign = "\n".join((_ALGORITHM, found["x-amz-date"], place, hashlib.sha256(text.encode()).hexdigest()))
    signature = _hmac(signing_key(credentials.secret_key, day, scope), to_sign).hex()
    found["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{place},SignedHeaders={names},Signature={signature}"
    )
    return found


def canonical(method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], payload_digest: str) -> str:
    """The canonical request."""
    pairs = sorted((quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED)) for name, value in query.items())
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in sorted(headers))
    parameters = "&".join(f"{name}={value}" for name, value in pairs)
    return "\n".join((method, path, parameters, lines, ";".join(sorted(headers)), payload_digest))


def encoded(path: str) -> str:
    """A path as it is sent and signed: every byte but letters, digits, ``-._~`` and ``/`` as ``%XX``."""
    return quote(path, safe=f"{_UNRESERVED}/")


def signing_key(secret_key: str, day: str, scope: Scope) -> bytes:
    """The key of a day: ``20130524``."""
    key = f"AWS4{secret_key}".encode()
    for part in (day, scope.region, scope.service, "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), hashlib.sha256)
