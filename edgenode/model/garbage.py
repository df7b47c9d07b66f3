"""Work of which the garbage collector is kept away."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the garbage collector, in a ``with`` or as a decorator.

    It would look at all that there is again and again while many thousand objects are made, take as long as all the
    rest, and hold up every other thread meanwhile. What is made must have no cycles.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
