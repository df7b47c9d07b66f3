"""Expressions from text: the grammar of Cloudflare's Rules language, and its types.

Law: what wirefilter accepts is accepted and means the same, and what it refuses is refused; the exceptions are those
listed in :doc:`/rules-language`. A tree that was made here has been checked, so nothing in it can fail at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgenode.model.errors import InvalidValue
from edgenode.rules.language.calls import Argument, call, described
from edgenode.rules.language.dialect import checked
from edgenode.rules.language.functions import FUNCTIONS
from edgenode.rules.language.hints import no_operator, unexpected, unknown
from edgenode.rules.language.lexing import Scanner, Text
from edgenode.rules.language.nodes import (
    Comparison,
    Each,
    FieldValue,
    Index,
    Junction,
    Listed,
    Literal,
    Negation,
    Node,
    OneOf,
    Pattern,
    Value,
    each_count,
    element_type,
    parts,
)
from edgenode.rules.language.operators import COMPARING, COMPARING_OF, JOINING, NOT, PRECEDENCE, QUANTIFIERS
from edgenode.rules.language.patterns import read_wildcard
from edgenode.rules.language.types import BOOL, BYTES, INT, IP, Type, array
from edgenode.rules.language.vocabulary import EXCHANGES, Vocabulary
from edgenode.rules.networks import Range

MAX_NESTING = 128
"""How many parentheses, ``not`` and calls may stand inside one another, as in wirefilter."""

MAX_DEPTH = 160
"""How many nodes of a tree may: what evaluates them calls itself for each."""

_ITEMS: Mapping[Type, Callable[[Scanner], bytes | tuple[int, int] | Range]] = {
    BYTES: lambda words: words.text_or_bytes().value,
    INT: Scanner.number_range,
    IP: Scanner.address_range,
}
"""How the items of a set are read."""

_HIGHEST_INDEX = (1 << 32) - 1


def parse(text: str, vocabulary: Vocabulary = EXCHANGES) -> Node:
    """Read and check an expression; lines are joined as by a space.

    :param vocabulary: what it may look at.
    :raises InvalidValue: if it is none, with its column.
    """
    return _Parser(text, vocabulary).whole()


def parse_value(text: str, vocabulary: Vocabulary = EXCHANGES) -> Value:
    """Read and check a value by itself: a field, an element of one, or a call.

    :param vocabulary: the fields that it may look at.
    :raises InvalidValue: if it is none, with its column.
    """
    return _Parser(text, vocabulary).single()


class _Parser:
    """Reads one expression from left to right, and never twice."""

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self.words = Scanner(text)
        self.vocabulary = vocabulary
        self.nesting = 0

    def whole(self) -> Node:
        text = self.words.text
        self.words.at = len(text) - len(text.lstrip())
        self.words.text = text.rstrip()
        if not self.words.text:
            raise InvalidValue("an expression is missing", 0)
        if self.words.text.strip() == "true":
            return Literal(True, BOOL, column=self.words.at)
        node = self._condition()
        if self.words.skip() < len(self.words.text):
            raise unexpected(self.words, "and, or, xor or the end")
        if node.type != BOOL:
            raise InvalidValue(
                "a condition on [*] is one for each element: put it in any(...) or all(...)", node.column
            )
        _check_depth(node)
        return node

    def single(self) -> Value:
        words = self.words
        words.text = words.text.rstrip()
        column = words.skip()
        if column == len(words.text):
            raise InvalidValue("a value is missing", column)
        quantifier = self._quantifier()
        if quantifier is not None:
            words.at += len(quantifier)
        value = self._value() if quantifier is None else self._call(quantifier, column)
        if words.skip() < len(words.text):
            raise InvalidValue("expected nothing more: a value is a field, an element of one, or a call", words.at)
        _check_depth(value)
        return value

    # -- conditions ---------------------------------------------------------------------------------------------------

    def _condition(self) -> Node:
        """Conditions joined by operators; the open junctions are on a stack, each binding tighter than the last."""
        open: list[tuple[str, list[Node]]] = []
        node = self._simple()
        while (operator := self._joining()) is not None:
            while open and PRECEDENCE[open[-1][0]] > PRECEDENCE[operator]:
                node = _joined(*open.pop(), node)
            if open and open[-1][0] == operator:
                open[-1][1].append(node)
            else:
                open.append((operator, [node]))
            node = self._simple()
        while open:
            node = _joined(*open.pop(), node)
        return node

    def _joining(self) -> str | None:
        before, _ = self.words.at, self.words.skip()
        word = self.words.first(JOINING)
        if word is None:
            self.words.at = before
            return None
        return JOINING[word]

    def _simple(self) -> Node:
        words, column = self.words, self.words.skip()
        if words.take("("):
            self._enter(column)
            node = self._condition()
            self._close(column)
            return node
        if words.first(NOT):
            self._enter(column)
            node = self._simple()
            self.nesting -= 1
            return Negation(node, node.type, column=column)
        quantifier = self._quantifier()
        if quantifier is not None:
            words.at += len(quantifier)
            return self._call(quantifier, column)
        value = self._value()
        return value if value.type in (BOOL, array(BOOL)) else self._comparison(value)

    def _quantifier(self) -> str | None:
        """The quantifier that comes next; only before a parenthesis is it one."""
        words, before = self.words, self.words.at
        word = words.first(QUANTIFIERS)
        words.skip()
        found = word if word is not None and words.sees("(") else None
        words.at = before
        return found

    def _enter(self, column: int) -> None:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise InvalidValue(f"parentheses, not and calls stand at most {MAX_NESTING} deep in one another", column)

    def _close(self, column: int) -> None:
        self.nesting -= 1
        self.words.skip()
        if not self.words.take(")"):
            if self.words.at == len(self.words.text):
                raise InvalidValue("this ( is not closed: a ) is missing", column)
            raise unexpected(self.words, ")")

    # -- values -------------------------------------------------------------------------------------------------------

    def _value(self) -> Value:
        words, column, name = self.words, self.words.at, self.words.name()
        words.at += len(name)
        value: Value
        if name in FUNCTIONS and name not in QUANTIFIERS:
            value = self._call(name, column)
        elif (of := self.vocabulary.aliases.get(name, name)) in self.vocabulary.fields:
            value = FieldValue(of, self._type(of, column), column=column)
        else:
            raise unknown(words, column, name, self.vocabulary)
        while words.take("["):
            value = self._indexed(value)
        return value

    def _type(self, name: str, column: int) -> Type:
        try:
            return self.vocabulary.fields[name].type
        except InvalidValue as problem:  # of an extension
            raise InvalidValue(problem.sentence, column) from None

    def _indexed(self, value: Value) -> Value:
        words, column = self.words, self.words.skip()
        kind, of, mapped = element_type(value).name, element_type(value).of, each_count(value) > 0
        key: int | bytes | None = None
        if words.take("*"):
            fits, wanted = of is not None, "an array or a map"
        elif words.sees('"'):
            key = words.quoted_text().value
            fits, wanted = kind == "Map", "a map"
        else:
            key = self._index(column)
            fits, wanted = kind == "Array", "an array"
        if not fits or of is None:
            found = described(element_type(value))
            written = words.text[column : words.at]
            raise InvalidValue(f"[{written}] stands behind {wanted}, and this is {found}", column)
        words.skip()
        if not words.take("]"):
            raise unexpected(self.words, "]")
        if key is None:
            return Each(value, array(of), column=value.column)
        return Index(value, key, array(of) if mapped else of, column=value.column)

    def _index(self, column: int) -> int:
        if not self.words.sees(*"0123456789-"):
            raise InvalidValue('expected an index: a number from 0, "..." or *', column)
        index = self.words.number()
        if not 0 <= index <= _HIGHEST_INDEX:
            raise InvalidValue(f"an index is from 0 to {_HIGHEST_INDEX}", column)
        return index

    # -- calls --------------------------------------------------------------------------------------------------------

    def _call(self, name: str, column: int) -> Value:
        """Read the parenthesis behind a function's name, and what is in it."""
        words, opening = self.words, self.words.skip()
        if not words.take("("):
            raise InvalidValue(f"{name} is a function: write {name}(...)", column)
        self._enter(opening)
        arguments: list[Argument] = []
        words.skip()
        while not words.sees(")") and words.at < len(words.text):
            if arguments and not words.take(","):
                raise unexpected(self.words, ", or )")
            words.skip()
            arguments.append(self._argument())
            words.skip()
        self._close(opening)
        function = FUNCTIONS[name]
        called = call(function, arguments, column)
        if not function.key_of:
            return called
        if function.key_of not in self.vocabulary.fields:
            raise InvalidValue(f"there is no {name} here: nothing has a token", column)
        of = self._type(function.key_of, column)
        key = called.arguments[0]
        assert isinstance(key, Literal)
        assert isinstance(key.value, bytes)
        return Index(FieldValue(function.key_of, of, column=column), key.value, BOOL, column=column)

    def _argument(self) -> Argument:
        """A literal, a value, one comparison; or, if it begins as only those can, any condition."""
        words, column = self.words, self.words.at
        if words.sees_text():
            text = words.quoted_text()
            return Argument(Literal(text.value, BYTES, column=column), text=text)
        if words.sees("(", *NOT) or self._quantifier():
            return Argument(self._condition(), bare=False)
        name = words.name()
        known = self.vocabulary
        if name not in known.fields and name not in FUNCTIONS and name not in known.aliases:
            return self._written_out()
        value = self._value()
        if self._sees_operator() and element_type(value) != BOOL:
            return Argument(self._comparison(value), bare=False)
        return Argument(value)

    def _sees_operator(self) -> bool:
        before, _ = self.words.at, self.words.skip()
        found = self.words.sees(*COMPARING)
        self.words.at = before
        return found

    def _written_out(self) -> Argument:
        """An address, a number, or bytes in hexadecimal, whichever can be read first."""
        words, column = self.words, self.words.at
        try:
            return Argument(Literal(words.address(), IP, column=column))
        except InvalidValue:
            pass
        try:
            return Argument(Literal(words.number(), INT, column=column))
        except InvalidValue as problem:
            words.at = column
            try:
                text = words.text_or_bytes()
            except InvalidValue:
                words.at = column
                name, expected = words.name(), "an argument: a field, a function, a literal or ("
                is_number = words.sees("-") or name.isdecimal()
                raise problem if is_number else unknown(words, column, name, self.vocabulary, expected) from None
        return Argument(Literal(text.value, BYTES, column=column), text=text)

    # -- comparisons --------------------------------------------------------------------------------------------------

    def _comparison(self, value: Value) -> Node:
        words, type = self.words, element_type(value)
        column, word = words.skip(), words.first(COMPARING)
        operators = COMPARING_OF.get(type, ())
        if word is None or COMPARING[word] not in operators:
            words.at = column
            raise no_operator(words, value, operators, word)
        operator = COMPARING[word]
        words.skip()
        compared = array(BOOL) if each_count(value) else BOOL
        return Comparison(value, operator, self._constant(operator, type), compared, column=value.column)

    def _constant(self, operator: str, type: Type) -> Literal | Pattern | OneOf | Listed:
        words, column = self.words, self.words.at
        match operator:
            case "in" if words.sees("$"):
                return Listed(words.list_name(), column=column)
            case "in":
                return OneOf(self._set(type))
            case "matches":
                return _pattern(words.regex(), lambda value: checked(value.decode("utf-8", "surrogatepass")))
            case "wildcard" | "strict wildcard":
                return _pattern(words.quoted_text(), read_wildcard)
            case _ if type == INT:
                return Literal(words.number(), INT, column=column)
            case _ if type == IP:
                return Literal(words.address(), IP, column=column)
            case _:
                return Literal(words.text_or_bytes().value, BYTES, column=column)

    def _set(self, type: Type) -> tuple[bytes | tuple[int, int] | Range, ...]:
        words, column = self.words, self.words.at
        if not words.take("{"):
            raise InvalidValue("expected a set or a list: in {...} or in $name", column)
        items: list[bytes | tuple[int, int] | Range] = []
        words.skip()
        while not words.take("}"):
            if words.at == len(words.text):
                raise InvalidValue("this set is not closed: a } is missing", column)
            if words.sees(","):
                raise InvalidValue("the items of a set stand apart by spaces, without commas", words.at)
            items.append(_ITEMS[type](words))
            words.skip()
        return tuple(items)


def _pattern(text: Text, check: Callable[[bytes], object]) -> Pattern:
    try:
        check(text.value)
    except InvalidValue as problem:
        raise text.within(problem) from None
    return Pattern(text.value)


def _joined(operator: str, conditions: list[Node], last: Node) -> Junction:
    """A checked junction: all of its conditions are single ones, or all are on ``[*]``."""
    first = conditions[0]
    for condition in (*conditions, last):
        if condition.type != first.type:
            sentence = f"{operator} joins single conditions, or conditions on [*], and not one with the other"
            raise InvalidValue(f"{sentence}: put those on [*] in any(...) or all(...)", condition.column)
    return Junction(operator, (*conditions, last), first.type, column=first.column)


def _check_depth(node: Node) -> None:
    level = [node]
    for _ in range(MAX_DEPTH):
        level = [part for each in level for part in parts(each)]
        if not level:
            return
    raise InvalidValue(f"conditions and values stand at most {MAX_DEPTH} deep in one another", level[0].column)
