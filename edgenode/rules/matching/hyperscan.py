r"""Which regular expressions mean the same to Hyperscan as to RE2, and how Hyperscan wants them written.

Law: an expression is either translated to one that matches exactly the same texts, or not at all. What is not listed
here is not translated: ``$`` stands before a final line feed for one of the two, ``\s`` is a vertical tab, and they
fold the case of different letters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_SPACE = r"\t\n\x0C\r "

_CASELESS = re.compile(r"\(\?s?i")
_BEYOND_ASCII = re.compile(r"\\x[89A-Fa-f]")
_TOKEN = re.compile(
    r"""(?P<literal>[A-Za-z0-9/_%=&;:,<>'"!~@\#`\ -]|\\[/_%=&;:,<>'"!~@\#`\ .*+?()\[\]{}|^$\\-])
    |   (?P<byte>\\x[0-9A-Fa-f]{2})
    |   (?P<same>[.^|)*+?]|\((?!\?)|\(\?(?:i|s|is|si)?:|\\[AzdDwWbB])
    |   (?P<flags>\(\?(?:i|s|is|si)\))
    |   (?P<end>\$)
    |   (?P<space>\\s)
    |   (?P<repeat>\{[0-9]{1,4}(?:,[0-9]{0,4})?\})
    |   (?P<set>\[\^?(?:[^\[\]\\]|\\[^A-Za-z0-9]|\\x[0-9A-Fa-f]{2}|\\[dws])+\])
    """,
    re.VERBOSE | re.ASCII,
)


_UNNAMED = re.sub(r"\(\?P<\w+>", "(?:", _TOKEN.pattern)  # Python's atomic groups do not work with others in them
_ALL_TOKENS = re.compile(rf"(?>{_UNNAMED})*+", re.VERBOSE | re.ASCII)
"""One token behind another, each as it is read first."""


def alike(pattern: str) -> str | None:
    """A checked expression as Hyperscan is to read it; ``None`` if it might read it otherwise."""
    if not _ALL_TOKENS.fullmatch(pattern):
        return None
    if _BEYOND_ASCII.search(pattern) and _CASELESS.search(pattern):
        return None  # RE2 knows the case of letters beyond ASCII, in Latin-1; Hyperscan does not
    return _TOKEN.sub(_translated, pattern) if "$" in pattern or r"\s" in pattern else pattern


def _translated(token: re.Match[str]) -> str:
    return _TRANSLATIONS.get(token.lastgroup or "", str)(token[0])


_TRANSLATIONS: Mapping[str, Callable[[str], str]] = {
    "end": lambda token: r"\z",
    "space": lambda token: f"[{_SPACE}]",
    "set": lambda token: token.replace(r"\s", _SPACE),
}
"""How those kinds of tokens are written that do not stay as they are."""
