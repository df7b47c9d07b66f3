"""Which bodies may come at all: of which types, how deep and how large what is in them is, and which files.

Law: what is not so is refused before any rule is asked; a limit holds for every reading of a body, whatever its type
says. Codings are undone within bounds (:mod:`edgenode.rules.views.codings`), and what is larger than is looked at, or
cannot be read, is refused by the stage ``inspection`` if ``partial`` does not let it pass.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, ClassVar

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import NO_BODY, Exchange, Request
from edgenode.policy.contentfilter import arguments, graphql_shape, xml_texts
from edgenode.policy.contentfilter.profile import Deviation
from edgenode.rules.regexes import check_regex, compile_regex
from edgenode.rules.views import bodies, json_values
from edgenode.rules.views.flattening import MOST_DEEP, MOST_VALUES, Unread, bytes_of
from edgenode.rules.views.graphql_values import looks_like_it
from edgenode.rules.views.media_type import media_type
from edgenode.rules.views.multipart import Part
from edgenode.rules.views.parameters import first_word
from edgenode.rules.views.view import view

_MOST_TOLD = 16
_RANGE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/(?:\*|[a-z0-9][a-z0-9!#$&^_.+-]{0,126})")
_QUOTED = re.compile(rb'"[^"]*"')
_BEGINS_JSON = re.compile(rb"\s*[{\[]")


@frozen
class MediaRange:
    """A media type, such as ``application/json``, or all of a kind, ``image/*`` (RFC 9110, section 12.5.1)."""

    words: ClassVar[bool] = True

    text: str

    @classmethod
    def from_text(cls, text: str) -> MediaRange:
        """Read one.

        :raises InvalidValue: if it is none.
        """
        if _RANGE.fullmatch(text) is None:
            raise InvalidValue("expected a media type in lower case without parameters: application/json, image/*")
        return cls(text)

    def __str__(self) -> str:
        return self.text

    def has(self, kind: bytes) -> bool:
        """Whether a media type, in lower case, is one of them."""
        text = self.text.encode()
        return kind == text or (text.endswith(b"/*") and kind.startswith(text[:-1]))


@frozen
class FileNames:
    """What the names of files have to match, all of each: RE2."""

    regex: str

    @classmethod
    def from_text(cls, text: str) -> FileNames:
        """Read a regular expression.

        :raises InvalidValue: if it is none, with its column.
        """
        check_regex(text)
        return cls(text)

    def __str__(self) -> str:
        return self.regex


@frozen
class BodyLimits:
    """What bodies may be; ``None`` is no limit.

    :ivar types: the media types that may come; empty for all.
    :ivar depth: in how many structures a value of JSON or XML may stand.
    :ivar values: how many values and structures there may be in JSON or XML.
    :ivar files: how many files there may be.
    :ivar file_size: how large each may be, bytes.
    :ivar file_types: the media types that they may have, by what is said of them and by how they begin.
    :ivar file_names: what their names have to match.
    :ivar graphql_depth: in how many selections a field of GraphQL may stand.
    :ivar graphql_aliases: how many fields may have an alias.
    :ivar introspection: whether a query of GraphQL may ask for the schema.
    """

    types: tuple[MediaRange, ...] = ()
    depth: int | None = None
    values: int | None = None
    files: int | None = None
    file_size: int | None = None
    file_types: tuple[MediaRange, ...] = ()
    file_names: FileNames | None = None
    graphql_depth: int | None = None
    graphql_aliases: int | None = None
    introspection: bool = True

    def deviations(self, exchange: Exchange) -> tuple[Deviation, ...]:
        """What of a body is beyond them; of very much only the beginning. No value is told."""
        request = exchange.request
        return () if request is None else tuple(islice(self._deviations(request), _MOST_TOLD))

    def _deviations(self, request: Request) -> Iterator[Deviation]:
        if request.body is NO_BODY:
            return
        if self.types and (request.length != 0 or request.body):
            yield from self._of_types(request)
        if self.depth is not None or self.values is not None:
            yield from self._of_structures(request)
        if self.graphql_depth is not None or self.graphql_aliases is not None or not self.introspection:
            yield from self._of_graphql(request)
        if not (self.files is None and self.file_size is None and self.file_names is None and not self.file_types):
            yield from self._of_files(request)

    def _of_types(self, request: Request) -> Iterator[Deviation]:
        named = request.fields.get(b"content-type", ()) or (b"",)
        words = (word for each in named for word in _QUOTED.sub(b"", each).split(b","))  # of several any may be taken
        for kind in dict.fromkeys(map(first_word, words)):
            if not any(each.has(kind) for each in self.types):
                yield Deviation("body", "body", "of a type that may not come" if kind else "of no type")

    def _of_structures(self, request: Request) -> Iterator[Deviation]:
        depth, values = structure(request)
        if self.depth is not None and depth > self.depth:
            yield Deviation("body", "body", f"deeper than {self.depth}")
        if self.values is not None and values > self.values:
            yield Deviation("body", "body", f"more than {self.values} values")

    def _of_graphql(self, request: Request) -> Iterator[Deviation]:
        found = graphql(request)
        if found is None:
            yield Deviation("body", "graphql", "not well-formed, or a fragment has no end")
            return
        if self.graphql_depth is not None and found.depth > self.graphql_depth:
            yield Deviation("body", "graphql", f"deeper than {self.graphql_depth}")
        if self.graphql_aliases is not None and found.aliases > self.graphql_aliases:
            yield Deviation("body", "graphql", f"more than {self.graphql_aliases} aliases")
        if not self.introspection and found.introspects:
            yield Deviation("body", "graphql", "asks for the schema")

    def _of_files(self, request: Request) -> Iterator[Deviation]:
        read = zip(bodies.parts(request) or (), bodies.values(request), strict=True)
        found = [(part, values) for part, values in read if part.filenames]
        if self.files is not None and len(found) > self.files:
            yield Deviation("body", "files", f"more than {self.files}")
        regex = None if self.file_names is None else compile_regex(rf"\A(?:{self.file_names.regex})\z")
        for number, (part, values) in enumerate(found, 1):
            where = f"file {number}"
            if self.file_size is not None and any(len(value) > self.file_size for value in values):
                yield Deviation("body", where, f"longer than {self.file_size} bytes")
            if regex is not None and not all(regex.search(name) for name in part.filenames if name):
                yield Deviation("body", where, "its name does not match")
            if self.file_types and not all(self._is_allowed(kind) for kind in _kinds(part, values)):
                yield Deviation("body", where, "of a type that may not come")

    def _is_allowed(self, kind: bytes) -> bool:
        return any(each.has(kind) for each in self.file_types)


def _kinds(part: Part, values: Iterable[bytes]) -> Iterator[bytes]:
    """The types that a file may be taken for: what is said, and what it begins like; of none that of RFC 7578."""
    yield from (first_word(each) for each in part.content_types or (b"text/plain",))
    yield from filter(None, map(media_type, values))


# -- how large structures are ------------------------------------------------------------------------------------------


@view
def structure(request: Request) -> tuple[int, int]:
    """How deep the deepest value of JSON or XML stands, and how many values and structures there are; as soon as it is
    more than is looked at, that much and one more."""
    depth = values = 0
    for document in _documents(request):
        found = _structure(document)
        depth, values = max(depth, found[0]), values + found[1]
    in_xml = xml_texts.structure(request)
    return max(depth, in_xml[0]), values + in_xml[1]


def _structure(document: Any) -> tuple[int, int]:
    deepest = count = 0
    waiting: list[tuple[Any, int]] = [(document, 0)]
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if count > MOST_VALUES or depth > MOST_DEEP:
            return max(deepest, depth), MOST_VALUES + 1
        if isinstance(value, list):
            waiting += [(each, depth + 1) for each in value]
        elif isinstance(value, tuple):
            waiting += [(each, depth + 1) for _, each in value]
        else:
            deepest = max(deepest, depth)
            continue
        deepest = max(deepest, depth + 1)
    return deepest, count


@view
def _documents(request: Request) -> tuple[Any, ...]:
    """What there is of JSON, whatever the type says, and in parts that are no files."""
    declared = arguments.processor(request) == b"JSON"
    if declared:
        found, read = arguments.documents(request)
        if read:
            return found
    documents: list[Any] = []
    read_parts = zip(bodies.parts(request) or (), bodies.values(request), strict=True)
    in_parts = (value for part, values in read_parts if not part.filenames for value in values)
    for text in (*bodies.texts(request), *in_parts):
        if declared or _BEGINS_JSON.match(text):
            with contextlib.suppress(Unread):
                documents.extend(json_values.documents(text))  # and keeps those in front of what cannot be read
    return tuple(documents)


_GRAPHQL = b"application/graphql"


@view
def graphql(request: Request) -> graphql_shape.Shape | None:
    """The shape of all documents of GraphQL in a request together; ``None`` if one that is called so is none."""
    depth = aliases = 0
    introspects = False
    for text, declared in _operations(request):
        try:
            found = graphql_shape.shape(text)
        except Unread:
            if declared:
                return None
            continue
        depth, aliases = max(depth, found.depth), aliases + found.aliases
        introspects = introspects or found.introspects
    return graphql_shape.Shape(depth, aliases, introspects)


def _operations(request: Request) -> Iterator[tuple[str, bool]]:
    """Documents of GraphQL, and whether they are called so: as a body, in JSON, and as arguments."""
    if any(first_word(each) == _GRAPHQL for each in request.fields.get(b"content-type", ())):
        yield from ((text.decode("utf-8", "surrogateescape"), True) for text in bodies.texts(request))
    documents = [*_documents(request)]
    for name, value in (*arguments.all_of_them(request), *arguments.further(request)):
        if name.lower() == b"query":
            text = value.decode("utf-8", "surrogateescape")
            yield text, looks_like_it(text)
        elif name.lower() == b"operations":
            with contextlib.suppress(Unread):
                documents.extend(json_values.documents(value))
    for document in documents:
        for key, member in json_values.members(document):
            if key.casefold() == "query" and isinstance(member, str):
                text = bytes_of(member).decode("utf-8", "surrogateescape")
                yield text, looks_like_it(text)
