"""The canonical form of tags.

Law: a tag is compared byte by byte, so it exists in one spelling only; one that is written otherwise is refused, never
silently a tag that nothing carries.
"""

from __future__ import annotations

import re

from edgenode.model.errors import InvalidValue

_OTHER = re.compile(r"[^a-z0-9:]")


def canonical(text: str) -> str:
    """The text as a tag: in lower case, with ``-`` for every character but ``a-z``, ``0-9`` and ``:``."""
    return _OTHER.sub("-", text.lower())


def check_tag(text: str) -> None:
    """Check that a tag is in canonical form.

    :raises InvalidValue: if it is not; the sentence names the canonical form.
    """
    form = canonical(text)
    if form != text:
        column = next((i for i, (a, b) in enumerate(zip(text, form, strict=False)) if a != b), 0)
        raise InvalidValue(f"a tag has only a-z, 0-9, colons and hyphens; this one would be {form}", column)
