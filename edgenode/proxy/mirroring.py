"""Requests that a second origin gets too, and whose answers are thrown away: nginx's ``mirror``, Envoy's
``request_mirror_policies``.

Law: the request itself neither waits for its copy nor fails by it. A copy is whole or it is not sent: of a body larger
than ``mirror-max-body``, or of a client that went away, there is none. No more than a hundred are under way at a time,
those included whose bodies are still coming: what they hold is bounded.
"""

from __future__ import annotations

import random

from twisted.logger import Logger

from edgenode.model.errors import OriginError
from edgenode.model.exchange import Headers
from edgenode.proxy.origin.attempts import Attempts
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.streams import NO_CONTENT, OriginStream, RequestHead, ResponseHead

_MOST = 100
_LARGEST_ANSWER = 1024 * 1024
"""Bytes of an answer that are read to keep its connection; of a larger one it is closed."""

_log = Logger()


class Mirror:
    """Where copies go, and of which requests there are any.

    :param pool: the connections to the second origin.
    :param share: of the requests, from 0 to 1.
    :param most: bytes of a body.
    :ivar under_way: how many copies are.
    """

    def __init__(self, pool: OriginPool, share: float, most: int) -> None:
        self._pool = pool
        self._share = share
        self._most = most
        self.under_way = 0

    def begin(self, head: RequestHead, lines: bytes, body: bytes, done: bool) -> Copy | None:
        """Have a copy of a request, if it is one of the share; ``None`` if there is nothing to come for it.

        :param lines: the field lines that its origin gets.
        :param body: what has come of its body.
        :param done: whether that is all.
        """
        if self.under_way >= _MOST or (self._share < 1 and random.random() >= self._share):  # noqa: S311  # no secret
            return None
        if (head.length or 0) > self._most:
            return None
        copy = Copy(self, self._pool, head, lines, self._most)
        copy.add(body, done)
        return None if done else copy


class Copy(Attempts):
    """A copy of a request."""

    def __init__(self, mirror: Mirror, pool: OriginPool, head: RequestHead, lines: bytes, most: int) -> None:
        self.pool = pool
        self._mirror = mirror
        self._head = head
        self._lines = lines
        self._most = most
        self._body = bytearray()
        self._dropped = self._whole = False
        self._counted = True
        self._read = 0
        mirror.under_way += 1

    def add(self, data: bytes, done: bool) -> None:
        """More of its body; with the last of it the copy is sent."""
        if self._dropped:
            return
        if len(self._body) + len(data) > self._most:
            self._drop()
            return
        self._body += data
        if done:
            self._whole = True
            with _log.failuresHandled("a copy of a request could not be sent") as sending:
                self.attempt()
            if sending.failed:
                self._over()

    def over(self) -> None:
        """The request is over: if not all of it has come there is no copy."""
        if not self._whole:
            self._drop()

    def _drop(self) -> None:
        self._dropped = True
        self._body.clear()
        self._over()

    # -- the attempts ------------------------------------------------------------------------------------------------

    def send(self, stream: OriginStream) -> None:
        """Send it."""
        head, balanced, pool = self._head, self.balanced, self.pool
        assert balanced is not None
        host = shadow(head.authority) if pool.origin.host == "client" else pool.host(balanced)
        target, body = pool.target(head.origin_target), bytes(self._body)
        length = len(body) if head.length != 0 or b"content-length" in head.fields else NO_CONTENT
        stream.begin(self, head.method, target, host, self._lines, length, body, True)

    def take_response(self, head: ResponseHead, body: bytes, done: bool) -> None:
        """An answer: nobody wants it."""
        self.response_body(body, done, ())

    def response_body(self, body: bytes, done: bool, trailers: Headers) -> None:
        """More of it."""
        self._read += len(body)
        if done:
            self.stream = None
        elif self._read > _LARGEST_ANSWER:
            self.give_up()
        else:
            return
        self._over()

    def no_response(self, error: OriginError) -> None:
        """There is none."""
        self._over()

    def response_broken(self, error: OriginError) -> None:
        """There is no more of it."""
        self._over()

    def _over(self) -> None:
        if self._counted:
            self._counted = False
            self._mirror.under_way -= 1


def shadow(authority: bytes) -> bytes:
    """The Host of copies, by which the second origin knows them: ``-shadow`` behind the name, as Envoy writes it; an
    address stays as it is."""
    name, colon, port = authority.partition(b":")
    if authority.startswith(b"[") or name.replace(b".", b"").isdigit():
        return authority
    return name + b"-shadow" + colon + port
