"""The tokens of requests, judged by the token configurations of a node.

Law: a request has one token or none. Where a server behind could take another one for it, it is not valid: two fields,
two values of a cookie, two places with different ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from attrs import define, field, frozen

from edgenode.model.exchange import Exchange, Request
from edgenode.model.tokens import TokenVerdict
from edgenode.policy.jwt.keys import Key, secret
from edgenode.policy.jwt.section import JWT, Place
from edgenode.policy.jwt.verifying import Demands, UnknownKey, verdict
from edgenode.rules.views.cookies import cookie_readings

_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr](?:[ \t]|\Z)")
_TOKEN = slice(len(b"bearer "), None)

ABSENT = TokenVerdict(False, reason="there is none")
_NOT_CONFIGURED = TokenVerdict(False, reason="there is no such token configuration")
_SEVERAL = TokenVerdict(True, reason="there is more than one, and servers may differ in which they take")
_NO_KEYS = TokenVerdict(True, reason="there is no key yet to verify it with")
_NO_KEY = TokenVerdict(True, reason="it names a key (kid) that is not there")


@define
class KeysWanted:
    """Who is told that a token names a key that is not there: the node, which asks the source again.

    :ivar ask: is called with the header of the token configuration.
    """

    ask: Callable[[str], object] = field(default=lambda header: None)


@frozen(eq=False)
class _Judge:
    header: str
    places: tuple[Place, ...]
    keys: Sequence[Key]
    demands: Demands

    @classmethod
    def of(cls, name: str, section: JWT, keys: Sequence[Key]) -> _Judge:
        demands = Demands(
            frozenset(section.algorithms),
            frozenset(section.issuer),
            frozenset(section.audience),
            frozenset(each.lower().removeprefix("application/") for each in section.types),
            section.required_claims,
            section.leeway,
            section.max_token_size,
        )
        own = () if section.secret is None else (secret(section.secret),)
        return cls(f"{section.kind} {name}", section.token, (*keys, *own), demands)


@frozen(eq=False)
class Tokens:
    """Judges the tokens of requests, each at most once.

    :ivar wanted: who is told of unknown keys.
    """

    wanted: KeysWanted
    _judges: Mapping[str, _Judge]

    @classmethod
    def of(cls, sections: Mapping[str, JWT], keys: Mapping[str, Sequence[Key]], wanted: KeysWanted) -> Tokens:
        """Those of token configurations.

        :param keys: what their sources hold, by name.
        """
        judges = {name: _Judge.of(name, section, keys.get(name, ())) for name, section in sections.items()}
        return cls(wanted, judges)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the token configurations."""
        return tuple(self._judges)

    def judge(self, name: str, exchange: Exchange) -> TokenVerdict:
        """The verdict on the token of an exchange that has a request."""
        request, judge = exchange.request, self._judges.get(name)
        if judge is None or request is None:
            return _NOT_CONFIGURED
        found = list(dict.fromkeys(token for place in judge.places for token in _at(place, request)))
        if not found:
            return ABSENT
        if len(found) > 1 or found[0] is None:
            return _SEVERAL
        if not judge.keys:
            self.wanted.ask(judge.header)
            return _NO_KEYS
        try:
            return verdict(found[0], judge.keys, judge.demands, exchange.time)
        except UnknownKey:
            self.wanted.ask(judge.header)
            return _NO_KEY


def _at(place: Place, request: Request) -> Iterator[bytes | None]:
    """The tokens at a place; ``None`` for more than one field."""
    if place.kind == "cookie":
        yield from cookie_readings(request).get(place.name.encode("ascii"), ())
        return
    values = request.fields.get(place.field, ())
    if place.kind == "bearer":
        bearers = [value[_TOKEN] for value in values if _BEARER.match(value)]
        if len(values) > 1 and bearers:
            yield None
        yield from bearers
    else:
        if len(values) > 1:
            yield None
        yield from values
