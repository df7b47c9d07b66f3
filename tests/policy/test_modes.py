"""Modes of filtration: the most local word wins, and whoever is strict lets nobody loosen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.model.decision import MODES
from edgenode.policy.modes import Level, Settled, settle

levels = st.lists(st.builds(Level, st.none() | st.sampled_from(MODES), st.booleans()), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("said", "mode", "clamped"),
    [
        ([Level()], "block", False),
        ([Level("monitoring"), Level(), Level()], "monitoring", False),
        ([Level("block"), Level("off"), Level("monitoring")], "monitoring", False),
        ([Level("monitoring"), Level(), Level("block")], "block", False),
        ([Level("block", strict=True), Level("monitoring"), Level("off")], "block", True),
        ([Level("monitoring", strict=True), Level("off"), Level()], "monitoring", False),
        ([Level("monitoring", strict=True), Level("off"), Level("block")], "block", False),
        ([Level("block"), Level("monitoring", strict=True), Level("off")], "monitoring", True),
        ([Level("block"), Level(strict=True), Level("monitoring")], "block", True),
        ([Level("off", strict=True), Level("off")], "off", False),
    ],
)
def test_the_most_local_word_wins_unless_it_is_forbidden(said: list[Level], mode: str, clamped: bool) -> None:
    """A strict level binds all within it to what holds for itself, whoever has said that."""
    assert settle(said)[-1] == Settled(mode, clamped)


@given(levels)
def test_nothing_within_a_strict_level_is_looser(said: list[Level]) -> None:
    """Each level has its own wish, or what holds outside; or, if that is too loose, what the strictest asks."""
    settled = settle(said)
    for index, (level, each) in enumerate(zip(said, settled, strict=True)):
        outer = settled[index - 1].mode if index else "block"
        bounds = [s.mode for one, s in zip(said[:index], settled[:index], strict=True) if one.strict]
        wanted = level.mode or outer
        assert MODES.index(each.mode) == max(MODES.index(mode) for mode in (wanted, *bounds))
        assert each.clamped == (each.mode != wanted)
