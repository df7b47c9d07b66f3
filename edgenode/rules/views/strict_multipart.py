"""What makes two servers read one ``multipart/form-data`` body (RFC 7578) differently.

Law: what browsers, curl and the HTTP clients of Python, Java, .NET, Go and JavaScript write is not among it; what is
accepted is written down here, and all else is ambiguous.
"""

from __future__ import annotations

import re

_TYPE = re.compile(
    rb"multipart/form-data\s*((?:;\s*(?!boundary)[\w-]+=[\w.-]+\s*)*);\s*boundary="
    rb"""(?:([\w=/+.-][\w=/+.'-]*)|"([\w=/+.,()?-][\w=/+.,()?' -]*(?<! ))")\s*((?:;\s*[\w-]+=[\w.-]+\s*)*)""",
    re.IGNORECASE,
)
_FIELD = re.compile(rb"([!#$%&'*+.^`|~\w-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_TEXT = rb"[^\x00-\x1f\"\\\x7f]*"
_DISPOSITION = re.compile(
    rb'form-data; ?name=(?:[\w.-]+|"(?![^"]*(?:%%[0-9A-Fa-f]{2}|=\?))%b")'
    rb'(?:; ?filename=(?:[\w.-]+|"%b"))?(?:; ?filename\*=utf-8\'\'[\w.%%!#$&+^`|~-]*)?' % (_TEXT, _TEXT),
    re.IGNORECASE,
)
_PLAIN_ENCODINGS = (b"7bit", b"8bit", b"binary")
_ONCE = (b"content-disposition", b"content-type", b"content-transfer-encoding")


def ambiguity(content_type: bytes, data: bytes, *, truncated: bool = False) -> str | None:
    """Why two servers may read a body differently; ``None`` if nothing is known that would make them.

    :param content_type: of the request, ``multipart/form-data``.
    :param data: the body.
    :param truncated: whether there is more of it.
    """
    found = _TYPE.fullmatch(content_type)
    if found is None or b"boundary" in found[4].lower() or b"boundary" in found[1].lower():
        return "its type does not name one boundary in the one way that all read alike"
    line_end_mark = b"\r\n--" + (found[2] or found[3])
    before, *pieces = (data if data.startswith(b"\r\n") else b"\r\n" + data).split(line_end_mark)
    if before or not pieces:
        return "it does not begin with its boundary"
    if pieces.pop() not in (b"--", b"--\r\n") and not truncated:
        return "it does not end with its boundary"
    for piece in pieces:
        if not piece.startswith(b"\r\n") or line_end_mark[2:] in piece:
            return "its boundary stands where it is no delimiter between CR LF"
        if reason := _ambiguity_of_part(piece[2:]):
            return reason
    return None


def _ambiguity_of_part(part: bytes) -> str | None:
    head, empty_line, _ = part.partition(b"\r\n\r\n")
    if not empty_line:
        return "an empty line does not end the head of a part"
    fields: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n"):
        field = _FIELD.fullmatch(line)
        if field is None:
            return "a line in the head of a part is no field"
        name, value = field[1].lower(), field[2].strip()
        if name in fields and name in _ONCE:
            return f"a part has two {name.decode('ascii', 'replace')}"
        fields[name] = value
    disposition = _DISPOSITION.fullmatch(fields.get(b"content-disposition", b""))
    if disposition is None:
        return "a part is not named in the one way that all read alike"
    if fields.get(b"content-transfer-encoding", b"binary").lower() not in _PLAIN_ENCODINGS:
        return "a part has a transfer encoding, which some servers undo"
    if fields.get(b"content-type", b"").lower().startswith(b"multipart/") and b"filename" not in disposition[0].lower():
        return "a part is a multipart body itself"
    return None
