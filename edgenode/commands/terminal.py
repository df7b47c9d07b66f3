"""Problems on a terminal: errors red, warnings yellow, and as they are everywhere else."""

from __future__ import annotations

import os
from typing import IO

from edgenode.model.errors import Problem

_RED, _YELLOW, _PLAIN = "\033[31m", "\033[33m", "\033[0m"


def shown(problem: Problem, stream: IO[str]) -> str:
    """A problem as it is printed to a stream.

    With colours if that is a terminal, unless ``NO_COLOR`` is set (no-color.org) or the terminal is ``dumb``.
    """
    text = str(problem)
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    first, line_end, rest = text.partition("\n")
    return f"{_YELLOW if problem.warning else _RED}{first}{_PLAIN}{line_end}{rest}"
