"""Bodies that have a structure, as arguments: JSON, XML and GraphQL.

Law: a body is read by what its type says, and whatever its type says by how it begins, for there are servers that do
not ask for the type. One that is of a kind and cannot be read is told, so that it can be refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import define, field

from edgenode.model.exchange import Request
from edgenode.rules.views import bodies, charsets, graphql_values, json_values, xml_values
from edgenode.rules.views.flattening import MOST_VALUES, Beyond, Flattening, Unread, bytes_of
from edgenode.rules.views.pairs import Pairs
from edgenode.rules.views.parameters import first_word
from edgenode.rules.views.view import kept

KINDS = ("json", "xml", "graphql")

_DECLARED = {
    "json": re.compile(rb"[/+.-](?:x-)?(?:nd)?json\b|json-?(?:lines|seq)|/json5?\b"),
    "xml": re.compile(rb"[/+]xml\b"),
    "graphql": re.compile(rb"/graphql\b(?!\+)"),
}
"""What a media type has in it that says so."""

_BEGINNINGS = {
    "json": re.compile(rb"(?:\xef\xbb\xbf)?\s*[{\[]"),
    "xml": re.compile(rb"(?:\xef\xbb\xbf)?\s*<[A-Za-z_:?!\x80-\xff]"),
}
"""How one begins whose type says something else."""

_EVIDENT = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml\b|\{\s*[\"'}/]|\[\s*(?:[\[{\"'/]|(?:-?[\d.eE+-]+|true|false|null|-?Infinity|NaN)\s*,))"
)
"""How one begins that nobody sends as something else; what only might be XML may be HTML, or anything."""

_BLANK = b"\xef\xbb\xbf \t\r\n"


def pairs_of(kinds: frozenset[str]) -> Callable[[Request], tuple[Pairs, bool]]:
    """A reader of the names and values in a body, and of whether there is something in it that could not be read.

    :param kinds: of :data:`KINDS`; what is of another kind is not looked at.
    """
    return kept(f"{__name__} {' '.join(sorted(kinds))}", lambda request: _read(request, kinds))


def _read(request: Request, kinds: frozenset[str]) -> tuple[Pairs, bool]:
    found = bodies.body(request)
    if found is None or not found.data.strip(_BLANK):
        return (), False
    reading, types = _Reading(kinds), request.fields.get(b"content-type", ())
    whole = bodies.texts(request)
    for kind in KINDS:
        declared = _declares(types, kind)
        reading.read(kind, [text for text in whole if declared or _begins(text, kind)], b"", declared)
    for part, texts in zip(bodies.parts(request) or (), bodies.values(request), strict=True):
        for kind in KINDS:
            if _declares(part.content_types, kind):
                for name in part.names or (b"",):
                    reading.read(kind, texts, name, declared=not part.filenames)
    return tuple(reading.into.pairs), reading.unread and not found.truncated


def _declares(types: Iterable[bytes], kind: str) -> bool:
    return any(_DECLARED[kind].search(first_word(each)) is not None for each in types)


def _begins(text: bytes, kind: str) -> bool:
    return kind in _BEGINNINGS and _BEGINNINGS[kind].match(text) is not None


_ATTEMPT = 16
"""What a text counts for besides its values: to begin takes as long as so many of them."""


@define
class _Reading:
    """What has been found in a body.

    :ivar kinds: those that are looked for.
    :ivar into: where names and values are collected.
    :ivar unread: whether there is something that could not be read.
    """

    kinds: frozenset[str]
    into: Flattening = field(factory=Flattening)
    unread: bool = False

    def read(self, kind: str, texts: Sequence[bytes], name: bytes, declared: bool) -> None:
        """Read what is of a kind, in each text that it may be; one that can be read is enough.

        Of one that cannot, what stands in front is taken.

        :param declared: whether its type says so. A file, and what only begins like it, may be something else.
        """
        flatten, within = _FLATTEN[kind]
        read = failed = False
        for text in texts if not within.isdisjoint(self.kinds) else ():
            try:
                self.into.expect(0, _ATTEMPT, 0)
                flatten(text, name, self.kinds, self.into)
                read = True
            except Unread as error:
                evident = isinstance(error, Beyond) or (not name and _EVIDENT.match(text) is not None)
                failed = failed or declared or evident
        self.unread = self.unread or (failed and not read)


# -- of one kind -------------------------------------------------------------------------------------------------------


def _json(text: bytes, name: bytes, kinds: frozenset[str], into: Flattening) -> None:
    for document in json_values.documents(text):
        if "json" in kinds:
            json_values.flatten(document, into, name.decode("utf-8", "surrogateescape"))
        if "graphql" in kinds:
            _operation(document, into)


def _operation(document: object, into: Flattening) -> None:
    """What an object says as GraphQL over HTTP has it: its query, and its variables by their own names; all of those in
    any case, as Go and .NET read them."""
    for written, value in json_values.members(document):
        name = written.casefold()
        if name == "query" and isinstance(value, str) and graphql_values.looks_like_it(value):
            graphql_values.flatten(value, into)
        elif name == "variables":
            for each in json_values.documents(bytes_of(value)) if isinstance(value, str) else (value,):
                json_values.flatten(each, into)


def _xml(text: bytes, name: bytes, kinds: frozenset[str], into: Flattening) -> None:
    named = xml_values.encoding_named(text)
    types = (b"text/xml; charset=" + named,) if named else ()
    if charsets.is_unknown(types):
        raise Unread("a character set that nobody knows")
    # What has been recoded still says which one it was in.
    failed: list[Unread] = []
    readings = dict.fromkeys((text, *(charsets.recoded(text, codec) for codec in charsets.codecs(types))))
    for reading in readings:
        try:
            xml_values.flatten(reading, into, name)
        except Unread as error:
            failed.append(error)
    if len(failed) == len(readings):
        for reading in readings:
            xml_values.guess(reading, into)
        raise failed[0]


def _graphql(text: bytes, name: bytes, kinds: frozenset[str], into: Flattening) -> None:
    graphql_values.flatten(text.decode("utf-8", "surrogateescape"), into)


_FLATTEN: Mapping[str, tuple[Callable[[bytes, bytes, frozenset[str], Flattening], None], frozenset[str]]] = {
    "json": (_json, frozenset(("json", "graphql"))),
    "xml": (_xml, frozenset(("xml",))),
    "graphql": (_graphql, frozenset(("graphql",))),
}
"""What reads a text of a kind, and the kinds that are found in one."""


_OF_OPERATIONS = frozenset((b"query", b"variables", b"operations"))
_EACH = MOST_VALUES // 64
"""What one of them counts for: nobody has more than one of each."""


def of_arguments(pairs: Iterable[tuple[bytes, bytes]]) -> tuple[Pairs, bool]:
    """What arguments say as GraphQL over HTTP has it: ``query``, ``variables``, and ``operations`` beside files; and
    whether there is something in them that could not be read."""
    into, unread = Flattening(), False
    for written, value in pairs:
        name = written.lower()
        if name not in _OF_OPERATIONS:
            continue
        try:
            into.expect(0, _EACH, 0)
            if name == b"query":
                text = value.decode("utf-8", "surrogateescape")
                if graphql_values.looks_like_it(text):
                    graphql_values.flatten(text, into)
                continue
            for document in json_values.documents(value):
                if name == b"variables":
                    json_values.flatten(document, into)
                else:
                    _operation(document, into)
        except Unread:
            unread = unread or name == b"query" or _EVIDENT.match(value) is not None
    return tuple(into.pairs), unread
