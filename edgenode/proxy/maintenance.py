"""A file that, while it exists, is the answer to every request: 503 with its content.

Law: it is looked at once a second at most, however many requests come; only while a second is over does one of them
pay for that. What exists and cannot be read is an answer all the same, with the page that a 503 has without.
"""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Callable

from edgenode.model.exchange import Response

_PERIOD = 1.0
"""Seconds between two looks."""

_LARGEST = 1024 * 1024
"""Bytes of a page; a larger file is none."""

_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".htm": b"text/html; charset=utf-8",
    ".json": b"application/json",
}
"""By the end of the file's name; any other is plain text."""

_PAGE = b"Down for maintenance\n"


class Maintenance:
    """Whether it is on, and what is answered then.

    :param path: of the file.
    :param retry: what clients are told in Retry-After; seconds.
    :param clock: the time; seconds.
    """

    def __init__(self, path: pathlib.Path, retry: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._fields = (
            (b"content-type", _TYPES.get(path.suffix.lower(), b"text/plain; charset=utf-8")),
            (b"retry-after", b"%d" % max(1, round(retry))),
            (b"cache-control", b"no-store"),
        )
        self._next = 0.0
        self._known: tuple[int, ...] = ()
        self._answer: Response | None = None

    @classmethod
    def of(cls, path: pathlib.Path | None, retry: float) -> Maintenance | None:
        """That of a file, if there is one."""
        return None if path is None else cls(path, retry)

    def answer(self) -> Response | None:
        """What is answered now; ``None`` if it is off."""
        now = self._clock()
        if now >= self._next:
            self._next = now + _PERIOD
            self._look()
        return self._answer

    def _look(self) -> None:
        try:
            found = os.stat(self._path)
        except OSError as error:
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                self._answer, self._known = None, ()
            return  # else it is as it was: nobody has taken it away
        known = (found.st_mtime_ns, found.st_size, found.st_ino)
        if self._answer is None or known != self._known:
            self._known = known
            self._answer = Response(503, self._fields, self._page())

    def _page(self) -> bytes:
        try:
            if not self._path.is_file():
                return _PAGE
            with self._path.open("rb") as file:
                page = file.read(_LARGEST + 1)
        except OSError:
            return _PAGE
        return page if 0 < len(page) <= _LARGEST else _PAGE
