"""The parameters of ``Content-Type`` and ``Content-Disposition``, in each way in which some server reads them.

Law: what is written so that two readers differ is read in both ways. Servers do not agree on quotes, backslashes,
repeated names, spaces in values or RFC 2231; whoever wants to pass a rule writes what only the origin reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from edgenode.rules.views.escapes import unescaped

Written = list[tuple[bytes, bytes]]
"""Names and values, not unquoted."""

_PARAMETERS = tuple(
    re.compile(rb'(?:\A|[;,])\s*([^\s=;,"]+)\s*=\s*("(?:[^"\\]|\\.)*"?|[^%b]*)' % ends, re.DOTALL)
    for ends in (b";", b";,")
)
"""For some readers a comma ends a value, for others it is a part of it."""

_BACKSLASH = re.compile(rb"\\(.)", re.DOTALL)
_END = re.compile(rb"[;,\s]")
_END_OF_BOUNDARY = re.compile(rb"[;,]")


def first_word(value: bytes) -> bytes:
    """What stands before the parameters, in lower case: ``multipart/form-data``."""
    return _END.split(value.strip(), maxsplit=1)[0].lower()


def parameter(value: bytes, name: bytes) -> tuple[bytes, ...]:
    """Every reading of a parameter, each once; if it is repeated, of its first and of its last.

    :param name: in lower case.
    """
    return readings(parameters(value), name)


def parameters(value: bytes) -> tuple[Written, ...]:
    """Every parameter as it is written, name and value, in each way in which they are told apart."""
    return tuple(pattern.findall(value) for pattern in _PARAMETERS[: 1 + (b"," in value)])


def readings(ways: tuple[Written, ...], name: bytes) -> tuple[bytes, ...]:
    """The same as :func:`parameter`, of parameters found before."""
    plain: list[bytes] = []
    extended: list[bytes] = []
    for found in ways:
        named = [(key.lower(), text) for key, text in found if key[: len(name)].lower() == name]
        plain += [text for key, text in named if key == name]
        pieces = [(key[len(name) + 1 :], text) for key, text in named if key.startswith(name + b"*")]
        first, last = dict(reversed(pieces)), dict(pieces)
        extended += (*_extended(first), *(_extended(last) if last != first else ()))
    once = dict.fromkeys((*plain[:1], *plain[-1:]))
    return tuple(dict.fromkeys((*[reading for text in once for reading in _readings(text)], *extended)))


def loose_boundary(content_type: bytes) -> bytes:
    """The boundary as PHP reads it: behind the first ``boundary``, whatever it stands in, and the next ``=``."""
    start = content_type.find(b"boundary")
    if start < 0:
        start = content_type.lower().find(b"boundary")
    written = content_type[start:].partition(b"=")[2] if start >= 0 else b""
    return written[1:].partition(b'"')[0] if written.startswith(b'"') else _END_OF_BOUNDARY.split(written, 1)[0]


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


def _extended(pieces: Mapping[bytes, bytes]) -> Iterator[bytes]:
    """RFC 2231, and RFC 8187: ``name*=utf-8''x%20y``, ``name*0="x"; name*1*=%20y``."""
    texts = []
    for rest in sorted(pieces, key=lambda rest: (len(rest), rest)):
        text = next(_readings(pieces[rest]))
        if rest.endswith(b"*") or not rest:
            text = unescaped(text.split(b"'", 2)[-1])
        if rest:
            texts.append(text)
        else:
            yield text
    if texts:
        yield b"".join(texts)
