"""Rules in SecLang: texts to the checked tree.

Law: what is not understood is a problem with its place, never passed over, and all problems are found at once. Defaults
of ``SecDefaultAction`` hold for all rules of their phase, wherever they are written, as in the reference engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from attrs import define, evolve, field

from edgenode.model.errors import ConfigurationError, InvalidValue, Problem
from edgenode.policy.contentfilter import exclusions
from edgenode.policy.contentfilter.actions import Draft, drafted
from edgenode.policy.contentfilter.directives import Marker, Operator, Place, Rule, RuleTree
from edgenode.policy.contentfilter.names import CHANGES, OPERATORS, REFUSED, RULES, UNREADABLE, OperatorKind
from edgenode.policy.contentfilter.numbers import Range, is_number, numbers
from edgenode.policy.contentfilter.syntax import Statement, Word, read, read_actions
from edgenode.policy.contentfilter.targets import check_macros, macros, target

T = TypeVar("T")
W = TypeVar("W")


def parse(sources: Iterable[tuple[str, str]], data: Mapping[str, str] = {}) -> RuleTree:
    """The rules of texts, in their order.

    :param sources: the name of each file, and what it holds; those that it includes stand in its place already.
    :param data: what the files hold that operators name, by path: see :func:`data_files`.
    :raises ConfigurationError: with every problem.
    :raises InvalidValue: if ``msc_pyparser`` is not installed.
    """
    statements: list[Statement] = []
    problems: list[Problem] = []
    for file, text in sources:
        found, wrong = read(file, text)
        statements += found
        problems += wrong
    tree, further = tree_of(statements, data)
    problems += further
    if problems:
        raise ConfigurationError(problems)
    return tree


def data_files(statement: Statement) -> tuple[str, ...]:
    """The paths of the files that the operator of a rule reads; relative ones start where the rule is written."""
    kind = _kind(statement.operator)
    if kind is None or kind.argument != "files":
        return ()
    return tuple(beside(statement.place.file, name) for name in statement.argument.text.split())


def beside(file: str, name: str) -> str:
    """A path that another file names."""
    folder, slash, _ = file.rpartition("/")
    return name if name.startswith("/") else f"{folder}{slash}{name}"


def tree_of(statements: Sequence[Statement], data: Mapping[str, str]) -> tuple[RuleTree, list[Problem]]:
    """The rules of statements, and every problem.

    :param data: as for :func:`parse`.
    """
    making = _Making(data)
    for statement in statements:
        making.prepare(statement)
    for statement in statements:
        making.take(statement)
    making.end()
    directives = exclusions.changed(making.directives, making.changes)
    return RuleTree(tuple(directives)), making.problems


@define
class _Making:
    """What has been read so far.

    :ivar defaults: what ``SecDefaultAction`` says, by phase.
    :ivar updates: what ``SecRuleUpdateActionById`` adds, with the numbers of the rules.
    :ivar chain: the links of a chain that is not ended, with the statement of the last.
    """

    data: Mapping[str, str]
    directives: list[Rule | Marker] = field(factory=list)
    problems: list[Problem] = field(factory=list)
    changes: list[exclusions.Change] = field(factory=list)
    defaults: dict[int, tuple[Draft, Place]] = field(factory=dict)
    updates: list[tuple[Range, tuple[tuple[Word, Word], ...]]] = field(factory=list)
    places: dict[int, Place] = field(factory=dict)
    chain: list[Rule] = field(factory=list)
    waiting: Statement | None = None

    def prepare(self, statement: Statement) -> None:
        """Take what holds for rules that stand before it too."""
        try:
            if statement.name == "SecDefaultAction":
                self._default(statement)
            elif statement.name == "SecRuleUpdateActionById":
                self.updates.append(self._update(statement))
            elif statement.name in CHANGES:
                self.changes.append(exclusions.change(statement.name, statement.words))
            elif statement.name in REFUSED:
                raise InvalidValue(f"{statement.name} is not supported: {REFUSED[statement.name]}", 0)
        except InvalidValue as problem:
            self._refuse(statement, problem)

    def _default(self, statement: Statement) -> None:
        (text,) = _words(statement, 1, "a list of actions")
        draft = drafted(_actions(text), text.at)
        if draft.phase is None:
            raise InvalidValue("a phase is missing", text.at)
        if draft.id or draft.chain:
            raise InvalidValue("defaults have no number and no chain", text.at)
        before = self.defaults.setdefault(draft.phase, (draft, statement.place))
        if before[0] is not draft:
            raise InvalidValue(f"the defaults of phase {draft.phase} have been given: {before[1]}", 0)

    @staticmethod
    def _update(statement: Statement) -> tuple[Range, tuple[tuple[Word, Word], ...]]:
        number, text = _words(statement, 2, "the number of a rule and a list of actions")
        found, actions = numbers(number), _actions(text)
        draft = drafted(actions, text.at)
        if draft.id or draft.phase is not None or draft.chain:
            raise InvalidValue("the number, the phase and the chain of a rule cannot be changed", text.at)
        return found, actions

    def take(self, statement: Statement) -> None:
        """Take a rule or a marker."""
        if statement.name not in RULES or statement.name == "SecDefaultAction":
            return
        try:
            if self.waiting is not None and statement.name != "SecRule":
                self._unfinished()
            if statement.name == "SecMarker":
                (name,) = _words(statement, 1, "the name of the marker")
                self.directives.append(Marker(name.text, statement.place))
            else:
                self._rule(statement)
        except InvalidValue as problem:
            self._refuse(statement, problem)

    def _rule(self, statement: Statement) -> None:
        link = bool(self.chain) or self.waiting is not None
        try:
            draft = Draft() if statement.broken else drafted(statement.actions)
        except InvalidValue as problem:
            self._refuse(statement, problem)
            draft = None
        if draft is None or statement.broken:  # what comes may still be a link of its chain
            chains = any(action.text.lower() == "chain" for action, _ in statement.actions)
            self.waiting, self.chain = statement if chains else None, []
            return
        self.waiting = statement if draft.chain else None
        rule = self._made(statement, draft, link)
        if link and not self.chain:  # one of those before it is wrong
            return
        self.chain.append(rule)
        if not draft.chain:
            first, *links = self.chain
            self.directives.append(evolve(first, chained=tuple(links)))
            self.chain = []

    def _made(self, statement: Statement, draft: Draft, link: bool) -> Rule:
        """A rule of its actions, its defaults, and what it looks at."""
        if link:
            self._check_link(statement, draft)
            phase = self.chain[0].phase if self.chain else 2
        else:
            self._check_number(statement, draft)
            phase = draft.phase or 2
            for (first, last), actions in self.updates:
                draft = drafted(actions, onto=draft) if first <= draft.id <= last else draft
        default = self.defaults.get(phase, (Draft(), None))[0]
        rule = draft.rule(statement.place, phase, default, link)
        if statement.name == "SecAction":
            return rule
        targets = [found for each in statement.targets for found in self._read(statement, target, each)]
        operator = list(self._read(statement, self._operator, statement))
        made = evolve(rule, targets=tuple(targets), operator=operator[0] if operator else None)
        return evolve(made, unsupported="; ".join(filter(None, (rule.unsupported, *_unsupported(made)))))

    def _check_number(self, statement: Statement, draft: Draft) -> None:
        if not draft.id:
            self.problems.append(statement.problem("the rule has no number: id:NUMBER is missing"))
        elif draft.id in self.places:
            self.problems.append(
                statement.problem(f"there is a rule {draft.id} already: {self.places[draft.id]}", _at(statement, "id"))
            )
        else:
            self.places[draft.id] = statement.place

    def _check_link(self, statement: Statement, draft: Draft) -> None:
        for wrong, name in ((draft.id, "id"), (draft.disruptive not in (None, "block"), draft.disruptive or "")):
            if wrong:
                sentence = f"only the first rule of a chain has {name}"
                self.problems.append(statement.problem(sentence, _at(statement, name)))

    def _read(self, statement: Statement, reader: Callable[[W], T], written: W) -> Iterator[T]:
        try:
            yield reader(written)
        except InvalidValue as problem:
            self._refuse(statement, problem)

    def _operator(self, statement: Statement) -> Operator:
        kind = _kind(statement.operator)
        written, argument = statement.operator, statement.argument
        if kind is None:
            raise InvalidValue(f"there is no operator {written.text}", written.at)
        text = argument.text
        negated = written.text.startswith("!")
        if not written.text and text.startswith("!"):
            negated, text = True, text[1:]
        if kind.argument == "none" and text.strip():
            raise InvalidValue(f"@{kind.name} has no argument", argument.at)
        if kind.argument in ("needed", "number", "files") and not text.strip():
            raise InvalidValue(f"@{kind.name} needs an argument", written.at)
        if kind.argument == "number" and "%{" not in text and not is_number(text.strip().removeprefix("-")):
            raise InvalidValue(f"@{kind.name} needs a number", argument.at)
        if kind.argument == "files":
            text = "\n".join(line for path in data_files(statement) for line in self._lines(path, argument))
        else:
            check_macros(text, argument.at, strict=False)
        if kind.name not in ("rx", "rxGlobal"):  # the reference engine keeps the backslash but for pm; Apache does not
            text = text.replace('\\"', '"')
        return Operator(kind.name.lower(), text, negated)

    def _lines(self, path: str, argument: Word) -> Iterator[str]:
        if path not in self.data:
            raise InvalidValue(f"{path} cannot be read", argument.at)
        lines = (line.removesuffix("\r") for line in self.data[path].split("\n"))
        return (line for line in lines if line.strip() and not line.startswith("#"))

    def _unfinished(self) -> None:
        assert self.waiting is not None
        sentence = "the chain has no end: the next rule is missing"
        self.problems.append(self.waiting.problem(sentence, _at(self.waiting, "chain")))
        self.waiting, self.chain = None, []

    def end(self) -> None:
        """What shows only when all has been read."""
        if self.waiting is not None:
            self._unfinished()
        markers = {each.name for each in self.directives if isinstance(each, Marker)}
        rules = (each for each in self.directives if isinstance(each, Rule))
        for rule in (link for each in rules for link in (each, *each.chained)):
            if rule.skip_after and rule.skip_after not in markers:
                sentence = f"skipAfter names a marker that there is not: {rule.skip_after}"
                self.problems.append(Problem("", "", sentence, file=rule.place.file, line=rule.place.line))

    def _refuse(self, statement: Statement, problem: InvalidValue) -> None:
        self.problems.append(statement.problem(problem.sentence, problem.column or 0))


def _unsupported(rule: Rule) -> Iterator[str]:
    """What of a rule cannot be done here, each a sentence."""
    kind = None if rule.operator is None else OPERATORS[rule.operator.name]
    if kind is not None and kind.unsupported:
        yield f"@{kind.name} is not supported: {kind.unsupported}"
    compared = () if rule.operator is None else macros(rule.operator.argument)
    looked_at = {each.collection for each in rule.targets if not each.excluded}
    looked_at.update(compared, *(macros(each.value) for each in rule.set_vars))
    for name in sorted(looked_at & UNREADABLE.keys()):
        yield f"{name} is not supported: {UNREADABLE[name]}"


def _words(statement: Statement, count: int, what: str) -> Sequence[Word]:
    if len(statement.words) != count:
        raise InvalidValue(
            f"{statement.name} needs {what}", statement.words[count].at if statement.words[count:] else 0
        )
    return statement.words


def _actions(list: Word) -> tuple[tuple[Word, Word], ...]:
    """The actions of a list that stands in another directive."""
    try:
        return read_actions(list.text)
    except InvalidValue as problem:
        raise InvalidValue(problem.sentence, list.at + (problem.column or 0)) from None


def _at(statement: Statement, action: str) -> int:
    """Where an action stands in a rule."""
    return next((name.at for name, _ in statement.actions if name.text.lower() == action.lower()), 0)


def _kind(operator: Word) -> OperatorKind | None:
    """What is known of an operator; a regular expression needs no name."""
    return OPERATORS.get(operator.text.lstrip("! ").removeprefix("@").lower() or "rx")
