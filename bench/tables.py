"""How results are printed."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under a header, each column as wide as it has to be; numbers stand on the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if cell.strip("0123456789.,%") == "" else cell.ljust(width)
            for cell, width in zip(row, widths, strict=True)
        )
        for row in [header, *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)


def verdict(kept: bool) -> str:
    """Whether a limit is kept."""
    return "kept" if kept else "NOT KEPT"
