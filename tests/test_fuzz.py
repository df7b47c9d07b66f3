"""The fuzz targets without atheris: their seeds, and seeds with something changed; no law of theirs is broken."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import TARGETS

PIECES = (
    b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b":", b";", b"=", b",", b"0", b"5", b"\xff", b"\x80", b'"', b"\\",
    b"/", b"//", b"/..", b"%", b"%2e", b"%2f", b"?", b"#", b"[", b"]", b"\r\n ", b"\r\n\r\n", b"0\r\n\r\n",
    b"Host: a\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.0", b"HTTP/1.1 200 OK\r\n",
    b"Connection: close\r\n", b"Upgrade: a\r\n", b"Expect: 100-continue\r\n", b"\n[edge]\n", b"\n[origin origin]\n",
    b"\nname = a\n", b"\n  # a\n", b"${NAME}", b"\x16\x03\x01",
    b" and ", b"not ", b"[*]", b"any(", b'r#"', b"$a", b"{", b"}", b"..",
)  # fmt: skip
"""What is put in."""

edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 4), st.sampled_from(PIECES) | st.binary(max_size=3)), max_size=4
)
"""Where, how many bytes are taken out there, and what is put in their place."""


TARGET: Mapping[str, Any] = {name: importlib.import_module(f"tests.fuzz.{name}") for name in TARGETS}
SEEDS: Mapping[str, list[bytes]] = {name: list(target.seeds()) for name, target in TARGET.items()}


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed(name: str) -> None:
    """No seed breaks a law."""
    assert len(SEEDS[name]) > 10
    for seed in SEEDS[name]:
        TARGET[name].check(seed)


@settings(max_examples=400)
@given(st.sampled_from(TARGETS), st.integers(0, 5000), edits)
def test_seeds_with_something_changed(name: str, number: int, edits: list[tuple[float, int, bytes]]) -> None:
    """Nor does one with bytes taken out and put in."""
    changed = SEEDS[name][number % len(SEEDS[name])]
    for where, count, piece in edits:
        at = round(where * len(changed))
        changed = changed[:at] + piece + changed[at + count :]
    TARGET[name].check(changed)
