r"""Regular expressions of Rust's engine, which is Cloudflare's, as RE2 is to read them.

Law: an expression that was written for Cloudflare means the same here or is refused; but ``.`` is a line feed, too, as
in every rule. Most of what only one of the engines knows is refused by RE2; this is the rest: what RE2 would read as
something else, and ``\s``, which for RE2 is no vertical tab, so that ``%0B`` would be a way past.
"""

from __future__ import annotations

import re

from edgenode.model.errors import InvalidValue
from edgenode.rules.regexes import check_regex

_ESCAPE = r"\\(?:x\{[^}]*\}|.)"
_OUTSIDE = re.compile(rf"{_ESCAPE}|\[\^?\]?|\{{[0-9]+(?:,[0-9]*)?\}}|.", re.DOTALL)
_IN_CLASS = re.compile(rf"{_ESCAPE}|\[:\^?[a-z]+:\]|&&|--|~~|.", re.DOTALL)
"""What is read in one go outside of classes, and in one."""

_ALIKE = re.compile(r"(?:[^\\\[{]|\\[^sS<>Q])*+", re.DOTALL)
"""What has nothing in it that is refused or written otherwise: no class, no repetition, and none of those escapes."""

_SPACES = {r"\s": r"[\x09-\x0D\x20]", r"\S": r"[^\x09-\x0D\x20]"}
_SPACES_IN_CLASS = {r"\s": "[:space:]", r"\S": "[:^space:]"}
_REFUSED_ESCAPES = {
    r"\<": r"write \b for the end of a word, or < for the character itself",
    r"\>": r"write \b for the end of a word, or > for the character itself",
    r"\Q": r"there is no \Q in Cloudflare's regular expressions: write \ before each character",
}
_REFUSED = {**_REFUSED_ESCAPES, "{": r"a { that begins no repetition, such as {2,5}, is written \{"}
_REFUSED_IN_CLASS = {
    **_REFUSED_ESCAPES,
    "[": r"a class has no classes in it: for the character write \[",
    **{
        operator: rf"in a class, {operator} joins classes at Cloudflare, and RE2 cannot: write \{operator[0]}"
        for operator in ("&&", "--", "~~")
    },
}


def checked(pattern: str) -> str:
    """A regular expression, checked, as RE2 is to read it.

    :raises InvalidValue: as :func:`in_re2`, and if RE2 refuses it.
    """
    check_regex(pattern)
    return in_re2(pattern)


def in_re2(pattern: str) -> str:
    """A regular expression that both engines can read, as RE2 is to read it.

    :raises InvalidValue: if RE2 would read it otherwise, with its column.
    """
    if _ALIKE.fullmatch(pattern):
        return pattern
    at, in_class, written = 0, False, list[str]()
    while token := (_IN_CLASS if in_class else _OUTSIDE).match(pattern, at):
        word, at = token[0], token.end()
        refusal = (_REFUSED_IN_CLASS if in_class else _REFUSED).get(word)
        if refusal is not None:
            raise InvalidValue(refusal, token.start())
        written.append((_SPACES_IN_CLASS if in_class else _SPACES).get(word, word))
        in_class = word != "]" if in_class else word.startswith("[")
    return "".join(written)
