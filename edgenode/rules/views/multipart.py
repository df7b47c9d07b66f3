"""``multipart/form-data`` (RFC 7578, RFC 2046): the parts of a body, read in each way in which some server reads them.

Law: nothing here is ever an error, and it takes time in proportion to the body. A missing last delimiter, line ends of
LF alone, an empty part, quoted or repeated boundaries: what can be read is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

from edgenode.rules.views.parameters import parameter

_END_OF_DELIMITER = {
    b"\n": re.compile(rb"(--)?[ \t]*(?=\r?\n|\Z)"),
    b"\r\n": re.compile(rb"(--)?[ \t]*(?=\r\n|\Z)"),
}
"""What follows a boundary, by the line end that a reader insists on."""

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_LINE_END = re.compile(rb"\r?\n")


@frozen(cache_hash=True)
class Part:
    """One part of a body.

    :ivar names: every reading of its name; one, as a rule.
    :ivar filenames: of the name of its file; none if it is no file.
    :ivar value: its content as received.
    :ivar content_types: the values of its fields of that name.
    :ivar content_dispositions: likewise.
    :ivar content_transfer_encodings: likewise.
    """

    names: tuple[bytes, ...]
    filenames: tuple[bytes, ...]
    value: bytes
    content_types: tuple[bytes, ...]
    content_dispositions: tuple[bytes, ...]
    content_transfer_encodings: tuple[bytes, ...]


def read_parts(content_type: bytes, data: bytes) -> tuple[Part, ...]:
    """The parts of a body, read with each boundary that its type can be understood to name.

    :param content_type: of the request.
    :param data: the body, or its beginning.
    """
    readings: dict[tuple[bytes, ...], None] = {}
    for boundary in parameter(content_type, b"boundary"):
        for line_end in _END_OF_DELIMITER if boundary else ():
            readings[tuple(_contents(boundary, line_end, data))] = None
    return tuple(_part(content) for contents in readings for content in contents)


def _contents(boundary: bytes, line_end: bytes, data: bytes) -> Iterator[bytes]:
    """What stands between the delimiters, without the line ends that belong to them."""
    begin = -1
    for start, end, is_last in _delimiters(boundary, line_end, data):
        if begin >= 0:
            yield data[begin:start]
        if is_last:
            return
        begin = end
    if begin >= 0:
        yield data[begin:]


def _delimiters(boundary: bytes, line_end: bytes, data: bytes) -> Iterator[tuple[int, int, bool]]:
    """Where each delimiter begins and ends, and whether it is the last. None overlap: no boundary has a line feed."""
    mark, after = line_end + b"--" + boundary, _END_OF_DELIMITER[line_end]
    if data.startswith(mark[len(line_end) :]):
        end = after.match(data, len(mark) - len(line_end))
        if end is not None:
            yield 0, end.end(), bool(end[1])
    start = data.find(mark)
    while start >= 0:
        end = after.match(data, start + len(mark))
        if end is not None:
            has_return = line_end == b"\n" and data[start - 1 : start] == b"\r"
            yield start - has_return, end.end(), bool(end[1])
        start = data.find(mark, start + len(mark))


def _part(content: bytes) -> Part:
    """Read a part, from the line end of its delimiter on."""
    end = _END_OF_HEAD.search(content)
    head, value = (content, b"") if end is None else (content[: end.start()], content[end.end() :])
    fields: dict[bytes, list[bytes]] = {}
    for line in _LINE_END.split(_FOLD.sub(b" ", head)):
        name, colon, text = line.partition(b":")
        if colon:
            fields.setdefault(name.strip().lower(), []).append(text.strip())
    dispositions = tuple(fields.get(b"content-disposition", ()))
    return Part(
        tuple(dict.fromkeys(name for each in dispositions for name in parameter(each, b"name"))),
        tuple(dict.fromkeys(name for each in dispositions for name in parameter(each, b"filename"))),
        value,
        tuple(fields.get(b"content-type", ())),
        dispositions,
        tuple(fields.get(b"content-transfer-encoding", ())),
    )
