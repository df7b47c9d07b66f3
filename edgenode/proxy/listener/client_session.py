"""A client on one connection: its facts, the verdict on its certificate as of now, and what holds for all its requests.

Law: nothing here depends on requests that came before, but on the connection, the configuration and the clock alone. A
verdict on a certificate holds for as long as its server group's trust says, to the second: the grain of a certificate's
validity (RFC 5280, section 4.1.2.5).
"""

from __future__ import annotations

import datetime
import time

from attrs import evolve

from edgenode.model.errors import ClientError
from edgenode.model.exchange import Connection, Exchange, Geography
from edgenode.proxy.certificate_headers import certificate_lines
from edgenode.proxy.headers import Forwarded
from edgenode.proxy.listener.context import ListenerContext
from edgenode.proxy.routing import ServedGroup, ServedPathMap
from edgenode.tls.trust import FOREVER
from edgenode.tls.verification import judge

_MOST_SITES = 16
"""Authorities that are remembered of a connection: browsers coalesce some, most clients ask for one."""


class Standing:
    """What holds for every request of a connection with one authority that takes one path map.

    :ivar tags: the automatic tags that do not depend on the request: see ``Exchange.standing``. ``None`` if they do,
        for each request has another client.
    :ivar lines: the field lines that say where a request comes from: :meth:`edgenode.proxy.headers.Forwarded.lines`;
        likewise empty.
    :ivar event_prefix: the part of an event that is the same for all of them; empty until an event was written.
    """

    __slots__ = ("event_prefix", "lines", "tags")

    def __init__(self, tags: frozenset[str] | None, lines: bytes) -> None:
        self.tags = tags
        self.lines = lines
        self.event_prefix = ""


class Site:
    """A server group as it serves one connection, under one authority, for a while.

    :ivar group: the server group.
    :ivar connection: the facts of the connection, with the verdict as of now.
    :ivar refusal: why the client is not let in for its certificate, if it is not.
    :ivar certificate_lines: the certificate headers for the origin, each field line with its line end.
    :ivar left_out: the names of those that would be too long.
    :ivar geography: where the peer is, if that can be known.
    :ivar since: from when it holds, seconds since the epoch.
    :ivar until: until when; from then on it is made anew.
    """

    __slots__ = (
        "_others",
        "_own",
        "certificate_lines",
        "connection",
        "geography",
        "group",
        "left_out",
        "refusal",
        "since",
        "until",
    )

    def __init__(
        self, group: ServedGroup, connection: Connection, geography: Geography | None, since: float, until: float
    ) -> None:
        self.group = group
        self.connection = connection
        self.refusal = judge(group.group, connection.verification)
        styles = group.group.certificate_headers
        self.certificate_lines, self.left_out = certificate_lines(styles, connection, group.uris)
        self.geography = geography
        self.since = since
        self.until = until
        self._own: dict[str, Standing] = {}
        self._others: dict[str, Standing] = {}

    def standing(self, path_map: ServedPathMap, exchange: Exchange, own: bool) -> Standing:
        """What holds for all requests that take a path map.

        :param exchange: one of them, routed.
        :param own: whether the peer is its client, and not a proxy.
        """
        standings = self._own if own else self._others
        standing = standings.get(path_map.name)
        if standing is None:
            standing = standings[path_map.name] = Standing(None, b"")
            if own:
                request, client = exchange.request, exchange.client
                assert request is not None
                standing.tags = path_map.pipeline.standing(exchange)
                standing.lines = Forwarded(client, client, request.scheme, request.authority).lines()
        return standing


class ClientSession:
    """A client on one connection.

    :param handshake_group: under whose TLS policy the handshake was; a reload may have come since it began.
    :ivar connection: the facts of the connection, with the verdict on the client as of its handshake.
    :ivar handshake_group: the server group under whose TLS policy it was judged, as of the last reload.
    :ivar context: what the exchanges of its listener share, as of the last reload.
    :ivar behind_proxy: whether the peer is a trusted proxy, which reports the client of each request.
    """

    __slots__ = (
        "_as_of", "_since", "_sites", "_trust", "_until", "behind_proxy", "connection", "context", "handshake_group",
    )  # fmt: skip

    def __init__(self, connection: Connection, handshake_group: ServedGroup, context: ListenerContext) -> None:
        self.connection = connection
        self.handshake_group = context.router.successor(handshake_group) or handshake_group
        self.context = context
        self.behind_proxy = context.trusted_proxies.contains(connection.peer.host)
        self._sites: dict[bytes, Site] = {}
        self._as_of = connection
        self._trust = handshake_group.trust
        self._since, self._until = 0, FOREVER
        if connection.client is not None:
            self._since = int(self.now())
            handshake = datetime.datetime.fromtimestamp(self._since, datetime.UTC)
            self._until = handshake_group.trust.until(connection.client, handshake)

    def now(self) -> float:
        """The time, seconds since the epoch."""
        return time.time()

    def authority(self) -> bytes:
        """The authority of a request that says none: the server name of the handshake; without one our address, if the
        server group has it as a host, or else the group's first host, or our address after all."""
        name, address = self.connection.server_name, self.connection.local.host
        if name is None:
            address = f"[{address}]" if ":" in address else address
            hosts = [host for host in self.handshake_group.group.hosts if not host.startswith("*.")]
            name = address if address in hosts or not hosts else hosts[0]
        return name.encode("ascii")

    def follow(self, context: ListenerContext) -> None:
        """Keep up with a reload: from now on the server groups, and all that the exchanges share, are others.

        A group without a successor stays; the router then serves only what is judged on the very same terms.
        """
        if context is not self.context:
            self.context = context
            self.handshake_group = context.router.successor(self.handshake_group) or self.handshake_group
            self.behind_proxy = context.trusted_proxies.contains(self.connection.peer.host)
            self._sites.clear()

    def site(self, authority: bytes, now: float) -> Site:
        """The server group that serves an authority, with the verdict on the client as of now.

        :param authority: in normal form.
        :param now: seconds since the epoch.
        :raises ClientError: 421, as :meth:`edgenode.proxy.routing.Router.route` does.
        """
        site = self._sites.get(authority)
        if site is not None and site.since <= now < site.until:
            return site
        group = self.context.router.route(self.handshake_group, authority)
        connection = self.as_of_now(group)
        since, until = (self._since, self._until + 1) if connection.client is not None else (0, FOREVER)
        geography = None if self.behind_proxy else group.locate(connection.peer.host)
        if len(self._sites) >= _MOST_SITES:
            self._sites.clear()
        site = self._sites[authority] = Site(group, connection, geography, since, until)
        return site

    def as_of_now(self, group: ServedGroup) -> Connection:
        """The facts with the verdict as of now: a certificate may have expired or been revoked since the handshake,
        and the trust stores may be others."""
        client = self.connection.client
        if client is None:
            return self.connection
        second = int(self.now())
        if group.trust is not self._trust or not self._since <= second <= self._until:
            now = datetime.datetime.fromtimestamp(second, datetime.UTC)
            judged, self._until = group.trust.look_again(client, now)
            if judged != self._as_of.client:
                self._as_of = self.connection if judged is client else evolve(self.connection, client=judged)
            self._trust, self._since = group.trust, second
        return self._as_of

    def admit(self) -> ClientError | None:
        """Why the client is no longer let in, if it is not: for its certificate, or since its handshake was on terms
        that are no longer those of its server group, as requests on it would be answered with 421."""
        if self.context.router.successor(self.handshake_group) is not self.handshake_group:
            return ClientError(
                421, f"the connection was made on terms that {self.handshake_group.name} had before a reload"
            )
        return judge(self.handshake_group.group, self.as_of_now(self.handshake_group).verification)
