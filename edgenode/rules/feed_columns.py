"""Columns of tables: which of them make a value, and which rows count.

Law: a row without what stands for its value is a fault, and a row that another column says is of another kind is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from attrs import frozen

from edgenode.model.errors import InvalidValue

_SELECTING = re.compile(r'(.+)\[([^\]="]+)="([^"]*)"\]')
_NUMBERS = re.compile(r"([0-9]{1,4})(?:([-/])([0-9]{1,4}))?")


@frozen
class Columns:
    """Which columns of a row make a value, and of which rows.

    :ivar value: the column's number, from 1, or its name in the first row; or two of them with ``/`` or ``-`` between,
        as in ``Start/Netmask``: what stands in them is joined so.
    :ivar sibling: another column by its number or name; empty if every row counts.
    :ivar equals: what must stand there.
    """

    value: str
    sibling: str = ""
    equals: str = ""

    @classmethod
    def from_text(cls, text: str, column: int) -> Columns:
        """Read them.

        :param column: where the text begins, for errors.
        :raises InvalidValue: if they are none.
        """
        selecting = _SELECTING.fullmatch(text)
        columns = cls(text) if selecting is None else cls(selecting[1].strip(), selecting[2].strip(), selecting[3])
        numbers = _places(columns.value, None) + (_places(columns.sibling, None) if columns.sibling else ())
        if 0 in numbers:
            raise InvalidValue("columns are numbered from 1", column)
        if selecting is not None and bool(_NUMBERS.fullmatch(columns.value)) != columns.sibling.isdigit():
            raise InvalidValue("both columns are numbers, or both are names in the first row", column)
        return columns

    @property
    def named(self) -> bool:
        """Whether they are names, so that the first row has them."""
        return not _NUMBERS.fullmatch(self.value)

    def reader(self, names: Sequence[str] | None) -> Callable[[Sequence[str]], str | None]:
        """What reads the value of a row: ``None`` if the row does not count.

        :param names: the first row, if it has names.
        :raises InvalidValue: if one has no such column; what it returns, if a row has nothing there.
        """
        places, joint = _places(self.value, names), _joint(self.value, names)
        sibling = _places(self.sibling, names) if self.sibling else ()

        def read(row: Sequence[str]) -> str | None:
            if any(row[place - 1 : place] != [self.equals] for place in sibling):
                return None
            return joint.join(_cell(row, place) for place in places)

        return read


def _cell(row: Sequence[str], place: int) -> str:
    if len(row) < place or not row[place - 1]:
        raise InvalidValue(f"there is nothing in column {place}")
    return row[place - 1]


def _joint(text: str, names: Sequence[str] | None) -> str:
    """What stands between two columns; empty if it is one."""
    numbers = _NUMBERS.fullmatch(text)
    if numbers is not None or names is None:
        return (numbers and numbers[2]) or ""
    both = (joint for joint in "/-" if all(names.count(each.strip()) == 1 for each in text.split(joint, 1)))
    return "" if names.count(text) == 1 else next(both, "")


def _places(text: str, names: Sequence[str] | None) -> tuple[int, ...]:
    """The numbers of columns; none if they are names, and those are not known."""
    numbers = _NUMBERS.fullmatch(text)
    if numbers is not None:
        return tuple(int(each) for each in (numbers[1], numbers[3]) if each)
    if names is None:
        return ()
    joint = _joint(text, names)
    parts = [each.strip() for each in text.split(joint, 1)] if joint else [text]
    if any(names.count(part) != 1 for part in parts):
        raise InvalidValue(f'the first row names no column "{text}", or several')
    return tuple(names.index(part) + 1 for part in parts)
