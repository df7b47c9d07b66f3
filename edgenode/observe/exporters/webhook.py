"""``type = webhook``: events as JSON in a POST, signed with a secret that the receiver shares.

The signature is of the form that Stripe has made common: a time, and an HMAC of it and the body as it is sent.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Annotated

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Choice, File, Secret, setting
from edgenode.observe.exporters.http import HTTPReceiver, HTTPRequest, secret
from edgenode.observe.exporters.receiver import Outgoing

SIGNATURE = "x-edgenode-signature"

_TYPES = {"lines": "application/x-ndjson", "array": "application/json"}


def signature(secret: bytes, body: bytes, now: float) -> str:
    """The value of ``X-Edgenode-Signature``: ``t=1796054400,v1=`` and the HMAC-SHA256 of ``1796054400.`` and the body,
    hexadecimal.

    :param now: seconds since the epoch.
    """
    moment = str(int(now))
    return f"t={moment},v1={hmac.new(secret, moment.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


@frozen
class Webhook(HTTPReceiver):
    """A program that takes JSON by POST; any status from 200 to 299 says that it has taken all of it."""

    format: Annotated[str, Choice(("lines", "array"))] = setting(
        "``lines`` is an event a line (``application/x-ndjson``), ``array`` one JSON array (``application/json``).",
        "lines",
    )
    secret: Secret | None = setting(
        "The secret of the signature: then ``X-Edgenode-Signature`` is ``t=SECONDS,v1=HEX``, and HEX the HMAC-SHA256 "
        "of ``SECONDS.`` and the body as it is sent.",
        None,
    )
    secret_file: File | None = setting(
        "A file whose first line is that secret; it is read for every request. Only its owner, and at most one group, "
        "should be able to read it.",
        None,
    )

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if its keys do not go together."""
        super().__attrs_post_init__()
        if self.secret is not None and self.secret_file is not None:
            raise InvalidValue("there is one secret: secret and secret-file exclude each other", which="secret-file")

    def faults(self) -> Sequence[tuple[str, str, bool]]:
        """What is wrong with its keys, or doubtful: the key, a sentence, and whether it is a warning."""
        found = [*super().faults()]
        try:
            if secret(self.secret, self.secret_file) is None:
                sentence = "without one whoever reaches the receiver can send it events in the node's name"
                found.append(("secret", sentence, True))
        except InvalidValue as problem:
            found.append(("secret-file", problem.sentence, False))
        return found

    def request(self, events: Sequence[Outgoing], now: float) -> HTTPRequest:
        """The events, each with its ``_id`` as the first of its members."""
        objects = [with_member(each.line, "_id", each.key) for each in events]
        joined = b"[" + b",".join(objects) + b"]" if self.format == "array" else b"".join(b"%b\n" % o for o in objects)
        return HTTPRequest(joined, {"content-type": _TYPES[self.format], "idempotency-key": batch_key(events)})

    def finish(self, request: HTTPRequest, body: bytes, now: float) -> Mapping[str, str]:
        """The signature."""
        known = secret(self.secret, self.secret_file)
        return {} if known is None else {SIGNATURE: signature(known.encode(), body, now)}


def with_member(line: bytes, name: str, value: str) -> bytes:
    """An object of JSON with another member in front, both plain ASCII."""
    rest = line[1:]
    return b'{"%b":"%b"%b%b' % (name.encode(), value.encode(), b"" if rest == b"}" else b",", rest)


def batch_key(events: Sequence[Outgoing]) -> str:
    """Tells a batch from every other; the same each time that it is sent."""
    return hashlib.sha256("\n".join(each.key for each in events).encode()).hexdigest()[:32]
