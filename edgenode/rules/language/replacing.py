"""``regex_replace`` and ``wildcard_replace``: a text rewritten by a pattern and a template.

Law: both are linear in the text, and what they make is at most :data:`MOST_REFERENCES` times as long as it, besides
the template's own text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from edgenode.model.errors import InvalidValue
from edgenode.rules.language.dialect import in_re2
from edgenode.rules.language.patterns import STAR, read_wildcard, wildcard
from edgenode.rules.regexes import compile_regex

MOST_REFERENCES = 8

_TEMPLATE = re.compile(rb"\$(?:(?P<dollar>\$)|\{(?P<group>[1-8])\})|(?P<text>[^$]+)|(?P<wrong>\$)", re.DOTALL)

Template = tuple[bytes | int, ...]
"""What a replacement is made of: texts, and the numbers of groups."""


def regex_replace(source: bytes, pattern: bytes, template: bytes) -> bytes:
    """The source with what an expression matches first replaced; unchanged if it matches nowhere."""
    return _replaced(source, _regex(pattern), template)


def wildcard_replace(source: bytes, pattern: bytes, template: bytes, flags: bytes = b"") -> bytes:
    """The source rewritten if the whole of it matches a wildcard, each star as few bytes as can be; else unchanged."""
    return _replaced(source, _wildcard(pattern, flags), template)


def check_template(template: bytes) -> int:
    """Check a replacement.

    :returns: the highest number of a group that it refers to, 0 if it refers to none.
    :raises InvalidValue: if a ``$`` in it means nothing, or it refers to groups too often.
    """
    numbers = [part for part in _template(template) if isinstance(part, int)]
    if len(numbers) > MOST_REFERENCES:
        raise InvalidValue(f"a replacement has at most {MOST_REFERENCES} references to groups", 0)
    return max(numbers, default=0)


def groups(pattern: bytes) -> int:
    """How many groups an expression has."""
    count: int = _regex(pattern).groups
    return count


def stars(pattern: bytes) -> int:
    """How many stars a wildcard has."""
    return sum(token is STAR for token in read_wildcard(pattern))


def _replaced(source: bytes, expression: Any, template: bytes) -> bytes:
    found = expression.search(source)
    if found is None:
        return source
    parts = [part if isinstance(part, bytes) else found.group(part) or b"" for part in _template(template)]
    return source[: found.start()] + b"".join(parts) + source[found.end() :]


# The patterns and templates are literals, so no client decides how many there are.
@lru_cache(4096)
def _regex(pattern: bytes) -> Any:
    return compile_regex(in_re2(pattern.decode("latin-1")))


@lru_cache(4096)
def _wildcard(pattern: bytes, flags: bytes) -> Any:
    return compile_regex(wildcard(pattern, strict=flags == b"s", star="((?s:.*?))"))


@lru_cache(4096)
def _template(template: bytes) -> Template:
    parts: list[bytes | int] = []
    for token in _TEMPLATE.finditer(template):
        if token["wrong"]:
            raise InvalidValue("a reference is written ${1} to ${8}, and a dollar sign $$", token.start())
        group = token["group"]
        parts.append(int(group) if group else token["dollar"] or token["text"])
    return tuple(parts)
