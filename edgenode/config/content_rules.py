"""The rules of content filters: the files that ``[content-filter]`` names, with what they name themselves, read.

Law: a file is parsed again only if its text is another one; what is wrong in it is told with its own name and line.
"""

from __future__ import annotations

import functools
import glob
import pathlib
import re
import threading
from collections.abc import Iterable, Iterator, Sequence

from attrs import define, evolve, field, frozen

from edgenode.config.file_signatures import file_state
from edgenode.model.errors import ConfigurationError, InvalidValue, Problem
from edgenode.policy.contentfilter import contentfilter, parsing, syntax
from edgenode.policy.contentfilter.collections import COLLECTIONS
from edgenode.policy.contentfilter.contentfilter import ContentFilter, RuleSource
from edgenode.policy.contentfilter.directives import RuleTree
from edgenode.policy.contentfilter.exclusions import unseen
from edgenode.policy.contentfilter.names import INCLUDES
from edgenode.policy.contentfilter.ruleset import RuleSet
from edgenode.policy.contentfilter.syntax import Statement

LARGEST = 16 * 1024 * 1024
"""Bytes of a file."""

_DEEPEST = 8
"""Files that include one another."""

_BUILTIN = pathlib.Path(contentfilter.__file__).parent / "builtin"
_DEBIAN = (pathlib.Path("/usr/share/modsecurity-crs"), pathlib.Path("/etc/modsecurity/crs"))
"""Where Debian's package has the rules, and where their set-up."""

_SETUP = "crs-setup.conf"
_AROUND = ("REQUEST-900-EXCLUSION-RULES-BEFORE-CRS.conf", "RESPONSE-999-EXCLUSION-RULES-AFTER-CRS.conf")
"""The files of one's own exclusions, which Debian has beside the set-up."""

_PLUGINS = "plugins"
"""The folder of plug-ins beside the Core Rule Set's rules, in which it has empty files."""

_RULE = re.compile(r"^\s*Sec(?:Rule|Action)\s", re.MULTILINE | re.IGNORECASE)
"""What is in every folder of rules."""

_SWITCHES = {"off": "active = no", "detectiononly": "mode = monitoring"}
"""What a file of rules may say of all rules, and what says it here."""

_PARSING = threading.Lock()
"""The parser has a state, and configurations are loaded in threads."""


@frozen(eq=False)
class LoadedRules:
    """The rules of one content filter, with its exclusions and what its keys set.

    :ivar name: the section's.
    :ivar tree: the rules.
    :ivar compiled: the same, ready to judge.
    :ivar engine: each ``SecRuleEngine`` that switches something off, of which nothing comes: its word, and where it is.
    """

    name: str
    tree: RuleTree
    compiled: RuleSet
    engine: tuple[tuple[str, Problem], ...] = ()


def load(
    name: str, section: ContentFilter, before: LoadedRules | None = None
) -> tuple[LoadedRules | None, tuple[Problem, ...]]:
    """Read the rules of a section.

    :param before: what is in use, which is taken over if it is the same.
    :returns: the rules, ``None`` if they cannot be used, and every problem.
    """
    header, reading = f"{section.kind} {name}", _Reading()
    try:
        for source in section.rules:
            paths = _sources(section, source)
            if source.kind == "crs" and not any(_RULE.search(_text(path)) for path in paths):
                raise InvalidValue(f"there is no rule in the files *.conf in {source.path}")
            for path in paths:
                reading.take(path)
        with _PARSING:
            tree, found = parsing.tree_of(reading.statements, reading.data)
        problems = [evolve(each, section=header, key="rules") for each in (*reading.problems, *found)]
    except InvalidValue as problem:
        return None, (Problem(header, "rules", problem.sentence),)
    if problems:
        return None, tuple(problems)
    for exclusion in section.exclude:
        try:
            tree = exclusion.applied(tree)
        except InvalidValue as problem:
            problems.append(Problem(header, "exclude", problem.sentence, str(exclusion), problem.column or 0))
    for member in section.ignore:
        tree = unseen(tree, member)
    tree = section.configured(tree)
    if any(source.kind == "crs" and _setup(section, source) is None for source in section.rules):
        tree = evolve(tree, variables=(*tree.variables, *contentfilter.WITHOUT_SETUP))
    if problems:
        return None, tuple(problems)
    engine = tuple(_switched(header, reading.statements))
    if before is not None and before.tree == tree:
        return evolve(before, engine=engine) if before.engine != engine else before, ()
    try:
        return LoadedRules(name, tree, RuleSet.of(tree, COLLECTIONS), engine), ()
    except ConfigurationError as error:
        return None, tuple(evolve(each, section=header, key="rules") for each in error.problems)


def _switched(header: str, statements: Iterable[Statement]) -> Iterator[tuple[str, Problem]]:
    for statement in statements:
        word = statement.words[0].text.lower() if statement.words else ""
        if statement.name == "SecRuleEngine" and word in _SWITCHES:
            sentence = f"SecRuleEngine has no effect here: {_SWITCHES[word]} says it"
            yield word, evolve(statement.problem(sentence), section=header, key="rules", warning=True)


def files(section: ContentFilter) -> Iterator[pathlib.Path]:
    """Every file that the rules of a section come from, and the folders in which there may be others."""
    for source in section.rules:
        if source.kind == "crs" and source.path is not None:
            yield source.path
        try:
            found = _sources(section, source)
        except InvalidValue:  # told when the rules are read
            continue
        for path in found:
            yield from _with_named(path, _DEEPEST)


def _with_named(path: pathlib.Path, deeper: int) -> Iterator[pathlib.Path]:
    yield path
    for named in _named(path, file_state(path)) if deeper else ():
        yield from _with_named(named, deeper - 1) if named.suffix == ".conf" else (named,)


@functools.lru_cache(maxsize=1024)
def _named(path: pathlib.Path, state: tuple[int, ...]) -> tuple[pathlib.Path, ...]:
    """The files that a file of rules names, as long as it has a state."""
    found: list[pathlib.Path] = []
    try:
        for statement in _statements(_shown(path), _text(path))[0]:
            found += map(pathlib.Path, _data_files(path, statement).values())
            if statement.name in INCLUDES and statement.words:
                found += _included(path, statement)
    except InvalidValue:  # told when the rules are read
        return ()
    return tuple(found)


def _sources(section: ContentFilter, source: RuleSource) -> Sequence[pathlib.Path]:
    """The files of a source, in the order in which their rules are asked.

    :raises InvalidValue: if there are none.
    """
    if source.kind == "file" and source.path is not None:
        return [source.path]
    folder = _BUILTIN if source.path is None else _folder(source.path)
    setup = None if source.path is None else _setup(section, source)
    rules = [path for path in sorted(folder.glob("*.conf")) if setup is None or path != setup]
    if not rules:
        raise InvalidValue(f"there are no files of rules, *.conf, in {folder}")
    if source.path is None:
        return rules
    first, last = ([] if setup is None else [setup]), list[pathlib.Path]()
    plugins = folder.parent / "plugins"
    first += [*sorted(plugins.glob("*-config.conf")), *sorted(plugins.glob("*-before.conf"))]
    last += sorted(plugins.glob("*-after.conf"))
    for name, where in zip(_AROUND, (first, last), strict=True):
        own = None if setup is None else setup.parent / name
        if own is not None and own not in rules and own.is_file():
            where.append(own)
    return [*first, *rules, *last]


def _folder(path: pathlib.Path) -> pathlib.Path:
    """The folder of the rules itself, which may stand in the one that is named."""
    inner = path / "rules"
    return inner if any(inner.glob("*.conf")) else path


def _setup(section: ContentFilter, source: RuleSource) -> pathlib.Path | None:
    """The set-up of a Core Rule Set; ``None`` if there is none."""
    if section.setup is not None:
        return section.setup
    assert source.path is not None
    folder = _folder(source.path)
    found = [folder / _SETUP, folder.parent / _SETUP]
    if folder.resolve().is_relative_to(_DEBIAN[0]):
        found.append(_DEBIAN[1] / _SETUP)
    return next((path for path in found if path.is_file()), None)


@define
class _Reading:
    """The statements of files, with what the files hold that they name, and what is wrong with them."""

    statements: list[Statement] = field(factory=list)
    data: dict[str, str] = field(factory=dict)
    problems: list[Problem] = field(factory=list)

    def take(self, path: pathlib.Path, deep: int = 0) -> None:
        """Read a file, with those that it includes.

        :raises InvalidValue: if it cannot be read.
        """
        found, wrong = _statements(_shown(path), _text(path))
        self.problems += wrong
        for statement in found:
            try:
                if statement.name in INCLUDES:
                    self._include(path, statement, deep)
                    continue
                for shown, named in _data_files(path, statement).items():
                    self.data[shown] = _text(named)
            except InvalidValue as problem:
                at = statement.argument.at if statement.name not in INCLUDES else problem.column or 0
                self.problems.append(statement.problem(problem.sentence, at))
                continue
            self.statements.append(statement)

    def _include(self, path: pathlib.Path, statement: Statement, deep: int) -> None:
        if len(statement.words) != 1:
            raise InvalidValue(f"{statement.name} needs a file", 0)
        (word,) = statement.words
        if deep >= _DEEPEST:
            raise InvalidValue("files include one another too deep, or in a circle", word.at)
        included = _included(path, statement)
        if not included and statement.name == "Include":
            raise InvalidValue(f"there is no such file: {parsing.beside(str(path), word.text)}", word.at)
        for each in included:
            try:
                self.take(each, deep + 1)
            except InvalidValue as problem:
                raise InvalidValue(problem.sentence, word.at) from None


def _included(path: pathlib.Path, statement: Statement) -> list[pathlib.Path]:
    """The files that an ``Include`` names, which may be a pattern."""
    return [pathlib.Path(each) for each in sorted(glob.glob(parsing.beside(str(path), statement.words[0].text)))]


def _data_files(path: pathlib.Path, statement: Statement) -> dict[str, pathlib.Path]:
    """The files that the operator of a rule reads, by the name that the parser has for them."""
    return {
        shown: path.parent / shown.rpartition("/")[2] if _is_own(path) else pathlib.Path(shown)
        for shown in parsing.data_files(statement)
    }


def _is_own(path: pathlib.Path) -> bool:
    return path.parent == _BUILTIN


def _shown(path: pathlib.Path) -> str:
    """How the places of rules name a file: those that come with edgenode are ``builtin/NAME``."""
    return f"{contentfilter.BUILTIN}/{path.name}" if _is_own(path) else str(path)


@functools.lru_cache(maxsize=512)
def _statements(shown: str, text: str) -> tuple[tuple[Statement, ...], tuple[Problem, ...]]:
    with _PARSING:
        return syntax.read(shown, text)


def _text(path: pathlib.Path) -> str:
    """:raises InvalidValue: if a file cannot be read."""
    try:
        with path.open("rb") as opened:
            data = opened.read(LARGEST + 1)
    except OSError as error:
        raise InvalidValue(f"cannot read {path}: {error.strerror}") from None
    if not data and path.parent.name != _PLUGINS:  # somebody copies another over it: the rules in use stay
        raise InvalidValue(f"{path} is empty")
    if len(data) > LARGEST:
        raise InvalidValue(f"{path} is too large: a file of rules has at most 16m")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidValue(f"{path} is not UTF-8") from None
