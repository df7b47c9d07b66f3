"""Expressions in the Rules language over what an event holds.

Law: they are read by the parser of rules and computed as those are, over :mod:`edgenode.observe.recorded_fields`: what
an event does not hold never matches, and ``not`` inverts the whole comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import Factory, field, frozen

from edgenode.model.errors import InvalidValue
from edgenode.observe.journal.conditions import Condition, condition_of
from edgenode.observe.recorded_fields import EVENTS, HEADERS, RECORDED
from edgenode.rules.definitions import Definitions
from edgenode.rules.language.computing import condition
from edgenode.rules.language.expressions import Expression
from edgenode.rules.language.nodes import FieldValue, Index, Node, listed, walk

DEFINITIONS = Definitions(vocabulary=EVENTS)
"""How nodes of expressions on events are computed."""


@frozen
class EventExpression:
    """A condition on events: for exporters, alerts and the journal's questions.

    :ivar root: its tree.
    :ivar text: as it is written.
    """

    root: Node
    text: str = field(eq=False)
    _holds: Callable[[Any], bool] = field(
        init=False, eq=False, repr=False, default=Factory(lambda self: condition(self.root, DEFINITIONS), True)
    )

    @classmethod
    def from_text(cls, text: str) -> EventExpression:
        """Read it.

        :raises InvalidValue: with its column, if it is wrong, or looks at what events do not hold.
        """
        expression = Expression.from_text(text, EVENTS)
        for each, _ in listed(expression.root):
            sentence = "events are looked at without the lists of the configuration: write the values, in {...}"
            raise InvalidValue(sentence, each.column)
        return cls(expression.root, text)

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Whether it is true of an event, as :mod:`json` reads it; what the event does not hold never matches."""
        return isinstance(event, dict) and self._holds(event)

    @property
    def sql(self) -> Condition:
        """It as a condition of DuckDB over the journal; where that is ``NULL``, :meth:`matches` has to be asked."""
        return condition_of(self.root)

    def headers(self) -> Iterator[tuple[str, int]]:
        """The header fields that events must hold for it, in lower case, each with the column where it is named."""
        for node in walk(self.root):
            match node:
                case Index(value=FieldValue(name=name), key=bytes(key)) if name == HEADERS:
                    yield key.decode("latin-1"), node.column
                case FieldValue(name=name) if RECORDED[name].header:
                    yield RECORDED[name].header, node.column

    def __str__(self) -> str:
        return self.text
