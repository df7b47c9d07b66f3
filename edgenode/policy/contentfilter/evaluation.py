"""The interpreter of rules: it does, rule by rule, what ModSecurity's reference manual says.

Law: this is the slow and obvious way, and what decides. What is faster only leaves out rules that cannot match. Work is
counted in bytes that are looked at, and given up between rules, so that no large request holds others up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import define, field, frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange
from edgenode.policy.contentfilter.directives import Control, Operator, Rule, SetVar
from edgenode.policy.contentfilter.findings import Finding
from edgenode.policy.contentfilter.macros import Text, encoded
from edgenode.policy.contentfilter.operators import Compare, number, operator_of
from edgenode.policy.contentfilter.transformations import of_name
from edgenode.policy.contentfilter.variables import Further, Pairs, Read, Source, named, names_of, reader

SLICE = 1 << 19
"""Bytes that are looked at, times rules, before others have their turn."""

GEO_LOOKUP = "geolookup"
"""The operator that looks at more than the value: whether it is known where the client is."""

_NONE: Pairs = ()
_MOST_CAPTURED = 10
_MOST_MATCHED = 1024
"""Members of ``MATCHED_VARS`` that are kept."""


@frozen
class Removal:
    """What ``ctl:ruleRemove...`` has taken out.

    :ivar applies: whether it is about a rule.
    :ivar leaves_out: whether it is about a value, by its name; ``None`` if the rule itself is out.
    """

    applies: Callable[[Rule], bool]
    leaves_out: Callable[[bytes], object] | None


@frozen(eq=False)
class Carried:
    """What rules on a request have left behind for those on its answer.

    :ivar tx: the collection ``TX``.
    :ivar removals: what ``ctl`` has taken out.
    :ivar own: the variables that ``ctl`` has given another value.
    :ivar allowed: ``all`` if nothing is judged any more.
    """

    tx: Mapping[str, bytes]
    removals: tuple[Removal, ...]
    own: Mapping[str, Pairs]
    allowed: str
    detecting: bool
    off: bool
    severity: int

    def run(self, collections: Mapping[str, Source], exchange: Exchange) -> Run:
        """The rules, at work again."""
        return Run(
            collections, exchange, dict(self.tx), removals=list(self.removals), own=dict(self.own),
            set=tuple(self.own), allowed=self.allowed, detecting=self.detecting, off=self.off,
            severity=self.severity, begun=True,
        )  # fmt: skip


@define(eq=False)
class Run:
    """The rules at work on one exchange.

    :ivar collections: what reads variables.
    :ivar exchange: what they look at.
    :ivar tx: the collection ``TX``, by names in lower case.
    :ivar findings: what has been told so far.
    :ivar refused_by: the rule that refuses; 0 for none.
    :ivar begun: whether what rules do is no longer what they do for every request.
    """

    collections: Mapping[str, Source]
    exchange: Exchange
    tx: dict[str, bytes]
    findings: list[Finding] = field(factory=list)
    refused_by: int = 0
    refused: bool = False
    begun: bool = False
    detecting: bool = False
    off: bool = False
    allowed: str = ""
    removals: list[Removal] = field(factory=list)
    matched: list[tuple[bytes, bytes]] = field(factory=list)
    rule: Rule | None = None
    severity: int = 255
    score: int = 0
    work: int = 0
    _own: dict[str, Pairs] = field(factory=dict)
    _set: tuple[str, ...] = ()

    def read(self, collection: str) -> Pairs:
        """The members of a variable."""
        found = self._own.get(collection)
        if found is None:
            own = OF_THE_RUN.get(collection)
            if own is not None:
                return own(self)
            reading = self.collections.get(collection)
            found = self._own[collection] = _NONE if reading is None else reading(self.exchange)
        return found

    def set(self, collection: str, value: bytes) -> None:
        """Give a variable another value, for this run."""
        for name in names_of(collection):
            self._own[name] = ((b"", value),)
            self._set += (name,)

    def carried(self, tx: Mapping[str, bytes]) -> Carried:
        """What holds on for the answer.

        :param tx: the variables, if nothing has begun.
        """
        allowed = self.allowed if self.allowed == "all" else ""
        own = {name: self._own[name] for name in self._set}
        variables = self.tx if self.begun else tx
        return Carried(variables, tuple(self.removals), own, allowed, self.detecting, self.off, self.severity)

    def value_of(self, collection: str, key: str) -> bytes:
        """The first value of a member, or of a variable without members; empty for none."""
        if collection == "TX":
            return self.tx.get(key, b"")
        if not key:
            return next((value for _, value in self.read(collection)), b"")
        wanted = encoded(key)
        return next((value for name, value in self.read(collection) if name.lower() == wanted), b"")


def _of_rule(run: Run) -> Pairs:
    rule = run.rule
    if rule is None:
        return ()
    told = {"id": str(rule.id), "msg": rule.message, "severity": "" if rule.severity is None else str(rule.severity)}
    return tuple((encoded(name), encoded(value)) for name, value in told.items())


_OF_THE_RUN: Mapping[str, Callable[[Run], Pairs]] = {
    "TX": lambda run: [(encoded(name), value) for name, value in run.tx.items()],
    "MATCHED_VAR": lambda run: [(b"", value) for _, value in run.matched[-1:]],
    "MATCHED_VAR_NAME": lambda run: [(b"", name) for name, _ in run.matched[-1:]],
    "MATCHED_VARS": lambda run: run.matched,
    "MATCHED_VARS_NAMES": lambda run: [(name, name) for name, _ in run.matched],
    "HIGHEST_SEVERITY": lambda run: [(b"", b"%d" % run.severity)],
    "RULE": _of_rule,
}

OF_THE_RUN = {name: read for own, read in _OF_THE_RUN.items() for name in names_of(own)}
"""The variables that are the run's own."""


@frozen(eq=False)
class Link:
    """One rule, or one link of a chain, compiled.

    :ivar read: what it looks at; ``None`` for a ``SecAction``.
    :ivar changes: its transformations.
    :ivar compare: its operator; ``None`` if that depends on the run.
    :ivar operator: what is written.
    :ivar argument: the operator's, with its macros.
    :ivar only_counts: whether nothing but scores depends on what it matches.
    """

    read: Read | None
    changes: tuple[Callable[[bytes], bytes], ...]
    compare: Compare | None
    operator: Operator
    argument: Text
    multi_match: bool
    capture: bool
    sets: tuple[Callable[[Run], None], ...]
    only_counts: bool = False

    @classmethod
    def of(cls, rule: Rule, phase: int, *, alone: bool = False) -> Link:
        """Compile a rule by itself.

        :param alone: whether it has no chain.
        :raises InvalidValue: if something in it cannot be done here.
        """
        operator = rule.operator or Operator("unconditionalmatch")
        argument = Text.of(operator.argument)
        changes = [of_name(each) for each in rule.transformations]
        made = operator_of(operator)
        if None in changes or (made is None and operator.name != GEO_LOOKUP):
            raise InvalidValue(f"an operator or a transformation that there is not: {operator.name}")
        compare = None if made is None or argument.macros else made(argument.constant)
        return cls(
            None if rule.operator is None else reader(rule.targets, phase),
            tuple(each.apply for each in changes if each is not None),
            compare,
            operator,
            argument,
            rule.multi_match,
            rule.capture,
            tuple(setting(each) for each in rule.set_vars),
            alone and all(each.change == "+" for each in rule.set_vars),
        )

    def matches(self, run: Run, rule: Rule) -> bool:
        """Whether it matches anything; then its variables are set, as often as it matches."""
        if self.read is None:
            for change in self.sets:
                change(run)
            return True
        compare, negated, found = self.compare or self._compare(run), self.operator.negated, False
        matched: list[tuple[bytes, bytes]] = []
        for member in self.read(run):
            name, value = member
            if run.removals and _left_out(run, rule, name):
                continue
            if found and self.only_counts and isinstance(member, Further):
                break
            run.work += len(value) + 16
            for text in self.texts(value):
                groups = compare(text)
                if (groups is None) is not negated:
                    continue
                if not found:
                    found, run.matched = True, matched
                elif len(matched) >= _MOST_MATCHED:
                    del matched[0]
                matched.append((name, text))
                if self.capture and groups:
                    _capture(run, groups)
                for change in self.sets:
                    change(run)
        if not found:
            run.matched = []
        return found

    def _compare(self, run: Run) -> Compare:
        if self.operator.name == GEO_LOOKUP:
            known = run.read("GEO")
            return lambda value: () if known else None
        try:
            made = operator_of(self.operator)
            assert made is not None  # or the rule was none
            return made(self.argument.expanded(run))
        except InvalidValue:  # what is put into it may be a client's
            return lambda value: None

    def texts(self, value: bytes) -> Sequence[bytes]:
        """What the operator looks at."""
        if not self.multi_match:
            for change in self.changes:
                value = change(value)
            return (value,)
        texts = [value]
        for change in self.changes:
            value = change(value)
            if value != texts[-1]:
                texts.append(value)
        return texts


def _capture(run: Run, groups: Sequence[bytes | None]) -> None:
    for place, text in enumerate(groups[:_MOST_CAPTURED]):
        if text is not None:
            run.tx[str(place)] = text


def _left_out(run: Run, rule: Rule, name: bytes) -> bool:
    return any(each.leaves_out is not None and each.leaves_out(name) and each.applies(rule) for each in run.removals)


# -- what a match does -------------------------------------------------------------------------------------------------


def setting(change: SetVar) -> Callable[[Run], None]:
    """What changes a variable; one that outlives a request is forgotten at once."""
    if change.collection != "TX":
        return lambda run: None
    name, value, how = Text.of(change.name), Text.of(change.value), change.change

    def changed(run: Run) -> None:
        key = name.expanded(run).decode("utf-8", "surrogateescape").lower()
        if how == "!":
            run.tx.pop(key, None)
            return
        new = value.expanded(run)
        if how in "+-":
            before, by = number(run.tx.get(key, b"")), number(new)
            run.score += by if how == "+" and "anomaly_score" in key else 0
            new = b"%d" % (before + by if how == "+" else before - by)
        run.tx[key] = new

    return changed


def _by_id(value: str) -> Callable[[Rule], bool]:
    ranges = []
    for each in value.replace(",", " ").split():
        first, _, last = each.partition("-")
        ranges.append((int(first), int(last or first)))
    return lambda rule: any(first <= rule.id <= last for first, last in ranges)


def _by_tag(value: str) -> Callable[[Rule], bool]:
    return lambda rule: value in rule.tags


def _by_message(value: str) -> Callable[[Rule], bool]:
    return lambda rule: rule.message == value


_ABOUT = {"Id": _by_id, "Tag": _by_tag, "Msg": _by_message}


def _removing(control: Control) -> Callable[[Run], None]:
    applies = next(about(control.value) for end, about in _ABOUT.items() if control.name.endswith(end))
    leaves_out = None if control.target is None else named(control.target)
    removal = Removal(applies, leaves_out)
    return lambda run: run.removals.append(removal)


def controlling(control: Control) -> Callable[[Run], None]:
    """What a control does.

    :raises InvalidValue: if it cannot be done.
    """
    value = control.value.lower()
    if control.name.startswith("ruleRemove"):
        return _removing(control)
    if control.name == "ruleEngine":
        return lambda run: _switch(run, value)
    if control.name == "requestBodyProcessor":
        processor = encoded(control.value.upper())
        return lambda run: run.set("REQBODY_PROCESSOR", processor)
    return lambda run: None  # a body is always there, whatever is said of it


def _switch(run: Run, value: str) -> None:
    run.off, run.detecting = value == "off", value == "detectiononly"
