"""The field lines of HTTP/1.1 (RFC 9112, section 5), read strictly and in one pass.

Law: a head that is accepted has one meaning. Line ends are CRLF and nothing else, no line is folded, no space stands
before a colon, and no control character stands anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgenode.model.alphabets import only
from edgenode.model.exchange import by_name
from edgenode.proxy.framing import END_TO_END

LINE_BYTES = bytes(c for c in range(256) if c == 9 or 0x20 <= c != 0x7F)
"""Every byte that may stand in a line of a head."""

_LINE = only(LINE_BYTES)
_TOKEN = only(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")

_USUAL = END_TO_END.union(
    b"""accept-ranges access-control-allow-origin age alt-svc connection content-language content-security-policy dnt
    keep-alive priority sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site
    sec-fetch-user sec-gpc strict-transport-security transfer-encoding upgrade-insecure-requests via
    x-content-type-options x-frame-options x-request-id x-requested-with""".split()
)
"""Names that are known to be tokens; whether others are is looked at."""

Fields = dict[bytes, tuple[bytes, ...]]


class MalformedHead(Exception):
    """A head whose lines are not as the grammar has them."""


def read_field_lines(block: bytes) -> tuple[list[bytes], Fields, bytes]:
    """Read the field lines of a head.

    :param block: all of them, each with its line end.
    :returns: the names in lower case, every value by its name, and the lines: as received, but for the white space
        around values, which is one space in front.
    :raises MalformedHead: if a line is no field line.
    """
    lines = block.split(b"\r\n")
    rest = lines.pop()
    text = b"".join(lines)
    if rest or text.translate(_LINE) != text:
        raise MalformedHead(stray(block))
    fields: Fields = {}
    for line in lines:
        name, _, value = line.partition(b": ")
        if not value or value.strip() != value:
            break  # no value, no colon with a space behind it, or more white space
        fields[name.lower()] = (value,)
    if len(fields) == len(lines) and _are_tokens(fields):
        return list(fields), fields, block
    return _read_one_by_one(lines)


def _are_tokens(names: Fields) -> bool:
    """Whether names in lower case are tokens (RFC 9110, section 5.6.2)."""
    if _USUAL.issuperset(names):
        return True
    joined = b"".join(names)
    return b"" not in names and joined.translate(_TOKEN) == joined


def stray(lines: bytes) -> str:
    """What stands in lines that must not stand in any.

    :param lines: each with its line end.
    """
    rest = lines.replace(b"\r\n", b"")
    return "a bare LF" if b"\n" in rest else "a bare CR" if b"\r" in rest else "a control character"


def _line_fault(line: bytes) -> str:
    name, colon, _ = line.partition(b":")
    if line[:1] in (b" ", b"\t"):
        return "a folded line"
    if not colon:
        return "a line without a colon"
    return "white space before a colon" if name.endswith((b" ", b"\t")) else "a name that is no token"


def _read_one_by_one(lines: list[bytes]) -> tuple[list[bytes], Fields, bytes]:
    """The same for heads in which names are repeated, or values are surrounded by other white space; or malformed."""
    pairs = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _are_tokens({name.lower(): ()}):
            raise MalformedHead(_line_fault(line))
        pairs.append((name, value.strip(b" \t")))
    names = [name.lower() for name, _ in pairs]
    fields = by_name(tuple(zip(names, [value for _, value in pairs], strict=True)))
    return names, fields, b"".join([b"%b: %b\r\n" % pair for pair in pairs])


def known_field_lines(headers: Iterable[tuple[bytes, Sequence[bytes]]]) -> tuple[list[bytes], Fields, bytes]:
    """The same of header fields that somebody else has read.

    :param headers: names, each once, as they are written on a line, and the values of each.
    :raises MalformedHead: if they would be read otherwise from the lines that are made of them.
    """
    names: list[bytes] = []
    fields: Fields = {}
    lines: list[bytes] = []
    for name, values in headers:
        lower = name.lower()
        fields[lower] = tuple(values)
        for value in values:
            names.append(lower)
            lines.append(name + b": " + value)
    text = b"".join(lines)
    if text.translate(_LINE) != text:
        raise MalformedHead(stray(text))
    lines.append(b"")
    block = b"\r\n".join(lines)
    if not _are_tokens(fields):
        raise MalformedHead("a name that is no token")
    return names, fields, block
