"""HTTP/1 messages as RFC 9112 has them and not otherwise: a reader written from the grammar, to judge the node's by.

It has nothing in common with the node's reader: no llhttp, no code of ours. What it accepts is well-formed and has one
meaning; it is slow, and reads what is there already.
"""

from __future__ import annotations

import ipaddress
import re

from attrs import field, frozen

_TCHAR = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_VALUE = rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?"
_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
# RFC 3986 forbids [ \ ] ^ ` { | } too, but the URL standard's serialiser lets browsers send [ ] | in a path, and all of
# them in a query.
_PATH = rb"/[^\x00-\x20\x7f-\xff\"#<>?\\^`{}]*"
_QUERY = rb"(?:\?[^\x00-\x20\x7f-\xff\"#<>]*)?"
_AUTHORITY = rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?"

_METHOD = re.compile(_TCHAR + rb"+")
_VERSION = re.compile(rb"HTTP/([0-9])\.([0-9])")
_TARGETS = {
    "origin": re.compile(_PATH + _QUERY),
    "absolute": re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://(" + _AUTHORITY + rb")(?:" + _PATH + rb")?" + _QUERY),
    "authority": re.compile(rb"[^/?#@\x00-\x20\x7f-\xff]+:[0-9]+"),
    "asterisk": re.compile(rb"\*"),
}
_FORMS = {b"CONNECT": ("authority",), b"OPTIONS": ("origin", "absolute", "asterisk")}
_FIELD = re.compile(rb"(" + _TCHAR + rb"+):[ \t]*(" + _VALUE + rb")[ \t]*")
_HOST = re.compile(rb"(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?|\[([0-9A-Fa-f:.]+)\])(?::([0-9]{0,5}))?")
_CHUNK = re.compile(
    rb"([0-9A-Fa-f]+)((?:[ \t]*;[ \t]*" + _TCHAR + rb"+(?:[ \t]*=[ \t]*(?:" + _TCHAR + rb"+|" + _QUOTED + rb"))?)*)"
)
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")

Fields = tuple[tuple[bytes, bytes], ...]


class Malformed(Exception):
    """The bytes are no HTTP/1 message, or one that can be read in two ways."""


class Unfinished(Exception):
    """What is there is the beginning of a message, as far as it goes."""


@frozen
class Parsed:
    """A message.

    :ivar start: method, target and version; or version, status and reason.
    :ivar fields: names in lower case.
    :ivar length: as Content-Length has it, ``None`` if the body is chunked.
    :ivar body: without its framing.
    :ivar extensions: what stood behind the sizes of its chunks.
    """

    start: tuple[bytes, bytes, bytes]
    fields: Fields
    length: int | None
    body: bytes = b""
    trailers: Fields = ()
    extensions: bytes = b""

    def values(self, name: bytes) -> list[bytes]:
        """Every value of a field."""
        return [value for each, value in self.fields if each == name]


@frozen
class Stream:
    """All that was sent on a connection.

    :ivar messages: the whole ones.
    :ivar rest: the beginning of one more.
    """

    messages: list[Parsed] = field(factory=list)
    rest: bytes = b""


def read_stream(data: bytes) -> Stream:
    """Requests one behind the other.

    :raises Malformed: if any byte belongs to none.
    """
    stream: list[Parsed] = []
    while data:
        try:
            message, data = read_request(data)
        except Unfinished:
            break
        stream.append(message)
    return Stream(stream, data)


def read_request(data: bytes) -> tuple[Parsed, bytes]:
    """A request with its body, and what is behind it.

    :raises Malformed: if it is none.
    :raises Unfinished: if the data ends before it does.
    """
    head, rest = read_request_head(data)
    return _with_body(head, rest)


def read_request_head(data: bytes) -> tuple[Parsed, bytes]:
    """A request without its body, and what is behind its empty line."""
    line, rest = _line(data)
    words = line.split(b" ")
    if len(words) != 3:
        raise Malformed(f"not three words: {line!r}")
    method, target, version = words
    if not _METHOD.fullmatch(method):
        raise Malformed(f"no method: {method!r}")
    number = _VERSION.fullmatch(version)
    if number is None or number[1] != b"1" or number[2] not in b"01":
        raise Malformed(f"no version that we know: {version!r}")
    forms = _FORMS.get(method, ("origin", "absolute"))
    matches = [match for form in forms if (match := _TARGETS[form].fullmatch(target))]
    if not matches:
        raise Malformed(f"no target: {target!r}")
    fields, rest = _fields(rest)
    parsed = Parsed((method, target, version), fields, _length(fields, number[2], 0))
    hosts = parsed.values(b"host")
    if len(hosts) > 1 or (not hosts and number[2] != b"0") or not all(map(_is_host, hosts)):
        raise Malformed(f"not one Host: {hosts!r}")
    if matches[0].re is _TARGETS["absolute"] and not _is_host(matches[0][1]):
        raise Malformed(f"no authority: {target!r}")
    return parsed, rest


def read_response_head(data: bytes) -> tuple[Parsed, bytes]:
    """A response without its body, and what is behind its empty line; the length is -1 if the connection ends it."""
    line, rest = _line(data)
    match = _STATUS.fullmatch(line)
    if match is None:
        raise Malformed(f"no status line: {line!r}")
    fields, rest = _fields(rest)
    return Parsed((match[1], match[2], match[3] or b""), fields, _length(fields, match[1], -1)), rest


def read_body(head: Parsed, data: bytes) -> tuple[Parsed, bytes]:
    """The message with its body, and what is behind it."""
    return _with_body(head, data)


def _line(data: bytes) -> tuple[bytes, bytes]:
    line, end, rest = data.partition(b"\r\n")
    if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", line if end else line.removesuffix(b"\r")):
        raise Malformed(f"a control character: {line!r}")
    if not end:
        raise Unfinished
    return line, rest


def _fields(data: bytes) -> tuple[Fields, bytes]:
    found: list[tuple[bytes, bytes]] = []
    while True:
        line, data = _line(data)
        if not line:
            return tuple(found), data
        match = _FIELD.fullmatch(line)
        if match is None:
            raise Malformed(f"no field: {line!r}")
        found.append((match[1].lower(), match[2]))


def _is_host(host: bytes) -> bool:
    match = _HOST.fullmatch(host)
    if match is None or int(match[2] or 0) > 65535:
        return False
    try:
        return match[1] is None or bool(ipaddress.IPv6Address(match[1].decode("ascii")))
    except ValueError:
        return False


def _length(fields: Fields, minor: bytes, without: int) -> int | None:
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    if codings:
        if lengths or minor == b"0" or [coding.lower() for coding in codings] != [b"chunked"]:
            raise Malformed(f"the framing is not one: {codings!r} {lengths!r}")
        return None
    if not lengths:
        return without
    if len(lengths) > 1 or not re.fullmatch(rb"[0-9]{1,18}", lengths[0]):
        raise Malformed(f"the length is not one: {lengths!r}")
    return int(lengths[0])


def _with_body(head: Parsed, data: bytes) -> tuple[Parsed, bytes]:
    start, fields, length = head.start, head.fields, head.length
    if length is not None:
        if len(data) < length:
            raise Unfinished
        return Parsed(start, fields, length, data[:length]), data[length:]
    body, extensions = b"", b""
    while True:
        line, data = _line(data)
        match = _CHUNK.fullmatch(line)
        if match is None:
            raise Malformed(f"no chunk: {line!r}")
        extensions += match[2]
        size = int(match[1], 16)
        if not size:
            trailers, data = _fields(data)
            return Parsed(start, fields, None, body, trailers, extensions), data
        body += data[:size]
        end = data[size : size + 2]
        if not b"\r\n".startswith(end):
            raise Malformed(f"no end of a chunk: {end!r}")
        if len(end) < 2:
            raise Unfinished
        data = data[size + 2 :]
