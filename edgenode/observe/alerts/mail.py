"""Messages of an alert as mails."""

from __future__ import annotations

import email.policy
import email.utils
import re
from collections.abc import Awaitable, Callable
from email.message import EmailMessage

from twisted.logger import Logger

from edgenode.observe.alerts import forms, smtp
from edgenode.observe.alerts.forms import Subject
from edgenode.observe.alerts.messages import Message

_LONGEST_TITLE = 200
_HOST = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_NAMELESS = "[127.0.0.1]"
"""What a client calls itself that has no host name (RFC 5321, section 4.1.4)."""

_log = Logger()


class MailSender:
    """Sends messages by mail.

    :param subject: whose messages they are.
    :param opened: opens a stream to the mail server.
    :ivar name: of the way, for people.
    """

    def __init__(self, subject: Subject, opened: Callable[[], Awaitable[smtp.Stream]]) -> None:
        self._subject = subject
        self._opened = opened
        self.name = f"mail-origin {subject.alert.mail_origin}"

    async def send(self, message: Message) -> None:
        """Send a message.

        :raises Unavailable: if it was not taken, as :class:`~edgenode.model.errors.OriginError` too.
        :raises Refused: if it never will be.
        """
        alert, node = self._subject.alert, self._subject.node
        mail = mail_of(self._subject, message)
        login = None if alert.mail_user is None else smtp.Login(alert.mail_user, alert.mail_password)
        refused = await smtp.hand_over(await self._opened(), mail, node if _HOST.fullmatch(node) else _NAMELESS, login)
        if refused:
            text = "[alert {alert}] the mail server takes no mail for {refused}"
            _log.warn(text, alert=self._subject.name, refused=", ".join(refused))


def mail_of(subject: Subject, message: Message) -> smtp.Mail:
    """A message as a mail; one of the same message is the same, and mails of the same incident are a thread."""
    alert = subject.alert
    assert alert.mail_from is not None
    sender, receivers = str(alert.mail_from), tuple(map(str, alert.mail_to))
    host = sender.rpartition("@")[2]
    mail = EmailMessage(policy=email.policy.SMTP)
    mail["From"] = sender
    mail["To"] = ", ".join(receivers)
    mail["Subject"] = subject.title(message)[:_LONGEST_TITLE]
    mail["Date"] = email.utils.formatdate(message.time)
    mail["Message-ID"] = f"<{subject.key(message)}@{host}>"
    mail["References"] = f"<{subject.identity(message.incidents[0])}@{host}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody is to answer that he is away
    mail.set_content(forms.text(subject, message), cte="quoted-printable")
    return smtp.Mail(sender, receivers, mail.as_bytes())
