"""Every error of edgenode, by whose fault it is: the configuration's, the client's, the origin's.

An error carries what its reader needs and nothing else: a :class:`Problem` where in the file, a
:class:`ClientError` which status to answer, an :class:`OriginError` what happened and how far the request had come.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from attrs import field, frozen

from edgenode.model.presentation import Presentation

_Error = TypeVar("_Error", bound=BaseException)


def without_frames(error: _Error) -> _Error:
    """The same error without its traceback, its cause and what was handled when it was raised, to be kept: those hold
    the frames that it came through, and with them a connection, which only the garbage collector would free."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error


@frozen
class Problem:
    """One thing that is wrong, or doubtful, in a configuration file.

    :ivar section: the section's header without brackets, such as ``origin shop``; empty for the file itself.
    :ivar key: the key within the section; empty if the section as a whole is meant.
    :ivar sentence: what is wrong and, where it helps, what would be right.
    :ivar text: the text that ``column`` points into, or ``None``.
    :ivar column: the offset in ``text``, from 0, at which the trouble begins.
    :ivar warning: true if the configuration can be used all the same.
    :ivar file: the file, as it was named; empty if it is not known, or what is meant stands in no file.
    :ivar line: the number of the line in it, from 1; 0 if the file as a whole is meant.
    """

    section: str
    key: str
    sentence: str
    text: str | None = None
    column: int | None = None
    warning: bool = False
    file: str = field(default="", eq=False, kw_only=True)
    line: int = field(default=0, eq=False, kw_only=True)

    def __str__(self) -> str:
        where = f"[{self.section}]" if self.section else ""
        where = f"{where} {self.key}".strip()
        sentence = printable(self.sentence)
        line = f"{where}: {sentence}" if where else sentence
        if self.warning:
            line = f"warning: {line}"
        if self.file:  # as compilers do, so that editors find the place
            line = f"{printable(self.file)}:{f'{self.line}:' if self.line else ''} {line}"
        if self.text is None or self.column is None:
            return line
        return f"{line}\n    {self.text}\n    {' ' * self.column}^"


def printable(text: str) -> str:
    """A text, with escapes for what could steer a terminal or begin a line: it may be a stranger's, of a request or of
    a certificate."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


class ConfigurationError(Exception):
    """The configuration cannot be used; all its problems are listed.

    :ivar problems: every problem that was found, warnings too, in the order of the file.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


@frozen
class InvalidValue(ValueError):
    """A value that cannot be read; :class:`Problem` gains the section and key from whoever asked for it.

    :ivar sentence: what is wrong with the text.
    :ivar column: the offset in the text, from 0, or ``None`` if the whole of it is meant.
    :ivar which: which of them is meant, if there were several: the key of a section, the name of a rule.
    """

    sentence: str
    column: int | None = None
    which: str = field(default="", kw_only=True)

    def __str__(self) -> str:
        return self.sentence


@frozen
class ClientError(Exception):
    """The client sent what cannot be served.

    :ivar status: the HTTP status to answer, or to record where no answer is possible (nginx's 444, 495 to 497, 499).
    :ivar reason: a sentence for the event; never sent to the client.
    :ivar headers: the header fields, names in lower case, that an answer of this status must have.
    """

    status: int
    reason: str
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}"


@frozen
class OriginError(Exception):
    """The origin could not be reached, or did not answer as HTTP demands.

    :ivar status: 502; 503 if the origin is at its limit of connections; 504 if it was too slow (RFC 9110, sections
        15.6.3 to 15.6.5).
    :ivar kind: one word for rules and metrics: ``connect``, ``handshake``, ``certificate``, ``timeout``, ``reset``,
        ``invalid``, ``unavailable``.
    :ivar reason: a sentence for the event; never sent to the client.
    :ivar sent: whether the origin may have acted on any byte of the request.
    :ivar begun: whether a byte of the response had come.
    :ivar presented: what became of our certificate, if the connection came as far as a TLS handshake.
    :ivar code: the error code of the stream, of HTTP/2 (RFC 9113, section 7); ``None`` if there was none.
    :ivar cause: the exception beneath it, as Twisted or pyOpenSSL know it: a ``ConnectError``, an ``SSL.Error``, ...
    """

    status: int
    kind: str
    reason: str
    sent: bool = field(default=False)
    begun: bool = field(default=False, kw_only=True)
    code: int | None = field(default=None, kw_only=True)
    presented: Presentation | None = field(default=None, kw_only=True, eq=False, repr=False)
    cause: Exception | None = field(default=None, kw_only=True, eq=False, repr=False)

    @classmethod
    def of(cls, error: BaseException | None) -> OriginError | None:
        """The one that an exception of an :class:`~edgenode.OriginAgent` carries as its ``__cause__``.

        :return: ``None`` if it carries none, so that it was not the origin that failed.
        """
        while error is not None and not isinstance(error, cls):
            error = error.__cause__
        return error

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}"
