"""A text in SecLang taken apart into statements, each word with its place; ``msc_pyparser`` knows the grammar of rules.

Law: every statement that cannot be read is a problem of its own, with file, line and column, and those behind it are
read all the same. What a word means is not known here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

from edgenode.model.errors import InvalidValue, Problem
from edgenode.policy.contentfilter.directives import Place
from edgenode.policy.contentfilter.names import DIRECTIVES

NOT_INSTALLED: Final = "rules in SecLang are read by msc_pyparser, which is not installed: pip install msc-pyparser"


@frozen
class Word:
    """A part of a statement.

    :ivar text: without the quotes around it.
    :ivar at: where it begins in the text of the statement.
    """

    text: str
    at: int


@frozen
class Piece:
    """A part of a statement that stands in one line of the file.

    :ivar at: where it begins in the text of the statement.
    :ivar line: the number of the line, from 1.
    :ivar column: where it begins in the line, from 0.
    :ivar source: the whole line.
    """

    at: int
    line: int
    column: int
    source: str


@frozen
class Statement:
    """A directive with its words.

    :ivar place: where it begins.
    :ivar name: the directive, as :data:`~edgenode.policy.contentfilter.names.DIRECTIVES` writes it.
    :ivar words: what stands behind; of a ``SecRule`` nothing.
    :ivar targets: of a ``SecRule``.
    :ivar operator: of a ``SecRule``, such as ``!@rx``; empty if there is only an argument.
    :ivar argument: of the operator.
    :ivar actions: of a rule, each with its value.
    :ivar broken: whether it is a ``SecRule`` that cannot be read, of which only ``chain`` is known.
    """

    place: Place
    name: str
    words: tuple[Word, ...] = ()
    targets: tuple[Word, ...] = ()
    operator: Word = Word("", 0)
    argument: Word = Word("", 0)
    actions: tuple[tuple[Word, Word], ...] = ()
    broken: bool = False
    pieces: tuple[Piece, ...] = field(default=(), repr=False, eq=False)

    def problem(self, sentence: str, at: int = 0) -> Problem:
        """A problem of this statement.

        :param at: where in its text.
        """
        return _problem(self.place.file, self.pieces, sentence, at)


def _problem(file: str, pieces: Sequence[Piece], sentence: str, at: int) -> Problem:
    piece = next((each for each in reversed(pieces) if each.at <= at), pieces[0])
    column = min(piece.column + at - piece.at, len(piece.source))
    return Problem("", "", sentence, piece.source.expandtabs(1), column, file=file, line=piece.line)


def read(file: str, text: str) -> tuple[tuple[Statement, ...], tuple[Problem, ...]]:
    """Every statement of a text, and everything that cannot be read.

    :param file: its name, for places.
    :raises InvalidValue: if ``msc_pyparser`` is not installed.
    """
    grammar = _grammar()
    statements: list[Statement] = []
    problems: list[Problem] = []
    for joined, pieces in _joined(text):
        try:
            statements.append(_statement(file, joined, pieces, grammar))
        except InvalidValue as problem:
            problems.append(_problem(file, pieces, problem.sentence, problem.column or 0))
            if joined.lower().startswith("secrule "):
                chains = (Word("chain", 0), Word("", 0)) if _CHAIN.search(joined) else None
                place = Place(file, pieces[0].line)
                statements.append(
                    Statement(place, "SecRule", actions=() if chains is None else (chains,), broken=True, pieces=pieces)
                )
    return tuple(statements), tuple(problems)


def read_actions(text: str) -> tuple[tuple[Word, Word], ...]:
    """A list of actions that stands in another directive.

    :raises InvalidValue: if it cannot be read; the column is that in the list.
    """
    start = len('SecAction "')
    try:
        return _shifted(_grammar().rule(f'SecAction "{text}"').actions, -start)
    except InvalidValue as problem:
        raise InvalidValue(problem.sentence, max((problem.column or 0) - start, 0)) from None


def read_targets(text: str) -> tuple[Word, ...]:
    """A list of targets that stands in another directive, or in an exclusion.

    :raises InvalidValue: if it cannot be read; the column is that in the list.
    """
    start = len("SecRule ")
    try:
        parts = _grammar().rule(f'SecRule {text} "@unconditionalMatch"')
    except InvalidValue as problem:
        raise InvalidValue(problem.sentence, min(max((problem.column or 0) - start, 0), len(text))) from None
    return tuple(Word(each.text, each.at - start) for each in parts.targets)


def _shifted(actions: Sequence[tuple[Word, Word]], by: int) -> tuple[tuple[Word, Word], ...]:
    return tuple((Word(a.text, a.at + by), Word(b.text, b.at + by)) for a, b in actions)


_CHAIN = re.compile(r"\bchain\b", re.IGNORECASE)
_CONTINUED = re.compile(r"[ \t]*\\[ \t]*$")


def _joined(text: str) -> Iterator[tuple[str, tuple[Piece, ...]]]:
    """The statements of a text, each in one line: a line that ends with a backslash goes on in the next."""
    parts: list[str] = []
    pieces: list[Piece] = []
    comment = quoted = False
    length = 0
    for number, source in enumerate(text.split("\n"), 1):
        source = source.removesuffix("\r")
        line = source.lstrip(" \t")
        if not pieces:
            comment, quoted = line.startswith("#"), False
            if not line.strip():
                continue
        content, ends = (line, False) if (found := _CONTINUED.search(line)) is None else (line[: found.start()], True)
        if not quoted and parts:
            parts.append(" ")
            length += 1
        pieces.append(Piece(length, number, len(source) - len(line), source))
        parts.append(content)
        length += len(content)
        quoted ^= len(re.findall(r'(?<!\\)"', content)) % 2 == 1
        if not ends or not line.strip():
            if not comment:
                yield "".join(parts), tuple(pieces)
            parts, pieces, length = [], [], 0
    if pieces and not comment:
        yield "".join(parts), tuple(pieces)


_NAME = re.compile(r"</?\w+|\w+")
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"(?=\s|$)|\'((?:[^\'\\]|\\.)*)\'(?=\s|$)|([^\s"\']\S*)')


def _statement(file: str, joined: str, pieces: tuple[Piece, ...], grammar: _Grammar) -> Statement:
    place = Place(file, pieces[0].line)
    found = _NAME.match(joined)
    name = "" if found is None else found[0]
    if name.startswith("<"):
        raise InvalidValue(
            "sections of a web server's configuration cannot stand here: name the filter in path maps", 0
        )
    if name.lower() not in DIRECTIVES:
        raise InvalidValue(f"there is no directive {name}" if name else "a directive is missing", 0)
    known = DIRECTIVES[name.lower()]
    if known in ("SecRule", "SecAction"):
        parts = grammar.rule(joined)
        begin, end = parts.argument.at, parts.argument.at + len(parts.argument.text)
        if any(begin < each.at < end for each in pieces):  # some would read the line end and what comes as a part of it
            raise InvalidValue("the argument of an operator stands in one line", begin)
        return Statement(place, known, (), parts.targets, parts.operator, parts.argument, parts.actions, pieces=pieces)
    return Statement(place, known, tuple(_words(joined, len(name))), pieces=pieces)


def _words(text: str, at: int) -> Iterator[Word]:
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        found = _WORD.match(text, at)
        if found is None:
            raise InvalidValue("this quote does not end", at)
        group = found.lastindex or 0
        yield Word(found[group].replace('\\"', '"') if group == 1 else found[group], found.start(group))
        at = found.end()


@frozen
class _Parts:
    """What the grammar finds in a rule."""

    targets: tuple[Word, ...]
    operator: Word
    argument: Word
    actions: tuple[tuple[Word, Word], ...]


_OPERATOR = re.compile(r"!?@\w+")
_REST = re.compile(r'(?:[^"\\]|\\.)+', re.DOTALL)
_UNQUOTED = re.compile(r'(?:[^ "\\]|\\.)+', re.DOTALL)


class _Grammar:
    """The grammar of ``msc_pyparser``, without its own tables of words: those are in another module.

    Its own constructor would write its tables to the current folder, and read them from there.
    """

    def __init__(self, library: Any, yacc: Any) -> None:
        self._lexer = library.MSCLexer()
        self._parser = library.MSCParser.__new__(library.MSCParser)
        self._parser.lexer, self._parser.secconfdir = self._lexer, ""
        self._parser.secrule, self._parser.secaction, self._parser.configlines = {}, {}, []
        self._tables = yacc.yacc(
            module=self._parser,
            tabmodule="edgenode.policy.contentfilter.no_tables",
            write_tables=False,
            debug=False,
            errorlog=yacc.NullLogger(),
        )
        self._lexer.parse_config_secrule_variable = self._variable
        self._lexer.parse_config_secrule_operator = self._operator
        self._lexer.parse_config_secrule_action = self._action
        self._begin()

    def _begin(self) -> None:
        self._variables: list[int] = []
        self._operators: list[Word] = []
        self._arguments: list[Word] = []
        self._actions: list[Word] = []

    def _variable(self, token: Any) -> str:
        self._variables.append(token.lexpos)
        token.lexer.begin("STSECRULEVARIABLE")
        return "T_SECRULE_VARIABLE"

    def _operator(self, token: Any) -> str:
        quoted = token.lexer.lexstate == "STSECRULEQUOTEDOPERATOR"
        if not self._operators and not self._arguments:
            found = _OPERATOR.match(token.lexer.lexdata, token.lexpos)
            if found is not None:
                self._operators.append(Word(found[0], token.lexpos))
                token.value, token.lexer.lexpos = found[0], found.end()
                return f"T_SECRULE_OPERATOR{'_WITH_EXCLAMMARK' if found[0].startswith('!') else ''}"
        # One blank ends the name of an operator; further ones are the argument's, which the grammar would pass over.
        before, text = self._operators[0] if self._operators else Word("", token.lexpos - 1), token.lexer.lexdata
        at = before.at + len(before.text) + 1
        if not quoted or self._arguments or text[at : token.lexpos].strip(" \t"):
            at = token.lexpos
        found = (_REST if quoted else _UNQUOTED).match(text, at)
        assert found is not None
        token.value, token.lexer.lexpos = found[0], found.end()
        self._arguments.append(Word(found[0], found.start()))
        if not quoted:
            token.lexer.begin("STSECRULEACTION")
        return "T_SECRULE_OPERATOR_ARGUMENT"

    def _action(self, token: Any) -> str:
        self._actions.append(Word(token.value, token.lexpos))
        return "T_SECRULE_ACTION"

    def rule(self, text: str) -> _Parts:
        """The parts of a ``SecRule`` or a ``SecAction``, with their places in the text.

        :raises InvalidValue: if it cannot be read.
        """
        self._begin()
        self._parser.configlines = []
        lexer, library = self._lexer.lexer, self._lexer
        lexer.begin("INITIAL")
        lexer.lineno, library.st_continue, library.eolcount, library.st_action_quote = 1, 0, 0, 0
        try:
            self._tables.parse(text, lexer=lexer)
        except Exception as error:  # the library raises no other, with a mapping as its second argument
            where: Mapping[str, Any] = error.args[1] if len(error.args) > 1 else {}
            raise InvalidValue("the grammar of rules knows nothing like this", where.get("position", 0)) from None
        found = self._parser.configlines
        read = found[0] if found else {}
        counted = len(read.get("variables", ())), len(read.get("actions", ()))
        if len(found) != 1 or counted != (len(self._variables), len(self._actions)):
            sentence = "this is not a whole rule, or more than one: a quote is not closed, or a part is missing"
            raise InvalidValue(sentence, len(text))
        named = zip(read.get("variables", ()), self._variables, strict=True)
        targets = tuple(Word(_target(each), at - each["negated"] - each["counter"]) for each, at in named)
        operator = self._operators[0] if self._operators else Word("", 0)
        argument = self._arguments[0] if self._arguments else Word("", operator.at)
        return _Parts(targets, operator, argument, tuple(self._with_values(text)))

    def _with_values(self, text: str) -> Iterator[tuple[Word, Word]]:
        """The actions with their values, as they are written: the grammar loses the blanks within."""
        end = text.rstrip(" \t").removesuffix('"')
        for number, action in enumerate(self._actions, 1):
            until = self._actions[number].at if number < len(self._actions) else len(end)
            at = action.at + len(action.text)
            value = end[at:until].rstrip(" \t,")
            at += len(value) - len(value.lstrip(" \t:"))
            value = value.lstrip(" \t:")
            if len(value) > 1 and value.startswith("'") and value.endswith("'"):
                value, at = value[1:-1], at + 1
            yield action, Word(value.replace("\\'", "'").replace('\\"', '"'), at)


def _target(read: Mapping[str, Any]) -> str:
    """A target as it is written: ``!ARGS:name``, ``&ARGS``, ``ARGS:/regex/``."""
    before, part = "!" * read["negated"] + "&" * read["counter"], read["variable_part"]
    return f"{before}{read['variable']}{':' if part else ''}{part}"


@functools.cache
def _grammar() -> _Grammar:
    try:
        import msc_pyparser  # only a node with a content filter needs it, and it takes a while
        from ply import yacc  # its library
    except ImportError:
        raise InvalidValue(NOT_INSTALLED) from None
    return _Grammar(msc_pyparser, yacc)
