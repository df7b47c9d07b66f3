"""The values of all families: of what the meter has counted, and of what the running node is.

Law: nothing is changed by it, and it may run in a thread beside the node: what is read meanwhile is of this moment or
of the next.
"""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field
from OpenSSL import SSL

from edgenode.observe.metrics import families as f
from edgenode.observe.metrics.families import Family
from edgenode.observe.metrics.loop_delay import LoopDelay
from edgenode.observe.metrics.meter import BOUNDS, Meter
from edgenode.observe.status import Status
from edgenode.tls.verify_errors import reason

Exemplar = tuple[bytes, float, float]
"""The identifier of a request, its duration, and when it began."""

_LIMITS = {"rate-limits": "rate-limit", "dynamic-rules": "dynamic-rule"}
"""The stages whose reasons are limits that were hit, and what these are called."""

_NO_CONNECTIONS = {"handshake": 0, "http/1.1": 0, "h2": 0}


@define
class Histogram:
    """Durations by bucket.

    :ivar bounds: the upper bounds of the buckets, but of the last, which has none.
    :ivar buckets: how many are in each, and in no other.
    :ivar seconds: all durations together.
    :ivar exemplars: the last request of each bucket, if one is known.
    """

    bounds: Sequence[float] = BOUNDS
    buckets: list[int] = field(factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0
    exemplars: list[Exemplar | None] = field(factory=lambda: [None] * (len(BOUNDS) + 1))

    def add(self, buckets: Iterable[int], seconds: float, exemplars: Iterable[Exemplar | None]) -> None:
        """Add those of other labels; of two exemplars the one that began later stays."""
        self.buckets = [mine + theirs for mine, theirs in zip(self.buckets, buckets, strict=True)]
        self.seconds += seconds
        pairs = zip(self.exemplars, exemplars, strict=True)
        self.exemplars = [
            theirs if mine is None or (theirs and theirs[2] >= mine[2]) else mine for mine, theirs in pairs
        ]


Labels = tuple[str, ...]
Values = Mapping[Family, Mapping[Labels, float | Histogram]]
"""The values of each family by its labels."""


class _Gathered(defaultdict[Family, dict[Labels, Any]]):
    """Values while they are gathered."""

    def __init__(self) -> None:
        super().__init__(dict)

    def add(self, family: Family, labels: Labels, number: float) -> None:
        """Add to the value with these labels."""
        values = self[family]
        values[labels] = values.get(labels, 0) + number

    def put(self, family: Family, labels: Labels, number: float | None) -> None:
        """Set the value with these labels, if there is one."""
        if number is not None:
            self[family][labels] = number

    def histogram(self, family: Family, labels: Labels) -> Histogram:
        """The one with these labels."""
        found: Histogram = self[family].setdefault(labels, Histogram())
        return found


def status_class(digit: int | str) -> str:
    """``2xx`` and the like; ``none`` for 0."""
    return digit if isinstance(digit, str) else f"{digit}xx" if digit else "none"


def gather(meter: Meter, status: Status | None = None, loop_delay: LoopDelay | None = None, *, ready: bool) -> Values:
    """All there is.

    :param meter: what was counted.
    :param status: what the node is; ``None`` if that cannot be said.
    :param loop_delay: how late timers were.
    :param ready: whether the node serves.
    """
    gathered = _Gathered()
    _requests(meter, gathered)
    _filters(meter, gathered)
    _origins(meter, gathered)
    _handshakes(meter, gathered)
    gathered.put(f.READY, (), ready)
    gathered.put(f.UNCOUNTED, (), meter.failed)
    if loop_delay is not None:
        gathered.histogram(f.LOOP_DELAY, ()).add(loop_delay.buckets, loop_delay.seconds, [None] * (len(BOUNDS) + 1))
    if status is not None:
        for each in (_node, _listeners, _credentials, _feeds, _pools, _state, _observer):
            each(status, gathered)
    return {family: gathered[family] for family in f.FAMILIES if family in gathered}


# -- what was counted --------------------------------------------------------------------------------------------------


def _requests(meter: Meter, gathered: _Gathered) -> None:
    for (*place, digit, action, mode), counts in list(meter.requests.items()):
        of = tuple(map(str, place))
        buckets = counts.buckets.copy()
        gathered.add(f.REQUESTS, (*of, status_class(digit), action, mode), sum(buckets))
        gathered.histogram(f.REQUEST_SECONDS, of).add(buckets, counts.seconds, counts.exemplars)
        gathered.add(f.RECEIVED, of, counts.received)
        gathered.add(f.SENT, of, counts.sent)
    for (listener, group, exact), count in list(meter.client_errors.items()):
        gathered.add(f.CLIENT_ERRORS, (listener, group, str(exact)), count)
    for (listener, path_map), (received, sent) in list(meter.messages.items()):
        gathered.add(f.MESSAGES, (listener, path_map, "received"), received)
        gathered.add(f.MESSAGES, (listener, path_map, "sent"), sent)


def _filters(meter: Meter, gathered: _Gathered) -> None:
    for (stage, filter, action, mode, taken), (count,) in list(meter.filters.items()):
        said = taken if isinstance(taken, str) else "yes" if taken else "no"
        gathered.add(f.FILTERS, (stage, filter, action, mode, said), count)
        if stage in _LIMITS and filter:
            gathered.add(f.LIMITS, (_LIMITS[stage], filter, ""), count)
    for (listener, limit), count in list(meter.limits.items()):
        gathered.add(f.LIMITS, ("listener", listener, limit), count)
    for listener, count in list(meter.handshakes.turned_away.items()):
        gathered.add(f.LIMITS, ("listener", listener, "max-excess-connections"), count)


def _origins(meter: Meter, gathered: _Gathered) -> None:
    for (origin, server), counts in list(meter.origins.items()):
        at = (origin, server or "")
        for digit, count in enumerate(counts.statuses):
            if count:
                gathered.add(f.ORIGIN_REQUESTS, (*at, status_class(digit)), count)
        gathered.histogram(f.ORIGIN_SECONDS, at).add(counts.buckets.copy(), counts.seconds, counts.exemplars)
        gathered.add(f.ORIGIN_RETRIES, (origin,), counts.retries)
        for kind, count in list(counts.errors.items()):
            gathered.add(f.ORIGIN_ERRORS, (*at, kind), count)
        for outcome, count in list(counts.presented.items()):
            gathered.add(f.ORIGIN_CERTIFICATES, (*at, *outcome), count)


def _handshakes(meter: Meter, gathered: _Gathered) -> None:
    for (listener, group, result, why, authority), count in list(meter.handshakes.endings.items()):
        words = reason(why) if isinstance(why, int) and why else str(why or "")
        gathered.add(f.HANDSHAKES, (listener, group, result, words, authority), count)


# -- what the node is --------------------------------------------------------------------------------------------------


def _node(status: Status, gathered: _Gathered) -> None:
    openssl = SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode("ascii", "replace")
    gathered.put(f.BUILD, (status.version, platform.python_version(), openssl), 1)
    gathered.put(f.STARTED, (), status.started)
    gathered.put(f.LOADED, (), status.loaded)
    gathered.put(f.RELOADED, (), status.reload is None or status.reload.done)
    gathered.put(f.UNUSED, (), len(status.unused))
    gathered.put(f.EVENTS_LOST, (), status.events_lost)


def _listeners(status: Status, gathered: _Gathered) -> None:
    for each in status.listeners:
        for protocol, count in {**_NO_CONNECTIONS, **each.protocols}.items():
            gathered.put(f.CONNECTIONS, (each.name, protocol), count)
        gathered.put(f.MOST_CONNECTIONS, (each.name,), each.most_connections)
        gathered.put(f.STREAMS, (each.name,), each.streams)
        gathered.put(f.WEBSOCKETS, (each.name,), each.websockets)
        gathered.put(f.RELAYED, (each.name,), each.relayed)


def _credentials(status: Status, gathered: _Gathered) -> None:
    for certificate in status.certificates:
        gathered.put(f.CERTIFICATE_EXPIRY, (certificate.name, certificate.subject), certificate.not_after)
    for store in status.trust_stores:
        for authority in store.authorities:
            at = (store.name, authority.subject)
            earlier = gathered[f.AUTHORITY_EXPIRY].get(at, authority.not_after)  # two may have the same name
            gathered.put(f.AUTHORITY_EXPIRY, at, min(earlier, authority.not_after))
        for crl in sorted(store.crls, key=lambda each: each.this_update):  # of two the newer one counts
            issuer = (store.name, crl.issuer)
            gathered.put(f.CRL_THIS_UPDATE, issuer, crl.this_update)
            gathered.put(f.CRL_NEXT_UPDATE, issuer, crl.next_update)
            gathered.put(f.CRL_ENTRIES, issuer, crl.entries)


def _feeds(status: Status, gathered: _Gathered) -> None:
    for each in status.feeds:
        gathered.put(f.FEED_ENTRIES, (each.header,), each.entries)
        gathered.put(f.FEED_CONFIRMED, (each.header,), each.confirmed)
        gathered.put(f.FEED_REFRESH, (each.header,), each.refresh)
        gathered.put(f.FEED_FAILED, (each.header,), bool(each.problem))


def _pools(status: Status, gathered: _Gathered) -> None:
    for origin in status.origins:
        gathered.put(f.ORIGIN_QUEUED, (origin.name,), origin.queued)
        gathered.put(f.ORIGIN_OPENING, (origin.name,), origin.opening)
        trial = origin.trial
        gathered.put(f.ORIGIN_TRIAL, (origin.name,), 0 if trial is None else 2 if trial.refusals else 1)
        for server in origin.servers:
            at = (origin.name, server.address)
            gathered.put(f.ORIGIN_UP, at, server.up)
            if (check := server.check) is not None:
                gathered.put(f.ORIGIN_HEALTHY, at, check.healthy)
                gathered.put(f.ORIGIN_CHECKS, (*at, "good"), check.passed)
                gathered.put(f.ORIGIN_CHECKS, (*at, "bad"), check.failed)
            if server.handshake is not None:
                gathered.put(f.ORIGIN_EXPIRY, at, server.handshake.not_after)
            gathered.put(f.ORIGIN_CONNECTIONS, (*at, "idle"), server.idle)
            gathered.put(f.ORIGIN_CONNECTIONS, (*at, "busy"), server.open - server.idle)
            gathered.put(f.ORIGIN_STREAMS, at, server.streams)


def _observer(status: Status, gathered: _Gathered) -> None:
    """What is told by another process, and may be anything."""
    told = status.observer
    _numbers(_object(told, "observer"), {"starts": f.OBSERVER_STARTS}, (), gathered)
    _numbers(_object(told, "journal"), f.OF_JOURNAL, (), gathered)
    _numbers(_object(told, "traces"), f.OF_TRACES, (), gathered)
    exporters, alerts = _object(told, "exporters"), _object(told, "alerts")
    for name in exporters:
        _numbers(_object(exporters, name), f.OF_EXPORTERS, (name,), gathered)
    for name in alerts:
        alert = _object(alerts, name)
        _numbers(alert, f.OF_ALERTS, (name,), gathered)
        receivers = _object(alert, "receivers")
        for receiver in receivers:
            _numbers(_object(receivers, receiver), f.OF_RECEIVERS, (name, receiver), gathered)


def _object(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = told.get(name)
    return found if isinstance(found, Mapping) else {}


def _numbers(told: Mapping[str, Any], families: Mapping[str, Family], labels: Labels, gathered: _Gathered) -> None:
    for name, family in families.items():
        value = told.get(name)
        if isinstance(value, str):
            gathered.put(family, labels, bool(value))  # what is wrong, if anything is
        elif isinstance(value, int | float):
            gathered.put(family, labels, value)


def _state(status: Status, gathered: _Gathered) -> None:
    counters, server = status.counters, status.state_server
    if counters is not None:
        for header, count in counters.keys.items():
            gathered.put(f.COUNTED_KEYS, (header,), count)
        gathered.put(f.MOST_COUNTED_KEYS, (), counters.most)
        gathered.put(f.COUNTED_BYTES, (), counters.size)
        gathered.put(f.MOST_COUNTED_BYTES, (), counters.most_size)
        gathered.put(f.FORGOTTEN_KEYS, (), counters.forgotten)
    for key, count in status.quarantined.items():
        gathered.put(f.QUARANTINED, (key,), count)
    if server is not None:
        gathered.put(f.STATE_UP, (server.url,), not server.away)
