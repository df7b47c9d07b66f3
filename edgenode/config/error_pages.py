"""The pages that stand in the place of errors: files and texts of ``[response-rules]``, read and made ready.

Law: a page that could not be sent is found when the configuration is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import frozen

from edgenode.config.value_readers import Scope, file
from edgenode.model.errors import InvalidValue, Problem
from edgenode.model.settings import File
from edgenode.policy.actions import TEXT
from edgenode.policy.responses import ErrorPage, Page, Pages, ResponseRules, Statuses

_MEDIA_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".htm": "text/html; charset=utf-8",
    ".json": "application/json",
    ".txt": TEXT,
    ".xml": "application/xml",
}
"""The media type of a page, by the ending of its file."""

_STATUS = "${http.response.code}"
"""What stands for the status in a page; it is put in when the page is read."""

LARGEST = 1024 * 1024
"""Bytes of a page."""

LARGEST_WITH_STATUS = 64 * 1024
"""Characters of a page with the status in it: there is one of it for each status."""


@frozen(eq=False)
class LoadedPages:
    """The pages of one section.

    :ivar name: the section's.
    :ivar pages: the pages for each status.
    """

    name: str
    pages: Pages


def error_page(text: str, scope: Scope) -> ErrorPage:
    """``502 504: FILE`` or ``404: "TEXT"``: statuses from 400 to 599, single ones or ranges, and what clients get."""
    written, colon, page = text.partition(":")
    statuses = []
    for word in re.finditer(r"\S+", written):
        try:
            statuses.append(Statuses.from_text(word[0]))
        except InvalidValue as problem:
            raise InvalidValue(problem.sentence, word.start()) from None
        if statuses[-1].first < 400:
            raise InvalidValue("an error has a status from 400 to 599", word.start())
    start, page = len(text) - len(page.lstrip()), page.strip()
    if not colon or not statuses or not page:
        raise InvalidValue('expected statuses, a colon, and a file or a "text"', 0)
    if page.startswith('"'):
        if len(page) < 3 or not page.endswith('"'):
            raise InvalidValue("a text stands within quotes", start)
        return ErrorPage(tuple(statuses), None, page[1:-1], text)
    try:
        path = file(page, scope)
    except InvalidValue as problem:
        raise InvalidValue(problem.sentence, start) from None
    if path.suffix.lower() not in _MEDIA_TYPES:
        endings = ", ".join(_MEDIA_TYPES)
        raise InvalidValue(f'the ending of the file says its media type: {endings}; or write a "text"', start)
    return ErrorPage(tuple(statuses), File(path), "", text)


def load(name: str, section: ResponseRules) -> tuple[LoadedPages | None, tuple[Problem, ...]]:
    """Read the pages of a section.

    :returns: the pages, ``None`` if one cannot be used, and every problem.
    """
    pages: dict[int, tuple[Page, ...]] = {}
    problems = []
    for each in section.error_page:
        try:
            text, content_type = _read(each)
            same = None if _STATUS in text else Page.of(text, content_type)
            if same is None and len(text) > LARGEST_WITH_STATUS:
                raise InvalidValue(f"{each.file} is too large: a page with {_STATUS} in it has at most 64k")
            for status in dict.fromkeys(one for several in each.statuses for one in several):
                page = same or Page.of(text.replace(_STATUS, str(status)), content_type)
                if any(page.media_type == other.media_type for other in pages.get(status, ())):
                    raise InvalidValue(f"{status} has a page of this media type already")
                pages[status] = (*pages.get(status, ()), page)
        except InvalidValue as problem:
            where = ""
            if each.file is not None and problem.column is not None:
                where = f"{each.file}, line {text.count(chr(10), 0, problem.column) + 1}: "
            problems.append(Problem(f"{section.kind} {name}", "error-page", where + problem.sentence, str(each), 0))
    return (None if problems else LoadedPages(name, pages)), tuple(problems)


def _read(page: ErrorPage) -> tuple[str, str]:
    """The text of a page, and its content type.

    :raises InvalidValue: if it cannot be read.
    """
    if page.file is None:
        return page.text + "\n", TEXT
    try:
        with page.file.open("rb") as opened:
            data = opened.read(LARGEST + 1)
    except OSError as error:
        raise InvalidValue(f"cannot read {page.file}: {error.strerror}") from None
    if len(data) > LARGEST:
        raise InvalidValue(f"{page.file} is too large: a page has at most 1m")
    try:
        return data.decode("utf-8-sig"), _MEDIA_TYPES[page.file.suffix.lower()]
    except UnicodeDecodeError:
        raise InvalidValue(f"{page.file} is not UTF-8") from None
