"""Where in its file a problem stands: file and line, for whoever has to mend it.

Law: no problem points at a line that it is not about; one of what stands in no line has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve

from edgenode.config.ini import IniSection
from edgenode.model.errors import Problem


def placed(problems: Iterable[Problem], written: Sequence[IniSection], text: str, file: str) -> list[Problem]:
    """The same problems with the file, and the line as far as there is one.

    :param written: the sections as they stand in the file.
    :param text: of the file.
    :param file: its name.
    """
    sections, lines = {section.header: section.lines for section in written}, text.split("\n")
    return [_placed(problem, sections.get(problem.section, {}), lines, file) for problem in problems]


def _placed(problem: Problem, places: Mapping[str, tuple[int, ...]], lines: Sequence[str], file: str) -> Problem:
    if problem.file:  # it stands in another file
        return problem
    if problem.line:  # what is wrong with the notation is told with its line already
        sentence = problem.sentence.removeprefix(f"line {problem.line}: ")
        return evolve(problem, sentence=sentence, file=file)
    own = places.get(problem.key) or places.get("") or (0,)
    shown = (problem.text or "").strip()
    with_text = (number for number in own if shown and shown in lines[number - 1])
    return evolve(problem, file=file, line=next(with_text, own[0]))


def in_order(problems: Sequence[Problem], written: Sequence[IniSection]) -> list[Problem]:
    """The problems in the order of the file: first those of the file itself; missing keys last in a section."""
    places = {section.header: (place, [*section.values]) for place, section in enumerate(written)}

    def place(problem: Problem) -> tuple[int, int]:
        number, keys = places.get(problem.section, (-1, []))
        if not problem.key:
            return number, -1
        return number, keys.index(problem.key) if problem.key in keys else len(keys)

    return sorted(problems, key=place)
