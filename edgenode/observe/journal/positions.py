"""How far each reader of a journal has come, on the disk.

Law: a position is kept only once what is in front of it has been taken: after a crash lines come again, and none is
missing.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Mapping

from twisted.logger import Logger

from edgenode.observe.journal.reader import Position

NAME = "positions.json"

_log = Logger()


class Positions:
    """The positions in a journal's folder; of one process at a time.

    :param folder: the journal's.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._path = folder / NAME
        self._found = _read(self._path)

    def get(self, name: str) -> Position | None:
        """How far a reader has come; ``None`` if it has never been here.

        :param name: such as ``exporter NAME``.
        """
        return self._found.get(name)

    def keep(self, name: str, position: Position) -> None:
        """Remember how far a reader has come, at once.

        :raises OSError: if that cannot be written; then it is still remembered until the process ends.
        """
        self._found[name] = position
        self._write()

    def only(self, names: frozenset[str]) -> None:
        """Forget all other readers: for those nothing is kept.

        :raises OSError: if that cannot be written.
        """
        gone = self._found.keys() - names
        for name in gone:
            del self._found[name]
        if gone:
            self._write()

    @property
    def all(self) -> Mapping[str, Position]:
        """Every position there is, by its reader."""
        return self._found

    def _write(self) -> None:
        text = json.dumps({name: position.as_json() for name, position in sorted(self._found.items())}, indent=1)
        part = self._path.with_suffix(".part")
        try:
            part.write_text(f"{text}\n", encoding="ascii")
            os.replace(part, self._path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
            raise


def _read(path: pathlib.Path) -> dict[str, Position]:
    try:
        return {name: Position.from_json(value) for name, value in json.loads(path.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        _log.error("{path} cannot be read, and all readers begin anew: {error}", path=path, error=error)
        return {}
