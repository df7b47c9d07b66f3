"""What the tests of exporters share: events, a journal in memory, senders that do as a test says, and receivers."""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import pytest
from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.web.http_headers import Headers

from edgenode.config import ini, schema
from edgenode.config.data import KINDS
from edgenode.config.load import Configuration
from edgenode.config.value_readers import Scope
from edgenode.model.errors import ConfigurationError
from edgenode.observe.exporters.delivery import Delivery
from edgenode.observe.exporters.exporter import Exporter
from edgenode.observe.exporters.http import Answer, HTTPReceiver, HTTPSender
from edgenode.observe.exporters.outgoing import outgoing
from edgenode.observe.exporters.receiver import TAKEN, Outcome, Outgoing
from tests.support.node import PKI
from tests.support.origins import Behaviour, Origin
from tests.support.pools import pool_to

NOW = 1796054400.0
"""Seconds since the epoch."""


def event_line(number: int, **further: Any) -> bytes:
    """An event of the journal; the number is its identifier."""
    event = {
        "time": "2026-11-30T17:00:00.000000Z",
        "id": f"{number:08x}",
        "client": "192.0.2.1",
        "request": {"method": "GET", "target": f"/{number}", "headers": {"user-agent": ["curl"]}},
        "tags": ["all"],
        "reasons": [{"filter": "bots", "stage": "global-filters"}, {"filter": "scanners", "stage": "acl"}],
        "status": 200,
        "origin": None,
        **further,
    }
    return json.dumps(event, separators=(",", ":")).encode("ascii")


def events(count: int, first: int = 0) -> list[Outgoing]:
    """Some events on their way, as they are."""
    return [found for each in range(first, first + count) if (found := outgoing(event_line(each), None, ()))]


def configured(keys: str, journal: bool = True, server: str = "https://localhost") -> list[str]:
    """What is said of an exporter with these keys, besides its origin."""
    with pytest.raises(ConfigurationError) as caught:  # for it has no listener
        Configuration.from_text(_text(keys, journal, server), "/", {})
    return [str(each) for each in caught.value.problems if each.section.startswith("exporter")]


def exporter(keys: str) -> Exporter:
    """An exporter with these keys, besides its origin, without a fault."""
    *_, section = ini.read(_text(keys, True), KINDS)[0]
    value, problems = schema.read(section, Exporter, Scope(pathlib.Path("/"), {}, {"origin": ["there"]}))
    assert problems == []
    assert value is not None
    return value


def _text(keys: str, journal: bool, server: str = "https://localhost") -> str:
    origin = f"[origin there]\nservers = {server}\n"
    before = "[journal]\nfolder = /\n" if journal else ""
    return f"{before}{origin}[exporter x]\norigin = there\n{keys}\n"


@define
class Journal:
    """A journal in memory.

    :ivar position: the number of lines that were read.
    """

    all: list[bytes]
    position: int = 0
    lost: int = 0
    closed: bool = False
    last: int = 0

    @property
    def behind(self) -> int:
        """Bytes that are still to be read."""
        return sum(len(each) + 1 for each in self.all[self.position :])

    @property
    def places(self) -> list[int]:
        """In front of each of the lines that were returned last."""
        return [*range(self.position - self.last, self.position)]

    def read(self, most_bytes: int) -> list[bytes]:
        """The next lines."""
        found: list[bytes] = []
        size = 0
        while self.position < len(self.all) and size < most_bytes:
            found.append(self.all[self.position])
            size += len(found[-1]) + 1
            self.position += 1
        self.last = len(found)
        return found

    def close(self) -> None:
        """Let go of it."""
        self.closed = True


Answering = Callable[[Sequence[Outgoing]], Outcome | Exception | Deferred[Outcome]]
"""What becomes of a batch."""


@define
class Sending:
    """A sender that does as a test says.

    :ivar batches: the identifiers of the events of each attempt.
    :ivar taken: those of the events that were taken, in order.
    """

    answer: Answering = lambda events: TAKEN
    batches: list[list[str]] = field(factory=list)
    taken: list[str] = field(factory=list)
    closed: bool = False

    def send(self, events: Sequence[Outgoing]) -> Deferred[Outcome]:
        """Take note of them, and answer."""
        self.batches.append([each.event["id"] for each in events])
        answer = self.answer(events)
        if isinstance(answer, Deferred):
            return answer
        if isinstance(answer, Exception):
            return fail(answer)
        gone = {*answer.refused, *answer.again}
        self.taken += [each.event["id"] for place, each in enumerate(events) if place not in gone]
        return succeed(answer)

    def close(self) -> None:
        """Nothing more is sent."""
        self.closed = True


@define
class Delivering:
    """A delivery with a clock that the test moves."""

    delivery: Delivery
    clock: Clock
    journal: Journal
    sending: Sending
    saved: list[int]
    aside: list[tuple[str, str]]

    @classmethod
    def of(
        cls,
        journal: Journal,
        sending: Sending | None = None,
        keys: str = "",
        random: Callable[[], float] = lambda: 1.0,
    ) -> Self:
        """One that has begun."""
        clock, saved, aside = Clock(), list[int](), list[tuple[str, str]]()
        sending = sending or Sending()
        delivery = Delivery(
            "x",
            exporter(f"type = webhook\n{keys}"),
            journal,
            sending,
            clock,
            save=saved.append,
            put_aside=lambda event, reason: aside.append((event.event["id"], reason)),
            now=lambda: NOW + clock.seconds(),
            random=random,
        )
        made = cls(delivery, clock, journal, sending, saved, aside)
        delivery.start()
        return made

    def pass_time(self, seconds: float) -> None:
        """Let time pass, a tenth of a second at a time."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end - 1e-9:
            self.clock.advance(min(0.1, end - self.clock.seconds()))


@contextlib.contextmanager
def receiving(
    pki: PKI, behaviour: Behaviour, receiver: HTTPReceiver, timeout: float = 10.0, **settings: Any
) -> Iterator[tuple[Origin, HTTPSender]]:
    """A receiver that demands the node's certificate, and what sends to it."""
    with Origin(pki, behaviour) as origin, pool_to(pki, origin.port, **settings) as pool:
        yield origin, HTTPSender(evolve(receiver, node="edge-1"), pool, timeout, lambda: NOW)


def page(status: str, body: bytes = b"", *headers: str) -> bytes:
    """An answer as it is sent."""
    lines = "".join(f"{each}\r\n" for each in (*headers, f"Content-Length: {len(body)}"))
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def answer(body: bytes, status: int = 200) -> Answer:
    """An answer as it is read."""
    return Answer(status, Headers(), body)


@frozen
class Received:
    """A request, taken apart."""

    line: str
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, request: bytes) -> Self:
        """Take one apart that has no chunks."""
        head, _, body = request.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        pairs = (each.partition(":")[::2] for each in fields)
        return cls(line, {name.lower(): value.strip() for name, value in pairs}, body)
