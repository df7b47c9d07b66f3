"""Automatic tags: what every exchange says of itself, in canonical form.

Law: automatic tags are the node's alone. No filter, no security policy and no trust store may set one, and what a
certificate says of its holder, or a trust store of its clients, becomes a tag only if the certificate was verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import ClassVar

from attrs import frozen

from edgenode.model.decision import Decision
from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange, Geography, Request, Verification, host_of
from edgenode.rules.tags import canonical, check_tag
from edgenode.rules.views import bodies, charsets
from edgenode.rules.views.arguments import unread
from edgenode.rules.views.pairs import FEWER_PAIRS, has_more_pairs

AUTOMATIC: Mapping[str, str] = MappingProxyType(
    {
        "all": "On every exchange.",
        "ip": "The client's address: ``ip:192-0-2-7``.",
        "host": "The host asked for, without its port: ``host:www-example-com``.",
        "protocol": "``protocol:https`` or ``protocol:http``.",
        "servergroup": "The server group.",
        "securitypolicy": "The security policy.",
        "securitypolicy-entry": "The path map.",
        "headers": "The number of header fields, repeated ones counted once and Cookie not at all.",
        "cookies": "The number of cookies.",
        "args": "The number of arguments in the query; and ``args:truncated`` if rules have not seen all.",
        "body": "``body:truncated`` if there is more of the body than rules have seen, or it has more than 4,096 "
        "fields or 1,000 parts, or is a form of more than 16 KiB in ``utf-16`` or "
        "the like; ``body:unknown-charset`` and ``body:unknown-coding`` if it names a character set "
        "or a content coding that nobody knows here; ``body:ambiguous`` if it is ``multipart`` that two servers may "
        "read differently; ``body:malformed`` if a rule reads ``json``, ``xml`` or "
        "``graphql`` and it is not well-formed, has a document type, stands more than 64 deep, or has more "
        "than 8,192 values, or too many ways to read them in Base64 or by several names.",
        "geo-continent-code": "With ``[geo]``, the client's continent: ``geo-continent-code:eu``; like all that follow "
        "``nil`` if it is not known.",
        "geo-country": "Its country by name: ``geo-country:united-states``.",
        "geo-region": "The first subdivision by its code: ``geo-region:bw``.",
        "geo-subregion": "The second subdivision likewise.",
        "geo-city": "The city.",
        "geo-asn": "The number of its autonomous system.",
        "geo-org": "Whose that is.",
        "mtls": "The client certificate: ``verified``, ``none`` or ``failed``; and ``revoked`` besides ``failed``.",
        "cert-subject": "The subject of a verified client certificate.",
        "cert-issuer": "The issuer of a verified client certificate.",
        "websocket": "``websocket:message`` on a message of a WebSocket (``inspect-messages``).",
        "flow": "A flow whose last step the request takes.",
        "limit": "A rate limit that the request is over.",
        "dynamic-rule": "A dynamic rule that the request is over, or that holds a value of it.",
        "quarantine": "A value of the request is held in quarantine.",
        "edge-function": "An edge function that had something to say, ``edge-function:NAME``.",
        "acl": "The ACL profile, if one of its lists has decided.",
        "cf-category": "A kind of attack that a rule of the content filter has found: ``cf-category:sqli``.",
        "cf-risk": "The highest risk of those rules, 1 to 5.",
        "cf-rule": "A rule of the content filter that has matched: ``cf-rule:942100``.",
        "human": "Where an action of type ``challenge`` is in use: the client has solved one.",
        "bot": "Where an action of type ``challenge`` is in use: the client has solved none. Filters may set it, too.",
        "action": "The action that won.",
    }
)
"""What each automatic tag says, by what stands before its colon."""


MESSAGE = "websocket:message"
"""The tag of a message of a WebSocket, by which rules tell it from a request."""

HUMAN, BOT = "human", "bot"
"""The tags of clients that have solved a challenge, and of those that have not."""

_RESERVED = frozenset(("all", "quarantine", "edge-function", HUMAN))
FAMILIES = AUTOMATIC.keys() - {HUMAN, BOT}
"""What stands before the colon of automatic tags, and of no other ones."""


def check_own_tag(text: str) -> None:
    """Check a tag that a filter, a security policy or a trust store wants to set.

    :raises InvalidValue: if it is not in canonical form, or is an automatic tag.
    """
    check_tag(text)
    if text in _RESERVED or (":" in text and text.partition(":")[0] in FAMILIES):
        raise InvalidValue(f"the tag {text} is set by the node alone", 0)


@frozen(eq=False)
class Tagging:
    """The first stage: puts on every exchange its automatic tags, those of its security policy and those of the trust
    stores that vouch for its client."""

    name: ClassVar[str] = "tagging"
    needs: ClassVar[frozenset[str]] = frozenset()

    _own: Mapping[str, tuple[str, ...]]
    _unread: Callable[[Request], bool] | None = None

    @classmethod
    def of(cls, own: Mapping[str, Iterable[str]], further: frozenset[str] = frozenset()) -> Tagging:
        """The stage for the tags of security policies, by the name of each.

        :param further: how rules read arguments: of :data:`edgenode.rules.views.arguments.READ_ANEW`.
        :raises InvalidValue: if one is not in canonical form, or is an automatic tag.
        """
        for tag in (tag for tags in own.values() for tag in tags):
            check_own_tag(tag)
        return cls({policy: tuple(tags) for policy, tags in own.items()}, unread(further) if further else None)

    def decide(self, exchange: Exchange) -> Decision:
        """The automatic tags of an exchange, those of its security policy, and those of a verified client."""
        standing = exchange.standing
        if standing is None:
            standing = self.standing(exchange)
        request = exchange.request
        if request is None:
            return Decision(standing)
        fields, query, body = request.fields, request.query, request.body
        headers, cookies = len(fields), 0
        if COOKIE in fields:
            headers -= 1
            for value in fields[COOKIE]:
                cookies += _items(value.replace(b" ", b""), b";", b";;")
        tags = [
            _HEADERS[headers] if headers < _COUNTED else f"headers:{headers}",
            _COOKIES[cookies] if cookies < _COUNTED else f"cookies:{cookies}",
        ]
        if query:
            arguments = _items(query, b"&", b"&&")
            tags.append(_ARGUMENTS[arguments] if arguments < _COUNTED else f"args:{arguments}")
            if len(query) >= FEWER_PAIRS and has_more_pairs(query, bodies.most_pairs(request)):
                tags.append("args:truncated")
        else:
            tags.append("args:0")
        if body is not None and body.size:
            if bodies.truncated(request):
                tags.append("body:truncated")
            if bodies.charset_unknown(request):
                tags.append("body:unknown-charset")
            if bodies.coding_unknown(request):
                tags.append("body:unknown-coding")
            if bodies.ambiguous(request):
                tags.append("body:ambiguous")
        elif b"content-type" in fields and query and charsets.is_unknown(fields[b"content-type"]):
            tags.append("body:unknown-charset")  # some servers read the query by it as well
        if self._unread is not None and self._unread(request):
            tags.append("body:malformed")
        return Decision(standing.union(tags))

    def standing(self, exchange: Exchange) -> frozenset[str]:
        """The tags that every exchange has that came by the same connection, while the verdict on its client stays the
        same, with the same authority and path map: all but the counts of headers, cookies and arguments,
        ``args:truncated`` and those of the body.

        Whoever keeps them for several requests puts them into :attr:`edgenode.model.exchange.Exchange.standing`.
        """
        request, client = exchange.request, exchange.connection.client
        mtls = _NONE if client is None else verdict_tags(client.verification)
        parts = {
            "ip": exchange.client,
            "host": "" if request is None else host_of(request.authority).decode("latin-1"),
            "protocol": "" if request is None else request.scheme.decode("latin-1"),
            "servergroup": exchange.server_group,
            "securitypolicy": exchange.security_policy,
            "securitypolicy-entry": exchange.path_map,
        }
        vouched: tuple[str, ...] = ()
        if client is not None and mtls is _VERIFIED:
            parts |= {"cert-subject": client.subject, "cert-issuer": client.issuer}
            vouched = client.tags
        automatic = (canonical(f"{family}:{text}") for family, text in parts.items() if text)
        located = () if exchange.geography is None else _located_tags(exchange.geography)
        own = self._own.get(exchange.security_policy, ())
        return frozenset(("all", *mtls, *automatic, *located, *own, *vouched))


def _located_tags(geography: Geography) -> Iterator[str]:
    parts = {
        "geo-continent-code": geography.continent,
        "geo-country": geography.country_name,
        "geo-region": geography.region_code,
        "geo-subregion": geography.subregion_code,
        "geo-city": geography.city,
        "geo-asn": geography.asn,
        "geo-org": geography.organization,
    }
    return (canonical(f"{family}:{value or 'nil'}") for family, value in parts.items())


_NONE = ("mtls:none",)
_VERIFIED = ("mtls:verified",)
_FAILED = ("mtls:failed",)
_REVOKED = ("mtls:failed", "mtls:revoked")


def verdict_tags(verification: Verification) -> tuple[str, ...]:
    """The tags of the verdict: a revoked certificate has failed, even if something says that it was verified."""
    if verification.revoked:
        return _REVOKED
    if verification.verified:
        return _VERIFIED
    return _FAILED if verification.presented else _NONE


# -- what is counted ---------------------------------------------------------------------------------------------------

COOKIE = b"cookie"

_COUNTED = 128
"""Tags of counts below this one are made beforehand."""

_HEADERS, _COOKIES, _ARGUMENTS = (
    tuple(f"{family}:{count}" for count in range(_COUNTED)) for family in ("headers", "cookies", "args")
)


def _items(text: bytes, separator: bytes, twice: bytes) -> int:
    """How many items a text has between separators, without those that are empty."""
    if text.find(twice) < 0 and text[:1] != separator != text[-1:] and text:
        return text.count(separator) + 1  # as nearly always, and nothing need be made of them
    return len(list(filter(None, text.split(separator))))
