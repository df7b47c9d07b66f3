"""What a receiver has refused for good, kept in a file for people.

Law: its size is bounded, and that it cannot be written holds nothing up.
"""

from __future__ import annotations

import json
import os
import pathlib
import urllib.parse

from twisted.logger import Logger

from edgenode.observe.exporters.receiver import Outgoing

FOLDER = "set-aside"
"""The folder of refused events, in the journal's: a file of lines of JSON for each exporter."""

_MOST = 16 * 1024**2
"""Bytes of the file of one exporter; what is beyond is only counted."""

_log = Logger()


class SetAside:
    """The events of one exporter that its receiver has refused, each with the reason.

    :param folder: the journal's.
    :param name: of the exporter.
    """

    def __init__(self, folder: pathlib.Path, name: str) -> None:
        self._path = folder / FOLDER / f"{urllib.parse.quote(name, safe=' ')}.jsonl"

    def put(self, event: Outgoing, reason: str) -> None:
        """Keep an event, if there is room."""
        line = json.dumps({"key": event.key, "reason": reason, "event": event.event}) + "\n"
        try:
            self._path.parent.mkdir(mode=0o750, exist_ok=True)
            with open(self._path, "a", encoding="ascii", opener=_private) as file:
                if file.tell() + len(line) <= _MOST:
                    file.write(line)
        except OSError as error:
            _log.error("{path} cannot be written: {error}", path=self._path, error=error)


def _private(path: str, flags: int) -> int:
    """Open a file that the node's user and group alone can read, as that of events."""
    return os.open(path, flags, 0o640)
