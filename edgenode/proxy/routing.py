"""``[security-policy]`` and ``[path-map]``: authority and SNI to server group, then policy, then path map.

Law: a connection is judged under one server group's TLS policy and serves only groups with that same policy. Path maps
are taken in the order written, on the normalised path and never on the query; what none matches is not served.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Annotated, ClassVar

from attrs import field, frozen
from OpenSSL import SSL

from edgenode.model.decision import MODES
from edgenode.model.errors import ClientError, InvalidValue
from edgenode.model.exchange import Exchange, Geography, host_of
from edgenode.model.settings import Awaited, Choice, Percent, Reference, Seconds, Size, Tag, Word, setting
from edgenode.policy.inspection import UNINSPECTED
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.responses import Responses
from edgenode.proxy.maintenance import Maintenance
from edgenode.proxy.mirroring import Mirror
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.stream.settings import NO_LIFETIME, StreamLimits
from edgenode.proxy.websocket.settings import DEFAULT, INSPECTED, Settings, check_origins
from edgenode.rules.formulas import ALWAYS, Formula
from edgenode.rules.matching.compiling import FormulaSet, compile_formulas
from edgenode.rules.sections import Section
from edgenode.tls.policies import PLAIN, TLSPolicy
from edgenode.tls.servergroups import ServerGroup
from edgenode.tls.trust import Trust

NEVER = datetime.datetime.max.replace(tzinfo=datetime.UTC)
"""When the certificates of a server group expire that has none."""


@frozen
class SecurityPolicy:
    """The path maps of a server group, of which the first that matches is taken, and tags for all its requests."""

    kind: ClassVar[str] = "security-policy"

    tags: tuple[Annotated[Word, Tag()], ...] = setting("Tags for every request, set before filters are evaluated.", ())
    path_maps: tuple[Annotated[str, Reference("path-map")], ...] = setting(
        "The path maps; the first whose entries match is taken. A request that none matches gets 404."
    )


@frozen
class PathMap(Section):
    """A part of a site: the section of entries that selects it by the normalised path, and its origin."""

    kind: ClassVar[str] = "path-map"

    origin: Annotated[str, Reference("origin")] = setting("The origin to which its requests are forwarded.")
    methods: tuple[Word, ...] = setting(
        "The methods that are allowed, in capitals: ``GET HEAD POST``; others are refused with 405. Without "
        "the key all are allowed except TRACE, which would show the client what the origin is told about "
        "it. CONNECT is always refused.",
        (),
    )
    max_body_size: Size = setting("The largest request body; a larger one is refused with 413.", Size(1024 * 1024))
    inspect_body_size: Size = setting(
        "How much of a request body is held back for rules that look at bodies; without such rules it is "
        "streamed. Of a longer body rules see the beginning, and the request has the tag "
        "``body:truncated``.",
        Size(128 * 1024),
    )
    uninspected: Annotated[str, Choice(UNINSPECTED)] = setting(
        "What happens to a request of which rules cannot see all, if any rule looks at bodies or arguments "
        "and any can refuse: ``refuse`` answers 400 for too many arguments, 413 for a body longer than "
        "rules see, 415 for an unknown character set or content coding, 400 for JSON, XML or GraphQL that "
        "cannot be parsed; ``pass`` lets it through.",
        "refuse",
    )
    ambiguous_multipart: Annotated[str, Choice(UNINSPECTED)] = setting(
        "What happens to a ``multipart`` body that two servers may read differently, if any rule looks at bodies and "
        "any can refuse: ``refuse`` answers 400, ``pass`` lets it through. No browser and no usual client writes one.",
        "refuse",
    )
    websocket: bool = setting(
        "Whether clients may open a WebSocket; if not, a handshake is answered with 501. Where a rule that can refuse "
        "looks at bodies, they may only if it sees the messages too, see ``inspect-messages``, or with "
        "``uninspected = pass``.",
        True,
    )
    websocket_origins: tuple[Word, ...] = setting(
        "The pages whose scripts may open a WebSocket, by the ``Origin`` that browsers send: ``same`` is the site "
        "itself, ``https://app.example.com`` and ``https://*.example.com`` are others, ``null`` is a page without an "
        "origin, ``any`` is every page. Others are refused with 403; a client that sends no ``Origin`` is no browser, "
        "and is let in.",
        (Word("same"),),
    )
    max_message_size: Size = setting(
        "The largest message of a WebSocket, as it is sent, compressed or not; a larger one closes it with 1009.",
        Size(16 * 1024 * 1024),
    )
    idle_timeout: Seconds = setting(
        "The time after which a WebSocket is closed, with 1001, or a stream is cut, in which nothing was sent in "
        "either direction.",
        Seconds(300.0),
    )
    lifetime: Seconds = setting(
        "The time after which a stream is cut, whatever passes on it. 0: it may last as long as its client is let in.",
        Seconds(0.0),
    )
    ping: Seconds = setting(
        "The time after which a client or an origin that has sent nothing on a WebSocket is sent a Ping; who is silent "
        "for as long again is dead, and the other is sent 1011. 0: none is sent.",
        Seconds(0.0),
    )
    inspect_messages: Annotated[str, Choice(INSPECTED)] = setting(
        "The messages of clients that rules see, each as the body of a request with the head and the tags of its "
        "handshake: ``no``, ``text``, or ``all``, binary ones too. Then no compression is agreed on, and a message "
        "that is refused closes the WebSocket with 1008.",
        "no",
    )
    mode: Annotated[str, Choice(MODES)] | None = setting(
        "The mode of filters for this part of the site; without the key that of the server group, or of ``[edge]``.",
        None,
    )
    rate_limits: tuple[Annotated[str, Reference("rate-limit")], ...] = setting(
        "The rate limits that hold here besides those that hold everywhere.", ()
    )
    flows: tuple[Annotated[str, Reference("flow")], ...] = setting(
        "The flows that are followed here besides those that are followed everywhere.", ()
    )
    dynamic_rules: tuple[Annotated[str, Reference("dynamic-rule")], ...] = setting(
        "The dynamic rules that count here besides those that count everywhere.", ()
    )
    acl_profile: Annotated[str, Reference("acl-profile")] | None = setting(
        "The lists of tags by which its requests are let in; without the key all are.", None
    )
    content_filter: Annotated[str, Reference("content-filter")] | None = setting(
        "The rules that judge what its requests carry, such as the Core Rule Set's; without the key none do.", None
    )
    stages: tuple[Annotated[str, Choice(("none",), "stage")], ...] = setting(
        "The stages of one's own that judge here: names of ``[stage]``, or ``none``. Without the key all of them.", ()
    )
    edge_functions: tuple[Annotated[str, Reference("edge-function")], ...] = setting(
        "The edge functions that are asked here, in this order at each point.", ()
    )
    maintenance: Awaited | None = setting(
        "A file: while it exists every request here is answered with 503 and its content. It is "
        "looked at once a second; its name says what it is: ``.html``, ``.json``, or else plain text.",
        None,
    )
    maintenance_retry: Seconds = setting("What clients are then told in ``Retry-After``.", Seconds(60.0))
    mirror: Annotated[str, Reference("origin")] | None = setting(
        "An origin that gets a copy of requests, with its own certificate; its answers are thrown away, and no request "
        "waits for it or fails by it. With ``host = client`` of that origin its Host has ``-shadow`` behind the name.",
        None,
    )
    mirror_share: Percent = setting("The percentage of the requests that are copied, by chance.", Percent(1.0))
    mirror_max_body: Size = setting("The largest body of a request that is copied.", Size(64 * 1024))
    response_rules: tuple[Annotated[str, Reference("response-rules")], ...] = setting(
        "What is done to the answers of this part of the site, besides what ``[server-group]`` says: header fields, "
        "and pages in the place of errors.",
        (),
    )

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if rules could see nothing of a body, if none would pass, or if a method is none."""
        for method in self.methods:
            if not _TOKEN.fullmatch(method):
                raise InvalidValue(f"no method: {method}", which="methods")
            if method != method.upper() and method.upper() in _KNOWN:
                raise InvalidValue(f"methods are case-sensitive: {method.upper()}", which="methods")
            if method.upper() == "CONNECT":
                raise InvalidValue("CONNECT asks for a tunnel, and there is none", which="methods")
        if "none" in self.stages and len(self.stages) > 1:
            raise InvalidValue("none stands alone", which="stages")
        check_origins(self.websocket_origins)
        for value, key in ((self.max_message_size, "max-message-size"), (self.idle_timeout, "idle-timeout")):
            if not value:
                raise InvalidValue("0 would leave nothing", which=key)
        if not self.inspect_body_size:
            raise InvalidValue("of 0 bytes no rule could see anything", which="inspect-body-size")
        if not self.max_body_size:
            sentence = "0 would refuse every body; where nginx has 0 for no limit, write one that nobody reaches: 1000g"
            raise InvalidValue(sentence, which="max-body-size")


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_KNOWN = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

UNSERVED = frozenset(
    bytes(letters)
    for name in (b"CONNECT", b"TRACE")
    for letters in itertools.product(*zip(name, name.lower(), strict=True))
)
"""What is not served if no methods are named, in all spellings: there are servers that take ``trace`` for TRACE."""


@frozen(eq=False)
class ServedPathMap:
    """A path map with all that it names, ready to serve.

    :ivar name: its name.
    :ivar formula: what its section comes down to.
    :ivar pipeline: its pipeline.
    :ivar pool: the connections to its origin.
    :ivar max_body_size: bytes.
    :ivar methods: those that are served; ``None`` if all are but the ones that never are unless they are named.
    :ivar websocket: what holds for its WebSockets.
    :ivar responses: what is done to its answers; ``None`` for nothing.
    :ivar pools: the connections to the origins that an edge function may choose, by name.
    :ivar maintenance: what is answered instead, while a file exists; ``None`` if none is named.
    :ivar mirror: where copies of requests go; ``None`` for nowhere.
    :ivar stream: how long its streams may last.
    """

    name: str
    formula: Formula
    pipeline: Pipeline
    pool: OriginPool
    max_body_size: int
    methods: frozenset[bytes] | None = None
    websocket: Settings = DEFAULT
    responses: Responses | None = None
    pools: Mapping[str, OriginPool] = field(factory=dict)
    maintenance: Maintenance | None = field(default=None, kw_only=True)
    mirror: Mirror | None = field(default=None, kw_only=True)
    stream: StreamLimits = NO_LIFETIME

    @property
    def allow(self) -> bytes:
        """The value of Allow: the methods that are served, or if all are, those that every server knows."""
        return ", ".join(_KNOWN).encode("ascii") if self.methods is None else b", ".join(sorted(self.methods))


@frozen(eq=False)
class ServedGroup:
    """A server group with all that it names, ready to serve.

    :ivar name: its name.
    :ivar group: its section.
    :ivar policy: how it judges clients; comparable.
    :ivar context: its TLS context; ``None`` where it is served without TLS alone.
    :ivar trust: whom it believes; none if it asks for no certificate.
    :ivar security_policy: the name of its security policy.
    :ivar path_maps: the path maps of that policy, in the order written.
    :ivar uris: the URIs in its certificates: who we are, to an origin that is told of a client.
    :ivar not_after: when the first of its certificates expires, with what is sent behind it, UTC.
    :ivar responses: what is done to its answers where it has no path map for them; ``None`` for nothing.
    """

    name: str
    group: ServerGroup
    policy: TLSPolicy
    context: SSL.Context | None
    trust: Trust
    security_policy: str
    path_maps: tuple[ServedPathMap, ...]
    uris: tuple[str, ...] = ()
    not_after: datetime.datetime = NEVER
    responses: Responses | None = None
    _conditions: FormulaSet | None = field(init=False)
    _conditional: int = field(init=False)

    @_conditions.default
    def _judged_together(self) -> FormulaSet | None:
        formulas = self._formulas
        return compile_formulas(formulas) if formulas else None

    @_conditional.default
    def _before_everything(self) -> int:
        return len(self._formulas)

    @property
    def _formulas(self) -> list[Formula]:
        """Those of the path maps up to the first that takes everything."""
        return [*takewhile(lambda each: each != ALWAYS, (each.formula for each in self.path_maps))]

    @property
    def expired(self) -> datetime.datetime | None:
        """Since when the first of its certificates, or of what is sent behind it, has expired; ``None`` if none has."""
        return self.not_after if self.not_after < datetime.datetime.now(datetime.UTC) else None

    def locate(self, address: str) -> Geography | None:
        """Where an address is; ``None`` without ``[geo]``."""
        locate = self.path_maps[0].pipeline.locate if self.path_maps else None
        return None if locate is None else locate(address)

    def path_map(self, exchange: Exchange) -> ServedPathMap:
        """The path map of an exchange: the first whose section matches. All are looked at together: a request costs
        the same whichever is its own.

        :raises ClientError: 404, if none does.
        """
        found = () if self._conditions is None else self._conditions.matching(exchange)
        at = found[0][0] if found else self._conditional
        if at < len(self.path_maps):
            return self.path_maps[at]
        raise ClientError(404, "no path map matches")


class Router:
    """The server groups of one listener, by host name.

    :param groups: all of them.
    :param default: the one for no or an unknown name, if any.
    :ivar default: likewise.
    """

    def __init__(self, groups: Iterable[ServedGroup], default: ServedGroup | None) -> None:
        self.default = default
        self._exact: dict[str, ServedGroup] = {}
        self._wildcards: dict[str, ServedGroup] = {}
        self._groups: dict[str, ServedGroup] = {}
        for group in groups:
            self._groups[group.name] = group
            for host in group.group.hosts:
                name = host.lower().removesuffix(".")
                if name.startswith("*."):
                    self._wildcards[name[2:]] = group
                else:
                    self._exact[name] = group

    @property
    def entry(self) -> ServedGroup:
        """Under what connections without TLS are taken, before a request has said whose it is: a group without a name,
        without hosts, that serves nothing.

        What comes on it that is no request of any group has the tags of the first.
        """
        entry = self._groups.get("")
        if entry is None:
            first = next(iter(self._groups.values()))
            own = ServerGroup(certificate=(), ciphers="")
            entry = ServedGroup("", own, PLAIN, None, first.trust, "", first.path_maps)
            self._groups[""] = entry
        return entry

    def named(self, name: str | None, local: str = "") -> ServedGroup | None:
        """The server group for a server name: its own, else the wildcard's for its first label, else the default.

        :param name: the name in the handshake, or the host of an authority. ``None`` if a handshake has none: no client
            sends an address there (RFC 6066, section 3).
        :param local: the address that the client has connected to: without a name that is what it wants.
        """
        if name is None:
            return self._exact.get(f"[{local}]" if ":" in local else local, self.default)
        found = self._exact.get(name)
        if found is None and self._wildcards:
            found = self._wildcards.get(name.partition(".")[2])
        return found if found is not None else self.default

    def has(self, name: str) -> bool:
        """Whether a name is among the hosts of a group, so that it needs no default."""
        return name in self._exact or name.partition(".")[2] in self._wildcards

    def successor(self, group: ServedGroup) -> ServedGroup | None:
        """The server group of that name as of now, for a connection that was judged before a reload.

        ``None`` if there is none, or if its handshake would have been under other terms: only on a new connection can a
        client be asked for a certificate, or for a newer version.
        """
        now = self._groups.get(group.name)
        return now if now is not None and now.policy.settled == group.policy.settled else None

    def route(self, handshake_group: ServedGroup, authority: bytes) -> ServedGroup:
        """The server group that serves a request.

        :param handshake_group: the group under whose TLS policy the connection was judged.
        :param authority: of the request, in normal form.
        :raises ClientError: 421 (RFC 9110, section 15.5.20), if the authority belongs to a group that judges clients
            differently, or to none: whoever was let in for one must not reach another.
        """
        wanted = self.named(host_of(authority).decode("ascii"))
        if wanted is None:
            raise ClientError(421, "no server group has this authority")
        if wanted is not handshake_group and wanted.policy != handshake_group.policy:
            raise ClientError(421, f"the connection was judged for {handshake_group.name}, not for {wanted.name}")
        return wanted
