"""What the lists and datafeeds of a configuration hold: items of a section, files, and what was last fetched.

Law: one bad content is the problem of its own section; everything else is used.
"""

from __future__ import annotations

import pathlib
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property

from attrs import evolve, field, frozen

from edgenode.config.credentials import kept_in_use
from edgenode.config.data import Sections
from edgenode.config.file_signatures import Signature, file_state
from edgenode.feeds import contents as feeds
from edgenode.feeds.contents import Content, Fed, Refused
from edgenode.model.errors import Problem
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.policy.jwt.keys import Key
from edgenode.rules.feeds import Sourced
from edgenode.rules.lists import List, Members
from edgenode.tls.problems import Problems


@frozen(eq=False, slots=False)
class Contents:
    """The contents of all lists and of all filters with a source.

    :ivar read: by the header of the section; without those whose source has never been reached.
    :ivar missing: what those have instead: nothing.
    :ivar signatures: of the files that were read, right before.
    :ivar kept: the headers of the sections whose files could not be used when all were read: these are of before.
    """

    read: Mapping[str, Content] = field(factory=dict)
    missing: Mapping[str, Members] = field(factory=dict)
    signatures: Mapping[str, Signature] = field(factory=dict)
    kept: tuple[str, ...] = ()

    @cached_property
    def lists(self) -> Mapping[str, Members]:
        """The members of every list, by its name."""
        return dict(self._of(List.kind))

    @cached_property
    def feeds(self) -> Mapping[str, Members]:
        """The members of every filter with a source, by the filter's name."""
        return dict(self._of(GlobalFilter.kind))

    @cached_property
    def keys(self) -> Mapping[str, tuple[Key, ...]]:
        """The keys of every token configuration with a source, by its name."""
        return {header.partition(" ")[2]: each.keys for header, each in self.read.items() if each.keys}

    def _of(self, kind: str) -> Iterator[tuple[str, Members]]:
        for header, members in {**self.missing, **{header: each.members for header, each in self.read.items()}}.items():
            if header.startswith(f"{kind} "):
                yield header.partition(" ")[2], members

    def renewed(self, header: str, content: Content | None, signature: Signature) -> Contents:
        """The same with the content of one section; with ``None`` only its file has changed."""
        read = self.read if content is None else {**self.read, header: content}
        missing = {each: members for each, members in self.missing.items() if each not in read}
        return Contents(read, missing, {**self.signatures, header: signature}, self.kept)


def load(
    configuration: Sections, wrong: Collection[str], before: Contents | None = None
) -> tuple[Contents, list[Problem]]:
    """Read every content.

    :param wrong: the headers of sections with faulty keys, which are passed over.
    :param before: contents of which those are taken over that would be the same.
    :returns: what could be read, and every problem, warnings too.
    """
    contents, problems = Contents(), list[Problem]()
    for header, section in configuration.fed():
        content = None
        if header not in wrong and not ("edge" in wrong and section.remote):
            known = None if before is None else before.read.get(header)
            signature = _signature(configuration, header, section)
            content, found = _read(configuration, header, section, known)
            if before is not None and content is None and known is not None and feeds.is_of(known, header, section):
                content, found, signature = known, [*map(kept_in_use, found)], before.signatures[header]
                contents = evolve(contents, kept=(*contents.kept, header))
            problems += found
            contents = contents.renewed(header, content, signature)
        if content is None:
            contents = evolve(contents, missing={**contents.missing, header: feeds.nothing(header, section)})
    return contents, problems


def signatures(configuration: Sections) -> dict[str, Signature]:
    """The signatures of the files that are read, as they are now, by the header of the section."""
    sourced = ((header, section) for header, section in configuration.fed() if section.sources)
    return {header: _signature(configuration, header, section) for header, section in sourced}


def files(configuration: Sections) -> Iterator[pathlib.Path]:
    """The files that sources name."""
    sources = (source for _, section in configuration.fed() for source in section.sources)
    return (source.path for source in sources if source.path is not None)


def refresh(configuration: Sections, contents: Contents, headers: Collection[str]) -> tuple[Contents, list[Problem]]:
    """Read the files of some sections anew. What is broken, or has shrunk too much, stays as it was.

    :param contents: what is in use.
    :returns: what can be used, and every problem, warnings too.
    """
    problems: list[Problem] = []
    for header, section in configuration.fed():
        if header in headers:
            known, signature = contents.read.get(header), _signature(configuration, header, section)
            # What was fetched has been compared when it was.
            content, found = _read(configuration, header, section, known, compare=not section.remote)
            problems += found
            if content is not None:
                contents = contents.renewed(header, None if content is known else content, signature)
    return contents, problems


def _read(
    configuration: Sections, header: str, section: Fed, known: Content | None, *, compare: bool = False
) -> tuple[Content | None, list[Problem]]:
    """The content of a section, ``None`` if there is none that can be used, and every problem.

    :param compare: whether one that has shrunk too much is of no use.
    """
    found, problems = list[Problem](), Problems(header)
    with problems.reading("source"):
        try:
            content, found = feeds.read(configuration.edge.state, header, section, known)
            if compare and content is not None:
                feeds.check_share(header, section, content, known)
            return content, found
        except Refused as refusal:
            found = [*found, *refusal.problems]
    return None, [*found, *problems.found]


def _signature(configuration: Sections, header: str, section: Sourced) -> Signature:
    states = [file_state(path) for path in feeds.content_paths(configuration.edge.state, header, section)]
    return tuple(states)
