"""Receivers that are sent HTTP requests: the keys that they have in common, and the exchange with one.

Law: an answer counts only once it has been read to its end, unless its status is enough, and no more than was agreed is
read of it. Redirects are not followed: who is sent events is the configuration's to say.
"""

from __future__ import annotations

import base64
import datetime
import email.utils
import gzip as gzip_format
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from attrs import evolve, field, frozen
from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers

from edgenode.model.errors import InvalidValue, printable
from edgenode.model.settings import File, Secret, Word, setting
from edgenode.observe.exporters.receiver import TAKEN, Outcome, Outgoing, Refused, Unavailable
from edgenode.observe.exporters.writing import written
from edgenode.proxy.origin import client
from edgenode.proxy.origin.bounded_body import NoAnswer, TooLarge
from edgenode.proxy.origin.client import MOST_ANSWER, OriginClient
from edgenode.proxy.origin.pool import OriginPool
from edgenode.tls.certificates import read

_REFUSING = frozenset((400, 413, 422))
"""The statuses that are the fault of what was sent, and not of the receiver, or of who is sending."""

_TARGET = re.compile(r"/[!-\"$-~]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[!-~](?:[\t -~]*[!-~])?")
_LONGEST_SECRET = 8192
_GZIP_LEVEL = 5


@frozen
class SentHeader:
    """A header field that is sent with every request: ``name: value``.

    :ivar name: in lower case.
    """

    lines: ClassVar[bool] = True

    name: str
    value: str

    @classmethod
    def from_text(cls, text: str) -> SentHeader:
        """Read a line.

        :raises InvalidValue: if it is none, with its column.
        """
        name, colon, value = text.partition(":")
        if not colon or not _TOKEN.fullmatch(name):
            raise InvalidValue("expected the name of a header, a colon and its value", 0)
        if not _VALUE.fullmatch(value.strip()):
            raise InvalidValue("expected a value of printable ASCII characters", len(name) + 1)
        return cls(name.lower(), value.strip())

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"


@frozen
class HTTPRequest:
    """A request.

    :ivar body: as it is sent, unless it is compressed.
    :ivar headers: those that the type has of its own, names in lower case.
    """

    body: bytes
    headers: Mapping[str, str]
    method: bytes = b"POST"
    target: str = ""


@frozen
class Answer(client.Answer):
    """An answer of a receiver.

    :ivar after: the time for which the receiver wants to be left alone; seconds.
    """

    after: float = 0.0

    @property
    def said(self) -> str:
        """The status, and the beginning of the body, for people."""
        text = printable(" ".join(self.body[:300].decode("utf-8", "replace").split()))
        return f"the receiver answers {self.status}{f': {text}' if text else ''}"


@frozen
class HTTPReceiver(ABC):
    """What receivers have in common that are sent HTTP requests.

    :ivar node: the name of the node, which is no key of it.
    """

    scheme: ClassVar[str] = "Bearer"
    """The authentication scheme of the token."""

    needs_body: ClassVar[bool] = True
    """Whether an answer counts only with its whole body; else its status is enough."""

    streams: ClassVar[bool] = False
    refusing: ClassVar[frozenset[int]] = _REFUSING
    """The statuses that are the fault of the events that were sent."""

    path: str = setting("The path, with its query if it has one, to which events are sent.", "/")
    headers: tuple[SentHeader, ...] = setting("Further header fields, one ``name: value`` a line.", ())
    token: Secret | None = setting("The token by which the receiver knows the node.", None)
    token_file: File | None = setting(
        "A file whose first line is the token; it is read for every request, so that a new one holds at once. Only its "
        "owner, and at most one group, should be able to read it.",
        None,
    )
    user: Word | None = setting("The user to log in as: then the token is the password (Basic, RFC 7617).", None)
    gzip: bool = setting("Whether requests are compressed.", False)
    node: str = field(default="", kw_only=True)

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if its keys do not go together."""
        if not _TARGET.fullmatch(self.path):
            raise InvalidValue("expected a path that begins with / and has neither spaces nor a fragment", which="path")
        if self.token is not None and self.token_file is not None:
            raise InvalidValue("there is one token: token and token-file exclude each other", which="token-file")
        if self.user is not None and self.token is None and self.token_file is None:
            raise InvalidValue("a user logs in with a password: token or token-file is missing", which="user")

    # -- what each type has of its own --------------------------------------------------------------------------------

    @abstractmethod
    def request(self, events: Sequence[Outgoing], now: float) -> HTTPRequest:
        """The request with which events are sent.

        :param now: seconds since the epoch.
        """

    def outcome(self, events: Sequence[Outgoing], answer: Answer) -> Outcome:
        """What an answer with a status of success says.

        :raises Unavailable: if it is none that the protocol knows.
        """
        return TAKEN

    def refuses(self, answer: Answer) -> bool:
        """Whether an answer without success says that an event is at fault, or that there are too many."""
        return answer.status in self.refusing

    def finish(self, request: HTTPRequest, body: bytes, now: float) -> Mapping[str, str]:
        """The header fields that depend on the body as it is sent."""
        return {}

    def most_answer(self, count: int) -> int:
        """The bytes that are read of an answer.

        :param count: the number of events that it is about.
        """
        return MOST_ANSWER

    # -- what they have in common -------------------------------------------------------------------------------------

    def sender(self, pool: OriginPool, timeout: float, node: str) -> HTTPSender:
        """What sends to it."""
        return HTTPSender(evolve(self, node=node), pool, timeout)

    def faults(self) -> Sequence[tuple[str, str, bool]]:
        """What is wrong with its keys, or doubtful: the key, a sentence, and whether it is a warning."""
        try:
            self.authorization()
        except InvalidValue as problem:
            return [("token-file", problem.sentence, False)]
        if self.token is not None and not _VALUE.fullmatch(self.token):  # not before, where it would be shown
            return [("token", "expected printable ASCII characters", False)]
        return []

    def authorization(self) -> Mapping[str, str]:
        """The header field that says who the node is.

        :raises InvalidValue: if the file of the token cannot be used.
        """
        token = secret(self.token, self.token_file)
        if token is None:
            return {}
        if self.user is not None:
            pair = f"{self.user}:{token}".encode()
            return {"authorization": f"Basic {base64.b64encode(pair).decode('ascii')}"}
        return {"authorization": f"{self.scheme} {token}"}


def secret(value: Secret | None, file: File | None) -> str | None:
    """A secret, or the first line of the file in which it stands.

    :raises InvalidValue: if the file cannot be used.
    """
    if file is None:
        return value
    line = read(file).partition(b"\n")[0].strip()
    if not 0 < len(line) <= _LONGEST_SECRET or not _VALUE.fullmatch(line.decode("latin-1")):
        raise InvalidValue(f"{file}: its first line is no secret of 1 to {_LONGEST_SECRET} printable characters")
    return line.decode("ascii")


def authority(pool: OriginPool) -> str:
    """The Host of requests: what ``[origin] host`` says, or the name, with the port if it is not the usual one."""
    server = pool.origin.servers[0]
    if pool.origin.host not in ("client", "server"):
        return pool.origin.host
    host = pool.origin.server_name or server.name
    host = f"[{host}]" if ":" in host else host
    return host if server.port in (0, 443 if server.tls else 80) else f"{host}:{server.port}"


class HTTPSender:
    """Sends to one receiver.

    :param receiver: what it is.
    :param pool: the connections to it.
    :param timeout: the time for one request and its answer; seconds.
    :param now: gives the time; seconds since the epoch.
    """

    def __init__(self, receiver: HTTPReceiver, pool: OriginPool, timeout: float, now: Any = time.time) -> None:
        self._receiver = receiver
        self._client = OriginClient(pool, timeout)
        self._pool = pool
        self._now = now
        self._base = f"{pool.origin.servers[0].scheme}://{authority(pool)}"

    def send(self, events: Sequence[Outgoing]) -> Deferred[Outcome]:
        """Send some events."""
        return Deferred.fromCoroutine(self._send(events))

    def close(self) -> None:
        """Nothing more is sent; the connections are the pool's."""

    async def _send(self, events: Sequence[Outgoing]) -> Outcome:
        receiver, now = self._receiver, self._now()
        try:
            answer = await self._ask(events, now)
        except InvalidValue as problem:  # of a file with a secret
            raise Unavailable(problem.sentence) from None
        except TooLarge as error:
            raise Unavailable(f"the answer has {error}") from None
        except NoAnswer as error:
            raise Unavailable(str(error)) from None
        if 200 <= answer.status < 300:
            return receiver.outcome(events, answer)
        if receiver.refuses(answer):
            raise Refused(answer.said)
        if 300 <= answer.status < 400:
            raise Unavailable(f"the receiver answers {answer.status}, and redirects are not followed")
        raise Unavailable(answer.said, answer.after)

    async def _ask(self, events: Sequence[Outgoing], now: float) -> Answer:
        receiver = self._receiver
        request, fields = await written(self._pool.reactor, events, lambda: self._request(events, now))
        url = self._base + (request.target or receiver.path)
        method, most = request.method.decode("ascii"), receiver.most_answer(len(events))
        answer = await self._client.ask(method, url, fields, request.body, most=most)
        body = answer.content if receiver.needs_body else answer.body
        return Answer(answer.status, answer.headers, body, retry_after(answer.headers, now))

    def _request(self, events: Sequence[Outgoing], now: float) -> tuple[HTTPRequest, Mapping[str, str]]:
        """The request as it is sent, and its header fields."""
        receiver = self._receiver
        try:
            request = receiver.request(events, now)
        except Exception as error:  # it is alone at last, and is set aside
            raise Refused(f"it cannot be written: {type(error).__name__}: {error}") from error
        fields = {each.name: each.value for each in receiver.headers}
        fields |= {**receiver.authorization(), **request.headers}
        if receiver.gzip:
            request = evolve(request, body=gzip_format.compress(request.body, _GZIP_LEVEL, mtime=0))
            fields["content-encoding"] = "gzip"
        return request, {**fields, **receiver.finish(request, request.body, now)}


def retry_after(headers: Headers, now: float) -> float:
    """The time for which an answer asks to be left alone, seconds; 0 if it does not say so (RFC 9110, 10.2.3).

    :param now: seconds since the epoch.
    """
    values = headers.getRawHeaders(b"retry-after", [])
    text = values[0].decode("latin-1").strip() if values else ""
    if text.isdecimal() and text.isascii():
        return float(text[:9])
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return max(0.0, moment.timestamp() - now)
