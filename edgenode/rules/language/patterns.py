"""How texts and wildcards are written as regular expressions of RE2.

Law: a pattern means its bytes, whatever they are: what is no ASCII letter or digit is escaped, case is that of ASCII,
and ``*`` is any bytes, line feeds among them.
"""

from __future__ import annotations

import re

from edgenode.model.errors import InvalidValue

_TOKEN = re.compile(rb"(?P<stars>\*\*)|\\[*\\]|(?P<wrong>\\)|.", re.DOTALL)

STAR = None
"""In a wildcard that has been read: any bytes; everything else in it is a byte."""


def quote(text: bytes) -> str:
    """The expression that means just these bytes."""
    return "".join(map(_QUOTED.__getitem__, text))


def folded(text: bytes) -> str:
    """The expression that means these bytes in either case of ASCII."""
    return "".join(map(_FOLDED.__getitem__, text))


def _quoted(byte: int) -> str:
    character = chr(byte)
    return character if character.isascii() and character.isalnum() else f"\\x{byte:02X}"


_QUOTED = tuple(map(_quoted, range(256)))
_FOLDED = tuple(
    f"[{chr(byte).upper()}{chr(byte).lower()}]" if written.isalpha() else written
    for byte, written in enumerate(_QUOTED)
)


def read_wildcard(text: bytes) -> tuple[int | None, ...]:
    r"""Read a wildcard: its bytes, and :data:`STAR` for each ``*`` that is not written ``\*``.

    :raises InvalidValue: if two stars stand together, or ``\`` is neither ``\*`` nor ``\\``.
    """
    tokens: list[int | None] = []
    for token in _TOKEN.finditer(text):
        if token["stars"]:
            raise InvalidValue("write one * for any text: ** means nothing more", token.start())
        if token["wrong"]:
            raise InvalidValue("in a wildcard a backslash is written \\\\, and a star \\*", token.start())
        tokens.append(STAR if token[0] == b"*" else token[0][-1])
    return tuple(tokens)


def wildcard(text: bytes, *, strict: bool, star: str = "(?s:.*)") -> str:
    """The expression that means a wildcard, of the whole value; in either case of ASCII unless it is strict.

    :param star: the expression for a ``*``.
    :raises InvalidValue: as :func:`read_wildcard`.
    """
    written = _QUOTED if strict else _FOLDED
    return "\\A" + "".join(star if token is STAR else written[token] for token in read_wildcard(text)) + "\\z"
