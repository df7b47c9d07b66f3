"""What a formula says of an exchange of which not everything is known: yes, no, or what that depends on.

Law: nothing is guessed. What is not known raises :class:`NotKnown` when it is read, so no reader takes it for absent. A
formula is certain only if it comes out the same whatever the unknown may have been (Kleene's strong logic).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from edgenode.model.exchange import Exchange
from edgenode.rules.formulas import All, AnyOf, Computed, Formula, Leaf, Not, Odd
from edgenode.rules.matching.explaining import holds

Unknown = frozenset[str]
"""The names of what is not known, never none."""

Answer = bool | Unknown


class NotKnown(BaseException):
    """Something of an exchange is not known; no reader of an extension shall take it for its own fault.

    :ivar what: its name, such as ``header cookie`` or ``body``.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@frozen
class Certainty:
    """Says of formulas whether they are true of one exchange.

    :ivar exchange: the exchange, with the tags that it certainly has.
    :ivar possible: the tags that it may have besides, each with what that depends on.
    """

    exchange: Exchange
    possible: Mapping[str, Unknown] = field(factory=dict)

    def of(self, formula: Formula) -> Answer:
        """Whether a formula is true, or what that depends on."""
        match formula:
            case Leaf():
                return self._leaf(formula)
            case All():
                return _joined(map(self.of, formula.parts), decisive=False)
            case AnyOf():
                return _joined(map(self.of, formula.parts), decisive=True)
            case Odd():
                answers = [self.of(part) for part in formula.parts]
                return _unknown(answers) or sum(answer is True for answer in answers) % 2 == 1
            case Not():
                answer = self.of(formula.part)
                return answer if isinstance(answer, frozenset) else not answer
            case Computed():
                return self._computed(formula)

    def _leaf(self, leaf: Leaf) -> Answer:
        predicate = leaf.predicate
        try:
            if holds(predicate, self.exchange):
                return True
        except NotKnown as unknown:
            return frozenset((unknown.what,))
        except Exception:  # a field of an extension fails
            return frozenset((predicate.subject.key,))
        if "tags" in predicate.subject.needs and isinstance(predicate.sought, str):
            return self.possible.get(predicate.sought) or False
        return False

    def _computed(self, formula: Computed) -> Answer:
        if "tags" in formula.needs and self.possible:
            return frozenset[str]().union(*self.possible.values())
        try:
            return formula.test(self.exchange)
        except NotKnown as unknown:
            return frozenset((unknown.what,))
        except Exception:
            return frozenset((" and ".join(map(str, formula.evidence)),))


def _joined(answers: Iterable[Answer], *, decisive: bool) -> Answer:
    """The decisive answer if any part gives it, whatever is not known of the others."""
    several = []
    for answer in answers:
        if answer is decisive:
            return decisive
        several.append(answer)
    return _unknown(several) or not decisive


def _unknown(answers: Iterable[Answer]) -> Unknown:
    return frozenset[str]().union(*(answer for answer in answers if isinstance(answer, frozenset)))
