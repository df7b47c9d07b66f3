"""What is said to an origin by HTTP/2 for a request, and what an end of a stream means for it (RFC 9113)."""

from __future__ import annotations

from edgenode.model.errors import OriginError
from edgenode.proxy.http2.engine import HTTP_1_1_REQUIRED, REFUSED_STREAM, code_name
from edgenode.proxy.http2.fields import fields_of
from edgenode.proxy.origin.causes import closed
from edgenode.proxy.streams import NO_CONTENT

_UNPROCESSED = frozenset((REFUSED_STREAM, HTTP_1_1_REQUIRED))
"""With these an origin says that it has not looked at the request (RFC 9113, sections 7 and 8.7)."""

_KINDS = {HTTP_1_1_REQUIRED: "invalid"}
"""Of the errors that are none of the kind ``reset``: this one would come again, however often it is asked."""


def request_fields(
    method: bytes, scheme: bytes, authority: bytes, path: bytes, lines: bytes, length: int | None, expects: bool
) -> list[tuple[bytes, bytes]]:
    """The fields of a request, as :meth:`edgenode.proxy.streams.OriginStream.begin` is given it.

    :param scheme: that of the connection.
    """
    pseudo = ((b":method", method), (b":scheme", scheme), (b":authority", authority), (b":path", path))
    fields = fields_of(lines, *pseudo)
    if b" \r\n" in lines or b":  " in lines or b"\t" in lines:  # around a value white space is malformed here
        fields[len(pseudo) :] = [(name, value.strip(b" \t")) for name, value in fields[len(pseudo) :]]
    if expects:
        fields.append((b"expect", b"100-continue"))
    if length is not None and length != NO_CONTENT:
        fields.append((b"content-length", b"%d" % length))
    return fields


def malformed(code: int, fault: str, begun: bool) -> OriginError:
    """The error of a stream that was reset because of what the origin has sent.

    :param code: with which we have reset it.
    :param fault: what was wrong; empty if only the code says so.
    :param begun: whether anything of a response had come.
    """
    reason = f"the response is malformed: {fault or code_name(code)}"
    return OriginError(502, "invalid", reason, sent=True, begun=begun, code=code)


def reset(code: int, begun: bool) -> OriginError:
    """The error of a stream that the origin has reset, or left behind by GOAWAY.

    :param begun: whether anything of a response had come.
    """
    name = code_name(code)
    reason, sent = f"the origin reset the stream: {name}", begun or code not in _UNPROCESSED
    kind, cause = _KINDS.get(code, "reset"), closed(name, False)
    return OriginError(502, kind, reason, sent=sent, begun=begun, code=code, cause=cause)
