"""``multipart`` as the ``email`` package of Python reads it, and Twisted's ``Request.args`` by it: a line may end in a
bare CR, what is no field ends a head, the type goes on in the body, and a transfer encoding is undone.

Law: at least what that package finds, by its own functions where a header is odd, without what it would do for a body
inside a body, and in time that the size of the body bounds.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from email.message import Message

from edgenode.rules.views.parameters import first_word

LONGEST_HEADER = 4096
"""Bytes of a header that are read; some releases of Python take time in proportion to their square."""

_USUAL_TYPE = re.compile(rb'multipart/[a-z-]+; ?boundary=(?:([\w.=/+-]+)|"([\w.=/+ -]*[\w.=/+-])")', re.IGNORECASE)
_CONTINUED = re.compile(rb"(?:[ \t][^\r\n]*(?:\r\n?|\n|\Z))*+")
_END_OF_DELIMITER = re.compile(rb"(?:--)?[ \t]*(\r\n?|\n|\Z)")
_LINE_END = re.compile(rb"\r\n?|\n|\Z")
_HEAD = re.compile(rb"(?:(?:From |[!-9;-~]*:|[ \t])[^\r\n]*(?:\r\n?|\n|\Z))*+")
_PLAIN = re.compile(rb"\r?\n(?:[!-9;-~]++:[^\r\n]*\r?\n(?:[ \t][^\r\n]*\r?\n)*+)++\r?\n")
"""A head that nobody reads in another way than this package."""

_LAST_FROM = re.compile(rb"(?<=[\r\n])From [^\r\n]*(?:\r\n?|\n)?\Z")
_FIELD = re.compile(
    rb"(?:\A|(?<=[\r\n]))content-(disposition|type|transfer-encoding):([^\r\n]*(?:(?:\r\n?|\n)[ \t][^\r\n]*)*)",
    re.IGNORECASE,
)


def boundary_of(content_type: bytes, data: bytes = b"") -> bytes | None:
    """The boundary that a type names; ``None`` if it names none that could stand in a body.

    :param data: the body, whose first lines continue the type if they begin with white space.
    :raises ValueError: if there is more of the type than is read.
    """
    usual = _USUAL_TYPE.fullmatch(content_type)
    if usual is not None and not data.startswith((b" ", b"\t")):
        return usual[1] or usual[2]
    continued = _CONTINUED.match(data, 0, LONGEST_HEADER)
    text = content_type + b"\r\n" + (b"" if continued is None else continued[0])
    if len(text) > LONGEST_HEADER:
        raise ValueError("the type is too long")
    boundary = None
    with suppress(TypeError, ValueError, LookupError):
        boundary = _message("Content-Type", text).get_boundary()
    return boundary.encode() if boundary is not None and boundary.isascii() else None


def names(head: bytes) -> tuple[bytes, ...]:
    """What the first ``Content-Disposition`` of a head calls a part; at most one name."""
    for kind, text in _FIELD.findall(head):
        if kind.lower() == b"disposition" and len(text) <= LONGEST_HEADER:
            name = None
            with suppress(TypeError, ValueError, LookupError):
                name = _message("Content-Disposition", text).get_param("name", header="content-disposition")
            return (name.encode("utf-8", "surrogateescape"),) if name and isinstance(name, str) else ()
    return ()


def decoded(encoding: bytes, value: bytes) -> bytes:
    """The content of a part without its transfer encoding; the same if it is in none that is undone."""
    message = _message("Content-Transfer-Encoding", encoding)
    message.set_payload(value.decode("ascii", "surrogateescape"))
    found = message.get_payload(decode=True)
    return found if isinstance(found, bytes) else value


def contents(boundary: bytes, data: bytes, known: Collection[bytes]) -> Iterator[bytes]:
    """What stands between the delimiters, from the line end of each on, unless others read it alike; its head then has
    what is read of it, and its lines end as usual.

    What stands behind the last delimiter is read too: two in a row are one, even if the second is the last.

    :param known: what others have read.
    """
    for content in _divided(b"--" + boundary, data):
        whole = _without_line_end(content)
        plain = _PLAIN.match(content)
        if plain is None or whole not in known or b"multipart/" in plain[0].lower():
            yield from _read(content)


def _divided(mark: bytes, data: bytes) -> Iterator[bytes]:
    begin, at = -1, data.find(mark)
    while at >= 0:
        end = None if at and data[at - 1 : at] not in (b"\r", b"\n") else _END_OF_DELIMITER.match(data, at + len(mark))
        if end is not None:
            if begin >= 0:
                yield data[begin:at]
            begin = end.start(1)
        at = data.find(mark, at + len(mark) if end is None else end.end())
    if begin >= 0:
        yield data[begin:]


def _read(content: bytes) -> Iterator[bytes]:
    """The part in a content, if it has a name; twice or more if its value ends elsewhere where it is one of parts."""
    start = _LINE_END.match(content)
    found = _HEAD.match(content, 0 if start is None else start.end())
    if found is None or not found[0]:
        return
    value = content[found.end() :]
    value = value[2 if value.startswith(b"\r\n") else value.startswith((b"\r", b"\n")) :]
    if last := _LAST_FROM.search(found[0]):  # which may have been the first line of an unquoted mailbox's message
        value = last[0] + value
    fields: dict[bytes, bytes] = {}
    for kind, text in _FIELD.findall(found[0]):
        fields.setdefault(kind.lower(), text)
    if b"disposition" not in fields:
        return
    head = b"".join(b"\r\nContent-%b:%b" % each for each in fields.items()) + b"\r\n\r\n"
    yield head + _without_line_end(value)
    if first_word(fields.get(b"type", b"")).startswith(b"multipart/"):
        yield head + value
        boundary = boundary_of(fields[b"type"]) if len(fields[b"type"]) < LONGEST_HEADER - 1 else None
        end = None if boundary is None else re.search(rb"(?:\A|[\r\n])(?=--%b--)" % re.escape(boundary), value)
        if end is not None:
            yield head + value[: end.end()]


def _message(name: str, text: bytes) -> Message:
    message = Message()
    message[name] = text.lstrip(b" \t").rstrip(b"\r\n").decode("ascii", "surrogateescape")
    return message


def _without_line_end(text: bytes) -> bytes:
    return text.removesuffix(b"\r\n") if text.endswith(b"\r\n") else text[: -text.endswith((b"\r", b"\n")) or None]
