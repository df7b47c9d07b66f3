"""A whole configuration: every section read, every reference resolved, every certificate checked.

The module owns the list of section kinds and the order of reading. Its law: a configuration is whole or there is none;
what is wrong with a file is reported at once and all together, in the order of the file.
"""

from __future__ import annotations

import copy
import datetime
import os
import pathlib
import time
import types
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from attrs import evolve, field, frozen

from edgenode.config import credentials, feed_contents, ini, schema
from edgenode.config.checks import references
from edgenode.config.credentials import Credentials, Signature
from edgenode.config.edge import Edge
from edgenode.config.feed_contents import Contents
from edgenode.config.ini import IniSection
from edgenode.config.scalars import Scope
from edgenode.config.system_filters import with_system_filters
from edgenode.config.values import suggestion
from edgenode.feeds.geo import Geo
from edgenode.model.decision import Action
from edgenode.model.errors import ConfigurationError, InvalidValue, Problem
from edgenode.model.interfaces import Stage
from edgenode.policy.actions import PREDEFINED, ActionSection
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.policy.modes import Level, settle
from edgenode.policy.pipeline import Pipeline
from edgenode.policy.stages import Rules, compiled, pipeline_of
from edgenode.proxy.listener.listener import Listener
from edgenode.proxy.origin.origin import Origin
from edgenode.proxy.routing import PathMap, SecurityPolicy
from edgenode.rules.definitions import Definitions
from edgenode.rules.lists import List
from edgenode.rules.lowering import Lowering
from edgenode.rules.sections import Section
from edgenode.tls.certificates import Certificate
from edgenode.tls.servergroups import ServerGroup
from edgenode.tls.truststores import TrustStore

NAMED: Mapping[str, type] = types.MappingProxyType(
    {
        "listeners": Listener,
        "server_groups": ServerGroup,
        "certificates": Certificate,
        "trust_stores": TrustStore,
        "security_policies": SecurityPolicy,
        "path_maps": PathMap,
        "origins": Origin,
        "global_filters": GlobalFilter,
        "sections": Section,
        "lists": List,
        "actions": ActionSection,
    }
)
"""The kinds of section that have a name, by the attribute of :class:`Configuration` that holds them."""

UNNAMED: Mapping[str, type] = types.MappingProxyType({"edge": Edge, "geo": Geo})
"""The kinds of section of which there is at most one, likewise."""

SECTIONS: tuple[type, ...] = (*UNNAMED.values(), *NAMED.values())
"""Every kind of section there is."""

_ATTRIBUTES: Mapping[str, str] = {schema.kind(cls): attribute for attribute, cls in NAMED.items()}
_UNNAMED: Mapping[str, str] = {schema.kind(cls): attribute for attribute, cls in UNNAMED.items()}
_KINDS: tuple[str, ...] = tuple(schema.kind(cls) for cls in SECTIONS)
_HOMES: Mapping[str, Sequence[str]] = {
    key: [schema.kind(cls) for cls in SECTIONS if key in schema.settings(cls)]
    for key in {key for cls in SECTIONS for key in schema.settings(cls)}
}


@frozen(slots=False)
class Configuration:
    """Everything that a file says, checked; sections are mapped by name in the order of the file.

    :ivar edge: what holds for the whole node.
    :ivar geo: the databases of addresses.
    :ivar global_filters: those of the file, then the system-managed ones.
    :ivar actions: the actions written in the file; :attr:`all_actions` has the predefined ones too.
    :ivar credentials: what the files of certificates and trust stores held when they were checked.
    :ivar contents: what lists and datafeeds hold.
    :ivar warnings: what is doubtful, but can be used.
    """

    edge: Edge = field(factory=Edge)
    geo: Geo = field(factory=Geo)
    listeners: Mapping[str, Listener] = field(factory=dict)
    server_groups: Mapping[str, ServerGroup] = field(factory=dict)
    certificates: Mapping[str, Certificate] = field(factory=dict)
    trust_stores: Mapping[str, TrustStore] = field(factory=dict)
    security_policies: Mapping[str, SecurityPolicy] = field(factory=dict)
    path_maps: Mapping[str, PathMap] = field(factory=dict)
    origins: Mapping[str, Origin] = field(factory=dict)
    global_filters: Mapping[str, GlobalFilter] = field(factory=dict)
    sections: Mapping[str, Section] = field(factory=dict)
    lists: Mapping[str, List] = field(factory=dict)
    actions: Mapping[str, ActionSection] = field(factory=dict)
    credentials: Credentials = field(factory=Credentials)
    contents: Contents = field(factory=Contents)
    warnings: tuple[Problem, ...] = ()

    @classmethod
    def load(cls, path: str | os.PathLike[str], before: Configuration | None = None) -> Configuration:
        """Read a file; secrets may name the variables of the process's environment.

        :param before: one whose lists and datafeeds are taken over where they are the same still.
        :raises ConfigurationError: with every problem, if there is any error.
        """
        file = pathlib.Path(path)
        try:
            data = file.read_bytes()
        except OSError as error:
            raise ConfigurationError([Problem("", "", f"cannot read {file}: {error.strerror}")]) from None
        text, problems = ini.decode(data)
        return cls._read(text, Scope(file.parent, os.environ), _now(), problems, before)

    @classmethod
    def from_text(
        cls,
        text: str,
        folder: str | os.PathLike[str] = ".",
        environment: Mapping[str, str] | None = None,
        now: datetime.datetime | None = None,
    ) -> Configuration:
        """Read a text.

        :param folder: where relative paths start.
        :param environment: the variables that secrets may name; the process's own if absent.
        :param now: the time to judge certificates by, UTC; the clock's if absent.
        :raises ConfigurationError: with every problem, if there is any error.
        """
        scope = Scope(pathlib.Path(folder), os.environ if environment is None else environment)
        return cls._read(text, scope, now or _now(), [])

    @classmethod
    def _read(
        cls,
        text: str,
        scope: Scope,
        now: datetime.datetime,
        problems: list[Problem],
        before: Configuration | None = None,
    ) -> Configuration:
        in_file, found = ini.read(text, _KINDS)
        problems += found
        written, found = with_system_filters(in_file)
        problems += found
        names: dict[str, list[str]] = {kind: [] for kind in _KINDS}
        for section in written:
            names.setdefault(section.kind, []).extend([section.name] if section.name else [])
        names["action"] += PREDEFINED
        if not names["listener"]:
            problems.append(Problem("", "", "there is no [listener NAME], and so nothing to do"))
        values, found = _read_sections(written, evolve(scope, names=names, homes=_HOMES))
        problems += found
        configuration = cls(**values)
        contents, found = feed_contents.load(configuration, None if before is None else before.contents)
        problems += found
        configuration = evolve(configuration, contents=contents)
        for check in references.CHECKS:
            problems += check(configuration)
        loaded, found = credentials.load(configuration, now)
        problems += found
        if all(problem.warning for problem in problems):
            for check in references.CHECKS_OF_THE_WHOLE:
                problems += check(configuration)
        problems = _in_order(problems, in_file)
        if not all(problem.warning for problem in problems):
            raise ConfigurationError(problems)
        return configuration._with_all_that_was_compiled(credentials=loaded, warnings=tuple(problems))

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """Of the files that were read, by the header of their section."""
        return {**self.credentials.signatures, **self.contents.signatures}

    def changed(self) -> Mapping[str, Signature]:
        """The headers of the sections whose files are others than those that were read, with their signatures now."""
        return {**credentials.changed(self), **feed_contents.changed(self)}

    def refreshed(self, headers: Collection[str]) -> tuple[Configuration, list[Problem]]:
        """The same with the files of some certificates, trust stores, ``[geo]``, lists and datafeeds read anew, as far
        as they can be used.

        :param headers: of their sections.
        :returns: itself if there is nothing to change; and every problem, warnings too.
        """
        renewed, problems = credentials.refresh(self, headers, _now())
        configuration = self
        if renewed is not self.credentials:
            configuration = self._with_all_that_was_compiled(credentials=renewed)
        contents, found = feed_contents.refresh(self, headers)
        problems += found
        try:
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
            return self._with_all_that_was_compiled(contents=contents)
        configuration = evolve(self, contents=contents)
        configuration.compile()  # what is wrong shall be known now
        return configuration._with_all_that_was_compiled()

    def _with_all_that_was_compiled(self, **changes: Any) -> Configuration:
        configuration = copy.copy(self)
        for name, value in changes.items():
            object.__setattr__(configuration, name, value)
        vars(configuration).pop("lowering", None)  # the formulas have been compiled, and take memory
        return configuration

    def written(self) -> Iterator[tuple[str, Any]]:
        """Every section with its header without brackets, those without a name first."""
        for attribute, cls in UNNAMED.items():
            yield schema.kind(cls), getattr(self, attribute)
        for attribute, cls in NAMED.items():
            for name, section in getattr(self, attribute).items():
                yield f"{schema.kind(cls)} {name}", section

    @cached_property
    def all_actions(self) -> Mapping[str, Action]:
        """Every action by its name, the predefined ones among them.

        :raises InvalidValue: if a section's keys do not go together; never of a configuration that was loaded.
        """
        return {**PREDEFINED} | {name: section.action(name) for name, section in self.actions.items()}

    @cached_property
    def definitions(self) -> Definitions:
        """What its rules may name."""
        return Definitions(self.sections, self.contents.lists, self.edge.missing_not_equal)

    @cached_property
    def lowering(self) -> Lowering:
        """Makes formulas of its rules, of each once while it is loaded."""
        return Lowering(self.definitions)

    def compile(self) -> None:
        """Compile its filters together, and keep them.

        :raises InvalidValue: if that cannot be; never of a configuration that was loaded.
        """
        _ = self._stages

    @cached_property
    def _stages(self) -> tuple[Stage, ...]:
        tags = {name: policy.tags for name, policy in self.security_policies.items()}
        rules = Rules(tags, self.global_filters, self.definitions, self.all_actions, self.contents.feeds, self.lowering)
        return compiled(rules)

    def mode(self, path_map: str, server_group: str | None = None) -> str:
        """The mode of filtration of a path map.

        :param server_group: for which server group; ``None`` for none.
        """
        levels = [Level(self.edge.mode, self.edge.strict)]
        if server_group is not None:
            group = self.server_groups[server_group]
            levels.append(Level(group.mode, group.strict))
        return settle([*levels, Level(self.path_maps[path_map].mode)])[-1].mode

    def pipeline(self, path_map: str, server_group: str | None = None) -> Pipeline:
        """The pipeline of a path map.

        :param server_group: the server group that it serves; with ``None`` no group has a say in its mode.
        :raises KeyError: if there is no such path map, or no such server group.
        """
        if path_map not in self.path_maps:
            raise KeyError(path_map)
        failure: Literal["open", "closed"] = "open" if self.edge.failure == "open" else "closed"
        return pipeline_of(
            self._stages,
            failure=failure,
            clock=time.perf_counter,
            locate=self.credentials.locate,
            inspect_body_size=self.path_maps[path_map].inspect_body_size,
            mode=self.mode(path_map, server_group),
        )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _read_sections(written: Sequence[IniSection], scope: Scope) -> tuple[dict[str, Any], list[Problem]]:
    """Read each section into its class; the values are the arguments of :class:`Configuration`."""
    problems: list[Problem] = []
    values: dict[str, Any] = {attribute: {} for attribute in NAMED}
    for section in written:
        if section.kind in _UNNAMED:
            if section.name:
                problems.append(Problem(section.header, "", f"the section [{section.kind}] has no name"))
            attribute = _UNNAMED[section.kind]
            value, found = schema.read(section, UNNAMED[attribute], scope)
            values[attribute] = value or UNNAMED[attribute]()
        elif section.kind not in _ATTRIBUTES:
            sentence = f'unknown kind of section "{section.kind}"{suggestion(section.kind, _KINDS)}'
            found = [Problem(section.header, "", sentence)]
        elif not section.name:
            found = [Problem(section.header, "", f"a name is missing: [{section.kind} NAME]")]
        else:
            attribute = _ATTRIBUTES[section.kind]
            value, found = schema.read(section, NAMED[attribute], scope)
            if value is not None:
                values[attribute][section.name] = value
        problems += found
    return values, problems


def _in_order(problems: Sequence[Problem], written: Sequence[IniSection]) -> list[Problem]:
    """The problems in the order of the file: first those of the file itself; missing keys last in a section."""
    places = {section.header: (place, [*section.values]) for place, section in enumerate(written)}

    def place(problem: Problem) -> tuple[int, int]:
        number, keys = places.get(problem.section, (-1, []))
        if not problem.key:
            return number, -1
        return number, keys.index(problem.key) if problem.key in keys else len(keys)

    return sorted(problems, key=place)
