"""The names of arguments and cookies, in each way in which some server reads them.

Law: what PHP, Rack or qs read as the same name is found by it.
"""

from __future__ import annotations

import re

ODD_NAME = re.compile(rb"[\0\[\]. ]|\A[\t\n\v\f\r]")
"""What a name has in it that somebody reads otherwise."""

_BRACKETED = re.compile(rb"[\[\]]*([^\[\]]*)")
UNDERSCORES = bytes.maketrans(b". [", b"___")
"""What PHP writes ``_`` for."""


def readings(name: bytes) -> tuple[bytes, ...]:
    """A name as it is; what stands before ``[`` in it, or in the first brackets, as PHP, Rack and qs divide names; and
    as PHP registers it: without white space before it, up to a NUL, with ``_`` for spaces and dots."""
    if ODD_NAME.search(name) is None:
        return (name,)
    cut = name.lstrip().partition(b"\0")[0]
    bare = _BRACKETED.match(cut)
    found = [cut, cut if bare is None else bare[1]]
    found += [each.translate(UNDERSCORES) for each in found]
    return tuple(dict.fromkeys(each for each in (name, *found) if each or not name))


def folded(name: bytes) -> bytes:
    """A name without case, as .NET, and Go's readers of JSON, compare it: Go takes ``ſ`` for ``s``."""
    if name.isascii():
        return name.lower()
    return name.decode("utf-8", "surrogateescape").casefold().encode("utf-8", "surrogateescape")
