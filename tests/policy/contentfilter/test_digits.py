"""What is asked without regard to which digits there are leaves nothing out."""

from __future__ import annotations

import re

from hypothesis import assume, given
from hypothesis import strategies as st

from edgenode.policy.contentfilter import pcre
from edgenode.policy.contentfilter.digits import REGARDLESS, alike, regardless, zeroed
from edgenode.policy.contentfilter.transformations import of_name

VALUES = st.text("0123456789aux'\"*/#.-=&;+ \\%,^()\t\n\0é", max_size=16).map(str.encode)
CHAINS = st.lists(st.sampled_from(sorted(REGARDLESS)), max_size=5)
PIECES = st.sampled_from(
    [
        *(
            "1",
            "7z",
            "[1-4a]",
            "[^0]",
            "[^0-9a]",
            r"\x31",
            r"\x{41}",
            r"\d",
            r"\D",
            r"\w{2,3}",
            "a{1,2}",
            "(?i:x5)",
            ".",
        ),
        *("(?:a|9)", r"[\x30]", r"[\d.]", r"\b1", "^0", "5$", r"\.", "(?P<n1>a)", r"\Q1\E", "[[:digit:]]", "[^3-5x]*"),
    ]
)


@given(st.lists(PIECES, min_size=1, max_size=4).map("".join), VALUES)
def test_nothing_is_left_out(pattern: str, value: bytes) -> None:
    """What an expression matches is matched without regard to digits, too, and so is what has other digits."""
    text = pcre.translated(pattern).replace(r"\z", r"\Z")
    try:
        exact = re.compile(text.encode("latin-1"), re.DOTALL | re.MULTILINE)
    except re.error:
        assume(False)
        return
    roughly = re.compile(regardless(text).encode("latin-1"), re.DOTALL | re.MULTILINE)
    if exact.search(value):
        assert roughly.search(value)
    assert bool(roughly.search(value)) is bool(roughly.search(zeroed(value)))


@given(CHAINS, VALUES)
def test_transformations_do_the_same_whatever_the_digits(names: list[str], value: bytes) -> None:
    """What is made of a value that stands for others is, but for digits, what is made of each of them."""
    changed, other = value, alike(value)
    for name in names:
        transformation = of_name(name)
        assert transformation is not None
        changed, other = transformation.apply(changed), transformation.apply(other)
    assert zeroed(changed) == zeroed(other)
