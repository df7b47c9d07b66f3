"""Mail addresses as SMTP takes them."""

from __future__ import annotations

import re

from attrs import frozen

from edgenode.model.errors import InvalidValue

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MAILBOX = re.compile(rf"({_ATOM}(?:\.{_ATOM})*)@({_LABEL}(?:\.{_LABEL})*)", re.ASCII)


@frozen
class Mailbox:
    """A mail address (RFC 5321, section 4.1.2), its local part without quotes.

    :ivar address: as it is written.
    """

    address: str

    @classmethod
    def from_text(cls, text: str) -> Mailbox:
        """``name@host.example``, without a name for people and without quotes.

        :raises InvalidValue: if it is none.
        """
        found = _MAILBOX.fullmatch(text)
        if found is None:
            raise InvalidValue("expected a mail address such as ops@example.com", 0)
        if len(found[1]) > 64 or len(found[2]) > 255:
            raise InvalidValue("a mail address has at most 64 characters before the @, and 255 behind it", 0)
        return cls(text)

    def __str__(self) -> str:
        return self.address
