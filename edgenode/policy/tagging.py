"""Automatic tags: what every exchange says of itself, in canonical form.

Law: automatic tags are the node's alone. No filter, no security policy and no trust store may set one, and what a
certificate says of its holder, or a trust store of its clients, becomes a tag only if the certificate was verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from types import MappingProxyType
from typing import ClassVar

from attrs import field, frozen

from edgenode.model.decision import Decision
from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange, Geography, Request, Verification, host_of
from edgenode.rules.tags import canonical, check_tag
from edgenode.rules.views import bodies
from edgenode.rules.views.pairs import has_more_pairs

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
        "fields or 1,000 parts.",
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
        "action": "The action that won.",
    }
)
"""What each automatic tag says, by what stands before its colon."""

_REMEMBERED = 4096
_LONGEST_REMEMBERED = 1024


def check_own_tag(text: str) -> None:
    """Check a tag that a filter, a security policy or a trust store wants to set.

    :raises InvalidValue: if it is not in canonical form, or is an automatic tag.
    """
    check_tag(text)
    family = text.partition(":")[0]
    if family in AUTOMATIC and (":" in text or family == "all"):
        raise InvalidValue(f"the tag {text} is set by the node alone", 0)


@frozen(eq=False)
class Tagging:
    """The first stage: puts on every exchange its automatic tags, those of its security policy and those of the trust
    stores that vouch for its client."""

    name: ClassVar[str] = "tagging"
    repeatable: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset()

    _own: Mapping[str, tuple[str, ...]]
    _standing: Callable[..., frozenset[str]] = field(init=False)

    @_standing.default
    def _remembered(self) -> Callable[..., frozenset[str]]:
        # It must not hold this object, or only the collector could free what a reload has replaced.
        return lru_cache(_REMEMBERED)(partial(_standing_tags, self._own))

    @classmethod
    def of(cls, own: Mapping[str, Iterable[str]]) -> Tagging:
        """The stage for the tags of security policies, by the name of each.

        :raises InvalidValue: if one is not in canonical form, or is an automatic tag.
        """
        for tag in (tag for tags in own.values() for tag in tags):
            check_own_tag(tag)
        return cls({policy: tuple(tags) for policy, tags in own.items()})

    def decide(self, exchange: Exchange) -> Decision:
        """The automatic tags of an exchange, those of its security policy, and those of a verified client."""
        request, client = exchange.request, exchange.connection.client
        authority, scheme = (b"", b"") if request is None else (request.authority, request.scheme)
        mtls = _NONE if client is None else verdict_tags(client.verification)
        subject, issuer = "", ""
        vouched: tuple[str, ...] = ()
        if client is not None and mtls is _VERIFIED:
            subject, issuer, vouched = client.subject, client.issuer, client.tags
        # What the client chooses is kept only if it is short, and of that only so much. One flat call, not one for each
        # part: this is on the way of every request.
        short = len(authority) + len(subject) + len(issuer) <= _LONGEST_REMEMBERED
        standing = (self._standing if short else partial(_standing_tags, self._own))(
            exchange.geography,
            exchange.client,
            authority,
            scheme,
            exchange.server_group,
            exchange.security_policy,
            exchange.path_map,
            subject,
            issuer,
            mtls,
            vouched,
        )
        return Decision(standing if request is None else standing | _request_tags(request))


def _standing_tags(
    own: Mapping[str, tuple[str, ...]],
    geography: Geography | None,
    client: str,
    authority: bytes,
    scheme: bytes,
    group: str,
    policy: str,
    path_map: str,
    subject: str,
    issuer: str,
    mtls: tuple[str, ...],
    vouched: tuple[str, ...],
) -> frozenset[str]:
    parts = {
        "ip": client,
        "host": host_of(authority).decode("latin-1"),
        "protocol": scheme.decode("latin-1"),
        "servergroup": group,
        "securitypolicy": policy,
        "securitypolicy-entry": path_map,
        "cert-subject": subject,
        "cert-issuer": issuer,
    }
    automatic = (canonical(f"{family}:{text}") for family, text in parts.items() if text)
    located = () if geography is None else _located_tags(geography)
    return frozenset(("all", *mtls, *automatic, *located, *own.get(policy, ()), *vouched))


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


_TRUNCATED = frozenset(("body:truncated",))
_MORE_ARGUMENTS = frozenset(("args:truncated",))

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


def _request_tags(request: Request) -> frozenset[str]:
    fields, body = request.fields, request.body
    cookies = fields.get(b"cookie", ())
    headers = len(fields) - 1 if cookies else len(fields)
    counts = _counts(headers, sum(map(_cookies, cookies)), _arguments(request.query) if request.query else 0)
    if request.query and has_more_pairs(request.query):
        counts |= _MORE_ARGUMENTS
    return counts | _TRUNCATED if body is not None and body.size and bodies.truncated(request) else counts


def _cookies(value: bytes) -> int:
    pairs = value.replace(b" ", b"").split(b";")
    return len(pairs) - pairs.count(b"")


def _arguments(query: bytes) -> int:
    pairs = query.split(b"&")
    return len(pairs) - pairs.count(b"")


@lru_cache(_REMEMBERED)
def _counts(headers: int, cookies: int, arguments: int) -> frozenset[str]:
    return frozenset((f"headers:{headers}", f"cookies:{cookies}", f"args:{arguments}"))
