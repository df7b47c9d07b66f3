"""A mail handed to a server, against one that a test plays line by line."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed

from edgenode.model.errors import OriginError
from edgenode.observe.alerts.smtp import Login, Mail, hand_over, stuffed
from edgenode.observe.exporters.receiver import Refused, Unavailable

MAIL = Mail("edge@example.com", ("ops@example.com", "night@example.com"), b"Subject: x\r\n\r\n.\r\nQUIT\r\n..a\r\n")
GOOD = {
    "": "220 mx.example.com ESMTP",
    "EHLO": "250-mx.example.com\n250-PIPELINING\n250-auth login plain\n250 SIZE 1000",
    "AUTH": "235 ok",
    "MAIL": "250 ok",
    "RCPT": "250 ok",
    "DATA": "354 go on",
    ".": "250 taken",
    "QUIT": "221 bye",
}


class Server:
    """Answers each command with what a test has written for it; a list is for one after the other."""

    def __init__(self, **answers: str | list[str]) -> None:
        given = {{"greeting": "", "end": "."}.get(name, name): answer for name, answer in answers.items()}
        self._answers: dict[str, str | list[str]] = {**GOOD, **given}
        self._lines = self._answer("")
        self._in_data = False
        self.commands: list[str] = []
        self.content = b""
        self.closed = self.greeted = False

    def _answer(self, command: str) -> list[bytes]:
        answer = self._answers[command]
        if isinstance(answer, list):
            answer = answer.pop(0)
        return answer.encode("latin-1").split(b"\n")

    def write(self, data: bytes) -> Deferred[None]:
        """The client sends."""
        if self._in_data:
            self.content, self._in_data = data, False
            self._lines += self._answer(".")
            return succeed(None)
        assert re.fullmatch(rb"[ -~]+\r\n", data), data
        self.commands.append(data.decode().rstrip())
        command = self.commands[-1].partition(" ")[0]
        self._lines += self._answer(command)
        self._in_data = command == "DATA" and self._lines[-1].startswith(b"354")
        return succeed(None)

    def read_line(self, most: int = 4096) -> Deferred[bytes]:
        """The client reads."""
        if not self._lines or not self._lines[0]:
            return fail(OriginError(502, "reset", "the server has ended it"))
        return succeed(self._lines.pop(0))

    def close(self) -> None:
        """The client ends."""
        self.closed = True


def _handed(server: Server, mail: Mail = MAIL, login: Login | None = None) -> tuple[str, ...]:
    found: list[object] = []
    Deferred.fromCoroutine(hand_over(server, mail, "edge.example.com", login)).addBoth(found.append)
    assert server.closed
    (result,) = found
    if isinstance(result, tuple):
        return result
    result.raiseException()  # type: ignore[attr-defined]
    raise AssertionError


def test_a_mail_is_handed_over_command_by_command() -> None:
    """RFC 5321, appendix D.1; dots at the beginning of lines are doubled."""
    server = Server()
    assert _handed(server) == ()
    assert server.commands == [
        "EHLO edge.example.com",
        "MAIL FROM:<edge@example.com>",
        "RCPT TO:<ops@example.com>",
        "RCPT TO:<night@example.com>",
        "DATA",
        "QUIT",
    ]
    assert server.content == b"Subject: x\r\n\r\n..\r\nQUIT\r\n...a\r\n.\r\n"


def test_a_client_that_logs_in_does_so_by_plain() -> None:
    """RFC 4616; the extension is recognised in any case of letters."""
    server = Server()
    _handed(server, login=Login("edge", "a secret"))
    assert base64.b64decode(server.commands[1].removeprefix("AUTH PLAIN ")) == b"\0edge\0a secret"


@pytest.mark.parametrize(
    ("answers", "error", "reason"),
    [
        ({"greeting": "554 no service"}, Unavailable, "the greeting: the mail server answers 554 no service"),
        ({"greeting": "SSH-2.0-OpenSSH_9.2"}, Unavailable, "does not speak SMTP: SSH-2.0"),
        ({"greeting": "220-a\n250 b"}, Unavailable, "does not speak SMTP"),
        ({"greeting": "220-a\n" * 101 + "220 b"}, Unavailable, "does not speak SMTP"),
        ({"greeting": ""}, OriginError, "the server has ended it"),
        ({"EHLO": "502 what"}, Unavailable, "EHLO: .* 502 what"),
        ({"EHLO": "250 mx"}, Unavailable, "offers no AUTH PLAIN"),
        ({"EHLO": "250-mx\n250 AUTH LOGIN"}, Unavailable, "offers no AUTH PLAIN"),
        ({"AUTH": "535 wrong"}, Unavailable, "AUTH: .* 535 wrong"),
        ({"MAIL": "451 later"}, Unavailable, "MAIL: .* 451 later"),
        ({"MAIL": "553 never"}, Refused, "MAIL: .* 553 never"),
        ({"RCPT": ["550 never", "450 later"]}, Unavailable, "RCPT: .* 450 later"),
        ({"RCPT": ["550 never", "551 never"]}, Refused, "RCPT: .* 550 never"),
        ({"DATA": "451 later"}, Unavailable, "DATA: .* 451"),
        ({"end": "452 full"}, Unavailable, "the mail: .* 452 full"),
        ({"end": "554 spam \x1b[2J"}, Refused, r"the mail: .* 554 spam \\x1b\[2J"),
        ({"end": ""}, OriginError, "the server has ended it"),
        ({"end": "354 what"}, Unavailable, "the mail: .* 354"),
    ],
)
def test_what_a_server_does_not_take_is_told_with_its_words(
    answers: dict[str, str], error: type[Exception], reason: str
) -> None:
    """Only what is said of the mail itself is for ever; of the client it may be another time."""
    with pytest.raises(error, match=reason):
        _handed(Server(**answers), login=Login("edge", "secret"))


def test_a_receiver_that_is_refused_does_not_keep_the_others_from_their_mail() -> None:
    """It is told to whoever sends."""
    assert _handed(Server(RCPT=["550 gone", "250 ok"])) == ("ops@example.com",)


def test_what_is_taken_is_taken_whatever_becomes_of_the_goodbye() -> None:
    """The mail is the server's once it has said so."""
    assert _handed(Server(QUIT="")) == ()
    assert _handed(Server(QUIT="451 what")) == ()


@pytest.mark.parametrize(
    "address", ["", "a b@example.com", "a@example.com>\r\nRCPT TO:<b@example.com", "ä@example.com"]
)
def test_what_is_no_word_is_never_sent(address: str) -> None:
    """Though a configuration can hold no such address."""
    server = Server()
    with pytest.raises(Unavailable, match="not a word"):
        _handed(server, Mail(address, ("ops@example.com",), b""))
    assert server.commands == ["EHLO edge.example.com"]


def _received(data: bytes) -> bytes:
    """What a server makes of what it is sent: RFC 5321, section 4.5.2."""
    assert data.endswith(b"\r\n.\r\n") or data == b".\r\n"
    lines = data.split(b"\r\n")[:-2]
    assert b"." not in lines
    return b"".join(line.removeprefix(b".") + b"\r\n" for line in lines)


@given(st.lists(st.sampled_from((b".", b"..", b".\r\n", b"\r\n", b"\n", b"\r", b"a", b" ", b"QUIT")), max_size=20))
def test_what_is_sent_ends_where_it_says_and_arrives_as_it_was(pieces: list[bytes]) -> None:
    """No line of a content ends it, and none is changed but for its end."""
    content = b"".join(pieces)
    lines = re.split(rb"\r\n|\r|\n", content)
    whole = lines if lines[-1] else lines[:-1]
    assert _received(stuffed(content)) == b"".join(line + b"\r\n" for line in whole)
