"""Rules that no search finds, such as those on numbers and on what is not there: whether they may match, soon said.

Law: a rule that is left out cannot match; one that is not may still not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.policy.contentfilter import pcre
from edgenode.policy.contentfilter.directives import Operator, Rule, Target
from edgenode.policy.contentfilter.evaluation import Run
from edgenode.policy.contentfilter.injections import suspected
from edgenode.policy.contentfilter.macros import Text, encoded
from edgenode.policy.contentfilter.operators import OPERATORS, operator_of
from edgenode.policy.contentfilter.transformations import of_name
from edgenode.policy.contentfilter.variables import COUNTED, EARLY, OF_THE_RUN_NAMES, reader
from edgenode.policy.contentfilter.wanted import OF_BODIES
from edgenode.policy.contentfilter.words import alone

Quick = Callable[[Run], object]
"""Whether a rule may match."""

Values = Callable[[Run], Sequence[bytes]]
Test = Callable[[bytes], object]


def always(run: Run) -> bool:
    """A rule of which nothing can be said."""
    return True


@frozen
class Quickly:
    """What is soon said of a rule.

    :ivar test: whether it may match.
    :ivar field: a header field without which it does not match; empty for none.
    :ivar of_body: whether it does not match without a body.
    """

    test: Quick
    field: bytes = b""
    of_body: bool = False


def quick(rule: Rule, phase: int, changing: frozenset[str] = OF_THE_RUN_NAMES) -> Quickly:
    """What is soon said of a rule, by those of its links of which it is.

    :param changing: the variables that rules may change.
    """
    idiom = _of_names(rule)
    if idiom is not None:
        return Quickly(idiom)
    found: list[Quick] = []
    field, of_body = b"", False
    for link in (rule, *rule.chained):
        test = _of_link(link, phase, changing)
        if test is not None:
            found.append(test)
            field = field or _needed(link)
            of_body = of_body or _needs_body(link)
        if link.set_vars:
            break
    if len(found) < 2:
        return Quickly(found[0] if found else always, field, of_body)
    first, *others = found
    return Quickly(lambda run: first(run) and all(test(run) for test in others), field, of_body)


def _needed(link: Rule) -> bytes:
    """The header field without which a link does not match; empty for none."""
    targets = [each for each in link.targets if not each.excluded]
    if len(targets) != 1 or targets[0].collection != "REQUEST_HEADERS" or not targets[0].key or targets[0].pattern:
        return b""
    return b"" if targets[0].counted and _matches_zero(link.operator) else encoded(targets[0].key)


def _needs_body(link: Rule) -> bool:
    """Whether a link looks only at what is of a body."""
    targets = [each for each in link.targets if not each.excluded]
    if not all(each.collection in OF_BODIES for each in targets):
        return False
    return not any(each.counted for each in targets) or not _matches_zero(link.operator)


def _matches_zero(operator: Operator | None) -> bool:
    """Whether an operator matches that there are none."""
    assert operator is not None
    try:
        return bool(_tested(operator)(b"0"))
    except InvalidValue:
        return True


def _of_link(link: Rule, phase: int, changing: frozenset[str]) -> Quick | None:
    operator = link.operator
    if operator is None or Text.of(operator.argument).macros or operator.name not in OPERATORS:
        return None
    if any(each.collection in changing for each in link.targets):
        return None
    try:
        test = _tested(operator)
    except InvalidValue:
        return None
    if link.multi_match or not link.targets:
        return None
    values = _values(link.targets, phase)
    changes = [found for name in link.transformations if (found := of_name(name)) is not None and found.name != "none"]
    if not changes:
        return _any(values, test)
    applied = [each.apply for each in changes]

    def changed(value: bytes) -> object:
        for apply in applied:
            value = apply(value)
        return test(value)

    return _any(values, changed)


def _any(values: Values, test: Test) -> Quick:
    def matches(run: Run) -> bool:
        for value in values(run):  # noqa: SIM110
            if test(value):
                return True
        return False

    return matches


def _tested(operator: Operator) -> Test:
    """What an operator says of a value, without what it captures."""
    argument = encoded(operator.argument)
    test: Test
    if operator.name == "rx" and operator.argument == "^$" and not operator.negated:
        test = _has_empty_line
    elif operator.name == "rx" and _means_the_same_everywhere(operator) and pcre.linear(operator.argument) is not None:
        test = alone(f"(?m){pcre.translated(pcre.bytewise(operator.argument))}")
    elif operator.name == "within":
        test = _within(argument)
    elif operator.name in ("detectsqli", "detectxss"):
        test = suspected(operator.name)
    else:
        test = _matching(operator, argument)
    return (lambda value: not test(value)) if operator.negated else test


def _means_the_same_everywhere(operator: Operator) -> bool:
    """Whether it matters not that ``^`` begins no line at the end of a value."""
    return not operator.negated or "^" not in operator.argument


def _has_empty_line(value: bytes) -> bool:
    return not value or value.startswith(b"\n") or b"\n\n" in value


def _within(argument: bytes) -> Test:
    words = frozenset(argument.split())
    return lambda value: value in words or value in argument


def _matching(operator: Operator, argument: bytes) -> Test:
    made = operator_of(operator)
    assert made is not None  # it was looked up
    compare = made(argument)
    return lambda value: compare(value) is not None


# -- what is looked at -------------------------------------------------------------------------------------------------


def _values(targets: Sequence[Target], phase: int) -> Values:
    """The values of targets; those of others may be among them."""
    reads = [_of_target(each, phase) for each in targets if not each.excluded]
    if len(reads) == 1:
        return reads[0]
    return lambda run: [value for read in reads for value in read(run)]


def _of_target(target: Target, phase: int) -> Values:
    if target.collection == "REQUEST_HEADERS" and target.key and not target.pattern:
        key = encoded(target.key)
        if target.counted:
            return lambda run: (b"%d" % len(_fields(run).get(key, ())),)
        return lambda run: _fields(run).get(key, ())
    if target.key or target.pattern or target.counted:
        read = reader((target,), phase)
        return lambda run: [value for _, value in read(run)]
    name = (EARLY if phase == 1 else "") + (COUNTED if target.counted else "") + target.collection
    return lambda run: [value for _, value in run.read(name)]


def _fields(run: Run) -> dict[bytes, tuple[bytes, ...]]:
    request = run.exchange.request
    return {} if request is None else request.fields  # type: ignore[return-value]


# -- the Core Rule Set's way to look for a name in a list --------------------------------------------------------------


def _of_names(rule: Rule) -> Quick | None:
    """Of a rule that notes every name as ``tx.note_%{tx.0}=/%{tx.0}/``, to look for the note within a text.

    Only its own second link looks at such notes.
    """
    if len(rule.chained) != 1 or rule.operator is None or rule.operator.name != "rx" or len(rule.set_vars) != 1:
        return None
    (change,), (second,) = rule.set_vars, rule.chained
    within, parts = second.operator, Text.of(change.value).parts
    if within is None or within.name != "within" or within.negated or rule.operator.negated or rule.multi_match:
        return None
    texts = [each for each in parts if isinstance(each, bytes)]
    prefix = change.name.partition("%{")[0]
    if len(parts) != 3 or len(texts) != 2 or change.change != "=" or not rule.capture or not prefix:
        return None
    if rule.operator.argument != "^.*$" or [each.pattern.lstrip("^") for each in second.targets] != [prefix]:
        return None
    if second.transformations or Text.of(within.argument).macros or not _are_lowered(rule):
        return None
    if texts != [b"/", b"/"] or [each.collection for each in rule.targets] != ["REQUEST_HEADERS_NAMES"]:
        return None
    names = frozenset(encoded(within.argument).split(b"/"))

    def listed(run: Run) -> bool:
        fields = _fields(run)
        return not names.isdisjoint(fields) or b"/" in b"".join(fields)

    return listed


def _are_lowered(rule: Rule) -> bool:
    return [*rule.transformations] == ["lowercase"]
