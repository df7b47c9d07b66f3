"""``type = syslog``: messages of RFC 5424 over TLS (RFC 5425) or TCP (RFC 6587), to ``tls://host:6514``.

Law: syslog has no acknowledgement, so each batch goes on a connection of its own, and is taken once the receiver has
closed that in answer to our end: then it has read all of it. What becomes of it in the receiver's memory, nobody knows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Annotated, ClassVar

from attrs import frozen
from twisted.internet.defer import Deferred, TimeoutError

from edgenode.model.errors import InvalidValue, OriginError
from edgenode.model.settings import Choice, Size, Word, setting
from edgenode.observe.exporters.receiver import Outcome, Outgoing, Unavailable
from edgenode.observe.exporters.syslog_format import FACILITIES, Header, framed, summary
from edgenode.observe.exporters.writing import written
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.origin.stream import open_stream

_ELEMENT = re.compile(r"off|[!#-<>-\\^-~]{1,32}")
_NAME = re.compile(r"[!-~]{1,48}")
_LEAST = 480


@frozen
class Syslog:
    """A receiver of syslog; its origin has ``tls://host:6514`` or ``tcp://host:601``."""

    streams: ClassVar[bool] = True

    facility: Annotated[str, Choice(tuple(FACILITIES))] = setting("The facility of the messages.", "local0")
    app_name: Word = setting("APP-NAME: who sends them.", Word("edgenode"))
    message: Annotated[str, Choice(("json", "line"))] = setting(
        "``json`` is the event, or what ``fields`` says of it; ``line`` is a line for people.", "json"
    )
    structured_data: Word = setting(
        "The SD-ID of the structured data, which has the identifier of the event and its main parts: a name, ``@`` and "
        "your private enterprise number; 32473 is the one of examples. ``off`` is none.",
        Word("edgenode@32473"),
    )
    byte_order_mark: bool = setting(
        "Whether a byte order mark in front of the message says that it is UTF-8, as RFC 5424 demands; some receivers "
        "take it for a part of the message.",
        True,
    )
    max_size: Size = setting(
        "The maximum size of a message; a longer event is set aside, for receivers cut what is too long for them. RFC "
        "5425 demands that they take 2k, and recommends 8k.",
        Size(8192),
    )
    close_notify: bool = setting(
        "Whether a receiver has to end TLS with close_notify, as RFC 5425 demands, to have taken a batch; else the end "
        "of the TCP connection will do, which somebody on the way may have forged. rsyslog sends it with its driver "
        "``ossl``, and not with ``gtls``.",
        False,
    )

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if a value is none that a message can have."""
        if not _ELEMENT.fullmatch(self.structured_data):
            sentence = 'expected 1 to 32 printable ASCII characters without =, ] and ", or off'
            raise InvalidValue(sentence, which="structured-data")
        if not _NAME.fullmatch(self.app_name):
            raise InvalidValue("expected 1 to 48 printable ASCII characters", which="app-name")
        if self.max_size < _LEAST:
            raise InvalidValue(f"a message has at least {_LEAST} bytes: RFC 5424, section 6.1", which="max-size")

    def sender(self, pool: OriginPool, timeout: float, node: str) -> SyslogSender:
        """What sends to it."""
        return SyslogSender(self, pool, timeout, node)

    def faults(self) -> Sequence[tuple[str, str, bool]]:
        """What is wrong with its keys, or doubtful: nothing that is not known by now."""
        return ()


class SyslogSender:
    """Sends to one receiver.

    :param receiver: what it is.
    :param pool: the connections to it.
    :param timeout: the time for one batch; seconds.
    :param node: HOSTNAME.
    """

    def __init__(self, receiver: Syslog, pool: OriginPool, timeout: float, node: str) -> None:
        self._receiver = receiver
        self._pool = pool
        self._timeout = timeout
        element = "" if receiver.structured_data == "off" else receiver.structured_data
        facility, process = FACILITIES[receiver.facility], str(os.getpid())
        self._header = Header(facility, node, receiver.app_name, process, element, receiver.byte_order_mark)

    def send(self, events: Sequence[Outgoing]) -> Deferred[Outcome]:
        """Send some events."""
        return Deferred.fromCoroutine(self._send(events))

    def close(self) -> None:
        """Nothing more is sent."""

    async def _send(self, events: Sequence[Outgoing]) -> Outcome:
        messages = await written(self._pool.reactor, events, lambda: [*map(self._message, events)])
        most = self._receiver.max_size
        refused = {
            place: f"the message has {len(message)} bytes: max-size is {most}"
            for place, message in enumerate(messages)
            if len(message) > most
        }
        data = b"".join(framed(message) for message in messages if len(message) <= most)
        if data:
            try:
                await Deferred.fromCoroutine(self._deliver(data)).addTimeout(self._timeout, self._pool.reactor)
            except TimeoutError:
                raise Unavailable(f"not read by the receiver within {self._timeout:g} s") from None
            except OriginError as error:
                raise Unavailable(error.reason) from None
        return Outcome(refused)

    async def _deliver(self, data: bytes) -> None:
        stream = await open_stream(self._pool)
        try:
            await stream.write(data)
            await stream.end(bare=not self._receiver.close_notify)
        except OriginError:
            self._pool.balancer.failed(stream.server, self._pool.deadlines.clock())
            raise
        finally:
            stream.close()

    def _message(self, event: Outgoing) -> bytes:
        content = event.line.decode("ascii") if self._receiver.message == "json" else summary(event.event)
        return self._header.message(event.time, event.event, event.key, content)
