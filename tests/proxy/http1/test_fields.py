"""Field lines as they are handed on."""

from __future__ import annotations

import pytest

from edgenode.proxy.http1.fields import read_field_lines


@pytest.mark.parametrize("line", [b"A: b", b"A:  b", b"A:b", b"A:\tb", b"A: b ", b"A: \tb\t "])
@pytest.mark.parametrize("others", [0, 1, 2, 3])
def test_white_space_around_a_value_is_one_space(line: bytes, others: int) -> None:
    """However many fields there are, and whichever it is; a head as usual comes out as it went in."""
    usual = [b"X%d: y" % number for number in range(others)]
    for at in range(others + 1):
        lines = [*usual[:at], line, *usual[at:]]
        names, fields, written = read_field_lines(b"".join(each + b"\r\n" for each in lines))
        assert names == [each.partition(b":")[0].lower() for each in lines]
        assert fields[b"a"] == (b"b",)
        assert written == b"".join(each + b"\r\n" for each in [*usual[:at], b"A: b", *usual[at:]])
