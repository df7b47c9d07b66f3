"""The benches of content filters: what is sent, and the verdicts on what they measured."""

from __future__ import annotations

import json
import pathlib
import random
from collections.abc import Sequence
from urllib.parse import parse_qsl

import pytest

from bench import detection, hostile, policy
from bench.comparing import comparison
from bench.corpora import Corpus, gotestwaf, http_params, libinjection
from bench.load import Report
from bench.peers import bench
from bench.proxy import Row
from tests.support.attack_requests import asked
from tests.support.modsecurity import Asked

GOOD = Report(100, 1.0, 1.0, 2.0, 3.0, 0, 0, 0, 0, 1000, 10, 20, 600)


def test_bodies_differ_and_have_their_sizes() -> None:
    """Forms have 2 KiB, documents 10 KiB; no two are the same, and both can be read."""
    chosen = random.Random(1)
    forms, documents = [policy.form(chosen) for _ in range(20)], [policy.document(chosen) for _ in range(20)]
    assert len(set(forms)) == len(set(documents)) == 20
    assert all(1900 <= len(each) <= 2200 and parse_qsl(each.decode(), strict_parsing=True) for each in forms)
    assert all(9_500 <= len(each) <= 11_000 and json.loads(each) for each in documents)


def test_bodies_are_sent(tmp_path: pathlib.Path) -> None:
    """The generator sends the bodies of a file in turn, each with its length, and reads what is answered."""
    bodies = [b"a=" + b"b" * size for size in (10, 3000, 12_000)]
    policy.write_bodies(tmp_path / "bodies", bodies)
    with bench() as place, place.nginx() as peer:
        report = place.load(
            peer, ("-c", "2", "-p", "/upload", "-V", "3", "-F", str(tmp_path / "bodies")), 0.3, 0.1
        ).report()
    assert report.requests > 0
    assert report.errors == report.refused == 0
    assert report.sent / report.requests > min(len(each) for each in bodies)


@pytest.mark.parametrize(("filtered", "modsecurity", "kept"), [(250.0, 3000.0, True), (250.0, 2000.0, False)])
def test_a_content_filter_costs_a_tenth_of_modsecurity(filtered: float, modsecurity: float, kept: bool) -> None:
    """The limits are a tenth of nginx with ModSecurity, and 60 microseconds more than without a filter."""
    costs = {policy.BARE: 200.0, policy.FILTERED: filtered, policy.MODSECURITY: modsecurity}
    rows = [Row(peer, "realvary", 0, cost, GOOD) for peer, cost in costs.items()]
    assert comparison(rows, policy.COMPARED["realvary"])[1] is kept


def _refusing(*targets: bytes) -> detection.Refused:
    def refused(requests: Sequence[Asked]) -> list[bool]:
        return [request.target in targets for request in requests]

    return refused


def test_detection_must_not_be_under_the_reference() -> None:
    """Who refuses fewer attacks, or more of what is none, is under it."""
    attack, other, benign = (asked(target=target) for target in (b"/attack", b"/other", b"/benign"))
    corpus = Corpus("some", [attack, other], [benign])
    reference = ("reference", _refusing(b"/attack"))
    for mine, kept in (((b"/attack", b"/other"), True), ((b"/attack", b"/benign"), False), ((), False)):
        text, good = detection.compared([corpus], [("ours", _refusing(*mine)), reference])
        assert good is kept
        assert "50.0 %" in text


def test_collections_are_read(tmp_path: pathlib.Path) -> None:
    """Each is read from the files of its own repository, attacks apart from what is none."""
    cases = tmp_path / "testcases"
    for folder, payload in (("owasp", "<script>"), ("false-pos", "a b")):
        (cases / folder).mkdir(parents=True)
        keys = {"payload": [payload], "encoder": ["URL"], "placeholder": ["URLParam", "JSONRequest", "gRPC"]}
        (cases / folder / "a.yml").write_text(json.dumps(keys))
    found = gotestwaf(cases)
    assert [each.target for each in (*found.attacks, *found.benign)] == [
        b"/?d3a5f1=%3Cscript%3E",
        b"/",
        b"/?d3a5f1=a%20b",
        b"/",
    ]
    lines = tmp_path / "payloads.csv"
    lines.write_text('"payload","length","attack_type","label"\n"1\' or 1","6","sqli","anom"\n"x","1","norm","norm"\n')
    values = http_params(lines)
    assert [each.target for each in values.attacks] == [b"/?q=1%27%20or%201"]
    assert [each.target for each in values.benign] == [b"/?q=x"]
    (tmp_path / "sqli-a.txt").write_text("# comment\n\n1'+or+1\n")
    (tmp_path / "false_positives.txt").write_text('"A"\n')
    texts = libinjection(tmp_path)
    assert [each.target for each in texts.attacks] == [b"/?q=1'+or+1"]
    assert [each.target for each in texts.benign] == [b"/?q=%22A%22"]


def test_hostile_requests_have_limits() -> None:
    """One that takes 20 times what is ordinary is kept, one that takes longer, or holds the loop up, is not."""
    case = next(hostile.cases(1000))

    def of(times: float, longest: float) -> bool:
        costs = {case.hostile: hostile.Cost(times, longest), case.ordinary: hostile.Cost(1.0, 0.0)}
        return hostile.compared([case], costs.__getitem__)[1]

    assert of(20.0, 0.05)
    assert not of(21.0, 0.05)
    assert not of(20.0, 0.06)


def test_hostile_requests_are_as_large_as_said() -> None:
    """Each has about the size that is asked for, but for those whose values are a header field's."""
    for case in hostile.cases(50_000):
        if case.hostile.body:
            assert 20_000 < len(case.hostile.body) < 400_000, case.name
            assert 20_000 < len(case.ordinary.body) < 400_000, case.name
