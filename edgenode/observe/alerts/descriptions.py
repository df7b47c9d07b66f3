"""What an alert means, for people: a text with values of its messages in it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import frozen

from edgenode.model.errors import InvalidValue

NAMES = ("alert", "count", "node", "severity", "since", "status", "threshold", "value")
_VALUE = re.compile(r"\$\{([^}]*)(\}?)")


@frozen
class Description:
    """A text with values in it, such as ``${count}``.

    :ivar text: as it is written.
    """

    text: str

    @classmethod
    def from_text(cls, text: str) -> Description:
        """A text; ``${count}``, ``${value}`` and others in it are replaced.

        :raises InvalidValue: if there is no such value, with its column.
        """
        for found in _VALUE.finditer(text):
            if not found[2]:
                raise InvalidValue("the } that ends this value is missing", found.start())
            if found[1] not in NAMES:
                raise InvalidValue(f"expected one of {', '.join(NAMES)}", found.start(1))
        return cls(text)

    def of(self, values: Mapping[str, str]) -> str:
        """The text.

        :param values: by name, all of them.
        """
        lines = (line.strip() for line in self.text.strip().split("\n"))
        return _VALUE.sub(lambda found: values[found[1]], "\n".join(lines))

    def __str__(self) -> str:
        return self.text
