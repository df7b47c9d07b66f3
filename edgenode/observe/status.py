"""What a running node is, as values: what it serves, with which certificates, lists and origins, and how these stand.

Law: they are facts of one moment, and of no request. Times are seconds since 1970, sizes bytes. Text may come from
certificates and files of others: whoever shows it makes it harmless first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from edgenode.proxy.origin.standing import Checked, Handshake, Trial


@frozen
class Reload:
    """What came of reading the configuration file again.

    :ivar at: when.
    :ivar done: whether the new configuration is in use, and all that its files hold.
    :ivar outcome: that in words.
    :ivar problems: what is wrong, then what is doubtful; a hundred at the most.
    """

    at: float
    done: bool
    outcome: str
    problems: tuple[str, ...] = ()


@frozen
class ListenerStatus:
    """A listener.

    :ivar name: its name.
    :ivar address: where it listens; empty if it does not.
    :ivar server_groups: the server groups that it serves.
    :ivar connections: open connections, those included that are only told to come again.
    :ivar most_connections: ``max-connections``.
    :ivar protocols: how many of them have agreed on what: ``http/1.1``, ``h2``; ``handshake`` if nothing yet.
    :ivar streams: HTTP/2 streams that are open.
    :ivar websockets: WebSockets that are open.
    :ivar relayed: streams that are no HTTP, and open.
    """

    name: str
    address: str
    server_groups: tuple[str, ...]
    connections: int
    most_connections: int
    protocols: Mapping[str, int]
    streams: int
    websockets: int
    relayed: int = 0


@frozen
class CertificateStatus:
    """A certificate of ours.

    :ivar name: the name of its section.
    :ivar subject: the subject of the leaf.
    :ivar not_after: when the first certificate of its chain expires.
    :ivar used_by: the headers of the sections that name it: ``server-group shop``, ``origin api``.
    """

    name: str
    subject: str
    not_after: float
    used_by: tuple[str, ...] = ()


@frozen
class AuthorityStatus:
    """An authority that is trusted.

    :ivar subject: its subject.
    :ivar not_after: when it expires.
    """

    subject: str
    not_after: float


@frozen
class CRLStatus:
    """A revocation list.

    :ivar issuer: who has issued it.
    :ivar this_update: when.
    :ivar next_update: when the next is due at the latest, ``crl-max-age`` considered; ``None`` if that is not said.
    :ivar entries: how many certificates it revokes.
    """

    issuer: str
    this_update: float
    next_update: float | None
    entries: int


@frozen
class TrustStoreStatus:
    """A trust store.

    :ivar name: the name of its section.
    :ivar authorities: whom it trusts.
    :ivar crls: its revocation lists.
    :ivar used_by: the headers of the sections that name it.
    """

    name: str
    authorities: tuple[AuthorityStatus, ...]
    crls: tuple[CRLStatus, ...] = ()
    used_by: tuple[str, ...] = ()


@frozen
class FeedStatus:
    """A list or a filter whose values come from files or sources, or a database of addresses.

    :ivar header: the header of its section: ``list office``; of a database its key behind it: ``geo city``.
    :ivar source: where they come from; several, a line each.
    :ivar entries: how many are in use; ``None`` if nothing has come yet.
    :ivar confirmed: when its sources last said that this is their content; of files, since when they are as they are;
        of databases when they were built; ``None``: never, or not known.
    :ivar refresh: how often its sources are asked, seconds; 0: never, as of files.
    :ivar problem: what was wrong the last time; empty if nothing.
    """

    header: str
    source: str
    entries: int | None
    confirmed: float | None
    refresh: float
    problem: str


@frozen
class ServerStatus:
    """A server of an origin.

    :ivar address: it, as events name it.
    :ivar up: whether it is asked: false while it is passed over for its failures.
    :ivar open: connections, idle and busy.
    :ivar idle: connections that carry nothing.
    :ivar protocols: how many of the open ones speak what: ``http/1.1``, ``h2``.
    :ivar streams: requests that those of HTTP/2 carry.
    :ivar check: what its health checks have found; ``None`` if it has none, or none has ended.
    :ivar handshake: the last TLS handshake with it; ``None`` if there was none.
    """

    address: str
    up: bool
    open: int
    idle: int
    protocols: Mapping[str, int]
    streams: int
    check: Checked | None = None
    handshake: Handshake | None = None


@frozen
class OriginStatus:
    """An origin.

    :ivar name: its name.
    :ivar servers: its servers.
    :ivar queued: requests that wait for a connection.
    :ivar opening: connections that are being opened.
    :ivar protocol: ``protocol`` of its section.
    :ivar tls: whether its servers are asked by TLS.
    :ivar identity: the subject of the certificate that we present; empty without one.
    :ivar verified_name: the name that its certificate must have; empty if each server's own; ``None`` if none is
        verified.
    :ivar path_maps: the path maps that lead to it; without any the node itself may have nothing to ask it, as of one
        that is there for exporters.
    :ivar trial: the new certificate that its servers have yet to accept; ``None`` if there is none.
    """

    name: str
    servers: tuple[ServerStatus, ...]
    queued: int
    opening: int
    protocol: str
    tls: bool
    identity: str
    verified_name: str | None
    path_maps: tuple[str, ...] = ()
    trial: Trial | None = None


@frozen
class CountersStatus:
    """What is counted in the node's memory, for rate limits, dynamic rules and flows.

    :ivar keys: how many keys, by the header of the section: ``rate-limit login``.
    :ivar total: all of them.
    :ivar most: how many there may be.
    :ivar size: what they take, about.
    :ivar most_size: what they may take.
    :ivar forgotten: how many had to make room before they had run out, since the start.
    """

    keys: Mapping[str, int]
    total: int
    most: int
    size: int
    most_size: int
    forgotten: int

    @property
    def full(self) -> bool:
        """Whether a new key makes another be forgotten."""
        return self.total >= self.most or self.size >= self.most_size


@frozen
class StateServerStatus:
    """The server that shares the state between nodes.

    :ivar url: where it is.
    :ivar away: whether it cannot be asked.
    :ivar since: since when that is so; ``None`` if it was never tried.
    :ivar reason: why, if it is away.
    """

    url: str
    away: bool
    since: float | None
    reason: str = ""


@frozen
class Rates:
    """What came of requests per second, over the last minute or since the start.

    :ivar seconds: over how long.
    :ivar requests: all of them.
    :ivar statuses: by the first digit of their status: ``2xx``; ``0xx`` of those that got no answer.
    :ivar blocked: those that rules have kept from their origin.
    :ivar filters: of those that propose an action the three that have matched most often, the first one most.
    """

    seconds: float
    requests: float
    statuses: Mapping[str, float]
    blocked: float
    filters: Mapping[str, float]


@frozen
class Status:
    """A running node.

    :ivar at: when all this was so.
    :ivar version: edgenode's.
    :ivar pid: its process.
    :ivar name: ``name`` of ``[edge]``.
    :ivar path: the configuration file; empty if there is none.
    :ivar started: since when it serves.
    :ivar loaded: since when it uses what the configuration file says.
    :ivar reload: what came of the last reload; ``None`` if there was none.
    :ivar unused: the headers of the sections whose files have changed and cannot be used: the old ones still are.
    :ivar memory: what the process takes of the machine's memory.
    :ivar listeners: its listeners.
    :ivar certificates: its certificates.
    :ivar trust_stores: whom it trusts.
    :ivar feeds: its lists, the filters with a source, and databases of addresses.
    :ivar origins: its origins.
    :ivar counters: what is counted; ``None`` if that is kept elsewhere by code of others.
    :ivar state_server: where the state is shared; ``None`` if it is not.
    :ivar quarantined: how many values are held, by key: ``ip``; of bans by the header of the limit; ``other`` of many.
    :ivar events_lost: events that could not be written, since the start.
    :ivar rates: of the last minute; ``None`` if nobody counts.
    :ivar observer: what the parts that observe it say of themselves: ``journal``, ``exporters``, ``alerts``.
    """

    at: float
    version: str
    pid: int
    name: str
    path: str
    started: float
    loaded: float
    reload: Reload | None
    unused: tuple[str, ...]
    memory: int
    listeners: tuple[ListenerStatus, ...]
    certificates: tuple[CertificateStatus, ...]
    trust_stores: tuple[TrustStoreStatus, ...]
    feeds: tuple[FeedStatus, ...]
    origins: tuple[OriginStatus, ...]
    counters: CountersStatus | None
    state_server: StateServerStatus | None
    quarantined: Mapping[str, int]
    events_lost: int
    rates: Rates | None = None
    observer: Mapping[str, Any] = field(factory=dict)


DAY = 86400.0


def days_left(end: float, now: float) -> float:
    """Days until a time; negative once it is over.

    :param end: seconds since 1970.
    :param now: likewise.
    """
    return (end - now) / DAY
