"""Character sets in which a text does not look like what it says, and what it says.

Law: whoever writes ``charset=utf-16`` or ``ibm037`` hides a text from rules, but not from a server that believes it. So
such a text is read both ways. In all other character sets ASCII is ASCII, and rules see it as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgenode.rules.views.parameters import parameter

_UNICODE = ("utf-7", "utf-16", "utf-16le", "utf-16be", "utf-32", "utf-32le", "utf-32be")
_EBCDIC = ("037", "500", "875", "1026", "1140")
_CODECS: Mapping[bytes, str] = {
    **{name.encode("ascii"): name for name in _UNICODE},
    **{f"{word}{page}".encode("ascii"): f"cp{page}" for page in _EBCDIC for word in ("ibm", "cp", "ibm0", "ibm-")},
    b"ucs-2": "utf-16",
    b"iso-10646-ucs-2": "utf-16",
}
"""Their names in Python, by those in headers; a table, for a codec that a client chooses may be slow."""


_MOST = 2
"""As many are tried: of two that are named, servers take the first or the last."""


def codecs(content_types: tuple[bytes, ...]) -> tuple[str, ...]:
    """The codecs that the first or the last of some ``Content-Type`` name; none of those in which ASCII is ASCII."""
    types = dict.fromkeys((*content_types[:1], *content_types[-1:]))
    named = (name.lower() for each in types for name in parameter(each, b"charset"))
    return tuple(dict.fromkeys(_CODECS[name] for name in named if name in _CODECS))[:_MOST]


def recoded(text: bytes, codec: str) -> bytes:
    """What a text says in its character set, in UTF-8; what says nothing is U+FFFD."""
    return text.decode(codec, "replace").encode("utf-8", "replace")
