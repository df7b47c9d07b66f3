"""A reactor whose clock stands, and whose threads have done at once what they are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.python.failure import Failure


class AtOnce(Clock):
    """A clock with ``deferToThreadPool`` in it; :meth:`advance` is what makes time pass."""

    def getThreadPool(self) -> AtOnce:
        """Itself."""
        return self

    def callFromThread(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call it."""
        function(*arguments)

    def callInThreadWithCallback(
        self, on_result: Callable[[bool, object], object], function: Callable[..., object], *arguments: Any
    ) -> None:
        """Call it here."""
        try:
            result = function(*arguments)
        except Exception:
            on_result(False, Failure())
        else:
            on_result(True, result)
