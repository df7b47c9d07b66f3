"""The benchmarks: the verdict of bench/proxy.py on what the driver measured, and that bench/rules.py measures what it
says."""

from __future__ import annotations

import importlib.util
import pathlib
import random
import sys
from types import ModuleType
from typing import Any

import pytest


def script(name: str) -> ModuleType:
    """A script as a module."""
    path = pathlib.Path(__file__).parent.parent.parent / "bench" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"bench_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # attrs looks there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def proxy() -> ModuleType:
    """bench/proxy.py."""
    return script("proxy")


@pytest.fixture(scope="module")
def rules() -> ModuleType:
    """bench/rules.py."""
    return script("rules")


def rows(**microseconds: list[float]) -> list[dict[str, Any]]:
    """Rows as the driver writes them, for the scenario ``keep1k``."""
    return [
        {"peer": peer.replace("_", "-"), "scen": "keep1k", "cpu_us": cost, "err": 0, "non2xx": 0}
        for peer, costs in microseconds.items()
        for cost in costs
    ]


def test_limits_are_of_medians(proxy: ModuleType) -> None:
    """One bad round does not break a limit: the medians of the rounds are compared."""
    lines, kept = proxy.comparison(rows(edgenode=[60, 70, 900], nginx=[25, 24, 10], twisted_treq=[300, 350]), "keep1k")
    assert kept
    assert "ours is  2.92 x   at most 3.00 x   kept" in lines[1]


@pytest.mark.parametrize(
    "measured",
    [
        {"edgenode": [76.0], "nginx": [25.0], "twisted_treq": [350.0]},
        {"edgenode": [70.0], "nginx": [25.0], "twisted_treq": [270.0]},
        {"edgenode": [70.0], "nginx": [25.0]},
        {"nginx": [25.0], "twisted_treq": [350.0]},
    ],
    ids=["slower than nginx allows", "slower than treq allows", "treq not measured", "ours not measured"],
)
def test_limits_not_kept(proxy: ModuleType, measured: dict[str, list[float]]) -> None:
    """A limit that is exceeded, and one that could not be looked at, is not kept."""
    assert not proxy.comparison(rows(**measured), "keep1k")[1]


@pytest.mark.parametrize("failure", [{"err": 1}, {"err": -1}, {"non2xx": 7}])
def test_failed_requests_count_for_nothing(proxy: ModuleType, failure: dict[str, int]) -> None:
    """A fast node that fails requests keeps no limit."""
    measured = rows(edgenode=[1], nginx=[25], twisted_treq=[350])
    measured[0].update(failure)
    assert not proxy.comparison(measured, "keep1k")[1]


def test_requests_match_filters_as_the_columns_say(rules: ModuleType) -> None:
    """An ordinary request matches none, new or not, and one that is to match some does."""
    source = random.Random(1)
    pipeline = rules.built(50, False).pipeline
    for _ in range(20):
        new = rules.ordinary(source, 60)
        assert pipeline.decide(new).reasons == pipeline.decide(rules.again(new)).reasons == ()
        assert pipeline.decide(rules.matching(source, 50)).reasons != ()
    lengths = {len(rules.hostile(source, 300, 50).request.query) for _ in range(5)}
    assert lengths == {len(rules.ordinary(source, 300).request.query)} == {300}


def test_everything_is_measured_and_judged(rules: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """Both tables are printed, with a verdict on every limit that can be told."""
    rules.main(["--filters", "5", "--prefixes", "100", "--rounds", "1", "--requests", "2", "--large", "100"])
    printed = capsys.readouterr().out
    assert all(column in printed for column in rules.COLUMNS)
    assert "a hostile request over 5 filters" in printed
    assert "µs per look-up in 100 prefixes" in printed


def test_limits_of_rules(rules: ModuleType) -> None:
    """What is over its limit is not kept."""
    assert str(rules.Limit("x", 2.1, 2.0)).endswith("NOT KEPT")
    assert not str(rules.Limit("x", 2.0, 2.0)).endswith("NOT KEPT")
