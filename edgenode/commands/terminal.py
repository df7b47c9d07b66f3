"""Text on a terminal: colours, tables, and nothing that steers it, whoever has sent it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO
from unicodedata import bidirectional, combining, east_asian_width

from edgenode.model.errors import Problem

RED, YELLOW, BOLD = "\033[31m", "\033[33m", "\033[1m"
_PLAIN = "\033[0m"

_CUT = "..."
_LEAST = 8
"""Columns that a cell keeps however little room there is."""


def shown(problem: Problem, stream: IO[str]) -> str:
    """A problem as it is printed to a stream: on a terminal errors are red, and warnings yellow."""
    first, line_end, rest = str(problem).partition("\n")
    return painted(first, YELLOW if problem.warning else RED, stream) + line_end + rest


def painted(text: str, colour: str, stream: IO[str]) -> str:
    """A text in a colour if the stream is a terminal, unless ``NO_COLOR`` is set (no-color.org) or it is ``dumb``."""
    if not colour or not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"{colour}{text}{_PLAIN}"


def harmless(text: str) -> str:
    """A text that steers no terminal and begins no line: but for characters that take one column each, from left to
    right, all is escaped."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(each if _is_plain(each) else ascii(each)[1:-1] for each in text)


def _is_plain(character: str) -> bool:
    one_column = not combining(character) and east_asian_width(character) not in ("W", "F")
    return character.isprintable() and one_column and bidirectional(character) not in ("R", "AL", "AN", "NSM")


def table(rows: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """Rows of harmless text in columns.

    :param width: the most columns of the terminal that they take: the widest are cut.
    """
    safe = [[harmless(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*safe, strict=True)]
    while width is not None and sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > _LEAST:
        widths[widths.index(max(widths))] -= 1
    return [
        "  ".join(cut(cell, room).ljust(room) for cell, room in zip(row, widths, strict=True)).rstrip() for row in safe
    ]


def cut(text: str, width: int) -> str:
    """A text that takes no more columns than there are."""
    return text if len(text) <= width else text[: max(width - len(_CUT), 0)] + _CUT[:width]
