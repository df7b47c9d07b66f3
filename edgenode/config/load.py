"""A whole configuration: every section read, every reference resolved, every certificate checked, every rule compiled.

The module owns the order of loading. Its law: a configuration is whole or there is none; what is wrong with a file is
reported at once and all together, in the order of the file.
"""

from __future__ import annotations

import datetime
import os
import pathlib
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from attrs import evolve, field, frozen

from edgenode.config import credentials, extensions, feed_contents, foreign, functions, ini
from edgenode.config.checks import catalogue
from edgenode.config.checks.compiling import compile_rules
from edgenode.config.checks.feeds import faults
from edgenode.config.compiled_rules import CompiledRules, Formulas
from edgenode.config.credentials import Credentials
from edgenode.config.data import KINDS, Sections
from edgenode.config.excerpts import Excerpt, of_journal, of_observer, of_origin, problems_in
from edgenode.config.extensions import Own
from edgenode.config.feed_contents import Contents
from edgenode.config.file_signatures import Signature
from edgenode.config.ini import IniSection
from edgenode.config.masks import hidden, masks_of
from edgenode.config.places import in_order, placed
from edgenode.config.reading import RuleLists, read_sections
from edgenode.config.system_filters import with_system_filters
from edgenode.config.value_readers import Scope
from edgenode.model.errors import ConfigurationError, InvalidValue, Problem
from edgenode.model.garbage import uncollected
from edgenode.model.interfaces import Stage
from edgenode.model.timers import Later, call_later
from edgenode.policy.contentfilter.masking import Masks
from edgenode.policy.jwt.tokens import KeysWanted, Tokens
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.selection import Selection
from edgenode.policy.stages import Placed, pipeline_of
from edgenode.state.interface import State
from edgenode.state.node_state import NodeState
from edgenode.state.settings import Server

T = TypeVar("T")


@frozen
class Written:
    """A configuration as it is written, to be read again elsewhere.

    :ivar text: the text.
    :ivar folder: where its relative paths start.
    :ivar file: where it stands, as problems tell it; empty if it is in no file.
    :ivar environment: the variables that secrets may name; ``None`` for the process's own.
    """

    text: str
    folder: str
    file: str = ""
    environment: Mapping[str, str] | None = None


@frozen(kw_only=True)
class Configuration(Sections):
    """Everything that a file says, checked: its sections, what their files hold, and their rules, compiled.

    :ivar credentials: what the files of certificates and trust stores held when they were checked.
    :ivar contents: what lists and datafeeds hold.
    :ivar rules: the rules, compiled.
    :ivar own_stages: every ``[stage]`` that has a factory, with the stage.
    :ivar own_sinks: every ``[sink]`` with the sink.
    :ivar own_functions: every ``[edge-function]`` with its stage.
    :ivar state: what is remembered between requests: that of the configuration that it succeeds, if it can be.
    :ivar wanted: who is told that a token names a key that is not there; handed on likewise.
    :ivar rule_lists: its sections that are rules alone, as they are written, for the configuration that succeeds it.
    :ivar warnings: what is doubtful, but can be used.
    :ivar written_as: what it was read from.
    """

    credentials: Credentials
    contents: Contents
    rules: CompiledRules = field(repr=False)
    rule_lists: RuleLists = field(repr=False, eq=False)
    state: State = field(factory=NodeState, repr=False, eq=False)
    wanted: KeysWanted = field(factory=KeysWanted, repr=False, eq=False)
    own_stages: Own = field(factory=dict, repr=False)
    own_sinks: Own = field(factory=dict, repr=False)
    own_functions: Own = field(factory=dict, repr=False)
    warnings: tuple[Problem, ...] = ()
    written_as: Written = field(default=Written("", "."), repr=False, eq=False)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], before: Configuration | None = None, *, requests: bool = True
    ) -> Configuration:
        """Read a file; secrets may name the variables of the process's environment.

        :param before: one whose lists and datafeeds are taken over where they are the same still, and whatever it has
            read of a section that is written the same, where the files of that cannot be used now.
        :param requests: whether it is for HTTP requests: then every server group needs a security policy. Protocols
            behind the endpoint ``edgenode:`` need none.
        :raises ConfigurationError: with every problem, if there is any error.
        """
        return _from_file(pathlib.Path(path), before, requests)

    @classmethod
    def from_text(
        cls,
        text: str,
        folder: str | os.PathLike[str] = ".",
        environment: Mapping[str, str] | None = None,
        now: datetime.datetime | None = None,
        *,
        requests: bool = True,
    ) -> Configuration:
        """Read a text.

        :param folder: where relative paths start.
        :param environment: the variables that secrets may name; the process's own if absent.
        :param now: the time to judge certificates by, UTC; the clock's if absent.
        :param requests: as for :meth:`load`.
        :raises ConfigurationError: with every problem, if there is any error.
        """
        return _load(Written(text, os.fspath(folder), "", environment), now or _now(), [], None, requests)

    def pipeline(
        self,
        path_map: str,
        server_group: str | None = None,
        stages: Sequence[Stage | Placed] = (),
        *,
        call_later: Later = call_later,
        state: State | None = None,
    ) -> Pipeline:
        """The pipeline of a path map.

        :param server_group: the server group that it serves; with ``None`` no group has a say in its mode.
        :param stages: stages of one's own, besides those of the configuration or for its sections without a factory.
        :param call_later: the timers of ``judging-timeout``; those of the running reactor if absent.
        :param state: what is remembered between requests; :attr:`state` if absent.
        :raises KeyError: if there is no such path map, or no such server group.
        :raises ConfigurationError: if a ``[stage]`` has no stage, or one that is given has a name that is taken.
        """
        section = self.path_maps[path_map]
        acl, filter = section.acl_profile, section.content_filter
        return pipeline_of(
            self.rules.stages,
            functions.placed(
                self.own_functions,
                section.edge_functions,
                extensions.placed(self.stages, self.own_stages, stages, section.stages),
            ),
            failure=self.edge.failure,
            clock=time.perf_counter,
            locate=None if self.credentials.databases is None else self.credentials.databases.locate,
            inspect_body_size=section.inspect_body_size,
            mode=self.mode(path_map, server_group),
            uninspected=section.uninspected,
            ambiguous_multipart=section.ambiguous_multipart,
            timeout=self.edge.judging_timeout,
            call_later=call_later,
            selection=Selection(
                self.state if state is None else state,
                section.rate_limits,
                section.flows,
                acl if acl is not None and self.acl_profiles[acl].active else "",
                section.dynamic_rules,
                filter if filter is not None and self.content_filters[filter].active else "",
                self.masks(path_map),
            ),
            response_stages=functions.of_responses(self.own_functions, section.edge_functions),
            tokens=Tokens.of(self.jwts, self.contents.keys, self.wanted) if self.jwts else None,
        )

    def masks(self, path_map: str = "") -> Masks:
        """What is masked of the requests of a path map; false if nothing is.

        :param path_map: its name; without one everything that is masked anywhere.
        """
        return masks_of(self, self.credentials.mask_key, path_map)

    @property
    def state_server(self) -> Server | None:
        """The server that shares what is remembered between requests; ``None``: each node has its own."""
        section, credentials = self.state_settings, self.credentials
        if section.url is None:
            return None
        certificate = None if section.certificate is None else credentials.certificates[section.certificate]
        trust_store = None if section.trust_store is None else credentials.trust_stores[section.trust_store]
        return Server(section, certificate, trust_store)

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """Of the files that were read, by the header of their section."""
        return {**self.credentials.signatures, **self.contents.signatures}

    @property
    def kept(self) -> tuple[str, ...]:
        """The headers of the sections whose files could not be used in a reload: what they held before is in use."""
        return *self.credentials.kept, *self.contents.kept

    def changed(self) -> Mapping[str, Signature]:
        """The headers of the sections whose files are others than those that were read, with their signatures now."""
        known, now = self.signatures, {**credentials.signatures(self), **feed_contents.signatures(self)}
        return {header: found for header, found in now.items() if header in known and found != known[header]}

    def refreshed(self, headers: Collection[str]) -> tuple[Configuration, list[Problem]]:
        """The same with the files of some certificates, trust stores, ``[geo]``, lists and datafeeds read anew, as far
        as they can be used.

        :param headers: of their sections.
        :returns: itself if there is nothing to change; and every problem, warnings too.
        """
        renewed, problems = credentials.refresh(self, self.credentials, headers, _now())
        configuration = self if renewed is self.credentials else evolve(self, credentials=renewed)
        contents, found = feed_contents.refresh(self, self.contents, headers)
        problems += found
        try:
            before = self.credentials
            if renewed.mask_key != before.mask_key:
                configuration = evolve(configuration, **hidden(configuration, renewed.mask_key))
                return configuration._holding(contents), problems
            if (renewed.challenge_keys, renewed.content_rules) != (before.challenge_keys, before.content_rules):
                return configuration._holding(contents), problems
            return configuration.holding(contents), problems
        except InvalidValue as problem:
            return configuration, [*problems, Problem("", "", f"the global filters together: {problem.sentence}")]

    def holding(self, contents: Contents) -> Configuration:
        """The same with other contents of lists and datafeeds; itself if there is nothing to change.

        :raises InvalidValue: if the rules cannot be compiled with them.
        """
        if contents is self.contents:
            return self
        if contents.read == self.contents.read:
            return evolve(self, contents=contents)
        return self._holding(contents)

    def _holding(self, contents: Contents) -> Configuration:
        files = self.credentials
        formulas = Formulas(self, contents, files.challenge_keys, files.content_rules, self.masks())
        rules = CompiledRules.of(formulas, self.rules)
        own = functions.made(self.edge_functions, rules.actions)
        return evolve(self, contents=contents, rules=rules, own_functions=own)


def load_origin(path: str | os.PathLike[str], origin: str) -> Configuration:
    """Read of a file what is for one origin; the rest may be wrong, or missing.

    :raises ConfigurationError: with every problem of the origin's sections, if there is any error in them; or if there
        is no such origin.
    """
    return _from_file(pathlib.Path(path), None, False, of_origin(origin))


def load_journal(path: str | os.PathLike[str]) -> Configuration:
    """Read of a configuration what says where its journal is; the rest may be wrong, or missing.

    :raises ConfigurationError: with every problem of ``[journal]``, if there is any error in it.
    """
    return _from_file(pathlib.Path(path), None, False, of_journal)


def load_observer(written: Written) -> Configuration:
    """Read of a configuration what is for the observer of a node; the rest may be wrong, or missing.

    :raises ConfigurationError: with every problem of its sections, if there is any error in them.
    """
    return _load(written, _now(), [], None, False, of_observer)


def _from_file(
    file: pathlib.Path, before: Configuration | None, requests: bool, excerpt: Excerpt | None = None
) -> Configuration:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigurationError([Problem("", "", f"cannot read {file}: {error.strerror}")]) from None
    text, problems = ini.decode(data)
    return _load(Written(text, str(file.parent), str(file)), _now(), problems, before, requests, excerpt)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@uncollected()
def _load(
    as_written: Written,
    now: datetime.datetime,
    problems: list[Problem],
    before: Configuration | None,
    requests: bool,
    excerpt: Excerpt | None = None,
) -> Configuration:
    """Read a text, with the files that it names.

    :param excerpt: chooses the sections that it is for; ``None`` for all that there are.
    :param problems: those of its encoding.
    :raises ConfigurationError: with every problem, if there is any error; with that alone if it is of another program.
    """
    text, file = as_written.text, as_written.file
    stranger = foreign.recognized(text)
    if stranger:
        raise ConfigurationError([Problem("", "", stranger, file=file)])

    def value_of(read: tuple[T, Iterable[Problem]]) -> T:
        problems.extend(read[1])
        return read[0]

    in_file = value_of(ini.read(text, KINDS))
    written = value_of((excerpt(in_file), []) if excerpt else with_system_filters(in_file))
    rule_lists, known = RuleLists(), None if before is None else before.rule_lists
    scope = _scope(as_written, before)
    values = value_of(read_sections(written, scope, rule_lists, known, in_file if excerpt else written))
    problems += _of_requests(written) if requests else ()
    sections = Sections(**values)
    own_stages = value_of(extensions.made("stage", sections.stages, {} if before is None else before.own_stages))
    own_sinks = value_of(extensions.made("sink", sections.sinks, {} if before is None else before.own_sinks))
    of_feeds = list(faults(sections))
    problems += (*extensions.faults(), *of_feeds)
    wrong = {problem.section for problem in of_feeds if not problem.warning}
    contents = value_of(feed_contents.load(sections, wrong, None if before is None else before.contents))
    in_use = None if before is None else before.credentials.of(sections, before)
    files = value_of(credentials.load(sections, now, in_use))
    values |= hidden(sections, files.mask_key)
    sections = Sections(**values)
    masks = masks_of(sections, files.mask_key)
    formulas = Formulas(sections, contents, files.challenge_keys, files.content_rules, masks)
    rules = _rules(formulas, None if before is None else before.rules, problems)
    told = in_order(problems_in(problems, in_file, written) if excerpt else problems, in_file)
    if file:
        told = placed(told, in_file, text, file)
    if rules is None or not all(problem.warning for problem in told):
        raise ConfigurationError(told)
    return Configuration(
        **values,
        credentials=files,
        contents=contents,
        rules=rules,
        rule_lists=rule_lists,
        state=NodeState() if before is None else before.state,
        wanted=KeysWanted() if before is None else before.wanted,
        own_stages=own_stages,
        own_sinks=own_sinks,
        own_functions=functions.made(sections.edge_functions, rules.actions),
        warnings=tuple(told),
        written_as=as_written,
    )


def _scope(as_written: Written, before: Configuration | None) -> Scope:
    """What the values of a text may refer to.

    :param before: the configuration that it succeeds.
    """
    environment = os.environ if as_written.environment is None else as_written.environment
    in_use = () if before is None else frozenset((*credentials.files(before), *feed_contents.files(before)))
    return Scope(pathlib.Path(as_written.folder), environment, in_use=in_use)


def _rules(formulas: Formulas, before: CompiledRules | None, problems: list[Problem]) -> CompiledRules | None:
    """Compile the rules; ``None`` if they cannot be.

    :param before: what was compiled of the configuration that it succeeds.
    :param problems: what is wrong between sections, and with rules, is added.
    """
    problems += [problem for check in catalogue.OF_SECTIONS for problem in check(formulas.configuration)]
    problems += [problem for check in catalogue.OF_RULES for problem in check(formulas)]
    rules, found = compile_rules(formulas, before)
    problems += found
    if all(problem.warning for problem in problems):
        problems += [problem for check in catalogue.OF_THE_WHOLE for problem in check(formulas)]
    formulas.forget()
    return rules


def _of_requests(written: Sequence[IniSection]) -> Iterator[Problem]:
    """Server groups whose requests nobody would judge or forward, those too that could not be read."""
    for section in written:
        if section.kind == "server-group" and "security-policy" not in section.values:
            yield Problem(section.header, "security-policy", "this key is required")
