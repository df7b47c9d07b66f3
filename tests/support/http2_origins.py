"""Origins that speak HTTP/2 by ``h2``: the behaviours of :class:`tests.support.origins.Origin`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import Factory, define
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from tests.support.origins import Behaviour, Origin, Served

ANSWER = ((b":status", b"200"), (b"content-length", b"2"))


@define(eq=False)
class Asked:
    """One request as it came.

    :ivar whole: whether its end came.
    :ivar reset: the code with which the client has ended it; -1 if it has not.
    """

    stream: int
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = Factory(list)
    whole: bool = False
    reset: int = -1

    def __getitem__(self, name: bytes) -> bytes:
        """The value of the only field of this name."""
        (value,) = [value for each, value in self.fields if each == name]
        return value


class Spoken:
    """One connection of HTTP/2 that an origin has accepted.

    :ivar h2: the other side's view of it.
    :ivar asked: the requests by their streams.
    :ivar pongs: how many PINGs were answered.
    :ivar goaway: with what the client has ended it, ``None`` if it has not.
    """

    def __init__(self, served: Served, settings: dict[SettingCodes, int] | None = None) -> None:
        self.served = served
        self.h2 = H2Connection(
            H2Configuration(client_side=False, header_encoding=None, validate_outbound_headers=False)
        )
        self.h2.local_settings = Settings(client=False, initial_values=settings or {})
        self.h2.initiate_connection()
        self.asked: dict[int, Asked] = {}
        self.pongs = 0
        self.goaway: int | None = None
        self.flush()

    def flush(self) -> bool:
        """Send what there is to send."""
        return self.served.send(self.h2.data_to_send())

    def events(self) -> list[Event] | None:
        """What has come next; ``None`` at the end."""
        data = self.served.receive()
        if not data:
            return None
        events = self.h2.receive_data(data)
        for event in events:
            self._note(event)
        self.flush()
        return events

    def _note(self, event: Event) -> None:
        match event:
            case RequestReceived():
                self.asked[event.stream_id] = Asked(event.stream_id, [*event.headers])
            case DataReceived():
                self.asked[event.stream_id].body += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case TrailersReceived():
                self.asked[event.stream_id].trailers = [*event.headers]
            case StreamEnded():
                self.asked[event.stream_id].whole = True
            case StreamReset():
                self.asked[event.stream_id].reset = int(event.error_code)
            case PingAckReceived():
                self.pongs += 1
            case ConnectionTerminated():
                self.goaway = int(event.error_code or 0)

    def until(self, condition: Callable[[], Any]) -> bool:
        """Read until something holds; false if the connection ends before."""
        while not condition():
            if self.events() is None:
                return False
        return True

    def answer(
        self,
        stream: int,
        body: bytes = b"ok",
        fields: Any = ANSWER,
        trailers: Any = (),
    ) -> None:
        """Answer a request, as fast as the client lets it."""
        try:
            self.h2.send_headers(stream, fields, end_stream=not body and not trailers)
            while body:
                room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(body))
                if room:
                    self.h2.send_data(stream, body[:room], end_stream=room == len(body) and not trailers)
                    body = body[room:]
                self.flush()
                if not room and self.events() is None:
                    return
            if trailers:
                self.h2.send_headers(stream, trailers, end_stream=True)
        except ProtocolError:  # the client has reset it
            pass
        self.flush()


Answering = Callable[[Spoken, Asked], None]


def plainly(spoken: Spoken, asked: Asked) -> None:
    """Two bytes."""
    spoken.answer(asked.stream)


class Http2Origin(Origin):
    """An origin of HTTP/2.

    :param answer: what it does with each request once all of it has come.
    :param settings: its SETTINGS.
    :param alpn: what it chooses from.
    :ivar spoken: its connections.
    """

    def __init__(
        self,
        pki: Any,
        answer: Answering = plainly,
        *,
        settings: dict[SettingCodes, int] | None = None,
        alpn: tuple[str, ...] = ("h2",),
        **options: Any,
    ) -> None:
        self.spoken: list[Spoken] = []
        self.answer = answer
        self.settings = settings
        super().__init__(pki, self._speak, **options)
        if alpn:
            self.context.set_alpn_protocols([*alpn])

    @property
    def asked(self) -> list[Asked]:
        """All requests of all connections."""
        return [asked for spoken in self.spoken for asked in spoken.asked.values()]

    def _speak(self, served: Served) -> None:
        spoken = Spoken(served, self.settings)
        self.spoken.append(spoken)
        answered: set[int] = set()
        while spoken.events() is not None:
            for asked in [*spoken.asked.values()]:
                if asked.whole and asked.stream not in answered:
                    answered.add(asked.stream)
                    self.answer(spoken, asked)


def speaking(behave: Callable[[Spoken], None], settings: dict[SettingCodes, int] | None = None) -> Behaviour:
    """The behaviour of an origin that does this on each connection."""
    return lambda served: behave(Spoken(served, settings))
