"""A mail handed to a server by SMTP (RFC 5321), over a stream that another has opened.

Law: nothing that a message says is taken for a command, and nothing that the server says is kept beyond its bounds. A
mail is handed over only if the server has said so; what was promised secret goes over TLS alone.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred

from edgenode.model.errors import OriginError, printable
from edgenode.observe.exporters.receiver import Refused, Unavailable

_MOST_LINES = 100
"""Lines of one reply; a server that greets with all its extensions has twenty."""

_LONGEST_LINE = 2048
"""Bytes; a line of a reply has 512 at the most (RFC 5321, section 4.5.3.1.5)."""

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_WORD = re.compile(r"[!-;=?-~]+")


class Stream(Protocol):
    """What a dialogue needs of a connection: :class:`edgenode.proxy.origin.stream.Stream` has it."""

    @property
    def greeted(self) -> bool:
        """Whether the server has greeted already."""

    def write(self, data: bytes) -> Deferred[None]:
        """Send bytes."""

    def read_line(self, most: int = ...) -> Deferred[bytes]:
        """The next line, without its end."""

    def close(self) -> None:
        """Give it up."""


@frozen
class Mail:
    """A mail.

    :ivar sender: the address that it is from.
    :ivar receivers: the addresses that it is for.
    :ivar content: header and body, lines of at most 998 bytes of ASCII with CR and LF.
    """

    sender: str
    receivers: tuple[str, ...]
    content: bytes


@frozen
class Login:
    """What a client says who it is by."""

    user: str
    password: Any

    @property
    def plain(self) -> bytes:
        """The argument of AUTH PLAIN (RFC 4616)."""
        return base64.b64encode(f"\0{self.user}\0{self.password}".encode())


async def hand_over(stream: Stream, mail: Mail, name: str, login: Login | None = None) -> tuple[str, ...]:
    """Hand a mail to the server at the other end of a stream, which is closed then.

    :param name: what the client calls itself: a host name, or an address in brackets.
    :param login: only for a stream of TLS.
    :returns: the receivers for which the server has refused it; for the others it has taken it.
    :raises Unavailable: if it was taken for none, as :class:`~edgenode.model.errors.OriginError` too.
    :raises Refused: if it was, and is not worth another attempt.
    """
    try:
        if not stream.greeted:
            await _reply(stream, 220, "")
        extensions = await _ask(stream, b"EHLO " + _word(name), 250)
        if login is not None:
            if not any(each.split()[:1] == ["AUTH"] and "PLAIN" in each.split() for each in map(str.upper, extensions)):
                raise Unavailable("the mail server offers no AUTH PLAIN")
            await _ask(stream, b"AUTH PLAIN " + login.plain, 235)
        await _ask(stream, b"MAIL FROM:<%b>" % _word(mail.sender), 250, final=True)
        refused = await _receivers(stream, mail.receivers)
        await _ask(stream, b"DATA", 354)
        await stream.write(stuffed(mail.content))
        await _reply(stream, 250, "the mail", final=True)
        await _quit(stream)
        return refused
    finally:
        stream.close()


async def _receivers(stream: Stream, receivers: Sequence[str]) -> tuple[str, ...]:
    """Name the receivers; returns those that are refused.

    :raises Unavailable: if all are.
    """
    errors: dict[str, Exception] = {}
    for each in receivers:
        try:
            await _ask(stream, b"RCPT TO:<%b>" % _word(each), 250, final=True)
        except (Unavailable, Refused) as error:
            errors[each] = error
    if len(errors) == len(receivers):
        # Of those that are refused for now and those that are for ever, the first decide: they can be tried again.
        raise min(errors.values(), key=lambda error: isinstance(error, Refused))
    return tuple(errors)


async def _quit(stream: Stream) -> None:
    """Say goodbye, if the server still hears it: the mail is its own already."""
    try:
        await _ask(stream, b"QUIT", 221)
    except (Unavailable, OriginError):
        return


async def _ask(stream: Stream, command: bytes, expected: int, final: bool = False) -> tuple[str, ...]:
    await stream.write(command + b"\r\n")
    return await _reply(stream, expected, command.partition(b" ")[0].decode("ascii"), final)


async def _reply(stream: Stream, expected: int, what: str, final: bool = False) -> tuple[str, ...]:
    """The lines of the reply to a command.

    :param final: whether a permanent refusal is about the mail, and not about the client.
    """
    lines: list[str] = []
    code, follows = b"", True
    while follows:
        line = await stream.read_line(_LONGEST_LINE)
        found = _LINE.fullmatch(line)
        if found is None or (code and found[1] != code) or len(lines) >= _MOST_LINES:
            raise Unavailable(f"the mail server does not speak SMTP: {printable(line[:100].decode('latin-1'))}")
        code, follows = found[1], found[2] == b"-"
        lines.append((found[3] or b"").decode("latin-1"))
    if int(code) != expected:
        _refused(int(code), lines, what or "the greeting", final)
    return tuple(lines)


def _refused(code: int, lines: Sequence[str], what: str, final: bool) -> NoReturn:
    reason = f"{what}: the mail server answers {code} {printable(' '.join(lines)[:300])}".rstrip()
    raise Refused(reason) if final and code >= 500 else Unavailable(reason)


def _word(text: str) -> bytes:
    """What stands in a command: no blank, no line end, nothing but ASCII.

    :raises Unavailable: if it is none, which is a fault of ours.
    """
    if not _WORD.fullmatch(text):
        raise Unavailable(f"not a word of a command: {printable(text)}")
    return text.encode("ascii")


def stuffed(content: bytes) -> bytes:
    """The content as DATA takes it (RFC 5321, section 4.5.2): lines that end with CR and LF, another dot before one at
    the beginning of a line, and at the end a line with a dot."""
    lines = re.split(rb"\r\n|\r|\n", content)
    if not lines[-1]:
        lines.pop()
    return b"".join(b"%b%b\r\n" % (b"." if line.startswith(b".") else b"", line) for line in lines) + b".\r\n"
