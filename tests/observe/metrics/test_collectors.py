"""The values of metrics, and the formats in which they are told."""

from __future__ import annotations

import datetime
import re
import shutil
import subprocess
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from edgenode.observe.metrics import families as f
from edgenode.observe.metrics.collectors import Histogram, gather
from edgenode.observe.metrics.exposition import exposition
from edgenode.observe.metrics.loop_delay import PERIOD, LoopDelay
from edgenode.observe.metrics.meter import BOUNDS, Meter
from edgenode.observe.status import (
    AuthorityStatus,
    CertificateStatus,
    CountersStatus,
    CRLStatus,
    FeedStatus,
    ListenerStatus,
    OriginStatus,
    Reload,
    ServerStatus,
    StateServerStatus,
    Status,
    TrustStoreStatus,
)
from edgenode.testing import MemoryReactor
from tests.support.records import EXCHANGE, FakeRecord, counted

OPENMETRICS = "application/openmetrics-text; version=1.0.0"

STATUS = Status(
    at=1000.0,
    version="1.2",
    pid=7,
    name="edge",
    path="edge.ini",
    started=10.0,
    loaded=20.0,
    reload=Reload(30.0, False, "no"),
    unused=("certificate a",),
    memory=1,
    listeners=(ListenerStatus("public", "a:1", ("site",), 3, 10, {"h2": 2, "handshake": 1}, 5, 1),),
    certificates=(CertificateStatus("edge", "CN=edge", 5000.0),),
    trust_stores=(
        TrustStoreStatus(
            "partners",
            (AuthorityStatus("CN=ca", 7000.0), AuthorityStatus("CN=ca", 6000.0)),
            (
                CRLStatus("CN=ca", 500.0, 1500.0, 3),
                CRLStatus("CN=ca", 400.0, 900.0, 2),
                CRLStatus("CN=x", 1.0, None, 0),
            ),
        ),
    ),
    feeds=(
        FeedStatus("list tor", "https://x", 4, 800.0, 60.0, ""),
        FeedStatus("list new", "https://y", None, None, 60.0, "no such host"),
    ),
    origins=(OriginStatus("shop", (ServerStatus("a:1", False, 5, 2, {"h2": 5}, 9),), 4, 1, "auto", True, "", ""),),
    counters=CountersStatus({"rate-limit login": 6}, 6, 10, 100, 200, 2),
    state_server=StateServerStatus("b:2", True, 5.0, "gone"),
    quarantined={"ip": 8},
    events_lost=9,
    observer={
        "observer": {"pid": 9, "starts": 2},
        "journal": {"written": 11, "dropped": 1, "fault": "No space left on device", "oldest": "2026"},
        "exporters": {"siem": {"sent": 12, "behind_bytes": 13, "last_error": "x"}, "odd": "no object"},
        "alerts": {"a": {"raised": 2, "receivers": {"mail": {"sent": 3, "failed": 1, "waiting": 0}}}},
        "of somebody else": {"number": 1},
    },
)


def told(meter: Meter, status: Status | None = None) -> dict[tuple[str, ...], float]:
    """What is told, by the name of the series and the values of its labels in their order."""
    _, text = exposition(gather(meter, status, ready=True), "")
    found = {}
    for family in read_text(text.decode()):
        for sample in family.samples:
            found[(sample.name, *sample.labels.values())] = sample.value
    return found


def test_what_a_node_is_is_told() -> None:
    """Every number of its status under the name and labels of its family."""
    assert {key: value for key, value in told(Meter(), STATUS).items() if key[0].startswith("edgenode")} == {
        ("edgenode_listener_connections", "public", "h2"): 2,
        ("edgenode_listener_connections", "public", "http/1.1"): 0,
        ("edgenode_listener_connections", "public", "handshake"): 1,
        ("edgenode_listener_max_connections", "public"): 10,
        ("edgenode_listener_streams", "public"): 5,
        ("edgenode_listener_websockets", "public"): 1,
        ("edgenode_listener_relayed_streams", "public"): 0,
        ("edgenode_certificate_expiry_timestamp_seconds", "edge", "CN=edge"): 5000,
        ("edgenode_authority_expiry_timestamp_seconds", "CN=ca", "partners"): 6000,
        ("edgenode_crl_this_update_timestamp_seconds", "CN=ca", "partners"): 500,
        ("edgenode_crl_this_update_timestamp_seconds", "CN=x", "partners"): 1,
        ("edgenode_crl_next_update_timestamp_seconds", "CN=ca", "partners"): 1500,
        ("edgenode_crl_entries", "CN=ca", "partners"): 3,
        ("edgenode_crl_entries", "CN=x", "partners"): 0,
        ("edgenode_feed_entries", "list tor"): 4,
        ("edgenode_feed_confirmed_timestamp_seconds", "list tor"): 800,
        ("edgenode_feed_refresh_seconds", "list tor"): 60,
        ("edgenode_feed_refresh_seconds", "list new"): 60,
        ("edgenode_feed_failed", "list tor"): 0,
        ("edgenode_feed_failed", "list new"): 1,
        ("edgenode_origin_certificate_on_trial", "shop"): 0,
        ("edgenode_origin_server_up", "shop", "a:1"): 0,
        ("edgenode_origin_connections", "shop", "a:1", "idle"): 2,
        ("edgenode_origin_connections", "shop", "a:1", "busy"): 3,
        ("edgenode_origin_streams", "shop", "a:1"): 9,
        ("edgenode_origin_opening_connections", "shop"): 1,
        ("edgenode_origin_queued_requests", "shop"): 4,
        ("edgenode_counted_keys", "rate-limit login"): 6,
        ("edgenode_counted_keys_max",): 10,
        ("edgenode_counted_keys_bytes",): 100,
        ("edgenode_counted_keys_max_bytes",): 200,
        ("edgenode_forgotten_keys_total",): 2,
        ("edgenode_quarantined_values", "ip"): 8,
        ("edgenode_state_server_up", "b:2"): 0,
        **{key: 1.0 for key in told(Meter(), STATUS) if key[0] == "edgenode_build_info"},
        ("edgenode_ready",): 1,
        ("edgenode_start_timestamp_seconds",): 10,
        ("edgenode_config_loaded_timestamp_seconds",): 20,
        ("edgenode_config_last_reload_successful",): 0,
        ("edgenode_config_unused_files",): 1,
        ("edgenode_events_lost_total",): 9,
        ("edgenode_uncounted_exchanges_total",): 0,
        ("edgenode_observer_starts_total",): 2,
        ("edgenode_journal_written_events_total",): 11,
        ("edgenode_journal_dropped_events_total",): 1,
        ("edgenode_journal_failed",): 1,
        ("edgenode_exporter_sent_events_total", "siem"): 12,
        ("edgenode_exporter_behind_bytes", "siem"): 13,
        ("edgenode_alert_raised", "a"): 2,
        ("edgenode_alert_sent_messages_total", "a", "mail"): 3,
        ("edgenode_alert_failed_messages_total", "a", "mail"): 1,
        ("edgenode_alert_waiting_messages", "a", "mail"): 0,
    }


_json: Any = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(("sent", "receivers", "a")), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(("journal", "exporters", "alerts", "observer")), _json))
def test_what_the_observer_tells_may_be_anything(observer: dict[str, Any]) -> None:
    """It is another process; what is no number of a family is nothing."""
    read = list(read_text(exposition(gather(Meter(), evolve(STATUS, observer=observer), ready=True), "")[1].decode()))
    assert read


@given(st.lists(counted, max_size=30))
def test_whatever_was_counted_can_be_told_in_both_formats(several: list[FakeRecord]) -> None:
    """No name, and no identifier, spoils the text; both say the same."""
    meter = Meter()
    for each in several:
        meter.count(each)
    values = gather(meter, STATUS, ready=True)

    def ours(families: Any) -> set[tuple[str, tuple[tuple[str, str], ...], str]]:
        samples = (sample for family in families for sample in family.samples if sample.name.startswith("edgenode"))
        return {(each.name, tuple(sorted(each.labels.items())), repr(each.value)) for each in samples}

    kind, plain = exposition(values, "")
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    kind, rich = exposition(values, OPENMETRICS)
    assert kind.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert ours(read_text(plain.decode())) == ours(read_openmetrics(rich.decode()))


@pytest.mark.parametrize(
    "accept", ["", "*/*", "text/plain", "application/openmetrics-text; version=nonsense", "\xff;;,="]
)
def test_who_does_not_ask_for_openmetrics_gets_text(accept: str) -> None:
    """In the plainest version, whatever stands in Accept."""
    kind, text = exposition(gather(Meter(), ready=False), accept)
    assert kind.startswith("text/plain; version=0.0.4")
    assert b"\nedgenode_ready 0.0\n" in text


def test_an_exemplar_that_openmetrics_does_not_allow_is_left_out() -> None:
    """It has at most 128 characters; an identifier of a trusted proxy may be longer."""
    meter = Meter()
    meter.count(FakeRecord(EXCHANGE, identifier=b"a" * 119))
    assert b"request_id" not in exposition(gather(meter, ready=True), OPENMETRICS)[1]
    meter.count(FakeRecord(EXCHANGE, identifier=b"a" * 118))
    assert b"request_id" in exposition(gather(meter, ready=True), OPENMETRICS)[1]


@given(
    st.lists(st.lists(st.integers(0, 100), min_size=len(BOUNDS) + 1, max_size=len(BOUNDS) + 1), min_size=1, max_size=4)
)
def test_histograms_add_up(several: list[list[int]]) -> None:
    """Those of series with more labels make those with fewer, and the exemplar that is younger stays."""
    histogram = Histogram()
    for place, buckets in enumerate(several):
        histogram.add(buckets, 1.0, [(b"%d" % place, 0.1, float(place % 2))] * (len(BOUNDS) + 1))
    assert histogram.buckets == [sum(each) for each in zip(*several, strict=True)]
    assert histogram.seconds == len(several)
    assert {each and each[2] for each in histogram.exemplars} == {1.0 if len(several) > 1 else 0.0}


def test_limits_are_those_that_were_hit() -> None:
    """Of rate limits, dynamic rules and listeners, each under its kind; of a connection closed at once as well."""
    meter = Meter()
    meter.filters.update(
        {("rate-limits", "login", "rate-limit", "block", True): [3], ("dynamic-rules", "x", "", "block", False): [1]}
    )
    meter.filters["rate-limits", "", "", "block", False] = [5]  # those that were left out
    meter.limits["public", "max-requests"] = 2
    meter.handshakes.turn_away("public")
    limits = {key[1:]: value for key, value in told(meter).items() if key[0] == "edgenode_limits_exceeded_total"}
    assert limits == {
        ("rate-limit", "", "login"): 3,
        ("dynamic-rule", "", "x"): 1,
        ("listener", "max-requests", "public"): 2,
        ("listener", "max-excess-connections", "public"): 1,
    }


# -- the table ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", f.FAMILIES, ids=lambda each: each.name)
def test_names_follow_the_conventions(family: f.Family) -> None:
    """Ours begin with our name, have base units at their end, and none says its type twice."""
    assert re.fullmatch(r"edgenode(_[a-z0-9]+)+", family.name)
    assert not family.name.endswith("_total")
    assert not re.search(r"milli|micro|_ms$|kilo|days|hours|minutes|percent", family.name)
    assert family.type != "histogram" or family.name.endswith("_seconds")
    assert "timestamp" not in family.name or family.name.endswith("_timestamp_seconds")
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", label) for label in family.labels)
    assert family.help.endswith(".")
    assert not {"le", "quantile", "instance", "job"} & set(family.labels)


def test_the_table_has_each_family_once_and_the_reference_all_of_them() -> None:
    """Also when two of them stand in the code in different places."""
    names = [each.name for each in f.FAMILIES]
    assert len(set(names)) == len(names)
    reference = f.reference()
    assert all(f"``{each.series}``" in reference for each in f.FAMILIES)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool missing: Debian's package prometheus has it")
def test_promtool_finds_nothing_wrong() -> None:
    """With every family that there is."""
    meter = Meter()
    meter.count(FakeRecord(EXCHANGE))
    loop_delay = LoopDelay(MemoryReactor())
    text = exposition(gather(meter, STATUS, loop_delay, ready=True), "")[1]
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# -- the event loop ----------------------------------------------------------------------------------------------------


def test_a_late_event_loop_is_measured() -> None:
    """By how much later than it should a timer goes off; nothing is measured once it has stopped."""

    class Late(MemoryReactor):
        late = 0.0

        @property
        def clock(self) -> Any:
            return lambda: self.seconds() + self.late

    reactor = Late()
    delay = LoopDelay(reactor)
    delay.start()
    reactor.pass_time(PERIOD)
    reactor.late = 0.3
    reactor.pass_time(PERIOD)
    assert sum(delay.buckets) == 2
    assert delay.buckets[BOUNDS.index(0.5)] == 1
    assert delay.most == pytest.approx(0.3)
    delay.stop()
    assert not reactor.getDelayedCalls()
    assert datetime.timedelta(seconds=delay.seconds) < datetime.timedelta(seconds=0.4)
