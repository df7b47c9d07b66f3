"""The verdict of bench/proxy.py on what the driver measured."""

from __future__ import annotations

import importlib.util
import pathlib
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def proxy() -> ModuleType:
    """The script as a module."""
    path = pathlib.Path(__file__).parent.parent / "bench" / "proxy.py"
    spec = importlib.util.spec_from_file_location("proxy", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
