"""What a meter counts of exchanges."""

from __future__ import annotations

from collections import Counter

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.decision import Action, Decision, Reason
from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import Connection, Exchange, Verification
from edgenode.model.presentation import Presentation
from edgenode.model.websocket import WebSocketState
from edgenode.observe.metrics import meter as meters
from edgenode.observe.metrics.meter import BOUNDS, Meter
from edgenode.proxy.listener import handshake_counts
from edgenode.proxy.listener.handshake_counts import OTHER, HandshakeCounts
from edgenode.tls.verify_errors import EXPIRED, UNABLE_TO_GET_ISSUER
from tests.support.records import ADDRESSES, CLIENT, EXCHANGE, FakeRecord, counted

BLOCK = Action("block")
UNFINISHED = Connection(*ADDRESSES, "www.test")


def metered(*several: FakeRecord) -> Meter:
    """A meter that has taken some records."""
    meter = Meter()
    for each in several:
        meter.count(each)
    assert not meter.failed
    return meter


def test_a_request_counts_under_its_labels() -> None:
    """Listener, server group, path map, class of the status, action and mode; with its time and its bytes."""
    refused = FakeRecord(EXCHANGE, Decision(action=BLOCK), status=403, tries=0, sent=9)
    meter = metered(FakeRecord(EXCHANGE, received=5), FakeRecord(EXCHANGE, status=204), refused)
    assert {key: counts.count for key, counts in meter.requests.items()} == {
        ("public", "site", "rest", 2, "", "block"): 2,
        ("public", "site", "rest", 4, "block", "block"): 1,
    }
    passed = meter.requests["public", "site", "rest", 2, "", "block"]
    assert (passed.seconds, passed.received, passed.sent) == (2.0, 5, 2048)


@given(st.lists(st.floats(0, 100), min_size=1))
def test_every_request_is_in_the_bucket_of_its_duration(durations: list[float]) -> None:
    """What took no longer than a bound, and longer than the one below it; and the last one is remembered with it."""
    meter = metered(*(FakeRecord(EXCHANGE, began=0.0, ended=each, identifier=b"%r" % each) for each in durations))
    (counts,) = meter.requests.values()
    for place, (least, most) in enumerate(zip((-1.0, *BOUNDS), (*BOUNDS, float("inf")), strict=True)):
        within = [each for each in durations if least < each <= most]
        assert counts.buckets[place] == len(within)
        exemplar = counts.exemplars[place]
        assert exemplar == ((b"%r" % within[-1], within[-1], 1.7e9) if within else None)


def test_filters_count_by_what_has_come_of_them() -> None:
    """By stage, filter and proposed action; and whether that action was the one that was taken, in which mode."""
    reasons = (Reason("global-filters", "bots", action="block"), Reason("global-filters", "slow", action="tarpit"))
    meter = metered(
        FakeRecord(EXCHANGE, Decision(frozenset(), reasons, BLOCK)),
        FakeRecord(EXCHANGE, Decision(frozenset(), reasons, BLOCK, mode="monitoring")),
        FakeRecord(EXCHANGE, Decision(frozenset(), (Reason("global-filters", "tags only"),))),
    )
    assert meter.filters == {
        ("global-filters", "bots", "block", "block", True): [1],
        ("global-filters", "slow", "tarpit", "block", False): [1],
        ("global-filters", "bots", "block", "monitoring", True): [1],
        ("global-filters", "slow", "tarpit", "monitoring", False): [1],
        ("global-filters", "tags only", "", "block", False): [1],
    }


def test_origins_count_by_server() -> None:
    """Answers by class, time to the answer, servers asked in vain, failures by kind."""
    failed = FakeRecord(
        EXCHANGE, status=502, error=OriginError(502, "connect", "refused"), tries=2, origin_status=0, answered=0.0
    )
    meter = metered(FakeRecord(EXCHANGE), FakeRecord(EXCHANGE, server="10.0.0.12:8443", tries=3), failed)
    first, second = meter.origins["shop", "10.0.0.11:8443"], meter.origins["shop", "10.0.0.12:8443"]
    assert (first.statuses[2], first.statuses[0], first.retries, first.errors) == (1, 1, 1, {"connect": 1})
    assert (sum(first.buckets), first.seconds) == (1, 0.5)
    assert (second.statuses[2], second.retries, second.errors) == (1, 2, {})


def test_our_certificate_counts_once_for_each_connection() -> None:
    """For the request that a connection was opened for, and not for those that are sent on it later."""
    asked = Presentation(True, "CN=edge", "01", True)
    several = [
        FakeRecord(EXCHANGE, presented=each, reused=reused)
        for each, reused in (
            (asked, False), (asked, True), (Presentation(False), False), (evolve(asked, accepted=False), False),
            (Presentation(True, None, None, None), False), (None, False),
        )
    ]  # fmt: skip
    (counts,) = metered(*several).origins.values()
    assert counts.presented == {
        ("yes", "accepted"): 1,
        ("no", "not asked"): 1,
        ("yes", "refused"): 1,
        ("no", "not known"): 1,
    }


def test_a_websocket_is_one_request() -> None:
    """That of its handshake; what follows counts its messages at its end, and filters that matched one."""
    matched = Decision(frozenset(), (Reason("global-filters", "words", action="block"),))
    meter = metered(
        FakeRecord(EXCHANGE, status=101),
        FakeRecord(EXCHANGE, matched, status=101, websocket=WebSocketState(2, 1, None, None)),
        FakeRecord(EXCHANGE, status=101, websocket=WebSocketState(7, 5, 1000, "client")),
    )
    assert sum(each.count for each in meter.requests.values()) == 1
    assert meter.messages == {("public", "rest"): (7, 5)}
    assert sum(count for (count,) in meter.filters.values()) == 1


def test_limits_of_listeners_count() -> None:
    """Each limit under its name, and the request as well."""
    error = ClientError(503, "over the limit: max-requests")
    meter = metered(FakeRecord(EXCHANGE, error=error, status=503, tries=0))
    assert meter.limits == {("public", "max-requests"): 1}
    assert meter.client_errors == {("public", "site", 503): 1}
    assert list(meter.requests) == [("public", "site", "rest", 5, "", "block")]


def test_a_handshake_that_failed_is_no_request() -> None:
    """It counts as a handshake, with the reason in one of few words."""
    expired = evolve(CLIENT, verification=Verification(True, False, last_error=EXPIRED, reason="expired"))
    known = Exchange(evolve(UNFINISHED, client=expired), server_group="site")
    nobody = Exchange(UNFINISHED, server_group="site")
    several = [
        FakeRecord(known, error=ClientError(495, "client certificate: certificate has expired"), status=0, tries=0),
        FakeRecord(nobody, error=ClientError(421, "no server group for the server name: evil.test"), tries=0),
        FakeRecord(nobody, error=ClientError(400, "TLS handshake: Connection reset by peer"), tries=0),
        FakeRecord(nobody, error=ClientError(400, "TLS handshake: what nobody knows"), tries=0),
        FakeRecord(
            nobody,
            error=ClientError(495, "client certificate: unable to get local issuer certificate: the list of CN=x"),
            tries=0,
        ),
    ]
    meter = Meter()
    meter.handshakes.done("public", "site", CLIENT)
    for each in several:
        meter.count(each)
    assert not meter.requests
    assert meter.handshakes.endings == {
        ("public", "site", "verified", "", "CN=Clients"): 1,
        ("public", "site", "failed", EXPIRED, "CN=Clients"): 1,
        ("public", "site", "failed", "unknown server name", ""): 1,
        ("public", "site", "failed", "closed", ""): 1,
        ("public", "site", "failed", OTHER, ""): 1,
        ("public", "site", "failed", UNABLE_TO_GET_ISSUER, ""): 1,
    }


def test_issuers_are_those_of_verified_clients() -> None:
    """What a client that is not verified says of its issuer is believed only if others of that issuer were verified;
    and there are so many of them and no more."""
    counts = HandshakeCounts()
    unverified = evolve(CLIENT, issuer="CN=Anybody", verification=Verification(True, False, last_error=20))
    counts.done("public", "site", unverified)
    for number in range(handshake_counts.MOST_AUTHORITIES + 5):
        counts.done("public", "site", evolve(CLIENT, issuer=f"CN={number}"))
    counts.done("public", "site", None)
    assert counts.endings["public", "site", "not verified", 20, ""] == 1
    assert counts.endings["public", "site", "verified", "", OTHER] == 5
    assert counts.endings["public", "site", "no certificate", "", ""] == 1
    assert len(counts.endings) == handshake_counts.MOST_AUTHORITIES + 3


@given(st.lists(counted, max_size=30))
def test_no_record_is_too_odd(several: list[FakeRecord]) -> None:
    """Every record is counted, once: as a request, or as a handshake that failed."""
    meter = metered(*several)
    requests = sum(each.count for each in meter.requests.values())
    assert requests + sum(meter.handshakes.endings.values()) == len(several)


def test_nothing_grows_without_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes on top of the bounds counts as other."""
    for name in ("MOST", "MOST_FILTERS", "MOST_SERVERS"):
        monkeypatch.setattr(meters, name, 5)
    monkeypatch.setattr(handshake_counts, "MOST", 5)
    meter = Meter()
    for number in range(20):
        reasons = (Reason("global-filters", f"filter {number}"),)
        error = ClientError(503, f"over the limit: {number}")
        meter.count(
            FakeRecord(EXCHANGE, Decision(frozenset(), reasons), listener=f"{number}", server=f"{number}", error=error)
        )
        meter.count(FakeRecord(EXCHANGE, listener=f"{number}", websocket=WebSocketState(1, 1, 1000, "client")))
        meter.handshakes.failed(f"{number}", "", "closed", None)
    for several in (meter.requests, meter.filters, meter.origins, meter.handshakes.endings, meter.messages):
        assert len(several) == 6
    assert len(meter.limits) == len(meter.client_errors) == 5
    assert sum(each.count for each in meter.requests.values()) == 20
    assert sum(count for (count,) in meter.filters.values()) == 20
    assert not meter.failed


@given(st.lists(counted, max_size=20), st.integers(0, 3))
def test_filters_and_servers_are_those_of_the_records(several: list[FakeRecord], most: int) -> None:
    """What is found at once is what is meant, also where actions, modes and origins are mixed, for there are too many
    labels, and where there is no room to find all of them at once."""
    several = [*several, *reversed(several)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meters, "MOST", most)
        patch.setattr(meters, "_MOST_FOUND", 1)
        meter = metered(*several)
    filters, servers = Counter[object](), Counter[object]()
    for each in several:
        early = each.exchange.request is None and not each.exchange.connection.tls_version
        if early and isinstance(each.error, ClientError):
            continue
        taken = "" if each.decision.action is None else each.decision.action.name
        for reason in each.decision.reasons:
            acted = reason.action == taken != ""
            filters[reason.stage, reason.filter, reason.action, each.decision.mode, acted] += 1
        servers[each.origin, each.server] += bool(each.tries)
    assert {key: count for key, (count,) in meter.filters.items()} == filters
    assert {key: sum(counts.statuses) for key, counts in meter.origins.items()} == {
        key: servers[key] for key in meter.origins
    }
    assert sum(servers.values()) == sum(sum(counts.statuses) for counts in meter.origins.values())


def test_what_is_found_at_once_is_of_the_same_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where actions and modes are mixed, for there are too many labels, nothing is found at once; and a path map may
    have another origin after a reload, with the same server."""
    monkeypatch.setattr(meters, "MOST", 0)
    reason = Reason("global-filters", "bots", action="block")
    meter = metered(
        FakeRecord(EXCHANGE, Decision(frozenset(), (reason,), BLOCK)),
        FakeRecord(EXCHANGE, Decision(frozenset(), (reason,), BLOCK, mode="monitoring")),
    )
    assert sorted(key[3] for key in meter.filters) == ["block", "monitoring"]
    monkeypatch.undo()
    meter = metered(FakeRecord(EXCHANGE, origin="before"))
    meter.expect(())
    meter.count(FakeRecord(EXCHANGE, origin="after"))
    assert [origin for origin, _ in meter.origins] == ["before", "after"]


def test_a_defect_is_counted_and_logged_once(flush_logged_errors: object) -> None:
    """A record that cannot be counted, such as an extension's, takes nothing from its exchange."""
    meter = Meter()
    for _ in range(3):
        meter.count(None)  # type: ignore[arg-type]
    assert meter.failed == 3
    assert len(flush_logged_errors(AttributeError)) == 1  # type: ignore[operator]


def test_what_waits_is_counted_with_others_or_once_somebody_looks() -> None:
    """Sixty-four at a time; none is left, and none counts twice."""
    meter = Meter()
    for _ in range(65):
        meter.record(FakeRecord(EXCHANGE))
    assert sum(each.count for each in meter.requests.values()) == 64
    for _ in range(2):
        meter.settle()
        assert sum(each.count for each in meter.requests.values()) == 65
