"""What was found out about the token of a request.

Law: claims are there only if the token is valid. What is not valid says why, in words that hold nothing of the token.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from attrs import field, frozen

_NO_CLAIMS: Mapping[str, Any] = MappingProxyType({})


@frozen
class TokenVerdict:
    """The verdict on a token (RFC 7519).

    :ivar present: whether the request has one where the token configuration looks for it.
    :ivar valid: whether its signature, times, issuer and audience are right.
    :ivar reason: why it is not valid, a sentence without its first capital; empty if it is.
    :ivar claims: what it says, by the names of the claims; nothing unless it is valid.
    :ivar text: the same in JSON, as it was signed.
    """

    present: bool
    valid: bool = False
    reason: str = ""
    claims: Mapping[str, Any] = field(default=_NO_CLAIMS, repr=False)
    text: bytes = field(default=b"", repr=False)
