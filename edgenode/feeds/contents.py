"""The content of a list or a datafeed: from bytes to members.

Law: a content is used whole or not at all, wherever it comes from; what refuses it is reported with its place in it.
"""

from __future__ import annotations

import hashlib
import pathlib
from itertools import islice

from attrs import evolve, frozen

from edgenode.feeds import store, worker
from edgenode.feeds.store import Stored
from edgenode.model.errors import InvalidValue, Problem
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.rules import filter_feeds, lists
from edgenode.rules.feed_formats import Format, Values
from edgenode.rules.feeds import Feed
from edgenode.rules.filter_feeds import FeedCategory
from edgenode.rules.lists import List, ListType, Members

Fed = List | GlobalFilter
"""A section that has a content."""

_MOST_FAULTS = 10
"""Faults of one content that are reported in full."""

_LONGEST_QUOTED = 100
"""Characters of a line that are shown."""

_FAMILIES = {4: 32, 6: 128}
"""The versions of IP, and the bits of an address of each."""


@frozen(eq=False)
class Content:
    """What a list or a filter holds.

    :ivar members: in the form in which it is looked up.
    :ivar size: how many values it has; one that stands there twice counts once.
    :ivar identity: of what it was read, and how; equal ones have equal members.
    :ivar etag: the source's own mark for it, empty without one.
    :ivar last_modified: likewise.
    """

    members: Members
    size: int
    identity: tuple[object, ...]
    etag: str = ""
    last_modified: str = ""


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


def read_download(header: str, section: Fed, stored: Stored, known: Content | None) -> Content:
    """Make a content of what came from a source.

    :param known: what we have: it is returned if it is the same.
    :raises Refused: if that cannot be done.
    """
    content = _content(header, section, stored.data, "", known)
    return content if content is known else _marked(content, stored)


def check_share(header: str, section: Feed, content: Content, known: Content | None) -> None:
    """Compare a content with the one before.

    :raises Refused: if it has shrunk by more than its section allows; or if suddenly everybody is in it.
    """
    for version, bits in _FAMILIES.items():
        if section.remote and _whole(content, version, bits) and not (known and _whole(known, version, bits)):
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


def _whole(content: Content, version: int, bits: int) -> bool:
    """Whether all addresses of a family are in it."""
    lows, highs = content.members.networks.lows[version], content.members.networks.highs[version]
    return len(lows) == 1 and lows[0] == 0 and highs[0] == (1 << bits) - 1


def stored(folder: pathlib.Path, header: str, section: Feed) -> Stored | None:
    """What was last fetched for a section, if anything.

    :param folder: ``[edge] state``.
    :raises InvalidValue: if there is something that cannot be believed.
    """
    assert section.source is not None
    return store.read(folder, header, section.source.url, section.max_size)


def content_path(folder: pathlib.Path | None, header: str, section: Feed) -> pathlib.Path | None:
    """The file that the content of a section is read from, if there is one.

    :param folder: ``[edge] state``.
    """
    if section.source is None:
        return None
    return section.source.path or (None if folder is None else store.content_path(folder, header))


def read(
    folder: pathlib.Path | None, header: str, section: Fed, known: Content | None
) -> tuple[Content | None, list[Problem]]:
    """Read the content of a section, or take it over if it would be the same.

    :param folder: ``[edge] state``; needed if the source is remote.
    :param known: what we have.
    :returns: ``None`` if nothing has ever come from the source; and warnings.
    :raises Refused: if it cannot be used.
    """
    if section.source is None:
        assert isinstance(section, List)
        return _items(header, section), []
    if not section.remote:
        assert section.source.path is not None
        return _content(header, section, _file(header, section.source.path, section.max_size), "", known), []
    assert folder is not None
    try:
        found = stored(folder, header, section)
        if found is not None:
            content = _content(header, section, found.data, "what was kept of it: ", known)
            return _marked(content, found), []
        sentence = "nothing has come from there yet"
    except InvalidValue as problem:
        sentence = problem.sentence
    except Refused as refusal:
        sentence = str(refusal)
    if known is not None and is_of(known, header, section):
        return known, [Problem(header, "source", f"{sentence}; what is in use stays in use", warning=True)]
    if isinstance(section, GlobalFilter) and not section.active:
        return None, []
    return None, [Problem(header, "source", f"{sentence}; until it has come it matches nothing", warning=True)]


def _marked(content: Content, stored: Stored) -> Content:
    if (content.etag, content.last_modified) == (stored.etag, stored.last_modified):
        return content
    return evolve(content, etag=stored.etag, last_modified=stored.last_modified)


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


def _items(header: str, section: List) -> Content:
    values = Format().read(section.items.encode("utf-8", "surrogatepass"), lists.TYPES[section.type].words)
    seen: dict[str, int] = {}
    twice = (index for index, text in enumerate(values.texts) if seen.setdefault(text, index) != index)
    again = InvalidValue("this is written twice", 0)
    problems = [_problem(header, "items", values, index, again) for index in islice(twice, _MOST_FAULTS + 1)]
    members = _members(header, section, values, "items", "", problems)
    return Content(evolve(members, annotations=values.annotations), len(values.texts), ())


def _content(header: str, section: Fed, data: bytes, where: str, known: Content | None = None) -> Content:
    """Make a content of bytes.

    :param where: what stands before the place of a fault.
    """
    identity = (hashlib.sha256(data).digest(), *_way(header, section))
    if known is not None and known.identity == identity:
        return known
    try:
        values = worker.read(section.format, data, _kind(section).words)
    except InvalidValue as problem:
        raise Refused([Problem(header, "source", f"{where}{problem.sentence}")]) from None
    if not values.texts and section.most_shrink < 100:
        raise Refused([Problem(header, "source", f"{where}it is empty")])
    size = len({text for text in values.texts})  # noqa: C416  # set() would hold up other threads
    return Content(_members(header, section, values, "source", where, []), size, identity)


def is_of(content: Content, header: str, section: Fed) -> bool:
    """Whether a content came from the source of a section, and was read as that one is."""
    return content.identity[1:] == _way(header, section)


def _way(header: str, section: Fed) -> tuple[object, ...]:
    """Where a content comes from, and how it is read."""
    how = (section.type,) if isinstance(section, List) else (section.feed, section.match_case)
    return header, str(section.source), section.format, *how


def _members(header: str, section: Fed, values: Values, key: str, where: str, problems: list[Problem]) -> Members:
    try:
        if isinstance(section, List):
            members = lists.members(_name(header), section.type, values.texts)
        else:
            assert section.feed is not None
            members = filter_feeds.members(header, section.feed, values.texts, section.match_case)
    except InvalidValue as problem:
        # Of a million bad lines all but the first are left where they are.
        found = islice(lists.faults(_kind(section).check, values.texts), _MOST_FAULTS + 1)
        faults = [_problem(header, key, values, *fault, where) for fault in found]
        problems = [*problems, *faults] if faults else [*problems, Problem(header, key, f"{where}{problem.sentence}")]
    if problems:
        more = [Problem(header, key, f"{where}and more of this kind")] if len(problems) > _MOST_FAULTS else []
        raise Refused([*problems[:_MOST_FAULTS], *more])
    return members


def _kind(section: Fed) -> ListType | FeedCategory:
    if isinstance(section, List):
        return lists.TYPES[section.type]
    assert section.feed is not None  # else it has no source
    return section.feed


def _name(header: str) -> str:
    return f"${header.partition(' ')[2]}"


def nothing(header: str, section: Fed) -> Members:
    """The members of a section without a content: none."""
    return Members(_name(header), section.type) if isinstance(section, List) else Members(header)


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
