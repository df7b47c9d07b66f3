"""``[jwt NAME]``: a token configuration, as Cloudflare calls it: where a token stands, whose it has to be, and which
keys verify it.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Self

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Choice, Seconds, Secret, Size, Source, Word, setting
from edgenode.policy.jwt.keys import ALGORITHMS, secret
from edgenode.rules.feed_formats import Format
from edgenode.rules.feeds import Sourced

_LEAST_SIZE, _MOST_SIZE = 64, 64 * 1024
_MOST_LEEWAY = 600.0
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+", re.ASCII)
_COOKIE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)


@frozen
class Place:
    """Where a token stands: ``bearer`` (``Authorization: Bearer TOKEN``), ``header.NAME`` or ``cookie.NAME``.

    :ivar kind: ``bearer``, ``header`` or ``cookie``.
    :ivar name: of the header, in lower case, or of the cookie.
    """

    words: ClassVar[bool] = True

    kind: str
    name: str = ""

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read a place.

        :raises InvalidValue: if it is none.
        """
        kind, dot, name = text.partition(".")
        if text == "bearer":
            return cls(text)
        if kind not in ("header", "cookie") or not dot:
            raise InvalidValue("expected bearer, header.NAME or cookie.NAME", 0)
        name = name.lower() if kind == "header" else name
        if not (_HEADER if kind == "header" else _COOKIE).fullmatch(name):
            raise InvalidValue(f"this is no name of a {kind}", len(kind) + 1)
        if (kind, name) == ("header", "authorization"):
            raise InvalidValue("for Authorization: Bearer write bearer", 0)
        return cls(kind, name)

    @property
    def field(self) -> bytes:
        """The name of the header field that it is in, in lower case."""
        return {"bearer": b"authorization", "cookie": b"cookie"}.get(self.kind) or self.name.encode("ascii")

    def __str__(self) -> str:
        return f"{self.kind}.{self.name}" if self.name else self.kind


@frozen
class JWT(Sourced):
    """A token configuration: which JSON Web Tokens (RFC 7519) are believed. They need the package ``joserfc``."""

    kind: ClassVar[str] = "jwt"
    follows: ClassVar[bool] = False
    format: ClassVar[Format] = Format()
    bad_lines: ClassVar[str] = "refuse"
    most_shrink: ClassVar[int] = 100

    token: tuple[Place, ...] = setting(
        "Where the token stands: ``bearer`` is ``Authorization: Bearer TOKEN``; ``header.NAME`` is the whole value of "
        "another header; ``cookie.NAME`` a cookie. If it stands in several of these places it has to be the same.",
        (Place("bearer"),),
    )
    source: tuple[Source, ...] = setting(
        "Where its keys come from, one source a line: ``https://…`` of a JWK set (RFC 7517), or ``file:PATH`` of one, "
        "or of public keys or certificates in PEM. Redirects are not followed.",
        (),
    )
    refresh: Seconds = setting(
        "How often an ``https`` source is fetched; ``0``: only by ``edgenode feeds update``.", Seconds(3600.0)
    )
    max_size: Size = setting("The largest source; a larger one is refused.", Size(1024 * 1024))
    secret: Secret | None = setting(
        "A secret that the issuer shares, for HS256, HS384 and HS512, as text of 32, 48 or 64 bytes at least; in the "
        "place of a ``source`` of public keys.",
        None,
    )
    algorithms: tuple[Annotated[str, Choice(ALGORITHMS)], ...] = setting(
        "What tokens may be signed with; without the key whatever their keys are for. Never ``none``, and HS256, HS384 "
        "and HS512 with a secret only.",
        (),
    )
    issuer: tuple[Word, ...] = setting("The issuers (``iss``) of which a token has one; without the key any.", ())
    audience: tuple[Word, ...] = setting(
        "The audiences of which a token is for one (``aud``); without the key a token that is for any is not valid "
        "(RFC 7519, section 4.1.3). ``*``: whatever its audience.",
        (),
    )
    required_claims: tuple[Word, ...] = setting("Claims that a token must have.", (Word("exp"),))
    types: tuple[Word, ...] = setting(
        "The types (``typ``) of which a token has one, such as ``at+jwt`` (RFC 9068); without the key any.", ()
    )
    leeway: Seconds = setting("How far the issuer's clock may be off.", Seconds(0.0))
    max_token_size: Size = setting("The largest token; a larger one is not valid.", Size(8192))
    refresh_unknown: Seconds = setting(
        "How soon an ``https`` source may be asked again because a token names a key (``kid``) that is not there.",
        Seconds(60.0),
    )

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if its keys do not go together."""
        if bool(self.sources) == (self.secret is not None):
            which = "secret" if self.secret is not None else "source"
            raise InvalidValue("a token configuration has either a source of keys or a secret", which=which)
        shared = [name for name in self.algorithms if name.startswith("HS")]
        if self.secret is not None:
            try:
                fits = secret(self.secret).algorithms
            except InvalidValue as problem:
                raise InvalidValue(problem.sentence, which="secret") from None
            for name in self.algorithms:
                if name not in fits:
                    raise InvalidValue(f"{name} is not for a secret of this length", which="algorithms")
        elif self.remote and shared:
            raise InvalidValue(f"{shared[0]} needs a secret, and no key that is fetched is one", which="algorithms")
        if not _LEAST_SIZE <= self.max_token_size <= _MOST_SIZE:
            raise InvalidValue("a token has between 64 bytes and 64k", which="max-token-size")
        if self.leeway > _MOST_LEEWAY:
            raise InvalidValue("clocks differ by ten minutes at most", which="leeway")
        if self.refresh_unknown < 1:
            raise InvalidValue("a source is asked at most once a second", which="refresh-unknown")
