"""The vocabulary in which a section's frozen class says how its keys are written.

A concept is an ``attrs`` class whose attributes are declared with :func:`setting`; the attribute's name with ``_`` as
``-`` is the key, without one at its end, as words of Python need it; its type tells ``config.schema`` how to read it,
and the help becomes the reference page.
A class names its section with ``kind: ClassVar[str]``; its docstring's first sentence introduces it in the reference.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping
from typing import Any, ClassVar, NewType

import attrs
from attrs import field, frozen

from edgenode.model.errors import InvalidValue

Seconds = NewType("Seconds", float)
"""A duration: ``250ms``, ``5s``, ``10m``, ``24h``, ``7d``; a unit is required except for ``0``."""

Size = NewType("Size", int)
"""A number of bytes: ``512``, ``16k``, ``8m``, ``1g``, in powers of 1024."""

Network = NewType("Network", str)
"""An address or CIDR network, IPv4 or IPv6, without host bits; a bare address is read as its /32 or /128."""

File = NewType("File", pathlib.Path)
"""A file that must exist and be readable; a relative path starts at the configuration file's folder."""

Output = NewType("Output", pathlib.Path)
"""A file to be written, relative as :data:`File`; ``-`` is standard output, ``off`` none."""


Awaited = NewType("Awaited", pathlib.Path)
"""A file that need not be there, in a folder that is; relative as :data:`File`."""

Folder = NewType("Folder", pathlib.Path)
"""A folder that exists, relative as :data:`File`."""


class Secret(str):
    """A secret: ``${NAME}`` in it is replaced by that environment variable, and its ``repr`` does not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(...)"


@frozen
class Source:
    """Where values come from that stand in no section.

    :ivar url: an ``https`` address; empty for a file.
    :ivar path: the file; ``None`` for an address; neither for ``self-managed``.
    """

    lines: ClassVar[bool] = True

    url: str = ""
    path: pathlib.Path | None = None

    def __str__(self) -> str:
        return self.url or ("self-managed" if self.path is None else f"file:{self.path}")


@frozen
class Percent:
    """A part of a hundred: ``50%``, ``0.5%``.

    :ivar share: the same as a part of one.
    """

    share: float

    @classmethod
    def from_text(cls, text: str) -> Percent:
        """Read one.

        :raises InvalidValue: if it is none.
        """
        if not _PERCENT.fullmatch(text):
            raise InvalidValue("expected a percentage from 0% to 100%, such as 20%")
        return cls(float(text[:-1]) / 100)

    def __str__(self) -> str:
        return f"{self.share * 100:g}%"


_PERCENT = re.compile(r"(?:100(?:\.0{1,4})?|[0-9]{1,2}(?:\.[0-9]{1,4})?)%", re.ASCII)


Word = NewType("Word", str)
"""A single word without white space; a list of words is separated by spaces."""

HostName = NewType("HostName", str)
"""A host name in lower case, ``*.example.com``, or an IP address (IPv6 in brackets); without a port or final dot."""


LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
"""A label of a DNS name, in lower case; underscores are in use."""


def check_dns_name(text: str, what: str, expected: str) -> None:
    """Check a DNS name in lower case, or ``*.`` and a DNS name.

    :param what: what it is called.
    :param expected: what is right, for the sentence.
    :raises InvalidValue: if it is none.
    """
    if not text.isascii():
        raise InvalidValue("an internationalised name is written in its ASCII form, xn--")
    if text != text.lower():
        raise InvalidValue(f'{what}s are written in lower case: "{text.lower()}"')
    column = 2 if text.startswith("*.") else 0
    if len(text) - column > 253:
        raise InvalidValue(f"a {what} has at most 253 characters")
    for label in text[column:].split("."):
        if not LABEL.fullmatch(label):
            raise InvalidValue(f"expected {expected}", column)
        column += len(label) + 1


@frozen
class Reference:
    """Marks a ``str`` as the name of a section of one kind: ``Annotated[str, Reference("origin")]``.

    :ivar kind: the kind.
    :ivar repeats: whether a list may have the same name several times.
    """

    kind: str
    repeats: bool = False


@frozen
class Tag:
    """Marks a ``Word`` as a tag: ``Annotated[Word, Tag()]``.

    :ivar own: whether it is one that a configuration sets; else it is one that is looked for, which may be automatic.
    """

    own: bool = True


@frozen
class Choice:
    """Marks a ``str`` as one of several words: ``Annotated[str, Choice(("off", "on"))]``.

    :ivar words: the words.
    :ivar kind: the kind of the sections of which a name may stand there as well; empty for none.
    """

    words: tuple[str, ...]
    kind: str = ""


@frozen
class Extends:
    """Marks a ``str`` as what makes a section an extension: its further keys are those of the extension.

    :ivar kind: of :data:`edgenode.model.extensions.GROUPS`.
    :ivar words: those that are built in.
    """

    kind: str
    words: tuple[str, ...] = ()


@frozen
class Variants:
    """Marks a ``str`` as one of several words, each of which has keys of its own that stand beside it in the section.

    :ivar classes: the frozen class of the keys of each word.
    """

    classes: Mapping[str, type[Any]] = field(hash=False)


@frozen
class Between:
    """Marks an ``int`` as bounded, both ends included: ``Annotated[int, Between(1, 100)]``."""

    least: int
    most: int


def setting(help: str, default: Any = attrs.NOTHING) -> Any:
    """Declare one key of a section.

    :param help: one or two sentences for the reference, without the name and the default.
    :param default: the value if the key is absent; without one the key is required.
    """
    return attrs.field(default=default, kw_only=True, metadata={"help": help})
