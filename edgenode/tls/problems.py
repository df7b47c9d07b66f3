"""The problems of one section, collected while its files are read, so that all are reported at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from edgenode.model.errors import InvalidValue, Problem

_T = TypeVar("_T")


class Problems:
    """The problems of one section so far.

    :ivar section: the section's header without brackets.
    """

    def __init__(self, section: str) -> None:
        self.section = section
        self._found: list[Problem] = []

    @property
    def found(self) -> tuple[Problem, ...]:
        """Every problem, warnings too, in the order found."""
        return tuple(self._found)

    @property
    def fatal(self) -> bool:
        """Whether any of them is an error."""
        return any(not problem.warning for problem in self._found)

    def error(self, key: str, *sentences: str) -> None:
        """Report what makes the section unusable, each sentence by itself."""
        self._found += [Problem(self.section, key, sentence) for sentence in sentences]

    def warn(self, key: str, *sentences: str) -> None:
        """Report what is doubtful, but can be used; likewise."""
        self._found += [Problem(self.section, key, sentence, warning=True) for sentence in sentences]

    def attempt(self, key: str, read: Callable[..., _T], *arguments: object) -> _T | None:
        """The result of a call, or ``None`` and an error of the key if that raises :class:`InvalidValue`."""
        try:
            return read(*arguments)
        except InvalidValue as invalid:
            self.error(key, invalid.sentence)
            return None
