"""The problems of one section, collected while its files are read, so that all are reported at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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

    def error(self, key: str, sentence: str) -> None:
        """Report what makes the section unusable.

        :param key: of the section.
        :param sentence: what is wrong.
        """
        self._found.append(Problem(self.section, key, sentence))

    def errors(self, key: str, sentences: Iterable[str]) -> None:
        """Report several errors of one key.

        :param key: of the section.
        :param sentences: what is wrong, each by itself.
        """
        for sentence in sentences:
            self.error(key, sentence)

    def warn(self, key: str, sentence: str) -> None:
        """Report what is doubtful, but can be used.

        :param key: of the section.
        :param sentence: what is doubtful.
        """
        self._found.append(Problem(self.section, key, sentence, warning=True))

    def attempt(self, key: str, read: Callable[[], _T]) -> _T | None:
        """The result of reading something, or ``None`` and an error if it is an :class:`InvalidValue`.

        :param key: of the section, to which an error belongs.
        :param read: what to call.
        """
        try:
            return read()
        except InvalidValue as invalid:
            self.error(key, invalid.sentence)
            return None
