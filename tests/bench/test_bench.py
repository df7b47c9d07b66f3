"""The benchmarks: the verdicts of bench/proxy.py and bench/fairness.py on what they measured, and that all of them
measure what they say."""

from __future__ import annotations

import pathlib
import random
import socket
import subprocess
import sys
from typing import Any

import pytest
from attrs import evolve

from bench import (
    comparing,
    counters,
    fairness,
    idle,
    interpreters,
    limits,
    observe,
    processes,
    proxy,
    reload,
    rules,
    site,
)
from bench.load import Report
from bench.peers import bench
from bench.tables import table
from tests.support.waiting import wait_for

GOOD = Report(
    requests=100,
    seconds=1.0,
    p50=1.0,
    p99=2.0,
    worst=3.0,
    errors=0,
    refused=0,
    repeated=0,
    handshakes=0,
    bytes=1000,
    least=10,
    most=20,
    sent=600,
)


def rows(**microseconds: list[float]) -> list[proxy.Row]:
    """Rounds of the scenario ``vary1k``, by peer."""
    return [
        proxy.Row(peer.replace("_", "-"), "vary1k", number, cost, GOOD)
        for peer, costs in microseconds.items()
        for number, cost in enumerate(costs)
    ]


def test_limits_are_of_medians() -> None:
    """One bad round does not break a limit: the median of the rounds' ratios is compared."""
    text, kept = proxy.comparison(rows(edgenode_10=[60, 70, 900], nginx=[25, 24, 10]))
    assert kept
    assert text.splitlines()[2].split() == ["vary1k", "edgenode-10", "70.0", "2.92", "3.00", "2.00", "3", "0%", "kept"]


@pytest.mark.parametrize(
    "measured",
    [{"edgenode_10": [76.0], "nginx": [25.0]}, {"edgenode_10": [76.0]}, {"edgenode_1000": [88.0], "nginx": [25.0]}],
    ids=["slower than nginx allows", "nginx not measured", "slower with many filters"],
)
def test_limits_not_kept(measured: dict[str, list[float]]) -> None:
    """A limit that is exceeded, and one that could not be looked at, is not kept."""
    text, kept = proxy.comparison(rows(**measured))
    assert not kept
    assert "NOT KEPT" in text


@pytest.mark.parametrize(("everything", "kept"), [(140.0, True), (160.0, False)])
def test_what_counting_costs_is_beside_the_node_without_it(everything: float, kept: bool) -> None:
    """A node without Redis on the machine is judged without; everything else has to be kept."""
    measured = rows(nginx_limits=[40.0], filters=[100.0], filters_limits=[110.0], filters_limits_acl_flow=[everything])
    text, good = comparing.comparison(measured, limits.COMPARED, (limits.REDIS,))
    assert good is kept
    assert f"{everything / 100:.2f} x CPU" in text
    assert "not measured" in text


@pytest.mark.parametrize(("seen", "kept"), [(102.0, True), (104.0, False)])
def test_what_it_costs_to_be_seen_is_beside_a_log_of_events(seen: float, kept: bool) -> None:
    """In the node's own process: what its observer takes is printed, and not judged."""
    measured = rows(no_events=[80.0], events=[100.0], journal_metrics=[seen], with_observer=[150.0])
    assert comparing.comparison(measured, observe.COMPARED)[1] is kept


@pytest.mark.parametrize("failure", [{"errors": 1}, {"refused": 7}, {"repeated": 1}, {"requests": 0}])
def test_failed_requests_count_for_nothing(failure: dict[str, int]) -> None:
    """A fast node that fails requests, or an origin that does not vary, keeps no limit."""
    measured = rows(edgenode_10=[1], nginx=[25])
    assert proxy.comparison(measured)[1]
    assert not proxy.comparison([evolve(measured[0], report=evolve(GOOD, **failure)), measured[1]])[1]


def test_only_what_varies_must_differ() -> None:
    """Response heads may come again where one request does."""
    measured = [proxy.Row(peer, "keep1k", 0, 1.0, evolve(GOOD, repeated=9)) for peer in ("nginx", "edgenode-10")]
    assert proxy.comparison(measured)[1]


@pytest.mark.parametrize(
    ("ours", "nginx", "kept"), [(99.0, 1.0, True), (101.0, 1.0, False), (299.0, 150.0, True), (301.0, 150.0, False)]
)
def test_the_limit_of_a_wait(ours: float, nginx: float, kept: bool) -> None:
    """The worst wait of all rounds may be twice nginx's, or 100 ms."""
    measured = [
        fairness.Row(peer, "refused", evolve(GOOD, worst=worst), [evolve(GOOD, refused=1)])
        for peer, waits in (("nginx", (nginx, 0.5)), ("edgenode-10", (1.0, ours)))
        for worst in waits
    ]
    assert fairness.comparison(measured)[1] is kept


def test_calm_rounds_are_judged() -> None:
    """What was measured while something else had the core of one peer counts for none, unless that was always so."""
    waits = {("nginx", 0): (3.0, 0.0), ("edgenode-10", 0): (500.0, 0.5), ("nginx", 1): (3.0, 0.01)}
    measured = [
        fairness.Row(peer, "quiet", evolve(GOOD, worst=worst), round=number, lost=lost)
        for (peer, number), (worst, lost) in waits.items()
    ]
    assert not fairness.comparison(measured[:2])[1]
    assert fairness.comparison([*measured, fairness.Row("edgenode-10", "quiet", GOOD, round=1)])[1]


@pytest.mark.parametrize(
    ("control", "others"),
    [({"errors": 1}, {}), ({"refused": 1}, {}), ({"requests": 0}, {}), ({}, {"bytes": 0})],
    ids=["lost", "refused", "not answered", "nobody else there"],
)
def test_a_wait_that_means_nothing(control: dict[str, int], others: dict[str, int]) -> None:
    """A control client that was turned away, and others that did nothing, keep no limit."""
    measured = [
        fairness.Row("nginx", "downloads", GOOD, [GOOD]),
        fairness.Row("edgenode-10", "downloads", evolve(GOOD, **control), [evolve(GOOD, **others)]),
    ]
    assert not fairness.comparison(measured)[1]


@pytest.mark.deadline(60)
def test_everything_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """Every scenario is run, every request of it is answered, and response heads differ where they should."""
    proxy.main(["--rounds", "1", "--seconds", "0.2", "--warming", "0.1", "--filters", "10", "20"])
    printed = capsys.readouterr().out
    assert printed.startswith("Python ")
    assert all(f"{scenario:9}" in printed for scenario in proxy.SCENARIOS)
    assert "mean nothing" not in printed
    assert "not answered" not in printed


@pytest.mark.deadline(60)
@pytest.mark.parametrize(
    ("words", "size"),
    [
        (("-M", "http2", "-p", "/varied", "-V", "64"), 1024),
        (("-M", "http2", "-p", "/h2/varied", "-V", "64"), 1024),
        (("-M", "grpc", "-p", "/bench.Echo/Unary", "-V", "64"), 105),
        (("-M", "websocket", "-p", "/ws"), 64),
    ],
    ids=["HTTP/2", "HTTP/2 on both sides", "gRPC", "WebSocket"],
)
def test_what_goes_over_streams_comes_about(words: tuple[str, ...], size: int) -> None:
    """At nginx all is answered, and each answer is whole, with a head of its own."""
    with bench() as place, place.nginx() as peer:
        report = place.load(peer, words, 0.3, 0.1).report()
    assert report.requests
    assert (report.errors, report.refused, report.repeated) == (0, 0, 0)
    assert report.bytes >= size * (report.requests - 100), "of those that were on the way when measuring began"


@pytest.mark.deadline(60)
def test_situations_come_about() -> None:
    """At nginx the others get done what each situation is named for, and the control client is not refused or lost."""
    with bench() as place, place.nginx() as peer:
        rows = [fairness.run(place, peer, name, 0.3, 0.2) for name in fairness.SITUATIONS]
    assert {tuple(fairness.complaints([row])) for row in rows} <= {(), ("the control client got no answer",)}
    assert rows[0].control.requests


@pytest.mark.deadline(60)
def test_waits_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """The node takes its turn beside nginx."""
    fairness.main(["--rounds", "1", "--seconds", "0.2", "--warming", "0.1", "--situations", "quiet"])
    lines = capsys.readouterr().out.rpartition("\n\n")[2].splitlines()[1:]
    assert [line.split()[:2] for line in lines] == [["quiet", "nginx"], ["quiet", "edgenode-10"]]
    assert not any("the control client" in line for line in lines)


def test_interpreters_are_told_apart(tmp_path: pathlib.Path) -> None:
    """The version is told, and a build is only called PGO if it is known to be one."""
    assert interpreters.Interpreter.of(sys.executable).version == ".".join(map(str, sys.version_info[:3]))
    assert "NOT known" in str(interpreters.Interpreter("python", "3.11.2", "", False))
    assert "NOT known" not in str(interpreters.Interpreter("python", "3.11.2", "--enable-optimizations", False))
    with pytest.raises(SystemExit):
        interpreters.Interpreter.of(str(tmp_path / "python"))


def test_a_peer_that_does_not_start_is_told(tmp_path: pathlib.Path) -> None:
    """What it wrote is shown."""
    command = ["sh", "-c", "echo no such thing"]
    with (
        pytest.raises(SystemExit, match="no such thing"),
        processes.running(command, processes.cores()[0], 1, tmp_path / "log"),
    ):
        pass


def test_all_of_a_group_ends(tmp_path: pathlib.Path) -> None:
    """What a peer has started ends with it, even if it does not want to."""
    # Two processes that do nothing until they are ended.
    script = "trap '' TERM; sleep 60 & echo $!; wait; sleep 60"
    process = processes.start(["sh", "-c", script], processes.cores()[0], output=subprocess.PIPE)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    assert child in processes.tree(process.pid)
    processes.stop(process, 0.2)
    process.stdout.close()
    state = pathlib.Path(f"/proc/{child}/stat")
    wait_for(lambda: not state.exists() or ") Z " in state.read_text(), "the child has ended")


def test_free_ports_are_free() -> None:
    """One can listen there."""
    port = processes.free_port()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", port))
        assert sock.getsockname()[1] == port


def test_columns_are_aligned() -> None:
    """Words to the left, numbers to the right."""
    assert table(["a", "b"], [["long", "1.0"], ["x", "10.0"]]).splitlines() == ["a     b", "long   1.0", "x     10.0"]


def test_requests_match_filters_as_the_columns_say() -> None:
    """An ordinary request matches none, new or not, and one that is to match some does."""
    source = random.Random(1)
    decide: Any = rules.built(50, False).pipeline.decide
    for _ in range(20):
        new = rules.ordinary(source, 60)
        assert decide(new).reasons == decide(rules.again(new)).reasons == ()
        assert decide(rules.matching(source, 50)).reasons != ()
    requests: list[Any] = [rules.hostile(source, 300, 50).request for _ in range(5)]
    requests.append(rules.ordinary(source, 300).request)
    assert {len(request.query) for request in requests} == {300}


def test_everything_is_measured_and_judged(capsys: pytest.CaptureFixture[str]) -> None:
    """Both tables are printed, with a verdict on every limit that can be told."""
    rules.main(["--filters", "5", "--prefixes", "100", "--rounds", "1", "--requests", "2", "--large", "100"])
    printed = capsys.readouterr().out
    assert all(column in printed for column in rules.COLUMNS)
    assert "a hostile request over 5 filters" in printed
    assert "µs per look-up in 100 prefixes" in printed


def test_reloads_are_measured(capfd: pytest.CaptureFixture[str]) -> None:
    """A node with every kind of filter of this bench is reloaded; how long its loop was blocked is not judged here."""
    assert reload.main(["--filters", "5", "--reloads", "1"]) in (0, 1)
    assert "the loop was blocked for" in capfd.readouterr().out


@pytest.mark.deadline(60)
def test_idle_connections_are_measured(capfd: pytest.CaptureFixture[str]) -> None:
    """Of both protocols and both peers; what so few cost is not judged here."""
    assert idle.main(["--connections", "8"]) in (0, 1)
    lines = capfd.readouterr().out.splitlines()[2:]
    peers = [("h2", "nginx"), ("h2", "edgenode-10"), ("http/1.1", "nginx"), ("http/1.1", "edgenode-10")]
    assert [tuple(line.split()[:2]) for line in lines] == peers


def test_limits_of_rules() -> None:
    """What is over its limit is not kept."""
    assert str(rules.Limit("x", 2.1, 2.0)).endswith("NOT KEPT")
    assert not str(rules.Limit("x", 2.0, 2.0)).endswith("NOT KEPT")


def test_counters_in_memory_are_measured(capfd: pytest.CaptureFixture[str]) -> None:
    """Of each kind few keys and many, and a stream of them; what so few cost is not judged here."""
    assert counters.main(["--keys", "2000", "--minutes", "2"]) in (0, 1)
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[1:7]] == [
        [kind, keys, keys] for kind in ("fixed", "sliding", "distinct") for keys in ("20", "2,000")
    ]
    assert lines[7].startswith("MB after each minute of 400 new keys: ")
    assert lines[8].startswith("200 entries in quarantine: ")


def test_a_filtered_site_is_compared_with_a_bare_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Both serve, every request has its event, and no two requests are the same."""
    asked = site.requests(random.Random(1), 100)
    assert len(set(asked)) == len(asked)
    assert site.main(["--rounds", "1", "--requests", "24"]) in (0, 1)
    bare, filtered = capsys.readouterr().out.splitlines()[1:3]
    assert bare.startswith("bare ")
    assert filtered.startswith("10 filters, events ")
