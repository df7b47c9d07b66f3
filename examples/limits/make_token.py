"""A token as an issuer makes them: ``python make_token.py KEY SUBJECT [ROLE ...]``, valid for five minutes."""

from __future__ import annotations

import pathlib
import sys
import time

from joserfc import jwt
from joserfc.jwk import ECKey


def token(key: bytes, subject: str, *roles: str) -> str:
    """A token, signed with a key on P-256 in PEM."""
    claims = {
        "iss": "https://login.example.com",
        "aud": "https://shop.example.com",
        "sub": subject,
        "roles": list(roles),
        "exp": int(time.time()) + 300,
    }
    return jwt.encode({"alg": "ES256"}, claims, ECKey.import_key(key))


if __name__ == "__main__":
    path, subject, *roles = sys.argv[1:]
    sys.stdout.write(token(pathlib.Path(path).read_bytes(), subject, *roles) + "\n")
