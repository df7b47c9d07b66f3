"""HTTP/1 heads as llhttp reads them, which Node.js, Deno and many others use: a second opinion on ours."""

from __future__ import annotations

from typing import Any

import httptools
from attrs import Factory, define

Fields = tuple[tuple[bytes, bytes], ...]


@define
class Heard:
    """What the parser has told of one message.

    :ivar target: of a request.
    :ivar reason: of a response.
    :ivar fields: names and values as they were received, without white space around.
    :ivar body: without its framing.
    :ivar headed: whether the head was read to its end.
    :ivar complete: whether the message was.
    :ivar keep_alive: whether the connection may serve another message.
    """

    parser: Any = None

    target: bytes = b""
    reason: bytes = b""
    pairs: list[tuple[bytes, bytes]] = Factory(list)
    body: bytes = b""
    headed: bool = False
    complete: bool = False
    keep_alive: bool = False

    def on_url(self, data: bytes) -> None:
        """A piece of the target."""
        self.target += data

    def on_status(self, data: bytes) -> None:
        """A piece of the reason phrase."""
        self.reason += data

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field, or a trailer field."""
        if not self.headed:
            self.pairs.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        """The head is over."""
        self.headed = True
        self.keep_alive = self.parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self.body += data

    def on_message_complete(self) -> None:
        """The message is over."""
        self.complete = True

    @property
    def fields(self) -> Fields:
        """The fields."""
        return tuple(self.pairs)


@define
class Read:
    """A message as llhttp has read it.

    :ivar start: the method, or the status.
    """

    start: bytes | int
    version: str
    heard: Heard


def read_request(data: bytes) -> Read | None:
    """A request of which at least the head is there; ``None`` if it is refused."""
    return _read(httptools.HttpRequestParser, data, "get_method")


def read_response(data: bytes) -> Read | None:
    """The same of a response."""
    return _read(httptools.HttpResponseParser, data, "get_status_code")


def _read(kind: Any, data: bytes, start: str) -> Read | None:
    heard = Heard()
    parser = heard.parser = kind(heard)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass  # it stops there, and has not refused it
    except httptools.HttpParserError:
        return None
    if not heard.headed:
        return None
    return Read(getattr(parser, start)(), parser.get_http_version(), heard)
