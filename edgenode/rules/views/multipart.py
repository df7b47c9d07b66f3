"""``multipart/form-data`` (RFC 7578, RFC 2046): the parts of a body, read in each way in which some server reads them.

Law: nothing here is ever an error, and it takes time in proportion to the body, of which so many parts are read and no
more. No last delimiter, or parts behind it, line ends of LF alone, an empty part, quoted or repeated boundaries: what
can be read is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from attrs import field, frozen

from edgenode.rules.views import email_parts
from edgenode.rules.views.charsets import encoded_words
from edgenode.rules.views.escapes import unescaped
from edgenode.rules.views.parameters import loose_boundary, parameter, parameters, readings

MOST_PARTS = 1000
"""As many are looked at; PHP and Django, as they are shipped, take no more fields than that."""

_MOST_DELIMITERS = MOST_PARTS + 1
_MOST_NAMES = 2 * MOST_PARTS  # and names of files; who writes them so that each has ten readings has fewer parts read

_END_OF_DELIMITER = {
    b"\n": re.compile(rb"(--)?[ \t]*(?=\r?\n|\r?\Z)"),
    b"\r\n": re.compile(rb"(--)?[ \t]*(?=\r\n|\Z)"),
}
"""What follows a boundary, by the line end that a reader insists on, up to the next one."""

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_NO_FIELD = re.compile(rb"\r?\n(?=[\r\v\f]|[^:\s][^:\n]*(?:\n|\Z))")
"""What is in front of a line that is no field, which PHP takes for the rest of the line before."""

_LINE_END = re.compile(rb"\r?\n")
_FOLD = re.compile(rb"(?:\r\n?|\n)[ \t]+")
_FIELD = re.compile(rb"(?:\A|\n)[ \t]*content-(disposition|type|transfer-encoding)[ \t\r\v\f]*:([^\n]*)", re.IGNORECASE)

_USUAL = re.compile(rb'form-data(?:; ?(?:file)?name=(?:"[ !#-\[\]-~]*"|[\w.-]+)){1,2}', re.ASCII)
"""A disposition in which nobody finds other names."""

_ESCAPED = re.compile(rb"%(?:22|0[AaDd])")
_ESCAPES = {b"%22": b'"', b"%0A": b"\n", b"%0D": b"\r"}


@frozen(cache_hash=True)
class Part:
    """One part of a body.

    :ivar names: every reading of its name; one, as a rule. Browsers percent-encode quotes and line ends in it (HTML,
        section 4.10.21.8), and some servers undo that.
    :ivar filenames: of the name of its file, likewise; none if it is no file.
    :ivar value: its content as received.
    :ivar content_types: the values of its fields of that name.
    :ivar content_dispositions: likewise.
    :ivar content_transfer_encodings: likewise.
    :ivar lines: of its head, each a field, or what stands in its place.
    """

    names: tuple[bytes, ...]
    filenames: tuple[bytes, ...]
    value: bytes
    content_types: tuple[bytes, ...]
    content_dispositions: tuple[bytes, ...]
    content_transfer_encodings: tuple[bytes, ...]
    lines: tuple[bytes, ...] = field(default=(), eq=False, repr=False)


def read_parts(content_type: bytes, data: bytes) -> tuple[tuple[Part, ...], bool]:
    """The parts of a body, read with each boundary that its type can be understood to name; and whether there are more
    than are read.

    :param content_type: of the request.
    :param data: the body, or its beginning.
    """
    contents: list[bytes] = []
    more = False
    for boundary in filter(None, parameter(content_type, b"boundary")):
        for line_end in _END_OF_DELIMITER:
            pieces = (line_end + data).split(line_end + b"--" + boundary, _MOST_DELIMITERS + 1)
            more = more or len(pieces) > _MOST_DELIMITERS + 1
            _add(contents, _contents(pieces[: _MOST_DELIMITERS + 1], boundary, line_end))
    if boundary := loose_boundary(content_type):
        _add(contents, islice(_contents_in_php(boundary, data), MOST_PARTS + 1))
        _add(contents, _contents_in_django(b"--" + boundary, data))
    before = len(contents)
    try:
        read = email_parts.boundary_of(content_type, data)
    except ValueError:
        read, more = None, True
    if read is not None:
        _add(contents, islice(email_parts.contents(read, data, frozenset(contents)), MOST_PARTS + 1))
    parts: list[Part] = []
    known: set[object] = set()
    room = _MOST_NAMES
    for at, content in enumerate(contents[:MOST_PARTS]):
        part = _part(content)
        # Another encoding or type is another value.
        read_alike = part.names, part.value, part.content_types, part.content_transfer_encodings
        if at < before or read_alike not in known:
            parts.append(part)
        known.add(read_alike)
        room -= len(part.names) + len(part.filenames)
        more = more or any(len(each) > email_parts.LONGEST_HEADER for each in part.content_dispositions)
        if room < 0:
            more = more or at + 1 < len(contents)
            break
    return tuple(parts), more or len(contents) > MOST_PARTS


def _add(contents: list[bytes], reading: Iterable[bytes]) -> None:
    """Add what no reading before has found; what is twice in one reading is there twice."""
    known = set(contents)
    contents += [content for content in reading if content not in known]


def _contents(pieces: list[bytes], boundary: bytes, line_end: bytes) -> Iterator[bytes]:
    """What stands between the delimiters, without the line ends that belong to them.

    :param pieces: of the body, as the boundaries that begin a line divide it.
    """
    mark, after = line_end + b"--" + boundary, _END_OF_DELIMITER[line_end]
    stray = b"\r" if line_end == b"\n" else b""  # of a CR LF, for who takes a LF alone too
    content: list[bytes] = []
    for piece in (*pieces[1:], b""):
        end = after.match(piece)
        if end is not None:
            if content:
                yield mark.join(content).removesuffix(stray)
            content = [] if end[1] else [piece[end.end() :]]
        elif content:
            content.append(piece)


def _contents_in_php(boundary: bytes, data: bytes) -> Iterator[bytes]:
    """The same in PHP: a part begins where a line is the boundary, a head ends at an empty line, whatever it has in it,
    or with the last line, and a value ends where a line begins with the boundary, or with as much of it as there is.
    """
    text, mark = b"\n" + data, b"\n--" + boundary
    start = text.find(mark)
    while start >= 0:
        begin = start + len(mark)
        if not text.startswith((b"\n", b"\r\n"), begin):
            start = text.find(mark, begin)
            continue
        head = _END_OF_HEAD.search(text, begin)
        last = text.rfind(b"\n")
        end, value = (last, last + 1) if head is None else head.span()
        is_skipped = (
            b"content-disposition" not in text[begin:end].lower()
        )  # and with no value the next may follow at once
        start = text.find(mark, value - is_skipped)
        stop = start if start >= 0 else last if last >= value and mark.startswith(text[last:]) else len(text)
        content = text[value:stop].removesuffix(b"" if stop == len(text) else b"\r")
        yield _NO_FIELD.sub(b"", text[begin:end]) + (b"\n\n" if head is None else head[0]) + content


def _contents_in_django(mark: bytes, data: bytes) -> Iterator[bytes]:
    """The same in Django, for which a boundary is one wherever it stands in a line; nothing if all begin lines."""
    pieces = data.split(mark, _MOST_DELIMITERS + 1)
    if any(piece and not piece.endswith((b"\r", b"\n")) for piece in pieces[:-1]):
        yield from (piece.removesuffix(b"\n").removesuffix(b"\r") for piece in pieces[1:])


def _undone(names: Iterable[bytes]) -> Iterator[bytes]:
    for name in names:
        yield name
        if b"%" in name:
            yield _ESCAPED.sub(lambda escape: _ESCAPES[escape[0].upper()], name)
            yield unescaped(name)
        if b"=?" in name:
            yield encoded_words(name)


def _part(content: bytes) -> Part:
    """Read a part, from the line end of its delimiter on."""
    end = _END_OF_HEAD.search(content)
    head, value = (content, b"") if end is None else (content[: end.start()], content[end.end() :])
    fields: dict[bytes, list[bytes]] = {}
    head_unfolded = _FOLD.sub(b" ", head)
    for name, text in _FIELD.findall(head_unfolded):
        fields.setdefault(name.lower(), []).append(text.strip())
    dispositions = tuple(fields.get(b"disposition", ()))
    read = [parameters(each) for each in dict.fromkeys((*dispositions[:1], *dispositions[-1:]))]
    names = [name for each in read for name in readings(each, b"name")]
    if any(_USUAL.fullmatch(each) is None for each in dispositions):
        names += email_parts.names(head)
    return Part(
        tuple(dict.fromkeys(_undone(names))),
        tuple(dict.fromkeys(_undone(name for each in read for name in readings(each, b"filename")))),
        value,
        tuple(fields.get(b"type", ())),
        dispositions,
        tuple(fields.get(b"transfer-encoding", ())),
        tuple(filter(None, _LINE_END.split(head_unfolded))),
    )
