"""What was said of values before: clients send the same again and again.

Law: it is a bounded number of values, each short, and what is said of one depends on nothing but the value.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import define, field

_MOST, _LONGEST = 2048, 256

Said = TypeVar("Said")


@define(eq=False)
class Known(Generic[Said]):
    """As many values as are kept.

    :ivar said: by value.
    """

    said: dict[bytes, Said] = field(factory=dict)

    def note(self, value: bytes, said: Said) -> None:
        """Keep what is said of a value, if that is short; where there are too many, all others are forgotten."""
        if len(value) <= _LONGEST:
            if len(self.said) >= _MOST:
                self.said.clear()
            self.said[value] = said
