"""The content of a list or a datafeed: from bytes to members.

Law: a content is used whole or not at all, wherever it comes from; what refuses it is reported with its place in it.
"""

from __future__ import annotations

import hashlib
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice

from attrs import evolve, frozen

from edgenode.feeds import store, worker
from edgenode.feeds.store import Stored
from edgenode.model.errors import InvalidValue, Problem
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.policy.jwt import keys
from edgenode.policy.jwt.keys import Key
from edgenode.policy.jwt.section import JWT
from edgenode.rules import filter_feeds, lists
from edgenode.rules.feed_formats import MOST_BAD, TOO_MANY_BAD, Format, Values
from edgenode.rules.feeds import Sourced, without_query
from edgenode.rules.filter_feeds import FeedCategory
from edgenode.rules.lists import List, ListType, Members

Fed = List | GlobalFilter | JWT
"""A section that has a content."""

_MOST_FAULTS = 10
"""Faults of one content that are reported in full."""

_LONGEST_QUOTED = 100
"""Characters of a line that are shown."""

_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,99}<(?:!doctype\s+html|html)\b", re.IGNORECASE)
"""What servers send in a feed's place, often with 200; where any text is a value, its lines would be values."""


@frozen(eq=False)
class Content:
    """What a list, a filter or the source of a token configuration holds.

    :ivar members: in the form in which it is looked up.
    :ivar size: how many values came from its sources, or stand in a list without one; one that stands there twice
        counts once.
    :ivar identity: of what it was read, and how; equal ones have equal members.
    :ivar marks: of each source its own marks for it, ETag and Last-Modified, empty without one.
    :ivar skipped: the lines that could not be read and were left out, some of them in full; all warnings.
    :ivar keys: of a token configuration, instead of members.
    """

    members: Members
    size: int
    identity: tuple[object, ...]
    marks: tuple[tuple[str, str], ...] = ()
    skipped: tuple[Problem, ...] = ()
    keys: tuple[Key, ...] = ()

    def __str__(self) -> str:
        left_out = "; ".join(problem.sentence for problem in self.skipped)
        return counted(self.size) + (f"; left out: {left_out}" if left_out else "")


class Refused(Exception):
    """A content that cannot be used.

    :ivar problems: why; never warnings.
    """

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__(problems)

    def __str__(self) -> str:
        first = self.problems[0]
        quoted = "" if first.text is None else f': "{first.text}"'
        return f"{first.sentence}{quoted}{' (and more)' if len(self.problems) > 1 else ''}"


def read_download(header: str, section: Fed, parts: Sequence[Stored], known: Content | None) -> Content:
    """Make a content of what came from its sources.

    :param parts: what came, of each.
    :param known: what we have: it is returned if it is the same.
    :raises Refused: if that cannot be done.
    """
    content = _content(header, section, [part.data for part in parts], "", known)
    return content if content is known else _marked(content, parts)


def check_share(header: str, section: Fed, content: Content, known: Content | None) -> None:
    """Compare a content with the one before.

    :raises Refused: if it has shrunk by more than its section allows; or if suddenly everybody is in it.
    """
    for version in (4, 6):
        if section.remote and _whole(content, version) and not (known and _whole(known, version)):
            raise Refused([Problem(header, "source", f"every IPv{version} address is in it")])
    if known is None:
        return
    lost = known.size - content.size
    if lost * 100 > known.size * section.most_shrink:
        sentence = (
            f"{counted(content.size)} where there were {known.size}: more are gone than most-shrink allows, "
            f"{section.most_shrink} %"
        )
        raise Refused([Problem(header, "source", sentence)])


def _whole(content: Content, version: int) -> bool:
    """Whether all addresses of a family are in it."""
    return content.members.networks.whole(version)


def content_paths(folder: pathlib.Path | None, header: str, section: Sourced) -> Iterator[pathlib.Path]:
    """The files that the content of a section is read from.

    :param folder: ``[edge] state``.
    """
    for index, source in enumerate(section.sources):
        if source.path is not None:
            yield source.path
        elif folder is not None:
            yield store.content_path(folder, header, index)


def kept(folder: pathlib.Path | None, header: str, section: Sourced, index: int) -> Stored | None:
    """What a file holds, or what was last fetched from a source, if anything.

    :param folder: ``[edge] state``; needed if the source is remote.
    :param index: of the source.
    :raises InvalidValue: if there is something that cannot be believed.
    :raises Refused: if a file cannot be read.
    """
    source = section.sources[index]
    if source.path is not None:
        return Stored(str(source), _file(header, source.path, section.max_size))
    assert folder is not None
    return store.read(folder, header, source.url, section.max_size, index)


def digest(data: bytes) -> bytes:
    """What the identity of a content has of the bytes of each of its sources."""
    return hashlib.sha256(data).digest()


def read(
    folder: pathlib.Path | None, header: str, section: Fed, known: Content | None
) -> tuple[Content | None, list[Problem]]:
    """Read the content of a section, or take it over if it would be the same.

    :param folder: ``[edge] state``; needed if a source is remote.
    :param known: what we have.
    :returns: ``None`` if nothing has ever come from a source; and warnings.
    :raises Refused: if it cannot be used.
    """
    if isinstance(section, List):
        own = _items(header, section)
        if not section.sources:
            return own, []
    try:
        parts = [kept(folder, header, section, index) for index in range(len(section.sources))]
        there = [part for part in parts if part is not None]
        if len(there) == len(parts):
            where = "what was kept of it: " if section.remote else ""
            content = _content(header, section, [part.data for part in there], where, known)
            return _marked(content, there), [*content.skipped]
        sentence = "nothing has come from there yet"
    except InvalidValue as problem:
        sentence = problem.sentence
    except Refused as refusal:
        if not section.remote:
            raise
        sentence = str(refusal)
    if known is not None and is_of(known, header, section):
        return known, [Problem(header, "source", f"{sentence}; what is in use stays in use", warning=True)]
    if isinstance(section, GlobalFilter) and not section.active:
        return None, []
    until = "no token is valid" if isinstance(section, JWT) else "nothing matches by it"
    return None, [Problem(header, "source", f"{sentence}; until it has come {until}", warning=True)]


def _marked(content: Content, parts: Sequence[Stored]) -> Content:
    marks = tuple((part.etag, part.last_modified) for part in parts)
    return content if content.marks == marks else evolve(content, marks=marks)


def _file(header: str, path: pathlib.Path, most: int) -> bytes:
    try:
        if not path.is_file():
            raise Refused([Problem(header, "source", f"cannot read {path}: not a regular file")])
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise Refused([Problem(header, "source", f"cannot read {path}: {error.strerror}")]) from None
    if len(data) > most:
        raise Refused([Problem(header, "source", f"{path} is larger than max-size")])
    return data


def _own_items(section: List) -> Values:
    """What stands in a list itself; an annotation on the line of its key is that of all items that have no other."""
    values = Format().read(section.items.encode("utf-8", "surrogatepass"), lists.TYPES[section.type].words)
    first, _, _ = section.items.partition("\n")
    common = first[1:].strip() if first.startswith("#") else ""
    return (
        evolve(values, annotations={**dict.fromkeys(values.texts, common), **values.annotations}) if common else values
    )


def _items(header: str, section: List) -> Content:
    values = _own_items(section)
    seen: dict[str, int] = {}
    twice = (index for index, text in enumerate(values.texts) if seen.setdefault(text, index) != index)
    again = InvalidValue("this is written twice", 0)
    problems = [_problem(header, "items", values, index, again) for index in islice(twice, _MOST_FAULTS + 1)]
    members = _members(header, section, [_Part(values)], "items", problems)
    return Content(evolve(members, annotations=values.annotations), len(values.texts), ())


@frozen
class _Part:
    """What was read of one source.

    :ivar where: what stands before the place of a fault.
    """

    values: Values
    where: str = ""


def _content(header: str, section: Fed, data: Sequence[bytes], where: str, known: Content | None = None) -> Content:
    """Make a content of bytes.

    :param data: of each source.
    :param where: what stands before the place of a fault.
    """
    identity = (tuple(map(digest, data)), *_way(header, section))
    if known is not None and known.identity == identity:
        return known
    if isinstance(section, JWT):
        return _keys(header, section, data, where, identity)
    skip = section.bad_lines == "skip"
    parts = [_part(header, section, index, each, where, skip) for index, each in enumerate(data)]
    skipped: list[Problem] = []
    if skip:
        parts = [_without_bad_lines(header, section, part, skipped) for part in parts]
    for part in parts:
        if not part.values.texts and section.most_shrink < 100:
            raise Refused([Problem(header, "source", f"{part.where}it is empty")])
    size = len({text for part in parts for text in part.values.texts})  # set() would hold up other threads
    annotations: Mapping[str, str] = {}
    if isinstance(section, List) and section.items:
        own = _own_items(section)
        parts, annotations = [*parts, _Part(own)], own.annotations
    members = evolve(_members(header, section, parts, "source", []), annotations=annotations)
    return Content(members, size, identity, skipped=tuple(skipped))


def _keys(header: str, section: JWT, data: Sequence[bytes], where: str, identity: tuple[object, ...]) -> Content:
    """The keys of all sources of a token configuration."""
    found, left_out = list[Key](), list[Problem]()
    for source, each in zip(section.sources, data, strict=True):
        place = where or ("" if source.path is None else f"{source.path}: ")
        place += f"{without_query(source.url)}: " if source.url and len(section.sources) > 1 else ""
        try:
            read = keys.read(each, public=bool(source.url))
        except InvalidValue as problem:
            raise Refused([Problem(header, "source", f"{place}{problem.sentence}")]) from None
        found += read.keys
        left_out += (Problem(header, "source", f"{place}{why}: left out", warning=True) for why in read.left_out)
    return Content(Members(header), len(found), identity, skipped=tuple(left_out), keys=tuple(found))


def _part(header: str, section: List | GlobalFilter, index: int, data: bytes, where: str, skip: bool) -> _Part:
    if len(section.sources) > 1:
        where = f"{where}{without_query(str(section.sources[index]))}: "
    if _PAGE.match(data):
        raise Refused([Problem(header, "source", f"{where}it is an HTML page")])
    try:
        return _Part(worker.read(section.format, data, _kind(section).words, skip), where)
    except InvalidValue as problem:
        raise Refused([Problem(header, "source", f"{where}{problem.sentence}")]) from None


def _without_bad_lines(header: str, section: List | GlobalFilter, part: _Part, skipped: list[Problem]) -> _Part:
    """A part without the lines that cannot be read.

    :param skipped: gets those.
    :raises Refused: if they are more than the others: then it is not what it should be.
    """
    values, where = part.values, part.where
    faults = dict(islice(lists.faults(_kind(section).check, values.texts), MOST_BAD + 1))
    if len(faults) > MOST_BAD:
        raise Refused([Problem(header, "source", f"{where}{TOO_MANY_BAD}")])
    unread = (Problem(header, "source", f"{where}line {line}: {sentence}") for line, sentence in values.bad)
    found = chain(unread, (_problem(header, "source", values, *fault, where) for fault in faults.items()))
    problems, count = list(islice(found, _MOST_FAULTS)), len(values.bad) + len(faults)
    if count > len(values.texts) - len(faults):
        raise Refused([Problem(header, "source", f"{where}more bad lines than good ones: {count}"), *problems])
    if count > len(problems):
        problems.append(Problem(header, "source", f"{where}and {count - len(problems)} more lines"))
    skipped += [evolve(problem, warning=True) for problem in problems]
    if not faults:
        return part
    left = [index for index in range(len(values.texts)) if index not in faults]
    texts, places = [values.texts[index] for index in left], [values.places[index] for index in left]
    return _Part(evolve(values, texts=texts, places=places), where)


def is_of(content: Content, header: str, section: Fed) -> bool:
    """Whether a content came from the sources of a section, and was read as that one is."""
    return content.identity[1:] == _way(header, section)


def _way(header: str, section: Fed) -> tuple[object, ...]:
    """Where a content comes from, and how it is read."""
    how: tuple[object, ...] = ()
    if isinstance(section, List):
        how = section.type, section.items
    elif isinstance(section, GlobalFilter):
        how = section.feed, section.match_case
    return header, section.whence, section.format, section.bad_lines, *how


def _members(
    header: str, section: List | GlobalFilter, parts: Sequence[_Part], key: str, problems: list[Problem]
) -> Members:
    texts = parts[0].values.texts if len(parts) == 1 else [text for part in parts for text in part.values.texts]
    try:
        if isinstance(section, List):
            members = lists.members(_name(header), section.type, texts)
        else:
            assert section.feed is not None
            members = filter_feeds.members(header, section.feed, texts, section.match_case)
    except InvalidValue as problem:
        # Of a million bad lines all but the first are left where they are.
        found = ((part, *fault) for part in parts for fault in lists.faults(_kind(section).check, part.values.texts))
        faults = [
            _problem(header, key, part.values, index, fault, part.where)
            for part, index, fault in islice(found, _MOST_FAULTS + 1)
        ]
        problems = [*problems, *(faults or [Problem(header, key, f"{parts[0].where}{problem.sentence}")])]
    if problems:
        more = [Problem(header, key, f"{parts[0].where}and more of this kind")] if len(problems) > _MOST_FAULTS else []
        raise Refused([*problems[:_MOST_FAULTS], *more])
    return members


def _kind(section: List | GlobalFilter) -> ListType | FeedCategory:
    if isinstance(section, List):
        return lists.TYPES[section.type]
    assert section.feed is not None  # else it has no source
    return section.feed


def _name(header: str) -> str:
    return f"${header.partition(' ')[2]}"


def nothing(header: str, section: Fed) -> Members:
    """The members of a section for which nothing has come yet: the items of a list, or none."""
    if not isinstance(section, List):
        return Members(header)
    try:
        return _items(header, section).members
    except Refused:  # which has been reported
        return Members(_name(header), section.type)


def _problem(header: str, key: str, values: Values, index: int, problem: InvalidValue, where: str = "") -> Problem:
    """A fault of a value with its place; what a stranger wrote steers no terminal."""
    text, column = values.texts[index], problem.column or 0
    start = max(0, column - _LONGEST_QUOTED // 2)
    shown = "".join(each if each.isprintable() else "\ufffd" for each in text[start : start + _LONGEST_QUOTED])
    sentence = f"{where}{values.unit} {values.places[index]}: {problem.sentence}"
    return Problem(header, key, sentence, shown, min(column - start, len(shown)))


def counted(number: int) -> str:
    """How many values, in words."""
    return "1 value" if number == 1 else f"{number} values"
