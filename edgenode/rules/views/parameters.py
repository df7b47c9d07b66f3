"""The parameters of ``Content-Type`` and ``Content-Disposition``, in each way in which some server reads them.

Law: what is written so that two readers differ is read in both ways. Servers do not agree on quotes, backslashes,
repeated names, spaces in values or RFC 2231; whoever wants to pass a rule writes what only the origin reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgenode.rules.views.escapes import unescaped

_PARAMETERS = tuple(
    re.compile(rb'[;,]\s*([^\s=;,"]+)\s*=\s*("(?:[^"\\]|\\.)*"?|[^%b]*)' % ends, re.DOTALL) for ends in (b";", b";,")
)
"""For some readers a comma ends a value, for others it is a part of it."""

_BACKSLASH = re.compile(rb"\\(.)", re.DOTALL)
_END = re.compile(rb"[;,\s]")


def first_word(value: bytes) -> bytes:
    """What stands before the parameters, in lower case: ``multipart/form-data``."""
    return _END.split(value.strip(), maxsplit=1)[0].lower()


def parameter(value: bytes, name: bytes) -> tuple[bytes, ...]:
    """Every reading of a parameter, each once; if it is repeated, of its first and of its last.

    :param name: in lower case.
    """
    plain: list[bytes] = []
    pieces: list[tuple[bytes, bytes]] = []
    for parameters in _PARAMETERS[: 1 + (b"," in value)]:
        for match in parameters.finditer(value):
            key, star, rest = match[1].lower().partition(b"*")
            if key == name and star:
                pieces.append((rest, match[2]))
            elif key == name:
                plain.append(match[2])
    readings = [reading for written in dict.fromkeys((*plain[:1], *plain[-1:])) for reading in _readings(written)]
    return tuple(dict.fromkeys((*readings, *_extended(pieces))))


def _readings(written: bytes) -> Iterator[bytes]:
    if written.startswith(b'"'):
        inner = written[1:].removesuffix(b'"') if len(written) > 1 else b""
        yield _BACKSLASH.sub(rb"\1", inner)
        yield inner
        yield inner.partition(b'"')[0]  # a reader that knows no backslash ends here
        return
    yield written.strip()
    yield _END.split(written.strip(), maxsplit=1)[0]
    if written.startswith(b"'"):
        yield written[1:].partition(b"'")[0]  # PHP


def _extended(pieces: list[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """RFC 2231, and RFC 8187: ``name*=utf-8''x%20y``, ``name*0="x"; name*1*=%20y``."""
    whole = b""
    for rest, written in sorted(set(pieces), key=lambda piece: (len(piece[0]), piece[0])):
        text = next(_readings(written))
        if rest.endswith(b"*") or not rest:
            text = unescaped(text.split(b"'", 2)[-1])
        if rest:
            whole += text
        else:
            yield text
    if whole:
        yield whole
